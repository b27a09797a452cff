#include "server/db/pg_error.h"

#include <string.h>

/* The first row whose prefix fits. Classes that db.h does not name are ERR_INTERNAL. */
static const struct {
    const char *prefix;
    enum err_code code;
} classes[] = {
    {"57014", ERR_TIMEOUT},     /* query_canceled: statement_timeout */
    {"08", ERR_UNAVAILABLE},    /* connection exception */
    {"57P", ERR_UNAVAILABLE},   /* shutdown, crash, starting up, database dropped */
    {"53", ERR_UNAVAILABLE},    /* disk full, out of memory, too many connections */
    {"58", ERR_UNAVAILABLE},    /* the server's files or disk failed */
    {"25006", ERR_UNAVAILABLE}, /* read-only: a standby, after a failover */
    {"25P03", ERR_UNAVAILABLE}, /* idle in transaction for too long: the session was ended */
    {"40", ERR_RETRY},          /* deadlock, serialization */
    {"55", ERR_RETRY},          /* lock not available, object in use */
    {"22", ERR_INVALID},        /* data exception */
    {"23", ERR_INVALID},        /* integrity constraint */
    {"54", ERR_INVALID},        /* a value is over a limit of the server, as of an index row */
};

enum err_code pg_error_code(const char *sqlstate)
{
    if (!sqlstate) {
        return ERR_UNAVAILABLE;
    }
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0) {
            return classes[i].code;
        }
    }
    return ERR_INTERNAL;
}

/* libpq's texts have several lines; the first one says it. */
static int first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

enum err_code pg_error_from_result(struct err *err, const PGresult *res)
{
    const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (!text) {
        text = PQresultErrorMessage(res);
    }
    return err_set(err, pg_error_code(sqlstate), "%s%s%.*s", sqlstate ? sqlstate : "",
                   sqlstate ? ": " : "", first_line(text), text);
}

enum err_code pg_error_from_conn(struct err *err, const PGconn *conn)
{
    const char *text = PQerrorMessage(conn);

    return err_set(err, ERR_UNAVAILABLE, "%.*s", first_line(text), text);
}
