/* api/tickets.h - stream tickets: what a browser puts into the URL of an EventSource instead of a token.
 *
 * Single use, TICKETS_LIFE_MS. A ticket gives what its maker had, and only to open a stream.
 *
 * Threading:  loop thread only.
 * Limits:     TICKETS_MAX unused tickets at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum { TICKETS_MAX = 256, TICKETS_LIFE_MS = 60000, TICKET_TEXT_LEN = 32 };

struct tickets;
struct tickets *tickets_new(void);
void tickets_free(struct tickets *t);

/* False: too many are unused. */
MUST_CHECK bool tickets_issue(struct tickets *t, int64_t mono_ms, unsigned scopes,
                              char out[static TICKET_TEXT_LEN + 1]);
/* False: unknown, used or too old. */
MUST_CHECK bool tickets_redeem(struct tickets *t, int64_t mono_ms, struct str text,
                               unsigned *ret_scopes);
