#include "tests/support/upstream_rig.h"

#include <poll.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"

enum { LOG_MAX = 1 << 20, TURNS_MAX = 20000, TICK_MS = 100, QUIET_TURNS = 4 };

static void on_log(void *ctx, struct str line)
{
    struct upstream_rig *f = ctx;
    buf_put(&f->log, line);
}

void upr_open(struct upstream_rig *f)
{
    f->closed = false;
    f->up = upstream_new(f->loop, &f->opts, f->stats);
}

int upr_setup(void **state)
{
    const uint64_t live_before = mem_live_count();
    struct upstream_rig *f = mem_new(struct upstream_rig);
    f->live_before = live_before;
    clock_fake_init(&f->clock, UPR_WALL_MS * INT64_C(1000));
    f->loop = loop_new();
    loop_set_clock(f->loop, &f->clock.base);
    f->stats = stats_new();
    f->web = fake_web_new(f->loop);
    tmp_dir_make(&f->dir);
    tmp_path(&f->dir, "cookies", f->cookie_path);
    buf_init(&f->log, LOG_MAX);
    log_set_sink(on_log, f);
    f->opts = (struct upstream_opts){
        .live_url = str_of(fake_web_url(f->web)),
        .api_url = str_of(fake_web_url(f->web)),
        .www_url = str_of(fake_web_url(f->web)),
        .user_agent = STR("test browser"),
        .state_dir = str_of(f->dir.path),
        .timeout_ms = UPR_TIMEOUT_MS,
        .rate = 10,
        .burst = 5,
        .breaker_ms = UPR_BREAKER_MS,
        .seed = 1,
    };
    upr_open(f);
    *state = f;
    return 0;
}

static void on_closed(void *ctx)
{
    struct upstream_rig *f = ctx;
    f->closed = true;
    f->up = NULL;
}

void upr_close_now(struct upstream_rig *f)
{
    upstream_close(f->up, on_closed, f);
}

void upr_close(struct upstream_rig *f)
{
    upr_close_now(f);
    assert_true(loop_run_until(f->loop, &f->closed, 2000));
}

int upr_teardown(void **state)
{
    struct upstream_rig *f = *state;
    if (f->up) {
        upr_close(f);
    }
    assert_int_equal(f->n_asked, f->n_told);
    fake_web_free(f->web);
    stats_free(f->stats);
    loop_free(f->loop);
    tmp_dir_remove(&f->dir);
    log_set_sink(NULL, NULL);
    buf_deinit(&f->log);
    mem_free(f);
    return 0;
}

void upr_identity(struct upstream_rig *f)
{
    fake_web_answer(f->web, UPR_SPI, 200,
                    "{\"code\":0,\"data\":{\"b_3\":\"D9656DA8-9BEF-336379044infoc\"}}");
    fake_web_answer(f->web, UPR_NAV, 200,
                    "{\"code\":-101,\"message\":\"x\",\"data\":{\"isLogin\":false,\"wbi_img\":{"
                    "\"img_url\":\"https://i/7cd084941338484aae1ad9425b84077c.png\","
                    "\"sub_url\":\"https://i/4932caff0ff746eab6f01bf08b70ac45.png\"}}}");
}

/* ---- what is told ---- */

static void told(struct upstream_rig *f, enum err_code code, const struct err *err)
{
    f->n_told++;
    f->n_codes[code]++;
    f->code = code;
    assert_int_equal(err != NULL, code != ERR_OK);
    f->err = err ? *err : (struct err){.code = ERR_OK};
    assert_int_equal(f->err.code, code);
}

static void copy(char *to, size_t size, struct str text)
{
    assert_true(text.len < size);
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    to[text.len] = '\0';
}

static void on_room(void *ctx, enum err_code code, const struct upstream_room *room,
                    const struct err *err)
{
    struct upstream_rig *f = ctx;
    told(f, code, err);
    if (code == ERR_OK) {
        f->room = *room;
        copy(f->title, sizeof f->title, room->title);
    }
}

static void on_rooms(void *ctx, enum err_code code, const struct upstream_room *rooms, size_t n,
                     const struct err *err)
{
    struct upstream_rig *f = ctx;
    told(f, code, err);
    f->n_rooms = n;
    for (size_t i = 0; i < n && i < ARRAY_LEN(f->room_ids); i++) {
        f->room_ids[i] = rooms[i].room_id;
        f->room = rooms[i];
        copy(f->title, sizeof f->title, rooms[i].title);
    }
}

static void on_areas(void *ctx, enum err_code code, const struct upstream_area *areas, size_t n,
                     const struct err *err)
{
    struct upstream_rig *f = ctx;
    told(f, code, err);
    f->n_areas = n;
    for (size_t i = 0; i < n && i < ARRAY_LEN(f->areas); i++) {
        f->areas[i] = areas[i];
    }
    if (n > 0) {
        copy(f->area_name, sizeof f->area_name, areas[0].name);
    }
}

static void on_danmu(void *ctx, enum err_code code, const struct upstream_danmu *info,
                     const struct err *err)
{
    struct upstream_rig *f = ctx;
    told(f, code, err);
    if (code == ERR_OK) {
        f->danmu = *info;
        f->first = info->hosts[0];
        copy(f->token, sizeof f->token, info->token);
        copy(f->buvid, sizeof f->buvid, info->buvid);
        copy(f->host, sizeof f->host, info->hosts[0].host);
    }
}

void upr_resolve(struct upstream_rig *f, int64_t room)
{
    f->n_asked++;
    upstream_resolve(f->up, room, on_room, f);
}

void upr_status(struct upstream_rig *f, const int64_t *ids, size_t n)
{
    f->n_asked++;
    upstream_status(f->up, ids, n, on_rooms, f);
}

void upr_list(struct upstream_rig *f, unsigned page)
{
    f->n_asked++;
    upstream_list(f->up, 0, 0, page, 50, on_rooms, f);
}

void upr_areas(struct upstream_rig *f)
{
    f->n_asked++;
    upstream_areas(f->up, on_areas, f);
}

void upr_danmu(struct upstream_rig *f, int64_t room)
{
    f->n_asked++;
    upstream_danmu_info(f->up, room, false, on_danmu, f);
}

/* ---- time ---- */

/* True: something was there to do. */
static bool turn(struct upstream_rig *f)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(f->loop)), .events = POLLIN};
    const int ready = poll(&p, 1, 1);
    (void)loop_turn(f->loop);
    return ready > 0;
}

void upr_turns(struct upstream_rig *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        (void)turn(f);
    }
}

void upr_wait(struct upstream_rig *f)
{
    unsigned quiet = 0;
    struct patience p = {0};
    while (f->n_told < f->n_asked && patience_left(&p, TURNS_MAX)) {
        quiet = turn(f) ? 0 : quiet + 1;
        if (quiet >= QUIET_TURNS) {
            clock_fake_advance(&f->clock, TICK_MS);
            quiet = 0;
        }
    }
    assert_int_equal(f->n_told, f->n_asked);
}

void upr_advance(struct upstream_rig *f, int64_t ms)
{
    clock_fake_advance(&f->clock, ms);
    upr_turns(f, 20);
}

/* ---- what was seen ---- */

static bool contains(struct str text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

bool upr_sent(const struct upstream_rig *f, const char *path, const char *text)
{
    return contains(fake_web_last(f->web, path), text);
}

unsigned upr_logged(const struct upstream_rig *f, const char *text)
{
    struct str rest = buf_str(&f->log);
    struct str line;
    unsigned n = 0;
    while (str_split(&rest, '\n', &line)) {
        n += contains(line, text);
    }
    return n;
}
