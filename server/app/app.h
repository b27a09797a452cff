/* server/app/app.h - the composition root: makes the parts, wires them, starts and stops them in order.
 *
 *   start: database -> schema -> loop -> writer (reads its mark) -> ids, ring, repeats from what is stored -> HTTP -> rooms
 *   stop:  unready -> rooms -> writer (drains, deadline) -> HTTP streams and requests -> database -> loop
 *
 * Threading:  startup only; app_run is the loop thread.
 */
#pragma once

#include "server/config/config.h"
#include "server/core/attr.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SCHEMA = 3 };

/* Runs until told to stop; the process's exit code. source is kept for SIGHUP. */
MUST_CHECK int app_run(struct config *config, const struct config_source *source);
/* `danmakud migrate` */
MUST_CHECK int app_migrate(struct config *config);
/* `danmakud token ...` */
MUST_CHECK int app_token(struct config *config, const char *const *args, size_t n_args);
/* `danmakud decode ...`; needs no configuration. */
MUST_CHECK int app_decode(const char *const *args, size_t n_args);

/* `danmakud reparse ...` */
MUST_CHECK int app_reparse(struct config *config, const char *const *args, size_t n_args);

/* data_dir becomes what an empty one stands for. */
void app_data_dir_settle(struct config *config);

/* For config_source.check: room ids, addresses, hosts, kinds. */
void app_check(const struct config *config, struct config_check *check);
/* What is worth saying of a configuration without problems, as lines; for check-config. */
void app_check_notes(const struct config *config, struct buf *out);
