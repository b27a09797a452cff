"""The live feed: what it says first, resume without a seam, slow and dead clients."""
import random

import requests

import harness
from harness import wait_for

ALL = ("--store-kinds", "all")  # so that everything in the live feed can be compared with what is stored


def ids(stream):
    return [int(i) for _, i, _ in stream.events]


def test_first_bytes_and_hello(sim, danmakud):
    s = sim("--rooms", "2", "--rate", "50")
    d = danmakud(*s.args_for_rooms())
    live = harness.Stream(d.base, f"?rooms={s.rooms[0]}&kinds=danmaku", count=5)
    live.join(harness.TIMEOUT)
    assert live.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert live.response.headers["Cache-Control"] == "no-store"
    assert live.text[0].startswith("retry: ")
    kind, ident, hello = live.control[0]
    assert (kind, ident) == ("hello", None)
    assert hello["heartbeat_s"] == 15 and "danmaku" in hello["replayable_kinds"]
    assert {b["room_id"] for _, _, b in live.events} == {s.rooms[0]}
    assert {k for k, _, _ in live.events} == {"danmaku"}


def test_backlog_comes_first(sim, danmakud):
    s = sim("--rooms", "1", "--rate", "100", "--count", "200")
    d = danmakud(*ALL, *s.args_for_rooms())
    wait_for("200 events", lambda: d.metric("danmakud_events_published_total") >= 200)

    def newest():
        return d.json("/api/v1/events", limit=10)["data"][::-1]

    def seen():
        before = newest()
        live = harness.Stream(d.base, "?backlog=10", count=10)
        live.join(harness.TIMEOUT)
        return before == newest() and (before, [b for _, _, b in live.events])  # nothing came in between
    before, got = wait_for("a moment without events", seen)
    assert got == before


def resume_rounds(base_of, rounds, rng, last=None, seen=None):
    """Reads a few events, drops the connection, resumes behind the last id; all ids in order, none twice."""
    seen = [] if seen is None else seen
    for _ in range(rounds):
        live = harness.Stream(base_of(), last_event_id=last, count=rng.randint(1, 40))
        live.join(harness.TIMEOUT)
        got = ids(live)
        assert got == sorted(got), "out of order"
        if last is not None and got:
            assert got[0] > int(last), "repeated"
        if last is not None:
            assert not any(k == "reset" for k, _, _ in live.control)
        seen += got
        if got:
            last = str(got[-1])
    return last, seen


def test_resume_a_hundred_times_and_across_a_restart(sim, danmakud, rows):
    rng = random.Random(7)
    s = sim("--rooms", "4", "--rate", "400")
    d = danmakud("--ring-events", "1024", *ALL, *s.args_for_rooms())
    last, seen = resume_rounds(lambda: d.base, 60, rng)
    assert d.stop() == 0
    d2 = danmakud("--ring-events", "1024", *ALL, *s.args_for_rooms())
    last, seen = resume_rounds(lambda: d2.base, 40, rng, last, seen)
    s.pause()
    harness.all_written(d2)
    stored = [r[0] for r in rows("SELECT id FROM event WHERE id >= %s AND id <= %s ORDER BY id", seen[0], seen[-1])]
    assert seen == stored, f"{len(seen)} seen, {len(stored)} stored"


def test_unknown_and_ancient_ids(sim, danmakud):
    s = sim("--rooms", "1", "--rate", "50")
    d = danmakud(*ALL, *s.args_for_rooms())
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > 10)
    for bad in ("abc", "-1", "99999999999999999999"):
        r = d.get(f"/api/v1/events/stream?last_event_id={bad}")
        assert r.status_code == 400 and r.json()["code"] == "invalid_parameter", bad
    live = harness.Stream(d.base, "?last_event_id=0", count=5)
    live.join(harness.TIMEOUT)
    first = d.json("/api/v1/events", order="asc", limit=5)["data"]
    assert [b for _, _, b in live.events] == first


def read_ids(response, n):
    """Ids of the next n data events of a stream that nobody has read so far."""
    out = []
    for line in response.iter_lines(chunk_size=65536):
        if line.startswith(b"id: "):
            out.append(int(line[4:]))
            if len(out) == n:
                return out
    raise AssertionError(f"the stream ended after {len(out)} events")


def all_ids(d, first):
    """Ids of the stored and the unwritten events from `first` on, oldest first, by REST."""
    out, params = [], {"order": "asc", "limit": 1000, "from": (first >> 22) + 1577836800000}
    while True:
        page = d.json("/api/v1/events", **params)
        out += [int(e["id"]) for e in page["data"]]
        if not page["page"]["has_more"]:
            return [i for i in out if i >= first]
        params["cursor"] = page["page"]["next"]


def test_clients_that_stall_or_vanish_hurt_nobody(sim, danmakud):
    s = sim("--rooms", "10", "--rate", "3000", "--steady")
    d = danmakud("--ring-events", "16384", *ALL, *s.args_for_rooms())
    stalled = [requests.get(d.base + "/api/v1/events/stream", stream=True, timeout=harness.TIMEOUT) for _ in range(20)]
    live = harness.Stream(d.base, count=40000)
    live.join(120)
    got = ids(live)
    assert len(got) == 40000 and got == sorted(set(got))
    assert requests.get(d.base + "/livez", timeout=harness.TIMEOUT).status_code == 200
    for c in stalled[:10]:
        c.close()
    # One of the stalled wakes up, far behind the ring: it is served from the database, with nothing left out.
    seen = read_ids(stalled[10], 30000)
    assert d.metric("danmakud_stream_lapped_total") > 0
    s.pause()
    harness.all_written(d)
    assert all_ids(d, seen[0])[:len(seen)] == seen
    for c in stalled[10:]:
        c.close()


def test_too_many_streams(sim, danmakud):
    d = danmakud("--max-streams", "3")
    held = [requests.get(d.base + "/api/v1/events/stream", stream=True, timeout=harness.TIMEOUT) for _ in range(3)]
    r = d.get("/api/v1/events/stream")
    assert r.status_code == 503 and r.json()["code"] == "too_many_streams" and "Retry-After" in r.headers
    for h in held:
        h.close()
