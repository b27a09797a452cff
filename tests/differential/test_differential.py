#!/usr/bin/python3
"""Two decoders of the same messages must agree: ours, by way of decode_lines, and reference.py.

  test_differential.py DECODE_LINES [--each N] [--seed SEED] [--family NAME]

Natural keys and the numbers of masked senders are hashes of ours: what goes into them, as the reference sees it, must be
equal where they are equal and different where they differ, over all messages of the run.
"""
import argparse
import json
import random
import subprocess
import sys
import tempfile

import generate
import reference

HASHED_NAMES = -(1 << 32)


class Mapping:
    """What we hash and what comes out, one to one."""

    def __init__(self):
        self.there, self.back = {}, {}

    def agrees(self, what, hashed):
        return self.there.setdefault(what, hashed) == hashed and self.back.setdefault(hashed, what) == what


def key_agrees(keys, want, got):
    return got == "0" * 16 if want is None else got != "0" * 16 and keys.agrees(want, got)


def uid_agrees(actors, want, got):
    """want: a number, None, or what the number of a masked sender is made of."""
    if not isinstance(want, tuple):
        return want == got
    if not isinstance(got, str):
        return False
    number = int(got)
    if want[0] == "crc":
        return number == -1 - want[1]
    return number < HASHED_NAMES and actors.agrees(want, number)


def difference(keys, actors, want, got):
    if want["status"] != got["status"] or want["cmd"] != got["cmd"]:
        return f"status {want['status']} {want['cmd']}, not {got['status']} {got['cmd']} ({got.get('reason')})"
    if len(want["events"]) != len(got["events"]):
        return f"{len(want['events'])} events, not {len(got['events'])}"
    for w, g in zip(want["events"], got["events"]):
        event = dict(g["event"])
        for name in ("id", "room_id", "ts", "ts_ms"):
            del event[name]
        expected = dict(w["event"])
        if expected["user"] is not None and event["user"] is not None:
            if not uid_agrees(actors, expected["user"]["uid"], event["user"]["uid"]):
                return f"uid {expected['user']['uid']}, not {event['user']['uid']}"
            event["user"] = dict(event["user"], uid=expected["user"]["uid"])
        for name in expected:
            if expected[name] != event.get(name):
                return f"{name}: {expected[name]!r}, not {event.get(name)!r}"
        if event.keys() != expected.keys():
            return f"members {sorted(event)}"
        if not key_agrees(keys, w["key"], g["nkey"]):
            return f"key of {w['key']}: {g['nkey']}, elsewhere {keys.there.get(w['key'])}, {keys.back.get(g['nkey'])}"
    return None


def run(decode_lines, lines):
    with tempfile.TemporaryFile() as f:
        f.write(("\n".join(lines) + "\n").encode())
        f.seek(0)
        out = subprocess.run([decode_lines], stdin=f, stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.split(b"\n") if line]


def check_family(args, family):
    rng = random.Random(f"{args.seed}/{family}")
    lines = [line.replace("\n", " ") for line in generate.messages(rng, family, args.each)]
    keys, actors = Mapping(), Mapping()
    got = run(args.decode_lines, lines)
    assert len(got) == len(lines), (len(got), len(lines))
    n_events = n_wrong = 0
    for i, line in enumerate(lines):
        want = reference.decode(line)
        n_events += len(want["events"])
        wrong = difference(keys, actors, want, got[i])
        if wrong:
            n_wrong += 1
            if n_wrong <= args.show:
                print(f"{family} {i}: {wrong}\n  {line}")
    print(f"{family}: {len(lines)} messages, {n_events} events, {n_wrong} differ")
    # A generator that breaks everything would prove nothing.
    assert family == "silent" or n_events > args.each * 0.4, f"{family}: only {n_events} events"
    return n_wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("decode_lines")
    p.add_argument("--each", type=int, default=1000)
    p.add_argument("--seed", default="1")
    p.add_argument("--family", choices=generate.FAMILIES)
    p.add_argument("--show", type=int, default=3)
    args = p.parse_args()
    wrong = sum(check_family(args, f) for f in ([args.family] if args.family else generate.FAMILIES))
    print(f"differential: seed {args.seed}, {wrong} messages differ")
    return 1 if wrong else 0


sys.exit(main())
