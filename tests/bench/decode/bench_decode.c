/* tests/bench/decode/bench_decode.c - messages per second and core: wire bytes to drafts, beside decompression alone.
 *
 *   bench_decode FILE MESSAGES      prints "<alone>\t<command only>\t<decoded>": messages/s
 *
 * The three are measured in turn within each round, so that a slow stretch of the machine hits all of them; the best
 * round of each counts. FILE holds packets one after another, each is given to packet_message by itself. */
#include <stdio.h>
#include <stdlib.h>

#include <brotli/decode.h>
#include <libdeflate.h>

#include "collector/wire/decode.h"
#include "collector/wire/packet.h"
#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/bytes.h"
#include "server/core/clock.h"

enum { FILE_MAX = 64 << 20, OUT_MAX = 1 << 20, ROUNDS = 60, ROOM = 1000 };

struct bench {
    struct str file;
    struct packet_stream *stream;
    struct decoder *decoder;
    struct libdeflate_decompressor *deflate;
    struct buf out;
    bool only_cmd;
    uint64_t messages;
    uint64_t events;
    uint64_t check; /* so that nothing is optimised away */
};

static void on_message(void *ctx, struct str json)
{
    struct bench *b = ctx;
    b->messages++;
    if (b->only_cmd) {
        b->check += json.len;
        return;
    }
    struct decode_result r;
    decode_message(b->decoder, ROOM, json, &r);
    b->events += r.n;
    b->check += r.n > 0 ? (uint64_t)r.drafts[0].nkey : 0;
}

static void on_other(void *ctx, struct str body)
{
    (void)ctx;
    (void)body;
}

static void on_reply(void *ctx, int64_t popularity)
{
    (void)ctx;
    (void)popularity;
}

static void on_fault(void *ctx, enum packet_fault which)
{
    (void)ctx;
    (void)which;
    UNREACHABLE();
}

/* What cannot be avoided: the library's one-shot call into a buffer that is large enough. */
static void decompress(struct bench *b, uint16_t ver, struct str body)
{
    size_t n = OUT_MAX;
    if (ver == PACKET_BROTLI) {
        const BrotliDecoderResult r = BrotliDecoderDecompress(body.len, (const uint8_t *)body.ptr,
                                                              &n, (uint8_t *)b->out.data);
        ASSERT(r == BROTLI_DECODER_RESULT_SUCCESS);
    } else if (ver == PACKET_ZLIB) {
        const enum libdeflate_result r =
            libdeflate_zlib_decompress(b->deflate, body.ptr, body.len, b->out.data, OUT_MAX, &n);
        ASSERT(r == LIBDEFLATE_SUCCESS);
    }
    b->check += n;
}

static void run_alone(struct bench *b)
{
    for (struct str rest = b->file; rest.len > 0;) {
        const uint32_t len = get_be32(rest.ptr);
        decompress(b, get_be16(rest.ptr + 6), str_sub(rest, PACKET_HEADER_BYTES, len));
        rest = str_sub(rest, len, rest.len);
    }
}

static void run_whole(struct bench *b)
{
    const struct packet_sink sink = {.on_message = on_message,
                                     .on_heartbeat_reply = on_reply,
                                     .on_auth_reply = on_other,
                                     .on_fault = on_fault,
                                     .ctx = b};
    for (struct str rest = b->file; rest.len > 0;) {
        const uint32_t len = get_be32(rest.ptr);
        packet_message(b->stream, str_sub(rest, 0, len), &sink, NULL);
        rest = str_sub(rest, len, rest.len);
    }
}

static double rate(uint64_t messages, uint64_t start_ns)
{
    return (double)messages * 1e9 / (double)(clock_mono_ns() - start_ns);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void measure(struct bench *b, uint64_t messages)
{
    double alone = 0, split = 0, decoded = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = clock_mono_ns();
        run_alone(b);
        alone = larger(alone, rate(messages, start));
        b->only_cmd = true;
        start = clock_mono_ns();
        run_whole(b);
        split = larger(split, rate(messages, start));
        b->only_cmd = false;
        start = clock_mono_ns();
        run_whole(b);
        decoded = larger(decoded, rate(messages, start));
    }
    ASSERT(b->messages == messages * 2 * ROUNDS && b->events == messages * ROUNDS);
    printf("%.0f\t%.0f\t%.0f\n", alone, split, decoded);
    fprintf(stderr, "check %llx\n", (unsigned long long)b->check);
}

int main(int argc, char **argv)
{
    struct bench b = {.stream = packet_stream_new(NULL),
                      .decoder = decoder_new(),
                      .deflate = libdeflate_alloc_decompressor()};
    struct buf file;
    buf_init(&file, FILE_MAX);
    buf_init(&b.out, OUT_MAX);
    char *at = buf_reserve(&file, FILE_MAX);
    FILE *f = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!f || !at || !b.deflate || !buf_reserve(&b.out, OUT_MAX)) {
        fprintf(stderr, "usage: bench_decode FILE MESSAGES\n");
        return 2;
    }
    buf_commit(&file, fread(at, 1, FILE_MAX, f));
    (void)fclose(f);
    b.file = buf_str(&file);
    measure(&b, strtoull(argv[2], NULL, 10));
    libdeflate_free_decompressor(b.deflate);
    decoder_free(b.decoder);
    packet_stream_free(b.stream);
    buf_deinit(&b.out);
    buf_deinit(&file);
    return 0;
}
