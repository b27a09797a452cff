#include "tests/support/frames.h"

#include <brotli/encode.h>
#include <zlib.h>

#include "server/core/assert.h"
#include "server/core/bytes.h"

void frames_put_head(struct buf *out, uint32_t packet_len, uint16_t header_len, uint16_t ver,
                     uint32_t op)
{
    char head[PACKET_HEADER_BYTES];
    put_be32(head, packet_len);
    put_be16(head + 4, header_len);
    put_be16(head + 6, ver);
    put_be32(head + 8, op);
    put_be32(head + 12, 0);
    buf_put(out, (struct str){head, sizeof(head)});
}

void frames_put(struct buf *out, uint16_t ver, uint32_t op, struct str body)
{
    frames_put_head(out, (uint32_t)(PACKET_HEADER_BYTES + body.len), PACKET_HEADER_BYTES, ver, op);
    buf_put(out, body);
}

void frames_zlib(struct buf *out, struct str plain)
{
    uLongf n = compressBound(plain.len);
    char *at = buf_reserve(out, n);
    ASSERT(at);
    const int rc = compress2((Bytef *)at, &n, (const Bytef *)plain.ptr, plain.len, 6);
    ASSERT(rc == Z_OK);
    buf_commit(out, n);
}

void frames_brotli(struct buf *out, struct str plain)
{
    size_t n = BrotliEncoderMaxCompressedSize(plain.len) + 64;
    char *at = buf_reserve(out, n);
    ASSERT(at);
    const BROTLI_BOOL ok =
        BrotliEncoderCompress(5, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC, plain.len,
                              (const uint8_t *)plain.ptr, &n, (uint8_t *)at);
    ASSERT(ok == BROTLI_TRUE);
    buf_commit(out, n);
}

void frames_put_frame(struct buf *out, enum packet_ver ver, struct str packets)
{
    struct buf body;
    buf_init(&body, 256u << 20);
    if (ver == PACKET_ZLIB) {
        frames_zlib(&body, packets);
    } else {
        frames_brotli(&body, packets);
    }
    frames_put(out, (uint16_t)ver, PACKET_MESSAGE, buf_str(&body));
    buf_deinit(&body);
}

static void on_message(void *ctx, struct str json)
{
    buf_put(ctx, STR("message "));
    buf_put(ctx, json);
    buf_put_c(ctx, '\n');
}

static void on_heartbeat_reply(void *ctx, int64_t popularity)
{
    buf_put(ctx, STR("popularity "));
    buf_put_i64(ctx, popularity);
    buf_put_c(ctx, '\n');
}

static void on_auth_reply(void *ctx, struct str body)
{
    buf_put(ctx, STR("auth "));
    buf_put(ctx, body);
    buf_put_c(ctx, '\n');
}

static void on_fault(void *ctx, enum packet_fault which)
{
    static const char *const labels[] = {
#define X(name, label, text) label,
        PACKET_FAULT_TABLE(X)
#undef X
    };
    buf_put(ctx, STR("fault "));
    buf_put(ctx, str_of(labels[which]));
    buf_put_c(ctx, '\n');
}

struct packet_sink frames_recorder(struct buf *log)
{
    return (struct packet_sink){.on_message = on_message,
                                .on_heartbeat_reply = on_heartbeat_reply,
                                .on_auth_reply = on_auth_reply,
                                .on_fault = on_fault,
                                .ctx = log};
}
