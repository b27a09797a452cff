#include "tests/support/collect.h"

#include <string.h>

#include "collector/wire/packet.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/support/frames.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"

enum { TURNS_MAX = 3000 };

struct collect *collect_new(unsigned n_upstreams)
{
    struct collect *k = mem_new(struct collect);
    ASSERT(n_upstreams <= COLLECT_HOSTS_MAX);
    clock_fake_init(&k->clock, INT64_C(1700000000000));
    k->loop = loop_new();
    loop_set_clock(k->loop, &k->clock.base);
    k->stats = stats_new();
    k->n_up = n_upstreams;
    for (unsigned i = 0; i < n_upstreams; i++) {
        k->up[i] = fake_upstream_new(k->loop);
    }
    return k;
}

static void on_events(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n)
{
    struct collect *k = ctx;
    ASSERT(n > 0);
    k->n_calls++;
    for (size_t i = 0; i < n && k->n_events < COLLECT_EVENTS_MAX; i++) {
        k->events[k->n_events++] =
            (struct collect_event){drafts[i].room_id, drafts[i].nkey, k->n_calls,
                                   places != NULL ? places[i] : (unsigned)i};
    }
    if (k->on_call) {
        k->on_call(k);
    }
}

void collect_open(struct collect *k, const struct collector_opts *opts)
{
    struct str hosts[COLLECT_HOSTS_MAX];
    struct collector_opts o = opts ? *opts
                                   : (struct collector_opts){
                                         .connect_interval_ms = 0,
                                         .heartbeat_interval_ms = 30000,
                                         .heartbeat_timeout_ms = 75000,
                                         .backoff_max_ms = 60000,
                                         .max_rooms = 1000,
                                     };
    for (unsigned i = 0; i < k->n_up; i++) {
        hosts[i] = fake_upstream_host(k->up[i]);
    }
    o.hosts = hosts;
    o.n_hosts = k->n_up;
    o.seed = o.seed ? o.seed : 1;
    o.on_events = on_events;
    o.ctx = k;
    k->closed = false;
    k->c = collector_new(k->loop, &o, k->stats);
    collector_start(k->c);
}

static void on_closed(void *ctx)
{
    struct collect *k = ctx;
    ASSERT(!k->closed);
    k->closed = true;
}

void collect_close(struct collect *k)
{
    struct collector *c = TAKE_PTR(k->c);
    if (c) {
        collector_close(c, on_closed, k);
        ASSERT(!k->closed);
        ASSERT(loop_run_until(k->loop, &k->closed, TURNS_MAX));
    }
}

void collect_free(struct collect *k)
{
    collect_close(k);
    for (unsigned i = 0; i < k->n_up; i++) {
        fake_upstream_free(k->up[i]);
    }
    stats_free(k->stats);
    loop_free(k->loop);
    mem_free(k);
}

void collect_add(struct collect *k, int64_t room_id)
{
    struct err err;
    ASSERT(collector_add(k->c, room_id, &err) == ERR_OK);
}

void collect_turns(struct collect *k, unsigned n)
{
    bool never = false;
    for (unsigned i = 0; i < n; i++) {
        ASSERT(!loop_run_until(k->loop, &never, 1));
    }
}

void collect_advance(struct collect *k, int64_t ms)
{
    clock_fake_advance(&k->clock, ms);
    loop_run_turns(k->loop, 4);
}

struct collector_room_info collect_info(struct collect *k, int64_t room_id)
{
    struct collector_room_info info = {.state = "gone", .last_close = ""};
    (void)collector_room(k->c, room_id, &info);
    return info;
}

bool collect_is(struct collect *k, int64_t room_id, const char *state)
{
    return strcmp(collect_info(k, room_id).state, state) == 0;
}

bool collect_until(struct collect *k, bool (*is)(struct collect *k, const void *arg),
                   const void *arg)
{
    struct patience p = {0};
    while (!is(k, arg)) {
        if (!patience_left(&p, TURNS_MAX)) {
            return false;
        }
        collect_turns(k, 1);
    }
    return true;
}

struct wanted {
    int64_t room_id;
    const char *state;
};

static bool has_state(struct collect *k, const void *arg)
{
    const struct wanted *w = arg;
    return collect_is(k, w->room_id, w->state);
}

bool collect_until_state(struct collect *k, int64_t room_id, const char *state)
{
    const struct wanted w = {room_id, state};
    return collect_until(k, has_state, &w);
}

static bool has_live(struct collect *k, const void *arg)
{
    return collector_n_connected(k->c) == *(const size_t *)arg;
}

bool collect_until_live(struct collect *k, size_t n)
{
    return collect_until(k, has_live, &n);
}

static bool has_events(struct collect *k, const void *arg)
{
    return k->n_events >= *(const unsigned *)arg;
}

bool collect_until_events(struct collect *k, unsigned n)
{
    return collect_until(k, has_events, &n);
}

void collect_put_danmaku(struct buf *out, int64_t id)
{
    struct buf json;
    buf_init(&json, 4096);
    buf_printf(&json,
               "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,16777215,1700000000000,%lld,0,\"1a2b\",0,"
               "0,0,\"\",0,\"{}\",\"{}\",{\"mode\":0,\"extra\":\"{\\\"id_str\\\":\\\"%llx\\\"}\"}]"
               ",\"text %lld\",[%lld,\"name\",0,0,0,10000,1,\"\"],[],[],[],0,0,null,{},0,0,null,"
               "null,0,7]}",
               (long long)id, (unsigned long long)id, (long long)id, (long long)(100000 + id));
    frames_put(out, PACKET_PLAIN, PACKET_MESSAGE, buf_str(&json));
    buf_deinit(&json);
}
