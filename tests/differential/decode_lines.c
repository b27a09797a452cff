/* Reads messages from the standard input, one a line, and writes what they decode to, one line each:
 *
 *      {"status":"ok","cmd":"SEND_GIFT","events":[{"nkey":"223cd3196852d3d7","event":{..}}]}
 *
 * Every message gets the same id, so that a message decodes to the same line wherever it stands. */
#include <stdio.h>
#include <stdlib.h>

#include "server/core/id.h"
#include "server/core/json_write.h"
#include "tests/support/drafts.h"

static const char *const status_names[] = {
    [DECODE_OK] = "ok", [DECODE_UNKNOWN] = "unknown", [DECODE_BROKEN] = "broken"};

static void put_event(struct json_out *w, const struct event_draft *e, int64_t id)
{
    char nkey[17];
    struct buf text;
    buf_init(&text, DRAFTS_FILE_MAX);
    drafts_put_json(&text, e, id);
    (void)snprintf(nkey, sizeof(nkey), "%016llx", (unsigned long long)e->nkey);
    jw_object(w);
    jw_kstr(w, "nkey", str_of(nkey));
    jw_key(w, STR("event"));
    jw_raw(w, buf_str(&text));
    jw_object_end(w);
    buf_deinit(&text);
}

static void put_line(struct buf *out, struct decoder *d, struct str message)
{
    struct decode_result r;
    struct json_out w;
    const int64_t id = id_first_of_ms(DRAFTS_RECEIVED_MS);
    decode_message(d, DRAFTS_ROOM, message, &r);
    jw_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "status", str_of(status_names[r.status]));
    jw_kstr(&w, "cmd", r.cmd);
    if (r.reason) {
        jw_kstr(&w, "reason", str_of(r.reason));
    }
    jw_key(&w, STR("events"));
    jw_array(&w);
    for (size_t i = 0; i < r.n; i++) {
        put_event(&w, &r.drafts[i], id + (int64_t)i);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    buf_put_c(out, '\n');
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    struct buf out;
    struct decoder *d = decoder_new();
    buf_init(&out, DRAFTS_FILE_MAX);
    bool ok = true;
    while (ok && (n = getline(&line, &room, stdin)) > 0) {
        const size_t len = (size_t)n - (line[n - 1] == '\n');
        buf_clear(&out);
        put_line(&out, d, (struct str){line, len});
        ok = buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len;
    }
    buf_deinit(&out);
    decoder_free(d);
    free(line);
    return ok && fflush(stdout) == 0 ? 0 : 1;
}
