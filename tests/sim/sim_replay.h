/* tests/sim/sim_replay.h - messages from files: a JSON array of them, or one per line.
 *
 * What a message is about (kind, key, sender, text, ...) is read from the message itself, so that the record of a
 * replay is like that of generated chatter.
 *
 * Threading:  immutable after sim_replay_load.
 * Limits:     SIM_REPLAY_FILE_MAX bytes per file.
 */
#pragma once

#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"
#include "tests/sim/sim_gen.h"

enum { SIM_REPLAY_FILE_MAX = 256 << 20 };

struct sim_replay;

MUST_CHECK enum err_code sim_replay_load(const char *const *files, size_t n,
                                         struct sim_replay **ret, struct err *err);
void sim_replay_free(struct sim_replay *r);
size_t sim_replay_n(const struct sim_replay *r);
struct str sim_replay_at(const struct sim_replay *r, size_t i); /* the message's text */

/* Fills kind, key, text, user and amounts of *m from a message; kind OTHER when it is none of ours or broken. */
void sim_replay_describe(struct str json, struct sim_msg *m);
