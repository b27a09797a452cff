/* collector/coverage_priv.h - the ledger as coverage.c, which writes it, and coverage_read.c see it.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stddef.h>

#include "collector/coverage.h"

struct coverage_room {
    int64_t id;
    struct coverage_span *spans; /* owned; those of a source in the order in which they were told */
    size_t n;
    size_t cap;
    size_t n_dirty;
    int64_t known_from; /* every span that ends later is here */
    int64_t link_ms;    /* of the newest change of the link */
    bool leaving;
};

struct coverage {
    struct coverage_room **rooms; /* owned; sorted by id */
    size_t n;
    size_t cap;
    size_t n_dirty;
    size_t n_lost_dirty;
    size_t n_sent;
    size_t n_lost_sent;
    int64_t start_ms;
    int64_t known_from; /* of all rooms that are collected now */
    uint64_t n_merged;
    uint64_t changes;
    coverage_change_fn *changed;
    void *ctx;
};

struct coverage_room *coverage_room(const struct coverage *c, int64_t id); /* NULL: not here */
