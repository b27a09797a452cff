#include "collector/wire/inflate.h"
#include "collector/wire/packet.h"
#include "server/core/bytes.h"
#include "server/core/mem.h"
#include "server/core/rng.h"
#include "tests/support/frames.h"
#include "tests/support/run.h"

enum { BIG = 256 << 20 };

struct fixture {
    struct packet_stream *stream;
    struct buf in;
    struct buf log;
    struct packet_sink sink;
    uint64_t live;
};

static int setup(void **state)
{
    const uint64_t live = mem_live_count();
    struct fixture *f = mem_new(struct fixture);
    f->live = live;
    f->stream = packet_stream_new(NULL);
    buf_init(&f->in, BIG);
    buf_init(&f->log, BIG);
    f->sink = frames_recorder(&f->log);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    const uint64_t live = f->live;
    packet_stream_free(f->stream);
    buf_deinit(&f->in);
    buf_deinit(&f->log);
    mem_free(f);
    return mem_live_count() == live ? 0 : -1;
}

static void check_log(struct fixture *f, const char *want)
{
    buf_put_c(&f->log, '\0');
    assert_string_equal(f->log.data, want);
    buf_clear(&f->log);
}

static void use_limits(struct fixture *f, struct packet_limits limits)
{
    packet_stream_free(f->stream);
    f->stream = packet_stream_new(&limits);
}

static void feed(struct fixture *f)
{
    assert_int_equal(packet_feed(f->stream, buf_str(&f->in), &f->sink, NULL, NULL), ERR_OK);
    buf_clear(&f->in);
}

static void feed_expect_lost(struct fixture *f)
{
    struct err err = {0};
    assert_int_equal(packet_feed(f->stream, buf_str(&f->in), &f->sink, NULL, &err), ERR_PROTO);
    assert_true(err.msg[0] != '\0');
    /* and it stays lost */
    assert_int_equal(packet_feed(f->stream, STR("x"), &f->sink, NULL, NULL), ERR_PROTO);
    packet_stream_reset(f->stream);
    buf_clear(&f->in);
}

static void message(struct fixture *f)
{
    packet_message(f->stream, buf_str(&f->in), &f->sink, NULL);
    buf_clear(&f->in);
}

/* Everything that is legal on a byte stream, and every fault that does not lose the position. */
static void put_capture(struct buf *out)
{
    struct buf inner, nested;
    buf_init(&inner, BIG);
    buf_init(&nested, BIG);
    frames_put(out, 1, PACKET_AUTH_REPLY, STR("{\"code\":0}"));
    frames_put(out, 1, PACKET_HEARTBEAT_REPLY, STR("\0\0\0\1"));
    frames_put(out, 0, PACKET_MESSAGE, STR("{\"cmd\":\"A\"}"));
    frames_put(out, 0, PACKET_MESSAGE, STR(""));
    frames_put(out, 1, PACKET_MESSAGE, STR("{\"cmd\":\"B\"}"));
    frames_put_head(out, 24, 20, 0, PACKET_MESSAGE); /* a longer header */
    buf_put(out, STR("abcdmore"));
    frames_put(&inner, 0, PACKET_MESSAGE, STR("{\"cmd\":\"C\"}"));
    frames_put(&inner, 0, PACKET_MESSAGE, STR("{\"cmd\":\"D\"}"));
    frames_put_frame(out, PACKET_ZLIB, buf_str(&inner));
    frames_put(&nested, 0, PACKET_MESSAGE, STR("{\"cmd\":\"E\"}"));
    frames_put_frame(&nested, PACKET_ZLIB, buf_str(&inner));
    frames_put(&nested, 0, PACKET_HEARTBEAT_REPLY, STR("\0\1\0\0"));
    frames_put(&nested, 0, PACKET_MESSAGE, STR("{\"cmd\":\"F\"}"));
    frames_put_frame(out, PACKET_BROTLI, buf_str(&nested));
    frames_put(out, 0, 6, STR("bye"));
    frames_put(out, 9, PACKET_MESSAGE, STR("?"));
    frames_put(out, 2, PACKET_MESSAGE, STR("not zlib"));
    frames_put(out, 3, PACKET_MESSAGE, STR("not brotli"));
    frames_put(out, 1, PACKET_HEARTBEAT_REPLY, STR("abc"));
    frames_put(out, 0, PACKET_MESSAGE, STR("{\"cmd\":\"G\"}"));
    buf_deinit(&inner);
    buf_deinit(&nested);
}

static const char capture_log[] = "auth {\"code\":0}\n"
                                  "popularity 1\n"
                                  "message {\"cmd\":\"A\"}\n"
                                  "message {\"cmd\":\"B\"}\n"
                                  "message more\n"
                                  "message {\"cmd\":\"C\"}\n"
                                  "message {\"cmd\":\"D\"}\n"
                                  "message {\"cmd\":\"E\"}\n"
                                  "message {\"cmd\":\"C\"}\n"
                                  "message {\"cmd\":\"D\"}\n"
                                  "popularity 65536\n"
                                  "message {\"cmd\":\"F\"}\n"
                                  "fault operation\n"
                                  "fault version\n"
                                  "fault inflate\n"
                                  "fault inflate\n"
                                  "popularity -1\n"
                                  "message {\"cmd\":\"G\"}\n";

static void test_capture(void **state)
{
    struct fixture *f = *state;
    put_capture(&f->in);
    feed(f);
    check_log(f, capture_log);
    put_capture(&f->in);
    message(f);
    check_log(f, capture_log);
}

static void test_every_cut(void **state)
{
    struct fixture *f = *state;
    put_capture(&f->in);
    const struct str all = buf_str(&f->in);
    for (size_t cut = 0; cut <= all.len; cut++) {
        assert_int_equal(packet_feed(f->stream, str_sub(all, 0, cut), &f->sink, NULL, NULL),
                         ERR_OK);
        assert_int_equal(packet_feed(f->stream, str_sub(all, cut, all.len), &f->sink, NULL, NULL),
                         ERR_OK);
        check_log(f, capture_log);
    }
    for (size_t i = 0; i < all.len; i++) {
        assert_int_equal(packet_feed(f->stream, str_sub(all, i, i + 1), &f->sink, NULL, NULL),
                         ERR_OK);
    }
    check_log(f, capture_log);
}

static void test_random_cuts(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_seed(&rng, 20261122);
    put_capture(&f->in);
    const struct str all = buf_str(&f->in);
    for (unsigned run = 0; run < 3000; run++) {
        for (size_t at = 0; at < all.len;) {
            size_t n = 1 + rng_below(&rng, 1 + rng_below(&rng, 200));
            n = n < all.len - at ? n : all.len - at;
            assert_int_equal(packet_feed(f->stream, str_sub(all, at, at + n), &f->sink, NULL, NULL),
                             ERR_OK);
            at += n;
        }
        check_log(f, capture_log);
    }
}

static void test_long_packet_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct buf want;
    buf_init(&want, BIG);
    buf_put(&want, STR("message "));
    for (size_t i = 0; i < 300000; i++) {
        buf_put_c(&want, (char)('a' + i % 26));
    }
    frames_put(&f->in, 0, PACKET_MESSAGE, str_sub(buf_str(&want), 8, want.len));
    buf_put(&want, STR("\nmessage tail\n"));
    buf_put_c(&want, '\0');
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("tail"));
    for (size_t at = 0; at < f->in.len; at += 4096) {
        const size_t end = at + 4096 < f->in.len ? at + 4096 : f->in.len;
        assert_int_equal(
            packet_feed(f->stream, str_sub(buf_str(&f->in), at, end), &f->sink, NULL, NULL),
            ERR_OK);
    }
    check_log(f, want.data);
    buf_deinit(&want);
}

static void test_lies_lose_a_byte_stream(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t packet_len;
        uint16_t header_len;
        const char *log;
    } lies[] = {
        {0, 16, "message {}\nfault header\n"},
        {15, 16, "message {}\nfault header\n"},
        {16, 17, "message {}\nfault header\n"},
        {32, 15, "message {}\nfault header\n"},
        {32, 0, "message {}\nfault header\n"},
        {32, 0xffff, "message {}\nfault header\n"},
        {(4u << 20) + 1, 16, "message {}\nfault too_large\n"},
        {UINT32_MAX, 16, "message {}\nfault too_large\n"},
        {0x7b22636d, 0x6422, "message {}\nfault too_large\n"}, /* text where a header should be */
    };
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        for (size_t cut = 0; cut <= 34; cut++) {
            frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
            frames_put_head(&f->in, lies[i].packet_len, lies[i].header_len, 0, PACKET_MESSAGE);
            const struct str all = buf_str(&f->in);
            enum err_code err = packet_feed(f->stream, str_sub(all, 0, cut), &f->sink, NULL, NULL);
            assert_int_equal(err, cut < all.len ? ERR_OK : ERR_PROTO);
            err = packet_feed(f->stream, str_sub(all, cut, all.len), &f->sink, NULL, NULL);
            assert_int_equal(err, ERR_PROTO);
            check_log(f, lies[i].log);
            packet_stream_reset(f->stream);
            buf_clear(&f->in);
        }
    }
    frames_put_head(&f->in, 0, 0, 0, 0);
    feed_expect_lost(f);
    check_log(f, "fault header\n");
    /* the next connection works */
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    feed(f);
    check_log(f, "message {}\n");
}

static void test_lies_drop_the_rest_of_a_message(void **state)
{
    struct fixture *f = *state;
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    frames_put_head(&f->in, 17, 16, 0, PACKET_MESSAGE);
    message(f);
    check_log(f, "message {}\nfault truncated\n");
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    buf_put(&f->in, STR("short"));
    message(f);
    check_log(f, "message {}\nfault truncated\n");
    frames_put_head(&f->in, 3, 16, 0, PACKET_MESSAGE);
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    message(f);
    check_log(f, "fault header\n");
    frames_put_head(&f->in, UINT32_MAX, 16, 0, PACKET_MESSAGE);
    message(f);
    check_log(f, "fault too_large\n");
    message(f); /* empty */
    check_log(f, "");
    /* nothing is kept */
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    message(f);
    check_log(f, "message {}\n");
}

static void test_lies_inside_a_frame(void **state)
{
    struct fixture *f = *state;
    struct buf inner;
    buf_init(&inner, BIG);
    for (unsigned which = 0; which < 4; which++) {
        buf_clear(&inner);
        frames_put(&inner, 0, PACKET_MESSAGE, STR("{\"first\":1}"));
        switch (which) {
        case 0:
            frames_put_head(&inner, 17, 16, 0, PACKET_MESSAGE);
            break;
        case 1:
            frames_put_head(&inner, 10, 16, 0, PACKET_MESSAGE);
            break;
        case 2:
            frames_put_head(&inner, 5u << 20, 16, 0, PACKET_MESSAGE);
            break;
        default:
            buf_put(&inner, STR("{\"bare\":\"json\"}"));
            break;
        }
        frames_put_frame(&f->in, PACKET_ZLIB, buf_str(&inner));
        frames_put(&f->in, 0, PACKET_MESSAGE, STR("{\"after\":1}"));
        feed(f);
        static const char *const want[] = {"truncated", "header", "too_large", "truncated"};
        struct buf expected;
        buf_init(&expected, 1024);
        buf_printf(&expected, "message {\"first\":1}\nfault %s\nmessage {\"after\":1}\n%c",
                   want[which], '\0');
        check_log(f, expected.data);
        buf_deinit(&expected);
    }
    buf_deinit(&inner);
}

/* Wraps a packet `times` times, alternating the compression. */
static void nest(struct buf *out, unsigned times, struct str innermost)
{
    struct buf cur, next;
    buf_init(&cur, BIG);
    buf_init(&next, BIG);
    buf_put(&cur, innermost);
    for (unsigned i = 0; i < times; i++) {
        buf_clear(&next);
        frames_put_frame(&next, i % 2 ? PACKET_BROTLI : PACKET_ZLIB, buf_str(&cur));
        const struct buf tmp = cur;
        cur = next;
        next = tmp;
    }
    buf_put(out, buf_str(&cur));
    buf_deinit(&cur);
    buf_deinit(&next);
}

static void test_nesting(void **state)
{
    struct fixture *f = *state;
    struct buf one;
    buf_init(&one, 1024);
    frames_put(&one, 0, PACKET_MESSAGE, STR("deep"));
    for (unsigned times = 0; times <= 4; times++) {
        nest(&f->in, times, buf_str(&one));
        feed(f);
        check_log(f, "message deep\n");
    }
    for (unsigned times = 5; times <= 40; times += 7) {
        nest(&f->in, times, buf_str(&one));
        frames_put(&f->in, 0, PACKET_MESSAGE, STR("after"));
        feed(f);
        check_log(f, "fault depth\nmessage after\n");
    }
    buf_deinit(&one);
}

static void put_zeros(struct buf *out, size_t n)
{
    char *at = buf_reserve(out, n);
    assert_non_null(at);
    memset(at, 0, n);
    buf_commit(out, n);
}

static void test_bombs(void **state)
{
    struct fixture *f = *state;
    struct buf zeros, frame;
    buf_init(&zeros, BIG);
    buf_init(&frame, BIG);
    put_zeros(&zeros, 20 << 20);
    static const enum packet_ver vers[] = {PACKET_ZLIB, PACKET_BROTLI};
    for (size_t v = 0; v < ARRAY_LEN(vers); v++) {
        frames_put_frame(&f->in, vers[v], buf_str(&zeros));
        frames_put(&f->in, 0, PACKET_MESSAGE, STR("after"));
        feed(f);
        check_log(f, "fault bomb\nmessage after\n");
        /* ten bombs in one frame, each below the limit: the sum counts, the rest of the frame goes */
        buf_clear(&frame);
        for (unsigned i = 0; i < 10; i++) {
            frames_put_frame(&frame, vers[v], str_sub(buf_str(&zeros), 0, 6 << 20));
        }
        frames_put(&frame, 0, PACKET_MESSAGE, STR("inside"));
        frames_put_frame(&f->in, vers[v], buf_str(&frame));
        frames_put(&f->in, 0, PACKET_MESSAGE, STR("after"));
        feed(f);
        check_log(f, "fault header\nfault header\nfault bomb\nmessage after\n");
    }
    buf_deinit(&zeros);
    buf_deinit(&frame);
}

static void test_too_many_packets(void **state)
{
    struct fixture *f = *state;
    struct packet_limits limits = packet_limits_default;
    limits.packets = 10;
    use_limits(f, limits);
    struct buf inner, outer;
    buf_init(&inner, BIG);
    buf_init(&outer, BIG);
    for (unsigned i = 0; i < 4; i++) {
        frames_put(&inner, 0, PACKET_MESSAGE, STR("x"));
    }
    /* two frames within a frame: 2 + 4 + 4 packets just fit, an eleventh does not */
    frames_put_frame(&outer, PACKET_ZLIB, buf_str(&inner));
    frames_put_frame(&outer, PACKET_BROTLI, buf_str(&inner));
    frames_put_frame(&f->in, PACKET_ZLIB, buf_str(&outer));
    frames_put(&outer, 0, PACKET_MESSAGE, STR("eleventh"));
    frames_put_frame(&f->in, PACKET_ZLIB, buf_str(&outer));
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("after"));
    feed(f);
    check_log(f, "message x\nmessage x\nmessage x\nmessage x\n"
                 "message x\nmessage x\nmessage x\nmessage x\n"
                 "message x\nmessage x\nmessage x\nmessage x\n"
                 "message x\nmessage x\nmessage x\nmessage x\n"
                 "fault count\nmessage after\n");
    buf_deinit(&inner);
    buf_deinit(&outer);
}

static void test_heartbeat_echo(void **state)
{
    struct fixture *f = *state;
    static const char with_echo[] = "\x00\x00\x00\x14\x00\x10\x00\x01\x00\x00\x00\x03\x00\x00\x00"
                                    "\x00\x00\x00\x09\xa2[object Object]";
    buf_put(&f->in, (struct str){with_echo, sizeof(with_echo) - 1});
    message(f);
    check_log(f, "popularity 2466\n");
    /* an echo as long as a header, which is none */
    frames_put(&f->in, 1, PACKET_HEARTBEAT_REPLY, STR("\0\0\0\5"));
    buf_put(&f->in, STR("[object Object][object Object]"));
    message(f);
    check_log(f, "popularity 5\n");
    /* a header that claims more than there is, or another header length: dropped without a fault */
    frames_put(&f->in, 1, PACKET_HEARTBEAT_REPLY, STR("\0\0\0\5"));
    frames_put_head(&f->in, 17, 16, 0, PACKET_MESSAGE);
    message(f);
    check_log(f, "popularity 5\n");
    frames_put(&f->in, 1, PACKET_HEARTBEAT_REPLY, STR("\0\0\0\5"));
    frames_put_head(&f->in, 20, 20, 0, PACKET_MESSAGE);
    buf_put(&f->in, STR("abcd"));
    message(f);
    check_log(f, "popularity 5\n");
    /* and packets that follow are read */
    frames_put(&f->in, 1, PACKET_HEARTBEAT_REPLY, STR("\xff\xff\xff\xff"));
    frames_put(&f->in, 0, PACKET_MESSAGE, STR("{}"));
    message(f);
    check_log(f, "popularity 4294967295\nmessage {}\n");
    frames_put(&f->in, 1, PACKET_HEARTBEAT_REPLY, STR(""));
    message(f);
    check_log(f, "popularity -1\n");
}

struct stopper {
    unsigned after;
    unsigned n;
    bool stop;
};

static void count_message(void *ctx, struct str json)
{
    struct stopper *s = ctx;
    (void)json;
    s->n++;
    s->stop = s->n == s->after;
}

static void test_stop(void **state)
{
    struct fixture *f = *state;
    struct buf inner;
    buf_init(&inner, BIG);
    for (unsigned i = 0; i < 5; i++) {
        frames_put(&inner, 0, PACKET_MESSAGE, STR("x"));
    }
    buf_put(&f->in, buf_str(&inner));
    frames_put_frame(&f->in, PACKET_ZLIB, buf_str(&inner));
    for (unsigned after = 1; after <= 10; after++) {
        struct stopper s = {.after = after};
        struct packet_sink sink = f->sink;
        sink.on_message = count_message;
        sink.ctx = &s;
        packet_message(f->stream, buf_str(&f->in), &sink, &s.stop);
        assert_int_equal(s.n, after);
        s = (struct stopper){.after = after};
        assert_int_equal(packet_feed(f->stream, buf_str(&f->in), &sink, &s.stop, NULL), ERR_OK);
        assert_int_equal(s.n, after);
    }
    buf_deinit(&inner);
}

static void test_shared_inflater(void **state)
{
    struct fixture *f = *state;
    struct inflate *shared = inflate_new();
    struct packet_stream *a = packet_stream_new(NULL);
    struct packet_stream *b = packet_stream_new(NULL);
    packet_stream_share(a, shared);
    packet_stream_share(b, shared);
    put_capture(&f->in);
    const struct str all = buf_str(&f->in);
    const size_t cut = all.len / 2;
    assert_int_equal(packet_feed(a, str_sub(all, 0, cut), &f->sink, NULL, NULL), ERR_OK);
    buf_clear(&f->log);
    assert_int_equal(packet_feed(b, all, &f->sink, NULL, NULL), ERR_OK);
    check_log(f, capture_log);
    assert_int_equal(packet_feed(a, str_sub(all, cut, all.len), &f->sink, NULL, NULL), ERR_OK);
    buf_put_c(&f->log, '\0');
    const size_t tail = strlen(f->log.data);
    assert_string_equal(f->log.data, capture_log + strlen(capture_log) - tail);
    packet_stream_free(a);
    packet_stream_free(b);
    inflate_free(shared);
}

static void test_out_of_memory(void **state)
{
    struct fixture *f = *state;
    put_capture(&f->in);
    const struct str all = buf_str(&f->in);
    struct buf log;
    buf_init(&log, BIG);
    assert_non_null(buf_reserve(&log, 1 << 16)); /* so that only the stream allocates */
    const struct packet_sink sink = frames_recorder(&log);
    bool saw_fault = false, saw_nomem = false;
    for (int64_t n = 0; n < 40; n++) {
        struct packet_stream *p = packet_stream_new(NULL);
        enum err_code err = ERR_OK;
        buf_clear(&log);
        mem_fault_set(n, 1);
        for (size_t at = 0; at < all.len && err == ERR_OK; at += 11) {
            const size_t end = at + 11 < all.len ? at + 11 : all.len;
            err = packet_feed(p, str_sub(all, at, end), &sink, NULL, NULL);
        }
        mem_fault_set(-1, 0);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        saw_nomem |= err == ERR_NOMEM;
        buf_put_c(&log, '\0');
        saw_fault |= strstr(log.data, "fault memory\n") != NULL;
        packet_stream_free(p);
    }
    assert_true(saw_nomem);
    assert_true(saw_fault);
    buf_deinit(&log);
}

static void test_put(void **state)
{
    struct fixture *f = *state;
    static const char heartbeat[] =
        "\x00\x00\x00\x10\x00\x10\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01";
    packet_put(&f->in, PACKET_HEARTBEAT, STR(""));
    assert_int_equal(f->in.len, 16);
    assert_memory_equal(f->in.data, heartbeat, 16);
    buf_clear(&f->in);
    packet_put(&f->in, PACKET_AUTH_REPLY, STR("{\"code\":0}"));
    assert_memory_equal(f->in.data,
                        "\x00\x00\x00\x1a\x00\x10\x00\x01\x00\x00\x00\x08\x00\x00\x00\x01"
                        "{\"code\":0}",
                        26);
    feed(f);
    check_log(f, "auth {\"code\":0}\n");
    struct buf small;
    buf_init(&small, 20);
    packet_put(&small, PACKET_AUTH, STR("too long"));
    assert_false(buf_ok(&small));
    buf_deinit(&small);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_capture),
        CASE(test_every_cut),
        CASE(test_random_cuts),
        CASE(test_long_packet_in_pieces),
        CASE(test_lies_lose_a_byte_stream),
        CASE(test_lies_drop_the_rest_of_a_message),
        CASE(test_lies_inside_a_frame),
        CASE(test_nesting),
        CASE(test_bombs),
        CASE(test_too_many_packets),
        CASE(test_heartbeat_echo),
        CASE(test_stop),
        CASE(test_shared_inflater),
        CASE(test_out_of_memory),
        CASE(test_put),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
