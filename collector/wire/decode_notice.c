/* Notices: what upstream says to the room. What they are about is counted elsewhere. */
#include "collector/wire/decode_util_priv.h"

enum { NOTICE_TEXT_MAX = 1024, NOTICE_INNER_MAX = 32 * 1024 };

static struct event_draft *notice_draft(struct decoder *d, struct extra *x, const char *notice)
{
    struct event_draft *e = decode_draft(d, EVENT_NOTICE);
    extra_begin(x, d);
    extra_str(x, "notice", str_of(notice));
    return e;
}

/* ---- viewers without an account see no names ---- */

struct log_in {
    struct str text;
};

static const struct decode_field log_in_fields[] = {
    DECODE_KEY_STR("notice_msg", struct log_in, text, NOTICE_TEXT_MAX),
};
static const struct decode_shape log_in_shape = DECODE_OBJECT_SHAPE(log_in_fields, struct log_in);

enum decode_status decode_log_in(struct decoder *d, struct json *j)
{
    struct log_in n;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &log_in_shape, &n, &env)) {
        return decode_broken(d, "not JSON");
    }
    struct event_draft *e = notice_draft(d, &x, "log_in");
    if (e) {
        e->text = n.text;
        e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
        extra_end(&x, e);
    }
    return DECODE_OK;
}

/* ---- many danmaku of one text, folded together ---- */

struct aggregation {
    struct str text;
    struct str activity;
    int64_t source;
    int64_t count;
    int64_t timestamp;
};

static const struct decode_field aggregation_fields[] = {
    DECODE_KEY_STR("msg", struct aggregation, text, NOTICE_TEXT_MAX),
    DECODE_KEY_STR("activity_identity", struct aggregation, activity, DECODE_ID_MAX),
    DECODE_KEY("activity_source", I64, struct aggregation, source),
    DECODE_KEY("aggregation_num", I64, struct aggregation, count),
    DECODE_KEY("timestamp", I64, struct aggregation, timestamp),
};
static const struct decode_shape aggregation_shape =
    DECODE_OBJECT_SHAPE(aggregation_fields, struct aggregation);

enum decode_status decode_aggregation(struct decoder *d, struct json *j)
{
    struct aggregation a;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &aggregation_shape, &a, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (a.text.len == 0) {
        return decode_broken(d, "aggregation without msg");
    }
    struct event_draft *e = notice_draft(d, &x, "aggregation");
    if (e) {
        e->text = a.text;
        e->sent_ms = decode_s_to_ms(a.timestamp);
        extra_i64(&x, "count", a.count);
        extra_str(&x, "activity_id", a.activity);
        extra_i64(&x, "activity_source", a.source);
        extra_end(&x, e);
    }
    return DECODE_OK;
}

/* ---- a line of several pieces ---- */

struct common {
    struct str segments;  /* raw */
    struct str terminals; /* raw */
};

static const struct decode_field common_fields[] = {
    DECODE_KEY("content_segments", RAW, struct common, segments),
    DECODE_KEY("terminals", RAW, struct common, terminals),
};
static const struct decode_shape common_shape = DECODE_OBJECT_SHAPE(common_fields, struct common);

struct segment {
    struct str text;
};

static const struct decode_field segment_fields[] = {
    DECODE_KEY_STR("text", struct segment, text, NOTICE_TEXT_MAX),
};
static const struct decode_shape segment_shape =
    DECODE_OBJECT_SHAPE(segment_fields, struct segment);

/* The texts of the pieces, moved together in the decoder's memory. */
static struct str join_segments(struct decoder *d, struct str raw)
{
    struct json j;
    struct segment s;
    const size_t from = d->used;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return STR_NULL;
    }
    while (json_next_elem(&j)) {
        const size_t at = d->used;
        (void)decode_read(d, &j, &segment_shape, &s);
        if (s.text.len > EVENT_TEXT_MAX - (at - from)) {
            d->used = at;
            d->n_left_out++;
            break;
        }
        if (s.text.len > 0) {
            memmove(d->text + at, s.text.ptr, s.text.len);
        }
        d->used = at + s.text.len;
    }
    return (struct str){d->text + from, d->used - from};
}

static void put_terminals(struct extra *x, struct str raw)
{
    struct json j;
    int64_t terminal;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return;
    }
    struct extra_list l = extra_list(x, "terminals");
    while (json_next_elem(&j)) {
        extra_item(&l);
        if (!json_int(&j, &terminal)) {
            continue;
        }
        jw_i64(&x->w, terminal);
        if (!extra_item_end(&l)) {
            break;
        }
    }
    extra_list_end(&l);
}

/* The same line comes once for each kind of client: terminals tells them apart. */
enum decode_status decode_common_notice(struct decoder *d, struct json *j)
{
    struct common c;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &common_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    const struct str text = join_segments(d, c.segments);
    if (text.len == 0) {
        return DECODE_OK; /* a picture */
    }
    struct event_draft *e = notice_draft(d, &x, "common");
    if (e) {
        e->text = text;
        e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
        put_terminals(&x, c.terminals);
        extra_end(&x, e);
    }
    return DECODE_OK;
}

/* ---- what many do at once: votes, "they all say", "n people shared" ---- */

struct interaction {
    int64_t id;
    int64_t status;
    int64_t type;
    struct str data; /* raw: JSON in a string, or an object */
};

static const struct decode_field interaction_fields[] = {
    DECODE_KEY("id", I64, struct interaction, id),
    DECODE_KEY("status", I64, struct interaction, status),
    DECODE_KEY("type", I64, struct interaction, type),
    DECODE_KEY("data", RAW, struct interaction, data),
};
static const struct decode_shape interaction_shape =
    DECODE_OBJECT_SHAPE(interaction_fields, struct interaction);

struct interaction_data {
    struct str question;
    struct str suffix;
    int64_t count;
    struct str options; /* raw */
    struct str combo;   /* raw */
};

static const struct decode_field inner_fields[] = {
    DECODE_KEY_STR("question", struct interaction_data, question, NOTICE_TEXT_MAX),
    DECODE_KEY_STR("suffix_text", struct interaction_data, suffix, NOTICE_TEXT_MAX),
    DECODE_KEY("cnt", I64, struct interaction_data, count),
    DECODE_KEY("options", RAW, struct interaction_data, options),
    DECODE_KEY("combo", RAW, struct interaction_data, combo),
};
static const struct decode_shape inner_shape =
    DECODE_OBJECT_SHAPE(inner_fields, struct interaction_data);

struct choice {
    struct str desc;    /* of an option */
    struct str content; /* of a combo */
    int64_t count;
};

static const struct decode_field choice_fields[] = {
    DECODE_KEY_STR("desc", struct choice, desc, NOTICE_TEXT_MAX),
    DECODE_KEY_STR("content", struct choice, content, NOTICE_TEXT_MAX),
    DECODE_KEY("cnt", I64, struct choice, count),
};
static const struct decode_shape choice_shape = DECODE_OBJECT_SHAPE(choice_fields, struct choice);

static void put_choices(struct extra *x, const char *key, struct str raw)
{
    struct json j;
    struct choice c;
    json_init(&j, raw);
    if (raw.len == 0 || !json_enter_array(&j)) {
        return;
    }
    struct extra_list l = extra_list(x, key);
    while (json_next_elem(&j)) {
        extra_item(&l);
        (void)decode_read(x->d, &j, &choice_shape, &c);
        jw_object(&x->w);
        jw_kstr(&x->w, "text", c.desc.len > 0 ? c.desc : c.content);
        jw_ki64(&x->w, "count", c.count);
        jw_object_end(&x->w);
        if (!extra_item_end(&l)) {
            break;
        }
    }
    extra_list_end(&l);
}

enum decode_status decode_interaction(struct decoder *d, struct json *j)
{
    struct interaction n;
    struct interaction_data inner;
    struct envelope env;
    struct extra x;
    if (!decode_data(d, j, &interaction_shape, &n, &env)) {
        return decode_broken(d, "not JSON");
    }
    if (n.id == 0 && n.type == 0) {
        return decode_broken(d, "interaction without id and type");
    }
    struct str data = n.data;
    if (data.len >= 2 && data.ptr[0] == '"') {
        d->n_left_out += data.len - 2 > NOTICE_INNER_MAX;
        data = decode_unescape(d, str_sub(data, 1, data.len - 1), NOTICE_INNER_MAX);
    }
    (void)decode_part(d, data, &inner_shape, &inner);
    struct event_draft *e = notice_draft(d, &x, "interaction");
    if (e) {
        e->text = inner.question.len > 0 ? inner.question : inner.suffix;
        e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
        extra_i64(&x, "interaction_id", n.id);
        extra_i64(&x, "type", n.type);
        extra_i64(&x, "status", n.status);
        extra_i64(&x, "count", inner.count);
        put_choices(&x, "options", inner.options);
        put_choices(&x, "combo", inner.combo);
        extra_end(&x, e);
    }
    return DECODE_OK;
}
