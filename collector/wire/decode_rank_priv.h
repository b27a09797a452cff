/* collector/wire/decode_rank_priv.h - the list of the room's best paying viewers, in JSON and in protobuf.
 *
 * Threading:  one user at a time per decoder.
 */
#pragma once

#include "collector/wire/decode_util_priv.h"

struct rank_user {
    int64_t uid;
    struct str name;
    int64_t score;
    int64_t rank;
    int64_t guard_level;
};

/* {"figure":"top","value":n,"rank_type":"..","users":[..]}: begin, a user each (false: there is no room for more), end. */
struct rank_list {
    struct event_draft *e; /* NULL: no room for a draft */
    struct extra x;
    struct extra_list users;
    int64_t n;
};
void rank_begin(struct rank_list *r, struct decoder *d, struct str rank_type, int64_t n);
bool rank_put(struct rank_list *r, const struct rank_user *u);
void rank_end(struct rank_list *r);
