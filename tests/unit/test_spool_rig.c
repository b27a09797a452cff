#include "tests/unit/test_spool_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"

/* 2026-01-01, so that ids and the clock of most cases have nothing to do with each other. */
#define START_MS INT64_C(1767225600000)

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct rig *r = ctx;
    assert_true(n > 0);
    if (r->n_written + n > r->cap_written) {
        r->cap_written = (r->n_written + n) * 2;
        r->written = mem_realloc(r->written, r->cap_written * sizeof(*r->written));
        assert_non_null(r->written);
    }
    for (size_t i = 0; i < n; i++) {
        if (r->n_written > 0) {
            assert_true(events[i]->id > r->written[r->n_written - 1].id);
        }
        r->written[r->n_written++] = (struct rig_id){events[i]->id, durable};
        event_unref(&events[i]);
    }
    if (r->hook) {
        r->hook(r);
    }
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    struct rig *r = ctx;
    assert_true(n > 0);
    r->n_dropped_calls++;
    if (r->n_dropped + n > r->cap_dropped) {
        r->cap_dropped = (r->n_dropped + n) * 2;
        r->dropped = mem_realloc(r->dropped, r->cap_dropped * sizeof(*r->dropped));
        assert_non_null(r->dropped);
    }
    memcpy(r->dropped + r->n_dropped, rooms, n * sizeof(*rooms));
    r->n_dropped += n;
}

static void drop_line(void *ctx, struct str line)
{
    (void)ctx;
    (void)line;
}

void rig_quiet(void)
{
    log_set_sink(drop_line, NULL);
}

int rig_setup(void **state)
{
    struct rig *r = mem_new(struct rig);
    rig_quiet();
    tmp_dir_make(&r->tmp);
    tmp_path(&r->tmp, "spool", r->dir);
    clock_fake_init(&r->clock, START_MS);
    r->loop = loop_new();
    loop_set_clock(r->loop, &r->clock.base);
    r->opts = (struct spool_opts){.sync_ms = 100,
                                  .max_bytes = 256 << 10,
                                  .segment_bytes = 16 << 10,
                                  .overflow = SPOOL_DROP_OLDEST,
                                  .on_written = on_written,
                                  .on_dropped = on_dropped,
                                  .ctx = r};
    *state = r;
    return 0;
}

static void forget_read(struct rig *r)
{
    for (size_t i = 0; i < r->n_read; i++) {
        event_unref(&r->read[i]);
    }
    mem_free(r->read);
    r->read = NULL;
    r->n_read = 0;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    r->hook = NULL;
    if (r->s) {
        rig_close(r);
    }
    forget_read(r);
    loop_free(r->loop);
    stats_free(r->stats);
    mem_free(r->written);
    mem_free(r->dropped);
    tmp_dir_remove(&r->tmp);
    mem_free(r);
    return 0;
}

/* Files of a running spool may go while one looks. */
static void copy_file(const char *from, const char *to)
{
    char block[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    if (in < 0) {
        assert_int_equal(errno, ENOENT);
        return;
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    while ((n = read(in, block, sizeof block)) > 0) {
        assert_int_equal(write(out, block, (size_t)n), n);
    }
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

/* Later files first: what moves on from an old segment to a new one is then in one of them. */
static void copy_dir(const char *from, const char *to)
{
    struct dirent **entries;
    int n = scandir(from, &entries, NULL, alphasort);
    assert_true(n >= 0);
    assert_int_equal(mkdir(to, 0700), 0);
    for (int i = n - 1; i >= 0; i--) {
        char a[TMP_PATH_BYTES + 300];
        char b[TMP_PATH_BYTES + 300];
        if (entries[i]->d_name[0] != '.') {
            (void)snprintf(a, sizeof a, "%s/%s", from, entries[i]->d_name);
            (void)snprintf(b, sizeof b, "%s/%s", to, entries[i]->d_name);
            copy_file(a, b);
        }
        free(entries[i]);
    }
    free(entries);
}

void rig_open(struct rig *r)
{
    struct err err;
    stats_free(r->stats);
    r->stats = stats_new();
    r->opts.dir = r->dir;
    if (spool_open(r->loop, &r->opts, r->stats, &r->s, &r->found, &err) != ERR_OK) {
        fail_msg("%s", err.msg);
    }
}

static void on_closed(void *ctx)
{
    struct rig *r = ctx;
    r->closed = true;
    r->s = NULL;
}

void rig_close(struct rig *r)
{
    r->closed = false;
    spool_close(r->s, on_closed, r);
    rig_until(r, r->closed);
}

void rig_restart(struct rig *r)
{
    rig_close(r);
    rig_open(r);
}

void rig_crash(struct rig *r)
{
    char to[TMP_PATH_BYTES];
    char name[32];
    (void)snprintf(name, sizeof name, "copy%u", r->n_copies++);
    tmp_path(&r->tmp, name, to);
    copy_dir(r->dir, to);
    void (*hook)(struct rig *) = r->hook;
    size_t n_written = r->n_written;
    size_t n_dropped = r->n_dropped;
    r->hook = NULL;
    rig_close(r); /* what the dead one says now was never heard */
    r->hook = hook;
    r->n_written = n_written;
    r->n_dropped = n_dropped;
    (void)snprintf(r->dir, sizeof r->dir, "%s", to);
    rig_open(r);
}

/* Lengths from none to long, numbers of both signs, several rooms. */
void rig_draft(struct event_draft *d, int64_t id)
{
    static char letters[512];
    struct rng rng;
    if (letters[0] == '\0') {
        for (size_t i = 0; i < sizeof letters; i++) {
            letters[i] = (char)('a' + i % 26);
        }
    }
    rng_seed(&rng, (uint64_t)id);
    event_draft_init(d, EVENT_DANMAKU, (int64_t)rng_below(&rng, 7) + 100);
    d->nkey = (int64_t)rng_u64(&rng);
    d->actor = -(int64_t)rng_below(&rng, 1u << 30);
    d->sent_ms = id;
    d->color = (int32_t)rng_u64(&rng);
    d->flags = (int16_t)rng_u64(&rng);
    d->wealth = (int16_t)rng_below(&rng, 60);
    d->uname = (struct str){letters + rng_below(&rng, 26), (size_t)rng_below(&rng, 40)};
    d->text = (struct str){letters, rng_below(&rng, 20) == 0 ? (size_t)rng_below(&rng, 480) : 20};
    d->extra = rng_below(&rng, 3) == 0 ? STR("{\"a\":1}") : STR_NULL;
}

static struct event *make(int64_t id)
{
    struct event_draft d;
    rig_draft(&d, id);
    struct event *e = event_new(id, &d);
    assert_non_null(e);
    return e;
}

void rig_append(struct rig *r, int64_t id)
{
    spool_append(r->s, make(id));
}

void rig_append_many(struct rig *r, int64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rig_append(r, first + (int64_t)i);
    }
}

void rig_check(const struct event *e)
{
    struct event *want = make(e->id);
#define X(type, name) assert_true(e->name == want->name);
    EVENT_SCALARS(X)
#undef X
#define X(name) assert_true(str_eq(e->name, want->name));
    EVENT_STRINGS(X)
#undef X
    event_unref(&want);
}

/* Waits first, so that what the turn brings is seen at once. */
void rig_turn(struct rig *r)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(r->loop)), .events = POLLIN};
    int ms = uv_backend_timeout(loop_uv(r->loop));
    (void)poll(&p, 1, ms < 0 || ms > 2 ? 2 : ms);
    (void)loop_turn(r->loop);
}

void rig_advance(struct rig *r, int64_t ms)
{
    clock_fake_advance(&r->clock, ms);
    rig_turn(r);
}

static void note_read(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    assert_true(r->reading);
    r->reading = false;
    r->n_read = n;
    r->read = mem_new_array(struct event *, n > 0 ? n : 1);
    for (size_t i = 0; i < n; i++) {
        r->read[i] = events[i];
        rig_check(events[i]);
        assert_true(i == 0 || events[i]->id > events[i - 1]->id);
    }
}

void rig_read(struct rig *r, int64_t after, size_t max_rows)
{
    forget_read(r);
    r->reading = true;
    spool_read(r->s, after, max_rows, 1 << 20, note_read, r);
    assert_true(r->reading);
    rig_until(r, !r->reading);
    assert_true(r->n_read <= max_rows);
}

size_t rig_read_all(struct rig *r, int64_t after, size_t max_rows, int64_t **ret_ids)
{
    size_t n = 0;
    size_t cap = 1024;
    int64_t *ids = mem_new_array(int64_t, cap);
    for (rig_read(r, after, max_rows); r->n_read > 0; rig_read(r, ids[n - 1], max_rows)) {
        if (n + r->n_read > cap) {
            cap = (n + r->n_read) * 2;
            ids = mem_realloc(ids, cap * sizeof(*ids));
            assert_non_null(ids);
        }
        for (size_t i = 0; i < r->n_read; i++) {
            ids[n++] = r->read[i]->id;
        }
    }
    *ret_ids = ids;
    return n;
}

static unsigned n_open_segments(const char *metrics)
{
    static const char row[] = "\ndanmakud_spool_synced_bytes{";
    unsigned n = 0;
    while ((metrics = strstr(metrics, row)) != NULL) {
        metrics += sizeof row - 1;
        n++;
    }
    return n;
}

void rig_settle(struct rig *r)
{
    char line[64];
    struct buf out;
    bool busy = true;
    for (unsigned i = 0; busy; i++) {
        assert_true(i < 5000);
        rig_turn(r);
        buf_init(&out, 1 << 20);
        stats_write_prometheus(r->stats, &out);
        buf_put_c(&out, '\0');
        (void)snprintf(line, sizeof line, "\ndanmakud_spool_queued_bytes 0\n");
        busy = strstr(out.data, line) == NULL || uv_backend_timeout(loop_uv(r->loop)) == 0 ||
               n_open_segments(out.data) > 1;
        buf_deinit(&out);
    }
}

static void note_hold(void *ctx, int64_t key, const struct event_draft *d, int64_t until_ms)
{
    struct rig *r = ctx;
    assert_true(r->n_holds < ARRAY_LEN(r->holds));
    struct rig_hold *h = &r->holds[r->n_holds++];
    h->key = key;
    h->until_ms = until_ms;
    (void)snprintf(h->text, sizeof h->text, STR_FMT, STR_ARG(d->text));
}

void rig_holds(struct rig *r)
{
    r->n_holds = 0;
    spool_each_hold(r->s, note_hold, r);
}

unsigned rig_segments(const char *dir, char names[][32], unsigned max)
{
    struct dirent **entries;
    unsigned found = 0;
    int n = scandir(dir, &entries, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        if (strstr(entries[i]->d_name, ".seg")) {
            if (found < max) {
                (void)snprintf(names[found], 32, "%.31s", entries[i]->d_name);
            }
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

int64_t rig_stat(const struct rig *r, enum stats_row row)
{
    return stats_get(r->stats, row);
}

void rig_metric(struct rig *r, const char *line)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    stats_write_prometheus(r->stats, &out);
    buf_put_c(&out, '\0');
    if (strstr(out.data, line) == NULL) {
        fail_msg("no line %s", line);
    }
    buf_deinit(&out);
}

uint64_t rig_lost(const struct rig *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->n_dropped; i++) {
        n += r->dropped[i].n;
    }
    return n;
}
