/* The rooms that this process knows, in a file of data_dir: with it a start collects while the database is away, and neither
 * begins a room that was paused or removed nor leaves out one that was added over HTTP.
 *
 *      danmakud-rooms 1 NODE STOPPED_MS          0: running; else the process ended in order then
 *      ROOM SHORT CREATED_MS ORIGIN STATE FLAGS RANK [GROUPS]      a line for each
 *      end N
 *
 * Written anew when the set changes, at most once a second, with many rooms more rarely. It stands for this data directory
 * having been used by this node: without it, or with another node's, a start waits for the database. */
#include "server/app/app_priv.h"

#include <stdio.h>
#include <string.h>

#include "collector/fleet.h"
#include "server/app/app_file.h"
#include "server/core/mem.h"

enum {
    EVERY_MS = 1000,
    BYTES_MAX = 64 << 20, /* LIMIT: FLEET_ROOMS_MAX rooms with all the groups they may have */
    ROOMS_PER_S = 5000,   /* so many more rooms, so many seconds more between two writes */
    NUMBERS = 7,
};
enum { IS_BY_API = 1, IS_PINNED = 2, IS_COLLECTED = 4, IS_UNSTORED = 8 };

#define HEAD "danmakud-rooms 1 "

struct app_rooms_file {
    struct app *app; /* borrowed */
    struct app_file file;
    char *text;               /* owned: what was found; groups of `rooms` point into it */
    struct fleet_kept *rooms; /* owned */
    size_t n;
    const char *unusable; /* why; NULL: it can be used */
    int64_t stopped_ms;
    struct loop_timer timer;
    uint64_t version; /* as it was written */
    unsigned rest;    /* ticks without a write */
    bool begun;       /* there is something to write */
    bool failing;     /* told once */
    struct buf out;
    size_t n_out;
};

/* ---- reading ---- */

static bool take_numbers(struct str *line, int64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str part;
        if (!str_split(line, ' ', &part) || !str_to_i64(part, &v[i])) {
            return false;
        }
    }
    return true;
}

/* In place: a NUL takes the place of the end of the line. */
static bool take_room(char *base, struct str line, struct fleet_kept *ret)
{
    int64_t v[NUMBERS];
    if (!take_numbers(&line, v, NUMBERS) || v[0] <= 0 || v[3] < 0 || v[3] >= FLEET_ORIGINS ||
        v[4] < 0 || v[4] >= FLEET_LEFT || v[6] < 0) {
        return false;
    }
    char *groups = line.len > 0 ? base + (line.ptr - base) : NULL;
    if (groups != NULL) {
        groups[line.len] = '\0';
    }
    *ret = (struct fleet_kept){.room_id = v[0],
                               .short_id = v[1],
                               .created_ms = v[2],
                               .origin = (enum fleet_origin)v[3],
                               .state = (enum fleet_state)v[4],
                               .by_api = (v[5] & IS_BY_API) != 0,
                               .pinned = (v[5] & IS_PINNED) != 0,
                               .collected = (v[5] & IS_COLLECTED) != 0,
                               .unstored = (v[5] & IS_UNSTORED) != 0,
                               .rank = (unsigned)v[6],
                               .groups = groups != NULL ? groups : ""};
    return true;
}

/* NULL, or why it cannot be used. */
static const char *parse(struct app_rooms_file *f, size_t len)
{
    static const char damaged[] = "what it notes about its rooms is damaged";
    struct str rest = {f->text, len};
    struct str line;
    int64_t head[2];
    size_t lines = 0;
    for (size_t i = 0; i < len; i++) {
        lines += f->text[i] == '\n';
    }
    f->rooms = mem_new_array(struct fleet_kept, lines + 1);
    if (!str_split(&rest, '\n', &line) || !str_starts(line, STR(HEAD))) {
        return damaged;
    }
    line = str_sub(line, sizeof(HEAD) - 1, line.len);
    if (!take_numbers(&line, head, 2)) {
        return damaged;
    }
    if (head[0] != f->app->config->node) {
        return "another node number used this data directory";
    }
    f->stopped_ms = head[1];
    while (str_split(&rest, '\n', &line)) {
        int64_t n;
        if (str_starts(line, STR("end "))) {
            return str_to_i64(str_sub(line, 4, line.len), &n) && n == (int64_t)f->n ? NULL
                                                                                    : damaged;
        }
        if (!take_room(f->text, line, &f->rooms[f->n++])) {
            return damaged;
        }
    }
    return damaged;
}

/* ---- writing ---- */

static void put_room(void *ctx, const struct fleet_kept *r)
{
    struct app_rooms_file *f = ctx;
    const int flags = (r->by_api ? IS_BY_API : 0) | (r->pinned ? IS_PINNED : 0) |
                      (r->collected ? IS_COLLECTED : 0) | (r->unstored ? IS_UNSTORED : 0);
    buf_printf(&f->out, "%lld %lld %lld %d %d %d %u %s\n", (long long)r->room_id,
               (long long)r->short_id, (long long)r->created_ms, (int)r->origin, (int)r->state,
               flags, r->rank, r->groups);
    f->n_out++;
}

static void make_text(struct app_rooms_file *f, int64_t stopped_ms)
{
    const struct fleet *fleet = f->app->fleet;
    buf_init(&f->out, BYTES_MAX);
    f->version = fleet_kept_version(fleet);
    f->n_out = 0;
    buf_printf(&f->out, HEAD "%lld %lld\n", (long long)f->app->config->node, (long long)stopped_ms);
    fleet_each_kept(fleet, put_room, f);
    buf_printf(&f->out, "end %zu\n", f->n_out);
    f->rest = (unsigned)(f->n_out / ROOMS_PER_S);
}

static void on_written(void *ctx, int sys)
{
    struct app_rooms_file *f = ctx;
    char text[ERR_MSG_BYTES];
    if (sys != 0 && !f->failing) {
        LOG(WARN, "app",
            "the set of rooms is not noted on disk, trying again: a start without the database "
            "would "
            "collect an older one",
            KV_CSTR("file", f->file.path),
            KV_CSTR("error", uv_strerror_r(-sys, text, sizeof text)));
    }
    if (sys != 0) {
        stats_inc(f->app->stats, STAT_ROOMS_UNNOTED);
        f->version--; /* once more */
    }
    f->failing = sys != 0;
}

static void on_timer(void *ctx)
{
    struct app_rooms_file *f = ctx;
    if (f->file.busy || f->version == fleet_kept_version(f->app->fleet)) {
        return;
    }
    if (f->rest > 0) {
        f->rest--;
        return;
    }
    make_text(f, 0);
    if (buf_ok(&f->out)) {
        app_file_write(&f->file, &f->out);
    } else {
        buf_deinit(&f->out);
        on_written(f, ENOMEM);
    }
}

/* ---- in and out ---- */

void app_rooms_file_open(struct app *app, const char *data_dir)
{
    struct app_rooms_file *f = mem_new(struct app_rooms_file);
    size_t len = 0;
    bool ok = false;
    app->rooms_file = f;
    f->app = app;
    app_file_init(&f->file, app->loop, data_dir, "rooms.known");
    f->file.sync = true;
    f->file.done = on_written;
    f->file.ctx = f;
    loop_timer_init(&f->timer, app->loop, on_timer, f);
    f->text = app_file_read(&f->file, BYTES_MAX, &len, &ok);
    f->unusable = f->text == NULL ? "this data directory is new to this node"
                  : !ok           ? "what it notes about its rooms cannot be read"
                                  : parse(f, len);
}

const char *app_rooms_file_found(const struct app *app, const struct fleet_kept **ret,
                                 size_t *ret_n)
{
    const struct app_rooms_file *f = app->rooms_file;
    *ret = f->rooms;
    *ret_n = f->n;
    return f->unusable;
}

bool app_rooms_file_stopped(const struct app *app)
{
    const struct app_rooms_file *f = app->rooms_file;
    return f->stopped_ms > 0 && f->stopped_ms >= app->alive_ms;
}

void app_rooms_file_start(struct app *app)
{
    struct app_rooms_file *f = app->rooms_file;
    if (f != NULL && !f->begun) {
        f->begun = true;
        f->version = fleet_kept_version(app->fleet) - 1;
        loop_timer_start(&f->timer, 1, EVERY_MS);
    }
}

void app_rooms_file_stop(struct app *app)
{
    if (app->rooms_file != NULL) {
        loop_timer_stop(&app->rooms_file->timer);
    }
}

/* Before the fleet goes. */
void app_rooms_file_close(struct app *app)
{
    struct app_rooms_file *f = app->rooms_file;
    if (f == NULL) {
        return;
    }
    if (f->begun) {
        make_text(f, loop_wall_ms(app->loop));
        if (buf_ok(&f->out)) {
            (void)app_file_write_now(&f->file, &f->out);
        }
        buf_deinit(&f->out);
    }
    app_file_deinit(&f->file);
    mem_free(f->rooms);
    mem_free(f->text);
    mem_free(TAKE_PTR(app->rooms_file));
}
