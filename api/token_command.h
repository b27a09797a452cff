/* api/token_command.h - `danmakud token add|list|revoke`, on the loop.
 *
 *   add NAME [--scopes=read,stream] [--expires=90d]   prints the token: the only time it is seen
 *   list                                              one line per token, never the token itself
 *   revoke NAME
 *
 * Threading:  loop thread only.
 * Ownership:  arguments are borrowed until done.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/str.h"

struct db;
struct loop;

struct token_command_opts {
    struct loop *loop;
    struct db *db;
    int argc; /* without "danmakud token" */
    char *const *argv;
    /* Exactly once, never before api_token_command returns. exit_code: 0, 1 failed, 2 wrong usage. out goes to stdout,
     * err to stderr; both are lent. */
    void (*done)(void *ctx, int exit_code, struct str out, struct str err);
    void *ctx;
};
/* False: the arguments are wrong, err (initialised by the caller) says how. Needs no database. */
MUST_CHECK bool api_token_check(int argc, char *const *argv, struct buf *err);
void api_token_command(const struct token_command_opts *opts);
