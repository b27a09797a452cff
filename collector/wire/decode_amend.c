/* What changes earlier messages: translations and deletions of super chats, recalls of danmaku. None is paid. */
#include "collector/wire/decode_util_priv.h"

enum { TRANSLATION_MAX = 1024, RECALL_ONE = 1, RECALL_USER = 2, RECALL_ALL = 3 };

/* ---- the same super chat once more, in Japanese ---- */

struct jpn_user {
    struct str name;
    int64_t guard_level;
    bool is_admin;
};

struct jpn {
    int64_t id;
    int64_t uid;
    struct str text;
    int64_t start_time;
    int64_t ts;
    struct jpn_user user;
    struct medal medal;
    struct uinfo uinfo;
};

static const struct decode_field jpn_user_fields[] = {
    DECODE_KEY_STR("uname", struct jpn_user, name, EVENT_UNAME_MAX),
    DECODE_KEY("guard_level", I64, struct jpn_user, guard_level),
    DECODE_KEY("manager", BOOL, struct jpn_user, is_admin),
};
static const struct decode_shape jpn_user_shape =
    DECODE_OBJECT_SHAPE(jpn_user_fields, struct jpn_user);

static const struct decode_field jpn_fields[] = {
    DECODE_KEY("id", I64, struct jpn, id),
    DECODE_KEY("uid", I64, struct jpn, uid),
    DECODE_KEY_STR("message_jpn", struct jpn, text, TRANSLATION_MAX),
    DECODE_KEY("start_time", I64, struct jpn, start_time),
    DECODE_KEY("ts", I64, struct jpn, ts),
    DECODE_KEY_SHAPE("user_info", struct jpn, user, jpn_user_shape),
    DECODE_KEY_SHAPE("medal_info", struct jpn, medal, medal_info_shape),
    DECODE_KEY_SHAPE("uinfo", struct jpn, uinfo, uinfo_shape),
};
static const struct decode_shape jpn_shape = DECODE_OBJECT_SHAPE(jpn_fields, struct jpn);

/* The id is all that says whose translation it is. */
enum decode_status decode_superchat_jpn(struct decoder *d, struct json *j)
{
    struct jpn c;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &jpn_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (c.id == 0) {
        return decode_broken(d, "translation without id");
    }
    if (c.text.len == 0) {
        return DECODE_OK;
    }
    struct event_draft *e = decode_draft(d, EVENT_NOTICE);
    if (!e) {
        return DECODE_OK;
    }
    struct sender s = {.uid = c.uid,
                       .name = c.user.name,
                       .guard = c.user.guard_level,
                       .is_admin = c.user.is_admin};
    sender_merge(&s, &c.uinfo, &c.medal);
    sender_apply(&s, e);
    e->nkey = decode_key(EVENT_NOTICE, STR("superchat_translation"), c.id, 0);
    e->item_id = c.id;
    e->sent_ms = decode_s_to_ms(c.ts > 0 ? c.ts : c.start_time);
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_str(&x, "notice", STR("superchat_translation"));
    extra_i64(&x, "superchat_id", c.id);
    extra_str(&x, "text_jpn", c.text);
    extra_end(&x, e);
    return DECODE_OK;
}

/* ---- deletions ---- */

struct deletion {
    struct str ids; /* raw */
};

static const struct decode_field deletion_fields[] = {
    DECODE_KEY("ids", RAW, struct deletion, ids),
};
static const struct decode_shape deletion_shape =
    DECODE_OBJECT_SHAPE(deletion_fields, struct deletion);

static void delete_one(struct decoder *d, int64_t id, int64_t sent_ms)
{
    struct event_draft *e = decode_draft(d, EVENT_SUPERCHAT_DELETE);
    if (e) {
        e->nkey = decode_key(EVENT_SUPERCHAT_DELETE, STR("id"), id, 0);
        e->item_id = id;
        e->sent_ms = sent_ms;
    }
}

enum decode_status decode_superchat_delete(struct decoder *d, struct json *j)
{
    struct deletion del;
    struct envelope env;
    struct json ids;
    int64_t id = 0;
    if (!decode_data(d, j, &deletion_shape, &del, &env)) {
        return decode_broken(d, "not JSON");
    }
    json_init(&ids, del.ids);
    if (del.ids.len == 0 || !json_enter_array(&ids)) {
        return decode_broken(d, "deletion without ids");
    }
    while (json_next_elem(&ids)) {
        if (json_int(&ids, &id) && id != 0) {
            delete_one(d, id, decode_clamp(env.send_time, INT64_MAX));
        }
    }
    if (!json_at_end(&ids)) {
        return decode_broken(d, "not JSON");
    }
    return d->n > 0 ? DECODE_OK : decode_broken(d, "deletion without ids");
}

/* ---- recalls ---- */

struct recall {
    int64_t type;
    int64_t target_id;
};

static const struct decode_field recall_fields[] = {
    DECODE_KEY("recall_type", I64, struct recall, type),
    DECODE_KEY("target_id", I64, struct recall, target_id),
};
static const struct decode_shape recall_shape = DECODE_OBJECT_SHAPE(recall_fields, struct recall);

static struct str recall_scope(int64_t type)
{
    switch (type) {
    case RECALL_ONE:
        return STR("danmaku");
    case RECALL_USER:
        return STR("user");
    case RECALL_ALL:
        return STR("all");
    default:
        return STR("other");
    }
}

/* Only the recall of one danmaku is the same when it comes again: a user's danmaku can be recalled twice. */
enum decode_status decode_recall(struct decoder *d, struct json *j)
{
    struct recall r;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &recall_shape, &r, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (r.type == 0) {
        return decode_broken(d, "recall without recall_type");
    }
    struct event_draft *e = decode_draft(d, EVENT_RECALL);
    if (!e) {
        return DECODE_OK;
    }
    e->nkey = r.type == RECALL_ONE && r.target_id != 0
                  ? decode_key(EVENT_RECALL, STR("danmaku"), r.target_id, 0)
                  : decode_key_of_envelope(EVENT_RECALL, &env);
    e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    if (r.type == RECALL_USER && r.target_id > 0) {
        e->actor = r.target_id;
    } else {
        e->item_id = r.target_id;
    }
    extra_begin(&x, d);
    extra_str(&x, "scope", recall_scope(r.type));
    extra_i64(&x, "type", r.type);
    if (r.type != RECALL_USER) {
        extra_i64(&x, "target_id", r.target_id);
    }
    extra_end(&x, e);
    return DECODE_OK;
}
