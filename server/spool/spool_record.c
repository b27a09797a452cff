#include "server/spool/spool_record.h"

#include "server/core/assert.h"
#include "server/core/hash.h"

static const char header_magic[8] = {'D', 'M', 'S', 'P', 'O', 'O', 'L', '1'};

/* What peers sent is bounded by event_new and the decoders; the largest event fits a record. */
static_assert(EVENT_UNAME_MAX + EVENT_TEXT_MAX + EVENT_MEDAL_MAX + EVENT_EXTRA_MAX + 256 <=
                  SPOOL_RECORD_MAX,
              "an event fits a record");

static void put_le(struct buf *out, uint64_t v, size_t bytes)
{
    char le[8];
    for (size_t i = 0; i < bytes; i++) {
        le[i] = (char)(unsigned char)(v >> (8 * i));
    }
    buf_put(out, (struct str){le, bytes});
}

static uint64_t get_le(const char *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    }
    return v;
}

void spool_header_put(struct buf *out, uint32_t node)
{
    buf_put(out, (struct str){header_magic, sizeof(header_magic)});
    put_le(out, node, 4);
    put_le(out, 0, 4);
}

bool spool_header_ok(struct str bytes)
{
    return bytes.len >= SPOOL_HEADER_BYTES &&
           memcmp(bytes.ptr, header_magic, sizeof(header_magic)) == 0;
}

/* begin/end bracket a record: the head is filled in when the payload is there. */
static size_t record_begin(struct buf *out, enum spool_type type)
{
    size_t at = out->len;
    put_le(out, 0, 8);
    buf_put_c(out, (char)type);
    return at;
}

static void record_end(struct buf *out, size_t at)
{
    if (!buf_ok(out)) {
        return;
    }
    size_t length = out->len - at - 8;
    ASSERT(length <= SPOOL_RECORD_MAX);
    uint32_t crc = hash_crc32c(0, out->data + at + 8, length);
    for (size_t i = 0; i < 4; i++) {
        out->data[at + i] = (char)(unsigned char)(length >> (8 * i));
        out->data[at + 4 + i] = (char)(unsigned char)(crc >> (8 * i));
    }
}

/* Draft and event have the same members (EVENT_SCALARS, EVENT_STRINGS). */
#define PUT_SCALAR(type, name) put_le(out, (uint64_t)(int64_t)from->name, sizeof(type));
#define PUT_STRING(name)                                                                           \
    put_le(out, from->name.len, 2);                                                                \
    buf_put(out, from->name);

void spool_event_put(struct buf *out, const struct event *from)
{
    size_t at = record_begin(out, SPOOL_EVENT);
    put_le(out, (uint64_t)from->id, 8);
    EVENT_SCALARS(PUT_SCALAR)
    EVENT_STRINGS(PUT_STRING)
    record_end(out, at);
}

void spool_alive_put(struct buf *out, int64_t wall_ms)
{
    size_t at = record_begin(out, SPOOL_ALIVE);
    put_le(out, (uint64_t)wall_ms, 8);
    record_end(out, at);
}

void spool_hold_put(struct buf *out, int64_t key, const struct event_draft *from, int64_t until_ms)
{
    size_t at = record_begin(out, SPOOL_HOLD);
    put_le(out, (uint64_t)key, 8);
    put_le(out, (uint64_t)until_ms, 8);
    EVENT_SCALARS(PUT_SCALAR)
    EVENT_STRINGS(PUT_STRING)
    record_end(out, at);
}

void spool_hold_end_put(struct buf *out, int64_t key)
{
    size_t at = record_begin(out, SPOOL_HOLD_END);
    put_le(out, (uint64_t)key, 8);
    record_end(out, at);
}

/* A cursor over a payload; going past the end is remembered and reads zeros. */
struct cursor {
    const char *p;
    const char *end;
    bool bad;
};

static uint64_t take_le(struct cursor *c, size_t bytes)
{
    if ((size_t)(c->end - c->p) < bytes) {
        c->bad = true;
        return 0;
    }
    uint64_t v = get_le(c->p, bytes);
    c->p += bytes;
    return v;
}

static struct str take_str(struct cursor *c)
{
    size_t len = (size_t)take_le(c, 2);
    if ((size_t)(c->end - c->p) < len) {
        c->bad = true;
        return STR_NULL;
    }
    struct str s = {c->p, len};
    c->p += len;
    return s;
}

static void take_draft(struct cursor *c, struct event_draft *d)
{
#define X(type, name) d->name = (type)take_le(c, sizeof(type));
    EVENT_SCALARS(X)
#undef X
#define X(name) d->name = take_str(c);
    EVENT_STRINGS(X)
#undef X
    if (d->extra.len > EVENT_EXTRA_MAX) {
        c->bad = true;
    }
}

static bool take_payload(struct cursor *c, struct spool_record *r)
{
    switch (r->type) {
    case SPOOL_EVENT:
        r->id = (int64_t)take_le(c, 8);
        take_draft(c, &r->draft);
        return r->id > 0;
    case SPOOL_ALIVE:
        r->ms = (int64_t)take_le(c, 8);
        return true;
    case SPOOL_HOLD:
        r->key = (int64_t)take_le(c, 8);
        r->ms = (int64_t)take_le(c, 8);
        take_draft(c, &r->draft);
        return true;
    case SPOOL_HOLD_END:
        r->key = (int64_t)take_le(c, 8);
        return true;
    }
    return false;
}

enum err_code spool_record_get(struct str bytes, size_t *ret_used, struct spool_record *ret)
{
    if (bytes.len < SPOOL_RECORD_HEAD_BYTES) {
        return ERR_RETRY;
    }
    size_t length = (size_t)get_le(bytes.ptr, 4);
    if (length < 1 || length > SPOOL_RECORD_MAX) {
        return ERR_CORRUPT;
    }
    if (bytes.len - 8 < length) {
        return ERR_RETRY;
    }
    if (hash_crc32c(0, bytes.ptr + 8, length) != (uint32_t)get_le(bytes.ptr + 4, 4)) {
        return ERR_CORRUPT;
    }
    struct spool_record r = {.type = (enum spool_type)bytes.ptr[8]};
    struct cursor c = {.p = bytes.ptr + SPOOL_RECORD_HEAD_BYTES, .end = bytes.ptr + 8 + length};
    if (!take_payload(&c, &r) || c.bad || c.p != c.end) {
        return ERR_CORRUPT; /* a good crc over nonsense: written by another version */
    }
    *ret = r;
    *ret_used = 8 + length;
    return ERR_OK;
}
