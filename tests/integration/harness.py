"""The real parts of an integration test: PostgreSQL, the simulated upstream, danmakud. Everything on loopback or unix
sockets, every port free, every process stopped by its own id."""
import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter

import psycopg
import requests

try:
    import recorder
except ImportError:
    recorder = None

BUILD = os.environ.get("DANMAKUD_BUILD") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "dev")
DANMAKUD = os.path.abspath(os.path.join(BUILD, "server/app/danmakud"))
SIM = os.path.abspath(os.path.join(BUILD, "tests/sim/danmakud-sim"))
RECORDED_LINES = 200  # of a stream, for the contract
TIMEOUT = float(os.environ.get("DANMAKUD_TEST_TIMEOUT", "180"))  # nobody waits that long but a test that fails


LOGS = {}  # path -> what it is: the logs of what the running test has started, shown when it fails


def log_tails(n=40):
    """(title, text) of each log."""
    for path, title in list(LOGS.items()):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                yield f"{title} {path}", "".join(f.readlines()[-n:])
        except OSError as e:
            yield title, str(e)


def wait_for(what, check, timeout=TIMEOUT, every=0.05):
    """Polls check() until it is true; its value. Fails naming what was waited for."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:.0f} s for: {what}")
        time.sleep(every)


def pg_bin(name):
    for version in sorted(os.listdir("/usr/lib/postgresql"), key=int, reverse=True):
        path = f"/usr/lib/postgresql/{version}/bin/{name}"
        if os.path.exists(path):
            return path
    raise AssertionError(f"no PostgreSQL program {name}")


class Postgres:
    """A cluster of its own in a short temporary directory, on a unix socket; as `postgres` when the tests run as root."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="dmpg", dir="/tmp")
        self.demote = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.demote = (user.pw_uid, user.pw_gid)
        self.data = os.path.join(self.dir, "data")
        self._run([pg_bin("initdb"), "-D", self.data, "-U", "dm", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"])
        self.proc = None
        self.start()

    def _popen_args(self):
        if self.demote:
            return {"user": self.demote[0], "group": self.demote[1], "extra_groups": []}
        return {}

    def _run(self, argv):
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=self.dir, **self._popen_args())

    def start(self):
        log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = subprocess.Popen(
            [pg_bin("postgres"), "-D", self.data, "-k", self.dir, "-c", "listen_addresses=", "-c", "fsync=off",
             "-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "log_checkpoints=off"],
            stdout=log, stderr=log, cwd=self.dir, start_new_session=True, **self._popen_args())
        log.close()
        wait_for("PostgreSQL to accept connections", self._accepts)

    def tail(self, n=30):
        try:
            with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-n:])
        except OSError as e:
            return str(e)

    def _accepts(self):
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def url(self, database):
        return f"host={self.dir} user=dm dbname={database}"

    def connect(self, database, **kw):
        return psycopg.connect(self.url(database), autocommit=True, **kw)

    def create(self, database):
        with self.connect("postgres") as c:
            c.execute(f'CREATE DATABASE "{database}"')

    def drop(self, database):
        with self.connect("postgres") as c:
            c.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def stop(self, how=signal.SIGINT):
        """SIGINT fast, SIGQUIT immediate."""
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(how)
            self.proc.wait(TIMEOUT)

    def _each_process(self, which):
        """The postmaster and its children; each of them is a process group of its own."""
        pids = [self.proc.pid]
        with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children", encoding="ascii") as f:
            pids += [int(p) for p in f.read().split()]
        for pid in pids:
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                pass

    def hang(self):
        """Answers nothing, accepts nothing, refuses nothing."""
        self._each_process(signal.SIGSTOP)

    def unhang(self):
        self._each_process(signal.SIGCONT)

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.unhang()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)


MARKS = itertools.count(1)


def _base(d):
    return d.base() if callable(d.base) else d.base


def _metric(d, name, headers):
    total = 0.0
    for line in requests.get(_base(d) + "/metrics", headers=headers, timeout=TIMEOUT).text.splitlines():
        if line.startswith(name) and line[len(name)] in " {":
            total += float(line.rsplit(" ", 1)[1])
    return total


def all_read(d, sim, rooms=None, headers=None):
    """What the simulator has handed out is decoded and published: a last message has come through each connection. (What it
    calls delivered may be in a socket's buffer still, unread.)"""
    text = f"mark {next(MARKS)}"
    left = list(rooms or sim.rooms)
    said = 0.0

    def seen(room):
        r = requests.get(f"{_base(d)}/api/v1/rooms/{room}/events", params={"kinds": "danmaku", "limit": 20}, headers=headers,
                         timeout=TIMEOUT)
        return r.status_code == 200 and any(e["text"] == text for e in r.json()["data"])

    def check():
        nonlocal said, left
        if time.monotonic() > said + 10:  # again to who was not connected
            said = time.monotonic()
            for room in left:
                sim.command(f"say {room} {text}")
        left = [room for room in left if not seen(room)]
        return not left
    wait_for(f"{text!r} in all rooms of {d.__class__.__name__}", check)
    sim.command("wait idle")


def all_written(d, sim=None, rooms=None, headers=None):
    """What is published is in the database; with `sim`, all that it has handed out."""
    if sim is not None:
        all_read(d, sim, rooms, headers)
    # In this order: what is on its way to the disk is not published yet.
    wait_for("held purchases to be told", lambda: _metric(d, "danmakud_spool_holds", headers) == 0)
    wait_for("the spool's queue to be empty", lambda: _metric(d, "danmakud_spool_queued_bytes", headers) == 0)
    wait_for("everything to be in the database", lambda: _metric(d, "danmakud_unwritten_events", headers) == 0)


class Program:
    """A program of ours that prints one ready line on stdout; its stderr goes to a file."""

    def __init__(self, argv, directory, ready, env=None):
        self.log = os.path.join(directory, f"{os.path.basename(argv[0])}-{time.monotonic_ns()}.log")
        self.out = self.log + ".out"
        self.stdout = open(self.out, "wb")
        self.stderr = open(self.log, "wb")
        LOGS[self.log] = os.path.basename(argv[0])
        self.proc = subprocess.Popen(argv, stdout=self.stdout, stderr=self.stderr, env=env, stdin=subprocess.DEVNULL)
        self.ready_line = None
        try:
            self.ready_line = wait_for(f"{argv[0]} to say {ready!r}", lambda: self._find(ready))
        except AssertionError:
            self.proc.kill()
            self.proc.wait()
            raise AssertionError(f"{' '.join(argv)} did not get ready:\n{self.tail()}") from None

    def _find(self, text):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            for line in f:
                if text in line and line.endswith("\n"):
                    return line.strip()
        if self.proc.poll() is not None:
            raise AssertionError(f"ended with {self.proc.returncode}:\n{self.tail()}")
        return None

    def tail(self, n=60):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-n:])

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def running(self):
        return self.proc.poll() is None

    def signal(self, which):
        self.proc.send_signal(which)

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self, timeout=TIMEOUT):
        """SIGTERM; the exit code."""
        if self.running():
            self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(timeout)
        self.stdout.close()
        self.stderr.close()
        return code


class Danmakud(Program):
    def __init__(self, directory, url, *args, recorder=None, **env):
        self.args = (directory, url, args, env)
        full = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
        if "--config" not in args:
            full["DANMAKUD_DISCOVER"] = "off"  # tests that want it say so by flag
        full.update(env)
        super().__init__([DANMAKUD, "run", "--database-url", url, "--data-dir", directory, "--listen", "127.0.0.1:0",
                          "--connect-interval", "5ms", *args], directory, "danmakud ready: ", env=full)
        self.base = self.ready_line.split(": ", 1)[1]
        self.session = recorder(self.base) if recorder else requests.Session()
        self.recorded = recorder is not None

    def get(self, path, **kw):
        kw.setdefault("timeout", TIMEOUT)
        if self.recorded:
            return self.session.get(path, **kw)
        return self.session.get(self.base + path, **kw)

    def json(self, path, **params):
        r = self.get(path, params=params)
        assert r.status_code == 200, f"{r.status_code} {r.text}"
        return r.json()

    def metric(self, name):
        """Sum over the labels of a metric."""
        total = 0.0
        for line in requests.get(self.base + "/metrics", timeout=TIMEOUT).text.splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total


class Stream(threading.Thread):
    """Reads a live stream until closed or `count` data events came; collects (event, id, data)."""

    def __init__(self, base, query="", last_event_id=None, count=None, headers=None):
        super().__init__(daemon=True)
        h = dict(headers or {})
        if last_event_id is not None:
            h["Last-Event-ID"] = str(last_event_id)
        self.response = requests.get(f"{base}/api/v1/events/stream{query}", stream=True, headers=h, timeout=TIMEOUT)
        self.events = []
        self.control = []
        self.text = []
        self.count = count
        self.error = None
        self.start()

    def run(self):
        try:
            kind, ident, data = None, None, []
            for line in self.response.iter_lines(chunk_size=None):
                line = line.decode()
                self.text.append(line)
                if line == "":
                    if data:
                        body = json.loads("\n".join(data))
                        (self.events if ident is not None else self.control).append((kind, ident, body))
                        if self.count is not None and len(self.events) >= self.count:
                            break
                    kind, ident, data = None, None, []
                elif line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("id: "):
                    ident = line[4:]
                elif line.startswith("data: "):
                    data.append(line[6:])
        except (requests.RequestException, OSError, AttributeError, ValueError) as e:
            self.error = e
        finally:
            self.response.close()
            if recorder and self.response.status_code == 200:
                recorder.record("GET", self.response.url, 200, self.response.headers,
                                sse="\n".join(self.text[:RECORDED_LINES]))

    def close(self):
        """Cuts the connection under the reader."""
        try:
            raw = self.response.raw
            sock = socket.fromfd(raw.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        except (OSError, ValueError, AttributeError):
            pass
        self.join(TIMEOUT)


class Sim(Program):
    """The simulated upstream, with its control socket and its record."""

    KINDS = {"danmaku": 1, "gift": 3, "superchat": 6, "live": 14}

    def __init__(self, directory, *args):
        self.record_path = os.path.join(directory, f"record-{time.monotonic_ns()}.jsonl")
        self.control_dir = tempfile.mkdtemp(prefix="dmctl", dir="/tmp")  # a unix socket's path must be short
        path = os.path.join(self.control_dir, "ctl")
        super().__init__([SIM, "--port", "0", "--control", f"unix:{path}", "--record", self.record_path, *args],
                         directory, "danmakud-sim ready ")
        words = dict(w.split("=", 1) for w in self.ready_line.split()[2:])
        self.hosts = words["tcp"].split(",")
        first, last = words["rooms"].split("-")
        self.rooms = list(range(int(first), int(last) + 1))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT * 4)
        self.socket.connect(path)
        self.answers = self.socket.makefile("r", encoding="utf-8")

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        answer = self.answers.readline().rstrip("\n")
        assert answer.startswith("ok"), f"{line}: {answer}"
        return json.loads(answer[3:]) if len(answer) > 3 and answer[3] in "[{" else answer[3:]

    def args_for_rooms(self, rooms=None):
        return ("--rooms", ",".join(str(r) for r in rooms or self.rooms), "--upstream-hosts", ",".join(self.hosts),
                "--max-rooms", str(len(self.rooms) + 10))

    def stats(self):
        return self.command("stats")

    def done(self):
        """All of --count is handed out."""
        return self.stats()["left"] == 0

    def pause(self):
        """No new events; what is under way is handed over."""
        self.command("pause")
        self.command("wait idle")

    def resume(self):
        self.command("resume")

    def fault(self, rule):
        self.command("fault " + rule)

    def lines(self):
        self.command("ack-state")  # makes the record complete so far
        with open(self.record_path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def recorded(self, acked=None):
        """Multiset of (room, kind, text, name, value) handed out, repeats counted once. With `acked`, a dictionary from
        connection to sequence number: only what the client's kernel had acknowledged."""
        seen, out = set(), Counter()
        for e in self.lines():
            if e["t"] != "event" or e.get("hostile"):
                continue
            key = (e["room"], e["kind"], e["key"])
            if key in seen or (acked is not None and e["seq"] > acked.get(e["conn"], 0)):
                continue
            seen.add(key)
            out[(e["room"], self.KINDS[e["kind"]], e["text"], e["uname"], e["value"])] += 1
        return out

    def n_recorded(self):
        return sum(self.recorded().values())

    def stop(self, timeout=TIMEOUT):
        code = super().stop(timeout)
        shutil.rmtree(self.control_dir, ignore_errors=True)
        return code
