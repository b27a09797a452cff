/* The set of rooms over a real PostgreSQL, with doubles of upstream and collector. */
#include "collector/fleet.h"

#include <stdio.h>

#include "collector/room_facts.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/db/migrate.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

enum { ROOMS_MAX = 2000, CALLS_MAX = 64 };

static struct pg_server *server;

/* One question to upstream, answered from the loop. */
struct call {
    struct world *w;
    int64_t ids[UPSTREAM_STATUS_MAX];
    size_t n;
    upstream_room_fn *one;
    upstream_rooms_fn *several;
    void *ctx;
};

struct world {
    char conninfo[PG_SERVER_CONNINFO_BYTES];
    struct loop *loop;
    struct stats *stats;
    struct db *db;
    struct fleet *fleet;
    int64_t in[ROOMS_MAX]; /* the collector's rooms, in the order they came */
    size_t n_in;
    size_t n_added, n_removed;
    enum err_code upstream; /* what every question gets; ERR_OK: an answer */
    size_t n_status, n_resolve;
    bool discovering;
    bool done;
    enum err_code code;
    struct err err;
    struct fleet_done answer;
    int64_t unknown;
};

/* ---- the collector ---- */

static enum err_code sink_add(void *ctx, int64_t id, struct err *err)
{
    struct world *w = ctx;
    (void)err;
    for (size_t i = 0; i < w->n_in; i++) {
        assert_int_not_equal(w->in[i], id);
    }
    w->in[w->n_in++] = id;
    w->n_added++;
    return ERR_OK;
}

static enum err_code sink_remove(void *ctx, int64_t id, struct err *err)
{
    struct world *w = ctx;
    (void)err;
    for (size_t i = 0; i < w->n_in; i++) {
        if (w->in[i] == id) {
            w->n_in--;
            memmove(&w->in[i], &w->in[i + 1], (w->n_in - i) * sizeof(w->in[0]));
            w->n_removed++;
            return ERR_OK;
        }
    }
    fail_msg("room %lld was never added", (long long)id);
    return ERR_NOT_FOUND;
}

static bool is_in(const struct world *w, int64_t id)
{
    for (size_t i = 0; i < w->n_in; i++) {
        if (w->in[i] == id) {
            return true;
        }
    }
    return false;
}

/* ---- upstream: rooms from 1000 on; those from 2000 on have the short id room - 1990 ---- */

static bool make_room(int64_t number, struct upstream_room *ret)
{
    const int64_t id = number < 1000 ? number + 1990 : number;
    *ret = (struct upstream_room){
        .room_id = id,
        .short_id = id >= 2000 && id < 2990 ? id - 1990 : 0,
        .uid = id * 10,
        .live_status = 1,
        .live_since_ms = 5000,
        .uname = STR("主播"),
        .title = STR("title \xff\"'{}\\ 1"),
        .area = STR("area"),
        .parent_area = STR("parent"),
        .area_id = 7,
        .parent_area_id = 2,
    };
    return id >= 1000 && id < 5000;
}

static void answer(void *ctx)
{
    struct call *c = ctx;
    struct world *w = c->w;
    struct upstream_room rooms[UPSTREAM_STATUS_MAX];
    struct err err = {.code = w->upstream, .msg = "upstream's reason"};
    size_t n = 0;
    for (size_t i = 0; i < c->n && w->upstream == ERR_OK; i++) {
        /* Status knows real ids only. */
        n += make_room(c->ids[i], &rooms[n]) && (c->one != NULL || c->ids[i] >= 1000);
    }
    if (c->several != NULL) {
        c->several(c->ctx, w->upstream, rooms, n, &err);
    } else {
        const enum err_code code = w->upstream == ERR_OK && n == 0 ? ERR_NOT_FOUND : w->upstream;
        err.code = code;
        c->one(c->ctx, code, code == ERR_OK ? rooms : NULL, &err);
    }
    mem_free(c);
}

static void source_resolve(void *ctx, int64_t room, upstream_room_fn *done, void *done_ctx)
{
    struct world *w = ctx;
    struct call *c = mem_new(struct call);
    *c = (struct call){.w = w, .ids = {room}, .n = 1, .one = done, .ctx = done_ctx};
    w->n_resolve++;
    loop_defer(w->loop, answer, c);
}

static void source_status(void *ctx, const int64_t *ids, size_t n, upstream_rooms_fn *done,
                          void *done_ctx)
{
    struct world *w = ctx;
    struct call *c = mem_new(struct call);
    assert_true(n > 0 && n <= UPSTREAM_STATUS_MAX);
    *c = (struct call){.w = w, .n = n, .several = done, .ctx = done_ctx};
    memcpy(c->ids, ids, n * sizeof(ids[0]));
    w->n_status++;
    loop_defer(w->loop, answer, c);
}

/* ---- up and down ---- */

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void on_loaded(void *ctx, enum err_code code, const struct err *err)
{
    struct world *w = ctx;
    if (code != ERR_OK) {
        fail_msg("load: %s", err->msg);
    }
    w->done = true;
}

static void turn_until_up(struct world *w)
{
    struct patience p = {0};
    while (!db_is_up(w->db) && patience_left(&p, 0)) {
        bool never = false;
        assert_false(loop_run_until(w->loop, &never, 1));
    }
    assert_true(db_is_up(w->db));
}

static void open_fleet(struct world *w, bool with_source, const int64_t *config, size_t n,
                       size_t max_rooms)
{
    const struct db_opts db = {
        .conninfo = w->conninfo,
        .pool = 2,
        .max_queue = 100,
        .connect_timeout_ms = 60000,
        .timeout_ms = 60000,
        .max_result_bytes = 16 << 20,
        .application_name = "test_fleet",
    };
    const struct fleet_source source = {
        .resolve = source_resolve, .status = source_status, .ctx = w};
    w->loop = loop_new();
    w->stats = stats_new();
    w->db = db_new(w->loop, &db, w->stats);
    turn_until_up(w);
    const struct fleet_opts opts = {
        .loop = w->loop,
        .db = w->db,
        .stats = w->stats,
        .source = with_source ? &source : NULL,
        .sink = {.add = sink_add, .remove = sink_remove, .ctx = w},
        .retry_max_ms = 100,
        .seed = 1,
    };
    w->fleet = fleet_new(&opts);
    w->n_in = w->n_added = w->n_removed = w->n_status = w->n_resolve = 0;
    fleet_configure(w->fleet, config, n, max_rooms, w->discovering);
}

static void start(struct world *w, bool with_source, const int64_t *config, size_t n,
                  size_t max_rooms)
{
    open_fleet(w, with_source, config, n, max_rooms);
    w->done = false;
    fleet_load(w->fleet, on_loaded, w);
    assert_true(loop_run_until(w->loop, &w->done, 1000));
}

static void stop(struct world *w)
{
    bool closed = false;
    fleet_stop(w->fleet);
    db_close(w->db, set_flag, &closed);
    assert_true(loop_run_until(w->loop, &closed, 1000));
    loop_run_turns(w->loop, 5);
    fleet_free(w->fleet);
    stats_free(w->stats);
    loop_free(w->loop);
    w->fleet = NULL;
}

static int setup(void **state)
{
    struct world *w = mem_new(struct world);
    struct migrate_result result;
    pg_server_new_db(server, w->conninfo);
    assert_int_equal(migrate_run(w->conninfo, &result, NULL), ERR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->fleet != NULL) {
        stop(w);
    }
    mem_free(w);
    return 0;
}

/* ---- requests ---- */

static void on_done(void *ctx, enum err_code code, const struct err *err,
                    const struct fleet_done *done)
{
    struct world *w = ctx;
    assert_false(w->done);
    w->done = true;
    w->code = code;
    w->err = *err;
    w->answer = *done;
    w->unknown = done->n_unknown > 0 ? done->unknown[0] : 0;
}

static enum err_code finish(struct world *w)
{
    assert_false(w->done); /* never before the call returned */
    assert_true(loop_run_until(w->loop, &w->done, 1000));
    loop_run_turns(w->loop, 3); /* the plan */
    return w->code;
}

static enum err_code add(struct world *w, int64_t number, struct fleet_change change)
{
    w->done = false;
    fleet_add(w->fleet, number, &change, on_done, w);
    return finish(w);
}

static enum err_code change(struct world *w, int64_t number, struct fleet_change what)
{
    w->done = false;
    fleet_change(w->fleet, number, &what, on_done, w);
    return finish(w);
}

static enum err_code drop(struct world *w, int64_t number)
{
    w->done = false;
    fleet_remove(w->fleet, number, on_done, w);
    return finish(w);
}

static enum err_code set(struct world *w, const int64_t *numbers, size_t n)
{
    w->done = false;
    fleet_set(w->fleet, numbers, n, on_done, w);
    return finish(w);
}

static struct fleet_info info(struct world *w, int64_t number)
{
    struct fleet_info i;
    assert_true(fleet_get(w->fleet, number, &i));
    return i;
}

static void turn_until_in(struct world *w, size_t n)
{
    struct patience p = {0};
    while (w->n_in != n && patience_left(&p, 0)) {
        bool never = false;
        assert_false(loop_run_until(w->loop, &never, 1));
    }
    assert_int_equal(w->n_in, n);
}

/* sql gives a count. */
static void turn_until_sql(struct world *w, const char *sql)
{
    struct patience p = {0};
    for (int i = 0; patience_left(&p, 4000); i++) {
        bool never = false;
        if (i % 20 == 0 && pg_server_i64(w->conninfo, sql) == 1) {
            return;
        }
        assert_false(loop_run_until(w->loop, &never, 1));
    }
    fail_msg("waited in vain: %s", sql);
}

/* ---- cases ---- */

static void without_upstream(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {6, 7};
    start(w, false, config, 2, 10);
    assert_int_equal(w->n_in, 2); /* before load has answered */
    assert_int_equal(add(w, 8, (struct fleet_change){0}), ERR_OK);
    assert_int_equal(w->answer.n_added, 1);
    assert_int_equal(w->answer.room_id, 8);
    assert_true(is_in(w, 6) && is_in(w, 7) && is_in(w, 8));
    assert_int_equal(add(w, 8, (struct fleet_change){0}), ERR_OK);
    assert_int_equal(w->answer.n_added, 0);
    turn_until_sql(w, "SELECT (count(*) = 3)::int FROM room WHERE state = 'active'");
    assert_int_equal(pg_server_i64(w->conninfo, "SELECT count(*) FROM room WHERE by_api"), 1);
}

/* ---- a start without the table ---- */

static void take_kept(void *ctx, const struct fleet_kept *room)
{
    struct fleet_kept *kept = ctx;
    kept[room->room_id] = *room;
    kept[room->room_id].groups = "";
}

/* Goes on with what the process before knew; then the table has the last word, but for what it was not told. */
static void begins_without_the_table(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {6, 7, 8};
    static const struct fleet_kept known[] = {
        {.room_id = 6, .state = FLEET_PAUSED, .origin = FLEET_CONFIG, .groups = ""},
        {.room_id = 9, .origin = FLEET_API, .by_api = true, .collected = true, .groups = "g"},
        {.room_id = 10, .origin = FLEET_API, .by_api = true, .groups = ""},
        {.room_id = 11, .state = FLEET_PAUSED, .by_api = true, .unstored = true, .groups = ""},
        {.room_id = 12, .state = FLEET_REMOVED, .origin = FLEET_DISCOVERY, .groups = ""},
        {.room_id = 13, .origin = FLEET_DISCOVERY, .groups = ""},
    };
    pg_server_sql(w->conninfo,
                  "INSERT INTO room (room_id, origin, state, by_api, pinned, created_ms) VALUES "
                  "(7, 'config', 'paused', false, false, 1), (9, 'api', 'active', true, true, 1), "
                  "(11, 'api', 'active', true, false, 1), (14, 'api', 'active', true, false, 1)");
    w->discovering = true;
    open_fleet(w, false, config, 3, 10);
    fleet_begin(w->fleet, known, ARRAY_LEN(known));
    assert_true(is_in(w, 7) && is_in(w, 8) && is_in(w, 9) && is_in(w, 10) && is_in(w, 13));
    assert_int_equal(w->n_in, 5);
    assert_string_equal(info(w, 9).groups, "g");
    assert_int_equal(add(w, 20, (struct fleet_change){0}), ERR_CANCELED); /* not yet */
    w->done = false;
    fleet_load(w->fleet, on_loaded, w);
    assert_true(loop_run_until(w->loop, &w->done, 1000));
    /* 6 has no row, so nobody paused it; 7 was paused; 10 and 13 are gone; 14 is new. */
    assert_true(is_in(w, 6) && is_in(w, 8) && is_in(w, 9) && is_in(w, 14));
    assert_int_equal(w->n_in, 4);
    assert_true(info(w, 9).pinned);
    assert_int_equal(info(w, 7).state, FLEET_PAUSED);
    assert_int_equal(info(w, 11).state, FLEET_PAUSED); /* the table was not told */
    turn_until_sql(w, "SELECT count(*) FROM room WHERE room_id = 11 AND state = 'paused'");
    turn_until_sql(
        w, "SELECT (count(*) = 2)::int FROM room WHERE room_id IN (10, 13) AND state = 'left'");
    struct fleet_kept kept[21] = {0};
    fleet_each_kept(w->fleet, take_kept, kept);
    assert_true(kept[6].collected && kept[7].state == FLEET_PAUSED && !kept[7].collected);
    assert_true(kept[11].state == FLEET_PAUSED && kept[9].pinned && kept[14].by_api);
    const uint64_t version = fleet_kept_version(w->fleet);
    assert_int_equal(add(w, 20, (struct fleet_change){0}), ERR_OK);
    assert_true(fleet_kept_version(w->fleet) != version);
}

static void short_ids_of_the_configuration(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {10, 2000, 1500, 6000}; /* 10 is 2000; 6000 is nothing */
    start(w, true, config, 4, 10);
    turn_until_in(w, 2);
    assert_true(is_in(w, 2000) && is_in(w, 1500));
    assert_int_equal(w->n_status, 1);
    assert_int_equal(info(w, 10).room_id, 2000);
    assert_string_equal(info(w, 2000).facts->title, "title \xef\xbf\xbd\"'{}\\ 1");
    assert_int_equal(info(w, 2000).facts->live, 1);
    assert_int_equal(info(w, 6000).wait, FLEET_WAIT_NOT_FOUND);
    turn_until_sql(w, "SELECT (count(*) = 2)::int FROM room WHERE uname = '主播' AND live");
    assert_int_equal(pg_server_i64(w->conninfo, "SELECT short_id FROM room WHERE room_id = 2000"),
                     10);
    assert_int_equal(pg_server_i64(w->conninfo, "SELECT count(*) FROM room"), 2);
    stop(w);
    w->upstream = ERR_UNAVAILABLE; /* what is known needs no upstream */
    start(w, true, config, 2, 10);
    assert_true(w->n_in == 1 && is_in(w, 2000));
    assert_int_equal(w->n_status + w->n_resolve, 0);
}

static void bad_numbers_change_nothing(void **state)
{
    struct world *w = *state;
    static const int64_t good[] = {1001, 1002};
    static const int64_t bad[] = {1002, 9000, 1003};
    start(w, true, NULL, 0, 10);
    assert_int_equal(set(w, good, 2), ERR_OK);
    assert_int_equal(w->answer.n_added, 2);
    assert_int_equal(add(w, 9000, (struct fleet_change){0}), ERR_NOT_FOUND);
    assert_int_equal(w->unknown, 9000);
    assert_int_equal(set(w, bad, 3), ERR_NOT_FOUND);
    assert_true(w->answer.n_unknown == 1 && w->unknown == 9000);
    w->upstream = ERR_UNAVAILABLE;
    assert_int_equal(add(w, 1003, (struct fleet_change){0}), ERR_UNAVAILABLE);
    assert_true(w->answer.upstream_failed && w->answer.room_id == 0);
    assert_string_equal(w->err.msg, "upstream's reason");
    assert_int_equal(set(w, bad, 1), ERR_OK); /* known already */
    assert_int_equal(w->answer.n_removed, 1);
    assert_true(w->n_in == 1 && is_in(w, 1002));
    assert_int_equal(pg_server_i64(w->conninfo, "SELECT count(*) FROM room"), 2);
    assert_int_equal(set(w, NULL, 0), ERR_OK);
    assert_int_equal(w->n_in, 0);
    assert_int_equal(change(w, 4711, (struct fleet_change){.has_paused = true}), ERR_NOT_FOUND);
    assert_int_equal(drop(w, 4711), ERR_NOT_FOUND);
}

static void many_at_once(void **state)
{
    struct world *w = *state;
    int64_t numbers[FLEET_SET_MAX];
    for (int i = 0; i < FLEET_SET_MAX; i++) {
        numbers[i] = 1000 + i; /* none with a short id */
    }
    start(w, true, NULL, 0, 700);
    assert_int_equal(set(w, numbers, FLEET_SET_MAX), ERR_OK);
    assert_int_equal(w->n_status, FLEET_SET_MAX / UPSTREAM_STATUS_MAX);
    assert_int_equal(w->n_resolve, 0);
    turn_until_in(w, 700);
    assert_int_equal(pg_server_i64(w->conninfo, "SELECT count(*) FROM room WHERE by_api"),
                     FLEET_SET_MAX);
    assert_int_equal(set(w, numbers, FLEET_SET_MAX), ERR_OK);
    assert_true(w->n_added == 700 && w->n_removed == 0);
    stop(w);
    start(w, true, NULL, 0, 700);
    assert_int_equal(w->n_in, 700);
    assert_int_equal(w->n_status, 0);
}

static void kept_over_a_restart(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {1001, 1002};
    const struct str groups[] = {STR("a b"), STR("晚")};
    start(w, true, config, 2, 10);
    turn_until_in(w, 2);
    assert_int_equal(change(w, 1001, (struct fleet_change){.has_paused = true, .paused = true}),
                     ERR_OK);
    assert_int_equal(add(w, 11,
                         (struct fleet_change){.has_groups = true,
                                               .groups = groups,
                                               .n_groups = 2,
                                               .has_pinned = true,
                                               .pinned = true}),
                     ERR_OK);
    assert_int_equal(w->answer.room_id, 2001);
    assert_int_equal(add(w, 1003, (struct fleet_change){0}), ERR_OK);
    assert_int_equal(drop(w, 1003), ERR_OK);
    assert_int_equal(drop(w, 1002), ERR_CONFLICT);
    stop(w);
    w->upstream = ERR_UNAVAILABLE;
    start(w, true, config, 1, 10); /* 1002 has left the file */
    assert_true(w->n_in == 1 && is_in(w, 2001));
    assert_int_equal(info(w, 1001).wait, FLEET_WAIT_PAUSED);
    assert_int_equal(info(w, 1003).state, FLEET_REMOVED);
    assert_string_equal(info(w, 11).groups, "a b,晚");
    assert_true(info(w, 2001).pinned && info(w, 2001).origin == FLEET_API);
    turn_until_sql(w, "SELECT count(*) FROM room WHERE state = 'left' AND room_id = 1002");
    assert_int_equal(change(w, 1003, (struct fleet_change){.has_pinned = true}), ERR_CONFLICT);
    assert_int_equal(add(w, 1003, (struct fleet_change){0}), ERR_OK);
    assert_true(is_in(w, 1003));
    /* A room that is nobody's any more is changed by its row. */
    assert_int_equal(
        change(w, 1002, (struct fleet_change){.has_groups = true, .groups = groups, .n_groups = 1}),
        ERR_OK);
    assert_false(is_in(w, 1002));
    assert_int_equal(
        pg_server_i64(w->conninfo,
                      "SELECT count(*) FROM room WHERE groups = '{a b}' AND state = 'left'"),
        1);
}

static void the_cap(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {1001, 1002, 1003};
    start(w, false, config, 3, 2);
    assert_true(w->n_in == 2 && is_in(w, 1001) && is_in(w, 1002));
    assert_int_equal(info(w, 1003).wait, FLEET_WAIT_MAX_ROOMS);
    assert_int_equal(stats_get(w->stats, STAT_FLEET_WAITING), 1);
    assert_int_equal(change(w, 1003, (struct fleet_change){.has_pinned = true, .pinned = true}),
                     ERR_OK);
    assert_true(w->n_in == 2 && is_in(w, 1001) && is_in(w, 1003));
    assert_int_equal(change(w, 1003, (struct fleet_change){.has_pinned = true}), ERR_OK);
    assert_true(is_in(w, 1003)); /* who has a place keeps it */
    fleet_configure(w->fleet, config, 3, 3, false);
    turn_until_in(w, 3);
    fleet_configure(w->fleet, config + 2, 1, 3, false);
    turn_until_in(w, 1);
    assert_true(is_in(w, 1003));
}

static void what_upstream_says_is_noted(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {1001};
    struct upstream_room said;
    start(w, false, config, 1, 2);
    (void)make_room(1001, &said);
    fleet_note_room(w->fleet, &said);
    assert_int_equal(info(w, 1001).facts->live, 1);
    turn_until_sql(w,
                   "SELECT count(*) FROM room WHERE live AND live_since_ms = 5000 AND area_id = 7");
    said.live_status = 0;
    said.title = STR("");
    fleet_note_room(w->fleet, &said);
    assert_string_equal(info(w, 1001).facts->title, "title \xef\xbf\xbd\"'{}\\ 1");
    turn_until_sql(
        w,
        "SELECT count(*) FROM room WHERE NOT live AND live_since_ms IS NULL AND title IS NOT NULL");
    said.room_id = 1002; /* no matter */
    fleet_note_room(w->fleet, &said);
    said.room_id = 1001;
    said.live_status = -1;
    fleet_note_room(w->fleet, &said);
    assert_int_equal(info(w, 1001).facts->live, 0);
}

static void database_away(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {1001};
    static const int64_t more[] = {1001, 1002};
    start(w, false, config, 1, 5);
    assert_int_equal(add(w, 1003, (struct fleet_change){0}), ERR_OK);
    pg_server_stop(server, PG_STOP_IMMEDIATE);
    struct patience p = {0};
    while (db_is_up(w->db) && patience_left(&p, 0)) {
        bool never = false;
        assert_false(loop_run_until(w->loop, &never, 1));
    }
    assert_int_equal(add(w, 1004, (struct fleet_change){0}), ERR_UNAVAILABLE);
    assert_true(!w->answer.upstream_failed && w->answer.room_id == 0);
    assert_false(is_in(w, 1004));
    fleet_configure(w->fleet, more, 2, 5,
                    false); /* the file is another matter: it is there, and read again at start */
    turn_until_in(w, 3);
    p = (struct patience){0};
    while (stats_get(w->stats, STAT_FLEET_STORE_FAILED) == 0 && patience_left(&p, 0)) {
        bool never = false;
        assert_false(loop_run_until(w->loop, &never, 1));
    }
    assert_true(stats_get(w->stats, STAT_FLEET_STORE_FAILED) > 0);
    pg_server_restart(server);
    turn_until_up(w);
    turn_until_sql(w, "SELECT (count(*) = 3)::int FROM room");
}

static void found_rooms(void **state)
{
    struct world *w = *state;
    static const int64_t config[] = {1001};
    struct room_facts facts;
    struct upstream_room said;
    room_facts_init(&facts);
    (void)make_room(2001, &said);
    (void)room_facts_update(&facts, &said);
    const struct fleet_found found[] = {
        {.room_id = 1001, .rank = 1, .settled = true},
        {.room_id = 2001, .rank = 2, .settled = true, .facts = &facts},
        {.room_id = 2002, .rank = 3, .settled = true},
        {.room_id = 2003, .rank = 4, .settled = true},
    };
    w->discovering = true;
    start(w, false, config, 1, 3);
    fleet_discovered(w->fleet, found, 4);
    turn_until_in(w, 3);
    assert_true(is_in(w, 1001) && is_in(w, 2001) && is_in(w, 2002));
    assert_int_equal(info(w, 1001).origin, FLEET_CONFIG);
    assert_true(info(w, 1001).discovered && info(w, 1001).rank == 1);
    assert_int_equal(info(w, 2003).wait, FLEET_WAIT_MAX_ROOMS);
    assert_string_equal(info(w, 2001).facts->uname, "主播");
    assert_int_equal(drop(w, 2001), ERR_OK);
    assert_true(w->n_in == 3 && is_in(w, 2003));
    fleet_discovered(w->fleet, found, 4);
    loop_run_turns(w->loop, 3);
    assert_int_equal(info(w, 2001).wait, FLEET_WAIT_REMOVED);
    turn_until_sql(
        w, "SELECT (count(*) = 2)::int FROM room WHERE origin = 'discovery' AND state = 'active'");
    stop(w);

    start(w, false, config, 1, 3); /* before any list was read */
    assert_true(w->n_in == 3 && is_in(w, 2002) && is_in(w, 2003));
    assert_int_equal(info(w, 2002).origin, FLEET_DISCOVERY);
    fleet_discovered(w->fleet, NULL, 0);
    turn_until_in(w, 1);
    turn_until_sql(
        w, "SELECT (count(*) = 2)::int FROM room WHERE origin = 'discovery' AND state = 'left'");
    struct fleet_info i;
    assert_false(fleet_get(w->fleet, 2002, &i)); /* its row is enough */
    assert_true(fleet_get(w->fleet, 2001, &i));
    room_facts_deinit(&facts);
}

/* What is under way when it stops ends, once. */
static void stopped_in_between(void **state)
{
    struct world *w = *state;
    static const struct fleet_change nothing;
    for (unsigned turns = 0; turns < 8; turns++) {
        start(w, true, NULL, 0, 10);
        w->done = false;
        fleet_add(w->fleet, 1100 + turns, &nothing, on_done, w);
        loop_run_turns(w->loop, turns);
        stop(w);
        assert_true(w->done);
        assert_true(w->code == ERR_CANCELED || w->code == ERR_OK || w->code == ERR_UNAVAILABLE);
    }
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(without_upstream),
        CASE(begins_without_the_table),
        CASE(short_ids_of_the_configuration),
        CASE(bad_numbers_change_nothing),
        CASE(many_at_once),
        CASE(kept_over_a_restart),
        CASE(the_cap),
        CASE(what_upstream_says_is_noted),
        CASE(database_away),
        CASE(found_rooms),
        CASE(stopped_in_between),
    };
#undef CASE
    server = pg_server_start(NULL);
    const int status = run_tests(argc, argv, tests, ARRAY_LEN(tests));
    pg_server_free(server);
    return status;
}
