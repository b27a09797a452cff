#include "collector/upstream/parse.h"

#include "collector/upstream/parse_priv.h"

enum { BUVID_MIN = 8, BUVID_MAX = 128, PORT_MAX = UINT16_MAX };

/* ---- what all answers share ---- */

static bool text(struct json *j, struct arena *a, size_t max, struct str *ret)
{
    struct json look = *j;
    struct str raw;
    if (!json_raw(&look, &raw)) {
        json_skip(j);
        return true;
    }
    /* Unescaped text is at most as long as its source, but for what becomes U+FFFD (three bytes for one). */
    const size_t room = raw.len * 3 < max ? raw.len * 3 : max;
    char *out = arena_alloc(a, room + 1);
    if (!out) {
        return false;
    }
    (void)json_str(j, out, room, ret);
    return true;
}

static bool read_field(struct json *j, const struct parse_field *f, struct arena *a, char *target)
{
    int64_t *const number = (int64_t *)(void *)(target + f->offset);
    struct str *const string = (struct str *)(void *)(target + f->offset);
    struct str raw;
    bool flag;
    switch (f->type) {
    case PARSE_I64:
        (void)json_int(j, number);
        return true;
    case PARSE_BOOL:
        if (json_bool(j, &flag)) {
            *(bool *)(void *)(target + f->offset) = flag;
        }
        return true;
    case PARSE_TEXT:
        return text(j, a, PARSE_TEXT_MAX, string);
    case PARSE_LONG_TEXT:
        return text(j, a, PARSE_TOKEN_MAX, string);
    case PARSE_RAW:
        if (json_raw(j, &raw)) {
            *string = raw;
        }
        return true;
    case PARSE_TIME: {
        struct json look = *j;
        if (json_str_raw(&look, &raw) || json_raw(j, &raw)) {
            *number = parse_time_ms(raw);
        }
        return true;
    }
    }
    return true;
}

enum err_code parse_object(struct json *j, const struct parse_shape *shape, struct arena *a,
                           void *target, struct err *err)
{
    struct str key;
    if (!json_enter_object(j)) {
        return err_set(err, ERR_PROTO, "no object");
    }
    while (json_next_key(j, &key)) {
        for (size_t i = 0; i < shape->n; i++) {
            if (str_eq(key, str_of(shape->fields[i].key))) {
                if (!read_field(j, &shape->fields[i], a, target)) {
                    return err_set(err, ERR_NOMEM, "the answer's texts are too long");
                }
                break;
            }
        }
    }
    return json_error(j) ? err_set(err, ERR_PROTO, "broken JSON") : ERR_OK;
}

enum err_code parse_whole(struct str json, const struct parse_shape *shape, struct arena *a,
                          void *target, struct err *err)
{
    struct json j;
    json_init(&j, json);
    return parse_object(&j, shape, a, target, err);
}

/* Elements of an array or members of an object; 0 for anything else. */
size_t parse_count(struct str json, size_t max)
{
    struct json j;
    struct str key;
    size_t n = 0;
    json_init(&j, json);
    if (json_peek(&j) == JSON_OBJECT) {
        (void)json_enter_object(&j);
        while (n < max && json_next_key(&j, &key)) {
            n++;
        }
    } else if (json_enter_array(&j)) {
        while (n < max && json_next_elem(&j)) {
            n++;
        }
    }
    return n;
}

/* The data of an answer that has a v_voucher and nothing else. */
static bool is_voucher(struct str data)
{
    struct json j;
    struct str key;
    bool found = false;
    json_init(&j, data);
    if (!json_enter_object(&j)) {
        return false;
    }
    while (json_next_key(&j, &key)) {
        if (!str_eq(key, STR("v_voucher"))) {
            return false;
        }
        found = true;
    }
    return found && !json_error(&j);
}

/* A message of upstream's may stand in our log: one line of plain text. */
static void clean_message(struct str raw, struct answer *ret)
{
    struct str msg = json_unescape(raw, ret->message, sizeof ret->message - 1);
    for (size_t i = 0; i < msg.len; i++) {
        if ((unsigned char)ret->message[i] < ' ') {
            ret->message[i] = ' ';
        }
    }
    ret->message[msg.len] = '\0';
}

enum err_code parse_answer(struct str body, struct answer *ret, struct err *err)
{
    struct json j;
    struct str key;
    struct str raw;
    struct answer a = {.data = STR("null")};
    bool has_code = false;
    json_init(&j, body);
    if (!json_enter_object(&j)) {
        return err_set(err, ERR_PROTO, "the answer is no JSON object");
    }
    while (json_next_key(&j, &key)) {
        if (str_eq(key, STR("code"))) {
            has_code = json_int(&j, &a.code) || has_code;
        } else if (str_eq(key, STR("message")) ||
                   (a.message[0] == '\0' && str_eq(key, STR("msg")))) {
            if (json_str_raw(&j, &raw)) {
                clean_message(raw, &a);
            }
        } else if (str_eq(key, STR("data"))) {
            (void)json_raw(&j, &a.data);
        }
    }
    if (json_error(&j) || !json_at_end(&j) || !has_code) {
        return err_set(err, ERR_PROTO, has_code ? "broken JSON" : "the answer has no code");
    }
    a.voucher = is_voucher(a.data);
    *ret = a;
    return ERR_OK;
}

/* ---- hosts ---- */

struct raw_host {
    struct str host;
    int64_t tcp, ws, wss;
};
static const struct parse_field host_fields[] = {
    {"host", PARSE_TEXT, offsetof(struct raw_host, host)},
    {"port", PARSE_I64, offsetof(struct raw_host, tcp)},
    {"ws_port", PARSE_I64, offsetof(struct raw_host, ws)},
    {"wss_port", PARSE_I64, offsetof(struct raw_host, wss)},
};
static const struct parse_shape host_shape = {host_fields, ARRAY_LEN(host_fields)};

static uint16_t port_of(int64_t n)
{
    return n > 0 && n <= PORT_MAX ? (uint16_t)n : 0;
}

/* A name or an address; a host goes into a log line and a resolver, so nothing else. */
static bool host_ok(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        const char c = host.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == ':' || c == '_')) {
            return false;
        }
    }
    return host.len > 0 && host.len <= 253;
}

static bool has_host(const struct upstream_host *hosts, size_t n, const struct upstream_host *h)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(hosts[i].host, h->host) && hosts[i].tcp == h->tcp && hosts[i].ws == h->ws &&
            hosts[i].wss == h->wss) {
            return true;
        }
    }
    return false;
}

static enum err_code parse_hosts(struct str list, struct arena *a, struct upstream_danmu *ret,
                                 struct err *err)
{
    struct json j;
    struct upstream_host *hosts = arena_alloc(a, sizeof *hosts * UPSTREAM_HOSTS_MAX);
    size_t n = 0;
    if (!hosts) {
        return err_set(err, ERR_NOMEM, "no memory for the hosts");
    }
    json_init(&j, list);
    if (!json_enter_array(&j)) {
        return err_set(err, ERR_PROTO, "no list of hosts");
    }
    while (n < UPSTREAM_HOSTS_MAX && json_next_elem(&j)) {
        struct raw_host raw = {.tcp = 0};
        if (json_peek(&j) != JSON_OBJECT) {
            continue;
        }
        const enum err_code rc = parse_object(&j, &host_shape, a, &raw, err);
        if (rc != ERR_OK) {
            return rc;
        }
        const struct upstream_host h = {raw.host, port_of(raw.tcp), port_of(raw.ws),
                                        port_of(raw.wss)};
        if (host_ok(h.host) && (h.tcp || h.ws || h.wss) && !has_host(hosts, n, &h)) {
            hosts[n++] = h;
        }
    }
    ret->hosts = hosts;
    ret->n_hosts = n;
    return n > 0 ? ERR_OK : err_set(err, ERR_PROTO, "no host in the answer");
}

struct raw_danmu {
    struct str token, host_list, host_server_list;
};
static const struct parse_field danmu_fields[] = {
    {"token", PARSE_LONG_TEXT, offsetof(struct raw_danmu, token)},
    {"host_list", PARSE_RAW, offsetof(struct raw_danmu, host_list)},
    {"host_server_list", PARSE_RAW, offsetof(struct raw_danmu, host_server_list)},
};
static const struct parse_shape danmu_shape = {danmu_fields, ARRAY_LEN(danmu_fields)};

enum err_code parse_danmu(struct str data, struct arena *a, struct upstream_danmu *ret,
                          struct err *err)
{
    struct raw_danmu raw = {STR_NULL, STR_NULL, STR_NULL};
    struct upstream_danmu info = {.n_hosts = 0};
    enum err_code rc = parse_whole(data, &danmu_shape, a, &raw, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (raw.token.len == 0) {
        return err_set(err, ERR_PROTO, "no token in the answer");
    }
    info.token = raw.token;
    rc = parse_hosts(raw.host_list.len > 0 ? raw.host_list : raw.host_server_list, a, &info, err);
    if (rc == ERR_OK) {
        *ret = info;
    }
    return rc;
}

/* ---- identity ---- */

struct raw_nav {
    bool is_login;
    int64_t mid;
    struct str wbi_img;
};
static const struct parse_field nav_fields[] = {
    {"isLogin", PARSE_BOOL, offsetof(struct raw_nav, is_login)},
    {"mid", PARSE_I64, offsetof(struct raw_nav, mid)},
    {"wbi_img", PARSE_RAW, offsetof(struct raw_nav, wbi_img)},
};
static const struct parse_shape nav_shape = {nav_fields, ARRAY_LEN(nav_fields)};
static const struct parse_field img_fields[] = {
    {"img_url", PARSE_TEXT, offsetof(struct nav, img_url)},
    {"sub_url", PARSE_TEXT, offsetof(struct nav, sub_url)},
};
static const struct parse_shape img_shape = {img_fields, ARRAY_LEN(img_fields)};

enum err_code parse_nav(struct str data, struct arena *a, struct nav *ret, struct err *err)
{
    struct raw_nav raw = {.mid = 0};
    struct nav nav = {.uid = 0};
    enum err_code rc = parse_whole(data, &nav_shape, a, &raw, err);
    if (rc == ERR_OK && raw.wbi_img.len > 0) {
        rc = parse_whole(raw.wbi_img, &img_shape, a, &nav, err);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    if (nav.img_url.len == 0 || nav.sub_url.len == 0) {
        return err_set(err, ERR_PROTO, "no key in the answer");
    }
    nav.is_login = raw.is_login && raw.mid > 0;
    nav.uid = nav.is_login ? raw.mid : 0;
    *ret = nav;
    return ERR_OK;
}

bool buvid_ok(struct str text_in)
{
    for (size_t i = 0; i < text_in.len; i++) {
        const char c = text_in.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-')) {
            return false;
        }
    }
    return text_in.len >= BUVID_MIN && text_in.len <= BUVID_MAX;
}

struct raw_buvid {
    struct str b_3, buvid;
};
static const struct parse_field buvid_fields[] = {
    {"b_3", PARSE_TEXT, offsetof(struct raw_buvid, b_3)},
    {"buvid", PARSE_TEXT, offsetof(struct raw_buvid, buvid)},
};
static const struct parse_shape buvid_shape = {buvid_fields, ARRAY_LEN(buvid_fields)};

enum err_code parse_buvid(struct str data, struct arena *a, struct str *ret, struct err *err)
{
    struct raw_buvid raw = {STR_NULL, STR_NULL};
    const enum err_code rc = parse_whole(data, &buvid_shape, a, &raw, err);
    if (rc != ERR_OK) {
        return rc;
    }
    const struct str id = raw.b_3.len > 0 ? raw.b_3 : raw.buvid;
    if (!buvid_ok(id)) {
        return err_set(err, ERR_PROTO, "no device id in the answer");
    }
    *ret = id;
    return ERR_OK;
}
