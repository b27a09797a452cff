#include "collector/registry.h"

#include <stdio.h>

#include "tests/support/run.h"

static void counts_by_name_and_status(void **state)
{
    (void)state;
    struct registry *r = registry_new(8);
    registry_note(r, STR("DANMU_MSG"), DECODE_OK, 1000);
    registry_note(r, STR("DANMU_MSG"), DECODE_OK, 2000);
    registry_note(r, STR("DANMU_MSG"), DECODE_BROKEN, 3000);
    registry_note(r, STR("NEW_THING"), DECODE_UNKNOWN, 2500);
    registry_note(r, STR_NULL, DECODE_UNKNOWN, 2600);
    assert_int_equal(registry_n(r), 3);
    const struct registry_entry *e = registry_find(r, STR("DANMU_MSG"));
    assert_non_null(e);
    assert_int_equal(e->first_ms, 1000);
    assert_int_equal(e->last_ms, 3000);
    assert_int_equal(e->n[DECODE_OK], 2);
    assert_int_equal(e->n[DECODE_BROKEN], 1);
    assert_int_equal(e->n[DECODE_UNKNOWN], 0);
    assert_non_null(registry_find(r, STR_NULL));
    assert_null(registry_find(r, STR("DANMU_MS")));
    assert_str_equal(registry_at(r, 1)->cmd, "NEW_THING");
    registry_free(r);
}

static void shapes_of_what_is_not_understood(void **state)
{
    (void)state;
    struct registry *r = registry_new(2);
    const struct str cmd = STR("NEW_THING");
    registry_note(r, cmd, DECODE_UNKNOWN, 1000);
    registry_sample(r, cmd, STR("{\"cmd\":\"NEW_THING\"}"), NULL);
    const struct registry_entry *e = registry_find(r, cmd);
    assert_str_equal(e->shape, "{\"cmd\":\"string\"}");
    assert_null(e->reason);
    registry_note(r, cmd, DECODE_OK, 1500);
    registry_note(r, cmd, DECODE_BROKEN, 2000); /* the second: the fuller shape stays from here */
    registry_sample(r, cmd, STR("{\"cmd\":\"NEW_THING\",\"data\":[{\"uid\":7}]}"), "no data");
    assert_str_equal(e->shape, "{\"cmd\":\"string\",\"data\":[{\"uid\":\"number\"}]}");
    assert_string_equal(e->reason, "no data");
    registry_note(r, cmd, DECODE_UNKNOWN, 3000); /* the third is not looked at */
    registry_sample(r, cmd, STR("{\"a_key_that_would_make_the_shape_longer_than_it_is\":1}"), NULL);
    registry_note(r, cmd, DECODE_UNKNOWN, 4000); /* the fourth is, and is poorer */
    registry_sample(r, cmd, STR("{}"), NULL);
    assert_str_equal(e->shape, "{\"cmd\":\"string\",\"data\":[{\"uid\":\"number\"}]}");
    assert_string_equal(e->reason, "no data");
    assert_int_equal(e->first_bad_ms, 1000);
    assert_int_equal(e->last_bad_ms, 4000);
    registry_note(r, STR("A"), DECODE_OK, 1);
    registry_note(r, STR("B"), DECODE_UNKNOWN, 1);
    registry_sample(r, STR("B"), STR("{}"), NULL); /* found no place */
    assert_int_equal(registry_find(r, STR("A"))->first_bad_ms, 0);
    assert_int_equal(registry_overflow(r), 1);
    registry_free(r);
}

static void full_means_counted(void **state)
{
    (void)state;
    struct registry *r = registry_new(3);
    char name[16];
    for (int i = 0; i < 10; i++) {
        const int len = snprintf(name, sizeof name, "CMD_%d", i);
        registry_note(r, (struct str){name, (size_t)len}, DECODE_UNKNOWN, i);
    }
    assert_int_equal(registry_n(r), 3);
    assert_int_equal(registry_overflow(r), 7);
    registry_note(r, STR("CMD_1"), DECODE_UNKNOWN, 77);
    assert_int_equal(registry_overflow(r), 7);
    assert_int_equal(registry_find(r, STR("CMD_1"))->last_ms, 77);
    assert_null(registry_find(r, STR("CMD_9")));
    registry_free(r);
}

static void many_names(void **state)
{
    (void)state;
    struct registry *r = registry_new(500);
    char name[16];
    for (int i = 0; i < 1500; i++) {
        const int len = snprintf(name, sizeof name, "C%d", i % 500);
        registry_note(r, (struct str){name, (size_t)len}, DECODE_OK, i);
    }
    assert_int_equal(registry_n(r), 500);
    for (size_t i = 0; i < 500; i++) {
        const struct registry_entry *e = registry_at(r, i);
        assert_int_equal(e->n[DECODE_OK], 3);
        assert_int_equal(e->first_ms, i);
        assert_int_equal(e->last_ms, 1000 + i);
        assert_ptr_equal(registry_find(r, e->cmd), e);
    }
    registry_free(r);
    registry_free(NULL);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_name_and_status),
        cmocka_unit_test(shapes_of_what_is_not_understood),
        cmocka_unit_test(full_means_counted),
        cmocka_unit_test(many_names),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
