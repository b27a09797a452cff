/* The calls over a server on the same loop: what is asked, and what is made of the answers. */
#include "collector/upstream/upstream.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/run.h"
#include "tests/support/upstream_rig.h"

#define NOT_FOUND "{\"code\":1,\"msg\":\"未找到该房间\",\"message\":\"未找到该房间\",\"data\":[]}"
#define NO_ROOM "{\"code\":60004,\"msg\":\"直播间不存在\",\"data\":[]}"
#define DANMU                                                                                      \
    "{\"code\":0,\"data\":{\"token\":\"T0ken\",\"host_list\":["                                    \
    "{\"host\":\"a.example\",\"port\":2243,\"wss_port\":\"2245\",\"ws_port\":2244},"               \
    "{\"host\":\"a.example\",\"port\":2243,\"wss_port\":2245,\"ws_port\":2244},"                   \
    "{\"host\":\"b c\",\"port\":1},{\"host\":\"d\",\"port\":70000},17,"                            \
    "{\"host\":\"e.example\",\"port\":0,\"wss_port\":443,\"ws_port\":null}]}}"
#define CONF                                                                                       \
    "{\"code\":0,\"data\":{\"token\":\"old\",\"port\":2243,\"host\":\"x\",\"host_server_list\":["  \
    "{\"host\":\"o.example\",\"port\":2243,\"wss_port\":443,\"ws_port\":2244}]}}"

static struct upstream_rig *rig(void **state)
{
    return *state;
}

/* ---- one room ---- */

static void resolves(void **state)
{
    struct upstream_rig *f = rig(state);
    fake_web_answer(f->web, UPR_GET_INFO, 200,
                    "{\"code\":0,\"data\":{\"room_id\":5440,\"short_id\":\"1\",\"uid\":9617619,"
                    "\"live_status\":1,\"title\":\"\\u4f60\\u597d\",\"online\":77,"
                    "\"live_time\":\"2024-01-31 20:00:00\",\"attention\":12}}");
    upr_resolve(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->room.room_id, 5440);
    assert_int_equal(f->room.short_id, 1);
    assert_int_equal(f->room.live_since_ms, INT64_C(1706702400000));
    assert_string_equal(f->title, "你好");
    assert_int_equal(f->room.popularity, 77);
    assert_int_equal(f->room.followers, 12);
    assert_int_equal(f->room.area_id, -1);
    assert_true(upr_sent(f, UPR_GET_INFO, "GET /room/v1/Room/get_info?room_id=1 HTTP/1.1"));
    assert_true(upr_sent(f, UPR_GET_INFO, "Referer: https://live.bilibili.com/1\r\n"));
    assert_true(upr_sent(f, UPR_GET_INFO, "User-Agent: test browser\r\n"));
    assert_true(upr_sent(f, UPR_GET_INFO, "Accept-Encoding: "));
    assert_false(upr_sent(f, UPR_GET_INFO, "Cookie:"));
    assert_int_equal(fake_web_n(f->web, NULL), 1);
}

static void a_second_address_confirms_that_there_is_none(void **state)
{
    struct upstream_rig *f = rig(state);
    fake_web_answer(f->web, UPR_GET_INFO, 200, NOT_FOUND);
    fake_web_answer(f->web, UPR_ROOM_INIT, 200, NO_ROOM);
    upr_resolve(f, 7);
    upr_wait(f);
    assert_int_equal(f->code, ERR_NOT_FOUND);
    assert_int_equal(fake_web_n(f->web, NULL), 2);
    struct upstream_info info; /* it answered as it should: nothing has failed */
    upstream_info(f->up, &info);
    assert_int_equal(info.last_error_ms, 0);
    assert_int_equal(info.n_failed, 0);
    assert_true(upr_sent(f, UPR_ROOM_INIT, "?id=7 "));
    /* The second knows it: what it says counts. */
    fake_web_answer(f->web, UPR_ROOM_INIT, 200,
                    "{\"code\":0,\"data\":{\"room_id\":14073662,\"short_id\":76,\"uid\":50333369,"
                    "\"live_status\":1,\"live_time\":1602151186}}");
    upr_resolve(f, 76);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->room.room_id, 14073662);
    assert_int_equal(f->room.live_since_ms, INT64_C(1602151186000));
    assert_string_equal(f->title, "");
    assert_int_equal(f->room.popularity, -1);
}

static void a_third_address_helps(void **state)
{
    struct upstream_rig *f = rig(state);
    fake_web_answer(f->web, UPR_GET_INFO, 200, "<html>");
    fake_web_answer(f->web, UPR_ROOM_INIT, 404, "404 page not found");
    fake_web_answer(f->web, UPR_BASE_INFO, 200,
                    "{\"code\":0,\"data\":{\"by_uids\":{},\"by_room_ids\":{\"23058\":{\"room_id\":"
                    "23058,\"short_id\":3,\"live_status\":0,\"title\":\"t\"}}}}");
    upr_resolve(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->room.room_id, 23058);
    assert_int_equal(f->room.live_status, 0);
    assert_true(upr_sent(f, UPR_BASE_INFO, "?room_ids=3&req_biz=web_room_componet "));
    fake_web_answer(f->web, UPR_BASE_INFO, 200, "{\"code\":0,\"data\":{\"by_room_ids\":[]}}");
    upr_resolve(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_NOT_FOUND);
    fake_web_answer(f->web, UPR_BASE_INFO, 200, "{\"code\":0,\"data\":null}");
    upr_resolve(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
    /* The first address has said that there is none; the others say nothing. */
    fake_web_answer(f->web, UPR_GET_INFO, 200, NOT_FOUND);
    upr_resolve(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_NOT_FOUND);
}

/* ---- many rooms ---- */

static void status_of_many(void **state)
{
    struct upstream_rig *f = rig(state);
    int64_t ids[UPSTREAM_STATUS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = (int64_t)i + 1;
    }
    fake_web_answer(
        f->web, UPR_BASE_INFO, 200,
        "{\"code\":0,\"data\":{\"by_room_ids\":{\"1\":{\"room_id\":\"9007199254740993\","
        "\"live_status\":1,\"live_time\":\"2024-01-31 20:00:00\"},\"2\":null,"
        "\"3\":{\"title\":\"no id\"},\"4\":{\"room_id\":4,\"live_status\":9,\"area_id\":\"5\"}}}}");
    upr_status(f, ids, UPSTREAM_STATUS_MAX);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->n_rooms, 2);
    assert_int_equal(f->room_ids[0], INT64_C(9007199254740993)); /* 2^53 + 1 */
    assert_int_equal(f->room_ids[1], 4);
    assert_int_equal(f->room.live_status, -1);
    assert_int_equal(f->room.area_id, 5);
    assert_true(upr_sent(f, UPR_BASE_INFO, "?room_ids=1,2,3,"));
    upr_status(f, ids, UPSTREAM_STATUS_MAX + 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_INVALID);
    upr_status(f, ids, 0);
    upr_wait(f);
    assert_int_equal(f->code, ERR_INVALID);
    assert_int_equal(fake_web_n(f->web, NULL), 1);
}

static void lists(void **state)
{
    struct upstream_rig *f = rig(state);
    fake_web_answer(f->web, UPR_LIST, 200,
                    "{\"code\":0,\"data\":{\"list\":[{\"roomid\":7000001,\"uid\":1,\"title\":\"a\","
                    "\"online\":900000,\"area_id\":1,\"area_v2_id\":86,\"parent_id\":9,"
                    "\"area_v2_parent_id\":2},{\"roomid\":7000002}]}}");
    upr_list(f, 2);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->n_rooms, 2);
    assert_int_equal(f->room_ids[0], 7000001);
    assert_int_equal(f->room.live_status, 1);
    assert_true(upr_sent(f, UPR_LIST,
                         "?platform=web&parent_area_id=0&cate_id=0&area_id=0&sort_type=online"
                         "&page=2&page_size=50&tag_version=1 "));
    fake_web_answer(f->web, UPR_LIST, 200, "{\"code\":0,\"data\":{\"list\":[]}}");
    upr_list(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->n_rooms, 0);
    fake_web_answer(f->web, UPR_LIST, 200, "{\"code\":0,\"data\":[]}");
    upr_list(f, 3);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
    upr_list(f, 0);
    upr_wait(f);
    assert_int_equal(f->code, ERR_INVALID);
}

static void areas(void **state)
{
    struct upstream_rig *f = rig(state);
    fake_web_answer(f->web, UPR_AREAS, 200,
                    "{\"code\":0,\"data\":[{\"id\":2,\"name\":\"网游\",\"list\":[{\"id\":\"86\","
                    "\"parent_id\":\"2\",\"name\":\"x\"},{\"name\":\"no id\"}]},{\"id\":3,"
                    "\"name\":\"y\",\"list\":null},5]}");
    upr_areas(f);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->n_areas, 3);
    assert_string_equal(f->area_name, "网游");
    assert_int_equal(f->areas[1].id, 86);
    assert_int_equal(f->areas[1].parent_id, 2);
    assert_int_equal(f->areas[2].id, 3);
    assert_int_equal(f->areas[2].parent_id, 0);
    assert_true(upr_sent(f, UPR_AREAS, "GET /room/v1/Area/getList HTTP/1.1"));
}

/* ---- where to connect ---- */

static void hosts_and_token(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upr_danmu(f, 5440);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_string_equal(f->token, "T0ken");
    assert_string_equal(f->buvid, "D9656DA8-9BEF-336379044infoc");
    assert_int_equal(f->danmu.n_hosts, 2); /* repeats and nonsense are left out */
    assert_string_equal(f->host, "a.example");
    assert_int_equal(f->first.tcp, 2243);
    assert_int_equal(f->first.ws, 2244);
    assert_int_equal(f->first.wss, 2245);
    assert_false(f->danmu.legacy);
    assert_int_equal(f->danmu.uid, 0);
    assert_true(upr_sent(f, UPR_DANMU,
                         "?id=5440&type=0&web_location=444.8&wts=1700000000"
                         "&w_rid=628689389ddbe70d918ab55b57fabf3a "));
    assert_true(upr_sent(f, UPR_DANMU, "Cookie: buvid3=D9656DA8-9BEF-336379044infoc\r\n"));
    /* Key and device id are asked for once. */
    for (int64_t room = 1; room <= 4; room++) {
        upr_danmu(f, room);
    }
    upr_wait(f);
    assert_int_equal(f->n_codes[ERR_OK], 5);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 1);
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 1);
    assert_int_equal(fake_web_n(f->web, UPR_DANMU), 5);
}

static void the_key_grows_old(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upr_danmu(f, 1);
    upr_wait(f);
    upr_advance(f, 59 * 60 * 1000);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 1);
    upr_advance(f, 60 * 1000);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 2);
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 1);
    assert_int_equal(f->n_codes[ERR_OK], 3);
}

static void the_old_address_helps(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_CONF, 200, CONF);
    upr_danmu(f, 5440); /* 404 */
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_true(f->danmu.legacy);
    assert_string_equal(f->token, "old");
    assert_string_equal(f->host, "o.example");
    assert_true(upr_sent(f, UPR_CONF, "?room_id=5440&platform=pc&player=web "));
    static const char *const useless[] = {
        "{\"code\":1,\"data\":[]}",
        "{\"code\":0,\"data\":{}}",
        "{\"code\":0,\"data\":{\"token\":\"x\",\"host_list\":[]}}",
        "{\"code\":0,\"data\":{\"token\":\"\",\"host_list\":[{\"host\":\"a\",\"port\":1}]}}",
        "{\"code\":0}",
        "{\"code\":\"0\",\"data\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(useless); i++) {
        fake_web_answer(f->web, UPR_DANMU, 200, useless[i]);
        upr_danmu(f, 5440);
        upr_wait(f);
        assert_int_equal(f->code, ERR_OK);
        assert_true(f->danmu.legacy);
    }
    fake_web_answer(f->web, UPR_CONF, 200, "{\"code\":0,\"data\":[]}");
    upr_danmu(f, 5440);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
    /* No such room: the old address is not asked. */
    fake_web_answer(f->web, UPR_DANMU, 200, NO_ROOM);
    const unsigned n = fake_web_n(f->web, UPR_CONF);
    upr_danmu(f, 5440);
    upr_wait(f);
    assert_int_equal(f->code, ERR_NOT_FOUND);
    assert_int_equal(fake_web_n(f->web, UPR_CONF), n);
}

/* ---- the device id ---- */

/* On disk, under its name: closing does not wait for that. */
static void wait_for_file(struct upstream_rig *f, const char *name)
{
    char path[TMP_PATH_BYTES];
    tmp_path(&f->dir, name, path);
    while (access(path, F_OK) != 0) {
        upr_turns(f, 1);
        (void)sched_yield(); /* the runner ends a case that hangs */
    }
}

static void device_id_by_other_ways(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    fake_web_answer(f->web, UPR_SPI, 200, "{\"code\":0,\"data\":{\"b_3\":\"x; y\"}}");
    fake_web_answer(f->web, UPR_GETBUVID, 200,
                    "{\"code\":0,\"data\":{\"buvid\":\"54E5EFC1-979439infoc\"}}");
    upr_danmu(f, 1);
    upr_wait(f);
    assert_string_equal(f->buvid, "54E5EFC1-979439infoc");
    wait_for_file(f, "upstream_device_id");
    upr_close(f);
    tmp_dir_remove(&f->dir);
    tmp_dir_make(&f->dir);
    f->opts.state_dir = str_of(f->dir.path);
    upr_open(f);
    fake_web_answer(f->web, UPR_GETBUVID, 200, "{\"code\":-400}");
    fake_web_answer(f->web, UPR_SITE, 200, "<html>a page</html>");
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_UNAVAILABLE); /* no cookie on it */
    fake_web_header(f->web, UPR_SITE,
                    "Set-Cookie: b_nut=1; path=/\r\nset-cookie: buvid3=AAAA-BBBBinfoc; path=/\r\n");
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_string_equal(f->buvid, "AAAA-BBBBinfoc");
}

static void device_id_is_kept(void **state)
{
    struct upstream_rig *f = rig(state);
    struct upstream_info info;
    char path[TMP_PATH_BYTES];
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upstream_info(f->up, &info);
    assert_false(info.has_buvid);
    upr_danmu(f, 1);
    upr_wait(f);
    wait_for_file(f, "upstream_device_id");
    upr_close(f);
    upr_open(f);
    upstream_info(f->up, &info);
    assert_true(info.has_buvid);
    fake_web_answer(f->web, UPR_SPI, 200, "{\"code\":0,\"data\":{\"b_3\":\"another-one-infoc\"}}");
    upr_danmu(f, 1);
    upr_wait(f);
    assert_string_equal(f->buvid, "D9656DA8-9BEF-336379044infoc");
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 1);
    upr_close(f);
    /* What is no device id is told and replaced. */
    tmp_path(&f->dir, "upstream_device_id", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("evil; SESSDATA=1\r\n", file);
    (void)fclose(file);
    upr_open(f);
    assert_int_equal(upr_logged(f, "holds no device id"), 1);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_string_equal(f->buvid, "another-one-infoc");
}

static void device_id_that_cannot_be_kept(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upr_close(f);
    f->opts.state_dir = STR("/nonexistent/folder");
    upr_open(f);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    for (unsigned i = 0; i < 2000 && upr_logged(f, "cannot be kept") == 0; i++) {
        upr_turns(f, 1);
    }
    assert_int_equal(upr_logged(f, "cannot be kept"), 1);
    upr_close(f);
    f->opts.state_dir = STR_NULL;
    upr_open(f);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
}

/* A disk that hangs: a name that cannot be opened for writing until somebody reads from it. */
static void closing_does_not_wait_for_the_disk(void **state)
{
    struct upstream_rig *f = rig(state);
    char path[TMP_PATH_BYTES];
    tmp_path(&f->dir, "upstream_device_id.new", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    upr_close(f);
    /* The write goes on, and ends, without the upstream. */
    char text[64];
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    while (read(fd, text, sizeof text) <= 0) {
        (void)sched_yield(); /* the runner ends a case that hangs */
    }
    assert_int_equal(close(fd), 0);
}

/* ---- a login ---- */

static void write_cookies(struct upstream_rig *f, const char *text)
{
    FILE *file = fopen(f->cookie_path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void nav_says(struct upstream_rig *f, const char *who)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{%s,\"wbi_img\":{\"img_url\":\"https://i/7cd084941338484aae1ad9425b84077c.png\""
                   ",\"sub_url\":\"https://i/4932caff0ff746eab6f01bf08b70ac45.png\"}}}",
                   who);
    fake_web_answer(f->web, UPR_NAV, 200, text);
}

static void logged_in(void **state)
{
    struct upstream_rig *f = rig(state);
    struct upstream_info info;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    write_cookies(f, "SESSDATA=abc%2C; bili_jct=j; buvid3=FROM-THE-BROWSER-infoc");
    nav_says(f, "\"code\":0,\"data\":{\"isLogin\":true,\"mid\":\"3537119140000001\"");
    upr_close(f);
    f->opts.cookie_file = str_of(f->cookie_path);
    upr_open(f);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->danmu.uid, INT64_C(3537119140000001));
    assert_string_equal(f->buvid, "FROM-THE-BROWSER-infoc");
    assert_true(upr_sent(f, UPR_DANMU,
                         "Cookie: buvid3=FROM-THE-BROWSER-infoc; SESSDATA=abc%2C; bili_jct=j\r\n"));
    assert_int_equal(fake_web_n(f->web, UPR_SPI), 0);
    assert_int_equal(upr_logged(f, "logged in"), 1);
    upstream_info(f->up, &info);
    assert_int_equal(info.uid, INT64_C(3537119140000001));
    assert_false(info.login_expired);
    assert_int_equal(upr_logged(f, "abc"), 0);
}

static void a_login_that_expired(void **state)
{
    struct upstream_rig *f = rig(state);
    struct upstream_info info;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    write_cookies(f, "SESSDATA=abc");
    upr_close(f);
    f->opts.cookie_file = str_of(f->cookie_path);
    upr_open(f);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->danmu.uid, 0);
    assert_true(upr_sent(f, UPR_NAV, "SESSDATA=abc"));
    assert_false(upr_sent(f, UPR_DANMU, "SESSDATA"));
    upstream_info(f->up, &info);
    assert_true(info.login_expired);
    upr_advance(f, 3600 * 1000);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(upr_logged(f, "does not take the login"), 1);
    /* New cookies. */
    write_cookies(f, "SESSDATA=new");
    nav_says(f, "\"code\":0,\"data\":{\"isLogin\":true,\"mid\":5");
    upstream_configure(f->up, &f->opts);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->danmu.uid, 5);
    assert_true(upr_sent(f, UPR_DANMU, "SESSDATA=new"));
    upstream_info(f->up, &info);
    assert_false(info.login_expired);
    /* It ends between two questions: said by another address, once, and asked again without. */
    fake_web_once(f->web, UPR_DANMU, 200, "{\"code\":-101,\"message\":\"账号未登录\"}");
    nav_says(f, "\"code\":-101,\"data\":{\"isLogin\":false");
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->danmu.uid, 0);
    assert_int_equal(upr_logged(f, "does not take the login"), 2);
    /* Anonymous, the same answer is just an answer. */
    fake_web_answer(f->web, UPR_LIST, 200, "{\"code\":-101,\"message\":\"账号未登录\"}");
    upr_list(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_PROTO);
    assert_non_null(strstr(f->err.msg, "-101"));
}

/* SIGHUP while upstream is asked who the old cookies are: what it says then is not said of the new ones. */
static void cookies_replaced_while_asking(void **state)
{
    struct upstream_rig *f = rig(state);
    struct upstream_info info;
    upr_identity(f); /* nobody is logged in, whatever the cookies */
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    write_cookies(f, "SESSDATA=old");
    upr_close(f);
    f->opts.cookie_file = str_of(f->cookie_path);
    upr_open(f);
    upr_danmu(f, 1);
    for (unsigned i = 0; i < 2000 && fake_web_n(f->web, UPR_NAV) == 0; i++) {
        upr_turns(f, 1);
    }
    assert_true(upr_sent(f, UPR_NAV, "SESSDATA=old"));
    write_cookies(f, "SESSDATA=new");
    nav_says(f, "\"code\":0,\"data\":{\"isLogin\":true,\"mid\":5");
    upstream_configure(f->up, &f->opts);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->danmu.uid, 5);
    assert_true(upr_sent(f, UPR_NAV, "SESSDATA=new"));
    assert_true(upr_sent(f, UPR_DANMU, "SESSDATA=new"));
    assert_int_equal(fake_web_n(f->web, UPR_NAV), 2);
    assert_int_equal(upr_logged(f, "does not take the login"), 0);
    upstream_info(f->up, &info);
    assert_false(info.login_expired);
}

static void closed_while_asking_again(void **state)
{
    struct upstream_rig *f = rig(state);
    upr_identity(f);
    fake_web_answer(f->web, UPR_NAV, FAKE_WEB_SILENCE, "");
    upr_danmu(f, 1);
    for (unsigned i = 0; i < 2000 && fake_web_n(f->web, UPR_NAV) == 0; i++) {
        upr_turns(f, 1);
    }
    upstream_configure(f->up, &f->opts);
    upr_close(f);
    assert_int_equal(f->code, ERR_CANCELED);
}

static void cookie_files_of_no_use(void **state)
{
    struct upstream_rig *f = rig(state);
    struct upstream_info info;
    upr_identity(f);
    fake_web_answer(f->web, UPR_DANMU, 200, DANMU);
    upr_close(f);
    f->opts.cookie_file = str_of(f->cookie_path);
    upr_open(f); /* not there */
    assert_int_equal(upr_logged(f, "cookie_file cannot be used"), 1);
    write_cookies(f, "bili_jct=x");
    upstream_configure(f->up, &f->opts);
    assert_int_equal(upr_logged(f, "no SESSDATA"), 1);
    upstream_info(f->up, &info);
    assert_true(info.login_expired);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_false(upr_sent(f, UPR_DANMU, "bili_jct"));
    assert_int_equal(upr_logged(f, "does not take the login"), 0);
    write_cookies(f, "SESSDATA=x");
    upstream_configure(f->up, &f->opts);
    assert_int_equal(upr_logged(f, "chmod 600"), 1); /* as umask left it */
    assert_int_equal(unlink(f->cookie_path), 0);
    upstream_configure(f->up, &f->opts);
    assert_int_equal(upr_logged(f, "cookie_file cannot be used"), 3);
    upr_danmu(f, 1);
    upr_wait(f);
    assert_false(upr_sent(f, UPR_DANMU, "SESSDATA"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, upr_setup, upr_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(resolves),
        CASE(a_second_address_confirms_that_there_is_none),
        CASE(a_third_address_helps),
        CASE(status_of_many),
        CASE(lists),
        CASE(areas),
        CASE(hosts_and_token),
        CASE(the_key_grows_old),
        CASE(the_old_address_helps),
        CASE(device_id_by_other_ways),
        CASE(device_id_is_kept),
        CASE(device_id_that_cannot_be_kept),
        CASE(closing_does_not_wait_for_the_disk),
        CASE(logged_in),
        CASE(a_login_that_expired),
        CASE(cookies_replaced_while_asking),
        CASE(closed_while_asking_again),
        CASE(cookie_files_of_no_use),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
