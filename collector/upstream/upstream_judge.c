/* What an answer means: by its status, its code, or what is missing in it. */
#include "collector/upstream/upstream_priv.h"

enum { CODE_NOT_FOUND = 1, CODE_NO_ROOM = 60004, CODE_TOKEN = 65530 };
enum {
    CODE_NOT_LOGGED_IN = -101,
    CODE_RISK = -352,
    CODE_BANNED = -412,
    CODE_BUSY = -509,
    CODE_TOO_FAST = -799
};
enum {
    HTTP_OK = 200,
    HTTP_PRECONDITION = 412,
    HTTP_TOO_MANY = 429,
    HTTP_SERVER = 500,
    HTTP_END = 600
};

static const struct {
    enum upstream_base base;
    const char *label, *path;
    unsigned needs;
} apis[] = {
#define X(name, base, label, path, needs) [API_##name] = {BASE_##base, label, path, needs},
#include "collector/upstream/upstream_api.def"
#undef X
};

static const struct {
    const char *label;
    bool failed;
} outcomes[] = {
#define X(name, label, failed) [OUTCOME_##name] = {label, failed},
#include "collector/upstream/upstream_outcome.def"
#undef X
};

const char *outcome_name(enum outcome o)
{
    return outcomes[o].label;
}

bool outcome_failed(enum outcome o)
{
    return outcomes[o].failed;
}

const char *api_path(enum upstream_api api)
{
    return apis[api].path;
}

unsigned api_needs(enum upstream_api api)
{
    return apis[api].needs;
}

const char *api_label(enum upstream_api api)
{
    return apis[api].label;
}

enum upstream_base api_base(enum upstream_api api)
{
    return apis[api].base;
}

static enum outcome judge_code(enum upstream_api api, const struct answer *a)
{
    switch (a->code) {
    case 0:
        return a->voucher ? OUTCOME_VOUCHER : OUTCOME_OK;
    case CODE_NOT_LOGGED_IN:
        return api == API_NAV ? OUTCOME_OK : OUTCOME_NOT_LOGGED_IN;
    case CODE_TOKEN:
        return OUTCOME_NOT_LOGGED_IN;
    case CODE_RISK:
        return OUTCOME_RISK;
    case CODE_BANNED:
        return OUTCOME_BANNED;
    case CODE_BUSY:
    case CODE_TOO_FAST:
        return OUTCOME_TOO_FAST;
    case CODE_NO_ROOM:
        return OUTCOME_NOT_FOUND;
    case CODE_NOT_FOUND:
        return api == API_GET_INFO ? OUTCOME_NOT_FOUND : OUTCOME_OTHER_CODE;
    default:
        return OUTCOME_OTHER_CODE;
    }
}

static enum outcome judge_status(enum upstream_api api, const struct upstream_http_answer *h,
                                 struct answer *ret, struct err *err)
{
    if (h->status == HTTP_PRECONDITION) {
        (void)err_set(err, ERR_FORBIDDEN, "HTTP 412: upstream has banned this address for a while");
        return OUTCOME_HTTP_412;
    }
    if (h->status == HTTP_OK && api == API_SITE) {
        *ret = (struct answer){.data = STR("null")};
        return OUTCOME_OK; /* a page for people: only its cookie matters */
    }
    if (h->status == HTTP_OK) {
        return parse_answer(h->body, ret, err) == ERR_OK ? judge_code(api, ret) : OUTCOME_GARBAGE;
    }
    (void)err_set(err, ERR_PROTO, "HTTP %ld", h->status);
    if (h->status == HTTP_TOO_MANY) {
        return OUTCOME_TOO_FAST;
    }
    return h->status >= HTTP_SERVER && h->status < HTTP_END ? OUTCOME_HTTP_5XX : OUTCOME_HTTP_OTHER;
}

enum outcome request_judge(enum upstream_api api, const struct upstream_http_answer *h,
                           struct answer *ret, struct err *err)
{
    *ret = (struct answer){.code = 0};
    switch (h->how) {
    case UPSTREAM_HTTP_NETWORK:
        (void)err_set(err, ERR_UNAVAILABLE, "%s", h->error);
        return OUTCOME_NETWORK;
    case UPSTREAM_HTTP_TIMEOUT:
        (void)err_set(err, ERR_UNAVAILABLE, "%s", h->error);
        return OUTCOME_TIMEOUT;
    case UPSTREAM_HTTP_TOO_BIG:
        (void)err_set(err, ERR_PROTO, "%s", h->error);
        return OUTCOME_TOO_BIG;
    case UPSTREAM_HTTP_ANSWERED:
        break;
    }
    const enum outcome o = judge_status(api, h, ret, err);
    if (ret->code != 0) {
        (void)err_set(err, ERR_PROTO, "code %lld %s", (long long)ret->code, ret->message);
    } else if (o == OUTCOME_VOUCHER) {
        (void)err_set(err, ERR_PROTO, "a v_voucher instead of an answer");
    }
    return o;
}

bool request_is_page(enum upstream_api api, const struct upstream_http_answer *h, enum outcome o)
{
    const struct str body = str_trim(h->body);
    return h->how == UPSTREAM_HTTP_ANSWERED && api != API_SITE &&
           ((o == OUTCOME_GARBAGE && body.len > 0 && body.ptr[0] == '<') ||
            (o == OUTCOME_HTTP_OTHER && h->status >= 300 && h->status < 400));
}
