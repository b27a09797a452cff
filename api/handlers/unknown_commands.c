/* What upstream sent and nobody understood. */
#include "api/handlers/handlers.h"
#include "api/job.h"
#include "api/reply.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { COMMANDS_MAX = 1000 };

struct commands_job {
    struct job job; /* first */
};

static void commands_free(struct job *job)
{
    mem_free(job);
}

static void put_command(struct json_out *w, const struct db_rows *rows, size_t row)
{
    jw_object(w);
    jw_kstr(w, "cmd", db_text(rows, row, COMMAND_COL_CMD));
    jw_ki64(w, "unknown", db_i64(rows, row, COMMAND_COL_UNKNOWN));
    jw_ki64(w, "broken", db_i64(rows, row, COMMAND_COL_BROKEN));
    jw_ki64(w, "first_seen_ms", db_i64(rows, row, COMMAND_COL_FIRST_MS));
    jw_ki64(w, "last_seen_ms", db_i64(rows, row, COMMAND_COL_LAST_MS));
    jw_key(w, STR("reason"));
    if (db_null(rows, row, COMMAND_COL_REASON)) {
        jw_null(w);
    } else {
        jw_str(w, db_text(rows, row, COMMAND_COL_REASON));
    }
    jw_key(w, STR("shape"));
    if (db_null(rows, row, COMMAND_COL_SHAPE)) {
        jw_null(w);
    } else {
        jw_raw(w, db_text(rows, row, COMMAND_COL_SHAPE));
    }
    jw_kbool(w, "raw_kept", db_bool(rows, row, COMMAND_COL_KEPT));
    jw_object_end(w);
}

static void commands_read(void *ctx, enum err_code code, const struct err *err,
                          const struct db_rows *rows)
{
    struct commands_job *j = ctx;
    struct buf body;
    struct json_out w;
    if (code != ERR_OK) {
        reply_db_failure(j->job.api, j->job.req, err);
        return;
    }
    buf_init(&body, REPLY_BODY_LIMIT);
    jw_init(&w, &body);
    jw_object(&w);
    jw_key(&w, STR("data"));
    jw_array(&w);
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        put_command(&w, rows, i);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    buf_put_c(&body, '\n');
    reply_tagged(j->job.api, j->job.req, REPLY_OPEN, &body);
}

void handle_unknown_commands(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    if (!reply_params(a, req, 0, &p)) {
        return;
    }
    struct commands_job *j = mem_new(struct commands_job);
    job_start(&j->job, a, req, commands_free);
    const struct db_arg args[] = {DB_ARG_I64(COMMANDS_MAX)};
    job_query(&j->job, SQL_UNKNOWN_COMMANDS, args, ARRAY_LEN(args), commands_read);
}
