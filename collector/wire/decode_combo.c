/* Combos: what a row of gifts came to. The gifts were told one by one: nothing here is new money. */
#include "collector/wire/decode_util_priv.h"

struct combo_to {
    int64_t uid;
    struct str name;
};

struct combo {
    int64_t uid;
    struct str uname;
    int64_t gift_id;
    struct str gift_name;
    int64_t total_num;
    int64_t batch_combo_num;
    int64_t combo_num;
    int64_t total_coin;
    int64_t price;
    struct str coin_type;
    struct str combo_id;
    struct str batch_combo_id;
    struct str action;
    int64_t start_time;
    int64_t end_time;
    int64_t guard_level;
    int64_t wealth_level;
    int64_t ruid;
    struct str r_uname;
    struct combo_to to;
    struct medal medal;
    struct uinfo uinfo;
};

static const struct decode_field to_fields[] = {
    DECODE_KEY("uid", I64, struct combo_to, uid),
    DECODE_KEY_STR("uname", struct combo_to, name, EVENT_UNAME_MAX),
};
static const struct decode_shape to_shape = DECODE_OBJECT_SHAPE(to_fields, struct combo_to);

static const struct decode_field combo_fields[] = {
    DECODE_KEY("uid", I64, struct combo, uid),
    DECODE_KEY_STR("uname", struct combo, uname, EVENT_UNAME_MAX),
    DECODE_KEY("gift_id", I64, struct combo, gift_id),
    DECODE_KEY_STR("gift_name", struct combo, gift_name, DECODE_NAME_MAX),
    DECODE_KEY("total_num", I64, struct combo, total_num),
    DECODE_KEY("batch_combo_num", I64, struct combo, batch_combo_num),
    DECODE_KEY("combo_num", I64, struct combo, combo_num),
    DECODE_KEY("combo_total_coin", I64, struct combo, total_coin),
    DECODE_KEY("price", I64, struct combo, price),
    DECODE_KEY_STR("coin_type", struct combo, coin_type, DECODE_WORD_MAX),
    DECODE_KEY_STR("combo_id", struct combo, combo_id, DECODE_ID_MAX),
    DECODE_KEY_STR("batch_combo_id", struct combo, batch_combo_id, DECODE_ID_MAX),
    DECODE_KEY_STR("action", struct combo, action, DECODE_WORD_MAX),
    DECODE_KEY("start_time", I64, struct combo, start_time),
    DECODE_KEY("end_time", I64, struct combo, end_time),
    DECODE_KEY("guard_level", I64, struct combo, guard_level),
    DECODE_KEY("wealth_level", I64, struct combo, wealth_level),
    DECODE_KEY("ruid", I64, struct combo, ruid),
    DECODE_KEY_STR("r_uname", struct combo, r_uname, EVENT_UNAME_MAX),
    DECODE_KEY_SHAPE("receive_user_info", struct combo, to, to_shape),
    DECODE_KEY_SHAPE("medal_info", struct combo, medal, medal_info_shape),
    DECODE_KEY_SHAPE("sender_uinfo", struct combo, uinfo, uinfo_shape),
};
static const struct decode_shape combo_shape = DECODE_OBJECT_SHAPE(combo_fields, struct combo);

static struct str combo_id(const struct combo *c)
{
    return c->batch_combo_id.len > 0 ? c->batch_combo_id : c->combo_id;
}

static int64_t combo_num(const struct combo *c)
{
    if (c->total_num > 0) {
        return c->total_num;
    }
    return c->batch_combo_num > 0 ? c->batch_combo_num : c->combo_num;
}

/* A combo that goes on is summed up again, with higher numbers. */
static int64_t combo_key(const struct combo *c)
{
    struct hash64 h;
    if (combo_id(c).len == 0 && c->end_time == 0) {
        return 0;
    }
    decode_key_init(&h, EVENT_COMBO);
    hash64_str(&h, combo_id(c));
    hash64_i64(&h, combo_num(c));
    hash64_i64(&h, c->total_coin);
    if (combo_id(c).len == 0) {
        hash64_str(&h, c->uname);
        hash64_i64(&h, c->gift_id);
        hash64_i64(&h, c->start_time);
        hash64_i64(&h, c->end_time);
    }
    return hash64_done(&h);
}

static void combo_extra(struct decoder *d, const struct combo *c, const struct sender *s,
                        struct event_draft *e)
{
    struct extra x;
    extra_begin(&x, d);
    sender_extra(s, &x);
    extra_str(&x, "gift_name", c->gift_name);
    extra_i64(&x, "price", c->price);
    extra_i64(&x, "total_coin", c->total_coin);
    extra_str(&x, "coin", c->coin_type);
    if (!str_eq(c->action, STR("投喂"))) { /* the usual word for it */
        extra_str(&x, "action", c->action);
    }
    extra_str(&x, "combo_id", combo_id(c));
    extra_ms(&x, "start_ms", c->start_time);
    extra_ms(&x, "end_ms", c->end_time);
    extra_person(&x, "to", c->to.uid != 0 ? c->to.uid : c->ruid,
                 c->to.name.len > 0 ? c->to.name : c->r_uname);
    extra_end(&x, e);
}

enum decode_status decode_combo(struct decoder *d, struct json *j)
{
    struct combo c;
    struct envelope env;
    if (!decode_data(d, j, &combo_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (c.gift_id == 0 && c.gift_name.len == 0) {
        return decode_broken(d, "combo without gift_id and gift_name");
    }
    struct event_draft *e = decode_draft(d, EVENT_COMBO);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {
        .uid = c.uid, .name = c.uname, .guard = c.guard_level, .wealth = c.wealth_level};
    sender_merge(&s, &c.uinfo, &c.medal);
    sender_apply(&s, e);
    e->nkey = combo_key(&c);
    e->item_id = c.gift_id;
    e->num = (int32_t)decode_clamp(combo_num(&c), INT32_MAX);
    const int64_t end_ms = decode_s_to_ms(c.end_time);
    e->sent_ms = end_ms != 0 ? end_ms : decode_clamp(env.send_time, INT64_MAX);
    if (str_eq(c.coin_type, STR("silver"))) {
        e->flags |= EVENT_F_SILVER;
    }
    combo_extra(d, &c, &s, e);
    return DECODE_OK;
}
