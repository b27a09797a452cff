#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/http/http_priv.h"

/* Called by libmicrohttpd when the socket can take more. 0 has suspended the connection. */
int64_t http_stream_pull(struct http_stream *s, char *out, size_t max)
{
    struct http *h = s->req->http;
    if (h->phase != HTTP_OPEN) {
        s->ended = true;
    }
    if (s->ended) {
        return HTTP_STREAM_END;
    }
    s->woken = false;
    max = max < s->block ? max : s->block;
    const int64_t n = s->pull(s->ctx, out, max);
    if (n > 0) {
        ASSERT((uint64_t)n <= max);
        stats_add(h->stats, STAT_HTTP_BODY_BYTES, n);
        return n;
    }
    if (n == HTTP_STREAM_END) {
        s->ended = true;
        return n;
    }
    if (n == HTTP_STREAM_ABORT) {
        return n;
    }
    ASSERT(n == 0);
    mhd_suspend(s->req->conn->mhd);
    s->suspended = true;
    if (s->woken) {
        http_stream_wake(s); /* woken by its own pull, which then found nothing */
    }
    return 0;
}

void http_stream_wake(struct http_stream *s)
{
    struct http *h = s->req->http;
    s->woken = true;
    if (s->suspended && !list_linked(&s->node)) {
        list_push_back(&h->waking, &s->node);
        http_want_run(h);
    }
}

size_t http_streams_resume(struct http *h, size_t max)
{
    size_t n = 0;
    struct list_node *node;
    while (n < max && (node = list_first(&h->waking)) != NULL) {
        struct http_stream *s = CONTAINER_OF(node, struct http_stream, node);
        list_remove(&h->waking, node);
        s->suspended = false;
        mhd_resume(s->req->conn->mhd);
        n++;
    }
    return n;
}

/* The request has ended, or never began to send. */
void http_stream_free(struct http_stream *s)
{
    struct http *h = s->req->http;
    list_remove(&h->waking, &s->node);
    h->n_streams--;
    stats_inc(h->stats, s->ended ? STAT_HTTP_STREAMS_ENDED : STAT_HTTP_STREAMS_ABORTED);
    s->gone(s->ctx);
    mem_free(s);
}
