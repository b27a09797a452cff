/* Rooms added, changed and removed while the service runs. */
#include <stdio.h>

#include "api/handlers/handlers.h"
#include "api/handlers/room_body.h"
#include "api/job.h"
#include "api/reply.h"
#include "api/room_json.h"
#include "server/core/mem.h"

enum { BODY_LIMIT = 65536, DETAIL_BYTES = 512 };

struct control_job {
    struct job job;             /* first */
    enum problem_code conflict; /* what ERR_CONFLICT means */
    bool add;
};

static void control_free(struct job *job)
{
    struct api *a = job->api;
    a->opts.ops.rooms_forget(a->opts.ops.ctx, job);
    mem_free(job);
}

static struct control_job *control_start(struct api *a, struct http_req *req)
{
    struct control_job *j = mem_new(struct control_job);
    job_start(&j->job, a, req, control_free);
    return j;
}

/* ---- answers ---- */

static void reply_unknown(struct control_job *j, const struct err *err,
                          const struct api_rooms_changed *done)
{
    struct params errors;
    params_init(&errors, 0);
    for (size_t i = 0; i < done->n_unknown; i++) {
        params_error(&errors, done->n_unknown > 1 ? STR("rooms") : STR("room"), "room_not_found",
                     "names room %lld, which there is not", (long long)done->unknown[i]);
    }
    if (done->n_unknown > 1) {
        reply_param_errors(j->job.api, j->job.req, &errors);
    } else {
        reply_problem(j->job.api, j->job.req, PROBLEM_ROOM_NOT_FOUND, err->msg);
    }
}

static void reply_failure(struct control_job *j, enum err_code code, const struct err *err,
                          const struct api_rooms_changed *done)
{
    struct api *a = j->job.api;
    struct http_req *req = j->job.req;
    char detail[DETAIL_BYTES];
    const bool applied = done->room_id != 0 || done->n_added > 0 || done->n_removed > 0;
    if (code == ERR_NOT_FOUND && !done->upstream_failed) {
        reply_unknown(j, err, done);
    } else if (code == ERR_CONFLICT) {
        reply_problem(a, req, j->conflict, err->msg);
    } else if (code == ERR_FULL) {
        reply_problem(a, req, PROBLEM_OVERLOADED, err->msg);
    } else if (code == ERR_CANCELED) {
        reply_problem(a, req, PROBLEM_NOT_READY, err->msg);
    } else if (done->upstream_failed) {
        (void)snprintf(detail, sizeof(detail), "nothing was changed: %s", err->msg);
        reply_problem(a, req, PROBLEM_UPSTREAM_UNAVAILABLE, detail);
    } else {
        reply_problem(a, req, PROBLEM_DATABASE_UNAVAILABLE,
                      applied ? "it is done, and will be stored when the database is back; ask "
                                "again to be sure"
                              : "nothing was changed");
    }
}

static void on_room_changed(void *ctx, enum err_code code, const struct err *err,
                            const struct api_rooms_changed *done)
{
    struct control_job *j = ctx;
    struct api *a = j->job.api;
    struct buf body;
    if (code != ERR_OK) {
        reply_failure(j, code, err, done);
        return;
    }
    const bool created = j->add && done->n_added > 0;
    if (created) {
        char location[64];
        (void)snprintf(location, sizeof(location), "/api/v1/rooms/%lld", (long long)done->room_id);
        http_add_header(j->job.req, "Location", str_of(location));
    }
    room_json_answer(a, done->room_id, NULL, false, &body);
    http_add_header(j->job.req, "Cache-Control", STR("no-store"));
    http_respond(j->job.req, created ? 201 : 200, "application/json", &body);
}

static void on_rooms_set(void *ctx, enum err_code code, const struct err *err,
                         const struct api_rooms_changed *done)
{
    struct control_job *j = ctx;
    struct buf body;
    struct json_out w;
    if (code != ERR_OK) {
        reply_failure(j, code, err, done);
        return;
    }
    buf_init(&body, BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_object(&w);
    jw_ki64(&w, "added", (int64_t)done->n_added);
    jw_ki64(&w, "removed", (int64_t)done->n_removed);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    http_add_header(j->job.req, "Cache-Control", STR("no-store"));
    http_respond(j->job.req, 200, "application/json", &body);
}

/* ---- requests ---- */

/* A body is JSON and says so: a page of another site can then not send it without asking first. */
static bool read_body(struct api *a, struct http_req *req, unsigned fields, struct room_body *ret)
{
    struct params p;
    struct str type = http_req_header(req, "Content-Type");
    struct str rest = type;
    if (!reply_params(a, req, 0, &p)) {
        return false;
    }
    if (!str_split(&rest, ';', &type) || !str_ieq(str_trim(type), STR("application/json"))) {
        reply_problem(a, req, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                      "send Content-Type: application/json");
        return false;
    }
    if (!room_body_read(http_req_body(req), fields, ret, &p)) {
        reply_param_errors(a, req, &p);
        return false;
    }
    return true;
}

/* The room of the path; false: answered. */
static bool read_path(struct api *a, struct http_req *req, int64_t *ret)
{
    struct params p;
    params_init(&p, 0);
    if (str_to_i64(http_req_param(req, "room"), ret) && *ret > 0) {
        return true;
    }
    params_error(&p, STR("room"), "invalid_parameter", "is no room id");
    reply_param_errors(a, req, &p);
    return false;
}

void handle_room_add(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct room_body body;
    if (!read_body(a, req, ROOM_FIELD_ROOM | ROOM_FIELD_CHANGE, &body)) {
        return;
    }
    struct control_job *j = control_start(a, req);
    j->add = true;
    a->opts.ops.room_add(a->opts.ops.ctx, body.room, &body.change, on_room_changed, j);
}

void handle_rooms_set(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct room_body body;
    if (!read_body(a, req, ROOM_FIELD_ROOMS, &body)) {
        return;
    }
    a->opts.ops.rooms_set(a->opts.ops.ctx, body.rooms, body.n_rooms, on_rooms_set,
                          control_start(a, req));
}

void handle_room_change(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct room_body body;
    int64_t number;
    if (!read_path(a, req, &number) || !read_body(a, req, ROOM_FIELD_CHANGE, &body)) {
        return;
    }
    struct control_job *j = control_start(a, req);
    j->conflict = PROBLEM_ROOM_REMOVED;
    a->opts.ops.room_change(a->opts.ops.ctx, number, &body.change, on_room_changed, j);
}

void handle_room_remove(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    int64_t number;
    if (!reply_params(a, req, 0, &p) || !read_path(a, req, &number)) {
        return;
    }
    struct control_job *j = control_start(a, req);
    j->conflict = PROBLEM_ROOM_CONFIGURED;
    a->opts.ops.room_remove(a->opts.ops.ctx, number, on_room_changed, j);
}
