"""PostgreSQL stopped, hung, killed under load; SIGTERM under load; an upstream that lies."""
import signal
import time

import requests

import harness
from harness import wait_for
from test_path import stored


def drained(d, s):
    harness.all_written(d, s)


def test_database_stopped_and_started_again(sim, danmakud, rows, postgres):
    s = sim("--rooms", "10", "--rate", "500")
    d = danmakud(*s.args_for_rooms())
    live = harness.Stream(d.base)
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 100)
    postgres.stop(signal.SIGQUIT)
    wait_for("/readyz to say so", lambda: requests.get(d.base + "/readyz", timeout=harness.TIMEOUT).status_code == 503)
    before = len(live.events)
    wait_for("the live feed to go on", lambda: len(live.events) > before + 3000)
    assert requests.get(d.base + "/livez", timeout=harness.TIMEOUT).status_code == 200
    r = d.get("/api/v1/rooms/%d/events?limit=5" % s.rooms[0])
    assert r.status_code == 200, "the newest of a room come from the ring"
    r = d.get("/api/v1/events?since=1h&order=asc&limit=5")
    assert r.status_code == 503 and r.json()["code"] == "database_unavailable" and "Retry-After" in r.headers
    postgres.start()
    wait_for("/readyz", lambda: requests.get(d.base + "/readyz", timeout=harness.TIMEOUT).status_code == 200)
    s.pause()
    drained(d, s)
    assert stored(rows) == s.recorded()
    got = [int(i) for _, i, _ in live.events]
    assert got == sorted(set(got))
    live.close()


def test_database_hangs(sim, danmakud, rows, postgres):
    s = sim("--rooms", "5", "--rate", "300")
    d = danmakud("--query-timeout", "1s", *s.args_for_rooms())
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 100)
    postgres.hang()
    try:
        r = d.get("/api/v1/events?since=1h&order=asc&limit=5")
        assert r.status_code == 503 and r.json()["code"] in ("query_timeout", "database_unavailable")
        assert requests.get(d.base + "/livez", timeout=harness.TIMEOUT).status_code == 200
        received = d.metric("danmakud_events_published_total")
        wait_for("events to go on", lambda: d.metric("danmakud_events_published_total") > received + 300)
    finally:
        postgres.unhang()
    s.pause()
    drained(d, s)
    assert stored(rows) == s.recorded()


def test_backends_killed_again_and_again(sim, danmakud, rows, postgres):
    s = sim("--rooms", "5", "--rate", "2000")
    d = danmakud(*s.args_for_rooms())
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 100)
    for _ in range(20):
        with postgres.connect("postgres") as c:
            c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'danmakud%'")
        time.sleep(0.1)
    s.pause()
    drained(d, s)
    assert stored(rows) == s.recorded()
    assert rows("SELECT count(*) FROM event") == rows("SELECT count(DISTINCT id) FROM event")


def test_sigterm_under_load(sim, danmakud, rows):
    s = sim("--rooms", "20", "--rate", "5000")
    d = danmakud("--shutdown-deadline", "60s", *s.args_for_rooms())
    live = harness.Stream(d.base)
    wait_for("events", lambda: len(live.events) > 2000)
    assert d.stop() == 0
    live.join(harness.TIMEOUT)
    s.pause()
    # Every event that a client saw is stored; every stored event was sent, once.
    have = {r[0] for r in rows("SELECT id FROM event")}
    counted_only = {"interact", "entry", "like"}
    assert {int(i) for kind, i, _ in live.events if kind not in counted_only} <= have
    assert stored(rows) - s.recorded() == {}


def test_minutes_equal_a_recount(sim, danmakud, rows):
    s = sim("--rooms", "5", "--rate", "500", "--count", "3000")
    d = danmakud(*s.args_for_rooms())
    wait_for("3000 events", s.done)
    drained(d, s)
    room = s.rooms[0]
    now = int(time.time() * 1000)
    stats = d.json(f"/api/v1/rooms/{room}/stats", since="10m")["data"]
    columns = stats["columns"]
    n = sum(row[columns.index("danmaku")] for row in stats["rows"] if row[columns.index("danmaku")] is not None)
    assert n == rows("SELECT count(*) FROM event WHERE room_id = %s AND kind = 1", room)[0][0]
    assert stats["rows"][0][0] <= now


def test_upstream_faults_leave_other_rooms_alone(sim, danmakud, rows):
    s = sim("--rooms", "8", "--rate", "400")
    for room, kind in zip(s.rooms, ("reset", "garbage", "length", "bomb", "truncate", "nul", "deep")):
        s.fault(f"room={room},kind={kind},after=20")
    d = danmakud("--backoff-max", "200ms", *s.args_for_rooms())
    good = s.rooms[7]
    wait_for("events of the healthy room",
             lambda: len(d.json(f"/api/v1/rooms/{good}/events", limit=200)["data"]) >= 200)
    assert d.running()
    s.pause()
    harness.all_written(d, s, [good])
    have = stored(rows)
    want = s.recorded()
    assert {k: v for k, v in have.items() if k[0] == good} == {k: v for k, v in want.items() if k[0] == good}
    assert max(have.values()) <= max(want.values())


def test_heartbeat_silence_is_noticed(sim, danmakud):
    s = sim("--rooms", "2", "--rate", "10")
    s.fault(f"room={s.rooms[0]},kind=no_heartbeat,after=0")
    d = danmakud("--heartbeat-interval", "300ms", "--heartbeat-timeout", "1s", "--backoff-max", "200ms", *s.args_for_rooms())
    wait_for("a close for want of heartbeat replies",
             lambda: 'reason="heartbeat_timeout"} 0' not in requests.get(d.base + "/metrics").text
             and 'reason="heartbeat_timeout"}' in requests.get(d.base + "/metrics").text)
    room = d.json(f"/api/v1/rooms/{s.rooms[1]}")["data"]
    assert room["collection"]["state"] == "connected"
