/* collector/upstream/wbi.h - the signature that some of upstream's APIs want: key of the day, sorted query, MD5.
 *
 * Upstream gives two names of pictures; 32 characters of them, picked by a fixed table, are the key. The query is
 * written as browsers write it, sorted by key, with the time; its MD5 together with the key is appended.
 *
 * Threading:  any thread.
 * Errors:     ERR_INVALID: an address without a name of 32 hexadecimal digits; ERR_UNAVAILABLE: no MD5 here (FIPS).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { WBI_KEY_LEN = 32, WBI_PARAMS_MAX = 15 };

struct wbi_key {
    char text[WBI_KEY_LEN + 1];
};

struct wbi_param {
    struct str key, value;
};

/* From the addresses of the two pictures; only the file names without folder and extension count. */
MUST_CHECK enum err_code wbi_key_make(struct str img_url, struct str sub_url, struct wbi_key *ret,
                                      struct err *err);
/* Appends "a=..&b=..&wts=..&w_rid=..". At most WBI_PARAMS_MAX params, in any order. */
MUST_CHECK enum err_code wbi_sign(const struct wbi_key *key, const struct wbi_param *params,
                                  size_t n, int64_t wts, struct buf *out, struct err *err);
/* As encodeURIComponent, but that ! ' ( ) * are encoded too (a value to be signed has none). */
void wbi_encode(struct buf *out, struct str text);
