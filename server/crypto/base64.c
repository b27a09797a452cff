#include "server/crypto/crypto.h"

static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t crypto_base64url(struct str bytes, char *out)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    size_t len = 0;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;

        v |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= n > 2 ? (uint32_t)p[i + 2] : 0;
        for (size_t k = 0; k <= n; k++) {
            out[len++] = url_alphabet[(v >> (18 - 6 * k)) & 63];
        }
    }
    out[len] = '\0';
    return len;
}

/* 0-63, or -1. c62 and c63 are what the alphabets differ in. */
static int value_of(char c, char c62, char c63)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == c62) {
        return 62;
    }
    return c == c63 ? 63 : -1;
}

/* Text without padding. *ret_stray: the bits behind the last whole byte. */
static bool decode(struct str text, const char c62_c63[static 2], uint8_t *out, size_t *ret_len,
                   uint32_t *ret_stray)
{
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t len = 0;

    if (text.len % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        int v = value_of(text.ptr[i], c62_c63[0], c62_c63[1]);

        if (v < 0) {
            return false;
        }
        acc = (acc << 6) | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[len++] = (uint8_t)(acc >> bits);
            acc &= (1U << bits) - 1;
        }
    }
    *ret_stray = acc;
    *ret_len = len;
    return true;
}

bool crypto_base64url_decode(struct str text, void *out, size_t *ret_len)
{
    uint32_t stray;
    size_t len;

    if (!decode(text, "-_", out, &len, &stray) || stray != 0) {
        return false;
    }
    *ret_len = len;
    return true;
}

bool crypto_base64_decode(struct str text, void *out, size_t *ret_len)
{
    uint32_t stray;

    /* Padding stands only where it fills up a group of four. */
    if (text.len > 0 && text.len % 4 == 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
        if (text.ptr[text.len - 1] == '=') {
            text.len--;
        }
    }
    return decode(text, "+/", out, ret_len, &stray);
}
