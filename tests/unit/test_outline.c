#include "collector/wire/outline.h"

#include "server/core/json_read.h"
#include "tests/support/run.h"

static void check(const char *json, const char *want)
{
    struct buf b;
    buf_init(&b, OUTLINE_MAX);
    assert_true(outline_write(&b, str_of(json)));
    assert_str_equal(buf_str(&b), want);
    buf_deinit(&b);
}

static void types_in_place_of_values(void **state)
{
    (void)state;
    check("{\"cmd\":\"X\",\"data\":{\"uid\":7,\"ok\":true,\"no\":null,\"list\":[{\"a\":\"b\"},3]}}",
          "{\"cmd\":\"string\",\"data\":{\"uid\":\"number\",\"ok\":\"boolean\",\"no\":\"null\","
          "\"list\":[{\"a\":\"string\"}]}}");
    check("[]", "[]");
    check("{\"a\":[]}", "{\"a\":[]}");
    check("17", "\"number\"");
}

static void keys_that_are_values_stay_inside(void **state)
{
    (void)state;
    check("{\"12345\":{\"name\":\"x\"},\"67890\":1,\"\xe5\xbc\xa0\":2,\"a\\u0062\":3,\"real\":4}",
          "{\"*\":{\"name\":\"string\"},\"real\":\"number\"}");
    check("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1,\"\":2}", "{\"*\":\"number\"}");
}

static void what_breaks_off(void **state)
{
    (void)state;
    check("", "\"?\"");
    check("{\"a\":", "{\"a\":\"?\"}");
    check("{\"a\":[{\"b\":1", "{\"a\":[{\"b\":\"number\"}]}");
    check("}", "\"?\"");
}

static void limits(void **state)
{
    (void)state;
    check("[[[[[[[[[1]]]]]]]]]", "[[[[[[[[\"...\"]]]]]]]]");
    struct buf in;
    struct buf out;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 100; i++) {
        buf_printf(&in, "%s\"k%d\":1", i == 0 ? "{" : ",", i);
    }
    buf_put_c(&in, '}');
    assert_true(outline_write(&out, buf_str(&in)));
    buf_put_c(&out, '\0');
    assert_true(strstr(out.data, "\"k63\":\"number\",\"...\":\"...\"}") != NULL);
    assert_true(strstr(out.data, "k64") == NULL);
    buf_clear(&in);
    buf_clear(&out);
    for (int i = 0; i < 60; i++) {
        buf_printf(&in,
                   "%s\"key%d\":{\"a_rather_long_key_of_this_object\":{\"another_long_key\":[1]}}",
                   i == 0 ? "{" : ",", i);
    }
    buf_put_c(&in, '}');
    assert_false(outline_write(&out, buf_str(&in)));
    assert_int_equal(out.len, 0);
    buf_deinit(&in);
    buf_deinit(&out);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_in_place_of_values),
        cmocka_unit_test(keys_that_are_values_stay_inside),
        cmocka_unit_test(what_breaks_off),
        cmocka_unit_test(limits),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
