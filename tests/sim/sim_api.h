/* tests/sim/sim_api.h - what the web side answers, in the shapes of the real one (README.md lists them).
 *
 * Threading:  loop thread only.
 * Ownership:  a call's strings live as long as the request; out is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"
#include "tests/sim/sim_site.h"

struct sim_server;

enum { SIM_COOKIE_MAX = 256 };

struct sim_call {
    struct str method;
    struct str path;
    struct sim_arg args[SIM_ARGS_MAX];
    size_t n_args;
    struct str body;
    struct str user_agent;
    struct str referer;
    struct str buvid3; /* cookies */
    struct str sessdata;
    unsigned n_cookie_headers;
    /* the answer */
    struct buf *out;
    unsigned status;
    int64_t code;     /* that of the JSON, for the record */
    const char *type; /* Content-Type */
    char set_cookie[SIM_COOKIE_MAX];
};

/* Fills in status, code, type, set_cookie and out. */
void sim_api_answer(struct sim_server *s, struct sim_call *c);
/* Instead: {"code":code,"message":...,"ttl":1}; the message is upstream's for that code. */
void sim_api_error(struct sim_call *c, int64_t code);
void sim_api_html(struct sim_call *c, unsigned status); /* an error page */
