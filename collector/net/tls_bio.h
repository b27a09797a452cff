/* collector/net/tls_bio.h - OpenSSL's view of a connection: bytes lent to it, bytes it leaves behind. Keeps nothing.
 *
 * Threading:  loop thread only.
 * Ownership:  the struct is embedded in its owner and outlives the BIO.
 */
#pragma once

#include <openssl/bio.h>

#include "server/core/buf.h"
#include "server/core/str.h"

struct tls_bio {
    struct str in;   /* what OpenSSL has not taken yet */
    struct buf *out; /* borrowed; what does not fit shows in buf_ok */
};

BIO_METHOD *tls_bio_method_new(void); /* NULL: no memory; freed with BIO_meth_free */
BIO *tls_bio_new(const BIO_METHOD *method, struct tls_bio *b); /* NULL: no memory */
