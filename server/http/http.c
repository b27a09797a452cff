#include "server/http/http.h"

#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/http/http_priv.h"
#include "server/stats/prom.h"

enum { SLICE_FIRST = 256, SLICE_LEAST = 16, SLICE_MOST = 65536, MS_PER_S = 1000, SWEEP_MS = 1000 };

/* --- one run per loop turn --- */

static void on_idle(uv_idle_t *idle ATTR_UNUSED)
{
}

void http_want_run(struct http *h)
{
    if (!h->run_wanted && h->phase != HTTP_STOPPED) {
        h->run_wanted = true;
        (void)uv_idle_start(&h->idle, on_idle);
    }
}

static void on_poll(uv_poll_t *poll, int status ATTR_UNUSED, int events ATTR_UNUSED)
{
    http_want_run(poll->data);
}

static void on_timer(void *ctx)
{
    http_want_run(ctx);
}

/* Armed for the daemon's next timeout. A timeout that moved into the future is not worth a re-arm: the timer fires,
 * finds nothing and is armed again. */
static bool arm_timer(struct http *h)
{
    int64_t ms = 0;
    if (!mhd_timeout_ms(h, &ms)) {
        loop_timer_stop(&h->timer);
        return false;
    }
    if (ms == 0) {
        return true;
    }
    const int64_t due_ms = loop_now_ms(h->loop) + ms;
    if (!loop_timer_armed(&h->timer) || due_ms < h->timer_due_ms) {
        h->timer_due_ms = due_ms;
        loop_timer_start(&h->timer, ms, 0);
    }
    return false;
}

/* Several passes, because libmicrohttpd pulls a resumed connection in one and writes in the next, and accepts only
 * HTTP_ACCEPTS_PER_RUN in each. */
static bool run_passes(struct http *h)
{
    bool more = true;
    for (unsigned i = 0; more && i < HTTP_RUN_PASSES; i++) {
        mhd_run(h);
        more = arm_timer(h) || h->n_accepted >= HTTP_ACCEPTS_PER_RUN;
    }
    return more;
}

static void adapt_slice(struct http *h, size_t n, uint64_t ns)
{
    if (n < SLICE_LEAST) {
        return;
    }
    const uint64_t each = ns / n + 1;
    const size_t fits = (size_t)(HTTP_SLICE_NS / each);
    const size_t next = (3 * h->slice + fits) / 4;
    h->slice = next < SLICE_LEAST ? SLICE_LEAST : next > SLICE_MOST ? SLICE_MOST : next;
}

static void check_closing(struct http *h);

static void run_turn(struct http *h)
{
    const bool resumes = http_n_waking(h) > 0 && http_resume_in_ms(h) == 0;
    const uint64_t start = resumes ? clock_mono_ns() : 0;
    const size_t n = resumes ? http_resume(h, h->slice) : 0;
    bool more = run_passes(h);
    if (n > 0) {
        adapt_slice(h, n, clock_mono_ns() - start);
    }
    if (http_n_waking(h) > 0) {
        const int64_t in_ms = http_resume_in_ms(h);
        if (in_ms > 0) {
            loop_timer_start(&h->resumer, in_ms, 0);
        }
        more = more || in_ms == 0;
    }
    if (more) {
        http_want_run(h);
    }
    if (h->phase != HTTP_OPEN) {
        check_closing(h);
    }
}

static void on_check(uv_check_t *check)
{
    struct http *h = check->data;
    if (h->run_wanted) {
        h->run_wanted = false;
        (void)uv_idle_stop(&h->idle);
        run_turn(h);
    }
}

/* --- connections that wait for a request --- */

void http_conn_waits(struct http_conn *c)
{
    c->since_ms = loop_now_ms(c->http->loop);
    http_conn_move(c, &c->http->fresh);
}

/* The first of a list if it has waited for so long. */
static struct http_conn *waiting_since(struct http *h, const struct list *l, int64_t ms)
{
    struct list_node *n = list_first(l);
    struct http_conn *c = n != NULL ? CONTAINER_OF(n, struct http_conn, node) : NULL;
    return c != NULL && c->since_ms <= loop_now_ms(h->loop) - ms ? c : NULL;
}

/* Once a second. A client that shut down its sending side together with its request goes unnoticed, because the one
 * edge of its epoll event was for both (0.9.75); so each idle connection is looked at once. And libmicrohttpd's own
 * timeout is about silence: a peer that sends a byte now and then would hold its place for ever, so a request must
 * be whole within twice that time. */
static void on_sweep(void *ctx)
{
    struct http *h = ctx;
    const int64_t limit_ms = (int64_t)2 * h->opts.idle_timeout_s * MS_PER_S;
    struct http_conn *c;
    while ((c = waiting_since(h, &h->fresh, SWEEP_MS)) != NULL) {
        http_conn_move(c, &h->idle_conns);
        if (mhd_peer_has_shut(c->mhd)) {
            mhd_shut(c->mhd);
        }
    }
    while (limit_ms > 0 && (c = waiting_since(h, &h->idle_conns, limit_ms)) != NULL) {
        http_conn_move(c, NULL);
        stats_inc(h->stats, STAT_HTTP_SLOW);
        mhd_shut(c->mhd);
    }
}

/* --- open --- */

static void on_scrape(void *ctx, struct buf *out)
{
    const struct http *h = ctx;
    prom_head(out, "danmakud_http_connections", "gauge", "Open HTTP connections.");
    prom_i64(out, "danmakud_http_connections", "", h->n_connections);
    prom_head(out, "danmakud_http_streams", "gauge", "Open streams.");
    prom_i64(out, "danmakud_http_streams", "", h->n_streams);
    prom_head(out, "danmakud_http_requests_running", "gauge",
              "Requests being answered, streams included.");
    prom_i64(out, "danmakud_http_requests_running", "", h->n_running);
}

static void open_handles(struct http *h)
{
    uv_loop_t *uv = loop_uv(h->loop);
    h->poll.data = h;
    h->check.data = h;
    h->idle.data = h;
    int rc = uv_poll_init(uv, &h->poll, mhd_epoll_fd(h));
    rc |= uv_check_init(uv, &h->check);
    rc |= uv_idle_init(uv, &h->idle);
    h->n_handles = 3;
    rc |= uv_poll_start(&h->poll, UV_READABLE, on_poll);
    rc |= uv_check_start(&h->check, on_check);
    ASSERT(rc == 0);
    uv_unref((uv_handle_t *)&h->check);
    loop_timer_start(&h->sweeper, SWEEP_MS, SWEEP_MS);
}

static void on_deadline(void *ctx);

enum err_code http_open(struct loop *loop, const struct http_opts *opts, struct stats *stats,
                        struct http **ret, struct err *err)
{
    ASSERT(opts->refuse != NULL && opts->max_connections > 0);
    int fd = -1;
    uint16_t port = 0;
    enum err_code rc = http_listen(opts, &fd, &port, err);
    if (rc != ERR_OK) {
        return rc;
    }
    struct http *h = mem_new(struct http);
    h->loop = loop;
    h->stats = stats;
    h->opts = *opts;
    h->port = port;
    h->slice = SLICE_FIRST;
    h->listening = true;
    h->router = router_new(opts->routes, opts->n_routes);
    rng_seed_system(&h->rng);
    list_init(&h->fresh);
    list_init(&h->idle_conns);
    list_init(&h->reqs);
    list_init(&h->answers_up);
    list_init(&h->streams_up);
    rc = mhd_start(h, fd, err);
    if (rc != ERR_OK) {
        router_free(h->router);
        mem_free(h);
        return rc;
    }
    loop_timer_init(&h->timer, loop, on_timer, h);
    loop_timer_init(&h->resumer, loop, on_timer, h);
    loop_timer_init(&h->sweeper, loop, on_sweep, h);
    loop_timer_init(&h->deadline, loop, on_deadline, h);
    open_handles(h);
    h->time =
        stats_histogram_new(stats, "danmakud_http_request_seconds",
                            "Time from a request's first line to its answer, streams left out.");
    stats_on_scrape(stats, on_scrape, h);
    http_want_run(h); /* its first run puts the listening socket into its epoll set */
    *ret = h;
    return ERR_OK;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

unsigned http_n_connections(const struct http *h)
{
    return h->n_connections;
}

unsigned http_n_streams(const struct http *h)
{
    return h->n_streams;
}

/* --- close --- */

void http_quiesce(struct http *h)
{
    if (!h->listening) {
        return;
    }
    h->listening = false;
    const int fd = mhd_quiesce(h);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;
    if (--h->n_handles > 0) {
        return;
    }
    void (*closed)(void *ctx) = h->closed;
    void *ctx = h->closed_ctx;
    router_free(h->router);
    mem_free(h);
    closed(ctx);
}

/* Nothing may be suspended when the daemon stops (microhttpd.h): all are resumed, and this last run ends them. */
static void stop(struct http *h)
{
    h->phase = HTTP_STOPPING;
    struct list_node *n = list_first(&h->reqs);
    for (; n != NULL; n = list_next(&h->reqs, n)) {
        struct http_req *r = CONTAINER_OF(n, struct http_req, node);
        http_conn_wake(r->conn);
    }
    (void)http_resume(h, SIZE_MAX);
    mhd_run(h);
    mhd_stop(h);
    ASSERT(h->reqs.n == 0 && h->n_connections == 0 && h->n_running == 0 && h->n_streams == 0 &&
           h->n_asleep == 0);
    h->phase = HTTP_STOPPED;
    stats_off_scrape(h->stats, h);
    loop_timer_stop(&h->timer);
    loop_timer_stop(&h->resumer);
    loop_timer_stop(&h->sweeper);
    loop_timer_stop(&h->deadline);
    uv_close((uv_handle_t *)&h->poll, on_handle_closed);
    uv_close((uv_handle_t *)&h->check, on_handle_closed);
    uv_close((uv_handle_t *)&h->idle, on_handle_closed);
}

static void check_closing(struct http *h)
{
    if (h->n_running == 0 || h->phase == HTTP_STOPPING) {
        stop(h);
    }
}

static void on_deadline(void *ctx)
{
    struct http *h = ctx;
    if (h->n_running > 0) {
        LOG(WARN, "http", "requests cut off at the deadline", KV_I64("running", h->n_running));
    }
    h->phase = HTTP_STOPPING;
    http_want_run(h);
}

void http_close(struct http *h, int64_t deadline_ms, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(h->phase == HTTP_OPEN);
    h->phase = HTTP_CLOSING;
    h->closed = closed;
    h->closed_ctx = ctx;
    http_quiesce(h);
    struct list_node *n = list_first(&h->reqs);
    for (; n != NULL; n = list_next(&h->reqs, n)) {
        struct http_req *r = CONTAINER_OF(n, struct http_req, node);
        if (r->stream != NULL) {
            http_stream_wake(r->stream);
        }
    }
    loop_timer_start(&h->deadline, deadline_ms, 0);
    http_want_run(h);
}
