/* tests/sim/sim_gen_priv.h - shared by the sim_gen_*.c files: the world, and one draw and render function per family.
 *
 * A draw function decides everything that happens; a render function only writes it down, so that one message can be
 * written in several forms (masked or not).
 */
#pragma once

#include "tests/sim/sim_gen.h"
#include "tests/sim/sim_json.h"

/* Every template, by the file that fills it. */
#define SIM_TEMPLATES(X)                                                                           \
    X(DANMU)                                                                                       \
    X(DANMU_TAIL18)                                                                                \
    X(DANMU_TAIL17)                                                                                \
    X(DANMU_TAIL16)                                                                                \
    X(DANMU_MEDAL)                                                                                 \
    X(DANMU_STICKER)                                                                               \
    X(DANMU_EMOTS)                                                                                 \
    X(UINFO_MEDAL)                                                                                 \
    X(GIFT)                                                                                        \
    X(GIFT_ACK)                                                                                    \
    X(GIFT_BLIND)                                                                                  \
    X(GIFT_BATCH_SEND)                                                                             \
    X(GIFT_SEND)                                                                                   \
    X(GIFT_COMBO)                                                                                  \
    X(MEDAL_INFO)                                                                                  \
    X(SUPERCHAT)                                                                                   \
    X(SUPERCHAT_JPN)                                                                               \
    X(SUPERCHAT_MEDAL)                                                                             \
    X(LIVE)                                                                                        \
    X(LIVE_SECOND)                                                                                 \
    X(PREPARING)                                                                                   \
    X(WATCHED)                                                                                     \
    X(RANK)                                                                                        \
    X(LIKES)                                                                                       \
    X(FANS)                                                                                        \
    X(INTERACT)                                                                                    \
    X(INTERACT_MEDAL)                                                                              \
    X(ENTRY)                                                                                       \
    X(NOTICE)                                                                                      \
    X(LOGIN)                                                                                       \
    X(GUARD_BUY)                                                                                   \
    X(GUARD_TOAST)                                                                                 \
    X(GUARD_TOAST2)                                                                                \
    X(PACKET)                                                                                      \
    X(PACKET_START)

enum sim_tpl_id {
#define X(name) SIM_T_##name,
    SIM_TEMPLATES(X)
#undef X
        SIM_TPLS
};

struct sim_world {
    uint64_t seed;
    const struct clock *clock;        /* borrowed */
    int64_t start_ms;                 /* 0: the clock tells the time */
    int64_t born_s;                   /* part of the keys */
    uint32_t weight[2][SIM_FAMILIES]; /* [live] */
    uint32_t total[2];
    bool full;
    bool always_live;             /* a mix was given: rooms begin live */
    struct sj_tpl *tpl[SIM_TPLS]; /* owned */
};

typedef void(sim_draw_fn)(struct sim_gen *g, struct sim_msg *m);
typedef void(sim_render_fn)(const struct sim_gen *g, const struct sim_msg *m,
                            const struct sim_user *u, struct buf *out);

/* The texts of the templates, each file its own; *_render functions fill them. */
const char *sim_tpl_common(enum sim_tpl_id id); /* NULL: not of this file */
const char *sim_tpl_danmaku(enum sim_tpl_id id);
const char *sim_tpl_gift(enum sim_tpl_id id);
const char *sim_tpl_superchat(enum sim_tpl_id id);
const char *sim_tpl_room(enum sim_tpl_id id);
const char *sim_tpl_visit(enum sim_tpl_id id);
const char *sim_tpl_guard(enum sim_tpl_id id);

sim_draw_fn sim_draw_danmaku, sim_draw_gift, sim_draw_superchat, sim_draw_live, sim_draw_preparing;
sim_draw_fn sim_draw_count, sim_draw_visit, sim_draw_plain, sim_draw_guard, sim_draw_packet;
sim_render_fn sim_render_danmaku, sim_render_gift, sim_render_combo, sim_render_superchat;
sim_render_fn sim_render_jpn, sim_render_live, sim_render_preparing, sim_render_watched;
sim_render_fn sim_render_rank, sim_render_likes, sim_render_fans, sim_render_interact;
sim_render_fn sim_render_guard, sim_render_toast, sim_render_toast2, sim_render_packet;
sim_render_fn sim_render_packet_old, sim_render_packet_start, sim_render_gift2;
sim_render_fn sim_render_interact2;
sim_render_fn sim_render_entry, sim_render_stopped, sim_render_notice, sim_render_unknown;

/* A message of this family at the room's present time, with a viewer if asked for. */
void sim_msg_begin(struct sim_gen *g, struct sim_msg *m, enum sim_family_id family, bool with_user);
void sim_msg_set_key(struct sim_msg *m, const char *fmt, ...) ATTR_PRINTF(2, 3);
void sim_msg_set_text(struct sim_msg *m, struct str text); /* cut at SIM_TEXT_MAX */
/* A copy of m is sent after `in` more messages; dropped silently when SIM_PENDING_MAX wait already. */
void sim_gen_later(struct sim_gen *g, const struct sim_msg *m, unsigned in);
void sim_gen_set_live_key(struct sim_gen *g); /* that of the present live */
/* Text of the room's words into the message. */
void sim_msg_words(struct sim_gen *g, struct sim_msg *m, void (*words)(struct rng *, struct buf *));

enum { SIM_COMBO_ID_MAX = 128 };
/* The id of the combo a gift belongs to, "" if to none; a masked sender's uid is replaced by a hash in it. */
void sim_gift_combo_id(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                       const char *prefix, char out[static SIM_COMBO_ID_MAX]);

static inline const struct sj_tpl *sim_tpl(const struct sim_gen *g, enum sim_tpl_id id)
{
    return g->world->tpl[id];
}

/* Slots that several templates share (sim_gen_common.c).
 * user:  U uid  N name  F face
 * medal: d level  f name  g anchor's name  j anchor's room  a anchor's uid  o O W X colours  K guard level  I lit
 *        J guard icon  V score  z id */
struct sim_face {
    char url[96];
};
void sim_fill_user(struct sj_vals *v, const struct sim_user *u, struct sim_face *face);
void sim_fill_medal(struct sj_vals *v, const struct sim_user *u);
void sim_fill_face(uint64_t hash, struct sim_face *face);
