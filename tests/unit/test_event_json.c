/* The JSON shape of an event: exact bytes per kind, and always parseable. */
#include "api/encode/event_json.h"

#include <stdio.h>

#include <cjson/cJSON.h>

#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/event/event.h"
#include "tests/support/run.h"

#define TS_MS INT64_C(1795248000123) /* 2026-11-21T08:00:00.123Z */

static struct event make(enum event_kind kind)
{
    struct event_draft d;
    event_draft_init(&d, kind, 6);
    struct event e = {.id = id_first_of_ms(TS_MS) + 16};
#define X(type, name) e.name = d.name;
    EVENT_SCALARS(X)
#undef X
    return e;
}

static void with_user(struct event *e)
{
    e->actor = 2724669966334879;
    e->uname = STR("\xe4\xbd\xa0\"x");
    e->wealth = 7;
}

static void assert_json(const struct event *e, const char *want)
{
    struct buf b;
    struct json_out w;
    buf_init(&b, 1 << 16);
    jw_init(&w, &b);
    event_json(&w, e);
    assert_true(buf_ok(&b));
    if (!str_eq(buf_str(&b), str_of(want))) {
        fail_msg("got  " STR_FMT "\nwant %s", STR_ARG(buf_str(&b)), want);
    }
    cJSON *tree = cJSON_ParseWithLength(b.data, b.len);
    assert_non_null(tree);
    cJSON_Delete(tree);
    buf_deinit(&b);
}

#define HEAD(sent, kind)                                                                           \
    "{\"id\":\"911888666320699408\",\"room_id\":6,\"ts\":\"2026-11-21T08:00:00.123Z\","            \
    "\"ts_ms\":1795248000123,\"sent_ms\":" sent ",\"kind\":\"" kind "\","
#define USER(medal)                                                                                \
    "\"user\":{\"uid\":2724669966334879,\"name\":\"\xe4\xbd\xa0\\\"x\",\"masked\":false,"          \
    "\"guard_level\":0,\"admin\":false,\"wealth_level\":7,\"medal\":" medal "},"

static void test_danmaku(void **state)
{
    (void)state;
    struct event e = make(EVENT_DANMAKU);
    with_user(&e);
    e.sent_ms = TS_MS - 150;
    e.text = STR("hi\n");
    e.color = 255;
    e.mode = 4;
    e.medal = STR("\xe5\xa5\xbd");
    e.medal_lv = 21;
    e.medal_uid = 456;
    e.flags = EVENT_F_MEDAL_HERE;
    e.extra = STR("{\"id_str\":\"51f8\"}");
    assert_json(&e, HEAD("1795247999973", "danmaku")
                        USER("{\"name\":\"\xe5\xa5\xbd\",\"level\":21,\"anchor_uid\":456,\"room_"
                             "id\":6}") "\"text\":\"hi\\n\",\"value_mcny\":0,\"danmaku\":{\"mode\":"
                                        "4,\"color\":255,\"id_str\":\"51f8\"}}");
    e.flags = 0;
    e.extra = STR("{\"medal_room\":99,\"id_str\":\"51f8\"}");
    assert_json(&e, HEAD("1795247999973", "danmaku")
                        USER("{\"name\":\"\xe5\xa5\xbd\",\"level\":21,\"anchor_uid\":456,\"room_"
                             "id\":99}") "\"text\":\"hi\\n\",\"value_mcny\":0,\"danmaku\":{"
                                         "\"mode\":4,\"color\":255,\"id_str\":\"51f8\"}}");
    e.extra = STR("{\"medal_room\":99}");
    e.text = STR_NULL;
    e.medal_uid = 0;
    assert_json(&e, HEAD("1795247999973", "danmaku")
                        USER("{\"name\":\"\xe5\xa5\xbd\",\"level\":21,\"anchor_uid\":null,\"room_"
                             "id\":99}") "\"text\":\"\",\"value_mcny\":0,\"danmaku\":{\"mode\":4,"
                                         "\"color\":255}}");
    e.extra = STR_NULL;
    assert_json(&e, HEAD("1795247999973", "danmaku")
                        USER("{\"name\":\"\xe5\xa5\xbd\",\"level\":21,\"anchor_uid\":null,\"room_"
                             "id\":null}") "\"text\":\"\",\"value_mcny\":0,\"danmaku\":{\"mode\":4,"
                                           "\"color\":255}}");
}

static void test_gift(void **state)
{
    (void)state;
    struct event e = make(EVENT_GIFT);
    with_user(&e);
    e.item_id = 31039;
    e.num = 10;
    e.value_mcny = 1000;
    e.extra = STR("{\"name\":\"x\",\"price\":100}");
    assert_json(&e,
                HEAD("null", "gift") USER("null") "\"text\":null,\"value_mcny\":1000,"
                                                  "\"gift\":{\"gift_id\":31039,\"num\":10,\"coin\":"
                                                  "\"gold\",\"name\":\"x\",\"price\":100}}");
    e.flags = EVENT_F_SILVER;
    e.value_mcny = 0;
    e.num = 0;
    e.extra = STR("{}");
    assert_json(&e,
                HEAD("null", "gift")
                    USER("null") "\"text\":null,\"value_mcny\":0,"
                                 "\"gift\":{\"gift_id\":31039,\"num\":null,\"coin\":\"silver\"}}");
}

static void test_superchat(void **state)
{
    (void)state;
    struct event e = make(EVENT_SUPERCHAT);
    with_user(&e);
    e.text = STR("\xe4\xbd\xa0");
    e.item_id = 9876543;
    e.value_mcny = 30000;
    e.extra = STR("{\"duration_s\":60}");
    assert_json(&e, HEAD("null", "superchat")
                        USER("null") "\"text\":\"\xe4\xbd\xa0\",\"value_mcny\":30000,"
                                     "\"superchat\":{\"superchat_id\":9876543,\"duration_s\":60}}");
}

static void test_room_state(void **state)
{
    (void)state;
    struct event e = make(EVENT_LIVE);
    e.sent_ms = TS_MS;
    e.extra = STR("{\"state\":\"live\",\"live_key\":\"7\"}");
    assert_json(&e,
                HEAD("1795248000123", "live") "\"user\":null,\"text\":null,\"value_mcny\":0,"
                                              "\"live\":{\"state\":\"live\",\"live_key\":\"7\"}}");
    e = make(EVENT_ROOM);
    e.extra = STR("{\"title\":\"t\"}");
    assert_json(
        &e,
        HEAD("null",
             "room") "\"user\":null,\"text\":null,\"value_mcny\":0,\"room\":{\"title\":\"t\"}}");
    e = make(EVENT_WARNING);
    e.text = STR("w");
    assert_json(
        &e,
        HEAD("null", "warning") "\"user\":null,\"text\":\"w\",\"value_mcny\":0,\"warning\":{}}");
}

static void test_other_kinds(void **state)
{
    (void)state;
    struct event e = make(EVENT_GUARD);
    e.guard = 3;
    e.num = 1;
    e.value_mcny = 138000;
    e.uname = STR("x***");
    e.actor = -77;
    e.flags = EVENT_F_MASKED | EVENT_F_ADMIN;
    assert_json(
        &e, HEAD("null",
                 "guard") "\"user\":{\"uid\":\"-77\",\"name\":\"x***\",\"masked\":true,\"guard_"
                          "level\":3,\"admin\":true,"
                          "\"wealth_level\":0,\"medal\":null},\"text\":null,\"value_mcny\":138000,"
                          "\"guard\":{\"level\":3,\"num\":1}}");
    e = make(EVENT_INTERACT);
    e.mode = 2;
    e.uname = STR("only a name");
    assert_json(
        &e, HEAD("null", "interact") "\"user\":{\"uid\":null,\"name\":\"only a "
                                     "name\",\"masked\":false,\"guard_level\":0,\"admin\":false,"
                                     "\"wealth_level\":0,\"medal\":null},\"text\":null,\"value_"
                                     "mcny\":0,\"interact\":{\"type\":2}}");
    e = make(EVENT_LIKE);
    e.uname = STR("a name that must not show");
    e.actor = INT64_MIN;
    e.flags = EVENT_F_HASHED;
    assert_json(&e, HEAD("null", "like") "\"user\":{\"uid\":\"-9223372036854775808\",\"name\":null,"
                                         "\"masked\":false,\"guard_level\":0,"
                                         "\"admin\":false,\"wealth_level\":0,\"medal\":null},"
                                         "\"text\":null,\"value_mcny\":0,\"like\":{}}");
}

/* The column sent_off_ms holds 32 bits: what does not fit there must not show from the ring either. */
static void test_sent_ms_fits_its_column(void **state)
{
    (void)state;
    static const int64_t shown[] = {TS_MS + INT32_MAX, TS_MS + INT32_MIN};
    static const int64_t hidden[] = {TS_MS + INT32_MAX + 1, TS_MS + INT32_MIN - 1, INT64_MIN,
                                     INT64_MAX, 1};
    struct event e = make(EVENT_LIKE);
    e.sent_ms = shown[0];
    assert_json(&e, HEAD("1797395483770",
                         "like") "\"user\":null,\"text\":null,\"value_mcny\":0,\"like\":{}}");
    e.sent_ms = shown[1];
    assert_json(&e, HEAD("1793100516475",
                         "like") "\"user\":null,\"text\":null,\"value_mcny\":0,\"like\":{}}");
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        e.sent_ms = hidden[i];
        assert_json(
            &e, HEAD("null", "like") "\"user\":null,\"text\":null,\"value_mcny\":0,\"like\":{}}");
    }
}

/* Extra that is not as our decoders write it: nothing breaks, no member is lost. */
static void test_odd_extra(void **state)
{
    (void)state;
    static const char *const extras[][2] = {
        {" { \"a\" : 1 } ", "\"a\" : 1"},
        {"{\"medal_room\":0,\"a\":1}", "\"medal_room\":0,\"a\":1"},
        {"{\"medal_room\":\"9\"}", "\"medal_room\":\"9\""},
        {"{\"a\":1,\"medal_room\":9}", "\"a\":1,\"medal_room\":9"},
        {"{\"medal_rooms\":9}", "\"medal_rooms\":9"},
        {"null", ""},
        {"{", ""},
        {"{\"medal_room\":", ""},
        {"{\"medal_room\":9", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(extras); i++) {
        char want[512];
        struct event e = make(EVENT_LIKE);
        e.extra = str_of(extras[i][0]);
        (void)snprintf(
            want, sizeof(want), "%s{%s}}",
            HEAD("null", "like") "\"user\":null,\"text\":null,\"value_mcny\":0,\"like\":",
            extras[i][1]);
        assert_json(&e, want);
    }
}

static struct str random_text(struct rng *rng, char *out, size_t max)
{
    static const char *const pieces[] = {"\"", "\\",        "\n",           "\x01",
                                         "a",  "</script>", "\xe4\xbd\xa0", "\xf0\x9f\x98\x80"};
    size_t n = 0;
    for (uint64_t left = rng_below(rng, 8); left > 0 && n + 10 < max; left--) {
        const char *piece = pieces[rng_below(rng, ARRAY_LEN(pieces))];
        memcpy(out + n, piece, strlen(piece));
        n += strlen(piece);
    }
    out[n] = '\0';
    return (struct str){out, n};
}

static void test_random_events_parse(void **state)
{
    (void)state;
    static const char *const extras[] = {"", "{}", "{\"a\":[1,{}]}", "{\"medal_room\":5}",
                                         "{\"medal_room\":5,\"b\":null}"};
    struct rng rng;
    test_rng(&rng);
    for (int round = 0; round < 20000; round++) {
        char uname[96];
        char text[96];
        char medal[96];
        struct event e = {.id = (int64_t)(rng_u64(&rng) >> 1)};
#define X(type, name) e.name = rng_below(&rng, 3) ? (type)rng_u64(&rng) : (type)0;
        EVENT_SCALARS(X)
#undef X
        e.kind = (int16_t)rng_below(&rng, EVENT_KIND_END + 1);
        e.uname = random_text(&rng, uname, sizeof(uname));
        e.text = random_text(&rng, text, sizeof(text));
        e.medal = random_text(&rng, medal, sizeof(medal));
        e.extra = str_of(extras[rng_below(&rng, ARRAY_LEN(extras))]);
        struct buf b;
        struct json_out w;
        buf_init(&b, 1 << 16);
        jw_init(&w, &b);
        jw_array(&w);
        event_json(&w, &e);
        event_json(&w, &e);
        jw_array_end(&w);
        assert_true(buf_ok(&b));
        cJSON *tree = cJSON_ParseWithLength(b.data, b.len);
        assert_non_null(tree);
        const cJSON *one = cJSON_GetArrayItem(tree, 1);
        assert_int_equal(cJSON_GetArraySize(tree), 2);
        assert_int_equal(cJSON_GetArraySize(one), 10);
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItem(one, "kind"));
        assert_string_equal(kind, event_kind_name((enum event_kind)e.kind));
        assert_true(cJSON_IsObject(cJSON_GetObjectItem(one, kind)));
        const char *got = cJSON_GetStringValue(cJSON_GetObjectItem(one, "text"));
        assert_string_equal(got ? got : "", text);
        cJSON_Delete(tree);
        buf_deinit(&b);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_danmaku),     cmocka_unit_test(test_gift),
        cmocka_unit_test(test_superchat),   cmocka_unit_test(test_room_state),
        cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_sent_ms_fits_its_column),
        cmocka_unit_test(test_odd_extra),   cmocka_unit_test(test_random_events_parse),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
