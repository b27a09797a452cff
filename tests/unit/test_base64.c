#include "collector/wire/base64.h"

#include "server/core/mem.h"
#include "tests/support/run.h"

enum { OUT_MAX = 64 };

static void check(const char *in, const char *want, size_t want_len)
{
    char out[OUT_MAX];
    size_t len = 99;
    assert_true(BASE64_MAX(strlen(in)) <= OUT_MAX);
    assert_true(base64_decode(str_of(in), out, &len));
    assert_int_equal(len, want_len);
    assert_memory_equal(out, want, want_len);
}

static void test_vectors(void **state)
{
    (void)state;
    check("", "", 0);
    check("Zg==", "f", 1);
    check("Zm8=", "fo", 2);
    check("Zm9v", "foo", 3);
    check("Zm9vYg==", "foob", 4);
    check("Zm9vYmE=", "fooba", 5);
    check("Zm9vYmFy", "foobar", 6);
    check("AP/+", "\0\xff\xfe", 3);
    check("+/+/", "\xfb\xff\xbf", 3);
}

static void test_without_padding(void **state)
{
    (void)state;
    check("Zg", "f", 1);
    check("Zm8", "fo", 2);
    check("Zh", "f", 1); /* bits that have no place */
    check("Zm9", "fo", 2);
}

static void test_no_base64(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zm9vY",   "Zg=",       "Zm9v=",    "Zm9v====",
        "====", "=",       "Z=g=",      "Zm 9v",    "Zm9v\n",
        "Zm-_", "Zm9\x80", "Zm9vYg===", "Zg==Zg==", "\xff\xff\xff\xff"};
    char out[OUT_MAX];
    size_t len;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (base64_decode(str_of(bad[i]), out, &len)) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}

/* Every length, into just the room that is promised. */
static void test_room(void **state)
{
    struct rng r;
    char in[OUT_MAX];
    (void)state;
    test_rng(&r);
    for (size_t n = 0; n <= OUT_MAX; n++) {
        size_t len = 0;
        char *out = mem_alloc(BASE64_MAX(n));
        assert_non_null(out);
        for (size_t i = 0; i < n; i++) {
            in[i] = "ABCXYZabcxyz0189+/"[rng_below(&r, 18)];
        }
        assert_int_equal(base64_decode((struct str){in, n}, out, &len), n % 4 != 1);
        assert_true(n % 4 == 1 || len == n * 3 / 4);
        mem_free(out);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_without_padding),
        cmocka_unit_test(test_no_base64),
        cmocka_unit_test(test_room),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
