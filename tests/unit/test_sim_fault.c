/* The simulator's faults, record and replay, as text and bytes. */
#include <stdio.h>

#include "server/core/bytes.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "tests/sim/sim_fault.h"
#include "tests/sim/sim_record.h"
#include "tests/sim/sim_replay.h"
#include "tests/support/run.h"
#include "tests/support/tmp.h"

static void rules(void **state)
{
    static const char *const bad[] = {"",
                                      "room=1",
                                      "kind=",
                                      "kind=nothing",
                                      "kind=reset,after=",
                                      "kind=reset,after=-1",
                                      "kind=reset,chance=101",
                                      "kind=reset,nothing=1",
                                      "kind=reset,after=*",
                                      "kind=length,what=sixteen-bytes-is-too-long",
                                      "kind"};
    struct sim_fault f;
    struct err err;

    (void)state;
    assert_int_equal(sim_fault_parse(STR("room=*,kind=reset,after=100"), &f, &err), ERR_OK);
    assert_int_equal(f.kind, SIM_FAULT_KIND_RESET);
    assert_int_equal(f.room, 0);
    assert_int_equal(f.after, 100);
    assert_int_equal(f.times, 1);
    assert_int_equal(
        sim_fault_parse(STR("kind=bad_auth,room=7,code=-5,silent=1,times=0,what=text"), &f, &err),
        ERR_OK);
    assert_int_equal(f.room, 7);
    assert_int_equal(f.code, -5);
    assert_true(f.silent);
    assert_string_equal(f.what, "text");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(sim_fault_parse(str_of(bad[i]), &f, &err), ERR_INVALID);
        assert_true(err.msg[0] != '\0');
    }
}

static enum sim_fault_kind kind_of(const char *name)
{
    char rule[64];
    struct sim_fault f;

    (void)snprintf(rule, sizeof(rule), "kind=%s", name);
    assert_int_equal(sim_fault_parse(str_of(rule), &f, NULL), ERR_OK);
    assert_string_equal(sim_fault_name(f.kind), name);
    return f.kind;
}

/* BYTES faults are whole packets for every client; LOST ones begin with what is none. Frames: test_sim_ws.c. */
static void bytes_keep_or_lose_the_stream(void **state)
{
    static const enum sim_ver vers[] = {SIM_VER_PLAIN, SIM_VER_ZLIB, SIM_VER_BROTLI};
    struct rng rng;
    struct buf b;

    (void)state;
    rng_seed(&rng, 1);
    buf_init(&b, SIM_FAULT_BYTES_MAX);
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        struct sim_fault f = {.kind = (enum sim_fault_kind)k, .size = 30};
        enum sim_fault_class class = sim_fault_class(f.kind);

        if ((class != SIM_FAULT_BYTES && class != SIM_FAULT_LOST) || sim_fault_is_text(f.kind) ||
            f.kind == SIM_FAULT_KIND_DUP || sim_fault_is_frames(f.kind)) {
            continue;
        }
        for (size_t v = 0; v < ARRAY_LEN(vers); v++) {
            struct sim_head h;
            size_t at = 0;

            buf_clear(&b);
            sim_fault_bytes(&f, vers[v], &rng, &b);
            assert_true(buf_ok(&b) && b.len >= SIM_HEAD_BYTES);
            while (b.len - at >= SIM_HEAD_BYTES) {
                sim_head_get(b.data + at, &h);
                if (h.head_len < SIM_HEAD_BYTES || h.packet_len < h.head_len ||
                    h.packet_len > b.len - at) {
                    break;
                }
                at += h.packet_len;
            }
            assert_int_equal(at == b.len, class == SIM_FAULT_BYTES);
            assert_true(class == SIM_FAULT_BYTES || at == 0);
        }
    }
    buf_deinit(&b);
}

static void spoiled_text(void **state)
{
    static const struct {
        const char *kind;
        const char *json;
        const char *clean;
    } cases[] = {
        {"nul", "{\"e\":\"{\\\"c\\\":\\\"a\\\\u0000z\\\"}\",\"t\":\"a\\u0000z\"}", "az"},
        {"surrogate", "{\"e\":\"{\\\"c\\\":\\\"a\\\\ud83dz\\\"}\",\"t\":\"a\\ud83dz\"}",
         "a\xef\xbf\xbdz"},
        {"bad_utf8", "{\"e\":\"{\\\"c\\\":\\\"a\xe4\xbd\xffz\\\"}\",\"t\":\"a\xe4\xbd\xffz\"}",
         NULL},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum sim_fault_kind kind = kind_of(cases[i].kind);

        assert_true(sim_fault_is_text(kind));
        buf_clear(&b);
        sim_fault_spoil(kind,
                        STR("{\"e\":\"{\\\"c\\\":\\\"a" SIM_FAULT_MARK
                            "z\\\"}\",\"t\":\"a" SIM_FAULT_MARK "z\"}"),
                        &b);
        assert_str_equal(buf_str(&b), cases[i].json);
        buf_clear(&b);
        sim_fault_clean(kind, STR("a" SIM_FAULT_MARK "z"), &b);
        if (cases[i].clean) {
            assert_str_equal(buf_str(&b), cases[i].clean);
        } else {
            assert_true(str_starts(buf_str(&b), STR("a\xef\xbf\xbd")));
        }
    }
    buf_deinit(&b);
}

static void describes_messages(void **state)
{
    struct sim_msg m;

    (void)state;
    sim_replay_describe(
        STR("{\"cmd\":\"SEND_GIFT\",\"data\":{\"tid\":\"99\",\"uid\":5,\"uname\":\"x\\\"y\","
            "\"giftId\":31036,\"num\":\"3\",\"total_coin\":300,\"coin_type\":\"gold\","
            "\"timestamp\":1700000000}}"),
        &m);
    assert_int_equal(m.kind, SIM_KIND_GIFT);
    assert_str_equal(sim_msg_key(&m), "99");
    assert_str_equal(sim_user_name(&m.user), "x\"y");
    assert_int_equal(m.value, 300);
    assert_int_equal(m.num, 3);
    assert_int_equal(m.sent_ms, INT64_C(1700000000000));
    sim_replay_describe(STR("{\"data\":{},\"cmd\":\"PREPARING\",\"msg_id\":\"1:2\"}"), &m);
    assert_int_equal(m.kind, SIM_KIND_LIVE);
    assert_str_equal(sim_msg_key(&m), "1:2");
    assert_false(m.has_user);
    static const char *const others[] = {
        "", "{", "[]", "{}", "{\"cmd\":5}", "{\"cmd\":\"DANMU\"}", "null"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        sim_replay_describe(str_of(others[i]), &m);
        assert_int_equal(m.kind, SIM_KIND_OTHER);
    }
    /* Known commands of any shape are described as far as they go. */
    sim_replay_describe(STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[1],5,[{}]]}"), &m);
    assert_int_equal(m.kind, SIM_KIND_DANMAKU);
    assert_int_equal(m.key_len, 0);
}

/* A generated message is described as it was meant, so a replay's record is like a generator's. */
static void describes_what_was_generated(void **state)
{
    struct sim_world *w = sim_world_new(
        &(struct sim_world_opts){.seed = 3,
                                 .clock = clock_system(),
                                 .mix = STR("danmaku=5,gift=5,superchat=2,live=1,preparing=1")});
    struct sim_msg *m = mem_new(struct sim_msg);
    struct sim_msg *said = mem_new(struct sim_msg);
    struct sim_gen g;
    struct buf json;
    struct buf a;
    struct buf b;
    unsigned n = 0;

    (void)state;
    assert_non_null(w);
    sim_gen_init(&g, w, 8001, 1);
    buf_init(&json, SIM_MESSAGE_MAX);
    buf_init(&a, SIM_MESSAGE_MAX);
    buf_init(&b, SIM_MESSAGE_MAX);
    for (unsigned i = 0; i < 3000; i++) {
        buf_clear(&json);
        buf_clear(&a);
        buf_clear(&b);
        sim_gen_next(&g, m);
        sim_gen_render(&g, m, false, &json);
        sim_replay_describe(buf_str(&json), said);
        if (m->kind == SIM_KIND_OTHER || m->dup || m->family == SIM_F_PREPARING) {
            continue;
        }
        said->dup = false;
        if (m->kind == SIM_KIND_GIFT) {
            said->u.gift.gift = m->u.gift.gift; /* a replay does not know the name */
        }
        sim_record_members(m, false, NULL, &a);
        sim_record_members(said, false, NULL, &b);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        n++;
    }
    assert_true(n > 1000);
    buf_deinit(&b);
    buf_deinit(&a);
    buf_deinit(&json);
    sim_gen_deinit(&g);
    mem_free(said);
    mem_free(m);
    sim_world_free(w);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void replay_files(void **state)
{
    struct tmp_dir dir;
    char array[TMP_PATH_BYTES];
    char lines[TMP_PATH_BYTES];
    char bad[TMP_PATH_BYTES];
    struct sim_replay *r;
    struct err err;

    (void)state;
    tmp_dir_make(&dir);
    tmp_path(&dir, "array.json", array);
    tmp_path(&dir, "lines.ndjson", lines);
    tmp_path(&dir, "bad", bad);
    write_file(array, " [\n{\"a\":[1]},\n{\"b\":\"]\"}\n]\n");
    write_file(lines, "{\"c\":1}\n\n  {\"d\":2}  \n");
    write_file(bad, "{\"c\":1}\nnot json\n");
    assert_int_equal(sim_replay_load((const char *const[]){array, lines}, 2, &r, &err), ERR_OK);
    assert_int_equal(sim_replay_n(r), 4);
    assert_str_equal(sim_replay_at(r, 1), "{\"b\":\"]\"}");
    assert_str_equal(sim_replay_at(r, 3), "{\"d\":2}");
    sim_replay_free(r);
    assert_int_equal(sim_replay_load((const char *const[]){bad}, 1, &r, &err), ERR_INVALID);
    tmp_path(&dir, "none", bad);
    assert_int_equal(sim_replay_load((const char *const[]){array, bad}, 2, &r, &err), ERR_IO);
    tmp_dir_remove(&dir);
}

static void record_lines_are_json(void **state)
{
    struct sim_record_conn who = {.conn = 3, .room_id = 9, .at_ms = 5};
    struct sim_msg m = {.kind = SIM_KIND_DANMAKU, .has_user = true};
    struct tmp_dir dir;
    char path[TMP_PATH_BYTES];
    struct sim_record *r;
    struct buf line;
    char text[4096];
    size_t n;
    FILE *f;

    (void)state;
    tmp_dir_make(&dir);
    tmp_path(&dir, "record", path);
    assert_int_equal(sim_record_open(path, &r, NULL), ERR_OK);
    buf_init(&line, 4096);
    sim_record_members(&m, false, "nul", &line);
    sim_record_begin(r, &who, 1, 3, false);
    sim_record_event(r, &who, 1, true, str_sub(buf_str(&line), 1, line.len - 1));
    sim_record_fault(r, &who, "dup");
    sim_record_ack(r, &who, 1, 1, NULL);
    sim_record_ack(r, &who, 1, 1, "eof");
    assert_true(sim_record_close(r, 6));
    f = fopen(path, "r");
    assert_non_null(f);
    for (n = 0; fgets(text, sizeof(text), f); n++) {
        struct json j;

        json_init(&j, str_of(text));
        json_skip(&j);
        assert_true(json_at_end(&j));
    }
    (void)fclose(f);
    assert_int_equal(n, 6);
    assert_int_equal(sim_record_open("/nonexistent/x", &r, NULL), ERR_IO);
    buf_deinit(&line);
    tmp_dir_remove(&dir);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(bytes_keep_or_lose_the_stream),
        cmocka_unit_test(spoiled_text),
        cmocka_unit_test(describes_messages),
        cmocka_unit_test(describes_what_was_generated),
        cmocka_unit_test(replay_files),
        cmocka_unit_test(record_lines_are_json),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
