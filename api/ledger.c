#include "api/ledger.h"

#include "server/core/clock.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { GAP_SOURCES = SPAN_MASKED, ALL_SOURCES = 1000, GAP_ROWS_MAX = 2000 };

void ledger_init(struct ledger *l, struct api *a, const int64_t *rooms, size_t n_rooms,
                 int64_t from_ms, int64_t to_ms, bool gaps_only)
{
    *l = (struct ledger){.api = a,
                         .rooms = rooms,
                         .n_rooms = n_rooms,
                         .gaps_only = gaps_only,
                         .now_ms = api_now_ms(a)};
    to_ms = to_ms > l->now_ms ? l->now_ms : to_ms;
    from_ms = from_ms < 0 ? 0 : from_ms > to_ms ? to_ms : from_ms;
    spans_init(&l->spans, from_ms, to_ms);
    for (size_t i = 0; i < n_rooms; i++) {
        l->begins[i] = INT64_MAX;
    }
}

void ledger_made_of(struct ledger *l, enum api_kept what)
{
    const struct api_ops *ops = &l->api->opts.ops;
    if (ops->kept_from != NULL) {
        const int64_t coverage_ms = ops->kept_from(ops->ctx, API_KEPT_COVERAGE);
        l->kept_ms = ops->kept_from(ops->ctx, what);
        l->kept_ms = coverage_ms > l->kept_ms ? coverage_ms : l->kept_ms;
    }
}

void ledger_deinit(struct ledger *l)
{
    spans_deinit(&l->spans);
    mem_free(TAKE_PTR(l->texts));
}

static int64_t known_from(const struct ledger *l, int64_t room_id)
{
    const struct api_ops *ops = &l->api->opts.ops;
    return ops->coverage_known != NULL ? ops->coverage_known(ops->ctx, room_id) : 0;
}

bool ledger_needs_rows(const struct ledger *l)
{
    if (l->n_rooms == 0) {
        return l->spans.from_ms < known_from(l, 0);
    }
    for (size_t i = 0; i < l->n_rooms; i++) {
        if (l->spans.from_ms < known_from(l, l->rooms[i])) {
            return true;
        }
    }
    return false;
}

/* Of gaps few are told. */
static size_t rows_max(const struct ledger *l)
{
    return l->gaps_only ? GAP_ROWS_MAX : SPANS_MAX;
}

enum sql ledger_sql(const struct ledger *l)
{
    return l->n_rooms > 0 ? SQL_COVERAGE_ROOMS : SQL_COVERAGE_ALL;
}

size_t ledger_args(const struct ledger *l, struct db_arg args[static LEDGER_ARGS])
{
    args[0] = l->n_rooms > 0 ? DB_ARG_I64S(l->rooms, l->n_rooms) : DB_ARG_NULL;
    args[1] = DB_ARG_I64(l->spans.from_ms);
    args[2] = DB_ARG_I64(l->spans.to_ms);
    args[3] = DB_ARG_I64(l->gaps_only ? GAP_SOURCES : ALL_SOURCES);
    args[4] = DB_ARG_I64((int64_t)rows_max(l));
    return LEDGER_ARGS;
}

static void set_begin(struct ledger *l, int64_t room_id, int64_t ms)
{
    for (size_t i = 0; i < l->n_rooms; i++) {
        if (l->rooms[i] == room_id && ms < l->begins[i]) {
            l->begins[i] = ms;
        }
    }
}

/* A copy at *at, which moves on. */
static struct str copy(char **at, struct str s)
{
    struct str own = {*at, s.len};
    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
    }
    *at += s.len;
    return own;
}

static void take_rows(struct ledger *l, const struct db_rows *rows)
{
    size_t bytes = 1;
    size_t n = 0;
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        bytes += db_text(rows, i, SPAN_COL_CAUSE).len + db_text(rows, i, SPAN_COL_EXTRA).len;
    }
    l->texts = mem_new_array(char, bytes); /* db_opts bounds the rows */
    char *at = l->texts;
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        struct span s = {
            .room_id = db_i64(rows, i, SPAN_COL_ROOM_ID),
            .source = db_i64(rows, i, SPAN_COL_SOURCE),
            .from_ms = db_i64(rows, i, SPAN_COL_FROM_MS),
            .first_id = db_i64(rows, i, SPAN_COL_FIRST_ID),
            .to_ms = db_null(rows, i, SPAN_COL_TO_MS) ? SPAN_OPEN : db_i64(rows, i, SPAN_COL_TO_MS),
            .cause = copy(&at, db_text(rows, i, SPAN_COL_CAUSE)),
            .last_id = db_i64(rows, i, SPAN_COL_LAST_ID),
            .n = db_i64(rows, i, SPAN_COL_N),
            .extra = copy(&at, db_text(rows, i, SPAN_COL_EXTRA)),
        };
        if (s.source < 0) {
            set_begin(l, s.room_id, s.from_ms);
        } else {
            n++;
            spans_add(&l->spans, &s);
        }
    }
    l->spans.overflow = l->spans.overflow || n >= rows_max(l); /* there may be more */
}

static bool take_span(void *ctx, const struct span *s)
{
    struct ledger *l = ctx;
    if (l->gaps_only && span_state_of(s) != SPAN_GAP) {
        return true;
    }
    /* Outside of the range it only says what rows do not know yet. */
    if (l->texts == NULL && (s->from_ms >= l->spans.to_ms || s->to_ms <= l->spans.from_ms)) {
        return true;
    }
    if (s->room_id != 0 || l->n_rooms == 0) {
        if (l->n_rooms == 0 && span_is_unwanted(s)) {
            return true;
        }
        spans_add(&l->spans, s);
    }
    for (size_t i = 0; s->room_id == 0 && i < l->n_rooms; i++) {
        struct span one = *s;
        one.room_id = l->rooms[i];
        spans_add(&l->spans, &one);
    }
    return true;
}

static void add_expired(struct ledger *l)
{
    /* As something lost: it does not end where a connection does. */
    const struct span expired = {.source = SPAN_LOST, .to_ms = l->kept_ms, .cause = STR("expired")};
    if (l->kept_ms > l->spans.from_ms && l->spans.to_ms > l->spans.from_ms) {
        (void)take_span(l, &expired);
    }
}

void ledger_take(struct ledger *l, const struct db_rows *rows)
{
    const struct api_ops *ops = &l->api->opts.ops;
    l->unknown = rows == NULL && ledger_needs_rows(l);
    if (rows != NULL) {
        take_rows(l, rows);
    }
    for (size_t i = 0; i < l->n_rooms; i++) {
        set_begin(l, l->rooms[i], known_from(l, l->rooms[i]));
        if (ops->coverage != NULL) {
            ops->coverage(ops->ctx, l->rooms[i], l->spans.from_ms, l->spans.to_ms, take_span, l);
        }
    }
    if (l->n_rooms == 0 && ops->coverage != NULL) {
        ops->coverage(ops->ctx, 0, l->spans.from_ms, l->spans.to_ms, take_span, l);
    }
    add_expired(l);
    spans_settle(&l->spans);
}

bool ledger_read(struct ledger *l, struct job *j, db_done_fn *done)
{
    if (!ledger_needs_rows(l) || !db_is_up(l->api->opts.db)) {
        ledger_take(l, NULL);
        return false;
    }
    struct db_arg args[LEDGER_ARGS];
    size_t n = ledger_args(l, args);
    job_query(j, ledger_sql(l), args, n, done);
    return true;
}

/* ---- telling ---- */

void ledger_put_time(struct json_out *w, const char *key, const char *key_ms, int64_t ms)
{
    char text[CLOCK_RFC3339_BYTES];
    jw_key(w, str_of(key));
    if (ms == SPAN_OPEN) {
        jw_null(w);
    } else {
        size_t len = clock_rfc3339(ms, text);
        jw_str(w, (struct str){text, len});
    }
    jw_key(w, str_of(key_ms));
    if (ms == SPAN_OPEN) {
        jw_null(w);
    } else {
        jw_i64(w, ms);
    }
}

void ledger_put_gap(struct json_out *w, int64_t room_id, const struct span_interval *gap)
{
    jw_key(w, STR("room_id"));
    if (room_id != 0) {
        jw_i64(w, room_id);
    } else {
        jw_null(w);
    }
    ledger_put_time(w, "from", "from_ms", gap->from_ms);
    ledger_put_time(w, "to", "to_ms", gap->to_ms);
    jw_kstr(w, "cause", gap->cause);
}

struct telling {
    const struct ledger *l;
    ledger_gap_fn *fn;
    void *ctx;
    int64_t room_id; /* of the walk */
    size_t n;
    bool full;
    /* The newest one, told when it is known whether there is another one. */
    int64_t last_room_id;
    struct span_interval last;
};

static bool take_gap(void *ctx, const struct span_interval *i)
{
    struct telling *t = ctx;
    if (i->state != SPAN_GAP) {
        return true;
    }
    t->full = t->n == LEDGER_GAPS_MAX;
    if (t->full) {
        return false;
    }
    if (t->n++ > 0) {
        t->fn(t->ctx, t->last_room_id, &t->last, false);
    }
    t->last_room_id = t->room_id;
    t->last = *i;
    if (i->to_ms == t->l->now_ms && (i->span == NULL || i->span->to_ms == SPAN_OPEN)) {
        t->last.to_ms = SPAN_OPEN; /* it goes on */
    }
    return true;
}

static void walk_rooms(struct telling *t)
{
    const struct ledger *l = t->l;
    const struct spans *set = &l->spans;
    for (size_t i = 0; i < l->n_rooms && !t->full; i++) {
        t->room_id = l->rooms[i];
        if (set->n > 0 || l->begins[i] > set->from_ms) {
            spans_walk(set, t->room_id, l->begins[i], take_gap, t);
        }
    }
    for (size_t i = 0; l->n_rooms == 0 && i < set->n && !t->full; i++) {
        if (i == 0 || set->all[i].room_id != set->all[i - 1].room_id) {
            t->room_id = set->all[i].room_id;
            spans_walk(set, t->room_id, INT64_MIN, take_gap, t);
        }
    }
}

void ledger_each_gap(const struct ledger *l, ledger_gap_fn *fn, void *ctx)
{
    struct telling t = {.l = l, .fn = fn, .ctx = ctx};
    walk_rooms(&t);
    if (t.n > 0) {
        fn(ctx, t.last_room_id, &t.last, t.full || l->spans.overflow);
    }
}

struct writing {
    struct json_out *w;
    size_t n;
    bool truncated;
};

static void write_gap(void *ctx, int64_t room_id, const struct span_interval *gap, bool truncated)
{
    struct writing *wr = ctx;
    wr->n++;
    wr->truncated = wr->truncated || truncated;
    jw_object(wr->w);
    ledger_put_gap(wr->w, room_id, gap);
    jw_object_end(wr->w);
}

void ledger_put_completeness(const struct ledger *l, struct json_out *w, bool pending)
{
    struct writing wr = {.w = w, .truncated = l->spans.overflow};
    pending = pending || l->unknown;
    jw_key(w, STR("completeness"));
    jw_object(w);
    jw_key(w, STR("gaps"));
    jw_array(w);
    ledger_each_gap(l, write_gap, &wr);
    jw_array_end(w);
    jw_kbool(w, "truncated", wr.truncated);
    jw_kbool(w, "pending", pending);
    jw_kbool(w, "complete", wr.n == 0 && !pending && !wr.truncated);
    jw_object_end(w);
}
