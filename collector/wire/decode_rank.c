/* Lists of the best paying viewers: ONLINE_RANK_V2 and ONLINE_RANK_TOP3. */
#include "collector/wire/decode_rank_priv.h"
#include "server/core/utf8.h"

enum { RANK_SENTENCE_MAX = 512 };

void rank_begin(struct rank_list *r, struct decoder *d, struct str rank_type, int64_t n)
{
    *r = (struct rank_list){.e = decode_draft(d, EVENT_AUDIENCE)};
    extra_begin(&r->x, d);
    extra_str(&r->x, "figure", STR("top"));
    extra_number(&r->x, "value", n);
    extra_str(&r->x, "rank_type", rank_type);
    r->users = extra_list(&r->x, "users");
}

bool rank_put(struct rank_list *r, const struct rank_user *u)
{
    struct json_out *w = &r->x.w;
    if (u->uid == 0 && u->name.len == 0) {
        return true; /* nobody */
    }
    extra_item(&r->users);
    jw_object(w);
    jw_ki64(w, "uid", u->uid);
    jw_kstr(w, "name", u->name);
    jw_ki64(w, "rank", u->rank);
    if (u->score != 0) {
        jw_ki64(w, "score", u->score);
    }
    if (u->guard_level != 0) {
        jw_ki64(w, "guard_level", u->guard_level);
    }
    jw_object_end(w);
    return extra_item_end(&r->users);
}

void rank_end(struct rank_list *r)
{
    extra_list_end(&r->users);
    if (r->e) {
        extra_end(&r->x, r->e);
    }
}

/* ---- JSON ---- */

struct rank_item {
    struct rank_user user;
    struct str sentence; /* of TOP3: the name is in it */
};

static const struct decode_field item_fields[] = {
    DECODE_KEY("uid", I64, struct rank_item, user.uid),
    DECODE_KEY_STR("uname", struct rank_item, user.name, EVENT_UNAME_MAX),
    DECODE_KEY("score", I64, struct rank_item, user.score),
    DECODE_KEY("rank", I64, struct rank_item, user.rank),
    DECODE_KEY("guard_level", I64, struct rank_item, user.guard_level),
    DECODE_KEY_STR("msg", struct rank_item, sentence, RANK_SENTENCE_MAX),
};
static const struct decode_shape item_shape = DECODE_OBJECT_SHAPE(item_fields, struct rank_item);

struct rank {
    struct str type;
    struct str list;        /* raw */
    struct str online_list; /* raw */
};

static const struct decode_field rank_fields[] = {
    DECODE_KEY_STR("rank_type", struct rank, type, DECODE_WORD_MAX),
    DECODE_KEY("list", RAW, struct rank, list),
    DECODE_KEY("online_list", RAW, struct rank, online_list),
};
static const struct decode_shape rank_shape = DECODE_OBJECT_SHAPE(rank_fields, struct rank);

static bool is_array(struct str raw)
{
    return raw.len > 0 && raw.ptr[0] == '[';
}

/* How many there are; -1 if it is not JSON. */
static int64_t count_items(struct str raw)
{
    struct json j;
    int64_t n = 0;
    json_init(&j, raw);
    if (json_enter_array(&j)) {
        while (json_next_elem(&j)) {
            n++;
        }
    }
    return json_at_end(&j) ? n : -1;
}

static void put_items(struct decoder *d, struct rank_list *r, struct str raw)
{
    struct json j;
    bool has_room = true;
    json_init(&j, raw);
    if (!json_enter_array(&j)) {
        return;
    }
    while (has_room && json_next_elem(&j)) {
        struct rank_item item;
        const size_t used = d->used;
        (void)decode_read(d, &j, &item_shape, &item);
        if (item.user.name.len == 0) {
            item.user.name = utf8_cut(decode_name_in(item.sentence), EVENT_UNAME_MAX);
        }
        has_room = rank_put(r, &item.user);
        d->used = used;
    }
}

enum decode_status decode_rank(struct decoder *d, struct json *j)
{
    struct rank k;
    struct envelope env;
    struct rank_list r;
    if (!decode_data(d, j, &rank_shape, &k, &env)) {
        return decode_broken(d, "not JSON");
    }
    const struct str list = is_array(k.online_list) ? k.online_list : k.list;
    if (!is_array(list)) {
        return decode_broken(d, "ranking without a list");
    }
    const int64_t n = count_items(list);
    if (n < 0) {
        return decode_broken(d, "not JSON");
    }
    rank_begin(&r, d, k.type, n);
    put_items(d, &r, list);
    rank_end(&r);
    if (r.e) {
        r.e->sent_ms = decode_clamp(env.send_time, INT64_MAX);
    }
    return DECODE_OK;
}
