/* server/db/db_stats.h - counts failed operations by class.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/core/err.h"

struct stats;

void db_count_error(struct stats *stats, enum err_code code); /* ERR_OK and ERR_CANCELED: nothing */
