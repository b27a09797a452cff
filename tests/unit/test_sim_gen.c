/* The simulator's generator: the same seed gives the same bytes, keys are unique, messages are JSON of the right shape. */
#include <stdio.h>

#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "tests/sim/sim_gen.h"
#include "tests/sim/sim_json.h"
#include "tests/support/run.h"

enum { LIMIT = 256 << 20 };

struct fixture {
    struct sim_world *world;
    struct sim_gen gen;
    struct sim_msg msg;
    struct buf out;
};

static void begin(struct fixture *f, uint64_t seed, const char *mix, int64_t room_id,
                  uint32_t index)
{
    f->world = sim_world_new(&(struct sim_world_opts){.seed = seed,
                                                      .clock = clock_system(),
                                                      .start_ms = INT64_C(1795000000000),
                                                      .mix = str_of(mix)});
    assert_non_null(f->world);
    sim_gen_init(&f->gen, f->world, room_id, index);
    buf_init(&f->out, LIMIT);
}

static void end(struct fixture *f)
{
    sim_gen_deinit(&f->gen);
    sim_world_free(f->world);
    buf_deinit(&f->out);
}

static void row(struct fixture *f, unsigned n, bool masked)
{
    for (unsigned i = 0; i < n; i++) {
        sim_gen_next(&f->gen, &f->msg);
        sim_gen_render(&f->gen, &f->msg, masked, &f->out);
        buf_put_c(&f->out, '\n');
    }
}

static void same_seed_same_bytes(void **state)
{
    struct fixture a;
    struct fixture b;

    (void)state;
    begin(&a, 42, "", 1001, 0);
    begin(&b, 42, "", 1001, 0);
    row(&a, 3000, false);
    /* Rendering in another form and acting out of turn in between changes nothing in the row. */
    for (unsigned i = 0; i < 3000; i++) {
        struct sim_msg said;

        sim_gen_next(&b.gen, &b.msg);
        sim_gen_render(&b.gen, &b.msg, false, &b.out);
        buf_put_c(&b.out, '\n');
        if (i % 100 == 0) {
            sim_gen_say(&b.gen, STR("out of turn"), &said);
        }
    }
    assert_true(buf_ok(&a.out));
    assert_int_equal(a.out.len, b.out.len);
    assert_memory_equal(a.out.data, b.out.data, a.out.len);
    end(&b);
    end(&a);
}

static void other_seed_or_room_other_bytes(void **state)
{
    struct fixture a;
    struct fixture b;
    struct fixture c;
    size_t n;

    (void)state;
    begin(&a, 1, "danmaku=1", 1001, 0);
    begin(&b, 2, "danmaku=1", 1001, 0);
    begin(&c, 1, "danmaku=1", 1002, 1);
    row(&a, 50, false);
    row(&b, 50, false);
    row(&c, 50, false);
    n = a.out.len < b.out.len ? a.out.len : b.out.len;
    assert_memory_not_equal(a.out.data, b.out.data, n);
    n = a.out.len < c.out.len ? a.out.len : c.out.len;
    assert_memory_not_equal(a.out.data, c.out.data, n);
    end(&c);
    end(&b);
    end(&a);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, SIM_KEY_MAX + 1);
}

static void keys_are_unique(void **state)
{
    enum { ROOMS = 20, EACH = 4000, KEY = SIM_KEY_MAX + 1 };
    char *keys = mem_zero_or_abort((size_t)ROOMS * EACH, KEY);
    struct fixture f;
    size_t n = 0;

    (void)state;
    for (uint32_t r = 0; r < ROOMS; r++) {
        begin(&f, 7, "", 2000 + r, r);
        for (unsigned i = 0; i < EACH; i++) {
            sim_gen_next(&f.gen, &f.msg);
            if (f.msg.kind == SIM_KIND_OTHER || f.msg.dup) {
                continue;
            }
            assert_true(f.msg.key_len > 0);
            keys[n * KEY] = (char)f.msg.kind;
            memcpy(keys + n++ * KEY + 1, f.msg.key, f.msg.key_len);
        }
        end(&f);
    }
    assert_true(n > ROOMS * EACH / 2);
    qsort(keys, n, KEY, by_bytes);
    for (size_t i = 1; i < n; i++) {
        assert_memory_not_equal(keys + (i - 1) * KEY, keys + i * KEY, KEY);
    }
    mem_free(keys);
}

/* Every line is one JSON object, to the end, also the document inside `extra`. */
static void every_message_is_json(void **state)
{
    struct fixture f;
    unsigned n_extra = 0;

    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        begin(&f, 11, "", 3001, 3);
        for (unsigned i = 0; i < 20000; i++) {
            struct json j;
            struct str key;

            buf_clear(&f.out);
            row(&f, 1, masked);
            json_init(&j, buf_str(&f.out));
            assert_true(json_enter_object(&j));
            while (json_next_key(&j, &key)) {
                json_skip(&j);
            }
            assert_int_equal(json_error(&j), JSON_ERR_NONE);
            assert_true(json_at_end(&j));
            n_extra += f.msg.family == SIM_F_DANMAKU;
        }
        end(&f);
    }
    assert_true(n_extra > 10000);
}

/* info[0][15].extra of a danmaku as text */
static struct str extra_of(struct str json, char *out, size_t max)
{
    struct json j;
    struct str key;
    struct str text = STR_NULL;

    json_init(&j, json);
    assert_true(json_enter_object(&j));
    while (json_next_key(&j, &key)) {
        if (!str_eq(key, STR("info"))) {
            continue;
        }
        assert_true(json_enter_array(&j) && json_next_elem(&j) && json_enter_array(&j));
        for (int i = 0; i < 15; i++) {
            assert_true(json_next_elem(&j));
            json_skip(&j);
        }
        assert_true(json_next_elem(&j) && json_enter_object(&j));
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("extra"))) {
                assert_true(json_str(&j, out, max, &text));
            }
        }
        json_leave(&j);
        json_leave(&j);
    }
    return text;
}

static void text_survives_both_levels(void **state)
{
    static const char *const texts[] = {"2333",           "他说\"不会吧\"", "a\\b\\\\c",
                                        "tab\t|\n|\x01|", "[dog]",          "🐶 < > & ' ` $x %y"};
    static char extra[65536];
    struct fixture f;

    (void)state;
    begin(&f, 5, "", 4001, 4);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json j;
        struct str key;
        struct str content = STR_NULL;
        char text[512];

        buf_clear(&f.out);
        sim_gen_say(&f.gen, str_of(texts[i]), &f.msg);
        sim_gen_render(&f.gen, &f.msg, false, &f.out);
        json_init(&j, extra_of(buf_str(&f.out), extra, sizeof(extra)));
        assert_true(json_enter_object(&j));
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("content"))) {
                assert_true(json_str(&j, text, sizeof(text), &content));
            }
        }
        assert_true(json_at_end(&j));
        assert_str_equal(content, texts[i]);
    }
    end(&f);
}

static void masked_senders_have_no_uid(void **state)
{
    struct fixture f;
    struct buf open;
    char uid[32];

    (void)state;
    begin(&f, 13, "danmaku=8,gift=2,superchat=1,interact=1,entry=1", 5001, 5);
    buf_init(&open, LIMIT);
    for (unsigned i = 0; i < 2000; i++) {
        buf_clear(&f.out);
        buf_clear(&open);
        sim_gen_next(&f.gen, &f.msg);
        sim_gen_render(&f.gen, &f.msg, true, &f.out);
        sim_gen_render(&f.gen, &f.msg, false, &open);
        buf_put_c(&f.out, '\0');
        buf_put_c(&open, '\0');
        (void)snprintf(uid, sizeof(uid), "%lld", (long long)f.msg.user.uid);
        assert_non_null(strstr(open.data, uid));
        assert_null(strstr(f.out.data, uid));
        assert_non_null(strstr(f.out.data, "***"));
    }
    buf_deinit(&open);
    end(&f);
}

static void looks_like_a_room(void **state)
{
    unsigned n[SIM_FAMILIES] = {0};
    uint64_t danmaku_bytes = 0;
    unsigned dup = 0;
    struct fixture f;

    (void)state;
    begin(&f, 17, "", 6001, 6);
    for (unsigned i = 0; i < 40000; i++) {
        buf_clear(&f.out);
        row(&f, 1, false);
        n[f.msg.family]++;
        dup += f.msg.dup;
        danmaku_bytes += f.msg.family == SIM_F_DANMAKU ? f.out.len : 0;
    }
    assert_in_range(n[SIM_F_DANMAKU], 18000, 26000);
    assert_in_range(danmaku_bytes / n[SIM_F_DANMAKU], 2100, 2600);
    assert_in_range(n[SIM_F_GIFT], 2000, 4000);
    assert_in_range(n[SIM_F_SUPERCHAT], 50, 250);
    assert_true(n[SIM_F_JPN] > 0 && n[SIM_F_COMBO] > 0 && n[SIM_F_PREPARING] > 1);
    assert_in_range(n[SIM_F_LIVE], 2 * n[SIM_F_PREPARING] - 3, 2 * n[SIM_F_PREPARING] + 3);
    assert_true(dup > n[SIM_F_PREPARING] / 2);
    end(&f);
}

static void mixes(void **state)
{
    static const char *const bad[] = {"danmaku",    "danmaku=x", "nothing=1",
                                      "danmaku=-1", "combo=1",   "danmaku=0"};
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_null(sim_world_new(
            &(struct sim_world_opts){.clock = clock_system(), .mix = str_of(bad[i])}));
    }
    begin(&f, 1, "preparing=1", 1, 1); /* only possible while live: it has to alternate */
    for (unsigned i = 0; i < 100; i++) {
        sim_gen_next(&f.gen, &f.msg);
        assert_true(f.msg.family == SIM_F_PREPARING || f.msg.family == SIM_F_LIVE);
    }
    end(&f);
}

static void combos_add_up(void **state)
{
    struct fixture f;
    unsigned ends = 0;

    (void)state;
    begin(&f, 19, "gift=1", 7001, 7);
    for (unsigned i = 0; i < 5000; i++) {
        sim_gen_next(&f.gen, &f.msg);
        if (f.msg.family == SIM_F_COMBO) {
            ends++;
            assert_int_equal(f.msg.value, 0);
            assert_true(f.msg.u.gift.combo_num >= 2);
        } else {
            const struct sim_gift *g = f.msg.u.gift.gift;

            assert_int_equal(f.msg.value, g->silver ? 0 : f.msg.num * (g->box ? g->box : g->price));
        }
    }
    assert_true(ends > 50);
    end(&f);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(other_seed_or_room_other_bytes),
        cmocka_unit_test(keys_are_unique),
        cmocka_unit_test(every_message_is_json),
        cmocka_unit_test(text_survives_both_levels),
        cmocka_unit_test(masked_senders_have_no_uid),
        cmocka_unit_test(looks_like_a_room),
        cmocka_unit_test(mixes),
        cmocka_unit_test(combos_add_up),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
