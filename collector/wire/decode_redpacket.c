/* Red packets: somebody pays for one (_NEW), its lottery starts, the winners are told. Only the first is money. */
#include "collector/wire/decode_util_priv.h"

enum { MCNY_PER_BATTERY = 100, JOIN_TEXT_MAX = 256, AWARDS_MAX = 64 };

/* What happens to a packet happens once, whether the older or the newer message tells it. */
static struct event_draft *packet_draft(struct decoder *d, struct str state, int64_t lot_id)
{
    struct event_draft *e = decode_draft(d, EVENT_REDPACKET);
    if (e) {
        e->item_id = lot_id;
        e->nkey = lot_id != 0 ? decode_key(EVENT_REDPACKET, state, lot_id, 0) : 0;
    }
    return e;
}

/* ---- paid ---- */

struct packet_new {
    int64_t lot_id;
    int64_t uid;
    struct str name;
    int64_t num;
    int64_t gift_id;
    struct str gift_name;
    int64_t price; /* battery */
    int64_t start_time;
    int64_t current_time;
    int64_t wealth;
    int64_t type;
    struct medal medal;
    struct uinfo uinfo;
};

static const struct decode_field new_fields[] = {
    DECODE_KEY("lot_id", I64, struct packet_new, lot_id),
    DECODE_KEY("uid", I64, struct packet_new, uid),
    DECODE_KEY_STR("uname", struct packet_new, name, EVENT_UNAME_MAX),
    DECODE_KEY("num", I64, struct packet_new, num),
    DECODE_KEY("gift_id", I64, struct packet_new, gift_id),
    DECODE_KEY_STR("gift_name", struct packet_new, gift_name, DECODE_NAME_MAX),
    DECODE_KEY("price", I64, struct packet_new, price),
    DECODE_KEY("start_time", I64, struct packet_new, start_time),
    DECODE_KEY("current_time", I64, struct packet_new, current_time),
    DECODE_KEY("wealth_level", I64, struct packet_new, wealth),
    DECODE_KEY("rp_type", I64, struct packet_new, type),
    DECODE_KEY_SHAPE("medal_info", struct packet_new, medal, medal_info_shape),
    DECODE_KEY_SHAPE("sender_info", struct packet_new, uinfo, uinfo_shape),
};
static const struct decode_shape new_shape = DECODE_OBJECT_SHAPE(new_fields, struct packet_new);

static int64_t packet_value(struct decoder *d, const struct packet_new *p)
{
    int64_t value;
    if (__builtin_mul_overflow(p->price, MCNY_PER_BATTERY, &value)) {
        value = p->price > 0 ? INT64_MAX : 0;
    }
    return decode_money(d, value);
}

enum decode_status decode_redpacket_new(struct decoder *d, struct json *j)
{
    struct packet_new p;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &new_shape, &p, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (p.lot_id == 0 && p.price == 0) {
        return decode_broken(d, "red packet without lot_id and price");
    }
    struct event_draft *e = packet_draft(d, STR("new"), p.lot_id);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {.uid = p.uid, .name = p.name, .wealth = p.wealth};
    sender_merge(&s, &p.uinfo, &p.medal);
    s.guard = p.uinfo.guard.level;
    sender_apply(&s, e);
    e->num = (int32_t)decode_clamp(p.num, INT32_MAX);
    e->value_mcny = packet_value(d, &p);
    e->sent_ms = decode_s_to_ms(p.current_time > 0 ? p.current_time : p.start_time);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_str(&x, "state", STR("new"));
    extra_i64(&x, "price_battery", p.price);
    extra_i64(&x, "gift_id", p.gift_id);
    extra_str(&x, "gift_name", p.gift_name);
    extra_ms(&x, "start_ms", p.start_time);
    extra_i64(&x, "type", p.type);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- started ---- */

struct packet_start {
    int64_t lot_id;
    int64_t uid;
    struct str name;
    int64_t join_type;
    struct str join_text;
    int64_t current_time;
    int64_t start_time;
    int64_t end_time;
    int64_t total_price;
    int64_t type;
    struct str awards; /* raw */
    struct uinfo uinfo;
};

static const struct decode_field start_fields[] = {
    DECODE_KEY("lot_id", I64, struct packet_start, lot_id),
    DECODE_KEY("sender_uid", I64, struct packet_start, uid),
    DECODE_KEY_STR("sender_name", struct packet_start, name, EVENT_UNAME_MAX),
    DECODE_KEY("join_requirement", I64, struct packet_start, join_type),
    DECODE_KEY_STR("danmu", struct packet_start, join_text, JOIN_TEXT_MAX),
    DECODE_KEY("current_time", I64, struct packet_start, current_time),
    DECODE_KEY("start_time", I64, struct packet_start, start_time),
    DECODE_KEY("end_time", I64, struct packet_start, end_time),
    DECODE_KEY("total_price", I64, struct packet_start, total_price),
    DECODE_KEY("rp_type", I64, struct packet_start, type),
    DECODE_KEY("awards", RAW, struct packet_start, awards),
    DECODE_KEY_SHAPE("sender_uinfo", struct packet_start, uinfo, uinfo_shape),
};
static const struct decode_shape start_shape =
    DECODE_OBJECT_SHAPE(start_fields, struct packet_start);

struct award {
    int64_t gift_id; /* in lists of winners the key says it */
    struct str name;
    struct str award_name;
    int64_t price;
    int64_t num;
};

static const struct decode_field award_fields[] = {
    DECODE_KEY("gift_id", I64, struct award, gift_id),
    DECODE_KEY_STR("gift_name", struct award, name, DECODE_NAME_MAX),
    DECODE_KEY_STR("award_name", struct award, award_name, DECODE_NAME_MAX),
    DECODE_KEY("award_price", I64, struct award, price),
    DECODE_KEY("num", I64, struct award, num),
};
static const struct decode_shape award_shape = DECODE_OBJECT_SHAPE(award_fields, struct award);

static bool put_award(struct extra_list *l, const struct award *a)
{
    struct json_out *w = &l->x->w;
    extra_item(l);
    jw_object(w);
    jw_ki64(w, "gift_id", a->gift_id);
    jw_kstr(w, "gift_name", a->name.len > 0 ? a->name : a->award_name);
    if (a->price != 0) {
        jw_ki64(w, "price", a->price);
    }
    if (a->num != 0) {
        jw_ki64(w, "num", a->num);
    }
    jw_object_end(w);
    return extra_item_end(l);
}

/* The members of a list, or of an object, whose key is then ret_key. */
static bool next_award(struct json *j, bool is_object, struct str *ret_key)
{
    return is_object ? json_next_key(j, ret_key) : json_next_elem(j);
}

struct seen_awards {
    int64_t ids[AWARDS_MAX];
    size_t n;
};

/* Of a key that comes twice the first one counts. */
static bool is_new(struct seen_awards *s, int64_t id)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->ids[i] == id) {
            return false;
        }
    }
    if (s->n < AWARDS_MAX) {
        s->ids[s->n++] = id;
    }
    return true;
}

/* A list of awards, or an object of them by gift id. */
static void put_awards(struct extra *x, struct str raw)
{
    struct json j;
    struct award a;
    struct str key = STR_NULL;
    struct seen_awards seen = {.n = 0};
    bool has_room = true;
    json_init(&j, raw);
    const bool is_object = raw.len > 0 && raw.ptr[0] == '{';
    if (raw.len == 0 || !(is_object ? json_enter_object(&j) : json_enter_array(&j))) {
        return;
    }
    struct extra_list l = extra_list(x, "awards");
    while (has_room && next_award(&j, is_object, &key)) {
        const size_t used = x->d->used;
        (void)decode_read(x->d, &j, &award_shape, &a);
        const bool by_key = is_object && str_to_i64(key, &a.gift_id);
        const bool is_award = a.gift_id != 0 || a.name.len > 0 || a.award_name.len > 0;
        if (is_award && (!by_key || is_new(&seen, a.gift_id))) {
            has_room = put_award(&l, &a);
        }
        x->d->used = used;
    }
    extra_list_end(&l);
}

enum decode_status decode_redpacket_start(struct decoder *d, struct json *j)
{
    struct packet_start p;
    struct envelope env;
    struct extra x;
    const struct medal none = {0};
    if (!decode_data(d, j, &start_shape, &p, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (p.lot_id == 0) {
        return decode_broken(d, "red packet without lot_id");
    }
    struct event_draft *e = packet_draft(d, STR("start"), p.lot_id);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {.uid = p.uid, .name = p.name};
    sender_merge(&s, &p.uinfo, &none);
    s.guard = p.uinfo.guard.level;
    sender_apply(&s, e);
    e->sent_ms = decode_s_to_ms(p.current_time > 0 ? p.current_time : p.start_time);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_str(&x, "state", STR("start"));
    extra_i64(&x, "total_price", p.total_price);
    extra_i64(&x, "join_type", p.join_type);
    extra_str(&x, "join_text", p.join_text);
    extra_ms(&x, "start_ms", p.start_time);
    extra_ms(&x, "end_ms", p.end_time);
    extra_i64(&x, "type", p.type);
    put_awards(&x, p.awards);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- won ---- */

struct packet_end {
    int64_t lot_id;
    int64_t total_num;
    int64_t award_num;
    int64_t timestamp;
    struct str winners; /* raw */
    struct str awards;  /* raw */
};

static const struct decode_field end_fields[] = {
    DECODE_KEY("lot_id", I64, struct packet_end, lot_id),
    DECODE_KEY("total_num", I64, struct packet_end, total_num),
    DECODE_KEY("award_num", I64, struct packet_end, award_num),
    DECODE_KEY("timestamp", I64, struct packet_end, timestamp),
    DECODE_KEY("winner_info", RAW, struct packet_end, winners),
    DECODE_KEY("awards", RAW, struct packet_end, awards),
};
static const struct decode_shape end_shape = DECODE_OBJECT_SHAPE(end_fields, struct packet_end);

struct winner {
    int64_t uid;
    struct str name;
    int64_t gift_id;
};

static const struct decode_field winner_items[] = {
    DECODE_ITEM(0, I64, struct winner, uid),
    DECODE_ITEM_STR(1, struct winner, name, EVENT_UNAME_MAX),
    DECODE_ITEM(3, I64, struct winner, gift_id),
};
static const struct decode_shape winner_array_shape =
    DECODE_ARRAY_SHAPE(winner_items, struct winner);

static const struct decode_field winner_fields[] = {
    DECODE_KEY("uid", I64, struct winner, uid),
    DECODE_KEY_STR("name", struct winner, name, EVENT_UNAME_MAX),
    DECODE_KEY("award_id", I64, struct winner, gift_id),
};
static const struct decode_shape winner_object_shape =
    DECODE_OBJECT_SHAPE(winner_fields, struct winner);

static void put_winners(struct extra *x, struct str raw)
{
    struct json j;
    bool has_room = true;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return;
    }
    struct extra_list l = extra_list(x, "winners");
    while (has_room && json_next_elem(&j)) {
        struct winner win;
        extra_item(&l);
        const bool is_array = json_peek(&j) == JSON_ARRAY;
        (void)decode_read(x->d, &j, is_array ? &winner_array_shape : &winner_object_shape, &win);
        if (win.uid == 0 && win.name.len == 0) {
            continue;
        }
        jw_object(&x->w);
        jw_ki64(&x->w, "uid", win.uid);
        jw_kstr(&x->w, "name", win.name);
        jw_ki64(&x->w, "gift_id", win.gift_id);
        jw_object_end(&x->w);
        has_room = extra_item_end(&l);
    }
    extra_list_end(&l);
}

enum decode_status decode_redpacket_winners(struct decoder *d, struct json *j)
{
    struct packet_end p;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &end_shape, &p, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (p.lot_id == 0) {
        return decode_broken(d, "red packet without lot_id");
    }
    struct event_draft *e = packet_draft(d, STR("winners"), p.lot_id);
    if (!e) {
        return DECODE_OK;
    }
    e->sent_ms =
        p.timestamp > 0 ? decode_s_to_ms(p.timestamp) : decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "state", STR("winners"));
    extra_i64(&x, "total_num", p.total_num);
    extra_i64(&x, "award_num", p.award_num);
    put_awards(&x, p.awards);
    put_winners(&x, p.winners);
    extra_end(&x, e);
    return DECODE_OK;
}
