#include "server/db/db_stats.h"

#include "server/stats/stats.h"

void db_count_error(struct stats *stats, enum err_code code)
{
    switch (code) {
    case ERR_OK:
    case ERR_CANCELED:
    case ERR_FULL: /* has its own */
        return;
    case ERR_UNAVAILABLE:
        stats_inc(stats, STAT_DB_ERRORS_UNAVAILABLE);
        return;
    case ERR_TIMEOUT:
        stats_inc(stats, STAT_DB_ERRORS_TIMEOUT);
        return;
    case ERR_RETRY:
        stats_inc(stats, STAT_DB_ERRORS_RETRY);
        return;
    case ERR_INVALID:
        stats_inc(stats, STAT_DB_ERRORS_INVALID);
        return;
    case ERR_TOO_BIG:
        stats_inc(stats, STAT_DB_ERRORS_TOO_BIG);
        return;
    case ERR_AUTH:
    case ERR_FORBIDDEN:
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
    case ERR_CORRUPT:
    case ERR_INTERNAL:
    case ERR_PROTO:
    case ERR_IO:
    case ERR_NOMEM:
    case ERR_CODES:
        stats_inc(stats, STAT_DB_ERRORS_INTERNAL);
        return;
    }
}
