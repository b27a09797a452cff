#include "api/stream_priv.h"

#include "server/core/mem.h"
#include "server/stats/stats.h"

static void on_heartbeat(void *ctx)
{
    struct stream *s = ctx;
    if (loop_now_ms(s->hub->api->opts.loop) >= s->end_ms) {
        stream_end(s);
        return;
    }
    s->beat = true;
    stream_stall(s);
    stream_wake(s);
}

static void on_again(void *ctx)
{
    stream_catch_up(ctx);
}

struct stream *stream_new(struct hub *h, const struct hub_opts *opts)
{
    struct stream *s = mem_new(struct stream);
    struct loop *loop = h->api->opts.loop;
    size_t n = opts->filter.n_rooms;
    s->hub = h;
    s->filter = opts->filter;
    s->rooms = mem_new_array(int64_t, n + 1);
    if (n > 0) {
        memcpy(s->rooms, opts->filter.rooms, n * sizeof(s->rooms[0]));
    }
    s->filter.rooms = s->rooms;
    s->backlog = opts->backlog;
    s->gap_next = gap_log_head(h->gaps);
    s->end_ms = loop_now_ms(loop) + rng_between(&h->rng, HUB_LIFE_MIN_MS, HUB_LIFE_MAX_MS);
    loop_timer_init(&s->heartbeat, loop, on_heartbeat, s);
    loop_timer_init(&s->again, loop, on_again, s);
    loop_timer_start(&s->heartbeat, rng_between(&h->rng, HUB_HEARTBEAT_MS / 3, HUB_HEARTBEAT_MS),
                     HUB_HEARTBEAT_MS);
    return s;
}

void stream_gone(void *ctx)
{
    struct stream *s = ctx;
    struct hub *h = s->hub;
    stream_drop_page(s);
    stream_gaps_deinit(s);
    list_remove(&h->line, &s->line_node);
    list_remove(&h->streams, &s->node);
    stats_set(h->api->opts.stats, STAT_STREAMS, (int64_t)h->streams.n);
    loop_timer_stop(&s->heartbeat);
    loop_timer_stop(&s->again);
    for (size_t i = 0; i < STREAM_CONTROLS; i++) {
        frame_unref(&s->controls[i]);
    }
    frame_unref(&s->cur);
    mem_free(s->rooms);
    mem_free(s);
    hub_serve_line(h);
}

void stream_wake(struct stream *s)
{
    if (s->asleep) {
        s->asleep = false;
        http_stream_wake(s->http);
    }
}

void stream_end(struct stream *s)
{
    s->ending = true;
    stream_wake(s);
}

bool stream_scan(struct stream *s, bool *ret_more)
{
    const struct feed *f = s->hub->api->opts.feed;
    uint64_t head = feed_head(f);
    for (size_t n = 0; s->next < head; n++) {
        const struct event *e = feed_at(f, s->next);
        if (e == NULL || filter_match(&s->filter, e)) {
            return true; /* lapped: the pull finds that too */
        }
        if (n == HUB_SCAN_MAX) {
            *ret_more = true;
            return false;
        }
        s->next++;
        s->last_id = e->id;
    }
    return false;
}

static bool take(struct stream *s, struct frame *frame)
{
    s->cur = frame;
    s->cur_at = 0;
    s->beat = false; /* anything sent shows that we live */
    s->broken = frame == NULL;
    return true;
}

static bool next_of_ring(struct stream *s)
{
    struct api *a = s->hub->api;
    bool more = false;
    if (!stream_scan(s, &more)) {
        if (more) {
            http_stream_wake(s->http); /* goes on after the others had their turn */
        }
        return false;
    }
    const struct event *e = feed_at(a->opts.feed, s->next);
    if (e == NULL) {
        stats_inc(a->opts.stats, STAT_STREAM_LAPPED);
        stream_catch_up(s);
        return false;
    }
    struct frame *frame = frames_get(a->frames, s->next, e);
    s->next++;
    s->last_id = e->id;
    stats_inc(a->opts.stats, STAT_STREAM_EVENTS);
    return take(s, frame);
}

static bool next_of_page(struct stream *s)
{
    struct api *a = s->hub->api;
    while (s->page_at < s->reader.n) {
        size_t at = s->newest_first ? s->reader.n - 1 - s->page_at : s->page_at;
        const struct reader_item *item = &s->reader.items[at];
        s->page_at++;
        if (!s->newest_first) {
            s->last_id = item->event->id;
        }
        if ((item->event->flags & EVENT_F_BACKFILLED) != 0) {
            continue; /* those who were connected all the time did not get it either */
        }
        stats_inc(a->opts.stats, STAT_STREAM_EVENTS);
        return take(s, item->seq == FEED_NO_SEQ ? frames_make(a->frames, item->event)
                                                : frames_get(a->frames, item->seq, item->event));
    }
    stream_page_done(s);
    return false;
}

/* Finds what comes next; false: nothing now. */
static bool find_next(struct stream *s)
{
    if (s->controls[0] != NULL) {
        struct frame *frame = s->controls[0];
        s->controls[0] = s->controls[1];
        s->controls[1] = NULL;
        return take(s, frame);
    }
    if (s->ending) {
        return false;
    }
    struct frame *gap = stream_gaps_next(s);
    if (gap != NULL) {
        return take(s, gap);
    }
    if (s->state == STREAM_STALLED) {
        stream_catch_up(s);
    }
    if (s->state == STREAM_PAGE && next_of_page(s)) {
        return true;
    }
    if (s->state == STREAM_RING && next_of_ring(s)) {
        return true;
    }
    if (s->state == STREAM_PAGE) { /* lapped, and the next page was there at once */
        return next_of_page(s);
    }
    return s->beat && take(s, frame_ref(s->hub->heartbeat));
}

int64_t stream_pull(void *ctx, char *out, size_t max)
{
    struct stream *s = ctx;
    size_t n = 0;
    s->asleep = false;
    s->pulled_ms = loop_now_ms(s->hub->api->opts.loop);
    while (n < max && (s->cur != NULL || find_next(s)) && !s->broken) {
        size_t left = s->cur->len - s->cur_at;
        size_t part = left < max - n ? left : max - n;
        memcpy(out + n, s->cur->data + s->cur_at, part);
        n += part;
        s->cur_at += part;
        if (s->cur_at == s->cur->len) {
            frame_unref(&s->cur);
        }
    }
    if (n > 0) {
        return (int64_t)n;
    }
    if (s->broken) {
        return HTTP_STREAM_ABORT;
    }
    if (s->ending) {
        return HTTP_STREAM_END;
    }
    s->asleep = true;
    return 0;
}
