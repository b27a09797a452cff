/* collector/wire/decode.h - one JSON message of upstream in, events out. Pure: no clock, no logging, no state but scratch memory.
 *
 * A command is looked up by name (cut at the first ':') before anything else is read, so that one nobody wants costs
 * almost nothing. A decoder takes what it understands and never trusts a type: missing, null, a string for a number
 * are normal.
 *
 * A draft whose nkey is 0 has nothing that upstream tells it apart by: it is never a repeat.
 *
 * Threading:  one user at a time per decoder.
 * Ownership:  the drafts and their strings live until the next decode_message on the same decoder.
 * Limits:     DECODE_EVENTS_MAX events per message, the message's own length, 64 kB of scratch text.
 */
#pragma once

#include <stdint.h>

#include "server/core/str.h"
#include "server/event/event.h"

enum { DECODE_EVENTS_MAX = 256, DECODE_CMD_MAX = 64 };

enum decode_status {
    DECODE_OK,      /* n events, possibly 0 (a command that is known and says nothing) */
    DECODE_UNKNOWN, /* a command that has no decoder, or a message without a command */
    DECODE_BROKEN,  /* not JSON, or a known command without what makes it one */
};

struct decode_result {
    enum decode_status status;
    struct str
        cmd; /* cut at ':', valid UTF-8, at most DECODE_CMD_MAX bytes; empty if none; lives as the drafts do */
    const char *reason; /* static text for DECODE_BROKEN */
    const struct event_draft *drafts;
    size_t n;
    size_t
        n_left_out; /* parts that a limit of ours kept out: of extra, of scratch text, sums beyond belief, events */
};

struct decoder;
struct decoder *decoder_new(void);
void decoder_free(struct decoder *d);
void decode_message(struct decoder *d, int64_t room_id, struct str json, struct decode_result *ret);
