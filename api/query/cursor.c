#include "api/query/cursor.h"

#include <stddef.h>

#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/crypto/crypto.h"

enum {
    CURSOR_VERSION = 1,
    CURSOR_F_ASC = 1,
    CURSOR_F_BACK = 2,
    CURSOR_AT_ID = 2,
    CURSOR_AT_FLOOR = 10,
    CURSOR_AT_HASH = 18,
    CURSOR_BYTES = 26,
};
static_assert((CURSOR_BYTES * 8 + 5) / 6 == CURSOR_TEXT_LEN, "length of the text form");

void cursor_write(const struct cursor *c, char out[static CURSOR_TEXT_LEN + 1])
{
    char raw[CURSOR_BYTES];
    char text[CRYPTO_BASE64_MAX(CURSOR_BYTES)];
    raw[0] = CURSOR_VERSION;
    raw[1] = (char)((c->order == ORDER_ASC ? CURSOR_F_ASC : 0) | (c->back ? CURSOR_F_BACK : 0));
    put_be64(raw + CURSOR_AT_ID, (uint64_t)c->id);
    put_be64(raw + CURSOR_AT_FLOOR, (uint64_t)c->floor_ms);
    put_be64(raw + CURSOR_AT_HASH, (uint64_t)c->hash);
    size_t n = crypto_base64url((struct str){raw, sizeof(raw)}, text);
    ASSERT(n == CURSOR_TEXT_LEN);
    memcpy(out, text, n + 1);
}

bool cursor_parse(struct str text, struct cursor *ret)
{
    unsigned char raw[CRYPTO_DECODED_MAX(CURSOR_TEXT_LEN)];
    size_t n;
    if (text.len != CURSOR_TEXT_LEN || !crypto_base64url_decode(text, raw, &n) ||
        n != CURSOR_BYTES) {
        return false;
    }
    if (raw[0] != CURSOR_VERSION || (raw[1] & ~(CURSOR_F_ASC | CURSOR_F_BACK)) != 0) {
        return false;
    }
    struct cursor c = {
        .id = (int64_t)get_be64(raw + CURSOR_AT_ID),
        .floor_ms = (int64_t)get_be64(raw + CURSOR_AT_FLOOR),
        .hash = (int64_t)get_be64(raw + CURSOR_AT_HASH),
        .order = raw[1] & CURSOR_F_ASC ? ORDER_ASC : ORDER_DESC,
        .back = (raw[1] & CURSOR_F_BACK) != 0,
    };
    if (c.id < -1 || c.floor_ms < 0) {
        return false;
    }
    *ret = c;
    return true;
}
