/* Entries with an effect, of guards and of the wealthy. The same entry mostly follows as an INTERACT_WORD(_V2). */
#include "collector/wire/decode_util_priv.h"
#include "server/core/utf8.h"

enum { ENTRY_WORDS_MAX = 512 };

struct entry {
    int64_t uid;
    int64_t effect_id;
    int64_t guard;
    struct str words;    /* with the name, perhaps shortened */
    struct str words_v2; /* with the whole name */
    int64_t trigger_time;
    struct uinfo_level wealth;
    struct uinfo uinfo;
};

static const struct decode_field wealth_fields[] = {
    DECODE_KEY("level", I64, struct uinfo_level, level),
};
static const struct decode_shape wealth_shape =
    DECODE_OBJECT_SHAPE(wealth_fields, struct uinfo_level);

static const struct decode_field entry_fields[] = {
    DECODE_KEY("uid", I64, struct entry, uid),
    DECODE_KEY("id", I64, struct entry, effect_id),
    DECODE_KEY("privilege_type", I64, struct entry, guard),
    DECODE_KEY_STR("copy_writing", struct entry, words, ENTRY_WORDS_MAX),
    DECODE_KEY_STR("copy_writing_v2", struct entry, words_v2, ENTRY_WORDS_MAX),
    DECODE_KEY("trigger_time", I64, struct entry, trigger_time),
    DECODE_KEY_SHAPE("wealthy_info", struct entry, wealth, wealth_shape),
    DECODE_KEY_SHAPE("uinfo", struct entry, uinfo, uinfo_shape),
};
static const struct decode_shape entry_shape = DECODE_OBJECT_SHAPE(entry_fields, struct entry);

static struct str entry_name(const struct entry *n)
{
    if (n->uinfo.base.name.len > 0) {
        return n->uinfo.base.name;
    }
    const struct str name = decode_name_in(n->words_v2);
    return utf8_cut(name.len > 0 ? name : decode_name_in(n->words), EVENT_UNAME_MAX);
}

enum decode_status decode_entry(struct decoder *d, struct json *j)
{
    struct entry n;
    struct envelope env;
    struct extra x;
    const struct medal none = {0};
    if (!decode_data(d, j, &entry_shape, &n, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct sender s = {
        .uid = n.uid, .name = entry_name(&n), .guard = n.guard, .wealth = n.wealth.level};
    sender_merge(&s, &n.uinfo, &none);
    if (s.uid <= 0 && s.name.len == 0) {
        return decode_broken(d, "entry without uid and name");
    }
    struct event_draft *e = decode_draft(d, EVENT_ENTRY);
    if (!e) {
        return DECODE_OK;
    }
    sender_apply(&s, e);
    e->sent_ms = decode_ns_to_ms(n.trigger_time);
    if (n.trigger_time > 0) {
        e->nkey = decode_key(EVENT_ENTRY, s.uid > 0 ? STR_NULL : s.name, s.uid, n.trigger_time);
    }
    extra_begin(&x, d);
    sender_extra(&s, &x);
    extra_i64(&x, "effect_id", n.effect_id);
    extra_end(&x, e);
    return DECODE_OK;
}
