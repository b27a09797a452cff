#include "collector/wire/outline.h"

#include "server/core/json_read.h"
#include "server/core/json_write.h"

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

/* Maps by user id and the like have keys that are values. */
static bool is_name(struct str key)
{
    if (key.len == 0 || key.len > OUTLINE_KEY_MAX || (key.ptr[0] >= '0' && key.ptr[0] <= '9') ||
        key.ptr[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        if (!is_word(key.ptr[i])) {
            return false;
        }
    }
    return true;
}

static void put_value(struct json *j, struct json_out *w, unsigned depth);

static void put_object(struct json *j, struct json_out *w, unsigned depth)
{
    struct str key;
    unsigned n = 0;
    bool starred = false;
    jw_object(w);
    if (json_enter_object(j)) {
        while (json_next_key(j, &key)) {
            const bool named = is_name(key);
            if (!named && starred) {
                continue;
            }
            if (n++ == OUTLINE_KEYS_MAX) {
                jw_kstr(w, "...", STR("..."));
                json_leave(j);
                break;
            }
            starred = starred || !named;
            jw_key(w, named ? key : STR("*"));
            put_value(j, w, depth + 1);
        }
    }
    jw_object_end(w);
}

static void put_array(struct json *j, struct json_out *w, unsigned depth)
{
    jw_array(w);
    if (json_enter_array(j) && json_next_elem(j)) {
        put_value(j, w, depth + 1);
        json_leave(j);
    }
    jw_array_end(w);
}

static void put_value(struct json *j, struct json_out *w, unsigned depth)
{
    static const char *const names[] = {
        [JSON_NONE] = "?",        [JSON_OBJECT] = "object", [JSON_ARRAY] = "list",
        [JSON_STRING] = "string", [JSON_NUMBER] = "number", [JSON_TRUE] = "boolean",
        [JSON_FALSE] = "boolean", [JSON_NULL] = "null",
    };
    const enum json_type type = json_peek(j);
    if ((type == JSON_OBJECT || type == JSON_ARRAY) && depth == OUTLINE_DEPTH_MAX) {
        jw_str(w, STR("..."));
        json_skip(j);
    } else if (type == JSON_OBJECT) {
        put_object(j, w, depth);
    } else if (type == JSON_ARRAY) {
        put_array(j, w, depth);
    } else {
        jw_str(w, str_of(names[type]));
        json_skip(j);
    }
}

bool outline_write(struct buf *out, struct str json)
{
    struct buf b;
    struct json j;
    struct json_out w;
    buf_init(&b, OUTLINE_MAX);
    json_init(&j, json);
    jw_init(&w, &b);
    put_value(&j, &w, 0);
    const bool ok = buf_ok(&b);
    if (ok) {
        buf_put(out, buf_str(&b));
    }
    buf_deinit(&b);
    return ok && buf_ok(out);
}
