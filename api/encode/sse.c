#include "api/encode/sse.h"

void sse_retry(struct buf *out, int64_t ms)
{
    buf_put(out, STR("retry: "));
    buf_put_i64(out, ms);
    buf_put(out, STR("\n\n"));
}

void sse_comment(struct buf *out, const char *text)
{
    buf_put(out, STR(": "));
    buf_put(out, str_of(text));
    buf_put(out, STR("\n\n"));
}

void sse_begin(struct buf *out, int64_t id, const char *name)
{
    if (id != SSE_NO_ID) {
        buf_put(out, STR("id: "));
        buf_put_i64(out, id);
        buf_put_c(out, '\n');
    }
    buf_put(out, STR("event: "));
    buf_put(out, str_of(name));
    buf_put(out, STR("\ndata: "));
}

void sse_end(struct buf *out)
{
    buf_put(out, STR("\n\n"));
}
