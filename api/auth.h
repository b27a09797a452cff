/* api/auth.h - who may do what: bearer tokens, kept as hashes in memory.
 *
 * Tokens are read from table api_token at start, every AUTH_REFRESH_MS, and when one is presented that is not known
 * (at most once per AUTH_MISS_MS), so a new token works at once, a revoked one is refused within half a minute, and none
 * of it needs the database to be there at the moment of the request. When a reading takes rights away (a token is gone
 * or has fewer scopes, or the first one closes an open service), opts.narrowed is called, so that streams opened with
 * them can be ended.
 *
 * Without any token in the table everybody has SCOPES_ANONYMOUS, if the operator allows that (opts.open). As long as
 * the table was never read, nobody gets in: requests wait for it.
 *
 * Threading:  loop thread only.
 * Limits:     AUTH_TOKENS_MAX tokens; AUTH_WAITING_MAX requests wait for a reading.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/list.h"
#include "server/core/str.h"
#include "server/db/db.h"

struct auth;
struct loop;
struct stats;

enum {
    AUTH_TOKENS_MAX = 1000,
    AUTH_WAITING_MAX = 1000,
    AUTH_REFRESH_MS = 30000,
    AUTH_MISS_MS = 1000,
};

struct auth_opts {
    struct loop *loop;
    struct db *db;
    struct stats *stats;
    bool open; /* without tokens, everybody may read and stream */
    void (*narrowed)(void *ctx);
    void *ctx;
};

struct auth *auth_new(const struct auth_opts *opts); /* starts reading the table */
void auth_read(struct auth *auth); /* the database may be there now: do not wait for the timer */
void auth_free(struct auth *auth); /* waiting checks are dropped */

enum auth_result {
    AUTH_GRANTED,
    AUTH_NONE,      /* no credentials, but they are needed */
    AUTH_INVALID,   /* credentials that are not, or no longer, good */
    AUTH_WAIT,      /* auth_wait has to be called */
    AUTH_UNCERTAIN, /* the table could not be read yet */
};
/* Of the Authorization header (empty: none given). *ret_scopes is set when granted. Never AUTH_WAIT unless may_wait. */
enum auth_result auth_check(struct auth *auth, struct str header, bool may_wait,
                            unsigned *ret_scopes);

/* A check that waits for the table. */
struct auth_waiter {
    struct list_node node;
    void (*fn)(void *ctx); /* check again, without may_wait */
    void *ctx;
};
/* False: too many wait already. fn never runs before this returns, and once at most. */
MUST_CHECK bool auth_wait(struct auth *auth, struct auth_waiter *w);
void auth_unwait(struct auth *auth, struct auth_waiter *w); /* no-op when not waiting */

bool auth_has_tokens(const struct auth *auth);
