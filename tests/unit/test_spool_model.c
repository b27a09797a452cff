/* The spool against an array: random appends, reads, acknowledgements, holds, faults, restarts and crashes.
 *
 * What must hold at any time, for each event that was told: it was not durable, or it is acknowledged, or it can be read, or
 * it was reported as dropped. What is read is in order and as it was appended. */
#include "server/spool/spool.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

static int
    write_fault; /* errno; set while no write is under way or whenever: either way is fine for a model */

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    int sys = __atomic_load_n(&write_fault, __ATOMIC_RELAXED);
    if (sys != 0) {
        if (n > 500) {
            return syscall(SYS_pwrite64, fd, p, 500, at);
        }
        errno = sys;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

int fdatasync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

int fsync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

enum { STEPS = 1500, KEYS = 40 };

enum key_state { KEY_NONE, KEY_OPEN };

struct model {
    struct rig *r;
    struct rng rng;
    int64_t next; /* id */
    int64_t acked;
    enum key_state keys[KEYS];
    bool faults;
};

static int64_t room_of(int64_t id)
{
    struct event_draft d;
    rig_draft(&d, id);
    return d.room_id;
}

/* ids that are reported, as a bit each; sized for all ids so far */
static uint8_t *reported(const struct model *m)
{
    size_t n = (size_t)m->next + 1;
    uint8_t *missing = mem_new_array(uint8_t, n);
    int16_t *rooms = mem_new_array(int16_t, n);
    for (size_t id = 1; id < n; id++) {
        rooms[id] = (int16_t)room_of((int64_t)id);
    }
    for (size_t i = 0; i < m->r->n_dropped; i++) {
        const struct spool_dropped *d = &m->r->dropped[i];
        for (int64_t id = d->first_id; id <= d->last_id && id < (int64_t)n; id++) {
            missing[id] |= d->room_id == 0 || d->room_id == rooms[id];
        }
    }
    mem_free(rooms);
    return missing;
}

static void check(struct model *m)
{
    struct rig *r = m->r;
    int64_t *ids;
    size_t k = 0;
    size_t told = r->n_written; /* more may be written and told while it is being read */
    size_t n = rig_read_all(r, m->acked, 1 + (size_t)rng_below(&m->rng, 300), &ids);
    uint8_t *missing = reported(m);
    for (size_t i = 0; i < told; i++) {
        int64_t id = r->written[i].id;
        while (k < n && ids[k] < id) {
            k++;
        }
        bool there = k < n && ids[k] == id;
        if (r->written[i].durable && id > m->acked && !there && !missing[id]) {
            fail_msg("event %lld is lost", (long long)id);
        }
        if (there && !r->written[i].durable) {
            fail_msg("event %lld was told as not durable", (long long)id);
        }
    }
    mem_free(missing);
    mem_free(ids);
}

/* Reading goes on from any place; all that was told as durable and is neither dropped nor acknowledged comes. */
static void read_some(struct model *m)
{
    struct rig *r = m->r;
    int64_t after = rng_below(&m->rng, 3) == 0 ? rng_between(&m->rng, m->acked, m->next) : m->acked;
    int64_t head = spool_last_id(r->s); /* likewise */
    rig_read(r, after, 1 + (size_t)rng_below(&m->rng, 100));
    if (r->n_read == 0) {
        size_t unread = 0;
        for (size_t i = 0; i < r->n_written; i++) {
            int64_t id = r->written[i].id;
            unread += r->written[i].durable && id > after && id <= head && spool_has(r->s, id);
        }
        assert_int_equal(unread, 0);
        return;
    }
    assert_true(r->read[0]->id > after);
}

static void hold_or_end(struct model *m)
{
    int64_t key = (int64_t)rng_below(&m->rng, KEYS);
    if (m->keys[key] == KEY_NONE) {
        struct event_draft d;
        event_draft_init(&d, EVENT_GUARD, 1);
        spool_hold(m->r->s, key, &d, 1);
        m->keys[key] = KEY_OPEN;
    } else {
        spool_hold_end(m->r->s, key);
        m->keys[key] = KEY_NONE;
    }
}

static void note_key(void *ctx, int64_t key, const struct event_draft *d, int64_t until_ms)
{
    bool *open = ctx;
    (void)d;
    (void)until_ms;
    assert_false(open[key]);
    open[key] = true;
}

/* exact: all that was said before the end was written. */
static void check_holds(struct model *m, bool exact)
{
    bool open[KEYS] = {false};
    spool_each_hold(m->r->s, note_key, open);
    for (int i = 0; i < KEYS; i++) {
        if (exact) {
            assert_int_equal(open[i], m->keys[i] == KEY_OPEN);
        }
        m->keys[i] = open[i] ? KEY_OPEN : KEY_NONE;
    }
}

static void restart(struct model *m, bool crash)
{
    bool settled = rng_below(&m->rng, 2) == 0;
    if (!crash || settled) {
        write_fault = 0;
        rig_until(m->r, (rig_advance(m->r, 5000), spool_state(m->r->s) != SPOOL_DEGRADED));
        rig_settle(m->r);
    }
    if (crash) {
        rig_crash(m->r);
    } else {
        rig_restart(m->r);
    }
    assert_int_equal(m->r->found.bad_bytes, 0);
    if (!crash) {
        assert_int_equal(m->r->found.torn_bytes, 0);
    }
    rig_turn(m->r); /* reports */
    check_holds(m, !crash || settled);
    write_fault = 0;
    check(m);
}

static void acknowledge(struct model *m)
{
    struct rig *r = m->r;
    if (r->n_written > 0) {
        int64_t id = r->written[rng_below(&m->rng, r->n_written)].id;
        if (id > m->acked) {
            m->acked = id;
            spool_ack(r->s, id);
        }
    }
}

static void step(struct model *m)
{
    uint64_t dice = rng_below(&m->rng, 1000);
    if (dice < 450) {
        size_t n = 1 + (size_t)rng_below(&m->rng, 40);
        rig_append_many(m->r, m->next, n);
        m->next += (int64_t)n;
    } else if (dice < 600) {
        rig_turn(m->r);
    } else if (dice < 720) {
        read_some(m);
    } else if (dice < 780) {
        hold_or_end(m);
    } else if (dice < 830) {
        rig_advance(m->r, rng_between(&m->rng, 1, 2500));
    } else if (dice < 850) {
        acknowledge(m);
    } else if (dice < 960) {
        rig_settle(m->r);
    } else if (dice < 975) {
        write_fault = m->faults && write_fault == 0 ? (rng_below(&m->rng, 2) ? ENOSPC : EIO) : 0;
    } else if (dice < 990) {
        check(m);
    } else {
        restart(m, rng_below(&m->rng, 2) == 0);
    }
}

static void run(struct rig *r, bool faults)
{
    struct model *m = mem_new(struct model);
    m->r = r;
    m->next = 1;
    m->faults = faults;
    write_fault = 0;
    test_rng(&m->rng);
    rig_open(r);
    for (int i = 0; i < STEPS; i++) {
        step(m);
    }
    restart(m, false);
    assert_true(r->n_written > 1000);
    mem_free(m);
}

static void test_roomy(void **state)
{
    struct rig *r = *state;
    r->opts.max_bytes = 64 << 20;
    r->opts.segment_bytes = 64 << 10;
    run(r, false);
    assert_int_equal(r->n_dropped, 0);
}

static void test_roomy_faults(void **state)
{
    struct rig *r = *state;
    r->opts.max_bytes = 64 << 20;
    r->opts.segment_bytes = 64 << 10;
    run(r, true);
    assert_int_equal(r->n_dropped, 0);
}

static void test_oldest(void **state)
{
    run(*state, false);
}

static void test_oldest_faults(void **state)
{
    run(*state, true);
}

static void test_newest(void **state)
{
    struct rig *r = *state;
    r->opts.overflow = SPOOL_DROP_NEWEST;
    run(r, false);
}

static void test_newest_faults(void **state)
{
    struct rig *r = *state;
    r->opts.overflow = SPOOL_DROP_NEWEST;
    run(r, true);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RIG_TEST(test_roomy),         RIG_TEST(test_roomy_faults), RIG_TEST(test_oldest),
        RIG_TEST(test_oldest_faults), RIG_TEST(test_newest),       RIG_TEST(test_newest_faults),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
