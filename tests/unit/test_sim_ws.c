/* Two readings of websocket, the simulator's by hand and the collector's over wslay, against each other. */
#include "tests/sim/sim_ws.h"

#include <string.h>

#include "collector/net/ws_head.h"
#include "collector/net/ws_reader.h"
#include "collector/net/ws_writer.h"
#include "server/core/mem.h"
#include "tests/sim/sim_fault.h"
#include "tests/support/run.h"

enum { MESSAGE_MAX = 4 << 20 };

static const size_t sizes[] = {0, 1, 125, 126, 127, 4096, 5000, 65535, 65536};

static struct str text_of(size_t n)
{
    static char text[65536];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i * 7 + i / 256);
    }
    return (struct str){text, n};
}

/* --- client to server --- */

struct server {
    struct sim_ws *ws;
    struct buf out;
    struct buf log;
};

static void on_request(void *ctx, const struct sim_ws_request *q)
{
    struct server *s = ctx;
    assert_str_equal(q->path, "/sub");
    assert_str_equal(q->host, "up.test:2244");
    assert_str_equal(q->origin, "https://o.test");
    assert_str_equal(q->user_agent, "Browser/1");
    sim_ws_agree(s->ws);
    sim_ws_put_answer(&s->out, q->key);
}

static void on_message(void *ctx, struct str message)
{
    struct server *s = ctx;
    buf_printf(&s->log, "m%zu ", message.len);
    assert_true(str_eq(message, text_of(message.len)));
}

static void on_control(void *ctx, enum sim_ws_frame what, struct str payload)
{
    struct server *s = ctx;
    buf_printf(&s->log, "c%d:%zu ", (int)what, payload.len);
}

static void what_the_client_sends(void **state)
{
    (void)state;
    struct server s = {.ws = sim_ws_new()};
    const struct sim_ws_sink sink = {on_request, on_message, on_control, &s};
    const struct ws_request q = {.host = STR("up.test"),
                                 .port = 2244,
                                 .path = STR("/sub"),
                                 .origin = STR("https://o.test"),
                                 .user_agent = STR("Browser/1")};
    struct ws_writer *w = ws_writer_new();
    struct buf in;
    struct buf want;
    char key[WS_KEY_BYTES];
    char accept[WS_ACCEPT_BYTES];
    buf_init(&in, 1 << 20);
    buf_init(&want, 4096);
    buf_init(&s.out, 4096);
    buf_init(&s.log, 4096);
    assert_int_equal(ws_key_new(key, accept, NULL), ERR_OK);
    ws_request_put(&in, &q, key);
    for (size_t i = 0; i < in.len; i++) {
        assert_null(sim_ws_in(s.ws, str_sub(buf_str(&in), i, i + 1), &sink));
    }
    assert_true(sim_ws_is_open(s.ws));
    assert_int_equal(ws_head_len(buf_str(&s.out), 0), s.out.len);
    assert_int_equal(ws_answer_check(buf_str(&s.out), accept, NULL), ERR_OK);
    buf_clear(&in);
    for (size_t i = 0; i < ARRAY_LEN(sizes) - 1; i++) {
        assert_int_equal(ws_put_message(w, &in, text_of(sizes[i]), NULL), ERR_OK);
        buf_printf(&want, "m%zu ", sizes[i]);
    }
    assert_int_equal(ws_put_pong(w, &in, STR("ping"), NULL), ERR_OK);
    assert_int_equal(ws_put_close(w, &in, 1000, NULL), ERR_OK);
    buf_put(&want, STR("c10:4 c8:2 "));
    for (size_t i = 0; i < in.len; i++) {
        assert_null(sim_ws_in(s.ws, str_sub(buf_str(&in), i, i + 1), &sink));
    }
    assert_true(str_eq(buf_str(&s.log), buf_str(&want)));
    buf_deinit(&in);
    buf_deinit(&want);
    buf_deinit(&s.out);
    buf_deinit(&s.log);
    ws_writer_free(w);
    sim_ws_free(s.ws);
}

/* --- server to client --- */

struct client {
    unsigned n_messages;
    unsigned n_texts;
    unsigned n_pings;
    uint16_t code;
};

static void client_message(void *ctx, struct str message)
{
    struct client *c = ctx;
    assert_true(c->n_messages < ARRAY_LEN(sizes));
    assert_true(str_eq(message, text_of(sizes[c->n_messages])));
    c->n_messages++;
}

static void client_text(void *ctx)
{
    ((struct client *)ctx)->n_texts++;
}

static void client_ping(void *ctx, struct str payload)
{
    (void)payload;
    ((struct client *)ctx)->n_pings++;
}

static void client_close(void *ctx, uint16_t code, struct str reason)
{
    assert_int_equal(reason.len, 0);
    ((struct client *)ctx)->code = code;
}

static enum err_code client_reads(struct client *c, struct str bytes)
{
    const struct ws_sink sink = {client_message, client_text, client_ping, client_close, c};
    struct ws_reader *r = ws_reader_new();
    const enum err_code rc = ws_reader_feed(r, MESSAGE_MAX, bytes, &sink, NULL, NULL);
    ws_reader_free(r);
    return rc;
}

static void what_the_server_sends(void **state)
{
    (void)state;
    struct client c = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        sim_ws_put(&out, SIM_WS_FIN | SIM_WS_BINARY, text_of(sizes[i]));
    }
    sim_ws_put_close(&out, 4001);
    assert_int_equal(client_reads(&c, buf_str(&out)), ERR_OK);
    assert_int_equal(c.n_messages, ARRAY_LEN(sizes));
    assert_int_equal(c.code, 4001);
    buf_deinit(&out);
}

static void faults_are_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        enum err_code want;
    } all[] = {
        {"kind=ws_ping", ERR_OK},
        {"kind=ws_text", ERR_OK},
        {"kind=ws_huge", ERR_TOO_BIG},
        {"kind=ws_huge,what=lie", ERR_TOO_BIG},
        {"kind=ws_frame,what=mask", ERR_PROTO},
        {"kind=ws_frame,what=reserved", ERR_PROTO},
        {"kind=ws_frame,what=opcode", ERR_PROTO},
        {"kind=ws_frame,what=continue", ERR_PROTO},
        {"kind=ws_frame,what=ping", ERR_PROTO},
        {"kind=ws_frame,what=close", ERR_PROTO},
    };
    struct client c = {0};
    struct rng rng;
    struct buf out;
    rng_seed(&rng, 1);
    buf_init(&out, SIM_FAULT_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct sim_fault f;
        assert_int_equal(sim_fault_parse(str_of(all[i].rule), &f, NULL), ERR_OK);
        assert_true(sim_fault_is_frames(f.kind));
        buf_clear(&out);
        sim_fault_bytes(&f, SIM_VER_BROTLI, &rng, &out);
        assert_int_equal(client_reads(&c, buf_str(&out)), all[i].want);
    }
    assert_int_equal(c.n_pings, 1);
    assert_int_equal(c.n_texts, 1);
    assert_int_equal(c.n_messages, 0);
    buf_deinit(&out);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_client_sends),
        cmocka_unit_test(what_the_server_sends),
        cmocka_unit_test(faults_are_what_they_say),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
