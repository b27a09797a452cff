/* collector/wire/decode_gift_priv.h - a gift: one struct for the JSON and the protobuf form.
 *
 * Threading:  one user at a time per decoder.
 */
#pragma once

#include "collector/wire/decode_priv.h"

enum { GIFT_NAME_MAX = 128, GIFT_ID_MAX = 128, GIFT_WORD_MAX = 32 };

struct gift_blind {
    int64_t id;
    struct str name;
    int64_t price;
};

struct gift_to {
    int64_t uid;
    struct str name;
};

struct gift {
    int64_t uid;
    struct str uname;
    int64_t id;
    struct str name;
    int64_t num;
    int64_t price;
    int64_t discount_price;
    int64_t total_coin;
    struct str coin_type;
    struct str action;
    int64_t timestamp;
    struct str tid;
    struct str rnd;
    int64_t guard_level;
    int64_t wealth_level;
    struct str combo_id;
    int64_t combo_num;
    struct gift_blind blind;
    struct gift_to to;
    struct str bag; /* raw: an object if it came out of the bag */
    struct medal medal;
    struct uinfo uinfo;
};

/* One event; DECODE_BROKEN without an id and a name of the gift. */
enum decode_status gift_draft(struct decoder *d, const struct gift *g);
