/* tests/sim/sim_tls.h - the server's side of tls: cipher bytes in, plain bytes out, and the other way. No sockets.
 *
 * Threading:  loop thread only.
 * Ownership:  a context outlives its connections.
 */
#pragma once

#include <stdbool.h>

#include <openssl/types.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct sim_tls_ctx;
/* PEM files. ERR_INVALID: they are none, or do not belong together. */
MUST_CHECK enum err_code sim_tls_ctx_new(const char *cert_file, const char *key_file,
                                         struct sim_tls_ctx **ret, struct err *err);
MUST_CHECK enum err_code sim_tls_ctx_of(X509 *cert, EVP_PKEY *key, struct sim_tls_ctx **ret,
                                        struct err *err);
void sim_tls_ctx_free(struct sim_tls_ctx *c);    /* NULL is fine */
SSL_CTX *sim_tls_ctx_raw(struct sim_tls_ctx *c); /* for settings of a test */

struct sim_tls;
struct sim_tls *sim_tls_new(struct sim_tls_ctx *c);
void sim_tls_free(struct sim_tls *t); /* NULL is fine */

enum sim_tls_state {
    SIM_TLS_SHAKING,
    SIM_TLS_OPEN,
    SIM_TLS_OVER, /* the client said so */
    SIM_TLS_FAILED,
};
/* Appends what was decrypted to `plain` and what is to be sent to `cipher`. */
enum sim_tls_state sim_tls_in(struct sim_tls *t, struct str bytes, struct buf *plain,
                              struct buf *cipher);
/* Only when open. */
void sim_tls_out(struct sim_tls *t, struct str plain, struct buf *cipher);
void sim_tls_bye(struct sim_tls *t, struct buf *cipher); /* close_notify */
SSL *sim_tls_raw(struct sim_tls *t); /* what a test does to it takes effect with the next call */
bool sim_tls_resumed(const struct sim_tls *t);
const char *sim_tls_name(const struct sim_tls *t); /* what the client asked for, or NULL */
