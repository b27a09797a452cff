#include "collector/wire/decode.h"

#include "collector/wire/decode_priv.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

static const struct decode_command commands[] = {
#define X(name, function) {.cmd = {name, sizeof(name) - 1}, .fn = function},
#include "collector/wire/decode_table.def"
#undef X
};
static_assert(ARRAY_LEN(commands) * 2 <= DECODE_SLOTS, "the table of names would get slow");
static_assert((DECODE_SLOTS & (DECODE_SLOTS - 1)) == 0, "slots are found by a mask");

/* Names differ most at both ends and in length. */
static size_t slot_of(struct str cmd)
{
    uint32_t h = (uint32_t)cmd.len;
    for (size_t i = 0; i < cmd.len; i++) {
        h = h * 31 + (unsigned char)cmd.ptr[i];
    }
    return h & (DECODE_SLOTS - 1);
}

struct decoder *decoder_new(void)
{
    struct decoder *d = mem_new(struct decoder);
    buf_init(&d->extra, EVENT_EXTRA_MAX);
    arena_init(&d->pb, DECODE_PB_MEMORY);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        size_t at = slot_of(commands[i].cmd);
        while (d->slots[at]) {
            at = (at + 1) & (DECODE_SLOTS - 1);
        }
        d->slots[at] = &commands[i];
    }
    return d;
}

void decoder_free(struct decoder *d)
{
    if (d) {
        buf_deinit(&d->extra);
        arena_deinit(&d->pb);
        mem_free(d);
    }
}

static decode_fn *find_command(const struct decoder *d, struct str cmd)
{
    size_t at = slot_of(cmd);
    while (d->slots[at]) {
        if (str_eq(d->slots[at]->cmd, cmd)) {
            return d->slots[at]->fn;
        }
        at = (at + 1) & (DECODE_SLOTS - 1);
    }
    return NULL;
}

/* The name up to the first ':'; empty when there is none. j is a copy: the walk for the name starts nothing. */
static struct str read_cmd(struct decoder *d, struct json j, bool *ret_is_json)
{
    struct str key;
    struct str cmd = STR_NULL;
    bool is_object = json_enter_object(&j);
    while (is_object && json_next_key(&j, &key)) {
        if (str_eq(key, STR("cmd")) && json_peek(&j) == JSON_STRING &&
            json_str(&j, d->text, DECODE_CMD_MAX, &cmd)) {
            const char *colon = memchr(cmd.ptr, ':', cmd.len);
            d->used = cmd.len;
            *ret_is_json = true;
            return (struct str){cmd.ptr, colon ? (size_t)(colon - cmd.ptr) : cmd.len};
        }
    }
    if (!is_object) {
        json_skip(&j);
    }
    *ret_is_json = json_at_end(&j);
    return STR_NULL;
}

enum decode_status decode_broken(struct decoder *d, const char *reason)
{
    d->n = 0;
    d->reason = reason;
    return DECODE_BROKEN;
}

static enum decode_status run(struct decoder *d, struct str text)
{
    struct json j;
    bool is_json = false;
    json_init(&j, text);
    d->cmd = read_cmd(d, j, &is_json);
    if (!is_json) {
        return decode_broken(d, "not JSON");
    }
    decode_fn *fn = find_command(d, d->cmd);
    if (fn) {
        return fn(d, &j);
    }
    return decode_is_silent(d->cmd) ? DECODE_OK : DECODE_UNKNOWN;
}

void decode_message(struct decoder *d, int64_t room_id, struct str json, struct decode_result *ret)
{
    d->room_id = room_id;
    d->cmd = STR_NULL;
    d->reason = NULL;
    d->n = 0;
    d->n_left_out = 0;
    d->used = 0;
    const enum decode_status status = run(d, json);
    *ret = (struct decode_result){.status = status,
                                  .cmd = d->cmd,
                                  .reason = d->reason,
                                  .drafts = d->drafts,
                                  .n = d->n,
                                  .n_left_out = d->n_left_out};
}

/* ---- values ---- */

int64_t decode_clamp(int64_t v, int64_t max)
{
    return v < 0 ? 0 : v < max ? v : max;
}

int64_t decode_s_to_ms(int64_t seconds)
{
    return seconds > 0 && seconds <= INT64_MAX / 1000 ? seconds * 1000 : 0;
}

int64_t decode_money(struct decoder *d, int64_t mcny)
{
    if (mcny > DECODE_MONEY_MAX) {
        d->n_left_out++;
        return 0;
    }
    return mcny > 0 ? mcny : 0;
}

/* ---- drafts ---- */

struct event_draft *decode_draft(struct decoder *d, enum event_kind kind)
{
    if (d->n == DECODE_EVENTS_MAX) {
        d->n_left_out++;
        return NULL;
    }
    struct event_draft *e = &d->drafts[d->n++];
    event_draft_init(e, kind, d->room_id);
    return e;
}

void decode_key_init(struct hash64 *h, enum event_kind kind)
{
    hash64_init(h, (uint64_t)kind);
}

void extra_begin(struct extra *x, struct decoder *d)
{
    x->d = d;
    buf_clear(&d->extra);
    jw_init(&x->w, &d->extra);
    jw_object(&x->w);
}

struct extra_mark extra_mark(const struct extra *x)
{
    return (struct extra_mark){.w = x->w, .len = x->d->extra.len};
}

void extra_check(struct extra *x, const struct extra_mark *mark)
{
    struct buf *b = &x->d->extra;
    /* The closing brace needs its place. */
    if (!buf_ok(b) || b->len >= EVENT_EXTRA_MAX) {
        b->failed = false;
        b->len = mark->len;
        x->w = mark->w;
        x->d->n_left_out++;
    }
}

void extra_str(struct extra *x, const char *key, struct str s)
{
    if (s.len > 0) {
        const struct extra_mark mark = extra_mark(x);
        jw_kstr(&x->w, key, s);
        extra_check(x, &mark);
    }
}

void extra_i64(struct extra *x, const char *key, int64_t v)
{
    if (v != 0) {
        const struct extra_mark mark = extra_mark(x);
        jw_ki64(&x->w, key, v);
        extra_check(x, &mark);
    }
}

void extra_true(struct extra *x, const char *key, bool v)
{
    if (v) {
        const struct extra_mark mark = extra_mark(x);
        jw_kbool(&x->w, key, true);
        extra_check(x, &mark);
    }
}

void extra_end(struct extra *x, struct event_draft *e)
{
    struct decoder *d = x->d;
    jw_object_end(&x->w);
    const struct str s = buf_str(&d->extra);
    if (!buf_ok(&d->extra) || s.len > sizeof(d->text) - d->used) {
        d->n_left_out++;
    } else if (s.len > 2) {
        memcpy(d->text + d->used, s.ptr, s.len);
        e->extra = (struct str){d->text + d->used, s.len};
        d->used += s.len;
    }
}
