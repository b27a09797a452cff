#include "collector/wire/decode_pb_priv.h"

#include "collector/wire/base64.h"
#include "server/core/utf8.h"

struct pb_data {
    struct str pb; /* raw */
};

static const struct decode_field pb_fields[] = {
    DECODE_KEY("pb", RAW, struct pb_data, pb),
};
static const struct decode_shape pb_shape = DECODE_OBJECT_SHAPE(pb_fields, struct pb_data);

static void *on_alloc(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void on_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* Digits of base64 are rarely escaped, but '/' may be. */
static bool resolve(struct arena *a, struct str *s)
{
    if (s->len == 0 || !memchr(s->ptr, '\\', s->len)) {
        return true;
    }
    char *plain = arena_alloc(a, s->len);
    if (plain) {
        *s = json_unescape(*s, plain, s->len);
    }
    return plain != NULL;
}

struct pb_message pb_open(struct decoder *d, struct json *j, enum decode_status *ret_status)
{
    struct pb_data data;
    struct pb_message m = {
        .memory = {.alloc = on_alloc, .free = on_free, .allocator_data = &d->pb}};
    *ret_status = DECODE_BROKEN;
    if (!decode_data(d, j, &pb_shape, &data, &m.env)) {
        (void)decode_broken(d, "not JSON");
        return m;
    }
    if (data.pb.len <= 2 || data.pb.ptr[0] != '"') {
        (void)decode_broken(d, "no protobuf");
        return m;
    }
    struct str text = str_sub(data.pb, 1, data.pb.len - 1);
    arena_reset(&d->pb);
    char *bytes = resolve(&d->pb, &text) ? arena_alloc(&d->pb, BASE64_MAX(text.len)) : NULL;
    if (!bytes) {
        (void)decode_broken(d, "protobuf too large");
    } else if (!base64_decode(text, bytes, &m.len)) {
        (void)decode_broken(d, "protobuf not in base64");
    } else {
        m.bytes = (const uint8_t *)bytes;
        *ret_status = DECODE_OK;
    }
    return m;
}

struct str pb_str(struct decoder *d, ProtobufCBinaryData from, size_t max)
{
    struct str s = {(const char *)from.data, from.len};
    const size_t left = sizeof(d->text) - d->used;
    bool changed;
    if (s.len == 0) {
        return STR_NULL;
    }
    if (!utf8_valid(s) || memchr(s.ptr, '\0', s.len)) {
        char *clean = arena_alloc(&d->pb, UTF8_CLEAN_MAX(s.len));
        if (!clean) {
            d->n_left_out++;
            return STR_NULL;
        }
        s = (struct str){clean, utf8_clean(s, clean, &changed)};
    }
    d->n_left_out += left < max;
    s = utf8_cut(s, max < left ? max : left);
    if (s.len > 0) {
        memcpy(d->text + d->used, s.ptr, s.len);
        s.ptr = d->text + d->used;
        d->used += s.len;
    }
    return s;
}

void pb_uinfo(struct decoder *d, const Pb__Uinfo *from, struct uinfo *ret)
{
    *ret = (struct uinfo){0};
    if (!from) {
        return;
    }
    ret->uid = from->uid;
    if (from->info) {
        ret->base.name = pb_str(d, from->info->name, EVENT_UNAME_MAX);
    }
    if (from->medal) {
        ret->medal.name = pb_str(d, from->medal->name, EVENT_MEDAL_MAX);
        ret->medal.level = from->medal->level;
        ret->medal.anchor_uid = from->medal->anchor_uid;
    }
    if (from->wealth) {
        ret->wealth.level = from->wealth->level;
    }
    if (from->guard) {
        ret->guard.level = from->guard->level;
    }
}
