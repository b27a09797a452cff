#include "api/job.h"

#include "api/reply.h"
#include "server/core/mem.h"

static void on_gone(void *data)
{
    struct job *j = data;
    db_forget(j->api->opts.db, j);
    j->free(j);
}

void job_start(struct job *j, struct api *a, struct http_req *req, void (*free)(struct job *j))
{
    j->api = a;
    j->req = req;
    j->free = free;
    http_req_set_data(req, j);
    http_req_on_gone(req, on_gone);
}

void job_query(struct job *j, enum sql which, const struct db_arg *args, size_t n_args,
               db_done_fn *done)
{
    struct err err = {.code = ERR_UNAVAILABLE};
    struct db *db = j->api->opts.db;
    /* While the database is known to be away, waiting for it would only hide that. */
    if (!db_is_up(db) || db_query(db, sql_stmt(which), args, n_args, done, j, &err) != ERR_OK) {
        reply_db_failure(j->api, j->req, &err);
    }
}
