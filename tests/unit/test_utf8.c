/* The validator against a second, slow definition: a sequence is well-formed if it is the encoding of a code point. */
#include "server/core/utf8.h"

#include <stdlib.h>

#include "server/core/mem.h"
#include "tests/support/run.h"

/* Which byte sequences of 1 to 4 bytes begin a character, and which are one. Filled from all code points. */
struct reference {
    unsigned char *start
        [4]; /* bit sets over 8, 16, 24 bits; of four bytes, the last one only matters as a tail */
    unsigned char *whole[4];
};

static unsigned key_of(const unsigned char *p, size_t n)
{
    unsigned k = 0;

    for (size_t i = 0; i < n; i++) {
        k = k << 8 | p[i];
    }
    return k;
}

static bool has(const unsigned char *set, unsigned k)
{
    return (set[k / 8] >> (k % 8) & 1) != 0;
}

static void add(unsigned char *set, unsigned k)
{
    set[k / 8] = (unsigned char)(set[k / 8] | 1U << (k % 8));
}

/* By arithmetic, not by utf8_encode. */
static size_t encode(unsigned cp, unsigned char out[4])
{
    static const unsigned char lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

    for (size_t i = n; i-- > 1;) {
        out[i] = (unsigned char)(0x80 + cp % 64);
        cp /= 64;
    }
    out[0] = (unsigned char)(lead[n] + cp);
    return n;
}

static int make_reference(void **state)
{
    struct reference *r = mem_new(struct reference);

    for (size_t n = 0; n < 3; n++) {
        r->start[n] = mem_new_array(unsigned char, (size_t)32 << (8 * n));
        r->whole[n] = mem_new_array(unsigned char, (size_t)32 << (8 * n));
    }
    for (unsigned cp = 0; cp <= 0x10FFFF; cp++) {
        unsigned char c[4];
        size_t n;

        if (cp >= 0xD800 && cp <= 0xDFFF) {
            continue;
        }
        n = encode(cp, c);
        if (n <= 3) {
            add(r->whole[n - 1], key_of(c, n));
        }
        for (size_t k = 1; k < n; k++) {
            add(r->start[k - 1], key_of(c, k));
        }
    }
    *state = r;
    return 0;
}

static int free_reference(void **state)
{
    struct reference *r = *state;

    for (size_t n = 0; n < 3; n++) {
        mem_free(r->start[n]);
        mem_free(r->whole[n]);
    }
    mem_free(r);
    return 0;
}

/* Length of the character at p, or 0 and the longest piece that begins one (at least 1). */
static size_t slow_char(const struct reference *r, const unsigned char *p, size_t len,
                        size_t *ret_bad)
{
    *ret_bad = 1;
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        if (has(r->whole[n - 1], key_of(p, n))) {
            return n;
        }
        if (has(r->start[n - 1], key_of(p, n))) {
            *ret_bad = n;
        }
    }
    if (len >= 4 && has(r->start[2], key_of(p, 3)) && p[3] >= 0x80 && p[3] <= 0xBF) {
        return 4; /* every fourth byte of a begun character is possible */
    }
    return 0;
}

static size_t slow_clean(const struct reference *r, struct str s, char *out)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t o = 0;

    for (size_t i = 0; i < s.len;) {
        size_t bad;
        size_t n = slow_char(r, p + i, s.len - i, &bad);

        if (n == 0) {
            memcpy(out + o, "\xEF\xBF\xBD", 3);
            o += 3;
            i += bad;
        } else if (n == 1 && p[i] == 0) {
            i++;
        } else {
            memcpy(out + o, p + i, n);
            o += n;
            i += n;
        }
    }
    return o;
}

static bool slow_valid(const struct reference *r, struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t bad;

    for (size_t i = 0; i < s.len;) {
        size_t n = slow_char(r, p + i, s.len - i, &bad);

        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

static void check(const struct reference *r, struct str s)
{
    char want[UTF8_CLEAN_MAX(256)];
    char got[UTF8_CLEAN_MAX(256)];
    bool changed;
    size_t n_want = slow_clean(r, s, want);
    size_t n_got = utf8_clean(s, got, &changed);

    if (utf8_valid(s) != slow_valid(r, s) || n_got != n_want || memcmp(got, want, n_got) != 0) {
        for (size_t i = 0; i < s.len; i++) {
            print_error("%02x ", (unsigned char)s.ptr[i]);
        }
        fail_msg("differs");
    }
    assert_int_equal(changed, !str_eq((struct str){got, n_got}, s));
    assert_true(utf8_valid((struct str){got, n_got}));
}

static void every_code_point(void **state)
{
    (void)state;
    for (unsigned cp = 0; cp <= 0x110010; cp++) {
        bool real = cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF);
        unsigned char want[4];
        size_t n_want = encode(real ? cp : 0xFFFD, want);
        char got[4];
        size_t n = utf8_encode(cp, got);
        struct str s = {got, n};

        if (n != n_want || memcmp(got, want, n) != 0 || !utf8_valid(s) || utf8_count(s) != 1) {
            fail_msg("U+%X", cp);
        }
        /* No proper part of a character is valid. */
        for (size_t k = 1; k < n; k++) {
            assert_false(utf8_valid(str_sub(s, 0, k)));
            assert_false(utf8_valid(str_sub(s, k, n)));
        }
    }
    assert_int_equal(utf8_encode(UINT32_MAX, (char[4]){0}), 3);
}

static void every_three_bytes(void **state)
{
    const struct reference *r = *state;
    unsigned char c[3];

    /* One and two bytes wholly; three bytes with all leads, all second bytes and the third at the edges of its classes. */
    static const unsigned char third[] = {0x00, 'a',  0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                          0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xFF};

    for (unsigned a = 0; a < 256; a++) {
        c[0] = (unsigned char)a;
        check(r, (struct str){(char *)c, 1});
        for (unsigned b = 0; b < 256; b++) {
            c[1] = (unsigned char)b;
            check(r, (struct str){(char *)c, 2});
            for (size_t k = 0; k < ARRAY_LEN(third); k++) {
                c[2] = third[k];
                check(r, (struct str){(char *)c, 3});
            }
        }
    }
}

static void four_bytes(void **state)
{
    const struct reference *r = *state;
    static const unsigned char edges[] = {0x00, 'a', 0x7F, 0x80, 0xBF, 0xC0, 0xE0, 0xFF};
    unsigned char c[5] = {0, 0, 0, 0, 'x'};

    for (unsigned a = 0xE0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            for (size_t k = 0; k < ARRAY_LEN(edges) * ARRAY_LEN(edges); k++) {
                c[0] = (unsigned char)a;
                c[1] = (unsigned char)b;
                c[2] = edges[k % ARRAY_LEN(edges)];
                c[3] = edges[k / ARRAY_LEN(edges)];
                check(r, (struct str){(char *)c, 4});
                check(r, (struct str){(char *)c, 5});
            }
        }
    }
}

/* Pieces of all kinds behind text of all lengths, so that they meet each place of a vector, and are cut by the end.
 * The text lies in memory of exactly its size: the sanitizer sees a read behind it. */
static void at_every_offset(void **state)
{
    static const struct str pieces[] = {
        {"a", 1},
        {"\0", 1},
        {"\x7F", 1},
        {"\x80", 1},
        {"\xC3\xA9", 2},
        {"\xC0\x80", 2},
        {"\xE5\xBC\xB9", 3},
        {"\xED\xA0\x80", 3},
        {"\xE5\xBC", 2},
        {"\xF0\x9F\x98\x80", 4},
        {"\xF0\x9F", 2},
        {"\xF4\x90\x80\x80", 4},
        {"\xFF", 1},
        {"\xE5\xBC\xB9\xE5\xB9\x95", 6},
    };
    static const char *const fills[] = {"a", "\xE5\xBC\xB9", "\xC3\xA9"};

    for (size_t f = 0; f < ARRAY_LEN(fills); f++) {
        for (size_t before = 0; before < 40; before++) {
            for (size_t after = 0; after < 40; after += 1 + after / 3) {
                for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
                    size_t step = strlen(fills[f]);
                    size_t len = (before + after) * step + pieces[i].len;
                    char *text = mem_new_array(char, len);

                    for (size_t k = 0; k < before + after; k++) {
                        size_t at = k * step + (k >= before ? pieces[i].len : 0);
                        memcpy(text + at, fills[f], step);
                    }
                    memcpy(text + before * step, pieces[i].ptr, pieces[i].len);
                    check(*state, (struct str){text, len});
                    mem_free(text);
                }
            }
        }
    }
}

/* Random text: characters with some damage. */
static size_t random_text(struct rng *r, unsigned char *out, size_t max, bool damage)
{
    static const unsigned tops[] = {0x80, 0x800, 0x10000, 0x110000};
    size_t len = 0;
    size_t target = (size_t)rng_below(r, max - 3);

    while (len < target) {
        unsigned cp = (unsigned)rng_below(r, tops[rng_below(r, 4)]);

        if (cp >= 0xD800 && cp <= 0xDFFF) {
            cp = ' ';
        }
        len += encode(cp, out + len);
        if (damage && rng_below(r, 8) == 0) {
            out[rng_below(r, len)] = (unsigned char)rng_u64(r);
        }
        if (damage && rng_below(r, 8) == 0) {
            len--;
        }
    }
    return len;
}

static void random_damage(void **state)
{
    struct rng r;

    test_rng(&r);
    for (int i = 0; i < 30000; i++) {
        unsigned char text[256];
        size_t len = random_text(&r, text, 200, i % 4 != 0);

        check(*state, (struct str){(char *)text, len});
    }
}

static void cut_and_count(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int i = 0; i < 3000; i++) {
        unsigned char text[128];
        struct str s = {(char *)text, random_text(&r, text, 100, false)};
        size_t chars = 0;

        for (size_t max = 0; max < s.len + 5; max++) {
            struct str c = utf8_cut(s, max);
            size_t limit = max < s.len ? max : s.len;

            assert_true(c.len <= limit && limit - c.len < 4);
            assert_true(utf8_valid(c));
            for (size_t longer = c.len + 1; longer <= limit; longer++) {
                assert_false(utf8_valid(str_sub(s, 0, longer)));
            }
        }
        for (size_t k = 0; k < s.len; k++) {
            chars += utf8_valid(str_sub(s, 0, k)); /* each boundary but the end */
        }
        assert_int_equal(utf8_count(s), chars);
    }
    assert_int_equal(utf8_cut(STR("\x80\x80\x80\x80\x80\x80\x80"), 5).len,
                     5); /* no text: cut anywhere */
    assert_int_equal(utf8_cut(STR_NULL, 5).len, 0);
    assert_int_equal(utf8_cut(STR("abc"), 0).len, 0);
}

static void empty(void **state)
{
    bool changed = true;

    (void)state;
    assert_true(utf8_valid(STR_NULL));
    assert_int_equal(utf8_clean(STR_NULL, NULL, &changed), 0);
    assert_false(changed);
    assert_int_equal(utf8_count(STR_NULL), 0);
}

int main(int argc, char **argv)
{
#define WITH_REFERENCE(f) cmocka_unit_test_setup_teardown(f, make_reference, free_reference)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        WITH_REFERENCE(every_three_bytes),
        WITH_REFERENCE(four_bytes),
        WITH_REFERENCE(at_every_offset),
        WITH_REFERENCE(random_damage),
        cmocka_unit_test(cut_and_count),
        cmocka_unit_test(empty),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
