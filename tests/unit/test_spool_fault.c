/* The spool on a disk that is full, broken, read-only, slow or gone. The calls of libc fail on request; a file size limit and a
 * tiny file system make the kernel say it too. */
#include "server/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

/* --- this program's own calls, for what the kernel does not do on demand --- */

/* Set while no job runs, read by jobs; the thread pool's queue orders the two. */
static struct {
    int write; /* errno, 0: works */
    int after; /* so many bytes of a write still succeed */
    int sync;
    int cut;
    int remove;
    int create;
    int read;
    bool hang;      /* writes wait for `gate` */
    bool hang_sync; /* syncs wait for `sync_gate` */
    int sync_dir;
    int n_dir_syncs;
    int n_removed;
    off_t read_from; /* smallest offset read */
} fault;
static sem_t gate;
static sem_t inside; /* posted by a write that waits */

static sem_t sync_gate;

static void wait_at(sem_t *g)
{
    sem_post(&inside);
    while (sem_wait(g) != 0) {
    }
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (fault.hang) {
        wait_at(&gate);
    }
    if (fault.write != 0) {
        if (fault.after <= 0) {
            errno = fault.write;
            return -1;
        }
        n = n < (size_t)fault.after ? n : (size_t)fault.after;
        fault.after -= (int)n;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    if (fault.read != 0) {
        errno = fault.read;
        return -1;
    }
    fault.read_from = at < fault.read_from ? at : fault.read_from;
    return syscall(SYS_pread64, fd, p, n, at);
}

static int fail_or(int with, long result)
{
    if (with != 0) {
        errno = with;
        return -1;
    }
    return (int)result;
}

int fdatasync(int fd)
{
    if (fault.hang_sync) {
        wait_at(&sync_gate);
    }
    return fail_or(fault.sync, fault.sync ? 0 : syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    fault.n_dir_syncs++;
    return fail_or(fault.sync_dir, fault.sync_dir ? 0 : syscall(SYS_fsync, fd));
}

int ftruncate(int fd, off_t length)
{
    return fail_or(fault.cut, fault.cut ? 0 : syscall(SYS_ftruncate, fd, length));
}

int unlinkat(int dirfd, const char *path, int flags)
{
    fault.n_removed += fault.remove == 0;
    return fail_or(fault.remove, fault.remove ? 0 : syscall(SYS_unlinkat, dirfd, path, flags));
}

int openat(int dirfd, const char *path, int flags, ...)
{
    int with = (flags & O_CREAT) != 0 ? fault.create : 0;
    return fail_or(with, with ? 0 : syscall(SYS_openat, dirfd, path, flags, 0600));
}

/* --- cases --- */

static struct rig *of(void **state)
{
    return *state;
}

static int setup(void **state)
{
    memset(&fault, 0, sizeof fault);
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    assert_int_equal(sem_init(&sync_gate, 0, 0), 0);
    assert_int_equal(sem_init(&inside, 0, 0), 0);
    return rig_setup(state);
}

static int teardown(void **state)
{
    memset(&fault, 0, sizeof fault);
    for (int i = 0; i < 10; i++) {
        sem_post(&sync_gate);
        sem_post(&gate); /* a case that failed may have left a job waiting */
    }
    return rig_teardown(state);
}

/* A power loss must not find the file gone and what was to tell of it not yet on the disk. */
static void test_report_is_synced_before_its_segment_goes(void **state)
{
    struct rig *r = of(state);
    int64_t next = 1;
    rig_open(r);
    for (; spool_bytes(r->s) < 230 << 10; next += 20) {
        rig_append_many(r, next, 20);
        rig_settle(r);
    }
    assert_int_equal(fault.n_removed, 0);
    fault.hang_sync = true;
    for (; rig_stat(r, STAT_SPOOL_DROPPED_OLDEST) == 0; next += 20) {
        rig_append_many(r, next, 20);
        rig_until(r, spool_flushed(r->s));
        rig_turn(r);
    }
    for (int i = 0; i < 20; i++, next++) { /* many writes later */
        rig_append_many(r, next, 1);
        rig_until(r, spool_flushed(r->s));
        rig_advance(r, 200);
    }
    assert_int_equal(fault.n_removed, 0);
    fault.hang_sync = false;
    sem_post(&sync_gate);
    rig_until(r, fault.n_removed > 0);
    rig_settle(r);
}

static void check_all(struct rig *r, size_t n, bool durable)
{
    rig_until(r, r->n_written >= n);
    assert_int_equal(r->n_written, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(r->written[i].durable, durable);
        assert_int_equal(spool_has(r->s, r->written[i].id), durable);
    }
    r->n_written = 0;
}

/* What a start finds is what was told as durable, in order, and nothing was damaged. */
static void check_recovered(struct rig *r, const int64_t *ids, size_t n)
{
    int64_t *found;
    rig_crash(r);
    assert_int_equal(r->found.bad_bytes, 0);
    assert_int_equal(r->found.torn_bytes, 0);
    assert_int_equal(rig_read_all(r, 0, 100, &found), n);
    assert_memory_equal(found, ids, n * sizeof(*ids));
    mem_free(found);
}

static void recover(struct rig *r)
{
    rig_until(r, (rig_advance(r, 10000), spool_state(r->s) == SPOOL_OK));
}

static void check_write_fault(struct rig *r, int sys, int after)
{
    static const int64_t left[] = {1, 2, 3, 20, 21};
    rig_open(r);
    rig_append_many(r, 1, 3);
    check_all(r, 3, true);
    fault.write = sys;
    fault.after = after;
    rig_append_many(r, 4, 5);
    check_all(r, 5, false);
    assert_int_equal(spool_state(r->s), SPOOL_DEGRADED);
    rig_append_many(r, 9, 2); /* at once now, but never within the call */
    assert_int_equal(r->n_written, 0);
    check_all(r, 2, false);
    fault.after = 0;
    rig_until(r, (rig_advance(r, 1000), rig_stat(r, STAT_SPOOL_ERRORS_WRITE) >= 4)); /* in vain */
    assert_int_equal(spool_state(r->s), SPOOL_DEGRADED);
    assert_int_equal(rig_stat(r, STAT_SPOOL_LOOSE_DEGRADED), 7);
    fault.write = 0;
    recover(r);
    rig_append_many(r, 20, 2);
    check_all(r, 2, true);
    assert_false(spool_has(r->s, 7));
    assert_true(spool_has(r->s, 3));
    check_recovered(r, left, ARRAY_LEN(left));
}

static void test_disk_full(void **state)
{
    check_write_fault(of(state), ENOSPC, 0);
}

static void test_partly_written(void **state)
{
    check_write_fault(of(state), EIO, 333);
}

static void test_file_cannot_be_made(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.create = EACCES;
    rig_append_many(r, 1, 3);
    check_all(r, 3, false);
    assert_int_equal(spool_state(r->s), SPOOL_DEGRADED);
    fault.create = 0;
    recover(r);
    rig_append_many(r, 4, 3);
    check_all(r, 3, true);
    rig_crash(r);
    assert_int_equal(r->found.first_id, 4);
}

/* Nor can the broken record be cut off: its end is remembered, and later segments are fine. */
static void test_cannot_cut(void **state)
{
    struct rig *r = of(state);
    int64_t *ids;
    rig_open(r);
    rig_append_many(r, 1, 3);
    check_all(r, 3, true);
    fault.write = EIO;
    fault.after = 50;
    fault.cut = EIO;
    fault.remove = EIO;
    rig_append_many(r, 4, 3);
    check_all(r, 3, false);
    fault.after = 30; /* of a fresh file, which cannot be deleted either */
    rig_advance(r, 1000);
    rig_until(r, rig_stat(r, STAT_SPOOL_ERRORS_WRITE) == 2);
    memset(&fault, 0, sizeof fault);
    recover(r);
    rig_append_many(r, 7, 3);
    check_all(r, 3, true);
    assert_int_equal(rig_read_all(r, 0, 2, &ids), 6);
    assert_int_equal(ids[3], 7);
    mem_free(ids);
    rig_crash(r);
    assert_int_equal(r->found.n_events, 6);
    assert_int_equal(r->found.bad_bytes, 50 + 30 - 16); /* a header is no damage */
    rig_until(r, r->n_dropped > 0);                     /* who knows what the damaged part held */
    assert_int_equal(r->dropped[0].room_id, 0);
    assert_int_equal(r->dropped[0].first_id, 4);
    assert_int_equal(r->dropped[r->n_dropped - 1].last_id, 6);
    spool_ack(r->s, 6);
    rig_advance(r, 1000);
    rig_until(r, rig_segments(r->dir, NULL, 0) <= 2);
}

static void test_sync_fails(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.sync = EIO;
    rig_append_many(r, 1, 3);
    check_all(r, 3, true); /* written, as far as anybody knows */
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    assert_true(rig_stat(r, STAT_SPOOL_ERRORS_SYNC) >= 1);
    rig_append_many(r, 4, 3);
    check_all(r, 3, false);
    fault.sync = 0;
    recover(r);
    rig_append_many(r, 7, 3);
    check_all(r, 3, true);
    rig_crash(r);
    assert_int_equal(r->found.n_events, 6);
}

/* The same while a write is under way: that one still counts, then the segment is given up. */
static void test_sync_fails_within_write(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.hang_sync = true;
    rig_append(r, 1);
    check_all(r, 1, true);
    assert_int_equal(sem_wait(&inside), 0);
    fault.hang = true;
    rig_append(r, 2);
    rig_turn(r);
    assert_int_equal(sem_wait(&inside), 0);
    fault.sync = EIO;
    fault.hang_sync = false;
    sem_post(&sync_gate);
    rig_until(r, rig_stat(r, STAT_SPOOL_ERRORS_SYNC) == 1);
    assert_int_equal(r->n_written, 0);
    fault.hang = false;
    sem_post(&gate);
    check_all(r, 1, true);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    fault.sync = 0;
    recover(r);
    rig_append(r, 3);
    check_all(r, 1, true);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 2);
}

/* A new file is there after a power loss only if the folder was synced. */
static void test_sync_of_folder(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int k = 1; k <= 3; k++) {
        rig_append_many(r, 1000 * k, 200); /* a segment each */
        rig_settle(r);
        rig_advance(r, 200);
        rig_settle(r);
        assert_int_equal(rig_segments(r->dir, NULL, 0), k);
        assert_int_equal(fault.n_dir_syncs, k);
    }
    fault.sync_dir = EIO;
    rig_append_many(r, 4000, 200);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    fault.sync_dir = 0;
    recover(r);
}

static void test_cannot_delete(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int64_t id = 1; id <= 400; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    rig_advance(r, 200);
    rig_settle(r);
    unsigned n = rig_segments(r->dir, NULL, 0);
    assert_true(n > 3);
    fault.remove = EROFS;
    spool_ack(r->s, 400);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    assert_int_equal(rig_segments(r->dir, NULL, 0), n);
    r->n_written = 0;
    rig_append(r, 500); /* writing goes on */
    check_all(r, 1, true);
    fault.remove = 0;
    recover(r);
    rig_until(r, rig_segments(r->dir, NULL, 0) <= 2);
    assert_true(rig_stat(r, STAT_SPOOL_ERRORS_REMOVE) >= 1);
}

/* The same with what is acknowledged: it still takes its place on the disk. */
static void test_cannot_delete_acknowledged(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.remove = EIO;
    for (int64_t id = 1; id <= 6000; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
        spool_ack(r->s, id + 10);
        assert_true(spool_bytes(r->s) <= (256 << 10) + (16 << 10) + 4096);
    }
    assert_int_equal(r->n_dropped, 0);
}

/* Full of what cannot be deleted: never more than the limit on disk, the events go on without the spool. */
static void test_cannot_delete_and_full(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.remove = EIO;
    for (int64_t id = 1; id <= 6000; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    assert_int_equal(r->n_written, 6000);
    assert_int_equal(spool_state(r->s), SPOOL_DEGRADED);
    assert_true(spool_bytes(r->s) <= (256 << 10) + (16 << 10) + 4096);
    assert_true(rig_stat(r, STAT_SPOOL_LOOSE_ROOM) > 1000);
    fault.remove = 0;
    rig_until(r, (rig_advance(r, 10000), spool_state(r->s) == SPOOL_FULL));
    spool_ack(r->s, 6000);
    assert_int_equal(spool_state(r->s), SPOOL_OK);
}

static void hold(struct rig *r, int64_t key)
{
    struct event_draft d;
    event_draft_init(&d, EVENT_GUARD, 7);
    spool_hold(r->s, key, &d, 1);
}

/* What is held back during the trouble gets into the spool when it is over; what ended stays ended. */
static void test_holds_in_trouble(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    hold(r, 1);
    hold(r, 2);
    rig_settle(r);
    fault.write = ENOSPC;
    rig_append(r, 1);
    check_all(r, 1, false);
    hold(r, 3);
    hold(r, 4);
    spool_hold_end(r->s, 1);
    spool_hold_end(r->s, 4);
    rig_settle(r);
    fault.write = 0;
    recover(r);
    rig_crash(r);
    rig_holds(r);
    assert_int_equal(r->n_holds, 2);
    assert_int_equal(r->holds[0].key + r->holds[1].key,
                     2 + 3); /* in any order: they may have moved */
    assert_int_equal(r->holds[0].key * r->holds[1].key, 2 * 3);
}

static void fill_segments(struct rig *r, int64_t first, int64_t last)
{
    for (int64_t id = first; id <= last; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
}

/* A full disk may be full of us: what is acknowledged goes, although its hold cannot be written anew yet. */
static void test_delete_while_degraded(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    hold(r, 1);
    fill_segments(r, 1, 400);
    assert_true(rig_segments(r->dir, NULL, 0) > 3);
    fault.write = ENOSPC;
    rig_append(r, 500);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    rig_advance(r, 0);
    spool_ack(r->s, 500);
    rig_until(r, rig_segments(r->dir, NULL, 0) <= 1);
    fault.write = 0;
    recover(r);
    rig_settle(r);
    rig_crash(r);
    rig_holds(r);
    assert_int_equal(r->n_holds, 1);
}

/* The report is in the spool before the file goes. */
static void test_report_before_delete(void **state)
{
    struct rig *r = of(state);
    char names[64][32];
    char path[TMP_PATH_BYTES + 64];
    rig_open(r);
    int64_t id = 1;
    while (spool_bytes(r->s) < 245 << 10) {
        rig_append_many(r, id, 20);
        rig_settle(r);
        id += 20;
    }
    assert_true(rig_segments(r->dir, names, 64) > 3);
    (void)snprintf(path, sizeof path, "%s/%s", r->dir, names[0]);
    fault.hang = true;
    rig_append(r, id++);
    rig_turn(r);
    assert_int_equal(sem_wait(&inside), 0);
    while (spool_has(r->s, 1)) {
        rig_append(r, id++);
    }
    rig_until(r, r->n_dropped > 0);
    for (int i = 0; i < 50; i++) {
        rig_turn(r);
    }
    assert_int_equal(access(path, F_OK), 0);
    fault.hang = false;
    sem_post(&gate);
    rig_until(r, access(path, F_OK) != 0);
}

/* The note that appends are being refused could not be written; it is when the disk is back. */
static void test_refusing_is_noted(void **state)
{
    struct rig *r = of(state);
    r->opts.overflow = SPOOL_DROP_NEWEST;
    rig_open(r);
    int64_t id = 1;
    while (spool_bytes(r->s) < 250 << 10) {
        rig_append_many(r, id, 20);
        rig_settle(r);
        id += 20;
    }
    fault.write = ENOSPC;
    rig_append_many(r, id, 200);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    fault.write = 0;
    rig_until(r, (rig_advance(r, 10000), spool_state(r->s) == SPOOL_FULL));
    rig_settle(r);
    int64_t last_told = r->written[r->n_written - 1].id;
    r->n_dropped = 0;
    rig_crash(r);
    rig_until(r, r->n_dropped > 0);
    assert_int_equal(r->dropped[0].room_id, 0);
    assert_int_equal(r->dropped[0].first_id, last_told + 1);
    assert_true(r->dropped[0].last_id >= id + 199);
}

/* A disk that does not sync: descriptors do not pile up. */
static void test_sync_hangs(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fault.hang_sync = true;
    rig_append(r, 1);
    rig_until(r, r->n_written == 1);
    assert_int_equal(sem_wait(&inside), 0);
    for (int64_t id = 2; id <= 1000; id += 20) {
        rig_append_many(r, id, 20);
        rig_until(r, r->n_written == (size_t)id + 19);
    }
    assert_true(r->written[999].durable); /* writing does not wait for it */
    assert_int_equal(rig_segments(r->dir, NULL, 0), 2);
    fault.hang_sync = false;
    sem_post(&sync_gate);
    rig_settle(r);
    rig_append_many(r, 2000, 1);
    rig_settle(r);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 3);
}

/* A disk that does not answer: the events stop waiting for it, and it may answer after all. */
static void test_stall(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    rig_append_many(r, 1, 3);
    check_all(r, 3, true);
    fault.hang = true;
    rig_append_many(r, 4, 3);
    rig_turn(r);
    assert_int_equal(sem_wait(&inside), 0);
    rig_append_many(r, 7, 3);
    for (int i = 0; i < 9; i++) {
        rig_advance(r, 1000);
    }
    assert_int_equal(r->n_written, 0);
    rig_advance(r, 2000);
    check_all(r, 6, false);
    assert_int_equal(spool_state(r->s), SPOOL_DEGRADED);
    rig_append(r, 10);
    check_all(r, 1, false);
    assert_int_equal(rig_stat(r, STAT_SPOOL_STALLS), 1);
    fault.hang = false;
    sem_post(&gate);
    rig_until(r, spool_state(r->s) == SPOOL_OK);
    rig_append_many(r, 11, 2);
    check_all(r, 2, true);
    assert_false(spool_has(r->s, 5)); /* said to be missing, although it is there */
    rig_crash(r);
    assert_int_equal(r->found.n_events, 3 + 3 + 2);
}

/* The same by size: what waits behind a write is bounded. */
static void test_stall_by_bytes(void **state)
{
    struct rig *r = of(state);
    r->opts.queue_bytes = 32 << 10;
    rig_open(r);
    fault.hang = true;
    rig_append(r, 1);
    rig_turn(r);
    assert_int_equal(sem_wait(&inside), 0);
    for (int64_t id = 2; id <= 2000; id++) {
        rig_append(r, id);
        if (id % 100 == 0) {
            rig_turn(r);
        }
    }
    rig_until(r, r->n_written == 2000);
    fault.hang = false;
    sem_post(&gate);
    rig_until(r, spool_state(r->s) == SPOOL_OK);
    assert_int_equal(rig_stat(r, STAT_SPOOL_LOOSE_DEGRADED), 2000);
}

static void test_read_fails(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    for (int64_t id = 1; id <= 200; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    fault.read = EIO;
    rig_read(r, 0, 10);
    assert_int_equal(r->n_read, 0);
    fault.read = 0;
    assert_true(r->n_dropped > 0); /* never in silence */
    assert_int_equal(r->dropped[0].room_id, 0);
    assert_int_equal(r->dropped[0].first_id, 1);
    assert_int_equal(r->dropped[r->n_dropped - 1].last_id, 200);
    assert_false(spool_has(r->s, 100));
    assert_true(rig_stat(r, STAT_SPOOL_ERRORS_READ) > 0);
}

static void note_ids(void *ctx, struct event **events, size_t n)
{
    struct rig *r = ctx;
    mem_fault_set(-1, 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(events[i]->id, r->found.last_id + 1); /* (a place to count) */
        r->found.last_id++;
        event_unref(&events[i]);
    }
    r->reading = false;
}

/* A reader that finds no memory gives what it has, goes on later, and passes nothing over. */
static void test_read_no_memory(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    fill_segments(r, 1, 400);
    r->found.last_id = 0;
    for (int n = 0; r->found.last_id < 400; n++) {
        assert_true(n < 1000);
        r->reading = true;
        mem_fault_set(n % 12, 1);
        spool_read(r->s, r->found.last_id, 9, 1 << 20, note_ids, r);
        rig_until(r, (rig_advance(r, 50), !r->reading));
    }
}

/* Reading on does not begin at the start of the segment again. */
static void test_read_on(void **state)
{
    struct rig *r = of(state);
    r->opts.max_bytes = 64 << 20;
    r->opts.segment_bytes = 16 << 20;
    rig_open(r);
    fill_segments(r, 1, 400);
    assert_int_equal(rig_segments(r->dir, NULL, 0), 1);
    rig_read(r, 0, 300);
    int64_t after = r->read[r->n_read - 1]->id;
    fault.read_from = INT32_MAX;
    rig_read(r, after, 10);
    assert_int_equal(r->read[0]->id, after + 1);
    assert_true(fault.read_from > 10000);
    rig_read(r, 350, 1); /* elsewhere: it does */
    assert_true(fault.read_from < 100);
}

/* A start without a byte of room: no lock file, nothing can be written; it serves all the same. */
static void test_begins_degraded(void **state)
{
    struct rig *r = of(state);
    struct spool *second = NULL;
    struct spool_found found;
    struct err err;
    fault.create = ENOSPC;
    fault.write = ENOSPC;
    rig_open(r);
    rig_append(r, 1);
    check_all(r, 1, false);
    fault.create = 0;
    fault.write = 0;
    assert_int_equal(spool_open(r->loop, &r->opts, NULL, &second, &found, &err), ERR_CONFLICT);
    recover(r);
    rig_append(r, 2);
    check_all(r, 1, true);
}

static void test_close_degraded(void **state)
{
    struct rig *r = of(state);
    rig_open(r);
    rig_append(r, 1);
    check_all(r, 1, true);
    fault.write = EIO;
    rig_append(r, 2);
    rig_close(r); /* the last write fails */
    assert_int_equal(r->n_written, 1);
    assert_false(r->written[0].durable);
    rig_open(r);
    rig_append(r, 3);
    rig_until(r, spool_state(r->s) == SPOOL_DEGRADED);
    rig_append(r, 4);
    rig_close(r);
    assert_int_equal(r->n_written, 3);
}

/* Every data-plane allocation that fails, in its turn: order holds, nothing is lost but durability. */
static void test_no_memory(void **state)
{
    struct rig *r = of(state);
    int64_t id = 1;
    rig_open(r);
    for (int n = 0; n < 30; n++) {
        mem_fault_set(-1, 0);
        struct event *events[4];
        for (size_t i = 0; i < ARRAY_LEN(events); i++) {
            struct event_draft d;
            rig_draft(&d, id);
            events[i] = event_new(id++, &d);
        }
        mem_fault_set(n, 3);
        for (size_t i = 0; i < ARRAY_LEN(events); i++) {
            spool_append(r->s, events[i]);
        }
        mem_fault_set(-1, 0);
        rig_until(r, r->n_written == (size_t)id - 1);
    }
    size_t durable = 0;
    for (size_t i = 0; i < r->n_written; i++) {
        durable += r->written[i].durable;
    }
    rig_crash(r);
    assert_int_equal(r->found.n_events, durable);
}

/* --- what the kernel itself says --- */

/* Fills a spool until it degrades, makes room, sees it recover; all that was told as durable is there again. */
static void full_and_back(struct rig *r, void (*make_room)(void))
{
    int64_t id = 1;
    size_t durable = 0;
    r->opts.max_bytes = 64 << 20;
    r->opts.segment_bytes = 4 << 20;
    rig_open(r);
    while (spool_state(r->s) == SPOOL_OK) {
        assert_true(id < 100000);
        rig_append_many(r, id, 100);
        id += 100;
        rig_settle(r);
    }
    rig_append_many(r, id, 10);
    rig_settle(r);
    assert_false(r->written[r->n_written - 1].durable);
    make_room();
    recover(r);
    rig_append_many(r, id + 10, 10);
    rig_settle(r);
    assert_true(r->written[r->n_written - 1].durable);
    for (size_t i = 0; i < r->n_written; i++) {
        durable += r->written[i].durable;
    }
    assert_true(durable > 100 && durable < r->n_written);
    rig_restart(r);
    assert_int_equal(r->found.n_events, durable);
    assert_int_equal(r->found.bad_bytes, 0);
}

static struct rlimit old_limit;

static void raise_limit(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
}

static void test_file_size_limit(void **state)
{
    struct rig *r = of(state);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    struct rlimit low = {.rlim_cur = 300000, .rlim_max = old_limit.rlim_max};
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    full_and_back(r, raise_limit);
    (void)signal(SIGXFSZ, old);
}

static char ballast[TMP_PATH_BYTES];

static void drop_ballast(void)
{
    assert_int_equal(unlink(ballast), 0);
}

/* In a child of its own: a mount that nobody else sees, and that goes with it. */
static int in_tiny_fs(struct rig *r)
{
    char block[65536] = {0};
    char mnt[TMP_PATH_BYTES];
    tmp_path(&r->tmp, "mnt", mnt);
    assert_int_equal(mkdir(mnt, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", mnt, "tmpfs", 0, "size=2m") != 0) {
        return 77;
    }
    tmp_path(&r->tmp, "mnt/ballast", ballast);
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
    }
    close(fd);
    tmp_path(&r->tmp, "mnt/spool", r->dir);
    full_and_back(r, drop_ballast);
    rig_close(r);
    return 0;
}

static void test_tiny_file_system(void **state)
{
    struct rig *r = of(state);
    int status = 0;
    (void)fflush(NULL);
    loop_free(r->loop); /* a loop does not survive a fork */
    r->loop = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        r->loop = loop_new();
        loop_set_clock(r->loop, &r->clock.base);
        int code = in_tiny_fs(r);
        (void)fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("no mount permitted here: skipped\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define FAULT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        FAULT_TEST(test_tiny_file_system), /* first: it forks before the thread pool exists */
        FAULT_TEST(test_disk_full),
        FAULT_TEST(test_partly_written),
        FAULT_TEST(test_file_cannot_be_made),
        FAULT_TEST(test_cannot_cut),
        FAULT_TEST(test_sync_fails),
        FAULT_TEST(test_sync_fails_within_write),
        FAULT_TEST(test_sync_of_folder),
        FAULT_TEST(test_cannot_delete),
        FAULT_TEST(test_cannot_delete_and_full),
        FAULT_TEST(test_cannot_delete_acknowledged),
        FAULT_TEST(test_delete_while_degraded),
        FAULT_TEST(test_report_before_delete),
        FAULT_TEST(test_report_is_synced_before_its_segment_goes),
        FAULT_TEST(test_refusing_is_noted),
        FAULT_TEST(test_sync_hangs),
        FAULT_TEST(test_read_no_memory),
        FAULT_TEST(test_read_on),
        FAULT_TEST(test_holds_in_trouble),
        FAULT_TEST(test_stall),
        FAULT_TEST(test_stall_by_bytes),
        FAULT_TEST(test_read_fails),
        FAULT_TEST(test_begins_degraded),
        FAULT_TEST(test_close_degraded),
        FAULT_TEST(test_no_memory),
        FAULT_TEST(test_file_size_limit),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
