/* The ledger's spans into table coverage_span. A statement can be repeated without harm, so what is not known to be stored is
 * stored again; while the database is away spans wait in the ledger, which is bounded. */
#include "server/app/app_coverage_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

enum {
    SOON_MS = 20,
    AGAIN_MS = 1000,
    SPANS_PER_STATEMENT = 1000,
};

static void flush(void *ctx);

void app_coverage_store_init(struct app *app)
{
    loop_timer_init(&app->coverage->timer, app->loop, flush, app);
}

void app_coverage_soon(struct app *app)
{
    struct app_coverage *c = app->coverage;
    if (coverage_n_merged(c->ledger) > c->n_merged) {
        stats_add(app->stats, STAT_COVERAGE_MERGED,
                  (int64_t)(coverage_n_merged(c->ledger) - c->n_merged));
        c->n_merged = coverage_n_merged(c->ledger);
    }
    if (!loop_timer_armed(&c->timer) && !c->sending && coverage_n_dirty(c->ledger) > 0) {
        loop_timer_start(&c->timer, SOON_MS, 0);
    }
}

static void finish(struct app *app)
{
    struct app_coverage *c = app->coverage;
    if (c->finishing) {
        c->finishing = false;
        loop_timer_stop(&c->timer);
        c->finished(app);
    }
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct app *app = ctx;
    struct app_coverage *c = app->coverage;
    (void)rows;
    c->sending = false;
    coverage_stored(c->ledger, code == ERR_OK);
    if (code != ERR_OK) {
        if (!c->failing && code != ERR_UNAVAILABLE && code != ERR_TIMEOUT && code != ERR_CANCELED) {
            c->failing = true;
            LOG(WARN, "app",
                "coverage not stored, trying again; of lost events the spool keeps it until then",
                KV_CSTR("error", err->msg));
        }
        finish(app);
        if (app->phase != APP_STOPPING) {
            loop_timer_start(&c->timer, AGAIN_MS, 0);
        }
        return;
    }
    c->failing = false;
    stats_add(app->stats, STAT_GAPS_STORED, c->n_lost_sent);
    if (coverage_n_dirty(c->ledger) > 0) {
        flush(app);
        return;
    }
    app_spool_ack(app);
    finish(app);
}

/* Room 0 stands for every room known. A gap of the link that begins ends whatever the same room's link had open, also of
 * another node, of a process that was killed, or of one that stopped later than our clock says it is (within a span that
 * is told it ends as it begins). What was closed is never opened again. A change of the past, as lost events
 * are, gives the room a new revision. */
static const struct db_stmt store_stmt = {
    .name = "app_coverage_store",
    .sql =
        "WITH told AS (SELECT room_id, source::int2, from_ms, first_id, nullif(to_ms, 0) AS to_ms, "
        "cause, "
        "nullif(last_id, 0) AS last_id, nullif(n, 0) AS n, nullif(extra, '') AS extra "
        "FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], "
        "$8::int8[], $9::text[], $10::text[]) "
        "AS l(room_id, source, from_ms, first_id, to_ms, last_id, n, cause, extra)), "
        "each AS (SELECT * FROM told WHERE room_id <> 0 UNION ALL "
        "SELECT r.room_id, t.source, t.from_ms, t.first_id, t.to_ms, t.cause, t.last_id, t.n, "
        "t.extra "
        "FROM told AS t JOIN room AS r ON t.room_id = 0), "
        "ended AS (UPDATE coverage_span AS s SET to_ms = CASE WHEN EXISTS (SELECT FROM told AS t "
        "WHERE t.room_id = s.room_id AND t.source = 0 AND t.from_ms <= s.from_ms "
        "AND coalesce(t.to_ms, 9223372036854775807) > s.from_ms) THEN s.from_ms "
        "ELSE (SELECT min(t.from_ms) FROM told AS t WHERE t.room_id = s.room_id AND t.source = 0 "
        "AND t.from_ms > s.from_ms) END FROM "
        "(SELECT room_id, max(coalesce(to_ms, 9223372036854775807)) AS to_ms "
        "FROM told WHERE source = 0 GROUP BY room_id) AS e "
        "WHERE s.room_id = e.room_id AND s.source = 0 AND s.to_ms IS NULL AND s.from_ms < e.to_ms "
        "AND NOT EXISTS (SELECT FROM told AS t WHERE t.room_id = s.room_id AND t.source = 0 "
        "AND t.from_ms = s.from_ms)), "
        "revised AS (UPDATE room AS r SET rev = r.rev + 1 FROM (SELECT DISTINCT room_id FROM each "
        "WHERE source = 1) AS e WHERE r.room_id = e.room_id) "
        "INSERT INTO coverage_span AS c (room_id, source, from_ms, first_id, to_ms, node, cause, "
        "last_id, n, extra) "
        "SELECT DISTINCT ON (room_id, source, from_ms, first_id) room_id, source, from_ms, "
        "first_id, "
        "to_ms, $1::int8, cause, last_id, n, extra FROM each "
        "ORDER BY room_id, source, from_ms, first_id, to_ms DESC "
        "ON CONFLICT (room_id, source, from_ms, first_id) DO UPDATE SET "
        "to_ms = CASE WHEN c.source = 1 THEN greatest(c.to_ms, excluded.to_ms) "
        "ELSE coalesce(excluded.to_ms, c.to_ms) END, "
        "cause = excluded.cause, last_id = greatest(c.last_id, excluded.last_id), n = excluded.n, "
        "extra = excluded.extra",
};

enum { NUMBERS = 7, TEXTS = 2 };

/* done gets the app. */
static enum err_code send_spans(struct app *app, const struct coverage_span *spans, size_t n,
                                db_done_fn *done, struct err *err)
{
    int64_t *numbers = mem_new_array(int64_t, n * NUMBERS);
    struct str *texts = mem_new_array(struct str, n * TEXTS);
    for (size_t i = 0; i < n; i++) {
        const struct coverage_span *s = &spans[i];
        numbers[0 * n + i] = s->room_id;
        numbers[1 * n + i] = s->source;
        numbers[2 * n + i] = s->from_ms;
        numbers[3 * n + i] = s->first_id;
        numbers[4 * n + i] = s->to_ms == COVERAGE_OPEN ? 0 : s->to_ms;
        numbers[5 * n + i] = s->last_id;
        numbers[6 * n + i] = (int64_t)s->n;
        texts[i] = str_of(s->cause);
        texts[n + i] = str_of(s->extra != NULL ? s->extra : "");
    }
    const struct db_arg args[] = {
        DB_ARG_I64(app->config->node),   DB_ARG_I64S(numbers, n),
        DB_ARG_I64S(numbers + n, n),     DB_ARG_I64S(numbers + 2 * n, n),
        DB_ARG_I64S(numbers + 3 * n, n), DB_ARG_I64S(numbers + 4 * n, n),
        DB_ARG_I64S(numbers + 5 * n, n), DB_ARG_I64S(numbers + 6 * n, n),
        DB_ARG_TEXTS(texts, n),          DB_ARG_TEXTS(texts + n, n),
    };
    enum err_code code = db_query(app->db, &store_stmt, args, ARRAY_LEN(args), done, app, err);
    mem_free(numbers);
    mem_free(texts);
    return code;
}

static void flush(void *ctx)
{
    struct app *app = ctx;
    struct app_coverage *c = app->coverage;
    if (c->sending || app->db == NULL || coverage_n_dirty(c->ledger) == 0) {
        return;
    }
    if (!c->recovered || !db_is_up(app->db)) {
        loop_timer_start(&c->timer, AGAIN_MS, 0);
        return;
    }
    struct coverage_span *spans = mem_new_array(struct coverage_span, SPANS_PER_STATEMENT);
    size_t n = coverage_send(c->ledger, spans, SPANS_PER_STATEMENT);
    loop_timer_stop(&c->timer);
    c->n_lost_sent = 0;
    for (size_t i = 0; i < n; i++) {
        c->n_lost_sent += spans[i].source == COVERAGE_LOST;
    }
    struct err err = {0};
    c->sending = true;
    enum err_code code = send_spans(app, spans, n, on_stored, &err);
    mem_free(spans);
    if (code != ERR_OK) {
        on_stored(app, code, &err, NULL);
    }
}

void app_coverage_flush(struct app *app)
{
    if (!app->coverage->sending && db_is_up(app->db)) {
        flush(app);
    }
}

/* ---- the start: what the last process left ---- */

static void on_recovered(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct app *app = ctx;
    struct app_coverage *c = app->coverage;
    if (app->phase == APP_STOPPING) { /* nobody would stop the timers any more */
        c->then(app, code, err);
        return;
    }
    c->recovered = c->recovered || code == ERR_OK;
    if (code == ERR_OK && db_i64(rows, 0, 0) > 0) {
        LOG(INFO, "app", "rooms were not collected since the last process ended",
            KV_I64("rooms", db_i64(rows, 0, 0)), KV_I64("since_ms", db_i64(rows, 0, 1)));
    }
    app_coverage_soon(app);
    c->then(app, code, err);
}

struct told_rooms {
    int64_t alive_ms;
    int64_t *ids; /* owned */
    size_t n;
};

static bool take_told_room(void *ctx, const struct coverage_span *s)
{
    struct told_rooms *t = ctx;
    if (s->source == COVERAGE_LINK && s->to_ms > t->alive_ms) {
        t->ids[t->n++] = s->room_id;
    }
    return true;
}

/* Rooms whose link was up when the last process was last alive are down since then, until this one brings it up: those
 * that the ledger does not tell of itself. */
static enum err_code recover_links(struct app *app, struct err *err)
{
    /* Of a room only the newest span is looked at, however many there are. */
    static const struct db_stmt recover = {
        .name = "app_coverage_recover",
        .sql = "WITH RECURSIVE alive AS (SELECT greatest($2, (SELECT alive_ms FROM writer_mark "
               "WHERE node = $1::int8)) AS ms), "
               "ended AS (UPDATE coverage_span SET to_ms = greatest(from_ms, ms) FROM alive "
               "WHERE node = $1::int8 AND source > 1 AND to_ms IS NULL), "
               "rooms AS (SELECT min(room_id) AS room_id FROM coverage_span UNION ALL "
               "SELECT (SELECT min(c.room_id) FROM coverage_span AS c WHERE c.room_id > r.room_id) "
               "FROM rooms AS r WHERE r.room_id IS NOT NULL), "
               "newest AS (SELECT s.* FROM rooms AS r CROSS JOIN LATERAL (SELECT room_id, to_ms, "
               "node FROM coverage_span AS c WHERE c.room_id = r.room_id AND source = 0 "
               "ORDER BY from_ms DESC LIMIT 1) AS s), "
               "down AS (INSERT INTO coverage_span (room_id, source, from_ms, node, cause) "
               "SELECT room_id, 0, greatest(ms, to_ms), node, 'down' FROM newest, alive "
               "WHERE node = $1::int8 AND to_ms IS NOT NULL AND room_id <> ALL ($3::int8[]) "
               "ON CONFLICT DO NOTHING RETURNING 1) "
               "SELECT (SELECT count(*) FROM down), ms FROM alive",
    };
    struct app_coverage *c = app->coverage;
    struct told_rooms told = {
        .alive_ms = c->alive_ms,
        .ids = mem_new_array(int64_t, coverage_n_unstored(c->ledger) + 1),
    };
    (void)coverage_each_unstored(c->ledger, take_told_room, &told);
    const struct db_arg args[] = {DB_ARG_I64(app->config->node), DB_ARG_I64(c->alive_ms),
                                  DB_ARG_I64S(told.ids, told.n)};
    enum err_code code = db_query(app->db, &recover, args, ARRAY_LEN(args), on_recovered, app, err);
    mem_free(told.ids);
    return code;
}

void app_coverage_restore(struct app *app)
{
    struct app_coverage *c = app->coverage;
    const struct coverage_span *found;
    if (c->restored) {
        return;
    }
    c->restored = true;
    const size_t n = app_coverage_file_found(app, &found);
    for (size_t i = 0; i < n; i++) {
        struct coverage_span s = found[i];
        if (s.source > COVERAGE_LOST && s.to_ms == COVERAGE_OPEN) { /* nobody looked any more */
            s.to_ms = c->alive_ms > s.from_ms ? c->alive_ms : s.from_ms + 1;
        }
        coverage_restore(c->ledger, &s);
    }
    app_coverage_signs_start(app);
    app_coverage_file_start(app);
    app_coverage_soon(app);
}

void app_coverage_was_collected(struct app *app, int64_t room_id)
{
    struct app_coverage *c = app->coverage;
    bool here;
    const struct coverage_span *s = coverage_now(c->ledger, room_id, &here);
    if (c->recovered || c->alive_ms == 0 || (s != NULL && s->source == COVERAGE_LINK)) {
        return; /* the database has it, or it was down before */
    }
    const struct coverage_span down = {.room_id = room_id,
                                       .source = COVERAGE_LINK,
                                       .from_ms = c->alive_ms,
                                       .to_ms = COVERAGE_OPEN,
                                       .cause = "down"};
    coverage_restore(c->ledger, &down);
}

void app_coverage_recover(struct app *app,
                          void (*then)(struct app *app, enum err_code code, const struct err *err))
{
    struct err err = {0};
    app->coverage->then = then;
    app_coverage_restore(app);
    /* Once: after that spans of this process may be stored, which are newer. */
    enum err_code code = app->coverage->recovered ? ERR_OK : recover_links(app, &err);
    if (code != ERR_OK || app->coverage->recovered) {
        then(app, code, &err);
    }
}

/* ---- the end ---- */

/* The rooms were told as stopped: that belongs into the database before it is closed. What does not get there, the next
 * start derives from when we were last alive. */
void app_coverage_finish(struct app *app, void (*finished)(struct app *app))
{
    struct app_coverage *c = app->coverage;
    c->finished = finished;
    app_coverage_signs_stop(app);
    app_coverage_file_stop(app);
    if (!c->recovered || !db_is_up(app->db) || (!c->sending && coverage_n_dirty(c->ledger) == 0)) {
        loop_timer_stop(&c->timer);
        finished(app);
        return;
    }
    c->finishing = true;
    flush(app);
}
