/* Suspended connections and their waking.
 *
 * To resume any connection libmicrohttpd 0.9.75 walks through all suspended ones: with 10,000 idle streams that costs
 * about as much as 100 sends. So who wakes waits in a list, and is resumed together with others: at once while few
 * sleep or many wake, else at most so often that the walks take a small part of the time. Answers go before streams. */
#include "server/core/assert.h"
#include "server/http/http_priv.h"

enum {
    ASLEEP_PER_MS = 2000, /* so many sleepers make wakers wait a ms longer for company */
    WAKE_SHARE = 20,      /* no wait once one in so many is waking */
};

void http_conn_move(struct http_conn *c, struct list *to)
{
    if (c->in != NULL) {
        list_remove(c->in, &c->node);
    }
    c->in = to;
    if (to != NULL) {
        list_push_back(to, &c->node);
    }
}

void http_conn_sleep(struct http_conn *c)
{
    ASSERT(!c->asleep);
    c->asleep = true;
    c->http->n_asleep++;
    mhd_suspend(c->mhd);
}

void http_conn_wake(struct http_conn *c)
{
    struct http *h = c->http;
    if (c->asleep && c->in == NULL) {
        http_conn_move(c, c->req->stream != NULL && c->req->state == REQ_SENDING ? &h->streams_up
                                                                                 : &h->answers_up);
        http_want_run(h);
    }
}

static size_t resume_from(struct http *h, struct list *l, size_t max)
{
    size_t n = 0;
    struct list_node *node;
    while (n < max && (node = list_first(l)) != NULL) {
        struct http_conn *c = CONTAINER_OF(node, struct http_conn, node);
        http_conn_move(c, NULL);
        c->asleep = false;
        h->n_asleep--;
        mhd_resume(c->mhd);
        n++;
    }
    return n;
}

size_t http_n_waking(const struct http *h)
{
    return h->answers_up.n + h->streams_up.n;
}

int64_t http_resume_in_ms(struct http *h)
{
    const int64_t wait_ms = (int64_t)(h->n_asleep / ASLEEP_PER_MS);
    if (h->phase != HTTP_OPEN || http_n_waking(h) * WAKE_SHARE >= h->n_asleep) {
        return 0;
    }
    const int64_t left = h->resumed_ms + wait_ms - loop_now_ms(h->loop);
    return left < 0 ? 0 : left;
}

size_t http_resume(struct http *h, size_t max_streams)
{
    const size_t n = resume_from(h, &h->answers_up, SIZE_MAX);
    h->resumed_ms = loop_now_ms(h->loop);
    return n + resume_from(h, &h->streams_up, max_streams);
}
