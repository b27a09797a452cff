/* Sessions of a room, and one session: its segments, what the roll-ups count of it, and what of it is known to be missing. */
#include "api/gate.h"
#include "api/handlers/handlers.h"
#include "api/ledger.h"
#include "api/links.h"
#include "api/query/page.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum {
    SESSIONS_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(LIMIT) |
                      PARAM_BIT(ORDER) | PARAM_BIT(CURSOR),
    CURSOR_SALT = 1, /* bit of no kind: cursors of events are of no use here */
    MINUTE_MS = 60000,
};

/* ---- JSON ---- */

static void put_text(struct json_out *w, const char *key, const struct db_rows *rows, size_t row,
                     unsigned col)
{
    jw_key(w, str_of(key));
    if (db_null(rows, row, col)) {
        jw_null(w);
    } else {
        jw_str(w, db_text(rows, row, col));
    }
}

static void put_number(struct json_out *w, const char *key, const struct db_rows *rows, size_t row,
                       unsigned col)
{
    jw_key(w, str_of(key));
    if (db_null(rows, row, col)) {
        jw_null(w);
    } else {
        jw_i64(w, db_i64(rows, row, col));
    }
}

static void put_id(struct json_out *w, const char *key, int64_t id)
{
    jw_key(w, str_of(key));
    jw_i64_str(w, id);
}

/* Members of the object that is open. */
static void put_session(struct api *a, struct json_out *w, const struct db_rows *rows, size_t row)
{
    const int64_t start_ms = id_ts_ms(db_i64(rows, row, SESSION_COL_START_ID));
    const bool ended = !db_null(rows, row, SESSION_COL_END_ID);
    const int64_t end_ms = ended ? id_ts_ms(db_i64(rows, row, SESSION_COL_END_ID)) : api_now_ms(a);
    put_id(w, "id", db_i64(rows, row, SESSION_COL_ID));
    jw_ki64(w, "room_id", db_i64(rows, row, SESSION_COL_ROOM_ID));
    jw_kbool(w, "live", !ended);
    put_id(w, "start_id", db_i64(rows, row, SESSION_COL_START_ID));
    jw_ki64(w, "start_ms", start_ms);
    jw_key(w, STR("end_id"));
    if (ended) {
        jw_i64_str(w, db_i64(rows, row, SESSION_COL_END_ID));
        jw_ki64(w, "end_ms", end_ms);
        jw_ki64(w, "duration_ms", end_ms - start_ms);
    } else { /* it would make every answer another one */
        jw_null(w);
        jw_key(w, STR("end_ms"));
        jw_null(w);
        jw_key(w, STR("duration_ms"));
        jw_null(w);
    }
    put_text(w, "end_cause", rows, row, SESSION_COL_END_CAUSE);
    put_number(w, "upstream_start_ms", rows, row, SESSION_COL_UPSTREAM_START_MS);
    put_text(w, "title", rows, row, SESSION_COL_TITLE);
    put_number(w, "area_id", rows, row, SESSION_COL_AREA_ID);
    put_text(w, "area", rows, row, SESSION_COL_AREA);
    put_number(w, "parent_area_id", rows, row, SESSION_COL_PARENT_AREA_ID);
    put_text(w, "parent_area", rows, row, SESSION_COL_PARENT_AREA);
}

/* ---- the list ---- */

struct sessions_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named;
    struct page_plan plan;
    struct ledger ledger; /* of the time that the page covers */
    struct buf body;      /* owned, while it is being written */
    struct json_out w;
};

static void sessions_free(struct job *job)
{
    struct sessions_job *j = (struct sessions_job *)job;
    ledger_deinit(&j->ledger);
    buf_deinit(&j->body);
    mem_free(j);
}

static void put_cursor(struct json_out *w, const char *key, bool has, const char *cursor)
{
    jw_key(w, str_of(key));
    if (has) {
        jw_str(w, (struct str){cursor, CURSOR_TEXT_LEN});
    } else {
        jw_null(w);
    }
}

/* What all answers of this file end with; the body moves into the reply. */
static void put_end(struct job *job, const struct ledger *ledger, struct json_out *w,
                    struct buf *body)
{
    ledger_put_completeness(ledger, w, false);
    jw_object_end(w);
    buf_put_c(body, '\n');
    struct buf out = *body;
    *body = (struct buf){0};
    reply_tagged(job->api, job->req, REPLY_OPEN, &out);
}

static void sessions_answer(struct sessions_job *j)
{
    put_end(&j->job, &j->ledger, &j->w, &j->body);
}

static void sessions_gaps(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                          const struct db_rows *rows)
{
    struct sessions_job *j = ctx;
    ledger_take(&j->ledger, code == ERR_OK ? rows : NULL);
    sessions_answer(j);
}

/* The page answers for the times it looked at. Where nobody said where the list begins, for those from its oldest session on. */
static void sessions_ledger(struct sessions_job *j, const struct page_result *r)
{
    const struct page_plan *plan = &j->plan;
    const bool begins = params_has(&j->params, PARAM_FROM) || params_has(&j->params, PARAM_SINCE);
    const int64_t first = j->params.from_ms > 0 ? id_first_of_ms(j->params.from_ms) : 0;
    int64_t low = plan->descending && r->more ? r->last_id : plan->low;
    const int64_t high = !plan->descending && r->more ? r->last_id + 1 : plan->high;
    if (!begins && low == plan->low) {
        low = r->n == 0 ? high : plan->descending ? r->last_id : r->first_id;
    } else if (low < first) {
        low = first;
    }
    ledger_init(&j->ledger, j->job.api, j->named.rooms, 1, id_ts_ms(low),
                high > low ? id_ts_ms(high - 1) + 1 : id_ts_ms(low), true);
    ledger_made_of(&j->ledger, API_KEPT_COVERAGE);
    if (!ledger_read(&j->ledger, &j->job, sessions_gaps)) {
        sessions_answer(j);
    }
}

static void sessions_read(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct sessions_job *j = ctx;
    struct api *a = j->job.api;
    if (code != ERR_OK) {
        reply_db_failure(a, j->job.req, err);
        return;
    }
    const size_t found = db_rows_n(rows);
    const size_t n = found < j->plan.limit ? found : j->plan.limit;
    struct page_result result = {.n = n, .more = found > n};
    if (n > 0) {
        result.first_id = db_i64(rows, 0, SESSION_COL_START_ID);
        result.last_id = db_i64(rows, n - 1, SESSION_COL_START_ID);
        result.at = result.last_id;
    }
    struct page_links links;
    page_links(&j->plan, &result, &links);
    links_add(j->job.req, &links);

    struct json_out *w = &j->w;
    buf_init(&j->body, REPLY_BODY_LIMIT);
    jw_init(w, &j->body);
    jw_object(w);
    jw_key(w, STR("data"));
    jw_array(w);
    for (size_t i = 0; i < n; i++) {
        jw_object(w);
        put_session(a, w, rows, j->plan.back ? n - 1 - i : i);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_key(w, STR("page"));
    jw_object(w);
    put_cursor(w, "next", links.has_next, links.next);
    put_cursor(w, "prev", links.has_prev, links.prev);
    jw_kbool(w, "has_more", result.more);
    jw_object_end(w);
    sessions_ledger(j, &result);
}

static void sessions_begin(struct job *job)
{
    struct sessions_job *j = (struct sessions_job *)job;
    struct page_plan *plan = &j->plan;
    const struct filter filter = {.rooms = j->named.rooms, .n_rooms = 1, .kinds = CURSOR_SALT};
    if (!page_plan(&j->params, &filter, api_now_ms(job->api), plan)) {
        reply_param_errors(job->api, job->req, &j->params);
        return;
    }
    /* A session that goes on when the range begins is part of it. Behind a cursor only the begin counts. */
    const int64_t from = j->params.from_ms > 0 ? id_first_of_ms(j->params.from_ms) : 0;
    const int64_t low = plan->resumed && !plan->descending ? plan->low : 0;
    const struct db_arg args[] = {DB_ARG_I64(j->named.rooms[0]), DB_ARG_I64(low),
                                  DB_ARG_I64(plan->high), DB_ARG_I64(from),
                                  DB_ARG_I64((int64_t)plan->limit + 1)};
    job_query(job, plan->descending ? SQL_SESSIONS_DESC : SQL_SESSIONS_ASC, args, ARRAY_LEN(args),
              sessions_read);
}

void handle_room_sessions(void *ctx, struct http_req *req)
{
    struct sessions_job *j = mem_new(struct sessions_job);
    if (!reply_params(ctx, req, SESSIONS_PARAMS, &j->params)) {
        mem_free(j);
        return;
    }
    job_start(&j->job, ctx, req, sessions_free);
    j->named.done = sessions_begin;
    if (rooms_named_path(&j->job, &j->named)) {
        rooms_named_find(&j->job, &j->named);
    }
}

/* ---- one session ---- */

struct session_job {
    struct job job; /* first */
    int64_t id;
    struct buf body; /* owned, while it is being written */
    struct json_out w;
    int64_t room_id;
    int64_t from_minute;
    int64_t to_minute;
    int64_t start_ms;
    int64_t end_ms; /* exclusive; INT64_MAX: it goes on */
    struct ledger ledger;
};

static void session_free(struct job *job)
{
    struct session_job *j = (struct session_job *)job;
    ledger_deinit(&j->ledger);
    buf_deinit(&j->body);
    mem_free(j);
}

static bool failed(struct session_job *j, enum err_code code, const struct err *err)
{
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
    }
    return code != ERR_OK;
}

static void session_answer(struct session_job *j)
{
    put_end(&j->job, &j->ledger, &j->w, &j->body);
}

static void session_gaps(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                         const struct db_rows *rows)
{
    struct session_job *j = ctx;
    ledger_take(&j->ledger, code == ERR_OK ? rows : NULL);
    session_answer(j);
}

static void counts_read(void *ctx, enum err_code code, const struct err *err,
                        const struct db_rows *rows)
{
    static const struct {
        const char *name;
        unsigned col;
        bool money;
    } counts[] = {
        {"danmaku", MINUTE_COL_DANMAKU, false},
        {"mirror", MINUTE_COL_MIRROR, false},
        {"gift", MINUTE_COL_GIFT, false},
        {"guard", MINUTE_COL_GUARD, false},
        {"superchat", MINUTE_COL_SUPERCHAT, false},
        {"redpacket", MINUTE_COL_REDPACKET, false},
        {"other", MINUTE_COL_OTHER, false},
        {"gift_value_mcny", MINUTE_COL_V_GIFT, true},
        {"guard_value_mcny", MINUTE_COL_V_GUARD, true},
        {"superchat_value_mcny", MINUTE_COL_V_SUPERCHAT, true},
        {"redpacket_value_mcny", MINUTE_COL_V_REDPACKET, true},
    };
    struct session_job *j = ctx;
    if (failed(j, code, err)) {
        return;
    }
    const bool revenue = (gate_scopes(j->job.api, j->job.req) & SCOPE_REVENUE) != 0;
    const int64_t final = db_i64(rows, 0, MINUTE_COL_MINUTE);
    const int64_t to = final < j->to_minute ? final : j->to_minute;
    struct json_out *w = &j->w;
    jw_key(w, STR("counts"));
    jw_object(w);
    jw_ki64(w, "from_ms", j->from_minute * MINUTE_MS);
    jw_ki64(w, "to_ms", (to > j->from_minute ? to : j->from_minute) * MINUTE_MS);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (!counts[i].money || revenue) {
            jw_ki64(w, counts[i].name, db_i64(rows, 0, counts[i].col));
        }
    }
    jw_object_end(w);
    jw_object_end(w); /* data */
    ledger_init(&j->ledger, j->job.api, &j->room_id, 1, j->start_ms, j->end_ms, true);
    ledger_made_of(&j->ledger, API_KEPT_MINUTES);
    if (!ledger_read(&j->ledger, &j->job, session_gaps)) {
        session_answer(j);
    }
}

static void segments_read(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct session_job *j = ctx;
    struct json_out *w = &j->w;
    if (failed(j, code, err)) {
        return;
    }
    jw_key(w, STR("segments"));
    jw_array(w);
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        jw_object(w);
        put_id(w, "from_id", db_i64(rows, i, SEGMENT_COL_FROM_ID));
        jw_ki64(w, "from_ms", id_ts_ms(db_i64(rows, i, SEGMENT_COL_FROM_ID)));
        put_text(w, "live_key", rows, i, SEGMENT_COL_LIVE_KEY);
        put_text(w, "title", rows, i, SEGMENT_COL_TITLE);
        put_number(w, "area_id", rows, i, SEGMENT_COL_AREA_ID);
        put_text(w, "area", rows, i, SEGMENT_COL_AREA);
        put_number(w, "parent_area_id", rows, i, SEGMENT_COL_PARENT_AREA_ID);
        put_text(w, "parent_area", rows, i, SEGMENT_COL_PARENT_AREA);
        jw_object_end(w);
    }
    jw_array_end(w);
    const struct db_arg args[] = {DB_ARG_I64(j->room_id), DB_ARG_I64(j->from_minute),
                                  DB_ARG_I64(j->to_minute)};
    job_query(&j->job, SQL_MINUTES_SUM, args, ARRAY_LEN(args), counts_read);
}

static void session_read(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct session_job *j = ctx;
    struct json_out *w = &j->w;
    if (failed(j, code, err)) {
        return;
    }
    if (db_rows_n(rows) == 0) {
        reply_problem(j->job.api, j->job.req, PROBLEM_SESSION_NOT_FOUND, NULL);
        return;
    }
    const bool ended = !db_null(rows, 0, SESSION_COL_END_ID);
    const int64_t end_ms =
        ended ? id_ts_ms(db_i64(rows, 0, SESSION_COL_END_ID)) : api_now_ms(j->job.api);
    j->room_id = db_i64(rows, 0, SESSION_COL_ROOM_ID);
    j->start_ms = id_ts_ms(db_i64(rows, 0, SESSION_COL_START_ID));
    j->end_ms = ended ? end_ms + 1 : INT64_MAX;
    j->from_minute = j->start_ms / MINUTE_MS;
    j->to_minute = end_ms / MINUTE_MS + 1;
    jw_init(w, &j->body);
    jw_object(w);
    jw_key(w, STR("data"));
    jw_object(w);
    put_session(j->job.api, w, rows, 0);
    const struct db_arg args[] = {DB_ARG_I64(j->id)};
    job_query(&j->job, SQL_SEGMENTS, args, ARRAY_LEN(args), segments_read);
}

void handle_session(void *ctx, struct http_req *req)
{
    struct params p;
    int64_t id;
    if (!reply_params(ctx, req, 0, &p)) {
        return;
    }
    if (!str_to_i64(http_req_param(req, "id"), &id) || id <= 0) {
        params_error(&p, STR("id"), "invalid_parameter", "is no session id");
        reply_param_errors(ctx, req, &p);
        return;
    }
    struct session_job *j = mem_new(struct session_job);
    j->id = id;
    buf_init(&j->body, REPLY_BODY_LIMIT);
    job_start(&j->job, ctx, req, session_free);
    const struct db_arg args[] = {DB_ARG_I64(id)};
    job_query(&j->job, SQL_SESSION, args, ARRAY_LEN(args), session_read);
}
