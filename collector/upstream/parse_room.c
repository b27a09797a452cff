/* Rooms and areas. The same things have other names in each of upstream's APIs. */
#include <time.h>

#include "collector/upstream/parse_priv.h"

enum { CLOCK_LEN = 19, UTC8_S = 8 * 3600, MS_PER_S = 1000, LIVE_STATUS_MAX = 2 };

static int digits(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

static int64_t clock_ms(const char *p)
{
    struct tm tm = {
        .tm_year = digits(p, 4) - 1900,
        .tm_mon = digits(p + 5, 2) - 1,
        .tm_mday = digits(p + 8, 2),
        .tm_hour = digits(p + 11, 2),
        .tm_min = digits(p + 14, 2),
        .tm_sec = digits(p + 17, 2),
    };
    if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 60) {
        return 0;
    }
    return ((int64_t)timegm(&tm) - UTC8_S) * MS_PER_S;
}

int64_t parse_time_ms(struct str text)
{
    int64_t s;
    if (str_to_i64(text, &s)) {
        return s > 0 && s < INT64_MAX / MS_PER_S ? s * MS_PER_S : 0;
    }
    if (text.len != CLOCK_LEN || text.ptr[4] != '-' || text.ptr[7] != '-' || text.ptr[10] != ' ' ||
        text.ptr[13] != ':' || text.ptr[16] != ':') {
        return 0;
    }
    const int64_t ms = clock_ms(text.ptr);
    return ms > 0 ? ms : 0;
}

struct raw_room {
    struct upstream_room room;
    int64_t status;
    int64_t area_v2_id, area_v2_parent_id;
    struct str area_v2_name, area_v2_parent_name;
};
#define ROOM(member) offsetof(struct raw_room, room.member)
static const struct parse_field room_fields[] = {
    {"room_id", PARSE_I64, ROOM(room_id)},
    {"roomid", PARSE_I64, ROOM(room_id)},
    {"short_id", PARSE_I64, ROOM(short_id)},
    {"uid", PARSE_I64, ROOM(uid)},
    {"live_status", PARSE_I64, offsetof(struct raw_room, status)},
    {"live_time", PARSE_TIME, ROOM(live_since_ms)},
    {"uname", PARSE_TEXT, ROOM(uname)},
    {"title", PARSE_TEXT, ROOM(title)},
    {"area_name", PARSE_TEXT, ROOM(area)},
    {"parent_area_name", PARSE_TEXT, ROOM(parent_area)},
    {"parent_name", PARSE_TEXT, ROOM(parent_area)},
    {"area_id", PARSE_I64, ROOM(area_id)},
    {"parent_area_id", PARSE_I64, ROOM(parent_area_id)},
    {"parent_id", PARSE_I64, ROOM(parent_area_id)},
    {"online", PARSE_I64, ROOM(popularity)},
    {"attention", PARSE_I64, ROOM(followers)},
    {"area_v2_id", PARSE_I64, offsetof(struct raw_room, area_v2_id)},
    {"area_v2_parent_id", PARSE_I64, offsetof(struct raw_room, area_v2_parent_id)},
    {"area_v2_name", PARSE_TEXT, offsetof(struct raw_room, area_v2_name)},
    {"area_v2_parent_name", PARSE_TEXT, offsetof(struct raw_room, area_v2_parent_name)},
};
static const struct parse_shape room_shape = {room_fields, ARRAY_LEN(room_fields)};

/* Older answers carry an old area beside the one of today ("v2"). */
static void newest_area(struct raw_room *raw)
{
    if (raw->area_v2_id > 0) {
        raw->room.area_id = raw->area_v2_id;
        raw->room.area = raw->area_v2_name;
    }
    if (raw->area_v2_parent_id > 0) {
        raw->room.parent_area_id = raw->area_v2_parent_id;
        raw->room.parent_area = raw->area_v2_parent_name;
    }
}

/* Next value of j. ERR_NOT_FOUND: an object without the id of a room. */
static enum err_code read_room(struct json *j, struct arena *a, int status,
                               struct upstream_room *ret, struct err *err)
{
    struct raw_room raw = {
        .room = {.area_id = -1, .parent_area_id = -1, .popularity = -1, .followers = -1},
        .status = status,
    };
    const enum err_code rc = parse_object(j, &room_shape, a, &raw, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (raw.room.room_id <= 0) {
        return err_set(err, ERR_NOT_FOUND, "no room in the answer");
    }
    newest_area(&raw);
    if (raw.room.short_id < 0 || raw.room.short_id == raw.room.room_id) {
        raw.room.short_id = 0;
    }
    raw.room.live_status = raw.status >= 0 && raw.status <= LIVE_STATUS_MAX ? (int)raw.status : -1;
    if (raw.room.live_status != 1) {
        raw.room.live_since_ms = 0;
    }
    *ret = raw.room;
    return ERR_OK;
}

enum err_code parse_room(struct str data, struct arena *a, struct upstream_room *ret,
                         struct err *err)
{
    struct json j;
    json_init(&j, data);
    const enum err_code rc = read_room(&j, a, -1, ret, err);
    return rc == ERR_NOT_FOUND ? err_set(err, ERR_PROTO, "no room in the answer") : rc;
}

/* Rooms of an array, or of an object whose keys do not matter. status: what they have if they do not say. */
static enum err_code read_rooms(struct str json, struct arena *a, int status,
                                struct parse_rooms *ret, struct err *err)
{
    const size_t max = parse_count(json, PARSE_ROOMS_MAX);
    struct upstream_room *rooms = arena_alloc(a, sizeof *rooms * (max + 1));
    struct json j;
    struct str key;
    size_t n = 0;
    if (!rooms) {
        return err_set(err, ERR_NOMEM, "no memory for the rooms");
    }
    json_init(&j, json);
    const bool object = json_peek(&j) == JSON_OBJECT;
    const bool entered = object ? json_enter_object(&j) : json_enter_array(&j);
    while (entered && n < max && (object ? json_next_key(&j, &key) : json_next_elem(&j))) {
        if (json_peek(&j) != JSON_OBJECT) {
            continue;
        }
        const enum err_code rc = read_room(&j, a, status, &rooms[n], err);
        if (rc == ERR_OK) {
            n++;
        } else if (rc != ERR_NOT_FOUND) {
            return rc;
        }
    }
    *ret = (struct parse_rooms){rooms, n};
    return ERR_OK;
}

struct raw_rooms {
    struct str list; /* null: the member is missing */
};
static const struct parse_field base_fields[] = {
    {"by_room_ids", PARSE_RAW, offsetof(struct raw_rooms, list)},
};
static const struct parse_shape base_shape = {base_fields, ARRAY_LEN(base_fields)};
static const struct parse_field list_fields[] = {
    {"list", PARSE_RAW, offsetof(struct raw_rooms, list)},
};
static const struct parse_shape list_shape = {list_fields, ARRAY_LEN(list_fields)};

static enum err_code rooms_within(struct str data, const struct parse_shape *shape, int status,
                                  struct arena *a, struct parse_rooms *ret, struct err *err)
{
    struct raw_rooms raw = {STR_NULL};
    const enum err_code rc = parse_whole(data, shape, a, &raw, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (raw.list.len == 0) {
        return err_set(err, ERR_PROTO, "no rooms in the answer");
    }
    return read_rooms(raw.list, a, status, ret, err);
}

enum err_code parse_base_info(struct str data, struct arena *a, struct parse_rooms *ret,
                              struct err *err)
{
    return rooms_within(data, &base_shape, -1, a, ret, err);
}

/* Who is in the list is live; the list does not say it again. */
enum err_code parse_list(struct str data, struct arena *a, struct parse_rooms *ret, struct err *err)
{
    return rooms_within(data, &list_shape, 1, a, ret, err);
}

/* ---- areas ---- */

struct raw_area {
    int64_t id, parent_id;
    struct str name, list;
};
static const struct parse_field area_fields[] = {
    {"id", PARSE_I64, offsetof(struct raw_area, id)},
    {"parent_id", PARSE_I64, offsetof(struct raw_area, parent_id)},
    {"name", PARSE_TEXT, offsetof(struct raw_area, name)},
    {"list", PARSE_RAW, offsetof(struct raw_area, list)},
};
static const struct parse_shape area_shape = {area_fields, ARRAY_LEN(area_fields)};

struct areas {
    struct upstream_area *items;
    size_t n, max;
    struct arena *arena;
};

/* One level: parents (parent 0) call for their children. */
static enum err_code read_areas(struct areas *to, struct str list, int64_t parent, struct err *err)
{
    struct json j;
    json_init(&j, list);
    if (!json_enter_array(&j)) {
        return ERR_OK;
    }
    while (to->n < to->max && json_next_elem(&j)) {
        struct raw_area raw = {.id = 0};
        if (json_peek(&j) != JSON_OBJECT) {
            continue;
        }
        enum err_code rc = parse_object(&j, &area_shape, to->arena, &raw, err);
        if (rc != ERR_OK) {
            return rc;
        }
        if (raw.id <= 0) {
            continue;
        }
        to->items[to->n++] = (struct upstream_area){raw.id, parent, raw.name};
        if (parent == 0 && raw.list.len > 0) {
            rc = read_areas(to, raw.list, raw.id, err);
            if (rc != ERR_OK) {
                return rc;
            }
        }
    }
    return json_error(&j) ? err_set(err, ERR_PROTO, "broken JSON") : ERR_OK;
}

enum err_code parse_areas(struct str data, struct arena *a, struct parse_areas *ret,
                          struct err *err)
{
    struct areas to = {.max = PARSE_AREAS_MAX, .arena = a};
    struct json j;
    json_init(&j, data);
    if (json_peek(&j) != JSON_ARRAY) {
        return err_set(err, ERR_PROTO, "no list of areas");
    }
    to.items = arena_alloc(a, sizeof *to.items * PARSE_AREAS_MAX);
    if (!to.items) {
        return err_set(err, ERR_NOMEM, "no memory for the areas");
    }
    const enum err_code rc = read_areas(&to, data, 0, err);
    if (rc != ERR_OK) {
        return rc;
    }
    *ret = (struct parse_areas){to.items, to.n};
    return ERR_OK;
}
