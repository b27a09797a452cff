/* tests/sim/sim_http_priv.h - the rules of sim_http_rule.c, as sim_http.c plays them.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "tests/sim/sim_api.h"
#include "tests/sim/sim_http.h"

enum sim_http_kind {
#define X(id, name) SIM_HTTP_##id,
#define SIM_HTTP_KINDS(X)                                                                          \
    X(BAN, "ban")         /* HTTP 412, a page of HTML */                                           \
    X(CODE, "code")       /* this code in the JSON */                                              \
    X(VOUCHER, "voucher") /* code 0 and nothing but a voucher */                                   \
    X(STATUS, "status")   /* this HTTP status, a page of HTML */                                   \
    X(SLOW, "slow")       /* the right answer, `ms` late */                                        \
    X(HANG, "hang")       /* none */                                                               \
    X(GARBAGE, "garbage") /* HTTP 200, no JSON */                                                  \
    X(EMPTY, "empty")     /* code 0, data as `what` says */                                        \
    X(DATE, "date")       /* the right answer, by a clock that is `ms` ahead */                    \
    X(CUT, "cut")         /* closed in the middle of the body */
    SIM_HTTP_KINDS(X)
#undef X
};

struct sim_http_rule {
    enum sim_http_kind kind;
    char path[96]; /* part of the path; empty: every request */
    char what[16]; /* object, array, null, missing */
    int64_t code;  /* of the JSON, or the HTTP status */
    int64_t ms;
    int64_t times; /* 0: no limit */
    int64_t for_ms;
    int64_t chance; /* per cent */
    int64_t given_ms;
    int64_t fired;
};

MUST_CHECK enum err_code sim_http_rule_parse(struct str text, struct sim_http_rule *ret,
                                             struct err *err);
const char *sim_http_rule_name(enum sim_http_kind kind);
/* Replaces or spoils the answer that is in c. SLOW, HANG and CUT are the server's business. */
void sim_http_rule_spoil(const struct sim_http_rule *r, struct sim_call *c);
