/* hash64 is stored: its values are fixed here for ever (computed by a second implementation, from hash.c's comment). */
#include "server/core/hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/core/mem.h"
#include "tests/support/run.h"

static int64_t hash_two(uint64_t domain, struct str a, struct str b)
{
    struct hash64 h;

    hash64_init(&h, domain);
    hash64_str(&h, a);
    hash64_str(&h, b);
    return hash64_done(&h);
}

static int64_t hash_str(uint64_t domain, struct str s)
{
    struct hash64 h;

    hash64_init(&h, domain);
    hash64_str(&h, s);
    return hash64_done(&h);
}

static int64_t hash_i64(uint64_t domain, int64_t v)
{
    struct hash64 h;

    hash64_init(&h, domain);
    hash64_i64(&h, v);
    return hash64_done(&h);
}

static void fixed_for_ever(void **state)
{
    struct hash64 h;

    (void)state;
    hash64_init(&h, 0);
    assert_true(hash64_done(&h) == INT64_C(-2152535657050944081));
    hash64_init(&h, 1);
    assert_true(hash64_done(&h) == INT64_C(-7995527694508729151));
    assert_true(hash_str(0, STR_NULL) == INT64_C(4805154043291222316));
    assert_true(hash_i64(0, 0) == INT64_C(-6411193824288604561));
    assert_true(hash_str(7, STR("abc")) == INT64_C(9170161466674377579));
    assert_true(hash_two(7, STR("ab"), STR("c")) == INT64_C(4642931841960178719));
    assert_true(hash_two(7, STR("a"), STR("bc")) == INT64_C(-4540530998615357282));
    assert_true(hash_str(7, STR("12345678")) == INT64_C(-8547875017368988547));
    assert_true(hash_str(7, STR("弹幕弹幕123")) == INT64_C(3299192935277640367));
    hash64_init(&h, 3);
    hash64_i64(&h, -1);
    hash64_str(&h, STR("x"));
    assert_true(hash64_done(&h) == INT64_C(5980556081967949926));
    assert_true(hash_i64(3, INT64_MIN) == INT64_C(6454022957637618099));
}

static void never_zero(void **state)
{
    (void)state;
    /* The one word that takes this domain's state to 0. */
    assert_true(hash_i64(5, INT64_C(201462734464499889)) == INT64_C(-7046029254386353131));
}

static void reading_does_not_change(void **state)
{
    struct hash64 h;
    int64_t first;

    (void)state;
    hash64_init(&h, 9);
    hash64_str(&h, STR("abc"));
    first = hash64_done(&h);
    assert_true(hash64_done(&h) == first);
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Keys as close to each other as real ones are: no two hashes are equal, and each bit is set about half of the time. */
static void spreads(void **state)
{
    enum { N = 200000 };
    int64_t *all = mem_new_array(int64_t, N);
    unsigned set[64] = {0};

    (void)state;
    for (int i = 0; i < N; i++) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%d", 1000000 + i / 4);

        switch (i % 4) {
        case 0:
            all[i] = hash_str(1, (struct str){text, (size_t)n});
            break;
        case 1:
            all[i] = hash_str(2, (struct str){text, (size_t)n});
            break;
        case 2:
            all[i] = hash_i64(1, i / 4);
            break;
        default:
            all[i] =
                hash_two(1, (struct str){text, (size_t)(i / 4) % 7}, (struct str){text, (size_t)n});
            break;
        }
        for (unsigned bit = 0; bit < 64; bit++) {
            set[bit] += (unsigned)((uint64_t)all[i] >> bit) & 1;
        }
    }
    qsort(all, N, sizeof(*all), compare);
    for (int i = 1; i < N; i++) {
        assert_true(all[i] != all[i - 1]);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_in_range(set[bit], N / 2 - 2000, N / 2 + 2000); /* nine standard deviations */
    }
    mem_free(all);
}

/* Zero bytes at the end are not the padding. */
static void length_counts(void **state)
{
    static const char zeros[40] = {0};
    int64_t seen[40];

    (void)state;
    for (size_t n = 0; n < 40; n++) {
        seen[n] = hash_str(0, (struct str){zeros, n});
        for (size_t k = 0; k < n; k++) {
            assert_true(seen[k] != seen[n]);
        }
    }
}

static void crc32_vectors(void **state)
{
    static const char ff[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static const char zero[32] = {0};

    (void)state;
    assert_int_equal(hash_crc32(STR("123456789")), 0xCBF43926);
    assert_int_equal(hash_crc32(STR_NULL), 0);
    assert_int_equal(hash_crc32(STR("6249")), 0x37C43260);
    assert_int_equal(hash_crc32(STR("77777777771")), 0xCF1ADA11); /* of a uid */
    assert_int_equal(hash_crc32((struct str){ff, 32}), 0xFF6CAB0B);
    /* RFC 3720 B.4 */
    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(hash_crc32c(0, zero, 32), 0x8A9136AA);
    assert_int_equal(hash_crc32c(0, ff, 32), 0x62A8AB43);
    assert_int_equal(hash_crc32c(0, NULL, 0), 0);
}

/* Both ways agree, at every length and alignment, and however the bytes are cut. */
static void crc32c_agrees(void **state)
{
    char bytes[128];
    struct rng r;

    (void)state;
    test_rng(&r);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)rng_u64(&r);
    }
    for (size_t from = 0; from < 16; from++) {
        for (size_t n = 0; n < sizeof(bytes) - from; n++) {
            uint32_t start = (uint32_t)rng_u64(&r);
            uint32_t whole = hash_crc32c(start, bytes + from, n);
            size_t cut = (size_t)rng_below(&r, n + 1);

            assert_int_equal(hash_crc32c_portable(start, bytes + from, n), whole);
            assert_int_equal(
                hash_crc32c(hash_crc32c(start, bytes + from, cut), bytes + from + cut, n - cut),
                whole);
        }
    }
}

/* The shift register as the standard writes it. */
static uint32_t slow_crc(uint32_t poly, const char *p, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ poly : crc >> 1;
        }
    }
    return ~crc;
}

static void crcs_by_definition(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int i = 0; i < 2000; i++) {
        char bytes[64];
        size_t n = (size_t)rng_below(&r, sizeof(bytes));

        for (size_t k = 0; k < n; k++) {
            bytes[k] = (char)rng_u64(&r);
        }
        assert_int_equal(hash_crc32((struct str){bytes, n}), slow_crc(0xEDB88320, bytes, n));
        assert_int_equal(hash_crc32c(0, bytes, n), slow_crc(0x82F63B78, bytes, n));
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_for_ever),          cmocka_unit_test(never_zero),
        cmocka_unit_test(reading_does_not_change), cmocka_unit_test(spreads),
        cmocka_unit_test(length_counts),           cmocka_unit_test(crc32_vectors),
        cmocka_unit_test(crc32c_agrees),           cmocka_unit_test(crcs_by_definition),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
