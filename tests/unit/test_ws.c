/* A websocket connection against a server that says what the test tells it to. Frames are written by hand. */
#include <stdio.h>
#include <string.h>

#include "collector/net/ws_head.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"
#include "tests/support/net_rig.h"
#include "tests/support/run.h"

enum { FIN_BINARY = 0x82, FIN_TEXT = 0x81, FIN_CLOSE = 0x88, FIN_PING = 0x89, FIN_PONG = 0x8a };

static int setup(void **state)
{
    *state = rig_new();
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* --- the server --- */

static bool accept_of_request(struct net_rig *r, char accept[static WS_ACCEPT_BYTES])
{
    static const char name[] = "Sec-WebSocket-Key: ";
    char key[WS_KEY_BYTES] = {0};
    if (!rig_until_got(r, "\r\n\r\n")) {
        return false;
    }
    const char *at = memmem(r->got.data, r->got.len, name, sizeof name - 1);
    assert_non_null(at);
    memcpy(key, at + sizeof name - 1, WS_KEY_BYTES - 1);
    ws_accept_of(key, accept);
    return true;
}

static void put_answer(struct net_rig *r, struct buf *out)
{
    char accept[WS_ACCEPT_BYTES];
    assert_true(accept_of_request(r, accept));
    buf_printf(out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n",
               accept);
}

static void put_frame(struct buf *out, unsigned first, struct str payload)
{
    assert_true(payload.len < 126);
    buf_put_c(out, (char)first);
    buf_put_c(out, (char)payload.len);
    buf_put(out, payload);
}

static void send_frame(struct net_rig *r, unsigned first, struct str payload)
{
    struct buf out;
    buf_init(&out, 256);
    put_frame(&out, first, payload);
    rig_send(r, buf_str(&out));
    buf_deinit(&out);
}

static void open_ws(struct net_rig *r)
{
    struct buf out;
    buf_init(&out, 1024);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    put_answer(r, &out);
    rig_send(r, buf_str(&out));
    buf_deinit(&out);
    assert_true(rig_until(r, &r->opened));
    buf_clear(&r->got);
}

/* The next frame we were sent, its payload unmasked. */
static struct str take_frame(struct net_rig *r, unsigned *ret_first)
{
    static char payload[126];
    assert_true(rig_until_got_len(r, 6));
    const unsigned len = (unsigned char)r->got.data[1];
    assert_true(len >= 0x80 && len < 0x80 + 126);
    assert_true(rig_until_got_len(r, 6 + (len & 0x7f)));
    *ret_first = (unsigned char)r->got.data[0];
    for (unsigned i = 0; i < (len & 0x7f); i++) {
        payload[i] = r->got.data[6 + i] ^ r->got.data[2 + i % 4];
    }
    buf_drop_front(&r->got, 6 + (len & 0x7f));
    return (struct str){payload, len & 0x7f};
}

static void expect_close_frame(struct net_rig *r, uint16_t code)
{
    unsigned first;
    const struct str payload = take_frame(r, &first);
    assert_int_equal(first, FIN_CLOSE);
    assert_int_equal(payload.len, code ? 2 : 0);
    if (code) {
        assert_int_equal(get_be16(payload.ptr), code);
    }
}

static void expect_end(struct net_rig *r, enum transport_end why, const char *words)
{
    assert_true(rig_until(r, &r->ended));
    assert_int_equal(r->why, why);
    if (!strstr(r->err.msg, words)) {
        print_error("\"%s\" is not in \"%s\"\n", words, r->err.msg);
    }
    assert_non_null(strstr(r->err.msg, words));
    assert_int_equal(transport_write(r->t, STR("too late"), NULL), ERR_IO);
    rig_turns(r, 5);
    rig_close(r);
}

/* --- the life of a connection --- */

static void asks_as_a_browser(void **state)
{
    struct net_rig *r = *state;
    const struct net_opts opts = {
        .user_agent = "Browser/2", .origin = "https://o.test", .path = "/p?q=1"};
    char host[64];
    assert_int_equal(net_configure(r->net, &opts, NULL), ERR_OK);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    assert_true(str_starts(buf_str(&r->got), STR("GET /p?q=1 HTTP/1.1\r\n")));
    assert_true(rig_until_got(r, "\r\nUser-Agent: Browser/2\r\n"));
    assert_true(rig_until_got(r, "\r\nOrigin: https://o.test\r\n"));
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", r->port);
    assert_true(rig_until_got(r, host));
    rig_close(r);
    const struct net_opts none = {.path = ""};
    assert_int_equal(net_configure(r->net, &none, NULL), ERR_OK);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    assert_true(str_starts(buf_str(&r->got), STR("GET /sub HTTP/1.1\r\n")));
    assert_true(rig_until_got(r, "\r\nUser-Agent: Mozilla/5.0 "));
    assert_true(rig_until_got(r, "\r\nOrigin: https://live.bilibili.com\r\n"));
}

static void bad_options(void **state)
{
    struct net_rig *r = *state;
    static const struct net_opts bad[] = {
        {.user_agent = "a\r\nHost: b"},
        {.origin = "a\nb"},
        {.path = "sub"},
        {.path = "/a b"},
        {.path = "/a\r\nX:"},
        {.tls = true, .ca_file = "/nowhere"},
        {.tls = true, .ca_file = "/dev/null"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        assert_int_equal(net_configure(r->net, &bad[i], &err), ERR_INVALID);
        assert_true(err.msg[0] != 0);
    }
}

static void talks(void **state)
{
    struct net_rig *r = *state;
    unsigned first;
    open_ws(r);
    assert_int_equal(transport_write(r->t, STR("hello"), NULL), ERR_OK);
    assert_str_equal(take_frame(r, &first), "hello");
    assert_int_equal(first, FIN_BINARY);
    send_frame(r, FIN_BINARY, STR("one"));
    send_frame(r, FIN_BINARY, STR("two"));
    assert_true(rig_until_log(r, "two"));
    assert_str_equal(buf_str(&r->log), "open\nwhole:one\nwhole:two\n");
    rig_close_now(r);
    expect_close_frame(r, 1000);
    assert_true(rig_until(r, &r->closed));
    assert_true(rig_until(r, &r->peer_is_over));
}

static void not_open_until_the_server_agrees(void **state)
{
    struct net_rig *r = *state;
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    assert_int_equal(transport_write(r->t, STR("early"), NULL), ERR_IO);
    assert_false(r->opened);
}

static void first_messages_with_the_answer(void **state)
{
    struct net_rig *r = *state;
    struct buf out;
    buf_init(&out, 4096);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    put_answer(r, &out);
    put_frame(&out, FIN_BINARY, STR("at once"));
    put_frame(&out, FIN_BINARY, STR(""));
    put_frame(&out, FIN_BINARY, STR("and more"));
    rig_send(r, buf_str(&out));
    assert_true(rig_until_log(r, "and more"));
    assert_str_equal(buf_str(&r->log), "open\nwhole:at once\nwhole:and more\n");
    buf_deinit(&out);
}

static void byte_by_byte(void **state)
{
    struct net_rig *r = *state;
    struct buf out;
    buf_init(&out, 4096);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    put_answer(r, &out);
    put_frame(&out, FIN_BINARY, STR("slow"));
    put_frame(&out, 0x02, STR("in "));
    put_frame(&out, FIN_PING, STR("?"));
    put_frame(&out, 0x80, STR("parts"));
    buf_clear(&r->got);
    rig_send_slowly(r, buf_str(&out));
    assert_true(rig_until_log(r, "parts"));
    assert_str_equal(buf_str(&r->log), "open\nwhole:slow\nwhole:in parts\n");
    unsigned first;
    assert_str_equal(take_frame(r, &first), "?");
    assert_int_equal(first, FIN_PONG);
    buf_deinit(&out);
}

static void many_share_one_reader(void **state)
{
    struct net_rig *r = *state;
    open_ws(r);
    for (int i = 0; i < 50; i++) {
        char text[32];
        const int n = snprintf(text, sizeof text, "message %d", i);
        send_frame(r, FIN_BINARY, (struct str){text, (size_t)n});
        assert_true(rig_until_log(r, text));
    }
    assert_int_equal(r->n_data, 50);
}

/* --- what is said no to --- */

static void refused(struct net_rig *r, struct str answer, const char *words)
{
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    rig_send(r, answer);
    expect_end(r, TRANSPORT_HANDSHAKE, words);
    assert_false(r->opened);
}

static void other_answers(void **state)
{
    struct net_rig *r = *state;
    refused(r, STR("HTTP/1.1 403 Forbidden\r\n\r\n"), "HTTP 403 Forbidden");
    refused(r, STR("HTTP/1.1 302 Found\r\nLocation: http://x.test/\r\n\r\n"),
            "redirect to http://x.test/ not followed");
    refused(r,
            STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            "Sec-WebSocket-Accept");
}

static void a_head_without_end(void **state)
{
    struct net_rig *r = *state;
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_put(&out, STR("HTTP/1.1 101 x\r\nX: "));
    while (out.len < WS_HEAD_MAX - 1) {
        buf_put_c(&out, 'x');
    }
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    rig_send(r, buf_str(&out));
    rig_turns(r, 20);
    assert_false(r->ended);
    rig_send(r, STR("x"));
    expect_end(r, TRANSPORT_HANDSHAKE, "over 8192 bytes");
    buf_deinit(&out);
}

static void closed_instead_of_an_answer(void **state)
{
    struct net_rig *r = *state;
    for (int reset = 0; reset < 2; reset++) {
        rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
        assert_true(rig_until_got(r, "\r\n\r\n"));
        rig_send(r, STR("HTTP/1.1 101 "));
        rig_turns(r, 3);
        rig_peer_close(r, reset != 0);
        expect_end(r, TRANSPORT_HANDSHAKE, "during the handshake");
    }
}

static void no_answer_in_time(void **state)
{
    struct net_rig *r = *state;
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until_got(r, "\r\n\r\n"));
    clock_fake_advance(&r->clock, RIG_TIMEOUT_MS - 1);
    rig_send(r, STR("HTTP/1.1 101 ")); /* a beginning is not enough */
    rig_turns(r, 20);
    assert_false(r->ended);
    clock_fake_advance(&r->clock, 1);
    expect_end(r, TRANSPORT_TIMEOUT, "no answer to the handshake");
    open_ws(r);
    clock_fake_advance(&r->clock, 100 * (int64_t)RIG_TIMEOUT_MS);
    rig_turns(r, 20);
    assert_false(r->ended);
}

static void nobody_listens(void **state)
{
    struct net_rig *r = *state;
    struct net_rig *other = rig_new();
    const uint16_t port = other->port;
    rig_free(other);
    r->port = port;
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
    assert_true(rig_until(r, &r->ended));
    assert_int_equal(r->why, TRANSPORT_CONNECT);
}

static void names_that_are_none(void **state)
{
    struct net_rig *r = *state;
    static const char *const hosts[] = {"", "a b", "a/b", "a\r\nb"};
    static const enum transport_kind kinds[] = {TRANSPORT_WS, TRANSPORT_WSS};
    const struct transport_handler h = {0};
    struct transport *t;
    for (size_t i = 0; i < ARRAY_LEN(hosts) * 2; i++) {
        const struct transport_dial d = {.kind = kinds[i % 2],
                                         .host = str_of(hosts[i / 2]),
                                         .port = r->port,
                                         .timeout_ms = 1000};
        assert_int_equal(transport_open(r->net, &d, &h, &t, &r->err), ERR_INVALID);
    }
    const struct transport_dial d = {
        .kind = TRANSPORT_WSS, .host = STR("a.test"), .port = 1, .timeout_ms = 1000};
    assert_int_equal(transport_open(r->net, &d, &h, &t, &r->err), ERR_UNAVAILABLE);
}

/* --- frames --- */

static void pings_are_answered(void **state)
{
    struct net_rig *r = *state;
    unsigned first;
    open_ws(r);
    send_frame(r, FIN_PING, STR("still there?"));
    assert_str_equal(take_frame(r, &first), "still there?");
    assert_int_equal(first, FIN_PONG);
    send_frame(r, FIN_PING, STR(""));
    assert_str_equal(take_frame(r, &first), "");
    assert_int_equal(first, FIN_PONG);
    send_frame(r, FIN_PONG, STR("unasked"));
    send_frame(r, FIN_BINARY, STR("end"));
    assert_true(rig_until_log(r, "end"));
    assert_int_equal(r->got.len, 0);
    assert_int_equal(r->notes[NET_NOTE_WS_PING], 2);
}

static void texts_are_counted(void **state)
{
    struct net_rig *r = *state;
    open_ws(r);
    send_frame(r, FIN_TEXT, STR("hello"));
    send_frame(r, 0x01, STR("hel"));
    send_frame(r, 0x80, STR("lo"));
    send_frame(r, FIN_BINARY, STR("end"));
    assert_true(rig_until_log(r, "end"));
    assert_str_equal(buf_str(&r->log), "open\nwhole:end\n");
    assert_int_equal(r->notes[NET_NOTE_WS_TEXT], 2);
}

static void close_frames_are_answered(void **state)
{
    struct net_rig *r = *state;
    open_ws(r);
    send_frame(r, FIN_CLOSE,
               STR("\x03\xf0"
                   "go\xff away"));
    expect_close_frame(r, 1008);
    expect_end(r, TRANSPORT_EOF, "closed by upstream: 1008 go? away");
    open_ws(r);
    send_frame(r, FIN_CLOSE, STR(""));
    expect_close_frame(r, 0);
    expect_end(r, TRANSPORT_EOF, "closed by upstream: 0");
    assert_int_equal(r->notes[NET_NOTE_WS_CLOSE], 2);
    /* A code nobody may send is not repeated. */
    open_ws(r);
    send_frame(r, FIN_CLOSE, STR("\x03\xed"));
    expect_close_frame(r, 1002);
    expect_end(r, TRANSPORT_EOF, "closed by upstream: 1005");
}

static void nothing_follows_a_close_frame(void **state)
{
    struct net_rig *r = *state;
    struct buf out;
    buf_init(&out, 4096);
    open_ws(r);
    put_frame(&out, FIN_BINARY, STR("before"));
    put_frame(&out, FIN_CLOSE, STR("\x03\xe8"));
    put_frame(&out, FIN_BINARY, STR("after"));
    rig_send(r, buf_str(&out));
    expect_end(r, TRANSPORT_EOF, "1000");
    assert_str_equal(buf_str(&r->log), "open\nwhole:before\nend\n");
    buf_deinit(&out);
}

static void ends_of_the_connection(void **state)
{
    struct net_rig *r = *state;
    open_ws(r);
    send_frame(r, FIN_BINARY, STR("last"));
    rig_peer_close(r, false);
    expect_end(r, TRANSPORT_EOF, "without a close frame");
    assert_str_equal(buf_str(&r->log), "open\nwhole:last\nend\n");
    open_ws(r);
    rig_send(r, STR("\x82\x7e\x01")); /* half a head */
    rig_turns(r, 5);
    rig_peer_close(r, false);
    expect_end(r, TRANSPORT_EOF, "without a close frame");
    open_ws(r);
    rig_peer_close(r, true);
    expect_end(r, TRANSPORT_RESET, "read");
}

static void nonsense_is_told(void **state)
{
    struct net_rig *r = *state;
    static const struct {
        struct str bytes;
        const char *words;
        uint16_t code;
    } all[] = {
        {{"\x80\x01x", 3}, "continuation of no message", 1002},
        {{"\x82\x81\1\2\3\4x", 7}, "masked frame", 1002},
        {{"\xc2\x01x", 3}, "reserved bits", 1002},
        {{"\x83\x01x", 3}, "unknown opcode 3", 1002},
        {{"\x89\x7e\x00\x7e", 4}, "malformed frame", 1002},
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, "malformed", 1002},
        {{"\x82\x7f\x00\x00\x00\x00\x00\x40\x00\x01x", 11}, "over 4194304 bytes", 1009},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        open_ws(r);
        rig_send(r, all[i].bytes);
        assert_true(rig_until(r, &r->ended));
        expect_close_frame(r, all[i].code);
        expect_end(r, TRANSPORT_FRAMING, all[i].words);
    }
    assert_int_equal(r->notes[NET_NOTE_WS_TOO_LARGE], 1);
}

static void limit_of_a_message(void **state)
{
    struct net_rig *r = *state;
    struct buf out;
    buf_init(&out, 4096);
    rig_open(r, TRANSPORT_WS, "127.0.0.1", 10);
    put_answer(r, &out);
    put_frame(&out, FIN_BINARY, STR("0123456789"));
    put_frame(&out, 0x02, STR("01234"));
    put_frame(&out, 0x00, STR("56789"));
    put_frame(&out, 0x80, STR("!"));
    rig_send(r, buf_str(&out));
    expect_end(r, TRANSPORT_FRAMING, "over 10 bytes");
    assert_str_equal(buf_str(&r->log), "open\nwhole:0123456789\nend\n");
    buf_deinit(&out);
}

static void a_peer_that_does_not_read(void **state)
{
    struct net_rig *r = *state;
    static char big[60000];
    enum err_code rc = ERR_OK;
    open_ws(r);
    for (int i = 0; i < 10000 && rc == ERR_OK; i++) {
        rc = transport_write(r->t, (struct str){big, sizeof big}, NULL); /* no turn: it cannot */
    }
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(transport_write(r->t, STR("x"), NULL), ERR_IO);
    rig_turns(r, 5);
    assert_false(r->ended);
}

static void a_message_too_large_to_send(void **state)
{
    struct net_rig *r = *state;
    static char big[TRANSPORT_OUT_MAX + 1];
    open_ws(r);
    assert_int_equal(transport_write(r->t, (struct str){big, sizeof big}, NULL), ERR_FULL);
    assert_int_equal(transport_write(r->t, STR("small"), NULL), ERR_OK);
}

/* --- closing at any time --- */

static void answer_at_once(struct net_rig *r, struct str bytes)
{
    (void)bytes;
    struct buf out;
    if (memmem(r->got.data, r->got.len, "\r\n\r\n", 4) && !r->ctx) {
        buf_init(&out, 4096);
        put_answer(r, &out);
        put_frame(&out, FIN_BINARY, STR("one"));
        put_frame(&out, 0x02, STR("half"));
        rig_send(r, buf_str(&out));
        send_frame(r, 0x80, STR("whole"));
        send_frame(r, FIN_CLOSE, STR("\x03\xe8"));
        buf_deinit(&out);
        r->ctx = r; /* once per connection */
    }
}

static void close_at_every_turn(void **state)
{
    struct net_rig *r = *state;
    r->on_got = answer_at_once;
    for (unsigned turns = 0; turns < 25; turns++) {
        r->ctx = NULL;
        rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
        rig_turns(r, turns);
        rig_close(r);
        rig_turns(r, 3);
    }
}

static void close_within_callbacks(void **state)
{
    struct net_rig *r = *state;
    static const char *const logs[] = {
        [RIG_ON_OPEN] = "open\n",
        [RIG_ON_DATA] = "open\nwhole:one\n",
        [RIG_ON_END] = "open\nwhole:one\nwhole:halfwhole\nend\n",
    };
    r->on_got = answer_at_once;
    for (enum rig_when when = RIG_ON_OPEN; when <= RIG_ON_END; when++) {
        r->ctx = NULL;
        r->close_on = when;
        rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
        assert_true(rig_until(r, &r->closed));
        assert_str_equal(buf_str(&r->log), logs[when]);
    }
}

static void memory_runs_out(void **state)
{
    struct net_rig *r = *state;
    r->on_got = answer_at_once;
    unsigned n_whole = 0;
    for (int64_t n = 0; n < 200 && n_whole < 3; n++) {
        r->ctx = NULL;
        rig_open(r, TRANSPORT_WS, "127.0.0.1", 0);
        rig_turns(r, 2);
        mem_fault_set(n, 1);
        const bool ended = rig_until(r, &r->ended);
        mem_fault_set(-1, 0);
        assert_true(ended);
        n_whole += r->why == TRANSPORT_EOF && r->n_data == 2;
        rig_close(r);
    }
    assert_int_equal(n_whole, 3);
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(asks_as_a_browser),
        CASE(bad_options),
        CASE(talks),
        CASE(not_open_until_the_server_agrees),
        CASE(first_messages_with_the_answer),
        CASE(byte_by_byte),
        CASE(many_share_one_reader),
        CASE(other_answers),
        CASE(a_head_without_end),
        CASE(closed_instead_of_an_answer),
        CASE(no_answer_in_time),
        CASE(nobody_listens),
        CASE(names_that_are_none),
        CASE(pings_are_answered),
        CASE(texts_are_counted),
        CASE(close_frames_are_answered),
        CASE(nothing_follows_a_close_frame),
        CASE(ends_of_the_connection),
        CASE(nonsense_is_told),
        CASE(limit_of_a_message),
        CASE(a_peer_that_does_not_read),
        CASE(a_message_too_large_to_send),
        CASE(close_at_every_turn),
        CASE(close_within_callbacks),
        CASE(memory_runs_out),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
