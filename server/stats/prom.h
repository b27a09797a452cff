/* server/stats/prom.h - lines of the Prometheus text format 0.0.4.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdint.h>

#include "server/core/buf.h"

void prom_head(struct buf *out, const char *metric, const char *type, const char *help);
void prom_i64(struct buf *out, const char *metric, const char *labels,
              int64_t value);                                         /* labels: a="b" or "" */
void prom_label(struct buf *out, const char *name, struct str value); /* name="escaped value" */
