#include "api/token.h"

#include <stdio.h>

#include "api/api_priv.h"
#include "server/core/assert.h"
#include "server/crypto/crypto.h"

static const struct str prefix = {"dmk_", 4};

static const struct {
    unsigned bit;
    const char *name;
} scopes_table[] = {
#define X(NAME, bit, name, text) {SCOPE_##NAME, name},
#include "api/scope.def"
#undef X
};

void token_make(char out[static TOKEN_TEXT_LEN + 1])
{
    char secret[TOKEN_SECRET_BYTES];
    char text[CRYPTO_BASE64_MAX(TOKEN_SECRET_BYTES)];
    crypto_random(secret, sizeof(secret));
    size_t n = crypto_base64url((struct str){secret, sizeof(secret)}, text);
    ASSERT(prefix.len + n == TOKEN_TEXT_LEN);
    memcpy(out, prefix.ptr, prefix.len);
    memcpy(out + prefix.len, text, n + 1);
}

bool token_hash(struct str text, uint8_t out[static TOKEN_HASH_BYTES])
{
    uint8_t secret[CRYPTO_DECODED_MAX(TOKEN_TEXT_LEN)];
    size_t n;
    if (text.len != TOKEN_TEXT_LEN || !str_starts(text, prefix) ||
        !crypto_base64url_decode(str_sub(text, prefix.len, text.len), secret, &n)) {
        return false;
    }
    crypto_sha256(text, out);
    return true;
}

bool token_scopes_parse(struct str text, unsigned *ret)
{
    struct str rest = text;
    struct str part;
    unsigned scopes = 0;
    while (str_split(&rest, ',', &part)) {
        unsigned bit = 0;
        for (size_t i = 0; i < ARRAY_LEN(scopes_table); i++) {
            if (str_eq(str_trim(part), str_of(scopes_table[i].name))) {
                bit = scopes_table[i].bit;
            }
        }
        if (bit == 0) {
            return false;
        }
        scopes |= bit;
    }
    if (scopes == 0) {
        return false;
    }
    *ret = scopes;
    return true;
}

size_t token_scopes_text(unsigned scopes, char out[static TOKEN_SCOPES_TEXT_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(scopes_table); i++) {
        if ((scopes & scopes_table[i].bit) != 0) {
            int k = snprintf(out + n, TOKEN_SCOPES_TEXT_MAX - n, "%s%s", n > 0 ? ", " : "",
                             scopes_table[i].name);
            n += (size_t)k;
            ASSERT(n < TOKEN_SCOPES_TEXT_MAX);
        }
    }
    return n;
}

bool token_name_valid(struct str name)
{
    if (name.len == 0 || name.len > TOKEN_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}
