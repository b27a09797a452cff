#include "collector/collector.h"

#include <string.h>

#include "collector/endpoint.h"
#include "collector/net/transport.h"
#include "collector/pacer.h"
#include "collector/registry.h"
#include "collector/room.h"
#include "collector/wire/decode.h"
#include "collector/wire/inflate.h"
#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/prom.h"
#include "server/stats/stats.h"

enum { COMMANDS_MAX = 512 }; /* LIMIT: names kept; about 250 are known to exist */

struct collector {
    struct room_env env; /* what the rooms borrow */
    struct endpoint_list *hosts;
    struct rng rng;
    /* Sorted by id: found by bisection, walked in order; only adding and removing moves anything. */
    struct room **rooms; /* owned */
    size_t n;
    size_t cap;
    unsigned max_rooms;
    size_t n_closing; /* rooms that left the set and are not freed yet */
    bool started;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Place of the room, or where it belongs. */
static size_t place_of(const struct collector *c, int64_t id)
{
    size_t low = 0;
    size_t high = c->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (room_id(c->rooms[mid]) < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct room *find(const struct collector *c, int64_t id)
{
    const size_t i = place_of(c, id);
    return i < c->n && room_id(c->rooms[i]) == id ? c->rooms[i] : NULL;
}

static void scrape_transports(const struct collector *c, struct buf *labels, struct buf *out)
{
    size_t n[TRANSPORT_KINDS] = {0};
    for (size_t i = 0; i < c->n; i++) {
        if (room_state(c->rooms[i]) == ROOM_CONNECTED) {
            n[room_transport(c->rooms[i])]++;
        }
    }
    prom_head(out, "danmakud_rooms_connected", "gauge", "Rooms with a connection by transport.");
    for (unsigned k = 0; k < TRANSPORT_KINDS; k++) {
        buf_clear(labels);
        buf_printf(labels, "transport=\"%s\"%c", transport_kind_name((enum transport_kind)k), 0);
        prom_i64(out, "danmakud_rooms_connected", labels->data, (int64_t)n[k]);
    }
}

static void scrape(void *ctx, struct buf *out)
{
    const struct collector *c = ctx;
    const struct fsm_table *t = room_fsm_table();
    struct buf labels;
    buf_init(&labels, 1024);
    prom_head(out, "danmakud_rooms", "gauge", "Rooms by state.");
    for (unsigned s = 0; s < ROOM_STATES; s++) {
        buf_clear(&labels);
        buf_printf(&labels, "state=\"%s\"%c", t->states[s].name, 0);
        prom_i64(out, "danmakud_rooms", labels.data, (int64_t)c->env.by_state[s].n);
    }
    scrape_transports(c, &labels, out);
    prom_head(out, "danmakud_commands_total", "counter",
              "Messages of upstream by command and what decoding them gave.");
    static const char *const statuses[] = {"ok", "unknown", "broken"};
    for (size_t i = 0; i < registry_n(c->env.registry); i++) {
        const struct registry_entry *e = registry_at(c->env.registry, i);
        for (unsigned s = 0; s < ARRAY_LEN(statuses); s++) {
            if (e->n[s] > 0) {
                buf_clear(&labels);
                prom_label(&labels, "cmd", e->cmd);
                buf_printf(&labels, ",status=\"%s\"%c", statuses[s], 0);
                prom_i64(out, "danmakud_commands_total", labels.data, (int64_t)e->n[s]);
            }
        }
    }
    prom_head(out, "danmakud_commands_overflow_total", "counter",
              "Messages whose command found no place in the list of commands.");
    prom_i64(out, "danmakud_commands_overflow_total", "",
             (int64_t)registry_overflow(c->env.registry));
    buf_deinit(&labels);
}

/* One counter per note: a note without its row in counters.def does not compile. */
static const enum stats_row note_stats[] = {
#define X(name, label, text) [NET_NOTE_##name] = STAT_NET_##name,
    NET_NOTE_TABLE(X)
#undef X
};

static void on_note(void *ctx, enum net_note note)
{
    struct collector *c = ctx;
    stats_inc(c->env.stats, note_stats[note]);
}

static struct net_opts net_opts_of(const struct collector_opts *opts, bool tls)
{
    return (struct net_opts){.user_agent = opts->user_agent, .tls = tls, .ca_file = opts->ca_file};
}

enum err_code collector_check(const struct collector_opts *opts, struct err *err)
{
    /* Those of the system are not the configuration's fault. */
    const struct net_opts net = net_opts_of(opts, opts->ca_file && *opts->ca_file);
    return net_opts_check(&net, err);
}

static struct net *make_net(struct collector *c, struct loop *loop,
                            const struct collector_opts *opts)
{
    const bool tls = opts->endpoints ? opts->tls : endpoint_list_has(c->hosts, TRANSPORT_WSS);
    const struct net_opts net_opts = net_opts_of(opts, tls);
    struct net *net = net_new(loop);
    struct err err;
    if (net_configure(net, &net_opts, &err) != ERR_OK) {
        LOG(ERROR, "collector", "wss cannot be used", KV_CSTR("err", err.msg));
    }
    net_on_note(net, on_note, c);
    return net;
}

struct collector *collector_new(struct loop *loop, const struct collector_opts *opts,
                                struct stats *stats)
{
    struct collector *c = mem_new(struct collector);
    if (opts->seed) {
        rng_seed(&c->rng, opts->seed);
    } else {
        rng_seed_system(&c->rng);
    }
    c->hosts = endpoint_list_new(loop, opts->hosts, opts->n_hosts);
    c->max_rooms = opts->max_rooms;
    c->env = (struct room_env){
        .loop = loop,
        .net = make_net(c, loop, opts),
        .pacer = pacer_new(loop, opts->connect_interval_ms, &c->rng),
        .stats = stats,
        .decoder = decoder_new(),
        .inflate = inflate_new(),
        .registry = registry_new(COMMANDS_MAX),
        .rng = &c->rng,
        .endpoints = opts->endpoints ? *opts->endpoints : endpoint_list_provider(c->hosts),
        .heartbeat_interval_ms = opts->heartbeat_interval_ms,
        .heartbeat_timeout_ms = opts->heartbeat_timeout_ms,
        .backoff_max_ms = opts->backoff_max_ms,
        .raw = opts->on_raw != NULL ? opts->raw : COLLECTOR_RAW_OFF,
        .on_raw = opts->on_raw,
        .on_events = opts->on_events,
        .on_link = opts->on_link,
        .on_broken = opts->on_broken,
        .ctx = opts->ctx,
        .kept = mem_new_array(struct event_draft, DECODE_EVENTS_MAX),
        .places = mem_new_array(uint8_t, DECODE_EVENTS_MAX),
    };
    for (unsigned s = 0; s < ROOM_STATES; s++) {
        list_init(&c->env.by_state[s]);
    }
    if (stats) {
        stats_on_scrape(stats, scrape, c);
    }
    return c;
}

void collector_configure(struct collector *c, const struct collector_opts *opts)
{
    struct err err;
    endpoint_list_set(c->hosts, opts->hosts, opts->n_hosts);
    c->env.endpoints = opts->endpoints ? *opts->endpoints : endpoint_list_provider(c->hosts);
    pacer_set_interval(c->env.pacer, opts->connect_interval_ms);
    const bool tls = opts->endpoints ? opts->tls : endpoint_list_has(c->hosts, TRANSPORT_WSS);
    const struct net_opts net = net_opts_of(opts, tls);
    if (net_trust(c->env.net, &net, &err) != ERR_OK) {
        LOG(ERROR, "collector", "the certificates before are trusted on", KV_CSTR("err", err.msg));
    }
}

static void maybe_closed(void *ctx)
{
    struct collector *c = ctx;
    if (!c->closing || c->n_closing > 0) {
        return;
    }
    void (*const closed)(void *closed_ctx) = c->closed;
    void *const closed_ctx = c->closed_ctx;
    if (c->env.stats) {
        stats_off_scrape(c->env.stats, c);
    }
    pacer_free(c->env.pacer);
    net_free(c->env.net);
    decoder_free(c->env.decoder);
    inflate_free(c->env.inflate);
    registry_free(c->env.registry);
    endpoint_list_free(c->hosts);
    mem_free(c->env.kept);
    mem_free(c->env.places);
    mem_free(c->rooms);
    mem_free(c);
    closed(closed_ctx);
}

static void on_room_closed(void *ctx)
{
    struct collector *c = ctx;
    ASSERT(c->n_closing > 0);
    c->n_closing--;
    maybe_closed(c);
}

static void take_out(struct collector *c, size_t place)
{
    struct room *r = c->rooms[place];
    c->n--;
    memmove(&c->rooms[place], &c->rooms[place + 1], (c->n - place) * sizeof *c->rooms);
    c->n_closing++;
    room_close(r, on_room_closed, c);
}

void collector_close(struct collector *c, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    while (c->n > 0) {
        take_out(c, c->n - 1);
    }
    if (c->n_closing == 0) {
        loop_defer(c->env.loop, maybe_closed, c);
    }
}

void collector_start(struct collector *c)
{
    c->started = true;
    for (size_t i = 0; i < c->n; i++) {
        room_start(c->rooms[i]);
    }
}

enum err_code collector_add(struct collector *c, int64_t id, struct err *err)
{
    ASSERT(!c->closing);
    const size_t place = place_of(c, id);
    if (place < c->n && room_id(c->rooms[place]) == id) {
        return err_set(err, ERR_CONFLICT, "room %lld is collected already", (long long)id);
    }
    if (c->n >= c->max_rooms) {
        return err_set(err, ERR_FULL, "%u rooms are the most", c->max_rooms);
    }
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16;
        struct room **rooms = mem_new_array(struct room *, cap);
        if (c->n > 0) {
            memcpy(rooms, c->rooms, c->n * sizeof(*rooms));
        }
        mem_free(c->rooms);
        c->rooms = rooms;
        c->cap = cap;
    }
    memmove(&c->rooms[place + 1], &c->rooms[place], (c->n - place) * sizeof *c->rooms);
    c->rooms[place] = room_new(&c->env, id);
    c->n++;
    if (c->started) {
        room_start(c->rooms[place]);
    }
    return ERR_OK;
}

enum err_code collector_remove(struct collector *c, int64_t id, struct err *err)
{
    const size_t place = place_of(c, id);
    if (place == c->n || room_id(c->rooms[place]) != id) {
        return err_set(err, ERR_NOT_FOUND, "room %lld is not collected", (long long)id);
    }
    take_out(c, place);
    return ERR_OK;
}

void collector_seen(struct collector *c, int64_t id, int64_t nkey)
{
    struct room *r = find(c, id);
    if (r) {
        room_seen(r, nkey);
    }
}

bool collector_room(struct collector *c, int64_t id, struct collector_room_info *ret)
{
    const struct room *r = find(c, id);
    if (r) {
        room_info(r, ret);
    }
    return r != NULL;
}

size_t collector_n_rooms(const struct collector *c)
{
    return c->n;
}

size_t collector_n_connected(const struct collector *c)
{
    return c->env.by_state[ROOM_CONNECTED].n;
}

void collector_each(struct collector *c,
                    bool (*fn)(void *ctx, const struct collector_room_info *info), void *ctx)
{
    for (size_t i = 0; i < c->n; i++) {
        struct collector_room_info info;
        room_info(c->rooms[i], &info);
        if (!fn(ctx, &info)) {
            break;
        }
    }
}

const struct registry *collector_registry(const struct collector *c)
{
    return c->env.registry;
}
