"""The fault harness finds what it looks for: a loss, a doubled event, a gap that is not declared, one that is declared in vain."""
import os
import sys
from types import SimpleNamespace

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "faults"))

import verify  # noqa: E402

T0 = 1795350000000
N = 50


def event_id(ms, n=0):
    return (ms - verify.EPOCH_MS) << 22 | n << 4


class FakeWorld:
    """Two rooms, each with one connection that is lost and made again; everything delivered is stored, every gap declared."""

    def __init__(self):
        self.lines, self.events, self.lost = [], [], []
        self.link = []
        for room in (1, 2):
            self.link += [(room, T0, T0 + 1000), (room, T0 + 30000, T0 + 60000)]
            self._connection(room, room * 10, T0 + 1000, T0 + 30000)
            self._connection(room, room * 10 + 1, T0 + 60000, T0 + 90000)
        self.kills, self.not_durable, self.clock_steps, self.cut, self.in_spool = [], [], [], set(), set()
        self.schedule = SimpleNamespace(overflow=False)
        self.service = SimpleNamespace(logs=lambda: [])
        self.live = SimpleNamespace(bodies=dict, events=[])
        self.sim = SimpleNamespace(lines=lambda: self.lines)

    def _connection(self, room, conn, begin, end):
        base = {"conn": conn, "room": room}
        self.lines.append({"t": "begin", "at_ms": begin, **base})
        for i in range(N):
            at = begin + (end - begin) * i // N
            self.lines.append({"t": "event", "at_ms": at, "seq": i + 1, "dup": False, "kind": "danmaku", "key": f"{conn}.{i}",
                               "uname": "u", "text": f"{conn}.{i}", "sent_ms": at, "value": 0, "item": 0, "num": 0, **base})
            self.events.append((event_id(at, room), room, 1, "u", f"{conn}.{i}", 0, 0, 0, 0))
        self.lines.append({"t": "end", "at_ms": end, "acked_seq": N, "sent_seq": N, "why": "peer", **base})

    def id_ms(self, ms):
        return ms

    def clock_ms(self, ms):
        return ms

    def ended_by(self, _begun, _ended):
        return None

    def query(self, sql):
        if sql == verify.LOST:
            return self.lost
        if sql == verify.LINK:
            return self.link
        return self.events if "uname" in sql else []


def problems(world):
    return " ".join(verify.compare(world, False).problems)


def test_nothing_is_wrong():
    assert problems(FakeWorld()) == ""


def test_a_loss():
    w = FakeWorld()
    del w.events[7]
    assert "1 delivered events are missing" in problems(w)


def test_a_loss_that_is_declared():
    w = FakeWorld()
    gone = w.events.pop(7)
    w.lost = [(gone[1], verify.ts_ms(gone[0]), verify.ts_ms(gone[0]) + 1)]
    assert "although nothing was dropped" in problems(w), "no schedule said that something would be dropped"
    w.schedule.overflow = True
    assert problems(w) == ""
    w.lost = [(3 - gone[1], *w.lost[0][1:])]
    assert "1 delivered events are missing" in problems(w), "that was another room"


def test_a_gap_of_the_link_excuses_no_loss():
    w = FakeWorld()
    w.schedule.overflow = True
    del w.events[N]  # the first one of the second connection
    assert "1 delivered events are missing" in problems(w)


def test_a_doubled_event():
    w = FakeWorld()
    w.events.append((w.events[3][0] + 16, *w.events[3][1:]))
    assert "rows too many" in problems(w)


@pytest.mark.parametrize("link, text", [
    ([(1, T0, T0 + 1000)], "no gap is declared"),                                          # the second one is not declared
    ([(1, T0, T0 + 1000), (1, T0 + 30000, T0 + 45000)], "no gap is declared"),             # too short
    ([(1, T0, T0 + 1000), (1, T0 + 30000, T0 + 80000)], "but it was connected"),           # too long
    ([(1, T0, T0 + 1000), (1, T0 + 30000, T0 + 60000), (1, T0 + 70000, T0 + 77000)], "but it was connected"),
    ([(1, T0, T0 + 1000), (1, T0 + 30000, None)], "but it was connected"),                 # never ended
    ([], "coverage does not know it"),
])
def test_gaps_of_the_link(link, text):
    w = FakeWorld()
    w.link = link + [x for x in w.link if x[0] == 2]
    assert text in problems(w)
    w.link += [(1, T0, T0 + 1000), (1, T0 + 30000, T0 + 60000)]
    if text != "but it was connected":
        assert problems(w) == ""
