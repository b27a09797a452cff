/* Table room: read at start and when a request names a room that is not in memory; written on change, in batches, one
 * at a time, again until it worked. A change that waits costs no memory: it is a number in its room. */
#include "collector/fleet_priv.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

enum {
    BATCH_MAX = 500,
    RETRY_MS = 2000,
    SOON_MS = 20, /* what changes together is written together */
};

/* Columns of a row that is read. */
enum {
    COL_ROOM_ID,
    COL_SHORT_ID,
    COL_ANCHOR_UID,
    COL_UNAME,
    COL_TITLE,
    COL_AREA_ID,
    COL_AREA,
    COL_PARENT_AREA_ID,
    COL_PARENT_AREA,
    COL_LIVE,
    COL_LIVE_SINCE_MS,
    COL_ORIGIN,
    COL_STATE,
    COL_BY_API,
    COL_PINNED,
    COL_GROUPS,
    COL_CREATED_MS,
};

/* What somebody said something about, and what $1 names. */
static const struct db_stmt stmt_fetch = {
    .name = "fleet_fetch",
    .sql = "SELECT room_id, short_id, anchor_uid, uname, title, area_id, area, parent_area_id, "
           "parent_area, "
           "live, live_since_ms, origin, state, by_api, pinned, array_to_string(groups, ','), "
           "created_ms "
           "FROM room WHERE ($2::int8 <> 0 AND (state <> 'left' OR by_api OR pinned OR groups <> "
           "'{}')) "
           "OR room_id = ANY ($1::int8[]) OR (short_id > 0 AND short_id = ANY ($1::int8[])) "
           "ORDER BY room_id LIMIT 50000",
};

/* What is not known now does not unsay what was known. */
static const struct db_stmt stmt_store = {
    .name = "fleet_store",
    .sql =
        "INSERT INTO room AS r (room_id, short_id, anchor_uid, uname, title, area_id, area, "
        "parent_area_id, "
        "parent_area, live, live_since_ms, origin, state, by_api, pinned, groups, created_ms) "
        "SELECT n.room_id, nullif(n.short_id, 0), nullif(n.anchor_uid, 0), nullif(n.uname, ''), "
        "nullif(n.title, ''), nullif(n.area_id, 0)::int4, nullif(n.area, ''), "
        "nullif(n.parent_area_id, 0)::int4, "
        "nullif(n.parent_area, ''), CASE WHEN n.live >= 0 THEN n.live > 0 END, "
        "nullif(n.live_since_ms, 0), "
        "n.origin, n.state, n.by_api <> 0, n.pinned <> 0, string_to_array(n.groups, ','), "
        "n.created_ms "
        "FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], "
        "$7::int8[], "
        "$8::int8[], $9::int8[], $10::int8[], $11::text[], $12::text[], $13::text[], $14::text[], "
        "$15::text[], "
        "$16::text[], $17::text[]) AS n(room_id, short_id, anchor_uid, area_id, parent_area_id, "
        "live, "
        "live_since_ms, by_api, pinned, created_ms, uname, title, area, parent_area, origin, "
        "state, groups) "
        "ON CONFLICT (room_id) DO UPDATE SET short_id = coalesce(excluded.short_id, r.short_id), "
        "anchor_uid = coalesce(excluded.anchor_uid, r.anchor_uid), uname = "
        "coalesce(excluded.uname, r.uname), "
        "title = coalesce(excluded.title, r.title), area_id = coalesce(excluded.area_id, "
        "r.area_id), "
        "area = coalesce(excluded.area, r.area), "
        "parent_area_id = coalesce(excluded.parent_area_id, r.parent_area_id), "
        "parent_area = coalesce(excluded.parent_area, r.parent_area), live = "
        "coalesce(excluded.live, r.live), "
        "live_since_ms = CASE WHEN excluded.live IS NULL THEN r.live_since_ms ELSE "
        "excluded.live_since_ms END, "
        "origin = excluded.origin, state = excluded.state, by_api = excluded.by_api, pinned = "
        "excluded.pinned, "
        "groups = excluded.groups",
};

/* ---- reading ---- */

enum err_code fleet_fetch(struct fleet *f, const int64_t *numbers, size_t n, db_done_fn *done,
                          void *ctx, struct err *err)
{
    const struct db_arg args[] = {DB_ARG_I64S(numbers, n), DB_ARG_I64(!f->loaded)};
    return db_query(f->opts.db, &stmt_fetch, args, ARRAY_LEN(args), done, ctx, err);
}

static enum fleet_state state_of_text(struct str s)
{
    return str_eq(s, STR("paused"))    ? FLEET_PAUSED
           : str_eq(s, STR("removed")) ? FLEET_REMOVED
                                       : FLEET_ACTIVE;
}

static enum fleet_origin origin_of_text(struct str s)
{
    return str_eq(s, STR("config"))      ? FLEET_CONFIG
           : str_eq(s, STR("discovery")) ? FLEET_DISCOVERY
                                         : FLEET_API;
}

static void take_row(struct fleet *f, const struct db_rows *rows, size_t i)
{
    const struct upstream_room said = {
        .room_id = db_i64(rows, i, COL_ROOM_ID),
        .short_id = db_i64(rows, i, COL_SHORT_ID),
        .uid = db_i64(rows, i, COL_ANCHOR_UID),
        .live_status = db_null(rows, i, COL_LIVE) ? -1 : db_bool(rows, i, COL_LIVE),
        .live_since_ms = db_i64(rows, i, COL_LIVE_SINCE_MS),
        .uname = db_text(rows, i, COL_UNAME),
        .title = db_text(rows, i, COL_TITLE),
        .area = db_text(rows, i, COL_AREA),
        .parent_area = db_text(rows, i, COL_PARENT_AREA),
        .area_id = db_i64(rows, i, COL_AREA_ID),
        .parent_area_id = db_i64(rows, i, COL_PARENT_AREA_ID),
    };
    struct fleet_room *r = fleet_at_id(f, said.room_id);
    if (said.room_id <= 0 || (r != NULL && r->resolved && (f->loaded || r->kept))) {
        return; /* what is in memory is newer */
    }
    r = r != NULL ? r : fleet_insert(f, said.room_id);
    if (r == NULL) {
        return;
    }
    r->resolved = true;
    (void)room_facts_update(&r->facts, &said);
    r->state = state_of_text(db_text(rows, i, COL_STATE));
    r->origin = origin_of_text(db_text(rows, i, COL_ORIGIN));
    r->by_api = db_bool(rows, i, COL_BY_API);
    r->pinned = db_bool(rows, i, COL_PINNED);
    r->by_discovery = f->discovering && !f->loaded && r->origin == FLEET_DISCOVERY &&
                      str_eq(db_text(rows, i, COL_STATE), STR("active"));
    fleet_room_groups(r, db_text(rows, i, COL_GROUPS));
    r->created_ms = db_i64(rows, i, COL_CREATED_MS);
}

void fleet_take_rows(struct fleet *f, const struct db_rows *rows)
{
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        take_row(f, rows, i);
    }
}

/* ---- writing ---- */

uint64_t fleet_unstored(const struct fleet *f)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < f->n; i++) {
        const uint64_t change = f->rooms[i]->change;
        least = change != 0 && change < least ? change : least;
    }
    return least;
}

void fleet_store_soon(struct fleet *f)
{
    if (f->loaded && !f->stopping && !f->storing && !loop_timer_armed(&f->store_timer)) {
        loop_timer_start(&f->store_timer, f->store_failing ? RETRY_MS : SOON_MS, 0);
    }
}

/* Nobody wants it, nobody said anything about it, and all of it is stored: its row is enough. */
static bool is_forgotten(const struct fleet_room *r)
{
    return r->resolved && fleet_state_of(r) == FLEET_LEFT && r->groups == NULL && r->change == 0 &&
           !r->collected && !r->busy;
}

static void forget(struct fleet *f)
{
    for (size_t i = f->n; i > 0; i--) {
        if (is_forgotten(f->rooms[i - 1])) {
            fleet_erase(f, f->rooms[i - 1]);
        }
    }
}

static void store_worked(struct fleet *f)
{
    for (size_t i = 0; i < f->n_batch; i++) {
        struct fleet_room *r = f->batch[i];
        r->busy = false;
        r->change = r->change == f->batch_changes[i] ? 0 : r->change;
        r->kept = r->kept && r->change != 0;
    }
    f->version++;
    f->n_batch = 0;
    if (f->store_failing) {
        LOG(INFO, "fleet", "rooms are noted in the database again", KV_I64("rooms", f->n));
    }
    f->store_failing = false;
    if (f->requests.n == 0) { /* a request may be about a room that nobody wants */
        forget(f);
    }
    fleet_requests_stored(f);
}

/* A row that the database refuses is found by storing one at a time; it is left as it is there. */
static void store_refused(struct fleet *f, const struct err *err)
{
    if (f->n_batch > 1) {
        f->store_single = true;
    } else {
        LOG(ERROR, "fleet", "the database refuses this room, its row stays as it is",
            KV_I64("room", f->batch[0]->id), KV_CSTR("error", err->msg));
        stats_inc(f->opts.stats, STAT_FLEET_STORE_REFUSED);
        f->batch[0]->change = 0;
    }
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct fleet *f = ctx;
    (void)rows;
    f->storing = false;
    if (code == ERR_OK) {
        store_worked(f);
    } else {
        for (size_t i = 0; i < f->n_batch; i++) {
            f->batch[i]->busy = false;
        }
        if (code == ERR_INVALID) {
            store_refused(f, err);
        } else if (!f->store_failing && !f->stopping) {
            f->store_failing = true;
            LOG(WARN, "fleet", "rooms are not noted in the database yet, trying again",
                KV_CSTR("error", err->msg));
        }
        stats_inc(f->opts.stats, STAT_FLEET_STORE_FAILED);
        if (code != ERR_INVALID || f->n_batch == 1) {
            fleet_requests_failed(f, err);
        }
        f->n_batch = 0;
    }
    if (fleet_unstored(f) != UINT64_MAX) {
        fleet_store_soon(f);
    } else {
        f->store_single = false;
    }
}

static size_t fill_batch(struct fleet *f)
{
    const size_t max = f->store_single ? 1 : BATCH_MAX;
    f->n_batch = 0;
    for (size_t i = 0; i < f->n && f->n_batch < max; i++) {
        if (f->rooms[i]->change != 0) {
            f->batch[f->n_batch] = f->rooms[i];
            f->batch_changes[f->n_batch++] = f->rooms[i]->change;
        }
    }
    return f->n_batch;
}

enum { NUMBER_COLUMNS = 10, TEXT_COLUMNS = 7 };

/* Row i of n, in the columns of stmt_store. */
static void put_row(const struct fleet_room *r, size_t i, size_t n, int64_t *numbers,
                    struct str *texts)
{
    const int64_t row_numbers[NUMBER_COLUMNS] = {
        r->id,
        r->facts.short_id,
        r->facts.uid,
        r->facts.area_id,
        r->facts.parent_area_id,
        r->facts.live,
        r->facts.live_since_ms,
        r->by_api,
        r->pinned,
        r->created_ms,
    };
    const struct str row_texts[TEXT_COLUMNS] = {
        str_of(r->facts.uname),
        str_of(r->facts.title),
        str_of(r->facts.area),
        str_of(r->facts.parent_area),
        str_of(fleet_origin_name(fleet_origin_of(r))),
        str_of(fleet_state_name(fleet_state_of(r))),
        str_of(r->groups),
    };
    for (size_t c = 0; c < NUMBER_COLUMNS; c++) {
        numbers[c * n + i] = row_numbers[c];
    }
    for (size_t c = 0; c < TEXT_COLUMNS; c++) {
        texts[c * n + i] = row_texts[c];
    }
}

static enum err_code store_batch(struct fleet *f, struct err *err)
{
    const size_t n = f->n_batch;
    int64_t *numbers = mem_new_array(int64_t, n * NUMBER_COLUMNS);
    struct str *texts = mem_new_array(struct str, n * TEXT_COLUMNS);
    struct db_arg args[NUMBER_COLUMNS + TEXT_COLUMNS];
    for (size_t i = 0; i < n; i++) {
        put_row(f->batch[i], i, n, numbers, texts);
    }
    for (size_t c = 0; c < NUMBER_COLUMNS; c++) {
        args[c] = DB_ARG_I64S(numbers + c * n, n);
    }
    for (size_t c = 0; c < TEXT_COLUMNS; c++) {
        args[NUMBER_COLUMNS + c] = DB_ARG_TEXTS(texts + c * n, n);
    }
    const enum err_code code =
        db_query(f->opts.db, &stmt_store, args, ARRAY_LEN(args), on_stored, f, err);
    mem_free(numbers);
    mem_free(texts);
    return code;
}

static void store(void *ctx)
{
    struct fleet *f = ctx;
    struct err err = {0};
    if (f->storing || fill_batch(f) == 0) {
        return;
    }
    f->storing = true;
    for (size_t i = 0; i < f->n_batch; i++) {
        f->batch[i]->busy = true;
    }
    const enum err_code code = store_batch(f, &err);
    if (code != ERR_OK) {
        on_stored(f, code, &err, NULL);
    }
}

void fleet_store_init(struct fleet *f)
{
    loop_timer_init(&f->store_timer, f->opts.loop, store, f);
    f->batch = mem_new_array(struct fleet_room *, BATCH_MAX);
    f->batch_changes = mem_new_array(uint64_t, BATCH_MAX);
}

void fleet_store_deinit(struct fleet *f)
{
    mem_free(f->batch);
    mem_free(f->batch_changes);
}
