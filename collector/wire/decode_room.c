/* The state of the room: a live starts, a live ends. */
#include "collector/wire/decode_priv.h"

enum { ROOM_KEY_MAX = 128, ROOM_WORD_MAX = 64, ROOM_LIVE_START = 1, ROOM_LIVE_END = 0 };

struct live {
    struct str key;
    struct str platform;
    int64_t live_time;
    int64_t send_time;
    bool round;
    struct str msg_id;
};

static const struct decode_field live_fields[] = {
    DECODE_KEY_STR("live_key", struct live, key, ROOM_KEY_MAX),
    DECODE_KEY_STR("live_platform", struct live, platform, ROOM_WORD_MAX),
    DECODE_KEY("live_time", I64, struct live, live_time),
    DECODE_KEY("send_time", I64, struct live, send_time),
    DECODE_KEY("round", BOOL, struct live, round),
    DECODE_KEY_STR("msg_id", struct live, msg_id, ROOM_KEY_MAX),
};
static const struct decode_shape live_shape = DECODE_OBJECT_SHAPE(live_fields, struct live);

/* What is told apart by nothing has no key: two ends of a live are not the same because they look alike. */
static int64_t live_nkey(int64_t which, struct str id, int64_t time)
{
    struct hash64 h;
    if (id.len == 0 && time == 0) {
        return 0;
    }
    decode_key_init(&h, EVENT_LIVE);
    hash64_i64(&h, which);
    if (id.len > 0) {
        hash64_str(&h, id);
    } else {
        hash64_i64(&h, time);
    }
    return hash64_done(&h);
}

enum decode_status decode_live(struct decoder *d, struct json *j)
{
    struct live l;
    struct extra x;
    if (!decode_read_all(d, j, &live_shape, &l)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_LIVE);
    if (!e) {
        return DECODE_OK;
    }
    const int64_t start_ms = decode_s_to_ms(l.live_time);
    e->sent_ms = start_ms != 0 ? start_ms : decode_clamp(l.send_time, INT64_MAX);
    e->nkey = live_nkey(ROOM_LIVE_START, l.key, e->sent_ms);
    extra_begin(&x, d);
    extra_str(&x, "state", STR("start"));
    extra_str(&x, "live_key", l.key);
    extra_i64(&x, "start_ms", start_ms);
    extra_str(&x, "platform", l.platform);
    extra_end(&x, e);
    return DECODE_OK;
}

enum decode_status decode_preparing(struct decoder *d, struct json *j)
{
    struct live l;
    struct extra x;
    if (!decode_read_all(d, j, &live_shape, &l)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = decode_draft(d, EVENT_LIVE);
    if (!e) {
        return DECODE_OK;
    }
    e->sent_ms = decode_clamp(l.send_time, INT64_MAX);
    e->nkey = live_nkey(ROOM_LIVE_END, l.msg_id, e->sent_ms);
    extra_begin(&x, d);
    extra_str(&x, "state", STR("end"));
    extra_true(&x, "round", l.round);
    extra_end(&x, e);
    return DECODE_OK;
}
