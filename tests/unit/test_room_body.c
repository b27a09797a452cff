/* Bodies that change rooms: what is taken, and that everything that is wrong is told. */
#include "api/handlers/room_body.h"

#include "tests/support/run.h"

enum { ADD = ROOM_FIELD_ROOM | ROOM_FIELD_CHANGE };

static struct room_body body;
static struct params errors;

static bool reads(const char *text, unsigned fields)
{
    return room_body_read(str_of(text), fields, &body, &errors);
}

static void good(void **state)
{
    (void)state;
    assert_true(reads("{\"room\": 6}", ADD));
    assert_int_equal(body.room, 6);
    assert_false(body.change.has_paused || body.change.has_pinned || body.change.has_groups);
    assert_true(
        reads(" {\"pinned\":true,\"room\":9007199254740993,\"groups\":[\"a\",\"\\u665a b\",\"a\"],"
              "\"paused\":false} ",
              ADD));
    assert_int_equal(body.room, INT64_C(9007199254740993));
    assert_true(body.change.has_paused && !body.change.paused && body.change.pinned);
    assert_int_equal(body.change.n_groups, 2);
    assert_str_equal(body.change.groups[0], "a");
    assert_str_equal(body.change.groups[1], "晚 b");
    assert_true(reads("{\"groups\":[]}", ROOM_FIELD_CHANGE));
    assert_true(body.change.has_groups && body.change.n_groups == 0);
    assert_true(reads("{\"rooms\":[]}", ROOM_FIELD_ROOMS));
    assert_int_equal(body.n_rooms, 0);
    assert_true(reads("{\"rooms\":[3,1,3]}", ROOM_FIELD_ROOMS));
    assert_int_equal(body.n_rooms, 2);
    assert_int_equal(body.rooms[1], 1);
}

static void bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned fields;
        size_t n;
        const char *param, *code;
    } cases[] = {
        {"", ADD, 1, "body", "invalid_json"},
        {"[]", ADD, 1, "body", "invalid_json"},
        {"{\"room\":6", ADD, 1, "body", "invalid_json"},
        {"{\"room\":6} x", ADD, 1, "body", "invalid_json"},
        {"{\"room\":6,\"groups\":[\"a\"", ADD, 1, "body", "invalid_json"},
        {"{}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":\"6\"}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":6.5}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":0}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":99999999999999999999}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":null}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":6,\"room\":6}", ADD, 1, "room", "invalid_field"},
        {"{\"room\":6,\"rooms\":[6]}", ADD, 1, "rooms", "unknown_field"},
        {"{\"room\":6,\"paused\":1}", ADD, 1, "paused", "invalid_field"},
        {"{\"room\":{\"a\":[1]},\"paused\":\"x\",\"pinned\":null,\"groups\":{},\"z\":[{}]}", ADD, 5,
         "room", "invalid_field"},
        {"{\"room\":6,\"groups\":[\"\"]}", ADD, 1, "groups", "invalid_field"},
        {"{\"room\":6,\"groups\":[\"a,b\"]}", ADD, 1, "groups", "invalid_field"},
        {"{\"room\":6,\"groups\":[\"a\\nb\"]}", ADD, 1, "groups", "invalid_field"},
        {"{\"room\":6,\"groups\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}", ADD, 1, "groups",
         "invalid_field"},
        {"{\"room\":6,\"groups\":[1,\"b\"]}", ADD, 1, "groups", "invalid_field"},
        {"{\"room\":6,\"groups\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\","
         "\"11\",\"12\",\"13\",\"14\","
         "\"15\",\"16\",\"17\"]}",
         ADD, 1, "groups", "invalid_field"},
        {"{}", ROOM_FIELD_CHANGE, 1, "body", "invalid_field"},
        {"{\"room\":6}", ROOM_FIELD_CHANGE, 1, "room", "unknown_field"},
        {"{\"rooms\":6}", ROOM_FIELD_ROOMS, 1, "rooms", "invalid_field"},
        {"{\"rooms\":[1,\"2\",-3]}", ROOM_FIELD_ROOMS, 1, "rooms", "invalid_field"},
        {"{}", ROOM_FIELD_ROOMS, 1, "rooms", "invalid_field"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(reads(cases[i].text, cases[i].fields));
        if (errors.n_errors != cases[i].n) {
            fail_msg("%s: %zu errors", cases[i].text, errors.n_errors);
        }
        assert_string_equal(errors.errors[0].param, cases[i].param);
        assert_string_equal(errors.errors[0].code, cases[i].code);
    }
}

static void limit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 65536);
    buf_put(&b, STR("{\"rooms\":["));
    for (int i = 1; i <= API_ROOMS_SET_MAX; i++) {
        buf_printf(&b, "%d,%d,", i, i);
    }
    const size_t len = b.len;
    buf_put(&b, STR("1]}"));
    assert_true(room_body_read(buf_str(&b), ROOM_FIELD_ROOMS, &body, &errors));
    assert_int_equal(body.n_rooms, API_ROOMS_SET_MAX);
    b.len = len;
    buf_put(&b, STR("100000]}"));
    assert_false(room_body_read(buf_str(&b), ROOM_FIELD_ROOMS, &body, &errors));
    assert_string_equal(errors.errors[0].code, "too_many_rooms");
    buf_deinit(&b);
}

/* Every cut of a good body, and every byte of it changed: told or taken, never worse. */
static void cut_and_changed(void **state)
{
    (void)state;
    static const char text[] = "{\"room\":6,\"groups\":[\"a\\u665a\",\"b\"],\"paused\":true}";
    char copy[sizeof(text)];
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        assert_false(room_body_read((struct str){text, i}, ADD, &body, &errors));
        for (int c = 0; c < 256; c++) {
            memcpy(copy, text, sizeof(text));
            copy[i] = (char)c;
            if (!room_body_read((struct str){copy, sizeof(text) - 1}, ADD, &body, &errors)) {
                assert_true(errors.n_errors > 0);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(limit),
        cmocka_unit_test(cut_and_changed),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
