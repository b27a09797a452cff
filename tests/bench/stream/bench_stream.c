/* Fan-out of the live stream: the real api and HTTP server, N clients that read, R events of about 300 bytes a second.
 *
 *   bench_stream CLIENTS RATE SECONDS
 *   bench_stream peer PORT CLIENTS RATE SECONDS      the same clients on a server that runs already (tests/bench/stream/run)
 *
 * The server runs on core 1, the clients (one process, epoll) on core 0. Printed: deliveries a second, the server's
 * CPU, its memory per client, and the fewest events that a client got (nobody may starve). A peer has the path
 * /api/v1/events/stream too, and what is sent to /publish goes to all of its clients; its CPU is not known here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/api.h"
#include "server/config/config.h"
#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/event/event.h"
#include "server/feed/feed.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/db_fake.h"

enum {
    READ_BYTES = 65536,
    TICK_MS = 10,
    RING = 65536,
    ROOM = 1000,
    CONNECTS_AT_ONCE = 256,
    KB = 1024
};

/* What the clients tell the server, in shared memory. */
struct shared {
    _Atomic unsigned connected;
    _Atomic uint64_t received;
    _Atomic bool stop;
    _Atomic uint64_t fewest;
};

struct bench {
    struct loop *loop;
    struct stats *stats;
    struct feed *feed;
    struct api *api;
    struct http *http;
    struct shared *shared;
    struct loop_timer tick;
    struct loop_timer phase;
    struct id_gen ids;
    unsigned n_clients;
    int64_t rate;
    int64_t owed_milli; /* events that are due, in thousandths */
    int64_t seconds;
    bool measuring;
    bool draining; /* nothing new is published: who is behind may catch up */
    double wall;
    double cpu;
    uint64_t received;
    uint64_t published;
    uint64_t received_before;
    double cpu_before;
    uint64_t started_ns;
    size_t rss_before;
    bool closed;
};

static void pin(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static size_t rss_kb(void)
{
    char line[128];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    ASSERT(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmRSS: %zu", &kb) == 1) {
            break;
        }
    }
    (void)fclose(f);
    return kb;
}

/* ---- the clients ---- */

static int connect_one(uint16_t port)
{
    static const char request[] = "GET /api/v1/events/stream HTTP/1.1\r\nHost: b\r\n"
                                  "Accept: text/event-stream\r\n\r\n";
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    while (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        ASSERT(errno == EINTR || errno == ECONNREFUSED);
    }
    ASSERT(send(fd, request, sizeof request - 1, 0) == sizeof request - 1);
    return fd;
}

/* Counts "\nid: ", also when it is cut by the end of a read. */
static unsigned count_ids(const char *p, size_t n, unsigned *matched)
{
    static const char mark[] = "\nid: ";
    unsigned found = 0;
    for (size_t i = 0; i < n; i++) {
        *matched = p[i] == mark[*matched] ? *matched + 1 : p[i] == '\n';
        if (*matched == sizeof mark - 1) {
            found++;
            *matched = 0;
        }
    }
    return found;
}

static void run_clients(struct shared *sh, uint16_t port, unsigned n)
{
    char *buf = malloc(READ_BYTES);
    unsigned *matched = calloc(n, sizeof *matched);
    uint64_t *got = calloc(n, sizeof *got);
    int *fds = calloc(n, sizeof *fds);
    int ep = epoll_create1(0);
    pin(0);
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};
        fds[i] = connect_one(port);
        ASSERT(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) == 0);
        sh->connected++;
        if (i % CONNECTS_AT_ONCE == 0) {
            (void)sched_yield();
        }
    }
    while (!sh->stop) {
        struct epoll_event evs[512];
        int k = epoll_wait(ep, evs, 512, 100);
        for (int i = 0; i < k; i++) {
            unsigned c = evs[i].data.u32;
            ssize_t r = recv(fds[c], buf, READ_BYTES, MSG_DONTWAIT);
            if (r > 0) {
                unsigned found = count_ids(buf, (size_t)r, &matched[c]);
                got[c] += found;
                sh->received += found;
            }
        }
    }
    uint64_t fewest = UINT64_MAX;
    for (unsigned i = 0; i < n; i++) {
        fewest = got[i] < fewest ? got[i] : fewest;
    }
    sh->fewest = fewest;
    exit(0);
}

/* ---- the peer ---- */

enum { PEER_EVENT_BYTES = 300, ANSWER_BYTES = 4096 };

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

static double since_s(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e9;
}

/* One message by a connection that stays: sent, answered. */
static void post(int fd)
{
    char request[512];
    char answer[ANSWER_BYTES];
    char text[PEER_EVENT_BYTES];
    memset(text, 'x', sizeof text);
    const int n = snprintf(request, sizeof request,
                           "POST /publish HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n%.*s",
                           PEER_EVENT_BYTES, PEER_EVENT_BYTES, text);
    ASSERT(n > 0 && (size_t)n < sizeof request && send(fd, request, (size_t)n, 0) == n);
    const ssize_t got = recv(fd, answer, sizeof answer, 0);
    ASSERT(got > 12 && answer[9] == '2');
}

/* Returns how long it took; *ret_n: how many were sent, fewer than asked for if the peer takes no more. */
static double post_all(uint16_t port, int64_t rate, int64_t seconds, uint64_t *ret_n)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    const uint64_t start = clock_mono_ns();
    uint64_t n = 0;
    while (since_s(start) < (double)seconds) {
        while (since_s(start) * (double)rate > (double)n && since_s(start) < (double)seconds) {
            post(fd);
            n++;
        }
        pause_ms(1);
    }
    (void)close(fd);
    *ret_n = n;
    return since_s(start);
}

static void peer(struct bench *b, uint16_t port)
{
    if (fork() == 0) {
        run_clients(b->shared, port, b->n_clients);
    }
    while (b->shared->connected < b->n_clients) {
        pause_ms(10);
    }
    pause_ms(500); /* the last of them are being answered */
    const uint64_t start = clock_mono_ns();
    const double wall = post_all(port, b->rate, b->seconds, &b->published);
    const uint64_t received = b->shared->received;
    while (b->shared->received < b->published * b->n_clients &&
           since_s(start) < 2 * (double)b->seconds) {
        pause_ms(10);
    }
    b->shared->stop = true;
    (void)wait(NULL);
    printf("%u clients, %.0f of %" PRId64 " events/s: %.0f deliveries/s, fewest %" PRIu64
           " of %" PRIu64 "\n",
           b->n_clients, (double)b->published / wall, b->rate, (double)received / wall,
           b->shared->fewest, b->published);
}

/* ---- the server ---- */

static bool op_room(void *ctx ATTR_UNUSED, int64_t id ATTR_UNUSED, struct api_room *ret ATTR_UNUSED)
{
    return false;
}

static void op_each(void *ctx ATTR_UNUSED, bool (*fn)(void *, const struct api_room *) ATTR_UNUSED,
                    void *fn_ctx ATTR_UNUSED)
{
}

static int64_t op_committed(void *ctx)
{
    return feed_head_id(((struct bench *)ctx)->feed);
}

static bool op_ready(void *ctx ATTR_UNUSED, const char **ret ATTR_UNUSED)
{
    return true;
}

static void publish(struct bench *b)
{
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, ROOM);
    d.actor = 123456789;
    d.uname = STR("名前のある人");
    d.text = STR("弹幕弹幕弹幕弹幕");
    struct event *e = event_new(id_gen_message(&b->ids, loop_wall_ms(b->loop)), &d);
    ASSERT(e != NULL);
    feed_publish(b->feed, e);
    b->published += b->measuring;
}

static void on_tick(void *ctx)
{
    struct bench *b = ctx;
    b->owed_milli += b->rate * TICK_MS;
    for (; b->owed_milli >= 1000; b->owed_milli -= 1000) {
        publish(b);
    }
}

static void on_closed(void *ctx)
{
    ((struct bench *)ctx)->closed = true;
}

static void measured(struct bench *b)
{
    b->wall = (double)(clock_mono_ns() - b->started_ns) / 1e9;
    b->cpu = cpu_s() - b->cpu_before;
    b->received = b->shared->received - b->received_before;
    b->draining = true;
    loop_timer_stop(&b->tick);
}

static void finish(struct bench *b)
{
    b->shared->stop = true;
    (void)wait(NULL);
    printf("%u clients, %.0f of %" PRId64
           " events/s: %.0f deliveries/s, server CPU %.0f %%, %.2f us per delivery, "
           "%.1f kB per client, fewest %" PRIu64 " of %" PRIu64 "\n",
           b->n_clients, (double)b->published / b->wall, b->rate, (double)b->received / b->wall,
           b->cpu / b->wall * 100, b->cpu / (double)b->received * 1e6,
           (double)(rss_kb() - b->rss_before) / b->n_clients, b->shared->fewest, b->published);
    loop_timer_stop(&b->phase);
    api_quiesce(b->api);
    http_close(b->http, 0, on_closed, b);
}

static void on_phase(void *ctx)
{
    struct bench *b = ctx;
    if (b->shared->connected < b->n_clients ||
        stats_get(b->stats, STAT_STREAMS) < (int64_t)b->n_clients) {
        return;
    }
    if (!b->measuring) {
        b->measuring = true;
        b->received_before = b->shared->received;
        b->cpu_before = cpu_s();
        b->started_ns = clock_mono_ns();
        loop_timer_start(&b->tick, 0, TICK_MS);
    } else if (!b->draining &&
               clock_mono_ns() - b->started_ns > (uint64_t)b->seconds * 1000000000) {
        measured(b);
    } else if (b->draining &&
               (b->shared->received - b->received_before == b->published * b->n_clients ||
                clock_mono_ns() - b->started_ns > (uint64_t)b->seconds * 2000000000)) {
        finish(b);
    }
}

static void serve(struct bench *b)
{
    struct config config = {.max_connections = 20000, .max_streams = 20000, .query_timeout = 1000};
    struct err err;
    struct db *db;
    b->loop = loop_new();
    b->stats = stats_new();
    b->feed = feed_new(RING, 256 << 20);
    db = db_fake_new(b->loop);
    id_gen_init(&b->ids, 0);
    struct api_opts opts = {
        .loop = b->loop,
        .config = &config,
        .db = db,
        .feed = b->feed,
        .stats = b->stats,
        .ops = {.room = op_room,
                .each_room = op_each,
                .committed = op_committed,
                .ready = op_ready,
                .ctx = b},
        .local_only = true,
    };
    b->api = api_new(&opts);
    if (api_listen(b->api, "127.0.0.1", 0, &b->http, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    b->rss_before = rss_kb();
    if (fork() == 0) {
        run_clients(b->shared, http_port(b->http), b->n_clients);
    }
    pin(1);
    loop_timer_init(&b->tick, b->loop, on_tick, b);
    loop_timer_init(&b->phase, b->loop, on_phase, b);
    loop_timer_start(&b->phase, 0, 100);
    while (!b->closed) {
        (void)uv_run(loop_uv(b->loop), UV_RUN_ONCE);
    }
    api_free(b->api);
    db_fake_free(db);
    feed_free(b->feed);
    stats_free(b->stats);
    loop_free(b->loop);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    int64_t n = 0;
    int64_t port = 0;
    const bool is_peer = argc == 6 && strcmp(argv[1], "peer") == 0;
    char **at = argv + (is_peer ? 3 : 1);
    if ((argc != 4 && !is_peer) || (is_peer && !str_to_i64(str_of(argv[2]), &port)) ||
        !str_to_i64(str_of(at[0]), &n) || !str_to_i64(str_of(at[1]), &b.rate) ||
        !str_to_i64(str_of(at[2]), &b.seconds) || n < 1 || n > 18000 || b.rate < 1) {
        fprintf(stderr, "usage: bench_stream [peer PORT] CLIENTS RATE SECONDS\n");
        return 2;
    }
    struct rlimit files;
    ASSERT(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    ASSERT(setrlimit(RLIMIT_NOFILE, &files) == 0);
    b.n_clients = (unsigned)n;
    b.shared =
        mmap(NULL, sizeof *b.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(b.shared != MAP_FAILED);
    if (is_peer) {
        peer(&b, (uint16_t)port);
    } else {
        serve(&b);
    }
    return 0;
}
