/* tests/sim/sim_cert.h - certificates of the simulator's own making, so that tls can be tested without anybody else.
 *
 * Threading:  startup only.
 * Errors:     ERR_IO with the file's name; ERR_INTERNAL when OpenSSL refuses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "server/core/attr.h"
#include "server/core/err.h"

struct sim_cert_opts {
    const char *subject;
    const char *names; /* "DNS:localhost,IP:127.0.0.1"; NULL: an issuer of others, not a server */
    int64_t from_s;    /* valid from now + from_s ... */
    int64_t to_s;      /* ... until now + to_s */
};

struct sim_cert;
/* issuer NULL: signed by itself. */
MUST_CHECK enum err_code sim_cert_new(const struct sim_cert_opts *opts,
                                      const struct sim_cert *issuer, struct sim_cert **ret,
                                      struct err *err);
void sim_cert_free(struct sim_cert *c);           /* NULL is fine */
X509 *sim_cert_x509(const struct sim_cert *c);    /* lent */
EVP_PKEY *sim_cert_key(const struct sim_cert *c); /* lent */
/* PEM; key_path may be NULL. */
MUST_CHECK enum err_code sim_cert_write(const struct sim_cert *c, const char *path,
                                        const char *key_path, struct err *err);

/* DIR/ca.pem, DIR/server.pem and DIR/server.key for localhost, 127.0.0.1, ::1 and `name` (NULL: none): those that
 * are there, if the certificate is good for a day more and has the name, or new ones. The directory is made. */
MUST_CHECK enum err_code sim_cert_dir(const char *dir, const char *name, struct err *err);
