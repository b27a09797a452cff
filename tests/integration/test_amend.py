"""What later events say about earlier ones is attached to them, whether ring or database answers."""
import json

import harness
from harness import wait_for

NOW_S = 1790000000


def danmaku(n, uid, text):
    extra = json.dumps({"id_str": f"{n:032x}"})
    return {"cmd": "DANMU_MSG", "info": [[0, 1, 25, 16777215, NOW_S * 1000 + n, n, 0, "abcdef01", 0, 0, 0, "", 0, "{}", "{}",
                                          {"extra": extra}], text, [uid, f"user{uid}", 0, 0, 0, 10000, 1, ""], [], [0, 0, 0, ">50000", 0],
                                         ["", ""], 0, 0, None, {"ts": NOW_S, "ct": f"{n:08X}"}, 0, 0, None, None, 0, 7]}


def superchat(ident, text):
    return {"cmd": "SUPER_CHAT_MESSAGE", "data": {"id": ident, "uid": 9, "price": 30, "message": text, "start_time": NOW_S,
                                                  "end_time": NOW_S + 60, "time": 60, "user_info": {"uname": "payer"}}}


MESSAGES = [
    superchat(1001, "deleted"), superchat(1002, "translated"), superchat(1003, "untouched"),
    danmaku(1, 555, "first"), danmaku(2, 556, "of another"), danmaku(3, 555, "second"),
    {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": [1001]}},
    {"cmd": "SUPER_CHAT_MESSAGE_JPN", "data": {"id": "1002", "uid": "9", "message": "translated", "message_jpn": "JPN",
                                               "start_time": NOW_S}},
    {"cmd": "RECALL_DANMU_MSG", "data": {"recall_type": 2, "target_id": 555}},
    danmaku(4, 555, "after the recall"),
]
WANT = {"deleted": ["deleted"], "translated": ["translated"], "untouched": [], "first": ["recalled"], "of another": [],
        "second": ["recalled"], "after the recall": []}


def amended(events):
    return {e["text"]: [a["what"] for a in e.get("amended", [])] for e in events if e["text"] in WANT}


def check(d, room, **to):
    """The page of the newest, so that the ring answers while it has them."""
    page = d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku,superchat", limit=100, **to)["data"]
    assert amended(page) == WANT
    assert amended(d.json("/api/v1/events", kinds="danmaku,superchat", limit=100, **to)["data"]) == WANT
    for e in page:
        assert d.json(f"/api/v1/events/{e['id']}")["data"] == e
    by = {e["text"]: e for e in page}
    assert by["translated"]["amended"][0]["data"]["text_jpn"] == "JPN"
    gone = d.json(f"/api/v1/events/{by['deleted']['amended'][0]['by_id']}")["data"]
    assert gone["kind"] == "superchat_delete"
    return page


def test_amended_is_the_same_from_ring_and_database(sim, danmakud, rows, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(MESSAGES))
    s = sim("--rooms", "1", "--replay", str(path), "--speed", "max")
    d = danmakud(*s.args_for_rooms())
    wait_for("all events", lambda: d.metric("danmakud_events_published_total") >= len(MESSAGES))
    room = s.rooms[0]
    from_ring = check(d, room)
    harness.all_written(d)
    assert rows("SELECT what, count(*) FROM amend GROUP BY 1 ORDER BY 1") == [("deleted", 1), ("recalled", 2), ("translated", 1)]
    assert d.stop() == 0
    s.stop()
    more = tmp_path / "more.json"  # pushes all of it out of a small ring
    more.write_text(json.dumps([danmaku(100 + n, 600, "x") for n in range(1500)]))
    s = sim("--rooms", "1", "--replay", str(more), "--speed", "max")
    d = danmakud("--ring-events", "1024", *s.args_for_rooms())
    wait_for("more messages", lambda: d.metric("danmakud_ring_evicted_total") > 100)
    harness.all_written(d)
    assert check(d, room, to=from_ring[0]["ts_ms"] + 1) == from_ring
