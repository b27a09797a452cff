/* Rooms against the simulated upstream on the same loop, over every transport. */
#include <string.h>

#include "collector/collector.h"
#include "collector/endpoint.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/sim/sim_cert.h"
#include "tests/sim/sim_gen.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/sim_server.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

enum { TURNS_MAX = 6000, FIRST_ROOM = 1001, ARGS_MAX = 32 };

struct rig {
    struct loop *loop;
    struct stats *stats;
    struct collector *c;
    struct sim_options options;
    struct sim_world *world;
    struct sim_server *sim;
    struct tmp_dir dir;
    char tls_dir[TMP_PATH_BYTES];
    char ca_file[TMP_PATH_BYTES + 8];
    struct buf addresses[3]; /* by enum sim_link_kind, NUL-terminated */
    uint64_t n_events;       /* of the kinds the simulator counts */
    bool flag;
};

static enum sim_link_kind link_of(enum transport_kind kind)
{
    return kind == TRANSPORT_TCP ? SIM_LINK_TCP : kind == TRANSPORT_WS ? SIM_LINK_WS : SIM_LINK_WSS;
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static int setup(void **state)
{
    struct rig *r = mem_new(struct rig);
    r->loop = loop_new();
    r->stats = stats_new();
    log_set_level(LOG_LEVEL_ERROR);
    tmp_dir_make(&r->dir);
    tmp_path(&r->dir, "tls", r->tls_dir);
    tmp_path(&r->dir, "tls/ca.pem", r->ca_file);
    for (size_t i = 0; i < ARRAY_LEN(r->addresses); i++) {
        buf_init(&r->addresses[i], 256);
    }
    *state = r;
    return 0;
}

static void start_sim(struct rig *r, const char *const *more, size_t n)
{
    static char text[ARGS_MAX][TMP_PATH_BYTES];
    char *argv[ARGS_MAX];
    const char *args[ARGS_MAX] = {"sim",         "--ws",        "127.0.0.1:0", "--wss",
                                  "127.0.0.1:0", "--ws-strict", "--tls-dir",   r->tls_dir};
    const struct sim_world_opts world = {.seed = 1, .clock = clock_system()};
    struct err err = {0};
    size_t n_args = 8;
    for (size_t i = 0; i < n; i++) {
        args[n_args++] = more[i];
    }
    for (size_t i = 0; i < n_args; i++) {
        assert_true(strlen(args[i]) < TMP_PATH_BYTES);
        memcpy(text[i], args[i], strlen(args[i]) + 1);
        argv[i] = text[i];
    }
    assert_int_equal(sim_options_parse(&r->options, (int)n_args, argv, &err), ERR_OK);
    r->world = sim_world_new(&world);
    const struct sim_server_deps deps = {
        .loop = r->loop, .options = &r->options, .world = r->world};
    assert_int_equal(sim_server_open(&deps, &r->sim, &err), ERR_OK);
    for (unsigned k = 0; k < ARRAY_LEN(r->addresses); k++) {
        buf_clear(&r->addresses[k]);
        sim_server_addresses(r->sim, (enum sim_link_kind)k, &r->addresses[k]);
        buf_put_c(&r->addresses[k], '\0');
    }
}

#define START_SIM(r, ...)                                                                          \
    do {                                                                                           \
        static const char *const more_[] = {__VA_ARGS__};                                          \
        start_sim((r), more_, ARRAY_LEN(more_));                                                   \
    } while (0)

static void on_events(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n)
{
    (void)places;
    struct rig *r = ctx;
    for (size_t i = 0; i < n; i++) {
        const int16_t kind = drafts[i].kind;
        r->n_events += kind == EVENT_DANMAKU || kind == EVENT_GIFT || kind == EVENT_SUPERCHAT ||
                       kind == EVENT_LIVE;
    }
}

static void start_collector(struct rig *r, struct collector_opts opts, int n_rooms)
{
    opts.heartbeat_interval_ms = 50;
    opts.heartbeat_timeout_ms = 20000;
    opts.backoff_max_ms = opts.backoff_max_ms ? opts.backoff_max_ms : 5;
    opts.max_rooms = 100;
    opts.seed = 1;
    opts.on_events = on_events;
    opts.ctx = r;
    r->c = collector_new(r->loop, &opts, r->stats);
    collector_start(r->c);
    for (int i = 0; i < n_rooms; i++) {
        assert_int_equal(collector_add(r->c, FIRST_ROOM + i, NULL), ERR_OK);
    }
}

/* Rooms by this transport, trusting the simulator's own certificate. */
static void start_rooms(struct rig *r, enum transport_kind kind, int n_rooms)
{
    struct buf host;
    buf_init(&host, 256);
    buf_printf(&host, "%s://%s", transport_kind_name(kind), r->addresses[link_of(kind)].data);
    const struct str hosts[] = {buf_str(&host)};
    start_collector(r, (struct collector_opts){.hosts = hosts, .n_hosts = 1, .ca_file = r->ca_file},
                    n_rooms);
    buf_deinit(&host);
}

static void stop_collector(struct rig *r)
{
    if (r->c) {
        bool closed = false;
        collector_close(TAKE_PTR(r->c), set_flag, &closed);
        assert_true(loop_run_until(r->loop, &closed, TURNS_MAX));
    }
}

static void stop_sim(struct rig *r)
{
    if (r->sim) {
        bool closed = false;
        sim_server_close(TAKE_PTR(r->sim), set_flag, &closed);
        assert_true(loop_run_until(r->loop, &closed, TURNS_MAX));
        sim_world_free(TAKE_PTR(r->world));
    }
}

static int teardown(void **state)
{
    struct rig *r = *state;
    stop_collector(r);
    stop_sim(r);
    loop_free(r->loop);
    stats_free(r->stats);
    for (size_t i = 0; i < ARRAY_LEN(r->addresses); i++) {
        buf_deinit(&r->addresses[i]);
    }
    tmp_dir_remove(&r->dir);
    mem_free(r);
    return 0;
}

static bool until(struct rig *r, bool (*is)(struct rig *r, int64_t n), int64_t n)
{
    const bool never = false;
    struct patience p = {0};
    while (patience_left(&p, TURNS_MAX)) {
        if (is(r, n)) {
            return true;
        }
        if (loop_run_until(r->loop, &never, 1)) {
            return false;
        }
    }
    return false;
}

static bool are_live(struct rig *r, int64_t n)
{
    return (int64_t)collector_n_connected(r->c) == n;
}

static bool has_events(struct rig *r, int64_t n)
{
    return (int64_t)r->n_events >= n;
}

static int64_t n_closes(struct rig *r, const char *reason)
{
    static const struct {
        const char *reason;
        enum stats_row row;
    } all[] = {
        {"handshake", STAT_ROOM_CLOSES_HANDSHAKE},
        {"framing", STAT_ROOM_CLOSES_FRAMING},
        {"peer_closed", STAT_ROOM_CLOSES_PEER_CLOSED},
        {"peer_reset", STAT_ROOM_CLOSES_PEER_RESET},
        {"auth_rejected", STAT_ROOM_CLOSES_AUTH_REJECTED},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i].reason, reason) == 0) {
            return stats_get(r->stats, all[i].row);
        }
    }
    fail_msg("no reason %s", reason);
    return 0;
}

static void fault(struct rig *r, const char *rule)
{
    struct sim_fault f;
    struct err err = {0};
    assert_int_equal(sim_fault_parse(str_of(rule), &f, &err), ERR_OK);
    assert_int_equal(sim_server_fault(r->sim, &f, &err), ERR_OK);
}

static bool has_transport(struct rig *r, int64_t kind)
{
    struct collector_room_info info;
    return collector_room(r->c, FIRST_ROOM, &info) &&
           strcmp(info.transport, transport_kind_name((enum transport_kind)kind)) == 0 &&
           strcmp(info.state, "connected") == 0;
}

/* --- everything arrives --- */

static void everything_arrives(struct rig *r, enum transport_kind kind)
{
    START_SIM(r, "--rooms", "5", "--wait-rooms", "5", "--speed", "max", "--count", "3000");
    start_rooms(r, kind, 5);
    assert_true(until(r, has_events, 3000));
    assert_true(until(r, are_live, 5));
    assert_int_equal(r->n_events, 3000);
    assert_int_equal(sim_server_n_events(r->sim), 3000);
    assert_true(has_transport(r, kind));
    assert_true(stats_get(r->stats, STAT_HEARTBEAT_REPLIES) > 0);
    assert_int_equal(stats_get(r->stats, STAT_ROOM_TRIES), 5);
    assert_int_equal(stats_get(r->stats, STAT_MESSAGES_BROKEN), 0);
    for (enum stats_row row = STAT_FRAMES_DROPPED_HEADER; row <= STAT_FRAMES_DROPPED_MEMORY;
         row++) {
        assert_int_equal(stats_get(r->stats, row), 0);
    }
}

static void tcp(void **state)
{
    everything_arrives(*state, TRANSPORT_TCP);
}

static void ws(void **state)
{
    everything_arrives(*state, TRANSPORT_WS);
}

static void wss(void **state)
{
    struct rig *r = *state;
    everything_arrives(r, TRANSPORT_WSS);
    assert_int_equal(
        stats_get(r->stats, STAT_NET_TLS_FULL) + stats_get(r->stats, STAT_NET_TLS_RESUMED), 5);
}

static bool has_connects(struct rig *r, int64_t n)
{
    return stats_get(r->stats, STAT_ROOM_CONNECTS) == n && are_live(r, 5) &&
           sim_server_n_rooms_ready(r->sim) == 5 && sim_server_n_ready(r->sim) == 5;
}

/* Whatever ends a connection, or does not: the room is back, and what is said then arrives once. */
static void whatever_breaks(struct rig *r, enum transport_kind kind)
{
    static const struct {
        const char *rule;
        bool ends;    /* one of the connections */
        bool at_next; /* is played on the next one to come */
    } all[] = {
        {"kind=reset", true, false},
        {"kind=close", true, false},
        {"kind=truncate", true, false},
        {"kind=ws_close,code=1011", true, false},
        {"kind=ws_frame", true, false},
        {"kind=ws_frame,what=mask", true, false},
        {"kind=ws_frame,what=close", true, false},
        {"kind=ws_huge", true, false},
        {"kind=ws_huge,what=lie", true, false},
        {"kind=ws_answer,what=accept", true, true},
        {"kind=ws_answer,what=redirect", true, true},
        {"kind=ws_answer,what=reset", true, true},
        {"kind=garbage", false, false},
        {"kind=length,what=huge", false, false},
        {"kind=ws_text", false, false},
        {"kind=ws_ping", false, false},
        {"kind=ws_fragment,size=10", false, false},
    };
    START_SIM(r, "--rooms", "5", "--rate", "0", "--mix", "danmaku=1");
    start_rooms(r, kind, 5);
    assert_true(until(r, has_connects, 5));
    int64_t connects = 5;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        fault(r, all[i].rule);
        if (all[i].at_next) {
            assert_int_equal(sim_server_drop(r->sim, FIRST_ROOM, true), 1);
        }
        connects += all[i].ends;
        assert_true(until(r, has_connects, connects));
        for (int k = 0; k < 5; k++) {
            assert_int_equal(sim_server_say(r->sim, FIRST_ROOM + k, STR("在吗"), NULL), ERR_OK);
        }
        assert_true(until(r, has_events, 5 * (int64_t)(i + 1)));
        assert_int_equal(r->n_events, 5 * (i + 1));
    }
    assert_int_equal(n_closes(r, "framing"), 5);
    assert_int_equal(n_closes(r, "handshake"), 3);
    assert_int_equal(n_closes(r, "peer_closed") + n_closes(r, "peer_reset"), 4 + 3);
    assert_int_equal(stats_get(r->stats, STAT_NET_WS_TEXT), 1);
    assert_true(stats_get(r->stats, STAT_NET_WS_PING) > 1);
    assert_int_equal(stats_get(r->stats, STAT_NET_WS_TOO_LARGE), 2);
    assert_int_equal(stats_get(r->stats, STAT_FRAMES_DROPPED_HEADER) +
                         stats_get(r->stats, STAT_FRAMES_DROPPED_TOO_LARGE),
                     2);
}

static void ws_breaks(void **state)
{
    whatever_breaks(*state, TRANSPORT_WS);
}

static void wss_breaks(void **state)
{
    whatever_breaks(*state, TRANSPORT_WSS);
}

/* --- handshakes --- */

static bool has_failed(struct rig *r, int64_t n)
{
    return n_closes(r, "handshake") >= n;
}

static void expect_refused(struct rig *r, const char *host, const char *ca_file)
{
    const struct str hosts[] = {str_of(host)};
    start_collector(r, (struct collector_opts){.hosts = hosts, .n_hosts = 1, .ca_file = ca_file},
                    1);
    assert_true(until(r, has_failed, 2));
    assert_int_equal(collector_n_connected(r->c), 0);
    stop_collector(r);
}

static void certificates_are_verified(void **state)
{
    struct rig *r = *state;
    struct buf host;
    char stranger[TMP_PATH_BYTES];
    START_SIM(r, "--rate", "0", "--wss", "127.0.0.2:0");
    buf_init(&host, 256);
    /* An authority the system does not know. */
    char *second = strchr(r->addresses[SIM_LINK_WSS].data, ',');
    assert_non_null(second);
    *second++ = '\0';
    buf_printf(&host, "wss://%s%c", r->addresses[SIM_LINK_WSS].data, 0);
    expect_refused(r, host.data, NULL);
    /* Another authority than the one configured. */
    tmp_path(&r->dir, "ca.pem", stranger);
    {
        const struct sim_cert_opts o = {.subject = "stranger", .from_s = -60, .to_s = 3600};
        struct sim_cert *ca = NULL;
        assert_int_equal(sim_cert_new(&o, NULL, &ca, NULL), ERR_OK);
        assert_int_equal(sim_cert_write(ca, stranger, NULL, NULL), ERR_OK);
        sim_cert_free(ca);
    }
    expect_refused(r, host.data, stranger);
    /* The right authority, but the certificate is for another address. */
    buf_clear(&host);
    buf_printf(&host, "wss://%s%c", second, 0);
    expect_refused(r, host.data, r->ca_file);
    buf_deinit(&host);
}

static void tls_that_is_none(void **state)
{
    struct rig *r = *state;
    START_SIM(r, "--rate", "0", "--fault", "kind=tls_plain,times=2", "--fault",
              "kind=ws_answer,what=status", "--fault", "kind=ws_answer,what=extension", "--fault",
              "kind=ws_answer,what=long", "--fault", "kind=ws_answer,what=upgrade", "--fault",
              "kind=ws_answer,what=close");
    start_rooms(r, TRANSPORT_WSS, 1);
    assert_true(until(r, are_live, 1));
    assert_int_equal(n_closes(r, "handshake"), 7);
    assert_int_equal(stats_get(r->stats, STAT_ROOM_TRIES), 8);
}

static void auth_over_websocket(void **state)
{
    struct rig *r = *state;
    START_SIM(r, "--rate", "0", "--fault", "kind=bad_auth,times=2");
    start_rooms(r, TRANSPORT_WS, 1);
    assert_true(until(r, are_live, 1));
    assert_int_equal(n_closes(r, "auth_rejected"), 2);
}

/* --- the choice of a transport --- */

struct provider {
    struct rig *r;
    struct endpoint_order order;
    struct endpoint_host host;
    endpoint_done_fn *done;
    void *done_ctx;
    struct endpoint_ask ask;
};

static void provider_answer(void *ctx)
{
    struct provider *p = ctx;
    struct endpoint ep = {.token = STR("t"), .buvid = STR("b")};
    assert_true(endpoint_pick(&p->host, 1, &p->order, &p->ask, &ep));
    p->done(p->done_ctx, ERR_OK, &ep, NULL);
}

static void provider_ask(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done,
                         void *done_ctx)
{
    struct provider *p = ctx;
    p->ask = *ask;
    p->done = done;
    p->done_ctx = done_ctx;
    loop_defer(p->r->loop, provider_answer, p);
}

static uint16_t port_of(struct rig *r, enum transport_kind kind)
{
    struct endpoint ep;
    assert_int_equal(endpoint_parse(str_of(r->addresses[link_of(kind)].data), &ep, NULL), ERR_OK);
    return ep.port;
}

static void start_choosing(struct rig *r, struct provider *p)
{
    const struct endpoint_provider endpoints = {provider_ask, p};
    *p = (struct provider){.r = r, .order = endpoint_order_default, .host.host = STR("127.0.0.1")};
    for (unsigned k = 0; k < TRANSPORT_KINDS; k++) {
        p->host.ports[k] = port_of(r, (enum transport_kind)k);
    }
    start_collector(
        r, (struct collector_opts){.endpoints = &endpoints, .tls = true, .ca_file = r->ca_file}, 1);
}

static void the_first_of_the_order(void **state)
{
    struct rig *r = *state;
    struct provider p;
    START_SIM(r, "--rate", "0");
    start_choosing(r, &p);
    assert_true(until(r, has_transport, TRANSPORT_WSS));
    stop_collector(r);
}

static void the_next_after_failures(void **state)
{
    struct rig *r = *state;
    struct provider p;
    /* Hosts are numbered tcp, ws, wss: handshakes fail on both kinds of websocket. */
    START_SIM(r, "--rate", "0", "--fault", "kind=tls_plain,times=0", "--fault",
              "kind=ws_answer,times=0");
    start_choosing(r, &p);
    assert_true(until(r, has_transport, TRANSPORT_TCP));
    assert_int_equal(n_closes(r, "handshake"), 2 * ENDPOINT_TRIES);
    /* What works is kept. */
    assert_int_equal(sim_server_drop(r->sim, FIRST_ROOM, true), 1);
    assert_true(until(r, are_live, 0));
    assert_true(until(r, has_transport, TRANSPORT_TCP));
    assert_int_equal(n_closes(r, "handshake"), 2 * ENDPOINT_TRIES);
    /* And left when it stops working: once round. */
    sim_server_faults_clear(r->sim);
    fault(r, "kind=refuse,host=0");
    assert_int_equal(sim_server_drop(r->sim, FIRST_ROOM, true), 1);
    assert_true(until(r, has_transport, TRANSPORT_WSS));
    stop_collector(r);
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(tcp),
        CASE(ws),
        CASE(wss),
        CASE(ws_breaks),
        CASE(wss_breaks),
        CASE(certificates_are_verified),
        CASE(tls_that_is_none),
        CASE(auth_over_websocket),
        CASE(the_first_of_the_order),
        CASE(the_next_after_failures),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
