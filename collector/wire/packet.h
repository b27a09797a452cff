/* collector/wire/packet.h - bytes in, packets out: headers, splitting, nested compression. Pure.
 *
 *   | packet_len u32 | header_len u16 | ver u16 | op u32 | seq u32 | body ... |      big-endian, header_len bytes of head
 *
 * Any split of the same stream gives the same calls to the sink.
 *
 * Threading:  one user at a time.
 * Ownership:  a packet stream keeps at most one unfinished packet; bodies are lent for the call. Streams of one thread
 *             share one inflater (packet_stream_share), so that an idle connection costs a few hundred bytes.
 * Limits:     struct packet_limits, all checked before memory is taken.
 * Errors:     ERR_PROTO: on a byte stream the position is lost, close the connection; on_fault has said why, and every
 *             later packet_feed fails. Everything else that is wrong is reported to sink->on_fault, the packet or frame
 *             is dropped and reading goes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum packet_op {
    PACKET_HEARTBEAT = 2,
    PACKET_HEARTBEAT_REPLY = 3,
    PACKET_MESSAGE = 5,
    PACKET_AUTH = 7,
    PACKET_AUTH_REPLY = 8
};
enum packet_ver { PACKET_PLAIN = 0, PACKET_CONTROL = 1, PACKET_ZLIB = 2, PACKET_BROTLI = 3 };
enum { PACKET_HEADER_BYTES = 16 };

struct packet_limits {
    uint32_t packet_bytes;   /* 4 MiB */
    uint32_t inflated_bytes; /* 16 MiB per frame */
    uint32_t packets;        /* 10,000 per frame */
    uint32_t depth;          /* 4 */
};
extern const struct packet_limits packet_limits_default;

/* name, metric label, text. Each is counted by the sink's owner. */
#define PACKET_FAULT_TABLE(X)                                                                      \
    X(HEADER, "header", "header that makes no sense")                                              \
    X(TOO_LARGE, "too_large", "packet over the limit")                                             \
    X(TRUNCATED, "truncated", "packet cut short inside a frame")                                   \
    X(INFLATE, "inflate", "compressed body is corrupt")                                            \
    X(BOMB, "bomb", "inflated size over the limit")                                                \
    X(DEPTH, "depth", "frames nested too deep")                                                    \
    X(COUNT, "count", "too many packets in one frame")                                             \
    X(VERSION, "version", "unknown body version")                                                  \
    X(OPERATION, "operation", "operation nobody needs")                                            \
    X(MEMORY, "memory", "no memory to inflate into")
enum packet_fault {
#define X(name, label, text) PACKET_FAULT_##name,
    PACKET_FAULT_TABLE(X)
#undef X
        PACKET_FAULTS
};

struct packet_sink {
    void (*on_message)(void *ctx, struct str json); /* body of one op 5 packet, plain, not empty */
    void (*on_heartbeat_reply)(void *ctx, int64_t popularity); /* -1: unknown */
    void (*on_auth_reply)(void *ctx, struct str body);
    void (*on_fault)(void *ctx, enum packet_fault fault);
    void *ctx;
};

struct inflate;
struct packet_stream;
struct packet_stream *
packet_stream_new(const struct packet_limits *limits); /* NULL: packet_limits_default */
void packet_stream_free(struct packet_stream *p);
/* Before the first use: inflate with `shared` (borrowed) instead of an inflater of its own. Streams that share may not
 * be fed from within each other's sink. */
void packet_stream_share(struct packet_stream *p, struct inflate *shared);
void packet_stream_reset(struct packet_stream *p); /* for the next connection */

/* A byte stream (tcp): keeps what is unfinished. The sink may not free the stream; it may set a flag of its owner, and
 * *stop (may be NULL) is looked at after each packet to leave early: what was not read is gone, the connection is
 * being closed. ERR_NOMEM: as ERR_PROTO. */
MUST_CHECK enum err_code packet_feed(struct packet_stream *p, struct str bytes,
                                     const struct packet_sink *sink, const bool *stop,
                                     struct err *err);
/* One whole websocket message: nothing is kept; a bad header drops the rest (on_fault). */
void packet_message(struct packet_stream *p, struct str message, const struct packet_sink *sink,
                    const bool *stop);

/* Appends one packet; used for auth and heartbeats (ver 1, seq 1). */
void packet_put(struct buf *out, enum packet_op op, struct str body);
