/* One request: its turn, its tries, what follows from its answer. */
#include "collector/upstream/upstream_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

static struct host *host_of(struct upstream *u, enum upstream_api api)
{
    return &u->hosts[u->host_of[api_base(api)]];
}

static struct host *host(const struct request *r)
{
    return host_of(r->up, r->api);
}

/* ---- the end of a request ---- */

static void request_free(struct request *r)
{
    loop_timer_stop(&r->timer);
    mem_free(r->query);
    mem_free(r);
}

/* Tells what came of it; the request is in no list any more. */
static void tell(struct request *r, const struct answer *answer, struct str buvid)
{
    struct upstream *u = r->up;
    const struct request_result result = {
        .code = r->code,
        .outcome = r->outcome,
        .answer = answer,
        .buvid = buvid,
        .err = r->code == ERR_OK ? NULL : &r->err,
    };
    u->n_telling++; /* what is told may be the last thing before the end */
    r->done(r->ctx, &result);
    request_free(r);
    u->n_telling--;
    upstream_maybe_closed(u);
}

static void on_ending(void *ctx)
{
    struct request *r = ctx;
    list_remove(&r->up->ending, &r->node);
    tell(r, NULL, STR_NULL);
}

/* From any list but `running` (or none) to its end, told later. */
static void end_later(struct request *r, const struct err *err)
{
    r->code = err->code;
    r->err = *err;
    loop_timer_stop(&r->timer);
    list_push_back(&r->up->ending, &r->node);
    loop_defer(r->up->loop, on_ending, r);
}

static void end_all(struct list *list, const struct err *err)
{
    for (struct list_node *node; (node = list_first(list));) {
        list_remove(list, node);
        end_later(CONTAINER_OF(node, struct request, node), err);
    }
}

/* All that has not been sent. */
static void end_waiting(struct upstream *u, const struct err *err)
{
    for (size_t i = 0; i < u->n_hosts; i++) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            end_all(&u->hosts[i].waiting[lane], err);
        }
    }
    end_all(&u->asleep, err);
    end_all(&u->parked, err);
}

static void breaker_err(const struct upstream *u, struct err *err)
{
    const int64_t left = u->breaker.until_ms - loop_now_ms(u->loop);
    (void)err_set(err, ERR_UNAVAILABLE,
                  "upstream has refused us (%s): nothing is sent for another %lld s",
                  u->breaker.cause, (long long)(left + 999) / 1000);
}

static void trip(struct upstream *u, const char *cause)
{
    const int64_t now = loop_now_ms(u->loop);
    struct err err;
    if (!breaker_trip(&u->breaker, now, cause)) {
        return;
    }
    stats_inc(u->stats, STAT_UPSTREAM_BREAKER_OPENED);
    LOG(WARN, "upstream",
        "upstream refuses our HTTP requests: none is sent for a while, connected rooms go on",
        KV_CSTR("cause", cause), KV_I64("seconds", u->breaker.length_ms / 1000));
    breaker_err(u, &err);
    end_waiting(u, &err);
}

/* ---- what follows from it ---- */

static enum lane lane_of(const struct request *r)
{
    if (r->internal) {
        return LANE_IDENTITY;
    }
    return r->api == API_DANMU_INFO || r->api == API_CONF ? LANE_ROOMS : LANE_QUESTIONS;
}

static void queue(struct request *r)
{
    list_push_back(&host(r)->waiting[lane_of(r)], &r->node);
}

static void on_awake(void *ctx)
{
    struct request *r = ctx;
    list_remove(&r->up->asleep, &r->node);
    queue(r);
    requests_pump(r->up);
}

/* Another try later; false: it has had them all, or nothing may be sent. */
static bool retry(struct request *r, int64_t base_ms)
{
    struct upstream *u = r->up;
    if (r->tries >= UPSTREAM_TRIES ||
        breaker_state(&u->breaker, loop_now_ms(u->loop)) == BREAKER_OPEN) {
        return false;
    }
    if (r->backoff.base_ms == 0) {
        backoff_init(&r->backoff, base_ms, RETRY_MAX_MS, RETRY_JITTER_PCT);
    }
    stats_inc(u->stats, STAT_UPSTREAM_RETRIES);
    list_push_back(&u->asleep, &r->node);
    loop_timer_start(&r->timer, backoff_next_ms(&r->backoff, &u->rng), 0);
    return true;
}

/* Once per request, and never while the breaker tries whether we are welcome again. */
static bool refresh(struct request *r)
{
    struct upstream *u = r->up;
    if (r->refreshed || r->internal ||
        breaker_state(&u->breaker, loop_now_ms(u->loop)) != BREAKER_CLOSED) {
        return false;
    }
    r->refreshed = true;
    r->needs |= NEED_BUVID | NEED_NAV;
    if (r->generation == u->id.generation) {
        stats_inc(u->stats, STAT_UPSTREAM_REFRESHES);
        identity_refresh(u); /* others that were refused with the same identity use the new one */
    }
    queue(r);
    return true;
}

static bool relogin(struct request *r)
{
    struct upstream *u = r->up;
    if (r->refreshed || r->internal ||
        breaker_state(&u->breaker, loop_now_ms(u->loop)) == BREAKER_OPEN) {
        return false;
    }
    r->refreshed = true;
    if (r->generation == u->id.generation && !identity_drop_login(u)) {
        return false;
    }
    queue(r);
    return true;
}

static void host_answered(struct request *r)
{
    struct upstream *u = r->up;
    struct host *h = host(r);
    u->last_ok_ms = loop_wall_ms(u->loop);
    u->n_pages = 0;
    if (h->away) {
        h->away = false;
        h->limit = (struct log_limit){.until_ms = 0};
        LOG(INFO, "upstream", "upstream answers again", KV_CSTR("host", h->name));
    }
    /* The identity's own requests prove nothing: they are let in where others are not. */
    if (!r->internal && breaker_ok(&u->breaker, loop_now_ms(u->loop))) {
        LOG0(INFO, "upstream", "upstream takes our HTTP requests again");
    }
}

static void host_away(struct request *r)
{
    struct host *h = host(r);
    uint64_t held;
    h->away = true;
    if (log_limit(&h->limit, loop_now_ms(r->up->loop), LOG_AGAIN_MS, &held)) {
        LOG(WARN, "upstream",
            "upstream cannot be reached: rooms without a connection wait, trying again; see that "
            "its "
            "name resolves and nothing blocks it (docs/upstream.md)",
            KV_CSTR("host", h->name), KV_CSTR("reason", outcome_name(r->outcome)),
            KV_CSTR("err", r->err.msg), KV_I64("held_back", held));
    }
}

static void note(struct request *r, const struct upstream_http_answer *h)
{
    struct upstream *u = r->up;
    u->counts[r->api][r->outcome]++;
    clock_note(u, h->date_ms);
    if (outcome_failed(r->outcome)) {
        u->n_failed++;
        host(r)->n_failed++;
        host(r)->last_failed_ms = loop_wall_ms(u->loop);
    }
    /* "No such room" is an answer as it should be, not an error of the one who gave it. */
    if (r->outcome != OUTCOME_OK && r->outcome != OUTCOME_NOT_FOUND) {
        u->last_error = r->err;
        u->last_error_ms = loop_wall_ms(u->loop);
    }
}

static void failed(struct request *r, enum err_code code)
{
    r->code = code;
    r->err.code = code;
    err_wrap(&r->err, "%s", api_label(r->api));
    if (r->outcome == OUTCOME_NETWORK || r->outcome == OUTCOME_TIMEOUT ||
        r->outcome == OUTCOME_HTTP_5XX) {
        host_away(r);
    }
    tell(r, NULL, STR_NULL);
}

static void refused(struct request *r)
{
    struct upstream *u = r->up;
    if (r->outcome == OUTCOME_RISK || r->outcome == OUTCOME_VOUCHER) {
        if (refresh(r)) {
            return;
        }
        identity_drop_key(u); /* it may be why; the next try asks for it anew */
    }
    trip(u, outcome_name(r->outcome));
    failed(r, ERR_FORBIDDEN);
}

static void useless(struct request *r)
{
    struct upstream *u = r->up;
    if (!r->page || ++u->n_pages < PAGES_MAX) {
        failed(r, ERR_PROTO);
        return;
    }
    u->n_pages = PAGES_MAX - 1; /* the next one, after the pause, is enough */
    trip(u, "page");
    failed(r, ERR_FORBIDDEN);
}

static void conclude(struct request *r, const struct answer *a, struct str buvid)
{
    switch (r->outcome) {
    case OUTCOME_OK:
        host_answered(r);
        r->code = ERR_OK;
        tell(r, a, buvid);
        return;
    case OUTCOME_NOT_FOUND:
        host_answered(r);
        failed(r, ERR_NOT_FOUND);
        return;
    case OUTCOME_OTHER_CODE:
        host_answered(r);
        failed(r, ERR_PROTO);
        return;
    case OUTCOME_NOT_LOGGED_IN:
        host_answered(r);
        if (!relogin(r)) {
            failed(r, ERR_PROTO);
        }
        return;
    case OUTCOME_NETWORK:
    case OUTCOME_TIMEOUT:
    case OUTCOME_HTTP_5XX:
        if (!retry(r, RETRY_BASE_MS)) {
            failed(r, ERR_UNAVAILABLE);
        }
        return;
    case OUTCOME_TOO_FAST:
        if (!retry(r, RETRY_SLOW_MS)) {
            failed(r, ERR_UNAVAILABLE);
        }
        return;
    case OUTCOME_HTTP_OTHER:
    case OUTCOME_GARBAGE:
    case OUTCOME_TOO_BIG:
        useless(r);
        return;
    case OUTCOME_HTTP_412:
    case OUTCOME_BANNED:
    case OUTCOME_RISK:
    case OUTCOME_VOUCHER:
        refused(r);
        return;
    case OUTCOMES:
        break;
    }
    UNREACHABLE();
}

static void on_answer(void *ctx, const struct upstream_http_answer *h)
{
    struct request *r = ctx;
    struct upstream *u = r->up;
    struct answer a;
    list_remove(&u->running, &r->node);
    if (r->epoch != u->epoch) { /* of a server that is not asked any more */
        r->tries--;
        queue(r);
        requests_pump(u);
        return;
    }
    host(r)->n_running--;
    r->outcome = request_judge(r->api, h, &a, &r->err);
    r->page = request_is_page(r->api, h, r->outcome);
    note(r, h);
    if (!r->internal && r->outcome == OUTCOME_OK && clock_refuses(u, &r->err)) {
        failed(r, ERR_UNAVAILABLE);
    } else {
        conclude(r, &a, h->buvid);
    }
    if (!u->closing) {
        requests_pump(u);
    }
}

/* ---- its turn ---- */

static bool put_query(struct request *r, struct buf *url, struct err *err)
{
    struct upstream *u = r->up;
    struct buf id;
    if (r->query) {
        buf_put(url, str_of(r->query));
        return true;
    }
    buf_init(&id, 32);
    buf_put_i64(&id, r->room_id);
    const struct wbi_param params[] = {
        {STR("id"), buf_str(&id)},
        {STR("type"), STR("0")},
        {STR("web_location"), STR("444.8")},
    };
    const enum err_code rc =
        wbi_sign(&u->id.key, params, ARRAY_LEN(params), loop_wall_ms(u->loop) / 1000, url, err);
    buf_deinit(&id);
    return rc == ERR_OK;
}

static void dispatch(struct request *r)
{
    struct upstream *u = r->up;
    struct buf url;
    struct buf referer;
    struct buf cookie;
    struct err err;
    buf_init(&url, QUERY_MAX * 4);
    buf_init(&referer, 128);
    buf_init(&cookie, COOKIES_HEADER_MAX);
    buf_put(&url, str_of(u->bases[api_base(r->api)]));
    buf_put(&url, str_of(api_path(r->api)));
    if (!r->query || r->query[0]) {
        buf_put_c(&url, '?');
    }
    if (put_query(r, &url, &err)) {
        buf_put(&referer, STR("https://live.bilibili.com/"));
        if (r->room_id > 0) {
            buf_put_i64(&referer, r->room_id);
        }
        identity_cookie(u, &cookie);
        const struct upstream_http_ask ask = {buf_str(&url), buf_str(&referer), buf_str(&cookie)};
        r->tries++;
        r->generation = u->id.generation;
        r->epoch = u->epoch;
        host(r)->n_requests++;
        host(r)->n_running++;
        u->n_requests++;
        list_push_back(&u->running, &r->node);
        upstream_http_get(u->http, &ask, on_answer, r);
    } else {
        end_later(r, &err);
    }
    buf_deinit(&url);
    buf_deinit(&referer);
    buf_deinit(&cookie);
}

/* The first thing that r needs and that is not there; 0: it has all. */
static unsigned missing(struct request *r)
{
    struct upstream *u = r->up;
    if ((r->needs & NEED_BUVID) && !identity_has(u, NEED_BUVID)) {
        return NEED_BUVID;
    }
    return (r->needs & NEED_NAV) && !identity_has(u, NEED_NAV) ? NEED_NAV : 0;
}

/* Requests of the lane that have to wait for the identity go aside. The first of the others, or NULL. */
static struct request *first_ready(struct upstream *u, struct list *lane)
{
    for (struct list_node *node; (node = list_first(lane));) {
        struct request *r = CONTAINER_OF(node, struct request, node);
        const unsigned what = missing(r);
        if (!what) {
            return r;
        }
        list_remove(lane, &r->node);
        list_push_back(&u->parked, &r->node);
        identity_ask(u, (enum upstream_need)what);
    }
    return NULL;
}

static struct request *next_ready(struct upstream *u, struct host *h)
{
    const bool rooms_first = h->n_in_a_row < ROOMS_IN_A_ROW;
    const enum lane order[] = {LANE_IDENTITY, rooms_first ? LANE_ROOMS : LANE_QUESTIONS,
                               rooms_first ? LANE_QUESTIONS : LANE_ROOMS};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        struct request *r = first_ready(u, &h->waiting[order[i]]);
        if (r) {
            return r;
        }
    }
    return NULL;
}

/* While half-open one request at a time tries whether we are welcome. */
static bool may_send(const struct upstream *u, const struct host *h)
{
    switch (breaker_state(&u->breaker, loop_now_ms(u->loop))) {
    case BREAKER_CLOSED:
        return h->n_running < HOST_RUNNING_MAX;
    case BREAKER_OPEN:
        return false;
    case BREAKER_HALF_OPEN:
        return u->running.n == 0;
    }
    UNREACHABLE();
}

static void pump_host(struct upstream *u, struct host *h, int64_t *wait_ms)
{
    struct request *r;
    while (may_send(u, h) && (r = next_ready(u, h)) && may_send(u, h)) {
        const int64_t now = loop_now_ms(u->loop);
        if (!bucket_take(&h->bucket, now)) {
            const int64_t in_ms = bucket_wait_ms(&h->bucket, now);
            *wait_ms = *wait_ms < 0 || in_ms < *wait_ms ? in_ms : *wait_ms;
            return;
        }
        list_remove(&h->waiting[lane_of(r)], &r->node);
        if (lane_of(r) == LANE_ROOMS) {
            h->n_in_a_row++;
        } else if (lane_of(r) == LANE_QUESTIONS) {
            h->n_in_a_row = 0;
        }
        dispatch(r);
    }
}

void requests_pump(struct upstream *u)
{
    int64_t wait_ms = -1;
    size_t parked;
    do {
        /* Whoever is put aside may have asked a host that was looked at already. */
        parked = u->parked.n;
        for (size_t i = 0; i < u->n_hosts; i++) {
            pump_host(u, &u->hosts[i], &wait_ms);
        }
    } while (u->parked.n > parked);
    if (wait_ms >= 0) {
        loop_timer_start(&u->pump_timer, wait_ms, 0);
    } else {
        loop_timer_stop(&u->pump_timer);
    }
}

/* ---- from outside ---- */

static struct request *make(struct upstream *u, enum upstream_api api, request_fn *done, void *ctx)
{
    struct request *r = mem_new(struct request);
    r->up = u;
    r->api = api;
    r->needs = api_needs(api);
    r->outcome = OUTCOMES;
    r->done = done;
    r->ctx = ctx;
    loop_timer_init(&r->timer, u->loop, on_awake, r);
    return r;
}

static void start(struct request *r)
{
    struct upstream *u = r->up;
    struct err err;
    if (u->closing) {
        (void)err_set(&err, ERR_CANCELED, "closing");
        end_later(r, &err);
        return;
    }
    if (breaker_state(&u->breaker, loop_now_ms(u->loop)) == BREAKER_OPEN) {
        stats_inc(u->stats, STAT_UPSTREAM_CALLS_REFUSED_BREAKER);
        breaker_err(u, &err);
        end_later(r, &err);
        return;
    }
    queue(r);
    loop_timer_start(&u->pump_timer, 0, 0);
}

void request_new(struct upstream *u, enum upstream_api api, struct str query, int64_t room_id,
                 request_fn *done, void *ctx)
{
    struct request *r = make(u, api, done, ctx);
    r->room_id = room_id;
    if (query.ptr) {
        ASSERT(query.len <= QUERY_MAX);
        r->query = mem_new_array(char, query.len + 1);
        memcpy(r->query, query.ptr, query.len);
    }
    start(r);
}

void request_new_internal(struct upstream *u, enum upstream_api api, request_fn *done, void *ctx)
{
    struct request *r = make(u, api, done, ctx);
    r->internal = true;
    r->query = mem_new_array(char, 1);
    start(r);
}

void requests_identity(struct upstream *u, enum upstream_need what, const struct err *err)
{
    for (struct list_node *node; (node = list_first(&u->parked));) {
        struct request *r = CONTAINER_OF(node, struct request, node);
        list_remove(&u->parked, &r->node);
        if (!err || missing(r) != (unsigned)what) {
            queue(r); /* and aside again if it needs more */
        } else {
            end_later(r, err);
        }
    }
    if (!u->closing) {
        loop_timer_start(&u->pump_timer, 0, 0);
    }
    clock_told(u);
}

void requests_take_waiting(struct upstream *u, struct list *ret)
{
    list_init(ret);
    for (size_t i = 0; i < u->n_hosts; i++) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            for (struct list_node *node; (node = list_first(&u->hosts[i].waiting[lane]));) {
                list_remove(&u->hosts[i].waiting[lane], node);
                list_push_back(ret, node);
            }
        }
    }
}

void requests_put_back(struct upstream *u, struct list *from)
{
    for (struct list_node *node; (node = list_first(from));) {
        list_remove(from, node);
        queue(CONTAINER_OF(node, struct request, node));
    }
    loop_timer_start(&u->pump_timer, 0, 0);
}

void requests_cancel(struct upstream *u)
{
    struct err err;
    (void)err_set(&err, ERR_CANCELED, "closing");
    loop_timer_stop(&u->pump_timer);
    end_waiting(u, &err);
    end_all(&u->running, &err); /* http calls back no more */
}
