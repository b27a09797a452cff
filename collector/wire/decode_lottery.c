/* Lotteries of the anchor: checked by upstream, started, ended, won. Gifts sent to join are gifts of their own. */
#include "collector/wire/decode_util_priv.h"

enum { LOTTERY_TEXT_MAX = 512 };

struct lottery {
    int64_t id;
    struct str award;
    int64_t award_num;
    struct str award_price;
    struct str join_text;
    int64_t gift_id;
    struct str gift_name;
    int64_t gift_num;
    int64_t gift_price;
    int64_t require_type;
    int64_t require_value;
    struct str require_text;
    int64_t current_time;
    int64_t seconds;
    int64_t status;
    struct str reason;
    struct str users; /* raw */
};

static const struct decode_field lottery_fields[] = {
    DECODE_KEY("id", I64, struct lottery, id),
    DECODE_KEY_STR("award_name", struct lottery, award, DECODE_NAME_MAX),
    DECODE_KEY("award_num", I64, struct lottery, award_num),
    DECODE_KEY_STR("award_price_text", struct lottery, award_price, DECODE_WORD_MAX),
    DECODE_KEY_STR("danmu", struct lottery, join_text, LOTTERY_TEXT_MAX),
    DECODE_KEY("gift_id", I64, struct lottery, gift_id),
    DECODE_KEY_STR("gift_name", struct lottery, gift_name, DECODE_NAME_MAX),
    DECODE_KEY("gift_num", I64, struct lottery, gift_num),
    DECODE_KEY("gift_price", I64, struct lottery, gift_price),
    DECODE_KEY("require_type", I64, struct lottery, require_type),
    DECODE_KEY("require_value", I64, struct lottery, require_value),
    DECODE_KEY_STR("require_text", struct lottery, require_text, LOTTERY_TEXT_MAX),
    DECODE_KEY("current_time", I64, struct lottery, current_time),
    DECODE_KEY("time", I64, struct lottery, seconds),
    DECODE_KEY("status", I64, struct lottery, status),
    DECODE_KEY_STR("reject_reason", struct lottery, reason, LOTTERY_TEXT_MAX),
    DECODE_KEY("award_users", RAW, struct lottery, users),
};
static const struct decode_shape lottery_shape =
    DECODE_OBJECT_SHAPE(lottery_fields, struct lottery);

struct lottery_user {
    int64_t uid;
    struct str name;
    int64_t num;
};

static const struct decode_field user_fields[] = {
    DECODE_KEY("uid", I64, struct lottery_user, uid),
    DECODE_KEY_STR("uname", struct lottery_user, name, EVENT_UNAME_MAX),
    DECODE_KEY("num", I64, struct lottery_user, num),
};
static const struct decode_shape user_shape = DECODE_OBJECT_SHAPE(user_fields, struct lottery_user);

static void put_join_gift(struct extra *x, const struct lottery *l)
{
    const struct extra_mark mark = extra_mark(x);
    if (l->gift_id == 0) {
        return;
    }
    jw_key(&x->w, STR("join_gift"));
    jw_object(&x->w);
    jw_ki64(&x->w, "gift_id", l->gift_id);
    jw_kstr(&x->w, "gift_name", l->gift_name);
    jw_ki64(&x->w, "num", l->gift_num);
    jw_ki64(&x->w, "price", l->gift_price);
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

static void put_users(struct extra *x, struct str raw)
{
    struct json j;
    bool has_room = true;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return;
    }
    struct extra_list l = extra_list(x, "winners");
    while (has_room && json_next_elem(&j)) {
        struct lottery_user u;
        extra_item(&l);
        (void)decode_read(x->d, &j, &user_shape, &u);
        if (u.uid == 0 && u.name.len == 0) {
            continue;
        }
        jw_object(&x->w);
        jw_ki64(&x->w, "uid", u.uid);
        jw_kstr(&x->w, "name", u.name);
        if (u.num != 0) {
            jw_ki64(&x->w, "num", u.num);
        }
        jw_object_end(&x->w);
        has_room = extra_item_end(&l);
    }
    extra_list_end(&l);
}

static void lottery_extra(struct decoder *d, const struct lottery *l, const char *state,
                          struct event_draft *e)
{
    struct extra x;
    int64_t end = 0;
    if (l->current_time <= 0 || l->seconds <= 0 ||
        __builtin_add_overflow(l->current_time, l->seconds, &end)) {
        end = 0;
    }
    extra_begin(&x, d);
    extra_str(&x, "state", str_of(state));
    extra_str(&x, "award", l->award);
    extra_str(&x, "award_price", l->award_price);
    extra_str(&x, "join_text", l->join_text);
    put_join_gift(&x, l);
    extra_i64(&x, "require_type", l->require_type);
    extra_i64(&x, "require_value", l->require_value);
    extra_str(&x, "require_text", l->require_text);
    extra_ms(&x, "end_ms", end);
    extra_i64(&x, "status", l->status);
    extra_str(&x, "reason", l->reason);
    put_users(&x, l->users);
    extra_end(&x, e);
}

/* status tells the outcomes of several checks apart; elsewhere there is one message per lottery and state. */
static enum decode_status lottery_draft(struct decoder *d, struct json *j, const char *state,
                                        bool is_check)
{
    struct lottery l;
    struct envelope env;
    if (!decode_data(d, j, &lottery_shape, &l, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (l.id == 0) {
        return decode_broken(d, "lottery without id");
    }
    struct event_draft *e = decode_draft(d, EVENT_LOTTERY);
    if (!e) {
        return DECODE_OK;
    }
    e->item_id = l.id;
    e->nkey = decode_key(EVENT_LOTTERY, str_of(state), l.id, is_check ? l.status : 0);
    e->num = (int32_t)decode_clamp(l.award_num, INT32_MAX);
    e->sent_ms = l.current_time > 0 ? decode_s_to_ms(l.current_time)
                                    : decode_clamp(env.send_time, INT64_MAX);
    lottery_extra(d, &l, state, e);
    return DECODE_OK;
}

enum decode_status decode_lottery_start(struct decoder *d, struct json *j)
{
    return lottery_draft(d, j, "start", false);
}

enum decode_status decode_lottery_end(struct decoder *d, struct json *j)
{
    return lottery_draft(d, j, "end", false);
}

enum decode_status decode_lottery_award(struct decoder *d, struct json *j)
{
    return lottery_draft(d, j, "award", false);
}

enum decode_status decode_lottery_check(struct decoder *d, struct json *j)
{
    return lottery_draft(d, j, "check", true);
}
