#include "collector/upstream/upstream.h"

#include <stdio.h>

#include "collector/upstream/upstream_priv.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/stats/prom.h"

enum { STATE_PATH_MAX = 4096, LABELS_MAX = 1024 };

static char *text_of(struct str s)
{
    char *text = mem_new_array(char, s.len + 1);
    if (s.len > 0) {
        memcpy(text, s.ptr, s.len);
    }
    return text;
}

/* ---- hosts ---- */

static struct str without_slash(struct str url)
{
    while (url.len > 0 && url.ptr[url.len - 1] == '/') {
        url.len--;
    }
    return url;
}

/* "host:port" of a base. */
static struct str authority(struct str url)
{
    size_t to;
    for (size_t i = 0; i + 3 <= url.len; i++) {
        if (memcmp(url.ptr + i, "://", 3) == 0) {
            url = str_sub(url, i + 3, url.len);
            break;
        }
    }
    for (to = 0; to < url.len && url.ptr[to] != '/'; to++) {
    }
    return str_sub(url, 0, to);
}

static void add_base(struct upstream *u, enum upstream_base base, struct str url,
                     const struct upstream_opts *opts)
{
    url = without_slash(url);
    const struct str name = authority(url);
    u->bases[base] = text_of(url);
    for (size_t i = 0; i < u->n_hosts; i++) {
        if (str_eq(str_of(u->hosts[i].name), name)) {
            u->host_of[base] = i;
            return;
        }
    }
    struct host *h = &u->hosts[u->n_hosts];
    h->name = text_of(name);
    bucket_init(&h->bucket, opts->rate, opts->burst, loop_now_ms(u->loop));
    for (unsigned lane = 0; lane < LANES; lane++) {
        list_init(&h->waiting[lane]);
    }
    u->host_of[base] = u->n_hosts++;
}

static void free_bases(struct upstream *u)
{
    for (size_t i = 0; i < BASES; i++) {
        mem_free(u->bases[i]);
        mem_free(u->hosts[i].name);
        u->bases[i] = NULL;
        u->hosts[i] = (struct host){0};
    }
    u->n_hosts = 0;
}

/* ---- figures ---- */

size_t requests_n(const struct upstream *u)
{
    size_t n = u->parked.n + u->asleep.n + u->running.n + u->ending.n;
    for (size_t i = 0; i < u->n_hosts; i++) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            n += u->hosts[i].waiting[lane].n;
        }
    }
    return n;
}

static void scrape_counts(const struct upstream *u, struct buf *labels, struct buf *out)
{
    for (unsigned api = 0; api < APIS; api++) {
        const struct host *h = &u->hosts[u->host_of[api_base((enum upstream_api)api)]];
        for (unsigned o = 0; o < OUTCOMES; o++) {
            if (u->counts[api][o] == 0) {
                continue;
            }
            buf_clear(labels);
            prom_label(labels, "host", str_of(h->name));
            buf_printf(labels, ",endpoint=\"%s\",outcome=\"%s\"%c",
                       api_label((enum upstream_api)api), outcome_name((enum outcome)o), 0);
            prom_i64(out, "danmakud_upstream_requests_total", labels->data,
                     (int64_t)u->counts[api][o]);
        }
    }
}

static void scrape(void *ctx, struct buf *out)
{
    const struct upstream *u = ctx;
    struct upstream_info info;
    struct buf labels;
    buf_init(&labels, LABELS_MAX);
    upstream_info(u, &info);
    prom_head(out, "danmakud_upstream_breaker", "gauge",
              "HTTP to upstream: 0 as usual, 1 nothing is sent after a ban, 2 trying again.");
    prom_i64(out, "danmakud_upstream_breaker", "", (int64_t)info.breaker);
    prom_head(out, "danmakud_upstream_requests_total", "counter",
              "HTTP requests to upstream, by how they ended.");
    scrape_counts(u, &labels, out);
    prom_head(out, "danmakud_upstream_waiting", "gauge",
              "HTTP requests to upstream that wait for their turn or their answer.");
    prom_i64(out, "danmakud_upstream_waiting", "", (int64_t)info.n_waiting);
    prom_head(out, "danmakud_upstream_login", "gauge",
              "1 logged in, 0 anonymous, -1 upstream does not take the login of cookie_file.");
    prom_i64(out, "danmakud_upstream_login", "", info.login_expired ? -1 : info.uid > 0);
    if (info.skew_ms != INT64_MIN) {
        prom_head(out, "danmakud_upstream_clock_ahead_seconds", "gauge",
                  "How far upstream's clock is ahead of ours, by the Date of its newest answer.");
        prom_i64(out, "danmakud_upstream_clock_ahead_seconds", "", info.skew_ms / 1000);
    }
    buf_deinit(&labels);
}

void upstream_info(const struct upstream *u, struct upstream_info *ret)
{
    const int64_t now = loop_now_ms(u->loop);
    const enum breaker_state state = breaker_state(&u->breaker, now);
    static const enum upstream_breaker states[] = {
        [BREAKER_CLOSED] = UPSTREAM_CLOSED,
        [BREAKER_OPEN] = UPSTREAM_OPEN,
        [BREAKER_HALF_OPEN] = UPSTREAM_HALF_OPEN,
    };
    *ret = (struct upstream_info){
        .breaker = states[state],
        .breaker_until_ms =
            state == BREAKER_CLOSED ? 0 : loop_wall_ms(u->loop) + u->breaker.until_ms - now,
        .breaker_cause = u->breaker.cause,
        .uid = u->id.uid,
        .login_expired = u->cookie_file[0] != '\0' && u->id.login_dropped,
        .has_buvid = identity_buvid(u).len > 0,
        .last_ok_ms = u->last_ok_ms,
        .skew_ms = u->skew_ms,
        .n_waiting = requests_n(u),
        .n_requests = u->n_requests,
        .n_failed = u->n_failed,
        .last_error = u->last_error,
        .last_error_ms = u->last_error_ms,
    };
}

void upstream_each_host(const struct upstream *u,
                        bool (*fn)(void *ctx, const struct upstream_host_info *host), void *ctx)
{
    for (size_t i = 0; i < u->n_hosts; i++) {
        const struct host *h = &u->hosts[i];
        const struct upstream_host_info info = {
            .host = str_of(h->name),
            .n_requests = h->n_requests,
            .n_failed = h->n_failed,
            .last_failed_ms = h->last_failed_ms,
        };
        if (!fn(ctx, &info)) {
            return;
        }
    }
}

/* ---- life ---- */

static void open_http(struct upstream *u, const struct upstream_opts *opts)
{
    const struct str ua = opts->user_agent.len > 0 ? opts->user_agent : STR(UPSTREAM_USER_AGENT);
    const struct upstream_http_opts http = {
        .user_agent = ua,
        .ca_file = opts->ca_file,
        .body_max = UPSTREAM_BODY_MAX,
        .timeout_ms = opts->timeout_ms,
    };
    u->http = upstream_http_new(u->loop, &http);
}

static void on_pump(void *ctx)
{
    requests_pump(ctx);
}

struct upstream *upstream_new(struct loop *loop, const struct upstream_opts *opts,
                              struct stats *stats)
{
    struct upstream *u = mem_new(struct upstream);
    ASSERT(opts->timeout_ms > 0 && opts->breaker_ms > 0);
    u->loop = loop;
    u->stats = stats;
    u->skew_ms = INT64_MIN;
    u->clock.off_max_ms = opts->clock_off_max_ms;
    u->last_error = (struct err){.code = ERR_OK};
    if (opts->seed) {
        rng_seed(&u->rng, opts->seed);
    } else {
        rng_seed_system(&u->rng);
    }
    list_init(&u->parked);
    list_init(&u->asleep);
    list_init(&u->running);
    list_init(&u->ending);
    list_init(&u->calls);
    loop_timer_init(&u->pump_timer, loop, on_pump, u);
    breaker_init(&u->breaker, opts->breaker_ms);
    add_base(u, BASE_LIVE, opts->live_url, opts);
    add_base(u, BASE_API, opts->api_url, opts);
    add_base(u, BASE_WWW, opts->www_url, opts);
    u->cookie_file = text_of(opts->cookie_file);
    if (opts->state_dir.len > 0) {
        struct buf path;
        size_t len;
        buf_init(&path, STATE_PATH_MAX);
        buf_put(&path, opts->state_dir);
        buf_put(&path, STR("/upstream_device_id"));
        u->buvid_file = buf_take(&path, &len);
    }
    open_http(u, opts);
    identity_open(u);
    if (stats) {
        stats_on_scrape(stats, scrape, u);
    }
    return u;
}

static void on_http_closed(void *ctx)
{
    struct upstream *u = ctx;
    u->http = NULL;
    upstream_maybe_closed(u);
}

void upstream_maybe_closed(struct upstream *u)
{
    if (!u->closing || u->http || u->n_telling > 0 || u->calls.n > 0 || requests_n(u) > 0) {
        return;
    }
    void (*const closed)(void *ctx) = u->closed;
    void *const ctx = u->closed_ctx;
    if (u->stats) {
        stats_off_scrape(u->stats, u);
    }
    identity_close(u);
    free_bases(u);
    mem_free(u->cookie_file);
    mem_free(u->buvid_file);
    mem_free(u);
    closed(ctx);
}

void upstream_close(struct upstream *u, void (*closed)(void *ctx), void *ctx)
{
    LOOP_ASSERT(u->loop);
    ASSERT(!u->closing);
    u->closing = true;
    u->closed = closed;
    u->closed_ctx = ctx;
    upstream_http_close(u->http, on_http_closed, u); /* no answer comes any more */
    requests_cancel(u);
}

static bool same_bases(const struct upstream *u, const struct upstream_opts *opts)
{
    const struct str urls[] = {
        [BASE_LIVE] = opts->live_url, [BASE_API] = opts->api_url, [BASE_WWW] = opts->www_url};
    bool same = true;
    for (size_t i = 0; i < BASES; i++) {
        same = same && str_eq(str_of(u->bases[i]), without_slash(urls[i]));
    }
    return same;
}

/* Answers that are under way are those of the servers before: they are asked for again. */
static void change_bases(struct upstream *u, const struct upstream_opts *opts)
{
    struct list waiting;
    requests_take_waiting(u, &waiting);
    free_bases(u);
    add_base(u, BASE_LIVE, opts->live_url, opts);
    add_base(u, BASE_API, opts->api_url, opts);
    add_base(u, BASE_WWW, opts->www_url, opts);
    u->epoch++;
    breaker_init(&u->breaker, opts->breaker_ms);
    identity_drop_key(u);
    requests_put_back(u, &waiting);
    LOG(INFO, "upstream", "other servers are asked from now on",
        KV_CSTR("url", u->bases[BASE_LIVE]));
}

void upstream_configure(struct upstream *u, const struct upstream_opts *opts)
{
    LOOP_ASSERT(u->loop);
    ASSERT(opts->timeout_ms > 0 && opts->breaker_ms > 0);
    if (u->closing) {
        return;
    }
    upstream_http_configure(u->http, opts->ca_file, opts->timeout_ms);
    if (!same_bases(u, opts)) {
        change_bases(u, opts);
    }
    u->breaker.base_ms = opts->breaker_ms;
    for (size_t i = 0; i < u->n_hosts; i++) {
        bucket_set(&u->hosts[i].bucket, opts->rate, opts->burst, loop_now_ms(u->loop));
    }
    char *const before = u->cookie_file;
    u->cookie_file = text_of(opts->cookie_file);
    mem_free(before);
    identity_load_cookies(u);
    loop_timer_start(&u->pump_timer, 0, 0);
}
