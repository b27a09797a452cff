/* The generic reader of shapes: the only place that touches types of values. */
#include "collector/wire/decode_priv.h"

enum { RESERVED_BYTES = 2 * EVENT_EXTRA_MAX };

struct str decode_str(struct decoder *d, struct json *j, size_t max)
{
    const size_t left = sizeof(d->text) - d->used;
    struct str s = STR_NULL;
    d->n_left_out += left < max;
    if (json_str(j, d->text + d->used, max < left ? max : left, &s)) {
        d->used += s.len;
    }
    return s;
}

static void read_field(struct decoder *d, struct json *j, const struct decode_field *f,
                       char *target)
{
    void *at = target + f->at;
    switch (f->type) {
    case DECODE_I64: {
        int64_t v = 0;
        (void)json_int(j, &v);
        memcpy(at, &v, sizeof(v));
        break;
    }
    case DECODE_OPT: {
        struct decode_opt v = {0};
        v.is_set = json_int(j, &v.value);
        memcpy(at, &v, sizeof(v));
        break;
    }
    case DECODE_BOOL: {
        bool v = false;
        (void)json_bool(j, &v);
        memcpy(at, &v, sizeof(v));
        break;
    }
    case DECODE_STR: {
        const struct str s = decode_str(d, j, f->max);
        memcpy(at, &s, sizeof(s));
        break;
    }
    case DECODE_RAW: {
        struct str s = STR_NULL;
        (void)json_raw(j, &s);
        memcpy(at, &s, sizeof(s));
        break;
    }
    case DECODE_SHAPE:
        (void)decode_read(d, j, f->shape, at);
        break;
    }
}

/* The wanted field of that name which has not been seen yet: n if there is none. */
static size_t find_field(const struct decode_shape *shape, uint64_t missing, struct str key)
{
    size_t i = 0;
    while (i < shape->n && !((missing >> i & 1) != 0 && str_eq(shape->fields[i].key, key))) {
        i++;
    }
    return i;
}

static void read_object(struct decoder *d, struct json *j, const struct decode_shape *shape,
                        char *target)
{
    struct str key;
    uint64_t missing = shape->n < 64 ? (UINT64_C(1) << shape->n) - 1 : UINT64_MAX;
    uint64_t lens = 0; /* bit n: a key of n bytes is wanted; most keys are not */
    for (size_t i = 0; i < shape->n; i++) {
        lens |= UINT64_C(1) << (shape->fields[i].key.len & 63);
    }
    while (json_next_key(j, &key)) {
        if ((lens >> (key.len & 63) & 1) == 0) {
            continue;
        }
        const size_t i = find_field(shape, missing, key);
        if (i == shape->n) {
            continue;
        }
        read_field(d, j, &shape->fields[i], target);
        missing &= ~(UINT64_C(1) << i);
        if (missing == 0) {
            json_leave(j);
            return;
        }
    }
}

static void read_array(struct decoder *d, struct json *j, const struct decode_shape *shape,
                       char *target)
{
    const struct decode_field *f = shape->fields;
    const struct decode_field *const last = f + shape->n;
    for (size_t i = 0; json_next_elem(j); i++) {
        if (f == last) {
            json_leave(j);
            break;
        }
        if (f->index == i) {
            read_field(d, j, f++, target);
        }
    }
}

bool decode_read(struct decoder *d, struct json *j, const struct decode_shape *shape, void *target)
{
    memset(target, 0, shape->bytes);
    if (shape->is_array) {
        if (!json_enter_array(j)) {
            return false;
        }
        read_array(d, j, shape, target);
    } else {
        if (!json_enter_object(j)) {
            return false;
        }
        read_object(d, j, shape, target);
    }
    return true;
}

bool decode_read_all(struct decoder *d, struct json *j, const struct decode_shape *shape,
                     void *target)
{
    return decode_read(d, j, shape, target) && json_at_end(j);
}

struct str decode_str_of(struct decoder *d, struct str raw, size_t max)
{
    struct json j;
    json_init(&j, raw);
    return decode_str(d, &j, max);
}

struct str decode_unescape(struct decoder *d, struct str raw, size_t max)
{
    const size_t left = sizeof(d->text) - d->used;
    const struct str s = json_unescape(raw, d->text + d->used, max < left ? max : left);
    d->used += s.len;
    return s;
}

/* JSON that only serves to get at its parts leaves room for them and for the event's extra. */
static struct json resolve_json(struct decoder *d, struct str raw)
{
    struct json j;
    const size_t left = sizeof(d->text) - d->used;
    json_init(&j, decode_unescape(d, raw, left > RESERVED_BYTES ? left - RESERVED_BYTES : 0));
    return j;
}

bool decode_find_embedded(struct decoder *d, struct str raw, struct embedded_want *want, size_t n)
{
    struct str key;
    const bool is_string = raw.len >= 2 && raw.ptr[0] == '"';
    const struct str inner = is_string ? str_sub(raw, 1, raw.len - 1) : STR_NULL;
    if (embedded_find(inner, want, n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        want[i].value = STR_NULL;
    }
    struct json j = resolve_json(d, inner);
    if (!json_enter_object(&j)) {
        return true;
    }
    while (json_next_key(&j, &key)) {
        for (size_t i = 0; i < n; i++) {
            if (!want[i].value.ptr && str_eq(want[i].key, key) && json_raw(&j, &want[i].value)) {
                break;
            }
        }
    }
    return true;
}

struct json decode_embedded(struct decoder *d, struct str value, bool is_resolved)
{
    struct json j;
    if (!is_resolved) {
        return resolve_json(d, value);
    }
    json_init(&j, value);
    return j;
}
