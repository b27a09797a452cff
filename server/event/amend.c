#include "server/event/amend.h"

#include <stdio.h>

#include "server/core/hash.h"
#include "server/core/id.h"
#include "server/core/json_read.h"

enum { WORD_MAX = 32 };

/* A string member of extra. */
static bool member_is(struct str extra, struct str name, struct str value)
{
    struct json j;
    struct str key;
    struct str s;
    char text[WORD_MAX];
    json_init(&j, extra);
    if (!json_enter_object(&j)) {
        return false;
    }
    while (json_next_key(&j, &key)) {
        if (str_eq(key, name)) {
            return json_str(&j, text, sizeof(text), &s) && str_eq(s, value);
        }
    }
    return false;
}

/* Danmaku are told apart by upstream's id as text. */
static int64_t key_of_danmaku(int64_t target_id)
{
    char text[24];
    struct hash64 h;
    int n = snprintf(text, sizeof(text), "%lld", (long long)target_id);
    hash64_init(&h, EVENT_DANMAKU);
    hash64_str(&h, (struct str){text, (size_t)n});
    return hash64_done(&h);
}

static bool of_recall(const struct event *e, struct amend *ret)
{
    ret->what = "recalled";
    if (e->actor > 0) {
        ret->how = AMEND_USER;
        ret->key = e->actor;
        return true;
    }
    if (member_is(e->extra, STR("scope"), STR("danmaku")) && e->item_id != 0) {
        ret->how = AMEND_DANMAKU;
        ret->key = key_of_danmaku(e->item_id);
        return true;
    }
    ret->how = AMEND_ALL;
    return member_is(e->extra, STR("scope"), STR("all"));
}

bool amend_of(const struct event *e, struct amend *ret)
{
    int64_t from_id = id_first_of_ms(id_ts_ms(e->id) - AMEND_BACK_MS);
    *ret = (struct amend){.room_id = e->room_id, .by_id = e->id, .from_id = from_id};
    if (e->kind == EVENT_RECALL) {
        return of_recall(e, ret);
    }
    ret->how = AMEND_SUPERCHAT;
    ret->key = e->item_id;
    if (e->kind == EVENT_SUPERCHAT_DELETE) {
        ret->what = "deleted";
        return e->item_id != 0;
    }
    ret->what = "translated";
    ret->has_data = true;
    return e->kind == EVENT_NOTICE && e->item_id != 0 &&
           member_is(e->extra, STR("notice"), STR("superchat_translation"));
}

bool amend_hits(const struct amend *a, const struct event *target)
{
    if (target->room_id != a->room_id || target->id >= a->by_id || target->id < a->from_id) {
        return false;
    }
    switch (a->how) {
    case AMEND_SUPERCHAT:
        return target->kind == EVENT_SUPERCHAT && target->item_id == a->key;
    case AMEND_DANMAKU:
        return target->kind == EVENT_DANMAKU && target->nkey == a->key;
    case AMEND_USER:
        return target->kind == EVENT_DANMAKU && target->actor == a->key;
    case AMEND_ALL:
        return target->kind == EVENT_DANMAKU;
    }
    return false;
}
