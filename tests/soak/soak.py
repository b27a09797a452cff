"""A day of bad luck in minutes: many rooms, found and connected through the simulator's web side, while connections are reset
and closed, hosts refuse, logins fail, tokens expire, HTTP is slow or broken, and some rooms are silent for a while.

Afterwards, and nothing is excused:
- every event that a socket of the simulator had acknowledged is in PostgreSQL, and nothing is there twice;
- the gaps that GET /rooms/{room}/coverage declares are the times without an authenticated connection, one for one. Two processes on a busy machine
  do not agree better than LINK_MS about when something was: each end of a gap may be that much off, and a connection that ended
  within BRIEF_MS of its login may not have been noticed.
"""
import collections
import random
import time

import harness
import record
import verify

LINK_MS = 5000
BRIEF_MS = 500
SECOND = 1.0


class Soak:
    def __init__(self, postgres, directory, database, rooms, rate, seed, discover=False, extra=()):
        self.rng = random.Random(seed)
        self.rooms, self.pg, self.database = rooms, postgres, database
        self.began_ms = int(time.time() * 1000)
        self.n = collections.Counter()
        hosts = [x for kind in ("--listen", "--ws", "--wss") for _ in range(2) for x in (kind, "127.0.0.1:0")]
        self.sim = harness.Sim(
            directory, *hosts, "--tls-dir", directory + "/tls", "--http", "0", "--https", "--rooms", str(rooms), "--rate", str(rate),
            "--seed", str(seed), "--full", "--stall-rooms", "5", "--token-ttl-ms", "120000")
        self.words = dict(w.split("=", 1) for w in self.sim.ready_line.split()[2:])
        url = self.words["http"]
        which = ("--discover", f"top:{rooms}") if discover else ("--rooms", ",".join(map(str, self.sim.rooms)))
        if discover:
            self.sim.command("live *")
        self.sim.command("pause")
        self.service = harness.Danmakud(
            directory, postgres.url(database), *which, "--max-rooms", str(rooms), "--upstream-url", url, "--upstream-api-url", url,
            "--upstream-www-url", url, "--upstream-ca-file", self.words["ca"], "--upstream-rate", "60000", "--upstream-burst",
            "1000", "--connect-interval", "2ms", "--backoff-max", "3s", "--log-level", "warn", *extra)

    def connect(self, timeout=300):
        began = time.monotonic()
        harness.wait_for(f"{self.rooms} rooms to be connected", lambda: self.sim.stats()["rooms_ready"] >= self.rooms, timeout)
        self.n["connected after ms"] = int((time.monotonic() - began) * 1000)
        self.sim.command("resume")

    def _do(self, name, command):
        self.n[name] += 1
        self.sim.command(command)

    def _room(self):
        return self.rng.choice(self.sim.rooms)

    def _turn(self, second):
        """What goes wrong in this second."""
        for _ in range(max(1, self.rooms // 200)):
            self._do("resets", f"reset {self._room()}")
        self._do("closes", f"drop {self._room()}")
        if second % 5 == 1:
            room = self._room()
            self._do("refused logins", f"fault kind=bad_auth,room={room},times=1")
            self._do("resets", f"reset {room}")
        if second % 7 == 2:
            room = self._room()
            self._do("silent hosts", f"fault kind=silence,room={room},times=1")
            self._do("resets", f"reset {room}")
        if second % 10 == 3:
            self._do("hosts down", f"fault kind=refuse,host={self.rng.randrange(6)},for_ms=3000")
        if second % 10 == 6:
            self._do("http faults", "http-fault kind=status,path=getDanmuInfo,times=1")
        if second % 10 == 8:
            self._do("http faults", "http-fault kind=slow,ms=1500,path=getDanmuInfo,times=1")
            self.sim.command("http-fault clear")
        if second % 30 == 20:
            self._do("tokens expired", "expire-tokens")

    def play(self, seconds):
        began = time.monotonic()
        for second in range(int(seconds)):
            while (left := began + second * SECOND - time.monotonic()) > 0:
                time.sleep(min(left, 0.2))
            assert self.service.running(), self.service.tail()
            self._turn(second)

    def settle(self, timeout=120):
        """Everybody is connected again, nothing is under way; then danmakud ends as asked."""
        self.sim.command("fault clear")
        self.sim.command("http-fault clear")
        harness.wait_for("all rooms to be back", lambda: self.sim.stats()["rooms_ready"] >= self.rooms, timeout)
        self.sim.pause()
        harness.all_read(self.service, self.sim)
        self.until_ms = int(time.time() * 1000)
        self.stats = self.sim.stats()
        self.resident_mb = self._resident_mb()
        self.lines = self.sim.lines()
        self.gaps = {room: self._told_gaps(room) for room in self.sim.rooms}
        assert self.service.stop() == 0, self.service.tail()

    def _resident_mb(self):
        with open(f"/proc/{self.service.proc.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS:"))

    def _told_gaps(self, room):
        """[(from, to)] of GET /rooms/{room}/coverage, neighbours as one; not the time before the room was collected."""
        data = self.service.json(f"/api/v1/rooms/{room}/coverage", **{"from": self.began_ms - 1000, "to": self.until_ms})["data"]
        spans = [(i["from_ms"], i["to_ms"]) for i in data["intervals"] if i["state"] == "gap" and i["cause"] != "not_collected"]
        out = []
        for a, b in spans:
            if out and a <= out[-1][1]:
                out[-1] = (out[-1][0], b)
            else:
                out.append((a, b))
        return out

    def query(self, sql):
        with self.pg.connect(self.database) as c:
            return c.execute(sql).fetchall()

    def connections(self):
        """room -> [(from, to or None)] of its authenticated connections."""
        ended = {x["conn"]: x["at_ms"] for x in self.lines if x["t"] == "end"}
        out = collections.defaultdict(list)
        for x in self.lines:
            if x["t"] == "begin":
                out[x["room"]].append((x["at_ms"], ended.get(x["conn"])))
        return out

    def gap_problems(self, conns):
        """Each room's gaps, one for one: between its connections, and before the first."""
        out = []
        for room in self.sim.rooms:
            have = self.gaps[room]
            all_of_them = sorted((a, float("inf") if b is None else b) for a, b in conns.get(room, []))
            noticed = [(a, b) for a, b in all_of_them if b - a >= BRIEF_MS]
            for pairs in (all_of_them, noticed):
                ends = [have[0][0] if have else 0] + [b for _, b in pairs if b < self.until_ms]
                want = list(zip(ends, [a for a, _ in pairs] + [float("inf")]))
                if len(want) == len(have):
                    break
            off = [max(abs(a - c), 0 if b == d else abs(b - d)) for (a, b), (c, d) in zip(have, want)]
            self.n["largest deviation of a gap, ms"] = max([self.n["largest deviation of a gap, ms"], *off])
            if len(have) != len(want) or max(off, default=0) > LINK_MS:
                out.append(f"room {room}: the gaps {have} are declared, those without a connection are {want}")
        return out

    def problems(self):
        """What is not as it should be, in words; fills n."""
        kinds = set(verify.KINDS.values())
        must = record.delivered(self.lines, kinds)
        rows = self.query("SELECT id, room_id, kind, uname, text, sent_off_ms, value_mcny, item_id, num FROM event")
        have = verify.stored_tuples(rows)
        lost = record.tuples(must) - have
        over = have - record.tuples(record.events(self.lines, kinds))
        conns = self.connections()
        out = [f"{sum(lost.values())} delivered events are missing: {list(lost)[:3]}"] if lost else []
        out += [f"{sum(over.values())} rows are doubled or invented: {list(over)[:3]}"] if over else []
        out += [f"{len(rows) - len({r[0] for r in rows})} ids are stored twice"] if len({r[0] for r in rows}) != len(rows) else []
        lost_spans = self.query(verify.LOST)
        out += [f"{len(lost_spans)} losses are declared"] if lost_spans else []
        out += self.gap_problems(conns)
        self.n["events delivered"] = len(record.rows(must))
        self.n["connections"] = sum(map(len, conns.values()))
        self.n["gaps declared"] = sum(map(len, self.gaps.values()))
        self.n["logins refused"] = self.stats["auth_failed"]
        self.n["with expired tokens"] = self.stats["auth_expired"]
        self.n["http requests"] = self.stats["http"]
        return out

    def close(self):
        for program in (self.service, self.sim):
            if program.running():
                program.kill()
