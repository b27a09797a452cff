/* api/handlers/handlers.h - one function per operation; routes.def names them. ctx is the struct api.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/http/http.h"

#define X(METHOD, path, handler, scope, operation_id) void handler(void *ctx, struct http_req *req);
#include "api/routes.def"
#undef X
