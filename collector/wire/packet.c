#include "collector/wire/packet.h"

#include "collector/wire/inflate.h"
#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"

enum {
    PACKET_DEPTH_MAX = INFLATE_LEVELS,
    PACKET_KEEP_BYTES = 16 * 1024, /* of an unfinished packet's buffer, once it is empty */
    PACKET_SEQ = 1
};

const struct packet_limits packet_limits_default = {
    .packet_bytes = 4u << 20, .inflated_bytes = 16u << 20, .packets = 10000, .depth = 4};

struct packet_head {
    uint32_t packet_len;
    uint16_t header_len;
    uint16_t ver;
    uint32_t op;
};

struct packet_stream {
    struct packet_limits limits;
    struct buf partial;      /* owned; the unfinished packet of a byte stream */
    struct inflate *inflate; /* borrowed or owned, see owns_inflate; NULL until needed */
    bool owns_inflate;
    bool lost; /* the position in the byte stream is gone */

    /* The frame being read: what is left to read of each inflated level, and of the limits. */
    struct str rest[PACKET_DEPTH_MAX];
    unsigned depth; /* number of levels in use */
    uint32_t packets_left;
    size_t bytes_left;
};

struct packet_stream *packet_stream_new(const struct packet_limits *limits)
{
    struct packet_stream *p = mem_new(struct packet_stream);
    p->limits = limits ? *limits : packet_limits_default;
    if (p->limits.depth > PACKET_DEPTH_MAX) {
        p->limits.depth = PACKET_DEPTH_MAX;
    }
    buf_init(&p->partial, p->limits.packet_bytes > PACKET_HEADER_BYTES ? p->limits.packet_bytes
                                                                       : PACKET_HEADER_BYTES);
    return p;
}

void packet_stream_free(struct packet_stream *p)
{
    if (!p) {
        return;
    }
    buf_deinit(&p->partial);
    if (p->owns_inflate) {
        inflate_free(p->inflate);
    }
    mem_free(p);
}

void packet_stream_share(struct packet_stream *p, struct inflate *shared)
{
    ASSERT(!p->inflate);
    p->inflate = shared;
}

void packet_stream_reset(struct packet_stream *p)
{
    const size_t limit = p->partial.limit;
    buf_deinit(&p->partial);
    buf_init(&p->partial, limit);
    p->lost = false;
}

static void fault(const struct packet_sink *sink, enum packet_fault which)
{
    sink->on_fault(sink->ctx, which);
}

static bool is_stopped(const bool *stop)
{
    return stop && *stop;
}

/* at points to PACKET_HEADER_BYTES bytes. */
static bool head_read(const struct packet_limits *limits, const char *at, struct packet_head *ret,
                      enum packet_fault *ret_fault)
{
    const struct packet_head h = {.packet_len = get_be32(at),
                                  .header_len = get_be16(at + 4),
                                  .ver = get_be16(at + 6),
                                  .op = get_be32(at + 8)};
    if (h.header_len < PACKET_HEADER_BYTES || h.header_len > h.packet_len) {
        *ret_fault = PACKET_FAULT_HEADER;
        return false;
    }
    if (h.packet_len > limits->packet_bytes) {
        *ret_fault = PACKET_FAULT_TOO_LARGE;
        return false;
    }
    *ret = h;
    return true;
}

/* Splits the next packet off data that is all there is. False: the rest makes no sense, *ret_fault says why. */
static bool next_whole(const struct packet_stream *p, struct str *rest, struct packet_head *ret,
                       struct str *ret_body, enum packet_fault *ret_fault)
{
    if (rest->len < PACKET_HEADER_BYTES) {
        *ret_fault = PACKET_FAULT_TRUNCATED;
        return false;
    }
    if (!head_read(&p->limits, rest->ptr, ret, ret_fault)) {
        return false;
    }
    if (ret->packet_len > rest->len) {
        *ret_fault = PACKET_FAULT_TRUNCATED;
        return false;
    }
    *ret_body = str_sub(*rest, ret->header_len, ret->packet_len);
    *rest = str_sub(*rest, ret->packet_len, rest->len);
    return true;
}

/* A heartbeat reply may be followed by a copy of the request's body that packet_len does not count. What follows is
 * read on only if it looks like a packet. */
static void drop_echo(struct str *rest)
{
    if (rest->len >= PACKET_HEADER_BYTES && get_be16(rest->ptr + 4) == PACKET_HEADER_BYTES) {
        const uint32_t packet_len = get_be32(rest->ptr);
        if (packet_len >= PACKET_HEADER_BYTES && packet_len <= rest->len) {
            return;
        }
    }
    rest->len = 0;
}

/* Inflates a body and makes it the innermost level. */
static void push_frame(struct packet_stream *p, enum inflate_format format, struct str body,
                       const struct packet_sink *sink)
{
    if (p->depth >= p->limits.depth) {
        fault(sink, PACKET_FAULT_DEPTH);
        return;
    }
    if (!p->inflate) {
        p->inflate = inflate_new();
        p->owns_inflate = true;
    }
    struct str plain = STR_NULL;
    const enum err_code err =
        inflate_run(p->inflate, format, p->depth, body, p->bytes_left, &plain);
    if (err == ERR_OK) {
        p->rest[p->depth++] = plain;
        p->bytes_left -= plain.len;
    } else if (err == ERR_TOO_BIG) {
        fault(sink, PACKET_FAULT_BOMB);
        p->depth = 0; /* whoever sent this does not get another try within the frame */
    } else {
        fault(sink, err == ERR_NOMEM ? PACKET_FAULT_MEMORY : PACKET_FAULT_INFLATE);
    }
}

static void on_op5(struct packet_stream *p, const struct packet_head *h, struct str body,
                   const struct packet_sink *sink)
{
    switch (h->ver) {
    case PACKET_PLAIN:
    case PACKET_CONTROL:
        if (body.len > 0) {
            sink->on_message(sink->ctx, body);
        }
        break;
    case PACKET_ZLIB:
        push_frame(p, INFLATE_ZLIB, body, sink);
        break;
    case PACKET_BROTLI:
        push_frame(p, INFLATE_BROTLI, body, sink);
        break;
    default:
        fault(sink, PACKET_FAULT_VERSION);
        break;
    }
}

static void dispatch(struct packet_stream *p, const struct packet_head *h, struct str body,
                     const struct packet_sink *sink)
{
    switch (h->op) {
    case PACKET_MESSAGE:
        on_op5(p, h, body, sink);
        break;
    case PACKET_HEARTBEAT_REPLY:
        sink->on_heartbeat_reply(sink->ctx, body.len >= 4 ? (int64_t)get_be32(body.ptr) : -1);
        break;
    case PACKET_AUTH_REPLY:
        sink->on_auth_reply(sink->ctx, body);
        break;
    default:
        fault(sink, PACKET_FAULT_OPERATION);
        break;
    }
}

/* One packet of the connection with everything that is nested in it, innermost level first: a stack, not recursion. */
static void deliver(struct packet_stream *p, const struct packet_head *h, struct str body,
                    const struct packet_sink *sink, const bool *stop)
{
    p->depth = 0;
    p->packets_left = p->limits.packets;
    p->bytes_left = p->limits.inflated_bytes;
    dispatch(p, h, body, sink);
    if (p->depth == 0) {
        return;
    }
    while (p->depth > 0 && !is_stopped(stop)) {
        struct str *rest = &p->rest[p->depth - 1];
        struct packet_head inner;
        struct str inner_body;
        enum packet_fault why;
        if (rest->len == 0) {
            p->depth--;
        } else if (!next_whole(p, rest, &inner, &inner_body, &why)) {
            fault(sink, why);
            p->depth--;
        } else if (p->packets_left == 0) {
            fault(sink, PACKET_FAULT_COUNT);
            p->depth = 0;
        } else {
            p->packets_left--;
            if (inner.op == PACKET_HEARTBEAT_REPLY) {
                drop_echo(rest);
            }
            dispatch(p, &inner, inner_body, sink);
        }
    }
    inflate_trim(p->inflate);
}

void packet_message(struct packet_stream *p, struct str message, const struct packet_sink *sink,
                    const bool *stop)
{
    struct str rest = message;
    while (rest.len > 0 && !is_stopped(stop)) {
        struct packet_head h;
        struct str body;
        enum packet_fault why;
        if (!next_whole(p, &rest, &h, &body, &why)) {
            fault(sink, why);
            return;
        }
        if (h.op == PACKET_HEARTBEAT_REPLY) {
            drop_echo(&rest);
        }
        deliver(p, &h, body, sink, stop);
    }
}

static enum err_code stream_lost(struct packet_stream *p, enum packet_fault why, const char *at,
                                 const struct packet_sink *sink, struct err *err)
{
    p->lost = true;
    fault(sink, why);
    return err_set(err, ERR_PROTO, "bad packet header: length %u, header %u",
                   (unsigned)get_be32(at), (unsigned)get_be16(at + 4));
}

/* Moves up to `want` bytes in all into the unfinished packet. False: it is still shorter than that. */
static bool partial_fill(struct packet_stream *p, struct str *bytes, size_t want)
{
    if (p->partial.len < want) {
        const size_t missing = want - p->partial.len;
        const size_t n = missing < bytes->len ? missing : bytes->len;
        buf_put(&p->partial, str_sub(*bytes, 0, n));
        *bytes = str_sub(*bytes, n, bytes->len);
    }
    return p->partial.len >= want;
}

static void partial_clear(struct packet_stream *p)
{
    const size_t limit = p->partial.limit;
    if (p->partial.cap > PACKET_KEEP_BYTES) {
        buf_deinit(&p->partial);
        buf_init(&p->partial, limit);
    } else {
        buf_clear(&p->partial);
    }
}

/* Completes the packet that earlier reads began. */
static enum err_code feed_partial(struct packet_stream *p, struct str *bytes,
                                  const struct packet_sink *sink, const bool *stop, struct err *err)
{
    struct packet_head h;
    enum packet_fault why;
    if (partial_fill(p, bytes, PACKET_HEADER_BYTES)) {
        if (!head_read(&p->limits, p->partial.data, &h, &why)) {
            return stream_lost(p, why, p->partial.data, sink, err);
        }
        if (partial_fill(p, bytes, h.packet_len)) {
            const struct str whole = buf_str(&p->partial);
            deliver(p, &h, str_sub(whole, h.header_len, h.packet_len), sink, stop);
            partial_clear(p);
        }
    }
    if (!buf_ok(&p->partial)) {
        p->lost = true;
        return err_set(err, ERR_NOMEM, "no memory for an unfinished packet");
    }
    return ERR_OK;
}

enum err_code packet_feed(struct packet_stream *p, struct str bytes, const struct packet_sink *sink,
                          const bool *stop, struct err *err)
{
    if (p->lost) {
        return err_set(err, ERR_PROTO, "position in the stream is lost");
    }
    while (bytes.len > 0 && !is_stopped(stop)) {
        struct packet_head h;
        enum packet_fault why;
        if (p->partial.len > 0 || bytes.len < PACKET_HEADER_BYTES) {
            const enum err_code code = feed_partial(p, &bytes, sink, stop, err);
            if (code != ERR_OK) {
                return code;
            }
            continue;
        }
        if (!head_read(&p->limits, bytes.ptr, &h, &why)) {
            return stream_lost(p, why, bytes.ptr, sink, err);
        }
        if (h.packet_len > bytes.len) {
            const enum err_code code = feed_partial(p, &bytes, sink, stop, err);
            if (code != ERR_OK) {
                return code;
            }
            continue;
        }
        /* The common case: the packet is whole in what was read and is not copied. */
        deliver(p, &h, str_sub(bytes, h.header_len, h.packet_len), sink, stop);
        bytes = str_sub(bytes, h.packet_len, bytes.len);
    }
    return ERR_OK;
}

void packet_put(struct buf *out, enum packet_op op, struct str body)
{
    char *at = buf_reserve(out, PACKET_HEADER_BYTES + body.len);
    if (!at) {
        return;
    }
    put_be32(at, (uint32_t)(PACKET_HEADER_BYTES + body.len));
    put_be16(at + 4, PACKET_HEADER_BYTES);
    put_be16(at + 6, PACKET_CONTROL);
    put_be32(at + 8, (uint32_t)op);
    put_be32(at + 12, PACKET_SEQ);
    if (body.len > 0) {
        memcpy(at + PACKET_HEADER_BYTES, body.ptr, body.len);
    }
    buf_commit(out, PACKET_HEADER_BYTES + body.len);
}
