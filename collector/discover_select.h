/* collector/discover_select.h - what discovery looks for: "top:100", "top:50@parent area", "top:20@parent/area". Pure.
 *
 * Areas are named as upstream names them, or by number.
 *
 * Threading:  any thread.
 * Limits:     DISCOVER_SELECTS_MAX selections, DISCOVER_TOP_MAX rooms of each, DISCOVER_AREA_BYTES a name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"

struct upstream_area;

enum { DISCOVER_SELECTS_MAX = 16, DISCOVER_TOP_MAX = 5000, DISCOVER_AREA_BYTES = 64 };

struct discover_select {
    unsigned top;
    /* Ids; 0 none, -1 to be found by its name. */
    int64_t parent_id, area_id;
    char parent[DISCOVER_AREA_BYTES + 1]; /* as given; "" none */
    char area[DISCOVER_AREA_BYTES + 1];
};

MUST_CHECK enum err_code discover_select_parse(struct str text, struct discover_select *ret,
                                               struct err *err);
bool discover_select_same(const struct discover_select *a, const struct discover_select *b);
bool discover_select_named(const struct discover_select *s); /* the names have ids */
/* Finds the ids of the names; ERR_NOT_FOUND names the one that upstream does not have. */
MUST_CHECK enum err_code discover_select_name(struct discover_select *s,
                                              const struct upstream_area *areas, size_t n,
                                              struct err *err);
