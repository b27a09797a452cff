"""Protobuf by hand: what the tests need of the wire format, and nothing of any library.

A message is a list of (number, value): an int is a varint, bytes and str are length-delimited, a list is a message
of its own, Fixed32 and Fixed64 are what they say. The list may hold what no encoder would write.
"""
import base64


class Fixed32(int):
    pass


class Fixed64(int):
    pass


class Raw(bytes):
    """Bytes that stand in the message as they are, without a tag."""


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(fields):
    out = bytearray()
    for number, value in fields:
        if isinstance(value, Raw):
            out += value
        elif isinstance(value, Fixed32):
            out += varint(number << 3 | 5) + (int(value) & 0xFFFFFFFF).to_bytes(4, "little")
        elif isinstance(value, Fixed64):
            out += varint(number << 3 | 1) + (int(value) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            if isinstance(value, list):
                value = encode(value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def encode64(fields):
    return base64.b64encode(encode(fields)).decode()
