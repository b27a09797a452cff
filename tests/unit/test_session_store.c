/* Sessions and audience figures on their way into a real PostgreSQL, which goes away and refuses. */
#include "collector/session_store.h"

#include <stdio.h>

#include "collector/audience_store.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/db_rig.h"
#include "tests/support/loop_until.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { NODE = 5 };
#define T0 INT64_C(1790000000000)

static struct pg_server *server;

struct fixture {
    struct db_rig rig;
    struct session_store *st;
    int64_t upto;
    unsigned n_room;
    bool loaded;
    int64_t loaded_upto;
    struct session rows[16];
    struct session_segment segments[16];
    unsigned counts[16];
    size_t n;
};

static int64_t upto(void *ctx)
{
    return ((struct fixture *)ctx)->upto;
}

/* Puts two rows, in three parts. */
static bool on_room(void *ctx)
{
    struct fixture *f = ctx;
    const struct session s = {.id = 100 + f->n_room, .room_id = 1, .start_id = 100 + f->n_room};
    f->n_room++;
    if (f->n_room == 3) {
        return false;
    }
    session_store_put(f->st, &s);
    return true;
}

static bool is_up(void *ctx)
{
    return db_is_up(((struct fixture *)ctx)->rig.db);
}

static bool is_down(void *ctx)
{
    return !db_is_up(((struct fixture *)ctx)->rig.db);
}

static bool is_stored(void *ctx)
{
    return session_store_n_waiting(((struct fixture *)ctx)->st) == 0;
}

static bool is_loaded(void *ctx)
{
    return ((struct fixture *)ctx)->loaded;
}

static void until(struct fixture *f, bool (*is)(void *ctx))
{
    db_rig_until(&f->rig, is, f);
}

static void store_new(struct fixture *f)
{
    const struct session_store_opts opts = {
        .db = f->rig.db, .node = NODE, .upto = upto, .on_room = on_room, .ctx = f};
    f->st = session_store_new(f->rig.loop, &opts, f->rig.stats);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    log_set_level(LOG_LEVEL_ERROR);
    db_rig_open(&f->rig, server, 2);
    store_new(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    session_store_free(f->st);
    db_rig_close(&f->rig);
    mem_free(f);
    return 0;
}

/* Ids are of this node. */
static int64_t id_at(int64_t ms)
{
    return id_first_of_ms(T0 + ms) | (int64_t)NODE << 16;
}

static struct session session_of(int64_t room, int64_t at, int64_t end)
{
    struct session s = {.id = id_at(at) + room * 16,
                        .room_id = room,
                        .start_id = id_at(at) + room * 16,
                        .upstream_start_ms = T0 + at};
    if (end > 0) {
        s.end_id = id_at(end);
        s.end = SESSION_PREPARING;
    }
    return s;
}

static struct session_segment segment_of(const struct session *s, int64_t after,
                                         const char *title_text)
{
    struct session_segment g = {.session_id = s->id, .from_id = s->start_id + after, .area_id = 3};
    snprintf(g.title, sizeof(g.title), "%s", title_text);
    snprintf(g.area, sizeof(g.area), "分区");
    return g;
}

static void restored(void *ctx, const struct session *row, const struct session_segment *segment,
                     unsigned n_segments)
{
    struct fixture *f = ctx;
    assert_true(f->n < ARRAY_LEN(f->rows));
    f->rows[f->n] = *row;
    f->counts[f->n] = n_segments;
    f->segments[f->n++] = *segment;
}

static void loaded(void *ctx, enum err_code code, const struct err *err, int64_t upto_id)
{
    struct fixture *f = ctx;
    if (code != ERR_OK) {
        fail_msg("%s", err->msg);
    }
    f->loaded = true;
    f->loaded_upto = upto_id;
}

/* A start: another store over the same tables. */
static void load(struct fixture *f)
{
    session_store_free(f->st);
    store_new(f);
    f->n = 0;
    f->loaded = false;
    assert_int_equal(session_store_load(f->st, restored, loaded, f, NULL), ERR_OK);
    until(f, is_loaded);
}

static void put_all(struct fixture *f, const struct session *s, const char *title_text)
{
    const struct session_segment g = segment_of(s, 0, title_text);
    session_store_put(f->st, s);
    session_store_put_segment(f->st, &g);
}

static void check_same(const struct session *a, const struct session *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->room_id, b->room_id);
    assert_int_equal(a->start_id, b->start_id);
    assert_int_equal(a->end_id, b->end_id);
    assert_int_equal(a->upstream_start_ms, b->upstream_start_ms);
    assert_int_equal(a->end, b->end);
}

static int64_t count(const struct fixture *f, const char *sql)
{
    return pg_server_i64(f->rig.conninfo, sql);
}

static int64_t now_offset(const struct fixture *f)
{
    return loop_wall_ms(f->rig.loop) - T0;
}

static void test_there_and_back(void **state)
{
    struct fixture *f = *state;
    const int64_t now = now_offset(f);
    const struct session open = session_of(1, now - 5000, 0);
    const struct session old = session_of(2, now - 90000, now - 60000);
    struct session newest = session_of(2, now - 50000, now - 40000);
    const struct session ancient =
        session_of(3, now - INT64_C(10) * 86400000, now - INT64_C(9) * 86400000);
    put_all(f, &open, "标题 \"a\" \\ {b}");
    put_all(f, &old, "old");
    newest.end = SESSION_CUT_OFF;
    put_all(f, &newest, "first");
    const struct session_segment second = segment_of(&newest, 5, "second");
    session_store_put_segment(f->st, &second);
    put_all(f, &ancient, "");
    f->upto = id_at(now);
    until(f, is_stored);
    assert_int_equal(count(f, "SELECT count(*) FROM session"), 4);
    assert_int_equal(count(f, "SELECT count(*) FROM session WHERE end_id IS NULL"), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM session_segment WHERE title IS NULL"), 1);

    load(f);
    assert_int_equal(f->n, 2); /* the newest of the rooms, but for what ended long ago */
    check_same(&f->rows[0], &open);
    assert_string_equal(f->segments[0].title, "标题 \"a\" \\ {b}");
    assert_string_equal(f->segments[0].area, "分区");
    assert_int_equal(f->counts[0], 1);
    check_same(&f->rows[1], &newest);
    assert_string_equal(f->segments[1].title, "second");
    assert_int_equal(f->counts[1], 2);
    assert_int_equal(f->loaded_upto, f->upto); /* the mark went with the rows */

    pg_server_sql(f->rig.conninfo, "DELETE FROM session; UPDATE session_mark SET node = 6");
    load(f); /* nothing of this node */
    assert_int_equal(f->n, 0);
    assert_int_equal(f->loaded_upto, 0);
}

/* The node was another one before: what it left open is told, what it ended is not. */
static void test_of_another_node(void **state)
{
    struct fixture *f = *state;
    const int64_t now = now_offset(f);
    struct session theirs = session_of(1, now - 5000, 0);
    struct session ended = session_of(2, now - 5000, now - 1000);
    struct session both = session_of(3, now - 5000, 0);
    const struct session ours = session_of(3, now - 9000, 0);
    theirs.id += 1 << 16;
    ended.id += 1 << 16;
    both.id += 1 << 16;
    put_all(f, &theirs, "theirs");
    put_all(f, &ended, "ended");
    put_all(f, &both, "both");
    put_all(f, &ours, "ours");
    until(f, is_stored);
    load(f);
    assert_int_equal(f->n, 2);
    check_same(&f->rows[0], &theirs);
    assert_string_equal(f->segments[0].title, "theirs");
    check_same(&f->rows[1], &ours); /* two nodes at once: each has its own */
}

/* A room that was away for days comes back in the same live, of which memory knows nothing any more. */
static void test_no_overlap_with_what_is_forgotten(void **state)
{
    struct fixture *f = *state;
    const struct session old = session_of(1, 1000, 5000);
    struct session again = session_of(1, 9000, 0);
    again.start_id = old.start_id;
    put_all(f, &old, "before");
    until(f, is_stored);
    put_all(f, &again, "after");
    until(f, is_stored);
    again.end_id = id_at(20000);
    again.end = SESSION_POLL;
    put_all(f, &again, "after");
    until(f, is_stored);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSION_ROWS_REFUSED), 0);
    assert_int_equal(count(f, "SELECT count(*) FROM session WHERE end_id IS NOT NULL"), 2);
    assert_int_equal(count(f, "SELECT max(start_id) FROM session"), old.end_id + 1);
    assert_int_equal(count(f, "SELECT max(end_id) FROM session"), again.end_id);
}

static void test_the_newest_state_wins(void **state)
{
    struct fixture *f = *state;
    struct session s = session_of(1, 1000, 0);
    put_all(f, &s, "title 0");
    for (int i = 1; i <= 200; i++) { /* while others are under way */
        char text[32];
        s.end_id = i % 2 ? id_at(1000 + i) : 0;
        s.end = i % 2 ? SESSION_POLL : SESSION_OPEN;
        snprintf(text, sizeof(text), "title %d", i);
        put_all(f, &s, text);
        assert_true(session_store_n_waiting(f->st) <= 4);
        (void)loop_turn(f->rig.loop);
    }
    s.end_id = id_at(9000);
    s.end = SESSION_REMOVED;
    put_all(f, &s, "last");
    until(f, is_stored);
    assert_int_equal(count(f, "SELECT count(*) FROM session WHERE end_cause = 'removed'"), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM session_segment WHERE title = 'last'"), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM session_segment"), 1);
}

static void test_the_database_goes_away(void **state)
{
    struct fixture *f = *state;
    struct session s = session_of(1, 1000, 0);
    f->n_room = 2; /* on_room has nothing more */
    put_all(f, &s, "before");
    until(f, is_stored);
    pg_server_stop(server, PG_STOP_KILL);
    s.end_id = id_at(5000);
    s.end = SESSION_PREPARING;
    put_all(f, &s, "away");
    until(f, is_down);
    for (int64_t room = 10; room < 1010; room++) {
        const struct session other = session_of(room, 2000, room % 2 ? 3000 : 0);
        put_all(f, &other, "other");
    }
    assert_int_equal(session_store_n_waiting(f->st), 2002);
    pg_server_restart(server);
    until(f, is_stored);
    assert_int_equal(count(f, "SELECT count(*) FROM session"), 1001);
    assert_int_equal(count(f, "SELECT count(*) FROM session_segment"), 1001);
    assert_int_equal(count(f, "SELECT count(*) FROM session WHERE end_cause = 'preparing'"), 501);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSION_ROWS_REFUSED), 0);
}

static void test_a_row_that_is_refused(void **state)
{
    struct fixture *f = *state;
    for (int64_t room = 1; room <= 20; room++) {
        struct session s = session_of(room, 1000, 0);
        if (room == 9) {
            s.room_id = 8;
            s.start_id = session_of(8, 1000, 0).start_id; /* there is such a one */
        }
        put_all(f, &s, "x");
    }
    until(f, is_stored);
    assert_int_equal(count(f, "SELECT count(*) FROM session"), 19);
    assert_int_equal(count(f, "SELECT count(*) FROM session_segment"), 19);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSION_ROWS_REFUSED), 2); /* with its segment */
    const struct session more = session_of(50, 1000, 0);
    put_all(f, &more, "y");
    until(f, is_stored);
    assert_int_equal(count(f, "SELECT count(*) FROM session"), 20);
}

static void test_the_limit(void **state)
{
    struct fixture *f = *state;
    pg_server_stop(server, PG_STOP_KILL);
    const struct session one = session_of(1, 1000, 0); /* somebody has to notice */
    session_store_put(f->st, &one);
    until(f, is_down);
    for (int64_t room = 1; room <= SESSION_STORE_MAX + 10; room++) {
        const struct session s = session_of(room, 1000, 0);
        session_store_put(f->st, &s);
    }
    assert_int_equal(session_store_n_waiting(f->st), SESSION_STORE_MAX);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSION_ROWS_DROPPED), 10);
    struct session first = session_of(1, 1000, 2000); /* what waits already is still updated */
    session_store_put(f->st, &first);
    assert_int_equal(stats_get(f->rig.stats, STAT_SESSION_ROWS_DROPPED), 10);
    pg_server_restart(server);
    until(f, is_stored);
    assert_int_equal(f->n_room, 3); /* until it has nothing more */
    assert_int_equal(count(f, "SELECT count(*) FROM session"), SESSION_STORE_MAX + 2);
    assert_int_equal(count(f, "SELECT count(*) FROM session WHERE end_id IS NOT NULL"), 1);
}

static bool is_open_again(void *ctx)
{
    return count(ctx, "SELECT count(*) FROM session WHERE id = 100 AND end_id IS NULL") == 1;
}

/* While we could not be seen another node has ended what we hold. */
static void test_open_again_after_an_outage(void **state)
{
    struct fixture *f = *state;
    const struct session held = {.id = 100, .room_id = 1, .start_id = 100};
    session_store_put(f->st, &held);
    until(f, is_stored);
    assert_true(is_open_again(f));
    pg_server_sql(f->rig.conninfo,
                  "UPDATE session SET end_id = 200, end_cause = 'abandoned' WHERE id = 100");
    pg_server_stop(server, PG_STOP_KILL);
    until(f, is_down);
    const struct session other = session_of(2, 1000, 0);
    session_store_put(f->st, &other); /* so that it looks at once */
    loop_run_turns(f->rig.loop, 5);
    assert_int_equal(f->n_room, 0);
    pg_server_restart(server);
    until(f, is_open_again); /* on_room put it */
    until(f, is_stored);
}

/* ---- audience ---- */

static bool is_figured(void *ctx)
{
    return audience_store_n_waiting(ctx) == 0;
}

static void test_audience_rows(void **state)
{
    struct fixture *f = *state;
    struct audience_store *st = audience_store_new(f->rig.loop, f->rig.db, f->rig.stats);
    const int64_t now = loop_wall_ms(f->rig.loop);
    struct audience_row row = {.room_id = 1, .v = {1, 2, 3, 4, 5, -1, 7}};
    audience_store_start(st);
    for (int i = 0; i < 5000; i++) {
        row.at_ms = now + i * 10;
        audience_store_put(st, &row);
    }
    audience_store_put(st, &row); /* again: it is there already */
    db_rig_until(&f->rig, is_figured, st);
    assert_int_equal(count(f, "SELECT count(*) FROM audience"), 5000);
    assert_int_equal(count(f, "SELECT count(*) FROM audience_default"), 0);
    assert_int_equal(count(f, "SELECT count(*) FROM audience WHERE (online, rank_users, watched, "
                              "likes, popularity, fans_club) = (1, 2, 3, 4, 5, 7) "
                              "AND followers IS NULL"),
                     5000);
    pg_server_stop(server, PG_STOP_KILL);
    row.at_ms = now + 900000;
    audience_store_put(st, &row);
    until(f, is_down);
    for (int i = 0; i < AUDIENCE_STORE_MAX + 6; i++) { /* the oldest go */
        row.at_ms = now + 1000000 + i;
        audience_store_put(st, &row);
    }
    assert_int_equal(audience_store_n_waiting(st), AUDIENCE_STORE_MAX);
    assert_int_equal(stats_get(f->rig.stats, STAT_AUDIENCE_ROWS_DROPPED), 7);
    audience_store_free(st);
    pg_server_restart(server);
    until(f, is_up);
}

/* A day that comes late takes what had to go to the default partition. */
static void test_audience_days(void **state)
{
    struct fixture *f = *state;
    pg_server_sql(f->rig.conninfo,
                  "INSERT INTO audience (room_id, at_ms, online) SELECT 1, 1790000000000 + g, g "
                  "FROM generate_series(1, 100) g");
    assert_int_equal(count(f, "SELECT count(*) FROM audience_default"), 100);
    assert_int_equal(count(f, "SELECT partition_make_day('audience', '2026-09-21')::int"), 1);
    assert_int_equal(count(f, "SELECT partition_make_day('audience', '2026-09-21')::int"), 0);
    assert_int_equal(count(f, "SELECT count(*) FROM audience_default"), 0);
    assert_int_equal(count(f, "SELECT count(*) FROM audience_20260921"), 100);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(test_there_and_back),
        T(test_of_another_node),
        T(test_no_overlap_with_what_is_forgotten),
        T(test_the_newest_state_wins),
        T(test_the_database_goes_away),
        T(test_a_row_that_is_refused),
        T(test_the_limit),
        T(test_open_again_after_an_outage),
        T(test_audience_rows),
        T(test_audience_days),
    };
    server = pg_server_start(NULL);
    int status = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return status;
}
