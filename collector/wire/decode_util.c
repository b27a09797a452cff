#include "collector/wire/decode_util_priv.h"

/* Behind a list come its own bracket and the brace of extra. */
enum { LIST_TAIL_BYTES = 2, NS_PER_MS = 1000000 };

static const struct decode_field envelope_fields[] = {
    DECODE_KEY("data", RAW, struct envelope, data),
    DECODE_KEY_STR("msg_id", struct envelope, msg_id, DECODE_ID_MAX),
    DECODE_KEY("send_time", I64, struct envelope, send_time),
};
static const struct decode_shape envelope_shape =
    DECODE_OBJECT_SHAPE(envelope_fields, struct envelope);

bool decode_part(struct decoder *d, struct str raw, const struct decode_shape *shape, void *target)
{
    struct json j;
    json_init(&j, raw.len > 0 ? raw : STR("null"));
    (void)decode_read(d, &j, shape, target);
    return json_at_end(&j);
}

bool decode_data(struct decoder *d, struct json *j, const struct decode_shape *data, void *target,
                 struct envelope *ret)
{
    return decode_read_all(d, j, &envelope_shape, ret) && decode_part(d, ret->data, data, target);
}

/* ---- times ---- */

int64_t decode_ns_to_ms(int64_t ns)
{
    return ns > 0 ? ns / NS_PER_MS : 0;
}

/* Two or four digits at p; -1 if they are none. */
static int digits(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

/* Days since 1970 of a date of the Gregorian calendar; months count from March, so that a leap day is the last one. */
static int64_t days_of(int year, int month, int day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

int64_t decode_clock_to_ms(struct str clock)
{
    enum { CLOCK_LEN = 19, UTC8_S = 8 * 3600, DAY_S = 86400 };
    const char *p = clock.ptr;
    if (clock.len != CLOCK_LEN || p[4] != '-' || p[7] != '-' || p[10] != ' ' || p[13] != ':' ||
        p[16] != ':') {
        return 0;
    }
    const int year = digits(p, 4), month = digits(p + 5, 2), day = digits(p + 8, 2);
    const int hour = digits(p + 11, 2), minute = digits(p + 14, 2), second = digits(p + 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60) {
        return 0;
    }
    const int64_t s = days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    return decode_s_to_ms(s - UTC8_S);
}

/* ---- keys ---- */

int64_t decode_key(enum event_kind kind, struct str what, int64_t a, int64_t b)
{
    struct hash64 h;
    decode_key_init(&h, kind);
    hash64_str(&h, what);
    hash64_i64(&h, a);
    hash64_i64(&h, b);
    return hash64_done(&h);
}

int64_t decode_key_of_envelope(enum event_kind kind, const struct envelope *e)
{
    struct hash64 h;
    if (e->msg_id.len == 0) {
        return 0;
    }
    decode_key_init(&h, kind);
    hash64_str(&h, e->msg_id);
    return hash64_done(&h);
}

/* ---- names in sentences ---- */

static const char *find(struct str s, const char *what)
{
    return s.len > 0 ? memmem(s.ptr, s.len, what, 2) : NULL;
}

/* Where the name begins and ends in the sentence; false if it has none. */
static bool name_span(struct str sentence, size_t *ret_from, size_t *ret_to)
{
    const char *open = find(sentence, "<%");
    if (!open) {
        return false;
    }
    const size_t from = (size_t)(open - sentence.ptr) + 2;
    const char *close = find(str_sub(sentence, from, sentence.len), "%>");
    if (!close) {
        return false;
    }
    *ret_from = from;
    *ret_to = (size_t)(close - sentence.ptr);
    return true;
}

struct str decode_name_in(struct str sentence)
{
    size_t from, to;
    return name_span(sentence, &from, &to) ? str_trim(str_sub(sentence, from, to)) : STR_NULL;
}

struct str decode_after_name(struct str sentence)
{
    size_t from, to;
    return str_trim(name_span(sentence, &from, &to) ? str_sub(sentence, to + 2, sentence.len)
                                                    : sentence);
}

/* ---- extra ---- */

void extra_number(struct extra *x, const char *key, int64_t v)
{
    const struct extra_mark mark = extra_mark(x);
    jw_ki64(&x->w, key, v);
    extra_check(x, &mark);
}

void extra_ms(struct extra *x, const char *key, int64_t seconds)
{
    extra_i64(x, key, decode_s_to_ms(seconds));
}

void extra_person(struct extra *x, const char *key, int64_t uid, struct str name)
{
    if (uid == 0 && name.len == 0) {
        return;
    }
    const struct extra_mark mark = extra_mark(x);
    jw_key(&x->w, str_of(key));
    jw_object(&x->w);
    jw_ki64(&x->w, "uid", uid);
    jw_kstr(&x->w, "name", name);
    jw_object_end(&x->w);
    extra_check(x, &mark);
}

struct extra_list extra_list(struct extra *x, const char *key)
{
    struct extra_list l = {.x = x, .before = extra_mark(x)};
    jw_key(&x->w, str_of(key));
    jw_array(&x->w);
    return l;
}

void extra_item(struct extra_list *l)
{
    l->item = extra_mark(l->x);
    l->used = l->x->d->used;
}

bool extra_item_end(struct extra_list *l)
{
    struct buf *b = &l->x->d->extra;
    l->x->d->used = l->used;
    if (!buf_ok(b) || b->len + LIST_TAIL_BYTES > EVENT_EXTRA_MAX) {
        b->failed = false;
        b->len = l->item.len;
        l->x->w = l->item.w;
        l->x->d->n_left_out++;
        return false;
    }
    l->n++;
    return true;
}

void extra_list_end(struct extra_list *l)
{
    if (l->n == 0) {
        l->x->d->extra.len = l->before.len;
        l->x->w = l->before.w;
        return;
    }
    jw_array_end(&l->x->w);
    extra_check(l->x, &l->before);
}
