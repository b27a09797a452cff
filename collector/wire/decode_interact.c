/* Somebody comes in, follows, shares (INTERACT_WORD), likes (LIKE_INFO_V3_CLICK). */
#include "collector/wire/decode_interact_priv.h"

enum { INTERACT_TAIL_MAX = 256 };

static const struct decode_field tail_fields[] = {
    DECODE_KEY_STR("tail_guide_text", struct interact_tail, text, INTERACT_TAIL_MAX),
};
static const struct decode_shape tail_shape =
    DECODE_OBJECT_SHAPE(tail_fields, struct interact_tail);

static const struct decode_field interact_fields[] = {
    DECODE_KEY("uid", I64, struct interact, uid),
    DECODE_KEY_STR("uname", struct interact, name, EVENT_UNAME_MAX),
    DECODE_KEY("msg_type", I64, struct interact, type),
    DECODE_KEY("timestamp", I64, struct interact, timestamp),
    DECODE_KEY("trigger_time", I64, struct interact, trigger_time),
    DECODE_KEY("privilege_type", I64, struct interact, guard),
    DECODE_KEY_STR("spread_desc", struct interact, spread, DECODE_NAME_MAX),
    DECODE_KEY_SHAPE("relation_tail", struct interact, tail, tail_shape),
    DECODE_KEY_SHAPE("fans_medal", struct interact, medal, medal_info_shape),
    DECODE_KEY_SHAPE("uinfo", struct interact, uinfo, uinfo_shape),
};
static const struct decode_shape interact_shape =
    DECODE_OBJECT_SHAPE(interact_fields, struct interact);

/* Many masked people come in within one second; only the nanoseconds tell them apart. */
static int64_t interact_key(const struct interact *i, const struct sender *s)
{
    struct hash64 h;
    if (i->trigger_time <= 0 && (i->timestamp <= 0 || s->uid <= 0)) {
        return 0;
    }
    decode_key_init(&h, EVENT_INTERACT);
    hash64_i64(&h, s->uid);
    if (s->uid <= 0) {
        hash64_str(&h, s->name);
    }
    hash64_i64(&h, i->type);
    hash64_i64(&h, i->trigger_time > 0 ? i->trigger_time : i->timestamp);
    return hash64_done(&h);
}

enum decode_status interact_draft(struct decoder *d, const struct interact *i)
{
    struct extra x;
    struct sender s = {.uid = i->uid, .name = i->name, .guard = i->guard};
    sender_merge(&s, &i->uinfo, &i->medal);
    if (s.uid <= 0 && s.name.len == 0) {
        return decode_broken(d, "interaction without uid and name");
    }
    if (s.guard == 0) {
        s.guard = i->uinfo.guard.level;
    }
    struct event_draft *e = decode_draft(d, EVENT_INTERACT);
    if (!e) {
        return DECODE_OK;
    }
    sender_apply(&s, e);
    e->nkey = interact_key(i, &s);
    e->mode = (int16_t)decode_clamp(i->type, INT16_MAX);
    e->sent_ms =
        i->trigger_time > 0 ? decode_ns_to_ms(i->trigger_time) : decode_s_to_ms(i->timestamp);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_str(&x, "spread", i->spread);
    extra_str(&x, "tail", i->tail.text);
    extra_end(&x, e);
    return DECODE_OK;
}

enum decode_status decode_interact(struct decoder *d, struct json *j)
{
    struct interact i;
    struct envelope env;
    if (!decode_data(d, j, &interact_shape, &i, &env)) {
        return decode_broken(d, "not JSON");
    }
    return interact_draft(d, &i);
}

/* ---- likes ---- */

struct like {
    int64_t uid;
    struct str name;
    struct str text;
    struct medal medal;
    struct uinfo uinfo;
};

static const struct decode_field like_fields[] = {
    DECODE_KEY("uid", I64, struct like, uid),
    DECODE_KEY_STR("uname", struct like, name, EVENT_UNAME_MAX),
    DECODE_KEY_STR("like_text", struct like, text, DECODE_NAME_MAX),
    DECODE_KEY_SHAPE("fans_medal", struct like, medal, medal_info_shape),
    DECODE_KEY_SHAPE("uinfo", struct like, uinfo, uinfo_shape),
};
static const struct decode_shape like_shape = DECODE_OBJECT_SHAPE(like_fields, struct like);

/* Has neither an id nor a time of its own: never a repeat. */
enum decode_status decode_like(struct decoder *d, struct json *j)
{
    struct like l;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &like_shape, &l, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct sender s = {.uid = l.uid, .name = l.name, .guard = l.uinfo.guard.level};
    sender_merge(&s, &l.uinfo, &l.medal);
    if (s.uid <= 0 && s.name.len == 0) {
        return decode_broken(d, "like without uid and name");
    }
    struct event_draft *e = decode_draft(d, EVENT_LIKE);
    if (!e) {
        return DECODE_OK;
    }
    sender_apply(&s, e);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    if (!str_eq(l.text, STR("为主播点赞了"))) { /* the usual words */
        extra_str(&x, "words", l.text);
    }
    extra_end(&x, e);
    return DECODE_OK;
}
