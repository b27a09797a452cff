/* collector/wire/pack.h - a kept message, small: zstd with a numbered dictionary that is part of the program. Pure.
 *
 * The number stands beside what was packed with it, for ever: dictionaries are added (collector/wire/dict), never changed
 * or removed, so that what an older release kept can be read. PACK_PLAIN is zstd without one.
 *
 * Threading:  one user at a time per packer.
 * Limits:     PACK_PLAIN_MAX bytes of a message; out->limit bytes of what comes out.
 */
#pragma once

#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"

enum { PACK_PLAIN = 0, PACK_DICT = 1 }; /* PACK_DICT: the one that is used now */
enum { PACK_PLAIN_MAX = 16 << 20 };

struct packer;
struct packer *packer_new(void);
void packer_free(struct packer *p);

/* Appends message packed with PACK_DICT. ERR_TOO_BIG: the message; ERR_NOMEM: out, which stays as it was. */
MUST_CHECK enum err_code pack(struct packer *p, struct str message, struct buf *out,
                              struct err *err);
/* Appends the message. ERR_INVALID: a dictionary this release does not know; ERR_CORRUPT: the bytes; ERR_TOO_BIG, ERR_NOMEM. */
MUST_CHECK enum err_code unpack(struct packer *p, int64_t dict, struct str packed, struct buf *out,
                                struct err *err);
