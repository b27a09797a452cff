/* collector/wire/decode_util_priv.h - what the rarer families share; only for collector/wire/decode*.c.
 *
 * Threading:  one user at a time per decoder.
 */
#pragma once

#include "collector/wire/decode_priv.h"

enum { DECODE_ID_MAX = 128, DECODE_NAME_MAX = 128, DECODE_WORD_MAX = 64 };

/* What stands beside `data` in a message. */
struct envelope {
    struct str data; /* raw */
    struct str msg_id;
    int64_t send_time; /* ms */
};

/* Reads a message whose contents are in `data`; a part that is missing or of another type stays zero. False: no JSON. */
bool decode_data(struct decoder *d, struct json *j, const struct decode_shape *data, void *target,
                 struct envelope *ret);
/* The same for a part kept by DECODE_RAW. */
bool decode_part(struct decoder *d, struct str raw, const struct decode_shape *shape, void *target);

int64_t decode_ns_to_ms(int64_t ns); /* 0 if it is no time */
/* Upstream's clock in words, "2026-01-31 23:59:59" at UTC+8; 0 if it is none. */
int64_t decode_clock_to_ms(struct str clock);

/* A key of what (which message of the kind) and up to two numbers. */
int64_t decode_key(enum event_kind kind, struct str what, int64_t a, int64_t b);
/* The key of a message that nothing but its envelope tells apart; 0 if that does not either. */
int64_t decode_key_of_envelope(enum event_kind kind, const struct envelope *e);

/* Upstream marks names in its sentences: "welcome <%name%> here". Empty if there is none. */
struct str decode_name_in(struct str sentence);
/* What follows the first name, without blanks; all of it if there is no name. */
struct str decode_after_name(struct str sentence);

/* ---- extra ---- */

void extra_number(struct extra *x, const char *key, int64_t v); /* also if it is 0 */
void extra_ms(struct extra *x, const char *key,
              int64_t seconds); /* seconds of upstream, written in ms */
/* {"uid":..,"name":".."}: the only form in which people other than the sender stand in extra. Nothing if both are empty. */
void extra_person(struct extra *x, const char *key, int64_t uid, struct str name);

/* A list as a direct member of extra: as many items as there is room for.
 *
 *      struct extra_list l = extra_list(x, "winners");
 *      while (...) {
 *          extra_item(&l);
 *          jw_object(&x->w); ...
 *          if (!extra_item_end(&l)) { break; }
 *      }
 *      extra_list_end(&l);      nothing at all remains of an empty list
 */
struct extra_list {
    struct extra *x;
    struct extra_mark before;
    struct extra_mark item;
    size_t used; /* of the decoder's text before the item: what an item needs is given back */
    unsigned n;
};
struct extra_list extra_list(struct extra *x, const char *key);
void extra_item(struct extra_list *l);
bool extra_item_end(struct extra_list *l);
void extra_list_end(struct extra_list *l);
