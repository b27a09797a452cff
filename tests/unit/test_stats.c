/* Counters, histograms and their Prometheus text. The text is read back by a small strict parser, so that a bad row
 * in counters.def fails here and not in somebody's Prometheus. */
#include <stdlib.h>
#include <string.h>

#include "server/core/mem.h"
#include "server/stats/prom.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"

enum { OUT_LIMIT = 1 << 20, MAX_METRICS = 1024 };

static void expect_text(struct buf *b, const char *want)
{
    assert_true(buf_ok(b));
    buf_put_c(b, '\0');
    assert_string_equal(b->data, want);
    buf_deinit(b);
}

static void test_prom_lines(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, OUT_LIMIT);
    prom_head(&b, "m_total", "counter", "Says \"x\\y\"\nand more.");
    prom_i64(&b, "m_total", "", -5);
    prom_i64(&b, "m_total", "k=\"v\"", INT64_MAX);
    expect_text(&b, "# HELP m_total Says \"x\\\\y\"\\nand more.\n# TYPE m_total counter\n"
                    "m_total -5\nm_total{k=\"v\"} 9223372036854775807\n");

    buf_init(&b, OUT_LIMIT);
    prom_label(&b, "cmd", STR("a\"b\\c\nd"));
    prom_label(&b, "empty", STR_NULL);
    expect_text(&b, "cmd=\"a\\\"b\\\\c\\nd\"empty=\"\"");
}

static void test_counters(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    stats_inc(s, STAT_EVENTS_NOMEM);
    stats_add(s, STAT_EVENTS_NOMEM, 4);
    stats_set(s, STAT_BYTES_IN, 77);
    assert_int_equal(stats_get(s, STAT_EVENTS_NOMEM), 5);
    assert_int_equal(stats_get(s, STAT_BYTES_IN), 77);
    assert_int_equal(stats_get(s, STAT_EVENTS_PUBLISHED), 0);
    stats_add(NULL, STAT_EVENTS_NOMEM, 1);
    stats_set(NULL, STAT_EVENTS_NOMEM, 1);
    assert_int_equal(stats_get(NULL, STAT_EVENTS_NOMEM), 0);
    stats_free(s);
    stats_free(NULL);
}

static size_t name_len(const char *p)
{
    return strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

/* Labels of one sample, p behind '{'; returns the place behind '}'. */
static const char *check_labels(const char *p)
{
    for (;;) {
        const size_t n = name_len(p);
        assert_true(n > 0 && p[n] == '=' && p[n + 1] == '"');
        p += n + 2;
        while (*p != '"') {
            assert_true(*p != '\0' && *p != '\n');
            p += *p == '\\' ? 2 : 1;
        }
        p++;
        if (*p == '}') {
            return p + 1;
        }
        assert_true(*p++ == ',');
    }
}

/* A sample's name belongs to the metric whose # TYPE came last. */
static void check_sample(const char *line, const char *metric, const char *type)
{
    const size_t n = name_len(line);
    const size_t m = strlen(metric);
    assert_true(n >= m && memcmp(line, metric, m) == 0);
    if (strcmp(type, "histogram") != 0) {
        assert_int_equal(n, m);
    }
    const char *p = line + n;
    if (*p == '{') {
        p = check_labels(p + 1);
    }
    assert_true(*p == ' ');
    char *end = NULL;
    (void)strtod(p + 1, &end);
    assert_true(end != p + 1 && *end == '\0');
}

struct checker {
    char metric[200];
    char type[32];
    char seen[MAX_METRICS][200];
    size_t n_seen;
};

static void check_line(struct checker *c, const char *line)
{
    static const char help[] = "# HELP ";
    static const char type[] = "# TYPE ";
    if (strncmp(line, help, sizeof help - 1) == 0) {
        const char *name = line + sizeof help - 1;
        const size_t n = name_len(name);
        assert_true(n > 0 && n < sizeof c->metric && name[n] == ' ' && name[n + 1] != '\0');
        memcpy(c->metric, name, n);
        c->metric[n] = '\0';
        for (size_t i = 0; i < c->n_seen; i++) {
            assert_string_not_equal(c->seen[i], c->metric); /* one head per metric */
        }
        assert_true(c->n_seen < MAX_METRICS);
        memcpy(c->seen[c->n_seen++], c->metric, n + 1);
        c->type[0] = '\0';
    } else if (strncmp(line, type, sizeof type - 1) == 0) {
        const char *name = line + sizeof type - 1;
        const size_t n = strlen(c->metric);
        assert_true(strncmp(name, c->metric, n) == 0 && name[n] == ' ');
        assert_true(strlen(name + n + 1) < sizeof c->type);
        memcpy(c->type, name + n + 1, strlen(name + n + 1) + 1);
    } else {
        assert_true(c->type[0] != '\0');
        check_sample(line, c->metric, c->type);
    }
}

static void check_exposition(struct buf *b, struct checker *c)
{
    assert_true(buf_ok(b));
    assert_true(b->len > 0 && b->data[b->len - 1] == '\n');
    memset(c, 0, sizeof *c);
    char *line = b->data;
    while (line < b->data + b->len) {
        char *end = memchr(line, '\n', (size_t)(b->data + b->len - line));
        assert_non_null(end);
        *end = '\0';
        check_line(c, line);
        line = end + 1;
    }
}

static void scrape_rooms(void *ctx, struct buf *out)
{
    (void)ctx;
    prom_head(out, "test_rooms", "gauge", "Rooms by state.");
    struct buf labels;
    buf_init(&labels, 256);
    prom_label(&labels, "state", STR("odd \"one\""));
    buf_put_c(&labels, '\0');
    prom_i64(out, "test_rooms", labels.data, 3);
    buf_deinit(&labels);
}

static void test_exposition_is_valid(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct stats_histogram *h = stats_histogram_new(s, "test_batch_seconds", "Time of a batch.");
    stats_observe_ms(h, 1);
    stats_on_scrape(s, scrape_rooms, NULL);
    struct buf out;
    buf_init(&out, OUT_LIMIT);
    stats_write_prometheus(s, &out);
    struct checker *c = mem_new(struct checker);
    check_exposition(&out, c);
    assert_true(c->n_seen >= 3);
    mem_free(c);
    buf_deinit(&out);
    stats_free(s);
}

/* Counters end with _total, gauges do not, all are ours: what promtool's linter asks. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *type, *metric, *labels, *help;
    } rows[] = {
#define X(name, type, metric, labels, help) {#type, metric, labels, help},
#include "server/stats/counters.def"
#undef X
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t n = strlen(rows[i].metric);
        assert_int_equal(name_len(rows[i].metric), n);
        assert_true(strncmp(rows[i].metric, "danmakud_", 9) == 0);
        const bool total = n > 6 && strcmp(rows[i].metric + n - 6, "_total") == 0;
        assert_int_equal(total, strcmp(rows[i].type, "COUNTER") == 0);
        assert_true(rows[i].help[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            const bool same = strcmp(rows[i].metric, rows[j].metric) == 0;
            assert_false(same && strcmp(rows[i].labels, rows[j].labels) == 0);
            assert_false(same && strcmp(rows[i].type, rows[j].type) != 0);
        }
    }
}

static bool contains(const struct buf *b, const char *needle)
{
    return memmem(b->data, b->len, needle, strlen(needle)) != NULL;
}

static void test_histogram(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct stats_histogram *h = stats_histogram_new(s, "t_seconds", "T.");
    const double ms[] = {0, 0.5, 0.6, 100, 30000, 30001, 1e9};
    for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++) {
        stats_observe_ms(h, ms[i]);
    }
    struct buf out;
    buf_init(&out, OUT_LIMIT);
    stats_write_prometheus(s, &out);
    assert_true(contains(&out, "# TYPE t_seconds histogram\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"0.0005\"} 2\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"0.001\"} 3\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"0.05\"} 3\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"0.1\"} 4\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"30\"} 5\n"));
    assert_true(contains(&out, "t_seconds_bucket{le=\"+Inf\"} 7\n"));
    assert_true(contains(&out, "t_seconds_sum 1000060.102100\n"));
    assert_true(contains(&out, "t_seconds_count 7\n"));
    buf_deinit(&out);
    stats_free(s);
    assert_null(stats_histogram_new(NULL, "t_seconds", "T."));
    stats_observe_ms(NULL, 1);
}

static void count_scrape(void *ctx, struct buf *out)
{
    (void)out;
    ++*(int *)ctx;
}

static void test_scrape_off(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    int a = 0;
    int b = 0;
    stats_on_scrape(s, count_scrape, &a);
    stats_on_scrape(s, count_scrape, &b);
    stats_on_scrape(s, count_scrape, &a);
    struct buf out;
    buf_init(&out, OUT_LIMIT);
    stats_write_prometheus(s, &out);
    stats_off_scrape(s, &a);
    stats_write_prometheus(s, &out);
    assert_int_equal(a, 2);
    assert_int_equal(b, 2);
    buf_deinit(&out);
    stats_free(s);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prom_lines),          cmocka_unit_test(test_counters),
        cmocka_unit_test(test_exposition_is_valid), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_histogram),           cmocka_unit_test(test_scrape_off),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
