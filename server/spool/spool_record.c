#include "server/spool/spool_record.h"

#include <endian.h>
#include <string.h>

#include "server/core/assert.h"
#include "server/core/hash.h"
#include "server/core/id.h"

static const char header_magic[8] = {'D', 'M', 'S', 'P', 'O', 'O', 'L', '1'};
enum { HEADER_CRC_AT = SPOOL_HEADER_BYTES - 4 };

/* What peers sent is bounded by event_new and the decoders; the largest event fits a record. */
static_assert(EVENT_UNAME_MAX + EVENT_TEXT_MAX + EVENT_MEDAL_MAX + EVENT_EXTRA_MAX + 256 <=
                  SPOOL_RECORD_MAX,
              "an event fits a record");

/* Little-endian, of the low `bytes` bytes; bytes is a constant where it is called, so this is one store. */
static inline char *put_le(char *p, uint64_t v, size_t bytes)
{
    v = htole64(v);
    memcpy(p, &v, bytes);
    return p + bytes;
}

static inline uint64_t get_le(const char *p, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, p, bytes);
    return le64toh(v);
}

static char *put_str(char *p, struct str s)
{
    p = put_le(p, s.len, 2);
    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    return p + s.len;
}

void spool_header_put(struct buf *out, uint32_t node)
{
    char *p = buf_reserve(out, SPOOL_HEADER_BYTES);
    if (p != NULL) {
        memcpy(p, header_magic, sizeof(header_magic));
        (void)put_le(p + sizeof(header_magic), node, 4);
        (void)put_le(p + HEADER_CRC_AT, hash_crc32c(0, p, HEADER_CRC_AT), 4);
        buf_commit(out, SPOOL_HEADER_BYTES);
    }
}

bool spool_header_ok(struct str bytes)
{
    return bytes.len >= SPOOL_HEADER_BYTES &&
           memcmp(bytes.ptr, header_magic, sizeof(header_magic)) == 0 &&
           hash_crc32c(0, bytes.ptr, HEADER_CRC_AT) ==
               (uint32_t)get_le(bytes.ptr + HEADER_CRC_AT, 4);
}

/* Room for a whole record at once, so that a full buffer never holds a part of one. Returns where the payload goes. */
static char *record_begin(struct buf *out, enum spool_type type, size_t payload)
{
    ASSERT(payload < SPOOL_RECORD_MAX);
    char *p = buf_reserve(out, SPOOL_RECORD_HEAD_BYTES + payload);
    if (p != NULL) {
        p[8] = (char)type;
        p += SPOOL_RECORD_HEAD_BYTES;
    }
    return p;
}

/* Fills in the head now that the payload is there, and commits. */
static void record_end(struct buf *out, size_t payload)
{
    char *p = out->data + out->len;
    size_t length = payload + 1;
    (void)put_le(p, length, 4);
    (void)put_le(p + 4, hash_crc32c(0, p + 8, length), 4);
    buf_commit(out, 8 + length);
}

/* Draft and event have the same members (EVENT_SCALARS, EVENT_STRINGS). */
#define SCALAR_BYTES(type, name) +sizeof(type)
#define STRING_BYTES(name) +2 + from->name.len
#define PUT_SCALAR(type, name) p = put_le(p, (uint64_t)(int64_t)from->name, sizeof(type));
#define PUT_STRING(name) p = put_str(p, from->name);

static size_t event_payload(const struct event *from)
{
    return 8 EVENT_SCALARS(SCALAR_BYTES) EVENT_STRINGS(STRING_BYTES);
}

size_t spool_event_bytes(const struct event *e)
{
    return SPOOL_RECORD_HEAD_BYTES + event_payload(e);
}

void spool_event_put(struct buf *out, const struct event *from)
{
    size_t payload = event_payload(from);
    char *p = record_begin(out, SPOOL_EVENT, payload);
    if (p == NULL) {
        return;
    }
    p = put_le(p, (uint64_t)from->id, 8);
    EVENT_SCALARS(PUT_SCALAR)
    EVENT_STRINGS(PUT_STRING)
    record_end(out, payload);
}

void spool_hold_put(struct buf *out, int64_t key, int64_t until_ms, const struct event *from)
{
    size_t payload = 8 + event_payload(from);
    char *p = record_begin(out, SPOOL_HOLD, payload);
    if (p == NULL) {
        return;
    }
    p = put_le(p, (uint64_t)key, 8);
    p = put_le(p, (uint64_t)until_ms, 8);
    EVENT_SCALARS(PUT_SCALAR)
    EVENT_STRINGS(PUT_STRING)
    record_end(out, payload);
}

static void number_put(struct buf *out, enum spool_type type, int64_t v)
{
    char *p = record_begin(out, type, 8);
    if (p != NULL) {
        (void)put_le(p, (uint64_t)v, 8);
        record_end(out, 8);
    }
}

void spool_alive_put(struct buf *out, int64_t wall_ms)
{
    number_put(out, SPOOL_ALIVE, wall_ms > 0 ? wall_ms : 0); /* a clock before 1970 */
}

void spool_hold_end_put(struct buf *out, int64_t key)
{
    number_put(out, SPOOL_HOLD_END, key);
}

void spool_dropped_put(struct buf *out, const struct spool_dropped *d)
{
    char *p = record_begin(out, SPOOL_DROPPED, 32);
    if (p == NULL) {
        return;
    }
    p = put_le(p, (uint64_t)d->room_id, 8);
    p = put_le(p, (uint64_t)d->first_id, 8);
    p = put_le(p, (uint64_t)d->last_id, 8);
    (void)put_le(p, d->n, 8);
    record_end(out, 32);
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

/* Ids and times within what ids can say, so that what is computed from them stays in range. */
static bool take_payload(struct cursor *c, struct spool_record *r)
{
    switch (r->type) {
    case SPOOL_EVENT:
        r->id = (int64_t)take_le(c, 8);
        take_draft(c, &r->draft);
        return r->id > 0 && r->id < ID_MAX;
    case SPOOL_ALIVE:
        r->ms = (int64_t)take_le(c, 8);
        return r->ms >= 0 && r->ms <= id_ts_ms(ID_MAX);
    case SPOOL_HOLD:
        r->key = (int64_t)take_le(c, 8);
        r->ms = (int64_t)take_le(c, 8);
        take_draft(c, &r->draft);
        return true;
    case SPOOL_HOLD_END:
        r->key = (int64_t)take_le(c, 8);
        return true;
    case SPOOL_DROPPED:
        r->dropped.room_id = (int64_t)take_le(c, 8);
        r->dropped.first_id = (int64_t)take_le(c, 8);
        r->dropped.last_id = (int64_t)take_le(c, 8);
        r->dropped.n = take_le(c, 8);
        return r->dropped.first_id > 0 && r->dropped.first_id <= r->dropped.last_id;
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
    struct spool_record r = {.type = (enum spool_type)(unsigned char)bytes.ptr[8]};
    struct cursor c = {.p = bytes.ptr + SPOOL_RECORD_HEAD_BYTES, .end = bytes.ptr + 8 + length};
    *ret_used = 8 + length;
    if (!take_payload(&c, &r) || c.bad || c.p != c.end) {
        return ERR_INVALID;
    }
    *ret = r;
    return ERR_OK;
}
