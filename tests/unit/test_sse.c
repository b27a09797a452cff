/* Framing of server-sent events. */
#include <stdio.h>
#include <string.h>

#include "api/encode/sse.h"
#include "tests/support/run.h"

static void test_frames(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    sse_retry(&b, 3000);
    sse_comment(&b, "hb");
    sse_begin(&b, SSE_NO_ID, "hello");
    buf_put(&b, STR("{}"));
    sse_end(&b);
    sse_begin(&b, INT64_C(9223372036854775807), "danmaku");
    buf_put(&b, STR("{\"a\":1}"));
    sse_end(&b);
    sse_begin(&b, 0, "gift");
    sse_end(&b);
    buf_put_c(&b, '\0');
    assert_string_equal(b.data, "retry: 3000\n\n: hb\n\nevent: hello\ndata: {}\n\n"
                                "id: 9223372036854775807\nevent: danmaku\ndata: {\"a\":1}\n\n"
                                "id: 0\nevent: gift\ndata: \n\n");
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_frames)};
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
