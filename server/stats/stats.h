/* server/stats/stats.h - counters and gauges, and their Prometheus text.
 *
 * One row in counters.def makes the enum, the metric and the help. Values that another module already keeps (ring
 * bytes, rooms by state) are added at scrape time by collectors registered with stats_on_scrape.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdint.h>

#include "server/core/buf.h"

enum stats_type { STATS_COUNTER, STATS_GAUGE };
enum stats_row {
#define X(name, type, metric, labels, help) STAT_##name,
#include "server/stats/counters.def"
#undef X
    STATS
};

struct stats;
struct stats *stats_new(void);
void stats_free(struct stats *s);

void stats_add(struct stats *s, enum stats_row which,
               int64_t delta); /* s may be NULL: nothing is counted */
static inline void stats_inc(struct stats *s, enum stats_row which)
{
    stats_add(s, which, 1);
}
void stats_set(struct stats *s, enum stats_row which, int64_t value);
int64_t stats_get(const struct stats *s, enum stats_row which);

/* Histograms with fixed buckets from 0.5 ms to 30 s: batch time, request time. Observed in milliseconds, shown in
 * seconds as Prometheus wants: the metric's name ends with "_seconds" (asserted). metric and help are literals.
 * With s NULL the histogram is NULL and observing it does nothing. */
struct stats_histogram;
struct stats_histogram *stats_histogram_new(struct stats *s, const char *metric, const char *help);
void stats_observe_ms(struct stats_histogram *h, double ms);

/* fn writes complete exposition lines with prom_* (server/stats/prom.h). */
typedef void(stats_scrape_fn)(void *ctx, struct buf *out);
void stats_on_scrape(struct stats *s, stats_scrape_fn *fn, void *ctx);
void stats_off_scrape(struct stats *s, const void *ctx); /* every callback with this ctx */
void stats_write_prometheus(struct stats *s, struct buf *out);
