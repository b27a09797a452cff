#include "tests/sim/sim_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { PIECE_BYTES = 16384 };

struct sim_tls_ctx {
    SSL_CTX *ssl; /* owned */
};

struct sim_tls {
    SSL *ssl; /* owned, with both ends' memory */
    enum sim_tls_state state;
};

void sim_tls_ctx_free(struct sim_tls_ctx *c)
{
    if (c) {
        SSL_CTX_free(c->ssl);
        mem_free(c);
    }
}

SSL_CTX *sim_tls_ctx_raw(struct sim_tls_ctx *c)
{
    return c->ssl;
}

static struct sim_tls_ctx *ctx_new(void)
{
    static const unsigned char id[] = "danmakud-sim";
    struct sim_tls_ctx *c = mem_new(struct sim_tls_ctx);

    c->ssl = SSL_CTX_new(TLS_server_method());
    ASSERT(c->ssl);
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_id_context(c->ssl, id, sizeof(id) - 1);
    return c;
}

static enum err_code ctx_done(struct sim_tls_ctx *c, bool ok, struct sim_tls_ctx **ret,
                              struct err *err)
{
    if (!ok || SSL_CTX_check_private_key(c->ssl) != 1) {
        sim_tls_ctx_free(c);
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "tls: no certificate and key that belong together");
    }
    *ret = c;
    return ERR_OK;
}

enum err_code sim_tls_ctx_new(const char *cert_file, const char *key_file, struct sim_tls_ctx **ret,
                              struct err *err)
{
    struct sim_tls_ctx *c = ctx_new();

    return ctx_done(c,
                    SSL_CTX_use_certificate_chain_file(c->ssl, cert_file) == 1 &&
                        SSL_CTX_use_PrivateKey_file(c->ssl, key_file, SSL_FILETYPE_PEM) == 1,
                    ret, err);
}

enum err_code sim_tls_ctx_of(X509 *cert, EVP_PKEY *key, struct sim_tls_ctx **ret, struct err *err)
{
    struct sim_tls_ctx *c = ctx_new();

    return ctx_done(
        c, SSL_CTX_use_certificate(c->ssl, cert) == 1 && SSL_CTX_use_PrivateKey(c->ssl, key) == 1,
        ret, err);
}

struct sim_tls *sim_tls_new(struct sim_tls_ctx *c)
{
    struct sim_tls *t = mem_new(struct sim_tls);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    t->ssl = SSL_new(c->ssl);
    ASSERT(t->ssl && in && out);
    SSL_set_bio(t->ssl, in, out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void sim_tls_free(struct sim_tls *t)
{
    if (t) {
        SSL_free(t->ssl);
        mem_free(t);
    }
}

static void take_out(struct sim_tls *t, struct buf *cipher)
{
    BIO *out = SSL_get_wbio(t->ssl);
    char *bytes;
    long n = BIO_get_mem_data(out, &bytes);

    buf_put(cipher, (struct str){bytes, (size_t)n});
    (void)BIO_reset(out);
}

static enum sim_tls_state step(struct sim_tls *t, struct buf *plain)
{
    char piece[PIECE_BYTES];
    int n;
    int why;

    ERR_clear_error();
    if (!SSL_is_init_finished(t->ssl)) {
        n = SSL_do_handshake(t->ssl);
        if (n != 1) {
            why = SSL_get_error(t->ssl, n);
            return why == SSL_ERROR_WANT_READ ? SIM_TLS_SHAKING : SIM_TLS_FAILED;
        }
    }
    while ((n = SSL_read(t->ssl, piece, sizeof(piece))) > 0) {
        buf_put(plain, (struct str){piece, (size_t)n});
    }
    why = SSL_get_error(t->ssl, n);
    return why == SSL_ERROR_WANT_READ     ? SIM_TLS_OPEN
           : why == SSL_ERROR_ZERO_RETURN ? SIM_TLS_OVER
                                          : SIM_TLS_FAILED;
}

enum sim_tls_state sim_tls_in(struct sim_tls *t, struct str bytes, struct buf *plain,
                              struct buf *cipher)
{
    if (t->state == SIM_TLS_OVER || t->state == SIM_TLS_FAILED) {
        return t->state;
    }
    if (bytes.len > 0) {
        int n = BIO_write(SSL_get_rbio(t->ssl), bytes.ptr, (int)bytes.len);

        ASSERT(n == (int)bytes.len);
    }
    t->state = step(t, plain);
    take_out(t, cipher);
    return t->state;
}

void sim_tls_out(struct sim_tls *t, struct str plain, struct buf *cipher)
{
    while (plain.len > 0 && t->state == SIM_TLS_OPEN) {
        size_t n = plain.len < PIECE_BYTES ? plain.len : PIECE_BYTES;
        int rc = SSL_write(t->ssl, plain.ptr, (int)n);

        ASSERT(rc == (int)n);
        plain = str_sub(plain, n, plain.len);
        take_out(t, cipher);
    }
}

void sim_tls_bye(struct sim_tls *t, struct buf *cipher)
{
    if (t->state == SIM_TLS_OPEN) {
        (void)SSL_shutdown(t->ssl);
        take_out(t, cipher);
        t->state = SIM_TLS_OVER; /* nothing may follow */
    }
}

SSL *sim_tls_raw(struct sim_tls *t)
{
    return t->ssl;
}

bool sim_tls_resumed(const struct sim_tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

const char *sim_tls_name(const struct sim_tls *t)
{
    return SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
}
