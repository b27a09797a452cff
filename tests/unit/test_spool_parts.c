/* The parts of the spool by themselves: records, names, intervals, rooms, holds. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "server/spool/spool_file.h"
#include "server/spool/spool_hold.h"
#include "server/spool/spool_missing.h"
#include "server/spool/spool_record.h"
#include "server/spool/spool_rooms.h"
#include "server/spool/spool_segment.h"
#include "tests/support/run.h"

static struct event *any_event(struct rng *rng, size_t text_len)
{
    static char text[EVENT_TEXT_MAX + 1];
    struct event_draft d;
    memset(text, 't', sizeof text);
    event_draft_init(&d, EVENT_DANMAKU, 1);
#define X(type, name) d.name = (type)rng_u64(rng);
    EVENT_SCALARS(X)
#undef X
    d.text = (struct str){text, text_len};
    d.uname = STR("\xe5\x90\x8d");
    return event_new((int64_t)(rng_u64(rng) >> 1) | 1, &d);
}

static void test_event_record(void **state)
{
    struct rng rng;
    struct buf b;
    struct spool_record r;
    size_t used;
    (void)state;
    test_rng(&rng);
    buf_init(&b, 1 << 20);
    for (size_t len = 0; len <= EVENT_TEXT_MAX; len += 1 + (size_t)rng_below(&rng, 200)) {
        struct event *e = any_event(&rng, len);
        buf_clear(&b);
        spool_event_put(&b, e);
        assert_int_equal(b.len, spool_event_bytes(e));
        assert_int_equal(spool_record_get(buf_str(&b), &used, &r), ERR_OK);
        assert_int_equal(used, b.len);
        assert_int_equal(r.type, SPOOL_EVENT);
        assert_int_equal(r.id, e->id);
#define X(type, name) assert_true(r.draft.name == e->name);
        EVENT_SCALARS(X)
#undef X
#define X(name) assert_true(str_eq(r.draft.name, e->name));
        EVENT_STRINGS(X)
#undef X
        for (size_t cut = 0; cut < b.len; cut++) {
            assert_int_equal(spool_record_get((struct str){b.data, cut}, &used, &r), ERR_RETRY);
        }
        event_unref(&e);
    }
    buf_deinit(&b);
}

/* The layout of bytes is for ever. */
static void test_bytes(void **state)
{
    static const unsigned char alive[] = {9, 0, 0, 0, 0, 0, 0, 0, 2, 8, 7, 6, 5, 4, 3, 2, 1};
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    spool_alive_put(&b, INT64_C(0x0102030405060708));
    assert_int_equal(b.len, sizeof alive);
    assert_memory_equal(b.data, alive, 4);
    assert_memory_equal(b.data + 8, alive + 8, sizeof alive - 8);
    uint32_t crc = hash_crc32c(0, b.data + 8, b.len - 8);
    for (int i = 0; i < 4; i++) {
        assert_int_equal((unsigned char)b.data[4 + i], (crc >> (8 * i)) & 255);
    }
    buf_clear(&b);
    spool_header_put(&b, 63);
    assert_int_equal(b.len, SPOOL_HEADER_BYTES);
    assert_memory_equal(b.data, "DMSPOOL1?\0\0\0", 12);
    assert_true(spool_header_ok(buf_str(&b)));
    for (size_t i = 0; i < SPOOL_HEADER_BYTES; i++) {
        assert_false(spool_header_ok((struct str){b.data, i}));
        b.data[i] ^= 4;
        assert_false(spool_header_ok(buf_str(&b)));
        b.data[i] ^= 4;
    }
    buf_deinit(&b);
}

static void put_raw(struct buf *b, size_t length, const char *payload, size_t n)
{
    uint32_t crc = hash_crc32c(0, payload, n);
    for (int i = 0; i < 4; i++) {
        buf_put_c(b, (char)(length >> (8 * i)));
    }
    for (int i = 0; i < 4; i++) {
        buf_put_c(b, (char)(crc >> (8 * i)));
    }
    buf_put(b, (struct str){payload, n});
}

static enum err_code get_raw(size_t length, const char *payload, size_t n)
{
    struct spool_record r;
    struct buf b;
    size_t used;
    buf_init(&b, 1 << 20);
    put_raw(&b, length, payload, n);
    enum err_code code = spool_record_get(buf_str(&b), &used, &r);
    buf_deinit(&b);
    return code;
}

static void test_bad_records(void **state)
{
    char payload[64] = {0};
    (void)state;
    payload[0] = SPOOL_ALIVE;
    assert_int_equal(get_raw(9, payload, 9), ERR_OK);
    assert_int_equal(get_raw(0, payload, 9), ERR_CORRUPT);
    assert_int_equal(get_raw(SPOOL_RECORD_MAX + 1, payload, 9), ERR_CORRUPT);
    assert_int_equal(get_raw(UINT32_MAX, payload, 9), ERR_CORRUPT);
    assert_int_equal(get_raw(10, payload, 9), ERR_RETRY);
    assert_int_equal(get_raw(8, payload, 8), ERR_INVALID);   /* too short for its type */
    assert_int_equal(get_raw(10, payload, 10), ERR_INVALID); /* too long */
    payload[0] = 6;
    assert_int_equal(get_raw(9, payload, 9), ERR_INVALID); /* no type of ours */
    payload[0] = (char)200;
    assert_int_equal(get_raw(9, payload, 9), ERR_INVALID);
    payload[0] = SPOOL_EVENT;
    assert_int_equal(get_raw(64, payload, 64), ERR_INVALID); /* id 0, and too short */
    payload[0] = SPOOL_DROPPED;
    payload[9] = 2; /* first 2, last 0; then 2 */
    assert_int_equal(get_raw(33, payload, 33), ERR_INVALID);
    payload[17] = 2;
    assert_int_equal(get_raw(33, payload, 33), ERR_OK);
}

/* A buffer that is full holds whole records only. */
static void test_full_buffer(void **state)
{
    struct rng rng;
    struct buf b;
    (void)state;
    test_rng(&rng);
    struct event *e = any_event(&rng, 50);
    size_t bytes = spool_event_bytes(e);
    for (size_t limit = bytes; limit < 3 * bytes; limit += 7) {
        buf_init(&b, limit);
        while (buf_ok(&b)) {
            spool_event_put(&b, e);
        }
        assert_int_equal(b.len, limit / bytes * bytes);
        buf_deinit(&b);
    }
    event_unref(&e);
}

static void test_names(void **state)
{
    char text[SPOOL_NAME_BYTES];
    uint64_t v = 0;
    (void)state;
    spool_name_format(UINT64_C(0x7edcba9876543210), text);
    assert_string_equal(text, "7edcba9876543210.seg");
    assert_true(spool_name_parse(text, &v));
    assert_true(v == UINT64_C(0x7edcba9876543210));
    assert_false(spool_name_parse("7EDCBA9876543210.seg", &v));
    assert_false(spool_name_parse("7edcba9876543210.segx", &v));
    assert_false(spool_name_parse("7edcba987654321.seg", &v));
    assert_false(spool_name_parse("8edcba9876543210.seg", &v));
    assert_false(spool_name_parse("", &v));
    assert_false(spool_name_parse("LOCK", &v));
}

/* Records over the edges of blocks; a file that is shorter than it should be. */
static void test_walk(void **state)
{
    struct rng rng;
    struct buf b;
    struct spool_walk w;
    struct spool_record r;
    (void)state;
    test_rng(&rng);
    buf_init(&b, 8 << 20);
    spool_header_put(&b, 1);
    size_t n = 0;
    while (b.len < (3u << 20)) {
        struct event *e = any_event(&rng, (size_t)rng_below(&rng, EVENT_TEXT_MAX));
        spool_event_put(&b, e);
        event_unref(&e);
        n++;
    }
    int fd = memfd_create("walk", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.data, b.len), b.len);
    spool_walk_init(&w, fd, SPOOL_HEADER_BYTES, b.len);
    while (spool_walk_next(&w, &r) == ERR_OK) {
        n--;
    }
    assert_int_equal(n, 0);
    assert_int_equal(spool_walk_next(&w, &r), ERR_NOT_FOUND);
    assert_int_equal(w.at, b.len);
    spool_walk_deinit(&w);
    spool_walk_init(&w, fd, SPOOL_HEADER_BYTES, b.len + 1);
    while (spool_walk_next(&w, &r) == ERR_OK) {
    }
    assert_int_equal(spool_walk_next(&w, &r), ERR_CORRUPT);
    spool_walk_deinit(&w);
    close(fd);
    spool_walk_init(&w, fd, SPOOL_HEADER_BYTES, b.len);
    assert_int_equal(spool_walk_next(&w, &r), ERR_IO);
    spool_walk_deinit(&w);
    buf_deinit(&b);
}

/* Against a bit per id. */
static void test_missing(void **state)
{
    enum { IDS = 4000 };
    struct spool_missing m = {0};
    bool bits[IDS] = {false};
    struct rng rng;
    (void)state;
    test_rng(&rng);
    for (int i = 0; i < 300; i++) {
        int64_t first = rng_between(&rng, 1, IDS - 20);
        int64_t last = first + (int64_t)rng_below(&rng, 15);
        spool_missing_add(&m, first, last, INT64_MAX);
        for (int64_t id = first; id <= last; id++) {
            bits[id] = true;
        }
        for (size_t k = 1; k < m.n; k++) {
            assert_true(m.at[k - 1].first <= m.at[k - 1].last && m.at[k - 1].last < m.at[k].first);
        }
    }
    for (int64_t id = 0; id < IDS; id++) {
        assert_int_equal(spool_missing_has(&m, id), bits[id]);
    }
    spool_missing_forget(&m, 2000);
    for (int64_t id = 2001; id < IDS; id++) {
        assert_int_equal(spool_missing_has(&m, id), bits[id]);
    }
    assert_false(spool_missing_has(&m, 1900) && m.at[0].last <= 2000);
}

static void test_missing_joins(void **state)
{
    struct spool_missing m = {0};
    (void)state;
    spool_missing_add(&m, 10, 12, 5);
    spool_missing_add(&m, 20, 21, 5); /* nothing on disk since 5 */
    assert_int_equal(m.n, 1);
    assert_true(spool_missing_has(&m, 15));
    spool_missing_add(&m, 30, 31, 25); /* 25 is on disk */
    assert_int_equal(m.n, 2);
    assert_false(spool_missing_has(&m, 25));
    for (int64_t i = 0; i < 1000; i++) {
        spool_missing_add(&m, 1000 + i * 100, 1000 + i * 100 + (i == 500 ? 97 : 0),
                          900 + i * 100 + 98);
    }
    assert_int_equal(m.n, SPOOL_MISSING_MAX);
    for (int64_t i = 0; i < 1000; i++) { /* never forgets one */
        assert_true(spool_missing_has(&m, 1000 + i * 100));
    }
}

static void test_rooms(void **state)
{
    struct spool_rooms rooms = {0};
    struct spool_reports list = {0};
    (void)state;
    for (int64_t i = 0; i < 3000; i++) {
        struct spool_dropped d = {1 + i % 1000, 10 * i + 1, 10 * i + 1, 1};
        spool_rooms_add(&rooms, &d);
    }
    spool_reports_add_rooms(&list, &rooms);
    assert_int_equal(rooms.n, 0);
    assert_int_equal(list.n, 1000);
    for (size_t i = 0; i < list.n; i++) {
        assert_int_equal(list.items[i].room_id, 1 + i);
        assert_int_equal(list.items[i].first_id, 10 * i + 1);
        assert_int_equal(list.items[i].last_id, 10 * (i + 2000) + 1);
        assert_int_equal(list.items[i].n, 3);
    }
    spool_reports_deinit(&list);
    for (int64_t i = 0; i < SPOOL_ROOMS_MAX + 500; i++) {
        struct spool_dropped d = {1 + i, 5, 5, 1};
        spool_rooms_add(&rooms, &d);
    }
    spool_reports_add_rooms(&list, &rooms);
    assert_int_equal(list.items[0].room_id, 0); /* what found no place */
    assert_int_equal(list.items[0].n, 500);
    spool_reports_deinit(&list);
    spool_rooms_deinit(&rooms);
}

/* A draft is what a decoder makes of a peer's bytes: too long is cut as in an event. */
static void test_holds(void **state)
{
    static char text[EVENT_TEXT_MAX + 100];
    struct spool_holds h;
    struct spool_segment *a = spool_segment_new(1);
    struct spool_segment *b = spool_segment_new(2);
    struct event_draft d;
    struct buf out;
    (void)state;
    spool_holds_init(&h);
    buf_init(&out, 1 << 20);
    memset(text, 'x', sizeof text);
    event_draft_init(&d, EVENT_GUARD, 1);
    d.text = (struct str){text, sizeof text};
    assert_int_equal(spool_holds_set(&h, 1, &d, 10), ERR_OK);
    assert_int_equal(spool_holds_write(&h, &out), 1);
    spool_holds_written(&h, a);
    assert_int_equal(a->n_holds, 1);
    spool_holds_move(&h, a,
                     false); /* a will go: it is written anew, and only then no longer there */
    assert_int_equal(a->n_holds, 1);
    assert_int_equal(spool_holds_write(&h, &out), 1);
    spool_holds_written(&h, NULL);
    assert_int_equal(a->n_holds, 1);
    assert_int_equal(spool_holds_write(&h, &out), 1);
    spool_holds_written(&h, b);
    assert_int_equal(a->n_holds + 10 * b->n_holds, 10);
    assert_int_equal(spool_holds_set(&h, 1, &d, 11), ERR_OK); /* again, while b has the old one */
    spool_holds_move(&h, b, true);
    assert_int_equal(b->n_holds, 0);
    spool_holds_end(&h, 1);
    assert_int_equal(h.n, 1); /* its end is to be written */
    assert_int_equal(spool_holds_write(&h, &out), 1);
    spool_holds_end(&h, 1);
    spool_holds_written(&h, b);
    assert_int_equal(h.n, 0);
    for (int64_t key = 0; key < SPOOL_HOLDS_MAX; key++) {
        d.text = STR_NULL;
        assert_int_equal(spool_holds_set(&h, key * 1024, &d, 1), ERR_OK);
    }
    assert_int_equal(spool_holds_set(&h, -1, &d, 1), ERR_FULL);
    assert_int_equal(h.n_open, SPOOL_HOLDS_MAX);
    spool_holds_deinit(&h);
    buf_deinit(&out);
    spool_segment_free(a);
    spool_segment_free(b);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_record), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bad_records),  cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_missing),      cmocka_unit_test(test_missing_joins),
        cmocka_unit_test(test_rooms),        cmocka_unit_test(test_holds),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
