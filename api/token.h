/* api/token.h - the text of tokens and scopes: made, read, hashed. Pure but for randomness.
 *
 * A token is "dmk_" and 32 random bytes as base64url: 47 characters. Only its SHA-256 is kept.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum {
    TOKEN_SECRET_BYTES = 32,
    TOKEN_TEXT_LEN = 47,
    TOKEN_HASH_BYTES = 32,
    TOKEN_NAME_MAX = 64,
    TOKEN_SCOPES_TEXT_MAX = 64,
};

void token_make(char out[static TOKEN_TEXT_LEN + 1]);
/* False if the text cannot be a token; nothing is looked up. */
MUST_CHECK bool token_hash(struct str text, uint8_t out[static TOKEN_HASH_BYTES]);
/* "read,stream"; false for an empty list or an unknown name. */
MUST_CHECK bool token_scopes_parse(struct str text, unsigned *ret);
/* Names joined by ", "; returns the length. */
size_t token_scopes_text(unsigned scopes, char out[static TOKEN_SCOPES_TEXT_MAX]);
bool token_name_valid(struct str name); /* 1 to 64 of A-Z a-z 0-9 . _ - */
