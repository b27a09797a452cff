/* Which event says what about which. */
#include "server/event/amend.h"

#include "server/core/hash.h"
#include "server/core/id.h"
#include "tests/support/run.h"

#define T0 INT64_C(1790000000000)

static struct event *make(enum event_kind kind, int64_t at_ms, int64_t actor, int64_t item_id,
                          const char *extra)
{
    struct event_draft d;
    event_draft_init(&d, kind, 7);
    d.actor = actor;
    d.item_id = item_id;
    d.extra = str_of(extra);
    struct event *e = event_new(id_first_of_ms(at_ms), &d);
    assert_non_null(e);
    return e;
}

static bool hits(struct event *by, struct event *target)
{
    struct amend a;
    return amend_of(by, &a) && amend_hits(&a, target);
}

static void super_chats_by_number(void **state)
{
    (void)state;
    struct event *chat = make(EVENT_SUPERCHAT, T0, 5, 99, "");
    struct event *other = make(EVENT_SUPERCHAT, T0 + 1, 5, 98, "");
    struct event *gone = make(EVENT_SUPERCHAT_DELETE, T0 + 2, 0, 99, "");
    struct event *jpn =
        make(EVENT_NOTICE, T0 + 3, 5, 99,
             "{\"medal_room\":4,\"notice\":\"superchat_translation\",\"text_jpn\":\"x\"}");
    struct event *notice = make(EVENT_NOTICE, T0 + 4, 5, 99, "{\"notice\":\"other\"}");
    struct event *late = make(EVENT_SUPERCHAT, T0 + 5, 5, 99, "");
    struct event *old = make(EVENT_SUPERCHAT, T0 - AMEND_BACK_MS - 100, 5, 99, "");
    struct amend a;
    assert_true(hits(gone, chat) && hits(jpn, chat));
    assert_false(hits(gone, other) || hits(jpn, other) || hits(notice, chat));
    assert_false(hits(gone, late) || hits(gone, old));
    assert_true(amend_of(gone, &a));
    assert_string_equal(a.what, "deleted");
    assert_false(a.has_data);
    assert_true(amend_of(jpn, &a));
    assert_string_equal(a.what, "translated");
    assert_true(a.has_data);
    struct event *all[] = {chat, other, gone, jpn, notice, late, old};
    for (size_t i = 0; i < 7; i++) {
        event_unref(&all[i]);
    }
}

static void recalls_by_scope(void **state)
{
    (void)state;
    struct event_draft d;
    struct hash64 h;
    event_draft_init(&d, EVENT_DANMAKU, 7);
    hash64_init(&h, EVENT_DANMAKU);
    hash64_str(&h, STR("4711"));
    d.nkey = hash64_done(&h);
    d.actor = 5;
    struct event *said = event_new(id_first_of_ms(T0), &d);
    d.room_id = 8;
    struct event *elsewhere = event_new(id_first_of_ms(T0), &d);
    struct event *gift = make(EVENT_GIFT, T0, 5, 1, "");
    struct event *one = make(EVENT_RECALL, T0 + 1, 0, 4711, "{\"scope\":\"danmaku\",\"type\":1}");
    struct event *another = make(EVENT_RECALL, T0 + 1, 0, 4712, "{\"scope\":\"danmaku\"}");
    struct event *user = make(EVENT_RECALL, T0 + 1, 5, 0, "{\"scope\":\"user\"}");
    struct event *stranger = make(EVENT_RECALL, T0 + 1, 6, 0, "{\"scope\":\"user\"}");
    struct event *all = make(EVENT_RECALL, T0 + 1, 0, 0, "{\"scope\":\"all\"}");
    struct event *odd = make(EVENT_RECALL, T0 + 1, 0, 0, "{\"scope\":\"other\"}");
    struct event *broken = make(EVENT_RECALL, T0 + 1, 0, 0, "{\"scope\"");
    assert_true(hits(one, said) && hits(user, said) && hits(all, said));
    assert_false(hits(another, said) || hits(stranger, said) || hits(odd, said) ||
                 hits(broken, said));
    assert_false(hits(user, gift) || hits(all, gift) || hits(all, elsewhere) || hits(all, all));
    struct event *list[] = {said, elsewhere, gift, one, another, user, stranger, all, odd, broken};
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        event_unref(&list[i]);
    }
}

static void others_amend_nothing(void **state)
{
    (void)state;
    for (unsigned k = 1; k < EVENT_KIND_END; k++) {
        struct event *e = make((enum event_kind)k, T0, 5, 0, "");
        struct amend a;
        assert_int_equal(amend_of(e, &a), k == EVENT_RECALL);
        event_unref(&e);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(super_chats_by_number),
        cmocka_unit_test(recalls_by_scope),
        cmocka_unit_test(others_amend_nothing),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
