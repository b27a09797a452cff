/* tests/sim/sim_sock.h - bytes of one accepted connection, with exact accounts of where they are.
 *
 *   queued  >=  sent  >=  acked
 *   given to    taken by  acknowledged by
 *   us          our       the peer's
 *               kernel    kernel
 *
 * The record of what a client was given stands on these three numbers, so the socket is written with send(2) and not
 * through uv_write, which does not say how far a write got before it failed. Nothing is sent before sim_sock_kick's
 * caller has returned; a callback never runs inside a call.
 *
 * Threading:  loop thread only.
 * Ownership:  embedded in its owner; the memory may go in on_closed, not before.
 * Limits:     the caller looks at sim_sock_backlog before it adds; the buffer's hard limit is SIM_SOCK_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "server/core/buf.h"
#include "server/core/str.h"
#include "server/loop/loop.h"

enum { SIM_SOCK_MAX = 256 << 20 };

struct sim_sock_ops {
    void (*on_bytes)(void *ctx, struct str bytes);
    void (*on_sent)(void *ctx);                 /* `sent` has grown */
    void (*on_end)(void *ctx, const char *why); /* peer closed or reset; close it now */
    void (*on_closed)(void *ctx);
};

enum sim_sock_how { SIM_SOCK_FIN, SIM_SOCK_RST };

struct sim_sock {
    struct loop *loop;
    const struct sim_sock_ops *ops;
    void *ctx;
    int fd;
    int events;
    uv_poll_t poll;
    struct buf out;
    size_t out_at; /* sent up to here */
    uint64_t queued;
    uint64_t sent;
    uint64_t acked_max; /* most ever seen: a FIN counts as a byte that is not acknowledged */
    size_t drip_bytes;  /* 0: as fast as it goes */
    struct loop_timer drip;
    struct loop_timer finish; /* polls until all is acknowledged */
    int finish_tries;
    enum sim_sock_how finish_how;
    bool finishing;
    bool closed;
    bool broken; /* send failed */
};

/* fd: accepted, non-blocking; taken. */
void sim_sock_open(struct sim_sock *s, struct loop *loop, int fd, const struct sim_sock_ops *ops,
                   void *ctx);
/* Bytes to send: append to the buffer, then kick. */
void sim_sock_put(struct sim_sock *s, struct str bytes);
size_t sim_sock_backlog(const struct sim_sock *s); /* queued - sent */
uint64_t sim_sock_acked(struct sim_sock *s);       /* also after the close: as it was then */
/* From now on n bytes per interval; 0: at full speed again. */
void sim_sock_drip(struct sim_sock *s, size_t n, int64_t interval_ms);
/* Sends what is queued, waits until the peer's kernel has it (at most a few seconds), then ends the connection and
 * closes. on_end is not called. */
void sim_sock_finish(struct sim_sock *s, enum sim_sock_how how);
void sim_sock_close(struct sim_sock *s, enum sim_sock_how how); /* now; on_closed follows */
