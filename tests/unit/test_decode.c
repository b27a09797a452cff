#include "collector/wire/decode.h"

#include "api/encode/event_json.h"
#include "server/core/buf.h"
#include "server/core/hash.h"
#include "server/core/id.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/support/run.h"

enum { ROOM = 1000, FILE_MAX = 4 << 20 };
#define RECEIVED_MS INT64_C(1790000000500)

static int setup(void **state)
{
    *state = decoder_new();
    return 0;
}

static int teardown(void **state)
{
    decoder_free(*state);
    return 0;
}

static struct decode_result decode(void **state, struct str json)
{
    struct decode_result r;
    decode_message(*state, ROOM, json, &r);
    return r;
}

#define DECODE(lit) decode(state, STR(lit))

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail_msg("%s cannot be opened", path);
    }
    char *at = buf_reserve(out, FILE_MAX);
    assert_non_null(at);
    buf_commit(out, fread(at, 1, FILE_MAX, f));
    assert_int_equal(fclose(f), 0);
}

/* ---- fixtures ---- */

static void put_event(struct buf *out, const struct event_draft *e, int64_t id)
{
    struct json_out w;
    struct event *event = event_new(id, e);
    assert_non_null(event);
    buf_printf(out, "%016llx ", (unsigned long long)e->nkey);
    jw_init(&w, out);
    event_json(&w, event);
    buf_put_c(out, '\n');
    event_unref(&event);
}

/* One line per event: its key and what a client sees. A message without events gets a line of its own. */
static void decode_file(struct decoder *d, struct str text, struct buf *out)
{
    struct json j;
    struct str message;
    int64_t id = id_first_of_ms(RECEIVED_MS);
    json_init(&j, text);
    assert_true(json_enter_array(&j));
    while (json_next_elem(&j)) {
        struct decode_result r;
        assert_true(json_raw(&j, &message));
        decode_message(d, ROOM, message, &r);
        if (r.status == DECODE_BROKEN) {
            buf_printf(out, "broken: %s\n", r.reason);
        }
        for (size_t i = 0; i < r.n; i++) {
            put_event(out, &r.drafts[i], id + (int64_t)i);
        }
        id += ID_EVENTS_PER_MESSAGE;
    }
    assert_true(json_at_end(&j));
}

/* The expected lines were read by a person; DM_UPDATE_FIXTURES=1 writes them anew. */
static void check_fixture(struct decoder *d, const char *name)
{
    struct buf text, got, want, path;
    buf_init(&text, FILE_MAX);
    buf_init(&got, FILE_MAX);
    buf_init(&want, FILE_MAX);
    buf_init(&path, 4096);
    buf_printf(&path, DM_SOURCE_DIR "/tests/fixtures/%s.json%c", name, '\0');
    read_file(path.data, &text);
    decode_file(d, buf_str(&text), &got);
    assert_true(buf_ok(&got));
    buf_clear(&path);
    buf_printf(&path, DM_SOURCE_DIR "/tests/fixtures/%s.events%c", name, '\0');
    if (getenv("DM_UPDATE_FIXTURES")) {
        FILE *f = fopen(path.data, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(got.data, 1, got.len, f), got.len);
        assert_int_equal(fclose(f), 0);
    }
    read_file(path.data, &want);
    buf_put_c(&got, '\0');
    buf_put_c(&want, '\0');
    assert_string_equal(got.data, want.data);
    buf_deinit(&text);
    buf_deinit(&got);
    buf_deinit(&want);
    buf_deinit(&path);
}

static void test_fixtures(void **state)
{
    check_fixture(*state, "DANMU_MSG");
    check_fixture(*state, "DANMU_MSG_MIRROR");
    check_fixture(*state, "SEND_GIFT");
    check_fixture(*state, "SUPER_CHAT_MESSAGE");
    check_fixture(*state, "LIVE");
    check_fixture(*state, "PREPARING");
}

/* ---- the command ---- */

static void test_command(void **state)
{
    struct decode_result r = DECODE("{\"cmd\":\"NOT_KNOWN:1:2\",\"data\":[1,2,}");
    assert_int_equal(r.status, DECODE_UNKNOWN); /* nothing else of it is looked at */
    assert_str_equal(r.cmd, "NOT_KNOWN");
    assert_int_equal(r.n, 0);
    r = DECODE("{\"roomid\":1,\"x\":{\"cmd\":\"A\"},\"cmd\":\"LAST\"}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_str_equal(r.cmd, "LAST");
    r = DECODE("{\"mtime\":5,\"scatter\":[0,300]}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_int_equal(r.cmd.len, 0);
    r = DECODE("{\"msg\":{\"cmd\":\"LIVE\"}}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_int_equal(r.cmd.len, 0);
    r = DECODE("{\"cmd\":5}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_int_equal(r.cmd.len, 0);
    r = DECODE("{\"cmd\":\":x\"}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_int_equal(r.cmd.len, 0);
    r = DECODE("[1,2]");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    r = DECODE("{\"cmd\":\"L\\u0049VE\",\"live_key\":\"1\"}");
    assert_int_equal(r.status, DECODE_OK);
    assert_str_equal(r.cmd, "LIVE");
    r = DECODE("{\"cmd\":\"\\ud800\\u0000A\xff\"}");
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_true(utf8_valid(r.cmd));
    assert_str_equal(r.cmd, "\xef\xbf\xbd"
                            "A\xef\xbf\xbd");
}

static void test_long_command_is_cut(void **state)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put(&b, STR("{\"cmd\":\""));
    for (int i = 0; i < 100; i++) {
        buf_put(&b, STR("\xe4\xb8\xad"));
    }
    buf_put(&b, STR("\"}"));
    const struct decode_result r = decode(state, buf_str(&b));
    assert_int_equal(r.status, DECODE_UNKNOWN);
    assert_int_equal(r.cmd.len, DECODE_CMD_MAX / 3 * 3);
    assert_true(utf8_valid(r.cmd));
    buf_deinit(&b);
}

static void test_broken(void **state)
{
    static const char *const broken[] = {
        "",
        " ",
        "x",
        "{",
        "{\"cmd\"",
        "{\"a\":1,}",
        "{\"a\":1}x",
        "{\"cmd\":\"DANMU_MSG\"}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":null}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":{}}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[]}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],null]}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],[]]}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],\"x\"]",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],\"x\"]} {}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],\"x\"",
        "{\"cmd\":\"SEND_GIFT\",\"data\":null}",
        "{\"cmd\":\"SEND_GIFT\",\"data\":{}}",
        "{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":0,\"giftName\":\"\"}}",
        "{\"cmd\":\"SUPER_CHAT_MESSAGE\",\"data\":{\"message\":\"x\"}}",
        "{\"cmd\":\"LIVE\",\"live_key\":\"1\"",
        "{\"cmd\":\"PREPARING\",\"round\":}",
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        const struct decode_result r = decode(state, str_of(broken[i]));
        assert_int_equal(r.status, DECODE_BROKEN);
        assert_non_null(r.reason);
        assert_int_equal(r.n, 0);
    }
}

static void put_nested(struct buf *b, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        buf_put(b, i % 2 ? STR("[") : STR("{\"x\":"));
    }
    buf_put_c(b, '1');
    for (unsigned i = depth; i > 0; i--) {
        buf_put_c(b, (i - 1) % 2 ? ']' : '}');
    }
}

static void test_depth(void **state)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    put_nested(&b, 1000);
    assert_int_equal(decode(state, buf_str(&b)).status, DECODE_BROKEN);
    buf_clear(&b);
    buf_put(&b, STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,0,5,6,0,\"a\",0,0,0,\"\",0,"));
    put_nested(&b, 1000);
    buf_put(&b, STR("],\"x\"]}"));
    assert_int_equal(decode(state, buf_str(&b)).status, DECODE_BROKEN);
    /* inside of extra it costs only what extra would have told */
    buf_clear(&b);
    buf_put(&b, STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,0,5,6,0,\"a\",0,0,0,\"\",0,0,0,"
                    "{\"extra\":\"{"));
    buf_put(&b, STR("\\\"id_str\\\":\\\"k\\\",\\\"emots\\\":"));
    for (int i = 0; i < 1000; i++) {
        buf_put_c(&b, '[');
    }
    buf_put(&b, STR("\"}],\"x\"]}"));
    const struct decode_result r = decode(state, buf_str(&b));
    assert_int_equal(r.status, DECODE_OK);
    assert_int_equal(r.n, 1);
    buf_deinit(&b);
}

/* ---- chat ---- */

static const struct event_draft *one(struct decode_result r, enum event_kind kind)
{
    assert_int_equal(r.status, DECODE_OK);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.drafts[0].kind, kind);
    assert_int_equal(r.drafts[0].room_id, ROOM);
    return &r.drafts[0];
}

static void test_chat_minimal(void **state)
{
    const struct event_draft *e =
        one(DECODE("{\"cmd\":\"DANMU_MSG\",\"info\":[null,\"x\"]}"), EVENT_DANMAKU);
    assert_str_equal(e->text, "x");
    assert_int_equal(e->mode, 1);
    assert_int_equal(e->actor, 0);
    assert_int_equal(e->flags, EVENT_F_MASKED);
    assert_int_equal(e->extra.len, 0);
    assert_int_equal(e->sent_ms, 0);
    e = one(DECODE("{\"info\":[[],12],\"cmd\":\"DANMU_MSG\"}"), EVENT_DANMAKU);
    assert_str_equal(e->text, "12");
}

#define CHAT(meta_tail, rest)                                                                      \
    DECODE("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,16777215,1790000000123,77,0,"                 \
           "\"1b2fc15b\"" meta_tail "],\"text\"" rest "]}")

static void test_chat_key(void **state)
{
#define WITH_ID(id) CHAT(",0,0,0,\"\",0,0,0,{\"extra\":\"{\\\"id_str\\\":\\\"" id "\\\"}\"}", "")
    const int64_t a = one(WITH_ID("abc"), EVENT_DANMAKU)->nkey;
    assert_true(a == one(WITH_ID("abc"), EVENT_DANMAKU)->nkey);
    assert_true(a == one(WITH_ID("a\\\\u0062c"), EVENT_DANMAKU)->nkey);
    assert_true(a != one(WITH_ID("abd"), EVENT_DANMAKU)->nkey);
    struct hash64 h;
    hash64_init(&h, EVENT_DANMAKU);
    hash64_str(&h, STR("abc"));
    assert_true(a == hash64_done(&h));
    /* without an id: hash, time, random, check token, text */
    const int64_t b =
        one(CHAT("", ",[5,\"n\"],[],[],[],0,0,null,{\"ct\":\"AA\"}"), EVENT_DANMAKU)->nkey;
    hash64_init(&h, EVENT_DANMAKU);
    hash64_str(&h, STR("1b2fc15b"));
    hash64_i64(&h, INT64_C(1790000000123));
    hash64_i64(&h, 77);
    hash64_str(&h, STR("AA"));
    hash64_str(&h, STR("text"));
    assert_true(b == hash64_done(&h));
    assert_true(b !=
                one(CHAT("", ",[5,\"n\"],[],[],[],0,0,null,{\"ct\":\"AB\"}"), EVENT_DANMAKU)->nkey);
    assert_true(a != b);
}

static void test_masked_sender(void **state)
{
    /* the hash of the uid tells masked senders apart */
    const int64_t by_hash = one(CHAT("", ",[0,\"x***\"]"), EVENT_DANMAKU)->actor;
    assert_true(by_hash == -1 - INT64_C(0x1b2fc15b));
    assert_int_equal(one(CHAT("", ",[0,\"y***\"]"), EVENT_DANMAKU)->actor, by_hash);
    /* crc32("0") is no hash of anybody: the masked name is all there is */
#define NOBODY(name)                                                                               \
    DECODE("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,0,5,6,0,\"f4dbdf21\"],\"t\",[0,\"" name       \
           "\"]]}")
    const struct event_draft *e = one(NOBODY("x***"), EVENT_DANMAKU);
    const int64_t by_name = e->actor;
    assert_int_equal(e->flags, EVENT_F_MASKED);
    assert_str_equal(e->uname, "x***");
    assert_true(by_name < -(INT64_C(1) << 32));
    assert_true(by_name == one(NOBODY("x***"), EVENT_DANMAKU)->actor);
    assert_true(by_name != one(NOBODY("y***"), EVENT_DANMAKU)->actor);
    e = one(NOBODY(""), EVENT_DANMAKU);
    assert_int_equal(e->actor, 0);
    assert_int_equal(e->flags, EVENT_F_MASKED);
    /* a name without a mask is none */
    e = one(CHAT("", ",[7,\"x***\"]"), EVENT_DANMAKU);
    assert_int_equal(e->actor, 7);
    assert_int_equal(e->flags, 0);
    /* a negative uid is not taken for one of our hashes */
    e = one(NOBODY("z***"), EVENT_DANMAKU);
    assert_int_equal(
        one(DECODE("{\"cmd\":\"DANMU_MSG\",\"info\":[[],\"t\",[-5,\"z***\"]]}"), EVENT_DANMAKU)
            ->actor,
        e->actor);
}

static void test_strings_are_clean(void **state)
{
    const struct event_draft *e =
        one(CHAT("", ",[5,\"a\\u0000b\\ud83d\\udc4d\\ud83d\xff\xe4\xb8\"],[3,\"\xc3\\n\"]"),
            EVENT_DANMAKU);
    assert_str_equal(e->uname, "ab\xf0\x9f\x91\x8d\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_str_equal(e->medal, "\xef\xbf\xbd\n");
    assert_int_equal(e->medal_lv, 3);
}

static void test_long_strings_are_cut(void **state)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put(&b, STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[],\""));
    for (int i = 0; i < 20000; i++) {
        buf_put(&b, STR("\xe4\xb8\xad"));
    }
    buf_put(&b, STR("\",[5,\""));
    for (int i = 0; i < 20000; i++) {
        buf_put(&b, STR("\xe4\xb8\xad"));
    }
    buf_put(&b, STR("\"]]}"));
    const struct event_draft *e = one(decode(state, buf_str(&b)), EVENT_DANMAKU);
    assert_int_equal(e->text.len, EVENT_TEXT_MAX / 3 * 3);
    assert_int_equal(e->uname.len, EVENT_UNAME_MAX / 3 * 3);
    assert_true(utf8_valid(e->text));
    assert_true(utf8_valid(e->uname));
    buf_deinit(&b);
}

/* Parts that would make extra too long are left out; what is there stays an object. */
static void test_extra_is_bounded(void **state)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put(&b, STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,18,0,5,6,0,\"a\",0,0,0,\"\",2,\"{}\","
                    "{\"voice_url\":\"u\",\"text\":\""));
    for (int i = 0; i < 2000; i++) {
        buf_put(&b, STR("\\u0001"));
    }
    buf_put(&b, STR("\"},{\"extra\":\"{\\\"reply_mid\\\":7,\\\"emots\\\":{"));
    for (int i = 0; i < 200; i++) {
        buf_printf(&b, "%s\\\"%d", i ? "," : "", i);
        for (int k = 0; k < 60; k++) {
            buf_put(&b, STR("\\\\u0001"));
        }
        buf_put(&b, STR("\\\":1"));
    }
    buf_put(&b, STR("}}\"}],\"x\"]}"));
    const struct decode_result r = decode(state, buf_str(&b));
    const struct event_draft *e = one(r, EVENT_DANMAKU);
    struct json j;
    assert_true(r.n_left_out >= 1);
    assert_true(e->extra.len <= EVENT_EXTRA_MAX);
    json_init(&j, e->extra);
    json_skip(&j);
    assert_true(json_at_end(&j));
    assert_true(str_starts(e->extra, STR("{\"font_size\":18,\"voice\":{")));
    assert_non_null(memmem(e->extra.ptr, e->extra.len, "\"reply\":{\"uid\":7", 16));
    assert_null(memmem(e->extra.ptr, e->extra.len, "\"emots\"", 7));
    buf_deinit(&b);
}

static void test_doubled_keys(void **state)
{
    const struct event_draft *e = one(
        DECODE(
            "{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":1,\"num\":5},\"data\":{\"giftId\":2,"
            "\"uid\":8,\"uid\":\"9\",\"total_coin\":7,\"coin_type\":\"gold\",\"total_coin\":[]}}"),
        EVENT_GIFT);
    assert_int_equal(e->item_id, 1);
    assert_int_equal(e->num, 5);
    assert_int_equal(e->actor, 0);
    e = one(DECODE("{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":1,\"uid\":8,\"uid\":\"9\",\"total_"
                   "coin\":[],"
                   "\"coin_type\":\"gold\",\"total_coin\":7}}"),
            EVENT_GIFT);
    assert_int_equal(e->actor, 8);
    assert_int_equal(e->value_mcny, 0);
}

/* ---- limits of what is shared between messages ---- */

static void test_one_message_leaves_nothing_for_the_next(void **state)
{
    (void)DECODE("{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":1,\"coin_type\":\"silver\"}}");
    struct decode_result r = DECODE("{\"cmd\":\"NOPE\"}");
    assert_int_equal(r.n, 0);
    const struct event_draft *e = one(DECODE("{\"cmd\":\"LIVE\"}"), EVENT_LIVE);
    assert_int_equal(e->flags, 0);
    assert_int_equal(e->item_id, 0);
    assert_str_equal(e->extra, "{\"state\":\"start\"}");
    assert_int_equal(e->nkey, 0); /* nothing to tell it apart by */
}

static void test_no_memory_for_extra(void **state)
{
    mem_fault_set(0, 1000);
    const struct event_draft *e = one(DECODE("{\"cmd\":\"LIVE\",\"live_key\":\"1\"}"), EVENT_LIVE);
    assert_int_equal(e->extra.len, 0);
    assert_true(e->nkey != 0);
    mem_fault_set(-1, 0);
    e = one(DECODE("{\"cmd\":\"LIVE\",\"live_key\":\"1\"}"), EVENT_LIVE);
    assert_str_equal(e->extra, "{\"state\":\"start\",\"live_key\":\"1\"}");
}

static void test_money_beyond_belief(void **state)
{
    struct decode_result r =
        DECODE("{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":1,\"coin_type\":\"gold\","
               "\"total_coin\":1000000000000}}");
    assert_int_equal(one(r, EVENT_GIFT)->value_mcny, INT64_C(1000000000000));
    assert_int_equal(r.n_left_out, 0);
    r = DECODE("{\"cmd\":\"SEND_GIFT\",\"data\":{\"giftId\":1,\"coin_type\":\"gold\","
               "\"total_coin\":1000000000001}}");
    assert_int_equal(one(r, EVENT_GIFT)->value_mcny, 0);
    assert_int_equal(r.n_left_out, 1);
    r = DECODE("{\"cmd\":\"SUPER_CHAT_MESSAGE\",\"data\":{\"price\":9223372036854775807}}");
    assert_int_equal(one(r, EVENT_SUPERCHAT)->value_mcny, 0);
    assert_int_equal(r.n_left_out, 1);
    r = DECODE("{\"cmd\":\"SUPER_CHAT_MESSAGE\",\"data\":{\"price\":-9223372036854775807}}");
    assert_int_equal(one(r, EVENT_SUPERCHAT)->value_mcny, 0);
    assert_int_equal(r.n_left_out, 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_fixtures),
        CASE(test_command),
        CASE(test_long_command_is_cut),
        CASE(test_broken),
        CASE(test_depth),
        CASE(test_chat_minimal),
        CASE(test_chat_key),
        CASE(test_masked_sender),
        CASE(test_strings_are_clean),
        CASE(test_long_strings_are_cut),
        CASE(test_extra_is_bounded),
        CASE(test_doubled_keys),
        CASE(test_money_beyond_belief),
        CASE(test_one_message_leaves_nothing_for_the_next),
        CASE(test_no_memory_for_extra),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
