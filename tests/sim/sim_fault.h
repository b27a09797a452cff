/* tests/sim/sim_fault.h - rules of what goes wrong, when, and for whom.
 *
 *   room=*,kind=reset,after=100,times=3
 *
 * README.md lists kinds and keys. A rule is tried on each connection it names; it fires when the connection has been
 * sent `after` messages since the rule began to count there (again each `every`), at most `times` times in all.
 *
 * Threading:  loop thread only.
 * Limits:     SIM_FAULTS_MAX rules.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/rng.h"
#include "server/core/str.h"
#include "tests/sim/sim_frame.h"

enum { SIM_FAULTS_MAX = 32, SIM_FAULT_BYTES_MAX = 64 << 20 };

enum sim_fault_class {
    SIM_FAULT_SHAKE, /* instead of the answer to a handshake, of tls or websocket; rooms are not known yet */
    SIM_FAULT_ACCEPT, /* instead of an auth reply */
    SIM_FAULT_LISTEN, /* the host is down */
    SIM_FAULT_MODE,   /* the connection goes on, differently */
    SIM_FAULT_BYTES,  /* odd bytes; the stream stays in step */
    SIM_FAULT_LOST,   /* odd bytes; nothing behind them can be read */
    SIM_FAULT_END,    /* the connection ends */
};

enum sim_fault_kind {
#define X(id, name, class, doc) SIM_FAULT_KIND_##id,
#include "tests/sim/sim_fault_kinds.def"
#undef X
    SIM_FAULT_KINDS
};

struct sim_fault {
    enum sim_fault_kind kind;
    int64_t room;     /* 0: all */
    int64_t host;     /* index of the listener, -1: all */
    int64_t after;    /* messages */
    int64_t after_ms; /* since the rule was given; then on all connections it names */
    int64_t every;    /* messages; 0: once per connection */
    int64_t times;    /* in all; 0: no limit */
    int64_t chance;   /* percent of connections */
    int64_t for_ms;   /* modes and refuse: 0: for good */
    int64_t size;     /* bytes, levels, ...; 0: the kind's own */
    int64_t code;     /* bad_auth, ws_close */
    bool silent;      /* bad_auth: close without a reply */
    char what[16];    /* variant: length=..., bad_auth text */
    int64_t given_ms; /* set when the rule is added */
    int64_t fired;
};

/* ERR_INVALID: names the key. */
MUST_CHECK enum err_code sim_fault_parse(struct str rule, struct sim_fault *ret, struct err *err);
const char *sim_fault_name(enum sim_fault_kind kind);
enum sim_fault_class sim_fault_class(enum sim_fault_kind kind);

/* Its bytes are frames of a websocket; else packets, that go into one message of it. */
bool sim_fault_is_frames(enum sim_fault_kind kind);
/* The bytes of a BYTES or LOST fault for a client of this protover, appended to out. */
void sim_fault_bytes(const struct sim_fault *f, enum sim_ver ver, struct rng *rng, struct buf *out);

/* Faults in the text of an otherwise sound danmaku. The text to say has SIM_FAULT_MARK in it; in the message written
 * from it, sim_fault_spoil replaces the mark by what the kind puts there, and sim_fault_clean gives the text that a
 * tolerant reader should end up with. false: the kind is not of this sort. */
#define SIM_FAULT_MARK "MARKMARK"
bool sim_fault_is_text(enum sim_fault_kind kind);
void sim_fault_spoil(enum sim_fault_kind kind, struct str json, struct buf *out);
void sim_fault_clean(enum sim_fault_kind kind, struct str text, struct buf *out);
