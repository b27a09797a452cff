/* server/db/db_rows_priv.h - what a struct db_rows is.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <libpq-fe.h>

#include "server/db/db.h"

struct db_rows {
    const PGresult *res; /* borrowed from the connection for the time of the callback */
};
