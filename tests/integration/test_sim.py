"""danmakud-sim looked at from outside, by a client that shares no code with it.

    DANMAKUD_BUILD=build/dev /usr/bin/python3 -m pytest tests/integration/test_sim.py
"""
import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "sim"))
import client as danmaku  # noqa: E402
import record as records  # noqa: E402
from client import Client  # noqa: E402

BUILD = pathlib.Path(os.environ.get("DANMAKUD_BUILD", ROOT / "build" / "dev"))
PROGRAM = BUILD / "tests" / "sim" / "danmakud-sim"
RECORDED = ("danmaku", "gift", "superchat", "live")
WAIT_MS = 180000  # nobody waits that long but a test that fails
SILENCE_S = 0.5   # so long nothing comes


def samples():
    for up in [ROOT, *ROOT.parents]:
        if (up / "shared" / "samples").is_dir():
            return up / "shared" / "samples"
    pytest.skip("no shared/samples above this checkout")


class Sim:
    """One run of the program, with its control connection."""

    def __init__(self, tmp_path, *args, record=True):
        self.record_path = tmp_path / "record"
        argv = [str(PROGRAM), "--control", f"unix:{tmp_path}/ctl", *map(str, args)]
        if record:
            argv += ["--record", str(self.record_path)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        assert ready.startswith("danmakud-sim ready "), ready + self.process.stderr.read()
        self.ready = dict(part.split("=", 1) for part in ready.split()[2:])
        self.hosts = self.ready["tcp"].split(",")
        self.host = self.hosts[0]
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(2 * WAIT_MS / 1000)
        sock.connect(f"{tmp_path}/ctl")
        self.control = sock.makefile("rw")
        sock.close()

    def do(self, line):
        self.control.write(line + "\n")
        self.control.flush()
        answer = self.control.readline()
        assert answer.startswith("ok"), f"{line}: {answer}"
        return answer[2:].strip()

    def stats(self):
        return json.loads(self.do("stats"))

    def stop(self):
        """Ends it cleanly and returns the record."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(WAIT_MS / 1000) == 0, self.process.stderr.read()
        assert self.process.stderr.read() == ""
        if not self.record_path.exists():
            return []
        return records.read(self.record_path)


@pytest.fixture
def sim(tmp_path):
    running = []

    def start(*args, **kw):
        running.append(Sim(tmp_path, *args, **kw))
        return running[-1]

    yield start
    for s in running:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()
        s.control.close()
        s.process.stdout.close()
        s.process.stderr.close()


def fact(m):
    """(kind, key, uid, name, text, value) of a message, read anew; None: not one of the recorded kinds."""
    cmd = m.get("cmd")
    cmd = cmd.split(":")[0] if isinstance(cmd, str) else None
    if cmd == "DANMU_MSG":
        info = m["info"]
        return ("danmaku", json.loads(info[0][15]["extra"])["id_str"], info[2][0], info[2][1], info[1], 0)
    if cmd == "SEND_GIFT":
        d = m["data"]
        return ("gift", d["tid"], d["uid"], d["uname"], "", d["total_coin"] if d["coin_type"] == "gold" else 0)
    if cmd == "SUPER_CHAT_MESSAGE":
        d = m["data"]
        return ("superchat", str(d["id"]), d["uid"], d["user_info"]["uname"], d["message"], d["price"] * 1000)
    if cmd == "LIVE":
        return ("live", m["live_key"], 0, "", "", 0)
    if cmd == "PREPARING":
        return ("live", m["msg_id"], 0, "", "", 0)
    return None


def recorded(lines, **want):
    return [x for x in lines if x["t"] == "event" and all(x[k] == v for k, v in want.items())]


def as_fact(x):
    return (x["kind"], x["key"], x["uid"], x["uname"], x["text"], x["value"])


def read_facts(c, n):
    """The next n recorded messages that a client sees."""
    out = []
    for m in c:
        f = fact(m)
        if f:
            out.append(f)
            if len(out) == n:
                return out
    return out


class Reader(threading.Thread):
    """Reads a connection to its end beside the test, so that the simulator is not held back."""

    def __init__(self, c):
        super().__init__()
        self.client = c
        self.start()

    def run(self):
        self.texts, self.end = drain(self.client)

    def result(self):
        self.join(WAIT_MS / 1000)
        assert not self.is_alive(), "the connection does not end"
        self.client.close()
        return self.texts


def drain(c):
    """Everything up to the end of the connection; (messages, how it ended)."""
    out = []
    try:
        for text in c.raw():
            out.append(text)
    except (EOFError, OSError, danmaku.ProtocolError) as e:
        return out, e


# --- framing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protover,ver", [(0, danmaku.PLAIN), (2, danmaku.ZLIB), (3, danmaku.BROTLI)])
def test_frames_follow_protover(sim, protover, ver):
    s = sim("--speed", "max", "--count", 500, "--rooms", 1, "--frame-max", 2)
    with Client(s.host, 1001, protover) as c:
        assert len(read_facts(c, 500)) == 500
        heads = [h for h in c.frames if h[3] == danmaku.MESSAGE]
    assert {h[2] for h in heads} == ({ver, danmaku.PLAIN} if protover else {ver})
    assert all(h[1] == 16 and h[4] == 0 for h in heads)
    assert sum(h[2] == ver for h in heads) > len(heads) / 2
    s.stop()


def test_single_messages_come_alone_and_many_together(sim):
    s = sim("--speed", "max", "--count", 2000, "--rooms", 1, "--mix", "danmaku=1")
    with Client(s.host, 1001, 2) as c:
        read_facts(c, 2000)
        frames = sum(h[3] == danmaku.MESSAGE for h in c.frames)
    assert 100 < frames < 1000
    s.stop()


# --- record --------------------------------------------------------------------------------------------------------


def test_record_is_what_clients_saw(sim):
    s = sim("--speed", "max", "--count", 3000, "--rooms", 3, "--wait-rooms", 3, "--seed", 5)
    readers = [Reader(Client(s.host, 1001 + i, protover)) for i, protover in enumerate((0, 2, 3))]
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    seen = collections.Counter()
    for i, r in enumerate(readers):
        for text in r.result():
            f = fact(json.loads(text))
            if f:
                seen[(1001 + i, *f)] += 1
        assert isinstance(r.end, EOFError)
    s.do(f"wait gone {WAIT_MS}")
    lines = s.stop()
    events = recorded(lines)
    assert collections.Counter((x["room"], *as_fact(x)) for x in events) == seen
    assert len(recorded(events, dup=False)) == 3000 == lines[-1]["events"]
    assert lines[-1]["t"] == "done" and lines[-1]["dups"] == len(recorded(events, dup=True))
    # Every natural key once, but for the repeats that are marked.
    keys = collections.Counter((x["room"], x["kind"], x["key"]) for x in recorded(events, dup=False))
    assert set(keys.values()) == {1}
    assert {(x["room"], x["kind"], x["key"]) for x in recorded(events, dup=True)} <= set(keys)
    assert {x["kind"] for x in events} == set(RECORDED)
    for conn in {x["conn"] for x in events}:
        assert [x["seq"] for x in recorded(events, conn=conn)] == list(range(1, len(recorded(events, conn=conn)) + 1))
    assert all(x["text_hash"] == f"{zlib.crc32(x['text'].encode()):08x}" for x in events)
    ends = [x for x in lines if x["t"] == "end"]
    assert len(ends) == 3 and all(x["acked_seq"] == x["sent_seq"] and x["why"] == "dropped" for x in ends)


def test_repeats_are_sent(sim):
    s = sim("--speed", "max", "--count", 1500, "--rooms", 1, "--mix", "superchat=9,live=5,preparing=1")
    with Client(s.host, 1001) as c:
        counts = collections.Counter(f[:2] for f in read_facts(c, 1500))
    assert any(k[0] == "superchat" and n == 2 for k, n in counts.items())
    assert any(k[0] == "live" and n == 2 for k, n in counts.items())
    s.stop()


def test_two_connections_to_a_room_get_the_same(sim):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001, 3) as a, Client(s.host, 1001, 2) as b:
        s.do("wait ready 2")
        s.do("say 1001 一样的话")
        fa, fb = read_facts(a, 1), read_facts(b, 1)
    assert fa == fb and fa[0][4] == "一样的话"
    assert len(recorded(s.stop(), kind="danmaku")) == 2


def test_slow_client_loses_nothing(sim):
    s = sim("--speed", "max", "--count", 20000, "--rooms", 1, "--mix", "danmaku=1", "--queue-bytes", 65536)
    with Client(s.host, 1001, 0, receive_buffer=4096) as c:
        s.do("wait events 100")
        assert s.stats()["left"] > 0  # it is held back by this client
        facts = read_facts(c, 20000)
    assert len({f[1] for f in facts}) == 20000
    s.stop()


def test_slow_client_may_lose(sim):
    s = sim("--speed", "max", "--rooms", 1, "--mix", "danmaku=1", "--queue-bytes", 65536, "--slow", "drop")
    with Client(s.host, 1001, 0, receive_buffer=4096), Client(s.host, 1001, 0) as fast:
        read_facts(fast, 20000)
        assert s.stats()["dropped_frames"] > 0
    s.stop()


def test_unread_bytes_are_told_apart(sim):
    """acked_seq counts what the client's kernel has, sent_seq what left the simulator."""
    s = sim("--speed", "max", "--rooms", 1, "--mix", "danmaku=1", "--queue-bytes", 1 << 24)
    with Client(s.host, 1001, 0, receive_buffer=8192) as c:
        s.do("wait events 200")
        s.do("pause")
        state = json.loads(s.do("ack-state"))[0]
        assert 0 < state["acked_seq"] < state["sent_seq"]
        got = [x[1] for x in read_facts(c, state["sent_seq"])]
        c.close()
        s.do(f"wait gone {WAIT_MS}")
    lines = s.stop()
    keys = [x["key"] for x in recorded(lines)]
    assert keys[:len(got)] == got
    ack = next(x for x in lines if x["t"] == "ack")
    assert (ack["acked_seq"], ack["sent_seq"]) == (state["acked_seq"], state["sent_seq"])


def test_killed_client_may_miss_only_what_was_not_acked(sim):
    s = sim("--speed", "max", "--rooms", 1, "--queue-bytes", 1 << 22)
    c = Client(s.host, 1001, 0, receive_buffer=32768)
    s.do("wait events 500")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()
    s.do(f"wait gone {WAIT_MS}")
    lines = s.stop()
    end = next(x for x in lines if x["t"] == "end")
    assert 0 < end["acked_seq"] < end["sent_seq"]
    assert len(records.delivered(lines)) == end["acked_seq"] and len(records.events(lines)) == end["sent_seq"]


def test_same_seed_same_bytes(sim, tmp_path):
    runs = []
    for name in "ab":
        (tmp_path / name).mkdir()
        s = Sim(tmp_path / name, "--speed", "max", "--count", 800, "--rooms", 1, "--seed", 9, "--start-ms",
                1795000000000)
        try:
            reader = Reader(Client(s.host, 1001, 3))
            s.do(f"wait idle {WAIT_MS}")
            s.do("drop *")
            runs.append(reader.result())
            s.stop()
        finally:
            s.process.kill()
            s.process.wait()
    assert runs[0] == runs[1] and len(runs[0]) > 800


def test_count_waits_for_rooms_and_can_be_raised(sim):
    s = sim("--speed", "max", "--count", 100, "--rooms", 2, "--wait-rooms", 2)
    with Client(s.host, 1001) as a:
        assert s.stats()["started"] is False
        with Client(s.host, 1002) as b:
            s.do(f"wait idle {WAIT_MS}")
            assert s.stats()["events"] == 100
            s.do("more 50")
            s.do(f"wait events 150 {WAIT_MS}")
            s.do(f"wait idle {WAIT_MS}")
            assert s.stats()["events"] == 150
            assert a.sock and b.sock
    s.stop()


def test_undelivered_events_are_made_up_for(sim):
    """A connection that breaks with messages in its queue does not eat into --count."""
    s = sim("--speed", "max", "--count", 5000, "--rooms", 1, "--mix", "danmaku=1", "--queue-bytes", 1 << 22)
    c = Client(s.host, 1001, 0, receive_buffer=4096)
    s.do("wait events 50")
    c.close()
    s.do(f"wait gone {WAIT_MS}")
    with Client(s.host, 1001, 0) as again:
        rest = Reader(again)  # beside the test: what fits into the sockets is not all
        assert s.do(f"wait events 5000 {WAIT_MS}") == ""
        assert s.stats()["left"] == 0
        s.do("drop *")
        rest.result()
    assert len(recorded(s.stop())) == 5000


# --- who may come in -----------------------------------------------------------------------------------------------


def test_masking(sim):
    s = sim("--rooms", 1, "--masked", 100, "--speed", "max", "--count", 200, "--wait-rooms", 1, "--mix",
            "danmaku=5,gift=3,superchat=1", "--rate", 0)
    s.do("pause")
    with Client(s.host, 1001, uid=0) as anonymous, Client(s.host, 1001, uid=77) as member:
        s.do("wait ready 2")
        s.do("resume")
        first = json.loads(next(anonymous.raw()))
        assert first["cmd"] == "LOG_IN_NOTICE"
        hidden, shown = read_facts(anonymous, 200), read_facts(member, 200)
    assert [f[1] for f in hidden] == [f[1] for f in shown]
    assert all(f[2] == 0 and len(f[3]) == 4 and f[3].endswith("***") for f in hidden)
    assert all(f[2] > 0 and not f[3].endswith("***") for f in shown)
    assert all(h[3][0] == o[3][0] for h, o in zip(hidden, shown))
    lines = s.stop()
    assert {(x["conn"], x["masked"]) for x in recorded(lines)} == {(1, True), (2, False)}
    assert {x["uid"] for x in recorded(lines, conn=1)} == {0}


@pytest.mark.parametrize("how", ["reply", "close"])
@pytest.mark.parametrize("auth", [b"not json", b'{"roomid":1001}', b'{"roomid":4,"key":"good","uid":5}',
                                  b'{"roomid":1001,"key":"bad","uid":5}', b'{"roomid":1001,"key":"good","uid":0}'])
def test_refused_auth(sim, how, auth):
    s = sim("--rooms", 1, "--token", "good", "--token-uid", 5, "--auth-fail", how)
    with pytest.raises(danmaku.AuthError if how == "reply" else EOFError) as e:
        Client(s.host, 1001, auth_body=auth)
    if how == "reply":
        assert e.value.args == (-101,)
    with Client(s.host, 1001, key="good", uid=5):
        assert s.stats()["auth_failed"] == 1
    s.stop()


def test_old_minimal_auth(sim):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001, auth_body=b'{"roomid":1001,"uid":0}') as c:
        s.do("say * hello")
        assert read_facts(c, 1)[0][4] == "hello"
        assert {h[2] for h in c.frames if h[3] == danmaku.MESSAGE} == {danmaku.PLAIN}
    s.stop()


def test_any_room(sim):
    s = sim("--rooms", 0, "--any-room", "--rate", 1000)
    with Client(s.host, 424242) as c:
        assert len(read_facts(c, 10)) == 10
    s.stop()


def test_silent_clients_are_dropped(sim):
    s = sim("--rooms", 1, "--rate", 0, "--auth-timeout-ms", 1000, "--heartbeat-timeout-ms", 1500)
    with Client(s.host, 1001, auth=False) as c:
        assert isinstance(drain(c)[1], EOFError)
    with Client(s.host, 1001) as c:
        assert isinstance(drain(c)[1], EOFError)
        assert c.heartbeats == 1
    assert (s.stats()["auth_timeouts"], s.stats()["heartbeat_timeouts"]) == (1, 1)
    s.stop()


def test_heartbeat_echo(sim):
    """packet_len of the reply is 20, whatever was echoed: the client's reader knows, and stays in step."""
    s = sim("--rooms", 8, "--rate", 2000)
    popularity = set()
    for room in range(1001, 1009):
        with Client(s.host, room, heartbeat_body=b"[object Object]") as c:
            while c.heartbeats < 1:
                next(c.raw())
            read_facts(c, 5)
            assert [h[0] for h in c.frames if h[3] == danmaku.HEARTBEAT_REPLY] == [20]
            popularity.add(c.popularity == 1)
    assert True in popularity
    s.stop()


def test_client_that_makes_no_sense(sim):
    s = sim("--rooms", 1)
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, danmaku.HEAD.pack(0, 16, 1, 7, 1),
                 danmaku.HEAD.pack(1 << 30, 16, 1, 7, 1)):
        with Client(s.host, 1001, auth=False) as c:
            c.sock.sendall(junk)
            assert isinstance(drain(c)[1], (EOFError, ConnectionResetError))
    assert s.stats()["bad_packets"] == 4
    s.stop()


# --- replay --------------------------------------------------------------------------------------------------------


def test_replay_lines(sim, tmp_path):
    texts = [json.dumps({"cmd": "ANY", "n": i}) for i in range(30)]
    (tmp_path / "m.ndjson").write_text("\n".join(texts) + "\n")
    s = sim("--rooms", 2, "--replay", tmp_path / "m.ndjson", "--speed", "max", "--replay-room", 1002)
    with Client(s.host, 1001), Client(s.host, 1002) as c:
        raw = c.raw()
        assert [next(raw).decode() for _ in texts] == texts
        s.do(f"wait idle {WAIT_MS}")
    s.stop()


def test_replay_of_real_messages(sim):
    files = [samples() / f"{name}.json" for name in
             ("DANMU_MSG", "SEND_GIFT", "SUPER_CHAT_MESSAGE", "LIVE", "PREPARING", "WATCHED_CHANGE")]
    want = [m for f in files for m in json.loads(f.read_text())]
    args = [a for f in files for a in ("--replay", f)]
    s = sim("--rooms", 1, "--speed", "max", *args)
    with Client(s.host, 1001) as c:
        got = [m for _, m in zip(want, c)]
        s.do(f"wait idle {WAIT_MS}")
    assert got == want
    lines = recorded(s.stop())
    assert len(lines) == sum(f.stem != "WATCHED_CHANGE" for f in files for _ in json.loads(f.read_text()))
    with_key = [x for x in lines if x["key"] and x["kind"] != "live"]
    facts = {f[1]: f for m in want if m["cmd"] in ("SEND_GIFT", "SUPER_CHAT_MESSAGE") and "tid" in m["data"] or
             m["cmd"] == "SUPER_CHAT_MESSAGE" for f in [fact(m)]}
    assert facts and all(as_fact(x)[2:] == facts[x["key"]][2:] for x in with_key if x["key"] in facts)


# --- what it sends looks like what is real -------------------------------------------------------------------------


def shape(value, path, out):
    name = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object",
            type(None): "null"}[type(value)]
    out[path].add(name)
    if isinstance(value, dict):
        for k, v in value.items():
            shape(v, f"{path}.{'*' if k.startswith('[') else k}", out)
    elif isinstance(value, list):
        fixed = path == ".info" or (path.startswith(".info[") and path.count("[") < 2)
        for i, v in enumerate(value):
            shape(v, f"{path}[{i if fixed else ''}]", out)
    elif path.endswith(".extra"):
        shape(json.loads(value), path + "!", out)


def dump(*args):
    text = subprocess.run([str(PROGRAM), *map(str, args)], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("cmd,modern", [
    ("DANMU_MSG", lambda m: len(m["info"]) >= 18 and len(json.loads(m["info"][0][15]["extra"])) >= 37), ("SEND_GIFT", lambda m: "wealth_level" in m["data"]),
    ("SUPER_CHAT_MESSAGE", lambda m: "uinfo" in m["data"]), ("LIVE", lambda m: "special_types" in m),
    ("PREPARING", lambda m: "scatter" not in m), ("WATCHED_CHANGE", bool), ("LIKE_INFO_V3_UPDATE", bool),
    ("ONLINE_RANK_COUNT", bool), ("STOP_LIVE_ROOM_LIST", bool), ("ROOM_REAL_TIME_MESSAGE_UPDATE", bool)])
def test_keys_and_types_of_real_messages_are_there(cmd, modern):
    real = [m for m in json.loads((samples() / f"{cmd}.json").read_text()) if modern(m)]
    ours = collections.defaultdict(set)
    for m in dump("--dump", 20000):
        if str(m.get("cmd", "")).split(":")[0] == cmd:
            shape(m, "", ours)
    assert real and ours
    # A few old or rare things that the generator leaves out on purpose.
    left_out = ("bag_gift.", "receiver_uinfo.medal")
    for m in real:
        theirs = collections.defaultdict(set)
        shape(m, "", theirs)
        for path, types in theirs.items():
            if any(x in path for x in left_out):
                continue
            assert path in ours, f"{cmd}: {path} is missing"
            assert types <= ours[path] | {"null"}, f"{cmd}: {path} is {ours[path]}, real {types}"


def test_sizes_and_lengths():
    chat = [m for m in dump("--dump", 5000, "--mix", "danmaku=1")]
    sizes = sorted(len(json.dumps(m, ensure_ascii=False, separators=(",", ":")).encode()) for m in chat)
    assert 2000 < sum(sizes) / len(sizes) < 2700
    lengths = sorted(len(m["info"][1]) for m in chat)
    assert lengths[0] >= 1 and lengths[-1] <= 60 and 3 <= lengths[len(lengths) // 2] <= 12
    assert {len(m["info"]) for m in chat} == {16, 17, 18} and {len(m["info"][0]) for m in chat} == {18}
    assert any(m["cmd"] != "DANMU_MSG" for m in chat)
    assert {len(json.loads(m["info"][0][15]["extra"])["id_str"]) for m in chat} <= {34, 35, 36}


# --- faults --------------------------------------------------------------------------------------------------------


def facts_of(texts):
    return [f for f in (fact(json.loads(t)) for t in texts) if f]


@pytest.mark.parametrize("kind", ["reset", "truncate", "close"])
def test_ends(sim, kind):
    s = sim("--rooms", 1, "--speed", "max", "--mix", "danmaku=1", "--fault", f"room=*,kind={kind},after=100")
    with Client(s.host, 1001, 2) as c:
        texts, end = drain(c)
    assert isinstance(end, ConnectionResetError if kind == "reset" else EOFError), end
    assert ("left over" in str(end)) == (kind == "truncate")
    with Client(s.host, 1001, 2) as c:  # times=1: only one connection
        read_facts(c, 200)
    lines = s.stop()
    assert facts_of(texts) == [as_fact(x) for x in recorded(lines, conn=1)]
    assert 100 <= len(texts) < 130
    end = next(x for x in lines if x["t"] == "end" and x["conn"] == 1)
    assert end["why"] == kind and end["acked_seq"] == end["sent_seq"] == len(texts)
    assert [x["kind"] for x in lines if x["t"] == "fault"] == [kind]


@pytest.mark.parametrize("rule", ["kind=garbage", "kind=length,what=huge", "kind=length,what=zero",
                                  "kind=length,what=short", "kind=length,what=head"])
def test_lost_streams(sim, rule):
    s = sim("--rooms", 1, "--speed", "max", "--mix", "danmaku=1", "--fault", f"{rule},after=50")
    with Client(s.host, 1001, 3) as c:
        texts, end = drain(c)
    assert isinstance(end, danmaku.ProtocolError), end
    s.do(f"wait gone {WAIT_MS}")
    assert facts_of(texts) == [as_fact(x) for x in recorded(s.stop(), conn=1)]


@pytest.mark.parametrize("kind", ["unknown_op", "empty", "not_json", "types", "deep"])
def test_odd_packets_keep_the_stream_in_step(sim, kind):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001, 3) as c:
        while c.heartbeats < 1:
            c._take(*c._packet())
        s.do(f"fault kind={kind}")
        s.do("say * danach")
        for text in c.raw():
            if "danach" in text.decode("utf-8", "replace"):
                break
        assert len(c.frames) > 3
    s.stop()


@pytest.mark.parametrize("protover", [2, 3])
def test_hostile_frames_are_what_they_say(sim, protover):
    s = sim("--rooms", 1, "--rate", 0)
    for kind, size in (("bomb", 20000000), ("swarm", 12000), ("nest", 10), ("bad_zip", 0), ("inner_length", 0)):
        with Client(s.host, 1001, protover) as c:
            s.do(f"fault kind={kind},size={size}")
            head = c._packet
            while True:
                h, body = head()
                if h[3] == danmaku.MESSAGE:
                    break
        assert h[2] == protover and len(body) < 200000
        if kind == "bomb":
            assert len((zlib.decompress if protover == 2 else danmaku.brotli.decompress)(body)) == size + 16
        elif kind == "swarm":
            assert len(list(danmaku.messages(h[2], body))) == size
        else:
            with pytest.raises((danmaku.ProtocolError, zlib.error, danmaku.brotli.error)):
                list(danmaku.messages(h[2], body))
    s.stop()


@pytest.mark.parametrize("kind,want", [("bad_utf8", "坏\N{REPLACEMENT CHARACTER}"), ("nul", "坏字"),
                                       ("surrogate", "坏\N{REPLACEMENT CHARACTER}字")])
def test_hostile_text(sim, kind, want):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001, 3) as c:
        s.do(f"fault kind={kind}")
        raw = next(c.raw())
    if kind == "bad_utf8":
        with pytest.raises(UnicodeDecodeError):
            raw.decode()
    else:
        text = json.loads(raw)["info"][1]
        assert text == ("坏\0字" if kind == "nul" else "坏\ud83d字")
        assert json.loads(json.loads(raw)["info"][0][15]["extra"])["content"] == text
    line = recorded(s.stop())[0]
    assert line["hostile"] == kind and line["text"].startswith(want)


def test_duplicates(sim):
    s = sim("--rooms", 1, "--speed", "max", "--count", 100, "--mix", "danmaku=1", "--fault",
            "kind=dup,after=10,every=10,times=0")
    reader = Reader(Client(s.host, 1001, 3))
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    facts = facts_of(reader.result())
    lines = recorded(s.stop())
    assert facts == [as_fact(x) for x in lines]
    assert len(set(facts)) == 100 and len(facts) > 105
    assert len(records.rows(lines)) == sum(records.tuples(lines).values()) == 100
    assert len(recorded(lines, dup=True)) == len(facts) - 100


def test_silence_at_auth_and_refusal(sim):
    s = sim("--rooms", 1, "--rate", 0, "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--fault",
            "kind=refuse,host=1", "--fault", "kind=silence", "--fault", "kind=bad_auth,code=7")
    assert len(s.hosts) == 2
    with pytest.raises(ConnectionRefusedError):
        Client(s.hosts[1], 1001)
    with pytest.raises(socket.timeout):
        Client(s.hosts[0], 1001, timeout=3)
    with pytest.raises(danmaku.AuthError, match="7"):
        Client(s.hosts[0], 1001)
    with Client(s.hosts[0], 1001):
        pass
    s.do("fault clear")
    with Client(s.hosts[1], 1001):
        pass
    s.do("fault kind=bad_auth,what=text")
    with Client(s.host, 1001, auth=False) as c:
        c.sock.sendall(danmaku.packet(danmaku.AUTH, b'{"roomid":1001}'))
        assert c.sock.recv(4096).startswith(b"HTTP/1.1 403")
    s.stop()


def test_host_comes_back(sim):
    s = sim("--rooms", 1, "--rate", 0)
    s.do("fault kind=refuse")
    with pytest.raises(ConnectionRefusedError):
        Client(s.host, 1001)
    s.do("fault clear")
    s.do("fault kind=refuse,for_ms=30")
    until = time.monotonic() + WAIT_MS / 1000
    while True:
        try:
            with Client(s.host, 1001):
                break
        except ConnectionRefusedError:
            s.stats()
            assert time.monotonic() < until, "the host stayed down"
    s.stop()


def test_stall_and_deafness(sim):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001) as c:
        while c.heartbeats < 1:
            c._take(*c._packet())
        s.do("fault kind=stall")
        s.do("say * nobody hears this")
        c.heartbeat()
        while c.heartbeats < 2:  # heartbeats go on
            c._take(*c._packet())
        assert c.pending == []
        s.do("fault clear")
        s.do("fault kind=no_heartbeat")
        c.heartbeat()
        s.do("say * this is heard")
        assert read_facts(c, 1)[0][4] == "this is heard"
        c.sock.settimeout(SILENCE_S)
        with pytest.raises(socket.timeout):
            next(c.raw())
        assert c.heartbeats == 2
    texts = [x["text"] for x in recorded(s.stop())]
    assert texts == ["this is heard"]


def test_drip(sim):
    s = sim("--rooms", 1, "--rate", 0)
    with Client(s.host, 1001, 0) as c:
        s.do("fault kind=drip,size=700")
        s.do("say * langsam")
        pieces = 0
        while b"langsam" not in c.buffer or len(c.buffer) < 2000:
            c._more()
            pieces += 1
        assert pieces >= 3
    s.stop()


def test_bad_rules_are_refused(sim):
    s = sim("--rooms", 1)
    for rule in ("", "room=1", "kind=nothing", "kind=reset,after=x", "kind=reset,room=-1", "kind=reset,unknown=1"):
        s.control.write(f"fault {rule}\n")
        s.control.flush()
        assert s.control.readline().startswith("error ")
    s.stop()


# --- control -------------------------------------------------------------------------------------------------------


def test_control(sim):
    s = sim("--rooms", 3, "--rate", 0)
    assert "stats" in s.do("help")
    with Client(s.host, 1001) as a, Client(s.host, 1002) as b:
        s.do("wait rooms 2")
        s.do('emit 1001 {"cmd":"X","a":[1,2]}')
        assert json.loads(next(a.raw())) == {"cmd": "X", "a": [1, 2]}
        s.do("live 1002 off")
        s.do("live 1002 on")
        kinds = [f[0] for f in read_facts(b, 2)]
        assert kinds == ["live", "live"]
        assert s.do("drop 1001") == "1"
        assert isinstance(drain(a)[1], EOFError)
        assert s.do("reset *") == "1"
        assert isinstance(drain(b)[1], ConnectionResetError)
        s.do(f"wait gone {WAIT_MS}")
    for bad in ("nonsense", "drop", "emit 1001", "emit 9 {}", "wait", "wait ready", "more x", "live 1001 maybe"):
        s.control.write(bad + "\n")
        s.control.flush()
        assert s.control.readline().startswith("error "), bad
    s.control.write("wait ready 5 20\n")
    s.control.flush()
    assert s.control.readline() == "error timeout\n"
    s.do("quit")
    assert s.process.wait(WAIT_MS / 1000) == 0


def test_pause_and_rate(sim):
    s = sim("--rooms", 2, "--rate", 100000, "--steady")
    with Client(s.host, 1001) as a, Client(s.host, 1002) as b:
        s.do("wait events 200")
        s.do("pause 1001")
        a.sock.settimeout(SILENCE_S)
        with pytest.raises(socket.timeout):
            for _ in a.raw():
                pass
        a.sock.settimeout(WAIT_MS / 1000)
        assert len(read_facts(b, 300)) == 300
        s.do("resume 1001")
        assert len(read_facts(a, 10)) == 10
        s.do("rate 0")
        s.do("pause")
        s.do("resume")
    s.stop()


def test_usage():
    run = subprocess.run([str(PROGRAM), "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and "--speed max" in run.stdout
    for bad in (["--nope"], ["--rooms", "x"], ["--rooms"], ["--mix", "a=1"], ["--listen", "nowhere"], ["--steady=1"],
                ["--fault", "kind=x"], ["--room-ids", "1,x"], ["--count", "5", "--slow", "drop"],
                ["--log-level", "loud"], ["--control", "ftp:x"]):
        run = subprocess.run([str(PROGRAM), *bad], capture_output=True, text=True, timeout=120)
        assert run.returncode == 2 and run.stderr.startswith("danmakud-sim: "), bad
        assert run.stdout == ""


def test_stops_under_load(sim):
    s = sim("--rooms", 50, "--speed", "max", "--wait-rooms", 50)
    clients = [Client(s.host, 1001 + i, 2, receive_buffer=8192) for i in range(50)]
    s.do("wait events 10000")
    lines = s.stop()
    for c in clients:
        c.close()
    assert lines[-1]["t"] == "done" and len([x for x in lines if x["t"] == "end"]) == 50
