/* collector/wire/decode_interact_priv.h - somebody comes in, follows, shares: one struct for the JSON and the protobuf form.
 *
 * Threading:  one user at a time per decoder.
 */
#pragma once

#include "collector/wire/decode_util_priv.h"

struct interact_tail {
    struct str text;
};

struct interact {
    int64_t uid;
    struct str name;
    int64_t type;
    int64_t timestamp;    /* s */
    int64_t trigger_time; /* ns */
    int64_t guard;
    struct str spread; /* what brought them */
    struct interact_tail tail;
    struct medal medal;
    struct uinfo uinfo;
};

/* One event; DECODE_BROKEN for a ghost: neither uid nor name. */
enum decode_status interact_draft(struct decoder *d, const struct interact *i);
