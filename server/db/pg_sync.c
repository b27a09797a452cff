#include "server/db/pg_sync.h"

#include <errno.h>
#include <poll.h>

#include "server/core/clock.h"
#include "server/db/db.h"
#include "server/db/pg_error.h"

static void on_notice(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

enum err_code pg_sync_connect(const char *conninfo, PGconn **ret, struct err *err)
{
    /* What stands before dbname is overridden by the conninfo in it, what stands behind is not. */
    static const char *const keys[] = {"connect_timeout", "gssencmode",      "application_name",
                                       "dbname",          "client_encoding", NULL};
    const char *const values[] = {"10", "disable", "danmakud", conninfo, "UTF8", NULL};
    enum err_code code = db_conninfo_check(conninfo, err);
    PGconn *conn;

    if (code) {
        return code;
    }
    conn = PQconnectdbParams(keys, values, 1);
    if (!conn) {
        return err_set(err, ERR_NOMEM, "connect: out of memory");
    }
    if (PQstatus(conn) != CONNECTION_OK) {
        code = pg_error_from_conn(err, conn);
        PQfinish(conn);
        return code;
    }
    (void)PQsetNoticeProcessor(conn, on_notice, NULL);
    code = pg_sync_exec(conn, "SET timezone TO 'UTC'; SET datestyle TO 'ISO'", 0, NULL, 10000, err);
    if (code) {
        PQfinish(conn);
        return code;
    }
    *ret = conn;
    return ERR_OK;
}

void pg_sync_close(PGconn **conn)
{
    PQfinish(*conn);
    *conn = NULL;
}

/* Until the server has answered as far as PQgetResult does not block. */
static enum err_code wait_answer(PGconn *conn, int64_t deadline_ms, struct err *err)
{
    while (PQisBusy(conn)) {
        struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};
        int64_t left = -1;

        if (deadline_ms >= 0) {
            left = deadline_ms - clock_mono_ms(clock_system());
            if (left <= 0) {
                return err_set(err, ERR_TIMEOUT, "the server does not answer");
            }
        }
        if (poll(&p, 1, left < 0 ? -1 : (int)left) < 0 && errno != EINTR) {
            return err_set_sys(err, ERR_IO, errno, "poll");
        }
        if (p.revents && !PQconsumeInput(conn)) {
            return pg_error_from_conn(err, conn);
        }
    }
    return ERR_OK;
}

/* The last result, which is the failed one if one failed: the server skips the rest of a script. */
static enum err_code last_result(PGconn *conn, int64_t timeout_ms, PGresult **ret, struct err *err)
{
    int64_t deadline_ms = timeout_ms ? clock_mono_ms(clock_system()) + timeout_ms : -1;
    PGresult *last = NULL;

    for (;;) {
        PGresult *res;
        enum err_code code = wait_answer(conn, deadline_ms, err);

        if (code) {
            PQclear(last);
            return code;
        }
        res = PQgetResult(conn);
        if (!res) {
            break;
        }
        PQclear(last);
        last = res;
        if (PQresultStatus(res) == PGRES_COPY_IN || PQresultStatus(res) == PGRES_COPY_OUT) {
            break; /* no COPY in scripts: the connection is closed with the error below */
        }
    }
    if (!last) {
        return err_set(err, ERR_INTERNAL, "an empty answer");
    }
    switch (PQresultStatus(last)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        *ret = last;
        return ERR_OK;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    enum err_code code = pg_error_from_result(err, last);
    PQclear(last);
    return code;
}

enum err_code pg_sync_query(PGconn *conn, const char *sql, int64_t timeout_ms, PGresult **ret,
                            struct err *err)
{
    if (!PQsendQuery(conn, sql)) {
        return pg_error_from_conn(err, conn);
    }
    return last_result(conn, timeout_ms, ret, err);
}

enum err_code pg_sync_exec(PGconn *conn, const char *sql, int n, const char *const *params,
                           int64_t timeout_ms, struct err *err)
{
    PGresult *res = NULL;
    int sent = n > 0 ? PQsendQueryParams(conn, sql, n, NULL, params, NULL, NULL, 0)
                     : PQsendQuery(conn, sql);
    enum err_code code;

    if (!sent) {
        return pg_error_from_conn(err, conn);
    }
    code = last_result(conn, timeout_ms, &res, err);
    if (!code) {
        PQclear(res);
    }
    return code;
}

void pg_sync_clear(PGresult **res)
{
    PQclear(*res);
    *res = NULL;
}
