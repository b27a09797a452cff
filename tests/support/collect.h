/* tests/support/collect.h - a collector on a fake clock, with what it delivered written down.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collector/collector.h"
#include "server/core/clock.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/fake_upstream.h"

enum { COLLECT_HOSTS_MAX = 4, COLLECT_EVENTS_MAX = 4096 };

struct collect_event {
    int64_t room_id;
    int64_t nkey;
    unsigned call; /* number of the on_events call it came with */
    unsigned place;
};

struct collect {
    struct clock_fake clock;
    struct loop *loop;
    struct stats *stats;
    struct fake_upstream *up[COLLECT_HOSTS_MAX];
    unsigned n_up;
    struct collector *c;
    struct collect_event events[COLLECT_EVENTS_MAX];
    unsigned n_events;
    unsigned n_calls;
    void (*on_call)(struct collect *k); /* from within on_events; may be NULL */
    bool closed;
};

/* Upstreams first, then the collector that uses them. opts may be NULL; hosts, seed and callbacks are filled in. */
struct collect *collect_new(unsigned n_upstreams);
void collect_open(struct collect *k, const struct collector_opts *opts);
void collect_close(struct collect *k); /* the collector alone */
void collect_free(struct collect *k);

void collect_add(struct collect *k, int64_t room_id);
void collect_turns(struct collect *k, unsigned n);
void collect_advance(struct collect *k, int64_t ms); /* and lets the loop run a little */
struct collector_room_info collect_info(struct collect *k, int64_t room_id);
bool collect_is(struct collect *k, int64_t room_id, const char *state);
/* Waits for the machine, not for the clock. */
bool collect_until_state(struct collect *k, int64_t room_id, const char *state);
bool collect_until_live(struct collect *k, size_t n);
bool collect_until_events(struct collect *k, unsigned n);
bool collect_until(struct collect *k, bool (*is)(struct collect *k, const void *arg),
                   const void *arg);

/* One packet with one danmaku; texts and keys differ by id. */
void collect_put_danmaku(struct buf *out, int64_t id);
