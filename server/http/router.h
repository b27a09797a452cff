/* server/http/router.h - finds the route of a path.
 *
 * A literal segment wins over a parameter, compared from the left; the most specific pattern decides, also about the
 * methods allowed. A parameter is never empty, so a trailing slash matches nothing but "/".
 *
 * Threading:  immutable after init.
 * Ownership:  the table is borrowed and outlives the router.
 * Errors:     a table that contradicts itself is our own mistake: asserted.
 */
#pragma once

#include <stddef.h>

#include "server/core/str.h"
#include "server/http/http.h"
#include "server/http/target.h"

enum { ROUTER_PARAMS = 2 };

struct router;

struct router_match {
    const struct http_route *route; /* NULL: the path is known, the method is not */
    const struct http_route *any;   /* some route of the path */
    const char *allow;              /* methods of the path: "GET, HEAD, DELETE" */
    struct target_pair params[ROUTER_PARAMS];
    size_t n_params;
};

struct router *router_new(const struct http_route *routes, size_t n);
void router_free(struct router *r);
/* method may be HTTP_METHODS (one we do not know). False: nothing is there. */
bool router_find(const struct router *r, enum http_method method, const struct target_path *path,
                 struct router_match *ret);

const char *router_method_name(enum http_method m); /* "GET"; HTTP_METHODS gives "?" */
enum http_method router_method(struct str name);    /* HTTP_METHODS: none of ours */
