"""danmakud-sim over websocket and tls, looked at by a client that is nobody's here: python3-websocket and Python's ssl.

    DANMAKUD_BUILD=build/dev /usr/bin/python3 -m pytest tests/integration/test_sim_ws.py
"""
import collections
import json
import socket
import ssl
import struct

import pytest
import websocket

import test_sim as base
from harness import wait_for
from test_sim import WAIT_MS, Reader, as_fact, drain, fact, facts_of, read_facts, recorded
import client as danmaku

sim_of = base.sim


class Link:
    """A simulator that listens on ws and wss, and clients for it over one of them."""

    def __init__(self, sim, tmp_path, kind, *args):
        self.kind = kind
        self.ca = str(tmp_path / "tls" / "ca.pem")
        self.sim = sim("--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--tls-dir", tmp_path / "tls", *args)
        self.address = self.sim.ready[kind]
        self.url = f"{kind}://{self.address}/sub"
        self.do, self.stats, self.stop = self.sim.do, self.sim.stats, self.sim.stop

    def client(self, room=1001, protover=3, **kw):
        return danmaku.Client(self.url, room, protover, ca=self.ca, **kw)


@pytest.fixture(params=["ws", "wss"])
def link(request, tmp_path, sim_of):
    return lambda *args: Link(sim_of, tmp_path, request.param, *args)


@pytest.fixture
def wss(tmp_path, sim_of):
    return lambda *args: Link(sim_of, tmp_path, "wss", *args)


# --- messages ------------------------------------------------------------------------------------------------------


def test_record_is_what_clients_saw(link):
    s = link("--speed", "max", "--count", 3000, "--rooms", 3, "--wait-rooms", 3, "--seed", 5)
    readers = [Reader(s.client(1001 + i, protover)) for i, protover in enumerate((0, 2, 3))]
    s.do(f"wait idle {WAIT_MS}")
    s.do("drop *")
    seen = collections.Counter()
    for i, r in enumerate(readers):
        for text in r.result():
            f = fact(json.loads(text))
            if f:
                seen[(1001 + i, *f)] += 1
        assert isinstance(r.end, EOFError)
        assert r.client.link.close_code == 1000
    s.do(f"wait gone {WAIT_MS}")
    lines = s.stop()
    events = recorded(lines)
    assert collections.Counter((x["room"], *as_fact(x)) for x in events) == seen
    assert len(recorded(events, dup=False)) == 3000 == lines[-1]["events"]
    ends = [x for x in lines if x["t"] == "end"]
    assert len(ends) == 3 and all(x["acked_seq"] == x["sent_seq"] and x["why"] == "dropped" for x in ends)


def test_a_message_holds_one_packet_or_several(link):
    s = link("--speed", "max", "--count", 2000, "--rooms", 1)
    with s.client(protover=0) as c:
        read_facts(c, 2000)
    sizes = collections.Counter(c.packets_per_message)
    assert sizes[1] > 10 and sizes[2] > 10 and sizes[4] > 10
    assert sum(n * k for n, k in sizes.items()) == len(c.frames)
    s.stop()


def test_heartbeat_echo(link):
    s = link("--rooms", 1, "--rate", 2000)
    with s.client(heartbeat_body=b"[object Object]") as c:
        while c.heartbeats < 1:
            next(c.raw())
        read_facts(c, 5)
    assert [h[0] for h in c.frames if h[3] == danmaku.HEARTBEAT_REPLY] == [20]
    s.stop()


def test_slow_client_loses_nothing(link):
    s = link("--speed", "max", "--count", 5000, "--rooms", 1, "--mix", "danmaku=1", "--queue-bytes", 65536)
    with s.client(protover=0) as c:
        s.do("wait events 100")
        facts = read_facts(c, 5000)
    assert len({f[1] for f in facts}) == 5000
    s.stop()


def test_refused_auth_comes_with_a_close_frame(link):
    s = link("--token", "good")
    with pytest.raises(danmaku.AuthError):
        s.client(key="bad")
    with s.client(key="good"):
        pass
    s.stop()


# --- handshakes ----------------------------------------------------------------------------------------------------


def test_only_the_path_of_upstream(link):
    s = link()
    options = {"sslopt": {"ca_certs": s.ca}, "timeout": 120}
    for path in ("/", "/subs", "/sub/"):
        with pytest.raises(websocket.WebSocketBadStatusException) as e:
            websocket.create_connection(f"{s.kind}://{s.address}{path}", **options)
        assert e.value.status_code == 404
    assert s.stats()["ws_refused"] == 3 and s.stats()["ws_upgrades"] == 0
    s.stop()


def test_strict_about_who_asks(link):
    s = link("--ws-strict")
    for kw in ({"user_agent": None}, {"user_agent": "python"}, {"origin": "https://elsewhere.test"}):
        with pytest.raises(websocket.WebSocketBadStatusException) as e:
            s.client(**kw)
        assert e.value.status_code == 403
    with s.client():
        pass
    s.stop()


@pytest.mark.parametrize("what,text", [("status", "403"), ("accept", "Invalid WebSocket Header"),
                                       ("upgrade", "Invalid WebSocket Header"), ("close", "")])
def test_wrong_answers(link, what, text):
    s = link("--fault", f"kind=ws_answer,what={what}", "--fault", "kind=tls_plain,host=0")
    with pytest.raises((websocket.WebSocketException, OSError)) as e:
        s.client()
    assert text in str(e.value)
    with s.client():
        pass
    assert s.stats()["faults"] == 1
    s.stop()


def test_other_wrong_answers(wss):
    """What the library does not mind, byte by byte."""
    s = wss("--fault", "kind=ws_answer,what=extension", "--fault", "kind=ws_answer,what=long,times=2",
            "--fault", "kind=ws_answer,what=redirect", "--fault", "kind=ws_answer,what=reset")
    ws = websocket.create_connection(s.url, timeout=120, sslopt={"ca_certs": s.ca})
    assert ws.headers["sec-websocket-extensions"] == "permessage-deflate"
    ws.close()
    for _ in range(2):
        raw = tls_socket(s)
        raw.sendall(REQUEST % s.address.encode())
        assert len(receive_exactly(raw, 9000)) == 9000
        raw.close()
    raw = tls_socket(s)
    raw.sendall(REQUEST % s.address.encode())
    assert b"302 Found\r\nLocation: https://elsewhere.invalid/sub\r\n" in raw.recv(1000)
    raw.close()
    with pytest.raises((websocket.WebSocketException, OSError)):
        s.client()
    with s.client():
        pass
    s.stop()


@pytest.mark.parametrize("size", [0, 20])
def test_stalled_handshake(link, size):
    s = link("--fault", f"kind=ws_stall,size={size}", "--auth-timeout-ms", 1000)
    with pytest.raises(websocket.WebSocketTimeoutException):
        s.client(timeout=3)
    with s.client():
        pass
    s.stop()


# --- tls -----------------------------------------------------------------------------------------------------------

REQUEST = (b"GET /sub HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def tls_socket(s, session=None, ca=None, name="127.0.0.1"):
    context = tls_socket.context.setdefault(s, ssl.create_default_context(cafile=ca or s.ca))
    host, port = s.address.split(":")
    raw = socket.create_connection((host, int(port)), timeout=120)
    return context.wrap_socket(raw, server_hostname=name, session=session)


tls_socket.context = {}


def receive_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, f"ended after {len(data)} bytes"
        data += more
    return data


def test_certificate_is_for_this_machine_alone(wss):
    s = wss()
    for name in ("127.0.0.1", "localhost", "::1"):
        tls_socket(s, name=name).close()
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_socket(s, name="live.bilibili.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        danmaku.Client(s.url, 1001)  # the system does not know this authority
    assert s.stats()["tls_failed"] >= 1
    s.stop()


def test_certificate_stays(sim_of, tmp_path):
    first = sim_of("--wss", "127.0.0.1:0", "--tls-dir", tmp_path / "tls")
    first.stop()
    was = [(tmp_path / "tls" / name).read_bytes() for name in ("ca.pem", "server.pem", "server.key")]
    assert (tmp_path / "tls" / "server.key").stat().st_mode & 0o077 == 0
    sim_of("--wss", "127.0.0.1:0", "--tls-dir", tmp_path / "tls").stop()
    assert was == [(tmp_path / "tls" / name).read_bytes() for name in ("ca.pem", "server.pem", "server.key")]
    third = sim_of("--wss", "127.0.0.1:0", "--tls-cert", tmp_path / "tls" / "server.pem", "--tls-key",
                   tmp_path / "tls" / "server.key")
    danmaku.Client(f"wss://{third.ready['wss']}/sub", 1001, ca=str(tmp_path / "tls" / "ca.pem")).close()
    third.stop()


def test_sessions_are_resumed(wss):
    s = wss()
    first = tls_socket(s)
    first.sendall(REQUEST % s.address.encode())
    assert first.recv(1000).startswith(b"HTTP/1.1 101 ")
    assert not first.session_reused
    again = tls_socket(s, session=first.session)
    again.sendall(REQUEST % s.address.encode())
    assert again.recv(1000).startswith(b"HTTP/1.1 101 ")
    assert again.session_reused
    assert (s.stats()["tls_full"], s.stats()["tls_resumed"]) == (1, 1)
    first.close()
    again.close()
    s.stop()


def test_tls_faults(wss):
    s = wss("--fault", "kind=tls_plain", "--fault", "kind=tls_stall", "--auth-timeout-ms", 1000)
    with pytest.raises(ssl.SSLError):
        tls_socket(s)
    with pytest.raises(socket.timeout):
        host, port = s.address.split(":")
        raw = socket.create_connection((host, int(port)), timeout=3)
        ssl.create_default_context(cafile=s.ca).wrap_socket(raw, server_hostname=host)
    with s.client():
        pass
    s.stop()


# --- frames --------------------------------------------------------------------------------------------------------


def test_fragments(link):
    s = link("--speed", "max", "--count", 500, "--rooms", 1, "--fault", "kind=ws_fragment,size=50")
    with s.client(protover=2) as c:
        facts = read_facts(c, 500)
        s.do(f"wait idle {WAIT_MS}")
        s.do("fault clear")
        s.do("say * whole again")
        read_facts(c, 1)
        assert s.stats()["ws_pongs"] > 100
    assert facts == [as_fact(x) for x in recorded(s.stop())][:500]


def test_pings_and_texts(link):
    s = link("--rooms", 1, "--rate", 0)
    with s.client() as c:
        for kind in ("ws_ping", "ws_text", "ws_ping"):
            s.do(f"fault kind={kind}")
        s.do("say * danach")
        assert read_facts(c, 1)[0][4] == "danach"
        assert c.link.texts == [b'{"cmd":"AS_TEXT"}']
        s.do("say * noch")
        read_facts(c, 1)
        assert s.stats()["ws_pongs"] == 2
    s.stop()


@pytest.mark.parametrize("rule,code", [("ws_close", 1000), ("ws_close,code=4003", 4003), ("close", 1000)])
def test_close_frames(link, rule, code):
    s = link("--rooms", 1, "--speed", "max", "--mix", "danmaku=1", "--fault", f"room=*,kind={rule},after=100")
    with s.client(protover=2) as c:
        texts, end = drain(c)
    assert isinstance(end, EOFError) and c.link.close_code == code
    lines = s.stop()
    assert facts_of(texts) == [as_fact(x) for x in recorded(lines, conn=1)]
    end = next(x for x in lines if x["t"] == "end" and x["conn"] == 1)
    assert end["acked_seq"] == end["sent_seq"] == len(texts) >= 100


@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize("after", [0, 100])
def test_ends_within_a_message(link, kind, after):
    s = link("--rooms", 1, "--speed", "max", "--mix", "danmaku=1")
    s.do(f"fault kind={kind},after={after}")
    with s.client(protover=2) as c:
        texts, end = drain(c)
    assert isinstance(end, (EOFError, OSError)) and c.link.close_code is None, end
    lines = s.stop()
    assert facts_of(texts) == [as_fact(x) for x in recorded(lines, conn=1)]


@pytest.mark.parametrize("rule", ["garbage", "length,what=huge", "length,what=zero", "length,what=short",
                                  "length,what=head", "unknown_op", "empty", "not_json", "types", "deep"])
def test_odd_messages_spoil_nothing(link, rule):
    """On a stream some of these would be the end: here each message stands for itself."""
    s = link("--rooms", 1, "--rate", 0)
    with s.client() as c:
        s.do(f"fault kind={rule}")
        s.do("say * danach")
        while True:
            try:
                if "danach" in next(c.raw()).decode("utf-8", "replace"):
                    break
            except danmaku.ProtocolError:
                c.buffer = b""
    s.stop()


@pytest.mark.parametrize("rule", ["ws_frame,what=reserved", "ws_frame,what=opcode", "ws_frame,what=continue",
                                  "ws_frame,what=ping", "ws_frame,what=close"])
def test_frames_nobody_may_send(link, rule):
    s = link("--rooms", 1, "--rate", 0)
    with s.client() as c:
        s.do(f"fault kind={rule}")
        with pytest.raises((websocket.WebSocketException, EOFError)):
            next(c.raw())
    s.do(f"wait gone {WAIT_MS}")
    s.stop()


def test_huge_message(link):
    s = link("--rooms", 1, "--rate", 0)
    with s.client() as c:
        s.do("fault kind=ws_huge")
        while True:
            data = c.link.receive()
            if data == b" " * (5 << 20):
                break
            assert len(data) < 100  # a heartbeat's reply
    s.stop()


def frame(first, payload, mask=True):
    head = bytes([first, len(payload) | (0x80 if mask else 0)])
    return head + (b"\1\2\3\4" + bytes(b ^ (i % 4 + 1) for i, b in enumerate(payload)) if mask else payload)


@pytest.mark.parametrize("junk", [frame(0x82, b"x" * 16, mask=False), frame(0xc2, b"x" * 16), frame(0x83, b"x"),
                                  frame(0x80, b"x"), frame(0x09, b"x"), frame(0x02, b"x") + frame(0x82, b"y"),
                                  frame(0x82, b"x" * 16), frame(0x82, danmaku.packet(7, b"{}")[:-1]),
                                  b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"mask"])
def test_clients_that_make_no_sense(link, junk):
    s = link("--rooms", 1)
    ws = websocket.create_connection(s.url, timeout=120, sslopt={"ca_certs": s.ca})
    ws.sock.sendall(junk)
    s.do(f"wait gone {WAIT_MS}")
    assert s.stats()["bad_packets"] == 1
    ws.shutdown()
    s.stop()


@pytest.mark.parametrize("junk", [b"GET /sub HTTP/1.1\r\n\r\n", b"POST /sub HTTP/1.1\r\n\r\n", b"\xff" * 9000,
                                  REQUEST % b"x" + b"early"])
def test_requests_that_make_no_sense(sim_of, junk):
    s = sim_of("--ws", "127.0.0.1:0")
    host, port = s.ready["ws"].split(":")
    with socket.create_connection((host, int(port)), timeout=120) as sock:
        sock.sendall(junk)
        s.do(f"wait gone {WAIT_MS}")
    wait_for("the refusal", lambda: s.stats()["bad_packets"] == 1)
    s.stop()


def test_needs_a_certificate(sim_of):
    with pytest.raises(AssertionError, match="--wss, --https: need"):
        sim_of("--wss", "127.0.0.1:0")
    with pytest.raises(AssertionError, match="no certificate"):
        sim_of("--wss", "127.0.0.1:0", "--tls-cert", "/dev/null", "--tls-key", "/dev/null")
