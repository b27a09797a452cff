/* bench_spool [--dir DIR] [--events N]: what the spool costs, beside bare write() of the same bytes.
 *
 *   bare     the records of N events, encoded before, by write(2) of 64 KiB each, fdatasync every 100 ms
 *   append   N events as fast as they are taken (at most half the queue ahead), until the last is told as written
 *   latency  from spool_append to on_written at fixed rates, events 1 ms apart in bunches
 *   start    spool_open on what `append` left
 *   read     all of it back, in batches of 5000 rows
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/core/clock.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/spool/spool.h"
#include "server/spool/spool_record.h"

enum { AHEAD = 4000, BUNCH = 500, LATENCY_S = 4, SAMPLES_MAX = 1 << 20 };

struct bench {
    char dir[256];
    size_t n; /* events to append */
    struct loop *loop;
    struct spool *s;
    struct spool_found found;
    struct rng rng;
    int64_t next;
    int64_t told;
    size_t lost;
    uint64_t *began_ns; /* of the events of a latency run, by order */
    uint64_t *took_ns;
    size_t n_began;
    size_t n_took;
    struct loop_timer timer;
    size_t per_ms;
    bool done;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u); /* with the threads of the pool */
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* One turn of the loop; waits for it to have something to do. */
static void turn(struct loop *l)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(l)), .events = POLLIN};
    (void)poll(&p, 1, uv_backend_timeout(loop_uv(l)));
    (void)loop_turn(l);
}

/* A danmaku as they are: about 20 bytes of name, 40 of text, a medal for every third. */
static struct event *make(struct bench *b)
{
    static const char text[] =
        "the quick brown fox jumps over the lazy dog, and over the lazy dog again";
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, 1000 + (int64_t)rng_below(&b->rng, 100));
    d.nkey = (int64_t)rng_u64(&b->rng);
    d.actor = (int64_t)rng_below(&b->rng, 1u << 30);
    d.uname = (struct str){text, 8 + (size_t)rng_below(&b->rng, 20)};
    d.text = (struct str){text, 5 + (size_t)rng_below(&b->rng, 60)};
    d.medal = rng_below(&b->rng, 3) == 0 ? STR("medal") : STR_NULL;
    struct event *e = event_new(b->next++, &d);
    if (e == NULL) {
        die("event_new");
    }
    return e;
}

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct bench *b = ctx;
    uint64_t now = b->began_ns != NULL ? clock_mono_ns() : 0;
    b->told = events[n - 1]->id;
    b->lost += durable ? 0 : n;
    for (size_t i = 0; i < n; i++) {
        if (b->began_ns != NULL && b->n_took < b->n_began) {
            b->took_ns[b->n_took] = now - b->began_ns[b->n_took];
            b->n_took++;
        }
        event_unref(&events[i]);
    }
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    struct bench *b = ctx;
    (void)rooms;
    b->lost += n;
}

static void open_spool(struct bench *b)
{
    struct spool_opts opts = {.dir = b->dir,
                              .sync_ms = 100,
                              .max_bytes = (size_t)8 << 30,
                              .segment_bytes = 16 << 20,
                              .on_written = on_written,
                              .on_dropped = on_dropped,
                              .ctx = b};
    struct err err;
    if (spool_open(b->loop, &opts, NULL, &b->s, &b->found, &err) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
}

static void on_closed(void *ctx)
{
    struct bench *b = ctx;
    b->done = true;
}

static void close_spool(struct bench *b)
{
    b->done = false;
    spool_close(b->s, on_closed, b);
    while (!b->done) {
        turn(b->loop);
    }
}

static void print(const char *what, double n, double bytes, double wall, double cpu)
{
    (void)printf("%-8s %9.0f events/s %7.1f MB/s   CPU %5.2f us/event\n", what, n / wall,
                 bytes / wall / 1e6, cpu * 1e6 / n);
    (void)fflush(stdout);
}

static void encode(struct bench *b, struct buf *out)
{
    buf_init(out, (size_t)16 << 30);
    for (size_t i = 0; i < b->n; i++) {
        struct event *e = make(b);
        spool_event_put(out, e);
        event_unref(&e);
    }
    if (!buf_ok(out)) {
        die("encode");
    }
}

static void bare(struct bench *b)
{
    struct buf bytes;
    char path[300];
    encode(b, &bytes);
    (void)snprintf(path, sizeof path, "%s.bare", b->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t began = clock_mono_ns();
    uint64_t synced = began;
    double cpu = cpu_s();
    for (size_t at = 0; at < bytes.len;) {
        size_t n = bytes.len - at < 65536 ? bytes.len - at : 65536;
        ssize_t done = write(fd, bytes.data + at, n);
        if (done <= 0) {
            die(path);
        }
        at += (size_t)done;
        if (clock_mono_ns() - synced > UINT64_C(100000000)) {
            (void)fdatasync(fd);
            synced = clock_mono_ns();
        }
    }
    (void)fdatasync(fd);
    print("bare", (double)b->n, (double)bytes.len, (double)(clock_mono_ns() - began) / 1e9,
          cpu_s() - cpu);
    (void)close(fd);
    (void)unlink(path);
    buf_deinit(&bytes);
}

static void append(struct bench *b)
{
    struct event **events = mem_new_array(struct event *, b->n);
    int64_t last = b->next + (int64_t)b->n - 1;
    for (size_t i = 0; i < b->n; i++) {
        events[i] = make(b); /* what making them costs is not the spool's */
    }
    open_spool(b);
    b->told = events[0]->id - 1;
    uint64_t began = clock_mono_ns();
    double cpu = cpu_s();
    for (size_t i = 0; b->told < last;) {
        for (size_t k = 0; k < BUNCH && i < b->n && events[i]->id - b->told < AHEAD; k++) {
            spool_append(b->s, TAKE_PTR(events[i]));
            i++;
            if (i == b->n) {
                break;
            }
        }
        if (i < b->n && events[i]->id - b->told < AHEAD) {
            (void)loop_turn(b->loop);
        } else {
            turn(b->loop);
        }
    }
    double wall = (double)(clock_mono_ns() - began) / 1e9;
    print("append", (double)b->n, (double)spool_bytes(b->s), wall, cpu_s() - cpu);
    close_spool(b);
    mem_free(events);
}

static int by_time(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x;
    uint64_t c = *(const uint64_t *)y;
    return (a > c) - (a < c);
}

static void on_beat(void *ctx)
{
    struct bench *b = ctx;
    for (size_t i = 0; i < b->per_ms && b->n_began < SAMPLES_MAX; i++) {
        struct event *e = make(b);
        b->began_ns[b->n_began++] = clock_mono_ns();
        spool_append(b->s, e);
    }
}

static void latency(struct bench *b, size_t per_ms)
{
    b->began_ns = mem_new_array(uint64_t, SAMPLES_MAX);
    b->took_ns = mem_new_array(uint64_t, SAMPLES_MAX);
    b->n_began = 0;
    b->n_took = 0;
    b->per_ms = per_ms;
    b->done = false;
    open_spool(b);
    loop_timer_init(&b->timer, b->loop, on_beat, b);
    double cpu = cpu_s();
    uint64_t began = clock_mono_ns();
    loop_timer_start(&b->timer, 1, 1);
    while (clock_mono_ns() - began < LATENCY_S * UINT64_C(1000000000)) {
        turn(b->loop);
    }
    loop_timer_stop(&b->timer);
    cpu = cpu_s() - cpu;
    close_spool(b);
    qsort(b->took_ns, b->n_took, sizeof(uint64_t), by_time);
    (void)printf(
        "latency  %9.0f events/s   p50 %6.2f  p99 %6.2f  max %6.2f ms   CPU %5.2f us/event\n",
        (double)b->n_took / LATENCY_S, (double)b->took_ns[b->n_took / 2] / 1e6,
        (double)b->took_ns[b->n_took * 99 / 100] / 1e6, (double)b->took_ns[b->n_took - 1] / 1e6,
        cpu * 1e6 / (double)b->n_took);
    mem_free(b->began_ns);
    mem_free(b->took_ns);
    b->began_ns = NULL;
}

static void on_read(void *ctx, struct event **events, size_t n)
{
    struct bench *b = ctx;
    b->n_took += n;
    b->done = n == 0;
    for (size_t i = 0; i < n; i++) {
        b->told = events[i]->id;
        event_unref(&events[i]);
    }
}

static void start_and_read(struct bench *b)
{
    uint64_t began = clock_mono_ns();
    double cpu = cpu_s();
    open_spool(b);
    double n = (double)b->found.n_events;
    double bytes = (double)spool_bytes(b->s);
    print("start", n, bytes, (double)(clock_mono_ns() - began) / 1e9, cpu_s() - cpu);
    began = clock_mono_ns();
    cpu = cpu_s();
    b->n_took = 0;
    b->told = 0;
    b->done = false;
    while (!b->done) {
        size_t before = b->n_took;
        spool_read(b->s, b->told, 5000, 64 << 20, on_read, b);
        while (!b->done && b->n_took == before) {
            turn(b->loop);
        }
    }
    print("read", (double)b->n_took, bytes, (double)(clock_mono_ns() - began) / 1e9, cpu_s() - cpu);
    close_spool(b);
}

static void remove_dir(const struct bench *b)
{
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf -- '%s' '%s.bare'", b->dir, b->dir);
    if (system(command) != 0) { /* NOLINT: a path of our own making */
        die("rm");
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.n = 1000000, .next = 1};
    const char *base = "/tmp";
    uint64_t n;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--dir") == 0) {
            base = argv[i + 1];
        } else if (strcmp(argv[i], "--events") == 0 && str_to_u64(str_of(argv[i + 1]), &n) &&
                   n > 0) {
            b.n = (size_t)n;
        } else {
            (void)fprintf(stderr, "usage: bench_spool [--dir DIR] [--events N]\n");
            return 2;
        }
    }
    (void)snprintf(b.dir, sizeof b.dir, "%s/bench-spool.XXXXXX", base);
    if (mkdtemp(b.dir) == NULL) {
        die(b.dir);
    }
    rng_seed(&b.rng, 1);
    b.loop = loop_new();
    bare(&b);
    append(&b);
    start_and_read(&b);
    latency(&b, 2);
    latency(&b, 20);
    latency(&b, 100);
    (void)printf("not durable or dropped: %zu\n", b.lost);
    loop_free(b.loop);
    remove_dir(&b);
    return 0;
}
