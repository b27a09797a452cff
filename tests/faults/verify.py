"""Compares what is in PostgreSQL with what the simulator delivered, what a live client saw, and what was in the spool.

Each missing event must have an excuse; what is left over is a loss:

  unread        delivered to the process's kernel, but not in its spool when the process was killed or stopped; these
                are the last ones of their connection: one that is followed by a written one is no longer excused
  power         in the part of the spool that a power loss took
  not durable   published while the disk was full (loudly), and the process was killed before the database had it
  declared      in an interval of lost events that coverage declares, for its room

And the gaps of the link that coverage declares are the times without an authenticated connection, as far as two clocks agree.
"""
import os
import sys
from collections import Counter, defaultdict

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "sim"))
import record  # noqa: E402

KINDS = {1: "danmaku", 3: "gift", 6: "superchat", 14: "live"}
EPOCH_MS = 1577836800000
POWER_S = 2.5    # more than the longest time between two syncs
SLACK_MS = 2500  # between the simulator's time of a line and the time in the event's id
LINK_MS = 5000   # between the end of a connection and the gap that begins; a power loss takes the signs of life with it


class Verdict:
    def __init__(self):
        self.problems = []
        self.events = 0
        self.published = 0
        self.missing = Counter()  # excuse -> events
        self.lost = 0
        self.doubled = 0

    def fail(self, text):
        self.problems.append(text)


def ts_ms(event_id):
    return (event_id >> 22) + EPOCH_MS


LOST = "SELECT room_id, from_ms, to_ms FROM coverage_span WHERE source = 1"
LINK = "SELECT room_id, from_ms, to_ms FROM coverage_span WHERE source = 0"


class Coverage:
    """Intervals (room, from, to or None) in which a room's events may be missing."""

    def __init__(self, rows):
        self.rows = defaultdict(list)
        for room, from_ms, to_ms in sorted(rows, key=lambda r: r[:2]):
            self.rows[room].append((from_ms, float("inf") if to_ms is None else to_ms))

    def declares(self, room, ms, slack=0):
        """Is ms in a gap, or at most `slack` from one?"""
        return any(a - slack <= ms < b + slack for a, b in self.rows[room])

    def joined(self, room):
        """The room's gaps, neighbours and those that overlap as one."""
        out = []
        for a, b in sorted(self.rows[room]):
            if out and a <= out[-1][1]:
                out[-1] = (out[-1][0], max(b, out[-1][1]))
            else:
                out.append((a, b))
        return out


def link_problems(coverage, connections, until_ms, slack=LINK_MS):
    """Where the gaps that are declared are not the times without a connection. connections: room -> [(from, to or None)]."""
    problems = []
    for room, gaps in ((r, coverage.joined(r)) for r in sorted(coverage.rows)):
        conns = sorted((a, float("inf") if b is None else b) for a, b in connections.get(room, []))
        for a, b in gaps:
            for c, d in conns:
                if min(b, d) - max(a, c) > slack:
                    problems.append(f"room {room}: a gap is declared from {a} to {b}, but it was connected from {c} to {d}")
        at = gaps[0][0]
        for c, d in conns + [(until_ms, until_ms)]:
            if c - at > slack and not any(a <= at + slack / 2 and b >= min(c, until_ms) - slack / 2 for a, b in gaps):
                problems.append(f"room {room}: not connected from {at} to {c}, but no gap is declared: {gaps}")
            at = max(at, d)
    return problems + [f"room {r}: connected, but coverage does not know it" for r in connections if r not in coverage.rows]


def stored_tuples(rows, sent_of=None):
    """sent_of(row) for rows that do not know when upstream sent them; else the time in the id."""
    def sent_ms(row):
        if row[5] is None and sent_of is not None:
            return sent_of(row)
        return ts_ms(row[0]) + (row[5] or 0)
    return Counter(record.tuple_of(row[1], KINDS[row[2]], row[3] or "", row[4] or "", sent_ms(row), row[6] or 0, row[7] or 0, row[8] or 0)
                   for row in rows if row[2] in KINDS)


def tuple_of_line(x):
    return record.tuple_of(x["room"], x["kind"], x["uname"], x["text"], x["sent_ms"], x["value"], x["item"], x["num"])


class Comparison:
    def __init__(self, world):
        self.w = world
        self.v = Verdict()
        self.lines = world.sim.lines()
        self.rows = world.query("SELECT id, room_id, kind, uname, text, sent_off_ms, value_mcny, item_id, num FROM event")
        self.ids = {r[0]: r for r in self.rows}
        self.coverage = Coverage(world.query(LOST))
        self.link = Coverage(world.query(LINK))
        self.begun = {x["conn"]: x["at_ms"] / 1000 for x in self.lines if x["t"] == "begin"}
        self.live = world.live.bodies()
        self.declared_ok = bool(world.schedule.overflow) or bool(world.not_durable)

    def _in_degraded(self, when_s):
        """Was the disk full then, and was there a kill afterwards?"""
        return any(a - 0.5 <= when_s <= (b or float("inf")) + 1.0 and any(t >= when_s - 1 for _, t, _ in self.w.kills)
                   for a, b in self.w.not_durable)

    def _declared(self, room, ms, slack=0):
        return self.declared_ok and self.coverage.declares(room, ms, slack)

    def _sent_of(self, row):
        """A repeated LIVE has no time of its own, and the one in its id is that of a clock that may have been set: that of
        the line that came then."""
        near = [(abs(self.w.id_ms(x["at_ms"]) - ts_ms(row[0])), x["sent_ms"]) for x in self.lines
                if x["t"] == "event" and x["room"] == row[1] and x["kind"] == KINDS[row[2]]]
        return min(near)[1] if near and min(near)[0] < SLACK_MS else ts_ms(row[0])

    def doubled(self):
        v = self.v
        n, distinct = len(self.rows), len(self.ids)
        if n != distinct:
            v.doubled += n - distinct
            v.fail(f"{n - distinct} ids are stored twice")
        have = stored_tuples(self.rows, self._sent_of)
        may = record.tuples(record.events(self.lines))
        over = have - may
        if over:
            v.doubled += sum(over.values())
            v.fail(f"{sum(over.values())} rows too many, doubled or invented: {list(over.items())[:5]}")
        return have

    def _excuse(self, x, last_there, ended):
        end = ended.get(x["conn"])
        kind = self.w.ended_by(self.begun[x["conn"]], end)
        when_s = x["at_ms"] / 1000
        # A clock that was set is seen by the process up to a second later, and not at all if it was set back by then.
        times = [self.w.id_ms(x["at_ms"] + off) - off for off in (0, -1500)] + [self.w.clock_ms(x["at_ms"])]
        if any(self._declared(x["room"], ms, SLACK_MS) for ms in times):
            return "declared"
        if self._in_degraded(when_s):
            return "not durable"
        if kind is not None and x["seq"] > last_there.get(x["conn"], 0):
            return "power" if kind == "power" else "unread"
        if any(k == "power" and -0.5 <= begin - when_s < POWER_S for begin, _, k in self.w.kills):
            return "power"  # behind the cut: its connection may have ended before, newer ones may have reached the database
        return None

    def delivered(self, have):
        """What the simulator's sockets have acknowledged."""
        v = self.v
        delivered = record.delivered(self.lines)
        v.events = len(record.rows(delivered))
        groups = defaultdict(list)
        for line in record.rows(delivered).values():
            groups[tuple_of_line(line)].append(line)
        # The newest line of each connection that has certainly been stored because of this connection.
        repeated = {(x["room"], x["kind"], x["key"]) for x in delivered if x["dup"]}
        last_there = {}
        for t, lines in groups.items():
            x = lines[0]
            if len(lines) == 1 and have.get(t, 0) == 1 and (x["room"], x["kind"], x["key"]) not in repeated:
                last_there[x["conn"]] = max(last_there.get(x["conn"], 0), x["seq"])
        ended = {x["conn"]: x["at_ms"] / 1000 for x in self.lines if x["t"] == "end"}
        lost = []
        for t, lines in groups.items():
            n = len(lines) - have.get(t, 0)
            if n <= 0:
                continue
            # Several may look the same: those that have an excuse are the missing ones.
            excuses = [(self._excuse(x, last_there, ended), x) for x in lines]
            for excuse, x in sorted(excuses, key=lambda e: e[0] is None)[:n]:
                if excuse is None:
                    lost.append(x)
                else:
                    v.missing[excuse] += 1
        if lost:
            v.lost += len(lost)
            v.fail(f"{len(lost)} delivered events are missing, e.g. {lost[:3]}")

    def published(self):
        """What a client of the live feed has seen has the same id in the database."""
        v, w = self.v, self.w
        v.published = len(self.live)
        order = [i for i, _, _ in w.live.events]
        if any(b <= a for a, b in zip(order, order[1:])):
            v.doubled += sum(b <= a for a, b in zip(order, order[1:]))
            v.fail("the live feed repeated itself or went back")
        seen_at = {i: t for i, t, _ in w.live.events}
        lost = []
        for i, body in self.live.items():
            row = self.ids.get(i)
            if row is None:
                if i in w.cut:
                    v.missing["power, seen live"] += 1
                elif self._in_degraded(seen_at[i]):
                    v.missing["not durable, seen live"] += 1
                elif self._declared(body["room_id"], ts_ms(i)):
                    v.missing["declared, seen live"] += 1
                else:
                    lost.append(i)
            elif row[1] != body["room_id"] or (body.get("text") or "") != (row[4] or "") or body["value_mcny"] != (row[6] or 0):
                v.fail(f"event {i} is {row} in the database, {body} in the live feed")
        if lost:
            v.lost += len(lost)
            v.fail(f"{len(lost)} published events are missing, e.g. {lost[:5]}")
        if order:
            unseen = [i for i in self.ids if i > order[0] and i not in self.live]
            if unseen:
                v.fail(f"{len(unseen)} stored events never came over the live feed, e.g. {sorted(unseen)[:5]}")

    def spooled(self):
        """What was in the spool when the process died."""
        lost = [i for i in self.w.in_spool if i not in self.ids and i not in self.w.cut]
        # A declared loss has to be so for the event's room: the live client knows it.
        unexcused = [i for i in lost if not (i in self.live and self._declared(self.live[i]["room_id"], ts_ms(i)))
                     and not any(self._declared(r, ts_ms(i)) for r in self.coverage.rows)]
        if len(lost) > len(unexcused):
            self.v.missing["declared, was in the spool"] += len(lost) - len(unexcused)
        if unexcused:
            self.v.lost += len(unexcused)
            self.v.fail(f"{len(unexcused)} events of the spool are missing, e.g. {sorted(unexcused)[:5]}")

    def minutes(self, all_closed):
        """room_minute equals a recount of every minute that is rolled up."""
        recount = """SELECT room_id, (((id >> 22) + 1577836800000) / 60000)::int4 AS minute,
            count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind = 6),
            count(*) FILTER (WHERE kind NOT IN (1, 2, 3, 5, 6, 8)), count(DISTINCT actor) FILTER (WHERE kind = 1),
            coalesce(sum(value_mcny) FILTER (WHERE kind = 3), 0), coalesce(sum(value_mcny) FILTER (WHERE kind = 6), 0)
            FROM event GROUP BY 1, 2"""
        until = self.w.query("SELECT minute FROM rollup_mark")
        until = until[0][0] if until else 0
        want = {r for r in self.w.query(recount) if r[1] < until}
        have = {r for r in self.w.query("SELECT room_id, minute, n_danmaku, n_gift, n_superchat, n_other, chatters, v_gift, "
                                        "v_superchat FROM room_minute") if r[1] < until}
        want = {tuple(int(x) for x in r) for r in want}
        have = {tuple(int(x) for x in r) for r in have}
        if want != have:
            self.v.fail(f"room_minute differs from a recount: {sorted(want ^ have)[:6]}")
        if all_closed and self.rows and not want:
            self.v.fail("no minute is rolled up")

    def sessions(self):
        """Sessions are what the stored starts and ends say, whatever was killed between the two tables."""
        if self.declared_ok:
            return  # a start or end may be missing in event
        told = defaultdict(list)
        for room, ident, state in self.w.query("SELECT room_id, id, extra->>'state' FROM event WHERE kind = 14 ORDER BY id"):
            told[room].append((ident, state))
        sessions = defaultdict(list)
        for room, low, high in self.w.query("SELECT room_id, start_id, end_id FROM session ORDER BY start_id"):
            sessions[room].append((low, high if high is not None else float("inf")))
        for room in set(told) | set(sessions):
            spans, starts = sessions[room], [i for i, state in told[room] if state == "start"]
            problem = None
            if any(a[1] >= b[0] for a, b in zip(spans, spans[1:])):
                problem = "overlap"
            elif any(not any(low <= i <= high for low, high in spans) for i in starts):
                problem = "lack a start"
            elif any(low not in starts and low not in self.w.cut for low, _ in spans):  # the row outlived its event
                problem = "begin with no start"
            elif told[room] and (told[room][-1][1] == "start") != any(high == float("inf") for _, high in spans):
                problem = "end as the last message does not say"
            if problem:
                self.v.fail(f"room {room}: sessions {problem}: {spans} of {told[room]}")

    def undeclared(self):
        """Without an overflow there is no loss to declare; without a connection there is a gap."""
        if not self.declared_ok:
            cut = [ts_ms(i) for i in self.w.cut]  # a later start tells of what a power loss has damaged in the middle
            gaps = [r for rows in self.coverage.rows.values() for r in rows if not any(r[0] <= ms <= r[1] for ms in cut)]
            if gaps:
                self.v.fail(f"coverage declares {len(gaps)} losses although nothing was dropped: {gaps[:5]}")
        connections = defaultdict(list)
        ended = {x["conn"]: self.w.id_ms(x["at_ms"]) for x in self.lines if x["t"] == "end"}
        for x in self.lines:
            if x["t"] == "begin":
                connections[x["room"]].append((self.w.id_ms(x["at_ms"]), ended.get(x["conn"])))
        until = max((self.w.id_ms(x["at_ms"]) for x in self.lines if x["t"] != "done"), default=0)
        # A clock that was set, twice even, may have been so for less than the time between two signs of life.
        steps = [0] + [after for _, after in self.w.clock_steps]
        slack = LINK_MS + 1000 * (max(steps) - min(steps))
        for problem in link_problems(self.link, connections, until, slack)[:5]:
            self.v.fail(problem)

    def logs(self):
        for life, text in self.w.service.logs():
            for bad in ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "assertion failed"):
                if bad in text:
                    self.v.fail(f"life {life}: {bad}: {text[text.index(bad):][:600]}")


def compare(world, all_closed):
    c = Comparison(world)
    have = c.doubled()
    c.delivered(have)
    c.published()
    c.spooled()
    c.minutes(all_closed)
    c.sessions()
    c.undeclared()
    c.logs()
    return c.v
