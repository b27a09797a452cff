/* tests/sim/sim_control_priv.h - the commands, apart from the sockets they come through.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/core/buf.h"
#include "server/core/str.h"
#include "tests/sim/sim_server.h"

enum sim_wait_for { SIM_WAIT_IDLE, SIM_WAIT_READY, SIM_WAIT_ROOMS, SIM_WAIT_EVENTS, SIM_WAIT_GONE };

struct sim_wait {
    enum sim_wait_for what;
    int64_t n;
    int64_t until_ms; /* mono */
};

struct sim_command_env {
    struct loop *loop;
    struct sim_server *server;
    struct buf *out;
    struct sim_wait *wait; /* set when the command waits */
};

enum sim_command_result { SIM_COMMAND_DONE, SIM_COMMAND_WAIT, SIM_COMMAND_QUIT };

enum sim_command_result sim_command(struct sim_command_env *env, struct str line);
bool sim_wait_done(struct sim_server *s, const struct sim_wait *w);
