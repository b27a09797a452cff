/* The fixtures of every family, compared with the lines that a person has read; DM_UPDATE_FIXTURES=1 writes them anew. */
#include "server/core/mem.h"
#include "tests/support/drafts.h"
#include "tests/support/run.h"

static int setup(void **state)
{
    *state = decoder_new();
    return 0;
}

static int teardown(void **state)
{
    decoder_free(*state);
    return 0;
}

static void fixture_path(struct buf *path, const char *name, const char *suffix)
{
    buf_clear(path);
    buf_printf(path, DM_SOURCE_DIR "/tests/fixtures/%s.%s%c", name, suffix, '\0');
}

static void update(const char *path, const struct buf *got)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(got->data, 1, got->len, f), got->len);
    assert_int_equal(fclose(f), 0);
}

static void check_fixture(void **state, const char *name)
{
    struct buf text, got, want, path;
    buf_init(&text, DRAFTS_FILE_MAX);
    buf_init(&got, DRAFTS_FILE_MAX);
    buf_init(&want, DRAFTS_FILE_MAX);
    buf_init(&path, 4096);
    fixture_path(&path, name, "json");
    assert_true(drafts_read(path.data, &text));
    assert_true(drafts_put_file(&got, *state, buf_str(&text)));
    assert_true(buf_ok(&got));
    fixture_path(&path, name, "events");
    if (getenv("DM_UPDATE_FIXTURES")) {
        update(path.data, &got);
    }
    assert_true(drafts_read(path.data, &want));
    buf_put_c(&got, '\0');
    buf_put_c(&want, '\0');
    assert_string_equal(got.data, want.data);
    buf_deinit(&text);
    buf_deinit(&got);
    buf_deinit(&want);
    buf_deinit(&path);
}

#define FIXTURES(X)                                                                                \
    X(COMBO_SEND)                                                                                  \
    X(GUARD)                                                                                       \
    X(AMEND)                                                                                       \
    X(INTERACT_WORD)                                                                               \
    X(ENTRY_EFFECT)                                                                                \
    X(AUDIENCE)                                                                                    \
    X(ROOM_STATE)                                                                                  \
    X(RED_POCKET)                                                                                  \
    X(ANCHOR_LOT)                                                                                  \
    X(NOTICE)                                                                                      \
    X(SEND_GIFT_V2) X(INTERACT_WORD_V2) X(ONLINE_RANK_V3) X(SILENT)

#define X(name)                                                                                    \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        check_fixture(state, #name);                                                               \
    }
FIXTURES(X)
#undef X

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown),
        FIXTURES(X)
#undef X
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
