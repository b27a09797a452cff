/* tests/sim/sim_http.h - the upstream's web side: an HTTP server on the loop, over tls with --https.
 *
 * Requests are answered by sim_api.h; what comes between is here: faults, the rate limit, the record of requests.
 * A fault is a rule as in sim_fault.h: "kind=ban,path=getDanmuInfo,times=3".
 *
 * Threading:  loop thread only.
 * Ownership:  server, record and options are borrowed until closed has been called.
 * Limits:     SIM_HTTP_BODY_MAX bytes of a request's body, SIM_HTTP_RULES_MAX rules.
 * Errors:     sim_http_open: ERR_INVALID (address, rule), ERR_IO (in use); nothing is left open then.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/json_write.h"
#include "server/core/str.h"

struct sim_http;
struct sim_server;

enum { SIM_HTTP_BODY_MAX = 64 * 1024, SIM_HTTP_RULES_MAX = 32 };

MUST_CHECK enum err_code sim_http_open(struct sim_server *s, const char *where,
                                       struct sim_http **ret, struct err *err);
/* What is being answered is cut short; then closed, and it is freed. */
void sim_http_close(struct sim_http *h, void (*closed)(void *ctx), void *ctx);
void sim_http_url(const struct sim_http *h, struct buf *out); /* http://127.0.0.1:8000 */

MUST_CHECK enum err_code sim_http_fault(struct sim_http *h, struct str rule, struct err *err);
void sim_http_faults_clear(struct sim_http *h);
/* Members "http", "http_limited", "http_faults" and "http_paths": {path: how many}. */
void sim_http_stats(const struct sim_http *h, struct json_out *w);
