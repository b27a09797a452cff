"""What is kept of what came: kinds that are stored and kinds that are only counted."""
import harness
from harness import wait_for

INTERACT, ENTRY = 10, 11


def drained(d):
    wait_for("everything written", lambda: d.metric("danmakud_unwritten_events") == 0)


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
    drained(d)
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
    drained(d)
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
    drained(d)
    assert rows("SELECT count(*) FROM event WHERE kind IN (10, 11)")[0][0] > 0
    assert rows("SELECT count(*) FROM room_minute_kind")[0][0] == 0
    assert d.json("/api/v1/events", kinds="interact")["data"]


def test_resume_is_exact_for_stored_kinds_across_a_restart(sim, danmakud):
    s = sim("--rooms", "3", "--rate", "200")
    d = danmakud(*s.args_for_rooms())
    first = harness.Stream(d.base, count=100)
    first.join(harness.TIMEOUT)
    s.pause()
    drained(d)
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
