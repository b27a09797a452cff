/* The rules: pacing, repeats, what a refusal starts, what is told when nobody answers, and closing at any time. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "collector/upstream/upstream.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"
#include "tests/support/upstream_rig.h"

#define ROOM "{\"code\":0,\"data\":{\"room_id\":5440}}"
#define LIST "{\"code\":0,\"data\":{\"list\":[]}}"
#define CODE(n) "{\"code\":" #n ",\"message\":\"x\",\"ttl\":1}"
#define VOUCHER "{\"code\":0,\"message\":\"0\",\"data\":{\"v_voucher\":\"voucher_1\"}}"
#define DANMU "{\"code\":0,\"data\":{\"token\":\"t\",\"host_list\":[{\"host\":\"a\",\"port\":1}]}}"

static struct upstream_info info(struct upstream_rig *f)
{
    struct upstream_info i;
    upstream_info(f->up, &i);
    return i;
}

/* ---- pacing ---- */

static void requests_are_paced(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    for (unsigned i = 0; i < 12; i++) {
        upr_list(f, 1);
    }
    assert_int_equal(info(f).n_waiting, 12);
    upr_turns(f, 100);
    assert_int_equal(fake_web_n(f->web, NULL), 5); /* burst */
    upr_advance(f, 101);
    assert_int_equal(fake_web_n(f->web, NULL), 6); /* 10 a second */
    upr_advance(f, 201);
    assert_int_equal(fake_web_n(f->web, NULL), 8);
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 12);
    assert_int_equal(info(f).n_requests, 12);
    assert_int_equal(info(f).n_waiting, 0);
}

/* A question does not wait for all rooms that want to connect, nor they for all questions. */
static void rooms_and_questions_take_turns(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    upr_danmu(f, 1);
    upr_wait(f);
    upr_advance(f, 10000); /* the whole burst again */
    const unsigned n = fake_web_n(f->web, UPR_DANMU);
    for (int64_t room = 1; room <= 40; room++) {
        upr_danmu(f, room);
    }
    upr_turns(f, 50);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), n + 5);
    upr_list(f, 1);
    upr_list(f, 2);
    for (unsigned i = 0; i < 8; i++) { /* a question, six rooms, a question */
        upr_advance(f, 101);
    }
    assert_int_equal(fake_web_n(f->web, UPR_LIST), 2);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), n + 11);
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 43);
}

static void each_host_has_its_own_pace(void **state)
{
    struct upstream_rig *f = *state;
    struct fake_web *other = fake_web_new(f->loop);
    upr_close(f);
    f->opts.api_url = str_of(fake_web_url(other));
    f->opts.burst = 1;
    f->opts.rate = 0.001;
    upr_open(f);
    fake_web_answer(other, UPR_SPI, 200, "{\"code\":0,\"data\":{\"b_3\":\"D9656DA8-infoc\"}}");
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    upr_danmu(f, 1); /* takes the other host's only token for the device id */
    upr_list(f, 1);
    upr_list(f, 1);
    upr_turns(f, 100);
    assert_int_equal(fake_web_n(other, NULL), 1);
    assert_int_equal(fake_web_n(f->web, NULL), 1);
    upr_close(f);
    assert_int_equal(f->n_codes[ERR_CANCELED], 2);
    fake_web_free(other);
}

static void too_many_calls(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_LIST, FAKE_WEB_SILENCE, "");
    for (unsigned i = 0; i < UPSTREAM_CALLS_MAX; i++) {
        upr_list(f, 1);
    }
    upr_turns(f, 5);
    assert_int_equal(f->n_told, 0);
    upr_list(f, 1);
    upr_turns(f, 5);
    assert_int_equal(f->n_codes[ERR_FULL], 1);
    assert_int_equal(stats_get(f->stats, STAT_UPSTREAM_CALLS_REFUSED_FULL), 1);
    assert_in_range(fake_web_n(f->web, NULL), 1, 8); /* not all at once, whatever the clock */
    upr_advance(f, 3600 * 1000);
    assert_in_range(fake_web_n(f->web, NULL), 1, 8);
}

/* ---- repeats ---- */

static void failures_are_tried_again(void **state)
{
    static const int statuses[] = {500, 503, 429, FAKE_WEB_CLOSE, FAKE_WEB_RESET, FAKE_WEB_CUT};
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_GET_INFO, 200, ROOM);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        fake_web_once(f->web, UPR_GET_INFO, statuses[i], "<html>sorry</html>");
        upr_resolve(f, 1);
        upr_wait(f);
        assert_int_equal(f->code, ERR_OK);
    }
    fake_web_once(f->web, UPR_GET_INFO, 200, CODE(-509));
    fake_web_once(f->web, UPR_GET_INFO, 200, CODE(-799));
    upr_resolve(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    /* A kept connection that ends without an answer is made anew by curl itself. */
    assert_in_range(stats_get(f->stats, STAT_UPSTREAM_RETRIES), ARRAY_LEN(statuses),
                    ARRAY_LEN(statuses) + 2);
    assert_int_equal(upr_logged(f, "cannot be reached"), 0);
}

static void repeats_wait(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_LIST, 500, "");
    upr_list(f, 1);
    upr_turns(f, 50);
    assert_int_equal(fake_web_n(f->web, NULL), 1);
    upr_advance(f, 749); /* 1 s less the jitter */
    assert_int_equal(fake_web_n(f->web, NULL), 1);
    upr_advance(f, 502);
    assert_int_equal(fake_web_n(f->web, NULL), 2);
    upr_advance(f, 1499);
    assert_int_equal(fake_web_n(f->web, NULL), 2);
    upr_advance(f, 1002);
    assert_int_equal(fake_web_n(f->web, NULL), UPSTREAM_TRIES);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.msg, "getRoomList: HTTP 500"));
    assert_int_equal(info(f).n_failed, UPSTREAM_TRIES);
    /* "Too fast" waits longer. */
    fake_web_answer(f->web, UPR_LIST, 200, CODE(-799));
    upr_list(f, 1);
    upr_turns(f, 50);
    upr_advance(f, 3749);
    assert_int_equal(fake_web_n(f->web, NULL), UPSTREAM_TRIES + 1);
    upr_advance(f, 2502);
    assert_int_equal(fake_web_n(f->web, NULL), UPSTREAM_TRIES + 2);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
}

static void answers_of_no_use_are_not_repeated(void **state)
{
    static const struct {
        int status;
        const char *body;
    } useless[] = {
        {200, ""},
        {200, "<html>"},
        {200, "{\"code\":0,\"data\":{"},
        {200, "{\"code\":0,\"data\":{\"list\":[]}} x"},
        {200, "{\"data\":{\"list\":[]}}"},
        {200, "{\"code\":null}"},
        {200, "[]"},
        {200, "{\"code\":0,\"data\":\"text\"}"},
        {200, CODE(-400)},
        {200, CODE(99999999999)},
        {301, ""},
        {302, "moved"},
        {403, "no"},
        {404, "404 page not found"},
        {204, ""},
    };
    struct upstream_rig *f = *state;
    fake_web_header(f->web, UPR_LIST, "Location: http://127.0.0.1:1/\r\n");
    for (unsigned i = 0; i < ARRAY_LEN(useless); i++) {
        fake_web_answer(f->web, UPR_LIST, useless[i].status, useless[i].body);
        upr_list(f, 1);
        upr_wait(f);
        assert_int_equal(f->code, ERR_PROTO);
        assert_int_equal(fake_web_n(f->web, NULL), i + 1);
    }
    assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
    assert_int_equal(upr_logged(f, "level=warn"), 0); /* who asked tells */
}

/* A captcha, a login, a notice for people: one is an accident, several in a row are a refusal. */
static void pages_for_people_are_a_refusal(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    for (unsigned i = 0; i < 12; i++) {
        fake_web_answer(f->web, UPR_LIST, 200, i % 4 == 3 ? LIST : " \n<!DOCTYPE html><html>");
        upr_list(f, 1);
        upr_wait(f);
        assert_int_equal(f->code, i % 4 == 3 ? ERR_OK : ERR_PROTO);
    }
    fake_web_answer(f->web, UPR_LIST, 302, "");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
        upr_list(f, 1);
        upr_wait(f);
    }
    assert_int_equal(f->code, ERR_FORBIDDEN);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
    assert_string_equal(info(f).breaker_cause, "page");
    const unsigned n = fake_web_n(f->web, NULL);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_int_equal(fake_web_n(f->web, NULL), n);
    /* One more after the pause is enough; an answer ends it. */
    upr_advance(f, UPR_BREAKER_MS);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
    upr_advance(f, 2 * UPR_BREAKER_MS);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
}

static void bodies_have_a_limit(void **state)
{
    struct upstream_rig *f = *state;
    char *body = mem_new_array(char, UPSTREAM_BODY_MAX + 100);
    memset(body, ' ', UPSTREAM_BODY_MAX + 10);
    memcpy(body, LIST, sizeof LIST - 1);
    fake_web_answer(f->web, UPR_LIST, 200, body);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
    assert_non_null(strstr(f->err.msg, "too long"));
    body[UPSTREAM_BODY_MAX] = '\0';
    fake_web_answer(f->web, UPR_LIST, 200, body);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    mem_free(body);
    /* So does the head. */
    struct buf head;
    buf_init(&head, 1 << 20);
    for (unsigned i = 0; i < 700; i++) {
        buf_printf(&head, "X-%u: %090u\r\n", i, i);
    }
    buf_put_c(&head, '\0');
    fake_web_header(f->web, UPR_LIST, head.data);
    buf_deinit(&head);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
}

/* ---- nobody there ---- */

static void nobody_there_is_told_once(void **state)
{
    struct upstream_rig *f = *state;
    upr_close(f);
    fake_web_refuse(f->web);
    upr_turns(f, 20);
    upr_open(f);
    for (unsigned i = 0; i < 4; i++) {
        upr_danmu(f, 1);
        upr_resolve(f, 1);
        upr_wait(f);
        assert_int_equal(f->code, ERR_UNAVAILABLE);
    }
    assert_int_equal(f->n_codes[ERR_UNAVAILABLE], 8);
    assert_int_equal(upr_logged(f, "cannot be reached"), 1);
    assert_int_equal(info(f).last_error.code, ERR_UNAVAILABLE);
    assert_true(info(f).last_error_ms > 0);
    upr_advance(f, 600 * 1000);
    upr_resolve(f, 1);
    upr_wait(f);
    assert_int_equal(upr_logged(f, "cannot be reached"), 2);
}

static void back_again_is_told(void **state)
{
    struct upstream_rig *f = *state;
    for (unsigned i = 0; i < UPSTREAM_TRIES; i++) {
        fake_web_once(f->web, UPR_LIST, FAKE_WEB_RESET, "");
    }
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    fake_web_header(f->web, UPR_LIST, "Date: Tue, 14 Nov 2023 22:13:25 GMT\r\n");
    assert_int_equal(info(f).skew_ms, INT64_MIN);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_int_equal(info(f).last_ok_ms, 0);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(upr_logged(f, "upstream answers again"), 1);
    /* The server's clock said 5 s past what ours began with. */
    assert_int_equal(info(f).skew_ms, INT64_C(1700000005000) - info(f).last_ok_ms);
}

static bool first_host(void *ctx, const struct upstream_host_info *host)
{
    struct upstream_host_info *ret = ctx;
    *ret = *host;
    return false;
}

static void silence_is_a_timeout(void **state)
{
    struct upstream_rig *f = *state;
    struct upstream_host_info host;
    upr_close(f);
    f->opts.timeout_ms = 30;
    upr_open(f);
    fake_web_answer(f->web, UPR_LIST, FAKE_WEB_SILENCE, "");
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_int_equal(upr_logged(f, "reason=timeout"), 1);
    upstream_each_host(f->up, first_host, &host);
    assert_str_equal(host.host, fake_web_url(f->web) + sizeof("http://") - 1);
    assert_int_equal(host.n_requests, UPSTREAM_TRIES);
    assert_int_equal(host.n_failed, UPSTREAM_TRIES);
    assert_true(host.last_failed_ms > 0);
}

/* ---- refusals ---- */

static void expect_open(struct upstream_rig *f, const char *cause)
{
    const unsigned n = fake_web_n(f->web, NULL);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
    assert_string_equal(info(f).breaker_cause, cause);
    for (unsigned i = 0; i < 20; i++) {
        upr_list(f, 1);
        upr_resolve(f, 1);
        upr_danmu(f, 1);
        upr_areas(f);
        upr_advance(f, 1000);
        assert_int_equal(f->n_told, f->n_asked);
        assert_int_equal(f->code, ERR_UNAVAILABLE);
        assert_non_null(strstr(f->err.msg, cause));
    }
    assert_int_equal(fake_web_n(f->web, NULL), n);
}

/* ---- a clock that is off ---- */

/* What an answer by a wrong clock says is not used, but that upstream refuses is. */
static void a_wrong_clock_hides_no_ban(void **state)
{
    struct upstream_rig *f = *state;
    static const char hours_off[] = "Date: Tue, 14 Nov 2023 12:13:25 GMT\r\n";
    upr_close(f);
    f->opts.clock_off_max_ms = 300000;
    upr_open(f);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    fake_web_header(f->web, UPR_LIST, hours_off);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE);
    assert_int_equal(upr_logged(f, "differ too much"), 1);
    const unsigned n = fake_web_n(f->web, UPR_LIST);
    fake_web_answer(f->web, UPR_LIST, 412, "<html>banned</html>");
    fake_web_header(f->web, UPR_LIST, hours_off);
    upr_list(f, 1);
    upr_wait(f);
    expect_open(f, "http_412");
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(fake_web_n(f->web, UPR_LIST), n + 1);
}

static void a_ban_stops_everything(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_answer(f->web, UPR_LIST, 412, "<html>banned</html>");
    fake_web_answer(f->web, UPR_GET_INFO, 500, "");
    upr_resolve(f, 1);
    upr_turns(f, 50); /* asleep, to try again */
    upr_list(f, 1);
    for (unsigned i = 0; i < 20; i++) {
        upr_danmu(f, 1); /* waiting for its turn, or for the identity */
    }
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_FORBIDDEN], 1);
    assert_int_equal(f->n_codes[ERR_OK] + f->n_codes[ERR_UNAVAILABLE], 21);
    assert_true(f->n_codes[ERR_UNAVAILABLE] > 0);
    assert_int_equal(upr_logged(f, "refuses our HTTP requests"), 1);
    assert_int_equal(upr_logged(f, "cause=http_412 seconds=600"), 1);
    expect_open(f, "http_412");
    assert_int_equal(upr_logged(f, "refuses our HTTP requests"), 1);
    assert_int_equal(stats_get(f->stats, STAT_UPSTREAM_BREAKER_OPENED), 1);
    assert_true(stats_get(f->stats, STAT_UPSTREAM_CALLS_REFUSED_BREAKER) >= 80);
}

static void one_tries_again(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_LIST, 200, CODE(-412));
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_FORBIDDEN);
    expect_open(f, "code_-412");
    upr_advance(f, UPR_BREAKER_MS);
    assert_int_equal(info(f).breaker, UPSTREAM_HALF_OPEN);
    /* Of three, one leaves; when it is refused the others are not even tried. */
    unsigned n = fake_web_n(f->web, NULL);
    for (unsigned i = 0; i < 3; i++) {
        upr_list(f, 1);
    }
    upr_wait(f);
    assert_int_equal(fake_web_n(f->web, NULL), n + 1);
    assert_int_equal(f->n_codes[ERR_FORBIDDEN], 2);
    assert_int_equal(upr_logged(f, "cause=code_-412 seconds=1200"), 1);
    upr_advance(f, UPR_BREAKER_MS + 1000);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
    upr_advance(f, UPR_BREAKER_MS);
    assert_int_equal(info(f).breaker, UPSTREAM_HALF_OPEN);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    n = fake_web_n(f->web, NULL);
    for (unsigned i = 0; i < 3; i++) {
        upr_list(f, 1);
    }
    upr_wait(f);
    assert_int_equal(fake_web_n(f->web, NULL), n + 3);
    assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
    assert_int_equal(info(f).breaker_until_ms, 0);
    assert_string_equal(info(f).breaker_cause, "");
    assert_int_equal(upr_logged(f, "takes our HTTP requests again"), 1);
}

/* While one tries, the others wait for what comes of it. */
static void only_one_tries(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_LIST, 200, CODE(-412));
    upr_list(f, 1);
    upr_wait(f);
    fake_web_answer(f->web, UPR_LIST, FAKE_WEB_SILENCE, "");
    upr_advance(f, UPR_BREAKER_MS);
    const unsigned n = fake_web_n(f->web, NULL);
    for (unsigned i = 0; i < 5; i++) {
        upr_list(f, 1);
    }
    upr_turns(f, 50);
    upr_advance(f, 5000);
    assert_int_equal(fake_web_n(f->web, NULL), n + 1);
    assert_int_equal(info(f).breaker, UPSTREAM_HALF_OPEN);
    assert_int_equal(info(f).n_waiting, 5);
}

/* What is needed first may ask too, but proves nothing. */
static void the_identity_does_not_close_it(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_LIST, 200, CODE(-412));
    fake_web_answer(f->web, UPR_DANMU, 200, CODE(-412));
    upr_list(f, 1);
    upr_wait(f);
    upr_advance(f, UPR_BREAKER_MS);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_FORBIDDEN);
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 1);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 1);
    assert_int_equal(upr_logged(f, "takes our HTTP requests again"), 0);
    assert_int_equal(upr_logged(f, "seconds=1200"), 1);
}

static void suspicion_is_met_once(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_once(f->web, UPR_DANMU, 200, CODE(-352));
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 2);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 2);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), 2);
    assert_int_equal(stats_get(f->stats, STAT_UPSTREAM_REFRESHES), 1);
    assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
    /* Several at once make it anew once. */
    upr_advance(f, 10000);
    for (unsigned i = 0; i < 4; i++) {
        fake_web_once(f->web, UPR_DANMU, 200, CODE(-352));
        upr_danmu(f, 1);
    }
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 5);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 3);
    assert_int_equal(stats_get(f->stats, STAT_UPSTREAM_REFRESHES), 2);
    /* And when that does not help: */
    fake_web_answer(f->web, UPR_DANMU, 200, CODE(-352));
    const unsigned n = fake_web_n(f->web, UPR_DANMU);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_FORBIDDEN);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), n + 2);
    assert_int_equal(fake_web_n(f->web, UPR_CONF), 0); /* no other door */
    expect_open(f, "code_-352");
    /* The one that tries again has a new key, and no second try. */
    upr_advance(f, UPR_BREAKER_MS);
    const unsigned keys = fake_web_n(f->web, UPR_NAV);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_FORBIDDEN);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), keys + 1);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), n + 3);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
}

static void a_voucher_is_suspicion(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    fake_web_once(f->web, UPR_LIST, 200, VOUCHER);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(fake_web_n(f->web, UPR_LIST), 2);
    fake_web_answer(f->web, UPR_LIST, 200, VOUCHER);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_FORBIDDEN);
    expect_open(f, "v_voucher");
}

/* The identity itself is refused. */
static void no_identity(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_NAV, 200, "{\"code\":0,\"data\":{\"isLogin\":false}}");
    upr_danmu(f, 1);
    upr_danmu(f, 2);
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_UNAVAILABLE], 2);
    assert_non_null(strstr(f->err.msg, "no key to sign with"));
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 1); /* once for both */
    fake_web_answer(f->web, UPR_NAV, 200, CODE(-352));
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE); /* it was not this call that was refused */
    expect_open(f, "code_-352");
}

static void figures(void **state)
{
    struct upstream_rig *f = *state;
    struct buf out;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 412, "");
    upr_danmu(f, 1);
    upr_wait(f);
    buf_init(&out, 1 << 20);
    stats_write_prometheus(f->stats, &out);
    buf_put_c(&out, '\0');
    assert_true(buf_ok(&out));
    assert_non_null(strstr(out.data, "\ndanmakud_upstream_breaker 1\n"));
    assert_non_null(strstr(out.data, "endpoint=\"getDanmuInfo\",outcome=\"http_412\"} 1\n"));
    assert_non_null(strstr(out.data, "endpoint=\"nav\",outcome=\"ok\"} 1\n"));
    assert_non_null(strstr(out.data, "danmakud_upstream_requests_total{host=\"127.0.0.1:"));
    assert_non_null(strstr(out.data, "\ndanmakud_upstream_login 0\n"));
    buf_deinit(&out);
}

/* ---- all of it, at random ---- */

static void new_weather(struct upstream_rig *f, struct rng *r)
{
    static const char *const paths[] = {UPR_GET_INFO, UPR_ROOM_INIT, UPR_BASE_INFO, UPR_LIST,
                                        UPR_DANMU,    UPR_CONF,      UPR_NAV,       UPR_SPI};
    static const struct {
        int status;
        const char *body;
    } answers[] = {
        {200, CODE(-352)},
        {200, CODE(-412)},
        {200, CODE(-799)},
        {200, CODE(-101)},
        {200, VOUCHER},
        {200, "<html>"},
        {412, ""},
        {500, ""},
        {404, "no"},
        {200, CODE(1)},
        {FAKE_WEB_CLOSE, ""},
        {FAKE_WEB_RESET, ""},
    };
    const size_t a = (size_t)rng_below(r, ARRAY_LEN(answers));
    const char *const path = paths[rng_below(r, ARRAY_LEN(paths))];
    if (fake_web_n_once(f->web, path) < 4) {
        fake_web_once(f->web, path, answers[a].status, answers[a].body);
    }
}

static void ask_something(struct upstream_rig *f, struct rng *r)
{
    const int64_t room = rng_between(r, 1, 5);
    switch (rng_below(r, 4)) {
    case 0:
        upr_resolve(f, room);
        break;
    case 1:
        upr_status(f, &room, 1);
        break;
    case 2:
        upr_list(f, 1);
        break;
    default:
        upr_danmu(f, room);
        break;
    }
}

/* Every call is told once; while the breaker is open and what had left has been answered, nothing leaves. */
static void any_weather(void **state)
{
    struct upstream_rig *f = *state;
    struct rng r;
    unsigned n_when_open = 0;
    unsigned n_opened = 0;
    bool open = false;
    test_rng(&r);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    fake_web_answer(f->web, UPR_GET_INFO, 200, ROOM);
    fake_web_answer(f->web, UPR_BASE_INFO, 200, "{\"code\":0,\"data\":{\"by_room_ids\":{}}}");
    for (unsigned step = 0; step < 600; step++) {
        if (rng_below(&r, 4) == 0) {
            new_weather(f, &r);
        }
        ask_something(f, &r);
        clock_fake_advance(&f->clock, rng_between(&r, 0, 3000));
        clock_fake_advance(&f->clock, rng_below(&r, 50) == 0 ? UPR_BREAKER_MS : 0);
        upr_turns(f, (unsigned)rng_below(&r, 8));
        assert_true(f->n_told <= f->n_asked);
        const bool now_open = info(f).breaker == UPSTREAM_OPEN;
        if (open && now_open) {
            assert_int_equal(fake_web_n(f->web, NULL), n_when_open);
        }
        open = now_open && f->n_told == f->n_asked && info(f).n_waiting == 0;
        n_when_open = fake_web_n(f->web, NULL);
        n_opened += open;
    }
    upr_wait(f);
    assert_int_equal(info(f).n_waiting, 0);
    assert_true(f->n_codes[ERR_OK] > 0 && n_opened > 0);
    assert_int_equal(f->n_codes[ERR_CANCELED] + f->n_codes[ERR_INVALID] + f->n_codes[ERR_FULL], 0);
}

/* ---- the end ---- */

static void closed_after_k_turns(void **state)
{
    struct upstream_rig *f = *state;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_answer(f->web, UPR_GET_INFO, 500, "");
    fake_web_answer(f->web, UPR_LIST, FAKE_WEB_SILENCE, "");
    char folder[TMP_PATH_BYTES];
    for (unsigned k = 0; k <= 40; k++) {
        upr_danmu(f, 1);
        upr_danmu(f, 2);
        upr_resolve(f, 1);
        upr_list(f, 1);
        upr_list(f, 0);
        if (k % 2 == 0) {
            loop_run_turns(f->loop, k / 2);
        } else {
            upr_turns(f, k / 2);
        }
        upr_close_now(f);
        /* Told from the loop, not from within. */
        const unsigned told = f->n_told;
        assert_false(f->closed);
        upr_turns(f, 2);
        assert_true(f->n_told >= told);
        assert_true(loop_run_until(f->loop, &f->closed, 2000));
        assert_int_equal(f->n_told, f->n_asked);
        /* Without a device id again; the one of before may still be on its way to the disk. */
        tmp_path(&f->dir, (char[]){'a' + (char)(k % 26), 'a' + (char)(k / 26), '\0'}, folder);
        assert_return_code(mkdir(folder, 0700), errno);
        f->opts.state_dir = str_of(folder);
        upr_open(f);
    }
    assert_true(f->n_codes[ERR_CANCELED] > 40);
    f->opts.state_dir = STR_NULL;
}

static void on_told_close(void *ctx, enum err_code code, const struct upstream_room *rooms,
                          size_t n, const struct err *err)
{
    struct upstream_rig *f = ctx;
    (void)code;
    (void)rooms;
    (void)n;
    (void)err;
    f->n_told++;
    if (!f->closing) {
        f->closing = true;
        upr_close_now(f);
        upr_list(f, 1); /* asked of one that closes */
    }
}

static void closed_from_a_callback(void **state)
{
    static const char *const bodies[] = {LIST, CODE(-412), "x"};
    struct upstream_rig *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_web_answer(f->web, UPR_LIST, 200, bodies[i]);
        f->closing = false;
        f->n_asked += 2;
        upstream_list(f->up, 0, 0, 1, 50, on_told_close, f);
        upstream_list(f->up, 0, 0, 2, 50, on_told_close, f);
        assert_true(loop_run_until(f->loop, &f->closed, 4000));
        assert_int_equal(f->n_told, f->n_asked);
        assert_int_equal(f->code, ERR_CANCELED);
        upr_open(f);
    }
}

/* What waits and what is under way is asked for at the new server; the old one's ban does not count there. */
static void other_servers(void **state)
{
    struct upstream_rig *f = *state;
    struct fake_web *other = fake_web_new(f->loop);
    upr_close(f);
    f->opts.timeout_ms = 100;
    f->opts.burst = 1;
    upr_open(f);
    fake_web_answer(f->web, UPR_LIST, FAKE_WEB_SILENCE, "");
    fake_web_answer(other, UPR_LIST, 200, LIST);
    upr_list(f, 1);
    upr_list(f, 2);
    upr_turns(f, 20);
    f->opts.timeout_ms = UPR_TIMEOUT_MS;
    struct upstream_opts opts = f->opts;
    opts.live_url = opts.api_url = opts.www_url = str_of(fake_web_url(other));
    upstream_configure(f->up, &opts);
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 2);
    assert_int_equal(fake_web_n(f->web, UPR_LIST), 1);
    assert_int_equal(fake_web_n(other, UPR_LIST), 2);
    fake_web_answer(other, UPR_LIST, 412, "banned");
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(info(f).breaker, UPSTREAM_OPEN);
    fake_web_answer(f->web, UPR_LIST, 200, LIST);
    upstream_configure(f->up, &f->opts);
    assert_int_equal(info(f).breaker, UPSTREAM_CLOSED);
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 3);
    upr_close(f);
    fake_web_free(other);
    upr_open(f);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, upr_setup, upr_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(requests_are_paced),
        CASE(rooms_and_questions_take_turns),
        CASE(each_host_has_its_own_pace),
        CASE(too_many_calls),
        CASE(failures_are_tried_again),
        CASE(repeats_wait),
        CASE(answers_of_no_use_are_not_repeated),
        CASE(pages_for_people_are_a_refusal),
        CASE(bodies_have_a_limit),
        CASE(nobody_there_is_told_once),
        CASE(back_again_is_told),
        CASE(a_wrong_clock_hides_no_ban),
        CASE(silence_is_a_timeout),
        CASE(other_servers),
        CASE(a_ban_stops_everything),
        CASE(one_tries_again),
        CASE(only_one_tries),
        CASE(the_identity_does_not_close_it),
        CASE(suspicion_is_met_once),
        CASE(a_voucher_is_suspicion),
        CASE(no_identity),
        CASE(figures),
        CASE(any_weather),
        CASE(closed_after_k_turns),
        CASE(closed_from_a_callback),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
