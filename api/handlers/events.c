/* Lists of events, and one event. */
#include <stdio.h>

#include "api/encode/event_json.h"
#include "api/frames.h"
#include "api/handlers/handlers.h"
#include "api/query/event_row.h"
#include "api/query/page.h"
#include "api/reader.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/feed/feed.h"
#include "server/stats/stats.h"

enum {
    LIST_PARAMS = PARAM_BIT(FROM) | PARAM_BIT(TO) | PARAM_BIT(SINCE) | PARAM_BIT(KINDS) |
                  PARAM_BIT(MIN_VALUE) | PARAM_BIT(LIMIT) | PARAM_BIT(ORDER) | PARAM_BIT(CURSOR),
    LINK_BYTES = 2048,
};

struct list_job {
    struct job job; /* first */
    struct params params;
    struct rooms_named named;
    struct page_plan plan;
    struct reader reader;
    bool reading;
};

static void list_free(struct job *job)
{
    struct list_job *j = (struct list_job *)job;
    if (j->reading) {
        reader_deinit(&j->reader);
    }
    mem_free(j);
}

static void write_item(struct list_job *j, struct json_out *w, const struct reader_item *item)
{
    struct frame *frame = NULL;
    if (item->seq != FEED_NO_SEQ) {
        frame = frames_get(j->job.api->frames, item->seq, item->event);
    }
    if (frame != NULL) {
        jw_raw(w, frame_json(frame));
        frame_unref(&frame);
    } else {
        event_json(w, item->event);
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

static void write_page(struct list_job *j, const struct page_links *links, struct buf *out)
{
    const struct reader *r = &j->reader;
    struct json_out w;
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_array(&w);
    for (size_t i = 0; i < r->n; i++) {
        write_item(j, &w, &r->items[j->plan.back ? r->n - 1 - i : i]);
    }
    jw_array_end(&w);
    jw_key(&w, STR("page"));
    jw_object(&w);
    write_cursor(&w, "next", links->has_next, links->next);
    write_cursor(&w, "prev", links->has_prev, links->prev);
    jw_kbool(&w, "has_more", r->more);
    jw_object_end(&w);
    jw_key(&w, STR("completeness"));
    jw_object(&w);
    jw_kbool(&w, "pending", r->pending);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_put_c(out, '\n');
}

/* Percent-encodes all but unreserved characters (RFC 3986). */
static void put_encoded(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == ',';
        if (plain) {
            buf_put_c(out, (char)c);
        } else {
            buf_put_c(out, '%');
            buf_put_c(out, hex[c >> 4]);
            buf_put_c(out, hex[c & 15]);
        }
    }
}

/* The same list with another cursor: RFC 8288, relative to the request. */
static void put_link(struct list_job *j, struct buf *out, const char *cursor, const char *rel)
{
    struct http_req *req = j->job.req;
    buf_put(out, out->len > 0 ? STR(", <") : STR("<"));
    buf_put(out, http_req_path(req));
    buf_put(out, STR("?cursor="));
    buf_put(out, (struct str){cursor, CURSOR_TEXT_LEN});
    for (size_t i = 0; i < http_req_query_n(req); i++) {
        struct str name;
        struct str value;
        http_req_query(req, i, &name, &value);
        if (str_eq(name, STR("cursor"))) {
            continue;
        }
        buf_put_c(out, '&');
        put_encoded(out, name);
        buf_put_c(out, '=');
        put_encoded(out, value);
    }
    buf_put(out, STR(">; rel=\""));
    buf_put(out, str_of(rel));
    buf_put_c(out, '"');
}

static void add_links(struct list_job *j, const struct page_links *links)
{
    struct buf b;
    buf_init(&b, LINK_BYTES);
    if (links->has_next) {
        put_link(j, &b, links->next, "next");
    }
    if (links->has_prev) {
        put_link(j, &b, links->prev, "prev");
    }
    if (b.len > 0 && buf_ok(&b)) { /* too long for a header: the body has the cursors */
        http_add_header(j->job.req, "Link", buf_str(&b));
    }
    buf_deinit(&b);
}

static void list_read(void *ctx)
{
    struct list_job *j = ctx;
    const struct reader *r = &j->reader;
    if (r->code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, &r->err);
        return;
    }
    struct page_result result = {.n = r->n, .more = r->more, .at = r->at};
    if (r->n > 0) {
        result.first_id = r->items[0].event->id;
        result.last_id = r->items[r->n - 1].event->id;
    }
    struct page_links links;
    page_links(&j->plan, &result, &links);
    add_links(j, &links);
    struct buf body;
    buf_init(&body, REPLY_BODY_LIMIT);
    write_page(j, &links, &body);
    bool closed = !j->plan.open_end && j->plan.high - 1 <= api_committed(j->job.api);
    stats_inc(j->job.api->opts.stats, STAT_API_PAGES);
    reply_json(j->job.api, j->job.req, closed ? REPLY_CLOSED : REPLY_OPEN, &body);
}

static void list_begin(struct job *job)
{
    struct list_job *j = (struct list_job *)job;
    struct api *a = job->api;
    int64_t now_ms = api_now_ms(a);
    struct filter filter = {.rooms = j->named.rooms,
                            .n_rooms = j->named.n,
                            .kinds = j->params.kinds,
                            .min_value = j->params.num[PARAM_MIN_VALUE]};
    if (!page_plan(&j->params, &filter, now_ms, &j->plan)) {
        reply_param_errors(a, job->req, &j->params);
        return;
    }
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
    struct reader_opts opts = {.filter = filter,
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

static void reply_event(struct api *a, struct http_req *req, const struct event *e)
{
    struct buf body;
    struct json_out w;
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    event_json(&w, e);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_json(a, req, REPLY_CLOSED, &body);
}

static void event_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct job *j = ctx;
    if (code != ERR_OK) {
        reply_db_failure(j->api, j->req, err);
        return;
    }
    if (db_rows_n(rows) == 0) {
        reply_problem(j->api, j->req, PROBLEM_EVENT_NOT_FOUND, NULL);
        return;
    }
    struct event *e = event_from_row(rows, 0);
    if (e == NULL) {
        reply_problem(j->api, j->req, PROBLEM_OVERLOADED, NULL);
        return;
    }
    reply_event(j->api, j->req, e);
    event_unref(&e);
}

static void find_event(struct api *a, struct http_req *req, int64_t id)
{
    const struct feed *f = a->opts.feed;
    const struct event *e = feed_at(f, feed_seek(f, id - 1));
    if (e != NULL && e->id == id) {
        reply_event(a, req, e);
        return;
    }
    if (feed_covers(f, id - 1)) {
        reply_problem(a, req, PROBLEM_EVENT_NOT_FOUND, NULL);
        return;
    }
    int64_t mark = api_committed(a);
    if (mark >= 0 && id > mark && feed_head_id(f) > id) {
        reply_problem(a, req, PROBLEM_EVENT_PENDING, "the database is behind; try again");
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(id)};
    job_query(job_new(a, req), SQL_EVENT_BY_ID, args, ARRAY_LEN(args), event_read);
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
