/* When a room was covered by the collection, and why it was not. */
#include "api/handlers/handlers.h"
#include "api/ledger.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum {
    RANGE_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE),
    INTERVALS_MAX = 1000,
    DEFAULT_MS = 24 * 3600 * 1000,
    SETTLED_MS = 60000, /* what is older changes only when the past does */
};

struct coverage_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named;
    struct ledger ledger;
    struct json_out w;
    size_t n;
    bool truncated;
    int64_t ms[SPAN_STATES];
};

static void coverage_free_job(struct job *job)
{
    struct coverage_job *j = (struct coverage_job *)job;
    ledger_deinit(&j->ledger);
    mem_free(j);
}

static bool put_interval(void *ctx, const struct span_interval *i)
{
    struct coverage_job *j = ctx;
    j->ms[i->state] += i->to_ms - i->from_ms;
    if (j->n == INTERVALS_MAX) {
        j->truncated = true; /* the shares are of the whole range */
        return true;
    }
    j->n++;
    jw_object(&j->w);
    jw_kstr(&j->w, "state", str_of(span_state_name(i->state)));
    jw_kstr(&j->w, "cause", i->cause);
    ledger_put_time(&j->w, "from", "from_ms", i->from_ms);
    ledger_put_time(&j->w, "to", "to_ms", i->to_ms);
    jw_key(&j->w, STR("detail"));
    if (i->span != NULL) {
        span_put_detail(&j->w, i->span);
    } else {
        jw_null(&j->w);
    }
    jw_object_end(&j->w);
    return true;
}

static void put_shares(struct coverage_job *j, int64_t length_ms)
{
    jw_key(&j->w, STR("ms"));
    jw_object(&j->w);
    for (unsigned s = 0; s < SPAN_STATES; s++) {
        jw_ki64(&j->w, span_state_name((enum span_state)s), j->ms[s]);
    }
    jw_object_end(&j->w);
    jw_key(&j->w, STR("share"));
    jw_object(&j->w);
    for (unsigned s = 0; s < SPAN_STATES; s++) {
        jw_key(&j->w, str_of(span_state_name((enum span_state)s)));
        jw_double(&j->w, length_ms > 0 ? (double)j->ms[s] / (double)length_ms : 0);
    }
    jw_object_end(&j->w);
}

/* rows: NULL when memory knows it all. */
static void coverage_answer(struct coverage_job *j, const struct db_rows *rows)
{
    struct api *a = j->job.api;
    struct ledger *l = &j->ledger;
    struct buf body;
    ledger_take(l, rows);
    if (l->spans.overflow) {
        reply_problem(a, j->job.req, PROBLEM_RANGE_TOO_LARGE,
                      "too many changes in this range: ask for a shorter one");
        return;
    }
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&j->w, &body);
    jw_object(&j->w);
    jw_key(&j->w, STR("data"));
    jw_object(&j->w);
    jw_ki64(&j->w, "room_id", j->named.rooms[0]);
    ledger_put_time(&j->w, "from", "from_ms", l->spans.from_ms);
    ledger_put_time(&j->w, "to", "to_ms", l->spans.to_ms);
    jw_key(&j->w, STR("intervals"));
    jw_array(&j->w);
    spans_walk(&l->spans, j->named.rooms[0], l->begins[0], put_interval, j);
    jw_array_end(&j->w);
    jw_kbool(&j->w, "truncated", j->truncated);
    put_shares(j, l->spans.to_ms - l->spans.from_ms);
    jw_object_end(&j->w);
    jw_object_end(&j->w);
    buf_put_c(&body, '\n');
    bool settled = j->params.to_ms < l->now_ms - SETTLED_MS;
    reply_tagged(a, j->job.req, settled ? REPLY_CLOSED : REPLY_OPEN, &body);
}

static void coverage_read(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct coverage_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    coverage_answer(j, rows);
}

static void coverage_begin(struct job *job)
{
    struct coverage_job *j = (struct coverage_job *)job;
    int64_t now_ms = api_now_ms(job->api);
    int64_t to_ms = j->params.to_ms < now_ms ? j->params.to_ms : now_ms;
    bool begins = params_has(&j->params, PARAM_FROM) || params_has(&j->params, PARAM_SINCE);
    ledger_init(&j->ledger, job->api, j->named.rooms, 1,
                begins ? j->params.from_ms : to_ms - DEFAULT_MS, to_ms, false);
    ledger_made_of(&j->ledger, API_KEPT_COVERAGE);
    if (!ledger_needs_rows(&j->ledger)) {
        coverage_answer(j, NULL);
        return;
    }
    struct db_arg args[LEDGER_ARGS];
    size_t n = ledger_args(&j->ledger, args);
    job_query(job, ledger_sql(&j->ledger), args, n, coverage_read);
}

void handle_room_coverage(void *ctx, struct http_req *req)
{
    struct coverage_job *j = mem_new(struct coverage_job);
    if (!reply_params(ctx, req, RANGE_PARAMS, &j->params)) {
        mem_free(j);
        return;
    }
    j->named.done = coverage_begin;
    job_start(&j->job, ctx, req, coverage_free_job);
    if (rooms_named_path(&j->job, &j->named)) {
        rooms_named_find(&j->job, &j->named);
    }
}
