/* What scripts do to a running server, and what they ask it. */
#include "tests/sim/sim_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/sim/sim_http.h"

void sim_server_play_listen(struct sim_server *s, struct sim_fault *f)
{
    f->fired++;
    s->stats.faults++;
    for (size_t i = 0; i < s->n_hosts; i++) {
        if (f->host < 0 || f->host == (int64_t)i) {
            sim_host_down(&s->hosts[i], f->for_ms);
        }
    }
}

/* A free slot: behind the last rule, or that of a rule that will not fire again. */
static struct sim_fault *slot(struct sim_server *s)
{
    if (s->n_faults < SIM_FAULTS_MAX) {
        return &s->faults[s->n_faults++];
    }
    for (size_t i = 0; i < s->n_faults; i++) {
        if (s->faults[i].times > 0 && s->faults[i].fired >= s->faults[i].times) {
            return &s->faults[i];
        }
    }
    return NULL;
}

#define EACH_CONN(s, c, next)                                                                      \
    for (struct list_node *c = list_first(&(s)->conns), *next;                                     \
         c && (next = list_next(&(s)->conns, c), true); c = next)

static struct sim_conn *conn_at(struct list_node *n)
{
    return CONTAINER_OF(n, struct sim_conn, node);
}

enum err_code sim_server_fault(struct sim_server *s, const struct sim_fault *f, struct err *err)
{
    struct sim_fault *mine = slot(s);

    if (!mine) {
        return err_set(err, ERR_FULL, "fault: %d rules already", SIM_FAULTS_MAX);
    }
    *mine = *f;
    mine->given_ms = loop_now_ms(s->loop);
    mine->fired = 0;
    if (sim_fault_class(f->kind) == SIM_FAULT_LISTEN) {
        if (f->after_ms == 0) {
            sim_server_play_listen(s, mine);
        }
        return ERR_OK;
    }
    EACH_CONN(s, n, next)
    {
        struct sim_conn *c = conn_at(n);

        c->fault_next[mine - s->faults] = 0;
        sim_conn_faults(c);
    }
    return ERR_OK;
}

void sim_server_faults_clear(struct sim_server *s)
{
    s->n_faults = 0;
    for (size_t i = 0; i < s->n_hosts; i++) {
        sim_host_up(&s->hosts[i]);
    }
    EACH_CONN(s, n, next)
    {
        struct sim_conn *c = conn_at(n);

        memset(c->fault_next, 0, sizeof(c->fault_next));
        if (!c->lost) {
            c->stalled = c->deaf = c->repeat = false;
            c->link.fragment = 0;
            sim_sock_drip(&c->sock, 0, 0);
        }
    }
    sim_server_pump_all(s);
}

size_t sim_server_drop(struct sim_server *s, int64_t room_id, bool reset)
{
    size_t n_dropped = 0;

    EACH_CONN(s, n, next)
    {
        struct sim_conn *c = conn_at(n);

        if (c->state == SIM_CONN_READY && (room_id == 0 || c->room->id == room_id)) {
            sim_conn_end(c, "dropped", reset);
            n_dropped++;
        }
    }
    return n_dropped;
}

void sim_server_pause(struct sim_server *s, int64_t room_id, bool paused)
{
    struct sim_room *r = sim_server_room(s, room_id);

    if (room_id == 0) {
        s->paused = paused;
    } else if (r) {
        r->paused = paused;
    }
    if (!paused) {
        sim_server_pump_all(s);
    }
}

struct act {
    struct str json;
    struct str text;
    bool live;
    size_t n;
};

static void emit(struct sim_room *r, void *ctx)
{
    struct act *a = ctx;

    a->n++;
    sim_room_send_raw(r, a->json);
}

static void say(struct sim_room *r, void *ctx)
{
    struct act *a = ctx;

    a->n++;
    sim_gen_say(&r->gen, a->text, r->server->msg);
    sim_room_send_one(r, r->server->msg);
}

static void set_live(struct sim_room *r, void *ctx)
{
    struct act *a = ctx;

    a->n++;
    sim_gen_set_live(&r->gen, a->live, r->server->msg);
    sim_room_send_one(r, r->server->msg);
}

static enum err_code act(struct sim_server *s, int64_t room_id,
                         void (*fn)(struct sim_room *r, void *ctx), struct act a, struct err *err)
{
    sim_server_each_room(s, room_id, fn, &a);
    return a.n > 0 ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no room %lld", (long long)room_id);
}

enum err_code sim_server_emit(struct sim_server *s, int64_t room_id, struct str json,
                              struct err *err)
{
    return act(s, room_id, emit, (struct act){.json = json}, err);
}

enum err_code sim_server_say(struct sim_server *s, int64_t room_id, struct str text,
                             struct err *err)
{
    return act(s, room_id, say, (struct act){.text = text}, err);
}

enum err_code sim_server_set_live(struct sim_server *s, int64_t room_id, bool live, struct err *err)
{
    return act(s, room_id, set_live, (struct act){.live = live}, err);
}

static void set_title(struct sim_room *r, void *ctx)
{
    struct act *a = ctx;

    a->n++;
    sim_life_set_title(r, a->text);
}

enum err_code sim_server_title(struct sim_server *s, int64_t room_id, struct str title,
                               struct err *err)
{
    return act(s, room_id, set_title, (struct act){.text = title}, err);
}

enum err_code sim_server_rank(struct sim_server *s, int64_t room_id, int64_t place, struct err *err)
{
    struct sim_room *r = sim_server_room(s, room_id);

    if (!r) {
        return err_set(err, ERR_NOT_FOUND, "no room %lld", (long long)room_id);
    }
    sim_life_set_rank(r, (size_t)place, loop_wall_ms(s->loop));
    return ERR_OK;
}

enum err_code sim_server_http_fault(struct sim_server *s, struct str rule, struct err *err)
{
    if (!s->http) {
        return err_set(err, ERR_INVALID, "http-fault: there is no --http");
    }
    if (str_eq(rule, STR("clear"))) {
        sim_http_faults_clear(s->http);
        return ERR_OK;
    }
    return sim_http_fault(s->http, rule, err);
}

void sim_server_rotate_keys(struct sim_server *s)
{
    sim_site_rotate_keys(s->site);
}

void sim_server_expire_tokens(struct sim_server *s)
{
    sim_site_expire_tokens(s->site);
}

void sim_server_more(struct sim_server *s, int64_t n)
{
    s->left = s->left == INT64_MAX ? n : s->left + n;
    sim_server_pump_all(s);
}

void sim_server_set_rate(struct sim_server *s, double rate)
{
    s->rate = rate;
}

void sim_server_ack_state(struct sim_server *s, struct buf *out)
{
    struct json_out w;

    jw_init(&w, out);
    jw_array(&w);
    EACH_CONN(s, n, next)
    {
        struct sim_conn *c = conn_at(n);
        struct sim_record_conn who;

        if (!c->room) {
            continue;
        }
        who = sim_server_record_conn(c);
        jw_object(&w);
        jw_ki64(&w, "conn", (int64_t)c->id);
        jw_ki64(&w, "room", c->room->id);
        jw_ki64(&w, "acked_seq", (int64_t)sim_conn_acked_seq(c));
        jw_ki64(&w, "sent_seq", (int64_t)c->seq);
        jw_object_end(&w);
        sim_record_ack(s->deps.record, &who, c->acked_seq, c->seq, NULL);
    }
    jw_array_end(&w);
    sim_record_flush(s->deps.record);
}

void sim_server_stats(const struct sim_server *s, struct json_out *w)
{
    const struct {
        const char *name;
        uint64_t n;
    } all[] = {
        {"rooms", s->n_rooms},
        {"rooms_ready", s->n_rooms_ready},
        {"connections", s->conns.n},
        {"ready", s->n_ready},
        {"events", s->n_events},
        {"messages", s->stats.messages},
        {"frames", s->stats.frames},
        {"raw_bytes", s->stats.raw_bytes},
        {"wire_bytes", s->stats.wire_bytes},
        {"accepted", s->stats.accepted},
        {"closed", s->stats.closed},
        {"auth_ok", s->stats.auth_ok},
        {"auth_failed", s->stats.auth_failed},
        {"auth_mismatch", s->stats.auth_mismatch},
        {"auth_expired", s->stats.auth_expired},
        {"auth_other_buvid", s->stats.auth_other_buvid},
        {"withheld", s->stats.withheld},
        {"over_limit", s->stats.over_limit},
        {"auth_timeouts", s->stats.auth_timeouts},
        {"heartbeats", s->stats.heartbeats},
        {"heartbeat_timeouts", s->stats.heartbeat_timeouts},
        {"bad_packets", s->stats.bad_packets},
        {"dropped_frames", s->stats.dropped},
        {"faults", s->stats.faults},
        {"tls_full", s->stats.tls_full},
        {"tls_resumed", s->stats.tls_resumed},
        {"tls_failed", s->stats.tls_failed},
        {"ws_upgrades", s->stats.ws_upgrades},
        {"ws_refused", s->stats.ws_refused},
        {"ws_pongs", s->stats.ws_pongs},
        {"ws_closes", s->stats.ws_closes},
    };

    jw_object(w);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        jw_ki64(w, all[i].name, (int64_t)all[i].n);
    }
    jw_ki64(w, "left", s->left == INT64_MAX ? -1 : s->left);
    jw_kbool(w, "started", s->started);
    if (s->http) {
        sim_http_stats(s->http, w);
    }
    jw_object_end(w);
}

/* Nothing more will be made for anybody who is there. */
static bool all_made(const struct sim_server *s)
{
    if (s->paused || s->left <= 0) {
        return true;
    }
    if (!s->deps.replay || s->o->replay_loop) {
        return false;
    }
    for (size_t i = 0; i < s->n_rooms; i++) {
        const struct sim_room *r = s->rooms[i];

        if (list_first(&r->conns) && r->replay_at < sim_replay_n(s->deps.replay) &&
            (s->o->replay_room == 0 || s->o->replay_room == r->id)) {
            return false;
        }
    }
    return s->n_rooms_ready > 0;
}

bool sim_server_idle(struct sim_server *s)
{
    if (!s->started || !all_made(s) || s->n_batches > 0) {
        return false;
    }
    EACH_CONN(s, n, next)
    {
        struct sim_conn *c = conn_at(n);

        if (sim_sock_backlog(&c->sock) > 0 || sim_sock_acked(&c->sock) < c->sock.sent) {
            return false;
        }
    }
    return true;
}

size_t sim_server_n_ready(const struct sim_server *s)
{
    return s->n_ready;
}

size_t sim_server_n_rooms_ready(const struct sim_server *s)
{
    return s->n_rooms_ready;
}

uint64_t sim_server_n_events(const struct sim_server *s)
{
    return s->n_events;
}
