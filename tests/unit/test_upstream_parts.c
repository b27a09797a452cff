/* The pure parts of collector/upstream: signature, bucket, breaker, cookies; and the kept file. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/upstream/breaker.h"
#include "collector/upstream/bucket.h"
#include "collector/upstream/cookies.h"
#include "collector/upstream/keep_file.h"
#include "collector/upstream/parse.h"
#include "collector/upstream/wbi.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "tests/support/loop_until.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

/* ---- signature ---- */

#define IMG "https://i0.hdslb.com/bfs/wbi/7cd084941338484aae1ad9425b84077c.png"
#define SUB "https://i0.hdslb.com/bfs/wbi/4932caff0ff746eab6f01bf08b70ac45.png"

static void key_of_the_day(void **state)
{
    (void)state;
    struct wbi_key key;
    struct err err;
    assert_int_equal(wbi_key_make(STR(IMG), STR(SUB), &key, &err), ERR_OK);
    assert_string_equal(key.text, "ea1db124af3c7062474693fa704f4ff8");
    assert_int_equal(wbi_key_make(STR("7cd084941338484aae1ad9425b84077c"), STR(SUB), &key, &err),
                     ERR_OK);
    static const char *const wrong[] = {"",
                                        "/",
                                        "https://x/.png",
                                        "https://x/7cd084941338484aae1ad9425b84077.png",
                                        "https://x/7cd084941338484aae1ad9425b84077cc.png",
                                        "https://x/7cd084941338484aae1ad9425b84077z.png",
                                        "https://x/7cd084941338484aae1ad9425b84077c/",
                                        "https://x/7cd084941338484aae1ad9425b84077c?x"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(wbi_key_make(str_of(wrong[i]), STR(SUB), &key, &err), ERR_INVALID);
        assert_int_equal(wbi_key_make(STR(IMG), str_of(wrong[i]), &key, NULL), ERR_INVALID);
    }
}

static void expect_signed(const struct wbi_param *params, size_t n, int64_t wts, const char *text)
{
    struct wbi_key key;
    struct buf out;
    struct err err;
    buf_init(&out, 4096);
    assert_int_equal(wbi_key_make(STR(IMG), STR(SUB), &key, &err), ERR_OK);
    assert_int_equal(wbi_sign(&key, params, n, wts, &out, &err), ERR_OK);
    assert_str_equal(buf_str(&out), text);
    buf_deinit(&out);
}

static void signatures(void **state)
{
    (void)state;
    const struct wbi_param a[] = {
        {STR("foo"), STR("114")}, {STR("zab"), STR("1919810")}, {STR("bar"), STR("514")}};
    expect_signed(a, ARRAY_LEN(a), 1702204169,
                  "bar=514&foo=114&wts=1702204169&zab=1919810"
                  "&w_rid=8f6f2b5b3d485fe1886cec6a0be8c5d4");
    const struct wbi_param b[] = {{STR("foo"), STR(")-_-( F**' 哔~!")}, {STR("bar"), STR("2333")}};
    expect_signed(b, ARRAY_LEN(b), 1748867128,
                  "bar=2333&foo=-_-%20F%20%E5%93%94~&wts=1748867128"
                  "&w_rid=6ba96e28a3f09b40e704f1e4b4f8e3e3");
    const struct wbi_param c[] = {
        {STR("web_location"), STR("444.8")}, {STR("type"), STR("0")}, {STR("id"), STR("5440")}};
    expect_signed(c, ARRAY_LEN(c), 1700000000,
                  "id=5440&type=0&web_location=444.8&wts=1700000000"
                  "&w_rid=628689389ddbe70d918ab55b57fabf3a");
}

static void too_long_to_sign(void **state)
{
    (void)state;
    const size_t len = 64 * 1024;
    char *text = mem_new_array(char, len);
    struct wbi_key key;
    struct buf out;
    struct err err;
    memset(text, 'x', len);
    const struct wbi_param p[] = {{STR("a"), {text, len}}};
    buf_init(&out, 1 << 20);
    assert_int_equal(wbi_key_make(STR(IMG), STR(SUB), &key, &err), ERR_OK);
    assert_int_equal(wbi_sign(&key, p, 1, 1, &out, &err), ERR_INVALID);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
    mem_free(text);
}

/* ---- bucket ---- */

static void bucket_gives_burst_then_rate(void **state)
{
    (void)state;
    struct bucket b;
    bucket_init(&b, 2, 3, 1000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bucket_wait_ms(&b, 1000), 0);
        assert_true(bucket_take(&b, 1000));
    }
    assert_false(bucket_take(&b, 1000));
    const int64_t wait = bucket_wait_ms(&b, 1000);
    assert_in_range(wait, 500, 501);
    assert_false(bucket_take(&b, 1400));
    assert_true(bucket_take(&b, 1000 + wait));
    assert_false(bucket_take(&b, 1000 + wait));
    /* A clock that steps back gives nothing; a long rest gives the burst and no more. */
    assert_false(bucket_take(&b, 0));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(bucket_take(&b, 1000000));
    }
    assert_false(bucket_take(&b, 1000000));
}

/* Over a long time the rate holds whatever the asking. */
static void bucket_holds_the_rate(void **state)
{
    (void)state;
    struct bucket b;
    struct rng r;
    unsigned taken = 0;
    int64_t now = 0;
    test_rng(&r);
    bucket_init(&b, 10, 5, 0);
    while (now < 100000) {
        taken += bucket_take(&b, now);
        now += (int64_t)rng_below(&r, 60);
    }
    assert_in_range(taken, 950, 1006);
}

/* ---- breaker ---- */

static void breaker_opens_and_doubles(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 600000);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    assert_false(breaker_ok(&b, 0));
    assert_true(breaker_trip(&b, 1000, "a"));
    assert_string_equal(b.cause, "a");
    assert_false(breaker_trip(&b, 2000, "b")); /* an answer to what had left before */
    assert_false(breaker_ok(&b, 2000));
    assert_int_equal(b.until_ms, 601000);
    assert_int_equal(breaker_state(&b, 600999), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 601000), BREAKER_HALF_OPEN);
    /* The one that tries is refused: twice as long, then four times, then an hour and no more. */
    static const int64_t lengths[] = {1200000, 2400000, 3600000, 3600000};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        const int64_t now = b.until_ms + 5;
        assert_true(breaker_trip(&b, now, "c"));
        assert_int_equal(b.until_ms - now, lengths[i]);
    }
    const int64_t closed = b.until_ms;
    assert_true(breaker_ok(&b, closed));
    assert_int_equal(breaker_state(&b, closed), BREAKER_CLOSED);
    assert_string_equal(b.cause, "");
    /* Soon after: no fresh start. */
    assert_true(breaker_trip(&b, closed + 1, "d"));
    assert_int_equal(b.length_ms, 3600000);
    const int64_t again = b.until_ms;
    assert_true(breaker_ok(&b, again));
    assert_true(breaker_trip(&b, again + 600000 * BREAKER_CALM, "e"));
    assert_int_equal(b.length_ms, 600000);
}

/* ---- cookies ---- */

static void expect_cookies(const char *text, const char *header)
{
    struct cookies c;
    struct buf out;
    struct err err;
    buf_init(&out, COOKIES_HEADER_MAX);
    assert_int_equal(cookies_parse(str_of(text), &c, &err), ERR_OK);
    cookies_write(&c, STR("buvid3"), &out);
    assert_str_equal(buf_str(&out), header);
    assert_true(cookies_has_login(&c));
    cookies_deinit(&c);
    cookies_deinit(&c);
    buf_deinit(&out);
}

static void cookie_forms(void **state)
{
    (void)state;
    expect_cookies("SESSDATA=a%2Cb; bili_jct=c;buvid3=x; DedeUserID=12",
                   "SESSDATA=a%2Cb; bili_jct=c; DedeUserID=12");
    expect_cookies("cookie: SESSDATA=a; x=y\r\n", "SESSDATA=a; x=y");
    expect_cookies("# mine\n\nSESSDATA=a\r\n  bili_jct = c \n", "SESSDATA=a; bili_jct=c");
    expect_cookies("SESSDATA=a\nSESSDATA=b", "SESSDATA=b");
    expect_cookies("SESSDATA=a=b==", "SESSDATA=a=b==");
    expect_cookies("# Netscape HTTP Cookie File\n"
                   "#HttpOnly_.bilibili.com\tTRUE\t/\tTRUE\t1790000000\tSESSDATA\tabc\n"
                   ".bilibili.com\tTRUE\t/\tFALSE\t0\tbili_jct\tdef\r\n"
                   "live.bilibili.com\tFALSE\t/\tFALSE\t0\tl\tm\n"
                   ".notbilibili.com\tTRUE\t/\tFALSE\t0\tbank\tsecret\n"
                   ".example.org\tTRUE\t/\tFALSE\t0\tSESSDATA\tother\n",
                   "SESSDATA=abc; bili_jct=def; l=m");
    /* What could break out of the header is no cookie. */
    expect_cookies("SESSDATA=a; evil=x y; n\x01=1; \xe5=1; v=\xe5; w=a\\b; =1; ok=1",
                   "SESSDATA=a; ok=1");
}

static void cookie_files_that_are_none(void **state)
{
    (void)state;
    struct cookies c;
    struct err err;
    static const char *const none[] = {"", "\n\n", "# only this", "no equals sign",
                                       ".example.org\tTRUE\t/\tFALSE\t0\tSESSDATA\tother\n"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(cookies_parse(str_of(none[i]), &c, &err), ERR_INVALID);
    }
    struct buf many;
    buf_init(&many, COOKIES_TEXT_MAX * 2);
    for (unsigned i = 0; i < COOKIES_MAX; i++) {
        buf_printf(&many, "c%u=1\n", i);
    }
    assert_int_equal(cookies_parse(buf_str(&many), &c, &err), ERR_OK);
    assert_false(cookies_has_login(&c));
    cookies_deinit(&c);
    buf_put(&many, STR("one=more"));
    assert_int_equal(cookies_parse(buf_str(&many), &c, &err), ERR_TOO_BIG);
    while (many.len <= COOKIES_TEXT_MAX) {
        buf_put_c(&many, ' ');
    }
    assert_int_equal(cookies_parse(buf_str(&many), &c, &err), ERR_TOO_BIG);
    buf_deinit(&many);
    mem_fault_set(0, 1);
    assert_int_equal(cookies_parse(STR("a=b"), &c, &err), ERR_NOMEM);
}

/* ---- answers, when memory is short ---- */

static enum err_code parse_all(struct arena *a, struct err *err)
{
    struct parse_rooms rooms;
    struct parse_areas areas;
    struct upstream_danmu danmu;
    struct nav nav;
    struct str id;
    enum err_code rc = parse_list(STR("{\"list\":[{\"roomid\":1,\"title\":\"t\"},{\"roomid\":2}]}"),
                                  a, &rooms, err);
    rc = rc ? rc : parse_areas(STR("[{\"id\":1,\"name\":\"x\"}]"), a, &areas, err);
    rc = rc ? rc
            : parse_danmu(STR("{\"token\":\"t\",\"host_list\":[{\"host\":\"h\",\"port\":1}]}"), a,
                          &danmu, err);
    rc = rc ? rc
            : parse_nav(STR("{\"wbi_img\":{\"img_url\":\"a\",\"sub_url\":\"b\"}}"), a, &nav, err);
    return rc ? rc : parse_buvid(STR("{\"b_3\":\"12345678-infoc\"}"), a, &id, err);
}

static void parsers_without_memory(void **state)
{
    (void)state;
    struct arena a;
    struct err err;
    unsigned n_failed = 0;
    /* No block of the arena can be had; and an arena that is full at any place. */
    for (int64_t n = 0; n < 8; n++) {
        arena_init(&a, PARSE_ARENA_MAX);
        mem_fault_set(n, 1);
        const enum err_code rc = parse_all(&a, &err);
        mem_fault_set(-1, 0);
        assert_true(rc == ERR_OK || rc == ERR_NOMEM);
        n_failed += rc != ERR_OK;
        arena_deinit(&a);
    }
    assert_true(n_failed > 0);
    n_failed = 0;
    for (size_t limit = 0; limit < 256 * 1024; limit += limit < 4096 ? 7 : 4096) {
        arena_init(&a, limit);
        const enum err_code rc = parse_all(&a, &err);
        assert_true(rc == ERR_OK || rc == ERR_NOMEM);
        n_failed += rc != ERR_OK;
        arena_deinit(&a);
    }
    assert_true(n_failed > 100);
}

/* ---- the kept file ---- */

struct keep {
    struct loop *loop;
    struct tmp_dir dir;
    char path[TMP_PATH_BYTES];
    bool done;
    enum err_code code;
};

static void on_kept(void *ctx, enum err_code code, const struct err *err)
{
    struct keep *k = ctx;
    assert_false(k->done);
    k->done = true;
    k->code = code;
    assert_int_equal(err == NULL, code == ERR_OK);
}

static enum err_code keep(struct keep *k, const char *path, const char *text)
{
    k->done = false;
    keep_file_write(k->loop, path, str_of(text), on_kept, k);
    assert_false(k->done);
    assert_true(loop_run_until(k->loop, &k->done, 2000));
    return k->code;
}

static void kept_files(void **state)
{
    (void)state;
    struct keep k = {.loop = loop_new()};
    struct buf text;
    struct err err;
    struct stat st;
    char other[TMP_PATH_BYTES];
    tmp_dir_make(&k.dir);
    tmp_path(&k.dir, "f", k.path);
    assert_int_equal(keep_file_read(k.path, 100, &text, &err), ERR_NOT_FOUND);
    assert_int_equal(keep(&k, k.path, "one"), ERR_OK);
    assert_int_equal(keep(&k, k.path, "second"), ERR_OK);
    assert_int_equal(keep_file_read(k.path, 100, &text, &err), ERR_OK);
    assert_str_equal(buf_str(&text), "second\n");
    buf_deinit(&text);
    assert_int_equal(keep_file_read(k.path, 7, &text, &err), ERR_OK);
    buf_deinit(&text);
    assert_int_equal(keep_file_read(k.path, 6, &text, &err), ERR_TOO_BIG);
    assert_int_equal(keep_file_read(k.dir.path, 100, &text, &err), ERR_IO);
    tmp_path(&k.dir, "fifo", other);
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_int_equal(keep_file_read(other, 100, &text, &err), ERR_IO); /* at once */
    assert_string_equal(err.msg, "it is not a regular file");
    assert_int_equal(stat(k.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    tmp_path(&k.dir, "f.new", other);
    assert_int_equal(access(other, F_OK), -1);
    tmp_path(&k.dir, "none/f", other);
    assert_int_equal(keep(&k, other, "x"), ERR_IO);
    /* A folder in the way of the name. */
    tmp_path(&k.dir, "d", other);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(keep(&k, other, "x"), ERR_IO);
    loop_free(k.loop);
    tmp_dir_remove(&k.dir);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_of_the_day),         cmocka_unit_test(signatures),
        cmocka_unit_test(too_long_to_sign),       cmocka_unit_test(bucket_gives_burst_then_rate),
        cmocka_unit_test(bucket_holds_the_rate),  cmocka_unit_test(breaker_opens_and_doubles),
        cmocka_unit_test(cookie_forms),           cmocka_unit_test(cookie_files_that_are_none),
        cmocka_unit_test(parsers_without_memory), cmocka_unit_test(kept_files),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
