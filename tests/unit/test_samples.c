/* Real messages and frames, which may not be part of this repository: they lie in a folder `samples` beside it, or
 * below $DANMAKUD_SHARED. Without the folder every case is skipped.
 *
 * What the decoder makes of a message is compared with what cJSON finds at the places PROTOCOL names; numbers are
 * taken from the text (cJSON_PrintUnformatted would lose digits), so that ids over 2^53 are compared exactly. */
#include <unistd.h>

#include <cjson/cJSON.h>

#include "collector/wire/decode.h"
#include "server/core/buf.h"
#include "server/core/hash.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "tests/support/frames.h"
#include "tests/support/run.h"

enum { ROOM = 5561470, FILE_MAX = 8 << 20, LEVELS_UP = 8 };

struct fixture {
    struct buf folder; /* NUL-terminated; empty when there are no samples */
    struct buf text;
    struct decoder *decoder;
};

static bool has_samples(struct buf *folder)
{
    struct buf probe;
    buf_init(&probe, 4096);
    buf_printf(&probe, "%s/packets%c", folder->data, '\0');
    const bool found = access(probe.data, R_OK) == 0;
    buf_deinit(&probe);
    return found;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    const char *shared = getenv("DANMAKUD_SHARED");
    buf_init(&f->folder, 4096);
    buf_init(&f->text, FILE_MAX);
    f->decoder = decoder_new();
    *state = f;
    for (int up = 0; up <= LEVELS_UP; up++) {
        buf_clear(&f->folder);
        if (shared) {
            buf_printf(&f->folder, "%s/samples%c", shared, '\0');
        } else {
            buf_put(&f->folder, STR(DM_SOURCE_DIR));
            for (int i = 0; i < up; i++) {
                buf_put(&f->folder, STR("/.."));
            }
            buf_printf(&f->folder, "/shared/samples%c", '\0');
        }
        if (has_samples(&f->folder)) {
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

/* Reads samples/<name> into f->text. */
static void load(struct fixture *f, const char *name)
{
    struct buf path;
    buf_init(&path, 4096);
    if (f->folder.len == 0) {
        print_message(
            "no folder shared/samples above the source and no DANMAKUD_SHARED: skipped\n");
        skip();
    }
    buf_printf(&path, "%s/%s%c", f->folder.data, name, '\0');
    FILE *file = fopen(path.data, "rb");
    if (!file) {
        fail_msg("%s cannot be opened", path.data);
    }
    buf_clear(&f->text);
    char *at = buf_reserve(&f->text, FILE_MAX);
    assert_non_null(at);
    buf_commit(&f->text, fread(at, 1, FILE_MAX - 1, file));
    assert_int_equal(fclose(file), 0);
    buf_deinit(&path);
}

/* ---- frames ---- */

static size_t count_lines(struct str text, struct str start)
{
    size_t n = 0;
    struct str line;
    while (str_split(&text, '\n', &line)) {
        n += str_starts(line, start);
    }
    return n;
}

struct frame_want {
    const char *file;
    size_t messages;
    size_t faults;
    const char *contains; /* NULL: nothing in particular */
};

static void check_frame(struct fixture *f, const struct frame_want *want)
{
    struct buf log, dripped;
    buf_init(&log, FILE_MAX);
    buf_init(&dripped, FILE_MAX);
    load(f, want->file);
    const struct str bytes = buf_str(&f->text);
    struct packet_stream *p = packet_stream_new(NULL);
    struct packet_sink sink = frames_recorder(&log);
    packet_message(p, bytes, &sink, NULL);
    const struct str text = buf_str(&log);
    assert_int_equal(count_lines(text, STR("message {\"cmd\":")), want->messages);
    assert_int_equal(count_lines(text, STR("fault")), want->faults);
    if (want->contains) {
        assert_non_null(memmem(text.ptr, text.len, want->contains, strlen(want->contains)));
    }
    /* As a byte stream in single bytes: the same, but for the echo, which only websocket messages have. */
    sink = frames_recorder(&dripped);
    enum err_code err = ERR_OK;
    for (size_t i = 0; i < bytes.len && err == ERR_OK; i++) {
        err = packet_feed(p, str_sub(bytes, i, i + 1), &sink, NULL, NULL);
    }
    assert_int_equal(err, ERR_OK);
    buf_put_c(&log, '\0');
    buf_put_c(&dripped, '\0');
    assert_string_equal(dripped.data, log.data);
    packet_stream_free(p);
    buf_deinit(&log);
    buf_deinit(&dripped);
}

static void test_frames(void **state)
{
    static const struct frame_want wants[] = {
        {"packets/op3_heartbeat_reply_ver0.bin", 0, 0, "popularity 358069\n"},
        {"packets/op3_heartbeat_reply_with_echo.bin", 0, 0, "popularity 2466\n"},
        {"packets/op8_auth_reply.bin", 0, 0, "auth {\"code\":0}\n"},
        {"packets/op8_auth_reply_ver0.bin", 0, 0, "auth {\"code\":0}\n"},
        {"packets/op2_heartbeat_object_object.bin", 0, 1, "fault operation\n"},
        {"packets/op7_auth_request.bin", 0, 1, "fault operation\n"},
        {"packets/op5_zlib_interact_word.bin", 2, 0, "INTERACT_WORD"},
        {"packets/op5_brotli_watched_change.bin", 1, 0, "\"num\":22097"},
        {"packets/constructed_zlib_3msgs.bin", 3, 0, "SEND_GIFT_V2"},
        {"packets/constructed_brotli_3msgs.bin", 3, 0, "SEND_GIFT_V2"},
        {"packets/constructed_plain_2msgs_then_hb_reply.bin", 2, 0, "popularity "},
    };
    for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
        check_frame(*state, &wants[i]);
    }
}

static void test_heartbeat_is_what_upstream_expects(void **state)
{
    struct fixture *f = *state;
    struct buf out;
    buf_init(&out, 1024);
    load(f, "packets/op2_heartbeat_object_object.bin");
    packet_put(&out, PACKET_HEARTBEAT, STR("[object Object]"));
    assert_int_equal(out.len, f->text.len);
    assert_memory_equal(out.data, f->text.data, out.len);
    buf_deinit(&out);
}

/* ---- messages, compared with cJSON ---- */

static const cJSON *item(const cJSON *array, int i)
{
    return cJSON_IsArray(array) ? cJSON_GetArrayItem(array, i) : NULL;
}

static const cJSON *key(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

static int64_t number(const cJSON *j)
{
    int64_t v = 0;
    if (cJSON_IsNumber(j)) {
        /* No id in the samples is over 2^53 as a number (checked here), so a double holds it. */
        assert_true(j->valuedouble > -9e15 && j->valuedouble < 9e15);
        return (int64_t)j->valuedouble;
    }
    if (cJSON_IsString(j)) {
        (void)str_to_i64(str_of(j->valuestring), &v);
    }
    return v;
}

static const char *text(const cJSON *j)
{
    return cJSON_IsString(j) ? j->valuestring : "";
}

static int64_t hash_of(enum event_kind kind, const char *s)
{
    struct hash64 h;
    hash64_init(&h, (uint64_t)kind);
    hash64_str(&h, str_of(s));
    return hash64_done(&h);
}

/* Redacted samples have 9999999999 for any number; a column of two bytes takes what it can. */
static int64_t small(int64_t v)
{
    return v < INT16_MAX ? v : INT16_MAX;
}

static void check_medal(const struct event_draft *e, const char *name, int64_t level, int64_t uid)
{
    assert_str_equal(e->medal, name);
    assert_int_equal(e->medal_lv, small(level));
    if (uid >= 0) {
        assert_int_equal(e->medal_uid, uid);
    }
}

static void check_new_or_old_medal(const struct event_draft *e, const cJSON *uinfo,
                                   const cJSON *old_name, const cJSON *old_level,
                                   const cJSON *old_uid)
{
    const cJSON *medal = key(uinfo, "medal");
    if (cJSON_IsObject(medal)) {
        check_medal(e, text(key(medal, "name")), number(key(medal, "level")),
                    key(medal, "ruid") ? number(key(medal, "ruid")) : -1);
    } else {
        check_medal(e, text(old_name), number(old_level), number(old_uid));
    }
}

static void check_chat(const cJSON *m, const struct event_draft *e)
{
    const cJSON *info = key(m, "info");
    const cJSON *meta = item(info, 0), *user = item(info, 2), *medal = item(info, 3);
    const cJSON *props = item(meta, 15);
    cJSON *extra = cJSON_Parse(text(key(props, "extra")));
    const char *id = text(key(extra, "id_str"));
    const int64_t uid = number(item(user, 0));
    assert_int_equal(e->mode, number(item(meta, 1)));
    assert_int_equal(e->color, number(item(meta, 3)));
    assert_int_equal(e->sent_ms, number(item(meta, 4)));
    assert_str_equal(e->uname, text(item(user, 1)));
    assert_int_equal(e->guard, number(item(info, 7)));
    assert_int_equal(e->wealth, small(number(item(item(info, 16), 0))));
    assert_int_equal((e->flags & EVENT_F_ADMIN) != 0, number(item(user, 2)) == 1);
    assert_int_equal((e->flags & EVENT_F_MASKED) != 0, uid == 0);
    if (uid == 0) {
        assert_true(e->actor < 0);
    } else {
        assert_int_equal(e->actor, uid);
    }
    cJSON *positioned = e->mode == 7 ? cJSON_Parse(text(item(info, 1))) : NULL;
    assert_str_equal(e->text, positioned ? text(item(positioned, 4)) : text(item(info, 1)));
    cJSON_Delete(positioned);
    if (id[0]) {
        assert_int_equal(e->nkey, hash_of((enum event_kind)e->kind, id));
    }
    check_new_or_old_medal(e, key(props, "user"), item(medal, 1), item(medal, 0), item(medal, 12));
    assert_int_equal((e->flags & EVENT_F_MEDAL_HERE) != 0, number(item(medal, 3)) == ROOM);
    /* extra: nothing for plain text, else each part of the message that has a place in it */
    cJSON *ours = e->extra.len ? cJSON_ParseWithLength(e->extra.ptr, e->extra.len) : NULL;
    assert_true(e->extra.len == 0 || cJSON_IsObject(ours));
    assert_string_equal(text(key(key(ours, "emoticon"), "id")),
                        text(key(item(meta, 13), "emoticon_unique")));
    assert_string_equal(text(key(key(ours, "emoticon"), "url")), text(key(item(meta, 13), "url")));
    assert_int_equal(cJSON_GetArraySize(key(ours, "emots")),
                     cJSON_GetArraySize(key(extra, "emots")));
    assert_int_equal(number(key(key(ours, "reply"), "uid")), number(key(extra, "reply_mid")));
    assert_string_equal(text(key(key(ours, "reply"), "name")), text(key(extra, "reply_uname")));
    cJSON_Delete(ours);
    cJSON_Delete(extra);
}

static void check_gift(const cJSON *m, const struct event_draft *e)
{
    const cJSON *data = key(m, "data"), *medal = key(data, "medal_info");
    const bool is_gold = strcmp(text(key(data, "coin_type")), "gold") == 0;
    assert_int_equal(e->actor, number(key(data, "uid")));
    assert_str_equal(e->uname, text(key(data, "uname")));
    assert_int_equal(e->item_id, number(key(data, "giftId")));
    assert_int_equal(e->num, number(key(data, "num")));
    assert_int_equal(e->value_mcny, is_gold ? number(key(data, "total_coin")) : 0);
    assert_int_equal((e->flags & EVENT_F_SILVER) != 0, !is_gold);
    assert_int_equal(e->sent_ms, number(key(data, "timestamp")) * 1000);
    assert_int_equal(e->guard, number(key(data, "guard_level")));
    assert_int_equal(e->wealth, number(key(data, "wealth_level")));
    if (text(key(data, "tid"))[0]) {
        assert_int_equal(e->nkey, hash_of(EVENT_GIFT, text(key(data, "tid"))));
    }
    check_new_or_old_medal(e, key(data, "sender_uinfo"), key(medal, "medal_name"),
                           key(medal, "medal_level"), key(medal, "target_id"));
    cJSON *ours = cJSON_ParseWithLength(e->extra.ptr, e->extra.len);
    const cJSON *blind = key(data, "blind_gift");
    assert_string_equal(text(key(ours, "gift_name")), text(key(data, "giftName")));
    assert_int_equal(number(key(ours, "price")), number(key(data, "price")));
    assert_string_equal(text(key(ours, "combo_id")), text(key(data, "batch_combo_id")));
    assert_int_equal(number(key(key(ours, "blind"), "gift_id")),
                     number(key(blind, "original_gift_id")));
    assert_int_equal(number(key(key(ours, "blind"), "price")),
                     number(key(blind, "original_gift_price")));
    assert_int_equal(number(key(key(ours, "to"), "uid")),
                     number(key(key(data, "receive_user_info"), "uid")));
    cJSON_Delete(ours);
}

static void check_superchat(const cJSON *m, const struct event_draft *e)
{
    const cJSON *data = key(m, "data"), *medal = key(data, "medal_info");
    const cJSON *user = key(data, "user_info");
    assert_int_equal(e->actor, number(key(data, "uid")));
    assert_str_equal(e->uname, text(key(user, "uname")));
    assert_str_equal(e->text, text(key(data, "message")));
    assert_int_equal(e->item_id, number(key(data, "id")));
    assert_int_equal(e->value_mcny, number(key(data, "price")) * 1000);
    assert_int_equal(e->sent_ms, number(key(data, "ts")) * 1000);
    assert_int_equal(e->guard, number(key(user, "guard_level")));
    check_new_or_old_medal(e, key(data, "uinfo"), key(medal, "medal_name"),
                           key(medal, "medal_level"), key(medal, "target_id"));
    cJSON *ours = cJSON_ParseWithLength(e->extra.ptr, e->extra.len);
    assert_string_equal(text(key(ours, "translation")), text(key(data, "message_trans")));
    assert_int_equal(number(key(ours, "seconds")), number(key(data, "time")));
    assert_string_equal(text(key(ours, "color")), text(key(data, "background_bottom_color")));
    cJSON_Delete(ours);
}

static void check_live(const cJSON *m, const struct event_draft *e)
{
    cJSON *ours = cJSON_ParseWithLength(e->extra.ptr, e->extra.len);
    assert_string_equal(text(key(ours, "state")), "start");
    assert_string_equal(text(key(ours, "live_key")), text(key(m, "live_key")));
    assert_string_equal(text(key(ours, "platform")), text(key(m, "live_platform")));
    assert_int_equal(number(key(ours, "start_ms")), number(key(m, "live_time")) * 1000);
    assert_int_equal(e->sent_ms, number(key(m, "live_time")) * 1000);
    cJSON_Delete(ours);
}

static void check_preparing(const cJSON *m, const struct event_draft *e)
{
    cJSON *ours = cJSON_ParseWithLength(e->extra.ptr, e->extra.len);
    assert_string_equal(text(key(ours, "state")), "end");
    assert_int_equal(cJSON_IsTrue(key(ours, "round")), number(key(m, "round")) == 1);
    assert_int_equal(e->sent_ms, number(key(m, "send_time")));
    assert_int_equal(e->nkey != 0, key(m, "msg_id") != NULL);
    cJSON_Delete(ours);
}

typedef void(check_fn)(const cJSON *m, const struct event_draft *e);

static void check_file(struct fixture *f, const char *name, enum event_kind kind, size_t n,
                       check_fn *check)
{
    struct json j;
    struct str message;
    size_t seen = 0;
    load(f, name);
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j));
    while (json_next_elem(&j)) {
        struct decode_result r;
        assert_true(json_raw(&j, &message));
        decode_message(f->decoder, ROOM, message, &r);
        assert_int_equal(r.status, DECODE_OK);
        assert_int_equal(r.n, 1);
        assert_int_equal(r.drafts[0].kind, kind);
        cJSON *m = cJSON_ParseWithLength(message.ptr, message.len);
        assert_non_null(m);
        check(m, &r.drafts[0]);
        cJSON_Delete(m);
        seen++;
    }
    assert_true(json_at_end(&j));
    assert_int_equal(seen, n);
}

static void test_messages(void **state)
{
    check_file(*state, "DANMU_MSG.json", EVENT_DANMAKU, 24, check_chat);
    check_file(*state, "DANMU_MSG_3_7_1_1_1_1.json", EVENT_DANMAKU, 1, check_chat);
    check_file(*state, "DANMU_MSG_4_0_2_2_2_0.json", EVENT_DANMAKU, 2, check_chat);
    check_file(*state, "DANMU_MSG_MIRROR.json", EVENT_MIRROR, 3, check_chat);
    check_file(*state, "SEND_GIFT.json", EVENT_GIFT, 17, check_gift);
    check_file(*state, "SUPER_CHAT_MESSAGE.json", EVENT_SUPERCHAT, 6, check_superchat);
    check_file(*state, "LIVE.json", EVENT_LIVE, 7, check_live);
    check_file(*state, "PREPARING.json", EVENT_LIVE, 9, check_preparing);
}

/* Values read off the messages by a person, independent of any code. */
static void test_reviewed_values(void **state)
{
    struct fixture *f = *state;
    struct json j;
    struct str message = STR_NULL;
    struct decode_result r;
    load(f, "SEND_GIFT.json");
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j) && json_next_elem(&j) && json_raw(&j, &message));
    decode_message(f->decoder, ROOM, message, &r);
    const struct event_draft *e = r.drafts; /* a blind box: 5000 paid, worth 2500 */
    assert_int_equal(e->value_mcny, 5000);
    assert_int_equal(e->item_id, 35311);
    assert_int_equal(e->guard, 3);
    assert_int_equal(e->wealth, 24);
    assert_int_equal(e->medal_lv, 26);
    assert_int_equal(e->sent_ms, INT64_C(1775827219000));
    load(f, "SUPER_CHAT_MESSAGE.json");
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j) && json_next_elem(&j) && json_next_elem(&j) &&
                json_raw(&j, &message));
    decode_message(f->decoder, ROOM, message, &r);
    e = r.drafts;
    assert_int_equal(e->value_mcny, 52000);
    assert_int_equal(e->item_id, 12108845);
    assert_int_equal(e->medal_lv, 0);
    load(f, "DANMU_MSG.json");
    json_init(&j, buf_str(&f->text));
    assert_true(json_enter_array(&j) && json_next_elem(&j) && json_raw(&j, &message));
    decode_message(f->decoder, ROOM, message, &r);
    e = r.drafts;
    assert_int_equal(e->sent_ms, INT64_C(1775751629449));
    assert_int_equal(e->wealth, 7);
    assert_int_equal(e->extra.len, 0); /* plain text: the row stays small */
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_frames),
        CASE(test_heartbeat_is_what_upstream_expects),
        CASE(test_messages),
        CASE(test_reviewed_values),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
