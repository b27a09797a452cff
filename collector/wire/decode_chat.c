/* Chat: one array of arrays, with an object of JSON text inside. */
#include "collector/wire/decode_priv.h"

enum {
    CHAT_URL_MAX = 256,
    CHAT_ID_MAX = 128,
    CHAT_VOICE_TEXT_MAX = 1024,
    CHAT_EMOTS_MAX = 32,
    CHAT_EMOT_NAME_MAX = 64,
    CHAT_SIZE_DEFAULT = 25,
    CHAT_MODE_POSITIONED = 7,
    CHAT_POSITIONED_TEXT = 4, /* index of the words in the array that a positioned text is */
    RGB_MAX = 0xffffff
};

struct emoticon {
    struct str id;
    struct str url;
    int64_t width;
    int64_t height;
};

struct voice {
    struct str id;
    struct str url;
    struct str format;
    struct str text;
    int64_t seconds;
};

struct chat_props {   /* info[0][15] */
    struct str extra; /* JSON in a string, raw */
    struct medal medal;
};

struct chat_meta { /* info[0] */
    int64_t mode;
    int64_t size;
    struct decode_opt color;
    int64_t sent_ms;
    int64_t rnd;
    struct str crc_hex; /* raw */
    int64_t type;
    struct emoticon emoticon;
    struct voice voice;
    struct chat_props props;
};

struct chat_check { /* info[9] */
    struct str ct;
};

struct chat_wealth { /* info[16] */
    int64_t level;
};

struct chat_info {
    struct chat_meta meta;
    struct str text;
    struct chat_user user;
    struct medal medal;
    int64_t guard;
    struct str check; /* raw: an object, wanted only of old messages */
    struct chat_wealth wealth;
};

struct chat {
    struct chat_info info;
};

enum {
    EXTRA_ID,
    EXTRA_HASH,
    EXTRA_EMOTICON,
    EXTRA_EMOTS,
    EXTRA_REPLY_UID,
    EXTRA_REPLY_NAME,
    EXTRA_N
};

struct chat_extra { /* info[0][15].extra */
    struct embedded_want want[EXTRA_N];
    bool is_resolved;
};

static const struct decode_field emoticon_fields[] = {
    DECODE_KEY_STR("emoticon_unique", struct emoticon, id, CHAT_ID_MAX),
    DECODE_KEY_STR("url", struct emoticon, url, CHAT_URL_MAX),
    DECODE_KEY("width", I64, struct emoticon, width),
    DECODE_KEY("height", I64, struct emoticon, height),
};
static const struct decode_shape emoticon_shape =
    DECODE_OBJECT_SHAPE(emoticon_fields, struct emoticon);

static const struct decode_field voice_fields[] = {
    DECODE_KEY_STR("file_id", struct voice, id, CHAT_ID_MAX),
    DECODE_KEY_STR("voice_url", struct voice, url, CHAT_URL_MAX),
    DECODE_KEY_STR("file_format", struct voice, format, CHAT_ID_MAX),
    DECODE_KEY_STR("text", struct voice, text, CHAT_VOICE_TEXT_MAX),
    DECODE_KEY("file_duration", I64, struct voice, seconds),
};
static const struct decode_shape voice_shape = DECODE_OBJECT_SHAPE(voice_fields, struct voice);

static const struct decode_field props_fields[] = {
    DECODE_KEY("extra", RAW, struct chat_props, extra),
    DECODE_KEY_SHAPE("user", struct chat_props, medal, uinfo_medal_only_shape),
};
static const struct decode_shape props_shape = DECODE_OBJECT_SHAPE(props_fields, struct chat_props);

static const struct decode_field meta_fields[] = {
    DECODE_ITEM(1, I64, struct chat_meta, mode),
    DECODE_ITEM(2, I64, struct chat_meta, size),
    DECODE_ITEM(3, OPT, struct chat_meta, color),
    DECODE_ITEM(4, I64, struct chat_meta, sent_ms),
    DECODE_ITEM(5, I64, struct chat_meta, rnd),
    DECODE_ITEM(7, RAW, struct chat_meta, crc_hex),
    DECODE_ITEM(9, I64, struct chat_meta, type),
    DECODE_ITEM_SHAPE(13, struct chat_meta, emoticon, emoticon_shape),
    DECODE_ITEM_SHAPE(14, struct chat_meta, voice, voice_shape),
    DECODE_ITEM_SHAPE(15, struct chat_meta, props, props_shape),
};
static const struct decode_shape meta_shape = DECODE_ARRAY_SHAPE(meta_fields, struct chat_meta);

static const struct decode_field check_fields[] = {
    DECODE_KEY_STR("ct", struct chat_check, ct, CHAT_ID_MAX),
};
static const struct decode_shape check_shape = DECODE_OBJECT_SHAPE(check_fields, struct chat_check);

static const struct decode_field wealth_fields[] = {
    DECODE_ITEM(0, I64, struct chat_wealth, level),
};
static const struct decode_shape wealth_shape =
    DECODE_ARRAY_SHAPE(wealth_fields, struct chat_wealth);

static const struct decode_field info_fields[] = {
    DECODE_ITEM_SHAPE(0, struct chat_info, meta, meta_shape),
    DECODE_ITEM_STR(1, struct chat_info, text, EVENT_TEXT_MAX),
    DECODE_ITEM_SHAPE(2, struct chat_info, user, chat_user_shape),
    DECODE_ITEM_SHAPE(3, struct chat_info, medal, chat_medal_shape),
    DECODE_ITEM(7, I64, struct chat_info, guard),
    DECODE_ITEM(9, RAW, struct chat_info, check),
    DECODE_ITEM_SHAPE(16, struct chat_info, wealth, wealth_shape),
};
static const struct decode_shape info_shape = DECODE_ARRAY_SHAPE(info_fields, struct chat_info);

static const struct decode_field chat_fields[] = {
    DECODE_KEY_SHAPE("info", struct chat, info, info_shape),
};
static const struct decode_shape chat_shape = DECODE_OBJECT_SHAPE(chat_fields, struct chat);

static void read_extra(struct decoder *d, struct str raw, struct chat_extra *ret)
{
    *ret = (struct chat_extra){.want = {
                                   [EXTRA_ID] = {.key = STR("id_str")},
                                   [EXTRA_HASH] = {.key = STR("user_hash")},
                                   [EXTRA_EMOTICON] = {.key = STR("emoticon_unique")},
                                   [EXTRA_EMOTS] = {.key = STR("emots")},
                                   [EXTRA_REPLY_UID] = {.key = STR("reply_mid")},
                                   [EXTRA_REPLY_NAME] = {.key = STR("reply_uname")},
                               }};
    ret->is_resolved = decode_find_embedded(d, raw, ret->want, EXTRA_N);
}

/* Most members of most messages say nothing. */
static bool has_extra(const struct chat_extra *x, unsigned which)
{
    const struct str v = x->want[which].value;
    return v.len > 0 && !str_eq(v, STR("null")) && !str_eq(v, STR("0")) && !str_eq(v, STR("{}")) &&
           !str_eq(v, x->is_resolved ? STR("\"\"") : STR("\\\"\\\""));
}

static struct str extra_text(struct decoder *d, const struct chat_extra *x, unsigned which,
                             size_t max)
{
    struct str s = STR_NULL;
    if (has_extra(x, which)) {
        struct json j = decode_embedded(d, x->want[which].value, x->is_resolved);
        s = decode_str(d, &j, max);
    }
    return s;
}

static int64_t extra_int(struct decoder *d, const struct chat_extra *x, unsigned which)
{
    int64_t v = 0;
    if (has_extra(x, which)) {
        struct json j = decode_embedded(d, x->want[which].value, x->is_resolved);
        (void)json_int(&j, &v);
    }
    return v;
}

/* Upstream's own id where there is one; older messages are told apart by what is random in them. */
static int64_t chat_key(struct decoder *d, enum event_kind kind, const struct chat_info *info,
                        const struct chat_extra *extra)
{
    struct hash64 h;
    const struct str id = extra_text(d, extra, EXTRA_ID, CHAT_ID_MAX);
    decode_key_init(&h, kind);
    if (id.len > 0) {
        hash64_str(&h, id);
    } else {
        struct json j;
        struct chat_check check;
        json_init(&j, info->check);
        (void)decode_read(d, &j, &check_shape, &check);
        hash64_str(&h, decode_str_of(d, info->meta.crc_hex, CHAT_ID_MAX));
        hash64_i64(&h, info->meta.sent_ms);
        hash64_i64(&h, info->meta.rnd);
        hash64_str(&h, check.ct);
        hash64_str(&h, info->text);
    }
    return hash64_done(&h);
}

static void chat_sender(struct decoder *d, const struct chat_info *info,
                        const struct chat_extra *extra, struct sender *ret)
{
    *ret = (struct sender){
        .uid = info->user.uid,
        .name = info->user.name,
        .is_admin = info->user.is_admin,
        .guard = info->guard,
        .wealth = info->wealth.level,
    };
    sender_merge_medal(ret, &info->meta.props.medal, &info->medal);
    if (ret->uid > 0) {
        return;
    }
    sender_set_crc(ret, decode_str_of(d, info->meta.crc_hex, CHAT_ID_MAX));
    const int64_t hash = extra_int(d, extra, EXTRA_HASH);
    if (!ret->has_crc && hash > 0 && hash <= UINT32_MAX) {
        ret->crc = (uint32_t)hash;
        ret->has_crc = true;
    }
}

static void put_emoticon(struct extra *x, const struct emoticon *from, struct str id)
{
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, STR("emoticon"));
    jw_object(&x->w);
    jw_kstr(&x->w, "id", id);
    if (from->url.len > 0) {
        jw_kstr(&x->w, "url", from->url);
        jw_ki64(&x->w, "width", from->width);
        jw_ki64(&x->w, "height", from->height);
    }
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

static void put_voice(struct extra *x, const struct voice *v)
{
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, STR("voice"));
    jw_object(&x->w);
    jw_kstr(&x->w, "url", v->url);
    jw_kstr(&x->w, "format", v->format);
    jw_ki64(&x->w, "seconds", v->seconds);
    jw_kstr(&x->w, "text", v->text);
    jw_kstr(&x->w, "id", v->id);
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

static bool is_among(const struct str *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

/* The names of the small pictures within the text: ["[dog]"]. */
static void put_emots(struct extra *x, const struct chat_extra *from)
{
    struct str key;
    struct str names[CHAT_EMOTS_MAX];
    size_t n = 0;
    const size_t used = x->d->used;
    if (!has_extra(from, EXTRA_EMOTS)) {
        return;
    }
    struct json j = decode_embedded(x->d, from->want[EXTRA_EMOTS].value, from->is_resolved);
    if (!json_enter_object(&j)) {
        return;
    }
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, STR("emots"));
    jw_array(&x->w);
    while (n < CHAT_EMOTS_MAX && json_next_key(&j, &key)) {
        names[n] = decode_unescape(x->d, key, CHAT_EMOT_NAME_MAX);
        if (!is_among(names, n, names[n])) {
            jw_str(&x->w, names[n++]);
        }
    }
    jw_array_end(&x->w);
    extra_check(x, &mark);
    x->d->used = used;
}

static void put_reply(struct extra *x, const struct chat_extra *from)
{
    const int64_t uid = extra_int(x->d, from, EXTRA_REPLY_UID);
    const struct str name = extra_text(x->d, from, EXTRA_REPLY_NAME, EVENT_UNAME_MAX);
    if (uid == 0 && name.len == 0) {
        return;
    }
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, STR("reply"));
    jw_object(&x->w);
    jw_ki64(&x->w, "uid", uid);
    jw_kstr(&x->w, "name", name);
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

/* A positioned text is an array of settings; the words are one of them. */
static struct str positioned_words(struct decoder *d, struct str array)
{
    struct json j;
    struct str words = STR_NULL;
    json_init(&j, array);
    if (!json_enter_array(&j)) {
        return STR_NULL;
    }
    for (unsigned i = 0; i <= CHAT_POSITIONED_TEXT && json_next_elem(&j); i++) {
        if (i == CHAT_POSITIONED_TEXT && json_str_raw(&j, &words)) {
            return decode_unescape(d, words, EVENT_TEXT_MAX);
        }
    }
    return STR_NULL;
}

static void chat_extra(struct decoder *d, const struct chat_info *info,
                       const struct chat_extra *more, const struct sender *s, struct event_draft *e)
{
    struct extra x;
    const struct chat_meta *meta = &info->meta;
    const struct str id = meta->emoticon.id.len > 0
                              ? meta->emoticon.id
                              : extra_text(d, more, EXTRA_EMOTICON, CHAT_ID_MAX);
    extra_begin(&x, d);
    sender_extra(s, &x);
    if (meta->size != CHAT_SIZE_DEFAULT) {
        extra_i64(&x, "font_size", meta->size);
    }
    extra_i64(&x, "type", meta->type);
    if (id.len > 0) {
        put_emoticon(&x, &meta->emoticon, id);
    }
    if (meta->voice.url.len > 0) {
        put_voice(&x, &meta->voice);
    }
    put_emots(&x, more);
    put_reply(&x, more);
    if (e->mode == CHAT_MODE_POSITIONED) {
        const struct str words = positioned_words(d, info->text);
        if (words.len > 0) {
            extra_str(&x, "positioned", info->text);
            e->text = words;
        }
    }
    extra_end(&x, e);
}

static enum decode_status chat(struct decoder *d, struct json *j, enum event_kind kind)
{
    struct chat c;
    struct chat_extra more;
    struct sender s;
    if (!decode_read_all(d, j, &chat_shape, &c)) {
        return decode_broken(d, "not JSON");
    }
    if (!c.info.text.ptr) {
        return decode_broken(d, "danmaku without info[1]");
    }
    read_extra(d, c.info.meta.props.extra, &more);
    struct event_draft *e = decode_draft(d, kind);
    if (!e) {
        return DECODE_OK;
    }
    e->text = c.info.text;
    e->nkey = chat_key(d, kind, &c.info, &more);
    e->sent_ms = c.info.meta.sent_ms;
    if (c.info.meta.mode > 0) {
        e->mode = (int16_t)decode_clamp(c.info.meta.mode, INT16_MAX);
    }
    const struct decode_opt *color = &c.info.meta.color;
    if (color->is_set && color->value >= 0 && color->value <= RGB_MAX) {
        e->color = (int32_t)color->value;
    }
    chat_sender(d, &c.info, &more, &s);
    sender_apply(&s, e);
    chat_extra(d, &c.info, &more, &s, e);
    return DECODE_OK;
}

enum decode_status decode_mirror(struct decoder *d, struct json *j)
{
    return chat(d, j, EVENT_MIRROR);
}

enum decode_status decode_chat(struct decoder *d, struct json *j)
{
    return chat(d, j, EVENT_DANMAKU);
}
