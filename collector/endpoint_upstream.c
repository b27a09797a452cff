#include "collector/endpoint_upstream.h"

#include "collector/upstream/upstream.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

enum { SWEEP_MIN = 64 };

/* Counts connections per address and resets those that are too many. */
static const struct str common_host = {"broadcastlv.chat.bilibili.com",
                                       sizeof("broadcastlv.chat.bilibili.com") - 1};

/* What upstream answered for a room. */
struct kept {
    int64_t room_id;
    int64_t got_ms; /* mono */
    unsigned n_used, max_used;
    char *texts; /* owned: token, buvid and the names of the hosts */
    struct str token, buvid;
    int64_t uid;
    struct endpoint_host *hosts; /* owned */
    size_t n_hosts;
};

struct endpoint_upstream {
    struct loop *loop;         /* borrowed */
    struct upstream *upstream; /* borrowed; NULL: stopped */
    struct endpoint_order order;
    struct kept **kept; /* owned, by room id */
    size_t n, cap, sweep_at;
    size_t n_pending;
};

struct asking {
    struct endpoint_upstream *from;
    struct endpoint_ask ask;
    endpoint_done_fn *done;
    void *done_ctx;
};

/* ---- what is kept ---- */

static void kept_free(struct kept *k)
{
    mem_free(k->texts);
    mem_free(k->hosts);
    mem_free(k);
}

/* Where the room's answer is, or belongs. */
static size_t place(const struct endpoint_upstream *e, int64_t room_id)
{
    size_t low = 0;
    size_t high = e->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (e->kept[mid]->room_id < room_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct kept *find(const struct endpoint_upstream *e, int64_t room_id)
{
    const size_t at = place(e, room_id);
    return at < e->n && e->kept[at]->room_id == room_id ? e->kept[at] : NULL;
}

static bool is_old(const struct endpoint_upstream *e, const struct kept *k)
{
    return loop_now_ms(e->loop) - k->got_ms >= ENDPOINT_TOKEN_MS;
}

static void drop(struct endpoint_upstream *e, int64_t room_id)
{
    const size_t at = place(e, room_id);
    if (at < e->n && e->kept[at]->room_id == room_id) {
        kept_free(e->kept[at]);
        e->n--;
        memmove(&e->kept[at], &e->kept[at + 1], (e->n - at) * sizeof(struct kept *));
    }
}

/* Rooms that were removed leave their answers behind: those go when they are old. */
static void sweep(struct endpoint_upstream *e)
{
    size_t n = 0;
    if (e->n < e->sweep_at) {
        return;
    }
    for (size_t i = 0; i < e->n; i++) {
        if (is_old(e, e->kept[i])) {
            kept_free(e->kept[i]);
        } else {
            e->kept[n++] = e->kept[i];
        }
    }
    e->n = n;
    e->sweep_at = n * 2 > SWEEP_MIN ? n * 2 : SWEEP_MIN;
}

static void add(struct endpoint_upstream *e, struct kept *k)
{
    sweep(e);
    if (e->n == e->cap) {
        const size_t cap = e->cap ? e->cap * 2 : SWEEP_MIN;
        struct kept **bigger = mem_new_array(struct kept *, cap);
        if (e->n > 0) {
            memcpy(bigger, e->kept, e->n * sizeof(struct kept *));
        }
        mem_free(e->kept);
        e->kept = bigger;
        e->cap = cap;
    }
    const size_t at = place(e, k->room_id);
    memmove(&e->kept[at + 1], &e->kept[at], (e->n - at) * sizeof(struct kept *));
    e->kept[at] = k;
    e->n++;
}

static struct str put(char **at, struct str text)
{
    const struct str copy = {*at, text.len};
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
    }
    *at += text.len;
    return copy;
}

/* The common host is left out if there is another: it may be named several times, with different ports. */
static bool has_other_host(const struct upstream_danmu *info)
{
    bool other = false;
    for (size_t i = 0; i < info->n_hosts && !other; i++) {
        other = !str_eq(info->hosts[i].host, common_host);
    }
    return other;
}

/* NULL: no memory (its size is upstream's). */
static struct kept *kept_new(struct endpoint_upstream *e, int64_t room_id,
                             const struct upstream_danmu *info)
{
    struct kept *k = mem_new(struct kept);
    const bool no_common = has_other_host(info);
    size_t len = info->token.len + info->buvid.len;
    for (size_t i = 0; i < info->n_hosts; i++) {
        len += info->hosts[i].host.len;
    }
    k->texts = mem_alloc(len + 1);
    k->hosts = mem_alloc(info->n_hosts * sizeof *k->hosts);
    if (!k->texts || !k->hosts) {
        kept_free(k);
        return NULL;
    }
    char *at = k->texts;
    k->room_id = room_id;
    k->got_ms = loop_now_ms(e->loop);
    k->uid = info->uid;
    k->token = put(&at, info->token);
    k->buvid = put(&at, info->buvid);
    for (size_t i = 0; i < info->n_hosts; i++) {
        const struct upstream_host *from = &info->hosts[i];
        if (!no_common || !str_eq(from->host, common_host)) {
            k->hosts[k->n_hosts++] = (struct endpoint_host){
                .host = put(&at, from->host),
                .ports = {[TRANSPORT_TCP] = from->tcp,
                          [TRANSPORT_WS] = from->ws,
                          [TRANSPORT_WSS] = from->wss},
            };
        }
    }
    k->max_used = k->n_hosts > ENDPOINT_REUSE ? (unsigned)k->n_hosts : ENDPOINT_REUSE;
    return k;
}

/* ---- answers ---- */

static void tell(struct asking *a, enum err_code code, const struct endpoint *ep,
                 const struct err *err)
{
    const struct asking copy = *a;
    mem_free(a);
    copy.from->n_pending--;
    copy.done(copy.done_ctx, code, ep, err);
}

static void tell_kept(struct asking *a, struct kept *k)
{
    struct endpoint ep = {.token = k->token, .buvid = k->buvid, .uid = k->uid};
    struct err err;
    k->n_used++;
    if (endpoint_pick(k->hosts, k->n_hosts, &a->from->order, &a->ask, &ep)) {
        tell(a, ERR_OK, &ep, NULL);
    } else {
        const enum err_code rc = err_set(&err, ERR_PROTO, "no host offers a configured transport");
        tell(a, rc, NULL, &err);
    }
}

static void on_info(void *ctx, enum err_code code, const struct upstream_danmu *info,
                    const struct err *err)
{
    struct asking *a = ctx;
    struct endpoint_upstream *e = a->from;
    struct err mine;
    if (code != ERR_OK) {
        tell(a, code, NULL, err);
        return;
    }
    drop(e, a->ask.room_id);
    struct kept *k = kept_new(e, a->ask.room_id, info);
    if (!k) {
        code = err_set(&mine, ERR_NOMEM, "no memory for the list of hosts");
        tell(a, code, NULL, &mine);
        return;
    }
    add(e, k);
    tell_kept(a, k);
}

static void on_deferred(void *ctx)
{
    struct asking *a = ctx;
    struct endpoint_upstream *e = a->from;
    struct kept *k = find(e, a->ask.room_id);
    struct err err;
    if (!e->upstream) {
        const enum err_code rc = err_set(&err, ERR_CANCELED, "stopping");
        tell(a, rc, NULL, &err);
    } else if (k) {
        tell_kept(a, k);
    } else {
        upstream_danmu_info(e->upstream, a->ask.room_id, a->ask.token_failed, on_info, a);
    }
}

static void ask(void *ctx, const struct endpoint_ask *ask, endpoint_done_fn *done, void *done_ctx)
{
    struct endpoint_upstream *e = ctx;
    struct asking *a = mem_new(struct asking);
    const struct kept *k = find(e, ask->room_id);
    *a = (struct asking){e, *ask, done, done_ctx};
    e->n_pending++;
    if (k && (ask->token_failed || k->n_used >= k->max_used || is_old(e, k))) {
        drop(e, ask->room_id);
        k = NULL;
    }
    if (k || !e->upstream) {
        loop_defer(e->loop, on_deferred, a);
    } else {
        upstream_danmu_info(e->upstream, ask->room_id, ask->token_failed, on_info, a);
    }
}

struct endpoint_upstream *endpoint_upstream_new(struct loop *loop, struct upstream *upstream,
                                                const struct endpoint_order *order)
{
    struct endpoint_upstream *e = mem_new(struct endpoint_upstream);
    e->loop = loop;
    e->upstream = upstream;
    e->order = *order;
    e->sweep_at = SWEEP_MIN;
    return e;
}

void endpoint_upstream_stop(struct endpoint_upstream *e)
{
    e->upstream = NULL;
}

void endpoint_upstream_free(struct endpoint_upstream *e)
{
    if (!e) {
        return;
    }
    ASSERT(e->n_pending == 0);
    for (size_t i = 0; i < e->n; i++) {
        kept_free(e->kept[i]);
    }
    mem_free(e->kept);
    mem_free(e);
}

struct endpoint_provider endpoint_upstream_provider(struct endpoint_upstream *e)
{
    return (struct endpoint_provider){ask, e};
}
