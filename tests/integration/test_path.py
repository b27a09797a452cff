"""The whole path: one event, the same in PostgreSQL, in REST and in the live feed; nothing missing, nothing twice."""
from collections import Counter

import harness
from harness import wait_for

KINDS = "danmaku,gift,superchat,live,room"


def stored(rows):
    """(room, kind, text, sender name, value) of every row."""
    return Counter(rows("SELECT room_id, kind, coalesce(text, ''), coalesce(uname, ''), coalesce(value_mcny, 0) FROM event "
                        "WHERE kind IN (1, 3, 6, 14)"))


def test_same_id_and_body_in_database_rest_and_stream(sim, danmakud, rows):
    s = sim("--rooms", "5", "--rate", "200")
    d = danmakud(*s.args_for_rooms())
    live = harness.Stream(d.base, f"?kinds={KINDS}", count=300)  # kinds that are stored
    live.join(harness.TIMEOUT)
    assert len(live.events) == 300, live.error
    s.pause()
    harness.all_written(d)
    by_room = {}
    for kind, ident, body in live.events:
        assert body["id"] == ident and body["kind"] == kind
        by_room.setdefault(body["room_id"], []).append(body)
    columns = {str(r[0]): r[1:] for r in rows(
        "SELECT id, room_id, actor, text, coalesce(value_mcny, 0), (id >> 22) + 1577836800000 FROM event")}
    for room, bodies in by_room.items():
        rest = {}
        cursor = None
        while len(rest) < 5000:
            page = d.json(f"/api/v1/rooms/{room}/events", limit=1000, **({"cursor": cursor} if cursor else {}))
            rest.update((e["id"], e) for e in page["data"])
            cursor = page["page"]["next"]
            if not page["page"]["has_more"]:
                break
        for body in bodies:
            assert rest[body["id"]] == body
            row = columns[body["id"]]
            assert row[0] == room and row[3] == body["value_mcny"] and row[4] == body["ts_ms"]
            if body["kind"] == "danmaku":
                assert row[2] == body["text"] and str(row[1]) == str(body["user"]["uid"])
            assert d.json(f"/api/v1/events/{body['id']}")["data"] == body


def test_ring_and_database_give_the_same_bytes(sim, danmakud, rows, postgres, database, tmp_path):
    s = sim("--rooms", "3", "--rate", "500", "--count", "2000")
    d = danmakud(*s.args_for_rooms())
    wait_for("2000 events", lambda: s.done())
    harness.all_written(d, s)
    room = s.rooms[0]
    from_ring = d.get(f"/api/v1/rooms/{room}/events?limit=500").json()["data"]
    assert len(from_ring) > 100
    d.stop()
    with postgres.connect(database) as c:  # older than what a start warms the ring with
        assert c.execute("SELECT count(*) FROM event").fetchone()[0] > 0
    again = danmakud("--ring-events", "1024", *s.args_for_rooms())
    from_db = again.get(f"/api/v1/rooms/{room}/events?limit=500&to={from_ring[0]['ts_ms'] + 1}").json()["data"]
    assert from_db[:len(from_ring)] == from_ring


def test_multiset_at_full_speed(sim, danmakud, rows):
    """200,000 events over 100 rooms as fast as the sockets take them."""
    s = sim("--rooms", "100", "--speed", "max", "--count", "200000")
    d = danmakud(*s.args_for_rooms())
    wait_for("the simulator to hand over 200,000 events", s.done, timeout=4 * harness.TIMEOUT)
    harness.all_written(d, s)
    want, have = s.recorded(), stored(rows)
    have = Counter({k: v for k, v in have.items()})
    assert sum(want.values()) >= 200000
    assert want - have == Counter(), "missing"
    assert have - want == Counter(), "doubled or invented"
    ids = rows("SELECT count(*), count(DISTINCT id) FROM event")[0]
    assert ids[0] == ids[1]


def test_metrics_tell_each_family_once(danmakud):
    d = danmakud()
    names = [line.split()[2] for line in d.get("/metrics").text.splitlines() if line.startswith("# TYPE ")]
    assert sorted(names) == sorted(set(names))
