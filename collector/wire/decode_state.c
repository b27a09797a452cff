/* The state of a room apart from live and not live: what staff did to it, its title, its rules, its admins. */
#include "collector/wire/decode_util_priv.h"

enum { STATE_TEXT_MAX = 1024 };
#define BLOCKED_FOR_EVER INT64_C(2145888000) /* s: upstream's last day */

/* ---- what staff did: warned, cut the stream, locked the room ---- */

struct staff {
    struct str msg;
    struct str expire;
    struct str msg_id;
    int64_t send_time;
};

static const struct decode_field staff_fields[] = {
    DECODE_KEY_STR("msg", struct staff, msg, STATE_TEXT_MAX),
    DECODE_KEY_STR("expire", struct staff, expire, DECODE_WORD_MAX),
    DECODE_KEY_STR("msg_id", struct staff, msg_id, DECODE_ID_MAX),
    DECODE_KEY("send_time", I64, struct staff, send_time),
};
static const struct decode_shape staff_shape = DECODE_OBJECT_SHAPE(staff_fields, struct staff);

static enum decode_status staff_draft(struct decoder *d, struct json *j, const char *action)
{
    struct staff s;
    struct extra x;
    if (!decode_read_all(d, j, &staff_shape, &s)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_WARNING);
    if (!e) {
        return DECODE_OK;
    }
    const struct envelope env = {.msg_id = s.msg_id};
    e->nkey = decode_key_of_envelope(EVENT_WARNING, &env);
    e->sent_ms = decode_clamp(s.send_time, INT64_MAX);
    e->text = s.msg;
    extra_begin(&x, d);
    extra_str(&x, "action", str_of(action));
    extra_i64(&x, "until_ms", decode_clock_to_ms(s.expire));
    extra_end(&x, e);
    return DECODE_OK;
}

enum decode_status decode_warning(struct decoder *d, struct json *j)
{
    return staff_draft(d, j, "warning");
}

enum decode_status decode_cut_off(struct decoder *d, struct json *j)
{
    return staff_draft(d, j, "cut_off");
}

enum decode_status decode_room_lock(struct decoder *d, struct json *j)
{
    return staff_draft(d, j, "lock");
}

struct cut_details {
    struct str title;
    struct str messages; /* raw */
};

struct cut {
    int64_t scene;
    int64_t timestamp;
    struct cut_details details;
};

struct cut_part {
    struct str label;
    struct str content;
};

static const struct decode_field details_fields[] = {
    DECODE_KEY_STR("cut_off_title", struct cut_details, title, STATE_TEXT_MAX),
    DECODE_KEY("cut_off_message_list", RAW, struct cut_details, messages),
};
static const struct decode_shape details_shape =
    DECODE_OBJECT_SHAPE(details_fields, struct cut_details);

static const struct decode_field cut_fields[] = {
    DECODE_KEY("cut_off_scene", I64, struct cut, scene),
    DECODE_KEY("timestamp", I64, struct cut, timestamp),
    DECODE_KEY_SHAPE("cut_off_data", struct cut, details, details_shape),
};
static const struct decode_shape cut_shape = DECODE_OBJECT_SHAPE(cut_fields, struct cut);

static const struct decode_field part_fields[] = {
    DECODE_KEY_STR("label", struct cut_part, label, DECODE_NAME_MAX),
    DECODE_KEY_STR("content", struct cut_part, content, STATE_TEXT_MAX),
};
static const struct decode_shape part_shape = DECODE_OBJECT_SHAPE(part_fields, struct cut_part);

static void put_parts(struct extra *x, struct str raw)
{
    struct json j;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return;
    }
    struct extra_list l = extra_list(x, "messages");
    while (json_next_elem(&j)) {
        struct cut_part part;
        extra_item(&l);
        (void)decode_read(x->d, &j, &part_shape, &part);
        jw_object(&x->w);
        jw_kstr(&x->w, "label", part.label);
        jw_kstr(&x->w, "content", part.content);
        jw_object_end(&x->w);
        if (!extra_item_end(&l)) {
            break;
        }
    }
    extra_list_end(&l);
}

enum decode_status decode_cut_off_v2(struct decoder *d, struct json *j)
{
    struct cut c;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &cut_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_WARNING);
    if (!e) {
        return DECODE_OK;
    }
    e->nkey = c.timestamp > 0 ? decode_key(EVENT_WARNING, STR("cut_off"), c.timestamp, c.scene)
                              : decode_key_of_envelope(EVENT_WARNING, &env);
    e->sent_ms =
        c.timestamp > 0 ? decode_s_to_ms(c.timestamp) : decode_clamp(env.send_time, INT64_MAX);
    e->text = c.details.title;
    extra_begin(&x, d);
    extra_str(&x, "action", STR("cut_off"));
    extra_i64(&x, "scene", c.scene);
    put_parts(&x, c.details.messages);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- title and area ---- */

struct change {
    struct str title;
    int64_t area_id;
    struct str area;
    int64_t parent_area_id;
    struct str parent_area;
    struct str live_key;
};

static const struct decode_field change_fields[] = {
    DECODE_KEY_STR("title", struct change, title, STATE_TEXT_MAX),
    DECODE_KEY("area_id", I64, struct change, area_id),
    DECODE_KEY_STR("area_name", struct change, area, DECODE_NAME_MAX),
    DECODE_KEY("parent_area_id", I64, struct change, parent_area_id),
    DECODE_KEY_STR("parent_area_name", struct change, parent_area, DECODE_NAME_MAX),
    DECODE_KEY_STR("live_key", struct change, live_key, DECODE_ID_MAX),
};
static const struct decode_shape change_shape = DECODE_OBJECT_SHAPE(change_fields, struct change);

enum decode_status decode_room_change(struct decoder *d, struct json *j)
{
    struct change c;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &change_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (c.title.len == 0 && c.area_id == 0) {
        return decode_broken(d, "room change without title and area");
    }
    struct event_draft *e = decode_draft(d, EVENT_ROOM);
    if (!e) {
        return DECODE_OK;
    }
    e->nkey = decode_key_of_envelope(EVENT_ROOM, &env);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "change", STR("info"));
    extra_str(&x, "title", c.title);
    extra_i64(&x, "area_id", c.area_id);
    extra_str(&x, "area", str_trim(c.area));
    extra_i64(&x, "parent_area_id", c.parent_area_id);
    extra_str(&x, "parent_area", str_trim(c.parent_area));
    if (!str_eq(c.live_key, STR("0"))) { /* while the room is off */
        extra_str(&x, "live_key", c.live_key);
    }
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- who may talk ---- */

struct silence {
    struct str type;
    int64_t level;
    int64_t second; /* until when; -1 for ever */
};

static const struct decode_field silence_fields[] = {
    DECODE_KEY_STR("type", struct silence, type, DECODE_WORD_MAX),
    DECODE_KEY("level", I64, struct silence, level),
    DECODE_KEY("second", I64, struct silence, second),
};
static const struct decode_shape silence_shape =
    DECODE_OBJECT_SHAPE(silence_fields, struct silence);

static enum decode_status silence_draft(struct decoder *d, struct json *j, bool is_on)
{
    struct silence s;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &silence_shape, &s, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_ROOM);
    if (!e) {
        return DECODE_OK;
    }
    e->nkey = decode_key_of_envelope(EVENT_ROOM, &env);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "change", is_on ? STR("silent_on") : STR("silent_off"));
    extra_str(&x, "who", s.type);
    extra_i64(&x, "level", s.level);
    extra_ms(&x, "until_ms", s.second);
    extra_true(&x, "forever", s.second < 0);
    extra_end(&x, e);
    return DECODE_OK;
}

enum decode_status decode_silent_on(struct decoder *d, struct json *j)
{
    return silence_draft(d, j, true);
}

enum decode_status decode_silent_off(struct decoder *d, struct json *j)
{
    return silence_draft(d, j, false);
}

struct block {
    int64_t uid;
    struct str name;
    int64_t by;
    int64_t expires;
    struct str period;
};

struct block_top { /* the same two once more, for messages without data */
    int64_t uid;
    struct str name;
};

static const struct decode_field block_fields[] = {
    DECODE_KEY("uid", I64, struct block, uid),
    DECODE_KEY_STR("uname", struct block, name, EVENT_UNAME_MAX),
    DECODE_KEY("operator", I64, struct block, by),
    DECODE_KEY("block_expired", I64, struct block, expires),
    DECODE_KEY_STR("vaild_period", struct block, period, DECODE_WORD_MAX), /* sic */
};
static const struct decode_shape block_shape = DECODE_OBJECT_SHAPE(block_fields, struct block);

static const struct decode_field block_top_fields[] = {
    DECODE_KEY("uid", I64, struct block_top, uid),
    DECODE_KEY_STR("uname", struct block_top, name, EVENT_UNAME_MAX),
};
static const struct decode_shape block_top_shape =
    DECODE_OBJECT_SHAPE(block_top_fields, struct block_top);

/* The event's user is the one who was muted. */
enum decode_status decode_block(struct decoder *d, struct json *j)
{
    enum { BY_ADMIN = 1, BY_ANCHOR = 2 };
    struct block b;
    struct block_top top;
    struct envelope env;
    struct extra x;
    struct json again = *j;
    if (!decode_data(d, j, &block_shape, &b, &env)) {
        return decode_broken(d, "not JSON");
    }
    (void)decode_read(d, &again, &block_top_shape, &top);
    const struct sender s = {.uid = b.uid > 0 ? b.uid : top.uid,
                             .name = b.name.len > 0 ? b.name : top.name};
    if (s.uid <= 0 && s.name.len == 0) {
        return decode_broken(d, "block without uid and name");
    }
    struct event_draft *e = decode_draft(d, EVENT_BLOCK);
    if (!e) {
        return DECODE_OK;
    }
    const bool is_forever = b.expires >= BLOCKED_FOR_EVER;
    sender_apply(&s, e);
    e->nkey = decode_key_of_envelope(EVENT_BLOCK, &env);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "by",
              b.by == BY_ADMIN    ? STR("admin")
              : b.by == BY_ANCHOR ? STR("anchor")
                                  : STR_NULL);
    extra_ms(&x, "until_ms", is_forever ? 0 : b.expires);
    extra_true(&x, "forever", is_forever);
    extra_str(&x, "period", b.period);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- admins ---- */

struct admin {
    int64_t uid;
    struct str msg;
    struct str uids; /* raw */
};

static const struct decode_field admin_fields[] = {
    DECODE_KEY("uid", I64, struct admin, uid),
    DECODE_KEY_STR("msg", struct admin, msg, STATE_TEXT_MAX),
    DECODE_KEY("uids", RAW, struct admin, uids),
};
static const struct decode_shape admin_shape = DECODE_OBJECT_SHAPE(admin_fields, struct admin);

/* The event's user is the one who became or no longer is an admin. */
static enum decode_status admin_draft(struct decoder *d, struct json *j, const char *change)
{
    struct admin a;
    struct extra x;
    if (!decode_read_all(d, j, &admin_shape, &a)) {
        return decode_broken(d, "not JSON");
    }
    if (a.uid <= 0) {
        return decode_broken(d, "admin without uid");
    }
    struct event_draft *e = decode_draft(d, EVENT_ROOM);
    if (!e) {
        return DECODE_OK;
    }
    e->actor = a.uid;
    e->text = a.msg;
    extra_begin(&x, d);
    extra_str(&x, "change", str_of(change));
    extra_end(&x, e);
    return DECODE_OK;
}

enum decode_status decode_admin_added(struct decoder *d, struct json *j)
{
    return admin_draft(d, j, "admin_added");
}

enum decode_status decode_admin_removed(struct decoder *d, struct json *j)
{
    return admin_draft(d, j, "admin_removed");
}

enum decode_status decode_admins(struct decoder *d, struct json *j)
{
    struct admin a;
    struct extra x;
    struct json uids;
    if (!decode_read_all(d, j, &admin_shape, &a)) {
        return decode_broken(d, "not JSON");
    }
    json_init(&uids, a.uids);
    if (a.uids.len == 0 || !json_enter_array(&uids)) {
        return decode_broken(d, "admins without uids");
    }
    struct event_draft *e = decode_draft(d, EVENT_ROOM);
    if (!e) {
        return DECODE_OK;
    }
    extra_begin(&x, d);
    extra_str(&x, "change", STR("admins"));
    struct extra_list l = extra_list(&x, "admins");
    while (json_next_elem(&uids)) {
        int64_t uid = 0;
        extra_item(&l);
        if (!json_int(&uids, &uid) || uid == 0) {
            continue;
        }
        jw_object(&x.w);
        jw_ki64(&x.w, "uid", uid);
        jw_kstr(&x.w, "name", STR_NULL);
        jw_object_end(&x.w);
        if (!extra_item_end(&l)) {
            break;
        }
    }
    extra_list_end(&l);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- clients are asked to connect again ---- */

struct reenter {
    int64_t reason;
    int64_t within_s;
};

static const struct decode_field reenter_fields[] = {
    DECODE_KEY("reason", I64, struct reenter, reason),
    DECODE_KEY("request_random_sec_range", I64, struct reenter, within_s),
};
static const struct decode_shape reenter_shape =
    DECODE_OBJECT_SHAPE(reenter_fields, struct reenter);

enum decode_status decode_reenter(struct decoder *d, struct json *j)
{
    struct reenter r;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &reenter_shape, &r, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_ROOM);
    if (!e) {
        return DECODE_OK;
    }
    e->nkey = decode_key_of_envelope(EVENT_ROOM, &env);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "change", STR("reenter"));
    extra_i64(&x, "reason", r.reason);
    extra_i64(&x, "within_seconds", r.within_s);
    extra_end(&x, e);
    return DECODE_OK;
}
