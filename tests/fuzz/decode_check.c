#include "tests/fuzz/decode_check.h"

#include "api/encode/event_json.h"
#include "server/core/buf.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"

enum { FAULTS = 8, FAULT_PLACES = 12 };

static void check_text(struct str s, size_t max)
{
    ASSERT(s.len <= max);
    ASSERT(utf8_valid(s));
    ASSERT(s.len == 0 || memchr(s.ptr, '\0', s.len) == NULL);
}

/* A walk into everything: a skip would look at surfaces only. Recursion is as deep as JSON_DEPTH_MAX. */
static void walk(struct json *j)
{
    struct str s;
    struct json again = *j;
    if (json_peek(j) == JSON_OBJECT) {
        (void)json_enter_object(j);
        while (json_next_key(j, &s)) {
            walk(j);
        }
    } else if (json_enter_array(&again)) {
        (void)json_enter_array(j);
        while (json_next_elem(j)) {
            walk(j);
        }
    } else {
        ASSERT(json_raw(j, &s));
    }
}

static void check_json(struct str s, enum json_type type)
{
    struct json j;
    json_init(&j, s);
    ASSERT(json_peek(&j) == type);
    walk(&j);
    ASSERT(json_at_end(&j));
}

static void check_draft(const struct event_draft *e)
{
    struct buf b;
    struct json_out w;
    check_text(e->uname, EVENT_UNAME_MAX);
    check_text(e->text, EVENT_TEXT_MAX);
    check_text(e->medal, EVENT_MEDAL_MAX);
    check_text(e->extra, EVENT_EXTRA_MAX);
    if (e->extra.len > 0) {
        check_json(e->extra, JSON_OBJECT);
    }
    ASSERT(e->room_id == DECODE_CHECK_ROOM && e->kind > 0 && e->kind < EVENT_KIND_END);
    ASSERT(e->value_mcny >= 0 && e->num >= 0 && e->medal_lv >= 0 && e->wealth >= 0 && e->mode >= 0);
    ASSERT(e->guard >= 0 && e->guard <= 3 && e->color >= 0 && e->color <= 0xffffff);
    ASSERT(e->value_mcny == 0 || event_kind_is_paid((enum event_kind)e->kind));
    ASSERT(e->actor >= 0 || (e->flags & EVENT_F_MASKED) != 0);
    struct event *event = event_new(1, e);
    ASSERT(event);
    buf_init(&b, DECODE_CHECK_MESSAGE_MAX);
    jw_init(&w, &b);
    event_json(&w, event);
    check_json(buf_str(&b), JSON_OBJECT);
    buf_deinit(&b);
    event_unref(&event);
}

void decode_check(struct decoder *d, struct str json)
{
    struct decode_result r;
    int64_t nkey = 0;
    decode_message(d, DECODE_CHECK_ROOM, json, &r);
    check_text(r.cmd, DECODE_CMD_MAX);
    ASSERT(r.cmd.len == 0 || memchr(r.cmd.ptr, ':', r.cmd.len) == NULL);
    ASSERT(r.n <= DECODE_EVENTS_MAX && (r.n == 0 || r.status == DECODE_OK));
    ASSERT((r.reason != NULL) == (r.status == DECODE_BROKEN));
    for (size_t i = 0; i < r.n; i++) {
        check_draft(&r.drafts[i]);
        nkey ^= r.drafts[i].nkey;
    }
    const enum decode_status status = r.status;
    const size_t n = r.n;
    decode_message(d, DECODE_CHECK_ROOM, json, &r);
    ASSERT(r.status == status && r.n == n);
    for (size_t i = 0; i < r.n; i++) {
        nkey ^= r.drafts[i].nkey;
    }
    ASSERT(nkey == 0);
}

static void put_base64(struct buf *out, struct str s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.len; i += 3) {
        unsigned char b[3] = {0};
        const size_t n = s.len - i < 3 ? s.len - i : 3;
        memcpy(b, s.ptr + i, n);
        buf_put_c(out, digits[b[0] >> 2]);
        buf_put_c(out, digits[(b[0] & 3) << 4 | b[1] >> 4]);
        if (n > 1) {
            buf_put_c(out, digits[(b[1] & 15) << 2 | b[2] >> 6]);
        }
        if (n > 2) {
            buf_put_c(out, digits[b[2] & 63]);
        }
    }
}

/* Memory may run out anywhere: no draft has to be whole then, but none may be wrong. */
static void decode_without_memory(struct decoder *d, struct str json, unsigned place)
{
    struct decode_result r;
    mem_fault_set((int64_t)place, INT64_MAX);
    decode_message(d, DECODE_CHECK_ROOM, json, &r);
    mem_fault_set(-1, 0);
    for (size_t i = 0; i < r.n; i++) {
        check_draft(&r.drafts[i]);
    }
}

int decode_check_wrapped(const uint8_t *data, size_t size, const struct decode_wrap *wraps,
                         size_t n)
{
    struct fuzz_input in = fuzz_split(data, size);
    const struct decode_wrap *wrap = &wraps[fuzz_choose(&in, (unsigned)n)];
    struct decoder *d = decoder_new();
    struct buf message;
    buf_init(&message, DECODE_CHECK_MESSAGE_MAX);
    buf_put(&message, str_of(wrap->before));
    if (wrap->is_pb) {
        put_base64(&message, in.subject);
    } else {
        buf_put(&message, in.subject);
    }
    buf_put(&message, str_of(wrap->after));
    ASSERT(buf_ok(&message));
    if (fuzz_choose(&in, FAULTS) == 1) {
        decode_without_memory(d, buf_str(&message), fuzz_choose(&in, FAULT_PLACES));
    }
    decode_check(d, buf_str(&message));
    buf_deinit(&message);
    decoder_free(d);
    return 0;
}
