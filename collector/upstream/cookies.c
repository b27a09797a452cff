#include "collector/upstream/cookies.h"

#include "server/core/mem.h"

enum { NETSCAPE_FIELDS = 7 };

bool cookie_value_ok(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == ';' || c == '\\') {
            return false;
        }
    }
    return true;
}

static bool name_ok(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!plain) {
            return false;
        }
    }
    return name.len > 0;
}

static enum err_code add(struct cookies *c, struct str name, struct str value, struct err *err)
{
    if (!name_ok(name) || !cookie_value_ok(value)) {
        return ERR_OK; /* attributes, other text: nothing of ours */
    }
    for (size_t i = 0; i < c->n; i++) {
        if (str_eq(c->items[i].name, name)) {
            c->items[i].value = value;
            return ERR_OK;
        }
    }
    if (c->n == COOKIES_MAX) {
        return err_set(err, ERR_TOO_BIG, "more than %d cookies", COOKIES_MAX);
    }
    c->items[c->n++] = (struct cookie){name, value};
    return ERR_OK;
}

static bool is_ours(struct str domain)
{
    const struct str site = STR("bilibili.com");
    if (domain.len < site.len ||
        !str_ieq(str_sub(domain, domain.len - site.len, domain.len), site)) {
        return false;
    }
    return domain.len == site.len || domain.ptr[domain.len - site.len - 1] == '.';
}

/* False: the line is not of that format. */
static bool netscape(struct cookies *c, struct str line, struct err *err, enum err_code *ret)
{
    struct str fields[NETSCAPE_FIELDS] = {{NULL, 0}};
    size_t n = 0;
    size_t from = 0;
    if (str_starts(line, STR("#HttpOnly_"))) {
        line = str_sub(line, sizeof("#HttpOnly_") - 1, line.len);
    }
    for (size_t i = 0; i <= line.len; i++) {
        if (i == line.len || line.ptr[i] == '\t') {
            if (n == NETSCAPE_FIELDS) {
                return false;
            }
            fields[n++] = str_sub(line, from, i);
            from = i + 1;
        }
    }
    if (n != NETSCAPE_FIELDS) {
        return false;
    }
    if (is_ours(fields[0])) {
        *ret = add(c, str_trim(fields[5]), str_trim(fields[6]), err);
    }
    return true;
}

static enum err_code pairs(struct cookies *c, struct str line, struct err *err)
{
    struct str part;
    enum err_code rc = ERR_OK;
    if (line.len > sizeof("Cookie:") - 1 &&
        str_ieq(str_sub(line, 0, sizeof("Cookie:") - 1), STR("Cookie:"))) {
        line = str_sub(line, sizeof("Cookie:") - 1, line.len);
    }
    while (rc == ERR_OK && str_split(&line, ';', &part)) {
        const char *eq = part.len > 0 ? memchr(part.ptr, '=', part.len) : NULL;
        if (eq) {
            const size_t at = (size_t)(eq - part.ptr);
            rc = add(c, str_trim(str_sub(part, 0, at)), str_trim(str_sub(part, at + 1, part.len)),
                     err);
        }
    }
    return rc;
}

static enum err_code parse_line(struct cookies *c, struct str line, struct err *err)
{
    enum err_code rc = ERR_OK;
    if (netscape(c, line, err, &rc)) {
        return rc;
    }
    line = str_trim(line);
    return line.len == 0 || line.ptr[0] == '#' ? ERR_OK : pairs(c, line, err);
}

enum err_code cookies_parse(struct str text, struct cookies *ret, struct err *err)
{
    struct cookies c = {.n = 0};
    enum err_code rc = ERR_OK;
    struct str line;
    if (text.len > COOKIES_TEXT_MAX) {
        return err_set(err, ERR_TOO_BIG, "longer than %d bytes", COOKIES_TEXT_MAX);
    }
    c.text = mem_dup(text.ptr, text.len);
    if (!c.text) {
        return err_set(err, ERR_NOMEM, "no memory for the cookies");
    }
    struct str rest = {c.text, text.len};
    while (rc == ERR_OK && str_split(&rest, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        rc = parse_line(&c, line, err);
    }
    if (rc == ERR_OK && c.n == 0) {
        rc = err_set(err, ERR_INVALID, "no cookie in it");
    }
    if (rc != ERR_OK) {
        cookies_deinit(&c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void cookies_deinit(struct cookies *c)
{
    mem_free(c->text);
    *c = (struct cookies){.n = 0};
}

struct str cookies_get(const struct cookies *c, struct str name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (str_eq(c->items[i].name, name)) {
            return c->items[i].value;
        }
    }
    return STR_NULL;
}

bool cookies_has_login(const struct cookies *c)
{
    return cookies_get(c, STR("SESSDATA")).len > 0;
}

void cookies_write(const struct cookies *c, struct str without, struct buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        if (str_eq(c->items[i].name, without)) {
            continue;
        }
        if (out->len > 0) {
            buf_put(out, STR("; "));
        }
        buf_put(out, c->items[i].name);
        buf_put_c(out, '=');
        buf_put(out, c->items[i].value);
    }
}
