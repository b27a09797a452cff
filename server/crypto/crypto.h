/* server/crypto/crypto.h - digests, comparison, randomness and the text forms of bytes.
 *
 * libcrypto is behind it; no other folder but collector/net sees OpenSSL. What can only fail when the machine is
 * broken (no memory for a digest, no randomness in the kernel) aborts.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum { CRYPTO_SHA256_BYTES = 32, CRYPTO_MD5_BYTES = 16 };

void crypto_sha256(struct str bytes, uint8_t out[static CRYPTO_SHA256_BYTES]);
void crypto_hmac_sha256(struct str key, struct str bytes, uint8_t out[static CRYPTO_SHA256_BYTES]);
/* For a signature that upstream asks for; protects nothing. false: this OpenSSL refuses MD5 (FIPS). */
MUST_CHECK bool crypto_md5(struct str bytes, uint8_t out[static CRYPTO_MD5_BYTES]);

/* Takes as long for equal as for different bytes. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* The same for views; the lengths are no secret. */
bool crypto_str_equal(struct str a, struct str b);

/* From the kernel: for tokens and keys. */
void crypto_random(void *out, size_t n);

/* Text into out, NUL-terminated; returns the length without the NUL. Lower case; base64url without padding. */
#define CRYPTO_HEX_MAX(n) ((n)*2 + 1)
#define CRYPTO_BASE64_MAX(n) (((n) + 2) / 3 * 4 + 1)
size_t crypto_hex(struct str bytes, char *out);
size_t crypto_base64url(struct str bytes, char *out);

/* Bytes into out (room for CRYPTO_DECODED_MAX(text.len)); *ret_len is set on success only.
 * base64url: one text per value, so padding and stray bits at the end are refused (tokens are compared as text).
 * base64: the standard alphabet, padding may be missing, stray bits are ignored. */
#define CRYPTO_DECODED_MAX(n) (((n) + 3) / 4 * 3)
MUST_CHECK bool crypto_base64url_decode(struct str text, void *out, size_t *ret_len);
MUST_CHECK bool crypto_base64_decode(struct str text, void *out, size_t *ret_len);
