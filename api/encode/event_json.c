#include "api/encode/event_json.h"

#include "server/core/assert.h"
#include "server/core/clock.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/event/event.h"

enum column { COL_NONE, COL_MODE, COL_COLOR, COL_ITEM, COL_NUM, COL_COIN, COL_GUARD };

struct member {
    enum column column;
    struct str name;
};

enum { MEMBERS_MAX = 3 };

struct shape {
    bool has_text;
    struct member members[MEMBERS_MAX];
};

#define M(column, name)                                                                            \
    {                                                                                              \
        COL_##column,                                                                              \
        {                                                                                          \
            name, sizeof(name) - 1                                                                 \
        }                                                                                          \
    }
static const struct shape shapes[EVENT_KIND_END] = {
    [EVENT_DANMAKU] = {true, {M(MODE, "mode"), M(COLOR, "color")}},
    [EVENT_MIRROR] = {true, {M(MODE, "mode"), M(COLOR, "color")}},
    [EVENT_GIFT] = {false, {M(ITEM, "gift_id"), M(NUM, "num"), M(COIN, "coin")}},
    [EVENT_COMBO] = {false, {M(ITEM, "gift_id"), M(NUM, "num")}},
    [EVENT_GUARD] = {false, {M(GUARD, "level"), M(NUM, "num")}},
    [EVENT_SUPERCHAT] = {true, {M(ITEM, "superchat_id")}},
    [EVENT_SUPERCHAT_DELETE] = {false, {M(ITEM, "superchat_id")}},
    [EVENT_REDPACKET] = {false, {M(ITEM, "lot_id"), M(NUM, "num")}},
    [EVENT_LOTTERY] = {false, {M(ITEM, "lot_id"), M(NUM, "num")}},
    [EVENT_INTERACT] = {false, {M(MODE, "type")}},
};
#undef M

static const struct shape *shape_of(const struct event *e)
{
    static const struct shape plain = {.has_text = false};
    return e->kind > 0 && e->kind < EVENT_KIND_END ? &shapes[e->kind] : &plain;
}

static void put_time(struct json_out *w, const struct event *e)
{
    char text[CLOCK_RFC3339_BYTES];
    int64_t ts_ms = id_ts_ms(e->id);
    size_t n = clock_rfc3339(ts_ms, text);
    jw_key(w, STR("ts"));
    jw_str(w, (struct str){text, n});
    jw_key(w, STR("ts_ms"));
    jw_i64(w, ts_ms);
    jw_key(w, STR("sent_ms"));
    int64_t off;
    /* What the row cannot hold must not be shown from the ring either. */
    if (e->sent_ms == 0 || __builtin_sub_overflow(e->sent_ms, ts_ms, &off) || off < INT32_MIN ||
        off > INT32_MAX) {
        jw_null(w);
    } else {
        jw_i64(w, e->sent_ms);
    }
}

static void put_i64_or_null(struct json_out *w, int64_t v)
{
    if (v == 0) {
        jw_null(w);
    } else {
        jw_i64(w, v);
    }
}

static void put_str_or_null(struct json_out *w, struct str s)
{
    if (s.len == 0) {
        jw_null(w);
    } else {
        jw_str(w, s);
    }
}

/* Where extra names the room of the medal, and what is left of its members then. */
struct extra {
    struct str object;  /* whole, when it does not name the room */
    struct str members; /* without braces, behind the room */
    int64_t medal_room; /* 0: not named */
};

static struct extra split_extra(struct str text)
{
    const struct str front = STR("{\"" EVENT_EXTRA_MEDAL_ROOM "\":");
    struct extra whole = {.object = text};
    struct extra split = {.object = STR_NULL};
    if (!str_starts(text, front) || text.ptr[text.len - 1] != '}') {
        return whole;
    }
    struct str rest = str_sub(text, front.len, text.len - 1);
    struct str number;
    if (!str_split(&rest, ',', &number) || !str_to_i64(number, &split.medal_room) ||
        split.medal_room == 0) {
        return whole;
    }
    split.members = rest;
    return split;
}

static void put_medal(struct json_out *w, const struct event *e, int64_t medal_room)
{
    jw_key(w, STR("medal"));
    if (e->medal_lv == 0 && e->medal.len == 0) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_key(w, STR("name"));
    put_str_or_null(w, e->medal);
    jw_key(w, STR("level"));
    jw_i64(w, e->medal_lv);
    jw_key(w, STR("anchor_uid"));
    put_i64_or_null(w, e->medal_uid);
    jw_key(w, STR("room_id"));
    put_i64_or_null(w, e->flags & EVENT_F_MEDAL_HERE ? e->room_id : medal_room);
    jw_object_end(w);
}

static void put_user(struct json_out *w, const struct event *e, int64_t medal_room)
{
    jw_key(w, STR("user"));
    if (e->actor == 0 && e->uname.len == 0) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_key(w, STR("uid"));
    if (e->actor < 0) {
        jw_i64_str(w, e->actor);
    } else {
        put_i64_or_null(w, e->actor);
    }
    jw_key(w, STR("name"));
    put_str_or_null(w, e->flags & EVENT_F_HASHED ? STR_NULL : e->uname);
    jw_key(w, STR("masked"));
    jw_bool(w, (e->flags & EVENT_F_MASKED) != 0);
    jw_key(w, STR("guard_level"));
    jw_i64(w, e->guard);
    jw_key(w, STR("admin"));
    jw_bool(w, (e->flags & EVENT_F_ADMIN) != 0);
    jw_key(w, STR("wealth_level"));
    jw_i64(w, e->wealth);
    put_medal(w, e, medal_room);
    jw_object_end(w);
}

static void put_column(struct json_out *w, const struct event *e, enum column column)
{
    switch (column) {
    case COL_MODE:
        jw_i64(w, e->mode);
        return;
    case COL_COLOR:
        jw_i64(w, e->color);
        return;
    case COL_ITEM:
        put_i64_or_null(w, e->item_id);
        return;
    case COL_NUM:
        put_i64_or_null(w, e->num);
        return;
    case COL_COIN:
        jw_str(w, e->flags & EVENT_F_SILVER ? STR("silver") : STR("gold"));
        return;
    case COL_GUARD:
        jw_i64(w, e->guard);
        return;
    case COL_NONE:
        break;
    }
    UNREACHABLE();
}

void event_json_with(struct json_out *w, const struct event *e,
                     void (*more)(void *ctx, struct json_out *w), void *ctx)
{
    const struct shape *shape = shape_of(e);
    struct str kind = str_of(event_kind_name((enum event_kind)e->kind));
    struct extra extra = split_extra(e->extra);
    jw_object(w);
    jw_key(w, STR("id"));
    jw_i64_str(w, e->id);
    jw_key(w, STR("room_id"));
    jw_i64(w, e->room_id);
    put_time(w, e);
    jw_key(w, STR("kind"));
    jw_str(w, kind);
    put_user(w, e, extra.medal_room);
    jw_key(w, STR("text"));
    if (shape->has_text) {
        jw_str(w, e->text);
    } else {
        put_str_or_null(w, e->text);
    }
    jw_key(w, STR("value_mcny"));
    jw_i64(w, e->value_mcny);
    jw_key(w, kind);
    jw_object(w);
    for (size_t i = 0; i < MEMBERS_MAX && shape->members[i].column != COL_NONE; i++) {
        jw_key(w, shape->members[i].name);
        put_column(w, e, shape->members[i].column);
    }
    jw_members(w, extra.object);
    jw_members_raw(w, extra.members);
    jw_object_end(w);
    if (more != NULL) {
        more(ctx, w);
    }
    jw_object_end(w);
}

void event_json(struct json_out *w, const struct event *e)
{
    event_json_with(w, e, NULL, NULL);
}
