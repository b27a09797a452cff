#include "collector/writer/writer.h"

#include "collector/writer/batch.h"
#include "collector/writer/writer_priv.h"
#include "server/core/assert.h"
#include "server/core/backoff.h"
#include "server/core/buf.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/db/db_session.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    RETRY_BASE_MS = 200,
    RETRY_MAX_MS = 10000,
};

void writer_drop_batch(struct writer *w)
{
    for (size_t i = 0; i < w->batch_n; i++) {
        struct event *e = w->batch[i];
        event_unref(&e);
    }
    w->batch_n = 0;
}

/* The source has nothing after the mark. */
static void advance_complete(struct writer *w)
{
    const struct writer_source *source = &w->opts.source;
    int64_t horizon = source->horizon != NULL ? source->horizon(source->ctx)
                                              : id_first_of_ms(loop_wall_ms(w->loop));
    if (w->complete < horizon - 1) {
        w->complete = horizon - 1;
    }
    if (w->complete < w->committed) {
        w->complete = w->committed;
    }
}

static void close_now(struct writer *w);

/* Closing is done when nothing is left to write, or the deadline says so. */
bool writer_close_if_drained(struct writer *w)
{
    if (w->closed == NULL || w->n_open > 0) {
        return w->closed != NULL;
    }
    if (w->giving_up || w->fenced) {
        close_now(w);
        return true;
    }
    return false;
}

static void on_mark(struct writer *w, const struct db_rows *rows)
{
    int64_t mark = db_rows_n(rows) == 1 ? db_i64(rows, 0, 0) : -1;
    if (mark < 0) {
        mark = 0; /* the row was inserted by the same statement */
    }
    if (w->committed >= 0 && mark != w->committed && mark != w->in_doubt) {
        writer_fence(w, mark);
        return;
    }
    if (w->in_doubt != 0) {
        upkeep_rewound(w->upkeep); /* its mark may have been part of what was in doubt */
    }
    w->in_doubt = 0;
    w->committed = mark;
    if (w->complete < mark) {
        w->complete = mark;
    }
    w->opts.source.committed(w->opts.source.ctx, mark);
    if (!w->mark_told) {
        w->mark_told = true;
        LOG(INFO, "writer", "connected to the database", KV_I64("committed_id", mark));
        if (w->opts.on_mark != NULL) {
            w->opts.on_mark(w->opts.ctx, mark);
        }
        upkeep_start(w->upkeep);
    }
    w->poked = true;
    w->step = STEP_NONE;
    writer_proceed(w);
}

int32_t writer_first_minute(const struct writer *w)
{
    return (int32_t)(id_ts_ms(w->batch[0]->id) / 60000);
}

static void batch_committed(struct writer *w)
{
    w->committed = w->batch[w->batch_n - 1]->id;
    if (w->complete < w->committed) {
        w->complete = w->committed;
    }
    stats_inc(w->stats, STAT_BATCHES);
    stats_add(w->stats, w->park_id ? STAT_EVENTS_PARKED : STAT_ROWS_WRITTEN, (int64_t)w->n_stored);
    stats_add(w->stats, STAT_EVENTS_COUNTED, (int64_t)(w->batch_n - w->n_stored));
    stats_observe_ms(w->batch_time, (double)(loop_now_ms(w->loop) - w->begun_ms));
    backoff_reset(&w->backoff);
    w->failure_told = false;
    w->park_id = 0;
    if (w->rewound) {
        upkeep_rewound(w->upkeep);
    }
    upkeep_written(w->upkeep, w->n_stored);
    bool full = w->batch_full;
    if (w->cap_rows < w->opts.batch_rows) {
        w->cap_rows = w->cap_rows * 2 < w->opts.batch_rows ? w->cap_rows * 2 : w->opts.batch_rows;
        full = true; /* go on at once: the rest of a halved batch waits */
    }
    writer_drop_batch(w);
    w->step = STEP_NONE;
    w->opts.source.committed(w->opts.source.ctx, w->committed);
    w->poked = true; /* ask once more: what came meanwhile is the next batch */
    if (!full && w->told < w->cap_rows && w->closed == NULL) {
        loop_timer_start(&w->timer, w->opts.batch_age_ms, 0);
        return;
    }
    writer_proceed(w);
}

/* Of the steps between the lock and the mark, those that this batch needs. */
static enum step step_after(const struct writer *w)
{
    if (w->park_id != 0) {
        return w->step == STEP_LOCK ? STEP_PARK : STEP_COMMIT;
    }
    if (w->step == STEP_LOCK && w->rewound) {
        return STEP_REWIND;
    }
    if (w->step <= STEP_REWIND && w->n_stored > 0) {
        return STEP_COPY;
    }
    if (w->step <= STEP_COPY && w->counts.n > 0) {
        return STEP_COUNT;
    }
    return w->step <= STEP_COUNT && w->amends.n > 0 ? STEP_AMEND : STEP_COMMIT;
}

static void on_step(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct writer *w = ctx;
    if (w->n_open > 0) { /* closing: nothing counts any more */
        w->step = STEP_NONE;
        return;
    }
    if (code != ERR_OK) {
        writer_step_failed(w, code, err);
        return;
    }
    switch (w->step) {
    case STEP_NODE:
        if (db_rows_n(rows) != 1 || !db_bool(rows, 0, 0)) {
            writer_node_is_taken(w);
            return;
        }
        w->node_ours = true;
        w->node_held = true;
        w->node_taken = false;
        w->node_asked_ms = 0;
        stats_set(w->stats, STAT_WRITER_FENCED, 0);
        w->step = STEP_MARK;
        break;
    case STEP_MARK:
        on_mark(w, rows);
        return;
    case STEP_LOCK:
        if (db_rows_n(rows) != 1 || db_i64(rows, 0, 0) != w->committed) {
            writer_fence(w, db_rows_n(rows) == 1 ? db_i64(rows, 0, 0) : -1);
            return;
        }
        /* Kinds that are only counted are no part of what the roll-up counts. */
        w->rewound = w->park_id == 0 && w->n_stored > 0 &&
                     upkeep_rolled_to(w->upkeep) > writer_first_minute(w);
        w->step = step_after(w);
        break;
    case STEP_REWIND:
    case STEP_COPY:
    case STEP_COUNT:
    case STEP_AMEND:
    case STEP_PARK:
        w->step = step_after(w);
        break;
    case STEP_COMMIT:
        batch_committed(w);
        return;
    case STEP_ROLLBACK:
        w->step = w->fenced ? STEP_UNLOCK : STEP_NONE;
        break;
    case STEP_UNLOCK:
        w->node_ours = false;
        w->step = STEP_NONE;
        break;
    case STEP_NONE:
    case STEP_FETCH:
        UNREACHABLE();
    }
    writer_proceed(w);
}

/* False: no memory for the text, or the source gave far more bytes than asked for. */
static bool encode_batch(struct writer *w)
{
    size_t bytes = 0;
    buf_clear(&w->copy);
    kind_count_clear(&w->counts);
    amend_rows_clear(&w->amends);
    for (size_t i = 0; i < w->batch_n; i++) {
        bytes += w->batch[i]->bytes;
        if (w->park_id != w->batch[i]->id) {
            amend_rows_add(&w->amends, w->batch[i]);
        }
        if ((w->opts.counted_kinds >> (unsigned)w->batch[i]->kind & 1) != 0) {
            kind_count_add(&w->counts, w->batch[i]);
        } else {
            batch_put(&w->copy, w->batch[i]);
        }
    }
    w->n_stored = w->batch_n - w->counts.n;
    kind_count_sum(&w->counts);
    w->batch_full = w->batch_n >= w->cap_rows || bytes >= w->opts.batch_bytes / 2;
    if (w->park_id != w->batch[0]->id) {
        w->park_id = 0; /* the source has lost it meanwhile: this one has done nothing */
    }
    return buf_ok(&w->copy);
}

static void on_fetched(void *ctx, struct event **events, size_t n)
{
    struct writer *w = ctx;
    ASSERT(w->step == STEP_FETCH && w->batch_n == 0);
    memcpy(w->batch, events, n * sizeof(struct event *));
    w->batch_n = n;
    w->told = 0; /* what is not in this batch makes it a full one */
    w->step = STEP_NONE;
    if (w->n_open > 0 || !db_session_is_up(w->session)) {
        writer_drop_batch(w);
        (void)writer_close_if_drained(w);
        return;
    }
    if (n == 0) {
        advance_complete(w);
        if (w->closed != NULL) {
            close_now(w);
        } else if (w->poked) {
            loop_timer_start(&w->timer, w->opts.batch_age_ms, 0);
        }
        return;
    }
    if (w->complete >= w->batch[0]->id) {
        /* It had an id when the source had nothing to give: late. No roll-up may begin beyond it now. */
        w->complete = w->batch[0]->id - 1;
    }
    if (!encode_batch(w)) {
        w->cap_rows = (n + 1) / 2;
        writer_retry_later(w);
        return;
    }
    w->begun_ms = loop_now_ms(w->loop);
    w->step = STEP_LOCK;
    writer_proceed(w);
}

void writer_proceed(struct writer *w)
{
    if (writer_close_if_drained(w) && w->n_open > 0) {
        return;
    }
    if (w->step == STEP_NONE) {
        if (w->waiting || w->fenced || !db_session_is_up(w->session)) {
            return;
        }
        if (!w->node_ours) {
            w->step = STEP_NODE;
        } else if (w->committed < 0 || w->in_doubt != 0) {
            w->step = STEP_MARK;
        } else if (w->ready && (w->poked || w->closed != NULL)) {
            w->poked = false;
            loop_timer_stop(&w->timer);
            w->step = STEP_FETCH;
            w->opts.source.fetch(w->opts.source.ctx, w->committed, w->cap_rows, w->opts.batch_bytes,
                                 on_fetched, w);
            return;
        } else {
            return;
        }
    }
    struct err err = {0};
    enum err_code code = writer_start_step(w, &err);
    if (code != ERR_OK) {
        LOG(WARN, "writer", "the database does not take a statement, trying again",
            KV_CSTR("error", err.msg));
        writer_retry_later(w);
    }
}

static void on_timer(void *ctx)
{
    struct writer *w = ctx;
    w->waiting = false;
    if (w->step == STEP_NONE) {
        writer_proceed(w);
    }
}

static void on_up(void *ctx)
{
    struct writer *w = ctx;
    if (w->committed >= 0) {
        LOG(INFO, "writer", "connected to the database", KV_I64("committed_id", w->committed));
    }
    w->waiting = false;
    w->node_ours = false;
    w->node_asked_ms = 0;
    /* The mark is read again: a commit may have gone through although its answer did not come. */
    if (w->committed >= 0 && w->in_doubt == 0) {
        w->in_doubt = w->committed;
    }
    if (w->step == STEP_NONE) {
        writer_proceed(w);
    }
}

static void on_down(void *ctx, const struct err *err)
{
    (void)ctx;
    LOG(WARN, "writer", "the database is away: events wait and are written when it is back",
        KV_CSTR("error", err->msg));
}

static void on_partitions(void *ctx)
{
    struct writer *w = ctx;
    w->ready = true;
    w->poked = true;
    if (w->step == STEP_NONE) {
        writer_proceed(w);
    }
}

static int64_t mark_id(void *ctx)
{
    return writer_committed(ctx);
}

static int64_t complete_id(void *ctx)
{
    struct writer *w = ctx;
    if (w->step == STEP_NONE && !w->poked && !w->waiting && w->committed >= 0) {
        advance_complete(w); /* idle: minutes end also while nothing comes */
    }
    return w->complete;
}

static void on_deadline(void *ctx)
{
    struct writer *w = ctx;
    w->giving_up = true;
    if (w->step != STEP_FETCH) {
        close_now(w);
    }
}

struct writer *writer_new(struct loop *loop, const struct writer_opts *opts, struct stats *stats)
{
    struct writer *w = mem_new(struct writer);
    w->loop = loop;
    w->stats = stats;
    w->opts = *opts;
    w->batch_time = stats_histogram_new(stats, "danmakud_batch_seconds",
                                        "Time of a batch from BEGIN to COMMIT.");
    w->on_step = on_step;
    w->committed = -1;
    w->cap_rows = opts->batch_rows;
    w->batch = mem_new_array(struct event *, opts->batch_rows);
    /* Every byte may double by escaping; numbers take up to 300 bytes a row. */
    buf_init(&w->copy, opts->batch_bytes * 2 + opts->batch_rows * 300 + (size_t)64 * 1024);
    kind_count_init(&w->counts, opts->batch_rows);
    amend_rows_init(&w->amends, opts->batch_rows);
    rng_seed_system(&w->rng);
    backoff_init(&w->backoff, RETRY_BASE_MS, RETRY_MAX_MS, 25);
    loop_timer_init(&w->timer, loop, on_timer, w);
    loop_timer_init(&w->deadline, loop, on_deadline, w);
    const struct db_session_opts session = {
        .conninfo = opts->conninfo,
        .application_name = "danmakud writer",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = opts->timeout_ms,
        .on_up = on_up,
        .on_down = on_down,
        .ctx = w,
    };
    const struct upkeep_opts upkeep = {
        .conninfo = opts->conninfo,
        .timeout_ms = opts->timeout_ms,
        .on_ready = on_partitions,
        .mark_id = mark_id,
        .complete_id = complete_id,
        .ctx = w,
    };
    w->upkeep = upkeep_new(loop, &upkeep, stats);
    w->session = db_session_new(loop, &session, stats);
    return w;
}

void writer_poke(struct writer *w, size_t n)
{
    const bool was_full = w->told >= w->cap_rows;
    const bool was_poked = w->poked;
    w->told += n;
    w->poked = true;
    if (w->step != STEP_NONE || w->waiting) {
        return;
    }
    if (!was_full && w->told >= w->cap_rows) {
        loop_timer_start(&w->timer, 0, 0);
    } else if (!was_poked && !loop_timer_armed(&w->timer)) {
        loop_timer_start(&w->timer, w->opts.batch_age_ms, 0);
    }
}

static void one_closed(struct writer *w)
{
    if (--w->n_open > 0) {
        return;
    }
    void (*closed)(void *ctx, int64_t committed) = w->closed;
    void *ctx = w->closed_ctx;
    int64_t committed = w->committed;
    writer_drop_batch(w);
    buf_deinit(&w->copy);
    kind_count_deinit(&w->counts);
    amend_rows_deinit(&w->amends);
    mem_free(w->batch);
    mem_free(w);
    closed(ctx, committed);
}

static void on_session_closed(void *ctx)
{
    one_closed(ctx);
}

static void on_upkeep_closed(void *ctx)
{
    one_closed(ctx);
}

static void close_now(struct writer *w)
{
    if (w->n_open > 0) {
        return;
    }
    loop_timer_stop(&w->timer);
    loop_timer_stop(&w->deadline);
    w->n_open = 2;
    db_session_close(w->session, on_session_closed, w);
    upkeep_close(w->upkeep, on_upkeep_closed, w);
}

void writer_close(struct writer *w, int64_t deadline_ms,
                  void (*closed)(void *ctx, int64_t committed), void *ctx)
{
    ASSERT(w->closed == NULL && closed != NULL);
    w->closed = closed;
    w->closed_ctx = ctx;
    w->poked = true;
    loop_timer_start(&w->deadline, deadline_ms, 0);
    if (w->fenced) {
        close_now(w);
    } else if (w->step == STEP_NONE && !w->waiting) {
        writer_proceed(w);
    }
}

int64_t writer_committed(const struct writer *w)
{
    return w->committed;
}

enum writer_state writer_state(const struct writer *w)
{
    if (w->fenced || w->node_taken) {
        return WRITER_FENCED;
    }
    if (!db_session_is_up(w->session) || w->committed < 0) {
        return WRITER_CONNECTING;
    }
    if (w->waiting) {
        return WRITER_WAITING;
    }
    return w->step == STEP_NONE ? WRITER_IDLE : WRITER_WRITING;
}
