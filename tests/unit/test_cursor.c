/* Page tokens: what was written is read, anything else is refused. */
#include <stdio.h>
#include <string.h>

#include "api/query/cursor.h"
#include "tests/support/run.h"

static void test_round_trip(void **state)
{
    (void)state;
    const struct cursor cases[] = {
        {.id = 0},
        {.id = -1, .order = ORDER_ASC, .hash = 1},
        {.id = INT64_MAX,
         .floor_ms = INT64_C(1764000000000),
         .hash = INT64_MIN,
         .order = ORDER_ASC,
         .back = true},
        {.id = INT64_C(776539471872000000), .hash = -1, .back = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[CURSOR_TEXT_LEN + 1];
        struct cursor c;
        cursor_write(&cases[i], text);
        assert_int_equal(strlen(text), CURSOR_TEXT_LEN);
        assert_int_equal(
            strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            CURSOR_TEXT_LEN);
        assert_true(cursor_parse(str_of(text), &c));
        assert_true(c.id == cases[i].id && c.floor_ms == cases[i].floor_ms &&
                    c.hash == cases[i].hash);
        assert_true(c.order == cases[i].order && c.back == cases[i].back);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct cursor c;
    char good[CURSOR_TEXT_LEN + 1];
    cursor_write(&(struct cursor){.id = 5, .hash = 7}, good);
    char text[80];
    for (size_t len = 0; len < CURSOR_TEXT_LEN; len++) {
        assert_false(cursor_parse((struct str){good, len}, &c));
    }
    (void)snprintf(text, sizeof(text), "%sA", good);
    assert_false(cursor_parse(str_of(text), &c));
    static const char not_base64[] = {'+', '/', '=', ' ', '\0', '\x80', '\n'};
    for (size_t at = 0; at < CURSOR_TEXT_LEN; at++) {
        for (size_t k = 0; k < sizeof(not_base64); k++) {
            memcpy(text, good, sizeof(good));
            text[at] = not_base64[k];
            assert_false(cursor_parse((struct str){text, CURSOR_TEXT_LEN}, &c));
        }
    }
    memcpy(text, good, sizeof(good));
    text[0] = 'B'; /* another version */
    assert_false(cursor_parse(str_of(text), &c));
    memcpy(text, good, sizeof(good));
    text[1] = '_'; /* unknown flags */
    text[2] = '_';
    assert_false(cursor_parse(str_of(text), &c));
    cursor_write(&(struct cursor){.id = -2}, text);
    assert_false(cursor_parse(str_of(text), &c));
    cursor_write(&(struct cursor){.floor_ms = -2}, text);
    assert_false(cursor_parse(str_of(text), &c));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                              cmocka_unit_test(test_refused)};
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
