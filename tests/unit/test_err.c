#include "server/core/err.h"

#include <errno.h>
#include <string.h>

#include "server/core/utf8.h"
#include "tests/support/child.h"
#include "tests/support/run.h"

static void table(void **state)
{
    (void)state;
    assert_int_equal(ERR_OK, 0);
    for (int i = 0; i < ERR_CODES; i++) {
        enum err_code code = (enum err_code)i;

        assert_true(strlen(err_name(code)) > 0);
        assert_true(strlen(err_text(code)) > 0);
        assert_in_range(err_http_status(code), 200, 599);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(err_name(code), err_name((enum err_code)k));
        }
    }
    assert_string_equal(err_name(ERR_TOO_BIG), "TOO_BIG");
    assert_string_equal(err_text(ERR_TIMEOUT), "timed out");
    assert_int_equal(err_http_status(ERR_NOT_FOUND), 404);
}

static void name_of_nothing(void *ctx)
{
    (void)err_name(*(enum err_code *)ctx);
}

static void unknown_code_aborts(void **state)
{
    enum err_code codes[] = {ERR_CODES, (enum err_code) - 1};

    (void)state;
    assert_aborts(name_of_nothing, &codes[0], "ERR_CODES");
    assert_aborts(name_of_nothing, &codes[1], "ERR_CODES");
}

static void set_and_wrap(void **state)
{
    struct err e;

    (void)state;
    memset(&e, 0xAA, sizeof(e));
    assert_int_equal(err_set(&e, ERR_PROTO, "length %d", 7), ERR_PROTO);
    assert_int_equal(e.code, ERR_PROTO);
    assert_int_equal(e.sys, 0);
    assert_string_equal(e.msg, "length 7");
    assert_int_equal(err_set_sys(&e, ERR_IO, ECONNREFUSED, "connect %s", "a"), ERR_IO);
    assert_int_equal(e.sys, ECONNREFUSED);
    assert_string_equal(e.msg, "connect a: Connection refused");
    err_wrap(&e, "host %d", 2);
    err_wrap(&e, "room %d", 123);
    assert_string_equal(e.msg, "room 123: host 2: connect a: Connection refused");
    assert_int_equal(e.code, ERR_IO);
    assert_int_equal(e.sys, ECONNREFUSED);
}

static void own_message_as_argument(void **state)
{
    struct err e;

    (void)state;
    (void)err_set(&e, ERR_IO, "disk");
    (void)err_set(&e, ERR_FULL, "again: %s", e.msg);
    assert_string_equal(e.msg, "again: disk");
    err_wrap(&e, "%s", e.msg);
    assert_string_equal(e.msg, "again: disk: again: disk");
}

static void null_is_fine(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_AUTH, "%s", "x"), ERR_AUTH);
    assert_int_equal(err_set_sys(NULL, ERR_IO, EIO, "x"), ERR_IO);
    err_wrap(NULL, "x");
}

/* Whatever the length, the message is cut at a whole character. */
static void long_messages_are_cut(void **state)
{
    static const char *const chars[] = {"a", "\xC3\xA9", "\xE5\xBC\xB9", "\xF0\x9F\x98\x80"};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(chars); c++) {
        for (int shift = 0; shift < 8; shift++) {
            char text[2 * ERR_MSG_BYTES] = "1234567";
            size_t len = (size_t)shift;
            size_t step = strlen(chars[c]);
            struct err e;

            while (len + step < sizeof(text)) {
                memcpy(text + len, chars[c], step);
                len += step;
            }
            text[len] = '\0';
            (void)err_set(&e, ERR_IO, "%s", text);
            assert_true(utf8_valid(str_of(e.msg)));
            assert_in_range(strlen(e.msg), ERR_MSG_BYTES - step, ERR_MSG_BYTES - 1);
            (void)err_set(&e, ERR_IO, "short");
            err_wrap(&e, "%s", text);
            assert_true(utf8_valid(str_of(e.msg)));
            (void)err_set_sys(&e, ERR_IO, EIO, "%s", text);
            assert_true(utf8_valid(str_of(e.msg)));
        }
    }
}

/* A message that fits to the byte is kept whole. */
static void exact_fit(void **state)
{
    char text[ERR_MSG_BYTES];
    struct err e;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text + sizeof(text) - 4, "\xE5\xBC\xB9", 3);
    (void)err_set(&e, ERR_IO, "%s", text);
    assert_string_equal(e.msg, text);
    text[4] = '\0';
    (void)err_set(&e, ERR_IO, "ab");
    err_wrap(&e, "%s", "");
    assert_string_equal(e.msg, ": ab");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),        cmocka_unit_test(unknown_code_aborts),
        cmocka_unit_test(set_and_wrap), cmocka_unit_test(own_message_as_argument),
        cmocka_unit_test(null_is_fine), cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(exact_fit),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
