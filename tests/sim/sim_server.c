#include "tests/sim/sim_server.h"

#include <math.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "tests/sim/sim_cert.h"
#include "tests/sim/sim_http.h"
#include "tests/sim/sim_priv.h"

enum { CLOSE_POLL_MS = 10, CLOSE_MS = 2000, TLS_PATH_BYTES = 4096 };

/* --- rooms --- */

/* Index of the room, or where it would be. */
static size_t room_index(const struct sim_server *s, int64_t id)
{
    size_t low = 0;
    size_t high = s->n_rooms;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->rooms[mid]->id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct sim_room *sim_server_room(struct sim_server *s, int64_t id)
{
    size_t i = room_index(s, id);

    return i < s->n_rooms && s->rooms[i]->id == id ? s->rooms[i] : NULL;
}

static struct sim_room *add_room(struct sim_server *s, int64_t id)
{
    size_t at = room_index(s, id);
    struct sim_room *r = sim_server_room(s, id);

    if (r || s->n_rooms == SIM_ROOMS_MAX) {
        return r;
    }
    if (s->n_rooms == s->rooms_cap) {
        size_t cap = s->rooms_cap ? s->rooms_cap * 2 : 64;
        struct sim_room **more = mem_new_array(struct sim_room *, cap);

        if (s->n_rooms > 0) {
            memcpy(more, s->rooms, s->n_rooms * sizeof(struct sim_room *));
        }
        mem_free(s->rooms);
        s->rooms = more;
        s->rooms_cap = cap;
    }
    r = sim_room_new(s, id, (uint32_t)s->n_rooms);
    memmove(s->rooms + at + 1, s->rooms + at, (s->n_rooms - at) * sizeof(struct sim_room *));
    s->rooms[at] = r;
    s->n_rooms++;
    return r;
}

/* Room k of n, in the order they were made, gets a share of 1/k^zipf. */
static void share_rate(struct sim_server *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->n_rooms; i++) {
        struct sim_room *r = s->rooms[i];

        r->share = 1 / pow((double)r->gen.index + 1, s->o->zipf);
        sum += r->share;
    }
    for (size_t i = 0; i < s->n_rooms; i++) {
        s->rooms[i]->share /= sum;
    }
}

struct sim_room *sim_server_enter(struct sim_server *s, int64_t id)
{
    struct sim_room *r = sim_server_room(s, id);

    if (!r && s->o->any_room && id > 0) {
        r = add_room(s, id);
        share_rate(s);
    }
    return r;
}

static enum err_code add_rooms(struct sim_server *s, struct err *err)
{
    struct str rest = s->o->room_ids ? str_of(s->o->room_ids) : STR("");
    struct str part;
    int64_t id;

    while (rest.len > 0 && str_split(&rest, ',', &part)) {
        if (!str_to_i64(str_trim(part), &id) || id <= 0) {
            return err_set(err, ERR_INVALID, "--room-ids: bad id \"" STR_FMT "\"", STR_ARG(part));
        }
        (void)add_room(s, id);
    }
    for (int64_t i = 0; !s->o->room_ids && i < s->o->rooms; i++) {
        (void)add_room(s, s->o->first_room + i);
    }
    share_rate(s);
    return ERR_OK;
}

void sim_server_each_room(struct sim_server *s, int64_t room_id,
                          void (*fn)(struct sim_room *r, void *ctx), void *ctx)
{
    for (size_t i = 0; i < s->n_rooms; i++) {
        if (room_id == 0 || s->rooms[i]->id == room_id) {
            fn(s->rooms[i], ctx);
        }
    }
}

static void pump(struct sim_room *r, void *ctx)
{
    (void)ctx;
    sim_room_pump(r);
}

void sim_server_started(struct sim_server *s)
{
    if (!s->started && s->n_rooms_ready >= (size_t)s->o->wait_rooms) {
        s->started = true;
        sim_server_each_room(s, 0, pump, NULL);
    }
}

void sim_server_pump_all(struct sim_server *s)
{
    sim_server_each_room(s, 0, pump, NULL);
}

/* --- time --- */

static void timed_fault(struct sim_server *s, struct sim_fault *f)
{
    struct list_node *next;

    if (f->after_ms == 0 || loop_now_ms(s->loop) - f->given_ms < f->after_ms ||
        (f->times > 0 && f->fired >= f->times)) {
        return;
    }
    f->after_ms = 0;
    f->after = 0; /* from here on an ordinary rule that is due at once */
    if (sim_fault_class(f->kind) == SIM_FAULT_LISTEN) {
        sim_server_play_listen(s, f);
        return;
    }
    for (struct list_node *n = list_first(&s->conns); n; n = next) {
        next = list_next(&s->conns, n);
        sim_conn_faults(CONTAINER_OF(n, struct sim_conn, node));
    }
}

static void on_tick(void *ctx)
{
    struct sim_server *s = ctx;
    int64_t now = loop_now_ms(s->loop);
    int64_t dt = now - s->last_tick_ms;

    s->last_tick_ms = now;
    for (size_t i = 0; i < s->n_faults; i++) {
        timed_fault(s, &s->faults[i]);
    }
    sim_life_tick(s, dt);
    if (s->started && !s->paused) {
        for (size_t i = 0; i < s->n_rooms; i++) {
            if (s->o->full_speed) {
                sim_room_pump(s->rooms[i]);
            } else {
                sim_room_tick(s->rooms[i], s->rate, dt);
            }
        }
    }
    sim_record_flush(s->deps.record);
}

/* --- life --- */

static void free_server(struct sim_server *s)
{
    for (size_t i = 0; i < s->n_rooms; i++) {
        sim_room_free(s->rooms[i]);
    }
    mem_free(s->rooms);
    for (int form = 0; form < SIM_FORMS; form++) {
        buf_deinit(&s->run[form]);
    }
    buf_deinit(&s->frame);
    sim_packer_free(s->packer);
    sim_tls_ctx_free(s->tls);
    sim_site_free(s->site);
    mem_free(s->msg);
    mem_free(s);
}

static bool hosts_closed(const struct sim_server *s)
{
    if (s->http_open) {
        return false;
    }
    for (size_t i = 0; i < s->n_hosts; i++) {
        if (s->hosts[i].poll_open) {
            return false;
        }
    }
    return true;
}

static void kill_all(struct sim_server *s)
{
    struct list_node *next;

    for (struct list_node *n = list_first(&s->conns); n; n = next) {
        next = list_next(&s->conns, n);
        sim_conn_kill(CONTAINER_OF(n, struct sim_conn, node), "shutdown", false);
    }
}

/* The last one out: all connections freed and all listening handles closed. */
static void maybe_closed(void *ctx)
{
    struct sim_server *s = ctx;
    void (*closed)(void *) = s->closed;
    void *closed_ctx = s->closed_ctx;

    if (list_first(&s->conns) && loop_now_ms(s->loop) >= s->last_tick_ms + CLOSE_MS) {
        kill_all(s); /* who has not taken what was queued by now does not get it */
    }
    if (list_first(&s->conns) || !hosts_closed(s)) {
        loop_timer_start(&s->tick, CLOSE_POLL_MS, 0);
        return;
    }
    free_server(s);
    if (closed) {
        closed(closed_ctx);
    }
}

static void on_http_closed(void *ctx)
{
    struct sim_server *s = ctx;

    s->http_open = false;
}

void sim_server_close(struct sim_server *s, void (*closed)(void *ctx), void *ctx)
{
    struct list_node *next;

    if (s->closing) {
        return;
    }
    s->closing = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    s->last_tick_ms = loop_now_ms(s->loop);
    loop_timer_stop(&s->tick);
    if (s->http) {
        sim_http_close(s->http, on_http_closed, s);
        s->http = NULL;
    }
    for (size_t i = 0; i < s->n_hosts; i++) {
        sim_host_close(&s->hosts[i]);
    }
    for (struct list_node *n = list_first(&s->conns); n; n = next) {
        next = list_next(&s->conns, n);
        sim_conn_end(CONTAINER_OF(n, struct sim_conn, node), "shutdown", false);
    }
    loop_timer_init(&s->tick, s->loop, maybe_closed, s);
    loop_timer_start(&s->tick, 1, 0);
}

void sim_server_conn_closed(struct sim_server *s, struct sim_conn *c)
{
    list_remove(&s->conns, &c->node);
    mem_free(c);
}

static enum err_code set_up_tls(struct sim_server *s, struct err *err)
{
    const struct sim_options *o = s->o;
    struct buf cert;
    struct buf key;
    enum err_code rc;

    if (!o->tls_dir) {
        return sim_tls_ctx_new(o->tls_cert, o->tls_key, &s->tls, err);
    }
    buf_init(&cert, TLS_PATH_BYTES);
    buf_init(&key, TLS_PATH_BYTES);
    buf_printf(&cert, "%s/server.pem%c", o->tls_dir, 0);
    buf_printf(&key, "%s/server.key%c", o->tls_dir, 0);
    rc = sim_cert_dir(o->tls_dir, o->public_host, err);
    if (rc == ERR_OK) {
        rc = sim_tls_ctx_new(cert.data, key.data, &s->tls, err);
    }
    buf_deinit(&cert);
    buf_deinit(&key);
    return rc;
}

static enum err_code listen_all(struct sim_server *s, enum sim_link_kind kind,
                                const char *const *where, size_t n, struct err *err)
{
    enum err_code rc = ERR_OK;

    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        rc = sim_host_open(&s->hosts[s->n_hosts], s, where[i], kind, err);
        s->n_hosts++;
    }
    return rc;
}

static enum err_code set_up(struct sim_server *s, struct err *err)
{
    const struct sim_site_opts site = {.seed = s->o->seed,
                                       .accounts = s->o->accounts,
                                       .n_accounts = s->o->n_accounts,
                                       .token_ttl_ms = s->o->token_ttl_ms};
    enum err_code rc = sim_site_new(&site, &s->site, err);

    if (rc == ERR_OK) {
        rc = add_rooms(s, err);
    }
    if (rc == ERR_OK && (s->o->n_wss > 0 || s->o->https)) {
        rc = set_up_tls(s, err);
    }
    if (rc == ERR_OK) {
        rc = listen_all(s, SIM_LINK_TCP, s->o->listen, s->o->n_listen, err);
    }
    if (rc == ERR_OK) {
        rc = listen_all(s, SIM_LINK_WS, s->o->ws, s->o->n_ws, err);
    }
    if (rc == ERR_OK) {
        rc = listen_all(s, SIM_LINK_WSS, s->o->wss, s->o->n_wss, err);
    }
    if (rc == ERR_OK && s->o->http) {
        rc = sim_http_open(s, s->o->http, &s->http, err);
        s->http_open = s->http != NULL;
    }
    for (size_t i = 0; i < s->o->n_faults && rc == ERR_OK; i++) {
        struct sim_fault f;

        rc = sim_fault_parse(str_of(s->o->faults[i]), &f, err);
        if (rc == ERR_OK) {
            rc = sim_server_fault(s, &f, err);
        }
    }
    return rc;
}

enum err_code sim_server_open(const struct sim_server_deps *deps, struct sim_server **ret,
                              struct err *err)
{
    struct sim_server *s = mem_new(struct sim_server);
    enum err_code rc;

    s->deps = *deps;
    s->loop = deps->loop;
    s->o = deps->options;
    s->rate = s->o->rate;
    s->left = s->o->count > 0 ? s->o->count : INT64_MAX;
    s->packer = sim_packer_new(1, (int)s->o->quality);
    s->msg = mem_new(struct sim_msg);
    s->last_tick_ms = loop_now_ms(s->loop);
    rng_seed(&s->rng, sim_mix(s->o->seed, 0xfa17));
    rng_seed(&s->life_rng, sim_mix(s->o->seed, 0x11fe));
    list_init(&s->conns);
    for (int form = 0; form < SIM_FORMS; form++) {
        buf_init(&s->run[form], SIM_RUN_MAX);
    }
    buf_init(&s->frame, SIM_RUN_MAX * 2);
    loop_timer_init(&s->tick, s->loop, on_tick, s);
    *ret = s;
    rc = set_up(s, err);
    if (rc == ERR_OK) {
        loop_timer_start(&s->tick, SIM_TICK_MS, SIM_TICK_MS);
        sim_server_started(s);
    }
    return rc;
}

void sim_server_http_url(const struct sim_server *s, struct buf *out)
{
    sim_http_url(s->http, out);
}

void sim_server_addresses(const struct sim_server *s, enum sim_link_kind kind, struct buf *out)
{
    const char *between = "";

    for (size_t i = 0; i < s->n_hosts; i++) {
        if (s->hosts[i].kind == kind) {
            buf_printf(out, "%s%s", between, s->hosts[i].name);
            between = ",";
        }
    }
}
