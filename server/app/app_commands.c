/* What upstream sent and nobody understood, from the collector's registry into table unknown_command.
 *
 * The registry counts since this process began; the table remembers how much of that is in it, so a statement whose
 * answer was lost is told again without counting twice. What a killed process had not told yet (FLUSH_MS) is missing
 * from the counts: the messages themselves are kept elsewhere, if they are (app_raw.c). */
#include "server/app/app_priv.h"

#include "collector/registry.h"
#include "server/core/mem.h"

enum {
    FLUSH_MS = 10000,
    LAST_FLUSH_MS = 2000,     /* LIMIT: what a stop waits for the database */
    COMMANDS_PER_FLUSH = 512, /* as many as the registry has */
    NAMES_MAX = 4096,         /* LIMIT: names in table command; those of later processes stay out */
};

struct app_commands {
    struct loop_timer timer;
    int64_t run;    /* this process */
    int64_t *told;  /* owned: unknown + broken of each entry, as the database has it */
    int64_t *sent;  /* owned: the same, of the statement under way */
    size_t n_names; /* in the statement under way */
    bool sending;
    bool failing;               /* told once */
    void (*stopped)(void *app); /* set: the last flush is under way */
};

static int64_t n_bad(const struct registry_entry *e)
{
    return (int64_t)(e->n[DECODE_UNKNOWN] + e->n[DECODE_BROKEN]);
}

static void last_done(void *ctx)
{
    struct app *app = ctx;
    struct app_commands *c = app->commands;
    void (*const stopped)(void *app2) = c->stopped;
    c->stopped = NULL;
    loop_timer_stop(&c->timer);
    if (stopped != NULL) {
        stopped(app);
    }
}

static void on_stored(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct app *app = ctx;
    struct app_commands *c = app->commands;
    c->sending = false;
    if (code != ERR_OK) {
        if (!c->failing && code != ERR_UNAVAILABLE && code != ERR_TIMEOUT && code != ERR_CANCELED) {
            c->failing = true;
            LOG(WARN, "app", "counts of unknown commands not stored, trying again",
                KV_CSTR("error", err->msg));
        }
        if (c->stopped != NULL) {
            last_done(app);
        }
        return; /* else the timer goes on */
    }
    c->failing = false;
    memcpy(c->told, c->sent, COMMANDS_PER_FLUSH * sizeof(*c->told));
    const size_t stored = db_rows_affected(rows);
    if (stored < c->n_names) {
        stats_add(app->stats, STAT_COMMANDS_UNSTORED, (int64_t)(c->n_names - stored));
    }
    if (c->stopped != NULL) {
        last_done(app);
    }
}

static const struct db_stmt store_stmt = {
    .name = "app_commands_store",
    .sql =
        "WITH told AS (SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], "
        "$5::int8[], $6::text[], $7::text[]) "
        "AS t(cmd, first_ms, last_ms, n_unknown, n_broken, reason, shape)), "
        "made AS (INSERT INTO command (cmd) SELECT cmd FROM told "
        "WHERE NOT EXISTS (SELECT FROM command AS c WHERE c.cmd = told.cmd) "
        "AND (SELECT count(*) FROM command) < $10::int8 ORDER BY cmd "
        "ON CONFLICT (cmd) DO UPDATE SET cmd = excluded.cmd RETURNING cmd_id, cmd), "
        "named AS (SELECT cmd_id, cmd FROM command UNION SELECT cmd_id, cmd FROM made) "
        "INSERT INTO unknown_command AS u (cmd_id, node, first_ms, last_ms, n_unknown, n_broken, "
        "run, run_unknown, run_broken, reason, shape) "
        "SELECT n.cmd_id, $8::int8::int2, t.first_ms, t.last_ms, t.n_unknown, t.n_broken, "
        "$9::int8, t.n_unknown, "
        "t.n_broken, nullif(t.reason, ''), nullif(t.shape, '')::json "
        "FROM told AS t JOIN named AS n USING (cmd) ORDER BY n.cmd_id "
        "ON CONFLICT (cmd_id, node) DO UPDATE SET "
        "first_ms = least(u.first_ms, excluded.first_ms), "
        "last_ms = greatest(u.last_ms, excluded.last_ms), "
        "n_unknown = u.n_unknown + excluded.n_unknown "
        "- CASE WHEN u.run = excluded.run THEN u.run_unknown ELSE 0 END, "
        "n_broken = u.n_broken + excluded.n_broken "
        "- CASE WHEN u.run = excluded.run THEN u.run_broken ELSE 0 END, "
        "run = excluded.run, run_unknown = excluded.run_unknown, "
        "run_broken = excluded.run_broken, reason = coalesce(excluded.reason, u.reason), "
        "shape = CASE WHEN length(excluded.shape::text) > coalesce(length(u.shape::text), 0) "
        "THEN excluded.shape ELSE u.shape END",
};

struct columns {
    struct str texts[3][COMMANDS_PER_FLUSH]; /* cmd, reason, shape */
    int64_t numbers[4][COMMANDS_PER_FLUSH];  /* first, last, unknown, broken */
    size_t n;
};

static void take_columns(struct app *app, struct columns *to)
{
    struct app_commands *c = app->commands;
    const struct registry *r = collector_registry(app->collector);
    for (size_t i = 0; i < registry_n(r) && i < COMMANDS_PER_FLUSH; i++) {
        const struct registry_entry *e = registry_at(r, i);
        c->sent[i] = n_bad(e);
        if (c->sent[i] == c->told[i]) {
            continue;
        }
        const size_t k = to->n++;
        to->texts[0][k] = e->cmd.len > 0 ? e->cmd : STR("");
        to->texts[1][k] = e->reason != NULL ? str_of(e->reason) : STR("");
        to->texts[2][k] = e->shape.len > 0 ? e->shape : STR("");
        to->numbers[0][k] = e->first_bad_ms;
        to->numbers[1][k] = e->last_bad_ms;
        to->numbers[2][k] = (int64_t)e->n[DECODE_UNKNOWN];
        to->numbers[3][k] = (int64_t)e->n[DECODE_BROKEN];
    }
}

static void flush(void *ctx)
{
    struct app *app = ctx;
    struct app_commands *c = app->commands;
    if (c->sending || app->collector == NULL || !db_is_up(app->db)) {
        return;
    }
    struct columns *k = mem_new(struct columns);
    take_columns(app, k);
    const struct db_arg args[] = {
        DB_ARG_TEXTS(k->texts[0], k->n),
        DB_ARG_I64S(k->numbers[0], k->n),
        DB_ARG_I64S(k->numbers[1], k->n),
        DB_ARG_I64S(k->numbers[2], k->n),
        DB_ARG_I64S(k->numbers[3], k->n),
        DB_ARG_TEXTS(k->texts[1], k->n),
        DB_ARG_TEXTS(k->texts[2], k->n),
        DB_ARG_I64(app->config->node),
        DB_ARG_I64(c->run),
        DB_ARG_I64(NAMES_MAX),
    };
    struct err err = {0};
    if (k->n > 0 &&
        db_query(app->db, &store_stmt, args, ARRAY_LEN(args), on_stored, app, &err) == ERR_OK) {
        c->sending = true;
        c->n_names = k->n;
    }
    mem_free(k);
}

void app_commands_flush(struct app *app)
{
    flush(app);
}

void app_commands_open(struct app *app)
{
    struct app_commands *c = mem_new(struct app_commands);
    app->commands = c;
    c->run = loop_wall_ms(app->loop);
    c->told = mem_new_array(int64_t, COMMANDS_PER_FLUSH);
    c->sent = mem_new_array(int64_t, COMMANDS_PER_FLUSH);
    loop_timer_init(&c->timer, app->loop, flush, app);
    loop_timer_start(&c->timer, FLUSH_MS, FLUSH_MS);
}

void app_commands_stop(struct app *app, void (*stopped)(void *app))
{
    struct app_commands *c = app->commands;
    loop_timer_stop(&c->timer);
    c->stopped = stopped;
    loop_timer_init(&c->timer, app->loop, last_done, app);
    loop_timer_start(&c->timer, c->sending ? LAST_FLUSH_MS : 0, 0);
}

void app_commands_close(struct app *app)
{
    if (app->commands != NULL) {
        mem_free(app->commands->told);
        mem_free(app->commands->sent);
        mem_free(TAKE_PTR(app->commands));
    }
}
