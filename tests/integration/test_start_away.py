"""A start while the database is away: the process collects, and nothing is missing, doubled or open to anybody afterwards."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import harness
import psycopg
import pytest
import requests
import test_unknown
from harness import wait_for
from test_upstream import args_for, web  # noqa: F401

try:
    import recorder
except ImportError:
    recorder = None

EPOCH_MS = 1577836800000
EARLY = "collecting although the database has not answered"
CLOSED = ["/api/v1/rooms", "/api/v1/events", "/api/v1/events/stream", "/api/v1/stats", "/api/v1/capabilities", "/api/v1/admin/upstream",
          "/metrics"]
EDGE_MS = 3000  # a sign of life comes each second; two processes on a busy machine


def state(program, name):
    """A number of the state that SIGUSR1 logs: metrics need a scope."""
    found = re.compile(r'msg="?state"? .*?\b' + name + r"=(\d+)")

    def lines():
        with open(program.log, encoding="utf-8", errors="replace") as f:
            return found.findall(f.read())
    n = len(lines())
    program.proc.send_signal(signal.SIGUSR1)
    return int(wait_for("its state", lambda: lines()[n:])[0])


class Away:
    """A process that is started while the database is away."""

    def __init__(self, directory, url, *args):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
        self.log = os.path.join(directory, f"away-{time.monotonic_ns()}.log")
        self.out = self.log + ".out"
        with open(self.log, "wb") as log, open(self.out, "wb") as out:
            self.proc = subprocess.Popen([harness.DANMAKUD, "run", "--database-url", url, "--data-dir", directory, "--discover", "off",
                                          "--listen", "127.0.0.1:0", "--connect-interval", "5ms", "--store-kinds", "all", *args],
                                         env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    def text(self):
        assert self.proc.poll() is None, self.ended()
        return self.ended()

    def ended(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def collects(self):
        """Its URL, once it collects."""
        def url():
            found = re.search(EARLY + r'.* url=(\S+)', self.text())
            return found.group(1) if found else None
        self.base = wait_for("it to collect", url)
        return self

    def ready(self):
        def url():
            self.text()
            with open(self.out, encoding="utf-8") as f:
                found = re.search(r"danmakud ready: (\S+)\n", f.read())
                return found.group(1) if found else None
        self.base = wait_for("it to be ready", url)
        return self

    metric = harness.Danmakud.metric  # once it is ready: they need a scope

    def is_live(self, n):
        wait_for(f"{n} rooms connected", lambda: state(self, "connected") == n)
        return self

    def receives(self, n):
        wait_for("events without a database", lambda: state(self, "ring_events") > n)
        return self

    def json(self, path, **params):
        r = requests.get(self.base + path, params=params, timeout=harness.TIMEOUT)
        assert r.status_code == 200, r.text
        return r.json()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
        return self.proc.wait(harness.TIMEOUT)


@pytest.fixture
def away(postgres, database, tmp_path):
    started = []

    def start(*args):
        a = Away(str(tmp_path), postgres.url(database), *args)
        started.append(a)
        return a

    yield start
    if postgres.proc.poll() is not None:
        postgres.start()
    for a in started:
        if a.proc.poll() is None:
            a.stop()
        for bad in ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "assertion failed"):
            assert bad not in a.ended(), a.ended()


def ts(ident):
    return (ident >> 22) + EPOCH_MS


def ran_before(sim, danmakud, *args, rate="200", rooms="4"):
    """A simulator, and a data directory that was used."""
    s = sim("--rooms", rooms, "--rate", rate)
    d = danmakud("--store-kinds", "all", *s.args_for_rooms(), *args)
    wait_for("all rooms connected", lambda: d.metric("danmakud_rooms_connected") == len(s.rooms))
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 20)
    return s, d


def written(a, s):
    s.pause()
    wait_for("everything received", lambda: a.metric("danmakud_unwritten_events") == 0)
    wait_for("the last ones written", lambda: a.metric("danmakud_spool_state") == 0)


def test_before_meanwhile_and_after(sim, danmakud, away, rows, postgres, tmp_path):
    s, d = ran_before(sim, danmakud)
    live = harness.Stream(d.base)
    postgres.stop(signal.SIGQUIT)
    wait_for("events of the outage", lambda: len(live.events) > 300)
    d.kill()
    killed_ms = time.time() * 1000
    last_id = live.events[-1][1]
    a = away(*s.args_for_rooms()).collects()
    a.is_live(len(s.rooms))
    a.receives(300)
    # Killed once more, still without the database.
    waiting = tmp_path / "coverage.waiting"
    wait_for("the gap to be noted", lambda: waiting.exists() and str((1 << 63) - 1) not in waiting.read_text())
    a.kill()
    again_ms = time.time() * 1000
    b = away(*s.args_for_rooms()).collects()
    b.is_live(len(s.rooms))
    b.receives(300)
    postgres.start()
    b.ready()
    later = harness.Stream(b.base, last_event_id=last_id)
    wait_for("events of afterwards", lambda: b.metric("danmakud_rows_written_total") > 1000)
    written(b, s)
    assert not b.metric("danmakud_events_lost_total")
    stored = {r[0]: r for r in rows("SELECT id, room_id, text FROM event")}
    assert rows("SELECT count(*) FROM event")[0][0] == len(stored)
    newest = max(stored)
    wait_for("the stream to come to the end", lambda: later.events and int(later.events[-1][1]) == newest)
    seen = [(int(i), e) for _, i, e in live.events + later.events]
    assert [i for i, _ in seen] == sorted({i for i, _ in seen})
    assert {i: (e["room_id"], e["text"]) for i, e in seen} == \
        {i: (r[1], r[2]) for i, r in stored.items() if i >= seen[0][0]}
    # What each connection has delivered is there, but for what was on its way when the process was killed.
    assert rows("SELECT count(*) FROM event WHERE kind IN (1, 3, 6, 14)")[0][0] <= s.n_recorded()
    ends = {x["conn"]: x["at_ms"] for x in s.lines() if x["t"] == "end"}
    texts = {(r[1], r[2]) for r in stored.values() if r[2]}
    for x in s.lines():
        if x["t"] == "event" and x["text"] and not any(abs(ends.get(x["conn"], 0) - k) < EDGE_MS and x["at_ms"] > k - 500
                                                      for k in (killed_ms, again_ms)):
            assert (x["room"], x["text"]) in texts, x
    for room in s.rooms:
        gaps_are_the_times_without_a_connection(s, rows, room, 3)
    live.close()
    later.close()


def joined(spans):
    out = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], b)
        else:
            out.append([a, b])
    return out


def gaps_are_the_times_without_a_connection(s, rows, room, n):
    spans = rows("SELECT from_ms, to_ms FROM coverage_span WHERE room_id = %s AND source = 0", room)
    assert all(b is not None for _, b in spans), spans
    gaps = joined(spans)
    begins = [x["at_ms"] for x in s.lines() if x["t"] == "begin" and x["room"] == room]
    ends = [x["at_ms"] for x in s.lines() if x["t"] == "end" and x["room"] == room]
    assert len(gaps) == len(begins) == n, (gaps, begins, ends)
    assert all(abs(g[1] - b) < EDGE_MS for g, b in zip(gaps, begins)), (gaps, begins)
    assert all(abs(g[0] - e) < EDGE_MS for g, e in zip(gaps[1:], ends)), (gaps, ends)


def test_nobody_may_read_before_the_tokens_are_known(sim, danmakud, away, postgres):
    s, d = ran_before(sim, danmakud)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms()).collects()
    client = recorder.Recorder(a.base) if recorder else requests.Session()
    for method, path in [("GET", p) for p in CLOSED] + [("POST", "/api/v1/stream-tickets"), ("DELETE", f"/api/v1/rooms/{s.rooms[0]}")]:
        for headers in ({}, {"Authorization": "Bearer dmk_" + "a" * 43}):
            r = client.request(method, path if recorder else a.base + path, headers=headers, timeout=harness.TIMEOUT)
            assert (r.status_code, r.json()["code"]) == (503, "starting"), path
            assert r.headers["Content-Type"].startswith("application/problem+json") and int(r.headers["Retry-After"]) > 0
    assert requests.get(a.base + "/livez", timeout=5).status_code == 200
    r = requests.get(a.base + "/readyz", timeout=5)
    assert (r.status_code, r.json()["code"]) == (503, "not_ready")
    postgres.start()
    a.ready()
    assert requests.get(a.base + "/api/v1/rooms", timeout=5).status_code == 200
    assert a.stop() == 0


def test_a_new_data_directory_waits(sim, danmakud, away, rows, postgres, tmp_path):
    s, d = ran_before(sim, danmakud)
    assert d.stop() == 0
    postgres.stop(signal.SIGQUIT)
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "rooms.known").unlink()
    a = away(*s.args_for_rooms())
    wait_for("the reason", lambda: "nothing is collected until the database answers" in a.text() and "is new to this node" in a.text())
    assert a.stop() == 0
    assert EARLY not in a.ended()


@pytest.mark.parametrize("text", ["", "danmakud-rooms 1 0 0\nend 1\n", "danmakud-rooms 1 0 0\n1 2 x\nend 1\n", "danmakud-rooms 1 5 0\nend 0\n"],
                         ids=["empty", "short", "garbage", "another_node"])
def test_rooms_that_cannot_be_read(sim, danmakud, away, postgres, tmp_path, text):
    s, d = ran_before(sim, danmakud)
    d.kill()
    postgres.stop(signal.SIGQUIT)
    (tmp_path / "rooms.known").write_text(text)
    a = away(*s.args_for_rooms())
    wait_for("the reason", lambda: "nothing is collected until the database answers" in a.text())
    postgres.start()
    a.ready()
    wait_for("all rooms connected", lambda: a.metric("danmakud_rooms_connected") == len(s.rooms))


def patch(d, room, admin, **change):
    return requests.patch(f"{d.base}/api/v1/rooms/{room}", json=change, headers=admin, timeout=harness.TIMEOUT)


def test_rooms_as_they_were(sim, danmakud, away, rows, postgres, database, tmp_path):
    """Paused stays paused, what came over HTTP comes; then the table has the last word."""
    s = sim("--rooms", "5", "--rate", "50")
    configured, added = s.rooms[:4], s.rooms[4]
    admin = test_unknown.admin(postgres, database)
    d = danmakud(*s.args_for_rooms(configured), record=False)
    assert requests.post(d.base + "/api/v1/rooms", json={"room": added}, headers=admin, timeout=30).status_code == 201
    assert patch(d, s.rooms[0], admin, paused=True).status_code == 200
    wait_for("4 rooms connected", lambda: state(d, "connected") == 4)
    wait_for("it to be noted", lambda: all(str(r) in (tmp_path / "rooms.known").read_text() for r in s.rooms))
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms(configured)).collects()
    a.is_live(4)
    assert state(a, "rooms") == 4
    a.kill()
    # Somebody else has changed the table meanwhile.
    postgres.start()
    with postgres.connect(database) as c:
        assert c.execute("UPDATE room SET state = 'paused' WHERE room_id = %s", (s.rooms[2],)).rowcount == 1
        assert c.execute("UPDATE room SET state = 'active' WHERE room_id = %s", (s.rooms[0],)).rowcount == 1
    postgres.stop(signal.SIGQUIT)
    b = away(*s.args_for_rooms(configured)).collects()
    b.is_live(4)
    postgres.start()
    b.ready()
    wait_for("the table's rooms", lambda: state(b, "rooms") == 4 and state(b, "connected") == 4)
    told = {r["room_id"]: r["state"] for r in requests.get(b.base + "/api/v1/rooms", headers=admin, timeout=30).json()["data"]}
    assert told == {s.rooms[0]: "active", s.rooms[1]: "active", s.rooms[2]: "paused", s.rooms[3]: "active", added: "active"}
    assert rows("SELECT state FROM room WHERE room_id = %s", s.rooms[2]) == [("paused",)]


def test_sessions_of_that_time(sim, danmakud, away, rows, postgres):
    s, d = ran_before(sim, danmakud, "--session-merge", "1s", rate="1", rooms="3")
    s.pause()
    ends, begins, both = s.rooms

    def live(room, key):
        s.command(f"emit {room} " + json.dumps({"cmd": "LIVE", "live_key": key, "roomid": room, "live_time": int(time.time()),
                                                "live_platform": "pc", "sub_session_key": f"{key}sub_time:1"}))

    def off(room):
        s.command(f"emit {room} " + json.dumps({"cmd": "PREPARING", "roomid": str(room), "msg_id": f"m{room}{time.time_ns()}"}))
    with_before = "SELECT count(*) FROM session WHERE room_id = %s"
    for room in (ends, both):
        live(room, "1")
        wait_for("the session", lambda r=room: rows(with_before, r)[0][0] > 0)
    before = {room: rows(with_before, room)[0][0] for room in s.rooms}
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms(), "--session-merge", "1s").collects()
    a.is_live(3)
    published = state(a, "ring_events")
    off(ends)
    live(begins, "2")
    off(both)
    wait_for("them", lambda: state(a, "ring_events") >= published + 3)
    time.sleep(2.5)  # longer than the pause that is none, whose end upstream tells in whole seconds: time itself is what is tested
    live(both, "3")
    wait_for("it", lambda: state(a, "ring_events") >= published + 4)
    a.kill()
    b = away(*s.args_for_rooms(), "--session-merge", "1s").collects()
    postgres.start()
    b.ready()
    newest = "SELECT end_id IS NULL FROM session WHERE room_id = %s ORDER BY start_id DESC LIMIT 1"
    wait_for("the one that ended", lambda: rows(newest, ends) == [(False,)])
    wait_for("the one that began", lambda: rows(newest, begins) == [(True,)])
    wait_for("the second one", lambda: rows(with_before, both)[0][0] == before[both] + 1 and rows(newest, both) == [(True,)])
    assert rows(with_before, ends)[0][0] == before[ends]
    assert rows("SELECT count(*) FROM session WHERE room_id = %s AND end_id IS NULL", both) == [(1,)]


def test_ids_that_the_database_has_passed(sim, danmakud, away, rows, postgres, database):
    """The data directory of another time: what came before that was known is lost, and told."""
    s, d = ran_before(sim, danmakud)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms()).collects()
    a.receives(200)
    a.kill()
    postgres.start()
    with postgres.connect(database) as c:
        taken = int((time.time() * 1000 + 60000 - EPOCH_MS)) << 22
        assert c.execute("UPDATE writer_mark SET last_id = %s", (taken,)).rowcount == 1
    postgres.stop(signal.SIGQUIT)
    b = away(*s.args_for_rooms()).collects()
    b.receives(200)
    postgres.start()
    b.ready()
    assert "the database knows newer ids of this node" in b.text()
    assert b.metric("danmakud_events_lost_total") > 200
    wait_for("gaps of all rooms", lambda: rows("SELECT count(DISTINCT room_id) FROM coverage_span WHERE source = 1 AND cause = 'ids_taken'")
             == [(len(s.rooms),)])
    first = b.metric("danmakud_rows_written_total")
    wait_for("events of afterwards", lambda: b.metric("danmakud_rows_written_total") > first + 200)
    written(b, s)
    lost = rows("SELECT sum(n) FROM coverage_span WHERE source = 1")[0][0]
    assert lost == b.metric("danmakud_events_lost_total")
    assert rows("SELECT count(*) FROM event WHERE id > %s", taken)[0][0] + lost >= b.metric("danmakud_events_published_total")


def test_stopped_while_it_is_away(sim, danmakud, away, rows, postgres):
    s, d = ran_before(sim, danmakud)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms()).collects()
    a.receives(200)
    s.pause()
    published = state(a, "ring_events")
    assert a.stop() == 0
    b = away(*s.args_for_rooms()).collects()
    b.is_live(len(s.rooms))
    postgres.start()
    b.ready()
    wait_for("all of it", lambda: b.metric("danmakud_rows_written_total") >= published)
    for room in s.rooms:
        gaps_are_the_times_without_a_connection(s, rows, room, 3)


def test_a_public_address_without_a_token(sim, danmakud, away, postgres):
    s, d = ran_before(sim, danmakud)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms(), "--listen", "0.0.0.0:0").collects()
    a.receives(50)
    postgres.start()
    assert wait_for("it to refuse", lambda: a.proc.poll()) == 2
    assert "refusing to serve a public address" in a.ended()


def test_a_reload_that_was_asked_for_meanwhile(sim, danmakud, away, postgres):
    s, d = ran_before(sim, danmakud)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    a = away(*s.args_for_rooms()).collects()
    a.proc.send_signal(signal.SIGHUP)
    wait_for("it to say so", lambda: "read again once the start is through" in a.text())
    assert "configuration reloaded" not in a.text()
    postgres.start()
    a.ready()
    wait_for("the reload", lambda: "configuration reloaded" in a.text())


def mute_server():
    """Takes the login of every client and answers nothing else, as a pooler does whose server is away."""
    def serve(c):
        with c:
            head = c.recv(8)
            while head[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # TLS or GSS wanted: no
                c.sendall(b"N")
                head = c.recv(8)
            c.recv(int.from_bytes(head[:4], "big") - 8)
            c.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            while c.recv(65536):
                pass

    def accept():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    s = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    return s


def test_a_server_that_answers_nothing(sim, danmakud, away):
    s, d = ran_before(sim, danmakud)
    d.kill()
    with mute_server() as mute:
        a = away(*s.args_for_rooms(), "--database-url", f"host=127.0.0.1 port={mute.getsockname()[1]} user=x dbname=x").collects()
        wait_for("it to try again", lambda: a.text().count("the server does not answer") > 0)
        n = state(a, "ring_events")
        a.receives(n + 100)
        assert a.stop() == 0
        assert "the database has not answered" in a.ended()


def test_stopped_while_the_schema_waits(sim, danmakud, away, postgres, database):
    s, d = ran_before(sim, danmakud)
    d.kill()
    with psycopg.connect(postgres.url(database)) as other:
        other.execute("SELECT pg_advisory_lock(7236812340041)")  # that of migrations
        a = away(*s.args_for_rooms()).collects().receives(50)
        assert a.stop() == 0
        assert "the database has not answered" in a.ended()
        b = away(*s.args_for_rooms()).collects()
    b.ready()


def test_both_the_clock_and_the_database_are_waited_for(web, danmakud, away, postgres):  # noqa: F811
    s = web("--rooms", "4", "--rate", "50")
    d = danmakud(*args_for(s))
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 20)
    postgres.stop(signal.SIGQUIT)
    d.kill()
    s.command("http-fault kind=date,ms=900000,times=0")
    a = away(*args_for(s))
    told = "not starting yet"
    wait_for("the clock to be waited for", lambda: told in a.text())
    n = a.text().count(told)
    postgres.start()
    wait_for("it to be waited for again", lambda: a.text().count(told) > n + 1)
    s.command("http-fault clear")
    a.ready()
    wait_for("events", lambda: a.metric("danmakud_rows_written_total") > 20)
    assert a.stop() == 0
