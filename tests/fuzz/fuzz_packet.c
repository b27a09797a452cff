/* Frames of any bytes, read whole and in pieces: the same calls, within the limits. */
#include "collector/wire/packet.h"

#include "server/core/buf.h"
#include "tests/fuzz/fuzz.h"

enum { LOG_MAX = 1 << 22 };

struct recorder {
    struct buf log;
    uint64_t n_messages;
    size_t message_bytes;
};

static void put_line(struct recorder *r, char what, struct str body)
{
    buf_put_c(&r->log, what);
    buf_put_u64(&r->log, body.len);
    buf_put_c(&r->log, ' ');
    buf_put(&r->log, body);
}

static void on_message(void *ctx, struct str json)
{
    struct recorder *r = ctx;
    ASSERT(json.len > 0);
    r->n_messages++;
    r->message_bytes += json.len;
    put_line(r, 'm', json);
}

static void on_heartbeat_reply(void *ctx, int64_t popularity)
{
    struct recorder *r = ctx;
    ASSERT(popularity >= -1 && popularity <= UINT32_MAX);
    buf_put_c(&r->log, 'h');
    buf_put_i64(&r->log, popularity);
}

static void on_auth_reply(void *ctx, struct str body)
{
    put_line(ctx, 'a', body);
}

static void on_fault(void *ctx, enum packet_fault which)
{
    struct recorder *r = ctx;
    ASSERT(which < PACKET_FAULTS);
    buf_put_c(&r->log, 'f');
    buf_put_u64(&r->log, which);
}

static struct packet_sink sink_of(struct recorder *r)
{
    buf_init(&r->log, LOG_MAX);
    return (struct packet_sink){.on_message = on_message,
                                .on_heartbeat_reply = on_heartbeat_reply,
                                .on_auth_reply = on_auth_reply,
                                .on_fault = on_fault,
                                .ctx = r};
}

static enum err_code feed_in_pieces(struct packet_stream *p, struct fuzz_input *in,
                                    const struct packet_sink *sink)
{
    enum err_code err = ERR_OK;
    for (size_t at = 0; at < in->subject.len && err == ERR_OK;) {
        size_t n = 1 + fuzz_choose(in, 64);
        n = n < in->subject.len - at ? n : in->subject.len - at;
        err = packet_feed(p, str_sub(in->subject, at, at + n), sink, NULL, NULL);
        at += n;
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    const struct packet_limits limits = {.packet_bytes = 64 + fuzz_choose(&in, 255) * 64,
                                         .inflated_bytes = fuzz_choose(&in, 255) * 256,
                                         .packets = fuzz_choose(&in, 64),
                                         .depth = fuzz_choose(&in, 6)};
    struct recorder whole = {0}, pieces = {0}, message = {0};
    const struct packet_sink whole_sink = sink_of(&whole);
    const struct packet_sink pieces_sink = sink_of(&pieces);
    const struct packet_sink message_sink = sink_of(&message);
    struct packet_stream *p = packet_stream_new(&limits);
    const enum err_code a = packet_feed(p, in.subject, &whole_sink, NULL, NULL);
    packet_stream_reset(p);
    const enum err_code b = feed_in_pieces(p, &in, &pieces_sink);
    ASSERT(a == b && (a == ERR_OK || a == ERR_PROTO));
    ASSERT(str_eq(buf_str(&whole.log), buf_str(&pieces.log)));
    packet_message(p, in.subject, &message_sink, NULL);
    packet_stream_free(p);
    buf_deinit(&whole.log);
    buf_deinit(&pieces.log);
    buf_deinit(&message.log);
    return 0;
}
