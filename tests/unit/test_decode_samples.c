/* All real messages that lie in a folder `samples` beside this repository or below $DANMAKUD_SHARED (they may not be part
 * of it): none of them crashes the decoder, none of a command that we know fails. Without the folder: skipped. */
#include <dirent.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "tests/support/drafts.h"
#include "tests/support/run.h"

enum { LEVELS_UP = 8, ROOM = 30827248, MESSAGES = 376, COMMANDS = 145 };

struct fixture {
    struct buf folder; /* NUL-terminated; empty when there are no samples */
    struct buf text;
    struct decoder *decoder;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    const char *shared = getenv("DANMAKUD_SHARED");
    buf_init(&f->folder, 4096);
    buf_init(&f->text, DRAFTS_FILE_MAX);
    f->decoder = decoder_new();
    *state = f;
    for (int up = 0; up <= LEVELS_UP; up++) {
        buf_clear(&f->folder);
        buf_put(&f->folder, shared ? str_of(shared) : STR(DM_SOURCE_DIR));
        for (int i = 0; i < up && !shared; i++) {
            buf_put(&f->folder, STR("/.."));
        }
        buf_printf(&f->folder, "%s/samples%c", shared ? "" : "/shared", '\0');
        if (access(f->folder.data, R_OK) == 0) {
            return 0;
        }
    }
    buf_clear(&f->folder);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_deinit(&f->folder);
    buf_deinit(&f->text);
    decoder_free(f->decoder);
    mem_free(f);
    return 0;
}

static void need_samples(const struct fixture *f)
{
    if (f->folder.len == 0) {
        print_message(
            "no folder shared/samples above the source and no DANMAKUD_SHARED: skipped\n");
        skip();
    }
}

static void load(struct fixture *f, const char *name)
{
    struct buf path;
    buf_init(&path, 4096);
    buf_printf(&path, "%s/%s%c", f->folder.data, name, '\0');
    buf_clear(&f->text);
    assert_true(drafts_read(path.data, &f->text));
    buf_deinit(&path);
}

/* The n-th message of a file, decoded. */
static struct decode_result decode_nth(struct fixture *f, const char *name, int n)
{
    struct json j;
    struct str message;
    struct decode_result r = {.status = DECODE_BROKEN};
    load(f, name);
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j));
    for (int i = 0; i <= n; i++) {
        assert_true(json_next_elem(&j) && json_raw(&j, &message));
    }
    decode_message(f->decoder, ROOM, message, &r);
    assert_int_equal(r.status, DECODE_OK);
    return r;
}

/* What is of another protocol (the open platform's) is unknown; nothing else is. */
static void check_status(const struct decode_result *r, const char *file)
{
    if (r->status == DECODE_BROKEN) {
        fail_msg("%s: broken: %s", file, r->reason);
    }
    const bool is_other = str_starts(r->cmd, STR("LIVE_OPEN_PLATFORM_"));
    if ((r->status == DECODE_UNKNOWN) != is_other) {
        fail_msg("%s: status %d", file, (int)r->status);
    }
    assert_int_equal(r->n_left_out, 0);
}

static int check_file(struct fixture *f, const char *name)
{
    struct json j;
    struct str message;
    int n = 0;
    load(f, name);
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j));
    while (json_next_elem(&j)) {
        struct decode_result r;
        assert_true(json_raw(&j, &message));
        decode_message(f->decoder, ROOM, message, &r);
        check_status(&r, name);
        n++;
    }
    assert_true(json_at_end(&j));
    return n;
}

static void test_all(void **state)
{
    struct fixture *f = *state;
    struct dirent *entry;
    int files = 0;
    int messages = 0;
    need_samples(f);
    DIR *dir = opendir(f->folder.data);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        const struct str name = str_of(entry->d_name);
        if (name.len > 5 && str_eq(str_sub(name, name.len - 5, name.len), STR(".json"))) {
            messages += check_file(f, entry->d_name);
            files++;
        }
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(messages >= MESSAGES);
    assert_true(files >= COMMANDS);
}

/* ---- the protobuf vectors of PROTOCOL g.9 ---- */

static bool has(struct str text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static int64_t key_of_tid(const char *tid)
{
    struct hash64 h;
    hash64_init(&h, EVENT_GIFT);
    hash64_str(&h, str_of(tid));
    return hash64_done(&h);
}

struct gift_want {
    int64_t uid;
    int64_t gift_id;
    int32_t num;
    int64_t value_mcny;
    int64_t sent_ms;
    const char *tid;
    const char *extra; /* a part of it */
};

static void check_gift(const struct event_draft *e, const struct gift_want *want)
{
    assert_int_equal(e->kind, EVENT_GIFT);
    assert_int_equal(e->actor, want->uid);
    assert_int_equal(e->item_id, want->gift_id);
    assert_int_equal(e->num, want->num);
    assert_int_equal(e->value_mcny, want->value_mcny);
    assert_int_equal(e->sent_ms, want->sent_ms);
    assert_true(has(e->extra, want->extra));
    if (want->tid) {
        assert_true(e->nkey == key_of_tid(want->tid));
    }
}

static void test_gift_vectors(void **state)
{
    struct fixture *f = *state;
    need_samples(f);
    struct decode_result r = decode_nth(f, "SEND_GIFT_V2.json", 1);
    assert_int_equal(r.n, 2);
    check_gift(&r.drafts[0], &(struct gift_want){.uid = 39170509,
                                                 .gift_id = 35464,
                                                 .num = 5,
                                                 .value_mcny = 165000,
                                                 .sent_ms = INT64_C(1788543534000),
                                                 .tid = "4813379508524699137",
                                                 .extra = "\"price\":33000,\"revealed\":175000"});
    check_gift(&r.drafts[1], &(struct gift_want){.uid = 39170509,
                                                 .gift_id = 35463,
                                                 .num = 5,
                                                 .value_mcny = 165000,
                                                 .sent_ms = INT64_C(1788543534000),
                                                 .tid = "4813379508524699136",
                                                 .extra = "\"price\":33000,\"revealed\":100000"});
    r = decode_nth(f, "SEND_GIFT_V2.json", 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.drafts[0].item_id, 31738);
    assert_int_equal(r.drafts[0].value_mcny, 0);
    assert_true((r.drafts[0].flags & EVENT_F_SILVER) != 0);
    assert_true(has(r.drafts[0].extra, "\"price\":1000"));
    r = decode_nth(f, "SEND_GIFT_V2.json", 2);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.drafts[0].value_mcny, 100);
    assert_true(has(r.drafts[0].extra, "\"combo_id\":\"batch:gift:combo_id:"));
}

static void test_interact_vector(void **state)
{
    struct fixture *f = *state;
    need_samples(f);
    const struct decode_result r = decode_nth(f, "INTERACT_WORD_V2.json", 1);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.drafts[0].kind, EVENT_INTERACT);
    assert_int_equal(r.drafts[0].mode, 3);
    assert_int_equal(r.drafts[0].sent_ms / 1000, 1775828914);
    assert_true((r.drafts[0].flags & EVENT_F_MEDAL_HERE) !=
                0); /* of the room that the message names */
}

/* One purchase, told three times: the toasts are one event, and the first message says when it was. */
static void test_guard_forms(void **state)
{
    struct fixture *f = *state;
    need_samples(f);
    const int64_t toast = decode_nth(f, "USER_TOAST_MSG.json", 7).drafts[0].nkey;
    const struct decode_result r = decode_nth(f, "USER_TOAST_MSG_V2.json", 0);
    assert_int_equal(r.n, 1);
    assert_true(r.drafts[0].nkey == toast);
    assert_int_equal(r.drafts[0].value_mcny, 168000);
    assert_true(has(r.drafts[0].extra, "\"start_ms\":1790000100000"));
    const struct decode_result buy = decode_nth(f, "GUARD_BUY.json", 3);
    assert_true(buy.drafts[0].nkey != toast);
    assert_true(has(buy.drafts[0].extra, "\"start_ms\":1790000100000"));
}

/* One red packet: the older and the newer message of its start have one key, and only its sending is paid. */
static void test_red_packet_forms(void **state)
{
    struct fixture *f = *state;
    need_samples(f);
    const struct decode_result paid = decode_nth(f, "POPULARITY_RED_POCKET_NEW.json", 0);
    assert_int_equal(paid.drafts[0].item_id, 27867696);
    assert_int_equal(paid.drafts[0].value_mcny, 2000);
    const struct decode_result start = decode_nth(f, "POPULARITY_RED_POCKET_V2_START.json", 0);
    assert_int_equal(start.drafts[0].item_id, 27867696);
    assert_int_equal(start.drafts[0].value_mcny, 0);
    assert_true(has(start.drafts[0].extra, "\"total_price\":2000"));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_all),         CASE(test_gift_vectors),     CASE(test_interact_vector),
        CASE(test_guard_forms), CASE(test_red_packet_forms),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
