/* Gifts. Money is what this message charged (total_coin of gold), never a combo's running sum. */
#include "collector/wire/decode_gift_priv.h"

struct gift_message {
    struct gift data;
};

static const struct decode_field blind_fields[] = {
    DECODE_KEY("original_gift_id", I64, struct gift_blind, id),
    DECODE_KEY_STR("original_gift_name", struct gift_blind, name, GIFT_NAME_MAX),
    DECODE_KEY("original_gift_price", I64, struct gift_blind, price),
};
static const struct decode_shape blind_shape = DECODE_OBJECT_SHAPE(blind_fields, struct gift_blind);

static const struct decode_field to_fields[] = {
    DECODE_KEY("uid", I64, struct gift_to, uid),
    DECODE_KEY_STR("uname", struct gift_to, name, EVENT_UNAME_MAX),
};
static const struct decode_shape to_shape = DECODE_OBJECT_SHAPE(to_fields, struct gift_to);

static const struct decode_field gift_fields[] = {
    DECODE_KEY("uid", I64, struct gift, uid),
    DECODE_KEY_STR("uname", struct gift, uname, EVENT_UNAME_MAX),
    DECODE_KEY("giftId", I64, struct gift, id),
    DECODE_KEY_STR("giftName", struct gift, name, GIFT_NAME_MAX),
    DECODE_KEY("num", I64, struct gift, num),
    DECODE_KEY("price", I64, struct gift, price),
    DECODE_KEY("discount_price", I64, struct gift, discount_price),
    DECODE_KEY("total_coin", I64, struct gift, total_coin),
    DECODE_KEY_STR("coin_type", struct gift, coin_type, GIFT_WORD_MAX),
    DECODE_KEY_STR("action", struct gift, action, GIFT_WORD_MAX),
    DECODE_KEY("timestamp", I64, struct gift, timestamp),
    DECODE_KEY_STR("tid", struct gift, tid, GIFT_ID_MAX),
    DECODE_KEY_STR("rnd", struct gift, rnd, GIFT_ID_MAX),
    DECODE_KEY("guard_level", I64, struct gift, guard_level),
    DECODE_KEY("wealth_level", I64, struct gift, wealth_level),
    DECODE_KEY_STR("batch_combo_id", struct gift, combo_id, GIFT_ID_MAX),
    DECODE_KEY("super_batch_gift_num", I64, struct gift, combo_num),
    DECODE_KEY_SHAPE("blind_gift", struct gift, blind, blind_shape),
    DECODE_KEY_SHAPE("receive_user_info", struct gift, to, to_shape),
    DECODE_KEY("bag_gift", RAW, struct gift, bag),
    DECODE_KEY_SHAPE("medal_info", struct gift, medal, medal_info_shape),
    DECODE_KEY_SHAPE("sender_uinfo", struct gift, uinfo, uinfo_shape),
};
static const struct decode_shape gift_shape = DECODE_OBJECT_SHAPE(gift_fields, struct gift);

static const struct decode_field message_fields[] = {
    DECODE_KEY_SHAPE("data", struct gift_message, data, gift_shape),
};
static const struct decode_shape message_shape =
    DECODE_OBJECT_SHAPE(message_fields, struct gift_message);

static int64_t gift_key(const struct gift *g)
{
    struct hash64 h;
    decode_key_init(&h, EVENT_GIFT);
    if (g->tid.len > 0) {
        hash64_str(&h, g->tid);
    } else {
        hash64_str(&h, g->rnd);
        hash64_i64(&h, g->uid);
        hash64_i64(&h, g->id);
        hash64_i64(&h, g->timestamp);
    }
    return hash64_done(&h);
}

/* What was paid is the event's value; what came out may be worth more. */
static void put_blind(struct extra *x, const struct gift *g)
{
    const struct gift_blind *b = &g->blind;
    const struct extra_mark mark = extra_mark(x);
    int64_t revealed;
    jw_key(&x->w, STR("blind"));
    jw_object(&x->w);
    jw_ki64(&x->w, "gift_id", b->id);
    jw_kstr(&x->w, "gift_name", b->name);
    jw_ki64(&x->w, "price", b->price);
    if (!__builtin_mul_overflow(g->price, g->num, &revealed)) {
        jw_ki64(&x->w, "revealed", revealed);
    }
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

static void put_to(struct extra *x, const struct gift_to *to)
{
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, STR("to"));
    jw_object(&x->w);
    jw_ki64(&x->w, "uid", to->uid);
    jw_kstr(&x->w, "name", to->name);
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

static void gift_extra(struct decoder *d, const struct gift *g, const struct sender *s,
                       struct event_draft *e)
{
    struct extra x;
    extra_begin(&x, d);
    sender_extra(s, &x);
    extra_str(&x, "gift_name", g->name);
    extra_i64(&x, "price", g->price);
    if (g->discount_price != g->price) {
        extra_i64(&x, "discount_price", g->discount_price);
    }
    if (!str_eq(g->action, STR("投喂"))) { /* the usual word for it */
        extra_str(&x, "action", g->action);
    }
    if (g->blind.id != 0) {
        put_blind(&x, g);
    }
    extra_str(&x, "combo_id", g->combo_id);
    extra_i64(&x, "combo_num", g->combo_num);
    if (g->to.uid != 0) {
        put_to(&x, &g->to);
    }
    extra_true(&x, "bag", g->bag.len > 0 && g->bag.ptr[0] == '{');
    extra_end(&x, e);
}

enum decode_status gift_draft(struct decoder *d, const struct gift *g)
{
    if (g->id == 0 && g->name.len == 0) {
        return decode_broken(d, "gift without giftId and giftName");
    }
    struct event_draft *e = decode_draft(d, EVENT_GIFT);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {
        .uid = g->uid, .name = g->uname, .guard = g->guard_level, .wealth = g->wealth_level};
    sender_merge(&s, &g->uinfo, &g->medal);
    sender_apply(&s, e);
    e->nkey = gift_key(g);
    e->item_id = g->id;
    e->num = (int32_t)decode_clamp(g->num, INT32_MAX);
    e->sent_ms = decode_s_to_ms(g->timestamp);
    if (str_eq(g->coin_type, STR("gold"))) {
        e->value_mcny = decode_money(d, g->total_coin);
    } else if (str_eq(g->coin_type, STR("silver"))) {
        e->flags |= EVENT_F_SILVER;
    }
    gift_extra(d, g, &s, e);
    return DECODE_OK;
}

enum decode_status decode_gift(struct decoder *d, struct json *j)
{
    struct gift_message m;
    if (!decode_read_all(d, j, &message_shape, &m)) {
        return decode_broken(d, "not JSON");
    }
    return gift_draft(d, &m.data);
}
