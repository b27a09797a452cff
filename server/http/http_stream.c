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
    if (s->response != NULL) {
        mhd_response_forget_head(s->response);
        s->response = NULL;
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
    http_conn_sleep(s->req->conn);
    if (s->woken) {
        http_conn_wake(s->req->conn); /* woken by its own pull, which then found nothing */
    }
    return 0;
}

void http_stream_wake(struct http_stream *s)
{
    s->woken = true;
    http_conn_wake(s->req->conn);
}

/* The request has ended, or never began to send. */
void http_stream_free(struct http_stream *s)
{
    struct http *h = s->req->http;
    h->n_streams--;
    stats_inc(h->stats, s->ended ? STAT_HTTP_STREAMS_ENDED : STAT_HTTP_STREAMS_ABORTED);
    s->gone(s->ctx);
    mem_free(s);
}
