#include "tests/sim/sim_gen.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/sim/sim_gen_priv.h"

enum {
    REGULARS = 3000,      /* viewers of one room */
    POPULATION = 5000000, /* viewers of all rooms */
    FIXED_STEP_MS = 137,  /* between two messages of a room in a world with a fixed start */
};

struct sim_pending {
    struct list_node node;
    unsigned due_in;
    struct sim_msg msg;
};

struct family {
    const char *cmd;
    enum sim_kind kind;
    sim_draw_fn *draw;
    sim_render_fn *render;
};

static const struct family FAMILIES[SIM_FAMILIES] = {
#define X(id, name, command, k, on, off)                                                           \
    [SIM_F_##id] = {.cmd = (command), .kind = SIM_KIND_##k, .render = sim_render_##name},
#include "tests/sim/sim_families.def"
#undef X
};

/* Apart from the table, because some families share one. */
static sim_draw_fn *const DRAW[SIM_FAMILIES] = {
    [SIM_F_DANMAKU] = sim_draw_danmaku,     [SIM_F_GIFT] = sim_draw_gift,
    [SIM_F_SUPERCHAT] = sim_draw_superchat, [SIM_F_LIVE] = sim_draw_live,
    [SIM_F_PREPARING] = sim_draw_preparing, [SIM_F_INTERACT] = sim_draw_visit,
    [SIM_F_ENTRY] = sim_draw_visit,         [SIM_F_WATCHED] = sim_draw_count,
    [SIM_F_RANK] = sim_draw_count,          [SIM_F_LIKES] = sim_draw_count,
    [SIM_F_STOPPED] = sim_draw_plain,       [SIM_F_NOTICE] = sim_draw_plain,
    [SIM_F_GUARD] = sim_draw_guard,         [SIM_F_PACKET] = sim_draw_packet,
    [SIM_F_FANS] = sim_draw_count,          [SIM_F_UNKNOWN] = sim_draw_plain,
};

const char *sim_kind_name(enum sim_kind kind)
{
    static const char *const names[SIM_KINDS] = {"other", "danmaku", "gift",     "superchat",
                                                 "live",  "guard",   "redpacket"};

    return names[kind];
}

static void add_weight(struct sim_world *w, enum sim_family_id id, uint32_t on, uint32_t off)
{
    w->weight[1][id] = on;
    w->weight[0][id] = off;
    w->total[1] += on;
    w->total[0] += off;
}

static void default_mix(struct sim_world *w)
{
#define X(id, name, cmd, kind, on, off) add_weight(w, SIM_F_##id, (on), (off));
#include "tests/sim/sim_families.def"
#undef X
    if (w->full) {
        add_weight(w, SIM_F_GUARD, 12, 0);
        add_weight(w, SIM_F_PACKET, 8, 0);
    }
}

static bool parse_mix(struct sim_world *w, struct str mix)
{
    static const char *const names[SIM_FAMILIES] = {
#define X(id, name, cmd, kind, on, off) [SIM_F_##id] = #name,
#include "tests/sim/sim_families.def"
#undef X
    };
    struct str part;

    while (str_split(&mix, ',', &part)) {
        struct str name;
        int64_t n;
        int id = 0;

        if (!str_split(&part, '=', &name) || !str_to_i64(part, &n) || n < 0 || n > 1000000) {
            return false;
        }
        while (id < SIM_FAMILIES && (!str_eq(name, str_of(names[id])) || !DRAW[id])) {
            id++;
        }
        if (id == SIM_FAMILIES) {
            return false;
        }
        add_weight(w, (enum sim_family_id)id, id == SIM_F_LIVE ? 0 : (uint32_t)n,
                   id == SIM_F_PREPARING ? 0 : (uint32_t)n);
    }
    return w->total[0] + w->total[1] > 0;
}

static const char *tpl_text(enum sim_tpl_id id)
{
    const char *(*const files[])(enum sim_tpl_id) = {
        sim_tpl_common, sim_tpl_danmaku, sim_tpl_gift, sim_tpl_superchat,
        sim_tpl_room,   sim_tpl_visit,   sim_tpl_guard};
    const char *text = NULL;

    for (size_t i = 0; i < ARRAY_LEN(files) && !text; i++) {
        text = files[i](id);
    }
    ASSERT(text);
    return text;
}

struct sim_world *sim_world_new(const struct sim_world_opts *opts)
{
    struct sim_world *w = mem_new(struct sim_world);

    w->seed = sim_mix(opts->seed, 0);
    w->clock = opts->clock;
    w->start_ms = opts->start_ms;
    w->born_s = (opts->start_ms > 0 ? opts->start_ms : clock_wall_ms(opts->clock)) / 1000;
    w->full = opts->full;
    w->always_live = opts->mix.len > 0;
    for (int i = 0; i < SIM_TPLS; i++) {
        w->tpl[i] = sj_tpl_new(tpl_text((enum sim_tpl_id)i));
    }
    if (opts->mix.len == 0) {
        default_mix(w);
    } else if (!parse_mix(w, opts->mix)) {
        sim_world_free(w);
        return NULL;
    }
    return w;
}

void sim_world_free(struct sim_world *w)
{
    if (!w) {
        return;
    }
    for (int i = 0; i < SIM_TPLS; i++) {
        sj_tpl_free(w->tpl[i]);
    }
    mem_free(w);
}

void sim_gen_init(struct sim_gen *g, const struct sim_world *w, int64_t room_id, uint32_t index)
{
    *g = (struct sim_gen){.world = w, .index = index};
    rng_seed(&g->rng, sim_mix(w->seed, (uint64_t)room_id));
    rng_seed(&g->side, sim_mix(~w->seed, (uint64_t)room_id));
    sim_anchor_make(&g->anchor, w->seed, room_id);
    list_init(&g->pending);
    buf_init(&g->scratch, SIM_MESSAGE_MAX);
    g->watched = rng_between(&g->rng, 100, 200000);
    g->likes = rng_between(&g->rng, 10, 50000);
    g->online = rng_between(&g->rng, 3, 3000);
    g->fans = rng_between(&g->rng, 100, 2000000);
    g->live = rng_below(&g->rng, 100) < 88 || w->always_live;
    if (g->live) { /* since up to three hours ago */
        g->live_time = w->born_s - (int64_t)(sim_mix(w->seed, (uint64_t)room_id) % 10800);
        sim_gen_set_live_key(g);
    }
}

void sim_gen_forget(struct sim_gen *g)
{
    struct list_node *node;

    while ((node = list_first(&g->pending))) {
        list_remove(&g->pending, node);
        mem_free(CONTAINER_OF(node, struct sim_pending, node));
    }
}

void sim_gen_deinit(struct sim_gen *g)
{
    sim_gen_forget(g);
    mem_free(g->combo);
    g->combo = NULL;
    buf_deinit(&g->scratch);
}

static int64_t now_ms(struct sim_gen *g)
{
    const struct sim_world *w = g->world;
    int64_t t = w->start_ms > 0 ? w->start_ms + (int64_t)g->n_messages * FIXED_STEP_MS
                                : clock_wall_ms(w->clock);

    if (t > g->last_ms) {
        g->last_ms = t;
    }
    return g->last_ms;
}

void sim_msg_begin(struct sim_gen *g, struct sim_msg *m, enum sim_family_id family, bool with_user)
{
    m->family = family;
    m->kind = FAMILIES[family].kind;
    m->dup = m->urgent = false;
    m->has_user = with_user;
    m->now_ms = now_ms(g);
    m->sent_ms = m->now_ms;
    m->value = m->item = m->num = 0;
    m->salt = rng_u64(&g->rng);
    m->key_len = m->text_len = 0;
    if (with_user) {
        double u = rng_unit(&g->rng); /* few viewers say most of it */
        uint64_t regular = (uint64_t)(u * u * u * REGULARS);

        sim_user_make(&m->user, g->world->seed,
                      sim_mix((uint64_t)g->anchor.room_id, regular) % POPULATION, &g->anchor);
    }
}

void sim_msg_set_key(struct sim_msg *m, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(m->key, sizeof(m->key), fmt, args);
    va_end(args);
    ASSERT(n > 0 && n < SIM_KEY_MAX);
    m->key_len = (uint32_t)n;
}

void sim_msg_set_text(struct sim_msg *m, struct str text)
{
    struct str cut = utf8_cut(text, SIM_TEXT_MAX);

    if (cut.len > 0) {
        memcpy(m->text, cut.ptr, cut.len);
    }
    m->text_len = (uint32_t)cut.len;
}

void sim_msg_words(struct sim_gen *g, struct sim_msg *m, void (*words)(struct rng *, struct buf *))
{
    buf_clear(&g->scratch);
    words(&g->rng, &g->scratch);
    sim_msg_set_text(m, buf_str(&g->scratch));
}

void sim_gen_later(struct sim_gen *g, const struct sim_msg *m, unsigned in)
{
    struct sim_pending *p;

    if (g->pending.n >= SIM_PENDING_MAX) {
        return;
    }
    p = mem_new(struct sim_pending);
    p->due_in = in;
    p->msg = *m;
    list_push_back(&g->pending, &p->node);
}

/* The first held-back message whose turn it is, if any. */
static bool take_pending(struct sim_gen *g, struct sim_msg *ret)
{
    for (struct list_node *n = list_first(&g->pending); n; n = list_next(&g->pending, n)) {
        struct sim_pending *p = CONTAINER_OF(n, struct sim_pending, node);

        if (p->due_in == 0) {
            *ret = p->msg;
            ret->now_ms = now_ms(g);
            list_remove(&g->pending, n);
            mem_free(p);
            return true;
        }
        p->due_in--;
    }
    return false;
}

bool sim_gen_owes(const struct sim_gen *g)
{
    for (struct list_node *n = list_first(&g->pending); n; n = list_next(&g->pending, n)) {
        if (CONTAINER_OF(n, struct sim_pending, node)->msg.urgent) {
            return true;
        }
    }
    return false;
}

static enum sim_family_id choose(struct sim_gen *g)
{
    const struct sim_world *w = g->world;
    uint64_t d;
    int i = 0;

    if (w->total[g->live] == 0) {
        return g->live ? SIM_F_PREPARING
                       : SIM_F_LIVE; /* the mix has something only on the other side */
    }
    d = rng_below(&g->rng, w->total[g->live]);
    while (d >= w->weight[g->live][i]) {
        d -= w->weight[g->live][i++];
    }
    return (enum sim_family_id)i;
}

void sim_gen_next(struct sim_gen *g, struct sim_msg *ret)
{
    if (!take_pending(g, ret)) {
        enum sim_family_id family = choose(g);

        ret->family = family; /* families that share a draw function look at it */
        DRAW[family](g, ret);
    }
    g->n_messages++;
}

void sim_gen_render(const struct sim_gen *g, const struct sim_msg *m, bool masked, struct buf *out)
{
    struct sim_user hidden;
    const struct sim_user *user = &m->user;

    if (masked && m->has_user) {
        sim_user_mask(&m->user, &hidden);
        user = &hidden;
    }
    FAMILIES[m->family].render(g, m, user, out);
}

const char *sim_gen_cmd(const struct sim_msg *m)
{
    return FAMILIES[m->family].cmd;
}

static void swap_rng(struct sim_gen *g)
{
    struct rng turn = g->rng;

    g->rng = g->side;
    g->side = turn;
}

void sim_gen_set_live(struct sim_gen *g, bool live, struct sim_msg *ret)
{
    swap_rng(g);
    DRAW[live ? SIM_F_LIVE : SIM_F_PREPARING](g, ret);
    swap_rng(g);
}

void sim_gen_say(struct sim_gen *g, struct str text, struct sim_msg *ret)
{
    uint64_t n = g->n_danmaku;

    swap_rng(g);
    g->n_danmaku = (UINT64_C(1) << 36) + g->n_said++;
    sim_draw_danmaku(g, ret);
    g->n_danmaku = n;
    ret->u.danmaku.sticker = -1;
    ret->u.danmaku.n_emot = 0;
    sim_msg_set_text(ret, text);
    swap_rng(g);
}

void sim_gen_login_notice(const struct sim_gen *g, struct buf *out)
{
    struct sj_vals v;

    sj_clear(&v);
    sj_render(sim_tpl(g, SIM_T_LOGIN), &v, out);
}
