#include "tests/sim/sim_life.h"

#include <math.h>
#include <stdlib.h>

#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/sim/sim_priv.h"

enum { POPULARITY_TOP = 9000000, SHORT_IDS = 900, TITLE_BYTES = 2048 };

static void set_title(struct sim_life *l, struct str title)
{
    struct str cut = utf8_cut(str_trim(title), SIM_TITLE_MAX);

    memcpy(l->title, cut.ptr, cut.len);
    l->title_len = (uint32_t)cut.len;
}

void sim_life_init(struct sim_room *r)
{
    uint64_t h = sim_mix(r->server->o->seed ^ UINT64_C(0x11fe), (uint64_t)r->id);
    int64_t short_id = 1 + (int64_t)r->gen.index;
    size_t n_areas;
    const struct sim_area *areas = sim_words_areas(&n_areas);
    struct buf title;
    struct rng rng;

    rng_seed(&rng, h);
    r->life.factor = 1;
    r->life.area = &areas[h % n_areas];
    if (h / 64 % 7 == 0 && short_id <= SHORT_IDS && short_id < r->server->o->first_room &&
        !r->server->o->room_ids) {
        r->life.short_id = short_id;
    }
    buf_init(&title, TITLE_BYTES);
    sim_words_title(&rng, &title);
    set_title(&r->life, buf_str(&title));
    buf_deinit(&title);
}

/* The place is the room's number; a slow wave of its own, up to a fifth, lets neighbours overtake each other. */
int64_t sim_life_popularity(const struct sim_room *r, int64_t now_ms)
{
    uint64_t h = sim_mix(UINT64_C(0x90b), (uint64_t)r->id);
    double period_ms = 60000 + (double)(h % 240000);
    double wave = sin((double)now_ms / period_ms * 6.283 + (double)(h >> 40));
    double n = POPULARITY_TOP / pow((double)r->gen.index + 1, 0.7) * r->life.factor;

    return sim_life_status(r) == 1 ? (int64_t)(n * (1 + 0.2 * wave)) + 1 : 0;
}

int sim_life_status(const struct sim_room *r)
{
    return r->gen.live ? 1 : r->gen.round ? 2 : 0;
}

struct sim_room *sim_life_find(struct sim_server *s, int64_t id)
{
    for (size_t i = 0; id > 0 && id <= SHORT_IDS && i < s->n_rooms; i++) {
        if (s->rooms[i]->life.short_id == id) {
            return s->rooms[i];
        }
    }
    return sim_server_enter(s, id);
}

struct sim_room *sim_life_by_uid(const struct sim_server *s, int64_t uid)
{
    for (size_t i = 0; i < s->n_rooms; i++) {
        if (s->rooms[i]->gen.anchor.uid == uid) {
            return s->rooms[i];
        }
    }
    return NULL;
}

struct place {
    const struct sim_room *room;
    int64_t popularity;
};

static int by_popularity(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;

    if (x->popularity != y->popularity) {
        return x->popularity < y->popularity ? 1 : -1;
    }
    return x->room->id < y->room->id ? -1 : x->room->id > y->room->id;
}

static struct place *places(const struct sim_server *s, int64_t parent_id, int64_t area_id,
                            int64_t now_ms, size_t *ret_n)
{
    struct place *all = mem_new_array(struct place, s->n_rooms + 1);
    size_t n = 0;

    for (size_t i = 0; i < s->n_rooms; i++) {
        const struct sim_room *r = s->rooms[i];

        if (sim_life_status(r) == 1 && (parent_id == 0 || r->life.area->parent_id == parent_id) &&
            (area_id == 0 || r->life.area->id == area_id)) {
            all[n++] = (struct place){r, sim_life_popularity(r, now_ms)};
        }
    }
    qsort(all, n, sizeof(all[0]), by_popularity);
    *ret_n = n;
    return all;
}

size_t sim_life_list(const struct sim_server *s, int64_t parent_id, int64_t area_id,
                     const struct sim_room **ret, size_t max, int64_t now_ms)
{
    size_t n;
    struct place *all = places(s, parent_id, area_id, now_ms, &n);

    for (size_t i = 0; i < n && i < max; i++) {
        ret[i] = all[i].room;
    }
    mem_free(all);
    return n;
}

static void tell_change(struct sim_room *r)
{
    const struct sim_area *a = r->life.area;
    const char *live_key = r->gen.live ? r->gen.live_key : "0";
    struct json_out w;
    struct buf b;

    buf_init(&b, SIM_MESSAGE_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kstr(&w, "cmd", STR("ROOM_CHANGE"));
    jw_key(&w, STR("data"));
    jw_object(&w);
    jw_kstr(&w, "title", (struct str){r->life.title, r->life.title_len});
    jw_ki64(&w, "area_id", a->id);
    jw_ki64(&w, "parent_area_id", a->parent_id);
    jw_kstr(&w, "area_name", str_of(a->name));
    jw_kstr(&w, "parent_area_name", str_of(a->parent_name));
    jw_kstr(&w, "live_key", str_of(live_key));
    jw_kstr(&w, "sub_session_key", STR(""));
    jw_object_end(&w);
    jw_object_end(&w);
    sim_room_send_raw(r, buf_str(&b));
    buf_deinit(&b);
}

void sim_life_set_title(struct sim_room *r, struct str title)
{
    set_title(&r->life, title);
    tell_change(r);
}

void sim_life_set_rank(struct sim_room *r, size_t n, int64_t now_ms)
{
    size_t n_all;
    struct place *all = places(r->server, 0, 0, now_ms, &n_all);
    int64_t mine = sim_life_popularity(r, now_ms);
    size_t at = 0; /* of the one to be before, leaving r itself out */
    double want = -1;

    for (size_t i = 0; i < n_all && want < 0; i++) {
        if (all[i].room != r && ++at == n) {
            want = (double)all[i].popularity * 1.0001 + 2;
        }
    }
    if (want < 0) { /* behind all others */
        want = n_all > 0 ? (double)all[n_all - 1].popularity / 2 : 1;
    }
    if (mine > 0) {
        r->life.factor *= want / (double)mine;
    }
    mem_free(all);
}

static void change(struct sim_server *s)
{
    struct sim_room *r = s->rooms[rng_below(&s->life_rng, s->n_rooms)];
    uint64_t d = rng_below(&s->life_rng, 100);

    if (d < 60 || !r->gen.live) {
        sim_gen_set_live(&r->gen, !r->gen.live, s->msg);
        sim_room_send_one(r, s->msg);
    } else if (d < 80) {
        struct buf title;

        buf_init(&title, TITLE_BYTES);
        sim_words_title(&s->life_rng, &title);
        sim_life_set_title(r, buf_str(&title));
        buf_deinit(&title);
    } else {
        r->life.factor = exp((rng_unit(&s->life_rng) - 0.5) * 4);
    }
}

void sim_life_tick(struct sim_server *s, int64_t dt_ms)
{
    if (s->n_rooms == 0 || s->paused) {
        return;
    }
    s->churn += s->o->churn * (double)dt_ms / 60000;
    while (s->churn >= 1) {
        s->churn -= 1;
        change(s);
    }
}
