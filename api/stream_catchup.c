/* How a live stream begins, and how one that is behind the ring gets back to it. */
#include "api/encode/sse.h"
#include "api/query/sql.h"
#include "api/stream_priv.h"
#include "api/version.h"
#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/log.h"
#include "server/stats/stats.h"

enum { CONTROL_LIMIT = 4096, FUTURE_MS = 300000 };

static void stream_read_done(void *ctx);

void stream_control(struct stream *s, struct frame *take)
{
    size_t i = s->controls[0] == NULL ? 0 : 1;
    ASSERT(s->controls[i] == NULL);
    s->controls[i] = take;
    s->broken = s->broken || take == NULL;
    stream_wake(s);
}

static void put_id_or_null(struct json_out *w, const char *key, int64_t id)
{
    jw_key(w, str_of(key));
    if (id < 0) {
        jw_null(w);
    } else {
        jw_i64_str(w, id);
    }
}

/* The first bytes, at once. */
static void say_hello(struct stream *s, int64_t resume_id, bool complete)
{
    const struct feed *f = s->hub->api->opts.feed;
    struct buf b;
    struct json_out w;
    buf_init(&b, CONTROL_LIMIT);
    sse_retry(&b, HUB_RETRY_MS);
    sse_comment(&b, "danmakud");
    sse_begin(&b, SSE_NO_ID, "hello");
    jw_init(&w, &b);
    jw_object(&w);
    jw_kstr(&w, "server", STR(API_SERVER));
    put_id_or_null(&w, "head_id", feed_head_id(f) > 0 ? feed_head_id(f) : -1);
    put_id_or_null(&w, "resumed_from", resume_id);
    jw_kbool(&w, "complete", complete);
    jw_key(&w, STR("replayable_kinds"));
    hub_put_kinds(&w, s->hub->api->opts.counted_kinds);
    jw_ki64(&w, "heartbeat_s", HUB_HEARTBEAT_MS / 1000);
    jw_object_end(&w);
    sse_end(&b);
    ASSERT(buf_ok(&b));
    stream_control(s, frame_of_text(buf_str(&b)));
    buf_deinit(&b);
}

/* Tells that what lay between the id to resume from and what comes now is not there. */
static void say_reset(struct stream *s, int64_t resume_id, const char *reason)
{
    struct buf b;
    struct json_out w;
    buf_init(&b, CONTROL_LIMIT);
    sse_begin(&b, SSE_NO_ID, "reset");
    jw_init(&w, &b);
    jw_object(&w);
    put_id_or_null(&w, "requested", resume_id);
    jw_kstr(&w, "reason", str_of(reason));
    jw_object_end(&w);
    sse_end(&b);
    ASSERT(buf_ok(&b));
    stats_inc(s->hub->api->opts.stats, STAT_STREAM_RESETS);
    stream_control(s, frame_of_text(buf_str(&b)));
    buf_deinit(&b);
}

static bool ring_covers(const struct stream *s, int64_t after_id)
{
    const struct feed *f = s->hub->api->opts.feed;
    if (feed_covers(f, after_id)) {
        return true;
    }
    for (size_t i = 0; i < s->filter.n_rooms; i++) {
        if (!feed_room_covers(f, s->filter.rooms[i], after_id)) {
            return false;
        }
    }
    return s->filter.n_rooms > 0;
}

static void follow_ring(struct stream *s, uint64_t next)
{
    s->state = STREAM_RING;
    s->next = next;
    stream_wake(s);
}

/* The newest id that anybody can know of. */
static int64_t newest_id(const struct stream *s)
{
    int64_t head = feed_head_id(s->hub->api->opts.feed);
    int64_t mark = api_committed(s->hub->api);
    int64_t id = head > mark ? head : mark;
    return id > 0 ? id : 0;
}

void stream_begin(struct stream *s, int64_t resume_id)
{
    struct api *a = s->hub->api;
    bool foreign = resume_id > id_first_of_ms(api_now_ms(a) + FUTURE_MS);
    say_hello(s, resume_id, !foreign);
    if (foreign) { /* of another database, say: nothing newer will come for long */
        say_reset(s, resume_id, "unknown_id");
    }
    if (resume_id < 0 || foreign) {
        s->last_id = newest_id(s);
        s->next = feed_head(a->opts.feed);
        if (s->backlog > 0 && !foreign) {
            stream_catch_up(s);
        } else {
            follow_ring(s, s->next);
        }
        return;
    }
    s->backlog = 0;
    s->last_id = resume_id;
    s->check_reset = resume_id > 0;
    if (resume_id > 0) { /* from the beginning nothing was missed */
        stream_gaps_resume(s, resume_id);
    }
    stream_catch_up(s);
}

void stream_catch_up(struct stream *s)
{
    struct hub *h = s->hub;
    if (s->backlog == 0 && ring_covers(s, s->last_id)) {
        s->check_reset = false;
        follow_ring(s, feed_seek(h->api->opts.feed, s->last_id));
        return;
    }
    s->state = STREAM_LINE;
    list_push_back(&h->line, &s->line_node);
    hub_serve_line(h);
}

static void wait_for(struct stream *s, int64_t ms)
{
    struct hub *h = s->hub;
    s->state = STREAM_WAIT;
    loop_timer_start(&s->again, rng_between(&h->rng, ms, ms * 3 / 2), 0);
}

static void reading_ended(struct stream *s)
{
    s->hub->n_reads--;
}

static void page_ended(struct stream *s)
{
    s->hub->n_pages--;
    s->hub->n_held -= s->held;
    s->held = 0;
}

/* Nothing at or below the id is stored: what came after it may have been removed. */
static void probe_read(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                       const struct db_rows *rows)
{
    struct stream *s = ctx;
    struct hub *h = s->hub;
    reading_ended(s);
    page_ended(s);
    if (code != ERR_OK) {
        wait_for(s, HUB_DOWN_MS);
    } else {
        s->check_reset = false;
        if (!db_bool(rows, 0, 0)) {
            say_reset(s, s->last_id, "too_old");
        }
        stream_wake(s); /* gaps waited for this */
        stream_catch_up(s);
    }
    hub_serve_line(h);
}

static void probe(struct stream *s)
{
    struct api *a = s->hub->api;
    struct err err;
    struct db_arg args[] = {DB_ARG_I64(s->last_id)};
    if (!db_is_up(a->opts.db) || db_query(a->opts.db, sql_stmt(SQL_EVENT_UP_TO), args,
                                          ARRAY_LEN(args), probe_read, s, &err) != ERR_OK) {
        reading_ended(s);
        page_ended(s);
        wait_for(s, HUB_DOWN_MS);
    }
}

/* Large while there is room for that, and this client takes them quickly. */
static size_t page_events(const struct stream *s)
{
    size_t n = s->page_events;
    return n > HUB_PAGE_EVENTS && s->hub->n_held + n <= HUB_HELD_MAX ? n : HUB_PAGE_EVENTS;
}

static void page_was_taken(struct stream *s)
{
    int64_t took_ms = loop_now_ms(s->hub->api->opts.loop) - s->page_ms;
    size_t n = s->held;
    if (took_ms > HUB_PAGE_QUICK_MS) {
        n = HUB_PAGE_EVENTS;
    } else if (s->reader.more && n < HUB_PAGE_EVENTS_MAX) {
        n = n * 2 < HUB_PAGE_EVENTS_MAX ? n * 2 : HUB_PAGE_EVENTS_MAX;
    }
    s->page_events = n;
    if (s->reader.width_ms > 0) { /* for a page as large as the next */
        s->width_ms = s->reader.width_ms * (int64_t)n / (int64_t)s->held;
    }
}

void stream_read_next(struct stream *s)
{
    struct hub *h = s->hub;
    s->state = STREAM_READ;
    h->n_reads++;
    h->n_pages++;
    if (s->check_reset) {
        probe(s);
        return;
    }
    s->newest_first = s->backlog > 0;
    s->held = s->newest_first ? s->backlog : page_events(s);
    h->n_held += s->held;
    s->page_ms = loop_now_ms(h->api->opts.loop);
    struct reader_opts opts = {
        .filter = s->filter,
        .descending = s->newest_first,
        .low = s->newest_first ? 0 : s->last_id + 1,
        .high = s->newest_first ? s->last_id + 1 : ID_MAX,
        .limit = s->held,
        .width_ms = s->width_ms,
        .done = stream_read_done,
        .ctx = s,
    };
    reader_init(&s->reader, h->api, &opts);
    if (reader_start(&s->reader)) {
        stream_read_done(s);
    }
}

void stream_drop_page(struct stream *s)
{
    struct hub *h = s->hub;
    if (s->state != STREAM_READ && s->state != STREAM_PAGE) {
        return;
    }
    if (s->state == STREAM_READ) {
        db_forget(h->api->opts.db, s); /* a probe */
        reading_ended(s);
    }
    page_ended(s);
    if (s->reader.items != NULL) {
        reader_deinit(&s->reader);
    }
    s->state = STREAM_WAIT;
}

void stream_stall(struct stream *s)
{
    if (s->state == STREAM_PAGE && !s->newest_first &&
        loop_now_ms(s->hub->api->opts.loop) - s->pulled_ms > HUB_STALLED_MS) {
        stats_inc(s->hub->api->opts.stats, STAT_STREAM_STALLED);
        stream_drop_page(s);
        s->state = STREAM_STALLED;
        s->page_events = HUB_PAGE_EVENTS;
        hub_serve_line(s->hub);
    }
}

static void stream_read_done(void *ctx)
{
    struct stream *s = ctx;
    struct hub *h = s->hub;
    struct reader *r = &s->reader;
    stats_inc(h->api->opts.stats, STAT_STREAM_PAGES);
    reading_ended(s);
    s->state = STREAM_PAGE;
    if (r->code != ERR_OK && !s->newest_first) {
        stream_drop_page(s); /* it is read again */
        wait_for(s, HUB_DOWN_MS);
    } else if (r->n > 0) { /* of a backlog, what the ring had is better than nothing */
        s->page_at = 0;
        s->pulled_ms = loop_now_ms(h->api->opts.loop);
        stream_wake(s);
    } else {
        stream_page_done(s);
    }
    hub_serve_line(h);
}

void stream_page_done(struct stream *s)
{
    struct hub *h = s->hub;
    bool hole = s->reader.pending && !s->newest_first;
    int64_t at = s->reader.at;
    if (!s->newest_first) {
        page_was_taken(s);
    }
    stream_drop_page(s);
    if (s->newest_first) {
        s->newest_first = false;
        s->backlog = 0;
        if (s->next >= feed_tail(h->api->opts.feed)) {
            follow_ring(s, s->next);
            hub_serve_line(h);
            return;
        }
    } else if (at > s->last_id) {
        s->last_id = at;
    }
    if (hole && !ring_covers(s, s->last_id)) {
        wait_for(s, HUB_HOLE_MS);
    } else {
        stream_catch_up(s);
    }
    hub_serve_line(h);
}
