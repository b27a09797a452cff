#include "server/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/spool/spool_priv.h"
#include "server/stats/prom.h"

enum {
    QUEUE_BYTES = 8 << 20, /* LIMIT: unless the options say otherwise */
    QUEUE_BYTES_MIN = 32 << 10,
    MAX_BYTES_MIN = 256 << 10,
    SEGMENT_BYTES_MIN = 4096,
    BACKOFF_JITTER_PCT = 25,
    PID_BYTES = 16
};

const char *spool_advice(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
        return "free space on the disk of the spool, or lower spool_max_bytes";
    case EROFS:
        return "the file system is read-only: check the disk and mount it for writing again";
    case EACCES:
    case EPERM:
        return "let the user of the service write to the directory of the spool";
    case EFBIG:
        return "raise the limit of the size of files (ulimit -f)";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n)";
    case ETIMEDOUT:
        return "the disk does not answer: check it";
    default:
        return "check the disk of the spool";
    }
}

bool spool_hushed(const struct spool *s)
{
    return s->degraded || s->closing;
}

/* --- open --- */

static enum err_code conflict(const struct spool *s, struct err *err)
{
    char pid[PID_BYTES] = "";
    int fd = openat(s->dirfd, "LOCK", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        (void)close(fd);
    }
    return err_set(err, ERR_CONFLICT,
                   "spool %s: in use by process %s; stop it, or use another data_dir", s->dir,
                   pid[0] != '\0' ? pid : "?");
}

/* The directory itself is locked too, so that a disk too full for the file does not let a second owner in. */
static enum err_code lock(struct spool *s, struct err *err)
{
    char pid[PID_BYTES];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (flock(s->dirfd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return conflict(s, err);
    }
    s->lockfd = openat(s->dirfd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lockfd < 0) {
        LOG(WARN, "spool", "no lock file: only the directory is locked", KV_CSTR("dir", s->dir),
            KV_CSTR("do", spool_advice(errno)));
        return ERR_OK;
    }
    if (flock(s->lockfd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return conflict(s, err);
    }
    if (ftruncate(s->lockfd, 0) != 0 || pwrite(s->lockfd, pid, (size_t)n, 0) != n) {
        LOG(WARN, "spool", "the lock file does not tell our pid", KV_CSTR("dir", s->dir),
            KV_CSTR("do", spool_advice(errno)));
    }
    return ERR_OK;
}

static enum err_code open_dir(struct spool *s, struct err *err)
{
    struct stat st;
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST) {
        return err_set_sys(err, ERR_IO, errno,
                           "spool %s: cannot be made; check data_dir and its owner", s->dir);
    }
    s->dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dirfd < 0 || fstat(s->dirfd, &st) != 0) {
        return err_set_sys(err, ERR_IO, errno,
                           "spool %s: cannot be read; check data_dir and its owner", s->dir);
    }
    if ((st.st_mode & 077) != 0 && fchmod(s->dirfd, 0700) != 0) {
        LOG(WARN, "spool", "others may look into the directory", KV_CSTR("dir", s->dir));
    }
    return lock(s, err);
}

static size_t clamp(size_t v, size_t low, size_t high)
{
    v = v > high ? high : v;
    return v < low ? low : v;
}

/* At least four segments, so that dropping one leaves most; not too many for the table. */
static void take_options(struct spool *s, const struct spool_opts *opts)
{
    struct spool_opts *o = &s->opts;
    size_t queue = opts->queue_bytes > 0 ? opts->queue_bytes : QUEUE_BYTES;
    *o = *opts;
    o->dir = NULL;
    o->max_bytes = opts->max_bytes < MAX_BYTES_MIN ? MAX_BYTES_MIN : opts->max_bytes;
    o->segment_bytes =
        clamp(opts->segment_bytes, o->max_bytes / SPOOL_SEGMENTS_MAX, o->max_bytes / 4);
    o->segment_bytes = clamp(o->segment_bytes, SEGMENT_BYTES_MIN, SIZE_MAX);
    o->queue_bytes = clamp(queue, QUEUE_BYTES_MIN, o->max_bytes / 4);
}

static void on_alive(void *ctx);
static void on_sync(void *ctx);
static void on_retry(void *ctx);
static void on_remove(void *ctx);
static void on_report(void *ctx);

static struct spool *spool_new(struct loop *loop, const struct spool_opts *opts,
                               struct stats *stats)
{
    struct spool *s = mem_new(struct spool);
    s->loop = loop;
    s->stats = stats;
    take_options(s, opts);
    s->dir = mem_dup(opts->dir, strlen(opts->dir));
    ASSERT(s->dir != NULL);
    s->dirfd = -1;
    s->lockfd = -1;
    list_init(&s->retiring);
    list_init(&s->doomed);
    spool_holds_init(&s->holds);
    spool_batch_init(&s->queue, s->opts.queue_bytes + SPOOL_SLACK_BYTES);
    spool_batch_init(&s->flight, s->opts.queue_bytes + SPOOL_SLACK_BYTES);
    buf_init(&s->write.head, SPOOL_HEADER_BYTES + 64);
    s->reader = spool_reader_new();
    backoff_init(&s->write_backoff, SPOOL_RETRY_MS, SPOOL_RETRY_MAX_MS, BACKOFF_JITTER_PCT);
    backoff_init(&s->remove_backoff, SPOOL_RETRY_MS, SPOOL_RETRY_MAX_MS, BACKOFF_JITTER_PCT);
    rng_seed_system(&s->rng);
    loop_timer_init(&s->alive_timer, loop, on_alive, s);
    loop_timer_init(&s->sync_timer, loop, on_sync, s);
    loop_timer_init(&s->retry_timer, loop, on_retry, s);
    loop_timer_init(&s->remove_timer, loop, on_remove, s);
    loop_timer_init(&s->report_timer, loop, on_report, s);
    s->sync_began_ms = loop_now_ms(loop) - s->opts.sync_ms;
    return s;
}

static void free_doomed(struct spool *s)
{
    struct list_node *node;
    while ((node = list_first(&s->doomed)) != NULL) {
        list_remove(&s->doomed, node);
        spool_segment_free(CONTAINER_OF(node, struct spool_segment, node));
    }
}

static void spool_free(struct spool *s)
{
    spool_holds_deinit(&s->holds);
    free_doomed(s);
    spool_segments_deinit(&s->table);
    spool_batch_deinit(&s->queue);
    spool_batch_deinit(&s->flight);
    buf_deinit(&s->write.head);
    spool_reader_free(s->reader);
    spool_rooms_deinit(&s->refused);
    spool_rooms_deinit(&s->episode);
    spool_rooms_deinit(&s->remove.rooms);
    spool_reports_deinit(&s->remove.older);
    spool_reports_deinit(&s->unwritten);
    spool_reports_deinit(&s->found);
    if (s->lockfd >= 0) {
        (void)close(s->lockfd);
    }
    if (s->dirfd >= 0) {
        (void)close(s->dirfd);
    }
    mem_free(s->dir);
    mem_free(s);
}

static void on_found(void *ctx)
{
    struct spool *s = ctx;
    struct spool_reports list = s->found;
    s->found = (struct spool_reports){0};
    s->found_due = false;
    if (!s->closing) {
        s->opts.on_dropped(s->opts.ctx, list.items, list.n);
    }
    spool_reports_deinit(&list);
    spool_step_close(s);
}

static void write_metrics(void *ctx, struct buf *out);

enum err_code spool_open(struct loop *loop, const struct spool_opts *opts, struct stats *stats,
                         struct spool **ret, struct spool_found *ret_found, struct err *err)
{
    struct spool *s = spool_new(loop, opts, stats);
    struct spool_found found = {0};
    enum err_code code = open_dir(s, err);
    if (code == ERR_OK) {
        code = spool_scan(s, &found, err);
    }
    if (code != ERR_OK) {
        spool_free(s);
        return code;
    }
    s->sync_time = stats_histogram_new(stats, "danmakud_spool_sync_seconds",
                                       "Time that fdatasync of the spool took.");
    stats_on_scrape(stats, write_metrics, s);
    loop_timer_start(&s->alive_timer, SPOOL_ALIVE_MS, SPOOL_ALIVE_MS);
    if (s->found.n > 0) {
        s->found_due = true;
        loop_defer(loop, on_found, s);
    }
    *ret = s;
    *ret_found = found;
    return ERR_OK;
}

/* --- close --- */

static void put_alive(struct spool *s)
{
    if (s->resting) {
        return;
    }
    spool_alive_put(&s->queue.bytes, loop_wall_ms(s->loop));
    s->queue.n_records += buf_ok(&s->queue.bytes);
    s->queue.bytes.failed = false; /* the next one may find memory again */
}

void spool_close(struct spool *s, void (*closed)(void *ctx), void *ctx)
{
    LOOP_ASSERT(s->loop);
    ASSERT(!s->closing);
    s->closing = true;
    s->rotate = false;
    s->closed = closed;
    s->closed_ctx = ctx;
    stats_off_scrape(s->stats, s);
    loop_timer_stop(&s->alive_timer);
    loop_timer_stop(&s->sync_timer);
    loop_timer_stop(&s->retry_timer);
    loop_timer_stop(&s->remove_timer);
    spool_tell_refused(s);
    spool_reports_add_rooms(&s->unwritten, &s->episode);
    if (!s->degraded && s->active != NULL) { /* no segment just to say that nothing happened */
        put_alive(s);
    }
    spool_flush_soon(s);
}

/* Nothing is under way when this goes on: write what is queued, then sync and close the segments, then the end. */
void spool_step_close(struct spool *s)
{
    spool_reader_go_on(s);
    if (!s->closing || s->flush_due || s->found_due || s->write.busy || s->remove.busy ||
        spool_reader_busy(s->reader)) {
        return;
    }
    spool_write_step(s, false);
    if (s->write.busy || s->flush_due) {
        return;
    }
    if (s->active != NULL) {
        list_push_back(&s->retiring, &s->active->node);
        s->active = NULL;
    }
    spool_sync_step(s);
    if (!spool_sync_idle(s)) {
        return;
    }
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    spool_tell_refused(s);
    spool_free(s);
    closed(ctx);
}

/* --- the hot path --- */

static void on_flush(void *ctx)
{
    struct spool *s = ctx;
    s->flush_due = false;
    if (s->write.busy && s->queue.loose_bytes > s->opts.queue_bytes) {
        spool_write_give_up(s); /* LIMIT: of what waits behind a write */
    }
    spool_write_step(s, false);
    spool_sync_step(s);
    spool_step_close(s);
}

void spool_flush_soon(struct spool *s)
{
    if (!s->flush_due) {
        s->flush_due = true;
        loop_defer(s->loop, on_flush, s);
    }
}

void spool_append(struct spool *s, struct event *take)
{
    struct buf *out = &s->queue.bytes;
    size_t bytes = spool_event_bytes(take);
    bool recorded = false;
    LOOP_ASSERT(s->loop);
    ASSERT(take->id > s->appended_id);
    s->appended_id = take->id;
    if (!s->degraded) {
        bool fits = s->refusing_from == 0 && spool_make_room(s, bytes);
        if (!fits && s->opts.overflow == SPOOL_DROP_NEWEST) {
            spool_refuse(s, take);
            return;
        }
        if (fits && out->len + bytes <= s->opts.queue_bytes) {
            spool_event_put(out, take);
            recorded = buf_ok(out);
            out->failed = false;
        }
    }
    spool_batch_add(&s->queue, take, recorded);
    spool_flush_soon(s);
}

void spool_ack(struct spool *s, int64_t id)
{
    LOOP_ASSERT(s->loop);
    s->acking_id = id > s->acking_id ? id : s->acking_id;
    spool_ack_step(s);
}

void spool_stored(struct spool *s, int64_t id)
{
    LOOP_ASSERT(s->loop);
    s->stored_id = id > s->stored_id ? id : s->stored_id;
}

/* --- holds --- */

void spool_hold(struct spool *s, int64_t key, const struct event_draft *draft, int64_t until_ms)
{
    uint64_t held;
    LOOP_ASSERT(s->loop);
    if (spool_holds_set(&s->holds, key, draft, until_ms) == ERR_OK) {
        spool_flush_soon(s);
        return;
    }
    stats_inc(s->stats, STAT_SPOOL_HOLDS_LOST);
    if (log_limit(&s->hold_limit, loop_now_ms(s->loop), 60000, &held)) {
        LOG(WARN, "spool", "too many events are held back: one is not in the spool",
            KV_I64("room", draft->room_id), KV_I64("held_back", (int64_t)held));
    }
}

void spool_hold_end(struct spool *s, int64_t key)
{
    LOOP_ASSERT(s->loop);
    spool_holds_end(&s->holds, key);
    spool_flush_soon(s);
}

static void tell_hold(struct spool *s, int64_t key, spool_hold_fn *fn, void *ctx)
{
    struct spool_hold *hold = spool_holds_get(&s->holds, key);
    if (hold == NULL || hold->draft == NULL) {
        return;
    }
    struct event *e = event_ref(hold->draft); /* fn may end it */
    struct event_draft d;
#define X(type, name) d.name = e->name;
    EVENT_SCALARS(X)
#undef X
#define X(name) d.name = e->name;
    EVENT_STRINGS(X)
#undef X
    fn(ctx, key, &d, hold->until_ms);
    event_unref(&e);
}

void spool_each_hold(struct spool *s, spool_hold_fn *fn, void *ctx)
{
    size_t n = 0;
    int64_t *keys = mem_new_array(int64_t, s->holds.kept.n);
    for (struct list_node *node = list_first(&s->holds.kept); node != NULL;
         node = list_next(&s->holds.kept, node)) {
        keys[n++] = CONTAINER_OF(node, struct spool_hold, node)->key;
    }
    for (size_t i = 0; i < n; i++) {
        tell_hold(s, keys[i], fn, ctx);
    }
    mem_free(keys);
}

void spool_rest(struct spool *s, bool rest)
{
    s->resting = rest;
}

bool spool_flushed(const struct spool *s)
{
    return s->flight.n == 0 && s->queue.n == 0;
}

/* --- timers --- */

/* An idle service does not keep for ever what is acknowledged. */
static bool is_idle(const struct spool *s)
{
    return s->active != NULL && s->active->end > SPOOL_IDLE_BYTES &&
           s->active->last_id <= s->acked_id && s->flight.n == 0 && s->queue.n == 0;
}

static void on_alive(void *ctx)
{
    struct spool *s = ctx;
    if (s->write.busy && loop_now_ms(s->loop) - s->write.began_ms > SPOOL_STALL_MS) {
        spool_write_give_up(s);
    }
    if (s->degraded) {
        return;
    }
    s->rotate = s->rotate || is_idle(s);
    put_alive(s);
    spool_flush_soon(s);
}

static void on_sync(void *ctx)
{
    spool_sync_step(ctx);
}

static void on_retry(void *ctx)
{
    spool_write_step(ctx, true);
}

static void on_remove(void *ctx)
{
    spool_remove_step(ctx);
}

static void on_report(void *ctx)
{
    spool_tell_refused(ctx);
}

/* --- what others may know --- */

enum spool_state spool_state(const struct spool *s)
{
    if (s->degraded || s->remove.failing) {
        return SPOOL_DEGRADED;
    }
    return s->full ? SPOOL_FULL : SPOOL_OK;
}

size_t spool_bytes(const struct spool *s)
{
    return (size_t)(s->table.bytes + s->doomed_bytes);
}

int64_t spool_last_id(const struct spool *s)
{
    return s->disk_id;
}

bool spool_dropping(const struct spool *s, int64_t id)
{
    if (spool_missing_has(&s->loose, id)) {
        return false;
    }
    for (struct list_node *node = list_first(&s->doomed); node != NULL;
         node = list_next(&s->doomed, node)) {
        const struct spool_segment *seg = CONTAINER_OF(node, struct spool_segment, node);
        if (seg->dropped && !seg->reported && id >= seg->first_id && id <= seg->last_id) {
            return true;
        }
    }
    return false;
}

bool spool_has(const struct spool *s, int64_t id)
{
    return id <= s->told_id && !spool_missing_has(&s->missing, id);
}

static void gauge(struct buf *out, const char *metric, const char *help, size_t value)
{
    prom_head(out, metric, "gauge", help);
    prom_i64(out, metric, "", (int64_t)value);
}

static void synced(struct buf *out, const struct spool_segment *seg)
{
    char name[SPOOL_NAME_BYTES];
    char label[64];
    spool_name_format(seg->name, name);
    (void)snprintf(label, sizeof(label), "segment=\"%s\"", name);
    prom_i64(out, "danmakud_spool_synced_bytes", label, (int64_t)seg->synced);
}

static void write_metrics(void *ctx, struct buf *out)
{
    const struct spool *s = ctx;
    gauge(out, "danmakud_spool_state",
          "0 ok, 1 full (events are dropped), 2 degraded (not durable).", spool_state(s));
    gauge(out, "danmakud_spool_bytes", "Bytes of the spool on disk.", spool_bytes(s));
    gauge(out, "danmakud_spool_segments", "Segments of the spool on disk.",
          s->table.n + s->doomed.n);
    gauge(out, "danmakud_spool_queued_bytes", "Bytes waiting to be written to the spool.",
          s->queue.bytes.len + s->flight.bytes.len);
    gauge(out, "danmakud_spool_holds", "Events held back for their second half.", s->holds.n_open);
    prom_head(
        out, "danmakud_spool_synced_bytes", "gauge",
        "Bytes at the start of a segment that survive a power loss; segments not listed do whole.");
    for (struct list_node *n = list_first(&s->retiring); n != NULL;
         n = list_next(&s->retiring, n)) {
        synced(out, CONTAINER_OF(n, struct spool_segment, node));
    }
    if (s->active != NULL) {
        synced(out, s->active);
    }
}
