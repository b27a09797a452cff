#include "collector/session_store.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum {
    RETRY_MS = 1000,
    MARK_MS = 5000,
    ROWS_PER_FLUSH = 200, /* of each table, in one statement */
    SESSION_COLUMNS = 5,
    SEGMENT_NUMBERS = 4,
    SEGMENT_TEXTS = 4,
    BACK_MS = 24 * 3600 * 1000, /* sessions that ended before are not asked about */
};

struct waiting_session {
    struct session row;
    bool sent; /* in the statement under way, as it is */
};

struct waiting_segment {
    struct session_segment *row; /* owned */
    bool sent;
};

struct session_store {
    struct loop *loop;
    struct stats *stats;
    struct session_store_opts opts;
    struct waiting_session *sessions; /* owned, n of cap; in the order they came */
    size_t n_sessions;
    size_t cap_sessions;
    struct waiting_segment *segments; /* owned, as above */
    size_t n_segments;
    size_t cap_segments;
    struct loop_timer timer;
    int64_t mark_due_ms; /* mono */
    int64_t marked_id;   /* the mark in the database */
    int64_t marking_id;  /* of the statement under way */
    bool away;           /* the database was when it was last looked at */
    bool flushing;
    bool stopped;
    bool failing; /* the last statement failed: told once */
    bool single;  /* a row was refused: one at a time until it is found */
    bool dropped;
    bool asking; /* on_room has more */
    session_restored_fn *restored;
    session_loaded_fn *loaded;
    void *load_ctx;
};

static void flush(void *ctx);

/* ---- what waits ---- */

static bool has_room(struct session_store *st)
{
    if (st->n_sessions + st->n_segments < SESSION_STORE_MAX) {
        return true;
    }
    stats_inc(st->stats, STAT_SESSION_ROWS_DROPPED);
    st->dropped = true;
    return false;
}

static void *grown(void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return old;
    }
    *cap = *cap > 0 ? *cap * 2 : 64;
    void *bigger = mem_zero_or_abort(*cap, size);
    if (n > 0) {
        memcpy(bigger, old, n * size);
    }
    mem_free(old);
    return bigger;
}

/* In this turn of the loop there may come more. */
static void flush_soon(struct session_store *st)
{
    if (!st->stopped && !st->flushing && !st->failing) {
        loop_timer_start(&st->timer, 0, 0);
    }
}

void session_store_put(struct session_store *st, const struct session *row)
{
    for (size_t i = st->n_sessions; i-- > 0;) {
        struct waiting_session *w = &st->sessions[i];
        if (w->row.id == row->id && !w->sent) {
            w->row = *row;
            return;
        }
    }
    if (!has_room(st)) {
        return;
    }
    st->sessions = grown(st->sessions, st->n_sessions, &st->cap_sessions, sizeof(*st->sessions));
    st->sessions[st->n_sessions++] = (struct waiting_session){.row = *row};
    flush_soon(st);
}

void session_store_put_segment(struct session_store *st, const struct session_segment *row)
{
    for (size_t i = st->n_segments; i-- > 0;) {
        struct waiting_segment *w = &st->segments[i];
        if (w->row->session_id == row->session_id && w->row->from_id == row->from_id && !w->sent) {
            *w->row = *row;
            return;
        }
    }
    if (!has_room(st)) {
        return;
    }
    st->segments = grown(st->segments, st->n_segments, &st->cap_segments, sizeof(*st->segments));
    struct session_segment *copy = mem_new(struct session_segment);
    *copy = *row;
    st->segments[st->n_segments++] = (struct waiting_segment){.row = copy};
    flush_soon(st);
}

size_t session_store_n_waiting(const struct session_store *st)
{
    return st->n_sessions + st->n_segments;
}

static void forget_sent(struct session_store *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->n_sessions; i++) {
        if (!st->sessions[i].sent) {
            st->sessions[n++] = st->sessions[i];
        }
    }
    st->n_sessions = n;
    n = 0;
    for (size_t i = 0; i < st->n_segments; i++) {
        if (st->segments[i].sent) {
            mem_free(st->segments[i].row);
        } else {
            st->segments[n++] = st->segments[i];
        }
    }
    st->n_segments = n;
}

static bool newer_session(const struct session_store *st, size_t i)
{
    for (size_t k = i + 1; k < st->n_sessions; k++) {
        if (st->sessions[k].row.id == st->sessions[i].row.id) {
            return true;
        }
    }
    return false;
}

static bool newer_segment(const struct session_store *st, size_t i)
{
    const struct session_segment *old = st->segments[i].row;
    for (size_t k = i + 1; k < st->n_segments; k++) {
        const struct session_segment *row = st->segments[k].row;
        if (row->session_id == old->session_id && row->from_id == old->from_id) {
            return true;
        }
    }
    return false;
}

/* What was under way waits again, unless there is a newer state of it: no row may be twice in a statement. */
static void send_again(struct session_store *st)
{
    for (size_t i = 0; i < st->n_sessions; i++) {
        st->sessions[i].sent = st->sessions[i].sent && newer_session(st, i);
    }
    for (size_t i = 0; i < st->n_segments; i++) {
        st->segments[i].sent = st->segments[i].sent && newer_segment(st, i);
    }
    forget_sent(st);
}

/* ---- storing ---- */

static void stored(struct session_store *st, size_t before)
{
    if (st->failing) {
        LOG0(INFO, "sessions", "stored again");
    }
    st->failing = false;
    stats_add(st->stats, STAT_SESSION_ROWS_STORED, (int64_t)(before - session_store_n_waiting(st)));
    if (st->marking_id > 0) {
        st->marked_id = st->marking_id;
        st->mark_due_ms = loop_now_ms(st->loop) + MARK_MS;
    }
    if (session_store_n_waiting(st) == 0) {
        st->single = false;
        if (st->dropped || st->asking) {
            st->dropped = st->dropped && st->asking; /* what was dropped meanwhile: once more */
            st->asking = st->opts.on_room(st->opts.ctx);
        }
    }
}

/* A row that makes no sense to the database would be in the way for ever: rows go one by one until it is found. */
static void refused(struct session_store *st, const struct err *err)
{
    if (!st->single) {
        st->single = true;
        send_again(st);
        return;
    }
    LOG(ERROR, "sessions", "the database refuses a row, it is left out",
        KV_CSTR("error", err->msg));
    stats_inc(st->stats, STAT_SESSION_ROWS_REFUSED);
    forget_sent(st);
}

static void on_flushed(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct session_store *st = ctx;
    (void)rows;
    const size_t before = session_store_n_waiting(st);
    st->flushing = false;
    if (code == ERR_OK) {
        forget_sent(st);
        stored(st, before);
    } else if (code == ERR_INVALID || code == ERR_INTERNAL) {
        refused(st, err);
    } else {
        send_again(st);
        if (!st->failing && code != ERR_CANCELED) {
            LOG(WARN, "sessions", "not stored, trying again", KV_CSTR("error", err->msg));
        }
        st->failing = true;
    }
    st->marking_id = 0;
    if (!st->stopped) {
        const bool more = !st->failing && session_store_n_waiting(st) > 0;
        loop_timer_start(&st->timer, more ? 0 : RETRY_MS, 0);
    }
}

struct columns {
    int64_t sessions[SESSION_COLUMNS][ROWS_PER_FLUSH];
    struct str ends[ROWS_PER_FLUSH];
    size_t n_sessions;
    int64_t segments[SEGMENT_NUMBERS][ROWS_PER_FLUSH];
    struct str texts[SEGMENT_TEXTS][ROWS_PER_FLUSH];
    size_t n_segments;
};

static void take_rows(struct session_store *st, struct columns *c)
{
    size_t left = st->single ? 1 : ROWS_PER_FLUSH;
    for (size_t i = 0; i < st->n_sessions && left > 0; i++, left--) {
        const struct session *row = &st->sessions[i].row;
        const size_t n = c->n_sessions++;
        st->sessions[i].sent = true;
        c->sessions[0][n] = row->id;
        c->sessions[1][n] = row->room_id;
        c->sessions[2][n] = row->start_id;
        c->sessions[3][n] = row->end_id;
        c->sessions[4][n] = row->upstream_start_ms;
        c->ends[n] = str_of(session_end_name(row->end));
    }
    /* A segment needs its session: it goes no earlier. */
    left = st->single ? left : ROWS_PER_FLUSH;
    left = c->n_sessions < st->n_sessions ? 0 : left;
    for (size_t i = 0; i < st->n_segments && left > 0; i++, left--) {
        const struct session_segment *row = st->segments[i].row;
        const size_t n = c->n_segments++;
        st->segments[i].sent = true;
        c->segments[0][n] = row->session_id;
        c->segments[1][n] = row->from_id;
        c->segments[2][n] = row->area_id;
        c->segments[3][n] = row->parent_area_id;
        c->texts[0][n] = str_of(row->live_key);
        c->texts[1][n] = str_of(row->title);
        c->texts[2][n] = str_of(row->area);
        c->texts[3][n] = str_of(row->parent_area);
    }
}

static enum err_code flush_rows(struct session_store *st, const struct columns *c, struct err *err)
{
    /* A session is inserted before its segments: the check of the reference runs at the end of the statement. One that
     * polling found may have begun, by upstream, before the end of another that memory has forgotten: it begins behind it. */
    static const struct db_stmt store = {
        .name = "session_store",
        .sql =
            "WITH made AS (INSERT INTO session (id, room_id, start_id, end_id, end_cause, "
            "upstream_start_ms) SELECT id, room_id, greatest(start_id, "
            "(SELECT least(o.end_id + 1, nullif(s.end_id, 0)) FROM session AS o WHERE o.room_id = "
            "s.room_id AND o.id < s.id AND o.end_id < s.id "
            "ORDER BY o.start_id DESC LIMIT 1)), nullif(end_id, 0), "
            "nullif(cause, ''), nullif(start_ms, 0) "
            "FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::text[]) "
            "AS s(id, room_id, start_id, end_id, start_ms, cause) "
            "ON CONFLICT (id) DO UPDATE SET end_id = excluded.end_id, "
            "end_cause = excluded.end_cause, upstream_start_ms = excluded.upstream_start_ms), "
            "marked AS (INSERT INTO session_mark (node, upto_id) "
            "SELECT $15::int8, $16::int8 WHERE $16::int8 > 0 "
            "ON CONFLICT (node) DO UPDATE SET upto_id = excluded.upto_id) "
            "INSERT INTO session_segment (session_id, from_id, area_id, parent_area_id, "
            "live_key, title, area, parent_area) SELECT session_id, from_id, "
            "nullif(area_id, 0), nullif(parent_area_id, 0), nullif(live_key, ''), "
            "nullif(title, ''), nullif(area, ''), nullif(parent_area, '') "
            "FROM unnest($7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[], "
            "$12::text[], $13::text[], $14::text[]) AS g(session_id, from_id, area_id, "
            "parent_area_id, live_key, title, area, parent_area) "
            "ON CONFLICT (session_id, from_id) DO UPDATE SET live_key = excluded.live_key, "
            "title = excluded.title, area_id = excluded.area_id, area = excluded.area, "
            "parent_area_id = excluded.parent_area_id, parent_area = excluded.parent_area",
    };
    const struct db_arg args[] = {
        DB_ARG_I64S(c->sessions[0], c->n_sessions),
        DB_ARG_I64S(c->sessions[1], c->n_sessions),
        DB_ARG_I64S(c->sessions[2], c->n_sessions),
        DB_ARG_I64S(c->sessions[3], c->n_sessions),
        DB_ARG_I64S(c->sessions[4], c->n_sessions),
        DB_ARG_TEXTS(c->ends, c->n_sessions),
        DB_ARG_I64S(c->segments[0], c->n_segments),
        DB_ARG_I64S(c->segments[1], c->n_segments),
        DB_ARG_I64S(c->segments[2], c->n_segments),
        DB_ARG_I64S(c->segments[3], c->n_segments),
        DB_ARG_TEXTS(c->texts[0], c->n_segments),
        DB_ARG_TEXTS(c->texts[1], c->n_segments),
        DB_ARG_TEXTS(c->texts[2], c->n_segments),
        DB_ARG_TEXTS(c->texts[3], c->n_segments),
        DB_ARG_I64(st->opts.node),
        DB_ARG_I64(st->marking_id),
    };
    return db_query(st->opts.db, &store, args, ARRAY_LEN(args), on_flushed, st, err);
}

/* The mark goes with the rows that are the last to wait, or alone when it is due. */
static bool take_mark(struct session_store *st, const struct columns *c)
{
    const int64_t upto = st->opts.upto(st->opts.ctx);
    const bool all = c->n_sessions == st->n_sessions && c->n_segments == st->n_segments;
    st->marking_id = all && upto > st->marked_id ? upto : 0;
    return st->marking_id > 0 && loop_now_ms(st->loop) >= st->mark_due_ms;
}

/* While we were cut off another node may have ended what is open here, as abandoned: it is stored once more. */
static void look_up(struct session_store *st)
{
    const bool was_away = st->away;
    st->away = !db_is_up(st->opts.db);
    if (was_away && !st->away && session_store_n_waiting(st) > 0) {
        st->dropped = true; /* asks for it as soon as these are stored */
    } else if (was_away && !st->away) {
        st->asking = st->opts.on_room(st->opts.ctx);
    }
}

static void flush(void *ctx)
{
    struct session_store *st = ctx;
    if (st->flushing || st->stopped) {
        return;
    }
    look_up(st);
    if (!st->away) {
        struct columns *c = mem_new(struct columns);
        struct err err = {0};
        take_rows(st, c);
        const bool due = take_mark(st, c);
        if (c->n_sessions + c->n_segments > 0 || due) {
            st->flushing = flush_rows(st, c, &err) == ERR_OK;
            if (!st->flushing) {
                send_again(st);
            }
        }
        mem_free(c);
    }
    if (!st->flushing) {
        st->marking_id = 0;
        loop_timer_start(&st->timer, RETRY_MS, 0);
    }
}

void session_store_stop(struct session_store *st)
{
    st->stopped = true;
    loop_timer_stop(&st->timer);
}

/* ---- at a start ---- */

enum {
    COL_ID,
    COL_ROOM,
    COL_START,
    COL_END,
    COL_CAUSE,
    COL_UPSTREAM,
    COL_N,
    COL_FROM,
    COL_KEY,
    COL_TITLE,
    COL_AREA_ID,
    COL_AREA,
    COL_PARENT_ID,
    COL_PARENT,
    COL_UPTO
};

static void text_of(const struct db_rows *rows, size_t row, unsigned col, char *out, size_t max)
{
    struct str s = db_text(rows, row, col);
    size_t len = s.len < max ? s.len : max; /* it was cut when it was stored */
    if (len > 0) {
        memcpy(out, s.ptr, len);
    }
    out[len] = '\0';
}

static void on_loaded(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct session_store *st = ctx;
    int64_t upto = 0;
    for (size_t i = 0; code == ERR_OK && i < db_rows_n(rows); i++) {
        if (db_null(rows, i, COL_ID)) { /* the row of the mark */
            upto = db_i64(rows, i, COL_UPTO);
            continue;
        }
        struct session row = {
            .id = db_i64(rows, i, COL_ID),
            .room_id = db_i64(rows, i, COL_ROOM),
            .start_id = db_i64(rows, i, COL_START),
            .end_id = db_i64(rows, i, COL_END),
            .upstream_start_ms = db_i64(rows, i, COL_UPSTREAM),
            .end = session_end_parse(db_text(rows, i, COL_CAUSE)),
        };
        struct session_segment g = {
            .session_id = row.id,
            .from_id = db_i64(rows, i, COL_FROM),
            .area_id = db_i64(rows, i, COL_AREA_ID),
            .parent_area_id = db_i64(rows, i, COL_PARENT_ID),
        };
        text_of(rows, i, COL_KEY, g.live_key, SESSION_KEY_BYTES);
        text_of(rows, i, COL_TITLE, g.title, SESSION_TITLE_BYTES);
        text_of(rows, i, COL_AREA, g.area, SESSION_AREA_BYTES);
        text_of(rows, i, COL_PARENT, g.parent_area, SESSION_AREA_BYTES);
        st->restored(st->load_ctx, &row, &g, (unsigned)db_i64(rows, i, COL_N));
    }
    if (code == ERR_OK && !st->stopped) {
        st->marked_id = upto;
        st->mark_due_ms = loop_now_ms(st->loop) + MARK_MS;
        loop_timer_start(&st->timer, RETRY_MS, 0);
    }
    st->loaded(st->load_ctx, code, err, upto);
}

enum err_code session_store_load(struct session_store *st, session_restored_fn *restored,
                                 session_loaded_fn *done, void *ctx, struct err *err)
{
    /* The node is in the ids that it made. What another one left open may be ours to end: it had our rooms before. */
    static const struct db_stmt load = {
        .name = "session_load",
        .sql =
            "(SELECT DISTINCT ON (s.room_id) s.id, s.room_id, s.start_id, s.end_id, "
            "s.end_cause, s.upstream_start_ms, g.n, g.from_id, g.live_key, g.title, g.area_id, "
            "g.area, g.parent_area_id, g.parent_area, NULL::int8 AS upto "
            "FROM session AS s LEFT JOIN LATERAL (SELECT count(*) OVER () AS n, x.* "
            "FROM session_segment AS x WHERE x.session_id = s.id ORDER BY x.from_id DESC LIMIT 1) "
            "AS g ON true WHERE s.end_id IS NULL OR (s.end_id > $2 AND s.id >> 16 & 63 = $1) "
            "ORDER BY s.room_id, (s.end_id IS NULL AND s.id >> 16 & 63 = $1) DESC, "
            "s.start_id DESC) "
            "UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
            "NULL, NULL, NULL, upto_id FROM session_mark WHERE node = $1",
    };
    const int64_t back = id_first_of_ms(loop_wall_ms(st->loop) - BACK_MS);
    const struct db_arg args[] = {DB_ARG_I64(st->opts.node), DB_ARG_I64(back)};
    st->restored = restored;
    st->loaded = done;
    st->load_ctx = ctx;
    return db_query(st->opts.db, &load, args, ARRAY_LEN(args), on_loaded, st, err);
}

/* ---- the whole ---- */

struct session_store *session_store_new(struct loop *loop, const struct session_store_opts *opts,
                                        struct stats *stats)
{
    struct session_store *st = mem_new(struct session_store);
    st->loop = loop;
    st->stats = stats;
    st->opts = *opts;
    loop_timer_init(&st->timer, loop, flush, st);
    return st;
}

void session_store_free(struct session_store *st)
{
    if (st == NULL) {
        return;
    }
    loop_timer_stop(&st->timer);
    db_forget(st->opts.db, st);
    for (size_t i = 0; i < st->n_segments; i++) {
        mem_free(st->segments[i].row);
    }
    mem_free(st->segments);
    mem_free(st->sessions);
    mem_free(st);
}
