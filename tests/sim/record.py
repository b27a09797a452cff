"""Reading the simulator's record (README.md, "The record"): what has to be in the database, and what may be.

    lines = record.read(path)
    must = record.rows(record.delivered(lines))     # each of these is a row
    may = record.rows(record.events(lines))         # nothing else is
"""
import collections
import json


def read(path):
    """Every line as a dict; a last line that is cut short (the simulator was killed) is left out."""
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def events(lines, kinds=None):
    return [x for x in lines if x["t"] == "event" and (kinds is None or x["kind"] in kinds)]


def delivered(lines, kinds=None):
    """Events that the client's kernel had acknowledged, by the last `ack` or `end` line of each connection."""
    acked = {}
    for x in lines:
        if x["t"] in ("ack", "end"):
            acked[x["conn"]] = x["acked_seq"]
    return [x for x in events(lines, kinds) if x["seq"] <= acked.get(x["conn"], 0)]


def rows(some):
    """One line per natural key: (room, kind, key) -> line. Repeats, and one event on several connections, are one row."""
    out = {}
    for x in some:
        out.setdefault((x["room"], x["kind"], x["key"]), x)
    return out


def tuple_of(room, kind, uname, text, sent_ms, value, item, num):
    """What a row and a record line have in common; upstream tells seconds only for everything but danmaku and PREPARING."""
    if kind == "danmaku":
        return (room, kind, uname, text, sent_ms)
    if kind == "gift":
        return (room, kind, uname, sent_ms // 1000, value, item, num)
    if kind == "superchat":
        return (room, kind, uname, text, sent_ms // 1000, value, item)
    if kind in ("guard", "redpacket"):
        return (room, kind, uname, sent_ms // 1000, value, item)
    return (room, kind, sent_ms // 1000)


def charged(some):
    """{(room, kind, key): value in 1/1000 CNY} of everything that was paid for in some lines, each once."""
    return {k: x["value_mcny"] for k, x in rows(some).items() if x["value_mcny"] > 0}


def tuples(some):
    """Multiset of tuple_of over the rows of some lines; compare it with one made from the database."""
    return collections.Counter(tuple_of(x["room"], x["kind"], x["uname"], x["text"], x["sent_ms"], x["value"], x["item"],
                                        x["num"]) for x in rows(some).values())
