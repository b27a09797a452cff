"""What danmakud-sim --full charges: every paid thing in all the forms upstream has for it, counted once in the record.

    DANMAKUD_BUILD=build/dev /usr/bin/python3 -m pytest tests/integration/test_sim_full.py
"""
import base64
import collections
import json

import pytest

import test_sim as base
from test_sim import WAIT_MS, Reader, recorded
from client import Client

sim_of = base.sim
MIX = "guard=20,packet=10,gift=40,superchat=10,interact=10,danmaku=10"
PAID = ("gift", "guard", "superchat", "redpacket")


def fields(data):
    """{number: [values]} of a protocol buffer, one level."""
    out, at = collections.defaultdict(list), 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        else:
            n = varint() if tag & 7 == 2 else {5: 4, 1: 8}[tag & 7]
            value, at = data[at:at + n], at + n
        out[tag >> 3].append(value)
    return out


def charged(messages):
    """{(kind, key): (value, item)} as a reader of the protocol sees it, and how often each command came."""
    out, n = {}, collections.Counter()
    toasts, bought = {}, {}

    def put(kind, key, value, item):
        assert out.setdefault((kind, key), (value, item)) == (value, item), (kind, key)

    for m in messages:
        cmd = m["cmd"].split(":")[0] if isinstance(m.get("cmd"), str) else None
        n[cmd] += 1
        d = m.get("data")
        if cmd == "SEND_GIFT":
            put("gift", d["tid"], d["total_coin"] if d["coin_type"] == "gold" else 0, d["giftId"])
        elif cmd == "SEND_GIFT_V2":
            top = fields(base64.b64decode(d["pb"], validate=True))
            assert top[2] and top[11] == [1]
            n["items of SEND_GIFT_V2"] += len(top[10])
            for item in map(fields, top[10]):
                put("gift", item[9][0].decode(), item[7][0] if item[8] == [b"gold"] else 0, item[1][0])
        elif cmd == "SUPER_CHAT_MESSAGE":
            put("superchat", str(d["id"]), d["price"] * 1000, d["id"])
        elif cmd in ("POPULARITY_RED_POCKET_NEW", "POPULARITY_RED_POCKET_V2_NEW"):
            put("redpacket", str(d["lot_id"]), d["price"] * 100, d["lot_id"])
        elif cmd == "POPULARITY_RED_POCKET_V2_START":
            n["starts"] += 1
        elif cmd == "GUARD_BUY":
            bought[(d["uid"], d["guard_level"], d["start_time"])] = d["price"]
        elif cmd == "USER_TOAST_MSG":
            toasts[(d["uid"], d["guard_level"], d["start_time"])] = True
            put("guard", d["payflow_id"], d["price"], d["guard_level"])
        elif cmd == "USER_TOAST_MSG_V2" and d["option"]["source"] != 2:
            info, pay = d["guard_info"], d["pay_info"]
            toasts[(d["sender_uinfo"]["uid"], info["guard_level"], info["start_time"])] = True
            put("guard", pay["payflow_id"], pay["price"], info["guard_level"])
    alone = [price for who, price in bought.items() if who not in toasts]
    return out, alone, n


@pytest.mark.parametrize("protover", (0, 3))
def test_record_says_what_was_charged(sim_of, protover):
    s = sim_of("--full", "--mix", MIX, "--speed", "max", "--count", 4000, "--rooms", 1, "--start-ms", 1795000000000)
    reader = Reader(Client(s.host, 1001, protover, timeout=WAIT_MS / 1000))
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    texts = reader.result()
    lines = s.stop()
    seen, alone, n = charged(map(json.loads, texts))
    for cmd in ("SEND_GIFT", "SEND_GIFT_V2", "GUARD_BUY", "USER_TOAST_MSG", "USER_TOAST_MSG_V2", "COMBO_SEND", "SUPER_CHAT_MESSAGE",
                "SUPER_CHAT_MESSAGE_JPN", "POPULARITY_RED_POCKET_NEW", "POPULARITY_RED_POCKET_V2_NEW", "starts",
                "INTERACT_WORD_V2"):
        assert n[cmd] > 20, (cmd, n)
    assert n["items of SEND_GIFT_V2"] > n["SEND_GIFT_V2"]
    told = {(x["kind"], x["key"]): (x["value_mcny"], x["item"]) for x in recorded(lines) if x["kind"] in PAID}
    lonely = {k: v for k, v in told.items() if k not in seen}
    assert seen == {k: v for k, v in told.items() if k in seen}
    assert all(k[0] == "guard" for k in lonely) and sorted(v[0] for v in lonely.values()) == sorted(alone)
    assert sum(v[0] for v in told.values()) == sum(v[0] for v in seen.values()) + sum(alone) > 0
    assert len(recorded(lines, dup=False)) >= 4000


def test_what_belongs_to_a_purchase_comes_at_once(sim_of):
    """At one event in a long time no toast waits for the next one."""
    s = sim_of("--full", "--mix", "guard=1", "--rate", 5, "--steady", "--count", 15, "--rooms", 1)
    reader = Reader(Client(s.host, 1001, 3, timeout=WAIT_MS / 1000))
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    reader.result()
    lines = s.stop()
    guards = recorded(lines, kind="guard", dup=False)
    assert len(guards) == 15
    assert all(x["at_ms"] - x["sent_ms"] < 4000 for x in guards)


def test_masked(sim_of):
    s = sim_of("--full", "--mix", MIX, "--masked", 100, "--speed", "max", "--count", 500, "--rooms", 1)
    reader = Reader(Client(s.host, 1001, 3, timeout=WAIT_MS / 1000))
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    for m in map(json.loads, reader.result()):
        if m["cmd"] == "SEND_GIFT_V2":
            top = fields(base64.b64decode(m["data"]["pb"]))
            assert 1 not in top and top[2][0].decode().endswith("***")
        elif m["cmd"] == "INTERACT_WORD_V2":
            assert 1 not in fields(base64.b64decode(m["data"]["pb"]))
        elif m["cmd"] == "GUARD_BUY":
            assert m["data"]["uid"] == 0 and m["data"]["username"].endswith("***")
