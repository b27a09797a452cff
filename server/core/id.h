/* server/core/id.h - event ids: 63-bit snowflakes, the time axis of everything.
 *
 *   62                    22 21      16 15              4 3        0
 *   | ms since 2020-01-01 UTC | node (6) | message (12)   | event (4) |
 *
 * A message gets one base id (event bits 0); its events get base + 0, base + 1, ... Ids of a node strictly increase,
 * also across a clock step back (the ms then stands still) and a restart (id_gen_seed).
 *
 * A message of more than 16 events has several message numbers that follow each other within one ms, so that its i-th
 * event, from 0, has the id base + i however many there are.
 *
 * Threading:  one generator, one user.
 * Limits:     4096 messages per ms and node; past it the generator borrows the next ms (counted in `borrowed`).
 *             ID_NUMBERS_MAX message numbers for one message: 256 events.
 */
#pragma once

#include <stdint.h>

#define ID_EPOCH_MS INT64_C(1577836800000) /* 2020-01-01T00:00:00Z */
enum { ID_NODES = 64, ID_EVENTS_PER_MESSAGE = 16, ID_NUMBERS_MAX = 16, ID_TIME_SHIFT = 22 };
#define ID_MAX INT64_MAX

struct id_gen {
    int64_t last_ms; /* since ID_EPOCH_MS */
    uint32_t seq;    /* last message number within last_ms */
    uint32_t node;
    uint64_t borrowed;   /* times the message number overflowed */
    uint64_t clock_back; /* messages stamped while the clock was behind the last id */
};

void id_gen_init(struct id_gen *g, uint32_t node);
void id_gen_seed(struct id_gen *g,
                 int64_t known_id); /* later ids are greater than known_id, whatever its node */
/* A process begins, and everything that is stored was seeded. If the clock is behind that, ids go on a second later: the
 * process before may have shown some that were on no disk, and none is given twice. */
void id_gen_begin(struct id_gen *g, int64_t wall_ms);
int64_t id_gen_message(struct id_gen *g, int64_t wall_ms); /* base id; event bits are 0 */
/* Base id of `numbers` message numbers (1 to ID_NUMBERS_MAX) that follow each other within one ms. */
int64_t id_gen_numbers(struct id_gen *g, int64_t wall_ms, uint32_t numbers);

int64_t id_ts_ms(int64_t id); /* reception time, wall ms */
int64_t
id_first_of_ms(int64_t wall_ms); /* smallest id of any node at that ms, clamped to [0, ID_MAX] */
int64_t id_message(int64_t id);  /* base id of its message */
uint32_t id_node(int64_t id);
