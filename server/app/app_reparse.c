/* `danmakud reparse`: kept messages decoded again; events that are missing get the ids they would have had.
 *
 *   connect -> temp table -> commands -> [ page of messages -> BEGIN, COPY, ADD, AMEND, CLEAN, LATER, COMMIT ] ... -> summary
 *
 * A page is one transaction, so an interrupted run leaves whole pages behind, and running it again adds what is left. An
 * event is added unless one with its id is there, or one with its natural key within REPEAT_MS (upstream says things
 * twice), or, for a guard purchase, one that tells of the same purchase. What is added is marked EVENT_F_BACKFILLED: it
 * is in lists and figures, never in the live feed. Its minutes are counted again by the running service. What is stored
 * already and says something about what was added (a recall, a deletion) is looked for: LATER, AMEND_LATER.
 *
 * What the running service has yet to write is left to it: ids beyond the marks of their node (the newest written; and where
 * everything was written while nothing came that is), unless their message could
 * not be read when it came, so that the writer has nothing of it. Added here, they would be refused to the writer. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "collector/wire/decode.h"
#include "collector/wire/pack.h"
#include "collector/writer/amend_rows.h"
#include "collector/writer/batch.h"
#include "server/app/app_reparse.h"
#include "server/app/app_reparse_priv.h"
#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/db/db_session.h"

static_assert((int)REPARSE_PLACES == (int)ID_NUMBERS_MAX * (int)ID_EVENTS_PER_MESSAGE,
              "what app_raw keeps free");

enum {
    PAGE_ROWS = 200,
    PAGE_EVENTS = PAGE_ROWS * REPARSE_PLACES,
    LATER_ROWS = 1000,
    PAGE_BYTES = 64 << 20,
    MESSAGE_BYTES = PACK_PLAIN_MAX + 1,
    REPEAT_MS = 600000,
    PURCHASE_MS = 10000, /* messages of one guard purchase are at most this far apart */
    PROGRESS_PAGES = 50,
    CONNECT_TIMEOUT_MS = 10000,
    STATEMENT_TIMEOUT_MS = 300000,
};

enum step {
    STEP_CONNECT,
    STEP_TEMP,
    STEP_COMMANDS,
    STEP_PAGE,
    STEP_BEGIN,
    STEP_COPY,
    STEP_ADD,
    STEP_AMEND,
    STEP_CLEAN,
    STEP_LATER, /* what is stored and says something about what was added */
    STEP_AMEND_LATER,
    STEP_END,
};

struct reparse {
    const struct reparse_opts *opts;
    uint32_t counted_kinds;
    struct loop *loop;
    struct db_session *session;
    struct decoder *decoder;
    struct packer *packer;
    struct amend_rows amends;
    struct event *
        *amending; /* owned references: the texts of amends are theirs; amends.n of them */
    struct buf packed;
    struct buf message;
    struct buf copy;
    enum step step;
    char *cmds[REPARSE_CMDS_MAX]; /* owned */
    size_t n_cmds;
    size_t cmd;
    int64_t after;
    size_t page_n;
    bool look_later; /* something was added that others may say something about */
    int64_t later;   /* id that STEP_LATER has reached */
    bool later_at_end;
    uint64_t pages;
    struct tally sum;
    struct tally one; /* of the command at hand */
    bool closing;
    int exit_code;
};

static void next(struct reparse *r);

static void on_closed(void *ctx)
{
    (void)ctx;
}

static void finish(struct reparse *r, int exit_code)
{
    if (!r->closing) {
        r->closing = true;
        r->exit_code = exit_code;
        db_session_close(r->session, on_closed, r);
    }
}

/* ---- what it says ---- */

static void end_command(struct reparse *r)
{
    reparse_tally_put(reparse_cmd_name(r->cmds[r->cmd]), &r->one);
    reparse_tally_add(&r->sum, &r->one);
    r->one = (struct tally){0};
    r->after = 0;
    if (++r->cmd < r->n_cmds) {
        r->step = STEP_PAGE;
        next(r);
        return;
    }
    reparse_tally_put(r->opts->dry_run ? "would be in all" : "in all", &r->sum);
    if (r->sum.added > 0 && !r->opts->dry_run) {
        printf("a running service shows them within seconds, and counts their minutes again\n");
    }
    finish(r, EXIT_OK);
}

static void say_progress(struct reparse *r)
{
    char text[CLOCK_RFC3339_BYTES];
    if (++r->pages % PROGRESS_PAGES == 0) {
        size_t n = clock_rfc3339(id_ts_ms(r->after), text);
        (void)fprintf(stderr, "%s: %llu messages, %llu events added, at %.*s\n",
                      reparse_cmd_name(r->cmds[r->cmd]), (unsigned long long)r->one.messages,
                      (unsigned long long)r->one.added, (int)n, text);
    }
}

/* ---- a page: messages to rows ---- */

static bool read_hex(struct str text, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    buf_clear(out);
    if (text.len < 2 || text.len % 2 != 0 || !str_starts(text, STR("\\x"))) {
        return false;
    }
    for (size_t i = 2; i < text.len; i += 2) {
        const char *high = memchr(digits, text.ptr[i], 16);
        const char *low = memchr(digits, text.ptr[i + 1], 16);
        if (high == NULL || low == NULL) {
            return false;
        }
        buf_put_c(out, (char)((high - digits) << 4 | (low - digits)));
    }
    return buf_ok(out);
}

/* Takes the event: it lives as long as what it says. */
static void take_amends(struct reparse *r, struct event *e)
{
    const size_t before = r->amends.n;
    if (before < PAGE_EVENTS) {
        amend_rows_add(&r->amends, e);
    }
    if (r->amends.n > before) {
        r->amending[before] = e;
    } else {
        event_unref(&e);
    }
}

static void take_event(struct reparse *r, int64_t id, const struct event_draft *draft)
{
    struct event_draft d = *draft;
    const bool counted = (r->counted_kinds >> (unsigned)d.kind & 1) != 0;
    r->one.events++;
    /* Added to the counts of its minute it would count twice the next time. */
    r->one.only_counted += counted;
    d.flags = (int16_t)(d.flags | EVENT_F_BACKFILLED);
    struct event *e = event_new(id, &d);
    if (e == NULL) {
        r->one.left_out += !counted;
        return;
    }
    if (!counted) {
        batch_put(&r->copy, e);
    }
    take_amends(r, e);
}

static void clear_amends(struct reparse *r)
{
    for (size_t i = 0; i < r->amends.n; i++) {
        event_unref(&r->amending[i]);
    }
    amend_rows_clear(&r->amends);
}

/* Columns: id, room_id, dict, body, the last id that may be added, places. */
static void take_message(struct reparse *r, const struct db_rows *rows, size_t row)
{
    struct decode_result res;
    struct err err = {0};
    const int64_t id = db_i64(rows, row, 0);
    r->one.messages++;
    buf_clear(&r->message);
    if (db_null(rows, row, 3) || !read_hex(db_text(rows, row, 3), &r->packed) ||
        unpack(r->packer, db_i64(rows, row, 2), buf_str(&r->packed), &r->message, &err) != ERR_OK) {
        r->one.unreadable++;
        return;
    }
    decode_message(r->decoder, db_i64(rows, row, 1), buf_str(&r->message), &res);
    r->one.unknown += res.status == DECODE_UNKNOWN;
    r->one.broken += res.status == DECODE_BROKEN;
    for (size_t i = 0; i < res.n; i++) {
        if ((int64_t)i >= db_i64(rows, row, 5)) {
            r->one.events++;
            r->one
                .left_out++; /* kept by an older release: the ids may be those of another message */
        } else if (id + (int64_t)i > db_i64(rows, row, 4)) {
            r->one.events++;
            r->one.unwritten++; /* a batch of the writer ended within the message */
        } else {
            take_event(r, id + (int64_t)i, &res.drafts[i]);
        }
    }
}

static void take_page(struct reparse *r, const struct db_rows *rows)
{
    r->page_n = db_rows_n(rows);
    if (r->page_n == 0) {
        end_command(r);
        return;
    }
    buf_clear(&r->copy);
    clear_amends(r);
    for (size_t i = 0; i < r->page_n; i++) {
        take_message(r, rows, i);
    }
    r->after = db_i64(rows, r->page_n - 1, 0);
    if (!buf_ok(&r->copy)) {
        (void)fprintf(stderr, "memory is short\n");
        finish(r, EXIT_FAILED);
        return;
    }
    r->look_later = false;
    r->step = r->copy.len > 0 || r->amends.n > 0 ? STEP_BEGIN : STEP_PAGE;
    if (r->step == STEP_PAGE) {
        say_progress(r);
    }
    next(r);
}

/* ---- steps ---- */

static void free_cmds(struct reparse *r)
{
    for (size_t i = 0; i < r->n_cmds; i++) {
        mem_free(r->cmds[i]);
    }
    r->n_cmds = 0;
}

static void take_commands(struct reparse *r, const struct db_rows *rows)
{
    for (size_t i = 0; i < db_rows_n(rows) && i < REPARSE_CMDS_MAX; i++) {
        const struct str name = db_text(rows, i, 0);
        char *copy = mem_dup(name.ptr, name.len);
        if (copy == NULL) {
            break;
        }
        r->cmds[r->n_cmds++] = copy;
    }
    if (r->n_cmds == 0) {
        printf("no message is kept of that command and time\n");
        finish(r, EXIT_OK);
        return;
    }
    r->step = STEP_PAGE;
    next(r);
}

static const struct db_stmt amend_stmt = {"reparse_amend", AMEND_ROWS_SQL};
static const struct db_stmt begin_stmt = {"reparse_begin", "BEGIN"};
static const struct db_stmt commit_stmt = {"reparse_commit", "COMMIT"};
static const struct db_stmt rollback_stmt = {"reparse_rollback", "ROLLBACK"};

static enum step step_later(struct reparse *r)
{
    r->later = 0;
    return r->look_later ? STEP_LATER : STEP_END;
}

static void take_later(struct reparse *r, const struct db_rows *rows)
{
    const size_t n = db_rows_n(rows);
    clear_amends(r);
    for (size_t i = 0; i < n; i++) {
        struct event_draft d;
        event_draft_init(&d, (enum event_kind)db_i64(rows, i, 2), db_i64(rows, i, 1));
        d.actor = db_i64(rows, i, 3);
        d.item_id = db_i64(rows, i, 4);
        d.extra = db_null(rows, i, 5) ? STR_NULL : db_text(rows, i, 5);
        r->later = db_i64(rows, i, 0);
        struct event *e = d.extra.len <= EVENT_EXTRA_MAX ? event_new(r->later, &d) : NULL;
        if (e != NULL) {
            take_amends(r, e);
        }
    }
    r->later_at_end = n < LATER_ROWS;
    r->step = r->amends.n > 0 ? STEP_AMEND_LATER : r->later_at_end ? STEP_END : STEP_LATER;
}

static void on_step(void *ctx, enum err_code code, const struct err *err,
                    const struct db_rows *rows)
{
    struct reparse *r = ctx;
    if (r->closing) {
        return;
    }
    if (code != ERR_OK) {
        (void)fprintf(stderr, "stopped: %s\nrun it again: it goes on with what is missing\n",
                      err->msg);
        finish(r, EXIT_FAILED);
        return;
    }
    switch (r->step) {
    case STEP_TEMP:
        r->step = STEP_COMMANDS;
        break;
    case STEP_COMMANDS:
        take_commands(r, rows);
        return;
    case STEP_PAGE:
        take_page(r, rows);
        return;
    case STEP_BEGIN:
        r->step = r->copy.len > 0 ? STEP_COPY : STEP_AMEND;
        break;
    case STEP_COPY:
        r->step = STEP_ADD;
        break;
    case STEP_ADD:
        r->one.added += (uint64_t)db_i64(rows, 0, 0);
        r->look_later = db_i64(rows, 0, 1) > 0;
        r->step = r->amends.n > 0 ? STEP_AMEND : step_later(r);
        break;
    case STEP_AMEND:
        r->step = STEP_CLEAN;
        break;
    case STEP_CLEAN:
        r->step = step_later(r);
        break;
    case STEP_LATER:
        take_later(r, rows);
        break;
    case STEP_AMEND_LATER:
        r->step = r->later_at_end ? STEP_END : STEP_LATER;
        break;
    case STEP_END:
        say_progress(r);
        r->step = STEP_PAGE;
        break;
    case STEP_CONNECT:
        UNREACHABLE();
    }
    next(r);
}

static enum err_code start_page(struct reparse *r, struct err *err)
{
    const struct db_arg args[] = {DB_ARG_TEXT(str_of(r->cmds[r->cmd])), DB_ARG_I64(r->after),
                                  DB_ARG_I64(r->opts->from_id), DB_ARG_I64(r->opts->to_id),
                                  DB_ARG_I64(PAGE_ROWS)};
    return db_session_exec(r->session, &reparse_page, args, ARRAY_LEN(args), on_step, r, err);
}

static enum err_code start_commands(struct reparse *r, struct err *err)
{
    const struct db_arg args[] = {r->opts->has_cmd ? DB_ARG_TEXT(r->opts->cmd) : DB_ARG_NULL,
                                  DB_ARG_I64(r->opts->from_id), DB_ARG_I64(r->opts->to_id),
                                  DB_ARG_I64(REPARSE_CMDS_MAX)};
    return db_session_exec(r->session, &reparse_commands, args, ARRAY_LEN(args), on_step, r, err);
}

static enum err_code start_step(struct reparse *r, struct err *err)
{
    struct db_arg args[AMEND_ROWS_ARGS];
    const struct db_arg apart[] = {DB_ARG_I64((int64_t)REPEAT_MS << ID_TIME_SHIFT),
                                   DB_ARG_I64((int64_t)PURCHASE_MS << ID_TIME_SHIFT)};
    switch (r->step) {
    case STEP_TEMP:
        return db_session_exec(r->session, &reparse_temp, NULL, 0, on_step, r, err);
    case STEP_COMMANDS:
        return start_commands(r, err);
    case STEP_PAGE:
        return start_page(r, err);
    case STEP_BEGIN:
        return db_session_exec(r->session, &begin_stmt, NULL, 0, on_step, r, err);
    case STEP_COPY:
        return db_session_copy(r->session, "COPY reparse_event (" BATCH_COLUMNS ") FROM STDIN",
                               buf_str(&r->copy), on_step, r, err);
    case STEP_ADD:
        return db_session_exec(r->session, &reparse_add, apart, ARRAY_LEN(apart), on_step, r, err);
    case STEP_LATER:
        return db_session_exec(
            r->session, &reparse_later,
            (const struct db_arg[]){DB_ARG_I64(r->later), DB_ARG_I64(LATER_ROWS)}, 2, on_step, r,
            err);
    case STEP_AMEND:
    case STEP_AMEND_LATER:
        amend_rows_args(&r->amends, args);
        return db_session_exec(r->session, &amend_stmt, args, AMEND_ROWS_ARGS, on_step, r, err);
    case STEP_CLEAN:
        return db_session_exec(r->session, &reparse_clean, NULL, 0, on_step, r, err);
    case STEP_END:
        return db_session_exec(r->session, r->opts->dry_run ? &rollback_stmt : &commit_stmt, NULL,
                               0, on_step, r, err);
    case STEP_CONNECT:
        break;
    }
    UNREACHABLE();
}

static void next(struct reparse *r)
{
    struct err err = {0};
    const enum err_code code = start_step(r, &err);
    if (code != ERR_OK) {
        (void)fprintf(stderr, "stopped: %s\n", err.msg);
        finish(r, EXIT_FAILED);
    }
}

static void on_up(void *ctx)
{
    struct reparse *r = ctx;
    if (r->step == STEP_CONNECT && !r->closing) {
        r->step = STEP_TEMP;
        next(r);
    }
}

static void on_down(void *ctx, const struct err *err)
{
    struct reparse *r = ctx;
    if (!r->closing) {
        (void)fprintf(stderr, "stopped: %s\nrun it again: it goes on with what is missing\n",
                      err->msg);
        finish(r, EXIT_FAILED);
    }
}

int app_reparse_run(const char *conninfo, const struct config *config,
                    const struct reparse_opts *opts)
{
    struct reparse *r = mem_new(struct reparse);
    r->opts = opts;
    r->counted_kinds = app_counted_kinds(config, NULL);
    r->loop = loop_new();
    r->decoder = decoder_new();
    r->packer = packer_new();
    r->exit_code = EXIT_FAILED;
    amend_rows_init(&r->amends, PAGE_EVENTS);
    r->amending = mem_new_array(struct event *, PAGE_EVENTS);
    buf_init(&r->packed, MESSAGE_BYTES);
    buf_init(&r->message, MESSAGE_BYTES);
    buf_init(&r->copy, PAGE_BYTES);
    const struct db_session_opts session = {
        .conninfo = conninfo,
        .application_name = "danmakud reparse",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = STATEMENT_TIMEOUT_MS,
        .on_up = on_up,
        .on_down = on_down,
        .ctx = r,
    };
    r->session = db_session_new(r->loop, &session, NULL);
    loop_run(r->loop);
    loop_free(r->loop);
    free_cmds(r);
    decoder_free(r->decoder);
    packer_free(r->packer);
    clear_amends(r);
    mem_free(r->amending);
    amend_rows_deinit(&r->amends);
    buf_deinit(&r->packed);
    buf_deinit(&r->message);
    buf_deinit(&r->copy);
    const int exit_code = r->exit_code;
    mem_free(r);
    return exit_code;
}
