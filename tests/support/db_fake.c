#include "tests/support/db_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/query/event_row.h"
#include "api/query/sql.h"
#include "server/core/id.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "tests/support/test.h"

enum { MAX_COLS = 24, MAX_ROOMS = 200, MAX_TOKENS = 16, MAX_MINUTES = 256, MAX_GAPS = 16 };

struct cell {
    bool null;
    int64_t i64;
    struct str text;
};

struct db_rows {
    struct cell (*rows)[MAX_COLS];
    size_t n;
    size_t cap;
    size_t affected;
};

struct room {
    int64_t room_id;
    int64_t short_id;
};

struct token {
    char name[32];
    char hex[65];
    char scopes[64];
    int64_t expires_ms;
};

struct minute {
    int64_t room_id;
    int64_t minute;
    int64_t danmaku;
};

struct gap {
    int64_t room_id;
    int64_t from_ms;
    int64_t to_ms;
};

struct query {
    struct list_node node;
    enum sql which;
    struct db_arg args[DB_ARGS_MAX];
    size_t n_args;
    db_done_fn *done;
    void *ctx;
    enum err_code fail;
};

struct db {
    struct loop *loop;
    struct loop_timer timer;
    struct event **events; /* a reference each */
    size_t n_events;
    size_t cap_events;
    struct room rooms[MAX_ROOMS];
    size_t n_rooms;
    struct token tokens[MAX_TOKENS];
    size_t n_tokens;
    struct minute minutes[MAX_MINUTES];
    size_t n_minutes;
    struct gap gaps[MAX_GAPS];
    size_t n_gaps;
    int64_t mark;
    struct list queries;
    size_t n_queries;
    size_t n_coverage; /* of SQL_COVERAGE_*: in all, unanswered, and the most of those */
    size_t now_coverage;
    size_t most_coverage;
    bool down;
    bool held;
    enum err_code fail;
};

/* ---- what tests say ---- */

static void answer_all(void *ctx);

struct db *db_fake_new(struct loop *loop)
{
    struct db *db = mem_new(struct db);
    db->loop = loop;
    list_init(&db->queries);
    loop_timer_init(&db->timer, loop, answer_all, db);
    return db;
}

static void query_free(struct db *db, struct query *q)
{
    list_remove(&db->queries, &q->node);
    for (size_t i = 0; i < q->n_args; i++) {
        free((void *)(uintptr_t)q->args[i].i64s);
        free((void *)(uintptr_t)q->args[i].text.ptr);
    }
    mem_free(q);
}

void db_fake_free(struct db *db)
{
    loop_timer_stop(&db->timer);
    for (struct list_node *node; (node = list_first(&db->queries)) != NULL;) {
        query_free(db, CONTAINER_OF(node, struct query, node));
    }
    for (size_t i = 0; i < db->n_events; i++) {
        event_unref(&db->events[i]);
    }
    free(db->events);
    mem_free(db);
}

void db_fake_add(struct db *db, const struct event *e)
{
    assert_true(db->n_events == 0 || e->id > db->events[db->n_events - 1]->id);
    if (db->n_events == db->cap_events) {
        db->cap_events = db->cap_events * 2 + 64;
        db->events = realloc(db->events, db->cap_events * sizeof(db->events[0]));
    }
    db->events[db->n_events++] = event_ref(e);
}

void db_fake_drop_events(struct db *db, int64_t up_to_id)
{
    size_t n = 0;
    for (size_t i = 0; i < db->n_events; i++) {
        if (db->events[i]->id > up_to_id) {
            db->events[n++] = db->events[i];
        } else {
            event_unref(&db->events[i]);
        }
    }
    db->n_events = n;
}

void db_fake_room(struct db *db, int64_t room_id, int64_t short_id)
{
    assert_true(db->n_rooms < MAX_ROOMS);
    db->rooms[db->n_rooms++] = (struct room){room_id, short_id};
}

void db_fake_token(struct db *db, const char *name, struct str hash, const char *scopes,
                   int64_t expires_ms)
{
    assert_true(db->n_tokens < MAX_TOKENS);
    struct token *t = &db->tokens[db->n_tokens++];
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
    (void)snprintf(t->scopes, sizeof(t->scopes), "%s", scopes);
    for (size_t i = 0; i < hash.len && i < 32; i++) {
        (void)snprintf(t->hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)hash.ptr[i]);
    }
    t->expires_ms = expires_ms;
}

void db_fake_drop_tokens(struct db *db)
{
    db->n_tokens = 0;
}

void db_fake_minute(struct db *db, int64_t room_id, int64_t minute, int64_t danmaku)
{
    assert_true(db->n_minutes < MAX_MINUTES);
    db->minutes[db->n_minutes++] = (struct minute){room_id, minute, danmaku};
}

void db_fake_gap(struct db *db, int64_t room_id, int64_t from_ms, int64_t to_ms)
{
    assert_true(db->n_gaps < MAX_GAPS);
    db->gaps[db->n_gaps++] = (struct gap){room_id, from_ms, to_ms};
}

void db_fake_mark(struct db *db, int64_t minute)
{
    db->mark = minute;
}

void db_fake_up(struct db *db, bool up)
{
    db->down = !up;
}

void db_fake_fail(struct db *db, enum err_code code)
{
    db->fail = code;
}

void db_fake_hold(struct db *db, bool hold)
{
    db->held = hold;
    if (!hold && db->queries.n > 0) {
        loop_timer_start(&db->timer, 0, 0);
    }
}

size_t db_fake_n_queries(const struct db *db)
{
    return db->n_queries;
}

size_t db_fake_most_coverage(const struct db *db)
{
    return db->most_coverage;
}

size_t db_fake_n_coverage(const struct db *db)
{
    return db->n_coverage;
}

size_t db_fake_n_waiting(const struct db *db)
{
    return db->queries.n;
}

/* ---- rows ---- */

static struct cell *add_row(struct db_rows *r, size_t n_cols)
{
    if (r->n == r->cap) {
        r->cap = r->cap * 2 + 16;
        r->rows = realloc(r->rows, r->cap * sizeof(r->rows[0]));
    }
    struct cell *row = r->rows[r->n++];
    memset(row, 0, sizeof(r->rows[0]));
    for (size_t i = 0; i < n_cols; i++) {
        row[i].null = true;
    }
    return row;
}

static void put(struct cell *c, int64_t v)
{
    *c = (struct cell){.i64 = v};
}

/* As the writer's COPY has it: defaults are NULL. */
static void put_unless(struct cell *c, int64_t v, int64_t none)
{
    *c = (struct cell){.null = v == none, .i64 = v};
}

static void put_text(struct cell *c, struct str s)
{
    *c = (struct cell){.null = s.len == 0, .text = s};
}

static void add_event(struct db_rows *r, const struct event *e)
{
    struct cell *c = add_row(r, EVENT_COLS);
    put(&c[EVENT_COL_id], e->id);
    put(&c[EVENT_COL_room_id], e->room_id);
    put(&c[EVENT_COL_nkey], e->nkey);
    put(&c[EVENT_COL_actor], e->actor);
    put_unless(&c[EVENT_COL_value_mcny], e->value_mcny, 0);
    put_unless(&c[EVENT_COL_item_id], e->item_id, 0);
    put_unless(&c[EVENT_COL_medal_uid], e->medal_uid, 0);
    put_unless(&c[EVENT_COL_sent_off_ms],
               e->sent_ms == 0 ? INT64_MIN : e->sent_ms - id_ts_ms(e->id), INT64_MIN);
    put_unless(&c[EVENT_COL_color], e->color, EVENT_COLOR_DEFAULT);
    put_unless(&c[EVENT_COL_num], e->num, 0);
    put(&c[EVENT_COL_kind], e->kind);
    put(&c[EVENT_COL_flags], e->flags);
    put_unless(&c[EVENT_COL_guard], e->guard, 0);
    put_unless(&c[EVENT_COL_medal_lv], e->medal_lv, 0);
    put_unless(&c[EVENT_COL_mode], e->mode, EVENT_MODE_DEFAULT);
    put_unless(&c[EVENT_COL_wealth], e->wealth, 0);
    put_text(&c[EVENT_COL_uname], e->uname);
    put_text(&c[EVENT_COL_text], e->text);
    put_text(&c[EVENT_COL_medal], e->medal);
    put_text(&c[EVENT_COL_extra], e->extra);
}

static bool in_array(const struct db_arg *a, int64_t v)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->i64s[i] == v) {
            return true;
        }
    }
    return a->type == DB_NULL;
}

static void events(struct db *db, const struct query *q, struct db_rows *r)
{
    bool desc = q->which == SQL_EVENTS_ROOMS_DESC || q->which == SQL_EVENTS_RARE_DESC ||
                q->which == SQL_EVENTS_ANYRARE_DESC || q->which == SQL_EVENTS_ALL_DESC;
    bool all = q->which == SQL_EVENTS_ALL_DESC || q->which == SQL_EVENTS_ALL_ASC;
    bool named = q->which <= SQL_EVENTS_RARE_ASC;
    bool rare = !all && q->which != SQL_EVENTS_ROOMS_DESC && q->which != SQL_EVENTS_ROOMS_ASC;
    assert_int_equal(q->n_args, 6);
    assert_int_equal(q->args[0].type, named ? DB_I64_ARRAY : DB_NULL);
    for (size_t i = 0; i < db->n_events && r->n < (size_t)q->args[5].i64; i++) {
        const struct event *e = db->events[desc ? db->n_events - 1 - i : i];
        if (e->id >= q->args[1].i64 && e->id < q->args[2].i64 &&
            in_array(&q->args[0], e->room_id) && in_array(&q->args[3], e->kind) &&
            e->value_mcny >= q->args[4].i64 &&
            (!rare || event_kind_is_rare((enum event_kind)e->kind))) {
            add_event(r, e);
        }
    }
}

static void probe(struct db *db, const struct query *q, struct db_rows *r)
{
    int64_t n = 0;
    for (size_t i = 0; i < db->n_events; i++) {
        int64_t id = db->events[i]->id;
        n += n < q->args[2].i64 && id >= q->args[0].i64 && id < q->args[1].i64;
    }
    put(&add_row(r, 1)[0], n);
}

static void one_event(struct db *db, const struct query *q, struct db_rows *r)
{
    for (size_t i = 0; i < db->n_events; i++) {
        if (db->events[i]->id == q->args[0].i64) {
            add_event(r, db->events[i]);
        }
    }
}

static void rooms(struct db *db, const struct query *q, struct db_rows *r)
{
    for (size_t i = 0; i < db->n_rooms; i++) {
        const struct room *room = &db->rooms[i];
        int64_t arg = q->args[0].i64;
        if (q->which == SQL_ROOMS_NAMED) {
            for (size_t k = 0; k < q->args[0].n; k++) {
                int64_t given = q->args[0].i64s[k];
                if (given == room->room_id || given == room->short_id) {
                    struct cell *c = add_row(r, 2);
                    put(&c[0], given);
                    put(&c[1], room->room_id);
                }
            }
        } else if (q->which == SQL_ROOM ? arg == room->room_id || arg == room->short_id
                                        : room->room_id > arg && (int64_t)r->n < q->args[1].i64) {
            struct cell *c = add_row(r, ROOM_COLS);
            put(&c[ROOM_COL_ROOM_ID], room->room_id);
            put_unless(&c[ROOM_COL_SHORT_ID], room->short_id, 0);
            put_text(&c[ROOM_COL_TITLE], STR("a title"));
            put_text(&c[ROOM_COL_ORIGIN], STR("config"));
            put_text(&c[ROOM_COL_STATE], STR("active"));
            put(&c[ROOM_COL_LIVE], 1);
        }
    }
}

static void minutes(struct db *db, const struct query *q, struct db_rows *r)
{
    if (db->mark != 0) {
        put(&add_row(r, MINUTE_COLS)[MINUTE_COL_DANMAKU], db->mark);
    }
    for (size_t i = 0; i < db->n_minutes; i++) {
        const struct minute *m = &db->minutes[i];
        if (m->minute >= q->args[1].i64 && m->minute < q->args[2].i64 &&
            (q->args[0].type == DB_NULL || q->args[0].i64 == m->room_id)) {
            struct cell *c = add_row(r, MINUTE_COLS);
            put(&c[MINUTE_COL_MINUTE], m->minute);
            put(&c[MINUTE_COL_DANMAKU], m->danmaku);
            put(&c[MINUTE_COL_CHATTERS], 1);
        }
    }
}

/* One row per event: the sums are the same. Only danmaku are counted, and every sender is another one. */
static void count_events(struct db *db, const struct query *q, struct db_rows *r)
{
    for (size_t i = 0; i < db->n_events; i++) {
        const struct event *e = db->events[i];
        if (e->id >= q->args[1].i64 && e->id < q->args[2].i64 &&
            (q->args[0].type == DB_NULL || q->args[0].i64 == e->room_id)) {
            struct cell *c = add_row(r, MINUTE_COLS);
            put(&c[MINUTE_COL_MINUTE], id_ts_ms(e->id) / 60000);
            put(&c[MINUTE_COL_DANMAKU], 1);
            put(&c[MINUTE_COL_CHATTERS], 1);
        }
    }
}

/* Gaps of the link. Every room was collected from the beginning. */
static void coverage(struct db *db, const struct query *q, struct db_rows *r)
{
    for (size_t i = 0; i < q->args[0].n && q->which == SQL_COVERAGE_ROOMS; i++) {
        struct cell *c = add_row(r, SPAN_COL_EXTRA + 1);
        put(&c[SPAN_COL_ROOM_ID], q->args[0].i64s[i]);
        put(&c[SPAN_COL_SOURCE], -1);
        put(&c[SPAN_COL_FROM_MS], 0);
    }
    for (size_t i = 0; i < db->n_gaps; i++) {
        const struct gap *g = &db->gaps[i];
        if (in_array(&q->args[0], g->room_id) && g->from_ms < q->args[2].i64 &&
            g->to_ms > q->args[1].i64) {
            struct cell *c = add_row(r, SPAN_COL_EXTRA + 1);
            put(&c[SPAN_COL_ROOM_ID], g->room_id);
            put(&c[SPAN_COL_SOURCE], 0);
            put(&c[SPAN_COL_FROM_MS], g->from_ms);
            put(&c[SPAN_COL_TO_MS], g->to_ms);
            put_text(&c[SPAN_COL_CAUSE], STR("down"));
        }
    }
}

static bool is_coverage(enum sql which)
{
    return which == SQL_COVERAGE_ROOMS || which == SQL_COVERAGE_ALL;
}

static void tokens(struct db *db, struct db_rows *r)
{
    for (size_t i = 0; i < db->n_tokens; i++) {
        struct cell *c = add_row(r, 5);
        put_text(&c[TOKEN_COL_NAME], str_of(db->tokens[i].name));
        put_text(&c[TOKEN_COL_HASH], str_of(db->tokens[i].hex));
        put_text(&c[TOKEN_COL_SCOPES], str_of(db->tokens[i].scopes));
        put(&c[TOKEN_COL_CREATED_MS], 0);
        put_unless(&c[TOKEN_COL_EXPIRES_MS], db->tokens[i].expires_ms, 0);
    }
}

static void fill(struct db *db, const struct query *q, struct db_rows *r)
{
    switch ((int)q->which) {
    case SQL_EVENTS_PROBE:
        probe(db, q, r);
        return;
    case SQL_EVENT_BY_ID:
        one_event(db, q, r);
        return;
    case SQL_EVENT_UP_TO:
        put(&add_row(r, 1)[0], db->n_events > 0 && db->events[0]->id <= q->args[0].i64);
        return;
    case SQL_ROOMS_NAMED:
    case SQL_ROOM:
    case SQL_ROOMS:
        rooms(db, q, r);
        return;
    case SQL_MINUTES_ROOM:
    case SQL_MINUTES_ALL:
        minutes(db, q, r);
        return;
    case SQL_COUNT_ROOM:
    case SQL_COUNT_ALL:
        count_events(db, q, r);
        return;
    case SQL_COVERAGE_ROOMS:
    case SQL_COVERAGE_ALL:
        coverage(db, q, r);
        return;
    case SQL_AMENDS:
        return; /* nothing was amended */
    case SQL_TOKENS:
        tokens(db, r);
        return;
    default:
        assert_true(q->which <= SQL_EVENTS_ALL_ASC);
        events(db, q, r);
        return;
    }
}

/* ---- server/db ---- */

static void answer(struct db *db, struct query *q)
{
    struct db_rows r = {0};
    struct err err = {0};
    enum err_code code = q->fail != ERR_OK ? q->fail : db->down ? ERR_UNAVAILABLE : ERR_OK;
    db_done_fn *done = q->done;
    void *ctx = q->ctx;
    if (code == ERR_OK) {
        fill(db, q, &r);
    } else {
        (void)err_set(&err, code, "fake");
    }
    list_remove(&db->queries, &q->node);
    db->now_coverage -= is_coverage(q->which);
    if (done != NULL) {
        done(ctx, code, &err, code == ERR_OK ? &r : NULL);
    }
    query_free(db, q);
    free(r.rows);
}

/* One after the other, in order; what is asked meanwhile comes in the next round. */
static void answer_all(void *ctx)
{
    struct db *db = ctx;
    for (size_t n = db->queries.n; n > 0 && !db->held; n--) {
        struct list_node *node = list_first(&db->queries);
        answer(db, CONTAINER_OF(node, struct query, node));
    }
    if (db->queries.n > 0 && !db->held) {
        loop_timer_start(&db->timer, 0, 0);
    }
}

bool db_is_up(const struct db *db)
{
    return !db->down;
}

static enum sql which_of(const struct db_stmt *stmt)
{
    for (enum sql s = 0; s < SQLS; s++) {
        if (sql_stmt(s) == stmt) {
            return s;
        }
    }
    fail_msg("a statement that is not of api/query: %s", stmt->name);
    return 0;
}

static void *copy(const void *p, size_t n)
{
    void *out = malloc(n + 1);
    if (n > 0) {
        memcpy(out, p, n);
    }
    return out;
}

enum err_code db_query(struct db *db, const struct db_stmt *stmt, const struct db_arg *args,
                       size_t n_args, db_done_fn *done, void *ctx, struct err *err ATTR_UNUSED)
{
    struct query *q = mem_new(struct query);
    q->which = which_of(stmt);
    q->n_args = n_args;
    q->done = done;
    q->ctx = ctx;
    q->fail = db->fail;
    db->fail = ERR_OK;
    for (size_t i = 0; i < n_args; i++) {
        q->args[i] = args[i];
        q->args[i].i64s =
            copy(args[i].i64s, args[i].type == DB_I64_ARRAY ? args[i].n * sizeof(int64_t) : 0);
        q->args[i].text.ptr = copy(args[i].text.ptr, args[i].text.len);
    }
    db->n_queries++;
    if (is_coverage(q->which)) {
        db->n_coverage++;
        db->now_coverage++;
        db->most_coverage =
            db->now_coverage > db->most_coverage ? db->now_coverage : db->most_coverage;
    }
    list_push_back(&db->queries, &q->node);
    if (!db->held) {
        loop_timer_start(&db->timer, 0, 0);
    }
    return ERR_OK;
}

void db_forget(struct db *db, const void *ctx)
{
    for (struct list_node *node = list_first(&db->queries); node != NULL;
         node = list_next(&db->queries, node)) {
        struct query *q = CONTAINER_OF(node, struct query, node);
        if (q->ctx == ctx) {
            q->done = NULL;
        }
    }
}

size_t db_rows_n(const struct db_rows *rows)
{
    return rows->n;
}

size_t db_rows_affected(const struct db_rows *rows)
{
    return rows->affected;
}

bool db_null(const struct db_rows *rows, size_t row, unsigned col)
{
    assert_true(row < rows->n && col < MAX_COLS);
    return rows->rows[row][col].null;
}

int64_t db_i64(const struct db_rows *rows, size_t row, unsigned col)
{
    return db_null(rows, row, col) ? 0 : rows->rows[row][col].i64;
}

bool db_bool(const struct db_rows *rows, size_t row, unsigned col)
{
    return db_i64(rows, row, col) != 0;
}

struct str db_text(const struct db_rows *rows, size_t row, unsigned col)
{
    return db_null(rows, row, col) ? STR_NULL : rows->rows[row][col].text;
}
