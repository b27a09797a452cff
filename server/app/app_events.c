/* From the collector's callback into the spool, from there to the ring, and from both to the writer.
 *
 * An event is published when the spool has written it: what a client has seen survives kill -9. A degraded spool says so
 * (durable false); the ring then is all there is, and what leaves it before it is in the database is lost: counted, and
 * recorded in coverage. */
#include "server/app/app_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

static void publish(struct app *app, struct event *take)
{
    app_sessions_event(app, take);
    app_coverage_event(app, take);
    feed_publish(app->feed, take);
    stats_inc(app->stats, STAT_EVENTS_PUBLISHED);
}

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct app *app = ctx;
    /* Not durable: the spool remembers (spool_has), counts and logs it. */
    for (size_t i = 0; i < n; i++) {
        publish(app, events[i]);
    }
    if (app->writer != NULL) {
        writer_poke(app->writer, n);
    } else if (!durable &&
               app->phase == APP_STOPPING) { /* it did not wait for the disk any longer */
        LOG(ERROR, "app", "stopped with events that are neither in the database nor in the spool",
            KV_I64("events", n), KV_I64("committed_id", app->last_committed));
        app->exit_code = EXIT_FAILED;
    }
}

/* What the ring still has is not lost: the writer may yet take it from there, and on_evict tells if it does not.
 * False: nothing of it is lost now. The ring may have some between them that were never on disk, so their number is a
 * guess then; but the first one of a report is always one of it. */
static bool without_ring(const struct app *app, struct spool_dropped *d)
{
    uint64_t kept = 0;
    int64_t oldest = 0;
    for (uint64_t seq = feed_room_last(app->feed, d->room_id); seq != FEED_NO_SEQ;
         seq = feed_room_prev(app->feed, seq)) {
        const struct event *e = feed_at(app->feed, seq);
        if (e == NULL || e->id < d->first_id) {
            break;
        }
        if (e->id <= d->last_id) {
            kept++;
            oldest = e->id;
        }
    }
    if (kept == 0) {
        return true;
    }
    if (oldest <= d->first_id) {
        return false;
    }
    d->last_id = oldest - 1;
    d->n = d->n > kept ? d->n - kept : 1;
    return true;
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    struct app *app = ctx;
    for (size_t i = 0; i < n; i++) {
        struct spool_dropped lost = rooms[i];
        if (lost.last_id > app->overflowed_id) {
            app->overflowed_id = lost.last_id;
        }
        if (without_ring(app, &lost)) {
            stats_add(app->stats, STAT_EVENTS_LOST, (int64_t)lost.n);
            app_coverage_gap(app, &lost, "overflow");
        }
    }
}

static void on_evict(void *ctx, const struct event *e)
{
    struct app *app = ctx;
    if (!app->collecting || e->id <= app_committed(app) ||
        (app->spool != NULL && spool_has(app->spool, e->id))) {
        return;
    }
    if (app->spool != NULL && spool_dropping(app->spool, e->id)) {
        return; /* the report that comes counts it */
    }
    stats_inc(app->stats, STAT_EVENTS_LOST);
    const struct spool_dropped one = {
        .room_id = e->room_id, .first_id = e->id, .last_id = e->id, .n = 1};
    app_coverage_gap(app, &one, e->id <= app->overflowed_id ? "overflow" : "not_durable");
}

static void take_event(struct app *app, int64_t id, const struct event_draft *draft)
{
    struct event *e = event_new(id, draft);
    if (e == NULL) {
        const struct spool_dropped one = {
            .room_id = draft->room_id, .first_id = id, .last_id = id, .n = 1};
        stats_inc(app->stats, STAT_EVENTS_NOMEM);
        app_coverage_gap(app, &one, "memory");
    } else if (app->spool != NULL) {
        spool_append(app->spool, e);
    } else {
        publish(app, e);
    }
}

int64_t app_new_id(struct app *app)
{
    return id_gen_message(&app->ids, loop_wall_ms(app->loop));
}

void app_on_events(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n)
{
    struct app *app = ctx;
    const size_t last = n == 0 ? 0 : places != NULL ? places[n - 1] : n - 1;
    const uint32_t numbers = (uint32_t)(last / ID_EVENTS_PER_MESSAGE) + 1;
    int64_t base = app->raw_base;
    app->raw_base = 0;
    if (numbers > 1) {
        stats_inc(app->stats, STAT_MESSAGES_LONG);
    }
    for (size_t i = 0; i < n; i++) {
        if (drafts[i].kind == EVENT_GUARD) { /* gets its id when it is told */
            guard_merge_take(app->guards, &drafts[i]);
            base = 0; /* it may have taken a later one */
            continue;
        }
        if (base == 0) {
            base = id_gen_numbers(&app->ids, loop_wall_ms(app->loop), numbers);
        }
        take_event(app, base + (int64_t)(places != NULL ? places[i] : i), &drafts[i]);
    }
    if (app->spool == NULL) {
        writer_poke(app->writer, n);
    }
}

/* Guard purchases: held in the spool until their other messages came. */

static void guard_hold(void *ctx, int64_t key, const struct event_draft *draft, int64_t until_ms)
{
    struct app *app = ctx;
    if (app->spool != NULL) {
        spool_hold(app->spool, key, draft, until_ms);
    }
}

static void guard_hold_end(void *ctx, int64_t key)
{
    struct app *app = ctx;
    if (app->spool != NULL) {
        spool_hold_end(app->spool, key);
    }
}

static void guard_tell(void *ctx, const struct event_draft *draft)
{
    struct app *app = ctx;
    take_event(app, app_new_id(app), draft);
    if (app->spool == NULL) {
        writer_poke(app->writer, 1);
    }
}

struct guard_merge *app_guards_new(struct app *app)
{
    const struct guard_merge_ops ops = {
        .hold = guard_hold, .hold_end = guard_hold_end, .tell = guard_tell, .ctx = app};
    return guard_merge_new(app->loop, &ops, app->stats);
}

/* The spool may not change while it is walked. */
struct found_holds {
    struct event **events; /* owned references */
    int64_t *keys;
    int64_t *until_ms;
    size_t n;
};

enum { HOLDS_MAX = 4096 }; /* the spool's own limit */

static void on_hold_found(void *ctx, int64_t key, const struct event_draft *draft, int64_t until_ms)
{
    struct found_holds *found = ctx;
    struct event *e =
        found->n < HOLDS_MAX && draft->kind == EVENT_GUARD ? event_new(1, draft) : NULL;
    if (e != NULL) {
        found->events[found->n] = e;
        found->keys[found->n] = key;
        found->until_ms[found->n++] = until_ms;
    }
}

void app_guards_restore(struct app *app)
{
    if (app->spool == NULL) {
        return;
    }
    struct found_holds found = {
        .events = mem_new_array(struct event *, HOLDS_MAX),
        .keys = mem_new_array(int64_t, HOLDS_MAX),
        .until_ms = mem_new_array(int64_t, HOLDS_MAX),
    };
    spool_each_hold(app->spool, on_hold_found, &found);
    for (size_t i = 0; i < found.n; i++) {
        struct event_draft d;
        event_draft_of(found.events[i], &d);
        guard_merge_restore(app->guards, found.keys[i], &d, found.until_ms[i]);
        event_unref(&found.events[i]);
    }
    if (found.n > 0) {
        LOG(INFO, "app", "guard purchases that were held when the last process ended",
            KV_I64("purchases", found.n));
    }
    mem_free(found.events);
    mem_free(found.keys);
    mem_free(found.until_ms);
}

/* "The next after id": the ring if it has everything, else the spool, else what of the ring is left. */

static void answer(struct app *app, size_t n)
{
    struct source_request rq = app->request;
    app->request.pending = false;
    rq.done(rq.done_ctx, app->batch, n);
}

/* Adds to the n events of the batch what the ring has after the id; returns how many they are then. */
static size_t fill_from_ring(struct app *app, int64_t after, size_t n)
{
    const struct source_request *rq = &app->request;
    uint64_t seq = feed_seek(app->feed, after);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += app->batch[i]->bytes;
    }
    while (n < rq->max_rows && n < app->batch_rows_max && bytes < rq->max_bytes) {
        const struct event *e = feed_at(app->feed, seq++);
        if (e == NULL) {
            break;
        }
        app->batch[n++] = event_ref(e);
        bytes += e->bytes;
    }
    return n;
}

static void answer_from_ring(struct app *app)
{
    answer(app, fill_from_ring(app, app->request.after, 0));
}

static void on_spool_read(void *ctx, struct event **events, size_t n)
{
    struct app *app = ctx;
    ASSERT(app->request.pending);
    /* From where the ring begins it is the better source: it also has what a degraded spool has not. */
    int64_t ring_from = feed_tail_id(app->feed) > 0 ? feed_tail_id(app->feed) : ID_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (events[i]->id < ring_from && kept < app->batch_rows_max) {
            app->batch[kept++] = events[i];
        } else {
            event_unref(&events[i]);
        }
    }
    if (kept == 0) {
        answer_from_ring(app);
        return;
    }
    if (kept < n) { /* on into the ring, or its end is chased for ever in small batches */
        kept = fill_from_ring(app, app->batch[kept - 1]->id, kept);
    }
    answer(app, kept);
}

static void source_answer(void *ctx)
{
    struct app *app = ctx;
    app->answer_due = false;
    ASSERT(app->request.pending);
    if (app->phase == APP_STARTING) {
        return; /* app_source_resume: the ring is being warmed */
    }
    if (app->never_ran) {
        answer(app, 0);
        return;
    }
    if (app->spool == NULL || feed_covers(app->feed, app->request.after) ||
        spool_last_id(app->spool) <= app->request.after) {
        answer_from_ring(app);
        return;
    }
    stats_inc(app->stats, STAT_SPOOL_READS);
    spool_read(app->spool, app->request.after, app->request.max_rows, app->request.max_bytes,
               on_spool_read, app);
}

/* A question that came while starting may be deferred already when the start ends: it is answered once. */
static void answer_soon(struct app *app)
{
    if (!app->answer_due) {
        app->answer_due = true;
        loop_defer(app->loop, source_answer, app);
    }
}

static void source_fetch(void *ctx, int64_t after, size_t max_rows, size_t max_bytes,
                         void (*done)(void *done_ctx, struct event **events, size_t n),
                         void *done_ctx)
{
    struct app *app = ctx;
    ASSERT(!app->request.pending);
    app->request = (struct source_request){
        .pending = true,
        .after = after,
        .max_rows = max_rows,
        .max_bytes = max_bytes,
        .done = done,
        .done_ctx = done_ctx,
    };
    answer_soon(app);
}

int64_t app_committed(const struct app *app)
{
    return app->writer != NULL ? writer_committed(app->writer) : app->last_committed;
}

static void source_committed(void *ctx, int64_t id)
{
    struct app *app = ctx;
    app->acked_wanted = id;
    if (app->phase == APP_STARTING && app->early) {
        return; /* app_source_resume: what of this process it has passed is in the spool alone */
    }
    if (app->spool != NULL) { /* not lost, even before it is acknowledged */
        spool_stored(app->spool, id);
    }
    app_coverage_flush(app);
    app_spool_ack(app);
}

void app_source_resume(struct app *app)
{
    if (app->early && app->phase == APP_RUNNING) {
        source_committed(app, app->acked_wanted);
    }
    if (app->request.pending) {
        answer_soon(app);
    }
}

/* Reports of what was dropped are part of the spool until they are in the database: it keeps them until then. */
void app_spool_ack(struct app *app)
{
    int64_t safe = app_coverage_safe_id(app);
    if (app->spool != NULL) {
        spool_ack(app->spool, app->acked_wanted < safe ? app->acked_wanted : safe);
    }
}

/* What is below is rolled up for ever, so no id may be made there again, even if the clock goes back. */
static int64_t source_horizon(void *ctx)
{
    struct app *app = ctx;
    if (app->phase == APP_STARTING) {
        return 0; /* nothing but what is committed is known to be complete */
    }
    if (app->spool != NULL && !spool_flushed(app->spool)) {
        return feed_head_id(app->feed);
    }
    int64_t now = id_first_of_ms(loop_wall_ms(app->loop));
    id_gen_seed(&app->ids, now - 1);
    return now;
}

int64_t app_complete_id(struct app *app)
{
    const bool written = app->phase == APP_RUNNING && app->writer != NULL &&
                         (app->spool == NULL || spool_flushed(app->spool)) &&
                         writer_committed(app->writer) >= feed_head_id(app->feed);
    return written ? source_horizon(app) - 1 : 0;
}

struct writer_source app_writer_source(struct app *app)
{
    return (struct writer_source){.fetch = source_fetch,
                                  .committed = source_committed,
                                  .horizon = source_horizon,
                                  .ctx = app};
}

int app_spool_open(struct app *app, const char *data_dir)
{
    struct buf dir;
    struct err err = {0};
    buf_init(&dir, APP_PATH_BYTES);
    buf_printf(&dir, "%s/spool", data_dir);
    buf_put_c(&dir, '\0');
    const struct spool_opts opts = {
        .dir = dir.data,
        .sync_ms = app->config->spool_sync,
        .max_bytes = (size_t)app->config->spool_max_bytes,
        .segment_bytes = (size_t)app->config->spool_segment_bytes,
        .overflow = str_eq(str_of(app->config->spool_overflow), STR("newest")) ? SPOOL_DROP_NEWEST
                                                                               : SPOOL_DROP_OLDEST,
        .on_written = on_written,
        .on_dropped = on_dropped,
        .ctx = app,
    };
    struct spool_found found = {0};
    enum err_code code = buf_ok(&dir)
                             ? spool_open(app->loop, &opts, app->stats, &app->spool, &found, &err)
                             : err_set(&err, ERR_INVALID, "data_dir: the path is too long");
    buf_deinit(&dir);
    if (code == ERR_CONFLICT) {
        LOG(ERROR, "app",
            "another danmakud uses this data directory: stop it or give this one another data_dir",
            KV_CSTR("error", err.msg));
        return EXIT_FAILED;
    }
    if (code != ERR_OK) {
        LOG(ERROR, "app",
            "no spool: events are kept in memory only until the database has them; make data_dir "
            "writable and restart",
            KV_CSTR("error", err.msg));
        app->spool = NULL;
    } else if (found.n_segments > 0) {
        LOG(INFO, "app", "spool found", KV_I64("events", found.n_events),
            KV_I64("segments", found.n_segments), KV_I64("last_id", found.last_id),
            KV_I64("torn_bytes", found.torn_bytes), KV_I64("bad_bytes", found.bad_bytes));
    }
    if (app->spool != NULL) {
        spool_rest(app->spool, true); /* until rooms connect */
    }
    app->alive_ms = found.alive_ms;
    app->spool_last_id = found.last_id;
    app_coverage_alive(app, found.alive_ms);
    feed_on_evict(app->feed, on_evict, app);
    return EXIT_OK;
}
