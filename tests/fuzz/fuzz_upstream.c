/* Answers of upstream's HTTP APIs, and cookie files, of any bytes. The first byte says which. */
#include "collector/upstream/cookies.h"
#include "collector/upstream/parse.h"
#include "collector/upstream/wbi.h"
#include "server/core/utf8.h"
#include "tests/fuzz/fuzz.h"

enum { WAYS = 9 };

static void check_text(struct str s)
{
    ASSERT(s.len <= PARSE_TOKEN_MAX);
    ASSERT(utf8_valid(s));
    ASSERT(s.len == 0 || memchr(s.ptr, '\0', s.len) == NULL);
}

static void check_room(const struct upstream_room *r)
{
    ASSERT(r->room_id > 0 && r->short_id >= 0 && r->live_since_ms >= 0);
    ASSERT(r->live_status >= -1 && r->live_status <= 2);
    check_text(r->uname);
    check_text(r->title);
    check_text(r->area);
    check_text(r->parent_area);
}

static void check_rooms(const struct parse_rooms *rooms)
{
    ASSERT(rooms->n <= PARSE_ROOMS_MAX);
    for (size_t i = 0; i < rooms->n; i++) {
        check_room(&rooms->items[i]);
    }
}

static void check_danmu(const struct upstream_danmu *d)
{
    ASSERT(d->n_hosts > 0 && d->n_hosts <= UPSTREAM_HOSTS_MAX && d->token.len > 0);
    check_text(d->token);
    for (size_t i = 0; i < d->n_hosts; i++) {
        check_text(d->hosts[i].host);
        ASSERT(d->hosts[i].tcp || d->hosts[i].ws || d->hosts[i].wss);
    }
}

static void check_areas(const struct parse_areas *areas)
{
    ASSERT(areas->n <= PARSE_AREAS_MAX);
    for (size_t i = 0; i < areas->n; i++) {
        ASSERT(areas->items[i].id > 0 && areas->items[i].parent_id >= 0);
        check_text(areas->items[i].name);
    }
}

static void parse_nav_or_buvid(bool nav, struct str data, struct arena *a)
{
    struct nav who;
    struct wbi_key key;
    struct str id;
    struct err err;
    if (nav && parse_nav(data, a, &who, &err) == ERR_OK) {
        ASSERT(who.is_login == (who.uid > 0));
        if (wbi_key_make(who.img_url, who.sub_url, &key, &err) == ERR_OK) {
            ASSERT(strlen(key.text) == WBI_KEY_LEN);
        }
    } else if (!nav && parse_buvid(data, a, &id, &err) == ERR_OK) {
        ASSERT(cookie_value_ok(id));
    }
}

static void parse_data(unsigned way, struct str data, struct arena *a)
{
    struct upstream_room room;
    struct parse_rooms rooms;
    struct parse_areas areas;
    struct upstream_danmu danmu;
    struct err err;
    if (way == 0 && parse_room(data, a, &room, &err) == ERR_OK) {
        check_room(&room);
    } else if (way == 1 && parse_base_info(data, a, &rooms, &err) == ERR_OK) {
        check_rooms(&rooms);
    } else if (way == 2 && parse_list(data, a, &rooms, &err) == ERR_OK) {
        check_rooms(&rooms);
    } else if (way == 3 && parse_areas(data, a, &areas, &err) == ERR_OK) {
        check_areas(&areas);
    } else if (way == 4 && parse_danmu(data, a, &danmu, &err) == ERR_OK) {
        check_danmu(&danmu);
    } else if (way == 5 || way == 6) {
        parse_nav_or_buvid(way == 5, data, a);
    }
}

static void parse_cookies(struct str text)
{
    struct cookies c;
    struct buf header;
    struct err err;
    if (cookies_parse(text, &c, &err) != ERR_OK) {
        return;
    }
    buf_init(&header, (size_t)COOKIES_TEXT_MAX * 2);
    cookies_write(&c, STR_NULL, &header);
    ASSERT(buf_ok(&header));
    for (size_t i = 0; i < header.len; i++) {
        ASSERT(header.data[i] >= ' ' && header.data[i] < 0x7f);
    }
    buf_deinit(&header);
    cookies_deinit(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const unsigned way = (unsigned)(data[0] - '0') % WAYS;
    const struct str text = {(const char *)data + 1, size - 1};
    struct answer answer;
    struct arena arena;
    struct err err;
    arena_init(&arena, PARSE_ARENA_MAX);
    if (way == 7) {
        parse_cookies(text);
    } else if (way == 8) {
        ASSERT(parse_time_ms(text) >= 0);
    } else if (parse_answer(text, &answer, &err) == ERR_OK) {
        ASSERT(strlen(answer.message) < sizeof answer.message);
        parse_data(way, answer.data, &arena);
    }
    arena_deinit(&arena);
    return 0;
}
