#include "collector/upstream/wbi.h"

#include "server/core/assert.h"
#include "server/crypto/crypto.h"

enum { WBI_QUERY_MAX = 16 * 1024 };

/* Which characters of the two names, in this order, make the key. */
static const uint8_t picks[WBI_KEY_LEN] = {46, 47, 18, 2,  53, 8,  23, 32, 15, 50, 10,
                                           31, 58, 3,  45, 35, 27, 43, 5,  49, 33, 9,
                                           42, 19, 29, 28, 14, 39, 12, 38, 41, 13};

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The file's name without folder and extension; false if it is not 32 hexadecimal digits. */
static bool file_name(struct str url, struct str *ret)
{
    size_t from = url.len;
    size_t to;
    while (from > 0 && url.ptr[from - 1] != '/') {
        from--;
    }
    for (to = from; to < url.len && is_hex(url.ptr[to]); to++) {
    }
    *ret = str_sub(url, from, to);
    return ret->len == WBI_KEY_LEN && (to == url.len || url.ptr[to] == '.');
}

enum err_code wbi_key_make(struct str img_url, struct str sub_url, struct wbi_key *ret,
                           struct err *err)
{
    struct str img;
    struct str sub;
    if (!file_name(img_url, &img) || !file_name(sub_url, &sub)) {
        return err_set(err, ERR_INVALID, "wbi: no key in the names of the pictures");
    }
    for (size_t i = 0; i < WBI_KEY_LEN; i++) {
        const size_t at = picks[i];
        ret->text[i] = at < WBI_KEY_LEN ? img.ptr[at] : sub.ptr[at - WBI_KEY_LEN];
    }
    ret->text[WBI_KEY_LEN] = '\0';
    return ERR_OK;
}

void wbi_encode(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_put_c(out, (char)c);
        } else {
            buf_put_c(out, '%');
            buf_put_c(out, digits[c >> 4]);
            buf_put_c(out, digits[c & 15]);
        }
    }
}

static bool is_dropped(char c)
{
    return c == '!' || c == '\'' || c == '(' || c == ')' || c == '*';
}

static void put_param(struct buf *out, const struct wbi_param *p)
{
    wbi_encode(out, p->key);
    buf_put_c(out, '=');
    for (size_t i = 0; i < p->value.len; i++) {
        if (!is_dropped(p->value.ptr[i])) {
            wbi_encode(out, str_sub(p->value, i, i + 1));
        }
    }
}

static void sort_params(struct wbi_param *params, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct wbi_param p = params[i];
        size_t at = i;
        for (; at > 0 && str_cmp(params[at - 1].key, p.key) > 0; at--) {
            params[at] = params[at - 1];
        }
        params[at] = p;
    }
}

enum err_code wbi_sign(const struct wbi_key *key, const struct wbi_param *params, size_t n,
                       int64_t wts, struct buf *out, struct err *err)
{
    struct wbi_param sorted[WBI_PARAMS_MAX + 1];
    struct buf query;
    struct buf time;
    uint8_t md5[CRYPTO_MD5_BYTES];
    char hex[CRYPTO_HEX_MAX(CRYPTO_MD5_BYTES)];
    ASSERT(n <= WBI_PARAMS_MAX);
    buf_init(&query, WBI_QUERY_MAX);
    buf_init(&time, WBI_KEY_LEN);
    buf_put_i64(&time, wts);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = params[i];
    }
    sorted[n] = (struct wbi_param){STR("wts"), buf_str(&time)};
    sort_params(sorted, n + 1);
    for (size_t i = 0; i <= n; i++) {
        if (i > 0) {
            buf_put_c(&query, '&');
        }
        put_param(&query, &sorted[i]);
    }
    const size_t len = query.len;
    buf_put(&query, str_of(key->text));
    enum err_code rc = ERR_OK;
    if (!buf_ok(&query)) {
        rc = err_set(err, ERR_INVALID, "wbi: the query is too long");
    } else if (!crypto_md5(buf_str(&query), md5)) {
        rc = err_set(err, ERR_UNAVAILABLE, "wbi: this system's OpenSSL refuses MD5");
    } else {
        (void)crypto_hex((struct str){(const char *)md5, sizeof md5}, hex);
        buf_put(out, str_sub(buf_str(&query), 0, len));
        buf_put(out, STR("&w_rid="));
        buf_put(out, str_of(hex));
    }
    buf_deinit(&query);
    buf_deinit(&time);
    return rc;
}
