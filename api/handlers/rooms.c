/* Rooms: what is stored about them, and how their collection goes. */
#include "api/handlers/handlers.h"
#include "api/query/cursor.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/hash.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { ROOMS_LIMIT_DEFAULT = 1000, ROOMS_BODY_LIMIT = 4 << 20 };

/* ---- JSON ---- */

static void put_text(struct json_out *w, const char *key, const struct db_rows *rows, size_t row,
                     unsigned col)
{
    jw_key(w, str_of(key));
    if (rows == NULL || db_null(rows, row, col)) {
        jw_null(w);
    } else {
        jw_str(w, db_text(rows, row, col));
    }
}

static void put_number(struct json_out *w, const char *key, const struct db_rows *rows, size_t row,
                       unsigned col)
{
    jw_key(w, str_of(key));
    if (rows == NULL || db_null(rows, row, col)) {
        jw_null(w);
    } else {
        jw_i64(w, db_i64(rows, row, col));
    }
}

static void put_unless(struct json_out *w, const char *key, int64_t v, int64_t none)
{
    jw_key(w, str_of(key));
    if (v == none) {
        jw_null(w);
    } else {
        jw_i64(w, v);
    }
}

static void put_collection(struct json_out *w, const struct api_room *room)
{
    jw_key(w, STR("collection"));
    if (room == NULL) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kstr(w, "state", str_of(room->state));
    jw_kstr(w, "last_close", str_of(room->last_close));
    put_unless(w, "connected_since_ms", room->connected_since_ms, 0);
    put_unless(w, "next_try_ms", room->next_try_ms, 0);
    put_unless(w, "last_event_ms", room->last_event_ms, 0);
    put_unless(w, "popularity", room->popularity, -1);
    jw_key(w, STR("connects"));
    jw_u64(w, room->n_connects);
    jw_key(w, STR("messages"));
    jw_u64(w, room->n_messages);
    jw_key(w, STR("events"));
    jw_u64(w, room->n_events);
    jw_key(w, STR("repeats"));
    jw_u64(w, room->n_repeats);
    jw_object_end(w);
}

/* The state of its coverage now. */
static void put_coverage(struct json_out *w, const struct api_room *room)
{
    jw_key(w, STR("coverage"));
    if (room == NULL) {
        jw_null(w);
        return;
    }
    const struct span *s = room->coverage.cause.len > 0 ? &room->coverage : NULL;
    if (s == NULL && !room->covered) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kstr(w, "state", str_of(span_state_name(span_state_of(s))));
    jw_kstr(w, "cause", s != NULL ? s->cause : STR(""));
    put_unless(w, "since_ms", s != NULL ? s->from_ms : 0, 0);
    jw_object_end(w);
}

/* rows: NULL when the room has no row (or the database is away); room: NULL when it is not collected now. */
static void put_room(struct json_out *w, int64_t room_id, const struct db_rows *rows, size_t row,
                     const struct api_room *room)
{
    jw_object(w);
    jw_ki64(w, "room_id", room_id);
    put_number(w, "short_id", rows, row, ROOM_COL_SHORT_ID);
    put_number(w, "anchor_uid", rows, row, ROOM_COL_ANCHOR_UID);
    put_text(w, "uname", rows, row, ROOM_COL_UNAME);
    put_text(w, "title", rows, row, ROOM_COL_TITLE);
    put_number(w, "area_id", rows, row, ROOM_COL_AREA_ID);
    put_text(w, "area", rows, row, ROOM_COL_AREA);
    put_text(w, "parent_area", rows, row, ROOM_COL_PARENT_AREA);
    jw_key(w, STR("live"));
    if (rows == NULL || db_null(rows, row, ROOM_COL_LIVE)) {
        jw_null(w);
    } else {
        jw_bool(w, db_bool(rows, row, ROOM_COL_LIVE));
    }
    put_text(w, "origin", rows, row, ROOM_COL_ORIGIN);
    put_text(w, "state", rows, row, ROOM_COL_STATE);
    put_collection(w, room);
    put_coverage(w, room);
    jw_object_end(w);
}

static void put_completeness(struct json_out *w, bool pending)
{
    jw_key(w, STR("completeness"));
    jw_object(w);
    jw_kbool(w, "pending", pending);
    jw_object_end(w);
}

/* ---- the list ---- */

struct rooms_job {
    struct job job; /* first */
    int64_t after;  /* room id behind which the page begins */
    size_t limit;
    int64_t hash;
    struct api_room *rooms; /* owned: collected rooms behind `after`, at most limit + 1 */
    size_t n_rooms;
};

static void rooms_free(struct job *job)
{
    struct rooms_job *j = (struct rooms_job *)job;
    mem_free(j->rooms);
    mem_free(j);
}

static bool take_room(void *ctx, const struct api_room *room)
{
    struct rooms_job *j = ctx;
    if (room->room_id > j->after && j->n_rooms <= j->limit) {
        j->rooms[j->n_rooms++] = *room;
    }
    return j->n_rooms <= j->limit;
}

/* Merges two lists that ascend by room id. Returns the last id written; *ret_more: there would be another one. */
static int64_t put_merged(struct rooms_job *j, struct json_out *w, const struct db_rows *rows,
                          bool *ret_more)
{
    size_t n_rows = rows != NULL ? db_rows_n(rows) : 0;
    size_t row = 0;
    size_t live = 0;
    int64_t last = j->after;
    for (size_t n = 0;; n++) {
        int64_t stored = row < n_rows ? db_i64(rows, row, ROOM_COL_ROOM_ID) : INT64_MAX;
        int64_t collected = live < j->n_rooms ? j->rooms[live].room_id : INT64_MAX;
        int64_t id = stored < collected ? stored : collected;
        *ret_more = id != INT64_MAX && n == j->limit;
        if (id == INT64_MAX || n == j->limit) {
            return last;
        }
        put_room(w, id, stored == id ? rows : NULL, row, collected == id ? &j->rooms[live] : NULL);
        row += stored == id;
        live += collected == id;
        last = id;
    }
}

static void reply_rooms(struct rooms_job *j, const struct db_rows *rows)
{
    struct api *a = j->job.api;
    struct buf body;
    struct json_out w;
    bool more;
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_array(&w);
    int64_t last = put_merged(j, &w, rows, &more);
    jw_array_end(&w);
    jw_key(&w, STR("page"));
    jw_object(&w);
    jw_key(&w, STR("next"));
    if (more) {
        char text[CURSOR_TEXT_LEN + 1];
        cursor_write(&(struct cursor){.id = last, .hash = j->hash, .order = ORDER_ASC}, text);
        jw_str(&w, str_of(text));
    } else {
        jw_null(&w);
    }
    jw_key(&w, STR("prev"));
    jw_null(&w);
    jw_kbool(&w, "has_more", more);
    jw_object_end(&w);
    put_completeness(&w, rows == NULL);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_tagged(a, j->job.req, REPLY_OPEN, &body);
}

/* The collected rooms are known without the database: better those than nothing, and `pending` says so. */
static void rooms_read(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct rooms_job *j = ctx;
    if (code == ERR_OK || code == ERR_UNAVAILABLE || code == ERR_CANCELED || code == ERR_RETRY) {
        reply_rooms(j, code == ERR_OK ? rows : NULL);
    } else {
        reply_db_failure(j->job.api, j->job.req, err);
    }
}

static bool rooms_cursor(struct rooms_job *j, struct params *p)
{
    struct hash64 h;
    hash64_init(&h, 0x726f6f6d); /* "room" */
    j->hash = hash64_done(&h);
    if (!params_has(p, PARAM_CURSOR)) {
        return true;
    }
    struct cursor c;
    struct str name = str_of(param_name(PARAM_CURSOR));
    if (!cursor_parse(p->cursor, &c) || c.id < 0) {
        params_error(p, name, "bad_cursor", "is no cursor of this service");
        return false;
    }
    if (c.hash != j->hash || c.order != ORDER_ASC || c.back) {
        params_error(p, name, "cursor_mismatch", "belongs to another list");
        return false;
    }
    j->after = c.id;
    return true;
}

void handle_rooms(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    if (!reply_params(a, req, PARAM_BIT(LIMIT) | PARAM_BIT(CURSOR), &p)) {
        return;
    }
    struct rooms_job *j = mem_new(struct rooms_job);
    job_start(&j->job, a, req, rooms_free);
    if (!rooms_cursor(j, &p)) {
        reply_param_errors(a, req, &p);
        return;
    }
    j->limit = params_has(&p, PARAM_LIMIT) ? (size_t)p.num[PARAM_LIMIT] : ROOMS_LIMIT_DEFAULT;
    j->rooms = mem_new_array(struct api_room, j->limit + 2);
    a->opts.ops.each_room(a->opts.ops.ctx, take_room, j);
    if (!db_is_up(a->opts.db)) {
        reply_rooms(j, NULL);
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(j->after), DB_ARG_I64((int64_t)j->limit + 1)};
    job_query(&j->job, SQL_ROOMS, args, ARRAY_LEN(args), rooms_read);
}

/* ---- one room ---- */

struct room_job {
    struct job job; /* first */
    struct rooms_named named;
};

static void room_free(struct job *job)
{
    mem_free(job);
}

static void reply_room(struct room_job *j, int64_t room_id, const struct db_rows *rows,
                       bool pending)
{
    struct api *a = j->job.api;
    struct api_room live;
    bool collected = a->opts.ops.room(a->opts.ops.ctx, room_id, &live);
    struct buf body;
    struct json_out w;
    buf_init(&body, ROOMS_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    put_room(&w, room_id, rows, 0, collected ? &live : NULL);
    put_completeness(&w, pending);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_tagged(a, j->job.req, REPLY_OPEN, &body);
}

static void room_read(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct room_job *j = ctx;
    int64_t given = j->named.rooms[0];
    if (code == ERR_OK && db_rows_n(rows) > 0) {
        reply_room(j, db_i64(rows, 0, ROOM_COL_ROOM_ID), rows, false);
    } else if (api_knows_room(j->job.api, given)) {
        reply_room(j, given, NULL, code != ERR_OK);
    } else if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
    } else {
        reply_problem(j->job.api, j->job.req, PROBLEM_ROOM_NOT_FOUND, NULL);
    }
}

void handle_room(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    if (!reply_params(a, req, 0, &p)) {
        return;
    }
    struct room_job *j = mem_new(struct room_job);
    job_start(&j->job, a, req, room_free);
    if (!rooms_named_path(&j->job, &j->named)) {
        return;
    }
    int64_t given = j->named.rooms[0];
    if (!db_is_up(a->opts.db) && api_knows_room(a, given)) {
        reply_room(j, given, NULL, true);
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(given)};
    job_query(&j->job, SQL_ROOM, args, ARRAY_LEN(args), room_read);
}
