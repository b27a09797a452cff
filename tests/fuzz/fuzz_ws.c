/* Bytes of a websocket server, read whole and in pieces: the same calls, within the limits. And heads of any text. */
#include "collector/net/ws_reader.h"

#include "collector/net/ws_head.h"
#include "server/core/buf.h"
#include "tests/fuzz/fuzz.h"

enum { LOG_MAX = 1 << 22 };

struct recorder {
    struct buf log;
    size_t message_max;
};

static void put_line(struct recorder *r, char what, uint64_t number, struct str body)
{
    buf_put_c(&r->log, what);
    buf_put_u64(&r->log, number);
    buf_put_c(&r->log, ' ');
    buf_put_u64(&r->log, body.len);
    buf_put_c(&r->log, ' ');
    buf_put(&r->log, body);
}

static void on_message(void *ctx, struct str message)
{
    struct recorder *r = ctx;
    ASSERT(message.len <= r->message_max);
    put_line(r, 'm', 0, message);
}

static void on_text(void *ctx)
{
    put_line(ctx, 't', 0, STR_NULL);
}

static void on_ping(void *ctx, struct str payload)
{
    ASSERT(payload.len <= WS_CONTROL_MAX);
    put_line(ctx, 'p', 0, payload);
}

static void on_close(void *ctx, uint16_t code, struct str reason)
{
    ASSERT(reason.len <= WS_CONTROL_MAX - 2);
    put_line(ctx, 'c', code, reason);
}

static enum err_code feed(struct recorder *r, struct fuzz_input *in, bool in_pieces)
{
    const struct ws_sink sink = {on_message, on_text, on_ping, on_close, r};
    struct ws_reader *reader = ws_reader_new();
    enum err_code rc = ERR_OK;
    for (size_t at = 0; at < in->subject.len && rc == ERR_OK;) {
        size_t n = in_pieces ? 1 + fuzz_choose(in, 64) : in->subject.len;
        n = n < in->subject.len - at ? n : in->subject.len - at;
        rc = ws_reader_feed(reader, r->message_max, str_sub(in->subject, at, at + n), &sink, NULL,
                            NULL);
        at += n;
        /* What is clean is as good as new: another one goes on where it stopped. */
        if (rc == ERR_OK && ws_reader_is_clean(reader)) {
            ws_reader_free(reader);
            reader = ws_reader_new();
        }
    }
    ASSERT(rc == ERR_OK || !ws_reader_is_clean(reader));
    ws_reader_free(reader);
    return rc;
}

static void check_head(struct str head)
{
    struct err err = {0};
    const size_t len = ws_head_len(head, 0);
    ASSERT(len <= head.len);
    if (len > 0) { /* found wherever the look before it ended */
        ASSERT(ws_head_len(str_sub(head, 0, len - 1), 0) == 0);
        ASSERT(ws_head_len(head, len - 1) == len);
    }
    const struct str whole = len > 0 ? str_sub(head, 0, len) : head;
    if (whole.len > 0 && ws_answer_check(whole, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &err) != ERR_OK) {
        ASSERT(err.code == ERR_PROTO && err.msg[0] != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    const size_t message_max = 1 + fuzz_choose(&in, 255) * 40;
    struct recorder whole = {.message_max = message_max};
    struct recorder pieces = {.message_max = message_max};
    buf_init(&whole.log, LOG_MAX);
    buf_init(&pieces.log, LOG_MAX);
    const enum err_code a = feed(&whole, &in, false);
    const enum err_code b = feed(&pieces, &in, true);
    ASSERT(a == b && (a == ERR_OK || a == ERR_PROTO || a == ERR_TOO_BIG));
    ASSERT(str_eq(buf_str(&whole.log), buf_str(&pieces.log)));
    buf_deinit(&whole.log);
    buf_deinit(&pieces.log);
    check_head(in.subject);
    return 0;
}
