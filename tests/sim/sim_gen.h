/* tests/sim/sim_gen.h - what happens in one room: an endless, repeatable row of messages that look real.
 *
 * sim_gen_next draws the next message; sim_gen_render writes its JSON, as seen by a viewer who is logged in or (masked)
 * by one who is not. All randomness comes from (seed, room id): the same world gives the same messages, whatever the
 * timing and whatever the other rooms do. Only the times come from the clock, unless the world has a fixed start.
 *
 * Natural keys (id_str, tid, super chat id, live_key) are unique over the rooms of a world and, because they contain
 * the start time, over restarts that are a second or more apart.
 *
 * Threading:  one user at a time per room; the world is immutable after sim_world_new.
 * Limits:     SIM_TEXT_MAX bytes of text; SIM_PENDING_MAX messages held back for later (second copies).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/clock.h"
#include "server/core/list.h"
#include "server/core/rng.h"
#include "server/core/str.h"
#include "tests/sim/sim_user.h"
#include "tests/sim/sim_words.h"

enum {
    SIM_TEXT_MAX = 1024,
    SIM_KEY_MAX = 64,
    SIM_PENDING_MAX = 8,
    SIM_MESSAGE_MAX = 64 * 1024,
    SIM_ROOMS_MAX = 20000,
};

/* The kinds that the record is about; OTHER is everything else. */
enum sim_kind {
    SIM_KIND_OTHER,
    SIM_KIND_DANMAKU,
    SIM_KIND_GIFT,
    SIM_KIND_SUPERCHAT,
    SIM_KIND_LIVE,
    SIM_KIND_GUARD,
    SIM_KIND_REDPACKET,
    SIM_KINDS
};
const char *sim_kind_name(enum sim_kind kind);

enum sim_family_id {
#define X(id, name, cmd, kind, on, off) SIM_F_##id,
#include "tests/sim/sim_families.def"
#undef X
    SIM_FAMILIES
};

struct sim_world; /* seed, templates, proportions */

struct sim_world_opts {
    uint64_t seed;
    const struct clock *clock; /* borrowed */
    int64_t start_ms;          /* > 0: times are counted from here, not from the clock */
    bool full;                 /* also guards, red packets and the protobuf forms */
    struct str mix;            /* "danmaku=90,gift=10": only these families; empty: realistic */
};

/* NULL: the mix does not parse. */
MUST_CHECK struct sim_world *sim_world_new(const struct sim_world_opts *opts);
void sim_world_free(struct sim_world *w);

/* A row of gifts of one kind by one viewer. */
struct sim_combo {
    int hits_left;
    int hits;
    int64_t sum_num;
    int64_t sum_coin;
    const struct sim_gift *gift;
    bool uuid;        /* the newer form of combo ids */
    char id_tail[40]; /* the UUID, or what follows the two uids */
    struct sim_user user;
};

struct sim_gen {
    const struct sim_world *world; /* borrowed */
    uint32_t index;                /* of the room: part of the keys */
    struct rng rng;
    struct rng side; /* for what happens out of turn: the row of messages stays the same */
    struct sim_anchor anchor;
    bool live;
    bool round; /* off, but replays are shown */
    uint32_t n_lives;
    uint64_t n_messages;
    uint64_t n_danmaku;
    uint64_t n_said;
    uint64_t n_gifts;
    uint64_t n_superchats;
    uint64_t n_guards;
    uint64_t n_packets;
    int64_t watched;
    int64_t likes;
    int64_t online;
    int64_t fans;
    int64_t last_ms; /* times never go back within a room */
    char live_key[24];
    int64_t live_time;
    struct buf scratch;
    struct sim_combo *combo; /* owned; NULL: none */
    struct list pending;     /* owned struct sim_pending */
};

/* A danmaku's, gift's ... own part; which one is said by the family. */
struct sim_msg_danmaku {
    int64_t dmid;
    int32_t color;
    int mode;
    int emot;    /* index into emoticons found in the text, -1: none */
    int sticker; /* index, -1: text */
    int n_emot;
    bool suffix;
    int n_info; /* 16-18 */
    int64_t reply_uid;
    uint32_t reply_len;
    char reply_name[SIM_NAME_MAX];
};
struct sim_msg_gift {
    const struct sim_gift *gift;
    bool first;        /* of its combo */
    int64_t combo_num; /* of the combo so far */
    int64_t combo_coin;
    bool uuid;
    char id_tail[40]; /* empty: no combo */
    /* Boxes of one kind opened together: a second item in the same SEND_GIFT_V2, with a tid of its own. */
    const struct sim_gift *second; /* NULL: none */
    int64_t second_num;
    int64_t second_value;
    int64_t second_tid;
};
struct sim_msg_guard {
    int level;
    int source;    /* of a V2 toast */
    int64_t price; /* paid, gold */
    int64_t list;
};
struct sim_msg_packet {
    int64_t lot_id;
    int battery;
};
struct sim_msg_superchat {
    int64_t id;
    int price; /* CNY */
    bool jpn;  /* the twin with the translation */
};
struct sim_msg_room {
    bool second; /* LIVE without live_time */
    int64_t live_time;
    char live_key[24];
};
struct sim_msg_count {
    int64_t n;
    int64_t m;
};

struct sim_msg {
    enum sim_family_id family;
    enum sim_kind kind;
    bool dup;    /* its key was sent before */
    bool urgent; /* follows the one before it at once */
    bool has_user;
    int64_t now_ms; /* when it was drawn */
    int64_t sent_ms;
    int64_t value; /* gold paid = 1/1000 CNY */
    int64_t item;
    int64_t num;
    uint64_t salt; /* decorative randomness of the rendering */
    uint32_t key_len;
    uint32_t text_len;
    char key[SIM_KEY_MAX];
    char text[SIM_TEXT_MAX];
    struct sim_user user;
    union {
        struct sim_msg_danmaku danmaku;
        struct sim_msg_gift gift;
        struct sim_msg_superchat superchat;
        struct sim_msg_room room;
        struct sim_msg_count count;
        struct sim_msg_guard guard;
        struct sim_msg_packet packet;
    } u;
};

static inline struct str sim_msg_key(const struct sim_msg *m)
{
    return (struct str){m->key, m->key_len};
}

static inline struct str sim_msg_text(const struct sim_msg *m)
{
    return (struct str){m->text, m->text_len};
}

void sim_gen_init(struct sim_gen *g, const struct sim_world *w, int64_t room_id, uint32_t index);
void sim_gen_deinit(struct sim_gen *g);
void sim_gen_next(struct sim_gen *g, struct sim_msg *ret);
bool sim_gen_owes(
    const struct sim_gen *g); /* the next message belongs to the last one, and should not wait */
void sim_gen_render(const struct sim_gen *g, const struct sim_msg *m, bool masked, struct buf *out);
const char *sim_gen_cmd(const struct sim_msg *m);
void sim_gen_forget(
    struct sim_gen *g); /* second copies of what nobody was there to see are not sent */
/* LIVE or PREPARING now, out of turn; the second copy of LIVE follows by itself. */
void sim_gen_set_live(struct sim_gen *g, bool live, struct sim_msg *ret);
/* A danmaku with this text, out of turn: for faults and scripted tests. */
void sim_gen_say(struct sim_gen *g, struct str text, struct sim_msg *ret);
/* LOG_IN_NOTICE: what an anonymous connection is told first. */
void sim_gen_login_notice(const struct sim_gen *g, struct buf *out);
