#include "tests/sim/sim_api.h"

#include <stdio.h>

#include "tests/sim/sim_api_priv.h"

static const struct {
    const char *path;
    sim_endpoint_fn *fn;
    bool is_signed; /* -352 without a good signature */
} ENDPOINTS[] = {
    {"/", sim_api_www, false},
    {"/x/web-interface/nav", sim_api_nav, false},
    {"/x/frontend/finger/spi", sim_api_spi, false},
    {"/x/web-frontend/getbuvid", sim_api_getbuvid, false},
    {"/xlive/web-room/v1/index/getDanmuInfo", sim_api_danmu_info, true},
    {"/room/v1/Danmu/getConf", sim_api_conf, false},
    {"/room/v1/Room/get_info", sim_api_get_info, false},
    {"/room/v1/Room/room_init", sim_api_room_init, false},
    {"/room/v1/Room/mobileRoomInit", sim_api_room_init, false},
    {"/xlive/web-room/v1/index/getH5InfoByRoom", sim_api_h5_info, false},
    {"/xlive/web-room/v2/index/getRoomPlayInfo", sim_api_play_info, false},
    {"/xlive/web-room/v1/index/getRoomBaseInfo", sim_api_base_info, false},
    {"/xlive/web-room/v1/index/getInfoByRoom", sim_api_info_by_room, true},
    {"/room/v1/Room/getRoomInfoOld", sim_api_info_old, false},
    {"/room/v2/Room/room_id_by_uid", sim_api_id_by_uid, false},
    {"/live_user/v1/Master/info", sim_api_master, false},
    {"/live_user/v1/UserInfo/get_anchor_in_room", sim_api_anchor, false},
    {"/room/v1/Room/get_status_info_by_uids", sim_api_status, false},
    {"/room/v3/area/getRoomList", sim_api_room_list, false},
    {"/room/v1/Area/getList", sim_api_areas, false},
    {"/xlive/web-interface/v1/index/getWebAreaList", sim_api_web_areas, false},
    {"/xlive/web-interface/v1/webMain/getMoreRecList", sim_api_more, false},
};

struct str sim_call_arg(const struct sim_call *c, const char *key)
{
    for (size_t i = 0; i < c->n_args; i++) {
        if (str_eq(c->args[i].key, str_of(key))) {
            return c->args[i].value;
        }
    }
    return STR("");
}

int64_t sim_call_int(const struct sim_call *c, const char *key, int64_t otherwise)
{
    int64_t n;

    return str_to_i64(sim_call_arg(c, key), &n) ? n : otherwise;
}

bool sim_call_signed(const struct sim_server *s, const struct sim_call *c)
{
    return sim_site_signed(s->site, c->args, c->n_args, loop_wall_ms(s->loop));
}

void sim_put_str(struct json_out *w, const char *key, const char *s)
{
    jw_kstr(w, key, str_of(s));
}

void sim_ok_begin(struct json_out *w, struct sim_call *c, const char *old_msg)
{
    jw_init(w, c->out);
    jw_object(w);
    jw_ki64(w, "code", 0);
    if (old_msg) {
        sim_put_str(w, "msg", old_msg);
        sim_put_str(w, "message", old_msg);
    } else {
        sim_put_str(w, "message", "0");
        jw_ki64(w, "ttl", 1);
    }
    jw_key(w, STR("data"));
}

void sim_ok_end(struct json_out *w)
{
    jw_object_end(w);
}

void sim_put_time(struct json_out *w, const char *key, int64_t s)
{
    char text[CLOCK_RFC3339_BYTES] = "0000-00-00 00:00:00";

    if (s > 0) {
        (void)clock_rfc3339((s + 8 * 3600) * 1000, text);
        text[10] = ' ';
        text[19] = '\0';
    }
    sim_put_str(w, key, text);
}

static const char *message_of(int64_t code)
{
    static const struct {
        int64_t code;
        const char *message;
    } all[] = {
        {-101, "账号未登录"},
        {-352, "-352"},
        {-400, "请求错误"},
        {-404, "啥都木有"},
        {-412, "request was banned"},
        {-509, "超出限制"},
        {-799, "请求过于频繁，请稍后再试"},
        {1, "未找到该房间"},
        {404, "直播间不存在"},
        {60004, "直播间不存在"},
        {60009, "分区不存在"},
        {65530, "token error"},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].code == code) {
            return all[i].message;
        }
    }
    return "error";
}

void sim_api_error(struct sim_call *c, int64_t code)
{
    struct json_out w;
    bool old = code > 0;

    buf_clear(c->out);
    c->code = code;
    c->type = "application/json; charset=utf-8";
    jw_init(&w, c->out);
    jw_object(&w);
    jw_ki64(&w, "code", code);
    if (old) {
        sim_put_str(&w, "msg", message_of(code));
    }
    sim_put_str(&w, "message", message_of(code));
    if (old) {
        jw_key(&w, STR("data"));
        jw_array(&w);
        jw_array_end(&w);
    } else {
        jw_ki64(&w, "ttl", 1);
    }
    jw_object_end(&w);
}

void sim_api_html(struct sim_call *c, unsigned status)
{
    buf_clear(c->out);
    c->status = status;
    c->code = 0;
    c->type = "text/html; charset=utf-8";
    buf_printf(c->out,
               "<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%u</h1><p>%s</p>"
               "</body></html>\n",
               status == 412 ? "出错啦! - bilibili.com" : "error", status,
               status == 412 ? "由于触发哔哩哔哩安全风控策略，该次访问请求被拒绝。"
                             : "The server has a problem.");
}

void sim_api_answer(struct sim_server *s, struct sim_call *c)
{
    c->status = 200;
    c->code = 0;
    c->type = "application/json; charset=utf-8";
    for (size_t i = 0; i < ARRAY_LEN(ENDPOINTS); i++) {
        if (!str_eq(c->path, str_of(ENDPOINTS[i].path))) {
            continue;
        }
        if (ENDPOINTS[i].is_signed && !sim_call_signed(s, c)) {
            sim_api_error(c, -352);
        } else {
            ENDPOINTS[i].fn(s, c);
        }
        return;
    }
    c->status = 404;
    c->type = "text/plain; charset=utf-8";
    buf_put(c->out, STR("404 page not found\n"));
}
