/* Spans that the database has not got yet, in a file beside the spool: what is known to be missing survives kill -9 during an
 * outage of the database, too. While the database takes what comes there is no such file.
 *
 * One line per span, the number of lines at the end; written anew when it changed, at most once a second, above
 * SPANS_PER_S spans more rarely. A start takes what it finds into its ledger, from where it is stored, which changes nothing
 * where that was done already. What passes SPANS_BYTES_MAX is not written (counted, logged): the last one that fitted stays.
 * The file is not synced: a power loss may take the last second of it, or all. */
#include "server/app/app_coverage_priv.h"
#include "server/app/app_file.h"

#include <stdio.h>
#include <string.h>

#include "server/core/mem.h"

enum {
    EVERY_MS = 1000,
    SPANS_BYTES_MAX = 16 << 20, /* more is not written, and not read */
    SPANS_PER_S = 5000, /* so many more spans, so many seconds more between two writes ... */
    REST_MAX = 30,      /* ... up to so many */
    NUMBERS = 7,
};

struct coverage_file {
    struct app *app; /* borrowed */
    struct app_file file;
    char *found; /* owned: text that the spans of `spans`, and of the ledger, point into */
    struct coverage_span *spans; /* owned */
    size_t n;
    struct buf text; /* being made */
    bool failing;
    uint64_t changes; /* of what the file says, or was to say */
    unsigned rest;    /* ticks without a write */
    bool too_large;   /* what was to be written: only a change makes it fit */
    struct loop_timer timer;
};

/* ---- reading ---- */

static bool take_number(struct str *line, int64_t *ret)
{
    struct str part;
    return str_split(line, ' ', &part) && str_to_i64(part, ret);
}

/* Words of ours, and so short. In place: a NUL takes the place of the space behind it. */
static const char *take_word(char *base, struct str *line)
{
    struct str part;
    if (!str_split(line, ' ', &part) || part.len == 0) {
        return NULL;
    }
    char *word = base + (part.ptr - base);
    word[part.len] = '\0';
    return word;
}

static bool parse(char *base, struct str line, struct coverage_span *ret)
{
    int64_t v[NUMBERS];
    for (size_t i = 0; i < NUMBERS; i++) {
        if (!take_number(&line, &v[i])) {
            return false;
        }
    }
    const char *cause = take_word(base, &line);
    const char *extra = take_word(base, &line);
    if (cause == NULL || extra == NULL || v[1] < 0 || v[1] >= COVERAGE_SOURCES || v[3] < v[2]) {
        return false;
    }
    *ret = (struct coverage_span){.room_id = v[0],
                                  .source = (enum coverage_source)v[1],
                                  .from_ms = v[2],
                                  .to_ms = v[3],
                                  .first_id = v[4],
                                  .last_id = v[5],
                                  .n = (uint64_t)v[6],
                                  .cause = cause,
                                  .extra = strcmp(extra, "-") != 0 ? extra : NULL};
    return true;
}

/* The whole file, or nothing of it: false. */
static bool parse_all(struct coverage_file *f, size_t len)
{
    struct str rest = {f->found, len};
    struct str line;
    size_t lines = 0;
    for (size_t i = 0; i < len; i++) {
        lines += f->found[i] == '\n';
    }
    f->spans = mem_new_array(struct coverage_span, lines + 1);
    while (str_split(&rest, '\n', &line)) {
        int64_t n;
        if (str_starts(line, STR("end "))) {
            return str_to_i64(str_sub(line, 4, line.len), &n) && n == (int64_t)f->n;
        }
        if (!parse(f->found, line, &f->spans[f->n])) {
            return false;
        }
        f->n++;
    }
    return false;
}

static void read_found(struct coverage_file *f)
{
    size_t len = 0;
    bool ok = false;
    f->found = app_file_read(&f->file, SPANS_BYTES_MAX, &len, &ok);
    if (f->found == NULL) {
        return;
    }
    if (!ok || !parse_all(f, len)) {
        LOG(WARN, "app", "what was noted about missing times cannot be read, it is left out",
            KV_CSTR("file", f->file.path));
        f->n = 0;
    } else if (f->n > 0) {
        LOG(INFO, "app", "coverage that the last process could not store", KV_I64("spans", f->n));
    }
}

/* ---- writing ---- */

static bool put_span(void *ctx, const struct coverage_span *s)
{
    struct coverage_file *f = ctx;
    buf_printf(&f->text, "%lld %d %lld %lld %lld %lld %llu %s %s\n", (long long)s->room_id,
               (int)s->source, (long long)s->from_ms, (long long)s->to_ms, (long long)s->first_id,
               (long long)s->last_id, (unsigned long long)s->n, s->cause,
               s->extra != NULL ? s->extra : "-");
    return true;
}

static void failed(struct coverage_file *f, const char *why)
{
    stats_inc(f->app->stats, STAT_COVERAGE_UNNOTED);
    if (!f->failing) {
        f->failing = true;
        LOG(WARN, "app", "missing times are not noted on disk, trying again; the database is away",
            KV_CSTR("file", f->file.path), KV_CSTR("error", why));
    }
}

/* False: it does not fit, there is nothing to write. */
static bool collect(struct coverage_file *f)
{
    buf_init(&f->text, SPANS_BYTES_MAX);
    size_t n = coverage_each_unstored(f->app->coverage->ledger, put_span, f);
    buf_printf(&f->text, "end %zu\n", n);
    f->rest = n / SPANS_PER_S < REST_MAX ? (unsigned)(n / SPANS_PER_S) : REST_MAX;
    f->too_large = !buf_ok(&f->text);
    if (f->too_large) { /* a part of it would be read as damaged */
        buf_deinit(&f->text);
        failed(f, "more spans wait than the file may have");
    }
    return !f->too_large;
}

static void on_written(void *ctx, int sys)
{
    struct coverage_file *f = ctx;
    if (sys == 0) {
        f->failing = false;
    } else {
        char text[ERR_MSG_BYTES];
        failed(f, uv_strerror_r(-sys, text, sizeof(text)));
    }
}

static void on_timer(void *ctx)
{
    struct coverage_file *f = ctx;
    struct coverage *ledger = f->app->coverage->ledger;
    if (f->file.busy) {
        return;
    }
    bool nothing = coverage_n_unstored(ledger) == 0;
    bool same = f->changes == coverage_changes(ledger);
    if (nothing ? !f->file.there : same && (f->too_large || (!f->failing && f->file.there))) {
        return;
    }
    if (!nothing && f->rest > 0) {
        f->rest--;
        return;
    }
    f->changes = coverage_changes(ledger);
    if (nothing) {
        app_file_remove(&f->file);
    } else if (collect(f)) {
        app_file_write(&f->file, &f->text);
    }
}

/* ---- in and out ---- */

void app_coverage_file_open(struct app *app, const char *data_dir)
{
    struct coverage_file *f = mem_new(struct coverage_file);
    app->coverage->file = f;
    f->app = app;
    app_file_init(&f->file, app->loop, data_dir, "coverage.waiting");
    f->file.done = on_written;
    f->file.ctx = f;
    loop_timer_init(&f->timer, app->loop, on_timer, f);
    read_found(f);
}

size_t app_coverage_file_found(const struct app *app, const struct coverage_span **ret)
{
    const struct coverage_file *f = app->coverage->file;
    *ret = f != NULL ? f->spans : NULL;
    return f != NULL ? f->n : 0;
}

void app_coverage_file_start(struct app *app)
{
    if (app->coverage->file != NULL) {
        /* At once: what a start without the database derives nobody else may know. */
        loop_timer_start(&app->coverage->file->timer, 1, EVERY_MS);
    }
}

void app_coverage_file_stop(struct app *app)
{
    if (app->coverage->file != NULL) {
        loop_timer_stop(&app->coverage->file->timer);
    }
}

void app_coverage_file_close(struct app *app)
{
    struct coverage_file *f = app->coverage->file;
    if (f == NULL) {
        return;
    }
    loop_timer_stop(&f->timer);
    /* The loop is over: what is not stored now waits for the next start. One that never got that far leaves all as it is. */
    if (app->coverage->restored && coverage_n_unstored(app->coverage->ledger) > 0) {
        if (collect(f)) {
            (void)app_file_write_now(&f->file, &f->text);
        }
    } else if (app->coverage->restored && f->file.there) {
        app_file_remove_now(&f->file);
    }
    app_file_deinit(&f->file);
    mem_free(f->spans);
    mem_free(f->found);
    mem_free(TAKE_PTR(app->coverage->file));
}
