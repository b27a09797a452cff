/* server/event/event.h - the shared vocabulary: one thing that happened in one room.
 *
 * Decoders fill a struct event_draft whose strings are views into the packet's memory. event_new copies a draft into
 * one allocation, immutable and refcounted from then on: anyone may hold a reference, nobody may write.
 *
 * The fields are the columns of table `event` (migrations/), so that a row read back gives the same event and the
 * same JSON, byte for byte. What has no column is in `extra`, the text of a JSON object that we wrote ourselves: compact,
 * members in a fixed order per kind. api/encode/event_json.h lists which columns a kind shows and which names are taken.
 *
 * Threading:  loop thread only (the count is not atomic).
 * Limits:     EVENT_*_MAX bytes per string; event_new cuts at a whole character and asserts on extra (decoders bound it).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum event_kind {
    EVENT_KIND_NONE = 0,
#define X(name, number, text, paid, rare) EVENT_##name = number,
#include "server/event/event_kind.def"
#undef X
    EVENT_KIND_END /* one past the largest number */
};

/* Stored: never renumber. */
enum event_flag {
    EVENT_F_MASKED =
        1 << 0, /* upstream hid the sender: actor is a negative hash, the name is masked */
    EVENT_F_ADMIN = 1 << 1, /* sender is a room admin */
    EVENT_F_MEDAL_HERE =
        1 << 2, /* the medal worn belongs to this room's anchor: medal.room_id is room_id */
    EVENT_F_HASHED = 1 << 3,     /* privacy mode `hash`: actor is a keyed negative hash, no name */
    EVENT_F_SILVER = 1 << 4,     /* free gift (coin_type silver) */
    EVENT_F_BACKFILLED = 1 << 5, /* came by import or reparse, never in the live feed */
};

enum {
    EVENT_UNAME_MAX = 128,
    EVENT_TEXT_MAX = 4096,
    EVENT_MEDAL_MAX = 64,
    EVENT_EXTRA_MAX = 8192,
    EVENT_MODE_DEFAULT = 1,
    EVENT_COLOR_DEFAULT = 16777215,
};

/* X(type, name): every scalar of an event but the id; draft, event, spool record and COPY row agree on this list. */
#define EVENT_SCALARS(X)                                                                           \
    X(int64_t, room_id)    /* the real (long) room id of the connection */                         \
    X(int64_t, nkey)       /* hash of what upstream tells messages apart by */                     \
    X(int64_t, actor)      /* uid; negative: hash of a masked or unknown sender; 0: no sender */   \
    X(int64_t, value_mcny) /* 1/1000 CNY paid, 0 if free */                                        \
    X(int64_t, sent_ms)    /* upstream's own time, wall ms; 0 unknown */                           \
    X(int64_t, item_id)    /* gift id, super chat id, lot id; 0 none */                            \
    X(int64_t, medal_uid)  /* anchor of the medal worn; 0 none */                                  \
    X(int32_t, color)      /* RGB */                                                               \
    X(int32_t, num)        /* how many of the item; 0 none */                                      \
    X(int16_t, kind)       /* enum event_kind */                                                   \
    X(int16_t, flags)      /* enum event_flag */                                                   \
    X(int16_t, guard)    /* sender's guard level in this room: 0 none, 1 governor .. 3 captain */  \
    X(int16_t, medal_lv) /* level of the medal worn, 0 none */                                     \
    X(int16_t, mode)     /* danmaku mode: 1 scroll, 4 bottom, 5 top, ... */                        \
    X(int16_t, wealth)   /* sender's wealth level */
#define EVENT_STRINGS(X)                                                                           \
    X(uname) /* sender's name as received */                                                       \
    X(text)  /* what was said */                                                                   \
    X(medal) /* name of the medal worn */                                                          \
    X(extra) /* JSON object with the rest, or empty */

/* The one member of extra that is about the sender: the room of the medal worn, when it is another room's and known
 * (this room's medal sets EVENT_F_MEDAL_HERE instead). If present it is the first: {"medal_room":123,...}. */
#define EVENT_EXTRA_MEDAL_ROOM "medal_room"

struct event_draft {
#define X(type, name) type name;
    EVENT_SCALARS(X)
#undef X
#define X(name) struct str name;
    EVENT_STRINGS(X)
#undef X
};

struct event {
    int64_t id;
#define X(type, name) type name;
    EVENT_SCALARS(X)
#undef X
#define X(name) struct str name; /* into this allocation */
    EVENT_STRINGS(X)
#undef X
    uint32_t refs;  /* private */
    uint32_t bytes; /* size of the allocation */
};

void event_draft_init(struct event_draft *d, enum event_kind kind,
                      int64_t room_id);                              /* zero and defaults */
void event_draft_of(const struct event *e, struct event_draft *ret); /* strings borrow from e */
/* One reference for the caller; NULL when out of memory. */
MUST_CHECK struct event *event_new(int64_t id, const struct event_draft *d);
struct event *event_ref(const struct event *e);
void event_unref(struct event **e); /* NULLs the pointer; *e may be NULL */

const char *event_kind_name(enum event_kind kind); /* "danmaku"; "?" for none */
enum event_kind event_kind_parse(struct str name); /* EVENT_KIND_NONE if unknown */
bool event_kind_is_paid(enum event_kind kind);
bool event_kind_is_rare(enum event_kind kind);
