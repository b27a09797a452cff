#include "collector/wire/pack.h"

#include "server/core/mem.h"
#include "tests/support/run.h"

#define MESSAGE                                                                                    \
    "{\"cmd\":\"NEW_GIFT\",\"data\":{\"uid\":3546000000000101,\"uname\":\"x\",\"giftName\":"       \
    "\"\xe8\xbe\xa3\xe6\x9d\xa1\",\"medal_info\":{\"medal_level\":21,\"medal_name\":\"\"}}}"

static void there_and_back(void **state)
{
    (void)state;
    struct packer *p = packer_new();
    struct buf small;
    struct buf back;
    struct err err = {0};
    buf_init(&small, 1 << 20);
    buf_init(&back, 1 << 20);
    assert_int_equal(pack(p, STR(MESSAGE), &small, &err), ERR_OK);
    assert_true(small.len < sizeof(MESSAGE) / 2); /* the dictionary knows most of it */
    assert_int_equal(unpack(p, PACK_DICT, buf_str(&small), &back, &err), ERR_OK);
    assert_str_equal(buf_str(&back), MESSAGE);
    buf_clear(&small);
    buf_clear(&back);
    assert_int_equal(pack(p, STR_NULL, &small, &err), ERR_OK);
    assert_int_equal(unpack(p, PACK_DICT, buf_str(&small), &back, &err), ERR_OK);
    assert_int_equal(back.len, 0);
    buf_deinit(&small);
    buf_deinit(&back);
    packer_free(p);
    packer_free(NULL);
}

/* What was kept once is read for ever: packed with dictionary 1, by the release that had it first. */
static void old_numbers_stay_readable(void **state)
{
    (void)state;
    static const unsigned char packed_1[] = {
#include "tests/unit/pack_1.inc"
    };
    struct packer *p = packer_new();
    struct buf back;
    struct err err = {0};
    buf_init(&back, 1 << 20);
    const struct str packed = {(const char *)packed_1, sizeof(packed_1)};
    assert_int_equal(unpack(p, 1, packed, &back, &err), ERR_OK);
    assert_str_equal(buf_str(&back), MESSAGE);
    buf_deinit(&back);
    packer_free(p);
}

static void what_cannot_be_read(void **state)
{
    (void)state;
    struct packer *p = packer_new();
    struct buf small;
    struct buf back;
    struct err err = {0};
    buf_init(&small, 1 << 20);
    buf_init(&back, 1 << 20);
    assert_int_equal(pack(p, STR(MESSAGE), &small, &err), ERR_OK);
    assert_int_equal(unpack(p, PACK_DICT + 1, buf_str(&small), &back, &err), ERR_INVALID);
    assert_int_equal(unpack(p, -1, buf_str(&small), &back, &err), ERR_INVALID);
    assert_int_equal(unpack(p, PACK_PLAIN, buf_str(&small), &back, &err), ERR_CORRUPT);
    assert_int_equal(unpack(p, PACK_DICT, STR("nothing"), &back, &err), ERR_CORRUPT);
    for (size_t cut = 0; cut < small.len; cut++) {
        assert_int_equal(unpack(p, PACK_DICT, (struct str){small.data, cut}, &back, &err),
                         ERR_CORRUPT);
    }
    assert_int_equal(back.len, 0);
    /* A frame that says it holds 1 GiB. */
    static const char huge[] = "\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x01\x00\x00";
    assert_int_equal(unpack(p, PACK_PLAIN, (struct str){huge, sizeof(huge) - 1}, &back, &err),
                     ERR_TOO_BIG);
    struct buf narrow;
    buf_init(&narrow, 10);
    assert_int_equal(unpack(p, PACK_DICT, buf_str(&small), &narrow, &err), ERR_NOMEM);
    assert_int_equal(pack(p, STR(MESSAGE), &narrow, &err), ERR_NOMEM);
    assert_int_equal(narrow.len, 0);
    char *big = mem_alloc(PACK_PLAIN_MAX + 1);
    assert_non_null(big);
    memset(big, ' ', PACK_PLAIN_MAX + 1);
    assert_int_equal(pack(p, (struct str){big, PACK_PLAIN_MAX + 1}, &small, &err), ERR_TOO_BIG);
    mem_free(big);
    buf_deinit(&narrow);
    buf_deinit(&small);
    buf_deinit(&back);
    packer_free(p);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(old_numbers_stay_readable),
        cmocka_unit_test(what_cannot_be_read),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
