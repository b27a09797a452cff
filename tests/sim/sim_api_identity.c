/* Who asks, and where may they connect: cookies, login, signing keys, tokens and hosts. */
#include "tests/sim/sim_api_priv.h"

#include <stdio.h>

enum { BUVID_BYTES = 64, TOKEN_BYTES = 512, HOSTS_BYTES = 64 };

/* 8-4-4-4-12 hex digits, five digits, "infoc": a new device each time. */
static void new_buvid(struct sim_server *s, char out[static BUVID_BYTES])
{
    uint64_t a = rng_u64(&s->life_rng);
    uint64_t b = rng_u64(&s->life_rng);

    (void)snprintf(out, BUVID_BYTES, "%08X-%04X-%04X-%04X-%012llX%05uinfoc", (unsigned)a,
                   (unsigned)(a >> 32 & 0xffff), (unsigned)(a >> 48), (unsigned)(b & 0xffff),
                   (unsigned long long)(b >> 16), (unsigned)(a % 100000));
}

void sim_api_www(struct sim_server *s, struct sim_call *c)
{
    char buvid[BUVID_BYTES];

    new_buvid(s, buvid);
    c->type = "text/html; charset=utf-8";
    (void)snprintf(c->set_cookie, sizeof(c->set_cookie), "buvid3=%s; Path=/; Max-Age=31536000",
                   buvid);
    buf_put(c->out,
            STR("<!DOCTYPE html>\n<html><head><title>simulated</title></head><body></body></html>"
                "\n"));
}

void sim_api_spi(struct sim_server *s, struct sim_call *c)
{
    char buvid[BUVID_BYTES];
    char buvid4[BUVID_BYTES * 2];
    struct json_out w;

    new_buvid(s, buvid);
    (void)snprintf(buvid4, sizeof(buvid4), "%.35s%05u-024072309-666onEZSnlHVPjoRp4kDYg==", buvid,
                   (unsigned)rng_below(&s->life_rng, 100000));
    jw_init(&w, c->out);
    jw_object(&w);
    jw_ki64(&w, "code", 0);
    jw_key(&w, STR("data"));
    jw_object(&w);
    sim_put_str(&w, "b_3", buvid);
    sim_put_str(&w, "b_4", buvid4);
    jw_object_end(&w);
    sim_put_str(&w, "message", "ok");
    jw_object_end(&w);
}

void sim_api_getbuvid(struct sim_server *s, struct sim_call *c)
{
    char buvid[BUVID_BYTES];
    struct json_out w;

    new_buvid(s, buvid);
    jw_init(&w, c->out);
    jw_object(&w);
    jw_ki64(&w, "code", 0);
    jw_key(&w, STR("data"));
    jw_object(&w);
    sim_put_str(&w, "buvid", buvid);
    jw_object_end(&w);
    jw_object_end(&w);
}

static void put_wbi_url(struct json_out *w, const char *key, const char *name)
{
    char url[128];

    (void)snprintf(url, sizeof(url), "https://i0.hdslb.com/bfs/wbi/%s.png", name);
    sim_put_str(w, key, url);
}

void sim_api_nav(struct sim_server *s, struct sim_call *c)
{
    const struct sim_account *a = sim_site_account(s->site, c->sessdata);
    char img[SIM_WBI_KEY_BYTES];
    char sub[SIM_WBI_KEY_BYTES];
    struct json_out w;

    sim_site_keys(s->site, img, sub);
    c->code = a ? 0 : -101;
    jw_init(&w, c->out);
    jw_object(&w);
    jw_ki64(&w, "code", c->code);
    sim_put_str(&w, "message", a ? "0" : "账号未登录");
    jw_ki64(&w, "ttl", 1);
    jw_key(&w, STR("data"));
    jw_object(&w);
    jw_kbool(&w, "isLogin", a != NULL);
    if (a) {
        jw_ki64(&w, "mid", a->uid);
        jw_kstr(&w, "uname", a->name);
        sim_put_str(&w, "face", "https://i0.hdslb.com/bfs/face/member/noface.jpg");
    }
    jw_key(&w, STR("wbi_img"));
    jw_object(&w);
    put_wbi_url(&w, "img_url", img);
    put_wbi_url(&w, "sub_url", sub);
    jw_object_end(&w);
    jw_object_end(&w);
    jw_object_end(&w);
}

/* --- hosts --- */

static const struct sim_host *host_of(const struct sim_server *s, enum sim_link_kind kind,
                                      size_t place)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_hosts; i++) {
        n += s->hosts[i].kind == kind;
    }
    for (size_t i = 0, k = 0; n > 0 && i < s->n_hosts; i++) {
        if (s->hosts[i].kind == kind && k++ == place % n) {
            return &s->hosts[i];
        }
    }
    return NULL;
}

static uint16_t port_of(const struct sim_server *s, enum sim_link_kind kind, size_t place)
{
    const struct sim_host *h = host_of(s, kind, place);

    return h ? sim_host_port(h) : 0;
}

/* What clients are to call host number `place`: its address, unless it has a name outside. */
static const char *name_of(const struct sim_server *s, size_t place, char out[static HOSTS_BYTES])
{
    const struct sim_host *h = host_of(s, SIM_LINK_TCP, place);
    const char *name = h ? h->name : "127.0.0.1:0";
    const char *colon = strrchr(name, ':');

    if (s->o->public_host) {
        return s->o->public_host;
    }
    (void)snprintf(out, HOSTS_BYTES, "%.*s", (int)(colon - name), name);
    return str_starts(str_of(out), STR("0.0.0.0")) ? "127.0.0.1" : out;
}

static void put_host(const struct sim_server *s, struct json_out *w, size_t place)
{
    char name[HOSTS_BYTES];

    jw_object(w);
    sim_put_str(w, "host", name_of(s, place, name));
    jw_ki64(w, "port", port_of(s, SIM_LINK_TCP, place));
    jw_ki64(w, "wss_port", port_of(s, SIM_LINK_WSS, place));
    jw_ki64(w, "ws_port", port_of(s, SIM_LINK_WS, place));
    jw_object_end(w);
}

/* One entry per place that some kind of listener has; the first is there twice when there are several, as upstream does. */
static void put_hosts(const struct sim_server *s, struct json_out *w)
{
    size_t n[3] = {s->o->n_listen, s->o->n_ws, s->o->n_wss};
    size_t most = n[0] > n[1] ? n[0] : n[1];

    most = most > n[2] ? most : n[2];
    jw_array(w);
    for (size_t i = 0; i < most; i++) {
        put_host(s, w, i);
        if (i == 0 && most > 1) {
            put_host(s, w, i);
        }
    }
    jw_array_end(w);
}

static void put_token(struct sim_server *s, const struct sim_call *c, struct json_out *w,
                      int64_t room_id)
{
    const struct sim_account *a = sim_site_account(s->site, c->sessdata);
    struct buf token;

    buf_init(&token, TOKEN_BYTES);
    if (s->o->token) {
        buf_put(&token, str_of(s->o->token));
    } else {
        sim_site_token(s->site, room_id, a ? a->uid : 0, c->buvid3, loop_wall_ms(s->loop), &token);
    }
    jw_kstr(w, "token", buf_str(&token));
    buf_deinit(&token);
}

static void put_rates(struct json_out *w)
{
    jw_key(w, STR("refresh_row_factor"));
    jw_double(w, 0.125);
    jw_ki64(w, "refresh_rate", 100);
    jw_ki64(w, "max_delay", 5000);
}

/* Only for devices that upstream knows, and only by the real id: for a short one it gives a token nobody can use. */
void sim_api_danmu_info(struct sim_server *s, struct sim_call *c)
{
    int64_t room_id = sim_call_int(c, "id", 0);
    struct json_out w;

    if (c->buvid3.len == 0) {
        sim_api_error(c, -352);
        return;
    }
    if (room_id <= 0) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    sim_put_str(&w, "group", "live");
    jw_ki64(&w, "business_id", 0);
    put_rates(&w);
    put_token(s, c, &w, room_id);
    jw_key(&w, STR("host_list"));
    put_hosts(s, &w);
    jw_object_end(&w);
    sim_ok_end(&w);
}

void sim_api_conf(struct sim_server *s, struct sim_call *c)
{
    int64_t room_id = sim_call_int(c, "room_id", 0);
    char name[HOSTS_BYTES];
    struct json_out w;

    if (room_id <= 0) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, "ok");
    jw_object(&w);
    put_rates(&w);
    jw_ki64(&w, "port", port_of(s, SIM_LINK_TCP, 0));
    sim_put_str(&w, "host", name_of(s, 0, name));
    jw_key(&w, STR("host_server_list"));
    put_hosts(s, &w);
    jw_key(&w, STR("server_list"));
    jw_array(&w);
    for (size_t i = 0; i < s->o->n_listen; i++) {
        jw_object(&w);
        sim_put_str(&w, "host", name_of(s, i, name));
        jw_ki64(&w, "port", port_of(s, SIM_LINK_TCP, i));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    put_token(s, c, &w, room_id);
    jw_object_end(&w);
    sim_ok_end(&w);
}
