"""What is missing is told: the intervals in state gap are those without an authenticated connection, or with dropped events."""
import os
import signal
import subprocess
import time

import pytest
import requests

import harness
from harness import Stream, wait_for

SLACK_MS = 5000  # between what two processes on a busy machine call the same moment
ENV = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
QUICK = ("--heartbeat-interval", "300ms", "--backoff-max", "500ms")


def now_ms():
    return int(time.time() * 1000)


def connections(sim):
    """room -> [[from, to or None]] of its authenticated connections, in order."""
    out = {room: [] for room in sim.rooms}
    open_ones = {}
    for x in sim.lines():
        if x["t"] == "begin":
            open_ones[x["conn"]] = [x["at_ms"], None]
            out[x["room"]].append(open_ones[x["conn"]])
        elif x["t"] == "end" and x["conn"] in open_ones:
            open_ones[x["conn"]][1] = x["at_ms"]
    return out


def expected_gaps(conns, begin_ms):
    """Between the connections of one room, since it was added."""
    gaps, at = [], begin_ms
    for a, b in conns:
        if at is not None:
            gaps.append((at, a))
        at = b
    return gaps + ([(at, None)] if at is not None else [])


def stored(rows, room):
    """[(from, to or None, state, cause)] of the view."""
    found = rows("SELECT from_ms, lead(from_ms) OVER (ORDER BY from_ms), state, cause FROM coverage WHERE room_id = %s "
                 "ORDER BY 1", room)
    return [tuple(r) for r in found]


def gaps_of(rows, room):
    """Neighbours joined: why a gap goes on is not asked here."""
    out = []
    for a, b, state, _ in stored(rows, room):
        if state != "gap":
            continue
        if out and out[-1][1] == a:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def assert_gaps(rows, sim, rooms=None):
    conns = connections(sim)
    for room in rooms or sim.rooms:
        have = gaps_of(rows, room)
        want = expected_gaps(conns[room], have[0][0])
        assert len(have) == len(want), f"room {room}: {have}, but its connections were {conns[room]}"
        for (a, b), (c, d) in zip(have, want):
            assert abs(a - c) < SLACK_MS and (b is None) == (d is None) and abs((b or 0) - (d or 0)) < SLACK_MS, (have, want)


def assert_told(d, rows, room):
    """The API's intervals are those of the view, in a range that both know."""
    body = d.json(f"/api/v1/rooms/{room}/coverage", since="1h")["data"]
    intervals = body["intervals"]
    assert [i["from_ms"] for i in intervals[1:]] == [i["to_ms"] for i in intervals[:-1]]
    assert intervals[0]["from_ms"] == body["from_ms"] and intervals[-1]["to_ms"] == body["to_ms"]
    assert intervals[0]["cause"] == "not_collected" and intervals[0]["state"] == "gap"
    have = [(i["from_ms"], i["state"], i["cause"]) for i in intervals[1:]]
    assert have == [(a, state, cause) for a, _, state, cause in stored(rows, room) if a < body["to_ms"]]
    assert body["ms"]["ok"] == sum(i["to_ms"] - i["from_ms"] for i in intervals if i["state"] == "ok")
    assert abs(sum(body["share"].values()) - 1) < 1e-9
    return intervals


def settled(d, rows, sim):
    """All rooms are connected, and the ledger says so."""
    def check():
        return all(gaps_of(rows, r) and gaps_of(rows, r)[-1][1] is not None for r in sim.rooms) and all(
            r["coverage"] == {"state": "ok", "cause": "", "since_ms": None} for r in d.json("/api/v1/rooms")["data"])
    wait_for("every room to be covered", check)


def told(stream, room, cause):
    return [(g["from_ms"], g["to_ms"]) for kind, _, g in list(stream.control)
            if kind == "gap" and g["room_id"] == room and g["cause"] == cause]


def test_gaps_are_the_times_without_a_connection(sim, danmakud, rows):
    s = sim("--rooms", "4", "--rate", "200")
    d = danmakud(*QUICK, "--heartbeat-timeout", "60s", *s.args_for_rooms())
    settled(d, rows, s)
    a, b, c, _ = s.rooms
    for _ in range(3):
        n = len(stored(rows, a))
        s.command(f"reset {a}")
        wait_for("the gap of a reset", lambda: len(stored(rows, a)) >= n + 2)
        settled(d, rows, s)
    s.command(f"drop {b}")
    wait_for("the gap of a close", lambda: len(stored(rows, b)) >= 4)
    settled(d, rows, s)
    # Nobody answers for a while: one gap, whatever the tries failed of.
    s.fault(f"kind=bad_auth,room={c},times=2")
    s.command(f"reset {c}")
    wait_for("the gap of a refused room", lambda: len(stored(rows, c)) >= 4)
    settled(d, rows, s)
    assert_gaps(rows, s)
    assert [cause for _, _, _, cause in stored(rows, a)] == ["connecting", ""] + ["peer_reset", ""] * 3
    assert [cause for _, _, _, cause in stored(rows, b)] == ["connecting", "", "peer_closed", ""]
    intervals = assert_told(d, rows, c)
    assert intervals[-2]["cause"] == "peer_reset"
    assert intervals[-2]["detail"] == {"failed_tries": 2, "last_failure": "auth_rejected"}
    for room in s.rooms:
        assert_told(d, rows, room)
    assert d.metric("danmakud_gaps_merged_total") == 0


def test_silence_begins_with_the_last_sign_of_life(sim, danmakud, rows):
    s = sim("--rooms", "1", "--rate", "20")
    d = danmakud("--heartbeat-interval", "200ms", "--heartbeat-timeout", "4s", "--backoff-max", "300ms", *s.args_for_rooms())
    settled(d, rows, s)
    room = s.rooms[0]
    before = now_ms()
    s.fault(f"kind=no_heartbeat,room={room}")
    s.pause()
    wait_for("the gap", lambda: "heartbeat_timeout" in [c for _, _, _, c in stored(rows, room)])
    settled(d, rows, s)
    # The fault holds: another may have followed.
    a, b = next((a, b) for a, b, _, cause in stored(rows, room) if cause == "heartbeat_timeout")
    assert before - SLACK_MS < a and b - a > 3000, (before, a, b)


def test_killed_and_started_again(sim, danmakud, rows):
    s = sim("--rooms", "3", "--rate", "300")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    d.kill()
    wait_for("the connections to end", lambda: all(c[-1][1] is not None for c in connections(s).values()))
    down = now_ms()
    wait_for("some time without danmakud", lambda: now_ms() > down + 2 * SLACK_MS)
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    assert_gaps(rows, s)
    for room in s.rooms:
        assert [cause for _, _, _, cause in stored(rows, room)] == ["connecting", "", "down", "connecting", ""]
        assert_told(d, rows, room)
    # And asked to stop: from then on, not from when the next start notices.
    assert d.stop() == 0
    assert all(stored(rows, room)[-1][2:] == ("gap", "stopped") for room in s.rooms)
    d = danmakud(*QUICK, *s.args_for_rooms(s.rooms[:2]))
    wait_for("the rooms to be back", lambda: all(stored(rows, room)[-1][2] == "ok" for room in s.rooms[:2]))
    assert stored(rows, s.rooms[2])[-1][2:] == ("gap", "stopped"), "nobody collects it any more"
    assert d.json(f"/api/v1/rooms/{s.rooms[2]}")["data"]["coverage"] is None
    assert_told(d, rows, s.rooms[2])


def test_database_away(sim, danmakud, rows, postgres):
    """Gaps of an outage are in memory, told from there, and stored when it is over."""
    s = sim("--rooms", "2", "--rate", "200")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    begin = now_ms()
    wait_for("the range to begin after the start", lambda: now_ms() > begin + 100)
    postgres.stop(signal.SIGQUIT)
    wait_for("503", lambda: d.get("/readyz").status_code == 503)

    def told(room):
        return [i["cause"] for i in d.json(f"/api/v1/rooms/{room}/coverage", **{"from": begin})["data"]["intervals"]]
    for n in range(1, 4):
        for room in s.rooms:
            s.command(f"reset {room}")
        try:
            wait_for("the gaps", lambda: all(told(r) == ["", "peer_reset"] * n + [""] for r in s.rooms))
        except AssertionError as e:
            raise AssertionError({r: told(r) for r in s.rooms}) from e
    assert d.get(f"/api/v1/rooms/{s.rooms[0]}/coverage?since=1h").status_code == 503, "what was before is not known"
    postgres.start()
    wait_for("the gaps to be stored", lambda: all(
        [c for _, _, _, c in stored(rows, r)] == ["connecting", ""] + ["peer_reset", ""] * 3 for r in s.rooms))
    assert_gaps(rows, s)
    for room in s.rooms:
        assert_told(d, rows, room)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_ended_while_the_database_is_away(sim, danmakud, rows, postgres, tmp_path, how):
    """What could not be stored is on disk, and stored by the next start."""
    s = sim("--rooms", "2", "--rate", "200")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a, b = s.rooms
    postgres.stop(signal.SIGQUIT)
    wait_for("503", lambda: d.get("/readyz").status_code == 503)
    begin = now_ms()
    for n in range(1, 4):
        s.command(f"reset {a}")
        wait_for("the gaps", lambda: [i["cause"] for i in d.json(
            f"/api/v1/rooms/{a}/coverage", **{"from": begin - 1})["data"]["intervals"]].count("peer_reset") == n)
        wait_for("the room", lambda: d.json(f"/api/v1/rooms/{a}")["data"]["coverage"]["state"] == "ok")
    waiting = tmp_path / "coverage.waiting"
    if how == "kill":
        wait_for("the file", lambda: waiting.exists() and waiting.read_text().endswith("end 3\n"))
        d.kill()
    else:
        assert d.stop() == 0
        assert waiting.read_text().endswith("end 5\n"), "the stop of both rooms belongs to it"
    wait_for("the connections to end", lambda: all(c[-1][1] is not None for c in connections(s).values()))
    postgres.start()
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    assert [c for _, _, _, c in stored(rows, a)] == ["connecting", ""] + ["peer_reset", ""] * 3 + (
        ["down", "connecting", ""] if how == "kill" else ["stopped", "connecting", ""])
    assert_gaps(rows, s)
    wait_for("nothing to wait", lambda: not waiting.exists())


@pytest.mark.parametrize("text", ["nonsense", "1 0 5 9 0 0 0 peer_reset -\nend 2\n", "1 0 5 9 0 0 0 peer_reset -\n",
                                  "1 9 5 9 0 0 0 x -\nend 1\n", "1 0 9 5 0 0 0 x -\nend 1\n", "\0\xff\n" * 1000, "end 0\n"])
def test_a_damaged_file_is_left_out(sim, danmakud, rows, tmp_path, text):
    s = sim("--rooms", "1", "--rate", "20")
    (tmp_path / "coverage.waiting").write_text(text)
    d = danmakud(*QUICK, *s.args_for_rooms(), record=False)
    settled(d, rows, s)
    assert ("left out" in d.log_text()) == (text != "end 0\n")
    assert rows("SELECT count(*) FROM coverage_span WHERE from_ms < 10")[0][0] == 0
    wait_for("the file to go", lambda: not (tmp_path / "coverage.waiting").exists())


def test_paused_rooms(sim, danmakud, rows, postgres, database):
    s = sim("--rooms", "2", "--rate", "100")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a, b = s.rooms
    token = subprocess.run([harness.DANMAKUD, "token", "add", "boss", "--scopes=admin,read,stream", "--database-url",
                            postgres.url(database)], capture_output=True, text=True, timeout=harness.TIMEOUT, check=True, env=ENV).stdout.strip()
    auth = {"Authorization": f"Bearer {token}"}
    wait_for("the token", lambda: d.get("/api/v1/rooms", headers=auth).status_code == 200)

    def pause(paused):
        r = requests.patch(f"{d.base}/api/v1/rooms/{a}", json={"paused": paused}, headers=auth, timeout=harness.TIMEOUT)
        assert r.status_code == 200, r.text
    stream = Stream(d.base, f"?rooms={a}", headers=auth)
    pause(True)
    wait_for("the pause", lambda: stored(rows, a)[-1][2:] == ("gap", "paused"))
    wait_for("the stream to be told", lambda: told(stream, a, "paused"))
    stream.close()
    r = d.get(f"/api/v1/events?rooms={a}&since=1m", headers=auth).json()["completeness"]
    assert (r["gaps"][-1]["cause"], r["gaps"][-1]["to"]) == ("paused", None)
    r = d.get("/api/v1/events?since=1m&limit=1000", headers=auth).json()["completeness"]
    assert "paused" not in [g["cause"] for g in r["gaps"]], "of all rooms: nobody wants this one"
    pause(False)
    wait_for("the room to be back", lambda: [c for _, _, _, c in stored(rows, a)] == ["connecting", "", "paused", "connecting", ""])
    assert [c for _, _, _, c in stored(rows, b)] == ["connecting", ""]
    assert_gaps(rows, s)


def test_rooms_that_come_and_go(sim, danmakud, rows, tmp_path):
    s = sim("--rooms", "2", "--rate", "100")
    a, b = s.rooms
    ini = tmp_path / "d.ini"
    ini.write_text(f"rooms = {a},{b}\n")
    d = danmakud("--config", str(ini), *QUICK, "--upstream-hosts", ",".join(s.hosts))
    settled(d, rows, s)
    ini.write_text(f"rooms = {a}\n")
    d.signal(signal.SIGHUP)
    wait_for("the room to be removed", lambda: stored(rows, b)[-1][2:] == ("gap", "removed"))
    ini.write_text(f"rooms = {a},{b}\n")
    d.signal(signal.SIGHUP)
    settled(d, rows, s)
    assert [c for _, _, _, c in stored(rows, b)] == ["connecting", "", "removed", "connecting", ""]
    assert_told(d, rows, b)
    assert_gaps(rows, s)


def test_answers_say_what_is_missing(sim, danmakud, rows, postgres):
    s = sim("--rooms", "2", "--rate", "200")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a, b = s.rooms
    wait_for("a full page of each room", lambda: all(d.json(f"/api/v1/rooms/{r}/events", limit=20)["page"]["has_more"]
                                                     for r in s.rooms))
    def settled_page(path, **params):
        """What is on its way is told as pending: for a moment after a start."""
        return wait_for("an answer with nothing pending", lambda: (
            lambda r: None if r["completeness"]["pending"] else r)(d.json(path, **params)))
    newest = settled_page("/api/v1/events", limit=1)
    assert newest["completeness"] == {"complete": True, "pending": False, "gaps": [], "truncated": False}
    begin = int(newest["data"][0]["ts_ms"])
    s.command("rate 20")
    s.command(f"reset {a}")
    wait_for("the gap to be over", lambda: len(stored(rows, a)) >= 4)
    settled(d, rows, s)
    (x, y), = [(x, y) for x, y, _, cause in stored(rows, a) if cause == "peer_reset"]
    wait_for("events after it", lambda: d.json(f"/api/v1/rooms/{a}/events", limit=1)["data"][0]["ts_ms"] > y)
    s.pause()  # a page of 1000 reaches back to the beginning

    def gaps(path, **params):
        if path.endswith("/events"):
            params.setdefault("limit", 1000)
        c = settled_page(path, **params)["completeness"]
        assert not c["truncated"] and c["complete"] == (not c["gaps"])
        return [(g["room_id"], g["from_ms"], g["to_ms"], g["cause"]) for g in c["gaps"]]
    told = [(a, x, y, "peer_reset")]
    assert gaps(f"/api/v1/rooms/{a}/events", **{"from": begin}) == told
    assert gaps(f"/api/v1/rooms/{b}/events", **{"from": begin}) == []
    assert gaps("/api/v1/events", **{"from": begin, "order": "asc", "limit": 1000}) == told
    assert gaps("/api/v1/events", rooms=f"{a},{b}", **{"from": begin}) == told
    assert gaps("/api/v1/events", rooms=f"{a}", **{"from": begin, "to": x}) == []
    assert gaps("/api/v1/events", rooms=f"{a}", **{"from": x + 1, "to": y - 1}) == [(a, x + 1, y - 1, "peer_reset")] or y - x < 3
    assert gaps(f"/api/v1/rooms/{a}/events", **{"from": y}) == []
    # A page answers for what it looked at: one that ends behind the gap does not know it.
    assert gaps(f"/api/v1/rooms/{a}/events", limit=1) == []
    # The same from a process that has forgotten, and of what was before the room was known.
    first = stored(rows, a)[0][0]
    d.stop()
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    assert gaps(f"/api/v1/rooms/{a}/events", **{"from": begin, "to": y + 1}) == told
    assert gaps("/api/v1/events", **{"from": begin, "to": y + 1}) == told
    assert gaps(f"/api/v1/rooms/{a}/events", **{"from": first - 5000, "to": first}) == [(a, first - 5000, first, "not_collected")]
    assert gaps("/api/v1/events", **{"from": first - 5000, "to": first}) == [], "of all rooms there was none"
    assert {g[3] for g in gaps("/api/v1/events", **{"from": begin})} >= {"peer_reset", "stopped"}
    assert told[0] in gaps(f"/api/v1/rooms/{a}/stats", **{"from": begin})
    assert gaps("/api/v1/stats") == [] and told[0] in gaps("/api/v1/stats", since="1h")
    s.command("rate 200")
    s.resume()
    seen = d.json(f"/api/v1/rooms/{a}/events", limit=1)["data"][0]["ts_ms"]
    wait_for("new events", lambda: d.json(f"/api/v1/rooms/{a}/events", limit=1)["data"][0]["ts_ms"] > seen)
    # A gap that goes on has no end; while the database is away, what memory does not know is pending.
    s.fault(f"kind=bad_auth,room={b},times=0")
    s.command(f"reset {b}")
    wait_for("the gap of the other room", lambda: d.json(f"/api/v1/rooms/{b}")["data"]["coverage"]["state"] == "gap")
    assert gaps(f"/api/v1/rooms/{b}/events", since="10m")[-1][2:] == (None, "peer_reset")
    postgres.stop(signal.SIGQUIT)
    wait_for("503", lambda: d.get("/readyz").status_code == 503)
    assert d.json(f"/api/v1/rooms/{a}/events", limit=1)["completeness"]["complete"]


def test_live_streams_are_told(sim, danmakud, rows):
    s = sim("--rooms", "2", "--rate", "100")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a, b = s.rooms
    everything, only_b = Stream(d.base), Stream(d.base, f"?rooms={b}")
    wait_for("events on both", lambda: everything.events and only_b.events)
    last = int(everything.events[-1][1])
    s.command(f"reset {a}")
    wait_for("a gap that begins and ends", lambda: len(told(everything, a, "peer_reset")) == 2)
    (x, none), (x2, y) = told(everything, a, "peer_reset")
    assert none is None and x == x2 and y > x
    s.command(f"drop {b}")
    wait_for("the other room's gap", lambda: len(told(only_b, b, "peer_closed")) == 2)
    assert told(only_b, a, "peer_reset") == [], "a room that it does not follow"
    everything.close()
    only_b.close()
    wait_for("the gaps to be stored", lambda: all(len(stored(rows, r)) == 4 for r in s.rooms))
    # Again on resume: from memory, and from the database by a process that knows nothing.
    for again in (False, True):
        if again:
            d.stop()
            d = danmakud(*QUICK, *s.args_for_rooms())
        resumed = Stream(d.base, last_event_id=last)
        wait_for("both gaps", lambda: told(resumed, a, "peer_reset") == [(x, y)] and told(resumed, b, "peer_closed"))
        wait_for("events", lambda: resumed.events)
        assert not resumed.error and resumed.control[0][0] == "hello"
        resumed.close()
        later = Stream(d.base, f"?rooms={a}", last_event_id=int(resumed.events[0][1]) if not again else last + (1 << 22))
        wait_for("events", lambda: len(later.events) > 10)
        later.close()
        assert told(later, b, "peer_closed") == []
    # The stop and the start are part of it.
    resumed = Stream(d.base, last_event_id=last)
    wait_for("the stop", lambda: told(resumed, a, "stopped") and told(resumed, a, "connecting"))
    resumed.close()


def test_less_came_than_there_was(sim, danmakud, rows):
    s = sim("--rooms", "2", "--rate", "300", "--masked", "100")
    d = danmakud(*QUICK, "--coverage-silence", "1s", "--coverage-silence-times", "2", *s.args_for_rooms())
    open_ones = "SELECT DISTINCT source FROM coverage_span WHERE room_id = %s AND to_ms IS NULL"
    wait_for("masked senders and the notice", lambda: all({2, 3} <= {x for x, in rows(open_ones, r)} for r in s.rooms))
    state = d.json("/api/v1/rooms")["data"][0]["coverage"]
    assert state["state"] == "degraded" and state["cause"] in ("masked", "login")
    assert d.json("/api/v1/events", limit=1)["completeness"]["complete"], "less came, but no gap is known"
    assert f'danmakud_coverage_rooms{{state="degraded",cause="{state["cause"]}"}}' in requests.get(d.base + "/metrics").text
    assert_told(d, rows, s.rooms[0])
    a = s.rooms[0]
    s.command(f"live {a} on")
    wait_for("the live", lambda: rows("SELECT count(*) FROM event WHERE kind = 14 AND room_id = %s", a)[0][0])
    n = rows("SELECT count(*) FROM event WHERE kind = 1 AND room_id = %s", a)[0][0]
    wait_for("the usual pace", lambda: rows("SELECT count(*) FROM event WHERE kind = 1 AND room_id = %s", a)[0][0] > n + 60)
    s.pause()
    wait_for("the silence", lambda: 4 in {x for x, in rows(open_ones, a)})
    s.resume()
    wait_for("the end of the silence", lambda: 4 not in {x for x, in rows(open_ones, a)})
    s.command(f"reset {a}")
    wait_for("the notice's connection to end", lambda: rows(
        "SELECT count(*) FROM coverage_span WHERE room_id = %s AND source = 3 AND to_ms IS NOT NULL", a)[0][0] == 1)
    assert d.metric("danmakud_coverage_gap_seconds_total") >= 0


def test_a_gap_makes_every_answer_another_one(sim, danmakud, rows):
    """Whatever carries a validator and says what is missing: a client that has it asks again and gets the gap, and its end."""
    s = sim("--rooms", "2", "--rate", "1")
    s.pause()
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a = s.rooms[0]
    room = f"/api/v1/rooms/{a}"
    paths = ["/api/v1/rooms", room] + [f"{room}/{x}?since=10m" for x in ("coverage", "sessions", "audience", "stats")]

    def tags(known=None):
        got = {}
        for path in paths:
            r = d.get(path, headers={"If-None-Match": known[path]} if known else {})
            assert r.status_code == 200, f"{path} is another answer now"
            got[path] = r.headers["ETag"]
        return got
    before = tags()
    s.fault(f"kind=bad_auth,room={a},times=12")
    s.command(f"reset {a}")
    wait_for("the gap", lambda: d.json(room)["data"]["coverage"]["state"] == "gap")
    during = tags(before)
    wait_for("its end", lambda: d.json(room)["data"]["coverage"]["state"] == "ok")
    tags(during)


def test_what_cannot_be_read_is_told(sim, danmakud, rows):
    """A message without what makes it one, and one of a command that nobody knows: the first is something missing."""
    s = sim("--rooms", "2", "--rate", "1")
    d = danmakud(*QUICK, *s.args_for_rooms())
    settled(d, rows, s)
    a, b = s.rooms
    path = f"/api/v1/rooms/{a}/coverage"
    s.command(f'emit {b} {{"cmd": "NOBODY_KNOWS_THIS", "data": {{}}}}')
    s.command(f'emit {a} {{"cmd": "SEND_GIFT", "data": {{}}}}')
    s.command(f'emit {a} {{"cmd": "SEND_GIFT", "data": 5}}')
    wait_for("both", lambda: d.metric('danmakud_messages_total{status="broken"}') == 2)
    now = d.json(f"/api/v1/rooms/{a}")["data"]["coverage"]
    assert (now["state"], now["cause"]) == ("degraded", "broken")
    assert d.json(f"/api/v1/rooms/{b}")["data"]["coverage"]["state"] == "ok"
    assert d.json(f"/api/v1/rooms/{a}/events", limit=1)["completeness"]["complete"], "less came, but no gap is known"
    s.command(f"reset {a}")  # ends it
    wait_for("its end", lambda: rows("SELECT n FROM coverage_span WHERE room_id = %s AND source = 5 AND to_ms IS NOT NULL", a) == [(2,)])
    told_of = [i for i in d.json(path, since="1h")["data"]["intervals"] if i["cause"] == "broken"]
    assert [i["detail"] for i in told_of] == [{"thrown_away": 2}]
    assert rows("SELECT state, detail ->> 'thrown_away' FROM coverage WHERE room_id = %s AND cause = 'broken'", a) == [("degraded", "2")]


def test_stops_while_the_start_waits_for_the_database(sim, danmakud, rows, postgres, database, tmp_path):
    """What the recovery of coverage was about to begin is not begun by a process that ends."""
    s = sim("--rooms", "1")
    d = danmakud(*s.args_for_rooms())
    settled(d, rows, s)
    d.kill()
    with postgres.connect(database) as c, c.transaction():
        c.execute("LOCK TABLE coverage_span IN ACCESS EXCLUSIVE MODE")
        log = tmp_path / "second.log"
        with open(log, "wb") as out:
            p = subprocess.Popen([harness.DANMAKUD, "run", "--database-url", postgres.url(database), "--data-dir", str(tmp_path),
                                  "--listen", "127.0.0.1:0", *s.args_for_rooms()], env={**ENV, "DANMAKUD_DISCOVER": "off"},
                                 stdout=subprocess.DEVNULL, stderr=out)
            wait_for("the recovery to wait", lambda: rows("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND "
                                                          "wait_event_type = 'Lock' AND query LIKE '%%newest%%'", database))
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(harness.TIMEOUT)
            finally:
                p.kill()
                p.wait()
        assert p.returncode == 0, log.read_text()


def test_a_mark_at_the_end_of_time(sim, danmakud, rows, postgres, database, tmp_path):
    """What the database says is no reason to abort."""
    s = sim("--rooms", "1")
    d = danmakud(*s.args_for_rooms())
    settled(d, rows, s)
    assert d.stop() == 0
    with postgres.connect(database) as c:
        c.execute("INSERT INTO rollup_mark (minute) VALUES (2000000000) ON CONFLICT (one) DO UPDATE SET minute = excluded.minute")
    log = tmp_path / "second.log"
    with open(log, "wb") as out:
        p = subprocess.Popen([harness.DANMAKUD, "run", "--database-url", postgres.url(database), "--data-dir", str(tmp_path),
                              "--listen", "127.0.0.1:0", *s.args_for_rooms()], env={**ENV, "DANMAKUD_DISCOVER": "off"},
                             stdout=subprocess.DEVNULL, stderr=out)
        try:
            wait_for("the refusal", lambda: "table rollup_mark" in log.read_text() or p.poll() is not None)
            assert p.poll() is None, log.read_text()
            p.send_signal(signal.SIGTERM)
            assert p.wait(harness.TIMEOUT) == 0, log.read_text()
        finally:
            p.kill()
            p.wait()
