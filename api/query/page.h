/* api/query/page.h - one page of a list of events: what to read, and the cursors around it.
 *
 * A page is travelled in one direction of ids: the list's order, or against it when a `prev` cursor asks. Cursors are
 * exclusive ids, so rows that arrive meanwhile never shift a page.
 *
 *      order desc       newest   [ page ]   oldest
 *                     prev <----          ----> next
 *
 * The newest side stays open while the range does not end in the past: a cursor that leads there is given even when
 * nothing is there yet, so that a client can poll with it.
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/query/cursor.h"
#include "api/query/filter.h"
#include "api/query/params.h"
#include "server/core/attr.h"

struct page_plan {
    enum order order; /* of the list */
    bool back;        /* travel against the order */
    bool descending;  /* the direction of travel */
    bool resumed;     /* a cursor was given: there is a page behind this one */
    bool open_end;    /* newer events may still come into the range */
    int64_t low;      /* smallest id wanted */
    int64_t high;     /* first id no longer wanted */
    size_t limit;
    int64_t hash;
    int64_t floor_ms;
};

/* Fills the plan from parameters that params_finish accepted; cursor errors are added to p. */
MUST_CHECK bool page_plan(struct params *p, const struct filter *f, int64_t now_ms,
                          struct page_plan *ret);
/* What came out of the reading, in the direction of travel. */
struct page_result {
    size_t n;
    int64_t first_id; /* with n > 0 */
    int64_t last_id;
    bool more;  /* there is more behind, or the reading stopped before the end of the range */
    int64_t at; /* with more: everything up to this id, in travel, was told (a cursor's id) */
};

struct page_links {
    bool has_next;
    bool has_prev;
    char next[CURSOR_TEXT_LEN + 1];
    char prev[CURSOR_TEXT_LEN + 1];
};
void page_links(const struct page_plan *plan, const struct page_result *r, struct page_links *ret);
