/* The live stream: which events, and from where on. */
#include "api/handlers/handlers.h"
#include "api/hub.h"
#include "api/reply.h"
#include "api/rooms_named.h"
#include "server/core/mem.h"

enum {
    STREAM_PARAMS = PARAM_BIT(ROOMS) | PARAM_BIT(KINDS) | PARAM_BIT(MIN_VALUE) |
                    PARAM_BIT(BACKLOG) | PARAM_BIT(LAST_EVENT_ID) | PARAM_BIT(TICKET)
};

struct stream_job {
    struct job job; /* first */
    struct hub_opts opts;
    struct rooms_named named;
};

static void stream_job_free(struct job *job)
{
    mem_free(job);
}

static void rooms_known(struct job *job)
{
    struct stream_job *j = (struct stream_job *)job;
    struct http_req *req = job->req;
    j->opts.filter.rooms = j->named.rooms;
    j->opts.filter.n_rooms = j->named.n;
    /* From here on the request belongs to the stream, which may live for an hour: the job ends now. */
    http_req_on_gone(req, NULL);
    hub_open(job->api->hub, req, &j->opts);
    mem_free(j);
}

void handle_stream(void *ctx, struct http_req *req)
{
    struct api *a = ctx;
    struct params p;
    struct hub_opts opts = {0};
    if (!reply_params(a, req, STREAM_PARAMS, &p)) {
        return;
    }
    if (!params_resume_id(&p, http_req_header(req, "Last-Event-ID"), &opts.resume_id)) {
        reply_param_errors(a, req, &p);
        return;
    }
    opts.filter.kinds = p.kinds;
    opts.filter.min_value = p.num[PARAM_MIN_VALUE];
    opts.backlog = (size_t)p.num[PARAM_BACKLOG];
    struct stream_job *j = mem_new(struct stream_job);
    j->opts = opts;
    j->named.param = "rooms";
    j->named.done = rooms_known;
    j->named.n = p.n_rooms;
    memcpy(j->named.rooms, p.rooms, p.n_rooms * sizeof(p.rooms[0]));
    job_start(&j->job, a, req, stream_job_free);
    rooms_named_find(&j->job, &j->named);
}
