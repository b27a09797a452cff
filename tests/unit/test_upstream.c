/* The calls over a server on the same loop. Waits run on a fake clock, the exchanges on the real one. */
#include "collector/upstream/upstream.h"

#include <stdio.h>

#include "server/core/log.h"
#include "tests/support/fake_web.h"
#include "tests/support/run.h"
#include "tests/support/upstream_rig.h"

static void resolves(void **state)
{
    struct upstream_rig *f = *state;
    fake_web_answer(f->web, UPR_GET_INFO, 200,
                    "{\"code\":0,\"data\":{\"room_id\":5440,\"short_id\":\"1\",\"uid\":9617619,"
                    "\"live_status\":1,\"title\":\"\\u4f60\\u597d\",\"online\":77,"
                    "\"live_time\":\"2024-01-31 20:00:00\",\"attention\":12}}");
    upr_resolve(f, 1);
    upr_wait(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->room.room_id, 5440);
    assert_int_equal(f->room.short_id, 1);
    assert_int_equal(f->room.live_since_ms, INT64_C(1706702400000));
    assert_string_equal(f->title, "你好");
    assert_int_equal(f->room.popularity, 77);
    assert_int_equal(f->room.followers, 12);
    assert_int_equal(f->room.area_id, -1);
    assert_true(upr_sent(f, UPR_GET_INFO, "GET /room/v1/Room/get_info?room_id=1 HTTP/1.1"));
    assert_true(upr_sent(f, UPR_GET_INFO, "Referer: https://live.bilibili.com/1\r\n"));
    assert_true(upr_sent(f, UPR_GET_INFO, "User-Agent: test browser\r\n"));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(resolves, upr_setup, upr_teardown),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
