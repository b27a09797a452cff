#include "tests/support/drafts.h"

#include <stdio.h>

#include "api/encode/event_json.h"
#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"

void drafts_put_json(struct buf *out, const struct event_draft *e, int64_t id)
{
    struct json_out w;
    struct event *event = event_new(id, e);
    ASSERT(event);
    jw_init(&w, out);
    event_json(&w, event);
    event_unref(&event);
}

void drafts_put_message(struct buf *out, struct decoder *d, struct str message, int64_t id)
{
    struct decode_result r;
    decode_message(d, DRAFTS_ROOM, message, &r);
    if (r.status == DECODE_BROKEN) {
        buf_printf(out, "broken: %s\n", r.reason);
    } else if (r.n == 0) {
        buf_printf(out, "%s: " STR_FMT "\n", r.status == DECODE_OK ? "nothing" : "unknown",
                   STR_ARG(r.cmd));
    }
    for (size_t i = 0; i < r.n; i++) {
        buf_printf(out, "%016llx ", (unsigned long long)r.drafts[i].nkey);
        drafts_put_json(out, &r.drafts[i], id + (int64_t)i);
        buf_put_c(out, '\n');
    }
}

bool drafts_put_file(struct buf *out, struct decoder *d, struct str text)
{
    struct json j;
    struct str message;
    int64_t id = id_first_of_ms(DRAFTS_RECEIVED_MS);
    json_init(&j, text);
    if (!json_enter_array(&j)) {
        return false;
    }
    while (json_next_elem(&j)) {
        if (json_raw(&j, &message)) {
            drafts_put_message(out, d, message, id);
        }
        id += ID_EVENTS_PER_MESSAGE;
    }
    return json_at_end(&j);
}

bool drafts_read(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return false;
    }
    for (;;) {
        char *at = buf_reserve(out, 64 * 1024);
        const size_t n = at ? fread(at, 1, 64 * 1024, f) : 0;
        if (n == 0) {
            break;
        }
        buf_commit(out, n);
    }
    const bool ok = buf_ok(out) && ferror(f) == 0;
    return fclose(f) == 0 && ok;
}
