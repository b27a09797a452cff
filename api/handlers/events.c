/* Lists of events, and one event. */
#include <stdio.h>

#include "api/amends.h"
#include "api/frames.h"
#include "api/handlers/handlers.h"
#include "api/ledger.h"
#include "api/links.h"
#include "api/query/event_row.h"
#include "api/query/page.h"
#include "api/reader.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/feed/feed.h"
#include "server/stats/stats.h"

enum {
    LIST_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(KINDS) |
                  PARAM_BIT(MIN_VALUE) | PARAM_BIT(LIMIT) | PARAM_BIT(ORDER) | PARAM_BIT(CURSOR) |
                  PARAM_BIT(OFFLINE) | PARAM_BIT(SESSION),
    SESSIONS_MAX = 20000, /* sessions in the time that memory covers */
};

struct list_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named;
    struct page_plan plan;
    struct reader reader;
    struct ledger ledger; /* of what the page covers */
    int64_t high;         /* first id that the page could have */
    struct filter filter;
    struct filter_span *spans; /* owned: the filter's */
    int64_t session_low;       /* of the session asked for; 0 none */
    int64_t session_high;      /* first id behind it; ID_MAX while it goes on */
    bool reading;
};

static void list_free(struct job *job)
{
    struct list_job *j = (struct list_job *)job;
    if (j->reading) {
        reader_deinit(&j->reader);
    }
    ledger_deinit(&j->ledger);
    mem_free(j->spans);
    mem_free(j);
}

static void write_item(struct list_job *j, struct json_out *w, const struct reader_item *item,
                       const struct db_rows *rows)
{
    struct api *a = j->job.api;
    struct frame *frame = NULL;
    if (item->seq != FEED_NO_SEQ && !amends_any(a->amends, item->event, rows)) {
        frame = frames_get(a->frames, item->seq, item->event);
    }
    if (frame != NULL) {
        jw_raw(w, frame_json(frame));
        frame_unref(&frame);
    } else {
        amends_put_event(a->amends, w, item->event, rows);
    }
}

static void write_cursor(struct json_out *w, const char *key, bool has, const char *cursor)
{
    jw_key(w, str_of(key));
    if (has) {
        jw_str(w, (struct str){cursor, CURSOR_TEXT_LEN});
    } else {
        jw_null(w);
    }
}

static void write_page(struct list_job *j, const struct page_links *links,
                       const struct db_rows *rows, struct buf *out)
{
    const struct reader *r = &j->reader;
    struct json_out w;
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_array(&w);
    for (size_t i = 0; i < r->n; i++) {
        write_item(j, &w, &r->items[j->plan.back ? r->n - 1 - i : i], rows);
    }
    jw_array_end(&w);
    jw_key(&w, STR("page"));
    jw_object(&w);
    write_cursor(&w, "next", links->has_next, links->next);
    write_cursor(&w, "prev", links->has_prev, links->prev);
    jw_kbool(&w, "has_more", r->more);
    jw_object_end(&w);
    ledger_put_completeness(&j->ledger, &w, r->pending);
    jw_object_end(&w);
    buf_put_c(out, '\n');
}

/* rows: of SQL_AMENDS, NULL when the ring says it all. */
static void list_answer(struct list_job *j, const struct db_rows *rows)
{
    const struct reader *r = &j->reader;
    struct page_result result = {.n = r->n, .more = r->more, .at = r->at};
    if (r->n > 0) {
        result.first_id = r->items[0].event->id;
        result.last_id = r->items[r->n - 1].event->id;
    }
    struct page_links links;
    page_links(&j->plan, &result, &links);
    links_add(j->job.req, &links);
    struct buf body;
    buf_init(&body, REPLY_BODY_LIMIT);
    amends_sync(j->job.api->amends);
    write_page(j, &links, rows, &body);
    /* Where sessions end may still change; what is pending is to be asked for again. */
    bool closed = !r->pending && !j->ledger.unknown && !j->plan.open_end &&
                  j->plan.high - 1 <= api_committed(j->job.api) && j->filter.live == FILTER_ANY &&
                  j->filter.session_id == 0;
    stats_inc(j->job.api->opts.stats, STAT_API_PAGES);
    reply_json(j->job.api, j->job.req, closed ? REPLY_CLOSED : REPLY_OPEN, &body);
}

static void amends_read(void *ctx, enum err_code code, const struct err *err,
                        const struct db_rows *rows)
{
    struct list_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    list_answer(j, rows);
}

static void list_amends(struct list_job *j)
{
    const struct reader *r = &j->reader;
    int64_t rooms[READER_LIMIT_MAX];
    size_t n_rooms = 0;
    int64_t low = INT64_MAX;
    int64_t high = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct event *e = r->items[i].event;
        if (r->items[i].seq != FEED_NO_SEQ || !amends_can_hit(e)) {
            continue;
        }
        low = e->id < low ? e->id : low;
        high = e->id > high ? e->id : high;
        size_t at = 0;
        while (at < n_rooms && rooms[at] != e->room_id) {
            at++;
        }
        rooms[at] = e->room_id;
        n_rooms += at == n_rooms;
    }
    if (n_rooms == 0) {
        list_answer(j, NULL);
        return;
    }
    const struct db_arg args[] = {DB_ARG_I64S(rooms, n_rooms), DB_ARG_I64(low), DB_ARG_I64(high)};
    job_query(&j->job, SQL_AMENDS, args, ARRAY_LEN(args), amends_read);
}

static void ledger_rows(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                        const struct db_rows *rows)
{
    struct list_job *j = ctx;
    ledger_take(&j->ledger, code == ERR_OK ? rows : NULL);
    list_amends(j);
}

/* The page answers for the ids it looked at. Where nobody said where the list begins, for those from its oldest event on. */
static void list_read(void *ctx)
{
    struct list_job *j = ctx;
    const struct reader *r = &j->reader;
    const struct page_plan *plan = &j->plan;
    if (r->code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, &r->err);
        return;
    }
    bool begins = params_has(&j->params, PARAM_FROM) || params_has(&j->params, PARAM_SINCE);
    int64_t low = plan->descending && r->more ? r->at : plan->low;
    int64_t high = !plan->descending && r->more ? r->at + 1 : j->high;
    if (!begins && low == plan->low) {
        low = r->n == 0 ? high : r->items[plan->descending ? r->n - 1 : 0].event->id;
    }
    ledger_init(&j->ledger, j->job.api, j->named.rooms, j->named.n, id_ts_ms(low),
                high > low ? id_ts_ms(high - 1) + 1 : id_ts_ms(low), true);
    ledger_made_of(&j->ledger, API_KEPT_EVENTS);
    if (!ledger_read(&j->ledger, &j->job, ledger_rows)) {
        list_amends(j);
    }
}

static void list_start(struct list_job *j)
{
    struct api *a = j->job.api;
    j->high = j->plan.high;
    if (j->plan.descending) {
        /* What arrives while this page is being read belongs to the page before it. */
        int64_t head = feed_head_id(a->opts.feed);
        int64_t mark = api_committed(a);
        int64_t top = head > mark ? head : mark;
        if (top >= 0 && top < j->plan.high - 1) {
            j->plan.high = top + 1;
        }
    }
    /* The same list is the same whether ring or database answers it. */
    struct reader_opts opts = {.filter = j->filter,
                               .without = a->opts.counted_kinds,
                               .descending = j->plan.descending,
                               .low = j->plan.low,
                               .high = j->plan.high,
                               .limit = j->plan.limit,
                               .done = list_read,
                               .ctx = j};
    reader_init(&j->reader, a, &opts);
    j->reading = true;
    if (reader_start(&j->reader)) {
        list_read(j);
    }
}

static void spans_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct list_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    const size_t n = db_rows_n(rows);
    if (n > SESSIONS_MAX) {
        reply_problem(j->job.api, j->job.req, PROBLEM_OVERLOADED, "name rooms");
        return;
    }
    j->spans = mem_new_array(struct filter_span, n + 1);
    for (size_t i = 0; i < n; i++) {
        const bool ended = !db_null(rows, i, SESSION_SPAN_COL_END_ID);
        j->spans[i] = (struct filter_span){
            .room_id = db_i64(rows, i, SESSION_SPAN_COL_ROOM_ID),
            .low = db_i64(rows, i, SESSION_SPAN_COL_START_ID),
            .high = ended ? db_i64(rows, i, SESSION_SPAN_COL_END_ID) + 1 : ID_MAX,
        };
    }
    j->filter.spans = j->spans;
    j->filter.n_spans = n;
    list_start(j);
}

/* What the ring has is told apart here, the rest by the database. */
static void list_spans(struct list_job *j)
{
    const int64_t tail = feed_tail_id(j->job.api->opts.feed);
    const struct filter *f = &j->filter;
    const struct db_arg args[] = {
        f->n_rooms > 0 ? DB_ARG_I64S(f->rooms, f->n_rooms) : DB_ARG_NULL,
        DB_ARG_I64(tail > j->plan.low ? tail : j->plan.low),
        DB_ARG_I64(j->plan.high),
        DB_ARG_I64(SESSIONS_MAX + 1),
    };
    job_query(&j->job, SQL_SESSION_SPANS, args, ARRAY_LEN(args), spans_read);
}

static enum filter_live live_of(const struct params *p)
{
    if (!params_has(p, PARAM_OFFLINE)) {
        return FILTER_ANY;
    }
    return p->num[PARAM_OFFLINE] != 0 ? FILTER_OUTSIDE : FILTER_INSIDE;
}

static void list_plan(struct list_job *j)
{
    struct api *a = j->job.api;
    struct page_plan *plan = &j->plan;
    j->filter = (struct filter){.rooms = j->named.rooms,
                                .n_rooms = j->named.n,
                                .kinds = j->params.kinds,
                                .min_value = j->params.num[PARAM_MIN_VALUE],
                                .session_id = j->params.num[PARAM_SESSION],
                                .live = live_of(&j->params)};
    if (!page_plan(&j->params, &j->filter, api_now_ms(a), plan)) {
        reply_param_errors(a, j->job.req, &j->params);
        return;
    }
    if (j->filter.session_id != 0) {
        plan->low = plan->low > j->session_low ? plan->low : j->session_low;
        plan->high = plan->high < j->session_high ? plan->high : j->session_high;
        plan->open_end = plan->open_end && j->session_high == ID_MAX;
    }
    if (j->filter.live != FILTER_ANY) {
        list_spans(j);
    } else {
        list_start(j);
    }
}

static void session_read(void *ctx, enum err_code code, const struct err *err,
                         const struct db_rows *rows)
{
    struct list_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    const bool there = db_rows_n(rows) > 0;
    const int64_t room_id = there ? db_i64(rows, 0, SESSION_COL_ROOM_ID) : 0;
    bool named = j->named.n == 0;
    for (size_t i = 0; i < j->named.n; i++) {
        named = named || j->named.rooms[i] == room_id;
    }
    if (!there || !named) {
        reply_problem(j->job.api, j->job.req, PROBLEM_SESSION_NOT_FOUND, NULL);
        return;
    }
    const bool ended = !db_null(rows, 0, SESSION_COL_END_ID);
    j->named.rooms[0] = room_id;
    j->named.n = 1;
    j->session_low = db_i64(rows, 0, SESSION_COL_START_ID);
    j->session_high = ended ? db_i64(rows, 0, SESSION_COL_END_ID) + 1 : ID_MAX;
    list_plan(j);
}

static void list_begin(struct job *job)
{
    struct list_job *j = (struct list_job *)job;
    if (params_has(&j->params, PARAM_SESSION)) {
        const struct db_arg args[] = {DB_ARG_I64(j->params.num[PARAM_SESSION])};
        job_query(job, SQL_SESSION, args, ARRAY_LEN(args), session_read);
    } else {
        list_plan(j);
    }
}

static struct list_job *list_new(struct api *a, struct http_req *req, uint32_t known)
{
    struct list_job *j = mem_new(struct list_job);
    if (!reply_params(a, req, known, &j->params)) {
        mem_free(j);
        return NULL;
    }
    job_start(&j->job, a, req, list_free);
    j->named.done = list_begin;
    return j;
}

void handle_room_events(void *ctx, struct http_req *req)
{
    struct list_job *j = list_new(ctx, req, LIST_PARAMS);
    if (j != NULL && rooms_named_path(&j->job, &j->named)) {
        rooms_named_find(&j->job, &j->named);
    }
}

void handle_events(void *ctx, struct http_req *req)
{
    struct list_job *j = list_new(ctx, req, LIST_PARAMS | PARAM_BIT(ROOMS));
    if (j != NULL) {
        j->named.param = "rooms";
        j->named.n = j->params.n_rooms;
        memcpy(j->named.rooms, j->params.rooms, j->params.n_rooms * sizeof(j->params.rooms[0]));
        rooms_named_find(&j->job, &j->named);
    }
}

/* ---- one event ---- */

static void reply_event(struct api *a, struct http_req *req, const struct event *e,
                        const struct db_rows *rows)
{
    struct buf body;
    struct json_out w;
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    amends_sync(a->amends);
    amends_put_event(a->amends, &w, e, rows);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_json(a, req, REPLY_CLOSED, &body);
}

/* An event of the database, while what is said about it is read. */
struct event_job {
    struct job job;      /* first */
    struct event *event; /* owned reference */
};

static void event_job_free(struct job *job)
{
    struct event_job *j = (struct event_job *)job;
    event_unref(&j->event);
    mem_free(j);
}

static void event_amends_read(void *ctx, enum err_code code, const struct err *err,
                              const struct db_rows *rows)
{
    struct event_job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    reply_event(j->job.api, j->job.req, j->event, rows);
}

static void event_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct event_job *j = ctx;
    struct api *a = j->job.api;
    if (code != ERR_OK) {
        reply_db_failure(a, j->job.req, err);
        return;
    }
    if (db_rows_n(rows) == 0) {
        reply_problem(a, j->job.req, PROBLEM_EVENT_NOT_FOUND, NULL);
        return;
    }
    j->event = event_from_row(rows, 0);
    if (j->event == NULL) {
        reply_problem(a, j->job.req, PROBLEM_OVERLOADED, NULL);
        return;
    }
    if (!amends_can_hit(j->event)) {
        reply_event(a, j->job.req, j->event, NULL);
        return;
    }
    const struct db_arg args[] = {DB_ARG_I64S(&j->event->room_id, 1), DB_ARG_I64(j->event->id),
                                  DB_ARG_I64(j->event->id)};
    job_query(&j->job, SQL_AMENDS, args, ARRAY_LEN(args), event_amends_read);
}

static void find_event(struct api *a, struct http_req *req, int64_t id)
{
    const struct feed *f = a->opts.feed;
    const struct event *e = feed_at(f, feed_seek(f, id - 1));
    if (e != NULL && e->id == id) {
        reply_event(a, req, e, NULL);
        return;
    }
    if (feed_covers(f, id - 1) && id > feed_backfilled(f)) {
        reply_problem(a, req, PROBLEM_EVENT_NOT_FOUND, NULL);
        return;
    }
    int64_t mark = api_committed(a);
    if (mark >= 0 && id > mark && feed_head_id(f) > id) {
        reply_problem(a, req, PROBLEM_EVENT_PENDING, "the database is behind; try again");
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(id)};
    struct event_job *j = mem_new(struct event_job);
    job_start(&j->job, a, req, event_job_free);
    job_query(&j->job, SQL_EVENT_BY_ID, args, ARRAY_LEN(args), event_read);
}

void handle_event(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    int64_t id;
    if (!reply_params(a, req, 0, &p)) {
        return;
    }
    if (!str_to_i64(http_req_param(req, "id"), &id) || id <= 0) {
        params_error(&p, STR("id"), "invalid_parameter", "is no event id");
        reply_param_errors(a, req, &p);
        return;
    }
    find_event(a, req, id);
}
