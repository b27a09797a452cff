#include "collector/room.h"

#include <stdio.h>

#include "collector/room_priv.h"
#include "collector/wire/inflate.h"
#include "server/core/assert.h"
#include "server/core/json_write.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

enum backoff_class { BACKOFF_NONE, BACKOFF_NORMAL, BACKOFF_LONG };
enum { AUTH_BYTES_MAX = 64 * 1024 };

static const struct {
    const char *name;
    const char *text;
    bool is_error;
    enum backoff_class backoff;
    enum stats_row stat;
} reasons[] = {
#define X(name, label, is_error, backoff, text)                                                    \
    [CLOSE_##name] = {label, text, is_error, BACKOFF_##backoff, STAT_ROOM_CLOSES_##name},
#include "collector/close_reason.def"
#undef X
};

#define TO(state) (UINT32_C(1) << ROOM_##state)
static const struct fsm_state states[] = {
#define X(state, text, successors)                                                                 \
    [ROOM_##state] = {.name = text,                                                                \
                      .next = successors,                                                          \
                      .initial = ROOM_##state == ROOM_IDLE,                                        \
                      .final = ROOM_##state == ROOM_CLOSED},
#include "collector/room_state.def"
#undef X
};
static const struct fsm_table table = {"room", states, ROOM_STATES};

const char *close_reason_name(enum close_reason r)
{
    ASSERT(r < CLOSE_REASONS);
    return reasons[r].name;
}

const struct fsm_table *room_fsm_table(void)
{
    return &table;
}

/* What a state promises about sockets, timers and queues. */
static bool invariant(void *ctx, unsigned state)
{
    const struct room *r = ctx;
    const bool timer = loop_timer_armed(&r->timer);
    const bool heartbeat = loop_timer_armed(&r->heartbeat);
    const bool waiting = pacer_is_waiting(&r->slot);
    switch ((enum room_state)state) {
    case ROOM_IDLE:
    case ROOM_CLOSED:
        return !r->transport && !timer && !heartbeat && !waiting && r->n_asking == 0;
    case ROOM_PREPARE:
        return !r->transport && !timer && !heartbeat && !waiting && r->n_asking > 0;
    case ROOM_QUEUED:
        return !r->transport && !timer && !heartbeat && waiting && r->host;
    case ROOM_CONNECT:
        return r->transport && !timer && !heartbeat && !waiting;
    case ROOM_AUTH:
        return r->transport && timer && !heartbeat && !waiting;
    case ROOM_CONNECTED:
        return r->transport && r->stream && timer && heartbeat && !waiting;
    case ROOM_BACKOFF:
        return !r->transport && timer && !heartbeat && !waiting && r->n_asking == 0;
    case ROOM_CLOSING:
        return (r->transport || r->n_asking > 0) && !timer && !heartbeat && !waiting;
    case ROOM_STATES:
        break;
    }
    return false;
}

/* State is also membership of exactly one list, so that states are counted without looking at rooms. */
static void on_move(void *ctx, unsigned from, unsigned to, const char *reason)
{
    struct room *r = ctx;
    list_remove(&r->env->by_state[from], &r->state_node);
    list_push_back(&r->env->by_state[to], &r->state_node);
    LOG(DEBUG, "room", "state", KV_I64("room", r->id), KV_CSTR("from", states[from].name),
        KV_CSTR("to", states[to].name), KV_CSTR("reason", reason));
}

/* At most ROOM_LOG_LINES per period over all rooms: when hundreds flap, the first tell the story. */
static bool may_log(struct room_env *env, uint64_t *ret_held)
{
    const int64_t now = loop_now_ms(env->loop);
    *ret_held = 0;
    if (now >= env->log_window_ms) {
        env->log_window_ms = now + ROOM_LOG_PERIOD_MS;
        env->log_lines = 0;
        *ret_held = env->log_held;
        env->log_held = 0;
    }
    if (env->log_lines >= ROOM_LOG_LINES) {
        env->log_held++;
        return false;
    }
    env->log_lines++;
    return true;
}

static void log_connected(struct room *r)
{
    uint64_t held;
    if (may_log(r->env, &held)) {
        LOG(INFO, "room", "connected", KV_I64("room", r->id), KV_CSTR("host", r->peer),
            KV_I64("failed_tries", r->n_failed_tries), KV_I64("held_back", held));
    }
}

/* A room that keeps failing for the same reason is told once. */
static void log_end(struct room *r, enum close_reason why, const char *detail, int64_t delay_ms)
{
    char msg[160];
    uint64_t held;
    /* That upstream's HTTP side is away is told once for all rooms, by who asks it. */
    if (why == CLOSE_REMOVED || why == CLOSE_UPSTREAM || (why == r->logged && !r->was_live) ||
        !may_log(r->env, &held)) {
        return;
    }
    r->logged = why;
    snprintf(msg, sizeof msg, "%s: %s, retrying in %.1fs",
             r->was_live ? "connection lost" : "not connected", reasons[why].text,
             (double)delay_ms / 1000);
    if (reasons[why].is_error) {
        LOG(WARN, "room", msg, KV_I64("room", r->id), KV_CSTR("host", r->peer ? r->peer : ""),
            KV_CSTR("reason", reasons[why].name), KV_CSTR("err", detail),
            KV_I64("held_back", held));
    } else {
        LOG(INFO, "room", msg, KV_I64("room", r->id), KV_CSTR("host", r->peer ? r->peer : ""),
            KV_CSTR("reason", reasons[why].name), KV_CSTR("err", detail),
            KV_I64("held_back", held));
    }
}

static void forget_endpoint(struct room *r)
{
    mem_free(TAKE_PTR(r->host));
    mem_free(TAKE_PTR(r->token));
    mem_free(TAKE_PTR(r->buvid));
}

static void on_endpoint(void *ctx, enum err_code code, const struct endpoint *ep,
                        const struct err *err);

static void prepare(struct room *r)
{
    const struct endpoint_ask ask = {
        .room_id = r->id,
        .attempt = r->n_tries,
        .token_failed = r->token_failed,
        .rank = endpoint_choice_rank(&r->choice, loop_now_ms(r->env->loop)),
    };
    r->n_asking++;
    fsm_move(&r->fsm, ROOM_PREPARE, "asking for a host");
    r->env->endpoints.ask(r->env->endpoints.ctx, &ask, on_endpoint, r);
}

/* The delay began when the connection failed; what closing it took counts. */
static void wait_backoff(struct room *r)
{
    const int64_t in_ms = r->next_try_mono_ms - loop_now_ms(r->env->loop);
    loop_timer_start(&r->timer, in_ms > 0 ? in_ms : 0, 0);
    fsm_move(&r->fsm, ROOM_BACKOFF, reasons[r->last_close].name);
}

static void maybe_closed(struct room *r)
{
    if (r->fsm.state != ROOM_CLOSING || r->transport || r->n_asking > 0) {
        return;
    }
    if (!r->removing) {
        wait_backoff(r);
        return;
    }
    fsm_move(&r->fsm, ROOM_CLOSED, "removed");
    list_remove(&r->env->by_state[ROOM_CLOSED], &r->state_node);
    repeat_deinit(&r->repeat);
    forget_endpoint(r);
    mem_free(r->peer);
    void (*const closed)(void *ctx) = r->closed;
    void *const ctx = r->closed_ctx;
    mem_free(r);
    closed(ctx);
}

static void on_deferred(void *ctx)
{
    struct room *r = ctx;
    r->n_asking--;
    maybe_closed(r);
}

static int64_t next_delay(struct room *r, enum close_reason why)
{
    if (r->was_live && loop_now_ms(r->env->loop) - r->live_mono_ms >= ROOM_HEALTHY_MS) {
        backoff_reset(&r->backoff);
    }
    if (reasons[why].backoff == BACKOFF_LONG && r->backoff.tries < ROOM_BACKOFF_LONG_TRIES) {
        r->backoff.tries = ROOM_BACKOFF_LONG_TRIES;
    }
    return backoff_next_ms(&r->backoff, r->env->rng);
}

static void schedule(struct room *r, enum close_reason why, const char *detail)
{
    if (why == CLOSE_REMOVED) {
        return;
    }
    const int64_t delay_ms = next_delay(r, why);
    r->next_try_mono_ms = loop_now_ms(r->env->loop) + delay_ms;
    r->next_try_wall_ms = loop_wall_ms(r->env->loop) + delay_ms;
    r->token_failed = why == CLOSE_AUTH_REJECTED || why == CLOSE_AUTH_CLOSED;
    if (why == CLOSE_CONNECT || why == CLOSE_CONNECT_TIMEOUT || why == CLOSE_HANDSHAKE) {
        endpoint_choice_failed(&r->choice, loop_now_ms(r->env->loop));
    }
    log_end(r, why, detail, delay_ms);
    r->n_failed_tries++;
}

static void tell_link(struct room *r, bool up, const char *reason, int64_t since_mono_ms)
{
    struct room_env *env = r->env;
    if (env->on_link) {
        const int64_t ago_ms = loop_now_ms(env->loop) - since_mono_ms;
        const struct collector_link link = {.room_id = r->id,
                                            .up = up,
                                            .reason = reason,
                                            .at_ms = loop_wall_ms(env->loop) - ago_ms};
        env->on_link(env->ctx, &link);
    }
}

/* Whatever was said after the last sign of life was said to nobody. */
static void tell_end(struct room *r, enum close_reason why)
{
    const bool silent = why == CLOSE_HEARTBEAT_TIMEOUT || why == CLOSE_WRITE_STALLED;
    tell_link(r, false, reasons[why].name,
              r->was_live && silent ? r->heard_mono_ms : loop_now_ms(r->env->loop));
}

/* Ends what there is of a connection, whatever the state, and sees to what comes next. */
void room_end(struct room *r, enum close_reason why, const char *detail)
{
    if (r->reading) {
        /* The stream is in use below us: it is left first. Removal beats any other reason. */
        if (!r->stop || why == CLOSE_REMOVED) {
            r->stop = true;
            r->stop_reason = why;
            snprintf(r->detail, sizeof r->detail, "%.*s", (int)(sizeof r->detail - 1), detail);
        }
        return;
    }
    ASSERT(r->fsm.state != ROOM_CLOSING && r->fsm.state != ROOM_CLOSED);
    r->ever_closed = true;
    r->last_close = why;
    r->last_close_wall_ms = loop_wall_ms(r->env->loop);
    snprintf(r->last_detail, sizeof r->last_detail, "%.*s", (int)(sizeof r->last_detail - 1),
             detail);
    stats_inc(r->env->stats, reasons[why].stat);
    schedule(r, why, detail);
    tell_end(r, why);
    r->was_live = false;
    r->popularity = -1;
    loop_timer_stop(&r->timer);
    loop_timer_stop(&r->heartbeat);
    pacer_leave(r->env->pacer, &r->slot);
    forget_endpoint(r);
    packet_stream_free(TAKE_PTR(r->stream));
    if (!r->transport && r->n_asking == 0 && !r->removing) {
        wait_backoff(r);
        return;
    }
    if (r->transport) {
        transport_close(r->transport);
    } else {
        r->n_asking++; /* so that closed never comes before room_close returns */
        loop_defer(r->env->loop, on_deferred, r);
    }
    fsm_move(&r->fsm, ROOM_CLOSING, reasons[why].name);
}

static bool send_packet(struct room *r, enum packet_op op, struct str body)
{
    struct buf out;
    struct err err;
    buf_init(&out, AUTH_BYTES_MAX);
    packet_put(&out, op, body);
    enum err_code rc = ERR_NOMEM;
    if (buf_ok(&out)) {
        rc = transport_write(r->transport, buf_str(&out), &err);
    } else {
        (void)err_set(&err, ERR_NOMEM, "packet too large");
    }
    buf_deinit(&out);
    if (rc != ERR_OK) {
        room_end(r, rc == ERR_FULL ? CLOSE_WRITE_STALLED : CLOSE_PEER_RESET, err.msg);
    }
    return rc == ERR_OK;
}

static void on_heartbeat(void *ctx)
{
    struct room *r = ctx;
    /* An empty body: upstream echoes what it gets behind the reply's declared length. */
    if (send_packet(r, PACKET_HEARTBEAT, STR_NULL)) {
        stats_inc(r->env->stats, STAT_HEARTBEATS);
    }
}

static void on_timer(void *ctx)
{
    struct room *r = ctx;
    if (r->fsm.state == ROOM_BACKOFF) {
        prepare(r);
    } else if (r->fsm.state == ROOM_AUTH) {
        room_end(r, CLOSE_AUTH_TIMEOUT, "");
    } else {
        room_end(r, CLOSE_HEARTBEAT_TIMEOUT, "");
    }
}

void room_authenticated(struct room *r)
{
    struct room_env *env = r->env;
    r->was_live = true;
    r->token_failed = false;
    endpoint_choice_worked(&r->choice);
    r->live_mono_ms = loop_now_ms(env->loop);
    r->live_wall_ms = loop_wall_ms(env->loop);
    r->n_connects++;
    stats_inc(env->stats, STAT_ROOM_CONNECTS);
    loop_timer_start(&r->timer, env->heartbeat_timeout_ms, 0);
    loop_timer_start(&r->heartbeat, env->heartbeat_interval_ms, env->heartbeat_interval_ms);
    fsm_move(&r->fsm, ROOM_CONNECTED, "authenticated");
    log_connected(r);
    tell_link(r, true, "", r->live_mono_ms);
    r->n_failed_tries = 0;
    r->logged = CLOSE_REASONS;
    on_heartbeat(r);
}

void room_alive(struct room *r)
{
    if (r->fsm.state == ROOM_CONNECTED) {
        loop_timer_start(&r->timer, r->env->heartbeat_timeout_ms, 0);
    }
}

static void put_auth(struct room *r, struct buf *body)
{
    struct json_out w;
    jw_init(&w, body);
    jw_object(&w);
    jw_ki64(&w, "uid", r->uid);
    jw_ki64(&w, "roomid", r->id);
    jw_ki64(&w, "protover", PACKET_BROTLI);
    jw_kstr(&w, "platform", STR("web"));
    jw_ki64(&w, "type", 2);
    jw_kstr(&w, "buvid", str_of(r->buvid));
    jw_kstr(&w, "key", str_of(r->token));
    jw_object_end(&w);
}

static void on_open(void *ctx)
{
    struct room *r = ctx;
    struct buf body;
    if (r->fsm.state != ROOM_CONNECT) {
        return;
    }
    r->stream = packet_stream_new(r->env->limits);
    packet_stream_share(r->stream, r->env->inflate);
    loop_timer_start(&r->timer, ROOM_AUTH_TIMEOUT_MS, 0);
    fsm_move(&r->fsm, ROOM_AUTH, "connected");
    buf_init(&body, AUTH_BYTES_MAX);
    put_auth(r, &body);
    (void)send_packet(r, PACKET_AUTH, buf_str(&body));
    buf_deinit(&body);
    mem_free(TAKE_PTR(r->token));
    mem_free(TAKE_PTR(r->buvid));
}

static void on_data(void *ctx, struct str data, bool whole)
{
    struct room *r = ctx;
    if (r->stream) {
        room_receive(r, data, whole);
    }
}

static enum close_reason reason_of(const struct room *r, enum transport_end why)
{
    switch (why) {
    case TRANSPORT_RESOLVE:
        return CLOSE_RESOLVE;
    case TRANSPORT_CONNECT:
        return CLOSE_CONNECT;
    case TRANSPORT_TIMEOUT:
        return CLOSE_CONNECT_TIMEOUT;
    case TRANSPORT_HANDSHAKE:
        return CLOSE_HANDSHAKE;
    case TRANSPORT_EOF:
        return r->fsm.state == ROOM_CONNECTED ? CLOSE_PEER_CLOSED : CLOSE_AUTH_CLOSED;
    case TRANSPORT_RESET:
        return r->fsm.state == ROOM_CONNECTED ? CLOSE_PEER_RESET : CLOSE_AUTH_CLOSED;
    case TRANSPORT_FRAMING:
        return CLOSE_FRAMING;
    case TRANSPORT_ENDS:
        break;
    }
    UNREACHABLE();
}

static void on_end(void *ctx, enum transport_end why, const struct err *err)
{
    struct room *r = ctx;
    room_end(r, reason_of(r, why), err ? err->msg : "");
}

static void on_closed(void *ctx)
{
    struct room *r = ctx;
    r->transport = NULL;
    maybe_closed(r);
}

static void on_slot(void *ctx)
{
    struct room *r = ctx;
    const struct transport_handler handler = {on_open, on_data, on_end, on_closed, r};
    const struct transport_dial dial = {
        .kind = r->kind,
        .host = str_of(r->host),
        .port = r->port,
        .timeout_ms = ROOM_CONNECT_TIMEOUT_MS,
        .message_max = (r->env->limits ? r->env->limits : &packet_limits_default)->packet_bytes,
    };
    struct err err;
    r->n_tries++;
    stats_inc(r->env->stats, STAT_ROOM_TRIES);
    if (transport_open(r->env->net, &dial, &handler, &r->transport, &err) != ERR_OK) {
        r->transport = NULL;
        room_end(r, CLOSE_ENDPOINT, err.msg);
        return;
    }
    fsm_move(&r->fsm, ROOM_CONNECT, "turn");
}

/* Keeps the answer until the room's turn has come. False: too long, or no memory. */
static bool keep_endpoint(struct room *r, const struct endpoint *ep)
{
    const bool v6 = memchr(ep->host.ptr, ':', ep->host.len) != NULL;
    struct buf peer;
    if (ep->host.len > TRANSPORT_HOST_MAX || ep->token.len > ENDPOINT_TEXT_MAX ||
        ep->buvid.len > ENDPOINT_TEXT_MAX) {
        return false;
    }
    buf_init(&peer, TRANSPORT_HOST_MAX + 16);
    buf_printf(&peer, v6 ? "[" STR_FMT "]:%u" : STR_FMT ":%u", STR_ARG(ep->host),
               (unsigned)ep->port);
    mem_free(r->peer);
    size_t len;
    r->peer = buf_take(&peer, &len);
    r->host = mem_dup(ep->host.ptr, ep->host.len);
    r->token = mem_dup(ep->token.ptr, ep->token.len);
    r->buvid = mem_dup(ep->buvid.ptr, ep->buvid.len);
    r->uid = ep->uid;
    r->kind = ep->kind;
    r->port = ep->port;
    return r->peer && r->host && r->token && r->buvid;
}

static void on_endpoint(void *ctx, enum err_code code, const struct endpoint *ep,
                        const struct err *err)
{
    struct room *r = ctx;
    r->n_asking--;
    if (r->fsm.state != ROOM_PREPARE) {
        maybe_closed(r);
        return;
    }
    if (code == ERR_UNAVAILABLE || code == ERR_FORBIDDEN || code == ERR_FULL ||
        code == ERR_CANCELED) {
        room_end(r, CLOSE_UPSTREAM, err ? err->msg : "");
    } else if (code != ERR_OK) {
        room_end(r, CLOSE_ENDPOINT, err ? err->msg : "");
    } else if (!keep_endpoint(r, ep)) {
        room_end(r, CLOSE_ENDPOINT, "answer too long");
    } else {
        pacer_join(r->env->pacer, &r->slot);
        fsm_move(&r->fsm, ROOM_QUEUED, "has a host");
    }
}

struct room *room_new(struct room_env *env, int64_t id)
{
    struct room *r = mem_new(struct room);
    const int64_t base =
        env->backoff_max_ms < ROOM_BACKOFF_BASE_MS ? env->backoff_max_ms : ROOM_BACKOFF_BASE_MS;
    r->env = env;
    r->id = id;
    r->popularity = -1;
    r->logged = CLOSE_REASONS;
    r->slot.go = on_slot;
    r->slot.ctx = r;
    backoff_init(&r->backoff, base, env->backoff_max_ms, ROOM_BACKOFF_JITTER_PCT);
    repeat_init(&r->repeat);
    loop_timer_init(&r->timer, env->loop, on_timer, r);
    loop_timer_init(&r->heartbeat, env->loop, on_heartbeat, r);
    fsm_init(&r->fsm, &table, ROOM_IDLE, r);
    r->fsm.invariant = invariant;
    r->fsm.on_move = on_move;
    list_push_back(&env->by_state[ROOM_IDLE], &r->state_node);
    tell_link(r, false, "", loop_now_ms(env->loop));
    return r;
}

void room_start(struct room *r)
{
    if (r->fsm.state == ROOM_IDLE) {
        prepare(r);
    }
}

void room_close(struct room *r, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!r->removing);
    r->removing = true;
    r->closed = closed;
    r->closed_ctx = ctx;
    if (r->fsm.state != ROOM_CLOSING) {
        room_end(r, CLOSE_REMOVED, "");
    }
}

int64_t room_id(const struct room *r)
{
    return r->id;
}

enum room_state room_state(const struct room *r)
{
    return (enum room_state)r->fsm.state;
}

enum transport_kind room_transport(const struct room *r)
{
    return r->kind;
}

void room_seen(struct room *r, int64_t nkey)
{
    (void)repeat_seen(&r->repeat, nkey);
}

void room_info(const struct room *r, struct collector_room_info *ret)
{
    const bool live = r->fsm.state == ROOM_CONNECTED;
    *ret = (struct collector_room_info){
        .room_id = r->id,
        .state = states[r->fsm.state].name,
        .last_close = r->ever_closed ? reasons[r->last_close].name : "",
        .last_close_text = r->ever_closed ? reasons[r->last_close].text : "",
        .last_close_detail = r->last_detail,
        .last_close_ms = r->last_close_wall_ms,
        .host = str_of(r->peer),
        .transport = r->peer ? transport_kind_name(r->kind) : "",
        .connected_since_ms = live ? r->live_wall_ms : 0,
        .next_try_ms = r->fsm.state == ROOM_BACKOFF ? r->next_try_wall_ms : 0,
        .last_event_ms = r->last_event_ms,
        .popularity = r->popularity,
        .n_connects = r->n_connects,
        .n_messages = r->n_messages,
        .n_events = r->n_events,
        .n_repeats = r->n_repeats,
    };
}
