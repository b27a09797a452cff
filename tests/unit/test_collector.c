#include "collector/collector.h"

#include <stdio.h>
#include <string.h>

#include "collector/endpoint.h"
#include "collector/registry.h"
#include "collector/room.h"
#include "server/core/log.h"
#include "tests/support/collect.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

enum { ROOM = 100 };

static struct collect *open_with(void **state, unsigned n_up, const struct collector_opts *opts)
{
    struct collect *k = collect_new(n_up);
    *state = k;
    collect_open(k, opts);
    return k;
}

static int teardown(void **state)
{
    collect_free(*state);
    return 0;
}

static const struct collector_opts paced = {
    .connect_interval_ms = 1000,
    .heartbeat_interval_ms = 30000,
    .heartbeat_timeout_ms = 75000,
    .backoff_max_ms = 60000,
    .max_rooms = 250,
};

struct walk {
    int64_t ids[300];
    size_t n;
    size_t stop_after;
};

static bool on_each(void *ctx, const struct collector_room_info *info)
{
    struct walk *w = ctx;
    w->ids[w->n++] = info->room_id;
    return w->n != w->stop_after;
}

static void the_set(void **state)
{
    struct collector_opts few = paced;
    struct err err;
    few.max_rooms = 4;
    struct collect *k = open_with(state, 1, &few);
    static const int64_t ids[] = {30, 10, 20, 40};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        collect_add(k, ids[i]);
    }
    assert_int_equal(collector_add(k->c, 20, &err), ERR_CONFLICT);
    assert_int_equal(collector_add(k->c, 50, &err), ERR_FULL);
    assert_int_equal(collector_remove(k->c, 50, &err), ERR_NOT_FOUND);
    struct walk w = {.n = 0};
    collector_each(k->c, on_each, &w);
    assert_int_equal(w.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(w.ids[i], 10 * (i + 1));
    }
    w = (struct walk){.stop_after = 2};
    collector_each(k->c, on_each, &w);
    assert_int_equal(w.n, 2);
    assert_int_equal(collector_remove(k->c, 20, &err), ERR_OK);
    assert_int_equal(collector_n_rooms(k->c), 3);
    assert_true(collect_is(k, 20, "gone"));
    collect_add(k, 20); /* while the first one still closes */
    assert_int_equal(collector_n_rooms(k->c), 4);
    assert_true(collect_until_state(k, 20, "queued"));
}

static void waits_for_start(void **state)
{
    struct collect *k = collect_new(1);
    *state = k;
    const struct str host = fake_upstream_host(k->up[0]);
    const struct collector_opts opts = {
        .hosts = &host,
        .n_hosts = 1,
        .heartbeat_interval_ms = 1000,
        .heartbeat_timeout_ms = 2000,
        .backoff_max_ms = 100,
        .max_rooms = 10,
    };
    k->c = collector_new(k->loop, &opts, NULL);
    collect_add(k, ROOM);
    collect_turns(k, 10);
    assert_true(collect_is(k, ROOM, "idle"));
    collector_start(k->c);
    assert_true(collect_until_live(k, 1));
    collect_add(k, ROOM + 1);
    assert_true(collect_until_live(k, 2));
    collector_start(k->c); /* nothing more to start */
    assert_int_equal(fake_upstream_seen(k->up[0]).n_accepted, 2);
}

static unsigned n_lines;
static unsigned n_held;

static void count_lines(void *ctx, struct str line)
{
    (void)ctx;
    n_lines++;
    char text[LOG_LINE_BYTES];
    memcpy(text, line.ptr, line.len - 1);
    text[line.len - 1] = 0;
    const char *held = strstr(text, "held_back=");
    int64_t n = 0;
    if (held && str_to_i64(str_of(held + strlen("held_back=")), &n)) {
        n_held += (unsigned)n;
    }
}

static bool all_left(struct collect *k, const void *arg)
{
    (void)arg;
    return fake_upstream_seen(k->up[0]).n_open == 0 && collector_n_connected(k->c) == 0;
}

static void two_hundred_rooms(void **state)
{
    struct collect *k = open_with(state, 1, &paced);
    n_lines = 0;
    n_held = 0;
    log_set_sink(count_lines, NULL);
    for (int64_t id = 1; id <= 200; id++) {
        collect_add(k, id);
    }
    /* One connection start per second at most, about 1.2 s apart on average. */
    const int64_t start = k->clock.mono;
    unsigned before = 0;
    while (collector_n_connected(k->c) < 200 && k->clock.mono - start < 400000) {
        collect_advance(k, 100);
        const unsigned n = fake_upstream_seen(k->up[0]).n_accepted;
        assert_true(n - before <= 1);
        before = n;
    }
    assert_int_equal(collector_n_connected(k->c), 200);
    assert_in_range(k->clock.mono - start, 199000, 280000);
    /* All are lost at once, and come back spaced again. */
    n_lines = 0;
    n_held = 0;
    fake_upstream_drop(k->up[0], 0, true);
    assert_true(collect_until(k, all_left, NULL));
    assert_true(n_lines > 0 && n_lines <= ROOM_LOG_LINES);
    const unsigned told = n_lines;
    collect_advance(k, ROOM_LOG_PERIOD_MS);
    for (int i = 0; i < 4000 && collector_n_connected(k->c) < 200; i++) {
        collect_advance(k, 100);
    }
    assert_int_equal(collector_n_connected(k->c), 200);
    assert_true(n_held >= 200 - told);
    /* The kernel may tell a reset as an end when an error was reported before. */
    assert_int_equal(stats_get(k->stats, STAT_ROOM_CLOSES_PEER_RESET) +
                         stats_get(k->stats, STAT_ROOM_CLOSES_PEER_CLOSED),
                     200);
    assert_int_equal(stats_get(k->stats, STAT_ROOM_CONNECTS), 400);
}

static bool second_host(struct collect *k, const void *arg)
{
    (void)arg;
    return fake_upstream_seen(k->up[1]).n_accepted > 0;
}

static void next_host_on_each_try(void **state)
{
    struct collect *k = open_with(state, 2, NULL);
    /* ROOM is even: it begins with the first host, which refuses. */
    fake_upstream_refuse(k->up[0]);
    collect_add(k, ROOM);
    assert_true(collect_until_state(k, ROOM, "backoff"));
    assert_string_equal(collect_info(k, ROOM).last_close, "connect");
    collect_advance(k, 1250);
    assert_true(collect_until(k, second_host, NULL));
    assert_true(collect_until_state(k, ROOM, "connected"));
    assert_true(str_eq(collect_info(k, ROOM).host, fake_upstream_host(k->up[1])));
    /* Another room begins with the other host. */
    collect_add(k, ROOM + 1);
    assert_true(collect_until_state(k, ROOM + 1, "connected"));
    assert_int_equal(fake_upstream_seen(k->up[1]).n_accepted, 2);
}

static void without_hosts_it_waits(void **state)
{
    struct collect *k = open_with(state, 0, NULL);
    collect_add(k, ROOM);
    assert_true(collect_until_state(k, ROOM, "backoff"));
    assert_string_equal(collect_info(k, ROOM).last_close, "endpoint");
    assert_true(str_eq(collect_info(k, ROOM).host, STR_NULL));
}

/* A provider as one that asks over HTTP would be: answers when it likes. */
struct provider {
    struct collect *k;
    endpoint_done_fn *done;
    void *done_ctx;
    struct endpoint_ask ask;
    unsigned n_asks;
};

static void provider_ask(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done,
                         void *done_ctx)
{
    struct provider *p = ctx;
    assert_null(p->done);
    p->ask = *ask;
    p->done = done;
    p->done_ctx = done_ctx;
    p->n_asks++;
}

static void provider_answer(struct provider *p, struct str token)
{
    struct err err;
    struct endpoint ep;
    assert_non_null(p->done);
    assert_int_equal(endpoint_parse(fake_upstream_host(p->k->up[0]), &ep, &err), ERR_OK);
    ep.token = token;
    ep.buvid = STR("BUVID");
    ep.uid = 42;
    endpoint_done_fn *done = TAKE_PTR(p->done);
    done(p->done_ctx, ERR_OK, &ep, NULL);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void a_provider_gives_host_and_token(void **state)
{
    static struct provider p;
    struct collect *k = collect_new(1);
    *state = k;
    p = (struct provider){.k = k};
    const struct endpoint_provider ep = {provider_ask, &p};
    struct collector_opts opts = paced;
    opts.connect_interval_ms = 0;
    opts.endpoints = &ep;
    collect_open(k, &opts);
    collect_add(k, ROOM);
    assert_true(collect_is(k, ROOM, "prepare"));
    assert_int_equal(p.ask.room_id, ROOM);
    assert_int_equal(p.ask.attempt, 0);
    assert_false(p.ask.token_failed);
    fake_upstream_auth(k->up[0], FAKE_AUTH_BAD);
    provider_answer(&p, STR("TOK\"EN"));
    assert_true(collect_until_state(k, ROOM, "backoff"));
    assert_str_equal(buf_str(fake_upstream_seen(k->up[0]).last_auth),
                     "{\"uid\":42,\"roomid\":100,\"protover\":3,\"platform\":\"web\",\"type\":2,"
                     "\"buvid\":\"BUVID\",\"key\":\"TOK\\\"EN\"}");
    collect_advance(k, 40000);
    assert_int_equal(p.n_asks, 2);
    assert_int_equal(p.ask.attempt, 1);
    assert_true(p.ask.token_failed);
    /* It has nothing to offer: told, and asked again later. */
    struct err err;
    endpoint_done_fn *done = TAKE_PTR(p.done);
    done(p.done_ctx, err_set(&err, ERR_UNAVAILABLE, "upstream is away"), NULL, &err);
    assert_true(collect_is(k, ROOM, "backoff"));
    assert_string_equal(collect_info(k, ROOM).last_close, "upstream");
    /* An answer that is far too long is none. */
    collect_advance(k, 75000);
    assert_int_equal(p.n_asks, 3);
    static const char huge[ENDPOINT_TEXT_MAX + 1];
    provider_answer(&p, (struct str){huge, sizeof huge});
    assert_true(collect_is(k, ROOM, "backoff"));
    /* An answer after the end is taken and ignored; closing waits for it. */
    collect_advance(k, 75000);
    assert_int_equal(p.n_asks, 4);
    struct collector *c = TAKE_PTR(k->c);
    bool closed = false;
    collector_close(c, set_flag, &closed);
    loop_run_turns(k->loop, 5);
    assert_false(closed);
    provider_answer(&p, STR("late"));
    assert_true(loop_run_until(k->loop, &closed, 100));
}

static void endpoints_are_parsed(void **state)
{
    (void)state;
    struct endpoint ep;
    struct err err;
    assert_int_equal(endpoint_parse(STR(" a.example:2243 "), &ep, &err), ERR_OK);
    assert_str_equal(ep.host, "a.example");
    assert_int_equal(ep.port, 2243);
    assert_int_equal(ep.kind, TRANSPORT_TCP);
    assert_int_equal(endpoint_parse(STR("[::1]:80"), &ep, &err), ERR_OK);
    assert_str_equal(ep.host, "::1");
    assert_int_equal(endpoint_parse(STR("wss://b.example:443"), &ep, &err), ERR_OK);
    assert_int_equal(ep.kind, TRANSPORT_WSS);
    static const char *const wrong[] = {"",          "a",    "a:",     ":1",    "a:0",
                                        "a:65536",   "a:1x", "::1:80", "[]:80", "[::1:80",
                                        "udp://a:1", "a:-1", "tcp://"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(endpoint_parse(str_of(wrong[i]), &ep, &err), ERR_INVALID);
    }
}

/* A host that does not parse is left out; the others serve. */
static void bad_hosts_are_left_out(void **state)
{
    struct collect *k = collect_new(1);
    *state = k;
    const struct str hosts[] = {STR("nonsense"), fake_upstream_host(k->up[0])};
    struct collector_opts opts = {
        .hosts = hosts,
        .n_hosts = 2,
        .heartbeat_interval_ms = 1000,
        .heartbeat_timeout_ms = 2000,
        .backoff_max_ms = 1000,
        .max_rooms = 10,
    };
    k->c = collector_new(k->loop, &opts, NULL);
    collector_start(k->c);
    collect_add(k, 1);
    collect_add(k, 2);
    assert_true(collect_until_live(k, 2));
}

static bool contains(const struct buf *b, const char *what)
{
    return memmem(b->data, b->len, what, strlen(what)) != NULL;
}

static void metrics_tell(void **state)
{
    struct collect *k = open_with(state, 1, NULL);
    struct buf out;
    buf_init(&out, 1 << 20);
    collect_add(k, 1);
    collect_add(k, 2);
    assert_true(collect_until_live(k, 2));
    collect_put_danmaku(&out, 1);
    fake_upstream_send(k->up[0], 1, buf_str(&out));
    assert_true(collect_until_events(k, 1));
    buf_clear(&out);
    stats_write_prometheus(k->stats, &out);
    assert_true(buf_ok(&out));
    assert_true(contains(&out, "danmakud_rooms{state=\"connected\"} 2\n"));
    assert_true(contains(&out, "danmakud_rooms{state=\"backoff\"} 0\n"));
    assert_true(contains(&out, "danmakud_commands_total{cmd=\"DANMU_MSG\",status=\"ok\"} 1\n"));
    /* Every close reason and packet fault has its own line, named as the tables name it. */
    char line[128];
    for (unsigned r = 0; r < CLOSE_REASONS; r++) {
        (void)snprintf(line, sizeof line, "danmakud_room_closes_total{reason=\"%s\"} 0\n",
                       close_reason_name((enum close_reason)r));
        assert_true(contains(&out, line));
    }
#define X(name, label, text)                                                                       \
    assert_true(contains(&out, "danmakud_frames_dropped_total{cause=\"" label "\"} 0\n"));
    PACKET_FAULT_TABLE(X)
#undef X
    assert_non_null(registry_find(collector_registry(k->c), STR("DANMU_MSG")));
    buf_deinit(&out);
}

static void close_at_every_turn(void **state)
{
    struct collect *k = open_with(state, 2, NULL);
    fake_upstream_refuse(k->up[1]);
    struct buf out;
    buf_init(&out, 8192);
    collect_put_danmaku(&out, 1);
    for (unsigned turns = 0; turns <= 20; turns++) {
        for (int64_t id = 1; id <= 8; id++) {
            collect_add(k, id);
        }
        for (unsigned i = 0; i < turns; i++) {
            collect_turns(k, 1);
            fake_upstream_send(k->up[0], 0, buf_str(&out));
        }
        collect_close(k);
        const unsigned n = k->n_events;
        collect_turns(k, 3);
        assert_int_equal(k->n_events, n);
        collect_open(k, NULL);
    }
    buf_deinit(&out);
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_teardown(fn, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(the_set),
        CASE(waits_for_start),
        CASE(two_hundred_rooms),
        CASE(next_host_on_each_try),
        CASE(without_hosts_it_waits),
        CASE(a_provider_gives_host_and_token),
        cmocka_unit_test(endpoints_are_parsed),
        CASE(bad_hosts_are_left_out),
        CASE(metrics_tell),
        CASE(close_at_every_turn),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
