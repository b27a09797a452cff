/* collector/upstream/keep_file.h - a small text kept on disk: written by a thread of libuv's, renamed into place.
 *
 * After a crash or power loss the file holds the old text or the new one, never a part.
 *
 * Threading:  loop thread only; the writing itself is done by libuv's threads.
 * Ownership:  path and text are copied.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct loop;

typedef void(keep_file_fn)(void *ctx, enum err_code code, const struct err *err);
/* Into path, by way of path.new, readable by the owner only. done comes exactly once, never before this returns; it
 * cannot be taken back. */
void keep_file_write(struct loop *loop, const char *path, struct str text, keep_file_fn *done,
                     void *ctx);
/* At once, so at the start only or where the configuration is read. ERR_NOT_FOUND: no such file; ERR_TOO_BIG: longer
 * than max; ERR_IO: also what is no regular file (a FIFO, a device, a folder). *out is initialised on success only. */
MUST_CHECK enum err_code keep_file_read(const char *path, size_t max, struct buf *out,
                                        struct err *err);
