/* What was lost, per room, on its way into table coverage.
 *
 * Losses of one room that follow each other are one interval. Intervals wait here while the database is away; the spool
 * repeats its reports after a restart, and is acknowledged only when they are stored. */
#include "server/app/app_priv.h"

#include "server/core/assert.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum {
    FLUSH_MS = 1000,
    GAPS_PER_FLUSH = 500, /* intervals in one statement */
    GAPS_MAX = 100000,    /* waiting; past it the newest interval of all rooms grows (room 0) */
    DETAIL_BYTES = 256,
};

struct gap {
    int64_t room_id; /* 0: any room */
    int64_t first_id;
    int64_t last_id;
    uint64_t n;        /* 0: nobody knows */
    const char *cause; /* static */
};

struct app_coverage {
    struct gap *gaps; /* owned, n of cap */
    size_t n;
    size_t cap;
    size_t n_sent; /* in the statement under way: the first n_sent of gaps */
    bool failing;  /* the last statement was refused: told once */
    struct loop_timer timer;
};

/* May an event between the two be stored? Then they are two intervals. What is dropped as the oldest is followed by what is
 * dropped next or by what the writer takes; what is refused as the newest, by what is refused next or published. */
static bool apart(const struct app *app, const struct gap *g, const struct spool_dropped *lost)
{
    int64_t head = feed_head_id(app->feed);
    return lost->first_id > g->last_id &&
           (app->acked_wanted > g->last_id || (head > g->last_id && head < lost->first_id));
}

/* The newest waiting interval of the room with this cause, if it may still grow. */
static struct gap *gap_of(struct app_coverage *c, int64_t room_id, const char *cause)
{
    size_t look = c->n - c->n_sent < 4096 ? c->n - c->n_sent : 4096;
    for (size_t i = 0; i < look; i++) {
        struct gap *g = &c->gaps[c->n - 1 - i];
        if (g->room_id == room_id && g->cause == cause) {
            return g;
        }
    }
    return NULL;
}

void app_coverage_gap(struct app *app, const struct spool_dropped *lost, const char *cause)
{
    struct app_coverage *c = app->coverage;
    struct gap *g = gap_of(c, lost->room_id, cause);
    if (g != NULL && apart(app, g, lost)) {
        g = NULL;
    }
    if (g == NULL && c->n >= GAPS_MAX) {
        stats_inc(app->stats, STAT_COVERAGE_MERGED);
        g = &c->gaps[c->n - 1];
        g->room_id = 0;
    }
    if (g != NULL) {
        g->first_id = lost->first_id < g->first_id ? lost->first_id : g->first_id;
        g->last_id = lost->last_id > g->last_id ? lost->last_id : g->last_id;
        g->n = g->n > 0 && lost->n > 0 ? g->n + lost->n : 0;
    } else {
        if (c->n == c->cap) {
            size_t cap = c->cap > 0 ? c->cap * 2 : 64;
            struct gap *bigger = mem_new_array(struct gap, cap);
            if (c->n > 0) {
                memcpy(bigger, c->gaps, c->n * sizeof(*bigger));
            }
            mem_free(c->gaps);
            c->gaps = bigger;
            c->cap = cap;
        }
        c->gaps[c->n++] =
            (struct gap){lost->room_id, lost->first_id, lost->last_id, lost->n, cause};
    }
    if (!loop_timer_armed(&c->timer)) {
        loop_timer_start(&c->timer, FLUSH_MS, FLUSH_MS);
    }
}

int64_t app_coverage_safe_id(const struct app *app)
{
    const struct app_coverage *c = app->coverage;
    int64_t safe = INT64_MAX;
    for (size_t i = 0; i < c->n; i++) {
        safe = c->gaps[i].first_id <= safe ? c->gaps[i].first_id - 1 : safe;
    }
    return safe;
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct app *app = ctx;
    struct app_coverage *c = app->coverage;
    (void)rows;
    size_t sent = c->n_sent;
    c->n_sent = 0;
    if (code != ERR_OK) {
        if (!c->failing && code != ERR_UNAVAILABLE && code != ERR_TIMEOUT && code != ERR_CANCELED) {
            c->failing = true;
            LOG(WARN, "app", "gaps not stored, trying again; the spool is kept until they are",
                KV_CSTR("error", err->msg));
        }
        return; /* the timer goes on */
    }
    c->failing = false;
    stats_add(app->stats, STAT_GAPS_STORED, (int64_t)sent);
    memmove(c->gaps, c->gaps + sent, (c->n - sent) * sizeof(*c->gaps));
    c->n -= sent;
    if (c->n == 0) {
        loop_timer_stop(&c->timer);
        app_spool_ack(app);
    }
}

static void flush(void *ctx)
{
    /* Room 0 stands for every room known. A row `ok` ends the gap, unless a gap that is known already goes on there; what
     * ended an earlier gap inside of this one goes. */
    static const struct db_stmt store = {
        .name = "app_coverage_store",
        .sql =
            "WITH told AS (SELECT * "
            "FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::text[]) "
            "AS l(room_id, from_ms, to_ms, cause, detail)), "
            "lost AS (SELECT * FROM told WHERE room_id <> 0 "
            "UNION ALL SELECT r.room_id, t.from_ms, t.to_ms, t.cause, t.detail "
            "FROM told AS t JOIN room AS r ON t.room_id = 0), "
            "inside AS (DELETE FROM coverage AS c USING lost AS l WHERE c.room_id = l.room_id "
            "AND c.state = 'ok' AND c.from_ms > l.from_ms AND c.from_ms < l.to_ms), "
            "ends AS (INSERT INTO coverage (room_id, from_ms, state, cause) "
            "SELECT DISTINCT l.room_id, l.to_ms, 'ok', '' FROM lost AS l "
            "WHERE NOT EXISTS (SELECT FROM lost AS o WHERE o.room_id = l.room_id "
            "AND o.from_ms <= l.to_ms AND l.to_ms < o.to_ms) "
            "AND coalesce((SELECT c.state FROM coverage AS c WHERE c.room_id = l.room_id "
            "AND c.from_ms <= l.to_ms ORDER BY c.from_ms DESC LIMIT 1), 'ok') <> 'gap' "
            "ON CONFLICT DO NOTHING) "
            "INSERT INTO coverage (room_id, from_ms, state, cause, detail) "
            "SELECT DISTINCT ON (room_id, from_ms) room_id, from_ms, 'gap', cause, detail::json "
            "FROM lost ORDER BY room_id, from_ms, to_ms DESC "
            "ON CONFLICT (room_id, from_ms) DO UPDATE SET state = 'gap', cause = excluded.cause, "
            "detail = excluded.detail",
    };
    struct app *app = ctx;
    struct app_coverage *c = app->coverage;
    if (c->n == 0 || c->n_sent > 0 || !db_is_up(app->db)) {
        return;
    }
    size_t n = c->n < GAPS_PER_FLUSH ? c->n : GAPS_PER_FLUSH;
    int64_t *numbers = mem_new_array(int64_t, n * 3);
    struct str *texts = mem_new_array(struct str, n * 2);
    struct buf details;
    buf_init(&details, n * DETAIL_BYTES);
    size_t *ends = mem_new_array(size_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct gap *g = &c->gaps[i];
        struct json_out w;
        jw_init(&w, &details);
        jw_object(&w);
        if (g->n > 0) {
            jw_ki64(&w, "events", (int64_t)g->n);
        }
        jw_key(&w, STR("first_id"));
        jw_i64_str(&w, g->first_id);
        jw_key(&w, STR("last_id"));
        jw_i64_str(&w, g->last_id);
        jw_object_end(&w);
        ends[i + 1] = details.len;
        numbers[i] = g->room_id;
        numbers[n + i] = id_ts_ms(g->first_id);
        numbers[2 * n + i] = id_ts_ms(g->last_id) + 1;
        texts[i] = str_of(g->cause);
    }
    ASSERT(buf_ok(&details));
    for (size_t i = 0; i < n; i++) {
        texts[n + i] = str_sub(buf_str(&details), ends[i], ends[i + 1]);
    }
    const struct db_arg args[] = {DB_ARG_I64S(numbers, n), DB_ARG_I64S(numbers + n, n),
                                  DB_ARG_I64S(numbers + 2 * n, n), DB_ARG_TEXTS(texts, n),
                                  DB_ARG_TEXTS(texts + n, n)};
    struct err err = {0};
    if (db_query(app->db, &store, args, ARRAY_LEN(args), on_stored, app, &err) == ERR_OK) {
        c->n_sent = n;
    }
    buf_deinit(&details);
    mem_free(ends);
    mem_free(numbers);
    mem_free(texts);
}

void app_coverage_flush(struct app *app)
{
    flush(app);
}

void app_coverage_open(struct app *app)
{
    app->coverage = mem_new(struct app_coverage);
    loop_timer_init(&app->coverage->timer, app->loop, flush, app);
}

/* The database goes: what is not stored yet stands in the spool, and the next start tells it again. */
void app_coverage_stop(struct app *app)
{
    loop_timer_stop(&app->coverage->timer);
}

void app_coverage_close(struct app *app)
{
    if (app->coverage != NULL) {
        loop_timer_stop(&app->coverage->timer);
        mem_free(app->coverage->gaps);
        mem_free(TAKE_PTR(app->coverage));
    }
}
