/* Digests by the vectors of RFC 1321, RFC 4231, FIPS 180-4; base64 by those of RFC 4648 and by round trips. */
#include "server/crypto/crypto.h"

#include <string.h>

#include "server/core/mem.h"
#include "tests/support/run.h"

static void expect_hex(const uint8_t *bytes, size_t n, const char *want)
{
    char text[CRYPTO_HEX_MAX(64)];

    assert_int_equal(crypto_hex((struct str){(const char *)bytes, n}, text), 2 * n);
    assert_string_equal(text, want);
}

static void sha256_vectors(void **state)
{
    uint8_t out[CRYPTO_SHA256_BYTES];

    (void)state;
    crypto_sha256(STR("abc"), out);
    expect_hex(out, sizeof(out),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(STR_NULL, out);
    expect_hex(out, sizeof(out),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    crypto_sha256(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
    expect_hex(out, sizeof(out),
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void hmac_vectors(void **state)
{
    uint8_t out[CRYPTO_SHA256_BYTES];
    char key[131];

    (void)state;
    crypto_hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    expect_hex(out, sizeof(out),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xAA, sizeof(key)); /* longer than a block */
    crypto_hmac_sha256((struct str){key, sizeof(key)},
                       STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    expect_hex(out, sizeof(out),
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    crypto_hmac_sha256(STR_NULL, STR_NULL, out);
    expect_hex(out, sizeof(out),
               "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void md5_vectors(void **state)
{
    uint8_t out[CRYPTO_MD5_BYTES];

    (void)state;
    assert_true(crypto_md5(STR("message digest"), out));
    expect_hex(out, sizeof(out), "f96b697d7cb7938d525a2f31aaf161d0");
    assert_true(crypto_md5(STR_NULL, out));
    expect_hex(out, sizeof(out), "d41d8cd98f00b204e9800998ecf8427e");
}

static void equal_looks_at_every_byte(void **state)
{
    char a[40] = "0123456789012345678901234567890123456789";
    char b[40];

    (void)state;
    memcpy(b, a, sizeof(a));
    assert_true(crypto_equal(a, b, sizeof(a)));
    assert_true(crypto_equal(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] ^= 1;
        assert_false(crypto_equal(a, b, sizeof(a)));
        b[i] ^= 1;
    }
    assert_true(crypto_str_equal(STR("abc"), STR("abc")));
    assert_false(crypto_str_equal(STR("abc"), STR("abcd")));
    assert_true(crypto_str_equal(STR_NULL, STR("")));
}

static void random_differs(void **state)
{
    unsigned char a[600] = {0}; /* more than getrandom gives at once without being asked again */
    unsigned char b[600] = {0};
    size_t zeros = 0;

    (void)state;
    crypto_random(a, sizeof(a));
    crypto_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a + 300, b + 300, 300);
    for (size_t i = 0; i < sizeof(a); i++) {
        zeros += a[i] == 0;
    }
    assert_in_range(zeros, 0, 40); /* about 2.3 are expected; 40 would need a broken kernel */
    crypto_random(NULL, 0);
}

static void base64_vectors(void **state)
{
    static const struct {
        const char *plain;
        const char *url;
        const char *padded;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg", "Zg=="},
        {"fo", "Zm8", "Zm8="},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg", "Zm9vYg=="},
        {"fooba", "Zm9vYmE", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xFB\xFF\xBF", "-_-_", "+/+/"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str plain = str_of(rows[i].plain);
        char text[32];
        char back[32];
        size_t n;

        assert_int_equal(crypto_base64url(plain, text), strlen(rows[i].url));
        assert_string_equal(text, rows[i].url);
        assert_true(crypto_base64url_decode(str_of(rows[i].url), back, &n));
        assert_true(str_eq((struct str){back, n}, plain));
        assert_true(crypto_base64_decode(str_of(rows[i].padded), back, &n));
        assert_true(str_eq((struct str){back, n}, plain));
    }
}

static void base64_refuses(void **state)
{
    static const char *const never[] = {
        "A",  "AAAAA", "AA A",     "AA\n",  "A===",  "====",     "=",
        "==", "A=AA",  "AAA=AAAA", "AA==A", "AAAA=", "AAAA====", "AA\xC3\xA9"};
    static const char *const not_url[] = {"Zg==", "+A", "/A", "Zh", "Zm9=", "Zm-"};
    static const char *const not_standard[] = {"-A", "_A", "Zg=", "Zm8=="};
    char out[32];
    size_t n = 77;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        assert_false(crypto_base64_decode(str_of(never[i]), out, &n));
        assert_false(crypto_base64url_decode(str_of(never[i]), out, &n));
    }
    for (size_t i = 0; i < ARRAY_LEN(not_url); i++) {
        assert_false(crypto_base64url_decode(str_of(not_url[i]), out, &n));
    }
    for (size_t i = 0; i < ARRAY_LEN(not_standard); i++) {
        assert_false(crypto_base64_decode(str_of(not_standard[i]), out, &n));
    }
    assert_int_equal(n, 77);
    assert_true(crypto_base64_decode(STR("Zg"), out, &n)); /* padding missing */
    assert_true(crypto_base64_decode(STR("Zh"), out, &n)); /* stray bits */
    assert_str_equal(((struct str){out, n}), "f");
}

static void base64_round_trips(void **state)
{
    struct rng r;

    (void)state;
    test_rng(&r);
    for (int round = 0; round < 2000; round++) {
        char bytes[100];
        size_t len = (size_t)rng_below(&r, sizeof(bytes) + 1);
        size_t n = 0;
        size_t n_text;
        char *text =
            mem_new_array(char, CRYPTO_BASE64_MAX(len)); /* exactly: the sanitizer watches */
        char *back;

        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)rng_u64(&r);
        }
        n_text = crypto_base64url((struct str){bytes, len}, text);
        back = mem_new_array(char, CRYPTO_DECODED_MAX(n_text));
        assert_true(crypto_base64url_decode((struct str){text, n_text}, back, &n));
        assert_int_equal(n, len);
        assert_memory_equal(back, bytes, len);
        mem_free(text);
        mem_free(back);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors), cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(md5_vectors),    cmocka_unit_test(equal_looks_at_every_byte),
        cmocka_unit_test(random_differs), cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_refuses), cmocka_unit_test(base64_round_trips),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
