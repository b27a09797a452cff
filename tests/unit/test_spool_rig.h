/* tests/unit/test_spool_rig.h - a spool in a folder of its own, and a record of all it said.
 *
 * The clock is a fake one: it moves by rig_advance only. A restart closes the spool and opens it again; a crash opens a
 * copy of the files as they are at that moment, which is what kill -9 leaves behind.
 *
 * Threading:  main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "server/core/buf.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/spool/spool.h"
#include "server/stats/stats.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

struct rig_id {
    int64_t id;
    bool durable;
};

struct rig_hold {
    int64_t key;
    int64_t until_ms;
    char text[64];
};

struct rig {
    struct tmp_dir tmp;
    char dir[TMP_PATH_BYTES];
    struct clock_fake clock;
    struct loop *loop;
    struct stats *stats;
    struct spool_opts opts;
    struct spool *s; /* NULL: closed */
    struct spool_found found;
    struct rig_id *written; /* as on_written told */
    size_t n_written;
    size_t cap_written;
    struct spool_dropped *dropped; /* as on_dropped told */
    size_t n_dropped;
    size_t cap_dropped;
    unsigned n_dropped_calls;
    bool reading;
    struct event **read; /* owned references of the last read */
    size_t n_read;
    struct rig_hold holds[64];
    size_t n_holds;
    bool closed;
    void (*hook)(struct rig *r); /* called within on_written, before it returns */
    unsigned n_copies;
};

int rig_setup(void **state); /* small limits: 256 KiB, segments of 16 KiB, policy oldest */
int rig_teardown(void **state);
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

void rig_open(struct rig *r);
void rig_close(struct rig *r);
void rig_restart(struct rig *r);
void rig_crash(struct rig *r); /* kill -9, then a start */

void rig_draft(struct event_draft *d, int64_t id); /* depends on the id only */
void rig_append(struct rig *r, int64_t id);
void rig_append_many(struct rig *r, int64_t first, size_t n);
void rig_check(const struct event *e); /* it is what rig_draft makes for its id */

/* Turns the loop until it is so; fails the case when that takes too long. */
#define rig_until(r, expr)                                                                         \
    do {                                                                                           \
        unsigned turns_ = 0;                                                                       \
        while (!(expr)) {                                                                          \
            rig_turn(r);                                                                           \
            if (++turns_ > 5000) {                                                                 \
                fail_msg("never: %s", #expr);                                                      \
            }                                                                                      \
        }                                                                                          \
    } while (0)
void rig_turn(struct rig *r);
void rig_advance(struct rig *r, int64_t ms); /* and one turn */
void rig_settle(struct rig *r); /* all appended has been told, and no segment retires */

void rig_read(struct rig *r, int64_t after, size_t max_rows); /* waits; result in r->read */
size_t rig_read_all(struct rig *r, int64_t after, size_t max_rows,
                    int64_t **ret_ids); /* mem_free it */
void rig_holds(struct rig *r);          /* into r->holds */

unsigned rig_segments(const char *dir, char names[][32], unsigned max); /* sorted */
int64_t rig_stat(const struct rig *r, enum stats_row row);
void rig_metric(struct rig *r, const char *line); /* the exposition has this line */
void rig_quiet(void);                             /* expected errors are not printed */
uint64_t rig_lost(const struct rig *r);           /* sum of n over r->dropped */
