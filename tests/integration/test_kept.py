"""What is kept of what came: kinds that are stored and kinds that are only counted, and money once."""
import json

import harness
from harness import wait_for

INTERACT, ENTRY = 10, 11


def drained(d, s=None):
    harness.all_written(d, s)


def test_kinds_that_are_not_stored_are_counted_and_live(sim, danmakud, rows):
    s = sim("--rooms", "3", "--rate", "300")
    d = danmakud(*s.args_for_rooms())
    live = harness.Stream(d.base, "?kinds=interact,entry", count=200)
    live.join(harness.TIMEOUT)
    assert len(live.events) == 200, live.error
    hello = live.control[0][2]
    assert "danmaku" in hello["replayable_kinds"]
    assert not {"interact", "entry", "like"} & set(hello["replayable_kinds"])
    s.pause()
    drained(d, s)
    assert rows("SELECT count(*) FROM event WHERE kind IN (10, 11, 12)")[0][0] == 0
    counted = rows("SELECT sum(n) FROM room_minute_kind WHERE kind IN (10, 11)")[0][0]
    assert counted == d.metric("danmakud_events_counted_total") >= 200
    assert d.json("/api/v1/events", kinds="interact")["data"] == []
    everything = d.json(f"/api/v1/rooms/{s.rooms[0]}/events", limit=1000)["data"]
    assert everything and not [e for e in everything if e["kind"] in ("interact", "entry")]


def test_figures_have_what_is_only_counted(sim, danmakud, rows):
    s = sim("--rooms", "2", "--rate", "200", "--count", "600")
    d = danmakud(*s.args_for_rooms())
    wait_for("600 events", s.done)
    drained(d, s)
    rooms = ",".join(str(r) for r in s.rooms)

    def other():
        stats = [d.json(f"/api/v1/rooms/{room}/stats", since="15m")["data"] for room in s.rooms]
        return sum(row[st["columns"].index("other")] for st in stats for row in st["rows"])

    stored = rows(f"SELECT count(*) FROM event WHERE kind NOT IN (1, 2, 3, 5, 6, 8) AND room_id IN ({rooms})")[0][0]
    counted = rows("SELECT coalesce(sum(n), 0) FROM room_minute_kind")[0][0]
    assert counted > 0
    assert other() == stored + counted  # of the ring
    assert d.stop() == 0
    d = danmakud("--ring-events", "1024", *s.args_for_rooms())
    assert other() == stored + counted  # counted from the database
    assert rows("SELECT sum(n) FROM room_minute_kind")[0][0] == counted


def test_all_kinds_are_stored_when_told(sim, danmakud, rows):
    s = sim("--rooms", "2", "--rate", "300", "--count", "600")
    d = danmakud("--store-kinds", "all", *s.args_for_rooms())
    wait_for("600 events", s.done)
    drained(d, s)
    assert rows("SELECT count(*) FROM event WHERE kind IN (10, 11)")[0][0] > 0
    assert rows("SELECT count(*) FROM room_minute_kind")[0][0] == 0
    assert d.json("/api/v1/events", kinds="interact")["data"]


def test_resume_is_exact_for_stored_kinds_across_a_restart(sim, danmakud):
    s = sim("--rooms", "3", "--rate", "200")
    d = danmakud(*s.args_for_rooms())
    first = harness.Stream(d.base, count=100)
    first.join(harness.TIMEOUT)
    s.pause()
    drained(d, s)
    start = first.events[0][1]
    full = harness.Stream(d.base, last_event_id=start)
    head = d.json("/api/v1/stats")["data"]["events"]["head_id"]
    wait_for("the ring's answer", lambda: full.events and full.events[-1][1] == head)
    full.close()
    assert d.stop() == 0
    d = danmakud("--ring-events", "1024", *s.args_for_rooms())
    want = [e[1] for e in full.events if e[0] not in ("interact", "entry", "like")]
    again = harness.Stream(d.base, last_event_id=start, count=len(want))
    again.join(harness.TIMEOUT)
    assert [e[1] for e in again.events] == want


def guard_messages(n, uid, with_buy=True, with_toast=True, times=1):
    """The messages of one purchase, list price 198, paid 138 CNY."""
    at = 1790000000 + 100 * n
    flow = f"26092100000000000{n:08d}"
    buy = {"cmd": "GUARD_BUY", "data": {"uid": uid, "username": f"user{uid}", "guard_level": 3, "num": 1, "price": 198000,
                                        "gift_id": 10003, "gift_name": "x", "start_time": at, "end_time": at}}
    toast = {"cmd": "USER_TOAST_MSG", "data": {"uid": uid, "username": f"user{uid}", "guard_level": 3, "num": 1,
                                               "price": 138000, "payflow_id": flow, "start_time": at, "unit": "x"}}
    v2 = {"cmd": "USER_TOAST_MSG_V2", "data": {
        "sender_uinfo": {"uid": uid, "base": {"name": f"user{uid}"}}, "guard_info": {"guard_level": 3, "start_time": at},
        "pay_info": {"num": 1, "price": 138000, "payflow_id": flow, "unit": "x"}, "option": {"source": 0}}}
    return ([buy] if with_buy else []) * times + ([toast, v2] if with_toast else []) * times


def test_guard_purchases_count_once_also_over_a_stop(sim, danmakud, rows, tmp_path):
    messages = []
    for n in range(30):
        messages += guard_messages(n, 1000 + n, with_buy=n % 3 != 1, with_toast=n % 3 != 2, times=1 + n % 2)
    path = tmp_path / "guards.json"
    path.write_text(json.dumps(messages))
    s = sim("--rooms", "1", "--replay", str(path), "--speed", "max")
    d = danmakud(*s.args_for_rooms())
    wait_for("all messages", lambda: d.metric("danmakud_messages_total") >= len(messages))
    assert d.stop() == 0  # what is held is told now
    assert rows("SELECT count(*), sum(value_mcny) FROM event WHERE kind = 5") == [(30, 20 * 138000 + 10 * 198000)]


def test_a_guard_purchase_that_is_held_survives_a_crash(sim, danmakud, rows, tmp_path):
    path = tmp_path / "guards.json"
    path.write_text(json.dumps(guard_messages(1, 77, with_toast=False)))
    s = sim("--rooms", "1", "--replay", str(path), "--speed", "max")
    d = danmakud(*s.args_for_rooms())
    wait_for("the hold in the spool", lambda: d.metric("danmakud_messages_total") >= 1
             and d.metric("danmakud_spool_queued_bytes") == 0 and d.metric("danmakud_spool_holds") == 1)
    d.kill()
    assert rows("SELECT count(*) FROM event WHERE kind = 5")[0][0] == 0
    again = danmakud(*s.args_for_rooms())
    wait_for("the purchase", lambda: again.json("/api/v1/events", kinds="guard")["data"])
    wait_for("it to be written", lambda: rows("SELECT count(*) FROM event WHERE kind = 5")[0][0])
    assert again.stop() == 0
    assert rows("SELECT value_mcny FROM event WHERE kind = 5") == [(198000,)]
