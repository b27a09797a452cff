"""A schedule: what happens when, decided by a seed alone."""
import random

# kind -> weight. `disk` and `clock` only where they can be done.
KINDS = {"kill": 6, "power": 3, "term": 3, "pg_stop": 5, "pg_hang": 3, "pg_hang_long": 2, "pg_terminate": 4,
         "upstream": 6, "client": 4, "disk": 3, "clock": 4}
UPSTREAM = ["drop *", "reset *", "drop ROOM", "reset ROOM", "fault room=*,kind=truncate,after=5",
            "fault room=*,kind=reset,after=3", "fault room=*,kind=close,after=3,times=3", "fault room=*,kind=dup,after=1,every=7,times=50",
            "fault host=0,kind=refuse,for_ms=1500", "fault room=ROOM,kind=garbage,after=1",
            "fault room=*,kind=drip,for_ms=1000,after=2", "fault room=ROOM,kind=stall,for_ms=2000,after=0"]
EARLY_S = 5  # so long a start waits for the database
CLOCK_LIMIT_S = 200  # a start refuses a clock that is 5 min off the database's
DISK_BYTES = 48 << 20


class Schedule:
    def __init__(self, seed, seconds, skip=()):
        rng = random.Random(seed)
        self.seed = seed
        self.seconds = seconds
        self.rooms = rng.choice([1, 2, 4, 8, 16])
        self.rate = rng.choice([50, 150, 300, 600, 1000])
        self.overflow = rng.random() < 0.15 and "oldest newest".split()[rng.random() < 0.5]
        self.steps = []  # (second, action, argument)
        self.away = False  # danmakud is started while the database is away
        kinds = [k for k in KINDS if k not in skip]
        n = rng.randint(2, 7)
        picked = rng.choices(kinds, [KINDS[k] for k in kinds], k=n)
        if self.overflow:
            self.rate = 1000
            picked.append("pg_stop_long")
        for kind in picked:
            self._add(rng, kind, rng.uniform(0.5, seconds - 1))
        if (away := random.Random(seed + 2)).random() < 0.4:
            self._add_away(away)
        # A clock that runs backwards after a power loss makes ids again that were seen before: nobody can prevent that.
        if any(s[1] == "power" for s in self.steps):
            self.steps = [(t, a, abs(v)) if a == "clock" else (t, a, v) for t, a, v in self.steps]
        self.steps.sort(key=lambda s: s[0])
        self.needs_disk = any(s[1] == "disk_fill" for s in self.steps)
        self.spool_max = (1 << 20) if self.overflow else rng.choice([16 << 20, 32 << 20])
        self.args = ["--ring-events", str(rng.choice([1024, 1024, 4096, 65536])),
                     "--batch-rows", str(rng.choice([20, 200, 5000])),
                     "--batch-age", f"{rng.choice([0, 20, 200])}ms",
                     "--spool-sync", f"{rng.choice([0, 20, 100, 1000])}ms",
                     "--spool-max-bytes", str(self.spool_max),
                     "--spool-segment-bytes", str(rng.choice([65536, 262144, 4 << 20])),
                     "--spool-overflow", self.overflow or "oldest",
                     "--query-timeout", "1s", "--writer-timeout", "1500ms", "--backoff-max", "300ms"]
        self.sim_args = ["--rooms", str(self.rooms), "--rate", str(self.rate), "--seed", str(seed),
                         "--frame-max", str(rng.choice([1, 5, 20]))]
        self.rng = random.Random(seed + 1)  # for what is decided on the way

    def _add_away(self, rng):
        """Ended and started again while the database is away, for long enough to collect without it; perhaps twice."""
        at = rng.uniform(0.5, 3)
        self.away = True
        self.steps += [(at, "pg_stop", None), (at + rng.uniform(0, 1), rng.choice(["kill", "term", "power"]), None)]
        at += rng.uniform(1, 1.5)
        self.steps.append((at, "start", None))
        at += rng.uniform(EARLY_S + 0.2, EARLY_S + 3)
        if rng.random() < 0.5:
            self.steps += [(at, rng.choice(["kill", "term"]), None), (at + 0.2, "start", None)]
            at += rng.uniform(0.5, EARLY_S + 2)
        self.steps.append((min(at + rng.uniform(0, 2), self.seconds), "pg_start", None))

    def _add(self, rng, kind, at):
        def later(seconds):
            return min(at + seconds, self.seconds)
        add = self.steps.append
        if kind in ("kill", "power", "term"):
            add((at, kind, None))
            add((later(rng.choice([0.0, 0.2, 1.0, 2.0])), "start", None))
        elif kind in ("pg_stop", "pg_stop_long"):
            at = 0.5 if kind == "pg_stop_long" else at
            add((at, "pg_stop", None))
            add((later(self.seconds if kind == "pg_stop_long" else rng.uniform(0.2, 6)), "pg_start", None))
        elif kind in ("pg_hang", "pg_hang_long"):
            add((at, "pg_hang", None))
            add((later(rng.uniform(0.1, 1.0) if kind == "pg_hang" else rng.uniform(3, 7)), "pg_unhang", None))
        elif kind == "disk":
            add((at, "disk_fill", None))
            add((later(rng.uniform(1, 5)), "disk_free", None))
        elif kind == "clock":
            add((at, "clock", rng.choice([-90, -30, -5, -1, 1, 5, 30, 90])))
        elif kind == "upstream":
            add((at, kind, rng.choice(UPSTREAM)))
        else:
            add((at, kind, None))

    def text(self):
        return "\n".join([f"seed {self.seed}, {self.seconds} s, {self.rooms} rooms, {self.rate} events/s, "
                          f"overflow {self.overflow or 'no'}", " ".join(self.args), " ".join(self.sim_args)]
                         + [f"{t:6.2f} s  {a} {'' if v is None else v}" for t, a, v in self.steps])
