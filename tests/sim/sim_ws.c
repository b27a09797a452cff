#include "tests/sim/sim_ws.h"

#include <openssl/evp.h>

#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"

enum { CONTROL_MAX = 125 };

struct sim_ws {
    struct buf in;      /* not taken yet */
    struct buf message; /* of fragments so far */
    bool open;
    bool stopped;
    bool in_message;
};

struct frame {
    unsigned opcode;
    bool fin;
    size_t head; /* bytes */
    size_t len;  /* of the payload */
};

struct sim_ws *sim_ws_new(void)
{
    struct sim_ws *w = mem_new(struct sim_ws);

    buf_init(&w->in, SIM_WS_MESSAGE_MAX * 4);
    buf_init(&w->message, SIM_WS_MESSAGE_MAX);
    return w;
}

void sim_ws_free(struct sim_ws *w)
{
    if (w) {
        buf_deinit(&w->in);
        buf_deinit(&w->message);
        mem_free(w);
    }
}

void sim_ws_agree(struct sim_ws *w)
{
    w->open = true;
}

void sim_ws_stop(struct sim_ws *w)
{
    w->stopped = true;
}

bool sim_ws_is_open(const struct sim_ws *w)
{
    return w->open;
}

/* --- the request --- */

static bool next_line(struct str *rest, struct str *ret)
{
    if (!str_split(rest, '\n', ret)) {
        return false;
    }
    *ret = str_trim(*ret); /* the CR */
    return true;
}

static bool has(struct str list, struct str word)
{
    struct str part;

    while (str_split(&list, ',', &part)) {
        if (str_ieq(str_trim(part), word)) {
            return true;
        }
    }
    return false;
}

struct headers {
    struct sim_ws_request q;
    struct str upgrade;
    struct str connection;
    struct str version;
};

static void take_header(struct headers *h, struct str name, struct str value)
{
    const struct {
        struct str name;
        struct str *to;
    } known[] = {
        {STR("Host"), &h->q.host},
        {STR("Origin"), &h->q.origin},
        {STR("User-Agent"), &h->q.user_agent},
        {STR("Sec-WebSocket-Key"), &h->q.key},
        {STR("Upgrade"), &h->upgrade},
        {STR("Connection"), &h->connection},
        {STR("Sec-WebSocket-Version"), &h->version},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_ieq(name, known[i].name)) {
            *known[i].to = value;
        }
    }
}

/* 16 bytes in base64. */
static bool is_key(struct str key)
{
    if (key.len != SIM_WS_KEY_LEN || key.ptr[22] != '=' || key.ptr[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        char c = key.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/')) {
            return false;
        }
    }
    return true;
}

static const char *parse_request(struct str head, struct headers *h)
{
    struct str line = STR_NULL;
    struct str method = STR_NULL;
    struct str name = STR_NULL;

    if (!next_line(&head, &line) || !str_split(&line, ' ', &method) ||
        !str_split(&line, ' ', &h->q.path) || !str_eq(method, STR("GET")) ||
        !str_eq(line, STR("HTTP/1.1"))) {
        return "no GET of HTTP/1.1";
    }
    while (next_line(&head, &line) && line.len > 0) {
        struct str value = line;

        (void)str_split(&value, ':', &name);
        take_header(h, name, str_trim(value));
    }
    if (h->q.host.len == 0 || !str_ieq(h->upgrade, STR("websocket")) ||
        !has(h->connection, STR("upgrade")) || !str_eq(h->version, STR("13")) ||
        !is_key(h->q.key)) {
        return "no websocket request";
    }
    return NULL;
}

static const char *take_request(struct sim_ws *w, const struct sim_ws_sink *sink)
{
    struct headers h = {0};
    const char *end = w->in.len > 0 ? memmem(w->in.data, w->in.len, "\r\n\r\n", 4) : NULL;
    const char *wrong;
    size_t n;

    if (!end) {
        return w->in.len > SIM_WS_HEAD_MAX ? "request too long" : NULL;
    }
    n = (size_t)(end - w->in.data) + 4;
    wrong = parse_request((struct str){w->in.data, n}, &h);
    if (wrong) {
        return wrong;
    }
    sink->on_request(sink->ctx, &h.q);
    if (w->in.len > n) {
        return "sends before it is agreed";
    }
    buf_drop_front(&w->in, n);
    if (!w->open) {
        w->stopped = true; /* refused, or to be left waiting */
    }
    return NULL;
}

/* --- frames --- */

/* false: not all of the head is there. */
static bool parse_head(struct str in, struct frame *f, const char **wrong)
{
    const uint8_t *b = (const uint8_t *)in.ptr;
    unsigned len;

    if (in.len < 2) {
        return false;
    }
    len = b[1] & 0x7f;
    f->fin = b[0] & 0x80;
    f->opcode = b[0] & 0x0f;
    f->head = (len < 126 ? 2U : len == 126 ? 4U : 10U) + 4;
    if ((b[0] & 0x70) || !(b[1] & 0x80)) {
        *wrong = b[0] & 0x70 ? "reserved bits" : "frame without a mask";
        return false;
    }
    if (f->opcode >= SIM_WS_CLOSE && (len > CONTROL_MAX || !f->fin)) {
        *wrong = "control frame too long or in pieces";
        return false;
    }
    if (in.len < f->head) {
        return false;
    }
    f->len = len < 126 ? len : len == 126 ? get_be16(b + 2) : (size_t)get_be64(b + 2);
    if ((len == 126 && f->len < 126) || (len == 127 && f->len < 65536) ||
        f->len > SIM_WS_MESSAGE_MAX) {
        *wrong = "length not the shortest, or too large";
        return false;
    }
    return true;
}

static void unmask(char *payload, const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        payload[i] ^= key[i % 4];
    }
}

static const char *take_payload(struct sim_ws *w, const struct frame *f, struct str payload,
                                const struct sim_ws_sink *sink)
{
    if (f->opcode >= SIM_WS_CLOSE) {
        if (f->opcode > SIM_WS_PONG) {
            return "unknown opcode";
        }
        if (f->opcode == SIM_WS_CLOSE) {
            w->stopped = true;
        }
        sink->on_control(sink->ctx, (enum sim_ws_frame)f->opcode, payload);
        return NULL;
    }
    if (f->opcode > SIM_WS_BINARY || w->in_message != (f->opcode == SIM_WS_CONTINUE)) {
        return "unknown opcode, or a message within another";
    }
    w->in_message = !f->fin;
    buf_put(&w->message, payload);
    if (!buf_ok(&w->message)) {
        return "message too large";
    }
    if (f->fin) {
        sink->on_message(sink->ctx, buf_str(&w->message));
        buf_clear(&w->message);
    }
    return NULL;
}

static const char *take_frames(struct sim_ws *w, const struct sim_ws_sink *sink)
{
    const char *wrong = NULL;
    size_t at = 0;
    struct frame f;

    while (!wrong && !w->stopped &&
           parse_head(str_sub(buf_str(&w->in), at, w->in.len), &f, &wrong) &&
           w->in.len - at >= f.head + f.len) {
        char *payload = w->in.data + at + f.head;

        unmask(payload, payload - 4, f.len);
        wrong = take_payload(w, &f, (struct str){payload, f.len}, sink);
        at += f.head + f.len;
    }
    buf_drop_front(&w->in, at);
    return wrong;
}

const char *sim_ws_in(struct sim_ws *w, struct str bytes, const struct sim_ws_sink *sink)
{
    const char *wrong = NULL;

    if (w->stopped) {
        return NULL;
    }
    buf_put(&w->in, bytes);
    if (!buf_ok(&w->in)) {
        return "too many bytes at once";
    }
    if (!w->open) {
        wrong = take_request(w, sink);
    }
    return wrong || !w->open ? wrong : take_frames(w, sink);
}

/* --- what we send --- */

void sim_ws_put_answer(struct buf *out, struct str key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char both[SIM_WS_KEY_LEN + sizeof(guid)];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char text[64];
    unsigned n = 0;
    int rc;

    ASSERT(key.len == SIM_WS_KEY_LEN);
    memcpy(both, key.ptr, key.len);
    memcpy(both + key.len, guid, sizeof(guid));
    rc = EVP_Digest(both, sizeof(both) - 1, digest, &n, EVP_sha1(), NULL);
    ASSERT(rc == 1);
    (void)EVP_EncodeBlock(text, digest, (int)n);
    buf_printf(out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n",
               (const char *)text);
}

void sim_ws_put_head(struct buf *out, unsigned first, uint64_t len)
{
    char b[10];
    size_t n = len < 126 ? 2 : len < 65536 ? 4 : 10;

    b[0] = (char)first;
    if (n == 2) {
        b[1] = (char)len;
    } else if (n == 4) {
        b[1] = 126;
        put_be16(b + 2, (uint16_t)len);
    } else {
        b[1] = 127;
        put_be64(b + 2, len);
    }
    buf_put(out, (struct str){b, n});
}

void sim_ws_put(struct buf *out, unsigned first, struct str payload)
{
    sim_ws_put_head(out, first, payload.len);
    buf_put(out, payload);
}

void sim_ws_put_close(struct buf *out, unsigned code)
{
    char payload[2];

    put_be16(payload, (uint16_t)code);
    sim_ws_put(out, SIM_WS_FIN | SIM_WS_CLOSE, (struct str){payload, code ? 2 : 0});
}
