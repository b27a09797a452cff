/* The database at a start: private or external, its schema brought up to date. Commands end if it is away; the service asks
 * from the thread pool, as it may have to collect meanwhile. */
#include "server/app/app_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/backoff.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "server/db/migrate.h"

enum {
    CONNINFO_BYTES = 4096,
    RETRY_MS = 2000,
    TELL_AGAIN_MS = 60000, /* that it is away */
    PG_WATCH_MS =
        1000, /* a private server is looked at so often; base of the waits between starts */
    PG_BACKOFF_MAX_MS = 30000,
    PG_JITTER_PCT = 25,
    PG_HEALTHY_MS = 60000,
};

/* data_dir of the configuration, or the default of this user. */
static void data_dir_path(const struct config *config, struct buf *out)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (config->data_dir[0] != '\0') {
        buf_put(out, str_of(config->data_dir));
    } else if (geteuid() == 0) {
        buf_put(out, STR("/var/lib/danmakud"));
    } else if (xdg != NULL && xdg[0] == '/') {
        buf_printf(out, "%s/danmakud", xdg);
    } else {
        const struct passwd *pw = home == NULL ? getpwuid(geteuid()) : NULL;
        buf_printf(out, "%s/.local/share/danmakud", home != NULL ? home : (pw ? pw->pw_dir : "."));
    }
    buf_put_c(out, '\0');
}

void app_data_dir_settle(struct config *config)
{
    struct buf dir;
    buf_init(&dir, APP_PATH_BYTES);
    data_dir_path(config, &dir);
    if (config->data_dir[0] == '\0' && buf_ok(&dir)) {
        size_t len = 0;
        mem_free(config->data_dir);
        config->data_dir = buf_take(&dir, &len);
    }
    buf_deinit(&dir);
}

bool app_database_exists(const struct config *config, const char *command)
{
    struct buf dir;
    struct buf path;
    if (config->database_url[0] != '\0' || config->database_url_file[0] != '\0') {
        return true;
    }
    buf_init(&dir, APP_PATH_BYTES);
    buf_init(&path, APP_PATH_BYTES);
    data_dir_path(config, &dir);
    buf_printf(&path, "%s/postgres/PG_VERSION", buf_ok(&dir) ? dir.data : "");
    buf_put_c(&path, '\0');
    const bool there = buf_ok(&path) && access(path.data, F_OK) == 0;
    if (!there) {
        (void)fprintf(stderr,
                      "danmakud %s: no private PostgreSQL in %s (%s)%s%s.\n"
                      "Pass --data-dir with the directory of the service, or --database-url; "
                      "danmakud migrate makes a new one.\n",
                      command, buf_ok(&dir) ? dir.data : "a path that is too long",
                      config_is_default(config, "data_dir") ? "the data directory if none is given"
                                                            : "data_dir",
                      errno != ENOENT ? ": " : "", errno != ENOENT ? strerror(errno) : "");
    }
    buf_deinit(&path);
    buf_deinit(&dir);
    return there;
}

static enum err_code make_dirs(char *path, struct err *err)
{
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char keep = *p;
        *p = '\0';
        if (mkdir(path, 0750) != 0 && errno != EEXIST) {
            return err_set_sys(err, ERR_IO, errno, "data_dir: cannot make %s", path);
        }
        *p = keep;
        if (keep == '\0') {
            return ERR_OK;
        }
    }
}

enum err_code app_data_dir(const struct config *config, struct buf *out, struct err *err)
{
    data_dir_path(config, out);
    return buf_ok(out) ? make_dirs(out->data, err)
                       : err_set(err, ERR_INVALID, "data_dir: the path is too long");
}

void app_step_down(const struct config *config)
{
    struct stat st;
    struct buf dir;
    if (geteuid() != 0 || config->database_url[0] != '\0' || config->database_url_file[0] != '\0') {
        return;
    }
    buf_init(&dir, APP_PATH_BYTES);
    data_dir_path(config, &dir);
    if (buf_ok(&dir) && stat(dir.data, &st) == 0 && st.st_uid != 0) {
        const struct passwd *pw = getpwuid(st.st_uid);
        if (pw == NULL || initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
            setuid(st.st_uid) != 0) {
            LOG(WARN, "app", "cannot become the owner of data_dir", KV_I64("uid", st.st_uid));
        }
    }
    buf_deinit(&dir);
}

static enum err_code read_secret(const char *path, char **ret, struct err *err)
{
    char text[CONNINFO_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_sys(err, ERR_IO, errno, "database_url_file: cannot open %s", path);
    }
    ssize_t n = read(fd, text, sizeof(text));
    (void)close(fd);
    if (n < 0 || (size_t)n == sizeof(text)) {
        return err_set(err, ERR_INVALID, "database_url_file: %s is unreadable or too long", path);
    }
    struct str s = str_trim((struct str){text, (size_t)n});
    *ret = mem_dup(s.ptr, s.len);
    return *ret != NULL ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

static enum err_code conninfo_open(struct config *config, struct private_pg **ret_pg, char **ret,
                                   struct err *err)
{
    if (config->database_url_file[0] != '\0') {
        return read_secret(config->database_url_file, ret, err);
    }
    const char *conninfo = config->database_url;
    if (conninfo[0] == '\0') {
        struct buf dir;
        buf_init(&dir, APP_PATH_BYTES);
        enum err_code code = app_data_dir(config, &dir, err);
        if (code == ERR_OK) {
            LOG(INFO, "app", "starting the private PostgreSQL", KV_CSTR("data_dir", dir.data));
            code = private_pg_start(dir.data, ret_pg, err);
            if (code != ERR_OK) {
                err_wrap(err, "data_dir %s", dir.data);
            }
        }
        buf_deinit(&dir);
        if (code != ERR_OK) {
            return code;
        }
        conninfo = private_pg_conninfo(*ret_pg);
    }
    *ret = mem_dup(conninfo, strlen(conninfo));
    return *ret != NULL ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

static int exit_of(enum err_code code)
{
    return code == ERR_CONFLICT ? EXIT_SCHEMA : code == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

static int no_database(enum err_code code, const struct err *err)
{
    LOG(ERROR, "app", "no database", KV_CSTR("error", err->msg));
    return exit_of(code);
}

static bool has_no_answer(enum err_code code)
{
    return code == ERR_UNAVAILABLE || code == ERR_TIMEOUT || code == ERR_RETRY;
}

/* Of a command: whoever typed it is told at once, and may do so again. */
static int gave_up(bool is_private, const struct err *err)
{
    if (is_private) {
        LOG(ERROR, "app", "the private PostgreSQL does not answer: check that data_dir is right",
            KV_CSTR("error", err->msg));
    } else {
        LOG(ERROR, "app", "the database does not answer: check database_url and that it runs",
            KV_CSTR("error", err->msg));
    }
    return EXIT_FAILED;
}

static void tell_schema(const struct migrate_result *result)
{
    LOG(INFO, "app", "database schema", KV_I64("from", result->from_version),
        KV_I64("to", result->to_version));
}

static void tell_away(const struct err *err)
{
    LOG(WARN, "app",
        "the database does not answer, trying again in 2 s: check database_url and that it runs",
        KV_CSTR("error", err->msg));
}

int app_database_find(struct config *config, struct private_pg **ret_pg, char **ret_conninfo)
{
    struct err err = {0};
    enum err_code code = conninfo_open(config, ret_pg, ret_conninfo, &err);
    return code == ERR_OK ? EXIT_OK : no_database(code, &err);
}

int app_database_open(struct config *config, struct private_pg **ret_pg, char **ret_conninfo)
{
    struct err err = {0};
    struct migrate_result result = {0};
    int status = app_database_find(config, ret_pg, ret_conninfo);
    if (status != EXIT_OK) {
        return status;
    }
    const enum err_code code = migrate_run(*ret_conninfo, &result, &err);
    if (code != ERR_OK) {
        const bool is_private = *ret_pg != NULL;
        private_pg_stop(TAKE_PTR(*ret_pg));
        mem_free(TAKE_PTR(*ret_conninfo));
        return has_no_answer(code) ? gave_up(is_private, &err) : no_database(code, &err);
    }
    tell_schema(&result);
    return EXIT_OK;
}

/* ---- the schema, while the loop runs ---- */

struct app_schema {
    struct app *app;
    uv_work_t work;
    struct loop_timer again;
    int64_t told_ms; /* mono: when it was last told that the database is away; 0 never */
    /* Of the thread while it works: */
    struct migrate_result result;
    struct err err;
    enum err_code code;
    bool working;
};

static void migrate_work(uv_work_t *work)
{
    struct app_schema *s = work->data;
    s->code = migrate_run(s->app->conninfo, &s->result, &s->err);
}

static void schema_away(struct app_schema *s)
{
    const int64_t now = loop_now_ms(s->app->loop);
    if (s->told_ms == 0 || now - s->told_ms >= TELL_AGAIN_MS) {
        tell_away(&s->err);
        s->told_ms = now;
    }
    loop_timer_start(&s->again, RETRY_MS, 0);
}

/* Is it to be tried again? What is collected meanwhile is worth waiting also for a server that answers nonsense. */
static bool is_away(const struct app *app, enum err_code code)
{
    return has_no_answer(code) || (app->early && code == ERR_INTERNAL);
}

static void on_migrated(uv_work_t *work, int status)
{
    struct app_schema *s = work->data;
    struct app *app = s->app;
    s->working = false;
    if (app->phase == APP_STOPPING) {
        return;
    }
    if (status != 0) { /* only what was cancelled, and nobody does */
        s->code = err_set(&s->err, ERR_UNAVAILABLE, "no thread");
    }
    if (is_away(app, s->code)) {
        schema_away(s);
    } else if (s->code != ERR_OK) {
        app_stop(app, no_database(s->code, &s->err));
    } else {
        tell_schema(&s->result);
        app_on_schema(app);
    }
}

static void migrate_again(void *ctx)
{
    struct app_schema *s = ctx;
    s->working = uv_queue_work(loop_uv(s->app->loop), &s->work, migrate_work, on_migrated) == 0;
    if (!s->working) {
        loop_timer_start(&s->again, RETRY_MS, 0);
    }
}

void app_schema_start(struct app *app)
{
    struct app_schema *s = mem_new(struct app_schema);
    app->schema = s;
    s->app = app;
    s->work.data = s;
    loop_timer_init(&s->again, app->loop, migrate_again, s);
    migrate_again(s);
}

void app_schema_stop(struct app *app)
{
    loop_timer_stop(&app->schema->again);
}

bool app_schema_working(const struct app *app)
{
    return app->schema->working;
}

void app_schema_free(struct app *app)
{
    mem_free(TAKE_PTR(app->schema)); /* the loop is over: nothing works any more */
}

/* ---- a private server that ends ---- */

struct app_pg_watch {
    struct app *app;
    struct loop_timer timer;
    struct rng rng;
    struct backoff backoff;
    int64_t started_ms; /* mono: when it was last started again; 0: never */
    bool down;          /* and is not known to answer since */
};

static void start_again(struct app_pg_watch *w)
{
    struct err err = {0};
    char last[ERR_MSG_BYTES];
    private_pg_last_words(w->app->pg, last, sizeof last);
    int64_t wait_ms = backoff_next_ms(&w->backoff, &w->rng);
    if (!w->down) {
        LOG(ERROR, "app", "the private PostgreSQL has ended: it is started again",
            KV_CSTR("last_line", last), KV_I64("next_try_ms", wait_ms));
        stats_inc(w->app->stats, STAT_PRIVATE_PG_RESTARTS);
    }
    w->down = true;
    w->started_ms = loop_now_ms(w->app->loop);
    if (private_pg_again(w->app->pg, &err) != ERR_OK) {
        LOG(ERROR, "app", "the private PostgreSQL cannot be started, trying again",
            KV_CSTR("error", err.msg), KV_I64("next_try_ms", wait_ms));
    }
    loop_timer_start(&w->timer, wait_ms, PG_WATCH_MS);
}

static void on_pg_watch(void *ctx)
{
    struct app_pg_watch *w = ctx;
    if (!private_pg_runs(w->app->pg)) {
        start_again(w);
    } else if (w->down && db_is_up(w->app->db)) {
        w->down = false;
        LOG(INFO, "app", "the private PostgreSQL runs again",
            KV_I64("after_ms", loop_now_ms(w->app->loop) - w->started_ms));
    } else if (!w->down && loop_now_ms(w->app->loop) - w->started_ms > PG_HEALTHY_MS) {
        backoff_reset(&w->backoff);
    }
}

void app_pg_watch(struct app *app)
{
    if (app->pg == NULL) {
        return;
    }
    struct app_pg_watch *w = mem_new(struct app_pg_watch);
    w->app = app;
    rng_seed_system(&w->rng);
    backoff_init(&w->backoff, PG_WATCH_MS, PG_BACKOFF_MAX_MS, PG_JITTER_PCT);
    loop_timer_init(&w->timer, app->loop, on_pg_watch, w);
    loop_timer_start(&w->timer, PG_WATCH_MS, PG_WATCH_MS);
    app->pg_watch = w;
}

void app_pg_unwatch(struct app *app)
{
    if (app->pg_watch != NULL) {
        loop_timer_stop(&app->pg_watch->timer);
        mem_free(TAKE_PTR(app->pg_watch));
    }
}

int app_migrate(struct config *config)
{
    struct private_pg *pg = NULL;
    char *conninfo = NULL;
    app_step_down(config);
    int status = app_database_open(config, &pg, &conninfo);
    private_pg_leave(pg);
    mem_free(conninfo);
    return status;
}
