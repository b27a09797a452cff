/* The server side of tests/bench/http/run: answers of 4 kB, and what a stream costs.
 *
 *   bench_http serve [N]           prints its port, serves /static, /copy and /later (answered by deferred work) until
 *                                  its standard input ends; N idle streams are open meanwhile
 *   bench_http streams N [HEAD]    N idle streams, request heads filled up to HEAD bytes: memory of each, then rounds
 *                                  in which every stream wakes and sends one event of 300 bytes
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/http/http.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    ANSWER_BYTES = 4096,
    EVENT_BYTES = 300,
    BLOCK_BYTES = 4096,
    ROUNDS = 50,
    READ_BYTES = 65536,
    HEAD_MOST = 4096,
    SPARE_FDS = 64,
    KB = 1024,
};

struct bench {
    struct loop *loop;
    struct stats *stats;
    struct http *http;
    char answer[ANSWER_BYTES];
    struct source *sources;
    size_t n_sources;
    size_t n_wanted;
    uint64_t n_sent;
    size_t rss_before;
    uv_pipe_t in;
    bool done;
};

struct source {
    struct bench *b;
    struct http_stream *stream;
    size_t due; /* bytes of the event still to send */
};

static void answer_static(void *ctx, struct http_req *r)
{
    struct bench *b = ctx;
    http_respond_static(r, 200, "application/json", (struct str){b->answer, ANSWER_BYTES});
}

/* As an answer that was encoded for this request. */
static void answer_copy(void *ctx, struct http_req *r)
{
    struct bench *b = ctx;
    struct buf body;
    buf_init(&body, ANSWER_BYTES);
    buf_put(&body, (struct str){b->answer, ANSWER_BYTES});
    http_respond(r, 200, "application/json", &body);
}

static void answer_now(void *ctx)
{
    struct http_req *r = ctx;
    answer_copy(http_req_data(r), r);
}

static void answer_later(void *ctx, struct http_req *r)
{
    struct bench *b = ctx;
    http_req_set_data(r, b);
    loop_defer(b->loop, answer_now, r);
}

static int64_t pull(void *ctx, char *out, size_t max)
{
    struct source *s = ctx;
    const size_t n = s->due < max ? s->due : max;
    memcpy(out, s->b->answer, n);
    s->due -= n;
    s->b->n_sent += n > 0 && s->due == 0;
    return (int64_t)n;
}

static void on_gone(void *ctx)
{
    struct source *s = ctx;
    s->stream = NULL;
}

static void stream(void *ctx, struct http_req *r)
{
    struct bench *b = ctx;
    ASSERT(b->n_sources < b->n_wanted);
    struct source *s = &b->sources[b->n_sources++];
    s->b = b;
    s->stream = http_respond_stream(r, 200, "text/event-stream", BLOCK_BYTES, pull, on_gone, s);
}

static const struct http_route ROUTES[] = {
    {HTTP_GET, "/static", answer_static, "static", 0},
    {HTTP_GET, "/copy", answer_copy, "copy", 0},
    {HTTP_GET, "/later", answer_later, "later", 0},
    {HTTP_GET, "/stream", stream, "stream", 0},
};

static void refuse(void *ctx, struct http_req *r, unsigned status, const char *allow)
{
    (void)ctx;
    (void)allow;
    (void)fprintf(stderr, "bench_http: a request was refused with %u\n", status);
    http_respond_static(r, status, "text/plain", STR("no\n"));
}

static void decorate(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_add_header(r, "X-Request-Id", str_of(http_req_id(r)));
}

static void open_server(struct bench *b)
{
    const struct http_opts o = {
        .address = "127.0.0.1",
        .max_connections = 60000,
        .idle_timeout_s = 60,
        .max_body_bytes = 65536,
        .routes = ROUTES,
        .n_routes = ARRAY_LEN(ROUTES),
        .ctx = b,
        .refuse = refuse,
        .decorate = decorate,
    };
    struct err err = {.code = ERR_OK};
    b->loop = loop_new();
    b->stats = stats_new();
    memset(b->answer, 'x', sizeof b->answer);
    if (http_open(b->loop, &o, b->stats, &b->http, &err) != ERR_OK) {
        (void)fprintf(stderr, "bench_http: %s\n", err.msg);
        exit(1);
    }
}

static void on_closed(void *ctx)
{
    ((struct bench *)ctx)->done = true;
}

static void close_server(struct bench *b)
{
    http_close(b->http, 1000, on_closed, b);
    while (!b->done) {
        (void)loop_turn(b->loop);
    }
    loop_free(b->loop);
    stats_free(b->stats);
}

/* --- serve --- */

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    static char unused[16];
    (void)h;
    (void)n;
    *buf = uv_buf_init(unused, sizeof unused);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct bench *b = s->data;
    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)s, NULL);
        loop_stop(b->loop);
    }
}

/* --- streams --- */

static size_t rss_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ASSERT(f != NULL && fscanf(f, "%*u %llu", &pages) == 1);
    (void)fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t make_head(char head[static HEAD_MOST], size_t fill)
{
    int n =
        snprintf(head, HEAD_MOST,
                 "GET /stream?rooms=5440,21452505&kinds=danmaku,gift,superchat HTTP/1.1\r\n"
                 "Host: 127.0.0.1:8080\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like "
                 "Gecko) Chrome/120.0.0.0 Safari/537.36\r\nAccept-Language: en-US,en;q=0.9\r\n"
                 "Accept-Encoding: gzip, deflate, br\r\nReferer: http://127.0.0.1:8080/\r\n"
                 "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n");
    for (int i = 0; (size_t)n + 220 < fill; i++) {
        n += snprintf(head + n, (size_t)(HEAD_MOST - n), "X-Field-%02d: %0200d\r\n", i, i);
    }
    n += snprintf(head + n, (size_t)(HEAD_MOST - n), "\r\n");
    return (size_t)n;
}

static int connect_one(uint16_t port, const char *head, size_t n)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) != 0 ||
        send(fd, head, n, MSG_NOSIGNAL) != (ssize_t)n) {
        perror("bench_http: client");
        exit(1);
    }
    return fd;
}

/* The clients: connect, then read and throw away until killed. */
ATTR_NORETURN static void run_clients(uint16_t port, size_t n, size_t fill)
{
    static char sink[READ_BYTES];
    char head[HEAD_MOST];
    const size_t head_len = make_head(head, fill);
    const int ep = epoll_create1(0);
    for (size_t i = 0; i < n; i++) {
        const int fd = connect_one(port, head, head_len);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        ASSERT(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
    }
    for (;;) {
        struct epoll_event ev[256];
        const int got = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < got; i++) {
            if (recv(ev[i].data.fd, sink, sizeof sink, 0) <= 0) {
                _exit(0);
            }
        }
    }
}

static void allow_descriptors(size_t n)
{
    struct rlimit r = {0};
    (void)getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_cur < n + SPARE_FDS) {
        (void)fprintf(stderr, "bench_http: %zu streams need more descriptors than %llu\n", n,
                      (unsigned long long)r.rlim_cur);
        exit(1);
    }
}

static void wait_idle(struct bench *b)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(b->loop)), .events = POLLIN};
    do {
        while (uv_backend_timeout(loop_uv(b->loop)) == 0) {
            (void)loop_turn(b->loop);
        }
        (void)loop_turn(b->loop);
    } while (poll(&p, 1, 200) > 0);
}

static double cpu_seconds(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void send_rounds(struct bench *b)
{
    const double cpu = cpu_seconds();
    const uint64_t start = clock_mono_ns();
    for (int round = 1; round <= ROUNDS; round++) {
        for (size_t i = 0; i < b->n_sources; i++) {
            if (b->sources[i].stream != NULL) {
                b->sources[i].due = EVENT_BYTES;
                http_stream_wake(b->sources[i].stream);
            }
        }
        while (b->n_sent < (uint64_t)round * b->n_sources) {
            (void)loop_turn(b->loop);
        }
    }
    const double wall = (double)(clock_mono_ns() - start) / 1e9;
    const double used = cpu_seconds() - cpu;
    const double sends = (double)b->n_sent;
    (void)printf("streams=%zu sends/s=%.0f us_cpu_per_send=%.2f ms_per_round=%.1f\n", b->n_sources,
                 sends / wall, used * 1e6 / sends, wall * 1e3 / ROUNDS);
}

/* Opens the server and n streams from a child, whose id it returns. */
static pid_t open_streams(struct bench *b, size_t n, size_t fill)
{
    allow_descriptors(n);
    b->n_wanted = n;
    b->sources = mem_new_array(struct source, n + 1);
    memset(b->sources, 0, n * sizeof b->sources[0]); /* touched: not counted as the streams' */
    open_server(b);
    wait_idle(b);
    b->rss_before = rss_bytes();
    const pid_t child = n > 0 ? fork() : -1;
    if (child == 0) {
        run_clients(http_port(b->http), n, fill);
    }
    while (b->n_sources < n) {
        (void)loop_turn(b->loop);
    }
    wait_idle(b);
    return child;
}

static void stop_clients(pid_t child)
{
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
}

static void streams(struct bench *b, size_t n, size_t fill)
{
    const pid_t child = open_streams(b, n, fill);
    (void)printf("streams=%zu head=%zu rss_bytes_per_stream=%zu\n", n, fill,
                 (rss_bytes() - b->rss_before) / n);
    send_rounds(b);
    wait_idle(b);
    (void)printf("streams=%zu after_sending rss_bytes_per_stream=%zu\n", n,
                 (rss_bytes() - b->rss_before) / n);
    stop_clients(child);
    close_server(b);
    mem_free(b->sources);
}

static void serve(struct bench *b, size_t n)
{
    const pid_t child = open_streams(b, n, 0);
    ASSERT(uv_pipe_init(loop_uv(b->loop), &b->in, 0) == 0 && uv_pipe_open(&b->in, 0) == 0);
    b->in.data = b;
    ASSERT(uv_read_start((uv_stream_t *)&b->in, on_alloc, on_input) == 0);
    (void)printf("%u\n", (unsigned)http_port(b->http));
    (void)fflush(stdout);
    loop_run(b->loop);
    stop_clients(child);
    close_server(b);
    mem_free(b->sources);
}

int main(int argc, char **argv)
{
    struct bench *b = mem_new(struct bench);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc >= 2 && strcmp(argv[1], "serve") == 0) {
        serve(b, argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    } else if (argc >= 3 && strcmp(argv[1], "streams") == 0) {
        streams(b, strtoul(argv[2], NULL, 10), argc > 3 ? strtoul(argv[3], NULL, 10) : 0);
    } else {
        (void)fprintf(stderr, "usage: bench_http serve [N] | streams N [HEAD]\n");
        return 2;
    }
    mem_free(b);
    return 0;
}
