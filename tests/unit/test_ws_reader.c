#include "collector/net/ws_reader.h"

#include <string.h>

#include "collector/net/ws_head.h"
#include "collector/net/ws_writer.h"
#include "server/core/buf.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"
#include "tests/support/run.h"

enum { BINARY = 2, TEXT = 1, MORE = 0, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

/* --- frames by hand --- */

static void put_head(struct buf *out, unsigned first, uint64_t len, bool masked)
{
    char b[10];
    const char mask = masked ? (char)0x80 : 0;
    buf_put_c(out, (char)first);
    if (len < 126) {
        buf_put_c(out, (char)(mask | (char)len));
    } else if (len < 65536) {
        buf_put_c(out, (char)(mask | 126));
        put_be16(b, (uint16_t)len);
        buf_put(out, (struct str){b, 2});
    } else {
        buf_put_c(out, (char)(mask | 127));
        put_be64(b, len);
        buf_put(out, (struct str){b, 8});
    }
}

static void put_frame(struct buf *out, unsigned first, struct str payload)
{
    put_head(out, first, payload.len, false);
    buf_put(out, payload);
}

static void put_filled(struct buf *out, unsigned first, size_t n, char with)
{
    put_head(out, first, n, false);
    for (size_t i = 0; i < n; i++) {
        buf_put_c(out, with);
    }
}

/* --- a sink that writes down --- */

struct seen {
    struct buf log;
    bool stop;
    const char *stop_at; /* a line's first character */
    unsigned n;
};

static void line(struct seen *s, char what, struct str body)
{
    buf_put_c(&s->log, what);
    if (body.len > 64) {
        buf_printf(&s->log, "[%zu x %c]", body.len, body.ptr[0]);
    } else {
        buf_put(&s->log, body);
    }
    buf_put_c(&s->log, ' ');
    s->n++;
    if (s->stop_at && *s->stop_at == what) {
        s->stop = true;
    }
}

static void on_message(void *ctx, struct str message)
{
    line(ctx, 'm', message);
}

static void on_text(void *ctx)
{
    line(ctx, 't', STR_NULL);
}

static void on_ping(void *ctx, struct str payload)
{
    line(ctx, 'p', payload);
}

static void on_close(void *ctx, uint16_t code, struct str reason)
{
    struct seen *s = ctx;
    buf_printf(&s->log, "c%u:" STR_FMT " ", (unsigned)code, STR_ARG(reason));
    s->n++;
}

struct fixture {
    struct seen seen;
    struct ws_reader *r;
    struct ws_sink sink;
    struct buf in;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->r = ws_reader_new();
    f->sink = (struct ws_sink){on_message, on_text, on_ping, on_close, &f->seen};
    buf_init(&f->seen.log, 1 << 20);
    buf_init(&f->in, 8 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ws_reader_free(f->r);
    buf_deinit(&f->seen.log);
    buf_deinit(&f->in);
    mem_free(f);
    return 0;
}

static enum err_code feed(struct fixture *f, size_t max)
{
    return ws_reader_feed(f->r, max, buf_str(&f->in), &f->sink, &f->seen.stop, &f->err);
}

static void again(struct fixture *f)
{
    ws_reader_free(f->r);
    f->r = ws_reader_new();
    f->seen.stop = false;
    buf_clear(&f->in);
    buf_clear(&f->seen.log);
}

static void everything(struct buf *out)
{
    put_frame(out, FIN | BINARY, STR("one"));
    put_frame(out, FIN | PING, STR("are you there"));
    put_frame(out, BINARY, STR("t"));
    put_frame(out, MORE, STR("w"));
    put_frame(out, FIN | PING, STR(""));
    put_frame(out, FIN | PONG, STR("nobody asked"));
    put_frame(out, MORE, STR(""));
    put_frame(out, FIN | MORE, STR("o"));
    put_frame(out, FIN | TEXT, STR("hello"));
    put_frame(out, TEXT, STR("he"));
    put_frame(out, FIN | MORE, STR("llo"));
    put_filled(out, FIN | BINARY, 300, 'a');
    put_filled(out, FIN | BINARY, 70000, 'b');
    put_filled(out, BINARY, 5000, 'c');
    put_filled(out, FIN | MORE, 5000, 'c');
    put_frame(out, FIN | BINARY, STR(""));
    put_frame(out, BINARY, STR(""));
    put_frame(out, FIN | MORE, STR("late"));
    put_frame(out, FIN | CLOSE,
              STR("\x03\xe8"
                  "bye"));
}

static const char everything_seen[] = "mone pare you there p mtwo t t m[300 x a] m[70000 x b] "
                                      "m[10000 x c] m mlate c1000:bye ";

static void whole(void **state)
{
    struct fixture *f = *state;
    everything(&f->in);
    assert_int_equal(feed(f, 70000), ERR_OK);
    assert_str_equal(buf_str(&f->seen.log), everything_seen);
    assert_false(ws_reader_is_clean(f->r)); /* nothing is read behind a close frame */
}

/* Two pieces at every place near a frame's edge, and at many others; then byte by byte. */
static void any_split(void **state)
{
    struct fixture *f = *state;
    struct buf all;
    buf_init(&all, 8 << 20);
    everything(&all);
    const struct str bytes = buf_str(&all);
    for (size_t cut = 0; cut <= bytes.len; cut += cut < 600 || cut + 600 > bytes.len ? 1 : 977) {
        again(f);
        buf_put(&f->in, str_sub(bytes, 0, cut));
        assert_int_equal(feed(f, 70000), ERR_OK);
        buf_clear(&f->in);
        buf_put(&f->in, str_sub(bytes, cut, bytes.len));
        assert_int_equal(feed(f, 70000), ERR_OK);
        assert_str_equal(buf_str(&f->seen.log), everything_seen);
    }
    again(f);
    for (size_t i = 0; i < bytes.len; i++) {
        assert_int_equal(
            ws_reader_feed(f->r, 70000, str_sub(bytes, i, i + 1), &f->sink, &f->seen.stop, &f->err),
            ERR_OK);
    }
    assert_str_equal(buf_str(&f->seen.log), everything_seen);
    buf_deinit(&all);
}

/* Clean exactly when nothing is unfinished: then another connection may use the reader. */
static void clean_between_messages(void **state)
{
    struct fixture *f = *state;
    struct buf all;
    buf_init(&all, 8 << 20);
    put_frame(&all, FIN | BINARY, STR("one"));
    const size_t first = all.len;
    put_filled(&all, BINARY, 300, 'a');
    put_frame(&all, FIN | MORE, STR("x"));
    const size_t second = all.len;
    put_filled(&all, FIN | BINARY, 70000, 'b');
    const size_t third = all.len;
    put_frame(&all, FIN | PING, STR(""));
    for (size_t i = 0; i < all.len; i++) {
        const bool clean = i == 0 || i == first || i == second || i == third;
        assert_int_equal(ws_reader_is_clean(f->r), clean);
        assert_int_equal(
            ws_reader_feed(f->r, 70000, str_sub(buf_str(&all), i, i + 1), &f->sink, NULL, &f->err),
            ERR_OK);
    }
    assert_true(ws_reader_is_clean(f->r));
    buf_deinit(&all);
}

static void stops_when_told(void **state)
{
    struct fixture *f = *state;
    put_frame(&f->in, FIN | BINARY, STR("one"));
    put_frame(&f->in, FIN | PING, STR("two"));
    put_frame(&f->in, FIN | BINARY, STR("three"));
    f->seen.stop_at = "p";
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_str_equal(buf_str(&f->seen.log), "mone ptwo ");
    assert_false(ws_reader_is_clean(f->r));
}

static void refuses(struct fixture *f, size_t max, enum err_code want, const char *words)
{
    assert_int_equal(feed(f, max), want);
    assert_non_null(strstr(f->err.msg, words));
    assert_false(ws_reader_is_clean(f->r));
    again(f);
}

static void lies(void **state)
{
    struct fixture *f = *state;
    put_frame(&f->in, FIN | MORE, STR("of what"));
    refuses(f, 100, ERR_PROTO, "continuation");
    put_frame(&f->in, BINARY, STR("a"));
    put_frame(&f->in, FIN | BINARY, STR("b"));
    refuses(f, 100, ERR_PROTO, "within a message");
    put_frame(&f->in, TEXT, STR("a"));
    put_frame(&f->in, FIN | BINARY, STR("b"));
    refuses(f, 100, ERR_PROTO, "within a message");
    put_head(&f->in, FIN | BINARY, 1, true);
    buf_put(&f->in, STR("\1\2\3\4x"));
    refuses(f, 100, ERR_PROTO, "masked");
    put_frame(&f->in, FIN | 0x40 | BINARY, STR("x"));
    refuses(f, 100, ERR_PROTO, "reserved");
    for (unsigned opcode = 3; opcode < 16; opcode++) {
        if (opcode < CLOSE || opcode > PONG) {
            put_frame(&f->in, FIN | opcode, STR("x"));
            refuses(f, 100, ERR_PROTO, "opcode");
        }
    }
    put_frame(&f->in, PING, STR("in pieces"));
    refuses(f, 1000, ERR_PROTO, "malformed");
    put_filled(&f->in, FIN | PING, 126, 'x');
    refuses(f, 1000, ERR_PROTO, "malformed");
    put_frame(&f->in, FIN | CLOSE, STR("\3"));
    refuses(f, 100, ERR_PROTO, "half a code");
    buf_put(&f->in, STR("\x82\x7e\x00\x05hello")); /* two bytes of length for five */
    refuses(f, 100, ERR_PROTO, "malformed");
    buf_put(&f->in, STR("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00x"));
    refuses(f, 100, ERR_PROTO, "malformed");
}

static void limits(void **state)
{
    struct fixture *f = *state;
    put_filled(&f->in, FIN | BINARY, 100, 'x');
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_str_equal(buf_str(&f->seen.log), "m[100 x x] ");
    again(f);
    put_filled(&f->in, FIN | BINARY, 101, 'x');
    refuses(f, 100, ERR_TOO_BIG, "over 100 bytes");
    put_filled(&f->in, BINARY, 60, 'x');
    put_filled(&f->in, MORE, 40, 'x');
    put_filled(&f->in, FIN | MORE, 1, 'x');
    refuses(f, 100, ERR_TOO_BIG, "over 100 bytes");
    put_filled(&f->in, FIN | TEXT, 101, 'x');
    refuses(f, 100, ERR_TOO_BIG, "over 100 bytes");
    put_head(&f->in, FIN | BINARY, INT64_MAX, false);
    buf_put_c(&f->in, 'x');
    refuses(f, 100, ERR_TOO_BIG, "over 100 bytes");
    put_filled(&f->in, BINARY, 100, 'x');
    put_head(&f->in, FIN | MORE, INT64_MAX, false);
    buf_put_c(&f->in, 'x');
    refuses(f, 100, ERR_TOO_BIG, "over 100 bytes");
    /* A new message begins at nothing. */
    for (int i = 0; i < 5; i++) {
        put_filled(&f->in, BINARY, 60, 'x');
        put_filled(&f->in, FIN | MORE, 40, 'x');
    }
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_int_equal(f->seen.n, 6);
}

static void memory_runs_out(void **state)
{
    struct fixture *f = *state;
    put_filled(&f->in, BINARY, 5000, 'x');
    put_filled(&f->in, FIN | MORE, 5000, 'x');
    mem_fault_set(0, 1);
    assert_int_equal(feed(f, 100000), ERR_NOMEM);
    mem_fault_set(-1, 0);
}

static void close_codes(void **state)
{
    struct fixture *f = *state;
    put_frame(&f->in, FIN | CLOSE, STR(""));
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_str_equal(buf_str(&f->seen.log), "c0: ");
    again(f);
    put_frame(&f->in, FIN | CLOSE, STR("\x0f\xa1"));
    put_frame(&f->in, FIN | BINARY, STR("behind it"));
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_int_equal(feed(f, 100), ERR_OK);
    assert_str_equal(buf_str(&f->seen.log), "c4001: ");
}

/* --- what we send --- */

static void unmask(struct str frame, size_t head, size_t n, char *to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = frame.ptr[head + i] ^ frame.ptr[head - 4 + i % 4];
    }
}

static void writes_masked_frames(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 127, 4096, 5000, 65535, 65536, 65600};
    struct ws_writer *w = ws_writer_new();
    struct buf out;
    char text[65600];
    char back[65600];
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i * 7 + i / 256);
    }
    char last_key[4] = {0};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        const size_t n = sizes[k];
        buf_clear(&out);
        assert_int_equal(ws_put_message(w, &out, (struct str){text, n}, NULL), ERR_OK);
        const size_t head = (n < 126 ? 2U : n < 65536 ? 4U : 10U) + 4;
        assert_int_equal(out.len, head + n);
        assert_int_equal((unsigned char)out.data[0], FIN | BINARY);
        const unsigned len = (unsigned char)out.data[1];
        assert_int_equal(len, 0x80 | (n < 126 ? n : n < 65536 ? 126 : 127));
        if (n >= 65536) {
            assert_int_equal(get_be64(out.data + 2), n);
        } else if (n >= 126) {
            assert_int_equal(get_be16(out.data + 2), n);
        }
        unmask(buf_str(&out), head, n, back);
        assert_memory_equal(back, text, n);
        assert_memory_not_equal(out.data + head - 4, last_key, 4);
        memcpy(last_key, out.data + head - 4, 4);
    }
    buf_deinit(&out);
    ws_writer_free(w);
}

static void writes_control_frames(void **state)
{
    (void)state;
    struct ws_writer *w = ws_writer_new();
    struct buf out;
    char back[16];
    buf_init(&out, 1 << 20);
    assert_int_equal(ws_put_pong(w, &out, STR("ping"), NULL), ERR_OK);
    assert_int_equal(out.len, 10);
    assert_int_equal((unsigned char)out.data[0], FIN | PONG);
    unmask(buf_str(&out), 6, 4, back);
    assert_memory_equal(back, "ping", 4);
    buf_clear(&out);
    assert_int_equal(ws_put_close(w, &out, 1009, NULL), ERR_OK);
    assert_int_equal(out.len, 8);
    assert_int_equal((unsigned char)out.data[0], FIN | CLOSE);
    unmask(buf_str(&out), 6, 2, back);
    assert_int_equal(get_be16(back), 1009);
    buf_clear(&out);
    assert_int_equal(ws_put_close(w, &out, 0, NULL), ERR_OK);
    assert_int_equal(out.len, 6);
    buf_deinit(&out);
    /* No room: said, and the next frame is whole again. */
    buf_init(&out, 20);
    assert_int_equal(ws_put_message(w, &out, STR("0123456789abcdef"), NULL), ERR_NOMEM);
    buf_clear(&out);
    assert_int_equal(ws_put_message(w, &out, STR("01234567"), NULL), ERR_OK);
    assert_int_equal(out.len, 14);
    buf_deinit(&out);
    ws_writer_free(w);
}

/* --- the handshake --- */

static void accept_of_the_rfc(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_BYTES];
    char key[WS_KEY_BYTES];
    char other[WS_KEY_BYTES];
    ws_accept_of("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(ws_key_new(key, accept, NULL), ERR_OK);
    assert_int_equal(strlen(key), 24);
    assert_int_equal(strlen(accept), 28);
    assert_int_equal(ws_key_new(other, accept, NULL), ERR_OK);
    assert_string_not_equal(key, other);
}

static void request(void **state)
{
    (void)state;
    struct buf out;
    struct ws_request r = {.host = STR("broadcastlv.chat.bilibili.com"),
                           .port = 2244,
                           .path = STR("/sub"),
                           .origin = STR("https://live.bilibili.com"),
                           .user_agent = STR("Browser/1.0 (of a kind)")};
    buf_init(&out, WS_REQUEST_MAX);
    ws_request_put(&out, &r, "dGhlIHNhbXBsZSBub25jZQ==");
    assert_str_equal(buf_str(&out), "GET /sub HTTP/1.1\r\n"
                                    "Host: broadcastlv.chat.bilibili.com:2244\r\n"
                                    "Connection: Upgrade\r\n"
                                    "Pragma: no-cache\r\n"
                                    "Cache-Control: no-cache\r\n"
                                    "User-Agent: Browser/1.0 (of a kind)\r\n"
                                    "Upgrade: websocket\r\n"
                                    "Origin: https://live.bilibili.com\r\n"
                                    "Sec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    const struct {
        struct str host;
        uint16_t port;
        bool tls;
        const char *want;
    } hosts[] = {
        {STR("a.test"), 80, false, "\r\nHost: a.test\r\n"},
        {STR("a.test"), 443, false, "\r\nHost: a.test:443\r\n"},
        {STR("a.test"), 443, true, "\r\nHost: a.test\r\n"},
        {STR("a.test"), 2245, true, "\r\nHost: a.test:2245\r\n"},
        {STR("::1"), 443, true, "\r\nHost: [::1]\r\n"},
        {STR("::1"), 9, true, "\r\nHost: [::1]:9\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        r.host = hosts[i].host;
        r.port = hosts[i].port;
        r.tls = hosts[i].tls;
        buf_clear(&out);
        ws_request_put(&out, &r, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_non_null(memmem(out.data, out.len, hosts[i].want, strlen(hosts[i].want)));
    }
    buf_deinit(&out);
}

static void texts_of_a_request(void **state)
{
    (void)state;
    assert_true(ws_is_text(STR("Mozilla/5.0 (X11)")));
    assert_true(ws_is_text(STR("")));
    assert_false(ws_is_text(STR("a\r\nHost: b")));
    assert_false(ws_is_text(STR("a\0b")));
    assert_false(ws_is_text(STR("a\x7f")));
    assert_true(ws_is_host(STR("a-b.test")));
    assert_true(ws_is_host(STR("fe80::1")));
    assert_false(ws_is_host(STR("")));
    assert_false(ws_is_host(STR("a b")));
    assert_false(ws_is_host(STR("a/b")));
    assert_false(ws_is_host(STR("a@b")));
    assert_false(ws_is_host(STR("a\rb")));
    assert_false(ws_is_host(STR("a\0b")));
}

static void end_of_the_head(void **state)
{
    (void)state;
    const struct str head = STR("HTTP/1.1 101 x\r\nA: b\r\n\r\nmore");
    for (size_t n = 0; n <= head.len; n++) {
        const size_t want = n < head.len - 4 ? 0 : head.len - 4;
        for (size_t from = 0; from <= n && from < head.len - 4; from++) {
            assert_int_equal(ws_head_len(str_sub(head, 0, n), from), want);
        }
    }
}

#define OK_STATUS "HTTP/1.1 101 Switching Protocols\r\n"
#define OK_UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define OK_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static void answers(void **state)
{
    (void)state;
    const struct {
        struct str head;
        const char *words; /* NULL: fine */
    } all[] = {
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "\r\n"), NULL},
        {STR("HTTP/1.1 101\r\n" OK_UPGRADE OK_ACCEPT "\r\n"), NULL},
        {STR("HTTP/1.0 101 ok\r\nupgrade:WebSocket\r\nCONNECTION:  keep-alive,upgrade \r\n"
             "sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=  \r\nServer: x:y\r\n\r\n"),
         NULL},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "Sec-WebSocket-Extensions: \r\n\r\n"), NULL},
        {STR("HTTP/1.1 403 Forbidden\r\n\r\n"), "HTTP 403 Forbidden"},
        {STR("HTTP/1.1 200 OK\r\n" OK_UPGRADE OK_ACCEPT "\r\n"), "HTTP 200 OK"},
        {STR("HTTP/1.1 1010 OK\r\n" OK_UPGRADE OK_ACCEPT "\r\n"), "HTTP 1010"},
        {STR("HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\n\r\n"),
         "HTTP 302 Found, redirect to https://elsewhere.test/ not followed"},
        {STR("HTTP/1.1 500 a\x01\xff"
             "b\r\n\r\n"),
         "HTTP 500 a??b"},
        {STR("HTTP/2 101 x\r\n" OK_UPGRADE OK_ACCEPT "\r\n"), "no HTTP answer"},
        {STR("HTTP/1.1101 x\r\n" OK_UPGRADE OK_ACCEPT "\r\n"), "no HTTP answer"},
        {STR("garbage\r\n\r\n"), "no HTTP answer: \"garbage\""},
        {STR("\r\n\r\n"), "no HTTP answer"},
        {STR(OK_STATUS "Connection: Upgrade\r\n" OK_ACCEPT "\r\n"), "does not upgrade"},
        {STR(OK_STATUS "Upgrade: h2c\r\nConnection: Upgrade\r\n" OK_ACCEPT "\r\n"),
         "does not upgrade"},
        {STR(OK_STATUS "Upgrade: websocket\r\nConnection: close\r\n" OK_ACCEPT "\r\n"),
         "does not upgrade"},
        {STR(OK_STATUS OK_UPGRADE "\r\n"), "Sec-WebSocket-Accept"},
        {STR(OK_STATUS OK_UPGRADE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
         "Sec-WebSocket-Accept"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT OK_ACCEPT "\r\n"), "Sec-WebSocket-Accept"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "Sec-WebSocket-Protocol: chat\r\n\r\n"), "asked for"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
         "asked for"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT " folded: x\r\n\r\n"), "malformed header"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "no colon\r\n\r\n"), "malformed header"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT ": x\r\n\r\n"), "malformed header"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "a : x\r\n\r\n"), "malformed header"},
        {STR(OK_STATUS OK_UPGRADE OK_ACCEPT "a: x\0y\r\n\r\n"), "malformed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct err err = {0};
        const enum err_code rc = ws_answer_check(all[i].head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &err);
        if (all[i].words) {
            assert_int_equal(rc, ERR_PROTO);
            assert_non_null(strstr(err.msg, all[i].words));
        } else {
            assert_int_equal(rc, ERR_OK);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, setup, teardown),
        cmocka_unit_test_setup_teardown(any_split, setup, teardown),
        cmocka_unit_test_setup_teardown(clean_between_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_when_told, setup, teardown),
        cmocka_unit_test_setup_teardown(lies, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(close_codes, setup, teardown),
        cmocka_unit_test(writes_masked_frames),
        cmocka_unit_test(writes_control_frames),
        cmocka_unit_test(accept_of_the_rfc),
        cmocka_unit_test(request),
        cmocka_unit_test(texts_of_a_request),
        cmocka_unit_test(end_of_the_head),
        cmocka_unit_test(answers),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
