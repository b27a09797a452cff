#include "tests/support/writer_rig.h"

#include <stdio.h>
#include <string.h>

#include "collector/writer/batch.h"
#include "server/core/hash.h"
#include "server/core/mem.h"
#include "server/db/migrate.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/test.h"

struct pending {
    struct writer_rig *r;
    int64_t after;
    size_t max_rows;
    size_t max_bytes;
    void (*done)(void *ctx, struct event **events, size_t n);
    void *done_ctx;
};

static size_t place_after(const struct writer_rig *r, int64_t after)
{
    size_t low = 0;
    size_t high = r->n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (r->events[mid]->id <= after) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void answer(void *ctx)
{
    struct pending p = *(struct pending *)ctx;
    struct writer_rig *r = p.r;
    mem_free(ctx);
    size_t i = place_after(r, p.after);
    size_t bytes = 0;
    size_t n = 0;
    i = i < r->first ? r->first : i;
    struct event **out = mem_new_array(struct event *, p.max_rows);
    while (i + r->hidden < r->n && n < p.max_rows &&
           (n == 0 || bytes + r->events[i]->bytes <= p.max_bytes)) {
        bytes += r->events[i]->bytes;
        const struct event *shared = event_ref(r->events[i++]);
        memcpy(&out[n++], &shared, sizeof shared);
    }
    r->fetch_pending = false;
    p.done(p.done_ctx, out, n);
    mem_free(out);
}

static void fetch(void *ctx, int64_t after, size_t max_rows, size_t max_bytes,
                  void (*done)(void *done_ctx, struct event **events, size_t n), void *done_ctx)
{
    struct writer_rig *r = ctx;
    struct pending *p = mem_new(struct pending);
    assert_false(r->fetch_pending);
    assert_true(max_rows > 0);
    r->fetch_pending = true;
    r->n_fetches++;
    *p = (struct pending){r, after, max_rows, max_bytes, done, done_ctx};
    loop_defer(r->loop, answer, p);
}

static void on_committed(void *ctx, int64_t id)
{
    struct writer_rig *r = ctx;
    assert_true(id >= r->committed);
    r->committed = id;
}

static void on_mark(void *ctx, int64_t last_id)
{
    struct writer_rig *r = ctx;
    r->n_marks++;
    r->mark = last_id;
    id_gen_seed(&r->ids, last_id);
}

static void init_common(struct writer_rig *r, bool faked)
{
    r->faked = faked;
    r->loop = loop_new();
    if (faked) {
        clock_fake_init(&r->clock, INT64_C(1790000000000));
        loop_set_clock(r->loop, &r->clock.base);
    }
    r->stats = stats_new();
    r->events = mem_new_array(struct event *, RIG_EVENTS_MAX);
    rng_seed(&r->rng, 42);
    id_gen_init(&r->ids, RIG_NODE);
    r->committed = -1;
}

void writer_rig_init(struct writer_rig *r, struct pg_server *server, bool faked)
{
    struct migrate_result res;
    struct err err;
    *r = (struct writer_rig){0};
    pg_server_new_db(server, r->conninfo);
    assert_int_equal(migrate_run(r->conninfo, &res, &err), ERR_OK);
    init_common(r, faked);
}

void writer_rig_share(struct writer_rig *r, const struct writer_rig *other)
{
    *r = (struct writer_rig){0};
    memcpy(r->conninfo, other->conninfo, sizeof r->conninfo);
    init_common(r, other->faked);
    r->clock.wall = other->clock.wall;
}

void writer_rig_deinit(struct writer_rig *r)
{
    if (r->w) {
        assert_true(writer_rig_close(r, 0));
    }
    for (size_t i = 0; i < r->n; i++) {
        event_unref(&r->events[i]);
    }
    mem_free(r->events);
    stats_free(r->stats);
    loop_free(r->loop);
}

struct writer_opts writer_rig_opts(struct writer_rig *r)
{
    return (struct writer_opts){
        .conninfo = r->conninfo,
        .node = RIG_NODE,
        .batch_rows = 500,
        .batch_bytes = 1 << 20,
        .batch_age_ms = 5,
        /* A fake clock runs faster than the server answers. */
        .timeout_ms = r->faked ? 3600000 : 60000,
        .source = {.fetch = fetch, .committed = on_committed, .ctx = r},
        .on_mark = on_mark,
        .ctx = r,
    };
}

void writer_rig_open(struct writer_rig *r, const struct writer_opts *opts)
{
    const struct writer_opts o = opts ? *opts : writer_rig_opts(r);
    assert_null(r->w);
    r->closed = false;
    r->n_marks = 0;
    r->committed = -1;
    r->w = writer_new(r->loop, &o, r->stats);
}

static void on_closed(void *ctx, int64_t committed)
{
    struct writer_rig *r = ctx;
    assert_false(r->closed);
    r->closed = true;
    r->closed_at = committed;
}

static bool is_closed(struct writer_rig *r)
{
    return r->closed;
}

bool writer_rig_close(struct writer_rig *r, int64_t deadline_ms)
{
    struct writer *w = TAKE_PTR(r->w);
    writer_close(w, deadline_ms, on_closed, r);
    assert_false(r->closed);
    return writer_rig_until(r, is_closed);
}

static void append(struct writer_rig *r, const struct event_draft *d, int64_t wall_ms)
{
    assert_true(r->n < RIG_EVENTS_MAX);
    struct event *e = event_new(id_gen_message(&r->ids, wall_ms), d);
    assert_non_null(e);
    r->events[r->n++] = e;
    if (r->w) {
        writer_poke(r->w, 1);
    }
}

static void random_draft(struct writer_rig *r, struct event_draft *d, char text[static 64])
{
    static const enum event_kind kinds[] = {EVENT_DANMAKU, EVENT_DANMAKU,   EVENT_DANMAKU,
                                            EVENT_GIFT,    EVENT_SUPERCHAT, EVENT_LIVE};
    const enum event_kind kind = kinds[rng_below(&r->rng, ARRAY_LEN(kinds))];
    event_draft_init(d, kind, 1000 + (int64_t)rng_below(&r->rng, 20));
    d->nkey = (int64_t)(rng_u64(&r->rng) >> 1);
    d->actor = rng_between(&r->rng, -50, 400);
    d->value_mcny =
        kind == EVENT_GIFT || kind == EVENT_SUPERCHAT ? rng_between(&r->rng, 0, 90000) : 0;
    d->num = kind == EVENT_GIFT ? 3 : 0;
    d->guard = (int16_t)rng_below(&r->rng, 4);
    const int len = snprintf(text, 64, "弹幕\t%u\\\n\"x\"", (unsigned)rng_below(&r->rng, 100000));
    d->text = (struct str){text, (size_t)len};
    d->uname = STR("某人");
    d->extra = rng_below(&r->rng, 3) == 0 ? STR("{\"a\":\"b\\\\\",\"n\":1}") : STR_NULL;
}

void writer_rig_add_at(struct writer_rig *r, size_t n, int64_t wall_ms)
{
    for (size_t i = 0; i < n; i++) {
        struct event_draft d;
        char text[64];
        random_draft(r, &d, text);
        append(r, &d, wall_ms);
    }
}

void writer_rig_add(struct writer_rig *r, size_t n)
{
    writer_rig_add_at(r, n, loop_wall_ms(r->loop));
}

int64_t writer_rig_add_poison(struct writer_rig *r)
{
    struct event_draft d;
    char text[64];
    random_draft(r, &d, text);
    d.extra = STR("{\"毒\":");
    append(r, &d, loop_wall_ms(r->loop));
    return writer_rig_last(r);
}

int64_t writer_rig_last(const struct writer_rig *r)
{
    return r->n > 0 ? r->events[r->n - 1]->id : 0;
}

void writer_rig_turn(struct writer_rig *r)
{
    bool never = false;
    if (r->faked) {
        clock_fake_advance(&r->clock, 2);
    }
    assert_false(loop_run_until(r->loop, &never, 1));
}

bool writer_rig_until(struct writer_rig *r, bool (*is)(struct writer_rig *r))
{
    struct patience p = {0};
    while (!is(r)) {
        if (!patience_left(&p, RIG_TURNS)) {
            return false;
        }
        writer_rig_turn(r);
    }
    return true;
}

bool writer_rig_until_state(struct writer_rig *r, enum writer_state state)
{
    struct patience p = {0};
    while (writer_state(r->w) != state && patience_left(&p, RIG_TURNS)) {
        writer_rig_turn(r);
    }
    return writer_state(r->w) == state;
}

static bool all_written(struct writer_rig *r)
{
    return writer_committed(r->w) >= writer_rig_last(r) && writer_committed(r->w) >= 0;
}

bool writer_rig_until_written(struct writer_rig *r)
{
    return writer_rig_until(r, all_written);
}

int64_t writer_rig_i64(struct writer_rig *r, const char *sql)
{
    return pg_server_i64(r->conninfo, sql);
}

/* What PostgreSQL must say of a row, hashed: independent of how batch.c writes it. */
static int64_t expected_sum(const struct writer_rig *r, size_t *ret_n)
{
    uint64_t sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct event *e = r->events[i];
        if (e->extra.len > 0 && e->extra.ptr[e->extra.len - 1] == ':') {
            continue; /* poison */
        }
        n++;
        sum += (uint64_t)(e->id % 1000003) * (uint64_t)(e->room_id % 97 + 1);
        sum += (uint64_t)(e->nkey % 1000033) + (uint64_t)(e->actor + 1000) * 7;
        sum += (uint64_t)e->value_mcny * 11 + (uint64_t)e->num * 13 + (uint64_t)e->kind * 17;
        sum += (uint64_t)e->guard * 19 + e->text.len * 23 + e->uname.len * 29 + e->extra.len * 31;
    }
    *ret_n = n;
    return (int64_t)sum;
}

void writer_rig_check(struct writer_rig *r, size_t n_parked)
{
    size_t n;
    const int64_t sum = expected_sum(r, &n);
    assert_int_equal(r->n - n, n_parked);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM event"), n);
    assert_int_equal(writer_rig_i64(r, "SELECT count(DISTINCT id) FROM event"), n);
    assert_int_equal(
        writer_rig_i64(
            r, "SELECT coalesce(sum((id % 1000003) * (room_id % 97 + 1) + nkey % 1000033 + "
               "(actor + 1000) * 7 + coalesce(value_mcny, 0) * 11 + coalesce(num, 0) * 13 + "
               "kind * 17 + coalesce(guard, 0) * 19 + coalesce(octet_length(text), 0) * 23 + "
               "coalesce(octet_length(uname), 0) * 29 + "
               "coalesce(octet_length(extra::text), 0) * 31), 0)::int8 FROM event"),
        sum);
    assert_int_equal(writer_rig_i64(r, "SELECT count(*) FROM parked_event"), n_parked);
}

static bool backend_waits(struct writer_rig *r, const char *event)
{
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'danmakud "
                   "writer' AND wait_event = '%s'",
                   event);
    return writer_rig_i64(r, sql) > 0;
}

void writer_rig_add_until_waits(struct writer_rig *r, const char *event)
{
    struct patience p = {0};
    while (!backend_waits(r, event)) {
        if (!patience_left(&p, 0)) {
            fail_msg("the backend never waits for %s", event);
        }
        /* The server's own processes hear of a changed setting when they get to it: a commit may be sooner. */
        if (all_written(r)) {
            writer_rig_add(r, 10);
        }
        writer_rig_turn(r);
    }
}

void writer_rig_nap_commits(struct writer_rig *r, const char *seconds)
{
    char sql[512];
    pg_server_sql(r->conninfo, "DROP TRIGGER IF EXISTS nap ON writer_mark");
    if (!seconds) {
        return;
    }
    (void)snprintf(sql, sizeof sql,
                   "CREATE OR REPLACE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                   "PERFORM pg_sleep(%s); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER nap AFTER "
                   "UPDATE ON writer_mark DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
                   "FUNCTION nap()",
                   seconds);
    pg_server_sql(r->conninfo, sql);
}
