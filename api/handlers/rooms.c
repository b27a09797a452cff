/* Rooms: what is stored about them, and how their collection goes. */
#include "api/handlers/handlers.h"
#include "api/query/cursor.h"
#include "api/reply.h"
#include "api/room_json.h"
#include "api/rooms_named.h"
#include "server/core/hash.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { ROOMS_LIMIT_DEFAULT = 1000 };

/* ---- the list ---- */

struct rooms_job {
    struct job job; /* first */
    int64_t after;  /* room id behind which the page begins */
    size_t limit;
    int64_t hash;
    struct buf group, state; /* what is asked for, NUL-terminated; empty: any */
    int live;                /* 1, 0; -1: any */
    int64_t *rooms; /* owned: those of the set behind `after` that match, at most limit + 1 */
    size_t n_rooms;
};

static void rooms_free(struct job *job)
{
    struct rooms_job *j = (struct rooms_job *)job;
    buf_deinit(&j->group);
    buf_deinit(&j->state);
    mem_free(j->rooms);
    mem_free(j);
}

static bool has_group(const char *groups, struct str group)
{
    struct str rest = str_of(groups);
    struct str part;
    while (str_split(&rest, ',', &part)) {
        if (str_eq(part, group)) {
            return true;
        }
    }
    return false;
}

static bool room_matches(const struct rooms_job *j, const struct api_room *room)
{
    return (j->group.len == 0 || has_group(room->groups, buf_str(&j->group))) &&
           (j->state.len == 0 || str_eq(str_of(room->status), buf_str(&j->state))) &&
           (j->live < 0 || room->live == j->live);
}

static bool take_room(void *ctx, const struct api_room *room)
{
    struct rooms_job *j = ctx;
    if (room->room_id > j->after && room_matches(j, room)) {
        j->rooms[j->n_rooms++] = room->room_id;
    }
    return j->n_rooms <= j->limit;
}

/* Merges two lists that ascend by room id; what the set knows of a room is newer than its row. Returns the last id that
 * was looked at; *ret_more: there is more behind it, or may be: of either list there are at most limit + 1, and what is out
 * of date is left out. */
static int64_t put_merged(struct rooms_job *j, struct json_out *w, const struct db_rows *rows,
                          bool *ret_more)
{
    const struct api *a = j->job.api;
    size_t n_rows = rows != NULL ? db_rows_n(rows) : 0;
    size_t row = 0;
    size_t own = 0;
    int64_t last = j->after;
    for (size_t n = 0;;) {
        struct api_room room;
        int64_t stored = row < n_rows ? db_i64(rows, row, ROOM_COL_ROOM_ID) : INT64_MAX;
        int64_t listed = own < j->n_rooms ? j->rooms[own] : INT64_MAX;
        int64_t id = stored < listed ? stored : listed;
        const bool cut =
            (row == n_rows && n_rows > j->limit) || (own == j->n_rooms && own > j->limit);
        *ret_more = cut || (id != INT64_MAX && n == j->limit);
        if (cut || id == INT64_MAX || n == j->limit) {
            return last;
        }
        const bool known = a->opts.ops.room(a->opts.ops.ctx, id, &room) && room.room_id == id;
        if (!known || room_matches(j, &room)) { /* else its row is out of date */
            room_json_put(w, id, stored == id ? rows : NULL, row, known ? &room : NULL);
            n++;
        }
        row += stored == id;
        own += listed == id;
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
    room_json_completeness(&w, rows == NULL);
    room_json_upstream(a, &w);
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
    hash64_str(&h, buf_str(&j->group));
    hash64_str(&h, buf_str(&j->state));
    hash64_i64(&h, j->live);
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

static bool rooms_filter(struct rooms_job *j, struct params *p)
{
    static const char *const states[] = {"active", "paused", "removed", "left"};
    bool known = !params_has(p, PARAM_STATE);
    for (size_t i = 0; i < ARRAY_LEN(states) && !known; i++) {
        known = str_eq(p->state, str_of(states[i]));
    }
    if (!known) {
        params_error(p, str_of(param_name(PARAM_STATE)), "invalid_parameter",
                     "is none of active, paused, removed, left");
        return false;
    }
    j->live = params_has(p, PARAM_LIVE) ? (int)p->num[PARAM_LIVE] : -1;
    buf_put(&j->group, p->group);
    buf_put(&j->state, p->state);
    return true;
}

static struct db_arg text_or_null(const struct buf *b)
{
    return b->len > 0 ? DB_ARG_TEXT(buf_str(b)) : DB_ARG_NULL;
}

void handle_rooms(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    if (!reply_params(a, req,
                      PARAM_BIT(LIMIT) | PARAM_BIT(CURSOR) | PARAM_BIT(GROUP) | PARAM_BIT(STATE) |
                          PARAM_BIT(LIVE),
                      &p)) {
        return;
    }
    struct rooms_job *j = mem_new(struct rooms_job);
    buf_init(&j->group, 64);
    buf_init(&j->state, 64);
    job_start(&j->job, a, req, rooms_free);
    if (!rooms_filter(j, &p) || !rooms_cursor(j, &p)) {
        reply_param_errors(a, req, &p);
        return;
    }
    j->limit = params_has(&p, PARAM_LIMIT) ? (size_t)p.num[PARAM_LIMIT] : ROOMS_LIMIT_DEFAULT;
    j->rooms = mem_new_array(int64_t, j->limit + 2);
    a->opts.ops.each_room(a->opts.ops.ctx, take_room, j);
    if (!db_is_up(a->opts.db)) {
        reply_rooms(j, NULL);
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(j->after), DB_ARG_I64((int64_t)j->limit + 1),
                            text_or_null(&j->group), text_or_null(&j->state),
                            j->live < 0 ? DB_ARG_NULL : DB_ARG_I64(j->live)};
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
    struct buf body;
    room_json_answer(j->job.api, room_id, rows, pending, &body);
    reply_tagged(j->job.api, j->job.req, REPLY_OPEN, &body);
}

static void room_read(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct room_job *j = ctx;
    int64_t known = api_real_room(j->job.api, j->named.rooms[0]);
    if (code == ERR_OK && db_rows_n(rows) > 0) {
        reply_room(j, db_i64(rows, 0, ROOM_COL_ROOM_ID), rows, false);
    } else if (known != 0) {
        reply_room(j, known, NULL, code != ERR_OK);
    } else if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
    } else {
        reply_problem(j->job.api, j->job.req, PROBLEM_ROOM_NOT_FOUND, "it was never collected");
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
    int64_t known = api_real_room(a, j->named.rooms[0]);
    if (!db_is_up(a->opts.db) && known != 0) {
        reply_room(j, known, NULL, true);
        return;
    }
    struct db_arg args[] = {DB_ARG_I64(known != 0 ? known : j->named.rooms[0])};
    job_query(&j->job, SQL_ROOM, args, ARRAY_LEN(args), room_read);
}
