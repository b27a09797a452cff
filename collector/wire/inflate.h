/* collector/wire/inflate.h - compressed bodies in, plain bytes out, never more than the caller allows.
 *
 * One inflater serves any number of connections of one thread: it holds the decompressor and one output buffer per
 * nesting level, so that an idle connection costs nothing here.
 *
 *      level 0 [ plain bytes of a frame ............ ]      a packet inside level 0 may be compressed again
 *      level 1   [ plain bytes of that packet ... ]         and is inflated here, while level 0 is still being read
 *
 * Threading:  one user at a time.
 * Ownership:  the output is lent until the next inflate on the same level, or inflate_trim.
 * Limits:     `limit` bytes of output per call; INFLATE_LEVELS; between frames at most INFLATE_KEEP_BYTES per level.
 * Errors:     ERR_CORRUPT, ERR_TOO_BIG (more than limit bytes would come out), ERR_NOMEM.
 */
#pragma once

#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { INFLATE_LEVELS = 8, INFLATE_KEEP_BYTES = 1 << 20 };
enum inflate_format { INFLATE_ZLIB, INFLATE_BROTLI };

struct inflate;
struct inflate *inflate_new(void);
void inflate_free(struct inflate *z);

/* Bytes after the end of the compressed stream are ignored. */
MUST_CHECK enum err_code inflate_run(struct inflate *z, enum inflate_format format, unsigned level,
                                     struct str in, size_t limit, struct str *ret);
void inflate_trim(struct inflate *z); /* gives back what is over INFLATE_KEEP_BYTES per level */
