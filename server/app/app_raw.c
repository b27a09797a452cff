/* Messages kept as they came: packed, into a spool of their own, from there into table raw_event.
 *
 * The spool (data_dir/raw) is what makes them survive kill -9 and a database that is away; it is read back in batches. A row
 * is its message, so writing one twice adds nothing, and no mark is needed: after an ambiguous answer or a restart the
 * batch is sent again. What is lost is counted by cause (danmakud_raw_dropped_total): the spool is full, cannot be written,
 * or the message is too large. Events do not depend on any of this.
 *
 * A message that does not fit one record of the spool lies in several: parts with the ids of its events' places. */
#include "server/app/app_priv.h"

#include "collector/wire/decode.h"
#include "collector/wire/pack.h"
#include "server/core/assert.h"
#include "server/core/backoff.h"
#include "server/core/mem.h"
#include "server/core/rng.h"

enum {
    RETRY_MS = 1000,
    RETRY_MAX_MS = 10000,
    BACKFILL_MS = 2000, /* how late lists may show what reparse has added */
    UPKEEP_MS = 3600000,
    UPKEEP_SOON_MS = 5000, /* after a failure */
    DAYS_AHEAD = 3,
    DAY_MS = 86400000,
    BATCH_ROWS = 512,
    BATCH_BYTES = 4 << 20,
    PLACES = ID_NUMBERS_MAX * ID_EVENTS_PER_MESSAGE, /* kept free for the events of a message */
    PART_BYTES = EVENT_EXTRA_MAX,
    PACKED_MAX =
        PART_BYTES * ID_EVENTS_PER_MESSAGE, /* LIMIT: a message that is larger loses its body */
    SCRATCH_BYTES = 2 << 20, /* LIMIT: the same for those that cannot even be tried */
    NAMES_MAX = 4096,        /* as app_commands.c */
};

struct app_raw {
    struct app *app;
    struct spool *spool; /* NULL: nothing is kept */
    struct packer *packer;
    struct buf packed; /* scratch */
    struct loop_timer retry;
    struct loop_timer upkeep;
    struct loop_timer backfill;
    int64_t committed;    /* in the database up to here */
    struct event **batch; /* owned references, n of BATCH_ROWS: in the statement under way */
    size_t n;
    size_t max_messages; /* of a statement; fewer while one that is refused is looked for */
    int64_t complete;    /* newest id that reparse was told of: everything up to there is written */
    int64_t lost;        /* the newest message a part of which could not be written */
    bool busy;           /* reading or sending */
    bool poked;          /* there may be something behind committed */
    bool failing;        /* told once */
    struct backoff backoff;
    struct rng rng;
    bool closing;
    void (*closed)(void *app);
};

/* ---- from the collector into the spool ---- */

/* The seam for rooms whose senders are hidden: nothing of them is kept as it came. */
static bool may_keep(const struct app *app, int64_t room_id)
{
    (void)app;
    return room_id > 0;
}

static void append_parts(struct app_raw *r, int64_t base, const struct collector_raw *raw,
                         struct str body)
{
    const size_t parts = body.len > 0 ? (body.len + PART_BYTES - 1) / PART_BYTES : 1;
    for (size_t i = 0; i < parts; i++) {
        const size_t end = (i + 1) * PART_BYTES;
        struct event_draft d;
        event_draft_init(&d, EVENT_KIND_NONE, raw->room_id);
        d.actor = raw->actor;
        d.item_id = PACK_DICT;
        d.num = (int32_t)parts;
        d.color = PLACES;
        d.mode = (int16_t)i;
        d.uname = raw->cmd;
        d.text = str_of(raw->reason);
        d.extra = str_sub(body, i * PART_BYTES, end < body.len ? end : body.len);
        struct event *e = event_new(base + (int64_t)i, &d);
        if (e == NULL) {
            stats_inc(r->app->stats,
                      STAT_RAW_DROPPED_NOMEM); /* what is there of it is left out when it is read */
            return;
        }
        spool_append(r->spool, e);
    }
}

void app_on_raw(void *ctx, const struct collector_raw *raw)
{
    struct app *app = ctx;
    struct app_raw *r = app->raw;
    app->raw_base = 0;
    if (raw == NULL || r->spool == NULL || !may_keep(app, raw->room_id)) {
        return;
    }
    struct err err = {0};
    buf_clear(&r->packed);
    const enum err_code code = pack(r->packer, raw->json, &r->packed, &err);
    struct str body = buf_str(&r->packed);
    if (code != ERR_OK || body.len > PACKED_MAX) {
        stats_inc(app->stats, STAT_RAW_DROPPED_TOO_LARGE);
        body = STR_NULL;
    }
    stats_inc(app->stats, STAT_RAW_KEPT);
    app->raw_base = id_gen_numbers(&app->ids, loop_wall_ms(app->loop), ID_NUMBERS_MAX);
    append_parts(r, app->raw_base, raw, body);
}

/* ---- from the spool into the database ---- */

static void read_next(struct app_raw *r);

static void drop_batch(struct app_raw *r)
{
    for (size_t i = 0; i < r->n; i++) {
        event_unref(&r->batch[i]);
    }
    r->n = 0;
}

static void again(void *ctx)
{
    struct app_raw *r = ctx;
    r->poked = true;
    read_next(r);
}

static bool begins_message(const struct app_raw *r, size_t i)
{
    return i == 0 || id_message(r->batch[i]->id) != id_message(r->batch[i - 1]->id);
}

static size_t count_messages(const struct app_raw *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        n += begins_message(r, i);
    }
    return n;
}

/* A message that does not fit is looked for and left out: it alone. Any other failure is no fault of the messages, which
 * wait; raw_max_bytes is the limit of that. */
static void failed(struct app_raw *r, enum err_code code, const struct err *err)
{
    const bool refused = code == ERR_INVALID || code == ERR_TOO_BIG;
    const size_t messages = count_messages(r);
    int64_t delay_ms = 1;
    if (refused && messages > 1) {
        r->max_messages = messages / 2;
    } else if (refused) {
        LOG(ERROR, "raw", "the database refuses a kept message: it is left out",
            KV_I64("id", r->batch[0]->id), KV_CSTR("error", err->msg));
        stats_inc(r->app->stats, STAT_RAW_DROPPED_REFUSED);
        r->committed = r->batch[r->n - 1]->id;
        delay_ms = RETRY_MS;
    } else {
        if (!r->failing) {
            LOG(WARN, "raw", "kept messages wait for the database", KV_CSTR("error", err->msg));
        }
        r->failing = true;
        delay_ms = backoff_next_ms(&r->backoff, &r->rng);
    }
    drop_batch(r);
    loop_timer_start(&r->retry, delay_ms, 0);
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct app_raw *r = ctx;
    r->busy = false;
    if (code != ERR_OK) {
        failed(r, code, err);
        return;
    }
    stats_add(r->app->stats, STAT_RAW_STORED, (int64_t)db_rows_affected(rows));
    r->failing = false;
    backoff_reset(&r->backoff);
    r->max_messages = r->max_messages < BATCH_ROWS / 2 ? r->max_messages * 2 : BATCH_ROWS;
    r->committed = r->batch[r->n - 1]->id;
    drop_batch(r);
    spool_ack(r->spool, r->committed);
    r->poked = true;
    read_next(r);
}

static const struct db_stmt store_stmt = {
    .name = "app_raw_store",
    .sql =
        "WITH told AS (SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], "
        "$5::int8[], $6::int8[], $7::int8[], $8::text[], $9::text[]) "
        "AS t(room_id, id, actor, dict, at, len, places, cmd, reason) WHERE id >= $11::int8), "
        "made AS (INSERT INTO command (cmd) SELECT DISTINCT cmd FROM told "
        "WHERE NOT EXISTS (SELECT FROM command AS c WHERE c.cmd = told.cmd) "
        "AND (SELECT count(*) FROM command) < $12::int8 ORDER BY cmd "
        "ON CONFLICT (cmd) DO UPDATE SET cmd = excluded.cmd RETURNING cmd_id, cmd), "
        "named AS (SELECT cmd_id, cmd FROM command UNION SELECT cmd_id, cmd FROM made) "
        "INSERT INTO raw_event (room_id, id, actor, cmd_id, dict, reason, body, places) "
        "SELECT t.room_id, t.id, nullif(t.actor, 0), n.cmd_id, t.dict::int2, t.reason, "
        "CASE WHEN t.len > 0 THEN substring($10::bytea FROM t.at::int4 + 1 FOR t.len::int4) END, "
        "t.places::int2 FROM told AS t LEFT JOIN named AS n USING (cmd) ON CONFLICT DO NOTHING",
};

/* The messages of the batch, its parts put together. */
struct columns {
    int64_t numbers[7][BATCH_ROWS];  /* room, id, actor, dict, at, len, places */
    struct str texts[2][BATCH_ROWS]; /* cmd, reason */
    size_t n;
};

static void take_columns(const struct app_raw *r, struct columns *k, struct buf *bodies)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct event *e = r->batch[i];
        const size_t parts = e->num > 0 ? (size_t)e->num : 1;
        bool whole = e->mode == 0 && i + parts <= r->n;
        for (size_t p = 0; whole && p < parts; p++) {
            whole =
                r->batch[i + p]->id == e->id + (int64_t)p && r->batch[i + p]->mode == (int16_t)p;
        }
        if (!whole) {
            continue; /* a part without the others, counted when they were lost */
        }
        const size_t at = bodies->len;
        for (size_t p = 0; p < parts; p++) {
            buf_put(bodies, r->batch[i + p]->extra);
        }
        const int64_t row[] = {e->room_id,
                               e->id,
                               e->actor,
                               e->item_id,
                               (int64_t)at,
                               (int64_t)(bodies->len - at),
                               e->color == PLACES ? PLACES : ID_EVENTS_PER_MESSAGE};
        for (size_t c = 0; c < ARRAY_LEN(row); c++) {
            k->numbers[c][k->n] = row[c];
        }
        k->texts[0][k->n] = e->uname.len > 0 ? e->uname : STR("");
        k->texts[1][k->n++] = e->text.len > 0 ? e->text : STR("unknown");
        i += parts - 1;
    }
}

static void store(struct app_raw *r)
{
    struct columns *k = mem_new(struct columns);
    struct buf bodies;
    buf_init(&bodies, (size_t)BATCH_ROWS * PART_BYTES);
    take_columns(r, k, &bodies);
    const int64_t oldest = loop_wall_ms(r->app->loop) - r->app->config->raw_retention;
    const struct db_arg args[] = {
        DB_ARG_I64S(k->numbers[0], k->n),   DB_ARG_I64S(k->numbers[1], k->n),
        DB_ARG_I64S(k->numbers[2], k->n),   DB_ARG_I64S(k->numbers[3], k->n),
        DB_ARG_I64S(k->numbers[4], k->n),   DB_ARG_I64S(k->numbers[5], k->n),
        DB_ARG_I64S(k->numbers[6], k->n),   DB_ARG_TEXTS(k->texts[0], k->n),
        DB_ARG_TEXTS(k->texts[1], k->n),    DB_ARG_BYTES(buf_str(&bodies)),
        DB_ARG_I64(id_first_of_ms(oldest)), DB_ARG_I64(NAMES_MAX),
    };
    struct err err = {0};
    enum err_code code = buf_ok(&bodies) ? db_query(r->app->db, &store_stmt, args, ARRAY_LEN(args),
                                                    on_stored, r, &err)
                                         : err_set(&err, ERR_RETRY, "memory is short");
    r->busy = code == ERR_OK;
    if (code != ERR_OK) {
        failed(r, code, &err);
    }
    buf_deinit(&bodies);
    mem_free(k);
}

/* The last message may go on behind the batch: it is read again with the next one. */
static void leave_open_message(struct app_raw *r)
{
    size_t n = r->n;
    while (n > 0 && r->batch[n - 1]->mode > 0) {
        n--;
    }
    if (n > 1 && r->batch[n - 1]->num > (int32_t)(r->n - n + 1)) {
        n--;
        while (r->n > n) {
            event_unref(&r->batch[--r->n]);
        }
    }
}

static void keep_first_messages(struct app_raw *r)
{
    size_t messages = 0;
    size_t n = 0;
    while (n < r->n && messages + begins_message(r, n) <= r->max_messages) {
        messages += begins_message(r, n++);
    }
    while (r->n > n) {
        event_unref(&r->batch[--r->n]);
    }
}

static void on_read(void *ctx, struct event **events, size_t n)
{
    struct app_raw *r = ctx;
    r->busy = false;
    for (size_t i = 0; i < n; i++) {
        if (r->closing || r->n == BATCH_ROWS) {
            event_unref(&events[i]);
        } else {
            r->batch[r->n++] = events[i];
        }
    }
    if (r->closing) {
        drop_batch(r);
    } else if (r->n == 0) {
        read_next(r); /* poked meanwhile? */
    } else {
        leave_open_message(r);
        keep_first_messages(r);
        store(r);
    }
}

static void read_next(struct app_raw *r)
{
    if (r->spool == NULL || r->busy || !r->poked || r->closing || loop_timer_armed(&r->retry)) {
        return;
    }
    if (!db_is_up(r->app->db)) {
        loop_timer_start(&r->retry, RETRY_MS, 0);
        return;
    }
    r->poked = false;
    r->busy = true;
    spool_read(r->spool, r->committed, BATCH_ROWS, BATCH_BYTES, on_read, r);
}

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct app_raw *r = ctx;
    for (size_t i = 0; i < n; i++) {
        const int64_t message = id_message(events[i]->id);
        if (!durable && message != r->lost) { /* any part of it: the others are left out */
            r->lost = message;
            stats_inc(r->app->stats, STAT_RAW_DROPPED_NOT_DURABLE);
        }
        event_unref(&events[i]);
    }
    r->poked = true;
    read_next(r);
}

/* The spool knows rooms and ids, not which parts are of one message: parts are counted. */
static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    struct app_raw *r = ctx;
    for (size_t i = 0; i < n; i++) {
        stats_add(r->app->stats, STAT_RAW_DROPPED_OVERFLOW,
                  rooms[i].n > 0 ? (int64_t)rooms[i].n : 1);
    }
}

/* ---- days ---- */

static void on_upkeep_done(void *ctx, enum err_code code, const struct err *err,
                           const struct db_rows *rows)
{
    struct app_raw *r = ctx;
    if (code == ERR_OK && db_i64(rows, 0, 1) > 0) {
        LOG(INFO, "raw", "kept messages past raw_retention are dropped",
            KV_I64("days", db_i64(rows, 0, 1)));
    } else if (code != ERR_OK && code != ERR_UNAVAILABLE && code != ERR_CANCELED) {
        LOG(WARN, "raw", "days of kept messages not made or dropped, trying again",
            KV_CSTR("error", err->msg));
    }
    loop_timer_start(&r->upkeep, code == ERR_OK ? UPKEEP_MS : UPKEEP_SOON_MS, 0);
}

static void on_upkeep(void *ctx)
{
    static const struct db_stmt days = {
        .name = "app_raw_days",
        .sql = "SELECT count(*) FILTER (WHERE partition_make_day('raw_event', day)), "
               "partition_drop_before('raw_event', (timestamp '2020-01-01' + $3::int8 * "
               "interval '1 day')::date, 2147483647) FROM (SELECT (timestamp '2020-01-01' + "
               "$1::int8 * interval '1 day')::date "
               "+ n::int4 AS day FROM generate_series(0, $2::int8) AS n) AS days",
    };
    struct app_raw *r = ctx;
    const int64_t now = loop_wall_ms(r->app->loop);
    const struct db_arg args[] = {
        DB_ARG_I64((now - ID_EPOCH_MS) / DAY_MS),
        DB_ARG_I64(DAYS_AHEAD),
        DB_ARG_I64((now - r->app->config->raw_retention - ID_EPOCH_MS) / DAY_MS),
    };
    struct err err = {0};
    const enum err_code code =
        db_query(r->app->db, &days, args, ARRAY_LEN(args), on_upkeep_done, r, &err);
    if (code != ERR_OK) {
        on_upkeep_done(r, code, &err, NULL);
    }
}

/* ---- what reparse has added ---- */

static void on_backfilled(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct app_raw *r = ctx;
    (void)err; /* the pool tells of the database */
    if (code == ERR_OK && db_rows_n(rows) == 1) {
        feed_set_backfilled(r->app->feed, db_i64(rows, 0, 0));
    }
    loop_timer_start(&r->backfill, BACKFILL_MS, 0);
}

static void on_complete_told(void *ctx, enum err_code code, const struct err *err,
                             const struct db_rows *rows)
{
    struct app_raw *r = ctx;
    (void)err;
    (void)rows;
    if (code != ERR_OK) {
        r->complete = 0; /* again, with the next timer */
    }
}

/* The writer's mark stands still while nothing comes that is written; reparse would leave the messages behind it alone. */
static void tell_complete(struct app_raw *r)
{
    static const struct db_stmt tell = {
        .name = "app_raw_complete",
        .sql = "UPDATE writer_mark SET complete_id = $2 WHERE node = $1::int8 AND complete_id < $2",
    };
    struct err err = {0};
    if (r->spool == NULL || r->complete >= spool_last_id(r->spool)) {
        return;
    }
    const int64_t id = app_complete_id(r->app);
    const struct db_arg args[] = {DB_ARG_I64(r->app->config->node), DB_ARG_I64(id)};
    if (id > r->complete &&
        db_query(r->app->db, &tell, args, ARRAY_LEN(args), on_complete_told, r, &err) == ERR_OK) {
        r->complete = id;
    }
}

static void on_backfill_timer(void *ctx)
{
    static const struct db_stmt mark = {
        .name = "app_backfill_mark",
        .sql = "SELECT last_id FROM backfill_mark",
    };
    struct app_raw *r = ctx;
    struct err err = {0};
    if (db_is_up(r->app->db)) {
        tell_complete(r);
    }
    if (!db_is_up(r->app->db) ||
        db_query(r->app->db, &mark, NULL, 0, on_backfilled, r, &err) != ERR_OK) {
        loop_timer_start(&r->backfill, BACKFILL_MS, 0);
    }
}

/* ---- life ---- */

enum collector_raw_mode app_raw_mode(const struct config *config, bool *ret_ok)
{
    const struct str mode = str_of(config->raw);
    *ret_ok = true;
    if (str_eq(mode, STR("off"))) {
        return COLLECTOR_RAW_OFF;
    }
    if (str_eq(mode, STR("all"))) {
        return COLLECTOR_RAW_ALL;
    }
    *ret_ok = str_eq(mode, STR("unknown"));
    return COLLECTOR_RAW_UNKNOWN;
}

static void open_spool(struct app_raw *r)
{
    struct app *app = r->app;
    struct buf data_dir;
    struct buf dir;
    struct err err = {0};
    struct spool_found found = {0};
    buf_init(&data_dir, APP_PATH_BYTES);
    buf_init(&dir, APP_PATH_BYTES);
    enum err_code code = app_data_dir(app->config, &data_dir, &err);
    if (code == ERR_OK) {
        buf_printf(&dir, "%s/raw", data_dir.data);
        buf_put_c(&dir, '\0');
        const struct spool_opts opts = {
            .dir = dir.data,
            .sync_ms = app->config->spool_sync,
            .max_bytes = (size_t)app->config->raw_max_bytes,
            .segment_bytes = (size_t)app->config->spool_segment_bytes,
            .overflow = SPOOL_DROP_OLDEST,
            .on_written = on_written,
            .on_dropped = on_dropped,
            .ctx = r,
        };
        code = buf_ok(&dir) ? spool_open(app->loop, &opts, NULL, &r->spool, &found, &err)
                            : err_set(&err, ERR_INVALID, "data_dir: the path is too long");
    }
    buf_deinit(&dir);
    buf_deinit(&data_dir);
    if (code != ERR_OK) {
        LOG(ERROR, "raw", "messages are not kept as they came", KV_CSTR("error", err.msg));
        r->spool = NULL;
        return;
    }
    app->raw_last_id = found.last_id;
    r->poked = true;
    loop_timer_start(&r->retry, 1, 0);
}

void app_raw_open(struct app *app)
{
    bool ok = false;
    struct app_raw *r = mem_new(struct app_raw);
    app->raw = r;
    r->app = app;
    r->packer = packer_new();
    r->max_messages = BATCH_ROWS;
    rng_seed_system(&r->rng);
    backoff_init(&r->backoff, RETRY_MS, RETRY_MAX_MS, 25);
    r->batch = mem_new_array(struct event *, BATCH_ROWS);
    buf_init(&r->packed, SCRATCH_BYTES);
    loop_timer_init(&r->retry, app->loop, again, r);
    loop_timer_init(&r->upkeep, app->loop, on_upkeep, r);
    loop_timer_start(&r->upkeep, 1, 0);
    loop_timer_init(&r->backfill, app->loop, on_backfill_timer, r);
    loop_timer_start(&r->backfill, BACKFILL_MS, 0);
    if (app_raw_mode(app->config, &ok) != COLLECTOR_RAW_OFF) {
        open_spool(r);
    }
}

static void on_spool_closed(void *ctx)
{
    struct app_raw *r = ctx;
    struct app *app = r->app;
    void (*const closed)(void *app2) = r->closed;
    drop_batch(r);
    packer_free(r->packer);
    buf_deinit(&r->packed);
    mem_free(r->batch);
    mem_free(TAKE_PTR(app->raw));
    closed(app);
}

void app_raw_close(struct app *app, void (*closed)(void *app))
{
    struct app_raw *r = app->raw;
    r->closing = true;
    r->closed = closed;
    loop_timer_stop(&r->retry);
    loop_timer_stop(&r->upkeep);
    loop_timer_stop(&r->backfill);
    db_forget(app->db, r);
    if (r->spool != NULL) {
        spool_close(TAKE_PTR(r->spool), on_spool_closed, r);
    } else {
        loop_defer(app->loop, on_spool_closed, r);
    }
}

size_t app_raw_bytes(const struct app *app)
{
    return app->raw != NULL && app->raw->spool != NULL ? spool_bytes(app->raw->spool) : 0;
}
