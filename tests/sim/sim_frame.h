/* tests/sim/sim_frame.h - packets as the upstream sends them, and the few it receives. Pure.
 *
 *   0           4        6     8    12    16
 *   | packet_len | hlen=16 | ver | op  | seq | body ... all integers big-endian
 *
 * A compressed frame's body inflates to a run of whole packets, each with a header of its own (ver 0, op 5, seq 0).
 *
 * Threading:  a packer has one user.
 * Limits:     the buf given for output.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/str.h"

enum { SIM_HEAD_BYTES = 16 };
enum sim_ver { SIM_VER_PLAIN = 0, SIM_VER_CONTROL = 1, SIM_VER_ZLIB = 2, SIM_VER_BROTLI = 3 };
enum sim_op {
    SIM_OP_HEARTBEAT = 2,
    SIM_OP_HEARTBEAT_REPLY = 3,
    SIM_OP_MESSAGE = 5,
    SIM_OP_AUTH = 7,
    SIM_OP_AUTH_REPLY = 8,
};

struct sim_head {
    uint32_t packet_len;
    uint16_t head_len;
    uint16_t ver;
    uint32_t op;
    uint32_t seq;
};

void sim_head_put(uint8_t out[static SIM_HEAD_BYTES], const struct sim_head *h);
void sim_head_get(const void *bytes, struct sim_head *ret);

/* One packet around a body. */
void sim_packet_put(struct buf *out, enum sim_ver ver, enum sim_op op, uint32_t seq,
                    struct str body);
/* A packet whose body is appended between the two calls. */
size_t sim_packet_begin(struct buf *out); /* returns the mark for the end */
void sim_packet_end(struct buf *out, size_t mark);

/* The reply's length never counts the copy of the request's body behind it. */
void sim_heartbeat_reply_put(struct buf *out, enum sim_ver ver, uint32_t popularity,
                             struct str request_body);
void sim_auth_reply_put(struct buf *out, enum sim_ver ver, int code);

struct sim_packer;
struct sim_packer *sim_packer_new(int zlib_level, int brotli_quality);
void sim_packer_free(struct sim_packer *p);
/* run: whole packets, back to back. PLAIN: copied as they are. */
void sim_frame_put(struct sim_packer *p, enum sim_ver ver, struct str run, struct buf *out);
/* Only the body of a compressed frame of n times the same byte after `head`, without holding it in memory. */
void sim_compress_run(enum sim_ver ver, struct str head, char byte, size_t n, struct buf *out);

/* What a client said in its auth packet. */
struct sim_auth {
    int64_t room_id; /* 0: missing */
    int64_t uid;
    int64_t protover; /* 0: missing */
    struct str key;   /* raw, escapes unresolved; into the body */
    struct str buvid;
    struct str platform;
};
/* false: not a JSON object. */
MUST_CHECK bool sim_auth_parse(struct str body, struct sim_auth *ret);
