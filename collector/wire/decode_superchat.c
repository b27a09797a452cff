/* Super chats: paid messages, priced in CNY. */
#include "collector/wire/decode_priv.h"

enum { SUPERCHAT_RATE = 1000, SUPERCHAT_COLOR_MAX = 16, SUPERCHAT_TRANSLATION_MAX = 1024 };

struct superchat_user {
    struct str name;
    int64_t guard_level;
    bool is_admin;
};

struct superchat {
    int64_t id;
    int64_t uid;
    int64_t price;
    int64_t rate;
    struct str message;
    struct str translation;
    int64_t start_time;
    int64_t end_time;
    int64_t seconds;
    int64_t ts;
    struct str color;
    struct superchat_user user;
    struct medal medal;
    struct uinfo uinfo;
};

struct superchat_message {
    struct superchat data;
};

static const struct decode_field user_fields[] = {
    DECODE_KEY_STR("uname", struct superchat_user, name, EVENT_UNAME_MAX),
    DECODE_KEY("guard_level", I64, struct superchat_user, guard_level),
    DECODE_KEY("manager", BOOL, struct superchat_user, is_admin),
};
static const struct decode_shape user_shape =
    DECODE_OBJECT_SHAPE(user_fields, struct superchat_user);

static const struct decode_field superchat_fields[] = {
    DECODE_KEY("id", I64, struct superchat, id),
    DECODE_KEY("uid", I64, struct superchat, uid),
    DECODE_KEY("price", I64, struct superchat, price),
    DECODE_KEY("rate", I64, struct superchat, rate),
    DECODE_KEY_STR("message", struct superchat, message, EVENT_TEXT_MAX),
    DECODE_KEY_STR("message_trans", struct superchat, translation, SUPERCHAT_TRANSLATION_MAX),
    DECODE_KEY("start_time", I64, struct superchat, start_time),
    DECODE_KEY("end_time", I64, struct superchat, end_time),
    DECODE_KEY("time", I64, struct superchat, seconds),
    DECODE_KEY("ts", I64, struct superchat, ts),
    DECODE_KEY_STR("background_bottom_color", struct superchat, color, SUPERCHAT_COLOR_MAX),
    DECODE_KEY_SHAPE("user_info", struct superchat, user, user_shape),
    DECODE_KEY_SHAPE("medal_info", struct superchat, medal, medal_info_shape),
    DECODE_KEY_SHAPE("uinfo", struct superchat, uinfo, uinfo_shape),
};
static const struct decode_shape superchat_shape =
    DECODE_OBJECT_SHAPE(superchat_fields, struct superchat);

static const struct decode_field message_fields[] = {
    DECODE_KEY_SHAPE("data", struct superchat_message, data, superchat_shape),
};
static const struct decode_shape message_shape =
    DECODE_OBJECT_SHAPE(message_fields, struct superchat_message);

static int64_t superchat_key(const struct superchat *c)
{
    struct hash64 h;
    decode_key_init(&h, EVENT_SUPERCHAT);
    if (c->id != 0) {
        hash64_i64(&h, c->id);
    } else {
        hash64_i64(&h, c->uid);
        hash64_i64(&h, c->start_time);
        hash64_i64(&h, c->price);
        hash64_str(&h, c->message);
    }
    return hash64_done(&h);
}

static int64_t superchat_value(struct decoder *d, const struct superchat *c)
{
    int64_t value;
    const int64_t rate = c->rate > 0 ? c->rate : SUPERCHAT_RATE;
    if (__builtin_mul_overflow(c->price, rate, &value)) {
        value = c->price > 0 ? INT64_MAX : 0;
    }
    return decode_money(d, value);
}

enum decode_status decode_superchat(struct decoder *d, struct json *j)
{
    struct superchat_message m;
    struct extra x;
    const struct superchat *c = &m.data;
    if (!decode_read_all(d, j, &message_shape, &m)) {
        return decode_broken(d, "not JSON");
    }
    if (c->id == 0 && c->price == 0) {
        return decode_broken(d, "super chat without id and price");
    }
    struct event_draft *e = decode_draft(d, EVENT_SUPERCHAT);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {.uid = c->uid,
                       .name = c->user.name,
                       .guard = c->user.guard_level,
                       .is_admin = c->user.is_admin};
    sender_merge(&s, &c->uinfo, &c->medal);
    sender_apply(&s, e);
    e->text = c->message;
    e->nkey = superchat_key(c);
    e->item_id = c->id;
    e->value_mcny = superchat_value(d, c);
    e->sent_ms = decode_s_to_ms(c->ts > 0 ? c->ts : c->start_time);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_i64(&x, "price_cny", c->price);
    extra_i64(&x, "seconds", c->seconds);
    extra_i64(&x, "start_ms", decode_s_to_ms(c->start_time));
    extra_i64(&x, "end_ms", decode_s_to_ms(c->end_time));
    extra_str(&x, "color", c->color);
    extra_str(&x, "translation", c->translation);
    extra_end(&x, e);
    return DECODE_OK;
}
