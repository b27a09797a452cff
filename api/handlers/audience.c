/* Figures of a room over time: one row per step, with what was known at its end. */
#include "api/handlers/handlers.h"
#include "api/ledger.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum {
    AUDIENCE_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(STEP),
    STEP_DEFAULT_MS = 60000,
    STEP_MIN_MS = 10000,
    STEPS_MAX = 45000, /* a month of minutes */
    DEFAULT_MS = 60 * 60 * 1000,
    /* A room whose figures stay as they are has a row each 10 minutes: behind that, nothing is known. */
    HOLDS_MS = 11 * 60 * 1000,
};

static const char *const figures[] = {
    "online", "rank_users", "watched", "likes", "popularity", "followers", "fans_club",
};

struct audience_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named;
    int64_t step_ms;
    int64_t from; /* steps since 1970 */
    int64_t to;
    struct ledger ledger;
    struct buf body; /* owned, while it is being written */
    struct json_out w;
};

static void audience_free(struct job *job)
{
    struct audience_job *j = (struct audience_job *)job;
    ledger_deinit(&j->ledger);
    buf_deinit(&j->body);
    mem_free(j);
}

static void put_step(struct json_out *w, int64_t at_ms, const struct db_rows *rows, size_t row,
                     bool known)
{
    jw_array(w);
    jw_i64(w, at_ms);
    for (unsigned i = 0; i < ARRAY_LEN(figures); i++) {
        if (known && !db_null(rows, row, AUDIENCE_COL_ONLINE + i)) {
            jw_i64(w, db_i64(rows, row, AUDIENCE_COL_ONLINE + i));
        } else {
            jw_null(w);
        }
    }
    jw_array_end(w);
}

/* A row holds until the next one, for as long as it can. */
static void put_steps(const struct audience_job *j, struct json_out *w, const struct db_rows *rows)
{
    const size_t n = db_rows_n(rows);
    size_t next = 0;
    jw_array(w);
    for (int64_t step = j->from; step < j->to; step++) {
        const int64_t begin_ms = step * j->step_ms;
        while (next < n && db_i64(rows, next, AUDIENCE_COL_AT_MS) < begin_ms + j->step_ms) {
            next++;
        }
        const bool known =
            next > 0 && db_i64(rows, next - 1, AUDIENCE_COL_AT_MS) > begin_ms - HOLDS_MS;
        put_step(w, begin_ms, rows, known ? next - 1 : 0, known);
    }
    jw_array_end(w);
}

static void audience_answer(struct audience_job *j)
{
    struct api *a = j->job.api;
    ledger_put_completeness(&j->ledger, &j->w, false);
    jw_object_end(&j->w);
    buf_put_c(&j->body, '\n');
    struct buf body = j->body;
    j->body = (struct buf){0};
    const bool closed = !j->ledger.unknown && j->to * j->step_ms + STEP_DEFAULT_MS < api_now_ms(a);
    reply_tagged(a, j->job.req, closed ? REPLY_CLOSED : REPLY_OPEN, &body);
}

static void audience_gaps(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                          const struct db_rows *rows)
{
    struct audience_job *j = ctx;
    ledger_take(&j->ledger, code == ERR_OK ? rows : NULL);
    audience_answer(j);
}

static void audience_read(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct audience_job *j = ctx;
    struct api *a = j->job.api;
    if (code != ERR_OK) {
        reply_db_failure(a, j->job.req, err);
        return;
    }
    struct json_out *w = &j->w;
    buf_init(&j->body, REPLY_BODY_LIMIT);
    jw_init(w, &j->body);
    jw_object(w);
    jw_key(w, STR("data"));
    jw_object(w);
    jw_ki64(w, "room_id", j->named.rooms[0]);
    jw_ki64(w, "from_ms", j->from * j->step_ms);
    jw_ki64(w, "to_ms", j->to * j->step_ms);
    jw_ki64(w, "step_ms", j->step_ms);
    jw_key(w, STR("columns"));
    jw_array(w);
    jw_str(w, STR("ts_ms"));
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        jw_str(w, str_of(figures[i]));
    }
    jw_array_end(w);
    jw_key(w, STR("rows"));
    put_steps(j, w, rows);
    jw_object_end(w);
    ledger_init(&j->ledger, a, j->named.rooms, 1, j->from * j->step_ms, j->to * j->step_ms, true);
    ledger_made_of(&j->ledger, API_KEPT_AUDIENCE);
    if (!ledger_read(&j->ledger, &j->job, audience_gaps)) {
        audience_answer(j);
    }
}

static void audience_begin(struct job *job)
{
    struct audience_job *j = (struct audience_job *)job;
    const struct db_arg args[] = {
        DB_ARG_I64(j->named.rooms[0]),
        DB_ARG_I64(j->from * j->step_ms - HOLDS_MS),
        DB_ARG_I64(j->to * j->step_ms),
        DB_ARG_I64(j->step_ms),
    };
    job_query(job, SQL_AUDIENCE, args, ARRAY_LEN(args), audience_read);
}

/* The range in whole steps; false: the errors are in params. */
static bool range(struct audience_job *j, int64_t now_ms)
{
    struct params *p = &j->params;
    const struct str name = str_of(param_name(PARAM_STEP));
    j->step_ms = params_has(p, PARAM_STEP) ? p->num[PARAM_STEP] : STEP_DEFAULT_MS;
    if (j->step_ms < STEP_MIN_MS) {
        params_error(p, name, "invalid_parameter", "is less than 10 s");
        return false;
    }
    /* Of what is to come nothing is known: the step that runs is the last. */
    const int64_t end = now_ms / j->step_ms + 1;
    j->to = p->to_ms == INT64_MAX ? end : (p->to_ms + j->step_ms - 1) / j->step_ms;
    j->to = j->to > end ? end : j->to;
    const bool begins = params_has(p, PARAM_FROM) || params_has(p, PARAM_SINCE);
    const int64_t from_ms = begins ? p->from_ms : j->to * j->step_ms - DEFAULT_MS;
    j->from = from_ms > 0 ? from_ms / j->step_ms : 0;
    j->from = j->from > j->to ? j->to : j->from;
    if (j->to - j->from > STEPS_MAX) {
        params_error(p, name, "range_too_large", "makes more than %d rows", STEPS_MAX);
        return false;
    }
    return true;
}

void handle_room_audience(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct audience_job *j = mem_new(struct audience_job);
    if (!reply_params(a, req, AUDIENCE_PARAMS, &j->params)) {
        mem_free(j);
        return;
    }
    job_start(&j->job, a, req, audience_free);
    j->named.done = audience_begin;
    if (!range(j, api_now_ms(a))) {
        reply_param_errors(a, req, &j->params);
    } else if (rooms_named_path(&j->job, &j->named)) {
        rooms_named_find(&j->job, &j->named);
    }
}
