/* The read lane: events after an id, decoded in the thread pool. The place where the last read ended is kept, so that
 * reading on does not search. */
#include <errno.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/spool/spool_priv.h"

enum {
    SPANS = 16, /* segments that one job looks at; it is begun again if that gave nothing */
    FIRST_ROWS = 256,
    RETRY_MS = 50 /* out of memory */
};

/* What is on disk of one segment. */
struct span {
    uint64_t name;
    uint64_t from;
    uint64_t end;
    int64_t last_id;
};

struct spool_reader {
    uv_work_t req;
    struct spool *s;
    struct loop_timer retry;
    bool busy;
    bool waiting;  /* for reports of what it passes over */
    int64_t asked; /* behind this id */
    size_t max_rows;
    size_t max_bytes;
    spool_read_fn *done;
    void *ctx;
    /* the job's */
    int dirfd;
    int64_t after; /* read up to here so far */
    struct span spans[SPANS];
    size_t n_spans;
    struct event **events;
    size_t n;
    size_t cap;
    size_t bytes;
    bool no_memory;
    struct spool_reports lost; /* what cannot be read */
    /* where reading on begins, if it is after the id `place_id` */
    int fd; /* of segment place_name, -1: none */
    uint64_t place_name;
    uint64_t place_at;
    int64_t place_id;
};

struct spool_reader *spool_reader_new(void)
{
    struct spool_reader *r = mem_new(struct spool_reader);
    r->fd = -1;
    return r;
}

void spool_reader_free(struct spool_reader *r)
{
    ASSERT(!r->busy);
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    mem_free(r);
}

bool spool_reader_busy(const struct spool_reader *r)
{
    return r->busy;
}

void spool_reader_let_go(struct spool *s)
{
    struct spool_reader *r = s->reader;
    if (!r->busy && r->fd >= 0 && (s->table.n == 0 || r->place_name < s->table.items[0]->name)) {
        (void)close(r->fd);
        r->fd = -1;
    }
}

/* --- in the thread pool --- */

static bool is_full(const struct spool_reader *r)
{
    return r->n >= r->max_rows || r->bytes >= r->max_bytes;
}

static bool make_place(struct spool_reader *r)
{
    size_t cap = r->cap > 0 ? r->cap * 2 : FIRST_ROWS;
    if (r->n < r->cap) {
        return true;
    }
    struct event **events = mem_realloc(r->events, cap * sizeof(struct event *));
    if (events == NULL) {
        return false;
    }
    r->events = events;
    r->cap = cap;
    return true;
}

static bool keep_event(struct spool_reader *r, const struct spool_record *record)
{
    struct event *e = make_place(r) ? event_new(record->id, &record->draft) : NULL;
    if (e == NULL) {
        r->no_memory = true;
        return false;
    }
    r->events[r->n++] = e;
    r->bytes += e->bytes;
    r->after = e->id;
    return true;
}

/* The rest of a segment is unreadable: nobody knows whose events they were. */
static void lose_rest(struct spool_reader *r, const struct span *span)
{
    struct spool_dropped d = {0, r->after + 1, span->last_id, 0};
    if (d.first_id <= d.last_id) {
        spool_reports_add(&r->lost, &d);
        r->after = span->last_id;
    }
}

static bool open_span(struct spool_reader *r, const struct span *span)
{
    if (r->fd >= 0 && r->place_name == span->name) {
        return true;
    }
    if (r->fd >= 0) {
        (void)close(r->fd);
        r->fd = -1;
    }
    if (spool_file_open(r->dirfd, span->name, false, &r->fd) != 0) {
        r->fd = -1;
    }
    return r->fd >= 0;
}

static void read_span(struct spool_reader *r, const struct span *span)
{
    struct spool_walk walk;
    struct spool_record record;
    enum err_code code = ERR_OK;
    if (!open_span(r, span)) {
        lose_rest(r, span);
        return;
    }
    spool_walk_init(&walk, r->fd, span->from, span->end);
    while (!is_full(r) && !r->no_memory && (code = spool_walk_next(&walk, &record)) == ERR_OK) {
        if (record.type == SPOOL_EVENT && record.id > r->after && !keep_event(r, &record)) {
            break;
        }
    }
    r->place_name = span->name;
    r->place_at = walk.at;
    r->place_id = r->no_memory ? -1 : r->after;
    spool_walk_deinit(&walk);
    if (code != ERR_OK && !r->no_memory) {
        lose_rest(r, span); /* damaged, or nothing is left, which should end with last_id */
    }
}

static void read_work(uv_work_t *req)
{
    struct spool_reader *r = CONTAINER_OF(req, struct spool_reader, req);
    for (size_t i = 0; i < r->n_spans && !is_full(r) && !r->no_memory; i++) {
        read_span(r, &r->spans[i]);
    }
}

/* --- on the loop --- */

static void begin(struct spool_reader *r);

/* A segment that was deleted while it was being read is no loss: it was acknowledged, or told as dropped. */
static void tell_lost(struct spool_reader *r)
{
    struct spool *s = r->s;
    int64_t gone = s->acked_id > s->dropped_id ? s->acked_id : s->dropped_id;
    size_t n = 0;
    for (size_t i = 0; i < r->lost.n; i++) {
        struct spool_dropped d = r->lost.items[i];
        d.first_id = d.first_id > gone ? d.first_id : gone + 1;
        if (d.first_id <= d.last_id) {
            r->lost.items[n++] = d;
            stats_inc(s->stats, STAT_SPOOL_ERRORS_READ);
            spool_missing_add(&s->missing, d.first_id, d.last_id, d.first_id);
            LOG(ERROR, "spool", "a part of a segment cannot be read: its events are lost",
                KV_CSTR("dir", s->dir), KV_I64("after_id", d.first_id - 1),
                KV_I64("last_id", d.last_id));
        }
    }
    if (n > 0) {
        s->opts.on_dropped(s->opts.ctx, r->lost.items, n);
    }
    spool_reports_deinit(&r->lost);
}

/* Events of a segment that was dropped meanwhile have been declared missing: they stay so. */
static void pass_over_dropped(struct spool_reader *r)
{
    size_t from = 0;
    while (from < r->n && (r->events[from]->id <= r->s->dropped_id || r->s->closing)) {
        event_unref(&r->events[from]);
        from++;
    }
    if (from > 0 && from < r->n) {
        memmove(r->events, r->events + from, (r->n - from) * sizeof(*r->events));
    }
    r->n -= from;
}

/* What the owner stores next may be behind events that were dropped. Their reports are in the spool before it gets that: else
 * a kill would leave nothing that tells of them, because the next start goes on behind what is stored. */
static void finish(struct spool_reader *r)
{
    struct spool *s = r->s;
    r->waiting = r->n > 0 && spool_report_is_due(s, r->asked);
    if (r->waiting) {
        loop_timer_start(&r->retry, RETRY_MS, 0); /* or spool_reader_go_on */
        return;
    }
    if (r->n > 0) {
        spool_passed_over(s, r->asked);
    }
    struct event **events = TAKE_PTR(r->events);
    size_t n = r->n;
    r->n = 0;
    r->cap = 0;
    r->busy = false;
    spool_reader_let_go(s);
    r->done(r->ctx, events, n);
    mem_free(events);
    spool_step_close(s);
}

static void read_done(uv_work_t *req, int status)
{
    struct spool_reader *r = CONTAINER_OF(req, struct spool_reader, req);
    ASSERT(status == 0);
    tell_lost(r);
    pass_over_dropped(r);
    if (r->n > 0 || r->s->closing) {
        finish(r);
    } else if (r->no_memory) {
        loop_timer_start(&r->retry, RETRY_MS, 0);
    } else if (r->n_spans > 0) {
        begin(r); /* all of that was dropped or damaged: there may be more behind */
    } else {
        finish(r);
    }
}

void spool_reader_go_on(struct spool *s)
{
    struct spool_reader *r = s->reader;
    if (!r->waiting || (!s->closing && spool_report_is_due(s, r->asked))) {
        return;
    }
    r->waiting = false;
    loop_timer_stop(&r->retry);
    pass_over_dropped(r);
    if (r->n > 0 || s->closing) {
        finish(r);
    } else {
        begin(r); /* that has been dropped, too */
    }
}

static void take_spans(struct spool_reader *r)
{
    const struct spool_segments *t = &r->s->table;
    r->n_spans = 0;
    for (size_t i = 0; i < t->n && r->n_spans < SPANS; i++) {
        const struct spool_segment *seg = t->items[i];
        if (seg->last_id > r->after && seg->n_events > 0) {
            bool on = r->place_name == seg->name && r->place_id == r->after;
            r->spans[r->n_spans++] = (struct span){.name = seg->name,
                                                   .from = on ? r->place_at : SPOOL_HEADER_BYTES,
                                                   .end = seg->end,
                                                   .last_id = seg->last_id};
        }
    }
}

static void begin(struct spool_reader *r)
{
    struct spool *s = r->s;
    if (r->after < s->dropped_id) {
        r->after = s->dropped_id;
    }
    r->no_memory = false;
    take_spans(r);
    int rc = uv_queue_work(loop_uv(s->loop), &r->req, read_work, read_done);
    ASSERT(rc == 0);
}

static void on_retry(void *ctx)
{
    struct spool_reader *r = ctx;
    if (r->waiting) {
        spool_reader_go_on(r->s);
        if (r->waiting) {
            loop_timer_start(&r->retry, RETRY_MS, 0);
        }
    } else if (r->s->closing) {
        finish(r);
    } else {
        begin(r);
    }
}

void spool_read(struct spool *s, int64_t after, size_t max_rows, size_t max_bytes,
                spool_read_fn *done, void *ctx)
{
    struct spool_reader *r = s->reader;
    ASSERT(!r->busy && !s->closing && max_rows > 0 && max_bytes > 0);
    r->s = s;
    r->busy = true;
    r->after = after > 0 ? after : 0;
    r->asked = r->after;
    r->max_rows = max_rows;
    r->max_bytes = max_bytes;
    r->done = done;
    r->ctx = ctx;
    r->bytes = 0;
    r->dirfd = s->dirfd;
    loop_timer_init(&r->retry, s->loop, on_retry, r);
    begin(r);
}
