/* Endpoints from upstream's own list: what is kept, for how long, and what happens when nobody answers. */
#include "collector/endpoint_upstream.h"

#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"
#include "tests/support/upstream_rig.h"

#define HOSTS                                                                                      \
    "{\"code\":0,\"data\":{\"token\":\"t1\",\"host_list\":["                                       \
    "{\"host\":\"broadcastlv.chat.bilibili.com\",\"port\":2243,\"wss_port\":443},"                 \
    "{\"host\":\"a.example\",\"port\":2243,\"wss_port\":2245,\"ws_port\":2244},"                   \
    "{\"host\":\"b.example\",\"port\":2243,\"wss_port\":2245,\"ws_port\":2244}]}}"
#define TCP_ONLY                                                                                   \
    "{\"code\":0,\"data\":{\"token\":\"t2\",\"host_list\":["                                       \
    "{\"host\":\"broadcastlv.chat.bilibili.com\",\"port\":2243}]}}"
#define COMMON_ONLY                                                                                \
    "{\"code\":0,\"data\":{\"token\":\"t3\",\"host_list\":["                                       \
    "{\"host\":\"broadcastlv.chat.bilibili.com\",\"port\":2243,\"wss_port\":443},"                 \
    "{\"host\":\"broadcastlv.chat.bilibili.com\",\"port\":2244,\"wss_port\":444}]}}"

struct told {
    bool done;
    enum err_code code;
    struct err err;
    enum transport_kind kind;
    uint16_t port;
    char host[64], token[16], buvid[64];
};

struct fixture {
    struct upstream_rig *rig;
    struct endpoint_upstream *e;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    void *rig;
    (void)upr_setup(&rig);
    f->rig = rig;
    upr_identity(f->rig);
    f->e = endpoint_upstream_new(f->rig->loop, f->rig->up, &endpoint_order_default);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *rig = f->rig;
    endpoint_upstream_stop(f->e);
    if (f->rig->up) {
        upr_close(f->rig);
    }
    endpoint_upstream_free(f->e);
    (void)upr_teardown(&rig);
    mem_free(f);
    return 0;
}

static void copy(char *to, size_t size, struct str text)
{
    assert_true(text.len < size);
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    to[text.len] = '\0';
}

static void on_told(void *ctx, enum err_code code, const struct endpoint *ep, const struct err *err)
{
    struct told *t = ctx;
    assert_false(t->done);
    t->done = true;
    t->code = code;
    assert_int_equal(ep != NULL, code == ERR_OK);
    assert_int_equal(err != NULL, code != ERR_OK);
    if (err) {
        t->err = *err;
        return;
    }
    t->kind = ep->kind;
    t->port = ep->port;
    copy(t->host, sizeof t->host, ep->host);
    copy(t->token, sizeof t->token, ep->token);
    copy(t->buvid, sizeof t->buvid, ep->buvid);
}

static void start(struct fixture *f, const struct endpoint_ask *ask, struct told *t)
{
    const struct endpoint_provider p = endpoint_upstream_provider(f->e);
    *t = (struct told){.done = false};
    p.ask(p.ctx, ask, on_told, t);
    assert_false(t->done);
}

static struct told ask(struct fixture *f, struct endpoint_ask ask)
{
    struct told t;
    start(f, &ask, &t);
    for (unsigned i = 0; i < 2000 && !t.done; i++) {
        upr_advance(f->rig, 10);
    }
    assert_true(t.done);
    return t;
}

static unsigned n_asked(const struct fixture *f)
{
    return fake_web_n(f->rig->web, UPR_DANMU);
}

static void next_host_with_the_same_token(void **state)
{
    struct fixture *f = *state;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, HOSTS);
    struct told a = ask(f, (struct endpoint_ask){.room_id = 10});
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.kind, TRANSPORT_WSS);
    assert_int_equal(a.port, 2245);
    assert_string_equal(a.host, "a.example");
    assert_string_equal(a.token, "t1");
    assert_string_equal(a.buvid, "D9656DA8-9BEF-336379044infoc");
    a = ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 1, .rank = 1});
    assert_string_equal(a.host, "b.example");
    assert_int_equal(a.kind, TRANSPORT_WS);
    a = ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 2, .rank = 2});
    assert_string_equal(a.host, "a.example"); /* the common host is left out */
    assert_int_equal(a.kind, TRANSPORT_TCP);
    assert_int_equal(n_asked(f), 1);
    /* The round is over. */
    a = ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 3});
    assert_int_equal(n_asked(f), 2);
    /* Other rooms have their own, and begin elsewhere. */
    a = ask(f, (struct endpoint_ask){.room_id = 11});
    assert_string_equal(a.host, "b.example");
    assert_int_equal(n_asked(f), 3);
    a = ask(f, (struct endpoint_ask){.room_id = 9});
    a = ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 4});
    assert_int_equal(n_asked(f), 4);
}

static void a_refused_or_old_token_is_not_used_again(void **state)
{
    struct fixture *f = *state;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, HOSTS);
    (void)ask(f, (struct endpoint_ask){.room_id = 10});
    struct told a =
        ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 1, .token_failed = true});
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(n_asked(f), 2);
    upr_advance(f->rig, ENDPOINT_TOKEN_MS - 20000);
    (void)ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 2});
    assert_int_equal(n_asked(f), 2);
    upr_advance(f->rig, 20000);
    (void)ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 3});
    assert_int_equal(n_asked(f), 3);
}

static void the_common_host_is_better_than_none(void **state)
{
    struct fixture *f = *state;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, TCP_ONLY);
    struct told a = ask(f, (struct endpoint_ask){.room_id = 10});
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.kind, TRANSPORT_TCP);
    assert_string_equal(a.host, "broadcastlv.chat.bilibili.com");
    /* The same host twice is no other host. */
    fake_web_answer(f->rig->web, UPR_DANMU, 200, COMMON_ONLY);
    a = ask(f, (struct endpoint_ask){.room_id = 11});
    assert_int_equal(a.code, ERR_OK);
    assert_string_equal(a.host, "broadcastlv.chat.bilibili.com");
    const uint16_t first = a.port;
    a = ask(f, (struct endpoint_ask){.room_id = 11, .attempt = 1});
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.port + first, 443 + 444);
    fake_web_answer(f->rig->web, UPR_DANMU, 200, TCP_ONLY);
    /* Nothing that the configured order could use. */
    endpoint_upstream_stop(f->e);
    endpoint_upstream_free(f->e);
    const struct endpoint_order wss = {.kinds = {TRANSPORT_WSS}, .n = 1};
    f->e = endpoint_upstream_new(f->rig->loop, f->rig->up, &wss);
    a = ask(f, (struct endpoint_ask){.room_id = 10});
    assert_int_equal(a.code, ERR_PROTO);
}

static void errors_are_passed_on(void **state)
{
    struct fixture *f = *state;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, "{\"code\":60004}");
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10}).code, ERR_NOT_FOUND);
    fake_web_answer(f->rig->web, UPR_DANMU, 503, "");
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10}).code, ERR_UNAVAILABLE);
    fake_web_answer(f->rig->web, UPR_DANMU, 412, "");
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10}).code, ERR_FORBIDDEN);
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10}).code, ERR_UNAVAILABLE);
}

/* What is kept is used although HTTP is away. */
static void kept_while_upstream_is_away(void **state)
{
    struct fixture *f = *state;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, HOSTS);
    (void)ask(f, (struct endpoint_ask){.room_id = 10});
    fake_web_answer(f->rig->web, UPR_DANMU, 412, "");
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 11}).code, ERR_FORBIDDEN);
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10, .attempt = 1}).code, ERR_OK);
}

static void stopped(void **state)
{
    struct fixture *f = *state;
    struct told waiting;
    struct told kept;
    fake_web_answer(f->rig->web, UPR_DANMU, 200, HOSTS);
    (void)ask(f, (struct endpoint_ask){.room_id = 10});
    fake_web_answer(f->rig->web, UPR_DANMU, FAKE_WEB_SILENCE, "");
    start(f, &(struct endpoint_ask){.room_id = 11}, &waiting);
    upr_turns(f->rig, 20);
    start(f, &(struct endpoint_ask){.room_id = 10}, &kept);
    endpoint_upstream_stop(f->e);
    upr_close(f->rig);
    assert_true(waiting.done && kept.done);
    assert_int_equal(waiting.code, ERR_CANCELED);
    assert_int_equal(kept.code, ERR_CANCELED);
    assert_int_equal(ask(f, (struct endpoint_ask){.room_id = 10}).code, ERR_CANCELED);
}

/* Answers of rooms that ask no more do not stay. */
static void many_rooms(void **state)
{
    struct fixture *f = *state;
    upr_close(f->rig);
    f->rig->opts.rate = 1000;
    f->rig->opts.burst = 1000;
    upr_open(f->rig);
    endpoint_upstream_free(f->e);
    f->e = endpoint_upstream_new(f->rig->loop, f->rig->up, &endpoint_order_default);
    fake_web_answer(f->rig->web, UPR_DANMU, 200, HOSTS);
    const uint64_t before = mem_live_count();
    for (int64_t room = 1000; room > 900; room--) {
        assert_int_equal(ask(f, (struct endpoint_ask){.room_id = room}).code, ERR_OK);
    }
    const uint64_t many = mem_live_count() - before;
    for (int64_t room = 901; room <= 1000; room++) {
        assert_int_equal(ask(f, (struct endpoint_ask){.room_id = room, .attempt = 1}).code, ERR_OK);
    }
    assert_int_equal(n_asked(f), 100);
    upr_advance(f->rig, ENDPOINT_TOKEN_MS);
    for (int64_t room = 1; room <= 60; room++) {
        assert_int_equal(ask(f, (struct endpoint_ask){.room_id = room}).code, ERR_OK);
    }
    assert_true(mem_live_count() - before < many);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(next_host_with_the_same_token),
        CASE(a_refused_or_old_token_is_not_used_again),
        CASE(the_common_host_is_better_than_none),
        CASE(errors_are_passed_on),
        CASE(kept_while_upstream_is_away),
        CASE(stopped),
        CASE(many_rooms),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
