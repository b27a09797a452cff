#include "server/stats/stats.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "server/stats/prom.h"

struct stat_row {
    enum stats_type type;
    const char *metric;
    const char *labels;
    const char *help;
};

#define STATS_TYPE_COUNTER STATS_COUNTER
#define STATS_TYPE_GAUGE STATS_GAUGE
static const struct stat_row ROWS[STATS] = {
#define X(name, type, metric, labels, help)                                                        \
    [STAT_##name] = {STATS_TYPE_##type, metric, labels, help},
#include "server/stats/counters.def"
#undef X
};

/* Upper bounds. Prometheus wants seconds; the text stands beside the number so that it is exact. */
struct bucket {
    double upper_ms;
    const char *le;
};
static const struct bucket BUCKETS[] = {
    {0.5, "0.0005"}, {1, "0.001"}, {2, "0.002"}, {5, "0.005"},  {10, "0.01"},
    {20, "0.02"},    {50, "0.05"}, {100, "0.1"}, {200, "0.2"},  {500, "0.5"},
    {1000, "1"},     {2000, "2"},  {5000, "5"},  {10000, "10"}, {30000, "30"},
};

struct stats_histogram {
    struct list_node node; /* in stats.histograms */
    const char *metric;    /* borrowed, a literal of the owner */
    const char *help;      /* borrowed */
    uint64_t count;
    double sum_ms;
    uint64_t in_bucket[ARRAY_LEN(BUCKETS)]; /* not cumulative */
};

struct scraper {
    struct list_node node; /* in stats.scrapers */
    stats_scrape_fn *fn;
    void *ctx; /* borrowed */
};

struct stats {
    int64_t value[STATS];
    struct list histograms; /* owned */
    struct list scrapers;   /* owned */
};

struct stats *stats_new(void)
{
    struct stats *s = mem_new(struct stats);
    list_init(&s->histograms);
    list_init(&s->scrapers);
    return s;
}

void stats_free(struct stats *s)
{
    if (s == NULL) {
        return;
    }
    struct list_node *n;
    while ((n = list_first(&s->histograms)) != NULL) {
        list_remove(&s->histograms, n);
        mem_free(CONTAINER_OF(n, struct stats_histogram, node));
    }
    while ((n = list_first(&s->scrapers)) != NULL) {
        list_remove(&s->scrapers, n);
        mem_free(CONTAINER_OF(n, struct scraper, node));
    }
    mem_free(s);
}

void stats_add(struct stats *s, enum stats_row which, int64_t delta)
{
    if (s != NULL) {
        s->value[which] += delta;
    }
}

void stats_set(struct stats *s, enum stats_row which, int64_t value)
{
    if (s != NULL) {
        s->value[which] = value;
    }
}

int64_t stats_get(const struct stats *s, enum stats_row which)
{
    return s != NULL ? s->value[which] : 0;
}

struct stats_histogram *stats_histogram_new(struct stats *s, const char *metric, const char *help)
{
    static const char unit[] = "_seconds";
    if (s == NULL) {
        return NULL;
    }
    const size_t len = strlen(metric);
    ASSERT(len >= sizeof unit && strcmp(metric + len - (sizeof unit - 1), unit) == 0);
    struct stats_histogram *h = mem_new(struct stats_histogram);
    h->metric = metric;
    h->help = help;
    list_push_back(&s->histograms, &h->node);
    return h;
}

void stats_observe_ms(struct stats_histogram *h, double ms)
{
    if (h == NULL) {
        return;
    }
    h->count++;
    h->sum_ms += ms;
    for (size_t i = 0; i < ARRAY_LEN(BUCKETS); i++) {
        if (ms <= BUCKETS[i].upper_ms) {
            h->in_bucket[i]++;
            return;
        }
    }
}

void stats_on_scrape(struct stats *s, stats_scrape_fn *fn, void *ctx)
{
    if (s == NULL) {
        return;
    }
    struct scraper *scraper = mem_new(struct scraper);
    scraper->fn = fn;
    scraper->ctx = ctx;
    list_push_back(&s->scrapers, &scraper->node);
}

void stats_off_scrape(struct stats *s, const void *ctx)
{
    if (s == NULL) {
        return;
    }
    struct list_node *next;
    for (struct list_node *n = list_first(&s->scrapers); n != NULL; n = next) {
        next = list_next(&s->scrapers, n);
        struct scraper *scraper = CONTAINER_OF(n, struct scraper, node);
        if (scraper->ctx == ctx) {
            list_remove(&s->scrapers, n);
            mem_free(scraper);
        }
    }
}

static bool same_metric(const struct stat_row *a, const struct stat_row *b)
{
    return strcmp(a->metric, b->metric) == 0;
}

/* All rows of a metric stand under one head, wherever they are in the table: the format asks for it. */
static void write_rows(const struct stats *s, struct buf *out)
{
    bool done[STATS] = {false};
    for (size_t i = 0; i < STATS; i++) {
        if (done[i]) {
            continue;
        }
        prom_head(out, ROWS[i].metric, ROWS[i].type == STATS_COUNTER ? "counter" : "gauge",
                  ROWS[i].help);
        for (size_t j = i; j < STATS; j++) {
            if (same_metric(&ROWS[i], &ROWS[j])) {
                prom_i64(out, ROWS[j].metric, ROWS[j].labels, s->value[j]);
                done[j] = true;
            }
        }
    }
}

static void write_histogram(const struct stats_histogram *h, struct buf *out)
{
    prom_head(out, h->metric, "histogram", h->help);
    uint64_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(BUCKETS); i++) {
        total += h->in_bucket[i];
        buf_printf(out, "%s_bucket{le=\"%s\"} ", h->metric, BUCKETS[i].le);
        buf_put_u64(out, total);
        buf_put_c(out, '\n');
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} ", h->metric);
    buf_put_u64(out, h->count);
    buf_printf(out, "\n%s_sum %.6f\n%s_count ", h->metric, h->sum_ms / 1000.0, h->metric);
    buf_put_u64(out, h->count);
    buf_put_c(out, '\n');
}

void stats_write_prometheus(struct stats *s, struct buf *out)
{
    write_rows(s, out);
    for (struct list_node *n = list_first(&s->histograms); n != NULL;
         n = list_next(&s->histograms, n)) {
        write_histogram(CONTAINER_OF(n, struct stats_histogram, node), out);
    }
    for (struct list_node *n = list_first(&s->scrapers); n != NULL;
         n = list_next(&s->scrapers, n)) {
        struct scraper *scraper = CONTAINER_OF(n, struct scraper, node);
        scraper->fn(scraper->ctx, out);
    }
}
