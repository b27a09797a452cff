/* Real answers of upstream's HTTP APIs, where there are any: the folder shared/samples/http above the source. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collector/upstream/parse.h"
#include "collector/upstream/wbi.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "tests/support/run.h"

enum { FILE_BYTES = 1 << 20, LEVELS_UP = 4 };

struct fixture {
    struct buf folder; /* empty: none */
    struct buf text;
    struct arena arena;
    struct answer answer;
};

static bool is_there(const struct buf *folder)
{
    struct buf probe;
    buf_init(&probe, 4096);
    buf_printf(&probe, "%s/getDanmuInfo.json%c", folder->data, '\0');
    const bool found = access(probe.data, R_OK) == 0;
    buf_deinit(&probe);
    return found;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    const char *shared = getenv("DANMAKUD_SHARED");
    buf_init(&f->folder, 4096);
    buf_init(&f->text, FILE_BYTES);
    arena_init(&f->arena, PARSE_ARENA_MAX);
    *state = f;
    for (int up = 0; up <= LEVELS_UP; up++) {
        buf_clear(&f->folder);
        buf_put(&f->folder, shared ? str_of(shared) : STR(DM_SOURCE_DIR));
        for (int i = 0; i < up && !shared; i++) {
            buf_put(&f->folder, STR("/.."));
        }
        buf_printf(&f->folder, "%s/samples/http%c", shared ? "" : "/shared", '\0');
        if (is_there(&f->folder)) {
            return 0;
        }
    }
    buf_clear(&f->folder);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_deinit(&f->folder);
    buf_deinit(&f->text);
    arena_deinit(&f->arena);
    mem_free(f);
    return 0;
}

static struct str load(struct fixture *f, const char *name)
{
    struct buf path;
    if (f->folder.len == 0) {
        print_message("no folder shared/samples/http above the source and no DANMAKUD_SHARED: "
                      "skipped\n");
        skip();
    }
    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s.json%c", f->folder.data, name, '\0');
    FILE *file = fopen(path.data, "rb");
    buf_deinit(&path);
    assert_non_null(file);
    buf_clear(&f->text);
    char *at = buf_reserve(&f->text, FILE_BYTES);
    assert_non_null(at);
    buf_commit(&f->text, fread(at, 1, FILE_BYTES - 1, file));
    assert_int_equal(fclose(file), 0);
    return buf_str(&f->text);
}

/* The file's data. */
static struct str data_of(struct fixture *f, const char *name)
{
    struct err err;
    assert_int_equal(parse_answer(load(f, name), &f->answer, &err), ERR_OK);
    return f->answer.data;
}

static void one_room(void **state)
{
    struct fixture *f = *state;
    struct upstream_room r;
    struct err err;
    assert_int_equal(parse_room(data_of(f, "room_get_info"), &f->arena, &r, &err), ERR_OK);
    assert_int_equal(r.room_id, 5440);
    assert_int_equal(r.short_id, 1);
    assert_int_equal(r.uid, 9617619);
    assert_int_equal(r.live_status, 2);
    assert_int_equal(r.live_since_ms, 0);
    assert_int_equal(r.followers, 11919499);
    assert_int_equal(r.area_id, 145);
    assert_int_equal(r.parent_area_id, 1);
    assert_str_equal(r.title, "快乐运动研究社");
    assert_str_equal(r.area, "视频聊天");
    assert_str_equal(r.parent_area, "娱乐");
    assert_int_equal(parse_room(data_of(f, "room_init"), &f->arena, &r, &err), ERR_OK);
    assert_int_equal(r.room_id, 14073662);
    assert_int_equal(r.live_since_ms, INT64_C(1602151186000));
    assert_int_equal(r.live_status, 1);
}

static void many_rooms(void **state)
{
    struct fixture *f = *state;
    struct parse_rooms rooms;
    struct parse_areas areas;
    struct err err;
    assert_int_equal(parse_base_info(data_of(f, "getRoomBaseInfo"), &f->arena, &rooms, &err),
                     ERR_OK);
    assert_int_equal(rooms.n, 2);
    assert_int_equal(rooms.items[0].room_id, 23058);
    assert_int_equal(rooms.items[0].short_id, 3);
    assert_str_equal(rooms.items[0].uname, "3号直播间");
    assert_int_equal(rooms.items[1].room_id, 5440);
    assert_int_equal(rooms.items[1].live_status, 2);
    assert_int_equal(parse_list(data_of(f, "area_v3_getRoomList"), &f->arena, &rooms, &err),
                     ERR_OK);
    assert_true(rooms.n >= 2);
    assert_int_equal(rooms.items[0].room_id, 7000001);
    assert_int_equal(rooms.items[0].popularity, 900000);
    assert_int_equal(rooms.items[0].area_id, 86);
    assert_int_equal(rooms.items[0].live_status, 1);
    assert_int_equal(parse_areas(data_of(f, "area_getList"), &f->arena, &areas, &err), ERR_OK);
    assert_int_equal(areas.items[0].id, 2);
    assert_str_equal(areas.items[0].name, "网游");
    assert_int_equal(areas.items[1].id, 86);
    assert_int_equal(areas.items[1].parent_id, 2);
}

static void hosts(void **state)
{
    struct fixture *f = *state;
    struct upstream_danmu d;
    struct err err;
    assert_int_equal(parse_danmu(data_of(f, "getDanmuInfo"), &f->arena, &d, &err), ERR_OK);
    assert_int_equal(d.token.len, 188);
    assert_int_equal(d.n_hosts, 4); /* one of the five comes twice */
    assert_int_equal(d.hosts[0].wss, 2245);
    assert_int_equal(d.hosts[0].ws, 2244);
    assert_int_equal(d.hosts[0].tcp, 2243);
    assert_int_equal(parse_danmu(data_of(f, "getConf"), &f->arena, &d, &err), ERR_OK);
    assert_int_equal(d.n_hosts, 3);
    assert_int_equal(d.hosts[0].wss, 443);
}

static void identity(void **state)
{
    struct fixture *f = *state;
    struct nav nav;
    struct wbi_key key;
    struct str id;
    struct err err;
    assert_int_equal(parse_nav(data_of(f, "nav_not_logged_in"), &f->arena, &nav, &err), ERR_OK);
    assert_int_equal(f->answer.code, -101);
    assert_false(nav.is_login);
    assert_int_equal(wbi_key_make(nav.img_url, nav.sub_url, &key, &err), ERR_OK);
    assert_string_equal(key.text, "ea1db124af3c7062474693fa704f4ff8");
    assert_int_equal(parse_buvid(data_of(f, "finger_spi"), &f->arena, &id, &err), ERR_OK);
    assert_str_equal(id, "D9656DA8-9BEF-F464-5B72-C4849AFD336379044infoc");
    assert_int_equal(parse_buvid(data_of(f, "getbuvid"), &f->arena, &id, &err), ERR_OK);
    assert_str_equal(id, "54E5EFC1-3C8F-F690-2261-439E4F6A20A979439infoc");
}

static void refusals(void **state)
{
    static const int64_t codes[] = {-352, -412, 60004, 1, -799, -101};
    struct fixture *f = *state;
    struct json j;
    struct str one;
    struct err err;
    size_t n = 0;
    assert_false(f->answer.voucher);
    (void)data_of(f, "wbi_missing_v_voucher");
    assert_true(f->answer.voucher);
    assert_int_equal(f->answer.code, 0);
    json_init(&j, load(f, "errors"));
    assert_true(json_enter_array(&j));
    while (json_next_elem(&j)) {
        assert_true(n < ARRAY_LEN(codes));
        assert_true(json_raw(&j, &one));
        assert_int_equal(parse_answer(one, &f->answer, &err), ERR_OK);
        assert_int_equal(f->answer.code, codes[n++]);
        assert_true(f->answer.message[0] != '\0');
    }
    assert_int_equal(n, ARRAY_LEN(codes));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(one_room), CASE(many_rooms), CASE(hosts), CASE(identity), CASE(refusals),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
