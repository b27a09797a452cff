/* server/app/version.h - what `danmakud version` prints.
 *
 * Threading:  any thread.
 */
#pragma once

#include "server/core/buf.h"

void version_write(struct buf *out); /* our version, then those of the libraries, one a line */
const char *version_string(void);    /* "0.1.0" */
