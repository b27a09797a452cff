/* collector/net/tls_ctx.h - what all tls connections of a net share: trust, settings, sessions to resume.
 *
 * TLS 1.2 at least, certificate and host name verified. The newest session of each host is kept (at most
 * TLS_SESSIONS_MAX hosts, the one used longest ago leaves), so that a reconnect needs no certificates. A session was
 * verified when it was made, and is only used for the same host and port.
 *
 * Threading:  startup only for tls_ctx_new, when settings are read again for tls_ctx_trust (they read files); loop thread only for the rest.
 * Errors:     ERR_INVALID: the file has no certificates, said in words.
 */
#pragma once

#include <stdint.h>

#include <openssl/types.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"

enum {
    TLS_SESSIONS_MAX = 32,
    TLS_READ_BYTES = 16384, /* the plain bytes of one record */
    TLS_WRITE_MAX = 65536 + 64,
    TLS_OUT_MAX = TLS_WRITE_MAX + 4096 /* their records */
};

struct tls_bio;
struct tls_ctx;
/* ca_file: PEM; NULL or "": the certificates the system trusts. */
MUST_CHECK enum err_code tls_ctx_new(const char *ca_file, struct tls_ctx **ret, struct err *err);
/* Other certificates from now on; connections that are there stay. On failure nothing changes. */
MUST_CHECK enum err_code tls_ctx_trust(struct tls_ctx *c, const char *ca_file, struct err *err);
void tls_ctx_free(struct tls_ctx *c); /* NULL is fine */

/* A client for this host (NUL-terminated), its name or address to be verified. NULL: no name for a certificate. */
SSL *tls_ctx_client(struct tls_ctx *c, const char *host, uint16_t port, struct tls_bio *bio);
void tls_ctx_client_free(SSL *ssl); /* NULL is fine */
/* The session of this host is of no use: its next handshake is a full one. */
void tls_ctx_forget(struct tls_ctx *c, const char *host, uint16_t port);

/* What its connections share: OpenSSL writes into the one, and decrypts into the other (TLS_READ_BYTES). Both are
 * empty between calls. */
struct buf *tls_ctx_out(struct tls_ctx *c);
char *tls_ctx_plain(struct tls_ctx *c);
