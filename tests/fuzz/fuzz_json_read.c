/* The pull reader under any bytes and any order of calls, and three walks that must agree. */
#include "server/core/json_read.h"

#include "server/core/buf.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS_MAX = 4000, OUT_MAX = 96 };

static void check_inside(const struct json *j, struct str s)
{
    ASSERT(s.ptr >= j->start && s.len <= (size_t)(j->end - s.ptr));
}

static void check_cursor(const struct json *j)
{
    ASSERT(j->p >= j->start && j->p <= j->end);
    ASSERT(j->depth <= JSON_DEPTH_MAX);
}

/* Text taken out is valid, has no NUL, fits, and longer room gives the same start. */
static void check_text(struct str raw, size_t max)
{
    char small[OUT_MAX + 1];
    char *large = mem_alloc(UTF8_CLEAN_MAX(raw.len) + 1);
    ASSERT(large != NULL);
    memset(small, '#', sizeof(small));
    struct str all = json_unescape(raw, large, UTF8_CLEAN_MAX(raw.len));
    struct str cut = json_unescape(raw, small, max);
    ASSERT(utf8_valid(all) && cut.len <= max && small[max] == '#');
    ASSERT(all.len == 0 || memchr(all.ptr, '\0', all.len) == NULL);
    ASSERT(str_eq(cut, utf8_cut(all, max)));
    mem_free(large);
}

static void one_access(struct json *j, struct fuzz_input *in)
{
    char out[OUT_MAX];
    size_t max = fuzz_choose(in, OUT_MAX + 1);
    struct str s = {j->start, 0};
    int64_t v;
    bool b;
    switch (fuzz_choose(in, 12)) {
    case 0:
        (void)json_enter_object(j);
        return;
    case 1:
        (void)json_enter_array(j);
        return;
    case 2:
    case 3:
        if (json_next_key(j, &s)) {
            check_inside(j, s);
        }
        return;
    case 4:
    case 5:
        (void)json_next_elem(j);
        return;
    case 6:
        json_leave(j);
        return;
    case 7:
        json_skip(j);
        return;
    case 8:
        (void)json_int(j, &v);
        (void)json_bool(j, &b);
        return;
    case 9:
        if (json_str_raw(j, &s)) {
            check_inside(j, s);
            check_text(s, max);
        }
        return;
    case 10:
        if (json_str(j, out, max, &s)) {
            ASSERT(s.ptr == out && s.len <= max && utf8_valid(s));
        }
        return;
    default:
        if (json_raw(j, &s)) {
            check_inside(j, s);
        }
        return;
    }
}

static void walk_at_random(struct fuzz_input *in)
{
    struct json j;
    json_init(&j, in->subject);
    for (int i = 0; i < STEPS_MAX && !json_at_end(&j); i++) {
        enum json_err before = json_error(&j);
        const char *p = j.p;
        one_access(&j, in);
        check_cursor(&j);
        ASSERT(j.p >= p);
        ASSERT(before == JSON_ERR_NONE || (json_error(&j) == before && j.p == p));
        if (before != JSON_ERR_NONE) {
            return;
        }
    }
}

/* What is read is written again. */
struct copy {
    struct json j;
    struct json_out w;
    struct buf text; /* scratch of copy_string */
};

static bool copy_string(struct copy *c)
{
    struct json again = c->j;
    struct str s;
    if (!json_str_raw(&c->j, &s)) {
        return false;
    }
    size_t max = UTF8_CLEAN_MAX(s.len);
    buf_clear(&c->text);
    char *out = buf_reserve(&c->text, max + 1);
    ASSERT(out != NULL && json_str(&again, out, max, &s) && again.p == c->j.p);
    jw_str(&c->w, s);
    return true;
}

static bool copy_value(struct copy *c);

static bool copy_object(struct copy *c)
{
    struct str key;
    if (!json_enter_object(&c->j)) {
        return false;
    }
    jw_object(&c->w);
    while (json_next_key(&c->j, &key)) {
        jw_key(&c->w, key);
        if (!copy_value(c)) {
            return false;
        }
    }
    jw_object_end(&c->w);
    return true;
}

static bool copy_array(struct copy *c)
{
    if (!json_enter_array(&c->j)) {
        return false;
    }
    jw_array(&c->w);
    while (json_next_elem(&c->j)) {
        if (!copy_value(c)) {
            return false;
        }
    }
    jw_array_end(&c->w);
    return true;
}

/* False: an error in the text. Recursion is as deep as JSON_DEPTH_MAX. */
static bool copy_value(struct copy *c)
{
    struct str s;
    bool ok = false;
    switch (json_peek(&c->j)) {
    case JSON_OBJECT:
        ok = copy_object(c);
        break;
    case JSON_ARRAY:
        ok = copy_array(c);
        break;
    case JSON_STRING:
        ok = copy_string(c);
        break;
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        ok = json_raw(&c->j, &s);
        jw_raw(&c->w, ok ? s : STR("null"));
        break;
    case JSON_NONE:
        break;
    }
    return ok && json_error(&c->j) == JSON_ERR_NONE;
}

static bool copy(struct copy *c, struct str from, struct buf *to)
{
    json_init(&c->j, from);
    jw_init(&c->w, to);
    return copy_value(c);
}

/* What a full walk accepts a skip accepts too, and ends at the same byte; what we write of it reads the same again. */
static void compare_walks(struct str subject)
{
    struct copy c;
    struct buf first;
    struct buf second;
    buf_init(&c.text, SIZE_MAX / 2);
    buf_init(&first, SIZE_MAX / 2);
    buf_init(&second, SIZE_MAX / 2);
    if (copy(&c, subject, &first)) {
        struct json skip;
        json_init(&skip, subject);
        json_skip(&skip);
        ASSERT(json_error(&skip) == JSON_ERR_NONE && skip.p == c.j.p);
        ASSERT(copy(&c, buf_str(&first), &second) && json_at_end(&c.j));
        ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    }
    buf_deinit(&c.text);
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    walk_at_random(&in);
    compare_walks(in.subject);
    check_text(in.subject, fuzz_choose(&in, OUT_MAX + 1));
    return 0;
}
