#include "collector/net/ws_head.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "server/core/assert.h"

enum { NONCE_BYTES = 16, SHOWN_BYTES = 80 };

void ws_accept_of(const char *key, char accept[static WS_ACCEPT_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    char both[WS_KEY_BYTES - 1 + sizeof guid - 1];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ASSERT(strlen(key) == WS_KEY_BYTES - 1);
    memcpy(both, key, WS_KEY_BYTES - 1);
    memcpy(both + WS_KEY_BYTES - 1, guid, sizeof guid - 1);
    const int rc = EVP_Digest(both, sizeof both, digest, &n, EVP_sha1(), NULL);
    ASSERT(rc == 1 && n == 20); /* only for want of memory */
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
}

enum err_code ws_key_new(char key[static WS_KEY_BYTES], char accept[static WS_ACCEPT_BYTES],
                         struct err *err)
{
    unsigned char nonce[NONCE_BYTES];
    if (RAND_bytes(nonce, sizeof nonce) != 1) {
        return err_set(err, ERR_UNAVAILABLE, "websocket: no random key");
    }
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    ws_accept_of(key, accept);
    return ERR_OK;
}

bool ws_is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool ws_is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= 0x20 || strchr("/?#@\\\"<>", s.ptr[i])) {
            return false;
        }
    }
    return s.len > 0 && ws_is_text(s);
}

void ws_request_put(struct buf *out, const struct ws_request *r, const char *key)
{
    const bool v6 = memchr(r->host.ptr, ':', r->host.len) != NULL;
    buf_printf(out, "GET " STR_FMT " HTTP/1.1\r\n", STR_ARG(r->path));
    buf_printf(out, v6 ? "Host: [" STR_FMT "]" : "Host: " STR_FMT, STR_ARG(r->host));
    if (r->port != (r->tls ? 443 : 80)) {
        buf_printf(out, ":%u", (unsigned)r->port);
    }
    buf_printf(out,
               "\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
               "User-Agent: " STR_FMT "\r\nUpgrade: websocket\r\nOrigin: " STR_FMT "\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
               STR_ARG(r->user_agent), STR_ARG(r->origin), key);
}

size_t ws_head_len(struct str bytes, size_t from)
{
    /* The blank line may have begun in what was looked at before. */
    for (size_t i = from > 3 ? from - 3 : 0; i + 4 <= bytes.len; i++) {
        if (memcmp(bytes.ptr + i, "\r\n\r\n", 4) == 0) {
            return i + 4;
        }
    }
    return 0;
}

/* What a peer wrote, fit for a line of log: a few printable characters of it. */
static const char *shown(struct str s, char out[static SHOWN_BYTES])
{
    size_t n = 0;
    while (n < s.len && n < SHOWN_BYTES - 1) {
        out[n] = s.ptr[n] >= 0x20 && s.ptr[n] < 0x7f ? s.ptr[n] : '?';
        n++;
    }
    out[n] = 0;
    return out;
}

struct answer {
    struct str upgrade;
    struct str connection;
    struct str accept;
    struct str location;
    struct str other; /* an extension or a subprotocol */
    unsigned n_accept;
};

static void take_field(struct answer *a, struct str name, struct str value)
{
    if (str_ieq(name, STR("Upgrade"))) {
        a->upgrade = value;
    } else if (str_ieq(name, STR("Connection"))) {
        a->connection = value;
    } else if (str_ieq(name, STR("Sec-WebSocket-Accept"))) {
        a->accept = value;
        a->n_accept++;
    } else if (str_ieq(name, STR("Location"))) {
        a->location = value;
    } else if (value.len > 0 && (str_ieq(name, STR("Sec-WebSocket-Extensions")) ||
                                 str_ieq(name, STR("Sec-WebSocket-Protocol")))) {
        a->other = value;
    }
}

/* The next line without its end; false: there is none. */
static bool next_line(struct str *rest, struct str *ret)
{
    for (size_t i = 0; i + 2 <= rest->len; i++) {
        if (rest->ptr[i] == '\r' && rest->ptr[i + 1] == '\n') {
            *ret = str_sub(*rest, 0, i);
            *rest = str_sub(*rest, i + 2, rest->len);
            return true;
        }
    }
    return false;
}

static bool has_token(struct str list, struct str token)
{
    struct str part;
    while (str_split(&list, ',', &part)) {
        if (str_ieq(str_trim(part), token)) {
            return true;
        }
    }
    return false;
}

static enum err_code check_status(struct str line, const struct answer *a, struct err *err)
{
    char status[SHOWN_BYTES];
    char where[SHOWN_BYTES];
    if (!str_starts(line, STR("HTTP/1.")) || line.len < 12 || line.ptr[8] != ' ') {
        return err_set(err, ERR_PROTO, "websocket: no HTTP answer: \"%s\"", shown(line, status));
    }
    const struct str rest = str_sub(line, 9, line.len);
    if (str_starts(rest, STR("101")) && (rest.len == 3 || rest.ptr[3] == ' ')) {
        return ERR_OK;
    }
    if (rest.ptr[0] == '3' && a->location.len > 0) {
        return err_set(err, ERR_PROTO, "websocket: HTTP %s, redirect to %s not followed",
                       shown(rest, status), shown(a->location, where));
    }
    return err_set(err, ERR_PROTO, "websocket: HTTP %s", shown(rest, status));
}

enum err_code ws_answer_check(struct str head, const char *accept, struct err *err)
{
    struct answer a = {0};
    struct str status = STR_NULL;
    struct str line;
    if (memchr(head.ptr, 0, head.len) || !next_line(&head, &status)) {
        return err_set(err, ERR_PROTO, "websocket: malformed answer");
    }
    while (next_line(&head, &line) && line.len > 0) {
        struct str name = STR_NULL;
        struct str value = line;
        if (!memchr(line.ptr, ':', line.len) || !str_split(&value, ':', &name) || name.len == 0 ||
            str_trim(name).len != name.len) {
            return err_set(err, ERR_PROTO, "websocket: malformed header in the answer");
        }
        take_field(&a, name, str_trim(value));
    }
    const enum err_code rc = check_status(status, &a, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (!str_ieq(a.upgrade, STR("websocket")) || !has_token(a.connection, STR("upgrade"))) {
        return err_set(err, ERR_PROTO, "websocket: the answer does not upgrade");
    }
    if (a.n_accept != 1 || !str_eq(a.accept, str_of(accept))) {
        return err_set(err, ERR_PROTO, "websocket: Sec-WebSocket-Accept is not ours");
    }
    if (a.other.len > 0) {
        return err_set(err, ERR_PROTO, "websocket: the answer uses what was not asked for");
    }
    return ERR_OK;
}
