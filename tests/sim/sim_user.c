#include "tests/sim/sim_user.h"

#include <stdio.h>

#include "server/core/buf.h"
#include "server/core/hash.h"
#include "server/core/utf8.h"
#include "tests/sim/sim_words.h"

uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15) + b + UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static uint32_t put_name(uint64_t hash, char out[static SIM_NAME_MAX])
{
    struct buf name;
    uint32_t n;

    buf_init(&name, SIM_NAME_MAX);
    sim_words_name(hash, &name);
    n = (uint32_t)utf8_cut(buf_str(&name), SIM_NAME_MAX).len;
    memcpy(out, name.data, n);
    buf_deinit(&name);
    return n;
}

/* Old accounts have short numbers, those of the last years 16 digits. Distinct for distinct numbers. */
static int64_t uid_of(uint64_t hash, uint64_t number)
{
    if (hash % 10 < 3) {
        return INT64_C(3546550000000000) + (int64_t)number * 9973 + 7;
    }
    return 1000 + (int64_t)number * 397 + 13;
}

void sim_anchor_make(struct sim_anchor *a, uint64_t seed, int64_t room_id)
{
    uint64_t hash = sim_mix(seed ^ UINT64_C(0xA5A5), (uint64_t)room_id);

    *a = (struct sim_anchor){.room_id = room_id, .uid = 600000000 + room_id};
    a->name_len = put_name(sim_mix(hash, 1), a->name);
    a->medal = sim_words_medal(sim_mix(hash, 2));
}

/* Fan medal, guard level and rights in one room. */
static void make_local(struct sim_user *u, uint64_t seed, const struct sim_anchor *here)
{
    uint64_t h = sim_mix(u->hash, (uint64_t)here->room_id);
    unsigned d = (unsigned)(h % 1000);
    struct sim_anchor there;

    u->guard = d < 3 ? 1 : d < 15 ? 2 : d < 110 ? 3 : 0;
    u->admin = h / 1000 % 120 == 0;
    if (u->guard > 0 || d < 560) {
        u->medal_here = true;
        u->medal_level = u->guard > 0 ? 21 + (int)(h >> 20 & 15) : 1 + (int)(h >> 20 & 31) % 20;
        there = *here;
    } else if (d < 700) {
        u->medal_level = 1 + (int)(h >> 20 & 31) % 24;
        sim_anchor_make(&there, seed, 5000000 + (int64_t)(h >> 30 & 0xfff));
    } else {
        return;
    }
    u->medal = there.medal;
    u->medal_uid = there.uid;
    u->medal_room = there.room_id;
    u->medal_anchor_len = there.name_len;
    memcpy(u->medal_anchor, there.name, there.name_len);
}

void sim_user_make(struct sim_user *u, uint64_t seed, uint64_t number,
                   const struct sim_anchor *here)
{
    char digits[24];
    int n;

    *u = (struct sim_user){.hash = sim_mix(seed, number)};
    u->uid = uid_of(u->hash, number);
    n = snprintf(digits, sizeof(digits), "%lld", (long long)u->uid);
    u->crc = hash_crc32((struct str){digits, (size_t)n});
    u->name_len = put_name(sim_mix(u->hash, 3), u->name);
    u->level = (int)(u->hash >> 12 & 63) % 40;
    u->wealth = (int)(u->hash >> 18 & 127) % 50;
    make_local(u, seed, here);
}

void sim_user_mask(const struct sim_user *u, struct sim_user *ret_masked)
{
    size_t first = 1;

    *ret_masked = *u;
    ret_masked->uid = 0;
    ret_masked->medal_room = 0;
    while (first < u->name_len && (u->name[first] & 0xc0) == 0x80) {
        first++;
    }
    memcpy(ret_masked->name + first, "***", 3);
    ret_masked->name_len = (uint32_t)first + 3;
}
