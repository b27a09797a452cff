#!/usr/bin/python3
"""A danmaku client of its own, sharing no code with the daemon: tcp or websocket, auth, heartbeats, messages as lines.

    tests/sim/client.py --host 127.0.0.1:2243 --room 1001 [--protover 3] [--count N] [--seconds S]
    tests/sim/client.py --host wss://127.0.0.1:2245/sub --ca DIR/ca.pem --room 1001

It shares no code with the simulator or with danmakud, so that it checks both. As a module: class Client.
Needs the standard library and python3-brotli; for ws and wss also python3-websocket.
"""
import argparse
import json
import socket
import struct
import sys
import time
import zlib

try:
    import brotli
except ImportError:
    brotli = None
try:
    import websocket
except ImportError:
    websocket = None

HEAD = struct.Struct(">IHHII")
HEARTBEAT, HEARTBEAT_REPLY, MESSAGE, AUTH, AUTH_REPLY = 2, 3, 5, 7, 8
PLAIN, CONTROL, ZLIB, BROTLI = 0, 1, 2, 3
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
ORIGIN = "https://live.bilibili.com"


class ProtocolError(Exception):
    pass


class AuthError(Exception):
    pass


def packet(op, body, ver=1, seq=1):
    return HEAD.pack(HEAD.size + len(body), HEAD.size, ver, op, seq) + body


def split(data):
    """(header fields, body) of each packet of a whole run."""
    at = 0
    while at < len(data):
        if len(data) - at < HEAD.size:
            raise ProtocolError("a run ends inside a header")
        head = HEAD.unpack_from(data, at)
        length, head_len = head[0], head[1]
        if head_len < HEAD.size or head_len > length or length > len(data) - at:
            raise ProtocolError(f"bad header {head}")
        yield head, data[at + head_len:at + length]
        at += length


def messages(ver, body, depth=0):
    """JSON texts inside one op 5 body."""
    if depth > 4:
        raise ProtocolError("nested too deep")
    if not body:
        return
    if ver == ZLIB:
        body = zlib.decompress(body)
    elif ver == BROTLI:
        body = brotli.decompress(body)
    else:
        yield body
        return
    for head, inner in split(body):
        if head[3] == MESSAGE:
            yield from messages(head[2], inner, depth + 1)


class Tcp:
    """A stream: bytes come in any pieces."""
    whole = False

    def __init__(self, host, timeout, receive_buffer):
        name, port = host.rsplit(":", 1)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect((name, int(port)))
        self.send = self.sock.sendall
        self.close = self.sock.close

    def receive(self):
        return self.sock.recv(1 << 18)


class WebSocket:
    """Messages of one or more whole packets. texts: the text messages, which mean nothing."""
    whole = True

    def __init__(self, url, timeout, ca, origin, user_agent):
        self.texts = []
        self.close_code = None
        self.ws = websocket.create_connection(
            url, timeout=timeout, origin=origin, header=[f"User-Agent: {user_agent}"] if user_agent else [],
            sslopt={"ca_certs": ca} if ca else None)
        self.sock = self.ws.sock
        self.close = self.ws.close

    def send(self, data):
        self.ws.send_binary(data)

    def receive(self):
        while True:
            try:
                op, data = self.ws.recv_data()
            except websocket.WebSocketTimeoutException as e:
                raise socket.timeout from e
            except websocket.WebSocketConnectionClosedException as e:
                raise EOFError("closed without a close frame") from e
            if op == websocket.ABNF.OPCODE_CLOSE:
                self.close_code = struct.unpack_from(">H", data)[0] if len(data) > 1 else None
                return b""
            if op == websocket.ABNF.OPCODE_BINARY:
                return data
            self.texts.append(data)


class Client:
    """Blocking, one connection. frames: every header received, for tests that look at framing.
    packets_per_message: of a websocket, how many packets were in each message."""

    def __init__(self, host, room, protover=3, uid=0, key="", buvid="", heartbeat_body=b"", auth=True, timeout=120,
                 auth_body=None, receive_buffer=None, ca=None, origin=ORIGIN, user_agent=USER_AGENT, platform="web"):
        if "://" in host:
            self.link = WebSocket(host, timeout, ca, origin, user_agent)
        else:
            self.link = Tcp(host, timeout, receive_buffer)
        self.sock = self.link.sock
        self.packets_per_message = []
        self.buffer = b""
        self.frames = []
        self.popularity = None
        self.heartbeats = 0
        self.pending = []
        self.heartbeat_body = heartbeat_body
        self.next_heartbeat = None
        if auth:
            body = auth_body if auth_body is not None else json.dumps(
                {"uid": uid, "roomid": room, "protover": protover, "platform": platform, "type": 2, "buvid": buvid,
                 "key": key}).encode()
            try:
                self.link.send(packet(AUTH, body))
                self.wait_auth()
                self.heartbeat()
            except BaseException:
                self.close()
                raise

    def close(self):
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def heartbeat(self):
        self.link.send(packet(HEARTBEAT, self.heartbeat_body))
        self.next_heartbeat = time.monotonic() + 30

    def _more(self):
        if self.link.whole and self.buffer:
            raise ProtocolError("a packet straddles two messages")
        data = self.link.receive()
        if not data:
            raise EOFError("closed by the server" + (f", {len(self.buffer)} bytes left over" if self.buffer else ""))
        self.buffer += data
        self.packets_per_message.append(0)

    def _packet(self):
        while True:
            if len(self.buffer) >= HEAD.size:
                head = HEAD.unpack_from(self.buffer)
                length, head_len, _, op, _ = head
                if head_len < HEAD.size or head_len > length or length > 4 << 20:
                    raise ProtocolError(f"bad header {head}")
                # The reply to a heartbeat is followed by a copy of the request's body that its length does not count.
                total = length + (len(self.heartbeat_body) if op == HEARTBEAT_REPLY else 0)
                if len(self.buffer) >= total:
                    body = self.buffer[head_len:length]
                    if op == HEARTBEAT_REPLY and self.buffer[length:total] != self.heartbeat_body:
                        raise ProtocolError("the heartbeat's echo differs")
                    self.buffer = self.buffer[total:]
                    self.frames.append(head)
                    self.packets_per_message[-1] += 1
                    return head, body
            self._more()

    def wait_auth(self):
        """Reads up to the auth reply; what comes before it is kept."""
        while True:
            head, body = self._packet()
            if head[3] == AUTH_REPLY:
                code = json.loads(body)["code"]
                if code != 0:
                    raise AuthError(code)
                return
            self._take(head, body)

    def _take(self, head, body):
        if head[3] == MESSAGE:
            self.pending.extend(messages(head[2], body))
        elif head[3] == HEARTBEAT_REPLY:
            self.popularity = struct.unpack_from(">I", body)[0]
            self.heartbeats += 1

    def raw(self):
        """Every message as bytes of JSON, for ever; EOFError when the server closes, socket.timeout when it is silent."""
        while True:
            while self.pending:
                yield self.pending.pop(0)
            if self.next_heartbeat and time.monotonic() >= self.next_heartbeat:
                self.heartbeat()
            self._take(*self._packet())

    def __iter__(self):
        for text in self.raw():
            yield json.loads(text)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--host", required=True, help="ADDR:PORT, ws://ADDR:PORT/sub or wss://ADDR:PORT/sub")
    ap.add_argument("--ca", help="certificates to trust, PEM")
    ap.add_argument("--room", type=int, required=True)
    ap.add_argument("--protover", type=int, default=3, choices=(0, 2, 3))
    ap.add_argument("--uid", type=int, default=0)
    ap.add_argument("--key", default="")
    ap.add_argument("--count", type=int, default=0, help="stop after so many messages")
    ap.add_argument("--seconds", type=float, default=0, help="stop when nothing has come for so long")
    args = ap.parse_args()
    n = 0
    with Client(args.host, args.room, args.protover, args.uid, args.key, timeout=args.seconds or 60,
                ca=args.ca) as client:
        try:
            for text in client.raw():
                sys.stdout.buffer.write(text + b"\n")
                n += 1
                if args.count and n >= args.count:
                    break
        except (EOFError, socket.timeout, ConnectionResetError) as e:
            print(f"client.py: {e}", file=sys.stderr)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
