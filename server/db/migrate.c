#include "server/db/migrate.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "server/core/clock.h"
#include "server/core/str.h"
#include "server/db/migrate_priv.h"
#include "server/db/pg_error.h"
#include "server/db/pg_sync.h"

/* LIMIT: a short statement; waiting for another process that migrates, and how often we look; a lock that somebody's
 * long query holds. */
enum { STATEMENT_MS = 30000, STARTER_MS = 60000, STARTER_STEP_MS = 100 };
#define LOCK_TIMEOUT "10s"
/* Any constant will do; all danmakuds use the same. */
#define LOCK_KEY "7236812340041"
enum { OLDEST_SERVER = 150000 };

static enum err_code check_server(PGconn *conn, struct err *err)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    if (PQserverVersion(conn) < OLDEST_SERVER) {
        return err_set(err, ERR_INVALID, "the server is PostgreSQL %d, 15 or newer is needed",
                       PQserverVersion(conn) / 10000);
    }
    if (!encoding || strcmp(encoding, "UTF8") != 0) {
        return err_set(err, ERR_INVALID,
                       "the database's encoding is %s; make a database with ENCODING 'UTF8'",
                       encoding ? encoding : "unknown");
    }
    return ERR_OK;
}

static bool is_true(const PGresult *res, int col)
{
    return strcmp(PQgetvalue(res, 0, col), "t") == 0;
}

/* The search path stays what the role or the conninfo made it, so that a schema of one's own is possible. But new
 * tables need a place, and nothing may come before pg_catalog, or somebody else's functions would run as ours. */
static enum err_code check_path(PGconn *conn, struct err *err)
{
    CLEANUP(pg_sync_clear) PGresult *res = NULL;
    enum err_code code =
        pg_sync_query(conn,
                      "SELECT pg_catalog.current_schema() OPERATOR(pg_catalog.<>) 'pg_catalog',"
                      " (pg_catalog.current_schemas(true))[1] OPERATOR(pg_catalog.=) 'pg_catalog'",
                      STATEMENT_MS, &res, err);

    if (code) {
        return code;
    }
    if (!is_true(res, 0)) {
        return err_set(err, ERR_INVALID, "the search_path names no schema to create tables in");
    }
    if (!is_true(res, 1)) {
        return err_set(err, ERR_INVALID, "the search_path has a schema before pg_catalog");
    }
    return ERR_OK;
}

static enum err_code open_conn(const char *conninfo, PGconn **ret, struct err *err)
{
    CLEANUP(pg_sync_close) PGconn *conn = NULL;
    enum err_code code = pg_sync_connect(conninfo, &conn, err);

    if (!code) {
        code = check_server(conn, err);
    }
    if (!code) {
        code = pg_sync_exec(conn,
                            "SET statement_timeout TO 0; SET lock_timeout TO '" LOCK_TIMEOUT "';"
                            "SET idle_in_transaction_session_timeout TO 0;"
                            "SET client_min_messages TO warning",
                            0, NULL, STATEMENT_MS, err);
    }
    if (!code) {
        code = check_path(conn, err);
    }
    if (!code) {
        *ret = TAKE_PTR(conn);
    }
    return code;
}

/* Asks again and again instead of waiting within pg_advisory_lock: a statement that waits is a transaction, and the
 * other starter's CREATE INDEX CONCURRENTLY would wait for it. */
static enum err_code lock(PGconn *conn, struct err *err)
{
    int64_t give_up = clock_mono_ms(clock_system()) + STARTER_MS;

    for (;;) {
        CLEANUP(pg_sync_clear) PGresult *res = NULL;
        enum err_code code = pg_sync_query(
            conn, "SELECT pg_catalog.pg_try_advisory_lock(" LOCK_KEY ")", STATEMENT_MS, &res, err);

        if (code) {
            return code;
        }
        if (is_true(res, 0)) {
            return ERR_OK; /* the end of the connection releases it */
        }
        if (clock_mono_ms(clock_system()) >= give_up) {
            return err_set(err, ERR_UNAVAILABLE, "another process has been migrating for %d s",
                           STARTER_MS / 1000);
        }
        (void)poll(NULL, 0, STARTER_STEP_MS);
    }
}

static enum err_code compare_row(const struct migration_set *set, size_t i, const PGresult *res,
                                 struct err *err)
{
    struct str version = str_of(PQgetvalue(res, (int)i, 0));
    const char *name = PQgetvalue(res, (int)i, 1);
    int64_t number;

    if (!str_to_i64(version, &number) || number != (int64_t)i + 1) {
        return err_set(err, ERR_CONFLICT, "schema_migrations has " STR_FMT " where %zu belongs",
                       STR_ARG(version), i + 1);
    }
    if (i >= set->n) {
        return err_set(err, ERR_CONFLICT,
                       "the schema has %s, this program ends at version %zu: run a newer danmakud",
                       name, set->n);
    }
    if (strcmp(PQgetvalue(res, (int)i, 2), set->rows[i].sha256) != 0) {
        return err_set(err, ERR_CONFLICT, "migration %s differs from the one that was applied",
                       set->rows[i].name);
    }
    return ERR_OK;
}

/* How far the schema is. Applied files must be the first ones of the set, unchanged. */
static enum err_code read_version(PGconn *conn, const struct migration_set *set, int *ret,
                                  struct err *err)
{
    CLEANUP(pg_sync_clear) PGresult *there = NULL;
    CLEANUP(pg_sync_clear) PGresult *res = NULL;
    enum err_code code =
        pg_sync_query(conn, "SELECT pg_catalog.to_regclass('schema_migrations') IS NOT NULL",
                      STATEMENT_MS, &there, err);

    if (code) {
        return code;
    }
    if (!is_true(there, 0)) {
        *ret = 0;
        return ERR_OK;
    }
    code = pg_sync_query(conn, "SELECT version, name, sha256 FROM schema_migrations ORDER BY 1",
                         STATEMENT_MS, &res, err);
    for (int i = 0; !code && i < PQntuples(res); i++) {
        code = compare_row(set, (size_t)i, res, err);
    }
    if (!code) {
        *ret = PQntuples(res);
    }
    return code;
}

static enum err_code note_applied(PGconn *conn, const struct migration *m, struct err *err)
{
    char version[16];
    const char *params[] = {version, m->name, m->sha256, "danmakud " DM_VERSION};

    snprintf(version, sizeof(version), "%d", m->version);
    return pg_sync_exec(conn,
                        "INSERT INTO schema_migrations (version, name, sha256, applied_by)"
                        " VALUES ($1, $2, $3, $4 || ' as ' || current_user)",
                        ARRAY_LEN(params), params, STATEMENT_MS, err);
}

static enum err_code make_table(PGconn *conn, struct err *err)
{
    return pg_sync_exec(conn,
                        "CREATE TABLE IF NOT EXISTS schema_migrations ("
                        "version int4 PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
                        "applied_at timestamptz NOT NULL DEFAULT now(), applied_by text NOT NULL)",
                        0, NULL, STATEMENT_MS, err);
}

/* For what PostgreSQL does not do in a transaction (CREATE INDEX CONCURRENTLY): one statement. */
static enum err_code apply_bare(PGconn *conn, const struct migration *m, struct err *err)
{
    enum err_code code = make_table(conn, err);

    if (!code) {
        code = pg_sync_exec(conn, m->sql, 0, NULL, 0, err);
    }
    return code ? code : note_applied(conn, m, err);
}

static enum err_code apply_in_transaction(PGconn *conn, const struct migration *m, struct err *err)
{
    enum err_code code = pg_sync_exec(conn, "BEGIN", 0, NULL, STATEMENT_MS, err);

    if (!code) {
        code = make_table(conn, err);
    }
    if (!code) {
        code = pg_sync_exec(conn, m->sql, 0, NULL, 0, err);
    }
    if (!code && PQtransactionStatus(conn) != PQTRANS_INTRANS) {
        code = err_set(err, ERR_INTERNAL, "the file ends its transaction itself");
    }
    if (!code) {
        code = note_applied(conn, m, err);
    }
    /* On any error the connection is closed, which rolls back. */
    return code ? code : pg_sync_exec(conn, "COMMIT", 0, NULL, 0, err);
}

static enum err_code apply(PGconn *conn, const struct migration *m, struct err *err)
{
    bool bare = str_starts(str_of(m->sql), STR("-- no-transaction\n"));
    enum err_code code = bare ? apply_bare(conn, m, err) : apply_in_transaction(conn, m, err);

    if (code) {
        err_wrap(err, "migration %s", m->name);
    }
    return code;
}

enum err_code migrate_with(const char *conninfo, const struct migration_set *set, bool do_apply,
                           struct migrate_result *ret, struct err *err)
{
    CLEANUP(pg_sync_close) PGconn *conn = NULL;
    int from = 0;
    enum err_code code = open_conn(conninfo, &conn, err);

    if (!code && do_apply) {
        code = lock(conn, err);
    }
    if (!code) {
        code = read_version(conn, set, &from, err);
    }
    for (size_t i = (size_t)from; !code && do_apply && i < set->n; i++) {
        code = apply(conn, &set->rows[i], err);
    }
    if (!code) {
        *ret = (struct migrate_result){.from_version = from, .to_version = (int)set->n};
    }
    return code;
}

enum err_code migrate_run(const char *conninfo, struct migrate_result *ret, struct err *err)
{
    return migrate_with(conninfo, &migrations_embedded, true, ret, err);
}

enum err_code migrate_check(const char *conninfo, struct migrate_result *ret, struct err *err)
{
    return migrate_with(conninfo, &migrations_embedded, false, ret, err);
}
