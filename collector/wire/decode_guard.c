/* Guards: one purchase is told up to three times. Each telling becomes a draft that says which one it is (extra.source):
 *
 *      source      message              value_mcny          nkey
 *      guard_buy   GUARD_BUY            the list price      buyer, level, start_time
 *      toast       USER_TOAST_MSG       what was paid       payflow_id; without one as guard_buy
 *      toast_v2    USER_TOAST_MSG_V2    what was paid       as toast: both are one event
 *
 * So a guard_buy has to be kept back until its toast came (same buyer and level, extra.start_ms at most 5 s apart; the
 * name stands for a masked buyer) and is an event of its own only if none does. */
#include "collector/wire/decode_util_priv.h"

enum { GUARD_TOAST_MAX = 512, GUARD_LEVEL_MIN = 1, GUARD_LEVEL_MAX = 3, OPTION_GIVEN = 2 };

struct guard {
    int64_t uid;
    struct str name;
    int64_t level;
    int64_t num;
    struct str unit;
    int64_t price;
    struct str payflow_id;
    int64_t start_time;
    int64_t end_time;
    int64_t gift_id;
    struct str gift_name; /* of guard_buy */
    struct str role_name; /* of toasts: the same */
    int64_t op_type;
    int64_t room_guards;
    struct str toast;
};

struct guard_pay {
    struct str payflow_id;
    int64_t price;
    int64_t num;
    struct str unit;
};

struct guard_info {
    int64_t level;
    struct str role_name;
    int64_t room_guards;
    int64_t op_type;
    int64_t start_time;
    int64_t end_time;
};

struct guard_gift {
    int64_t id;
};

struct guard_option {
    int64_t source;
};

struct guard_v2 {
    struct uinfo sender;
    struct uinfo receiver;
    struct guard_info info;
    struct guard_pay pay;
    struct guard_gift gift;
    struct guard_option option;
    struct str toast;
};

/* GUARD_BUY and USER_TOAST_MSG share their names as far as both have them. */
static const struct decode_field guard_fields[] = {
    DECODE_KEY("uid", I64, struct guard, uid),
    DECODE_KEY_STR("username", struct guard, name, EVENT_UNAME_MAX),
    DECODE_KEY("guard_level", I64, struct guard, level),
    DECODE_KEY("num", I64, struct guard, num),
    DECODE_KEY_STR("unit", struct guard, unit, DECODE_WORD_MAX),
    DECODE_KEY("price", I64, struct guard, price),
    DECODE_KEY_STR("payflow_id", struct guard, payflow_id, DECODE_ID_MAX),
    DECODE_KEY("start_time", I64, struct guard, start_time),
    DECODE_KEY("end_time", I64, struct guard, end_time),
    DECODE_KEY("gift_id", I64, struct guard, gift_id),
    DECODE_KEY_STR("gift_name", struct guard, gift_name, DECODE_NAME_MAX),
    DECODE_KEY_STR("role_name", struct guard, role_name, DECODE_NAME_MAX),
    DECODE_KEY("op_type", I64, struct guard, op_type),
    DECODE_KEY("target_guard_count", I64, struct guard, room_guards),
    DECODE_KEY_STR("toast_msg", struct guard, toast, GUARD_TOAST_MAX),
};
static const struct decode_shape guard_shape = DECODE_OBJECT_SHAPE(guard_fields, struct guard);

static const struct decode_field pay_fields[] = {
    DECODE_KEY_STR("payflow_id", struct guard_pay, payflow_id, DECODE_ID_MAX),
    DECODE_KEY("price", I64, struct guard_pay, price),
    DECODE_KEY("num", I64, struct guard_pay, num),
    DECODE_KEY_STR("unit", struct guard_pay, unit, DECODE_WORD_MAX),
};
static const struct decode_shape pay_shape = DECODE_OBJECT_SHAPE(pay_fields, struct guard_pay);

static const struct decode_field info_fields[] = {
    DECODE_KEY("guard_level", I64, struct guard_info, level),
    DECODE_KEY_STR("role_name", struct guard_info, role_name, DECODE_NAME_MAX),
    DECODE_KEY("room_guard_count", I64, struct guard_info, room_guards),
    DECODE_KEY("op_type", I64, struct guard_info, op_type),
    DECODE_KEY("start_time", I64, struct guard_info, start_time),
    DECODE_KEY("end_time", I64, struct guard_info, end_time),
};
static const struct decode_shape info_shape = DECODE_OBJECT_SHAPE(info_fields, struct guard_info);

static const struct decode_field gift_fields[] = {
    DECODE_KEY("gift_id", I64, struct guard_gift, id),
};
static const struct decode_shape gift_shape = DECODE_OBJECT_SHAPE(gift_fields, struct guard_gift);

static const struct decode_field option_fields[] = {
    DECODE_KEY("source", I64, struct guard_option, source),
};
static const struct decode_shape option_shape =
    DECODE_OBJECT_SHAPE(option_fields, struct guard_option);

static const struct decode_field v2_fields[] = {
    DECODE_KEY_SHAPE("sender_uinfo", struct guard_v2, sender, uinfo_shape),
    DECODE_KEY_SHAPE("receiver_uinfo", struct guard_v2, receiver, uinfo_shape),
    DECODE_KEY_SHAPE("guard_info", struct guard_v2, info, info_shape),
    DECODE_KEY_SHAPE("pay_info", struct guard_v2, pay, pay_shape),
    DECODE_KEY_SHAPE("gift_info", struct guard_v2, gift, gift_shape),
    DECODE_KEY_SHAPE("option", struct guard_v2, option, option_shape),
    DECODE_KEY_STR("toast_msg", struct guard_v2, toast, GUARD_TOAST_MAX),
};
static const struct decode_shape v2_shape = DECODE_OBJECT_SHAPE(v2_fields, struct guard_v2);

static int64_t guard_key(const struct guard *g)
{
    struct hash64 h;
    if (g->payflow_id.len == 0 && g->start_time == 0) {
        return 0;
    }
    decode_key_init(&h, EVENT_GUARD);
    if (g->payflow_id.len > 0) {
        hash64_str(&h, g->payflow_id);
        return hash64_done(&h);
    }
    hash64_i64(&h, g->uid);
    if (g->uid <= 0) {
        hash64_str(&h, g->name);
    }
    hash64_i64(&h, g->level);
    hash64_i64(&h, g->start_time);
    if (g->num > 1) { /* the same buyer may buy different numbers within a second */
        hash64_i64(&h, g->num);
    }
    return hash64_done(&h);
}

/* to: who gets it, NULL where the message does not say. */
static void guard_extra(struct decoder *d, const struct guard *g, const char *source,
                        const struct uinfo *to, struct event_draft *e)
{
    struct extra x;
    extra_begin(&x, d);
    extra_str(&x, "source", str_of(source));
    extra_str(&x, "payflow_id", g->payflow_id);
    extra_ms(&x, "start_ms", g->start_time);
    if (g->end_time != g->start_time) {
        extra_ms(&x, "end_ms", g->end_time);
    }
    extra_i64(&x, "price", g->price);
    extra_str(&x, "unit", g->unit);
    extra_str(&x, "role", g->role_name.len > 0 ? g->role_name : g->gift_name);
    extra_i64(&x, "op_type", g->op_type);
    extra_i64(&x, "room_guards", g->room_guards);
    if (to) {
        extra_person(&x, "to", to->uid, to->base.name);
    }
    extra_str(&x, "toast", decode_after_name(g->toast));
    extra_end(&x, e);
}

static enum decode_status guard_draft(struct decoder *d, const struct guard *g, const char *source,
                                      const struct uinfo *to, int64_t send_time)
{
    if (g->level < GUARD_LEVEL_MIN || g->level > GUARD_LEVEL_MAX) {
        return decode_broken(d, "guard without a level from 1 to 3");
    }
    struct event_draft *e = decode_draft(d, EVENT_GUARD);
    if (!e) {
        return DECODE_OK;
    }
    const struct sender s = {.uid = g->uid, .name = g->name, .guard = g->level};
    const int64_t start_ms = decode_s_to_ms(g->start_time);
    sender_apply(&s, e);
    e->nkey = guard_key(g);
    e->item_id = g->gift_id;
    e->num = (int32_t)decode_clamp(g->num, INT32_MAX);
    e->value_mcny = decode_money(d, g->price);
    e->sent_ms = start_ms != 0 ? start_ms : decode_clamp(send_time, INT64_MAX);
    guard_extra(d, g, source, to, e);
    return DECODE_OK;
}

static enum decode_status guard_old(struct decoder *d, struct json *j, const char *source)
{
    struct guard g;
    struct envelope env;
    if (!decode_data(d, j, &guard_shape, &g, &env)) {
        return decode_broken(d, "not JSON");
    }
    return guard_draft(d, &g, source, NULL, env.send_time);
}

enum decode_status decode_guard_buy(struct decoder *d, struct json *j)
{
    return guard_old(d, j, "guard_buy");
}

enum decode_status decode_toast(struct decoder *d, struct json *j)
{
    return guard_old(d, j, "toast");
}

enum decode_status decode_toast_v2(struct decoder *d, struct json *j)
{
    struct guard_v2 v;
    struct envelope env;
    if (!decode_data(d, j, &v2_shape, &v, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (v.option.source == OPTION_GIVEN) {
        return DECODE_OK; /* the second telling of a purchase; the site does not show it either */
    }
    const struct guard g = {
        .uid = v.sender.uid,
        .name = v.sender.base.name,
        .level = v.info.level,
        .num = v.pay.num,
        .unit = v.pay.unit,
        .price = v.pay.price,
        .payflow_id = v.pay.payflow_id,
        .start_time = v.info.start_time,
        .end_time = v.info.end_time,
        .gift_id = v.gift.id,
        .role_name = v.info.role_name,
        .op_type = v.info.op_type,
        .room_guards = v.info.room_guards,
        .toast = v.toast,
    };
    return guard_draft(d, &g, "toast_v2", &v.receiver, env.send_time);
}
