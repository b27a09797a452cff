#include "collector/net/tls_bio.h"

static int on_read(BIO *bio, char *to, int n)
{
    struct tls_bio *b = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n <= 0) {
        return 0;
    }
    if (b->in.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const size_t take = b->in.len < (size_t)n ? b->in.len : (size_t)n;
    memcpy(to, b->in.ptr, take);
    b->in = str_sub(b->in, take, b->in.len);
    return (int)take;
}

static int on_write(BIO *bio, const char *from, int n)
{
    struct tls_bio *b = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_put(b->out, (struct str){from, n > 0 ? (size_t)n : 0});
    return buf_ok(b->out) ? n : -1;
}

static long on_ctrl(BIO *bio, int what, long n, void *p)
{
    (void)bio;
    (void)n;
    (void)p;
    return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "danmakud");
    if (m && (BIO_meth_set_read(m, on_read) != 1 || BIO_meth_set_write(m, on_write) != 1 ||
              BIO_meth_set_ctrl(m, on_ctrl) != 1)) {
        BIO_meth_free(m);
        m = NULL;
    }
    return m;
}

BIO *tls_bio_new(const BIO_METHOD *method, struct tls_bio *b)
{
    BIO *bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, b);
        BIO_set_init(bio, 1);
    }
    return bio;
}
