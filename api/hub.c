#include "api/hub.h"

#include <stdio.h>

#include "api/encode/sse.h"
#include "api/reply.h"
#include "api/stream_priv.h"
#include "server/config/config.h"
#include "server/core/assert.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

enum { STREAM_BLOCK_BYTES = 16384 };

static void on_flush(void *ctx);
static void on_slice(void *ctx);
static void on_published(void *ctx);

struct hub *hub_new(struct api *a)
{
    struct hub *h = mem_new(struct hub);
    struct buf b;
    h->api = a;
    h->gaps = gap_log_new();
    list_init(&h->streams);
    list_init(&h->line);
    rng_seed_system(&h->rng);
    h->resumes = resume_line_new(a, &h->rng);
    loop_timer_init(&h->flush, a->opts.loop, on_flush, h);
    loop_timer_init(&h->slice, a->opts.loop, on_slice, h);
    feed_reader_init(&h->reader, a->opts.feed, feed_head(a->opts.feed), on_published, h);
    buf_init(&b, 64);
    sse_comment(&b, "hb");
    h->heartbeat = frame_of_text(buf_str(&b));
    ASSERT(h->heartbeat != NULL);
    buf_deinit(&b);
    return h;
}

void hub_free(struct hub *h)
{
    if (h == NULL) {
        return;
    }
    ASSERT(h->streams.n == 0);
    loop_timer_stop(&h->flush);
    loop_timer_stop(&h->slice);
    feed_reader_deinit(&h->reader);
    frame_unref(&h->heartbeat);
    gap_log_free(h->gaps);
    resume_line_free(h->resumes);
    mem_free(h);
}

size_t hub_n(const struct hub *h)
{
    return h->streams.n;
}

void hub_put_kinds(struct json_out *w, uint32_t without)
{
    jw_array(w);
    for (unsigned k = EVENT_KIND_NONE + 1; k < EVENT_KIND_END; k++) {
        if ((without >> k & 1) == 0) {
            jw_str(w, str_of(event_kind_name((enum event_kind)k)));
        }
    }
    jw_array_end(w);
}

/* ---- waking ---- */

static int64_t tick_ms(const struct hub *h)
{
    int64_t ms = (int64_t)(h->streams.n / HUB_TICK_MAX_MS);
    return ms > HUB_TICK_MAX_MS ? HUB_TICK_MAX_MS : ms;
}

/* From within a publish, or of a gap: only notes it. */
static void on_published(void *ctx)
{
    struct hub *h = ctx;
    if (loop_timer_armed(&h->flush)) {
        return;
    }
    int64_t wait_ms = 0;
    if (h->streams.n > HUB_AT_ONCE) {
        int64_t since = loop_now_ms(h->api->opts.loop) - h->flushed_ms;
        wait_ms = since < tick_ms(h) ? tick_ms(h) - since : 0;
    }
    loop_timer_start(&h->flush, wait_ms, 0);
}

/* The next publish calls on_published. */
static void arm(struct hub *h)
{
    const struct event *e;
    uint64_t seq;
    h->reader.next = feed_head(h->api->opts.feed);
    enum feed_read r = feed_read(&h->reader, &e, &seq);
    ASSERT(r == FEED_EMPTY);
}

static void on_flush(void *ctx)
{
    struct hub *h = ctx;
    if (h->streams.n == 0) {
        return; /* the next hub_open arms */
    }
    h->flushed_ms = loop_now_ms(h->api->opts.loop);
    arm(h);
    h->pass_left = h->streams.n;
    h->unfinished = false;
    on_slice(h);
}

/* Looks through some of the streams; the rest follows after a poll, so that requests get in between. */
static void on_slice(void *ctx)
{
    struct hub *h = ctx;
    for (size_t n = 0; n < HUB_SLICE && h->pass_left > 0; n++) {
        struct list_node *node = list_first(&h->streams);
        if (node == NULL) {
            h->pass_left = 0;
            return;
        }
        list_remove(&h->streams, node);
        list_push_back(&h->streams, node);
        h->pass_left--;
        struct stream *s = CONTAINER_OF(node, struct stream, node);
        bool more = false;
        if (s->asleep &&
            (stream_gaps_scan(s) || (s->state == STREAM_RING && stream_scan(s, &more)))) {
            stream_wake(s);
        }
        h->unfinished |= more;
    }
    if (h->pass_left > 0) {
        loop_timer_start(&h->slice, 0, 0);
    } else if (h->unfinished && !loop_timer_armed(&h->flush)) {
        loop_timer_start(&h->flush, 0, 0);
    }
}

/* Many rooms may lose their connection in one turn of the loop: one pass is for all of them. */
void hub_gap(struct hub *h, const struct span *span)
{
    if (gap_log_add(h->gaps, span)) {
        on_published(h);
    }
}

/* ---- the line of those who read from the database ---- */

void hub_serve_line(struct hub *h)
{
    struct list_node *node;
    while (h->n_reads < HUB_READS_MAX && h->n_pages < HUB_PAGES_MAX &&
           (node = list_first(&h->line)) != NULL) {
        list_remove(&h->line, node);
        stream_read_next(CONTAINER_OF(node, struct stream, line_node));
    }
}

/* ---- in and out ---- */

static void add_headers(struct http_req *req, const struct hub_opts *opts)
{
    http_add_header(req, "Cache-Control", STR("no-store"));
    http_add_header(req, "X-Accel-Buffering", STR("no"));
    if (opts->resume_id >= 0) {
        char text[24];
        int n = snprintf(text, sizeof(text), "%lld", (long long)opts->resume_id);
        http_add_header(req, "X-Stream-Resumed-From", (struct str){text, (size_t)n});
    }
}

void hub_open(struct hub *h, struct http_req *req, const struct hub_opts *opts)
{
    static const char type[] = "text/event-stream; charset=utf-8";
    struct api *a = h->api;
    if (h->ending || h->streams.n >= (size_t)a->opts.config->max_streams) {
        stats_inc(a->opts.stats, STAT_STREAM_REFUSED);
        reply_problem(a, req, PROBLEM_TOO_MANY_STREAMS, NULL);
        return;
    }
    add_headers(req, opts);
    if (http_req_method(req) == HTTP_HEAD) {
        http_respond_static(req, 200, type, STR_NULL);
        return;
    }
    struct stream *s = stream_new(h, opts);
    if (h->streams.n == 0 && !loop_timer_armed(&h->flush)) {
        arm(h);
    }
    list_push_back(&h->streams, &s->node);
    stats_inc(a->opts.stats, STAT_STREAM_OPENED);
    stats_set(a->opts.stats, STAT_STREAMS, (int64_t)h->streams.n);
    struct http_stream *http =
        http_respond_stream(req, 200, type, STREAM_BLOCK_BYTES, stream_pull, stream_gone, s);
    if (http != NULL) { /* else the client has left, and so has the stream */
        s->http = http;
        stream_begin(s, opts->resume_id);
    }
}

void hub_end_all(struct hub *h)
{
    h->ending = true;
    hub_rotate_all(h);
}

void hub_rotate_all(struct hub *h)
{
    for (struct list_node *node = list_first(&h->streams); node != NULL;
         node = list_next(&h->streams, node)) {
        stream_end(CONTAINER_OF(node, struct stream, node));
    }
}
