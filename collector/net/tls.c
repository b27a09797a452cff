#include "collector/net/tls.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "collector/net/tcp.h"
#include "collector/net/tls_bio.h"
#include "collector/net/tls_ctx.h"
#include "collector/net/transport_priv.h"
#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

struct tls {
    struct transport base;   /* first */
    struct net *net;         /* borrowed */
    struct transport *below; /* owned until its on_closed */
    SSL *ssl;                /* owned */
    struct tls_bio bio;      /* `in` is lent, and empty between calls */
    struct loop_timer timer; /* of the handshake */
    int64_t deadline_ms;
    uint16_t port;
    bool below_open;
    bool is_open;
    bool ended;
    bool closing;
    char host[]; /* NUL-terminated */
};

static struct tls *tls_of(struct transport *base)
{
    return CONTAINER_OF(base, struct tls, base);
}

/* Hands down what OpenSSL has written. */
static enum err_code flush(struct tls *t, struct err *err)
{
    struct buf *out = t->bio.out;
    enum err_code rc = ERR_OK;
    if (!buf_ok(out)) {
        rc = err_set(err, ERR_FULL, "tls: more to send than fits");
    } else if (out->len > 0) {
        rc = transport_write(t->below, buf_str(out), err);
    }
    buf_clear(out);
    return rc;
}

/* --- ends --- */

static void tell_end(struct tls *t, enum transport_end why, const struct err *err)
{
    if (t->ended || t->closing) {
        return;
    }
    t->ended = true;
    loop_timer_stop(&t->timer);
    t->base.up.on_end(t->base.up.ctx, why, err);
}

/* OpenSSL's reason in words: what is wrong with the certificate, or the first error of its queue. */
static void explain(struct tls *t, struct err *err)
{
    const long verified = SSL_get_verify_result(t->ssl);
    const unsigned long first = ERR_get_error();
    const char *reason = first ? ERR_reason_error_string(first) : NULL;
    ERR_clear_error();
    if (verified != X509_V_OK && !t->is_open) {
        (void)err_set(err, ERR_PROTO, "tls: certificate of %s: %s", t->host,
                      X509_verify_cert_error_string(verified));
    } else {
        (void)err_set(err, ERR_PROTO, "tls: %s", reason ? reason : "closed by the peer");
    }
}

static void fail(struct tls *t)
{
    struct err err;
    explain(t, &err);
    (void)flush(t, NULL); /* the alert that tells the peer; if it does not arrive, so be it */
    if (!t->is_open) {
        tls_ctx_forget(t->net->tls, t->host, t->port);
    }
    tell_end(t, t->is_open ? TRANSPORT_FRAMING : TRANSPORT_HANDSHAKE, &err);
}

static void on_timer(void *ctx)
{
    struct tls *t = ctx;
    struct err err;
    (void)err_set(&err, ERR_TIMEOUT, "tls: no answer to the handshake");
    tell_end(t, TRANSPORT_TIMEOUT, &err);
}

/* --- up --- */

/* True: the handshake is done, and the owner has been told. */
static bool shake_hands(struct tls *t)
{
    struct err err;
    ERR_clear_error();
    const int rc = SSL_do_handshake(t->ssl);
    if (rc != 1 && SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ) {
        fail(t);
        return false;
    }
    if (flush(t, &err) != ERR_OK) {
        tell_end(t, TRANSPORT_HANDSHAKE, &err);
        return false;
    }
    if (rc != 1) {
        return false;
    }
    t->is_open = true;
    loop_timer_stop(&t->timer);
    net_note(t->net, SSL_session_reused(t->ssl) ? NET_NOTE_TLS_RESUMED : NET_NOTE_TLS_FULL);
    t->base.up.on_open(t->base.up.ctx);
    return true;
}

/* One record's worth; false: there is no more. */
static bool read_some(struct tls *t)
{
    char *plain = tls_ctx_plain(t->net->tls);
    struct err err;
    ERR_clear_error();
    const int n = SSL_read(t->ssl, plain, TLS_READ_BYTES);
    const int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);
    if (why == SSL_ERROR_ZERO_RETURN) {
        (void)err_set(&err, ERR_IO, "tls: closed by the peer");
        tell_end(t, TRANSPORT_EOF, &err);
        return false;
    }
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ) {
        fail(t);
        return false;
    }
    if (flush(t, &err) != ERR_OK) { /* what OpenSSL itself had to say: an update of keys */
        tell_end(t, TRANSPORT_RESET, &err);
        return false;
    }
    if (n > 0) {
        t->base.up.on_data(t->base.up.ctx, (struct str){plain, (size_t)n}, false);
    }
    return n > 0;
}

static void on_below_data(void *ctx, struct str data, bool whole)
{
    (void)whole;
    struct tls *t = ctx;
    if (t->ended || t->closing) {
        return;
    }
    t->bio.in = data;
    if (t->is_open || shake_hands(t)) {
        while (!t->ended && !t->closing && read_some(t)) {
        }
    }
    t->bio.in = STR_NULL;
}

static void on_below_open(void *ctx)
{
    struct tls *t = ctx;
    if (t->closing) {
        return;
    }
    const int64_t left = t->deadline_ms - loop_now_ms(t->net->loop);
    t->below_open = true;
    loop_timer_start(&t->timer, left > 0 ? left : 0, 0);
    (void)shake_hands(t);
}

static void on_below_end(void *ctx, enum transport_end why, const struct err *err)
{
    struct tls *t = ctx;
    struct err mine;
    if (t->below_open && !t->is_open) {
        (void)err_set(&mine, ERR_IO, "tls: closed during the handshake: %s", err ? err->msg : "");
        tls_ctx_forget(t->net->tls, t->host, t->port);
        tell_end(t, TRANSPORT_HANDSHAKE, &mine);
    } else {
        tell_end(t, why, err);
    }
}

static void on_below_closed(void *ctx)
{
    struct tls *t = ctx;
    const struct transport_handler up = t->base.up;
    ASSERT(t->closing);
    tls_ctx_client_free(t->ssl);
    ASSERT(t->net->n_open > 0);
    t->net->n_open--;
    mem_free(t);
    up.on_closed(up.ctx);
}

/* --- down --- */

static enum err_code tls_write(struct transport *base, struct str bytes, struct err *err)
{
    struct tls *t = tls_of(base);
    if (!t->is_open || t->ended || t->closing) {
        return err_set(err, ERR_IO, "write: not open");
    }
    if (bytes.len == 0) {
        return ERR_OK;
    }
    if (bytes.len > TLS_WRITE_MAX) {
        return err_set(err, ERR_FULL, "write: over %d bytes", TLS_WRITE_MAX);
    }
    ERR_clear_error();
    const int n = SSL_write(t->ssl, bytes.ptr, (int)bytes.len);
    if (n <= 0) {
        explain(t, err);
        (void)flush(t, NULL);
        t->ended = true;
        return ERR_IO;
    }
    ASSERT((size_t)n == bytes.len); /* no partial writes: the BIO takes all, or fails */
    const enum err_code rc = flush(t, err);
    if (rc != ERR_OK) {
        t->ended = true; /* a record is missing: nothing can follow it */
    }
    return rc;
}

static void tls_close(struct transport *base)
{
    struct tls *t = tls_of(base);
    ASSERT(!t->closing);
    if (t->is_open && !t->ended) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl); /* close_notify; its answer is not waited for */
        ERR_clear_error();
        (void)flush(t, NULL);
    }
    t->closing = true;
    loop_timer_stop(&t->timer);
    transport_close(t->below);
}

static const struct transport_ops tls_ops = {tls_write, tls_close};

static struct tls *tls_new(struct net *net, const struct transport_dial *dial)
{
    struct tls *t = mem_zero_or_abort(1, sizeof(struct tls) + dial->host.len + 1);
    t->base.ops = &tls_ops;
    t->net = net;
    t->port = dial->port;
    t->deadline_ms = loop_now_ms(net->loop) + dial->timeout_ms;
    memcpy(t->host, dial->host.ptr, dial->host.len);
    loop_timer_init(&t->timer, net->loop, on_timer, t);
    t->bio.out = tls_ctx_out(net->tls);
    t->ssl = tls_ctx_client(net->tls, t->host, t->port, &t->bio);
    if (!t->ssl) {
        mem_free(t);
        return NULL;
    }
    return t;
}

enum err_code tls_open(struct net *net, const struct transport_dial *dial,
                       const struct transport_handler *handler, struct transport **ret,
                       struct err *err)
{
    if (!net->tls) {
        return err_set(err, ERR_UNAVAILABLE, "tls: not configured");
    }
    if (dial->host.len == 0 || dial->host.len > TRANSPORT_HOST_MAX ||
        memchr(dial->host.ptr, 0, dial->host.len)) {
        return err_set(err, ERR_INVALID, "no host name");
    }
    struct tls *t = tls_new(net, dial);
    if (!t) {
        return err_set(err, ERR_INVALID, "tls: not a host name: " STR_FMT, STR_ARG(dial->host));
    }
    const struct transport_handler mine = {on_below_open, on_below_data, on_below_end,
                                           on_below_closed, t};
    t->base.up = *handler;
    const enum err_code rc = tcp_open(net, dial, &mine, &t->below, err);
    if (rc != ERR_OK) {
        tls_ctx_client_free(t->ssl);
        mem_free(t);
        return rc;
    }
    net->n_open++;
    *ret = &t->base;
    return ERR_OK;
}
