/* Who we are: the device id (kept on disk), the key of the day, an optional login. Each is asked for when somebody
 * needs it, once for all who wait. */
#include "collector/upstream/upstream_priv.h"

#include <sys/stat.h>

#include "collector/upstream/keep_file.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

enum { BUVID_FILE_MAX = 256 };

static const struct str buvid_key = {"buvid3", sizeof("buvid3") - 1};

/* A device id that came with the account's cookies goes with them. */
struct str identity_buvid(const struct upstream *u)
{
    const struct str own = u->id.login_dropped ? STR_NULL : cookies_get(&u->id.cookies, buvid_key);
    return buvid_ok(own) ? own : str_of(u->id.buvid);
}

static bool login_in_use(const struct upstream *u)
{
    return cookies_has_login(&u->id.cookies) && !u->id.login_dropped;
}

bool identity_has(struct upstream *u, enum upstream_need what)
{
    switch (what) {
    case NEED_BUVID:
        return identity_buvid(u).len > 0 && !u->id.buvid_stale;
    case NEED_NAV:
        return u->id.key_until_ms > loop_now_ms(u->loop);
    }
    UNREACHABLE();
}

void identity_cookie(const struct upstream *u, struct buf *out)
{
    const struct str id = identity_buvid(u);
    if (id.len > 0) {
        buf_put(out, buvid_key);
        buf_put_c(out, '=');
        buf_put(out, id);
    }
    if (!u->id.login_dropped) {
        cookies_write(&u->id.cookies, buvid_key, out);
    }
    if (!buf_ok(out)) {
        buf_clear(out); /* UNTESTED: the file's limits keep it shorter */
    }
}

/* ---- the device id on disk ---- */

bool upstream_saves(const struct upstream *u)
{
    return u->id.saving != NULL;
}

/* A write under way; it outlives an upstream that closes, which must not wait for a disk that does not answer. */
struct id_save {
    struct upstream *up; /* borrowed; NULL: closed */
};

static void save(struct upstream *u);

static void on_saved(void *ctx, enum err_code code, const struct err *err)
{
    struct id_save *s = ctx;
    struct upstream *u = s->up;
    mem_free(s);
    if (!u) {
        return;
    }
    u->id.saving = NULL;
    if (code != ERR_OK && !u->closing) {
        LOG(WARN, "upstream", "the device id cannot be kept: the next start asks for a new one",
            KV_CSTR("file", u->buvid_file), KV_CSTR("err", err->msg));
    }
    if (u->id.save_again && !u->closing) {
        save(u);
    }
}

static void save(struct upstream *u)
{
    u->id.save_again = u->id.saving != NULL;
    if (u->buvid_file && !u->id.saving) {
        u->id.saving = mem_new(struct id_save);
        u->id.saving->up = u;
        keep_file_write(u->loop, u->buvid_file, str_of(u->id.buvid), on_saved, u->id.saving);
    }
}

static void load_buvid(struct upstream *u)
{
    struct buf text;
    struct err err;
    if (!u->buvid_file) {
        return;
    }
    const enum err_code rc = keep_file_read(u->buvid_file, BUVID_FILE_MAX, &text, &err);
    if (rc == ERR_NOT_FOUND) {
        return;
    }
    if (rc != ERR_OK) {
        LOG(WARN, "upstream", "the device id cannot be read, a new one is asked for",
            KV_CSTR("file", u->buvid_file), KV_CSTR("err", err.msg));
        return;
    }
    const struct str id = str_trim(buf_str(&text));
    if (buvid_ok(id)) {
        u->id.buvid = mem_dup(id.ptr, id.len);
    } else {
        LOG(WARN, "upstream", "the file holds no device id, a new one is asked for",
            KV_CSTR("file", u->buvid_file));
    }
    buf_deinit(&text);
}

/* ---- asking for a device id: two APIs, then the cookie of the site itself ---- */

static void ask_buvid(struct upstream *u, enum upstream_api api);

static void take_buvid(struct upstream *u, struct str id)
{
    mem_free(u->id.buvid);
    u->id.buvid = mem_new_array(char, id.len + 1);
    memcpy(u->id.buvid, id.ptr, id.len);
    u->id.buvid_stale = false;
    u->id.generation++;
    u->id.asking_buvid = false;
    save(u);
    requests_identity(u, NEED_BUVID, NULL);
}

static enum err_code buvid_of(const struct request_result *result, struct arena *a, struct str *ret,
                              struct err *err)
{
    if (result->code != ERR_OK) {
        *err = *result->err;
        return err->code;
    }
    if (result->buvid.len == 0) {
        return parse_buvid(result->answer->data, a, ret, err);
    }
    *ret = result->buvid;
    return buvid_ok(*ret) ? ERR_OK : err_set(err, ERR_PROTO, "the site's cookie is no device id");
}

static void buvid_done(struct upstream *u, enum upstream_api api,
                       const struct request_result *result)
{
    struct arena a;
    struct str id;
    struct err err;
    arena_init(&a, PARSE_ARENA_MAX);
    const enum err_code rc = buvid_of(result, &a, &id, &err);
    if (rc == ERR_OK) {
        take_buvid(u, id);
    } else if (u->closing || rc == ERR_FORBIDDEN || api == API_SITE) {
        err.code = rc == ERR_FORBIDDEN || rc == ERR_CANCELED ? rc : ERR_UNAVAILABLE;
        err_wrap(&err, "no device id");
        u->id.asking_buvid = false;
        requests_identity(u, NEED_BUVID, &err);
    } else {
        ask_buvid(u, api == API_SPI && rc == ERR_PROTO ? API_BUVID : API_SITE);
    }
    arena_deinit(&a);
}

static void on_spi(void *ctx, const struct request_result *result)
{
    buvid_done(ctx, API_SPI, result);
}

static void on_getbuvid(void *ctx, const struct request_result *result)
{
    buvid_done(ctx, API_BUVID, result);
}

static void on_site(void *ctx, const struct request_result *result)
{
    buvid_done(ctx, API_SITE, result);
}

static void ask_buvid(struct upstream *u, enum upstream_api api)
{
    request_fn *const done = api == API_SPI ? on_spi : api == API_BUVID ? on_getbuvid : on_site;
    u->id.asking_buvid = true;
    request_new_internal(u, api, done, u);
}

/* ---- key and login, by one question ---- */

static void login_expired(struct upstream *u)
{
    u->id.login_dropped = true;
    u->id.uid = 0;
    u->id.generation++;
    if (!u->id.login_told) {
        u->id.login_told = true;
        LOG(WARN, "upstream",
            "upstream does not take the login of cookie_file (expired?), going on without it: log "
            "in with a browser, save its cookies there again, then send SIGHUP",
            KV_CSTR("file", u->cookie_file));
    }
}

static enum err_code take_nav(struct upstream *u, const struct request_result *result,
                              struct err *err)
{
    struct arena a;
    struct nav nav;
    if (result->code != ERR_OK) {
        *err = *result->err;
        return err->code;
    }
    arena_init(&a, PARSE_ARENA_MAX);
    enum err_code rc = parse_nav(result->answer->data, &a, &nav, err);
    if (rc == ERR_OK) {
        rc = wbi_key_make(nav.img_url, nav.sub_url, &u->id.key, err);
    }
    if (rc == ERR_OK) {
        u->id.key_until_ms = loop_now_ms(u->loop) + KEYS_TTL_MS;
        u->id.generation++;
        if (login_in_use(u) && !nav.is_login) {
            login_expired(u);
        } else if (login_in_use(u)) {
            if (u->id.uid != nav.uid) {
                LOG(INFO, "upstream", "logged in", KV_I64("uid", nav.uid));
            }
            u->id.uid = nav.uid;
        }
    }
    arena_deinit(&a);
    return rc;
}

static void on_nav(void *ctx, const struct request_result *result)
{
    struct upstream *u = ctx;
    struct err err;
    if (u->id
            .nav_stale) { /* once per reload: what comes then, an error too, is of the new cookies */
        u->id.nav_stale = false;
        request_new_internal(u, API_NAV, on_nav, u);
        return;
    }
    const enum err_code rc = take_nav(u, result, &err);
    u->id.asking_nav = false;
    if (rc != ERR_OK) {
        err.code = rc == ERR_FORBIDDEN || rc == ERR_CANCELED ? rc : ERR_UNAVAILABLE;
        err_wrap(&err, "no key to sign with");
    }
    requests_identity(u, NEED_NAV, rc == ERR_OK ? NULL : &err);
}

void identity_ask(struct upstream *u, enum upstream_need what)
{
    if (what == NEED_BUVID && !u->id.asking_buvid) {
        ask_buvid(u, API_SPI);
    } else if (what == NEED_NAV && !u->id.asking_nav) {
        u->id.asking_nav = true;
        request_new_internal(u, API_NAV, on_nav, u);
    }
}

void identity_drop_key(struct upstream *u)
{
    u->id.key_until_ms = 0;
    u->id.generation++;
}

void identity_refresh(struct upstream *u)
{
    identity_drop_key(u);
    /* One of the account's own cookies is not ours to replace. */
    u->id.buvid_stale = str_eq(identity_buvid(u), str_of(u->id.buvid));
}

bool identity_drop_login(struct upstream *u)
{
    if (!login_in_use(u)) {
        return false;
    }
    login_expired(u);
    return true;
}

/* ---- the account's cookies ---- */

static void warn_if_open(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRGRP | S_IROTH)) != 0) {
        LOG(WARN, "upstream", "others can read the login in cookie_file: chmod 600 it",
            KV_CSTR("file", path));
    }
}

void identity_load_cookies(struct upstream *u)
{
    struct cookies fresh = {.n = 0};
    struct buf text;
    struct err err;
    u->id.login_dropped = false;
    u->id.login_told = false;
    u->id.uid = 0;
    u->id.key_until_ms = 0; /* who we are is asked again with the key */
    u->id.nav_stale = u->id.asking_nav;
    u->id.generation++;
    if (u->cookie_file[0] == '\0') {
        cookies_deinit(&u->id.cookies);
        return;
    }
    enum err_code rc = keep_file_read(u->cookie_file, COOKIES_TEXT_MAX, &text, &err);
    if (rc == ERR_OK) {
        rc = cookies_parse(buf_str(&text), &fresh, &err);
        buf_deinit(&text);
    }
    if (rc == ERR_OK && !cookies_has_login(&fresh)) {
        rc = err_set(&err, ERR_INVALID, "it has no SESSDATA");
    }
    if (rc != ERR_OK) {
        u->id.login_dropped = true;
        u->id.login_told = true;
        LOG(WARN, "upstream",
            "cookie_file cannot be used, going on without a login: mend it, then send SIGHUP",
            KV_CSTR("file", u->cookie_file), KV_CSTR("err", err.msg));
    } else {
        warn_if_open(u->cookie_file);
    }
    cookies_deinit(&u->id.cookies);
    u->id.cookies = fresh;
}

void identity_open(struct upstream *u)
{
    load_buvid(u);
    identity_load_cookies(u);
}

void identity_close(struct upstream *u)
{
    if (u->id.saving) {
        u->id.saving->up = NULL;
    }
    mem_free(u->id.buvid);
    cookies_deinit(&u->id.cookies);
}
