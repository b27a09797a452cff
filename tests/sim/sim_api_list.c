/* Many rooms: the lists, their areas, the status of a batch. */
#include "tests/sim/sim_api_priv.h"

#include <stdio.h>

#include "server/core/json_read.h"
#include "server/core/mem.h"

enum { PAGE_MAX = 99, PAGES_MAX = 500, UIDS_MAX = 200 };

static void put_watched(struct json_out *w, const struct sim_room *r)
{
    char text[64];

    jw_key(w, STR("watched_show"));
    jw_object(w);
    jw_kbool(w, "switch", true);
    jw_ki64(w, "num", r->gen.watched);
    (void)snprintf(text, sizeof(text), "%lld", (long long)r->gen.watched);
    sim_put_str(w, "text_small", text);
    (void)snprintf(text, sizeof(text), "%lld人看过", (long long)r->gen.watched);
    sim_put_str(w, "text_large", text);
    sim_put_str(w, "icon", "");
    jw_ki64(w, "icon_location", 0);
    sim_put_str(w, "icon_web", "");
    jw_object_end(w);
}

static void put_area_v2(struct json_out *w, const struct sim_room *r)
{
    jw_ki64(w, "area_v2_id", r->life.area->id);
    sim_put_str(w, "area_v2_name", r->life.area->name);
    jw_ki64(w, "area_v2_parent_id", r->life.area->parent_id);
    sim_put_str(w, "area_v2_parent_name", r->life.area->parent_name);
}

static void put_listed(struct json_out *w, const struct sim_room *r)
{
    char link[32];

    (void)snprintf(link, sizeof(link), "/%lld", (long long)r->id);
    jw_object(w);
    jw_ki64(w, "roomid", r->id);
    jw_ki64(w, "uid", r->gen.anchor.uid);
    jw_kstr(w, "title", (struct str){r->life.title, r->life.title_len});
    jw_kstr(w, "uname", (struct str){r->gen.anchor.name, r->gen.anchor.name_len});
    jw_ki64(w, "online", sim_life_popularity(r, loop_wall_ms(r->server->loop)));
    sim_put_str(w, "user_cover", "");
    sim_put_str(w, "system_cover", "");
    sim_put_str(w, "cover", "");
    sim_put_str(w, "link", link);
    sim_put_str(w, "face", "");
    jw_ki64(w, "parent_id", r->life.area->parent_id);
    sim_put_str(w, "parent_name", r->life.area->parent_name);
    jw_ki64(w, "area_id", r->life.area->id);
    sim_put_str(w, "area_name", r->life.area->name);
    put_area_v2(w, r);
    jw_key(w, STR("pendant_info"));
    jw_object(w);
    jw_object_end(w);
    jw_key(w, STR("verify"));
    jw_object(w);
    jw_ki64(w, "role", 0);
    sim_put_str(w, "desc", "");
    jw_ki64(w, "type", -1);
    jw_object_end(w);
    sim_put_str(w, "session_id", "simulated");
    jw_ki64(w, "group_id", 0);
    put_watched(w, r);
    jw_object_end(w);
}

static void put_empty_array(struct json_out *w, const char *key)
{
    jw_key(w, str_of(key));
    jw_array(w);
    jw_array_end(w);
}

void sim_api_room_list(struct sim_server *s, struct sim_call *c)
{
    int64_t page = sim_call_int(c, "page", 1);
    int64_t size = sim_call_int(c, "page_size", 30);
    int64_t area = sim_call_int(c, "area_id", 0);
    int64_t parent = sim_call_int(c, "parent_area_id", 0);
    const struct sim_room **all;
    struct json_out w;
    size_t n;

    if (page < 1 || page > PAGES_MAX || size < 1 || size > PAGE_MAX) {
        sim_api_error(c, -400);
        return;
    }
    all = mem_new_array(const struct sim_room *, s->n_rooms + 1);
    n = sim_life_list(s, parent, area, all, s->n_rooms, loop_wall_ms(s->loop));
    sim_ok_begin(&w, c, "success");
    jw_object(&w);
    put_empty_array(&w, "banner");
    put_empty_array(&w, "tags");
    put_empty_array(&w, "new_tags");
    jw_ki64(&w, "count", (int64_t)n);
    jw_key(&w, STR("list"));
    jw_array(&w);
    for (int64_t i = (page - 1) * size; i < page * size && i < (int64_t)n; i++) {
        put_listed(&w, all[i]);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    sim_ok_end(&w);
    mem_free(all);
}

/* The page that recommends: signed, it is a list; unsigned, risk control answers with a voucher and nothing else. */
void sim_api_more(struct sim_server *s, struct sim_call *c)
{
    const struct sim_room *some[10];
    struct json_out w;
    size_t n;

    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    if (!sim_call_signed(s, c)) {
        sim_put_str(&w, "v_voucher", "voucher_simulated");
    } else {
        n = sim_life_list(s, 0, 0, some, ARRAY_LEN(some), loop_wall_ms(s->loop));
        jw_key(&w, STR("recommend_room_list"));
        jw_array(&w);
        for (size_t i = 0; i < n && i < ARRAY_LEN(some); i++) {
            put_listed(&w, some[i]);
        }
        jw_array_end(&w);
    }
    jw_object_end(&w);
    sim_ok_end(&w);
}

/* --- areas --- */

static void put_text_id(struct json_out *w, const char *key, int64_t id)
{
    jw_key(w, str_of(key));
    jw_i64_str(w, id);
}

/* One area; the old API's ids are strings. */
static void put_area(struct json_out *w, const struct sim_area *a)
{
    jw_object(w);
    put_text_id(w, "id", a->id);
    put_text_id(w, "parent_id", a->parent_id);
    sim_put_str(w, "old_area_id", "4");
    sim_put_str(w, "name", a->name);
    sim_put_str(w, "act_id", "0");
    sim_put_str(w, "pk_status", "0");
    jw_ki64(w, "hot_status", 1);
    sim_put_str(w, "lock_status", "0");
    sim_put_str(w, "pic", "");
    sim_put_str(w, "parent_name", a->parent_name);
    jw_ki64(w, "area_type", 0);
    jw_object_end(w);
}

static bool parent_before(const struct sim_area *areas, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (areas[k].parent_id == areas[i].parent_id) {
            return true;
        }
    }
    return false;
}

static void put_areas(struct json_out *w)
{
    size_t n;
    const struct sim_area *areas = sim_words_areas(&n);

    jw_array(w);
    for (size_t i = 0; i < n; i++) {
        if (parent_before(areas, i)) {
            continue;
        }
        jw_object(w);
        jw_ki64(w, "id", areas[i].parent_id);
        sim_put_str(w, "name", areas[i].parent_name);
        jw_key(w, STR("list"));
        jw_array(w);
        for (size_t k = i; k < n; k++) {
            if (areas[k].parent_id == areas[i].parent_id) {
                put_area(w, &areas[k]);
            }
        }
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

void sim_api_areas(struct sim_server *s, struct sim_call *c)
{
    struct json_out w;

    (void)s;
    sim_ok_begin(&w, c, "success");
    put_areas(&w);
    sim_ok_end(&w);
}

void sim_api_web_areas(struct sim_server *s, struct sim_call *c)
{
    struct json_out w;

    (void)s;
    sim_ok_begin(&w, c, NULL);
    jw_object(&w);
    jw_key(&w, STR("data"));
    put_areas(&w);
    jw_object_end(&w);
    sim_ok_end(&w);
}

/* --- status --- */

static size_t uids_of_body(struct str body, int64_t out[static UIDS_MAX])
{
    struct json j;
    struct str key;
    size_t n = 0;

    json_init(&j, body);
    if (!json_enter_object(&j)) {
        return 0;
    }
    while (json_next_key(&j, &key)) {
        if (!str_eq(key, STR("uids")) || !json_enter_array(&j)) {
            continue;
        }
        while (json_next_elem(&j)) {
            int64_t uid;

            if (json_int(&j, &uid) && n < UIDS_MAX) {
                out[n++] = uid;
            }
        }
    }
    return n;
}

static size_t uids_of(const struct sim_call *c, int64_t out[static UIDS_MAX])
{
    size_t n = uids_of_body(c->body, out);

    for (size_t i = 0; i < c->n_args && n < UIDS_MAX; i++) {
        bool is_uid = str_eq(c->args[i].key, STR("uids[]")) || str_eq(c->args[i].key, STR("uids"));

        n += is_uid && str_to_i64(c->args[i].value, &out[n]);
    }
    return n;
}

static void put_status(struct json_out *w, const struct sim_room *r)
{
    char key[24];

    (void)snprintf(key, sizeof(key), "%lld", (long long)r->gen.anchor.uid);
    jw_key(w, str_of(key));
    jw_object(w);
    jw_kstr(w, "title", (struct str){r->life.title, r->life.title_len});
    jw_ki64(w, "room_id", r->id);
    jw_ki64(w, "uid", r->gen.anchor.uid);
    jw_ki64(w, "online", sim_life_popularity(r, loop_wall_ms(r->server->loop)));
    jw_ki64(w, "live_time", r->gen.live ? r->gen.live_time : 0);
    jw_ki64(w, "live_status", sim_life_status(r));
    jw_ki64(w, "short_id", r->life.short_id);
    jw_ki64(w, "area", 6);
    sim_put_str(w, "area_name", "生活娱乐");
    put_area_v2(w, r);
    jw_kstr(w, "uname", (struct str){r->gen.anchor.name, r->gen.anchor.name_len});
    sim_put_str(w, "face", "");
    sim_put_str(w, "tag_name", "日常");
    sim_put_str(w, "tags", "");
    sim_put_str(w, "cover_from_user", "");
    sim_put_str(w, "keyframe", "");
    sim_put_str(w, "lock_till", "0000-00-00 00:00:00");
    sim_put_str(w, "hidden_till", "0000-00-00 00:00:00");
    jw_ki64(w, "broadcast_type", 0);
    jw_object_end(w);
}

/* Keyed by uid; who has no room is left out, and when nobody is left it is an array. */
void sim_api_status(struct sim_server *s, struct sim_call *c)
{
    int64_t uids[UIDS_MAX];
    const struct sim_room *rooms[UIDS_MAX];
    size_t n_uids = uids_of(c, uids);
    bool live_only = sim_call_int(c, "filter_offline", 0) == 1;
    struct json_out w;
    size_t n = 0;

    for (size_t i = 0; i < n_uids; i++) {
        const struct sim_room *r = sim_life_by_uid(s, uids[i]);

        if (r && (!live_only || r->gen.live)) {
            rooms[n++] = r;
        }
    }
    sim_ok_begin(&w, c, "success");
    if (n == 0) {
        jw_array(&w);
        jw_array_end(&w);
    } else {
        jw_object(&w);
        for (size_t i = 0; i < n; i++) {
            put_status(&w, rooms[i]);
        }
        jw_object_end(&w);
    }
    sim_ok_end(&w);
}
