#include "tests/sim/sim_priv.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

static const struct sim_sock_ops SOCK_OPS;

struct sim_record_conn sim_server_record_conn(const struct sim_conn *c)
{
    return (struct sim_record_conn){.conn = c->id,
                                    .room_id = c->room ? c->room->id : 0,
                                    .at_ms = loop_wall_ms(c->server->loop)};
}

enum sim_ver sim_conn_ver(const struct sim_conn *c)
{
    return c->protover == 3 ? SIM_VER_BROTLI : c->protover == 2 ? SIM_VER_ZLIB : SIM_VER_PLAIN;
}

bool sim_conn_takes(const struct sim_conn *c)
{
    return c->state == SIM_CONN_READY && !c->lost && !c->stalled && !sim_room_stalls(c->room);
}

static void on_timeout(void *ctx)
{
    struct sim_conn *c = ctx;

    if (c->state == SIM_CONN_AUTH) {
        c->server->stats.auth_timeouts++;
        sim_conn_kill(c, "auth_timeout", false);
    } else {
        c->server->stats.heartbeat_timeouts++;
        sim_conn_kill(c, "heartbeat_timeout", false);
    }
}

static void on_mode_end(void *ctx)
{
    struct sim_conn *c = ctx;

    c->stalled = c->deaf = false;
    c->link.fragment = 0;
    sim_sock_drip(&c->sock, 0, 0);
    if (c->room) {
        sim_room_pump(c->room);
    }
}

/* Its address, as text: what --conns-per-address counts. */
static void set_peer(struct sim_conn *c, int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);

    if (getpeername(fd, (struct sockaddr *)&a, &len) < 0) {
        return;
    }
    if (a.ss_family == AF_INET6) {
        (void)uv_ip6_name((const struct sockaddr_in6 *)&a, c->peer, sizeof(c->peer));
    } else {
        (void)uv_ip4_name((const struct sockaddr_in *)&a, c->peer, sizeof(c->peer));
    }
}

static bool over_limit(struct sim_conn *c, int fd)
{
    struct sim_server *s = c->server;
    int64_t n = 0;

    if (s->o->conns_per_address == 0) {
        return false;
    }
    set_peer(c, fd);
    for (struct list_node *i = list_first(&s->conns); i; i = list_next(&s->conns, i)) {
        n += strcmp(CONTAINER_OF(i, struct sim_conn, node)->peer, c->peer) == 0;
    }
    return n > s->o->conns_per_address;
}

void sim_conn_accept(struct sim_server *s, unsigned host, int fd)
{
    struct sim_conn *c = mem_new(struct sim_conn);

    c->server = s;
    c->host = host;
    c->id = ++s->next_conn;
    buf_init(&c->in, SIM_CLIENT_PACKET_MAX * 2);
    list_init(&c->waiting);
    list_init(&c->unacked);
    loop_timer_init(&c->timeout, s->loop, on_timeout, c);
    loop_timer_init(&c->mode_end, s->loop, on_mode_end, c);
    sim_sock_open(&c->sock, s->loop, fd, &SOCK_OPS, c);
    list_push_back(&s->conns, &c->node);
    loop_timer_start(&c->timeout, s->o->auth_timeout_ms, 0);
    s->stats.accepted++;
    if (over_limit(c, fd)) {
        s->stats.over_limit++;
        sim_conn_kill(c, "over_limit", true);
        return;
    }
    sim_conn_link(c);
}

/* Messages of a batch whose last byte the socket has taken. */
static void record(struct sim_conn *c, struct sim_transit *t)
{
    struct sim_server *s = c->server;
    struct sim_record_conn who = sim_server_record_conn(c);
    struct str rest = buf_str(&t->batch->lines[c->form]);
    struct str line;

    for (unsigned i = 0; i < t->to && str_split(&rest, '\n', &line); i++) {
        bool dup = t->again || (line.len > 0 && line.ptr[0] == '1');
        struct str objects = line.len > 1 ? str_sub(line, 1, line.len) : STR("");
        struct str one;

        while (i >= t->from && objects.len > 0 && str_split(&objects, SIM_RECORD_AND, &one)) {
            sim_record_event(s->deps.record, &who, ++c->seq, dup, one);
        }
    }
    for (unsigned i = t->from; i < t->to; i++) {
        sim_batch_handed(t->batch, i);
    }
    t->last_seq = c->seq;
    sim_batch_unref(t->batch);
    t->batch = NULL;
}

static void account_sent(struct sim_conn *c)
{
    struct list_node *n;

    while ((n = list_first(&c->waiting))) {
        struct sim_transit *t = CONTAINER_OF(n, struct sim_transit, node);

        if (t->end > c->sock.sent) {
            return;
        }
        list_remove(&c->waiting, n);
        record(c, t);
        list_push_back(&c->unacked, n);
    }
}

uint64_t sim_conn_acked_seq(struct sim_conn *c)
{
    uint64_t acked = sim_sock_acked(&c->sock);
    struct list_node *n;

    while ((n = list_first(&c->unacked))) {
        struct sim_transit *t = CONTAINER_OF(n, struct sim_transit, node);

        if (t->end > acked) {
            break;
        }
        c->acked_seq = t->last_seq;
        list_remove(&c->unacked, n);
        mem_free(t);
    }
    return c->acked_seq;
}

static void on_sent(void *ctx)
{
    struct sim_conn *c = ctx;

    account_sent(c);
    (void)sim_conn_acked_seq(c);
    if (c->room && c->state == SIM_CONN_READY) {
        sim_room_pump(c->room);
    }
}

static void free_transits(struct list *l)
{
    struct list_node *n;

    while ((n = list_first(l))) {
        struct sim_transit *t = CONTAINER_OF(n, struct sim_transit, node);

        list_remove(l, n);
        sim_batch_unref(t->batch);
        mem_free(t);
    }
}

static void leave(struct sim_conn *c)
{
    if (c->state == SIM_CONN_READY) {
        sim_room_leave(c->room, c);
    }
    c->state = SIM_CONN_ENDING;
    loop_timer_stop(&c->timeout);
    loop_timer_stop(&c->mode_end);
}

static void on_closed(void *ctx)
{
    struct sim_conn *c = ctx;
    struct sim_server *s = c->server;
    struct sim_record_conn who = sim_server_record_conn(c);

    leave(c);
    account_sent(c);
    if (c->room) {
        sim_record_ack(s->deps.record, &who, sim_conn_acked_seq(c), c->seq, c->why);
    }
    free_transits(&c->waiting);
    free_transits(&c->unacked);
    buf_deinit(&c->in);
    sim_link_deinit(&c->link);
    s->stats.closed++;
    sim_server_conn_closed(s, c);
}

void sim_conn_kill(struct sim_conn *c, const char *why, bool reset)
{
    if (!c->why) {
        c->why = why;
    }
    leave(c);
    account_sent(c);
    sim_sock_close(&c->sock, reset ? SIM_SOCK_RST : SIM_SOCK_FIN);
}

void sim_conn_end(struct sim_conn *c, const char *why, bool reset)
{
    if (!c->why) {
        c->why = why;
    }
    leave(c);
    if (!reset) {
        sim_link_bye(&c->link, c->bye > 0 ? c->bye : 1000);
    }
    sim_sock_finish(&c->sock, reset ? SIM_SOCK_RST : SIM_SOCK_FIN);
}

static void on_end(void *ctx, const char *why)
{
    sim_conn_kill(ctx, why, false);
}

static void put(struct sim_conn *c, const struct buf *b)
{
    sim_link_put(&c->link, buf_str(b));
}

static void refuse(struct sim_conn *c, int code, bool silent)
{
    struct buf b;

    c->server->stats.auth_failed++;
    if (!silent) {
        buf_init(&b, 256);
        sim_auth_reply_put(&b, SIM_VER_CONTROL, code);
        put(c, &b);
        buf_deinit(&b);
    }
    sim_conn_end(c, "auth_failed", false);
}

static void play_auth_fault(struct sim_conn *c, const struct sim_fault *f)
{
    if (f->kind == SIM_FAULT_KIND_SILENCE) {
        loop_timer_stop(&c->timeout);
        c->lost = true;
    } else if (str_eq(str_of(f->what), STR("text"))) {
        c->server->stats.auth_failed++;
        sim_link_put(&c->link, STR("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
        sim_conn_end(c, "auth_failed", false);
    } else {
        refuse(c, (int)f->code, f->silent);
    }
}

/* Both are seen of the real one. */
static enum sim_ver reply_ver(struct sim_server *s)
{
    uint64_t ver = s->o->reply_ver < 0 ? rng_below(&s->rng, 2) : (uint64_t)s->o->reply_ver;

    return ver == 1 ? SIM_VER_CONTROL : SIM_VER_PLAIN;
}

static void welcome(struct sim_conn *c)
{
    struct sim_server *s = c->server;
    struct sim_record_conn who;
    struct buf b;

    c->masked = c->room->masks && c->uid == 0;
    c->form = (c->masked ? SIM_FORM_MASKED : 0) + (c->thin ? SIM_FORM_THIN : 0);
    buf_init(&b, SIM_MESSAGE_MAX);
    sim_auth_reply_put(&b, reply_ver(s), 0);
    if (c->masked) {
        size_t mark = sim_packet_begin(&b);

        sim_gen_login_notice(&c->room->gen, &b);
        sim_packet_end(&b, mark);
    }
    put(c, &b);
    buf_deinit(&b);
    s->stats.auth_ok++;
    c->state = SIM_CONN_READY;
    who = sim_server_record_conn(c);
    sim_record_begin(s->deps.record, &who, c->uid, c->protover, c->masked);
    loop_timer_start(&c->timeout, s->o->heartbeat_timeout_ms, 0);
    sim_room_join(c->room, c);
    sim_conn_faults(c);
}

/* Tokens of the web side are asked for when there is one, unless a fixed one is set. */
static enum sim_token check_token(const struct sim_conn *c, const struct sim_auth *a)
{
    const struct sim_options *o = c->server->o;

    if (o->token) {
        return str_eq(a->key, str_of(o->token)) ? SIM_TOKEN_OK : SIM_TOKEN_BAD;
    }
    if (!o->http || o->any_token) {
        return SIM_TOKEN_OK;
    }
    return sim_site_check_token(c->server->site, a->key, a->room_id, a->uid,
                                loop_wall_ms(c->server->loop));
}

/* false: refused. Whose token it is not is not told: the connection is reset. */
static bool admit(struct sim_conn *c, const struct sim_auth *a)
{
    const struct sim_options *o = c->server->o;
    enum sim_token token = check_token(c, a);

    c->server->stats.auth_expired += token == SIM_TOKEN_EXPIRED;
    if (token == SIM_TOKEN_OTHER) {
        c->server->stats.auth_failed++;
        c->server->stats.auth_mismatch++;
        sim_conn_end(c, "auth_mismatch", true);
        return false;
    }
    if (token != SIM_TOKEN_OK || (o->token_uid >= 0 && a->uid != o->token_uid)) {
        refuse(c, -101, o->auth_fail_silent);
        return false;
    }
    const bool looks = o->http && !o->token && !o->any_token;
    const bool other = looks && !sim_site_same_device(c->server->site, a->key, a->buvid);
    c->server->stats.auth_other_buvid += other;
    c->thin = other || (looks && !str_eq(a->platform, STR("web")));
    return true;
}

static void on_auth(struct sim_conn *c, struct str body)
{
    const struct sim_options *o = c->server->o;
    const struct sim_fault *f;
    struct sim_room *room;
    struct sim_auth a;

    if (c->state != SIM_CONN_AUTH) {
        sim_conn_kill(c, "auth_twice", false);
        return;
    }
    if (c->lost) {
        return; /* a silent host stays silent */
    }
    if (!sim_auth_parse(body, &a)) {
        refuse(c, -101, o->auth_fail_silent);
        return;
    }
    f = sim_conn_auth_fault(c, a.room_id);
    if (f) {
        play_auth_fault(c, f);
        return;
    }
    if (!admit(c, &a)) {
        return;
    }
    room = sim_server_enter(c->server, a.room_id);
    if (!room) {
        refuse(c, -101, o->auth_fail_silent);
        return;
    }
    c->room = room;
    c->uid = a.uid;
    c->protover = a.protover;
    welcome(c);
}

/* Most rooms say a constant 1 since 2023; some still a number. */
static uint32_t popularity(const struct sim_room *r)
{
    return sim_mix(7, (uint64_t)r->id) % 4 ? 1 : (uint32_t)(r->gen.online * 37 % 1000000000);
}

static void on_heartbeat(struct sim_conn *c, struct str body)
{
    struct buf b;

    c->server->stats.heartbeats++;
    if (c->state != SIM_CONN_READY) {
        return;
    }
    loop_timer_start(&c->timeout, c->server->o->heartbeat_timeout_ms, 0);
    if (c->deaf || c->lost) {
        return;
    }
    buf_init(&b, SIM_CLIENT_PACKET_MAX + 64);
    sim_heartbeat_reply_put(&b, reply_ver(c->server), popularity(c->room), body);
    put(c, &b);
    buf_deinit(&b);
}

/* Length of the packet at the front of s; 0: not all there yet; -1: not a packet. */
static int64_t packet_len(struct str s, struct sim_head *h)
{
    if (s.len < SIM_HEAD_BYTES) {
        return 0;
    }
    sim_head_get(s.ptr, h);
    if (h->head_len < SIM_HEAD_BYTES || h->head_len > h->packet_len ||
        h->packet_len > SIM_CLIENT_PACKET_MAX) {
        return -1;
    }
    return s.len < h->packet_len ? 0 : (int64_t)h->packet_len;
}

void sim_conn_take(struct sim_conn *c, struct str bytes, bool whole)
{
    struct str rest;
    struct sim_head h;
    int64_t n = -1;

    buf_put(&c->in, bytes);
    rest = buf_str(&c->in);
    while (buf_ok(&c->in) && c->state != SIM_CONN_ENDING && (n = packet_len(rest, &h)) > 0) {
        struct str body = str_sub(rest, h.head_len, (size_t)n);

        if (h.op == SIM_OP_AUTH) {
            on_auth(c, body);
        } else if (h.op == SIM_OP_HEARTBEAT) {
            on_heartbeat(c, body);
        }
        rest = str_sub(rest, (size_t)n, rest.len);
    }
    if (c->state == SIM_CONN_ENDING) {
        return;
    }
    if (n < 0 || (whole && rest.len > 0)) {
        c->server->stats.bad_packets++;
        sim_conn_kill(c, "bad_packet", false);
        return;
    }
    buf_drop_front(&c->in, c->in.len - rest.len);
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct sim_conn *c = ctx;

    sim_link_in(&c->link, bytes);
}

static const struct sim_sock_ops SOCK_OPS = {
    .on_bytes = on_bytes, .on_sent = on_sent, .on_end = on_end, .on_closed = on_closed};

static void transit(struct sim_conn *c, struct sim_batch *b, unsigned from, unsigned to, bool again)
{
    struct sim_transit *t = mem_new(struct sim_transit);

    t->batch = b;
    t->from = from;
    t->to = to;
    t->end = c->sock.queued;
    t->again = again;
    b->refs++;
    list_push_back(&c->waiting, &t->node);
}

/* Bytes of the first packets of a run, at most n of them; *ret_n: how many. */
static size_t first_packets(struct str run, unsigned n, unsigned *ret_n)
{
    struct sim_head h;
    size_t bytes = 0;

    *ret_n = 0;
    while (*ret_n < n && bytes < run.len) {
        sim_head_get(run.ptr + bytes, &h);
        bytes += h.packet_len;
        (*ret_n)++;
    }
    return bytes;
}

/* A stream's plain packets are readable one by one; a websocket message holds one or a few, readable all at once. */
void sim_conn_put_frame(struct sim_conn *c, struct sim_batch *b, unsigned n_messages,
                        struct str frame, bool again)
{
    struct sim_head h;
    unsigned i = 0;

    sim_head_get(frame.ptr, &h);
    if (h.ver == SIM_VER_ZLIB || h.ver == SIM_VER_BROTLI) {
        sim_link_put(&c->link, frame);
        transit(c, b, 0, n_messages, again);
        return;
    }
    while (frame.len > 0) {
        unsigned n = sim_link_is_ws(&c->link) ? 1 + (unsigned)rng_below(&c->server->rng, 4) : 1;
        size_t bytes = first_packets(frame, n, &n);

        sim_link_put(&c->link, str_sub(frame, 0, bytes));
        transit(c, b, i, i + n, again);
        frame = str_sub(frame, bytes, frame.len);
        i += n;
    }
}

void sim_conn_deliver(struct sim_conn *c, struct sim_batch *b, unsigned n_messages,
                      struct str frame)
{
    sim_conn_faults(c);
    if (!sim_conn_takes(c) || sim_conn_cut(c, frame)) {
        return;
    }
    c->n_messages += n_messages;
    sim_conn_put_frame(c, b, n_messages, frame, false);
    if (c->repeat) {
        c->repeat = false;
        sim_conn_put_frame(c, b, n_messages, frame, true);
    }
}
