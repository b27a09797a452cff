#include "collector/wire/base64.h"

#include <stdint.h>

/* The value of a digit; 64 and above: none. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a' + 26);
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0' + 52);
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

static bool strip_padding(struct str *in)
{
    const size_t len = in->len;
    while (in->len > 0 && len - in->len < 2 && in->ptr[in->len - 1] == '=') {
        in->len--;
    }
    return in->len % 4 != 1 && (in->len == len || len % 4 == 0);
}

bool base64_decode(struct str in, char *out, size_t *ret_len)
{
    uint32_t bits = 0;
    size_t n = 0;
    if (!strip_padding(&in)) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        const uint32_t v = value_of(in.ptr[i]);
        if (v > 63) {
            return false;
        }
        bits = bits << 6 | v;
        if (i % 4 != 0) { /* the second, third and fourth digit of four complete a byte each */
            out[n++] = (char)(bits >> (6 - i % 4 * 2) & 0xff);
        }
    }
    *ret_len = n;
    return true;
}
