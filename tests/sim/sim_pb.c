#include "tests/sim/sim_pb.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_varint(struct buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_put_c(b, (char)(v | 0x80));
        v >>= 7;
    }
    buf_put_c(b, (char)v);
}

void sim_pb_always(struct buf *b, unsigned field, int64_t v)
{
    put_varint(b, field << 3 | WIRE_VARINT);
    put_varint(b, (uint64_t)v);
}

void sim_pb_int(struct buf *b, unsigned field, int64_t v)
{
    if (v != 0) {
        sim_pb_always(b, field, v);
    }
}

void sim_pb_str(struct buf *b, unsigned field, struct str s)
{
    if (s.len > 0) {
        put_varint(b, field << 3 | WIRE_BYTES);
        put_varint(b, s.len);
        buf_put(b, s);
    }
}

void sim_pb_msg(struct buf *b, unsigned field, const struct buf *sub)
{
    put_varint(b, field << 3 | WIRE_BYTES);
    put_varint(b, sub->len);
    if (sub->len > 0) {
        buf_put(b, buf_str(sub));
    }
}

void sim_pb_float(struct buf *b, unsigned field, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_varint(b, field << 3 | WIRE_FIXED32);
    for (int i = 0; i < 4; i++) {
        buf_put_c(b, (char)(bits >> 8 * i & 0xff));
    }
}

void sim_pb_base64(struct buf *out, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t v = 0;
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;

        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (k < n ? (uint8_t)bytes.ptr[i + k] : 0);
        }
        for (size_t k = 0; k < 4; k++) {
            buf_put_c(out, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
        }
    }
}
