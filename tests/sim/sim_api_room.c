/* One room, asked for by its real or its short id, or by its anchor. */
#include "tests/sim/sim_api_priv.h"

#include <stdio.h>

enum { FACE_BYTES = 96 };

static struct str anchor_name(const struct sim_room *r)
{
    return (struct str){r->gen.anchor.name, r->gen.anchor.name_len};
}

static struct str title(const struct sim_room *r)
{
    return (struct str){r->life.title, r->life.title_len};
}

static int64_t live_since_s(const struct sim_room *r)
{
    return r->gen.live ? r->gen.live_time : 0;
}

static int64_t popularity(const struct sim_room *r)
{
    return sim_life_popularity(r, loop_wall_ms(r->server->loop));
}

static void put_area(struct json_out *w, const struct sim_room *r)
{
    jw_ki64(w, "area_id", r->life.area->id);
    sim_put_str(w, "area_name", r->life.area->name);
    jw_ki64(w, "parent_area_id", r->life.area->parent_id);
    sim_put_str(w, "parent_area_name", r->life.area->parent_name);
}

static void put_ids(struct json_out *w, const struct sim_room *r)
{
    jw_ki64(w, "room_id", r->id);
    jw_ki64(w, "short_id", r->life.short_id);
    jw_ki64(w, "uid", r->gen.anchor.uid);
}

static void put_face(struct json_out *w, const char *key, const struct sim_room *r)
{
    char url[FACE_BYTES];

    (void)snprintf(url, sizeof(url), "https://i0.hdslb.com/bfs/face/%040llx.jpg",
                   (unsigned long long)r->gen.anchor.uid);
    sim_put_str(w, key, url);
}

void sim_api_get_info(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "room_id", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, "ok");
    jw_object(&w);
    put_ids(&w, r);
    jw_ki64(&w, "attention", r->gen.fans);
    jw_ki64(&w, "online", popularity(r));
    jw_kbool(&w, "is_portrait", false);
    sim_put_str(&w, "description", "");
    jw_ki64(&w, "live_status", sim_life_status(r));
    put_area(&w, r);
    jw_ki64(&w, "old_area_id", 6);
    sim_put_str(&w, "background", "");
    jw_kstr(&w, "title", title(r));
    sim_put_str(&w, "user_cover", "https://i0.hdslb.com/bfs/live/new_room_cover/cover.jpg");
    sim_put_str(&w, "keyframe", "");
    jw_kbool(&w, "is_strict_room", false);
    sim_put_time(&w, "live_time", live_since_s(r));
    sim_put_str(&w, "tags", "");
    jw_ki64(&w, "is_anchor", 0);
    sim_put_str(&w, "room_silent_type", "");
    jw_ki64(&w, "room_silent_level", 1);
    jw_ki64(&w, "room_silent_second", 0);
    jw_ki64(&w, "pk_status", 0);
    sim_put_str(&w, "verify", "");
    jw_object_end(&w);
    sim_ok_end(&w);
}

/* What room_init and getRoomPlayInfo have in common. */
static void put_init(struct json_out *w, const struct sim_room *r)
{
    int64_t since = live_since_s(r);

    put_ids(w, r);
    jw_kbool(w, "is_hidden", false);
    jw_kbool(w, "is_locked", false);
    jw_kbool(w, "is_portrait", false);
    jw_ki64(w, "live_status", sim_life_status(r));
    jw_ki64(w, "hidden_till", 0);
    jw_ki64(w, "lock_till", 0);
    jw_kbool(w, "encrypted", false);
    jw_kbool(w, "pwd_verified", false);
    /* Both forms of "not live" are seen. */
    jw_ki64(w, "live_time", since > 0 ? since : r->id % 2 ? 0 : INT64_C(-62170012800));
    jw_ki64(w, "room_shield", 1);
}

void sim_api_room_init(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "id", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 60004);
        return;
    }
    sim_ok_begin(&w, c, "ok");
    jw_object(&w);
    put_init(&w, r);
    jw_ki64(&w, "need_p2p", 0);
    jw_ki64(&w, "is_sp", 0);
    jw_ki64(&w, "special_type", 0);
    jw_object_end(&w);
    sim_ok_end(&w);
}

void sim_api_play_info(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "room_id", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 60004);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    put_init(&w, r);
    jw_key(&w, STR("all_special_types"));
    jw_array(&w);
    jw_array_end(&w);
    jw_key(&w, STR("playurl_info"));
    jw_null(&w);
    jw_object_end(&w);
    sim_ok_end(&w);
}

static void put_base(struct json_out *w, const struct sim_room *r)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%lld", (long long)r->id);
    jw_key(w, str_of(text)); /* the real id, whatever was asked for */
    jw_object(w);
    put_ids(w, r);
    put_area(w, r);
    jw_ki64(w, "live_status", sim_life_status(r));
    (void)snprintf(text, sizeof(text), "https://live.bilibili.com/%lld", (long long)r->id);
    sim_put_str(w, "live_url", text);
    jw_kstr(w, "title", title(r));
    sim_put_time(w, "live_time", live_since_s(r));
    sim_put_str(w, "description", "");
    sim_put_str(w, "tags", "");
    jw_ki64(w, "attention", r->gen.fans);
    jw_ki64(w, "online", popularity(r));
    jw_kstr(w, "uname", anchor_name(r));
    sim_put_str(w, "cover", "");
    sim_put_str(w, "background", "");
    jw_ki64(w, "join_slide", 1);
    jw_ki64(w, "live_id", r->gen.live ? (int64_t)(sim_mix(3, (uint64_t)r->id) >> 4) : 0);
    (void)snprintf(text, sizeof(text), "%llu",
                   r->gen.live ? (unsigned long long)(sim_mix(3, (uint64_t)r->id) >> 4) : 0ULL);
    sim_put_str(w, "live_id_str", text);
    jw_object_end(w);
}

/* room_ids=1,2,3; those that do not exist are left out. */
void sim_api_base_info(struct sim_server *s, struct sim_call *c)
{
    struct str rest = sim_call_arg(c, "room_ids");
    struct str part;
    struct json_out w;

    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    jw_key(&w, STR("by_uids"));
    jw_object(&w);
    jw_object_end(&w);
    jw_key(&w, STR("by_room_ids"));
    jw_object(&w);
    while (rest.len > 0 && str_split(&rest, ',', &part)) {
        const struct sim_room *r;
        int64_t id;

        if (str_to_i64(part, &id) && (r = sim_life_find(s, id))) {
            put_base(&w, r);
        }
    }
    jw_object_end(&w);
    jw_object_end(&w);
    sim_ok_end(&w);
}

static void put_room_info(struct json_out *w, const struct sim_room *r)
{
    jw_key(w, STR("room_info"));
    jw_object(w);
    put_ids(w, r);
    put_area(w, r);
    jw_kstr(w, "title", title(r));
    jw_ki64(w, "live_status", sim_life_status(r));
    jw_ki64(w, "live_start_time", live_since_s(r));
    jw_ki64(w, "online", popularity(r));
    jw_object_end(w);
    jw_key(w, STR("anchor_info"));
    jw_object(w);
    jw_key(w, STR("base_info"));
    jw_object(w);
    jw_kstr(w, "uname", anchor_name(r));
    put_face(w, "face", r);
    jw_object_end(w);
    jw_object_end(w);
}

void sim_api_h5_info(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "room_id", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    put_room_info(&w, r);
    jw_object_end(&w);
    sim_ok_end(&w);
}

void sim_api_info_by_room(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "room_id", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    put_room_info(&w, r);
    jw_key(&w, STR("watched_show"));
    jw_object(&w);
    jw_ki64(&w, "num", r->gen.watched);
    jw_object_end(&w);
    jw_key(&w, STR("like_info_v3"));
    jw_object(&w);
    jw_ki64(&w, "total_likes", r->gen.likes);
    jw_object_end(&w);
    jw_key(&w, STR("guard_info"));
    jw_object(&w);
    jw_ki64(&w, "count", r->gen.fans / 500);
    jw_object_end(&w);
    jw_object_end(&w);
    sim_ok_end(&w);
}

/* By the anchor's uid; refused without any cookie. */
void sim_api_info_old(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_by_uid(s, sim_call_int(c, "mid", 0));
    struct json_out w;

    if (c->buvid3.len == 0) {
        sim_api_error(c, -412);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    jw_ki64(&w, "roomStatus", r != NULL);
    jw_ki64(&w, "roundStatus", r && sim_life_status(r) == 2);
    jw_ki64(&w, "live_status", r && sim_life_status(r) == 1);
    sim_put_str(&w, "url", "");
    jw_kstr(&w, "title", r ? title(r) : STR(""));
    sim_put_str(&w, "cover", "");
    jw_ki64(&w, "online", r ? popularity(r) : 0);
    jw_ki64(&w, "roomid", r ? r->id : 0);
    jw_ki64(&w, "broadcast_type", 0);
    jw_ki64(&w, "online_hidden", 0);
    jw_object_end(&w);
    sim_ok_end(&w);
}

void sim_api_id_by_uid(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_by_uid(s, sim_call_int(c, "uid", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 404);
        return;
    }
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    jw_ki64(&w, "room_id", r->id);
    jw_object_end(&w);
    sim_ok_end(&w);
}

static void put_info(struct json_out *w, const struct sim_room *r)
{
    jw_key(w, STR("info"));
    jw_object(w);
    jw_ki64(w, "uid", r->gen.anchor.uid);
    jw_kstr(w, "uname", anchor_name(r));
    put_face(w, "face", r);
    jw_ki64(w, "gender", -1);
    jw_object_end(w);
}

void sim_api_master(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_by_uid(s, sim_call_int(c, "uid", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, "");
    jw_object(&w);
    put_info(&w, r);
    jw_ki64(&w, "follower_num", r->gen.fans);
    jw_ki64(&w, "room_id", r->id);
    sim_put_str(&w, "medal_name", r->gen.anchor.medal);
    jw_object_end(&w);
    sim_ok_end(&w);
}

void sim_api_anchor(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *r = sim_life_find(s, sim_call_int(c, "roomid", 0));
    struct json_out w;

    if (!r) {
        sim_api_error(c, 1);
        return;
    }
    sim_ok_begin(&w, c, "success");
    jw_object(&w);
    put_info(&w, r);
    jw_ki64(&w, "san", 12);
    jw_object_end(&w);
    sim_ok_end(&w);
}
