#!/usr/bin/python3
"""The Python way, without any client around it: struct, brotli or zlib, json. peer.py FILE MESSAGES -> messages/s."""
import json
import struct
import sys
import time
import zlib

import brotli

ROUNDS_S = 1.5
HEAD = struct.Struct(">IHHII")


def walk(data, on_message):
    at, end = 0, len(data)
    while at < end:
        length, head, ver, op, _ = HEAD.unpack_from(data, at)
        body = data[at + head:at + length]
        if op == 5:
            if ver == 3:
                walk(brotli.decompress(body), on_message)
            elif ver == 2:
                walk(zlib.decompress(body), on_message)
            else:
                on_message(json.loads(body.decode()))
        at += length


class Sink:
    def __init__(self):
        self.n = self.bytes = 0

    def __call__(self, m):
        info = m["info"]
        meta, user, worn = info[0], info[2], info[3]
        extra = json.loads(meta[15]["extra"])
        event = (user[0], user[1], info[1], meta[4], meta[1], meta[3], info[7], info[16][0], extra["id_str"],
                 worn[:4] if worn else None)
        self.n += 1
        self.bytes += len(event[2])


def main():
    data, n = open(sys.argv[1], "rb").read(), int(sys.argv[2])
    best, until = 0.0, time.perf_counter() + ROUNDS_S
    while time.perf_counter() < until:
        sink, start = Sink(), time.perf_counter()
        walk(data, sink)
        best = max(best, n / (time.perf_counter() - start))
        assert sink.n == n
    print(int(best))


main()
