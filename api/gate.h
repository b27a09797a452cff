/* api/gate.h - what stands before and behind every handler: scopes, CORS, answers to what has no route.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/api_priv.h"

/* The hooks of server/http. ctx is the struct api. */
bool gate_before(void *ctx, struct http_req *req, const struct http_route *route);
void gate_refuse(void *ctx, struct http_req *req, unsigned status, const char *allow);
void gate_decorate(void *ctx, struct http_req *req);

/* The scopes of a request that passed the gate by its Authorization header. */
unsigned gate_scopes(struct api *a, struct http_req *req);
