#include "collector/net/tls_ctx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "collector/net/tls_bio.h"
#include "server/core/mem.h"

/* Read at once at the start: OpenSSL's own folder of certificates would be read during handshakes, on the loop. */
static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

struct session {
    char *key; /* owned: "host:port" */
    SSL_SESSION *session;
    uint64_t used; /* by the count of uses */
};

struct tls_ctx {
    SSL_CTX *ssl;    /* owned */
    BIO_METHOD *bio; /* owned */
    struct session sessions[TLS_SESSIONS_MAX];
    size_t n_sessions;
    uint64_t n_uses;
    struct buf out;
    char plain[TLS_READ_BYTES];
};

/* --- sessions --- */

static char *key_new(const char *host, uint16_t port)
{
    const size_t size = strlen(host) + sizeof ":65535";
    char *key = mem_new_array(char, size);
    (void)snprintf(key, size, "%s:%u", host, (unsigned)port);
    return key;
}

static struct session *find(struct tls_ctx *c, const char *key)
{
    for (size_t i = 0; i < c->n_sessions; i++) {
        if (strcmp(c->sessions[i].key, key) == 0) {
            return &c->sessions[i];
        }
    }
    return NULL;
}

static void forget(struct tls_ctx *c, struct session *s)
{
    mem_free(s->key);
    SSL_SESSION_free(s->session);
    *s = c->sessions[--c->n_sessions];
    c->sessions[c->n_sessions] = (struct session){0};
}

static struct session *oldest(struct tls_ctx *c)
{
    struct session *s = &c->sessions[0];
    for (size_t i = 1; i < c->n_sessions; i++) {
        if (c->sessions[i].used < s->used) {
            s = &c->sessions[i];
        }
    }
    return s;
}

/* A server may hand out several; the newest is kept. Returning 1 takes the reference. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_ctx *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *key = SSL_get_app_data(ssl);
    struct session *s = find(c, key);
    if (s) {
        SSL_SESSION_free(s->session);
    } else {
        if (c->n_sessions == TLS_SESSIONS_MAX) {
            forget(c, oldest(c));
        }
        s = &c->sessions[c->n_sessions++];
        s->key = mem_new_array(char, strlen(key) + 1);
        memcpy(s->key, key, strlen(key));
    }
    s->session = session;
    s->used = ++c->n_uses;
    return 1;
}

void tls_ctx_forget(struct tls_ctx *c, const char *host, uint16_t port)
{
    char *key = key_new(host, port);
    struct session *s = find(c, key);
    if (s) {
        forget(c, s);
    }
    mem_free(key);
}

/* --- the context --- */

static enum err_code trust(SSL_CTX *ssl, const char *ca_file, struct err *err)
{
    const char *file = ca_file && *ca_file ? ca_file : NULL;
    if (!file && !getenv("SSL_CERT_FILE") && !getenv("SSL_CERT_DIR") &&
        access(system_ca_file, R_OK) == 0) {
        file = system_ca_file;
    }
    if (!file) {
        return SSL_CTX_set_default_verify_paths(ssl) == 1
                   ? ERR_OK
                   : err_set(err, ERR_INVALID, "tls: no certificates of the system");
    }
    if (access(file, R_OK) != 0) {
        return err_set_sys(err, ERR_INVALID, errno, "tls: %s", file);
    }
    if (SSL_CTX_load_verify_file(ssl, file) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "tls: no certificates (PEM) in %s", file);
    }
    return ERR_OK;
}

static void configure(struct tls_ctx *c)
{
    SSL_CTX_set_app_data(c->ssl, c);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_session_cache_mode(c->ssl,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl, on_new_session);
}

enum err_code tls_ctx_new(const char *ca_file, struct tls_ctx **ret, struct err *err)
{
    struct tls_ctx *c = mem_new(struct tls_ctx);
    buf_init(&c->out, TLS_OUT_MAX);
    c->ssl = SSL_CTX_new(TLS_client_method());
    c->bio = tls_bio_method_new();
    enum err_code rc = ERR_OK;
    if (!c->ssl || !c->bio || SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1) {
        ERR_clear_error();
        rc = err_set(err, ERR_UNAVAILABLE, "tls: OpenSSL cannot be used");
    } else {
        rc = trust(c->ssl, ca_file, err);
    }
    if (rc != ERR_OK) {
        tls_ctx_free(c);
        return rc;
    }
    configure(c);
    *ret = c;
    return ERR_OK;
}

enum err_code tls_ctx_trust(struct tls_ctx *c, const char *ca_file, struct err *err)
{
    SSL_CTX *const fresh = SSL_CTX_new(TLS_client_method());
    enum err_code rc = ERR_OK;
    if (!fresh) {
        ERR_clear_error();
        rc = err_set(err, ERR_UNAVAILABLE, "tls: OpenSSL cannot be used");
    } else {
        rc = trust(fresh, ca_file, err);
    }
    if (rc == ERR_OK) {
        SSL_CTX_set1_cert_store(c->ssl, SSL_CTX_get_cert_store(fresh));
        while (c->n_sessions > 0) { /* verified by what is not trusted any more */
            forget(c, &c->sessions[0]);
        }
    }
    SSL_CTX_free(fresh);
    return rc;
}

void tls_ctx_free(struct tls_ctx *c)
{
    if (!c) {
        return;
    }
    while (c->n_sessions > 0) {
        forget(c, &c->sessions[0]);
    }
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    buf_deinit(&c->out);
    mem_free(c);
}

struct buf *tls_ctx_out(struct tls_ctx *c)
{
    return &c->out;
}

char *tls_ctx_plain(struct tls_ctx *c)
{
    return c->plain;
}

/* --- connections --- */

/* OpenSSL only reads the name, but its macro takes it without const. */
static bool send_name(SSL *ssl, const char *host)
{
    char *name;
    memcpy(&name, &host, sizeof name);
    return SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* The name is sent (SNI) and verified; an address can only be verified. */
static bool set_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) {
        return true;
    }
    ERR_clear_error();
    return send_name(ssl, host) && X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

SSL *tls_ctx_client(struct tls_ctx *c, const char *host, uint16_t port, struct tls_bio *b)
{
    SSL *ssl = SSL_new(c->ssl);
    BIO *bio = ssl && set_host(ssl, host) ? tls_bio_new(c->bio, b) : NULL;
    if (!bio) {
        ERR_clear_error();
        SSL_free(ssl);
        return NULL;
    }
    char *key = key_new(host, port);
    struct session *s = find(c, key);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, key);
    SSL_set_connect_state(ssl);
    if (s) {
        s->used = ++c->n_uses;
        (void)SSL_set_session(ssl, s->session); /* without it the handshake is a full one */
    }
    return ssl;
}

void tls_ctx_client_free(SSL *ssl)
{
    if (ssl) {
        mem_free(SSL_get_app_data(ssl));
        SSL_free(ssl);
    }
}
