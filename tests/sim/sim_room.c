#include "tests/sim/sim_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

enum {
    PUMP_BATCHES = 4,       /* per call: other rooms want their turn */
    PUMP_BACKLOG = 1 << 18, /* enough to keep a socket busy */
    CREDIT_MAX_MS = 2000,   /* what a held-back room makes up for later */
    SMALL_BYTES = 220,      /* such a message often comes plain whatever the client asked for */
    BURST_MS = 3000,
    STALL_MS = 20000,
};

struct sim_room *sim_room_new(struct sim_server *s, int64_t id, uint32_t index)
{
    struct sim_room *r = mem_new(struct sim_room);

    r->server = s;
    r->id = id;
    r->mood = 1;
    sim_gen_init(&r->gen, s->deps.world, id, index);
    rng_seed(&r->pace, sim_mix(s->o->seed ^ UINT64_C(0x5eed), (uint64_t)id));
    r->masks = (int64_t)rng_below(&r->pace, 100) < s->o->masked_pct;
    list_init(&r->conns);
    sim_life_init(r);
    return r;
}

void sim_room_free(struct sim_room *r)
{
    if (r) {
        ASSERT(!list_first(&r->conns));
        sim_gen_deinit(&r->gen);
        mem_free(r);
    }
}

void sim_room_join(struct sim_room *r, struct sim_conn *c)
{
    r->server->n_rooms_ready += !list_first(&r->conns);
    list_push_back(&r->conns, &c->room_node);
    r->server->n_ready++;
    sim_server_started(r->server);
    sim_room_pump(r);
}

void sim_room_leave(struct sim_room *r, struct sim_conn *c)
{
    list_remove(&r->conns, &c->room_node);
    r->server->n_ready--;
    r->server->n_rooms_ready -= !list_first(&r->conns);
}

/* Other rooms every STALL_MS, each at its own moment. */
bool sim_room_stalls(const struct sim_room *r)
{
    const struct sim_server *s = r->server;
    uint64_t own;
    uint64_t turn;

    if (s->o->stall_pct == 0) {
        return false;
    }
    own = sim_mix(s->o->seed ^ UINT64_C(0x57a1), (uint64_t)r->id);
    turn = ((uint64_t)loop_now_ms(s->loop) + own % STALL_MS) / STALL_MS;
    return sim_mix(own, turn) % 100 < (uint64_t)s->o->stall_pct;
}

#define EACH_CONN(r, n)                                                                            \
    for (struct list_node *n = list_first(&(r)->conns); n; n = list_next(&(r)->conns, n))

static struct sim_conn *conn_at(struct list_node *n)
{
    return CONTAINER_OF(n, struct sim_conn, room_node);
}

static bool full(const struct sim_conn *c, size_t limit)
{
    return sim_sock_backlog(&c->sock) >= limit;
}

/* Somebody to talk to, and nobody who has to be waited for. */
static bool can_send(const struct sim_room *r, size_t limit)
{
    const struct sim_server *s = r->server;
    bool any = false;

    if (!s->started || s->closing || s->paused || r->paused || s->left <= 0) {
        return false;
    }
    EACH_CONN(r, n)
    {
        const struct sim_conn *c = conn_at(n);

        if (!sim_conn_takes(c)) {
            continue;
        }
        if (!s->o->slow_drop && full(c, limit)) {
            return false;
        }
        any = true;
    }
    return any;
}

static void used_forms(const struct sim_room *r, bool forms[static SIM_FORMS])
{
    for (int form = 0; form < SIM_FORMS; form++) {
        forms[form] = false;
    }
    EACH_CONN(r, n)
    {
        forms[conn_at(n)->form] = true;
    }
}

static void begin_batch(struct sim_room *r, bool forms[static SIM_FORMS])
{
    used_forms(r, forms);
    for (int form = 0; form < SIM_FORMS; form++) {
        buf_clear(&r->server->run[form]);
    }
}

/* Everybody in one form and compression gets the same frame. Delivery may end connections, hence `next`. */
static void deliver_to(struct sim_room *r, struct sim_batch *b, unsigned n_messages, int form,
                       enum sim_ver asked, enum sim_ver sent)
{
    struct sim_server *s = r->server;
    struct list_node *next;
    bool made = false;

    for (struct list_node *n = list_first(&r->conns); n; n = next) {
        struct sim_conn *c = conn_at(n);

        next = list_next(&r->conns, n);
        if (c->form != form || sim_conn_ver(c) != asked || !sim_conn_takes(c)) {
            continue;
        }
        if (s->o->slow_drop && full(c, (size_t)s->o->queue_bytes)) {
            s->stats.dropped++;
            continue;
        }
        if (!made) {
            made = true;
            buf_clear(&s->frame);
            sim_frame_put(s->packer, sent, buf_str(&s->run[form]), &s->frame);
            ASSERT(buf_ok(&s->frame) && buf_ok(&s->run[form]));
            s->stats.frames++;
            s->stats.raw_bytes += s->run[form].len;
            s->stats.wire_bytes += s->frame.len;
        }
        sim_conn_deliver(c, b, n_messages, buf_str(&s->frame));
    }
}

static void end_batch(struct sim_room *r, struct sim_batch *b, unsigned n_messages,
                      const bool forms[static SIM_FORMS])
{
    static const enum sim_ver vers[] = {SIM_VER_PLAIN, SIM_VER_ZLIB, SIM_VER_BROTLI};

    for (int form = 0; form < SIM_FORMS; form++) {
        bool small = n_messages == 1 && r->server->run[form].len < SMALL_BYTES;

        if (!forms[form]) {
            continue;
        }
        small = small && rng_below(&r->pace, 2) == 0;
        for (size_t v = 0; v < ARRAY_LEN(vers); v++) {
            deliver_to(r, b, n_messages, form, vers[v], small ? SIM_VER_PLAIN : vers[v]);
        }
    }
    sim_batch_unref(b);
}

/* The next message of the replay; false: it has ended. */
static bool next_replay(struct sim_room *r, struct sim_batch *b, const bool forms[static SIM_FORMS],
                        struct sim_msg *m)
{
    struct sim_server *s = r->server;
    struct str json;

    if (s->o->replay_room > 0 && s->o->replay_room != r->id) {
        return false;
    }
    if (r->replay_at == sim_replay_n(s->deps.replay)) {
        if (!s->o->replay_loop || r->replay_at == 0) {
            return false;
        }
        r->replay_at = 0;
    }
    json = sim_replay_at(s->deps.replay, r->replay_at++);
    sim_replay_describe(json, m);
    sim_batch_add_raw(b, json, m, forms);
    return true;
}

static bool next_message(struct sim_room *r, struct sim_batch *b,
                         const bool forms[static SIM_FORMS], struct sim_msg *m)
{
    if (r->server->deps.replay) {
        return next_replay(r, b, forms, m);
    }
    sim_gen_next(&r->gen, m);
    sim_batch_add(b, r, m, forms);
    return true;
}

/* One frame of at most max messages and at most `credit` events; false: there was nothing to send. */
static bool send_batch(struct sim_room *r, unsigned max, double *credit)
{
    struct sim_server *s = r->server;
    struct sim_batch *b = sim_batch_new(s);
    bool forms[SIM_FORMS];
    unsigned n = 0;

    begin_batch(r, forms);
    while ((n < max && s->left > 0 && *credit >= 1) ||
           (n > 0 && n < SIM_BATCH_MAX && sim_gen_owes(&r->gen))) {
        if (!next_message(r, b, forms, s->msg)) {
            *credit = 0;
            break;
        }
        n++;
        if (s->msg->kind != SIM_KIND_OTHER && !s->msg->dup) {
            s->left -= s->left != INT64_MAX;
            *credit -= 1;
        }
    }
    if (n == 0) {
        sim_batch_unref(b);
        return false;
    }
    end_batch(r, b, n, forms);
    return true;
}

void sim_room_pump(struct sim_room *r)
{
    struct sim_server *s = r->server;
    size_t limit =
        (size_t)s->o->queue_bytes < PUMP_BACKLOG ? (size_t)s->o->queue_bytes : PUMP_BACKLOG;

    if (!s->o->full_speed) {
        return;
    }
    for (int i = 0; i < PUMP_BATCHES && can_send(r, limit); i++) {
        unsigned max = (unsigned)s->o->frame_max;
        double credit = 1e9;

        max = rng_below(&r->pace, 4) == 0 ? 1 : 1 + (unsigned)rng_below(&r->pace, max);
        if (!send_batch(r, max, &credit)) {
            return;
        }
    }
}

/* Bursts of six times the rate for a while, and less than usual in between: the mean stays. */
static double mood(struct sim_room *r, int64_t now_ms)
{
    if (r->server->o->steady) {
        return 1;
    }
    if (now_ms >= r->mood_until_ms) {
        bool burst = rng_below(&r->pace, 20) == 0;

        r->mood = burst ? 6 : 14.0 / 19;
        r->mood_until_ms = now_ms + BURST_MS / 2 + (int64_t)rng_below(&r->pace, BURST_MS);
    }
    return r->gen.live ? r->mood : r->mood / 20;
}

void sim_room_tick(struct sim_room *r, double rate, int64_t dt_ms)
{
    struct sim_server *s = r->server;
    double per_ms = rate * r->share / 1000;
    double most = per_ms * 6 * CREDIT_MAX_MS + 1;

    if (!list_first(&r->conns)) {
        return;
    }
    r->credit += per_ms * mood(r, loop_now_ms(s->loop)) * (double)dt_ms;
    r->credit = r->credit > most ? most : r->credit;
    while (r->credit >= 1 && can_send(r, (size_t)s->o->queue_bytes)) {
        if (!send_batch(r, (unsigned)s->o->frame_max, &r->credit)) {
            return;
        }
    }
}

void sim_room_send_one(struct sim_room *r, const struct sim_msg *m)
{
    struct sim_batch *b = sim_batch_new(r->server);
    bool forms[SIM_FORMS];

    begin_batch(r, forms);
    sim_batch_add(b, r, m, forms);
    b->extra = true;
    end_batch(r, b, 1, forms);
    if (!forms[0] && !forms[1]) {
        sim_gen_forget(&r->gen);
    }
}

void sim_room_send_raw(struct sim_room *r, struct str json)
{
    struct sim_batch *b = sim_batch_new(r->server);
    struct sim_msg *m = r->server->msg;
    bool forms[SIM_FORMS];

    begin_batch(r, forms);
    sim_replay_describe(json, m);
    sim_batch_add_raw(b, json, m, forms);
    b->extra = true;
    end_batch(r, b, 1, forms);
}
