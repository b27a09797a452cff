/* collector/wire/decode_priv.h - what the decoders of the command families share; only for collector/wire/decode*.c.
 *
 * A family describes the parts of its messages that it wants as shapes: tables of keys (or array indices), types and
 * places in a struct of its own. One generic reader walks the message by the table, so that every access is checked
 * for its type in one place, and a family is left with turning its struct into drafts:
 *
 *      struct gift { int64_t uid; struct str name; ... };
 *      static const struct decode_field gift_fields[] = {
 *          DECODE_KEY("uid", I64, struct gift, uid),
 *          DECODE_KEY_STR("giftName", struct gift, name, 128),
 *      };
 *      static const struct decode_shape gift_shape = DECODE_OBJECT_SHAPE(gift_fields, struct gift);
 *
 * What is missing, null or of another type stays zero. Of a key that comes twice the first one counts, so that an object
 * is left as soon as all of its wanted keys were seen.
 *
 * Threading:  one user at a time per decoder.
 * Limits:     DECODE_TEXT_BYTES of text per message; once that is used up, strings come out empty. 64 fields a shape.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/wire/decode.h"
#include "collector/wire/embedded.h"
#include "server/core/arena.h"
#include "server/core/buf.h"
#include "server/core/hash.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"

/* A thousand million CNY. */
#define DECODE_MONEY_MAX INT64_C(1000000000000)
enum { DECODE_TEXT_BYTES = 64 * 1024, DECODE_SLOTS = 512, DECODE_PB_MEMORY = 512 * 1024 };

/* A row of decode_table.def. j stands before the message, nothing of it is read. */
typedef enum decode_status(decode_fn)(struct decoder *d, struct json *j);

struct decode_command {
    struct str cmd;
    decode_fn *fn;
};

struct decoder {
    const struct decode_command *slots[DECODE_SLOTS]; /* by hash of the name, open addressing */
    int64_t room_id;
    struct str cmd;
    const char *reason; /* static text, set with DECODE_BROKEN */
    size_t n;           /* drafts made */
    size_t n_left_out;
    size_t used;      /* of text */
    struct buf extra; /* owned; the one being written */
    struct arena pb;  /* owned; the protobuf of one message */
    struct event_draft drafts[DECODE_EVENTS_MAX];
    char text[DECODE_TEXT_BYTES];
};

/* ---- shapes ---- */

enum decode_type {
    DECODE_I64,   /* int64_t */
    DECODE_OPT,   /* struct decode_opt */
    DECODE_BOOL,  /* bool */
    DECODE_STR,   /* struct str, cleaned, at most max bytes */
    DECODE_RAW,   /* struct str: any value, its text as it stands in the message */
    DECODE_SHAPE, /* another shape, in place */
};

/* For the few numbers whose 0 means something else than being absent. */
struct decode_opt {
    int64_t value;
    bool is_set;
};

struct decode_shape;
struct decode_field {
    struct str key; /* of an object */
    uint16_t index; /* of an array, in increasing order */
    uint16_t at;    /* offset in the struct */
    uint16_t max;   /* DECODE_STR */
    enum decode_type type;
    const struct decode_shape *shape; /* DECODE_SHAPE */
};

struct decode_shape {
    const struct decode_field *fields;
    uint16_t n;
    uint16_t bytes; /* of the struct, zeroed first */
    bool is_array;
};

#define DECODE_KEY(name, kind, type_, member)                                                      \
    {                                                                                              \
        .key = {name, sizeof(name) - 1}, .type = DECODE_##kind, .at = offsetof(type_, member)      \
    }
#define DECODE_KEY_STR(name, type_, member, bytes)                                                 \
    {                                                                                              \
        .key = {name, sizeof(name) - 1}, .type = DECODE_STR, .at = offsetof(type_, member),        \
        .max = (bytes)                                                                             \
    }
#define DECODE_KEY_SHAPE(name, type_, member, shape_)                                              \
    {                                                                                              \
        .key = {name, sizeof(name) - 1}, .type = DECODE_SHAPE, .at = offsetof(type_, member),      \
        .shape = &(shape_)                                                                         \
    }
#define DECODE_ITEM(i, kind, type_, member)                                                        \
    {                                                                                              \
        .index = (i), .type = DECODE_##kind, .at = offsetof(type_, member)                         \
    }
#define DECODE_ITEM_STR(i, type_, member, bytes)                                                   \
    {                                                                                              \
        .index = (i), .type = DECODE_STR, .at = offsetof(type_, member), .max = (bytes)            \
    }
#define DECODE_ITEM_SHAPE(i, type_, member, shape_)                                                \
    {                                                                                              \
        .index = (i), .type = DECODE_SHAPE, .at = offsetof(type_, member), .shape = &(shape_)      \
    }
#define DECODE_OBJECT_SHAPE(fields_, type_)                                                        \
    {                                                                                              \
        .fields = (fields_), .n = ARRAY_LEN(fields_), .bytes = sizeof(type_)                       \
    }
#define DECODE_ARRAY_SHAPE(fields_, type_)                                                         \
    {                                                                                              \
        .fields = (fields_), .n = ARRAY_LEN(fields_), .bytes = sizeof(type_), .is_array = true     \
    }

/* False (target zeroed) if the next value is not of the shape's type. */
bool decode_read(struct decoder *d, struct json *j, const struct decode_shape *shape, void *target);
/* decode_read of a whole message: also false if it is not JSON to its end. */
bool decode_read_all(struct decoder *d, struct json *j, const struct decode_shape *shape,
                     void *target);
/* Members of an object that stands as JSON inside a string; raw is the string as DECODE_RAW keeps it. Returns whether
 * escapes are resolved already: pass that on to decode_embedded, which gives a value as JSON. */
bool decode_find_embedded(struct decoder *d, struct str raw, struct embedded_want *want, size_t n);
struct json decode_embedded(struct decoder *d, struct str value, bool is_resolved);
/* The next value as text, cleaned, at most max bytes; ptr NULL if it is no string or number. */
struct str decode_str(struct decoder *d, struct json *j, size_t max);
struct str decode_str_of(struct decoder *d, struct str raw, size_t max); /* raw by DECODE_RAW */
/* The same for a raw key: what stands between quotes. */
struct str decode_unescape(struct decoder *d, struct str raw, size_t max);

int64_t decode_clamp(int64_t v, int64_t max); /* into [0, max] */
int64_t decode_s_to_ms(int64_t seconds);      /* 0 if it is no time */
enum decode_status decode_broken(struct decoder *d, const char *reason);

/* ---- senders: one form for all of upstream's ---- */

struct medal {
    struct str name;
    int64_t level;
    int64_t anchor_uid;
    int64_t room_id; /* of the anchor; 0 unknown */
};

struct uinfo_base {
    struct str name;
};
struct uinfo_level {
    int64_t level;
};
struct uinfo {
    int64_t uid;
    struct uinfo_base base;
    struct medal medal;
    struct uinfo_level wealth;
    struct uinfo_level guard;
};

struct chat_user {
    int64_t uid;
    struct str name;
    bool is_admin;
};

struct sender {
    int64_t uid;
    struct str name;
    int64_t guard;
    int64_t wealth;
    struct medal medal;
    uint32_t crc; /* of the uid in decimal digits */
    bool has_crc;
    bool is_admin;
};

extern const struct decode_shape uinfo_shape; /* struct uinfo: user, uinfo, sender_uinfo */
extern const struct decode_shape uinfo_medal_only_shape; /* struct medal: the same */
extern const struct decode_shape medal_info_shape;       /* struct medal: medal_info, fans_medal */
extern const struct decode_shape chat_user_shape;  /* struct chat_user: info[2] of a danmaku */
extern const struct decode_shape chat_medal_shape; /* struct medal: info[3] of a danmaku */

/* What the new form knows takes precedence for the medal and fills gaps for the rest. */
void sender_merge_medal(struct sender *s, const struct medal *new, const struct medal *old);
void sender_merge(struct sender *s, const struct uinfo *u, const struct medal *old);
void sender_set_crc(struct sender *s, struct str hex); /* no-op if it is no hash */
void sender_apply(const struct sender *s, struct event_draft *e);
struct extra;
void sender_extra(const struct sender *s,
                  struct extra *x); /* what of it has no column; comes first */

/* ---- drafts ---- */

/* The next draft, with defaults; NULL when DECODE_EVENTS_MAX are made. */
struct event_draft *decode_draft(struct decoder *d, enum event_kind kind);
void decode_key_init(struct hash64 *h, enum event_kind kind); /* the domain of a family's keys */

/* The object `extra`. Members that are empty or zero are left out; what would pass EVENT_EXTRA_MAX is left out too. */
struct extra {
    struct decoder *d;
    struct json_out w;
};
struct extra_mark {
    struct json_out w;
    size_t len;
};
void extra_begin(struct extra *x, struct decoder *d);
void extra_str(struct extra *x, const char *key, struct str s);
void extra_i64(struct extra *x, const char *key, int64_t v);
void extra_true(struct extra *x, const char *key, bool v);
/* A member of several parts: all of it or nothing. Written with jw_* on x->w between the two calls. */
struct extra_mark extra_mark(const struct extra *x);
void extra_check(struct extra *x, const struct extra_mark *mark);
void extra_end(struct extra *x, struct event_draft *e);

/* A sum in 1/1000 CNY, or 0 when it is none or beyond belief: one such number would spoil every total. */
int64_t decode_money(struct decoder *d, int64_t mcny);

/* ---- families ---- */

/* Whether a command without a row is of a family that says nothing. */
bool decode_is_silent(struct str cmd);

#define X(cmd, fn) decode_fn fn;
#include "collector/wire/decode_table.def"
#undef X
