#include "api/handlers/room_body.h"

#include "server/core/json_read.h"
#include "server/core/utf8.h"

enum { TEXT_MAX = 256 };

static void wrong(struct params *errors, const char *field, const char *reason)
{
    params_error(errors, str_of(field), "invalid_field", "%s", reason);
}

/* A JSON number that is a room id; anything else is skipped. */
static bool read_room(struct json *j, int64_t *ret)
{
    struct str raw;
    if (json_peek(j) != JSON_NUMBER) {
        json_skip(j);
        return false;
    }
    return json_raw(j, &raw) && str_to_i64(raw, ret) && *ret > 0;
}

static void read_rooms(struct json *j, struct room_body *b, struct params *errors)
{
    bool too_many = false;
    bool bad = json_peek(j) != JSON_ARRAY;
    if (bad || !json_enter_array(j)) {
        json_skip(j);
        wrong(errors, "rooms", "is no list of room ids");
        return;
    }
    while (json_next_elem(j)) {
        int64_t id = 0;
        bool repeated = false;
        if (!read_room(j, &id)) {
            bad = true;
            continue;
        }
        for (size_t i = 0; i < b->n_rooms && !repeated; i++) {
            repeated = b->rooms[i] == id;
        }
        too_many = too_many || (!repeated && b->n_rooms == API_ROOMS_SET_MAX);
        if (!repeated && !too_many) {
            b->rooms[b->n_rooms++] = id;
        }
    }
    if (bad) {
        wrong(errors, "rooms", "has something that is no room id");
    }
    if (too_many) {
        params_error(errors, STR("rooms"), "too_many_rooms", "has more than %d rooms",
                     API_ROOMS_SET_MAX);
    }
}

static void read_bool(struct json *j, const char *field, bool *ret_has, bool *ret,
                      struct params *errors)
{
    const enum json_type type = json_peek(j);
    json_skip(j);
    if (type != JSON_TRUE && type != JSON_FALSE) {
        wrong(errors, field, "is neither true nor false");
        return;
    }
    *ret_has = true;
    *ret = type == JSON_TRUE;
}

static bool is_group(struct str s)
{
    bool good = s.len > 0 && s.len <= API_GROUP_BYTES && utf8_valid(s);
    for (size_t i = 0; i < s.len && good; i++) {
        good = s.ptr[i] != ',' && (unsigned char)s.ptr[i] >= ' ' && s.ptr[i] != 0x7f;
    }
    return good;
}

/* One group into b; false: it is none. A repeat counts once. */
static bool read_group(struct json *j, struct room_body *b, bool *ret_full)
{
    char text[TEXT_MAX];
    struct str raw;
    if (json_peek(j) != JSON_STRING) {
        json_skip(j);
        return false;
    }
    if (!json_str_raw(j, &raw) || raw.len > TEXT_MAX) {
        return false;
    }
    const struct str s = json_unescape(raw, text, sizeof(text));
    if (!is_group(s)) {
        return false;
    }
    for (size_t i = 0; i < b->change.n_groups; i++) {
        if (str_eq(b->groups[i], s)) {
            return true;
        }
    }
    if (b->change.n_groups == API_GROUPS_MAX) {
        *ret_full = true;
        return true;
    }
    memcpy(b->text[b->change.n_groups], s.ptr, s.len);
    b->groups[b->change.n_groups] = (struct str){b->text[b->change.n_groups], s.len};
    b->change.n_groups++;
    return true;
}

static void read_groups(struct json *j, struct room_body *b, struct params *errors)
{
    bool full = false;
    bool bad = json_peek(j) != JSON_ARRAY;
    b->change.has_groups = true;
    if (bad || !json_enter_array(j)) {
        json_skip(j);
        wrong(errors, "groups", "is no list of names");
        return;
    }
    while (json_next_elem(j)) {
        bad = !read_group(j, b, &full) || bad;
    }
    if (bad) {
        wrong(errors, "groups", "has something that is no name: 1 to 32 bytes without commas");
    }
    if (full) {
        wrong(errors, "groups", "has more than 16 names");
    }
}

/* The bit of a field, to see repeats; 0: not known here. */
static unsigned read_field(struct json *j, struct str key, unsigned fields, struct room_body *b,
                           struct params *errors)
{
    if ((fields & ROOM_FIELD_ROOM) && str_eq(key, STR("room"))) {
        if (!read_room(j, &b->room)) {
            b->room = 0;
            wrong(errors, "room", "is no room id (a positive number)");
        }
        return 1;
    }
    if ((fields & ROOM_FIELD_ROOMS) && str_eq(key, STR("rooms"))) {
        read_rooms(j, b, errors);
        return 2;
    }
    if ((fields & ROOM_FIELD_CHANGE) && str_eq(key, STR("paused"))) {
        read_bool(j, "paused", &b->change.has_paused, &b->change.paused, errors);
        return 4;
    }
    if ((fields & ROOM_FIELD_CHANGE) && str_eq(key, STR("pinned"))) {
        read_bool(j, "pinned", &b->change.has_pinned, &b->change.pinned, errors);
        return 8;
    }
    if ((fields & ROOM_FIELD_CHANGE) && str_eq(key, STR("groups"))) {
        read_groups(j, b, errors);
        return 16;
    }
    return 0;
}

static void read_object(struct json *j, unsigned fields, struct room_body *b, struct params *errors)
{
    unsigned seen = 0;
    struct str key;
    while (json_next_key(j, &key)) {
        const unsigned bit = read_field(j, key, fields, b, errors);
        if (bit == 0) {
            params_error(errors, key, "unknown_field", "is not known here");
            json_skip(j);
        } else if (seen & bit) {
            params_error(errors, key, "invalid_field", "is there twice");
        }
        seen |= bit;
    }
    if ((fields & ROOM_FIELD_ROOM) && !(seen & 1)) {
        wrong(errors, "room", "is missing");
    }
    if ((fields & ROOM_FIELD_ROOMS) && !(seen & 2)) {
        wrong(errors, "rooms", "is missing");
    }
    if (fields == ROOM_FIELD_CHANGE && seen == 0 && errors->n_errors == 0) {
        params_error(errors, STR("body"), "invalid_field",
                     "has nothing to change: paused, pinned or groups");
    }
}

bool room_body_read(struct str text, unsigned fields, struct room_body *ret, struct params *errors)
{
    struct json j;
    *ret = (struct room_body){0};
    ret->change.groups = ret->groups;
    params_init(errors, 0);
    json_init(&j, text);
    if (json_peek(&j) == JSON_OBJECT && json_enter_object(&j)) {
        read_object(&j, fields, ret, errors);
    } else {
        params_error(errors, STR("body"), "invalid_json", "is no JSON object");
        return false;
    }
    if (json_error(&j) != JSON_ERR_NONE || !json_at_end(&j)) {
        params_init(errors, 0);
        params_error(errors, STR("body"), "invalid_json", "is not well-formed JSON");
    }
    return errors->n_errors == 0;
}
