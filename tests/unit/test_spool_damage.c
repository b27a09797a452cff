/* Segments that were cut at any length or have any byte flipped: the start succeeds, all in front of the damage is there, the
 * damage is counted, other segments do not suffer. */
#include "server/spool/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/mem.h"
#include "server/spool/spool_file.h"
#include "tests/unit/test_spool_rig.h"

/* Thousands of starts, and no power is lost here: nothing is synced. */
int fdatasync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

int fsync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

enum { EVENTS_MAX = 400, FILES_MAX = 8 };

struct file {
    char name[256];
    char *bytes; /* owned */
    size_t len;
    int64_t ids[EVENTS_MAX]; /* of its events, and where their records end */
    uint64_t ends[EVENTS_MAX];
    size_t n;
};

struct original {
    struct file files[FILES_MAX];
    unsigned n;
};

static struct rig *of(void **state)
{
    return *state;
}

static void path_of(const struct rig *r, const struct file *f,
                    char out[static TMP_PATH_BYTES + 320])
{
    (void)snprintf(out, TMP_PATH_BYTES + 320, "%s/%s", r->dir, f->name);
}

static void load_file(const struct rig *r, struct file *f)
{
    char path[TMP_PATH_BYTES + 320];
    struct stat st;
    struct spool_walk walk;
    struct spool_record record;
    path_of(r, f, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    f->len = (size_t)st.st_size;
    f->bytes = mem_alloc(f->len);
    assert_non_null(f->bytes);
    assert_int_equal(read(fd, f->bytes, f->len), f->len);
    spool_walk_init(&walk, fd, SPOOL_HEADER_BYTES, f->len);
    enum err_code code;
    while ((code = spool_walk_next(&walk, &record)) == ERR_OK) {
        if (record.type == SPOOL_EVENT) {
            assert_true(f->n < EVENTS_MAX);
            f->ids[f->n] = record.id;
            f->ends[f->n++] = walk.at;
        }
    }
    assert_int_equal(code, ERR_NOT_FOUND);
    spool_walk_deinit(&walk);
    close(fd);
}

/* Some segments; the newest is small, so that every byte of it can be tried. */
static void make_original(struct rig *r, struct original *o)
{
    char names[FILES_MAX][32];
    rig_open(r);
    for (int64_t id = 1; id <= 181; id += 20) {
        rig_append_many(r, id, 20);
        rig_settle(r);
    }
    rig_restart(r);
    rig_append_many(r, 1000, 12);
    rig_close(r);
    o->n = rig_segments(r->dir, names, FILES_MAX);
    assert_in_range(o->n, 3, FILES_MAX);
    for (unsigned i = 0; i < o->n; i++) {
        o->files[i] = (struct file){0};
        (void)snprintf(o->files[i].name, sizeof o->files[i].name, "%s", names[i]);
        load_file(r, &o->files[i]);
    }
}

static void free_original(struct original *o)
{
    for (unsigned i = 0; i < o->n; i++) {
        mem_free(o->files[i].bytes);
    }
}

static void store(const struct rig *r, const struct file *f, size_t len)
{
    char path[TMP_PATH_BYTES + 320];
    path_of(r, f, path);
    (void)unlink(path); /* truncating would make ext4 write the file at once */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, f->bytes, len), len);
    close(fd);
}

/* Opens what is there: of file `which` all that ends at or before `good`, of the others everything. */
static void check(struct rig *r, const struct original *o, unsigned which, uint64_t good)
{
    int64_t *ids;
    size_t k = 0;
    rig_open(r);
    size_t n = rig_read_all(r, 0, 1000, &ids);
    for (unsigned i = 0; i < o->n; i++) {
        const struct file *f = &o->files[i];
        for (size_t e = 0; e < f->n && (i != which || f->ends[e] <= good); e++) {
            assert_true(k < n);
            assert_int_equal(ids[k], f->ids[e]);
            k++;
        }
    }
    assert_int_equal(n, k);
    assert_int_equal(r->found.n_events, k);
    mem_free(ids);
}

static void test_cut_newest(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    struct file *f = &o.files[o.n - 1];
    for (size_t len = 0; len <= f->len; len++) {
        uint64_t end = len < SPOOL_HEADER_BYTES ? 0 : len;
        store(r, f, len);
        check(r, &o, o.n - 1, end);
        assert_int_equal(r->found.bad_bytes, 0);
        size_t torn = (size_t)r->found.torn_bytes;
        assert_true(torn <= len && (torn > 0 || len == 0 || len >= SPOOL_HEADER_BYTES));
        if (len % 16 == 3) {
            rig_restart(r); /* cut off: not counted again */
            assert_int_equal(r->found.torn_bytes + r->found.bad_bytes, 0);
        }
        rig_close(r);
    }
    free_original(&o);
}

static void test_cut_counts_exactly(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    struct file *f = &o.files[o.n - 1];
    store(r, f, (size_t)f->ends[5] + 17);
    check(r, &o, o.n - 1, f->ends[5]);
    assert_int_equal(r->found.torn_bytes, 17);
    assert_int_equal(rig_stat(r, STAT_SPOOL_TORN_BYTES), 17);
    rig_append(r, 5000); /* life goes on, behind it */
    rig_settle(r);
    rig_restart(r);
    assert_int_equal(r->found.last_id, 5000);
    rig_close(r);
    free_original(&o);
}

static void flip_each(struct rig *r, const struct original *o, unsigned which, size_t step)
{
    const struct file *f = &o->files[which];
    struct rng rng;
    test_rng(&rng);
    for (size_t at = (size_t)rng_below(&rng, step); at < f->len;
         at += 1 + (size_t)rng_below(&rng, 2 * step - 1)) {
        char old = f->bytes[at];
        f->bytes[at] = (char)(old ^ (1 << rng_below(&rng, 8)));
        store(r, f, f->len);
        check(r, o, which, at < SPOOL_HEADER_BYTES ? 0 : at);
        assert_true(r->found.bad_bytes + r->found.torn_bytes > 0);
        if (which + 1 < o->n) {
            assert_int_equal(r->found.torn_bytes, 0);
            assert_true(r->found.bad_bytes >= f->len - at);
        }
        rig_close(r);
        f->bytes[at] = old;
        store(r, f, f->len);
    }
}

static void test_flip_newest(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    flip_each(r, &o, o.n - 1, 1);
    free_original(&o);
}

static void test_flip_older(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    for (unsigned i = 0; i + 1 < o.n; i++) {
        flip_each(r, &o, i, 100);
    }
    free_original(&o);
}

/* What the damage may have held is told, without rooms. */
static void test_damage_is_told(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    struct file *f = &o.files[0];
    f->bytes[f->ends[3] + 20] ^= 1;
    store(r, f, f->len);
    check(r, &o, 0, f->ends[3]);
    rig_until(r, r->n_dropped > 0);
    assert_int_equal(r->n_dropped, 1);
    assert_int_equal(r->dropped[0].room_id, 0);
    assert_int_equal(r->dropped[0].n, 0);
    assert_int_equal(r->dropped[0].first_id, f->ids[3] + 1);
    assert_int_equal(r->dropped[0].last_id, o.files[1].ids[0] - 1);
    assert_int_equal(rig_stat(r, STAT_SPOOL_BAD_BYTES), f->len - f->ends[3]);
    rig_close(r);
    free_original(&o);
}

/* A segment copied under a later name: its ids are no longer greater, so it counts as damaged. */
static void test_ids_go_back(void **state)
{
    struct rig *r = of(state);
    struct original o;
    make_original(r, &o);
    struct file copy = o.files[0];
    (void)snprintf(copy.name, sizeof copy.name, "%s",
                   "0000000000000500.seg"); /* above 1000, decimal */
    store(r, &copy, copy.len);
    check(r, &o, o.n, 0);
    assert_true(r->found.torn_bytes + r->found.bad_bytes > copy.len / 2);
    rig_append(r, 2000);
    rig_settle(r);
    assert_true(r->written[r->n_written - 1].durable);
    rig_close(r);
    free_original(&o);
}

/* A record that is whole but of another version is passed over, and counted; the rest is read. */
static void test_unknown_record(void **state)
{
    struct rig *r = of(state);
    struct original o;
    struct buf b;
    make_original(r, &o);
    struct file *f = &o.files[o.n - 1];
    buf_init(&b, 1 << 20);
    buf_put(&b, (struct str){f->bytes, (size_t)f->ends[4]});
    size_t at = b.len;
    spool_alive_put(&b, 1);
    b.data[at + 8] = 99;
    uint32_t crc = hash_crc32c(0, b.data + at + 8, b.len - at - 8);
    for (int i = 0; i < 4; i++) {
        b.data[at + 4 + (size_t)i] = (char)(crc >> (8 * i));
    }
    size_t extra = b.len - at;
    buf_put(&b, (struct str){f->bytes + f->ends[4], f->len - (size_t)f->ends[4]});
    struct file changed = *f;
    changed.bytes = b.data;
    store(r, &changed, b.len);
    check(r, &o, o.n, 0);
    assert_int_equal(r->found.bad_bytes, extra);
    assert_int_equal(r->found.torn_bytes, 0);
    rig_close(r);
    buf_deinit(&b);
    free_original(&o);
}

/* ---- a segment with records of every type ---- */

enum { MIXED_ROOM = 5 };

/* The newest segment again, with more in it, and where each of that ends. */
struct mixed {
    struct original o;
    uint64_t hold_1, hold_2, end_1, report;
};

static void put_event(struct buf *b, int64_t id)
{
    struct event_draft d;
    rig_draft(&d, id);
    struct event *e = event_new(id, &d);
    assert_non_null(e);
    spool_event_put(b, e);
    event_unref(&e);
}

static uint64_t put_hold(struct buf *b, int64_t key)
{
    struct event_draft d;
    event_draft_init(&d, EVENT_GUARD, MIXED_ROOM);
    d.text = STR("held");
    struct event *e = event_new(1, &d);
    assert_non_null(e);
    spool_hold_put(b, key, 5000, e);
    event_unref(&e);
    return b->len;
}

static void make_mixed(struct rig *r, struct mixed *m)
{
    static const struct spool_dropped dropped = {MIXED_ROOM, 300, 310, 7};
    struct buf b;
    make_original(r, &m->o);
    struct file *f = &m->o.files[m->o.n - 1];
    buf_init(&b, 1 << 20);
    buf_put(&b, (struct str){f->bytes, f->len});
    m->hold_1 = put_hold(&b, 1);
    put_event(&b, 2000);
    m->hold_2 = put_hold(&b, 2);
    spool_alive_put(&b, r->clock.wall);
    spool_hold_end_put(&b, 1);
    m->end_1 = b.len;
    put_event(&b, 2001);
    spool_dropped_put(&b, &dropped);
    m->report = b.len;
    put_event(&b, 2002);
    mem_free(f->bytes);
    f->bytes = mem_dup(b.data, b.len);
    f->len = b.len;
    buf_deinit(&b);
    store(r, f, f->len);
    mem_free(TAKE_PTR(f->bytes));
    f->n = 0;
    load_file(r, f);
}

static bool holds_key(struct rig *r, int64_t key)
{
    rig_holds(r);
    for (size_t i = 0; i < r->n_holds; i++) {
        if (r->holds[i].key == key) {
            return true;
        }
    }
    return false;
}

static bool tells_report(struct rig *r)
{
    for (int i = 0; i < 2; i++) {
        (void)loop_turn(r->loop); /* told from the loop; nothing else is waited for */
    }
    for (size_t i = 0; i < r->n_dropped; i++) {
        if (r->dropped[i].room_id == MIXED_ROOM) {
            return r->dropped[i].first_id == 300 && r->dropped[i].last_id == 310 &&
                   r->dropped[i].n == 7;
        }
    }
    return false;
}

/* Starts on what is there; everything of the mixed segment that ends at or before `good` is known. */
static void check_mixed(struct rig *r, const struct mixed *m, uint64_t good)
{
    r->n_dropped = 0;
    check(r, &m->o, m->o.n - 1, good);
    assert_true(holds_key(r, 1) == (m->hold_1 <= good && m->end_1 > good));
    assert_true(holds_key(r, 2) == (m->hold_2 <= good));
    assert_true(tells_report(r) == (m->report <= good));
    rig_close(r);
}

static uint64_t good_of(size_t at)
{
    return at < SPOOL_HEADER_BYTES ? 0 : at;
}

static void test_mixed_newest_cut(void **state)
{
    struct rig *r = of(state);
    struct mixed m;
    make_mixed(r, &m);
    struct file *f = &m.o.files[m.o.n - 1];
    for (size_t at = 0; at <= f->len; at++) {
        store(r, f, at);
        check_mixed(r, &m, good_of(at));
    }
    free_original(&m.o);
}

static void test_mixed_newest_flip(void **state)
{
    struct rig *r = of(state);
    struct mixed m;
    make_mixed(r, &m);
    struct file *f = &m.o.files[m.o.n - 1];
    for (size_t at = 0; at < f->len; at++) {
        char old = f->bytes[at];
        f->bytes[at] = (char)(old ^ (1 << (at % 8)));
        store(r, f, f->len);
        check_mixed(r, &m, good_of(at));
        f->bytes[at] = old;
    }
    free_original(&m.o);
}

/* The same with a segment behind it, whose events do not suffer. */
static void damage_older(struct rig *r, bool cut)
{
    struct mixed m;
    char names[FILES_MAX + 1][32];
    make_mixed(r, &m);
    rig_open(r);
    rig_append_many(r, 3000, 3);
    rig_close(r);
    unsigned n = rig_segments(r->dir, names, FILES_MAX + 1);
    assert_int_equal(n, m.o.n + 1);
    assert_true(n <= FILES_MAX);
    struct file *last = &m.o.files[m.o.n++];
    *last = (struct file){0};
    (void)snprintf(last->name, sizeof last->name, "%s", names[n - 1]);
    load_file(r, last);
    assert_int_equal(last->n, 3);
    struct file *f = &m.o.files[m.o.n - 2];
    for (size_t at = 0; at < f->len; at++) {
        char old = f->bytes[at];
        f->bytes[at] = (char)(old ^ (1 << (at % 8)));
        store(r, f, cut ? at : f->len);
        check(r, &m.o, m.o.n - 2, good_of(at));
        rig_close(r);
        f->bytes[at] = old;
    }
    free_original(&m.o);
}

static void test_mixed_older_cut(void **state)
{
    damage_older(of(state), true);
}

static void test_mixed_older_flip(void **state)
{
    damage_older(of(state), false);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RIG_TEST(test_cut_newest),        RIG_TEST(test_cut_counts_exactly),
        RIG_TEST(test_flip_newest),       RIG_TEST(test_flip_older),
        RIG_TEST(test_damage_is_told),    RIG_TEST(test_ids_go_back),
        RIG_TEST(test_unknown_record),    RIG_TEST(test_mixed_newest_cut),
        RIG_TEST(test_mixed_newest_flip), RIG_TEST(test_mixed_older_cut),
        RIG_TEST(test_mixed_older_flip),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
