"""danmakud as a process that is killed and started again at any moment, and a client that follows its live feed through
all of it."""
import glob
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import requests

import harness

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
SANITIZED = b"__asan_init"


def is_sanitized(path):
    with open(path, "rb") as f:
        return SANITIZED in f.read()


class Clock:
    """A clock that can be set: danmakud alone sees it."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "clock")
        self.offset_s = 0
        self.usable = os.path.exists(FAKETIME) and not is_sanitized(harness.DANMAKUD)
        self._write()

    def _write(self):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"{self.offset_s:+d}s\n")
        os.replace(self.path + ".new", self.path)

    def step(self, seconds):
        self.offset_s += seconds
        self._write()

    def env(self):
        if not self.usable:
            return {}
        return {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Service:
    """One data directory, one database, any number of lives."""

    def __init__(self, directory, data_dir, url, args, clock):
        self.directory = directory
        self.data_dir = data_dir
        self.argv = [harness.DANMAKUD, "run", "--database-url", url, "--data-dir", data_dir, "--listen", "127.0.0.1:0",
                     "--connect-interval", "5ms", "--store-kinds", "all", "--session-merge", "1s", *args]
        self.clock = clock
        self.proc = None
        self.life = 0
        self.kills = 0
        self.stops = 0
        self.base_url = None
        self.lock = threading.Lock()

    def log_path(self, life=None):
        return os.path.join(self.directory, f"danmakud-{life or self.life}.log")

    def start(self):
        """Does not wait: with the database away it is not ready for long."""
        assert self.proc is None
        self.life += 1
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DANMAKUD_", "LD_PRELOAD"))}
        env.update(self.clock.env())
        harness.LOGS[self.log_path()] = "danmakud"
        with open(self.log_path() + ".out", "wb") as out, open(self.log_path(), "wb") as log:
            self.proc = subprocess.Popen(self.argv, stdout=out, stderr=log, env=env, stdin=subprocess.DEVNULL)
        self.base_url = None

    def base(self):
        """Its URL once it has said that it is ready, else None."""
        with self.lock:
            if self.base_url is None and self.proc is not None:
                try:
                    with open(self.log_path() + ".out", encoding="utf-8") as f:
                        found = re.search(r"danmakud ready: (\S+)\n", f.read())
                        self.base_url = found.group(1) if found else None
                except FileNotFoundError:
                    pass
            return self.base_url

    def check_alive(self):
        assert self.proc is None or self.proc.poll() is None, \
            f"danmakud ended by itself with {self.proc.returncode}, see {self.log_path()}"

    def wait_ready(self, timeout=300):
        def ready():
            self.check_alive()
            return self.base()
        return harness.wait_for("danmakud to be ready", ready, timeout)

    def _gone(self):
        with self.lock:
            pid = self.proc.pid
            self.proc = None
            self.base_url = None
        for path in glob.glob(f"/dev/shm/*faketime*_{pid}"):
            os.unlink(path)

    def kill(self):
        self.check_alive()
        self.proc.kill()
        self.proc.wait()
        self.kills += 1
        self._gone()

    def stop(self, timeout=300):
        """SIGTERM. Before it was ready it may die of the signal: it has nothing to save then."""
        self.check_alive()
        was_ready = self.base() is not None
        self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(timeout)
        self.stops += 1
        self._gone()
        with open(self.log_path(), encoding="utf-8", errors="replace") as f:
            told = "stopped with events that are neither in the database nor in the spool" in f.read()
        assert code == 0 or (code == 1 and told) or (not was_ready and code == -signal.SIGTERM), f"SIGTERM: exit {code}"

    def metrics(self):
        return requests.get(self.base() + "/metrics", timeout=120).text

    def metric(self, name):
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def synced(self):
        """Segment -> bytes that survive a power loss; segments that are not in it do whole."""
        found = re.findall(r'danmakud_spool_synced_bytes\{segment="([^"]+)"\} (\d+)', self.metrics())
        return {name: int(n) for name, n in found}

    def logs(self):
        for life in range(1, self.life + 1):
            with open(self.log_path(life), encoding="utf-8", errors="replace") as f:
                yield life, f.read()


class Live(threading.Thread):
    """Follows the live feed: connects again for ever, with the last id it has."""

    def __init__(self, service, last_id=None):
        super().__init__(daemon=True)
        self.service = service
        self.events = []   # (id, our time, data)
        self.control = []  # (event, data)
        self.last_id = last_id
        self.ended = threading.Event()
        self.sock = None
        self.connects = 0
        self.start()

    def run(self):
        while not self.ended.is_set():
            base = self.service.base()
            if base is None:
                self.ended.wait(0.02)
                continue
            try:
                self._follow(base)
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                self.ended.wait(0.02)

    def _follow(self, base):
        c = http.client.HTTPConnection(base.split("//", 1)[1], timeout=60)
        c.connect()
        self.sock = c.sock
        c.request("GET", "/api/v1/events/stream", headers={"Last-Event-ID": self.last_id} if self.last_id else {})
        r = c.getresponse()
        if r.status != 200:
            c.close()
            raise http.client.HTTPException(str(r.status))
        self.connects += 1
        kind = ident = data = None
        while not self.ended.is_set():
            line = r.readline()
            if not line:
                break
            if line == b"\n":
                if data is not None and ident is not None:
                    self.events.append((int(ident), time.time(), data))
                    self.last_id = ident
                elif data is not None:
                    self.control.append((kind, data))
                kind = ident = data = None
            elif line.startswith(b"data: "):
                data = line[6:-1]
            elif line.startswith(b"id: "):
                ident = line[4:-1].decode()
            elif line.startswith(b"event: "):
                kind = line[7:-1].decode()
        c.close()

    def cut(self):
        sock = self.sock
        try:
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.ended.set()
        self.cut()
        self.join(30)

    def bodies(self):
        """id -> event, parsed."""
        return {i: json.loads(data) for i, _, data in self.events}


class Tail:
    """A client of the live feed that only writes to a file: quick enough for any rate."""

    def __init__(self, base, directory, name, last_id=None):
        self.path = os.path.join(directory, name)
        head = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
        with open(self.path, "wb") as out:
            self.proc = subprocess.Popen(["curl", "-sN", *head, base + "/api/v1/events/stream"], stdout=out, stdin=subprocess.DEVNULL)

    def size(self):
        return os.path.getsize(self.path)

    def last_id(self):
        with open(self.path, "rb") as f:
            f.seek(max(0, self.size() - 65536))
            found = re.findall(rb"\nid: (\d+)\n", f.read())
        return int(found[-1]) if found else 0

    def ids(self):
        with open(self.path, "rb") as f:
            return [int(line[4:]) for line in f if line.startswith(b"id: ")]

    def close(self):
        """Whether it was still connected."""
        there = self.proc.poll() is None
        self.proc.terminate()
        self.proc.wait()
        return there
