/* The write lane: a batch at a time into the active segment, or into a new one. */
#include <errno.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/spool/spool_priv.h"

enum { REPORT_BYTES = 64 }; /* more than the record of one takes */

/* --- in the thread pool --- */

/* What was written of a batch that failed goes again; if it cannot, *ret is how much stays. */
static uint64_t cut_off(struct spool_write *w, size_t done)
{
    if (w->fresh) {
        (void)close(w->fd);
        w->fd = -1;
        return spool_file_remove(w->dirfd, w->name) == 0 ? 0 : done;
    }
    return done == 0 || ftruncate(w->fd, (off_t)w->at) == 0 ? 0 : done;
}

static void write_work(uv_work_t *req)
{
    struct spool_write *w = CONTAINER_OF(req, struct spool_write, req);
    size_t head = 0;
    size_t done = 0;
    if (w->fresh) {
        w->what = "create";
        w->sys = spool_file_create(w->dirfd, w->name, &w->fd);
        if (w->sys != 0) {
            return;
        }
    }
    w->what = "write";
    w->sys = spool_file_write(w->fd, w->at, buf_str(&w->head), &head);
    if (w->sys == 0) {
        w->sys = spool_file_write(w->fd, w->at + head, w->bytes, &done);
    }
    if (w->sys != 0) {
        w->garbage = cut_off(w, head + done);
    }
}

/* --- on the loop --- */

static void retire(struct spool *s)
{
    if (s->active != NULL) {
        list_push_back(&s->retiring, &s->active->node);
        s->active = NULL;
    }
}

static void recover(struct spool *s)
{
    s->degraded = false;
    backoff_reset(&s->write_backoff);
    loop_timer_stop(&s->retry_timer);
    LOG(WARN, "spool", "writing works again", KV_CSTR("dir", s->dir),
        KV_I64("degraded_ms", loop_now_ms(s->loop) - s->degraded_ms),
        KV_I64("events_not_durable", (int64_t)s->degraded_events));
}

/* Nothing that is queued will be written: it is told, and what must be in the spool waits for its return. */
static void tell_lost(struct spool *s)
{
    spool_batch_clear_records(&s->queue);
    if (!s->write.busy) {
        spool_batch_clear_records(&s->flight);
        spool_holds_written(&s->holds, NULL);
    }
    spool_batch_tell(s, &s->flight, false);
    spool_batch_tell(s, &s->queue, false);
}

static void enter_degraded(struct spool *s, const char *what, int sys)
{
    if (!s->degraded) {
        char text[ERR_MSG_BYTES];
        s->degraded = true;
        s->degraded_ms = loop_now_ms(s->loop);
        s->degraded_events = 0;
        LOG(ERROR, "spool",
            "cannot write: what is received now does not survive a crash; trying again",
            KV_CSTR("dir", s->dir), KV_CSTR("op", what),
            KV_STR("err", str_of(uv_strerror_r(-sys, text, sizeof(text)))),
            KV_CSTR("do", spool_advice(sys)));
    }
    tell_lost(s);
}

void spool_write_degrade(struct spool *s, const char *what, int sys)
{
    if (s->write.busy) { /* the active segment is in use; write_done comes back to it */
        s->failed_what = what;
        s->failed_sys = sys;
        return;
    }
    s->failed_sys = 0;
    retire(s);
    enter_degraded(s, what, sys);
    if (!s->closing) {
        loop_timer_start(&s->retry_timer, backoff_next_ms(&s->write_backoff, &s->rng), 0);
    }
}

/* The write may still succeed; the events stop waiting for it. */
void spool_write_give_up(struct spool *s)
{
    ASSERT(s->write.busy);
    if (!s->write.given_up) {
        s->write.given_up = true;
        stats_inc(s->stats, STAT_SPOOL_STALLS);
        enter_degraded(s, "write", ETIMEDOUT);
    }
}

static void reports_written(struct spool *s)
{
    struct spool_reports *list = &s->unwritten;
    list->n -= s->n_reports_flight;
    if (list->n == 0) {
        spool_reports_deinit(list);
    } else {
        memmove(list->items, list->items + s->n_reports_flight, list->n * sizeof(*list->items));
    }
}

static void write_done_ok(struct spool *s)
{
    struct spool_write *w = &s->write;
    struct spool_batch *b = &s->flight;
    struct spool_segment *seg = w->seg;
    uint64_t bytes = w->head.len + b->bytes.len;
    if (w->fresh) {
        seg->fd = w->fd;
        spool_segments_push(&s->table, seg);
        retire(s);
        s->active = seg;
        s->n_made++;
    }
    seg->end += bytes;
    spool_segments_grow(&s->table, seg, bytes);
    if (b->n_events > 0) {
        seg->first_id = seg->n_events == 0 ? b->first_id : seg->first_id;
        seg->last_id = b->last_id;
        seg->n_events += b->n_events;
        s->disk_id = b->last_id;
    }
    stats_add(s->stats, STAT_SPOOL_WRITTEN_BYTES, (int64_t)bytes);
    stats_add(s->stats, STAT_SPOOL_RECORDS, (int64_t)b->n_records);
    stats_inc(s->stats, STAT_SPOOL_WRITES);
    spool_holds_written(&s->holds, seg);
    spool_batch_clear_records(b);
    reports_written(s);
    if (s->degraded) {
        recover(s);
        ASSERT(b->n == 0); /* told when it began */
        spool_batch_tell(s, &s->queue, false);
    }
    spool_batch_tell(s, b, true);
    if (s->failed_sys != 0) {
        spool_write_degrade(s, s->failed_what, s->failed_sys);
    }
}

static void write_done_failed(struct spool *s)
{
    struct spool_write *w = &s->write;
    struct spool_segment *seg = w->seg;
    stats_inc(s->stats, STAT_SPOOL_ERRORS_WRITE);
    if (!w->fresh) {
        spool_segments_grow(&s->table, seg, w->garbage);
    } else if (w->garbage > 0) { /* an empty segment that is too long: deleted in its turn */
        seg->bytes = w->garbage;
        spool_segments_push(&s->table, seg);
    } else {
        spool_segment_free(seg);
    }
    spool_write_degrade(s, w->what, w->sys);
}

static void write_done(uv_work_t *req, int status)
{
    struct spool_write *w = CONTAINER_OF(req, struct spool_write, req);
    struct spool *s = CONTAINER_OF(w, struct spool, write);
    ASSERT(status == 0); /* never canceled */
    w->busy = false;
    if (w->sys == 0) {
        write_done_ok(s);
    } else {
        write_done_failed(s);
    }
    w->seg = NULL;
    spool_write_step(s, false);
    spool_sync_step(s);
    spool_ack_sweep(s);
    spool_step_close(s);
}

/* A new file is begun when there is none, when the active one is large enough, or on request; but only one retires at a
 * time, so that a disk that does not sync cannot make us hold any number of descriptors. */
static bool wants_fresh(const struct spool *s)
{
    if (s->active == NULL) {
        return true;
    }
    return s->retiring.n == 0 && (s->rotate || s->active->end >= s->opts.segment_bytes);
}

static void begin_segment(struct spool *s)
{
    struct spool_write *w = &s->write;
    uint64_t first = (uint64_t)(s->flight.n_events > 0 ? s->flight.first_id : s->appended_id + 1);
    if (s->next_name < first) {
        s->next_name = first; /* else it only tells the order */
    }
    w->seg = spool_segment_new(s->next_name++);
    spool_header_put(&w->head, id_node(s->appended_id));
    if (!s->resting) {
        spool_alive_put(&w->head, loop_wall_ms(s->loop));
    }
    s->rotate = false;
}

static void begin(struct spool *s)
{
    struct spool_write *w = &s->write;
    struct spool_batch batch = s->flight;
    ASSERT(batch.n == 0 && batch.bytes.len == 0);
    s->flight = s->queue;
    s->queue = batch;
    buf_clear(&w->head);
    w->busy = true;
    w->given_up = false;
    w->fresh = wants_fresh(s);
    w->began_ms = loop_now_ms(s->loop);
    if (w->fresh) {
        begin_segment(s);
    } else {
        w->seg = s->active;
    }
    w->dirfd = s->dirfd;
    w->fd = w->seg->fd;
    w->name = w->seg->name;
    w->at = w->seg->end;
    w->bytes = buf_str(&s->flight.bytes);
    w->sys = 0;
    w->garbage = 0;
    int rc = uv_queue_work(loop_uv(s->loop), &w->req, write_work, write_done);
    ASSERT(rc == 0);
}

/* They stay in the list until the write has succeeded. */
static void put_reports(struct spool *s)
{
    struct buf *out = &s->queue.bytes;
    size_t n = 0;
    while (n < s->unwritten.n && out->limit - out->len >= REPORT_BYTES) {
        spool_dropped_put(out, &s->unwritten.items[n]);
        if (!buf_ok(out)) {
            out->failed = false; /* out of memory for now */
            break;
        }
        n++;
    }
    s->n_reports_flight = n;
    s->queue.n_records += n;
}

/* In front of the next event, so that a start knows that there was none in between. */
static void put_refusing(struct spool *s)
{
    struct spool_dropped open = {0, s->refusing_from, SPOOL_OPEN_END, 0};
    spool_dropped_put(&s->queue.bytes, &open);
    s->queue.bytes.failed = false;
    s->queue.n_records++;
}

void spool_write_refusing(struct spool *s)
{
    if (!s->degraded) {
        put_refusing(s);
        spool_flush_soon(s);
    }
}

void spool_write_step(struct spool *s, bool probe)
{
    if (s->degraded && s->flight.n == 0) {
        spool_batch_tell(s, &s->queue, false);
    }
    if (s->write.busy || (s->degraded && !probe)) {
        return;
    }
    if (probe && s->refusing_from != 0) {
        put_refusing(s);
    }
    put_reports(s);
    s->queue.n_records += spool_holds_write(&s->holds, &s->queue.bytes);
    if (s->queue.bytes.len > 0 || probe || (s->rotate && wants_fresh(s))) {
        begin(s);
    } else if (s->queue.n > 0) {
        spool_batch_tell(s, &s->queue, true);
    }
}
