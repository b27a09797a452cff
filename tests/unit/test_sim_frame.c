/* The simulator's packets: as the real ones in every header field, and what its encoder writes can be decoded. */
#include <stdio.h>
#include <sys/stat.h>

#include <brotli/decode.h>
#include <zlib.h>

#include "server/core/bytes.h"
#include "server/core/mem.h"
#include "tests/sim/sim_frame.h"
#include "tests/support/run.h"

enum { LIMIT = 8 << 20 };

/* shared/samples beside the checkout or above it; false: this checkout stands alone. */
static bool find_samples(char out[static 512])
{
    char up[] = "../../../../../..";
    struct stat st;

    for (size_t n = 2; n < sizeof(up); n += 3) {
        (void)snprintf(out, 512, "%s/%.*s/shared/samples", DM_SOURCE_DIR, (int)n, up);
        if (stat(out, &st) == 0 && S_ISDIR(st.st_mode)) {
            return true;
        }
    }
    return false;
}

static bool read_sample(const char *name, struct buf *out)
{
    char dir[512];
    char path[640];
    char block[4096];
    size_t n;
    FILE *f;

    buf_clear(out);
    if (!find_samples(dir)) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/packets/%s.bin", dir, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) {
        buf_put(out, (struct str){block, n});
    }
    (void)fclose(f);
    return true;
}

static void inflate_body(enum sim_ver ver, struct str body, struct buf *out)
{
    size_t n = LIMIT;
    char *to = buf_reserve(out, LIMIT);

    assert_non_null(to);
    if (ver == SIM_VER_ZLIB) {
        uLongf len = LIMIT;

        assert_int_equal(uncompress((Bytef *)to, &len, (const Bytef *)body.ptr, body.len), Z_OK);
        n = len;
    } else {
        assert_int_equal(
            BrotliDecoderDecompress(body.len, (const uint8_t *)body.ptr, &n, (uint8_t *)to),
            BROTLI_DECODER_RESULT_SUCCESS);
    }
    buf_commit(out, n);
}

static struct sim_head head_of(struct str s)
{
    struct sim_head h;

    assert_true(s.len >= SIM_HEAD_BYTES);
    sim_head_get(s.ptr, &h);
    return h;
}

/* All fields but the length, which is checked against the bytes. */
static void assert_same_head(struct str ours, struct str real)
{
    struct sim_head a = head_of(ours);
    struct sim_head b = head_of(real);

    assert_int_equal(a.head_len, b.head_len);
    assert_int_equal(a.ver, b.ver);
    assert_int_equal(a.op, b.op);
    assert_int_equal(a.seq, b.seq);
}

static void put_message(struct buf *run, const char *text)
{
    size_t mark = sim_packet_begin(run);

    buf_put(run, str_of(text));
    sim_packet_end(run, mark);
}

static void known_bytes(void **state)
{
    static const uint8_t auth[] = {0,    0,    0,    0x1a, 0,    0x10, 0,   1,    0,
                                   0,    0,    8,    0,    0,    0,    1,   0x7b, 0x22,
                                   0x63, 0x6f, 0x64, 0x65, 0x22, ':',  '0', '}'};
    static const uint8_t reply[] = {0, 0, 0, 0x14, 0, 0x10, 0, 0, 0,    0,
                                    0, 3, 0, 0,    0, 0,    0, 5, 0x76, 0xb5};
    struct buf b;

    (void)state;
    buf_init(&b, LIMIT);
    sim_auth_reply_put(&b, SIM_VER_CONTROL, 0);
    assert_int_equal(b.len, sizeof(auth));
    assert_memory_equal(b.data, auth, sizeof(auth));
    buf_clear(&b);
    sim_heartbeat_reply_put(&b, SIM_VER_PLAIN, 358069, STR(""));
    assert_int_equal(b.len, sizeof(reply));
    assert_memory_equal(b.data, reply, sizeof(reply));
    buf_clear(&b);
    sim_heartbeat_reply_put(&b, SIM_VER_CONTROL, 2466, STR("[object Object]"));
    assert_int_equal(b.len, 35); /* the quirk: the copy is not counted */
    assert_int_equal(head_of(buf_str(&b)).packet_len, 20);
    assert_memory_equal(b.data + 20, "[object Object]", 15);
    buf_deinit(&b);
}

static void real_control_packets(void **state)
{
    struct buf real;
    struct buf b;

    (void)state;
    buf_init(&real, LIMIT);
    buf_init(&b, LIMIT);
    if (!read_sample("op8_auth_reply", &real)) {
        skip();
    }
    sim_auth_reply_put(&b, SIM_VER_CONTROL, 0);
    assert_int_equal(b.len, real.len);
    assert_memory_equal(b.data, real.data, b.len);
    buf_clear(&b);
    assert_true(read_sample("op8_auth_reply_ver0", &real));
    sim_auth_reply_put(&b, SIM_VER_PLAIN, 0);
    assert_memory_equal(b.data, real.data, b.len);
    buf_clear(&b);
    assert_true(read_sample("op3_heartbeat_reply_ver0", &real));
    sim_heartbeat_reply_put(&b, SIM_VER_PLAIN, get_be32(real.data + 16), STR(""));
    assert_memory_equal(b.data, real.data, b.len);
    buf_clear(&b);
    assert_true(read_sample("op3_heartbeat_reply_with_echo", &real));
    sim_heartbeat_reply_put(&b, SIM_VER_CONTROL, get_be32(real.data + 16),
                            str_sub(buf_str(&real), 20, real.len));
    assert_int_equal(b.len, real.len);
    assert_memory_equal(b.data, real.data, b.len);
    buf_deinit(&b);
    buf_deinit(&real);
}

/* The frame's head and the heads inside are as in the capture; the inflated bytes are what went in. */
static void check_frame(const char *sample, enum sim_ver ver)
{
    struct sim_packer *p = sim_packer_new(1, 1);
    struct buf real;
    struct buf inner;
    struct buf run;
    struct buf frame;

    buf_init(&real, LIMIT);
    buf_init(&inner, LIMIT);
    buf_init(&run, LIMIT);
    buf_init(&frame, LIMIT);
    put_message(&run, "{\"cmd\":\"A\"}");
    put_message(&run, "{\"cmd\":\"B\",\"data\":{}}");
    sim_frame_put(p, ver, buf_str(&run), &frame);
    assert_true(buf_ok(&frame));
    assert_int_equal(head_of(buf_str(&frame)).packet_len, frame.len);
    inflate_body(ver, str_sub(buf_str(&frame), SIM_HEAD_BYTES, frame.len), &inner);
    assert_int_equal(inner.len, run.len);
    assert_memory_equal(inner.data, run.data, run.len);
    assert_int_equal(head_of(buf_str(&inner)).packet_len, 16 + 11);
    if (read_sample(sample, &real)) {
        assert_same_head(buf_str(&frame), buf_str(&real));
        buf_clear(&inner);
        inflate_body(ver, str_sub(buf_str(&real), SIM_HEAD_BYTES, real.len), &inner);
        assert_same_head(buf_str(&run), buf_str(&inner));
    }
    buf_deinit(&frame);
    buf_deinit(&run);
    buf_deinit(&inner);
    buf_deinit(&real);
    sim_packer_free(p);
}

static void zlib_frames(void **state)
{
    (void)state;
    check_frame("op5_zlib_interact_word", SIM_VER_ZLIB);
    check_frame("constructed_zlib_3msgs", SIM_VER_ZLIB);
}

static void brotli_frames(void **state)
{
    (void)state;
    check_frame("op5_brotli_watched_change", SIM_VER_BROTLI);
    check_frame("constructed_brotli_3msgs", SIM_VER_BROTLI);
}

static void plain_frames_are_the_run(void **state)
{
    struct sim_packer *p = sim_packer_new(1, 1);
    struct buf run;
    struct buf frame;
    struct buf real;

    (void)state;
    buf_init(&run, LIMIT);
    buf_init(&frame, LIMIT);
    buf_init(&real, LIMIT);
    put_message(&run, "{}");
    put_message(&run, "[]");
    sim_frame_put(p, SIM_VER_PLAIN, buf_str(&run), &frame);
    assert_int_equal(frame.len, run.len);
    assert_memory_equal(frame.data, run.data, run.len);
    if (read_sample("constructed_plain_2msgs_then_hb_reply", &real)) {
        assert_same_head(buf_str(&frame), buf_str(&real));
    }
    buf_deinit(&real);
    buf_deinit(&frame);
    buf_deinit(&run);
    sim_packer_free(p);
}

static void bombs_inflate_to_their_size(void **state)
{
    static const enum sim_ver vers[] = {SIM_VER_ZLIB, SIM_VER_BROTLI};
    struct buf small;
    struct buf big;

    (void)state;
    buf_init(&small, LIMIT);
    buf_init(&big, LIMIT);
    for (size_t i = 0; i < ARRAY_LEN(vers); i++) {
        buf_clear(&small);
        buf_clear(&big);
        sim_compress_run(vers[i], STR("head"), ' ', 5000000, &small);
        assert_true(buf_ok(&small));
        assert_true(small.len < 20000);
        inflate_body(vers[i], buf_str(&small), &big);
        assert_int_equal(big.len, 5000004);
        assert_memory_equal(big.data, "head ", 5);
        assert_int_equal(big.data[big.len - 1], ' ');
    }
    buf_deinit(&big);
    buf_deinit(&small);
}

static void auth_of_clients(void **state)
{
    struct buf real;
    struct sim_auth a;

    (void)state;
    assert_true(sim_auth_parse(STR("{\"roomid\":7,\"uid\":0}"), &a));
    assert_int_equal(a.room_id, 7);
    assert_int_equal(a.protover, 0);
    assert_true(sim_auth_parse(STR("{\"uid\":\"12\",\"roomid\":\"9\",\"protover\":3,\"key\":\"k=\","
                                   "\"buvid\":\"B\",\"platform\":\"web\",\"type\":2}"),
                               &a));
    assert_int_equal(a.uid, 12);
    assert_int_equal(a.room_id, 9);
    assert_int_equal(a.protover, 3);
    assert_str_equal(a.key, "k=");
    assert_str_equal(a.buvid, "B");
    assert_false(sim_auth_parse(STR("[1]"), &a));
    assert_false(sim_auth_parse(STR("{\"roomid\":7"), &a));
    assert_false(sim_auth_parse(STR(""), &a));
    buf_init(&real, LIMIT);
    if (read_sample("op7_auth_request", &real)) {
        assert_int_equal(head_of(buf_str(&real)).op, SIM_OP_AUTH);
        assert_true(sim_auth_parse(str_sub(buf_str(&real), SIM_HEAD_BYTES, real.len), &a));
        assert_int_equal(a.room_id, 22608112);
        assert_int_equal(a.uid, 134541447);
        assert_int_equal(a.protover, 3);
        assert_true(a.key.len > 100);
    }
    buf_deinit(&real);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(real_control_packets),
        cmocka_unit_test(zlib_frames),
        cmocka_unit_test(brotli_frames),
        cmocka_unit_test(plain_frames_are_the_run),
        cmocka_unit_test(bombs_inflate_to_their_size),
        cmocka_unit_test(auth_of_clients),
    };

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
