/* api/job.h - a request whose answer has to wait: its memory, and its end when the client leaves.
 *
 *      struct my_job { struct job job; ... };   // job first
 *      struct my_job *j = mem_new(struct my_job);
 *      job_start(&j->job, a, req, my_free);     // my_free runs once, when the request ends for whatever reason
 *      job_query(&j->job, ...);                 // no callback comes after the end
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/api_priv.h"
#include "api/query/sql.h"
#include "server/db/db.h"

struct rooms_named;

struct job {
    struct api *api;
    struct http_req *req;
    void (*free)(struct job *j);
    struct rooms_named *naming; /* private to rooms_named.c */
};

void job_start(struct job *j, struct api *a, struct http_req *req, void (*free)(struct job *j));
/* A query whose done gets the job as its ctx; when it is refused at once, the problem is answered instead. */
void job_query(struct job *j, enum sql which, const struct db_arg *args, size_t n_args,
               db_done_fn *done);
