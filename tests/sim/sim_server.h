/* tests/sim/sim_server.h - the simulated upstream: hosts that listen, rooms, and the connections to them.
 *
 * A room's messages are made when somebody is there to receive them and the clock (or --speed max) says so. A frame of
 * messages is made once per form (compression x masking) and given to every connection of the room.
 *
 * Threading:  loop thread only.
 * Ownership:  options, world, record are borrowed until closed has been called.
 * Errors:     sim_server_open says what is wrong with the options; also then *ret is to be closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/json_write.h"
#include "server/core/str.h"
#include "tests/sim/sim_fault.h"
#include "tests/sim/sim_link.h"
#include "tests/sim/sim_options.h"

struct loop;
struct sim_record;
struct sim_replay;
struct sim_server;
struct sim_world;

struct sim_server_deps {
    struct loop *loop;
    const struct sim_options *options;
    const struct sim_world *world;
    struct sim_record *record;       /* NULL: none */
    const struct sim_replay *replay; /* NULL: generated messages */
};

MUST_CHECK enum err_code sim_server_open(const struct sim_server_deps *deps,
                                         struct sim_server **ret, struct err *err);
/* Sends what is queued (for a moment), ends all connections, then calls closed. */
void sim_server_close(struct sim_server *s, void (*closed)(void *ctx), void *ctx);
/* "a:p,a:p" of the hosts of one kind; nothing if there is none. */
void sim_server_addresses(const struct sim_server *s, enum sim_link_kind kind, struct buf *out);

void sim_server_http_url(const struct sim_server *s, struct buf *out); /* with --http */

/* What scripts do. room_id 0: all rooms. */
MUST_CHECK enum err_code sim_server_fault(struct sim_server *s, const struct sim_fault *f,
                                          struct err *err);
void sim_server_faults_clear(struct sim_server *s); /* modes end, hosts come back */
size_t sim_server_drop(struct sim_server *s, int64_t room_id,
                       bool reset); /* how many connections */
void sim_server_pause(struct sim_server *s, int64_t room_id, bool paused);
MUST_CHECK enum err_code sim_server_emit(struct sim_server *s, int64_t room_id, struct str json,
                                         struct err *err);
MUST_CHECK enum err_code sim_server_say(struct sim_server *s, int64_t room_id, struct str text,
                                        struct err *err);
MUST_CHECK enum err_code sim_server_set_live(struct sim_server *s, int64_t room_id, bool live,
                                             struct err *err);
MUST_CHECK enum err_code sim_server_title(struct sim_server *s, int64_t room_id, struct str title,
                                          struct err *err);
MUST_CHECK enum err_code sim_server_rank(struct sim_server *s, int64_t room_id, int64_t place,
                                         struct err *err);
MUST_CHECK enum err_code sim_server_http_fault(struct sim_server *s, struct str rule,
                                               struct err *err); /* "clear" ends all */
void sim_server_rotate_keys(struct sim_server *s);
void sim_server_expire_tokens(struct sim_server *s);
void sim_server_more(struct sim_server *s, int64_t n); /* raises --count by n events */
void sim_server_set_rate(struct sim_server *s, double rate);
void sim_server_ack_state(struct sim_server *s,
                          struct buf *out); /* and into the record; JSON array */
void sim_server_stats(const struct sim_server *s, struct json_out *w); /* one object */

/* For waiting: all that was to be sent has been taken by the sockets, and acknowledged. */
bool sim_server_idle(struct sim_server *s);
size_t sim_server_n_ready(const struct sim_server *s);       /* authenticated connections */
size_t sim_server_n_rooms_ready(const struct sim_server *s); /* rooms with one */
uint64_t sim_server_n_events(const struct sim_server *s);    /* recorded, without repeats */
