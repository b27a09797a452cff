#include "collector/net/transport.h"

#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "server/core/buf.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"

/* --- names are resolved by this program, not by the machine --- */

enum { NAME_OK, NAME_NONE, NAME_HANGS, NAME_DEAD_FIRST };
static int name_mode;
static uint16_t name_dead_port;
static sem_t name_inside; /* posted when a lookup that hangs has begun */
static sem_t name_gate;   /* lets it go on */

static struct addrinfo *address(uint16_t port, struct addrinfo *next)
{
    struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in));
    struct sockaddr_in *sin = (struct sockaddr_in *)(void *)(a + 1);
    (void)uv_ip4_addr("127.0.0.1", port, sin);
    a->ai_family = AF_INET;
    a->ai_socktype = SOCK_STREAM;
    a->ai_addr = (struct sockaddr *)sin;
    a->ai_addrlen = sizeof *sin;
    a->ai_next = next;
    return a;
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0 && errno == EINTR) {
    }
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    (void)hints;
    if (!node || strcmp(node, "upstream.test") != 0 || name_mode == NAME_NONE) {
        return EAI_NONAME;
    }
    if (name_mode == NAME_HANGS) {
        sem_post(&name_inside);
        wait_for(&name_gate);
    }
    *res = address((uint16_t)strtol(service, NULL, 10), NULL);
    if (name_mode == NAME_DEAD_FIRST) {
        *res = address(name_dead_port, *res);
    }
    return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
    while (a) {
        struct addrinfo *next = a->ai_next;
        free(a);
        a = next;
    }
}

/* --- the other side: plain libuv --- */

enum { PEERS = 4 };

struct peer {
    uv_tcp_t tcp;
    uv_write_t write;
    struct fixture *f;
    bool open;
};

struct fixture {
    struct clock_fake clock;
    struct loop *loop;
    struct net *net;
    uv_tcp_t listener;
    uv_tcp_t holder; /* bound, not listening: its port refuses for as long as we hold it */
    uint16_t port;
    uint16_t dead_port;
    struct peer peers[PEERS];
    unsigned n_peers;
    bool peer_reads;
    struct buf received; /* by the peers */
    char room[65536];
};

static struct fixture *of(void **state)
{
    return *state;
}

static void on_peer_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret)
{
    (void)n;
    struct peer *p = h->data;
    *ret = uv_buf_init(p->f->room, sizeof p->f->room);
}

static void on_peer_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = s->data;
    if (n > 0) {
        buf_put(&p->f->received, (struct str){b->base, (size_t)n});
    } else if (n < 0) {
        uv_read_stop(s);
    }
}

static void on_accept(uv_stream_t *s, int status)
{
    struct fixture *f = s->data;
    assert_int_equal(status, 0);
    assert_true(f->n_peers < PEERS);
    struct peer *p = &f->peers[f->n_peers++];
    p->f = f;
    p->open = true;
    assert_int_equal(uv_tcp_init(loop_uv(f->loop), &p->tcp), 0);
    p->tcp.data = p;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&p->tcp), 0);
    if (f->peer_reads) {
        assert_int_equal(uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read), 0);
    }
}

static void peer_close(struct peer *p, bool reset)
{
    if (p->open) {
        p->open = false;
        if (!reset || uv_tcp_close_reset(&p->tcp, NULL) != 0) {
            uv_close((uv_handle_t *)&p->tcp, NULL);
        }
    }
}

static void on_peer_written(uv_write_t *w, int status)
{
    (void)w;
    (void)status;
}

static uint16_t bind_any(struct fixture *f, uv_tcp_t *tcp)
{
    struct sockaddr_in at;
    int len = sizeof at;
    assert_int_equal(uv_tcp_init(loop_uv(f->loop), tcp), 0);
    tcp->data = f;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    assert_int_equal(uv_tcp_bind(tcp, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_tcp_getsockname(tcp, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    clock_fake_init(&f->clock, 1000000);
    f->loop = loop_new();
    loop_set_clock(f->loop, &f->clock.base);
    f->net = net_new(f->loop);
    f->peer_reads = true;
    buf_init(&f->received, 64 << 20);
    f->port = bind_any(f, &f->listener);
    assert_int_equal(uv_listen((uv_stream_t *)&f->listener, 128, on_accept), 0);
    f->dead_port = bind_any(f, &f->holder);
    name_dead_port = f->dead_port;
    name_mode = NAME_OK;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = of(state);
    for (unsigned i = 0; i < f->n_peers; i++) {
        peer_close(&f->peers[i], false);
    }
    uv_close((uv_handle_t *)&f->listener, NULL);
    uv_close((uv_handle_t *)&f->holder, NULL);
    loop_run_turns(f->loop, 3);
    net_free(f->net);
    loop_free(f->loop);
    buf_deinit(&f->received);
    test_free(f);
    return 0;
}

/* --- our side --- */

struct owner {
    struct fixture *f;
    struct transport *t;
    unsigned n_open, n_end, n_closed, n_reads, reads_this_turn;
    bool opened, ended, closed;
    bool closing;
    bool close_on_open, close_on_data, close_on_end;
    enum transport_end why;
    struct buf data;
    bool got_enough;
    size_t enough;
};

static void owner_close(struct owner *o)
{
    o->closing = true;
    transport_close(o->t);
    assert_int_equal(o->n_closed, 0);
}

static void on_open(void *ctx)
{
    struct owner *o = ctx;
    assert_false(o->closing);
    assert_int_equal(++o->n_open, 1);
    o->opened = true;
    if (o->close_on_open) {
        owner_close(o);
    }
}

static void on_data(void *ctx, struct str data, bool whole)
{
    struct owner *o = ctx;
    assert_false(o->closing);
    assert_false(whole);
    assert_int_equal(o->n_open, 1);
    o->n_reads++;
    o->reads_this_turn++;
    buf_put(&o->data, data);
    o->got_enough = o->enough > 0 && o->data.len >= o->enough;
    if (o->close_on_data) {
        owner_close(o);
    }
}

static void on_end(void *ctx, enum transport_end why, const struct err *err)
{
    struct owner *o = ctx;
    assert_false(o->closing);
    assert_true(err->msg[0] != 0);
    assert_int_equal(++o->n_end, 1);
    o->why = why;
    o->ended = true;
    if (o->close_on_end) {
        owner_close(o);
    }
}

static void on_closed(void *ctx)
{
    struct owner *o = ctx;
    assert_true(o->closing);
    assert_int_equal(++o->n_closed, 1);
    o->closed = true;
}

static void owner_init(struct owner *o, struct fixture *f)
{
    *o = (struct owner){.f = f};
    buf_init(&o->data, 64 << 20);
}

static void owner_open(struct owner *o, const char *host, uint16_t port)
{
    const struct transport_handler h = {on_open, on_data, on_end, on_closed, o};
    const struct transport_dial d = {
        .kind = TRANSPORT_TCP, .host = str_of(host), .port = port, .timeout_ms = 5000};
    struct err err;
    assert_int_equal(transport_open(o->f->net, &d, &h, &o->t, &err), ERR_OK);
    assert_int_equal(o->n_open + o->n_end, 0);
}

static void owner_done(struct owner *o)
{
    if (!o->closing) {
        owner_close(o);
    }
    assert_true(loop_run_until(o->f->loop, &o->closed, 1000));
    assert_int_equal(o->n_closed, 1);
    buf_deinit(&o->data);
}

static void peer_send(struct fixture *f, struct str bytes)
{
    uv_buf_t b = uv_buf_init(mem_dup(bytes.ptr, bytes.len), (unsigned)bytes.len);
    assert_int_equal(uv_try_write((uv_stream_t *)&f->peers[0].tcp, &b, 1), bytes.len);
    mem_free(b.base);
}

static void talks(void **state, const char *host)
{
    struct fixture *f = of(state);
    struct owner o;
    owner_init(&o, f);
    owner_open(&o, host, f->port);
    assert_true(loop_run_until(f->loop, &o.opened, 1000));
    assert_int_equal(transport_write(o.t, STR("ping"), NULL), ERR_OK);
    assert_int_equal(transport_write(o.t, STR("pong"), NULL), ERR_OK);
    for (int i = 0; i < 100 && f->received.len < 8; i++) {
        loop_run_turns(f->loop, 1);
    }
    assert_str_equal(buf_str(&f->received), "pingpong");
    o.enough = 3;
    peer_send(f, STR("abc"));
    assert_true(loop_run_until(f->loop, &o.got_enough, 1000));
    assert_str_equal(buf_str(&o.data), "abc");
    owner_done(&o);
}

static void address_as_text(void **state)
{
    talks(state, "127.0.0.1");
}

static void name_is_resolved(void **state)
{
    talks(state, "upstream.test");
}

static void ends(struct fixture *f, struct owner *o, enum transport_end why)
{
    assert_true(loop_run_until(f->loop, &o->ended, 1000));
    assert_int_equal(o->why, why);
    loop_run_turns(f->loop, 5);
    assert_int_equal(o->n_end, 1);
    owner_done(o);
}

static void refused(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    owner_init(&o, f);
    owner_open(&o, "127.0.0.1", f->dead_port);
    ends(f, &o, TRANSPORT_CONNECT);
}

static void no_such_name(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    owner_init(&o, f);
    owner_open(&o, "nowhere.test", f->port);
    ends(f, &o, TRANSPORT_RESOLVE);
}

static void next_address_when_one_refuses(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    name_mode = NAME_DEAD_FIRST;
    owner_init(&o, f);
    owner_open(&o, "upstream.test", f->port);
    assert_true(loop_run_until(f->loop, &o.opened, 1000));
    assert_int_equal(o.n_end, 0);
    owner_done(&o);
}

static void name_that_hangs_times_out(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    name_mode = NAME_HANGS;
    owner_init(&o, f);
    owner_open(&o, "upstream.test", f->port);
    wait_for(&name_inside);
    clock_fake_advance(&f->clock, 4999);
    loop_run_turns(f->loop, 3);
    assert_false(o.ended);
    clock_fake_advance(&f->clock, 1);
    assert_true(loop_run_until(f->loop, &o.ended, 100));
    assert_int_equal(o.why, TRANSPORT_TIMEOUT);
    owner_close(&o);
    loop_run_turns(f->loop, 5);
    assert_int_equal(o.n_closed, 0); /* the lookup still uses the memory */
    sem_post(&name_gate);
    owner_done(&o);
}

static void peer_closes(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    owner_init(&o, f);
    owner_open(&o, "127.0.0.1", f->port);
    assert_true(loop_run_until(f->loop, &o.opened, 1000));
    peer_send(f, STR("last words"));
    peer_close(&f->peers[0], false);
    assert_true(loop_run_until(f->loop, &o.ended, 1000));
    assert_str_equal(buf_str(&o.data), "last words");
    ends(f, &o, TRANSPORT_EOF);
}

static void peer_resets(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    owner_init(&o, f);
    owner_open(&o, "127.0.0.1", f->port);
    assert_true(loop_run_until(f->loop, &o.opened, 1000));
    loop_run_turns(f->loop, 2);
    peer_close(&f->peers[0], true);
    assert_true(loop_run_until(f->loop, &o.ended, 1000));
    assert_int_equal(transport_write(o.t, STR("x"), NULL), ERR_IO);
    ends(f, &o, TRANSPORT_RESET);
}

/* A peer that does not read: what we keep is bounded; when it reads, all arrives in order. */
static void writes_are_bounded_and_in_order(void **state)
{
    struct fixture *f = of(state);
    struct owner o;
    struct err err;
    char chunk[8192];
    size_t sent = 0;
    enum err_code rc = ERR_OK;
    f->peer_reads = false;
    owner_init(&o, f);
    owner_open(&o, "127.0.0.1", f->port);
    assert_true(loop_run_until(f->loop, &o.opened, 1000));
    for (unsigned i = 0; i < 4096 && rc == ERR_OK; i++) {
        for (size_t k = 0; k < sizeof chunk; k++) {
            chunk[k] = (char)((sent + k) % 251);
        }
        rc = transport_write(o.t, (struct str){chunk, sizeof chunk}, &err);
        sent += rc == ERR_OK ? sizeof chunk : 0;
        loop_run_turns(f->loop, 1);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(uv_read_start((uv_stream_t *)&f->peers[0].tcp, on_peer_alloc, on_peer_read),
                     0);
    for (int i = 0; i < 10000 && f->received.len < sent; i++) {
        loop_run_turns(f->loop, 1);
    }
    assert_int_equal(f->received.len, sent);
    for (size_t k = 0; k < sent; k++) {
        assert_int_equal((unsigned char)f->received.data[k], k % 251);
    }
    owner_done(&o);
}

/* Two peers send without end: each turn takes at most one buffer from each. */
static void nobody_starves(void **state)
{
    struct fixture *f = of(state);
    struct owner o[2];
    const size_t total = 4 << 20;
    char *bytes = mem_new_array(char, total);
    for (int i = 0; i < 2; i++) {
        owner_init(&o[i], f);
        owner_open(&o[i], "127.0.0.1", f->port);
        assert_true(loop_run_until(f->loop, &o[i].opened, 1000));
    }
    for (int i = 0; i < 100 && f->n_peers < 2; i++) {
        loop_run_turns(f->loop, 1);
    }
    assert_int_equal(f->n_peers, 2);
    for (int i = 0; i < 2; i++) {
        const uv_buf_t b = uv_buf_init(bytes, (unsigned)total);
        assert_int_equal(
            uv_write(&f->peers[i].write, (uv_stream_t *)&f->peers[i].tcp, &b, 1, on_peer_written),
            0);
    }
    for (int i = 0; i < 100000 && (o[0].data.len < total || o[1].data.len < total); i++) {
        o[0].reads_this_turn = 0;
        o[1].reads_this_turn = 0;
        loop_run_turns(f->loop, 1);
        assert_true(o[0].reads_this_turn <= 1);
        assert_true(o[1].reads_this_turn <= 1);
    }
    assert_int_equal(o[0].data.len, total);
    assert_int_equal(o[1].data.len, total);
    owner_done(&o[0]);
    owner_done(&o[1]);
    mem_free(bytes);
}

static void closed_from_within(void **state)
{
    struct fixture *f = of(state);
    for (int where = 0; where < 3; where++) {
        struct owner o;
        owner_init(&o, f);
        o.close_on_open = where == 0;
        o.close_on_data = where == 1;
        o.close_on_end = where == 2;
        owner_open(&o, "127.0.0.1", f->port);
        assert_true(loop_run_until(f->loop, &o.opened, 1000));
        for (int i = 0; i < 100 && f->n_peers == 0; i++) {
            loop_run_turns(f->loop, 1);
        }
        if (where == 1) {
            peer_send(f, STR("data"));
        } else if (where == 2) {
            peer_close(&f->peers[0], false);
        }
        assert_true(loop_run_until(f->loop, &o.closed, 1000));
        assert_true(o.closing);
        peer_close(&f->peers[0], false);
        loop_run_turns(f->loop, 3);
        f->n_peers = 0;
        owner_done(&o);
    }
}

/* Whatever the moment: one on_closed, nothing after the close, nothing left open (the runner and loop_free look). */
static void close_at_every_turn(void **state)
{
    struct fixture *f = of(state);
    static const char *const hosts[] = {"127.0.0.1", "upstream.test", "nowhere.test"};
    for (unsigned h = 0; h < ARRAY_LEN(hosts) * 2; h++) {
        for (unsigned k = 0; k <= 20; k++) {
            struct owner o;
            owner_init(&o, f);
            name_mode = h >= ARRAY_LEN(hosts) ? NAME_DEAD_FIRST : NAME_OK;
            owner_open(&o, hosts[h % ARRAY_LEN(hosts)], f->port);
            loop_run_turns(f->loop, k);
            if (o.opened && !o.ended) {
                assert_int_equal(transport_write(o.t, STR("hello"), NULL), ERR_OK);
            }
            owner_done(&o);
            for (int i = 0; i < 3; i++) {
                loop_run_turns(f->loop, 1);
            }
            for (unsigned i = 0; i < f->n_peers; i++) {
                peer_close(&f->peers[i], false);
            }
            loop_run_turns(f->loop, 2);
            f->n_peers = 0;
        }
    }
}

static void what_cannot_be_opened(void **state)
{
    struct fixture *f = of(state);
    const struct transport_handler h = {on_open, on_data, on_end, on_closed, NULL};
    char name[TRANSPORT_HOST_MAX + 2];
    struct transport *t = NULL;
    struct err err;
    memset(name, 'a', sizeof name);
    struct transport_dial d = {
        .kind = TRANSPORT_TCP, .host = {name, sizeof name}, .port = 1, .timeout_ms = 5000};
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_INVALID);
    d.host = STR("\xff.test"); /* not UTF-8 */
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_INVALID);
    d.host = STR("a\0b");
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_INVALID);
    d.host = STR_NULL;
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_INVALID);
    d.host = STR("127.0.0.1");
    d.port = 0;
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_INVALID);
    d.port = 1;
    d.kind = TRANSPORT_WSS;
    assert_int_equal(transport_open(f->net, &d, &h, &t, &err), ERR_UNAVAILABLE);
    assert_null(t);
}

static void kinds_have_names(void **state)
{
    (void)state;
    enum transport_kind k = TRANSPORT_KINDS;
    assert_true(transport_kind_parse(STR("wss"), &k));
    assert_int_equal(k, TRANSPORT_WSS);
    assert_false(transport_kind_parse(STR("http"), &k));
    assert_string_equal(transport_kind_name(TRANSPORT_TCP), "tcp");
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(address_as_text),
        CASE(name_is_resolved),
        CASE(refused),
        CASE(no_such_name),
        CASE(next_address_when_one_refuses),
        CASE(name_that_hangs_times_out),
        CASE(peer_closes),
        CASE(peer_resets),
        CASE(writes_are_bounded_and_in_order),
        CASE(nobody_starves),
        CASE(closed_from_within),
        CASE(close_at_every_turn),
        CASE(what_cannot_be_opened),
        cmocka_unit_test(kinds_have_names),
    };
    sem_init(&name_inside, 0, 0);
    sem_init(&name_gate, 0, 0);
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
