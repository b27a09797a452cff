/* api/reply.h - answers of the api: JSON, problems, pages with validators.
 *
 * Every function here answers the request; nothing may be done with it afterwards.
 *
 * Threading:  loop thread only.
 * Ownership:  `take` bodies are taken, also on failure.
 */
#pragma once

#include "api/api_priv.h"
#include "api/encode/problem.h"
#include "api/query/params.h"
#include "server/core/buf.h"

enum { REPLY_BODY_LIMIT = 32 << 20, REPLY_RETRY_S = 2, REPLY_RETRY_UPSTREAM_S = 30 };

/* How long an answer may be kept. */
enum reply_cache {
    REPLY_NO_STORE, /* secrets, live streams */
    REPLY_OPEN,     /* ask again each time: the range is still moving */
    REPLY_CLOSED,   /* a range of the past; erasure and import can still change it */
};

void reply_problem(struct api *a, struct http_req *req, enum problem_code code, const char *detail);
/* The problem that a failure of server/db is to the client. */
void reply_db_failure(struct api *a, struct http_req *req, const struct err *err);
/* 400 with all errors; the first one gives the code. */
void reply_param_errors(struct api *a, struct http_req *req, const struct params *p);
/* A body that outgrew its limit is answered with result_too_large. */
void reply_json(struct api *a, struct http_req *req, enum reply_cache cache, struct buf *take);
/* As reply_json with a weak validator of the body; 304 if the client has it already. */
void reply_tagged(struct api *a, struct http_req *req, enum reply_cache cache, struct buf *take);
/* A body that lives as long as the program. */
void reply_asset(struct api *a, struct http_req *req, const char *content_type, struct str body);

/* Reads the query; false: errors were answered. */
MUST_CHECK bool reply_params(struct api *a, struct http_req *req, uint32_t known,
                             struct params *ret);
