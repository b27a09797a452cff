/* tests/support/child.h - code that must end its process, run in a child.
 *
 * Threading:  main thread.
 * Limits:     CHILD_TEXT_BYTES of the child's output are kept.
 */
#pragma once

#include "tests/support/test.h"

enum { CHILD_TEXT_BYTES = 8192 };

struct child {
    int status;                  /* as waitpid gives it */
    char text[CHILD_TEXT_BYTES]; /* stdout and stderr, NUL-terminated */
};

/* fn(ctx) in a forked child, which exits 0 if fn returns. */
void child_call(struct child *c, void (*fn)(void *ctx), void *ctx);
/* A program, its environment inherited. argv[0] is its path. */
void child_exec(struct child *c, char *const argv[]);

/* The child called abort(), and its output contains `text`. */
#define assert_aborts(fn, ctx, text) child_check_abort((fn), (ctx), (text), __FILE__, __LINE__)
void child_check_abort(void (*fn)(void *ctx), void *ctx, const char *text, const char *file,
                       int line);
