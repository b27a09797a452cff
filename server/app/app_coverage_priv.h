/* server/app/app_coverage_priv.h - the ledger of what is missing, as its two files see it.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/coverage.h"
#include "server/app/app_priv.h"

struct coverage_file;
struct signs;

struct app_coverage {
    struct app *app;            /* borrowed */
    struct signs *signs;        /* owned */
    struct coverage_file *file; /* owned; NULL: no data_dir */
    struct loop_timer tick;     /* of the signs */
    struct {
        const char *cause; /* static */
        int64_t ms;
    } gap_causes[64]; /* of gaps of the link that are over; what finds no place is left out */
    size_t n_gap_causes;
    struct coverage *ledger; /* owned */
    int64_t alive_ms;        /* when the last process was last known to run; 0 unknown */
    struct loop_timer timer; /* next statement */
    bool restored;           /* what the last process noted on disk is in the ledger */
    bool recovered;          /* what it left open is settled: statements may go out */
    bool sending;
    bool failing; /* the last statement was refused: told once */
    bool finishing;
    uint64_t n_merged; /* as far as it is counted */
    int64_t n_lost_sent;
    void (*then)(struct app *app, enum err_code code, const struct err *err); /* of the recovery */
    void (*finished)(struct app *app);
};

/* app_coverage.c: times of the ledger are those of event ids, which do not go back when the clock does. */
int64_t app_coverage_ms(const struct app *app, int64_t wall_ms);
/* app_coverage_signs.c */
void app_coverage_signs_open(struct app *app);
void app_coverage_signs_start(struct app *app);
void app_coverage_signs_stop(struct app *app);
void app_coverage_signs_close(struct app *app);
void app_coverage_count(struct app *app, const struct coverage_span *span); /* for the metrics */
/* app_coverage_file.c: what waits for the database, on disk. Reading it is startup only (blocking). */
size_t app_coverage_file_found(const struct app *app, const struct coverage_span **ret);
void app_coverage_file_start(struct app *app);
void app_coverage_file_stop(struct app *app);
void app_coverage_file_close(struct app *app);
/* app_coverage_store.c */
void app_coverage_store_init(struct app *app);
void app_coverage_soon(struct app *app); /* something has changed */
