#include "tests/sim/sim_frame.h"

#include <stdio.h>

#include <brotli/encode.h>
#include <zlib.h>

#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"

enum { WINDOW_BITS = 18, STEP_BYTES = 64 * 1024 };

struct sim_packer {
    z_stream z; /* reset for each frame */
    int brotli_quality;
};

void sim_head_put(uint8_t out[static SIM_HEAD_BYTES], const struct sim_head *h)
{
    put_be32(out, h->packet_len);
    put_be16(out + 4, h->head_len);
    put_be16(out + 6, h->ver);
    put_be32(out + 8, h->op);
    put_be32(out + 12, h->seq);
}

void sim_head_get(const void *bytes, struct sim_head *ret)
{
    const uint8_t *b = bytes;

    ret->packet_len = get_be32(b);
    ret->head_len = get_be16(b + 4);
    ret->ver = get_be16(b + 6);
    ret->op = get_be32(b + 8);
    ret->seq = get_be32(b + 12);
}

static void put_head(struct buf *out, enum sim_ver ver, enum sim_op op, uint32_t seq, size_t body)
{
    uint8_t head[SIM_HEAD_BYTES];

    sim_head_put(head, &(struct sim_head){.packet_len = (uint32_t)(SIM_HEAD_BYTES + body),
                                          .head_len = SIM_HEAD_BYTES,
                                          .ver = (uint16_t)ver,
                                          .op = op,
                                          .seq = seq});
    buf_put(out, (struct str){(const char *)head, sizeof(head)});
}

void sim_packet_put(struct buf *out, enum sim_ver ver, enum sim_op op, uint32_t seq,
                    struct str body)
{
    put_head(out, ver, op, seq, body.len);
    buf_put(out, body);
}

size_t sim_packet_begin(struct buf *out)
{
    put_head(out, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, 0);
    return out->len;
}

void sim_packet_end(struct buf *out, size_t mark)
{
    if (buf_ok(out)) {
        put_be32(out->data + mark - SIM_HEAD_BYTES, (uint32_t)(out->len - mark + SIM_HEAD_BYTES));
    }
}

void sim_heartbeat_reply_put(struct buf *out, enum sim_ver ver, uint32_t popularity,
                             struct str request_body)
{
    uint8_t body[4];

    put_be32(body, popularity);
    sim_packet_put(out, ver, SIM_OP_HEARTBEAT_REPLY, 0, (struct str){(const char *)body, 4});
    buf_put(out, request_body);
}

void sim_auth_reply_put(struct buf *out, enum sim_ver ver, int code)
{
    char body[32];
    int n = snprintf(body, sizeof(body), "{\"code\":%d}", code);

    sim_packet_put(out, ver, SIM_OP_AUTH_REPLY, 1, (struct str){body, (size_t)n});
}

/* zlib gets the project's allocator. */
static void *z_alloc(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return mem_alloc((size_t)n * size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    mem_free(p);
}

static void *b_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return mem_alloc(size);
}

struct sim_packer *sim_packer_new(int zlib_level, int brotli_quality)
{
    struct sim_packer *p = mem_new(struct sim_packer);
    int rc;

    p->z.zalloc = z_alloc;
    p->z.zfree = z_free;
    p->brotli_quality = brotli_quality;
    rc = deflateInit(&p->z, zlib_level);
    ASSERT(rc == Z_OK);
    return p;
}

void sim_packer_free(struct sim_packer *p)
{
    if (p) {
        (void)deflateEnd(&p->z);
        mem_free(p);
    }
}

/* zlib does not write through its input pointer, whatever the type says. */
static Bytef *z_input(const char *p)
{
    union {
        const char *from;
        Bytef *to;
    } cast = {.from = p};

    return cast.to;
}

static void put_zlib(struct sim_packer *p, struct str run, struct buf *out)
{
    size_t bound = deflateBound(&p->z, run.len);
    char *to = buf_reserve(out, bound);
    int rc;

    if (!to) {
        return;
    }
    (void)deflateReset(&p->z);
    p->z.next_in = z_input(run.ptr);
    p->z.avail_in = (uInt)run.len;
    p->z.next_out = (Bytef *)to;
    p->z.avail_out = (uInt)bound;
    rc = deflate(&p->z, Z_FINISH);
    ASSERT(rc == Z_STREAM_END);
    buf_commit(out, bound - p->z.avail_out);
}

static void put_brotli(struct sim_packer *p, struct str run, struct buf *out)
{
    size_t n = BrotliEncoderMaxCompressedSize(run.len) + 64;
    char *to = buf_reserve(out, n);

    if (!to) {
        return;
    }
    if (!BrotliEncoderCompress(p->brotli_quality, WINDOW_BITS, BROTLI_MODE_GENERIC, run.len,
                               (const uint8_t *)run.ptr, &n, (uint8_t *)to)) {
        out->failed = true;
        return;
    }
    buf_commit(out, n);
}

void sim_frame_put(struct sim_packer *p, enum sim_ver ver, struct str run, struct buf *out)
{
    size_t mark = out->len;

    if (ver == SIM_VER_PLAIN || ver == SIM_VER_CONTROL) {
        buf_put(out, run);
        return;
    }
    put_head(out, ver, SIM_OP_MESSAGE, 0, 0);
    if (ver == SIM_VER_ZLIB) {
        put_zlib(p, run, out);
    } else {
        put_brotli(p, run, out);
    }
    if (buf_ok(out)) {
        put_be32(out->data + mark, (uint32_t)(out->len - mark));
    }
}

static void zlib_step(z_stream *z, struct str in, int flush, struct buf *out)
{
    z->next_in = z_input(in.ptr);
    z->avail_in = (uInt)in.len;
    do {
        char *to = buf_reserve(out, STEP_BYTES);

        if (!to) {
            return;
        }
        z->next_out = (Bytef *)to;
        z->avail_out = STEP_BYTES;
        (void)deflate(z, flush);
        buf_commit(out, STEP_BYTES - z->avail_out);
    } while (z->avail_out == 0);
}

static void brotli_step(BrotliEncoderState *s, struct str in, BrotliEncoderOperation op,
                        struct buf *out)
{
    const uint8_t *next = (const uint8_t *)in.ptr;
    size_t left = in.len;

    do {
        uint8_t *to = (uint8_t *)buf_reserve(out, STEP_BYTES);
        size_t room = STEP_BYTES;

        if (!to) {
            return;
        }
        if (!BrotliEncoderCompressStream(s, op, &left, &next, &room, &to, NULL)) {
            out->failed = true;
            return;
        }
        buf_commit(out, STEP_BYTES - room);
    } while (left > 0 || BrotliEncoderHasMoreOutput(s));
}

void sim_compress_run(enum sim_ver ver, struct str head, char byte, size_t n, struct buf *out)
{
    char *block = mem_zero_or_abort(1, STEP_BYTES);
    BrotliEncoderState *b = NULL;
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};

    memset(block, byte, STEP_BYTES);
    if (ver == SIM_VER_ZLIB) {
        (void)deflateInit(&z, 9);
        zlib_step(&z, head, Z_NO_FLUSH, out);
    } else {
        b = BrotliEncoderCreateInstance(b_alloc, z_free, NULL);
        ASSERT(b);
        (void)BrotliEncoderSetParameter(b, BROTLI_PARAM_QUALITY, 5);
        brotli_step(b, head, BROTLI_OPERATION_PROCESS, out);
    }
    for (; n > 0; n -= n < STEP_BYTES ? n : STEP_BYTES) {
        struct str part = {block, n < STEP_BYTES ? n : STEP_BYTES};

        if (b) {
            brotli_step(b, part, BROTLI_OPERATION_PROCESS, out);
        } else {
            zlib_step(&z, part, Z_NO_FLUSH, out);
        }
    }
    if (b) {
        brotli_step(b, STR(""), BROTLI_OPERATION_FINISH, out);
        BrotliEncoderDestroyInstance(b);
    } else {
        zlib_step(&z, STR(""), Z_FINISH, out);
        (void)deflateEnd(&z);
    }
    mem_free(block);
}

bool sim_auth_parse(struct str body, struct sim_auth *ret)
{
    struct json j;
    struct str key;

    *ret = (struct sim_auth){0};
    json_init(&j, body);
    if (!json_enter_object(&j)) {
        return false;
    }
    while (json_next_key(&j, &key)) {
        if (str_eq(key, STR("roomid"))) {
            (void)json_int(&j, &ret->room_id);
        } else if (str_eq(key, STR("uid"))) {
            (void)json_int(&j, &ret->uid);
        } else if (str_eq(key, STR("protover"))) {
            (void)json_int(&j, &ret->protover);
        } else if (str_eq(key, STR("key"))) {
            (void)json_str_raw(&j, &ret->key);
        } else if (str_eq(key, STR("platform"))) {
            (void)json_str_raw(&j, &ret->platform);
        } else if (str_eq(key, STR("buvid"))) {
            (void)json_str_raw(&j, &ret->buvid);
        }
    }
    return json_error(&j) == JSON_ERR_NONE && json_at_end(&j);
}
