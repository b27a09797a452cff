"""`danmakud decode`: what a user sees of messages and frames, without a service."""
import glob
import json
import os
import re
import struct
import subprocess
import zlib

import harness
import pytest

HERE = os.path.dirname(__file__)
FIXTURES = sorted(glob.glob(os.path.join(HERE, "..", "fixtures", "*.json")))
AT = ("--room", "1000", "--at", "1790000000500")  # as the snapshots were made
LIKE = {"cmd": "LIKE_INFO_V3_CLICK", "data": {"uid": 7, "uname": "abc", "like_text": "x"}}


def decode(*args, data=b""):
    return subprocess.run([harness.DANMAKUD, "decode", *args], input=data, capture_output=True, timeout=harness.TIMEOUT)


def counts(r):
    line = r.stderr.decode().split("messages=")[-1].splitlines()[0]
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", "messages=" + line)}


def frame(body, ver=0, op=5):
    return struct.pack(">IHHII", len(body) + 16, 16, ver, op, 1) + body


@pytest.mark.parametrize("path", FIXTURES, ids=[os.path.basename(p) for p in FIXTURES])
def test_fixtures_give_their_reviewed_snapshot(path):
    with open(path[:-len(".json")] + ".events", encoding="utf-8") as f:
        lines = f.read().splitlines()
    want = [line[17:] for line in lines if re.match(r"[0-9a-f]{16} \{", line)]
    n_broken = sum(line.startswith("broken: ") for line in lines)
    r = decode(*AT, path)
    assert r.stdout.decode().splitlines() == want
    assert counts(r)["broken"] == n_broken
    assert r.returncode == (1 if n_broken else 0)


def test_array_lines_pretty_printed_and_standard_input_are_the_same(tmp_path):
    messages = [LIKE, {"cmd": "NO_SUCH_COMMAND", "data": {}}, LIKE]
    array = tmp_path / "a.json"
    array.write_text(json.dumps(messages))
    lines = tmp_path / "l.ndjson"
    lines.write_text("\n".join(json.dumps(m) for m in messages))
    pretty = "\n".join(json.dumps(m, indent=2) for m in messages).encode()
    a = decode(str(array))
    assert a.returncode == 0 and len(a.stdout.splitlines()) == 2
    assert decode(str(lines)).stdout == a.stdout
    assert decode("-", data=pretty).stdout == a.stdout
    assert counts(a) == {"messages": 3, "ok": 2, "unknown": 1, "broken": 0, "frames_broken": 0, "other_packets": 0,
                         "left_out": 0, "events": 2}
    assert "unknown NO_SUCH_COMMAND 1" in a.stderr.decode() and "kind like 2" in a.stderr.decode()
    assert [json.loads(line)["id"] for line in a.stdout.splitlines()] == ["0", "32"]


def test_ids_go_on_over_files_and_begin_where_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(LIKE))
    r = decode("--room=77", "--at=1577836800001", str(path), str(path))
    events = [json.loads(line) for line in r.stdout.splitlines()]
    assert [int(e["id"]) - (1 << 22) for e in events] == [0, 16]
    assert {e["room_id"] for e in events} == {77} and events[0]["ts_ms"] == 1577836800001


def test_frames_plain_nested_and_both_directions():
    body = json.dumps(LIKE).encode()
    inner = frame(body) + frame(body)
    data = frame(b"{}", 1, 7) + frame(b'{"code":0}', 1, 8) + frame(body) + frame(zlib.compress(inner), 2) + frame(
        b"\0\0\0\1", 1, 3)
    r = decode("-", data=data)
    assert r.returncode == 0, r.stderr
    assert counts(r)["messages"] == 3 and counts(r)["other_packets"] == 3 and len(r.stdout.splitlines()) == 3


@pytest.mark.parametrize("data, told", [
    (b'[{"cmd":"LIKE_INFO_V3_CLICK"', "not JSON"),
    (b'{"cmd": nonsense}\n{"cmd":"X"}', "not JSON"),
    (b'{"cmd":"GUARD_BUY","data":{}}', "guard without a level"),
    (frame(b'{"cmd":"X"}')[:-1], "cut short"),
    (frame(b"nonsense", 2), "corrupt"),
])
def test_broken_input_is_told_and_exits_1(data, told):
    r = decode("-", data=data)
    assert r.returncode == 1
    assert told in r.stderr.decode()
    c = counts(r)
    assert c["broken"] + c["frames_broken"] == 1


def test_after_a_broken_line_the_next_is_read():
    r = decode("-", data=b"{bad}\n" + json.dumps(LIKE).encode())
    assert r.returncode == 1 and len(r.stdout.splitlines()) == 1


def test_usage(tmp_path):
    assert decode().returncode == 2
    assert decode("--room", "x", "-").returncode == 2
    assert decode("--nonsense", "-").returncode == 2
    r = decode(str(tmp_path / "missing"))
    assert r.returncode == 1 and "missing" in r.stderr.decode()


def test_empty_input_is_no_error():
    r = decode("-")
    assert (r.returncode, r.stdout, counts(r)["messages"]) == (0, b"", 0)


@pytest.mark.skipif("DANMAKUD_SAMPLES" not in os.environ, reason="DANMAKUD_SAMPLES names no directory of messages")
def test_samples_decode_without_failure():
    root = os.environ["DANMAKUD_SAMPLES"]
    r = decode(*sorted(glob.glob(os.path.join(root, "*.json"))))
    assert r.returncode == 0 and counts(r)["broken"] == 0 and counts(r)["messages"] > 0
    for path in glob.glob(os.path.join(root, "packets", "*.bin")):
        assert decode(path).returncode == 0, path
