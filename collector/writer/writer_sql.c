/* The statements of the writer's steps. */
#include <stdarg.h>
#include <stdio.h>

#include "collector/writer/batch.h"
#include "collector/writer/writer_priv.h"
#include "server/core/assert.h"

static enum err_code exec(struct writer *w, const struct db_stmt *stmt, const struct db_arg *args,
                          size_t n, struct err *err)
{
    return db_session_exec(w->session, stmt, args, n, w->on_step, w, err);
}

/* Numbers only: they are written into the text. */
ATTR_PRINTF(3, 4)
static enum err_code script(struct writer *w, struct err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(w->script, sizeof(w->script), fmt, args);
    va_end(args);
    ASSERT(n > 0 && n < WRITER_SCRIPT_BYTES);
    return db_session_script(w->session, w->script, w->on_step, w, err);
}

static enum err_code start_count(struct writer *w, struct err *err)
{
    static const struct db_stmt count = {
        "writer_count",
        "INSERT INTO room_minute_kind AS k (room_id, minute, kind, n) "
        "SELECT room_id, minute, kind, n FROM unnest($1::int8[], $2::int8[], $3::int8[], "
        "$4::int8[]) AS c(room_id, minute, kind, n) "
        "ON CONFLICT (room_id, minute, kind) DO UPDATE SET n = k.n + excluded.n"};
    const struct kind_count *c = &w->counts;
    const struct db_arg args[] = {
        DB_ARG_I64S(c->columns, c->n), DB_ARG_I64S(c->columns + c->max, c->n),
        DB_ARG_I64S(c->columns + 2 * c->max, c->n), DB_ARG_I64S(c->columns + 3 * c->max, c->n)};
    return exec(w, &count, args, ARRAY_LEN(args), err);
}

static enum err_code start_amend(struct writer *w, struct err *err)
{
    static const struct db_stmt amend = {"writer_amend", AMEND_ROWS_SQL};
    struct db_arg args[AMEND_ROWS_ARGS];
    amend_rows_args(&w->amends, args);
    return exec(w, &amend, args, ARRAY_LEN(args), err);
}

enum err_code writer_start_step(struct writer *w, struct err *err)
{
    static const struct db_stmt node = {
        "writer_node",
        /* Over tcp, a connection that broke without a word must not keep the number for hours. */
        "SELECT pg_try_advisory_lock($1::int8::int4, $2::int8::int4), "
        "set_config('tcp_keepalives_idle', '20', false), "
        "set_config('tcp_keepalives_interval', '10', false), "
        "set_config('tcp_keepalives_count', '3', false), "
        "set_config('tcp_user_timeout', '60000', false)"};
    static const struct db_stmt unlock = {
        "writer_unlock", "SELECT pg_advisory_unlock($1::int8::int4, $2::int8::int4)"};
    static const struct db_stmt mark = {
        "writer_mark",
        "WITH made AS (INSERT INTO writer_mark (node, last_id, alive_ms) VALUES ($1::int8, 0, $2) "
        "ON CONFLICT DO NOTHING) SELECT last_id FROM writer_mark WHERE node = $1::int8 FOR UPDATE"};
    /* Also when it changes nothing it locks the mark: a roll-up that runs is waited for, the next one waits for us. */
    static const struct db_stmt rewind = {
        "writer_rewind", "UPDATE rollup_mark SET minute = least(minute, $1::int8::int4)"};
    static const struct db_stmt park = {"writer_park",
                                        "INSERT INTO parked_event (id, node, at_ms, reason, line) "
                                        "VALUES ($1, $2::int8, $3, $4, $5) ON CONFLICT DO NOTHING"};
    static const struct db_stmt rollback = {"writer_rollback", "ROLLBACK"};

    const struct db_arg me = DB_ARG_I64(w->opts.node);
    const struct db_arg now = DB_ARG_I64(loop_wall_ms(w->loop));
    switch (w->step) {
    case STEP_NODE:
        return exec(w, &node, (const struct db_arg[]){DB_ARG_I64(WRITER_LOCK_CLASS), me}, 2, err);
    case STEP_MARK:
        return exec(w, &mark, (const struct db_arg[]){me, now}, 2, err);
    case STEP_LOCK:
        return script(w, err, "BEGIN; SELECT last_id FROM writer_mark WHERE node = %u FOR UPDATE",
                      w->opts.node);
    case STEP_REWIND: {
        const struct db_arg minute = DB_ARG_I64(writer_first_minute(w));
        return exec(w, &rewind, &minute, 1, err);
    }
    case STEP_COPY:
        return db_session_copy(w->session, BATCH_COPY_SQL, buf_str(&w->copy), w->on_step, w, err);
    case STEP_COUNT:
        return start_count(w, err);
    case STEP_AMEND:
        return start_amend(w, err);
    case STEP_PARK:
        return exec(w, &park,
                    (const struct db_arg[]){DB_ARG_I64(w->batch[0]->id), me, now,
                                            DB_ARG_TEXT(((struct str){w->reason, w->reason_len})),
                                            DB_ARG_BYTES(buf_str(&w->copy))},
                    5, err);
    case STEP_COMMIT:
        return script(w, err,
                      "UPDATE writer_mark SET last_id = %lld, alive_ms = %lld WHERE node = %u; "
                      "COMMIT",
                      (long long)w->batch[w->batch_n - 1]->id, (long long)now.i64, w->opts.node);
    case STEP_ROLLBACK:
        return exec(w, &rollback, NULL, 0, err);
    case STEP_UNLOCK:
        return exec(w, &unlock, (const struct db_arg[]){DB_ARG_I64(WRITER_LOCK_CLASS), me}, 2, err);
    case STEP_NONE:
    case STEP_FETCH:
        break;
    }
    UNREACHABLE();
}
