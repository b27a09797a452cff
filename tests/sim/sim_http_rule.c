#include "tests/sim/sim_http_priv.h"

#include "server/core/assert.h"
#include "server/core/attr.h"

enum { MS_MAX = 86400000 };

static const char *const NAMES[] = {
#define X(id, name) name,
    SIM_HTTP_KINDS(X)
#undef X
};

const char *sim_http_rule_name(enum sim_http_kind kind)
{
    return NAMES[kind];
}

static bool copy(struct str s, char *out, size_t size)
{
    if (s.len >= size) {
        return false;
    }
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static bool set_kind(struct str value, struct sim_http_rule *r)
{
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (str_eq(value, str_of(NAMES[i]))) {
            r->kind = (enum sim_http_kind)i;
            return true;
        }
    }
    return false;
}

static bool set(struct str key, struct str value, struct sim_http_rule *r)
{
    const struct {
        const char *name;
        int64_t *to;
        int64_t min;
        int64_t max;
    } numbers[] = {{"code", &r->code, INT32_MIN, INT32_MAX},
                   {"ms", &r->ms, -MS_MAX, MS_MAX},
                   {"times", &r->times, 0, INT64_MAX},
                   {"for_ms", &r->for_ms, 0, INT64_MAX},
                   {"chance", &r->chance, 0, 100}};

    if (str_eq(key, STR("kind"))) {
        return set_kind(value, r);
    }
    if (str_eq(key, STR("path"))) {
        return str_eq(value, STR("*")) || copy(value, r->path, sizeof(r->path));
    }
    if (str_eq(key, STR("what"))) {
        return copy(value, r->what, sizeof(r->what));
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (str_eq(key, str_of(numbers[i].name))) {
            return str_to_i64(value, numbers[i].to) && *numbers[i].to >= numbers[i].min &&
                   *numbers[i].to <= numbers[i].max;
        }
    }
    return false;
}

enum err_code sim_http_rule_parse(struct str text, struct sim_http_rule *ret, struct err *err)
{
    struct str part;
    bool has_kind = false;
    bool has_code = false;

    *ret = (struct sim_http_rule){.times = 1, .chance = 100, .ms = 5000};
    while (text.len > 0 && str_split(&text, ',', &part)) {
        struct str rest = part;
        struct str key;

        if (!str_split(&rest, '=', &key) || !set(key, rest, ret)) {
            return err_set(err, ERR_INVALID, "http-fault: bad part \"" STR_FMT "\"", STR_ARG(part));
        }
        has_kind = has_kind || str_eq(key, STR("kind"));
        has_code = has_code || str_eq(key, STR("code"));
    }
    if (!has_kind) {
        return err_set(err, ERR_INVALID, "http-fault: kind= is missing");
    }
    if (!has_code) {
        ret->code = ret->kind == SIM_HTTP_STATUS ? 500 : -412;
    }
    if (ret->kind != SIM_HTTP_DATE && ret->ms < 0) {
        return err_set(err, ERR_INVALID, "http-fault: ms= is negative");
    }
    if (ret->kind == SIM_HTTP_STATUS && (ret->code < 200 || ret->code > 599)) {
        return err_set(err, ERR_INVALID, "http-fault: code= is no HTTP status");
    }
    return ERR_OK;
}

static void set_data(struct sim_call *c, const char *what)
{
    const char *data = str_eq(str_of(what), STR("array"))     ? ",\"data\":[]"
                       : str_eq(str_of(what), STR("null"))    ? ",\"data\":null"
                       : str_eq(str_of(what), STR("missing")) ? ""
                                                              : ",\"data\":{}";

    buf_clear(c->out);
    buf_printf(c->out, "{\"code\":0,\"message\":\"0\",\"ttl\":1%s}", data);
}

void sim_http_rule_spoil(const struct sim_http_rule *r, struct sim_call *c)
{
    switch (r->kind) {
    case SIM_HTTP_BAN:
        sim_api_html(c, 412);
        c->code = -412;
        break;
    case SIM_HTTP_CODE:
        sim_api_error(c, r->code);
        break;
    case SIM_HTTP_STATUS:
        sim_api_html(c, (unsigned)r->code);
        break;
    case SIM_HTTP_VOUCHER:
        buf_clear(c->out);
        buf_put(c->out, STR("{\"code\":0,\"message\":\"0\",\"ttl\":1,\"data\":{\"v_voucher\":"
                            "\"voucher_simulated\"}}"));
        break;
    case SIM_HTTP_GARBAGE:
        buf_clear(c->out);
        buf_put(c->out, STR("{\"code\":0,\"data\":{\"list\":[{\xff\xfe \x01 not json"));
        break;
    case SIM_HTTP_EMPTY:
        set_data(c, r->what);
        break;
    case SIM_HTTP_SLOW:
    case SIM_HTTP_HANG:
    case SIM_HTTP_DATE:
    case SIM_HTTP_CUT:
        break;
    }
}
