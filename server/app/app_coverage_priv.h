/* server/app/app_coverage_priv.h - the ledger of what is missing, as its two files see it.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/coverage.h"
#include "server/app/app_priv.h"

struct app_coverage {
    struct coverage *ledger; /* owned */
    int64_t alive_ms;        /* when the last process was last known to run; 0 unknown */
    struct loop_timer timer; /* next statement */
    bool recovered;          /* what the last process left open is settled: statements may go out */
    bool sending;
    bool failing; /* the last statement was refused: told once */
    bool finishing;
    uint64_t n_merged; /* as far as it is counted */
    int64_t n_lost_sent;
    void (*then)(struct app *app, enum err_code code, const struct err *err); /* of the recovery */
    void (*finished)(struct app *app);
};

/* app_coverage_store.c */
void app_coverage_store_init(struct app *app);
void app_coverage_soon(struct app *app); /* something has changed */
