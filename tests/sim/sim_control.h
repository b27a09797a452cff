/* tests/sim/sim_control.h - scripts talk to the simulator: one command per line, one answer per line.
 *
 * An answer is "ok", "ok ..." or "error ...". A command that waits answers when what it waits for has happened, so a
 * test needs no sleeps; other connections go on meanwhile. README.md lists the commands.
 *
 * Threading:  loop thread only.
 * Limits:     SIM_CONTROL_LINE_MAX bytes per line, SIM_CONTROL_CLIENTS_MAX connections.
 */
#pragma once

#include "server/core/attr.h"
#include "server/core/err.h"

struct buf;
struct loop;
struct sim_control;
struct sim_server;

enum { SIM_CONTROL_LINE_MAX = 1 << 20, SIM_CONTROL_CLIENTS_MAX = 16 };

/* where: "unix:PATH" (an old socket there is replaced) or "tcp:ADDR:PORT". quit(ctx): a script asked to stop. */
MUST_CHECK enum err_code sim_control_open(struct loop *loop, struct sim_server *server,
                                          const char *where, void (*quit)(void *ctx), void *ctx,
                                          struct sim_control **ret, struct err *err);
void sim_control_address(const struct sim_control *c, struct buf *out);
void sim_control_close(struct sim_control *c); /* freed once its handles are closed */
