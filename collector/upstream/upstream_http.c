#include "collector/upstream/upstream_http.h"

#include <curl/curl.h>

#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

enum { BUVID_BYTES = 160, URL_MAX = 32 * 1024 };

struct upstream_http {
    struct loop *loop; /* borrowed */
    CURLM *multi;
    uv_timer_t timer; /* curl's own times are real, the loop's may be a test's */
    struct list transfers;
    struct list watches;
    char *user_agent; /* owned, as ca_file */
    char *ca_file;
    size_t body_max;
    int64_t timeout_ms;
    unsigned n_open; /* timer and sockets not closed yet; plus 1 while an answer is told */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* A socket of curl's that we watch; lives until libuv has closed the handle. */
struct watch {
    struct list_node node; /* of the open ones */
    uv_poll_t poll;        /* data: the watch */
    struct upstream_http *http;
    curl_socket_t fd;
};

struct transfer {
    struct list_node node;
    struct upstream_http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    size_t head_bytes;
    bool too_big;
    int64_t date_ms;
    char buvid[BUVID_BYTES];
    size_t buvid_len;
    char error[CURL_ERROR_SIZE];
    upstream_http_fn *done;
    void *ctx;
};

/* ---- closing ---- */

static void maybe_closed(struct upstream_http *h)
{
    if (!h->closing || h->n_open > 0) {
        return;
    }
    void (*const closed)(void *ctx) = h->closed;
    void *const ctx = h->closed_ctx;
    mem_free(h->user_agent);
    mem_free(h->ca_file);
    mem_free(h);
    curl_global_cleanup();
    closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct upstream_http *h = handle->data;
    h->n_open--;
    maybe_closed(h);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    struct upstream_http *h = w->http;
    mem_free(w);
    h->n_open--;
    maybe_closed(h);
}

static void transfer_free(struct transfer *t)
{
    list_remove(&t->http->transfers, &t->node);
    if (t->easy) {
        (void)curl_multi_remove_handle(t->http->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    buf_deinit(&t->body);
    mem_free(t);
}

/* ---- answers ---- */

static enum upstream_http_end end_of(const struct transfer *t, CURLcode rc)
{
    if (t->too_big) {
        return UPSTREAM_HTTP_TOO_BIG;
    }
    if (rc == CURLE_OK) {
        return UPSTREAM_HTTP_ANSWERED;
    }
    return rc == CURLE_OPERATION_TIMEDOUT ? UPSTREAM_HTTP_TIMEOUT : UPSTREAM_HTTP_NETWORK;
}

static void finish(struct transfer *t, CURLcode rc)
{
    struct upstream_http_answer a = {
        .how = end_of(t, rc),
        .error = "",
        .body = buf_str(&t->body),
        .date_ms = t->date_ms,
        .buvid = {t->buvid, t->buvid_len},
    };
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &a.status);
    if (a.how == UPSTREAM_HTTP_TOO_BIG) {
        a.error = "the answer is too long";
    } else if (a.how != UPSTREAM_HTTP_ANSWERED) {
        a.error = t->error[0] ? t->error : curl_easy_strerror(rc);
    }
    t->done(t->ctx, &a);
}

/* done may ask anew, or close us: each step looks again. */
static void tell_finished(struct upstream_http *h)
{
    CURLMsg *msg;
    int left;
    h->n_open++;
    while (!h->closing && (msg = curl_multi_info_read(h->multi, &left))) {
        struct transfer *t = NULL;
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }
        const CURLcode rc = msg->data.result;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        list_remove(&h->transfers, &t->node); /* closing would free it otherwise */
        (void)curl_multi_remove_handle(h->multi, t->easy);
        finish(t, rc);
        curl_easy_cleanup(TAKE_PTR(t->easy));
        transfer_free(t);
    }
    h->n_open--;
    maybe_closed(h);
}

/* ---- curl asks for events ---- */

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    const struct watch *w = poll->data;
    struct upstream_http *h = w->http;
    int flags = 0;
    int running;
    if (h->closing) {
        return;
    }
    flags |= status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    (void)curl_multi_socket_action(h->multi, w->fd, flags, &running);
    tell_finished(h);
}

static void on_timeout(uv_timer_t *timer)
{
    struct upstream_http *h = timer->data;
    int running;
    if (h->closing) {
        return;
    }
    (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_finished(h);
}

static int want_timer(CURLM *multi, long in_ms, void *ctx)
{
    struct upstream_http *h = ctx;
    (void)multi;
    if (h->closing) {
        return 0;
    }
    if (in_ms < 0) {
        (void)uv_timer_stop(&h->timer);
    } else {
        uv_update_time(loop_uv(h->loop));
        (void)uv_timer_start(&h->timer, on_timeout, (uint64_t)in_ms, 0);
    }
    return 0;
}

static struct watch *watch_new(struct upstream_http *h, curl_socket_t fd)
{
    struct watch *w = mem_new(struct watch);
    w->http = h;
    w->fd = fd;
    w->poll.data = w;
    if (uv_poll_init(loop_uv(h->loop), &w->poll, fd)) {
        mem_free(w);
        return NULL;
    }
    list_push_back(&h->watches, &w->node);
    h->n_open++;
    return w;
}

static void watch_close(struct watch *w)
{
    list_remove(&w->http->watches, &w->node);
    (void)uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* Curl may close the descriptor as soon as this returns: the handle has let go of it by then. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct upstream_http *h = ctx;
    struct watch *w = socket_ctx;
    int events = 0;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            watch_close(w);
            (void)curl_multi_assign(h->multi, fd, NULL);
        }
        return 0;
    }
    if (!w) {
        w = watch_new(h, fd);
        if (!w) {
            return -1; /* UNTESTED: curl ends the transfer */
        }
        (void)curl_multi_assign(h->multi, fd, w);
    }
    events |= what & CURL_POLL_IN ? UV_READABLE : 0;
    events |= what & CURL_POLL_OUT ? UV_WRITABLE : 0;
    return uv_poll_start(&w->poll, events, on_socket_event) ? -1 : 0;
}

/* ---- what arrives ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    buf_put(&t->body, (struct str){data, size * n});
    t->too_big = !buf_ok(&t->body);
    return t->too_big ? 0 : size * n;
}

static void take_buvid(struct transfer *t, struct str value)
{
    const struct str name = STR("buvid3=");
    size_t len = 0;
    if (!str_starts(value, name)) {
        return;
    }
    value = str_sub(value, name.len, value.len);
    while (len < value.len && value.ptr[len] != ';') {
        len++;
    }
    if (len <= sizeof t->buvid) {
        memcpy(t->buvid, value.ptr, len);
        t->buvid_len = len;
    }
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    const struct str line = str_trim((struct str){data, size * n});
    t->head_bytes += size * n;
    if (t->head_bytes > UPSTREAM_HTTP_HEAD_MAX) {
        t->too_big = true;
        return 0;
    }
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    if (!colon) {
        return size * n;
    }
    const struct str name = str_sub(line, 0, (size_t)(colon - line.ptr));
    const struct str value = str_trim(str_sub(line, name.len + 1, line.len));
    if (str_ieq(name, STR("set-cookie"))) {
        take_buvid(t, value);
    } else if (str_ieq(name, STR("date")) && value.len < 64) {
        char text[64];
        memcpy(text, value.ptr, value.len);
        text[value.len] = '\0';
        const time_t s = curl_getdate(text, NULL);
        t->date_ms = s > 0 ? (int64_t)s * 1000 : 0;
    }
    return size * n;
}

/* ---- asking ---- */

#define SET(option, value) ok = ok && curl_easy_setopt(t->easy, option, value) == CURLE_OK

static bool set_up(struct transfer *t, const char *url, const char *referer, const char *cookie)
{
    const struct upstream_http *h = t->http;
    bool ok = true;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name that is still looked up is not waited for */
    SET(CURLOPT_TIMEOUT_MS, (long)h->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)h->timeout_ms);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_USERAGENT, h->user_agent);
    SET(CURLOPT_REFERER, referer);
    SET(CURLOPT_ACCEPT_ENCODING, ""); /* all that this curl can unpack */
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    if (cookie[0]) {
        SET(CURLOPT_COOKIE, cookie);
    }
    if (h->ca_file[0]) {
        SET(CURLOPT_CAINFO, h->ca_file);
        SET(CURLOPT_CAPATH, (char *)NULL);
    }
    return ok;
}

void upstream_http_get(struct upstream_http *h, const struct upstream_http_ask *ask,
                       upstream_http_fn *done, void *ctx)
{
    struct transfer *t = mem_new(struct transfer);
    struct buf texts[3];
    const struct str from[] = {ask->url, ask->referer, ask->cookie};
    ASSERT(!h->closing);
    t->http = h;
    t->done = done;
    t->ctx = ctx;
    buf_init(&t->body, h->body_max);
    t->headers = curl_slist_append(NULL, "Accept: application/json, text/plain, */*");
    t->easy = curl_easy_init();
    list_push_back(&h->transfers, &t->node);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_init(&texts[i], URL_MAX);
        buf_put(&texts[i], from[i]);
        buf_put_c(&texts[i], '\0');
        ASSERT(buf_ok(&texts[i])); /* URLs are ours, the cookies' length is limited */
    }
    /* Out of memory is the only way to fail. */
    const bool ok = t->easy && t->headers &&
                    set_up(t, texts[0].data, texts[1].data, texts[2].data) &&
                    curl_multi_add_handle(h->multi, t->easy) == CURLM_OK;
    ASSERT(ok);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_deinit(&texts[i]);
    }
}

/* ---- life ---- */

static void *curl_malloc(size_t size)
{
    return mem_alloc(size);
}

static void *curl_calloc(size_t n, size_t size)
{
    size_t bytes;
    void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : mem_alloc(bytes);
    if (p) {
        memset(p, 0, bytes);
    }
    return p;
}

static char *curl_dup(const char *text)
{
    return mem_dup(text, strlen(text));
}

static char *text_of(struct str s)
{
    char *text = mem_new_array(char, s.len + 1);
    if (s.len > 0) {
        memcpy(text, s.ptr, s.len);
    }
    return text;
}

struct upstream_http *upstream_http_new(struct loop *loop, const struct upstream_http_opts *opts)
{
    struct upstream_http *h = mem_new(struct upstream_http);
    bool ok = curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, mem_free, mem_realloc,
                                   curl_dup, curl_calloc) == CURLE_OK;
    h->loop = loop;
    h->multi = curl_multi_init();
    h->user_agent = text_of(opts->user_agent);
    h->ca_file = text_of(opts->ca_file);
    h->body_max = opts->body_max;
    h->timeout_ms = opts->timeout_ms;
    list_init(&h->transfers);
    list_init(&h->watches);
    ok = ok && h->multi;
    ok = ok && !curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    ok = ok && !curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    ok = ok && !curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    ok = ok && !curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    ok = ok &&
         !curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)UPSTREAM_HTTP_CONNS);
    ok = ok && uv_timer_init(loop_uv(loop), &h->timer) == 0;
    ASSERT(ok);
    h->timer.data = h;
    h->n_open = 1;
    return h;
}

void upstream_http_configure(struct upstream_http *h, struct str ca_file, int64_t timeout_ms)
{
    mem_free(h->ca_file);
    h->ca_file = text_of(ca_file);
    h->timeout_ms = timeout_ms;
}

void upstream_http_close(struct upstream_http *h, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!h->closing);
    h->closing = true;
    h->closed = closed;
    h->closed_ctx = ctx;
    for (struct list_node *node; (node = list_first(&h->transfers));) {
        transfer_free(CONTAINER_OF(node, struct transfer, node));
    }
    (void)curl_multi_cleanup(h->multi);
    for (struct list_node *node; (node = list_first(&h->watches));) {
        watch_close(CONTAINER_OF(node, struct watch, node)); /* what curl has not let go of */
    }
    (void)uv_timer_stop(&h->timer);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}
