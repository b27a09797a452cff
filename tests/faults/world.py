"""Plays a schedule: PostgreSQL, the simulated upstream, danmakud, the faults; then lets all of it recover."""
import os
import random
import shutil
import subprocess
import signal
import time

import harness
import spoolfile
from schedule import CLOCK_LIMIT_S, DISK_BYTES
from service import Clock, Live, Service

NEW_MINUTE_S = 130  # a step forward by this closes all minutes


class World:
    def __init__(self, schedule, postgres, directory):
        self.schedule = schedule
        self.pg = postgres
        self.dir = directory
        self.database = f"f{os.getpid()}_{schedule.seed}_{random.randrange(1 << 30)}"
        self.data_dir = os.path.join(directory, "data")
        self.spool_dir = os.path.join(self.data_dir, "spool")
        self.mounted = False
        self.pg_hung = False
        self.pg_down = False
        self.filler = os.path.join(self.data_dir, "filler")
        self.clock_steps = []      # (time, seconds the clock is off since)
        # What happened, for the comparison:
        self.kills = []            # (from, to, "kill" | "power" | "term")
        self.in_spool = set()      # ids that were on disk when a process was killed
        self.cut = set()           # ids that a power loss took from the spool
        self.not_durable = []      # [from, to] of our time: the disk was full
        self.log = open(os.path.join(directory, "harness.log"), "w", encoding="utf-8")
        self.began = time.monotonic()

    def say(self, text):
        self.log.write(f"{time.time():.3f} {time.monotonic() - self.began:7.2f} {text}\n")
        self.log.flush()

    def open(self):
        os.mkdir(self.data_dir)
        if self.schedule.needs_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", self.data_dir], check=True)
            self.mounted = True
        if self.pg.proc.poll() is not None:
            self.pg.start()
        self.pg.create(self.database)
        self.sim = harness.Sim(self.dir, *self.schedule.sim_args)
        self.clock = Clock(self.dir)
        self.service = Service(self.dir, self.data_dir, self.pg.url(self.database),
                               [*self.schedule.args, *self.sim.args_for_rooms()], self.clock)
        self.sim.command("pause")
        self.service.start()
        self.service.wait_ready()
        self.live = Live(self.service)
        harness.wait_for("the live feed", lambda: self.live.connects > 0)
        self.sim.command("resume")

    # --- faults ---

    def do_kill(self, _):
        if self.service.proc is None:
            return
        self.service.kill()
        self.kills.append((time.time(), time.time(), "kill"))
        self.in_spool |= spoolfile.event_ids(self.spool_dir)

    def do_power(self, _):
        if self.service.proc is None or self.service.base() is None:
            return
        existed = {os.path.basename(p) for p in spoolfile.segments(self.spool_dir)}
        synced = self.service.synced()
        existed |= set(synced)
        self.service.kill()
        self.kills.append((time.time(), time.time(), "power"))
        before = spoolfile.event_ids(self.spool_dir)
        for line in spoolfile.lose_power(self.spool_dir, existed, synced, self.schedule.rng):
            self.say("  " + line)
        after = spoolfile.event_ids(self.spool_dir)
        self.in_spool |= after
        self.cut |= before - after

    def do_term(self, _):
        if self.service.proc is None:
            return
        began = time.time()
        self.service.stop()
        self.kills.append((began, time.time(), "term"))
        self.in_spool |= spoolfile.event_ids(self.spool_dir)

    def do_start(self, _):
        if self.service.proc is None:
            self.service.start()

    def do_pg_stop(self, _):
        if not self.pg_down and not self.pg_hung:
            self.pg.stop(signal.SIGQUIT)
            self.pg_down = True

    def do_pg_start(self, _):
        if self.pg_down:
            self.pg.start()
            self.pg_down = False

    def do_pg_hang(self, _):
        if not self.pg_down and not self.pg_hung:
            self.pg.hang()
            self.pg_hung = True

    def do_pg_unhang(self, _):
        if self.pg_hung:
            self.pg.unhang()
            self.pg_hung = False

    def do_pg_terminate(self, _):
        if not self.pg_down and not self.pg_hung:
            with self.pg.connect("postgres") as c:
                c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                          "AND application_name LIKE 'danmakud%%'", (self.database,))

    def do_upstream(self, command):
        self.sim.command(command.replace("ROOM", str(self.schedule.rng.choice(self.sim.rooms))))

    def do_client(self, _):
        self.live.cut()

    def do_disk_fill(self, _):
        if not self.mounted or os.path.exists(self.filler):
            return
        self.not_durable.append([time.time(), None])
        try:
            with open(self.filler, "wb", buffering=0) as f:
                for size in (65536, 512):
                    while f.write(bytes(size)) == size:
                        pass
        except OSError:
            pass

    def do_disk_free(self, _):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def do_clock(self, seconds):
        if self.clock.usable and abs(self.clock.offset_s + seconds) < CLOCK_LIMIT_S:
            self.clock.step(seconds)
            self.clock_steps.append((time.time(), self.clock.offset_s))

    def id_ms(self, when_ms):
        """The time in the id of an event of that moment: the process's clock, and what it was set back from."""
        newest, off = 0, 0
        for t, after in self.clock_steps:
            if t * 1000 > when_ms:
                break
            newest = max(newest, (t + off) * 1000)
            off = after
        return max(newest, when_ms + off * 1000)

    def clock_ms(self, when_ms):
        """The process's clock at that moment, if it never saw what it was set back from."""
        return when_ms + next((after for t, after in reversed(self.clock_steps) if t * 1000 <= when_ms), 0) * 1000

    def ended_by(self, began_s, ended_s):
        """How the process ended that had the connection; None if the connection ended before, or never."""
        return next((k for begin, end, k in self.kills if ended_s is not None and began_s <= end and ended_s >= begin - 0.5), None)

    def _watch_disk(self):
        """Durable again: the disk has room and the spool says that it writes."""
        if self.not_durable and self.not_durable[-1][1] is None and not os.path.exists(self.filler):
            try:
                if self.service.base() is not None and "danmakud_spool_state 2" not in self.service.metrics():
                    self.not_durable[-1][1] = time.time()
            except (OSError, TypeError):
                pass

    def play(self):
        began = time.monotonic()
        for at, action, argument in self.schedule.steps + [(self.schedule.seconds, "end", None)]:
            while (left := began + at - time.monotonic()) > 0:
                time.sleep(min(left, 0.25))
                self.service.check_alive()
                self._watch_disk()
            self.say(f"{action} {'' if argument is None else argument}")
            if action != "end":
                getattr(self, "do_" + action)(argument)

    # --- afterwards ---

    def recover(self):
        self.do_disk_free(None)
        self.do_pg_unhang(None)
        self.do_pg_start(None)
        self.do_start(None)
        self.service.wait_ready()
        self.sim.command("fault clear")
        self.sim.command(f"wait rooms {self.schedule.rooms}")
        harness.wait_for("the spool to work", lambda: self.service.metric("danmakud_spool_state") == 0)
        self._watch_disk()
        self.say("recovered")

    def drain(self):
        """No new events; a last message in each room, which is in the database once everything before it is."""
        self.sim.pause()
        self.sim.command("wait idle")
        harness.wait_for("no event to be refused", lambda: self.service.metric("danmakud_spool_state") == 0)
        for room in self.sim.rooms:
            self.sim.command(f"say {room} the last one")
        self.sim.command("wait idle")
        def last_ones():
            self.service.check_alive()
            rows = self.query("SELECT count(DISTINCT room_id) FROM event WHERE kind = 1 AND text = 'the last one'")
            return rows[0][0] == len(self.sim.rooms)
        harness.wait_for("the last message of each room in the database", last_ones, 120)
        harness.wait_for("everything written", lambda: self.service.metric("danmakud_unwritten_events") == 0)
        newest = self.query("SELECT max(id) FROM event")[0][0]
        harness.wait_for("the live feed to end with the newest event",
                         lambda: self.live.last_id is not None and int(self.live.last_id) >= newest)
        # The pool comes back later than the writer, and sessions wait for it.
        harness.wait_for("the database to be asked again", lambda: self.service.metric("danmakud_db_up") == 1)
        wanted = """SELECT NOT EXISTS (SELECT FROM (SELECT DISTINCT ON (room_id) room_id, extra->>'state' = 'start' AS live FROM event
            WHERE kind = 14 ORDER BY room_id, id DESC) AS e WHERE live <> EXISTS (SELECT FROM session AS s WHERE s.room_id = e.room_id
            AND s.end_id IS NULL))"""
        until = time.monotonic() + 10
        while time.monotonic() < until and not self.query(wanted)[0][0]:
            time.sleep(0.2)  # the comparison says what is wrong
        self.say("drained")

    def close_minutes(self):
        """All minutes are over: false where the clock cannot be set."""
        if not self.clock.usable:
            return False
        newest = self.query("SELECT (max(id) >> 22) + 1577836800000 FROM event")[0][0]
        ahead = newest / 1000 - (time.time() + self.clock.offset_s)
        self.clock.step(int(max(0, ahead)) + NEW_MINUTE_S)
        harness.wait_for("minutes to be rolled up",
                         lambda: self.query("SELECT minute FROM rollup_mark")[0][0] > newest // 60000)
        self.say("minutes closed")
        return True

    def query(self, sql, *args):
        with self.pg.connect(self.database) as c:
            return c.execute(sql, args).fetchall()

    def close(self, keep):
        for what in (lambda: self.live.close(), lambda: self.service.kill() if self.service.proc else None, self.sim_stop,
                     lambda: self.do_pg_unhang(None), lambda: self.do_pg_start(None)):
            try:
                what()
            except (AttributeError, AssertionError, OSError, subprocess.SubprocessError) as e:
                self.say(f"closing: {e!r}")
        try:
            if keep:
                self._keep_database()
            self.pg.drop(self.database)
        except Exception as e:  # noqa: BLE001 whatever PostgreSQL says, the verdict stands already
            self.say(f"database not dropped: {e!r}")
        if self.mounted:
            if keep:
                shutil.copytree(self.spool_dir, os.path.join(self.dir, "spool"), dirs_exist_ok=True)
            subprocess.run(["umount", "-l", self.data_dir], check=False)
        self.log.close()

    def sim_stop(self):
        self.sim.stop()

    def _keep_database(self):
        for table in ("event", "coverage_span", "writer_mark", "rollup_mark", "room_minute", "parked_event"):
            with self.pg.connect(self.database) as c, open(os.path.join(self.dir, table + ".csv"), "wb") as f:
                with c.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT WITH (FORMAT csv, HEADER)") as rows:
                    for block in rows:
                        f.write(block)
