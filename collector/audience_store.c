#include "collector/audience_store.h"

#include <string.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    FLUSH_MS = 1000,
    ROWS_PER_FLUSH = 2000,
    COLUMNS = AUDIENCE_N + 2,
    HOUR_MS = 3600 * 1000,
    DAYS_AHEAD = 2,
};

struct audience_store {
    struct loop *loop;
    struct db *db;
    struct stats *stats;
    struct audience_row *rows; /* owned: a ring of AUDIENCE_STORE_MAX, n from first */
    size_t first;
    size_t n;
    size_t n_sent;    /* oldest rows, in the statement under way */
    int64_t *columns; /* owned: COLUMNS of ROWS_PER_FLUSH */
    struct loop_timer timer;
    int64_t days_due_ms; /* mono */
    bool under_way;
    bool failing; /* told once */
};

void audience_store_put(struct audience_store *st, const struct audience_row *row)
{
    if (st->n == AUDIENCE_STORE_MAX) {
        stats_inc(st->stats, STAT_AUDIENCE_ROWS_DROPPED);
        st->first = (st->first + 1) % AUDIENCE_STORE_MAX;
        st->n--;
        st->n_sent -= st->n_sent > 0;
    }
    st->rows[(st->first + st->n++) % AUDIENCE_STORE_MAX] = *row;
}

size_t audience_store_n_waiting(const struct audience_store *st)
{
    return st->n;
}

static void failed(struct audience_store *st, const char *what, const struct err *err)
{
    if (!st->failing) {
        LOG(WARN, "audience", "the database does not take it, trying again", KV_CSTR("what", what),
            KV_CSTR("error", err->msg));
    }
    st->failing = true;
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct audience_store *st = ctx;
    (void)rows;
    const bool refused = code == ERR_INVALID || code == ERR_INTERNAL;
    st->under_way = false;
    if (code != ERR_OK && !refused) {
        failed(st, "rows", err);
    } else {
        if (refused) {
            LOG(ERROR, "audience", "the database refuses rows, they are left out",
                KV_I64("rows", st->n_sent), KV_CSTR("error", err->msg));
        }
        st->failing = false;
        stats_add(st->stats, refused ? STAT_AUDIENCE_ROWS_REFUSED : STAT_AUDIENCE_ROWS_STORED,
                  (int64_t)st->n_sent);
        st->first = (st->first + st->n_sent) % AUDIENCE_STORE_MAX;
        st->n -= st->n_sent;
    }
    st->n_sent = 0;
}

static void store_rows(struct audience_store *st)
{
    static const struct db_stmt store = {
        .name = "audience_store",
        .sql = "INSERT INTO audience (room_id, at_ms, online, rank_users, watched, likes, "
               "popularity, followers, fans_club) SELECT room_id, at_ms, nullif(online, -1), "
               "nullif(rank_users, -1), nullif(watched, -1), nullif(likes, -1), "
               "nullif(popularity, -1), nullif(followers, -1), nullif(fans_club, -1) "
               "FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], "
               "$6::int8[], $7::int8[], $8::int8[], $9::int8[]) AS r(room_id, at_ms, online, "
               "rank_users, watched, likes, popularity, followers, fans_club) "
               "ON CONFLICT DO NOTHING",
    };
    const size_t n = st->n < ROWS_PER_FLUSH ? st->n : ROWS_PER_FLUSH;
    struct db_arg args[COLUMNS];
    for (size_t i = 0; i < n; i++) {
        const struct audience_row *row = &st->rows[(st->first + i) % AUDIENCE_STORE_MAX];
        st->columns[i] = row->room_id;
        st->columns[ROWS_PER_FLUSH + i] = row->at_ms;
        for (size_t k = 0; k < AUDIENCE_N; k++) {
            st->columns[(k + 2) * ROWS_PER_FLUSH + i] = row->v[k];
        }
    }
    for (size_t k = 0; k < COLUMNS; k++) {
        args[k] = DB_ARG_I64S(st->columns + k * ROWS_PER_FLUSH, n);
    }
    struct err err = {0};
    st->under_way = db_query(st->db, &store, args, COLUMNS, on_stored, st, &err) == ERR_OK;
    st->n_sent = st->under_way ? n : 0;
}

static void on_days(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct audience_store *st = ctx;
    (void)rows;
    st->under_way = false;
    if (code != ERR_OK) {
        failed(st, "partitions", err);
    } else {
        st->days_due_ms = loop_now_ms(st->loop) + HOUR_MS;
    }
}

/* Rows without a partition of their day go to the default one, and move when there is one: nothing has to wait. */
static void make_days(struct audience_store *st)
{
    static const struct db_stmt days = {
        .name = "audience_days",
        .sql = "SELECT count(*) FILTER (WHERE partition_make_day('audience', day)) FROM (SELECT "
               "(timestamp '1970-01-01' + $1::int8 * interval '1 ms')::date + n::int4 AS day "
               "FROM generate_series(0, $2::int8) AS n) AS days",
    };
    const struct db_arg args[] = {DB_ARG_I64(loop_wall_ms(st->loop)), DB_ARG_I64(DAYS_AHEAD)};
    struct err err = {0};
    st->days_due_ms = loop_now_ms(st->loop) + 10 * (int64_t)FLUSH_MS; /* again, if it fails */
    st->under_way = db_query(st->db, &days, args, ARRAY_LEN(args), on_days, st, &err) == ERR_OK;
}

static void flush(void *ctx)
{
    struct audience_store *st = ctx;
    if (st->under_way || !db_is_up(st->db)) {
        return;
    }
    if (loop_now_ms(st->loop) >= st->days_due_ms) {
        make_days(st);
    } else if (st->n > 0) {
        store_rows(st);
    }
}

void audience_store_start(struct audience_store *st)
{
    st->days_due_ms = loop_now_ms(st->loop);
    loop_timer_start(&st->timer, 0, FLUSH_MS);
}

struct audience_store *audience_store_new(struct loop *loop, struct db *db, struct stats *stats)
{
    struct audience_store *st = mem_new(struct audience_store);
    st->loop = loop;
    st->db = db;
    st->stats = stats;
    st->rows = mem_new_array(struct audience_row, AUDIENCE_STORE_MAX);
    st->columns = mem_new_array(int64_t, (size_t)COLUMNS * ROWS_PER_FLUSH);
    loop_timer_init(&st->timer, loop, flush, st);
    return st;
}

void audience_store_free(struct audience_store *st)
{
    if (st == NULL) {
        return;
    }
    loop_timer_stop(&st->timer);
    db_forget(st->db, st);
    mem_free(st->rows);
    mem_free(st->columns);
    mem_free(st);
}
