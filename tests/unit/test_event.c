/* Events: one allocation that owns its strings, limits, references, kinds. */
#include "server/event/event.h"

#include <stdio.h>

#include "server/core/mem.h"
#include "tests/support/run.h"

static void test_draft_defaults(void **state)
{
    (void)state;
    struct event_draft d;
    memset(&d, 0xff, sizeof(d));
    event_draft_init(&d, EVENT_GIFT, 1234567890123);
    assert_int_equal(d.kind, EVENT_GIFT);
    assert_int_equal(d.room_id, 1234567890123);
    assert_int_equal(d.mode, EVENT_MODE_DEFAULT);
    assert_int_equal(d.color, EVENT_COLOR_DEFAULT);
    assert_int_equal(d.actor, 0);
    assert_int_equal(d.value_mcny, 0);
    assert_int_equal(d.text.len, 0);
    assert_int_equal(d.extra.len, 0);
}

static void test_copies_everything(void **state)
{
    (void)state;
    uint64_t before = mem_live_count();
    char uname[] = "name";
    char text[] = "text";
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, 5);
    int64_t n = 100;
#define X(type, name) d.name = (type)n++;
    EVENT_SCALARS(X)
#undef X
    d.uname = str_of(uname);
    d.text = str_of(text);
    d.medal = STR("medal");
    d.extra = STR("{\"a\":1}");
    struct event *e = event_new(42, &d);
    assert_non_null(e);
    assert_int_equal(mem_live_count(), before + 1);
    memset(uname, 'x', sizeof(uname));
    memset(text, 'x', sizeof(text));
    n = 100;
#define X(type, name) assert_int_equal(e->name, n++);
    EVENT_SCALARS(X)
#undef X
    assert_int_equal(e->id, 42);
    assert_true(str_eq(e->uname, STR("name")));
    assert_true(str_eq(e->text, STR("text")));
    assert_true(str_eq(e->medal, STR("medal")));
    assert_true(str_eq(e->extra, STR("{\"a\":1}")));
    assert_int_equal(e->bytes, sizeof(struct event) + 4 + 4 + 5 + 7);
    event_unref(&e);
    assert_null(e);
    assert_int_equal(mem_live_count(), before);
}

static void test_cuts_at_whole_characters(void **state)
{
    (void)state;
    char wide[EVENT_TEXT_MAX + 6];
    for (size_t i = 0; i + 3 <= sizeof(wide); i += 3) {
        memcpy(wide + i, "\xe4\xbd\xa0", 3);
    }
    struct event_draft d;
    event_draft_init(&d, EVENT_DANMAKU, 5);
    d.uname = d.medal = d.text = (struct str){wide, sizeof(wide) / 3 * 3};
    struct event *e = event_new(1, &d);
    assert_non_null(e);
    assert_int_equal(e->uname.len, EVENT_UNAME_MAX / 3 * 3);
    assert_int_equal(e->medal.len, EVENT_MEDAL_MAX / 3 * 3);
    assert_int_equal(e->text.len, EVENT_TEXT_MAX / 3 * 3);
    event_unref(&e);
}

static void test_references(void **state)
{
    (void)state;
    uint64_t before = mem_live_count();
    struct event_draft d;
    event_draft_init(&d, EVENT_LIKE, 5);
    struct event *a = event_new(1, &d);
    struct event *b = event_ref(a);
    assert_ptr_equal(a, b);
    event_unref(&a);
    assert_int_equal(b->kind, EVENT_LIKE);
    assert_int_equal(mem_live_count(), before + 1);
    event_unref(&b);
    event_unref(&b); /* NULL by now */
    assert_int_equal(mem_live_count(), before);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct event_draft d;
    event_draft_init(&d, EVENT_LIKE, 5);
    mem_fault_set(0, 1);
    assert_null(event_new(1, &d));
    mem_fault_set(-1, 0);
}

static void test_kinds(void **state)
{
    (void)state;
    int n = 0;
    for (int kind = 1; kind < EVENT_KIND_END; kind++) {
        const char *name = event_kind_name((enum event_kind)kind);
        assert_string_not_equal(name, "?");
        assert_int_equal(event_kind_parse(str_of(name)), kind);
        n += event_kind_is_paid((enum event_kind)kind);
    }
    assert_int_equal(n, 4); /* gift guard superchat redpacket */
    assert_true(event_kind_is_paid(EVENT_GIFT));
    assert_true(event_kind_is_rare(EVENT_GIFT));
    assert_false(event_kind_is_rare(EVENT_DANMAKU));
    assert_string_equal(event_kind_name(EVENT_KIND_NONE), "?");
    assert_string_equal(event_kind_name((enum event_kind)99), "?");
    assert_string_equal(event_kind_name((enum event_kind) - 1), "?");
    assert_int_equal(event_kind_parse(STR("Danmaku")), EVENT_KIND_NONE);
    assert_int_equal(event_kind_parse(STR("")), EVENT_KIND_NONE);
    assert_int_equal(event_kind_parse(STR("?")), EVENT_KIND_NONE);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draft_defaults),
        cmocka_unit_test(test_copies_everything),
        cmocka_unit_test(test_cuts_at_whole_characters),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_kinds),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
