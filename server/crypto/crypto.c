#include "server/crypto/crypto.h"

#include <errno.h>
#include <limits.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "server/core/assert.h"

static bool digest(const EVP_MD *md, struct str bytes, uint8_t *out)
{
    return EVP_Digest(bytes.ptr ? bytes.ptr : "", bytes.len, out, NULL, md, NULL) == 1;
}

void crypto_sha256(struct str bytes, uint8_t out[static CRYPTO_SHA256_BYTES])
{
    bool done = digest(EVP_sha256(), bytes, out);

    ASSERT(done);
}

void crypto_hmac_sha256(struct str key, struct str bytes, uint8_t out[static CRYPTO_SHA256_BYTES])
{
    const unsigned char *p = (const unsigned char *)(bytes.ptr ? bytes.ptr : "");
    const unsigned char *done;

    ASSERT(key.len <= INT_MAX);
    done = HMAC(EVP_sha256(), key.ptr ? key.ptr : "", (int)key.len, p, bytes.len, out, NULL);
    ASSERT(done);
}

bool crypto_md5(struct str bytes, uint8_t out[static CRYPTO_MD5_BYTES])
{
    return digest(EVP_md5(), bytes, out);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}

bool crypto_str_equal(struct str a, struct str b)
{
    return a.len == b.len && crypto_equal(a.ptr, b.ptr, a.len);
}

void crypto_random(void *out, size_t n)
{
    char *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        ASSERT(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

size_t crypto_hex(struct str bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.len; i++) {
        unsigned b = (unsigned char)bytes.ptr[i];

        out[2 * i] = digits[b >> 4];
        out[2 * i + 1] = digits[b & 15];
    }
    out[2 * bytes.len] = '\0';
    return 2 * bytes.len;
}
