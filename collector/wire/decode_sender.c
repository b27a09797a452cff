/* Who did it: four forms of upstream, one of ours. */
#include "collector/wire/decode_priv.h"

enum { GUARD_LOWEST = 3, MASKED_NAME_DOMAIN = 1000 };
/* What upstream gives as the hash of a masked sender who is nobody in particular: crc32("0"). */
#define CRC32_OF_UID_0 UINT32_C(0xF4DBDF21)

/* ---- forms ---- */

static const struct decode_field uinfo_base_fields[] = {
    DECODE_KEY_STR("name", struct uinfo_base, name, EVENT_UNAME_MAX),
};
static const struct decode_field uinfo_medal_fields[] = {
    DECODE_KEY_STR("name", struct medal, name, EVENT_MEDAL_MAX),
    DECODE_KEY("level", I64, struct medal, level),
    DECODE_KEY("ruid", I64, struct medal, anchor_uid),
};
static const struct decode_field uinfo_level_fields[] = {
    DECODE_KEY("level", I64, struct uinfo_level, level),
};
static const struct decode_shape uinfo_base_shape =
    DECODE_OBJECT_SHAPE(uinfo_base_fields, struct uinfo_base);
static const struct decode_shape uinfo_medal_shape =
    DECODE_OBJECT_SHAPE(uinfo_medal_fields, struct medal);
static const struct decode_shape uinfo_level_shape =
    DECODE_OBJECT_SHAPE(uinfo_level_fields, struct uinfo_level);

static const struct decode_field medal_only_fields[] = {
    {.key = {"medal", 5}, .type = DECODE_SHAPE, .shape = &uinfo_medal_shape},
};
const struct decode_shape uinfo_medal_only_shape =
    DECODE_OBJECT_SHAPE(medal_only_fields, struct medal);

static const struct decode_field uinfo_fields[] = {
    DECODE_KEY("uid", I64, struct uinfo, uid),
    DECODE_KEY_SHAPE("base", struct uinfo, base, uinfo_base_shape),
    DECODE_KEY_SHAPE("medal", struct uinfo, medal, uinfo_medal_shape),
    DECODE_KEY_SHAPE("wealth", struct uinfo, wealth, uinfo_level_shape),
    DECODE_KEY_SHAPE("guard", struct uinfo, guard, uinfo_level_shape),
};
const struct decode_shape uinfo_shape = DECODE_OBJECT_SHAPE(uinfo_fields, struct uinfo);

static const struct decode_field medal_info_fields[] = {
    DECODE_KEY_STR("medal_name", struct medal, name, EVENT_MEDAL_MAX),
    DECODE_KEY("medal_level", I64, struct medal, level),
    DECODE_KEY("target_id", I64, struct medal, anchor_uid),
    DECODE_KEY("anchor_roomid", I64, struct medal, room_id),
};
const struct decode_shape medal_info_shape = DECODE_OBJECT_SHAPE(medal_info_fields, struct medal);

static const struct decode_field chat_user_fields[] = {
    DECODE_ITEM(0, I64, struct chat_user, uid),
    DECODE_ITEM_STR(1, struct chat_user, name, EVENT_UNAME_MAX),
    DECODE_ITEM(2, BOOL, struct chat_user, is_admin),
};
const struct decode_shape chat_user_shape = DECODE_ARRAY_SHAPE(chat_user_fields, struct chat_user);

static const struct decode_field chat_medal_fields[] = {
    DECODE_ITEM(0, I64, struct medal, level),
    DECODE_ITEM_STR(1, struct medal, name, EVENT_MEDAL_MAX),
    DECODE_ITEM(3, I64, struct medal, room_id),
    DECODE_ITEM(12, I64, struct medal, anchor_uid),
};
const struct decode_shape chat_medal_shape = DECODE_ARRAY_SHAPE(chat_medal_fields, struct medal);

/* ---- one form ---- */

static bool medal_is_worn(const struct medal *m)
{
    return m->level > 0 || m->name.len > 0;
}

/* Only the old form knows the room; it may be of another medal, when the anchor prefers that of this room. */
static bool medal_is_same(const struct medal *a, const struct medal *b)
{
    return a->anchor_uid != 0 ? a->anchor_uid == b->anchor_uid : str_eq(a->name, b->name);
}

void sender_merge_medal(struct sender *s, const struct medal *new, const struct medal *old)
{
    if (!medal_is_worn(new)) {
        s->medal = *old;
        return;
    }
    s->medal = *new;
    if (medal_is_same(new, old)) {
        s->medal.room_id = old->room_id;
        s->medal.anchor_uid = old->anchor_uid;
    }
}

void sender_merge(struct sender *s, const struct uinfo *u, const struct medal *old)
{
    if (s->uid <= 0) {
        s->uid = u->uid;
    }
    if (s->name.len == 0) {
        s->name = u->base.name;
    }
    if (s->wealth == 0) {
        s->wealth = u->wealth.level;
    }
    sender_merge_medal(s, &u->medal, old);
}

void sender_set_crc(struct sender *s, struct str hex)
{
    uint32_t v = 0;
    if (hex.len == 0 || hex.len > 8) {
        return;
    }
    for (size_t i = 0; i < hex.len; i++) {
        const char c = hex.ptr[i];
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        } else {
            return;
        }
    }
    s->crc = v;
    s->has_crc = true;
}

/* A hash of the uid is in [-2^32, -1], one of a masked name below that. 0: nothing is known. */
static int64_t masked_actor(const struct sender *s)
{
    if (s->has_crc && s->crc != CRC32_OF_UID_0) {
        return -1 - (int64_t)s->crc;
    }
    if (s->name.len == 0) {
        return 0;
    }
    struct hash64 h;
    hash64_init(&h, MASKED_NAME_DOMAIN);
    hash64_str(&h, s->name);
    return -(INT64_C(1) << 32) - 1 - (int64_t)((uint64_t)hash64_done(&h) >> 2);
}

void sender_apply(const struct sender *s, struct event_draft *e)
{
    e->uname = s->name;
    if (s->uid > 0) {
        e->actor = s->uid;
    } else {
        e->actor = masked_actor(s);
        e->flags |= EVENT_F_MASKED;
    }
    if (s->guard > 0 && s->guard <= GUARD_LOWEST) {
        e->guard = (int16_t)s->guard;
    }
    e->wealth = (int16_t)decode_clamp(s->wealth, INT16_MAX);
    if (s->is_admin) {
        e->flags |= EVENT_F_ADMIN;
    }
    if (medal_is_worn(&s->medal)) {
        e->medal = s->medal.name;
        e->medal_lv = (int16_t)decode_clamp(s->medal.level, INT16_MAX);
        e->medal_uid = decode_clamp(s->medal.anchor_uid, INT64_MAX);
        if (s->medal.room_id == e->room_id) {
            e->flags |= EVENT_F_MEDAL_HERE;
        }
    }
}

void sender_extra(const struct sender *s, struct extra *x)
{
    if (medal_is_worn(&s->medal) && s->medal.room_id > 0 && s->medal.room_id != x->d->room_id) {
        extra_i64(x, EVENT_EXTRA_MEDAL_ROOM, s->medal.room_id);
    }
}
