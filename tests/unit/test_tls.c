/* The tls layer alone, and websocket over it, against a server with certificates made here. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "collector/net/tls.h"
#include "collector/net/tls_ctx.h"
#include "collector/net/ws_head.h"
#include "server/core/mem.h"
#include "tests/sim/sim_cert.h"
#include "tests/sim/sim_tls.h"
#include "tests/support/net_rig.h"
#include "tests/support/patience.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

enum { DAY_S = 86400, BIG = 100000 };

/* --- every name ending in .test is this machine --- */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    struct addrinfo *a;
    struct sockaddr_in *sin;
    (void)hints;
    if (!node || strlen(node) < 5 || strcmp(node + strlen(node) - 5, ".test") != 0) {
        return EAI_NONAME;
    }
    a = calloc(1, sizeof *a + sizeof *sin);
    sin = (struct sockaddr_in *)(void *)(a + 1);
    (void)uv_ip4_addr("127.0.0.1", (int)strtol(service, NULL, 10), sin);
    a->ai_family = AF_INET;
    a->ai_socktype = SOCK_STREAM;
    a->ai_addr = (struct sockaddr *)sin;
    a->ai_addrlen = sizeof *sin;
    *res = a;
    return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
    free(a);
}

/* --- the server --- */

struct server {
    struct net_rig *r;
    struct sim_cert *ca;
    struct sim_cert *cert;
    struct sim_tls_ctx *ctx;
    struct sim_tls *tls; /* of the newest connection */
    struct buf plain;    /* what it has read on it */
    enum sim_tls_state state;
    struct tmp_dir dir;
    char ca_file[TMP_PATH_BYTES];
    bool slow;  /* sends each byte for itself */
    bool mute;  /* sends nothing */
    bool greet; /* sends "hello" and close_notify once open */
    bool greeted;
};

static struct server *of(struct net_rig *r)
{
    return r->ctx;
}

static void send_cipher(struct server *s, struct buf *cipher)
{
    if (cipher->len > 0 && !s->mute) {
        for (size_t i = 0; s->slow && i + 1 < cipher->len; i++) {
            rig_send(s->r, str_sub(buf_str(cipher), i, i + 1));
        }
        rig_send(s->r, s->slow ? str_sub(buf_str(cipher), cipher->len - 1, cipher->len)
                               : buf_str(cipher));
    }
    buf_deinit(cipher);
}

static void serve(struct server *s, struct str text)
{
    struct buf cipher;
    buf_init(&cipher, 1 << 20);
    sim_tls_out(s->tls, text, &cipher);
    send_cipher(s, &cipher);
}

static void bye(struct server *s)
{
    struct buf cipher;
    buf_init(&cipher, 1 << 20);
    sim_tls_bye(s->tls, &cipher);
    send_cipher(s, &cipher);
}

static void on_got(struct net_rig *r, struct str bytes)
{
    struct server *s = of(r);
    struct buf cipher;
    buf_init(&cipher, 1 << 20);
    s->state = sim_tls_in(s->tls, bytes, &s->plain, &cipher);
    send_cipher(s, &cipher);
    if (s->greet && s->state == SIM_TLS_OPEN && !s->greeted) {
        s->greeted = true;
        serve(s, STR("hello"));
        bye(s);
    }
}

static void on_accepted(struct net_rig *r)
{
    struct server *s = of(r);
    sim_tls_free(s->tls);
    s->tls = sim_tls_new(s->ctx);
    s->state = SIM_TLS_SHAKING;
    s->greeted = false;
    buf_clear(&s->plain);
}

static struct sim_cert *certificate(const struct sim_cert *ca, const char *names, int64_t from_s,
                                    int64_t to_s)
{
    const struct sim_cert_opts o = {
        .subject = names ? "server" : "authority", .names = names, .from_s = from_s, .to_s = to_s};
    struct sim_cert *c = NULL;
    assert_int_equal(sim_cert_new(&o, ca, &c, NULL), ERR_OK);
    return c;
}

/* A server with this certificate from now on. */
static void use(struct server *s, const struct sim_cert *by, const char *names, int64_t from_s,
                int64_t to_s)
{
    struct err err;
    rig_close(s->r);
    rig_drop_peer(s->r);
    sim_cert_free(s->cert);
    sim_tls_free(TAKE_PTR(s->tls));
    sim_tls_ctx_free(TAKE_PTR(s->ctx));
    s->cert = certificate(by, names, from_s, to_s);
    assert_int_equal(sim_tls_ctx_of(sim_cert_x509(s->cert), sim_cert_key(s->cert), &s->ctx, &err),
                     ERR_OK);
}

static void configure(struct server *s)
{
    const struct net_opts opts = {.tls = true, .ca_file = s->ca_file};
    struct err err = {0};
    rig_close(s->r);
    assert_int_equal(net_configure(s->r->net, &opts, &err), ERR_OK);
}

static int setup(void **state)
{
    struct server *s = mem_new(struct server);
    s->r = rig_new();
    s->r->ctx = s;
    s->r->opener = tls_open;
    s->r->on_got = on_got;
    s->r->on_accepted = on_accepted;
    buf_init(&s->plain, 1 << 20);
    tmp_dir_make(&s->dir);
    tmp_path(&s->dir, "ca.pem", s->ca_file);
    s->ca = certificate(NULL, NULL, -DAY_S, DAY_S);
    assert_int_equal(sim_cert_write(s->ca, s->ca_file, NULL, NULL), ERR_OK);
    use(s, s->ca, "DNS:good.test,DNS:*.many.test,IP:127.0.0.1", -DAY_S, DAY_S);
    configure(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    rig_free(s->r);
    sim_tls_free(s->tls);
    sim_tls_ctx_free(s->ctx);
    sim_cert_free(s->cert);
    sim_cert_free(s->ca);
    buf_deinit(&s->plain);
    tmp_dir_remove(&s->dir);
    mem_free(s);
    return 0;
}

/* --- our side --- */

static bool until_plain(struct server *s, size_t n)
{
    struct patience p = {0};
    while (s->plain.len < n && patience_left(&p, RIG_TURNS)) {
        rig_turn(s->r);
    }
    return s->plain.len >= n;
}

static bool until_state(struct server *s, enum sim_tls_state state)
{
    struct patience p = {0};
    while (s->state != state && patience_left(&p, RIG_TURNS)) {
        rig_turn(s->r);
    }
    return s->state == state;
}

/* tls 1.3 lets the client begin before the server has heard the last of the handshake. */
static void open_tls(struct server *s, const char *host)
{
    rig_open(s->r, TRANSPORT_WSS, host, 0);
    assert_true(rig_until(s->r, &s->r->opened));
    assert_true(until_state(s, SIM_TLS_OPEN));
}

static void expect_end(struct server *s, enum transport_end why, const char *words)
{
    struct net_rig *r = s->r;
    assert_true(rig_until(r, &r->ended));
    if (!strstr(r->err.msg, words)) {
        print_error("\"%s\" is not in \"%s\"\n", words, r->err.msg);
    }
    assert_non_null(strstr(r->err.msg, words));
    assert_int_equal(r->why, why);
    assert_int_equal(transport_write(r->t, STR("too late"), NULL), ERR_IO);
    rig_turns(r, 5);
    rig_close(r);
}

static void fails(struct server *s, const char *host, const char *words)
{
    rig_open(s->r, TRANSPORT_WSS, host, 0);
    expect_end(s, TRANSPORT_HANDSHAKE, words);
    assert_false(s->r->opened);
    assert_true(until_state(s, SIM_TLS_FAILED)); /* told by an alert */
}

/* --- trust --- */

static void talks(void **state)
{
    struct server *s = *state;
    open_tls(s, "good.test");
    assert_int_equal(transport_write(s->r->t, STR("ping"), NULL), ERR_OK);
    assert_int_equal(transport_write(s->r->t, STR("pong"), NULL), ERR_OK);
    assert_int_equal(transport_write(s->r->t, STR(""), NULL), ERR_OK);
    assert_true(until_plain(s, 8));
    assert_str_equal(buf_str(&s->plain), "pingpong");
    assert_string_equal(sim_tls_name(s->tls), "good.test");
    serve(s, STR("one"));
    serve(s, STR("two"));
    assert_true(rig_until_log(s->r, "two"));
    assert_str_equal(buf_str(&s->r->log), "open\npiece:one\npiece:two\n");
    rig_close(s->r);
    assert_true(until_state(s, SIM_TLS_OVER)); /* close_notify */
}

static void an_address_is_verified(void **state)
{
    struct server *s = *state;
    open_tls(s, "127.0.0.1");
    assert_null(sim_tls_name(s->tls));
    use(s, s->ca, "DNS:good.test,IP:127.0.0.2", -DAY_S, DAY_S);
    configure(s); /* without the session of the first */
    fails(s, "127.0.0.1", "certificate of 127.0.0.1: IP address mismatch");
}

static void the_name_is_verified(void **state)
{
    struct server *s = *state;
    fails(s, "other.test", "certificate of other.test: hostname mismatch");
    open_tls(s, "a.many.test");
    fails(s, "a.b.many.test", "hostname mismatch");
}

static void not_any_authority(void **state)
{
    struct server *s = *state;
    struct sim_cert *stranger = certificate(NULL, NULL, -DAY_S, DAY_S);
    use(s, stranger, "DNS:good.test", -DAY_S, DAY_S);
    fails(s, "good.test", "certificate of good.test:");
    use(s, NULL, "DNS:good.test", -DAY_S, DAY_S);
    fails(s, "good.test", "self-signed certificate");
    sim_cert_free(stranger);
    /* Those of the system do not know ours. */
    const struct net_opts opts = {.tls = true};
    assert_int_equal(net_configure(s->r->net, &opts, NULL), ERR_OK);
    use(s, s->ca, "DNS:good.test", -DAY_S, DAY_S);
    fails(s, "good.test", "certificate of good.test:");
}

static void only_in_time(void **state)
{
    struct server *s = *state;
    use(s, s->ca, "DNS:good.test", -2 * DAY_S, -60);
    fails(s, "good.test", "certificate has expired");
    use(s, s->ca, "DNS:good.test", 60, DAY_S);
    fails(s, "good.test", "certificate is not yet valid");
}

/* --- protocols --- */

static void versions(void **state)
{
    struct server *s = *state;
    SSL_CTX *raw = sim_tls_ctx_raw(s->ctx);
    assert_int_equal(SSL_CTX_set_max_proto_version(raw, TLS1_2_VERSION), 1);
    open_tls(s, "good.test");
    assert_int_equal(transport_write(s->r->t, STR("over 1.2"), NULL), ERR_OK);
    assert_true(until_plain(s, 8));
    rig_close(s->r);
    SSL_CTX_set_security_level(raw, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(raw, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(raw, TLS1_1_VERSION), 1);
    rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
    expect_end(s, TRANSPORT_HANDSHAKE, "alert protocol version");
}

static void a_server_without_tls(void **state)
{
    struct server *s = *state;
    s->mute = true;
    rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
    assert_true(rig_until_got_len(s->r, 16));
    rig_send(s->r, STR("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect_end(s, TRANSPORT_HANDSHAKE, "tls: wrong version number");
}

static void no_answer_in_time(void **state)
{
    struct server *s = *state;
    struct net_rig *r = s->r;
    s->mute = true;
    rig_open(r, TRANSPORT_WSS, "good.test", 0);
    assert_true(rig_until_got_len(r, 16));
    clock_fake_advance(&r->clock, RIG_TIMEOUT_MS - 1);
    rig_turns(r, 10);
    assert_false(r->ended);
    clock_fake_advance(&r->clock, 1);
    expect_end(s, TRANSPORT_TIMEOUT, "tls: no answer to the handshake");
    s->mute = false;
    open_tls(s, "good.test");
    clock_fake_advance(&r->clock, 100 * (int64_t)RIG_TIMEOUT_MS);
    rig_turns(r, 10);
    assert_false(r->ended);
}

static void closed_instead_of_an_answer(void **state)
{
    struct server *s = *state;
    s->mute = true;
    for (int reset = 0; reset < 2; reset++) {
        rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
        assert_true(rig_until_got_len(s->r, 16));
        rig_peer_close(s->r, reset != 0);
        expect_end(s, TRANSPORT_HANDSHAKE, "during the handshake");
    }
}

static void byte_by_byte(void **state)
{
    struct server *s = *state;
    s->slow = true;
    open_tls(s, "good.test");
    serve(s, STR("slowly"));
    assert_true(rig_until_log(s->r, "slowly"));
    bye(s);
    expect_end(s, TRANSPORT_EOF, "closed by the peer");
}

/* More than a record, and more than a read, both ways: nothing lost, in order. */
static void large(void **state)
{
    struct server *s = *state;
    char *big = mem_zero_or_abort(1, BIG);
    for (size_t i = 0; i < BIG; i++) {
        big[i] = (char)('a' + i % 23);
    }
    open_tls(s, "good.test");
    serve(s, (struct str){big, BIG});
    size_t n = 0;
    assert_true(rig_until_log(s->r, "open"));
    struct patience p = {0};
    while (n < BIG && patience_left(&p, RIG_TURNS)) {
        rig_turn(s->r);
        n = s->r->log.len - 5 - s->r->n_data * (sizeof "piece:\n" - 1);
    }
    assert_int_equal(n, BIG);
    assert_true(s->r->n_data >= BIG / TLS_READ_BYTES);
    size_t at = 0;
    struct str rest = str_sub(buf_str(&s->r->log), 5, s->r->log.len);
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        assert_memory_equal(line.ptr + 6, big + at, line.len - 6);
        at += line.len - 6;
    }
    for (at = 0; at < BIG; at += 20000) {
        assert_int_equal(transport_write(s->r->t, (struct str){big + at, 20000}, NULL), ERR_OK);
    }
    assert_true(until_plain(s, BIG));
    assert_memory_equal(s->plain.data, big, BIG);
    mem_free(big);
}

static void keys_are_updated(void **state)
{
    struct server *s = *state;
    open_tls(s, "good.test");
    serve(s, STR("before"));
    assert_true(rig_until_log(s->r, "before"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(sim_tls_raw(s->tls), SSL_KEY_UPDATE_REQUESTED), 1);
        serve(s, STR("after"));
        assert_true(rig_until_log(s->r, "after"));
        assert_int_equal(transport_write(s->r->t, STR("12345"), NULL), ERR_OK);
        assert_true(until_plain(s, 5 * (size_t)(i + 1)));
        buf_clear(&s->r->log);
    }
}

/* --- ends --- */

static void nonsense_is_told(void **state)
{
    struct server *s = *state;
    open_tls(s, "good.test");
    rig_send(s->r, STR("\x17\x03\x03\x00\x20"
                       "this is no record of ours at all"));
    expect_end(s, TRANSPORT_FRAMING, "bad record mac");
    open_tls(s, "good.test");
    rig_send(s->r, STR("GET / HTTP/1.1\r\n\r\n"));
    expect_end(s, TRANSPORT_FRAMING, "tls: ");
}

static void ends_of_the_connection(void **state)
{
    struct server *s = *state;
    open_tls(s, "good.test");
    serve(s, STR("last"));
    bye(s);
    expect_end(s, TRANSPORT_EOF, "closed by the peer");
    assert_str_equal(buf_str(&s->r->log), "open\npiece:last\nend\n");
    open_tls(s, "good.test");
    rig_peer_close(s->r, false); /* without close_notify: the layers above know what was whole */
    expect_end(s, TRANSPORT_EOF, "");
    open_tls(s, "good.test");
    serve(s, STR("last"));
    assert_true(rig_until_log(
        s->r, "last")); /* with unread bytes before it, libuv takes a reset for an end */
    rig_peer_close(s->r, true);
    expect_end(s, TRANSPORT_RESET, "");
}

static void a_peer_that_does_not_read(void **state)
{
    struct server *s = *state;
    static char big[60000];
    enum err_code rc = ERR_OK;
    open_tls(s, "good.test");
    for (int i = 0; i < 10000 && rc == ERR_OK; i++) {
        rc = transport_write(s->r->t, (struct str){big, sizeof big}, NULL); /* no turn: it cannot */
    }
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(transport_write(s->r->t, STR("x"), NULL), ERR_IO);
}

static void close_at_every_turn(void **state)
{
    struct server *s = *state;
    s->greet = true;
    for (unsigned turns = 0; turns < 25; turns++) {
        rig_open(s->r, TRANSPORT_WSS, turns % 2 ? "127.0.0.1" : "good.test", 0);
        rig_turns(s->r, turns);
        rig_close(s->r);
        rig_turns(s->r, 3);
    }
}

static void close_within_callbacks(void **state)
{
    struct server *s = *state;
    static const char *const logs[] = {
        [RIG_ON_OPEN] = "open\n",
        [RIG_ON_DATA] = "open\npiece:hello\n",
        [RIG_ON_END] = "open\npiece:hello\nend\n",
    };
    s->greet = true;
    for (enum rig_when when = RIG_ON_OPEN; when <= RIG_ON_END; when++) {
        s->r->close_on = when;
        rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
        assert_true(rig_until(s->r, &s->r->closed));
        assert_str_equal(buf_str(&s->r->log), logs[when]);
    }
}

static void memory_runs_out(void **state)
{
    struct server *s = *state;
    struct net_rig *r = s->r;
    unsigned n_whole = 0;
    s->greet = true;
    for (int64_t n = 0; n < 500 && n_whole < 3; n++) {
        rig_open(r, TRANSPORT_WSS, "good.test", 0);
        rig_turns(r, 2);
        mem_fault_set(n, 1);
        /* The server may be the one that fails, and say nothing more: then there is no end to wait for. */
        for (int i = 0; i < 50 && !r->ended; i++) {
            rig_turn(r);
        }
        mem_fault_set(-1, 0);
        n_whole += r->ended && r->why == TRANSPORT_EOF && r->n_data == 1;
        rig_close(r);
    }
    assert_int_equal(n_whole, 3);
}

/* --- sessions --- */

/* The ticket comes behind the handshake: some data makes sure that it has been read. */
static bool connect_once(struct server *s, const char *host)
{
    open_tls(s, host);
    serve(s, STR("data"));
    assert_true(rig_until_log(s->r, "data"));
    const bool resumed = sim_tls_resumed(s->tls);
    rig_close(s->r);
    return resumed;
}

static void sessions_are_resumed(void **state)
{
    struct server *s = *state;
    for (int version = 0; version < 2; version++) {
        configure(s);
        memset(s->r->notes, 0, sizeof s->r->notes);
        assert_false(connect_once(s, "good.test"));
        for (int i = 0; i < 5; i++) {
            assert_true(connect_once(s, "good.test"));
        }
        assert_false(connect_once(s, "127.0.0.1")); /* another name is another server */
        assert_true(connect_once(s, "127.0.0.1"));
        assert_int_equal(s->r->notes[NET_NOTE_TLS_FULL], 2);
        assert_int_equal(s->r->notes[NET_NOTE_TLS_RESUMED], 6);
        assert_int_equal(SSL_CTX_set_max_proto_version(sim_tls_ctx_raw(s->ctx), TLS1_2_VERSION), 1);
    }
}

/* A server that was restarted does not know the session: a full handshake, no failure. */
static void a_session_nobody_knows(void **state)
{
    struct server *s = *state;
    assert_false(connect_once(s, "good.test"));
    use(s, s->ca, "DNS:good.test", -DAY_S, DAY_S);
    assert_false(connect_once(s, "good.test"));
    assert_true(connect_once(s, "good.test"));
}

static void a_failed_handshake_forgets(void **state)
{
    struct server *s = *state;
    assert_false(connect_once(s, "good.test"));
    s->mute = true;
    rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
    assert_true(rig_until_got_len(s->r, 16));
    rig_peer_close(s->r, true);
    expect_end(s, TRANSPORT_HANDSHAKE, "during the handshake");
    s->mute = false;
    assert_false(connect_once(s, "good.test"));
}

static void sessions_are_bounded(void **state)
{
    struct server *s = *state;
    char host[32];
    for (int i = 0; i < TLS_SESSIONS_MAX + 8; i++) {
        snprintf(host, sizeof host, "h%d.many.test", i);
        assert_false(connect_once(s, host));
        if (i >= 8) {
            assert_true(connect_once(s, "h7.many.test")); /* in use: stays */
        }
    }
    assert_true(connect_once(s, "h39.many.test"));
    assert_true(connect_once(s, "h9.many.test"));
    assert_false(connect_once(s, "h8.many.test")); /* not used for longest */
    assert_false(connect_once(s, "h0.many.test"));
}

/* --- websocket over it --- */

static bool until_request(struct server *s)
{
    struct patience p = {0};
    while (!ws_head_len(buf_str(&s->plain), 0) && patience_left(&p, RIG_TURNS)) {
        rig_turn(s->r);
    }
    return s->plain.len > 0;
}

static void websocket(void **state)
{
    struct server *s = *state;
    struct net_rig *r = s->r;
    char key[WS_KEY_BYTES] = {0};
    char accept[WS_ACCEPT_BYTES];
    struct buf out;
    buf_init(&out, 4096);
    r->opener = transport_open;
    rig_open(r, TRANSPORT_WSS, "good.test", 0);
    assert_true(until_request(s));
    const char *at = memmem(s->plain.data, s->plain.len, "Sec-WebSocket-Key: ", 19);
    assert_non_null(at);
    memcpy(key, at + 19, WS_KEY_BYTES - 1);
    ws_accept_of(key, accept);
    assert_false(r->opened);
    buf_printf(&out,
               "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n",
               accept);
    buf_put(&out, STR("\x82\x03one"));
    serve(s, buf_str(&out));
    serve(s, STR("\x82\x03t"));
    serve(s, STR("wo"));
    assert_true(rig_until_log(r, "two"));
    assert_str_equal(buf_str(&r->log), "open\nwhole:one\nwhole:two\n");
    buf_clear(&s->plain);
    assert_int_equal(transport_write(r->t, STR("abc"), NULL), ERR_OK);
    assert_true(until_plain(s, 9));
    rig_close(r);
    assert_true(until_state(s, SIM_TLS_OVER));
    assert_int_equal(s->plain.len, 9 + 8); /* a close frame before close_notify */
    buf_deinit(&out);
}

static void websocket_is_told_in_words(void **state)
{
    struct server *s = *state;
    s->r->opener = transport_open;
    fails(s, "other.test", "certificate of other.test: hostname mismatch");
    s->mute = true;
    rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
    assert_true(rig_until_got_len(s->r, 16));
    clock_fake_advance(&s->r->clock, RIG_TIMEOUT_MS);
    expect_end(s, TRANSPORT_TIMEOUT, "tls: no answer");
    s->mute = false;
    rig_open(s->r, TRANSPORT_WSS, "good.test", 0);
    assert_true(until_request(s));
    clock_fake_advance(&s->r->clock, RIG_TIMEOUT_MS - 1);
    rig_turns(s->r, 5);
    assert_false(s->r->ended);
    clock_fake_advance(&s->r->clock, 1);
    expect_end(s, TRANSPORT_TIMEOUT, "websocket: no answer");
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(talks),
        CASE(an_address_is_verified),
        CASE(the_name_is_verified),
        CASE(not_any_authority),
        CASE(only_in_time),
        CASE(versions),
        CASE(a_server_without_tls),
        CASE(no_answer_in_time),
        CASE(closed_instead_of_an_answer),
        CASE(byte_by_byte),
        CASE(large),
        CASE(keys_are_updated),
        CASE(nonsense_is_told),
        CASE(ends_of_the_connection),
        CASE(a_peer_that_does_not_read),
        CASE(close_at_every_turn),
        CASE(close_within_callbacks),
        CASE(memory_runs_out),
        CASE(sessions_are_resumed),
        CASE(a_session_nobody_knows),
        CASE(a_failed_handshake_forgets),
        CASE(sessions_are_bounded),
        CASE(websocket),
        CASE(websocket_is_told_in_words),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
