/* What the writer does when a step fails: give the batch back, and say when it goes on, if it does. */
#include "collector/writer/writer_priv.h"
#include "server/core/log.h"
#include "server/stats/stats.h"

enum {
    NODE_RETRY_FAST_MS = 100,
    NODE_RETRY_MS = 1000,
    /* How long the number may be taken before it counts as somebody else's: a process that was killed leaves a
     * connection that the server ends soon; one of our own that hung is ended by the keepalives of STEP_NODE. */
    NODE_GRACE_MS = 3000,
    NODE_GRACE_HELD_MS = 90000,
};

static void wait_ms(struct writer *w, int64_t ms)
{
    w->waiting = true;
    loop_timer_start(&w->timer, ms, 0);
}

/* The source keeps what is not committed: nobody will poke for it again, so it is asked again without. */
static void give_back(struct writer *w)
{
    writer_drop_batch(w);
    w->poked = true;
}

void writer_retry_later(struct writer *w)
{
    stats_inc(w->stats, STAT_BATCH_RETRIES);
    give_back(w);
    w->step = STEP_NONE;
    wait_ms(w, backoff_next_ms(&w->backoff, &w->rng));
}

/* A transaction may be open and holds the mark's row, and the number is still ours: both are given back, or who is
 * right could not write either. */
void writer_fence(struct writer *w, int64_t found)
{
    const bool in_transaction = w->step == STEP_LOCK;
    w->fenced = true;
    stats_set(w->stats, STAT_WRITER_FENCED, 1);
    LOG(ERROR, "writer",
        "another process has written with this node number: nothing more is written here; give "
        "each process its own `node` and restart this one",
        KV_I64("node", w->opts.node), KV_I64("mark", found), KV_I64("expected", w->committed));
    writer_drop_batch(w);
    w->step = in_transaction ? STEP_ROLLBACK : STEP_UNLOCK;
    writer_proceed(w);
}

void writer_node_is_taken(struct writer *w)
{
    const int64_t now = loop_now_ms(w->loop);
    if (w->node_asked_ms == 0) {
        w->node_asked_ms = now;
    }
    const int64_t grace_ms = w->node_held ? NODE_GRACE_HELD_MS : NODE_GRACE_MS;
    if (!w->node_taken && now - w->node_asked_ms >= grace_ms) {
        w->node_taken = true;
        stats_set(w->stats, STAT_WRITER_FENCED, 1);
        LOG(ERROR, "writer",
            "another running process uses this node number: waiting for it to end; give each "
            "process its own `node`",
            KV_I64("node", w->opts.node));
    }
    w->step = STEP_NONE;
    wait_ms(w, w->node_taken || w->node_held ? NODE_RETRY_MS : NODE_RETRY_FAST_MS);
}

/* A row is refused. Halve until it stands alone, then park it. */
static void halve(struct writer *w, const struct err *err)
{
    bool changed;
    stats_inc(w->stats, STAT_BATCH_REFUSED);
    w->cap_rows = (w->batch_n + 1) / 2;
    if (w->batch_n > 1) {
        return;
    }
    w->park_id = w->batch[0]->id;
    w->reason_len = utf8_clean(str_of(err->msg), w->reason, &changed);
    LOG(ERROR, "writer", "PostgreSQL refuses an event; it is kept in table parked_event",
        KV_I64("id", w->park_id), KV_I64("room", w->batch[0]->room_id),
        KV_STR("error", ((struct str){w->reason, w->reason_len})));
}

/* A failure that lasts is told once; what the operator must repair, as an error. */
static void tell(struct writer *w, enum err_code code, const struct err *err)
{
    if (w->failure_told) {
        return;
    }
    w->failure_told = true;
    if (code == ERR_INTERNAL || code == ERR_INVALID) {
        LOG(ERROR, "writer", "PostgreSQL refuses a statement of ours: events wait until it works",
            KV_I64("step", w->step), KV_CSTR("error", err->msg));
    } else {
        LOG(WARN, "writer", "a batch failed, trying again", KV_I64("step", w->step),
            KV_CSTR("error", err->msg));
    }
}

/* Connection-level failures are the session's business: it connects again and says on_up. The rest is retried here. */
void writer_step_failed(struct writer *w, enum err_code code, const struct err *err)
{
    const enum step step = w->step;
    if (step == STEP_COMMIT && w->batch_n > 0) {
        w->in_doubt = w->batch[w->batch_n - 1]->id;
    }
    if (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT || code == ERR_CANCELED) {
        stats_inc(w->stats, STAT_BATCH_RETRIES);
        give_back(w);
        w->step = STEP_NONE;
        if (db_session_is_up(w->session)) {
            wait_ms(w, backoff_next_ms(&w->backoff, &w->rng));
        }
        return;
    }
    if (step == STEP_ROLLBACK || step == STEP_UNLOCK) {
        w->step = STEP_NONE;
        wait_ms(w, backoff_next_ms(&w->backoff, &w->rng));
        return;
    }
    if (code == ERR_INVALID && (step == STEP_COPY || step == STEP_AMEND)) {
        halve(w, err);
    } else {
        stats_inc(w->stats, STAT_BATCH_RETRIES);
        tell(w, code, err);
        wait_ms(w, backoff_next_ms(&w->backoff, &w->rng));
    }
    give_back(w);
    w->step = STEP_ROLLBACK;
    writer_proceed(w);
}
