#include "server/config/config_priv.h"

#include <inttypes.h>
#include <string.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"

enum { SHOWN_BYTES = 40, SHOWN_NUMBER_BYTES = 32 };

static void *field_of(struct config *c, const struct config_key *k)
{
    return (char *)c + k->offset;
}

static const void *field_of_const(const struct config *c, const struct config_key *k)
{
    return (const char *)c + k->offset;
}

static bool is_number(enum config_type type)
{
    return type == CONFIG_INT || type == CONFIG_MS || type == CONFIG_BYTES;
}

/* Settings are read at start and few: no memory for them means no service. */
static char *dup_text(struct str s)
{
    char *p = mem_new_array(char, s.len + 1);
    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    return p;
}

static void list_clear(struct config_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->items[i]);
    }
    mem_free(l->items);
    *l = (struct config_list){NULL, 0};
}

static void list_set(struct config_list *l, struct str text)
{
    size_t n = 0;
    struct str rest = text;
    struct str part;
    while (str_split(&rest, ',', &part)) {
        n += str_trim(part).len > 0;
    }
    list_clear(l);
    if (n == 0) {
        return;
    }
    l->items = mem_new_array(char *, n);
    rest = text;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len > 0) {
            l->items[l->n++] = dup_text(part);
        }
    }
}

void config_value_clear(struct config *c, const struct config_key *k)
{
    switch (k->type) {
    case CONFIG_STR: {
        char **field = field_of(c, k);
        mem_free(*field);
        *field = NULL;
        break;
    }
    case CONFIG_LIST:
        list_clear(field_of(c, k));
        break;
    case CONFIG_BOOL:
        *(bool *)field_of(c, k) = false;
        break;
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        *(int64_t *)field_of(c, k) = 0;
        break;
    }
}

void config_value_default(struct config *c, const struct config_key *k)
{
    config_value_clear(c, k);
    switch (k->type) {
    case CONFIG_STR:
        *(char **)field_of(c, k) = dup_text(str_of(k->def_text));
        break;
    case CONFIG_LIST:
        list_set(field_of(c, k), str_of(k->def_text));
        break;
    case CONFIG_BOOL:
        *(bool *)field_of(c, k) = k->def_num != 0;
        break;
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        *(int64_t *)field_of(c, k) = k->def_num;
        break;
    }
}

struct unit {
    struct str suffix;
    int64_t factor;
};
static const struct unit MS_UNITS[] = {
    {{"d", 1}, 86400000}, {{"h", 1}, 3600000}, {{"m", 1}, 60000}, {{"s", 1}, 1000}, {{"ms", 2}, 1},
};
static const struct unit BYTE_UNITS[] = {
    {{"G", 1}, 1 << 30},
    {{"M", 1}, 1 << 20},
    {{"k", 1}, 1 << 10},
    {{"", 0}, 1},
};
static const struct unit PLAIN_UNITS[] = {{{"", 0}, 1}};

static void units_of(enum config_type type, const struct unit **ret_units, size_t *ret_n)
{
    if (type == CONFIG_MS) {
        *ret_units = MS_UNITS;
        *ret_n = ARRAY_LEN(MS_UNITS);
    } else if (type == CONFIG_BYTES) {
        *ret_units = BYTE_UNITS;
        *ret_n = ARRAY_LEN(BYTE_UNITS);
    } else {
        *ret_units = PLAIN_UNITS;
        *ret_n = ARRAY_LEN(PLAIN_UNITS);
    }
}

void config_number_print(enum config_type type, int64_t v, struct buf *out)
{
    const struct unit *units = NULL;
    size_t n = 0;
    units_of(type, &units, &n);
    if (v == 0) {
        buf_put_c(out, '0');
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (v % units[i].factor == 0) {
            buf_put_i64(out, v / units[i].factor);
            buf_put(out, units[i].suffix);
            return;
        }
    }
    UNREACHABLE(); /* every table ends with factor 1 */
}

static bool scale(int64_t number, int64_t factor, int64_t *ret)
{
    return !__builtin_mul_overflow(number, factor, ret);
}

/* Digits, then a unit. A time without a unit is refused (but 0): 10 could be seconds or milliseconds. */
static bool parse_number(enum config_type type, struct str text, int64_t *ret)
{
    size_t digits = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    int64_t number = 0;
    if (!str_to_i64(str_sub(text, 0, digits), &number)) {
        return false;
    }
    const struct str suffix = str_trim(str_sub(text, digits, text.len));
    if (number == 0 && suffix.len == 0) {
        *ret = 0;
        return true;
    }
    const struct unit *units = NULL;
    size_t n = 0;
    units_of(type, &units, &n);
    for (size_t i = 0; i < n; i++) {
        if (str_ieq(suffix, units[i].suffix)) {
            return scale(number, units[i].factor, ret);
        }
    }
    return false;
}

static const char *number_help(enum config_type type)
{
    switch (type) {
    case CONFIG_MS:
        return "a time with its unit, such as 500ms, 30s, 5m, 2h or 7d";
    case CONFIG_BYTES:
        return "a number of bytes, such as 65536, 64k, 8M or 1G";
    case CONFIG_INT:
        return "a whole number";
    case CONFIG_STR:
    case CONFIG_BOOL:
    case CONFIG_LIST:
        break;
    }
    UNREACHABLE();
}

/* The value for a message: short, printable, and never a secret. */
static const char *shown(const struct config_key *k, struct str text, char out[SHOWN_BYTES + 4])
{
    if (k->secret) {
        return "the value";
    }
    const struct str cut = utf8_valid(text) ? utf8_cut(text, SHOWN_BYTES - 5) : STR("?");
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < cut.len; i++) {
        const unsigned char c = (unsigned char)cut.ptr[i];
        out[n++] = c < 0x20 || c == 0x7f ? '?' : cut.ptr[i];
    }
    if (cut.len < text.len) {
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

static enum err_code set_number(struct config *c, const struct config_key *k, struct str text,
                                struct err *err)
{
    char show[SHOWN_BYTES + 4];
    int64_t v = 0;
    if (!parse_number(k->type, text, &v)) {
        return err_set(err, ERR_INVALID, "%s is not %s", shown(k, text, show),
                       number_help(k->type));
    }
    if (v < k->min || v > k->max) {
        struct buf range;
        buf_init(&range, (size_t)2 * SHOWN_NUMBER_BYTES);
        config_number_print(k->type, k->min, &range);
        buf_put(&range, STR(" to "));
        config_number_print(k->type, k->max, &range);
        err_set(err, ERR_INVALID, "%s is outside of " STR_FMT, shown(k, text, show),
                STR_ARG(buf_str(&range)));
        buf_deinit(&range);
        return ERR_INVALID;
    }
    *(int64_t *)field_of(c, k) = v;
    return ERR_OK;
}

static enum err_code set_bool(struct config *c, const struct config_key *k, struct str text,
                              struct err *err)
{
    static const char *const yes[] = {"1", "true", "yes", "on"};
    static const char *const no[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        const bool is_yes = str_ieq(text, str_of(yes[i]));
        if (is_yes || str_ieq(text, str_of(no[i]))) {
            *(bool *)field_of(c, k) = is_yes;
            return ERR_OK;
        }
    }
    char show[SHOWN_BYTES + 4];
    return err_set(err, ERR_INVALID, "%s is neither true nor false", shown(k, text, show));
}

/* A unit such as "debug|info" lists the only values allowed. */
static bool is_choice(const struct config_key *k, struct str text)
{
    if (strchr(k->unit, '|') == NULL) {
        return true;
    }
    struct str rest = str_of(k->unit);
    struct str part;
    while (str_split(&rest, '|', &part)) {
        if (str_eq(part, text)) {
            return true;
        }
    }
    return false;
}

/* What is allowed, if that is more than a length: an operator is told that, not how many bytes it has. */
static enum err_code check_pattern(const struct config_key *k, struct str text, struct err *err)
{
    char show[SHOWN_BYTES + 4];
    if (!is_choice(k, text)) {
        return err_set(err, ERR_INVALID, "%s is none of %s", shown(k, text, show), k->unit);
    }
    if (strcmp(k->unit, "url") == 0 &&
        ((int64_t)text.len < k->min ||
         !(str_starts(text, STR("http://")) || str_starts(text, STR("https://"))))) {
        return err_set(err, ERR_INVALID, "%s is not http:// or https:// and a host",
                       shown(k, text, show));
    }
    return ERR_OK;
}

static enum err_code check_text(const struct config_key *k, struct str text, struct err *err)
{
    char show[SHOWN_BYTES + 4];
    if (!utf8_valid(text)) {
        return err_set(err, ERR_INVALID, "is not UTF-8");
    }
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if ((unsigned char)c < 0x20 && !(c == '\t' && k->type == CONFIG_LIST)) {
            return err_set(err, ERR_INVALID, "contains a control character");
        }
    }
    const enum err_code rc = check_pattern(k, text, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if ((int64_t)text.len < k->min) {
        return text.len == 0 ? err_set(err, ERR_INVALID, "must not be empty")
                             : err_set(err, ERR_INVALID, "%s is too short", shown(k, text, show));
    }
    if ((int64_t)text.len > k->max) {
        return err_set(err, ERR_INVALID, "is longer than %" PRId64 " bytes", k->max);
    }
    return ERR_OK;
}

enum err_code config_value_set(struct config *c, const struct config_key *k, struct str text,
                               struct err *err)
{
    text = str_trim(text);
    if (is_number(k->type)) {
        return set_number(c, k, text, err);
    }
    if (k->type == CONFIG_BOOL) {
        return set_bool(c, k, text, err);
    }
    const enum err_code rc = check_text(k, text, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (k->type == CONFIG_LIST) {
        list_set(field_of(c, k), text);
    } else {
        config_value_clear(c, k);
        *(char **)field_of(c, k) = dup_text(text);
    }
    return ERR_OK;
}

bool config_value_is_empty(const struct config *c, const struct config_key *k)
{
    switch (k->type) {
    case CONFIG_STR:
        return (*(char *const *)field_of_const(c, k))[0] == '\0';
    case CONFIG_LIST:
        return ((const struct config_list *)field_of_const(c, k))->n == 0;
    case CONFIG_BOOL:
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        return false;
    }
    UNREACHABLE();
}

bool config_value_eq(const struct config *a, const struct config *b, const struct config_key *k)
{
    struct buf x;
    struct buf y;
    buf_init(&x, CONFIG_TEXT_LIMIT);
    buf_init(&y, CONFIG_TEXT_LIMIT);
    config_value_print(a, k, &x);
    config_value_print(b, k, &y);
    const bool eq = str_eq(buf_str(&x), buf_str(&y));
    buf_deinit(&x);
    buf_deinit(&y);
    return eq;
}

void config_value_swap(struct config *a, struct config *b, const struct config_key *k)
{
    static const size_t sizes[] = {
        [CONFIG_STR] = sizeof(char *),    [CONFIG_INT] = sizeof(int64_t),
        [CONFIG_BOOL] = sizeof(bool),     [CONFIG_MS] = sizeof(int64_t),
        [CONFIG_BYTES] = sizeof(int64_t), [CONFIG_LIST] = sizeof(struct config_list),
    };
    char tmp[sizeof(struct config_list)];
    const size_t n = sizes[k->type];
    memcpy(tmp, field_of(a, k), n);
    memcpy(field_of(a, k), field_of(b, k), n);
    memcpy(field_of(b, k), tmp, n);
}

void config_value_print(const struct config *c, const struct config_key *k, struct buf *out)
{
    switch (k->type) {
    case CONFIG_STR:
        buf_put(out, str_of(*(char *const *)field_of_const(c, k)));
        break;
    case CONFIG_LIST: {
        const struct config_list *l = field_of_const(c, k);
        for (size_t i = 0; i < l->n; i++) {
            if (i > 0) {
                buf_put(out, STR(", "));
            }
            buf_put(out, str_of(l->items[i]));
        }
        break;
    }
    case CONFIG_BOOL:
        buf_put(out, *(const bool *)field_of_const(c, k) ? STR("true") : STR("false"));
        break;
    case CONFIG_INT:
    case CONFIG_MS:
    case CONFIG_BYTES:
        config_number_print(k->type, *(const int64_t *)field_of_const(c, k), out);
        break;
    }
}
