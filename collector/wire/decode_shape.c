/* The generic reader of shapes: the only place that touches types of values. */
#include "collector/wire/decode_priv.h"

static struct str read_str(struct decoder *d, struct json *j, size_t max)
{
    const size_t left = sizeof(d->text) - d->used;
    struct str s = STR_NULL;
    if (json_str(j, d->text + d->used, max < left ? max : left, &s)) {
        d->used += s.len;
    }
    return s;
}

/* The next value goes into its place; whatever was there before (a key that comes twice) is gone. */
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
        const struct str s = read_str(d, j, f->max);
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

static void read_object(struct decoder *d, struct json *j, const struct decode_shape *shape,
                        char *target)
{
    struct str key;
    while (json_next_key(j, &key)) {
        for (size_t i = 0; i < shape->n; i++) {
            const struct decode_field *f = &shape->fields[i];
            if (f->key.len == key.len && memcmp(f->key.ptr, key.ptr, key.len) == 0) {
                read_field(d, j, f, target);
                break;
            }
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

bool decode_read_embedded(struct decoder *d, struct str raw, const struct decode_shape *shape,
                          void *target)
{
    struct json j;
    const size_t left = sizeof(d->text) - d->used;
    memset(target, 0, shape->bytes);
    if (raw.len < 2 || raw.ptr[0] != '"' || raw.len - 2 > left) {
        return false;
    }
    const struct str inner = json_unescape(str_sub(raw, 1, raw.len - 1), d->text + d->used, left);
    d->used += inner.len;
    json_init(&j, inner);
    return decode_read(d, &j, shape, target);
}

struct str decode_unescape(struct decoder *d, struct str raw, size_t max)
{
    const size_t left = sizeof(d->text) - d->used;
    const struct str s = json_unescape(raw, d->text + d->used, max < left ? max : left);
    d->used += s.len;
    return s;
}
