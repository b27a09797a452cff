/* Rows of table event back into events. The accessors of server/db are stood in for here; test_api_events compares
 * ring and database over a real one. */
#include "api/query/event_row.h"
#include "api/query/sql.h"
#include "server/core/id.h"
#include "tests/support/run.h"

struct cell {
    bool null;
    int64_t i64;
    const char *text;
};
struct db_rows {
    struct cell cells[EVENT_COLS];
};

bool db_null(const struct db_rows *rows, size_t row ATTR_UNUSED, unsigned col)
{
    assert_in_range(col, 0, EVENT_COLS - 1);
    return rows->cells[col].null;
}

int64_t db_i64(const struct db_rows *rows, size_t row ATTR_UNUSED, unsigned col)
{
    return rows->cells[col].null ? 0 : rows->cells[col].i64;
}

struct str db_text(const struct db_rows *rows, size_t row ATTR_UNUSED, unsigned col)
{
    return str_of(rows->cells[col].null ? NULL : rows->cells[col].text);
}

static void test_defaults(void **state)
{
    (void)state;
    struct db_rows r;
    for (unsigned i = 0; i < EVENT_COLS; i++) {
        r.cells[i] = (struct cell){.null = true};
    }
    r.cells[EVENT_COL_id] = (struct cell){.i64 = 77};
    r.cells[EVENT_COL_room_id] = (struct cell){.i64 = 6};
    r.cells[EVENT_COL_kind] = (struct cell){.i64 = EVENT_DANMAKU};
    struct event_draft want;
    struct event_draft got;
    event_draft_init(&want, EVENT_DANMAKU, 6);
    assert_int_equal(event_draft_from_row(&r, 0, &got), 77);
#define X(type, name) assert_true(got.name == want.name);
    EVENT_SCALARS(X)
#undef X
#define X(name) assert_int_equal(got.name.len, 0);
    EVENT_STRINGS(X)
#undef X
}

static void test_every_column(void **state)
{
    (void)state;
    struct db_rows r;
    int64_t id = id_first_of_ms(INT64_C(1764000000000)) + 3;
    for (unsigned i = 0; i < EVENT_COLS; i++) {
        r.cells[i] = (struct cell){.i64 = 100 + i, .text = "t"};
    }
    r.cells[EVENT_COL_id].i64 = id;
    r.cells[EVENT_COL_kind].i64 = EVENT_GIFT;
    r.cells[EVENT_COL_sent_off_ms].i64 = -250;
    r.cells[EVENT_COL_extra].text = "{\"a\":1}";
    struct event *e = event_from_row(&r, 0);
    assert_non_null(e);
    assert_true(e->id == id);
    assert_true(e->sent_ms == INT64_C(1764000000000) - 250);
#define CHECK(name) assert_int_equal(e->name, 100 + EVENT_COL_##name)
    CHECK(room_id);
    CHECK(nkey);
    CHECK(actor);
    CHECK(value_mcny);
    CHECK(item_id);
    CHECK(medal_uid);
    CHECK(color);
    CHECK(num);
    CHECK(flags);
    CHECK(guard);
    CHECK(medal_lv);
    CHECK(mode);
    CHECK(wealth);
#undef CHECK
    assert_str_equal(e->uname, "t");
    assert_str_equal(e->text, "t");
    assert_str_equal(e->medal, "t");
    assert_str_equal(e->extra, "{\"a\":1}");
    event_unref(&e);
}

/* The names in the statement stand in the order of the enum. */
static void test_column_order(void **state)
{
    (void)state;
    static const char *const names[EVENT_COLS] = {
#define X(name) "e." #name,
        EVENT_ROW_COLUMNS(X)
#undef X
    };
    struct str rest = str_of(sql_stmt(SQL_EVENT_BY_ID)->sql);
    assert_true(str_starts(rest, STR("SELECT ")));
    rest = str_sub(rest, 7, rest.len);
    for (size_t i = 0; i < EVENT_COLS; i++) {
        struct str part;
        assert_true(str_split(&rest, ',', &part));
        part = str_trim(part);
        if (i + 1 == EVENT_COLS) {
            assert_true(str_starts(part, str_of(names[i])));
        } else {
            assert_str_equal(part, names[i]);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_column),
        cmocka_unit_test(test_column_order),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
