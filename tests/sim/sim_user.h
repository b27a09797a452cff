/* tests/sim/sim_user.h - the people: a viewer is a number; everything else about them follows from it.
 *
 * The same (seed, number) is the same viewer in every room; what a room knows of them (medal, guard, admin) follows
 * from (seed, number, room).
 *
 * Threading:  any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/str.h"

enum { SIM_NAME_MAX = 64 };

struct sim_anchor {
    int64_t room_id;
    int64_t uid;
    uint32_t name_len;
    char name[SIM_NAME_MAX];
    const char *medal;
};

struct sim_user {
    int64_t uid; /* 0: masked */
    uint64_t hash;
    uint32_t crc; /* of the decimal uid, also when masked */
    uint32_t name_len;
    char name[SIM_NAME_MAX];
    int medal_level; /* 0: wears none */
    bool medal_here; /* of this room's anchor */
    const char *medal;
    int64_t medal_uid;
    int64_t medal_room;
    char medal_anchor[SIM_NAME_MAX];
    uint32_t medal_anchor_len;
    int guard; /* 0, 3 captain .. 1 governor */
    bool admin;
    int level;
    int wealth;
};

uint64_t sim_mix(uint64_t a, uint64_t b); /* 64 well mixed bits of two numbers */

void sim_anchor_make(struct sim_anchor *a, uint64_t seed, int64_t room_id);
void sim_user_make(struct sim_user *u, uint64_t seed, uint64_t number,
                   const struct sim_anchor *here);
/* As an anonymous viewer sees them: uid 0, first character and "***". */
void sim_user_mask(const struct sim_user *u, struct sim_user *ret_masked);

static inline struct str sim_user_name(const struct sim_user *u)
{
    return (struct str){u->name, u->name_len};
}
