#include "collector/writer/batch.h"

#include <string.h>

#include "server/core/id.h"
#include "server/db/db_session.h"

/* Numbers with their tabs; of a text at most its NULL and what ends it, beside its bytes. */
enum { NUMBERS = 16, TEXTS = 4, FIXED_MAX = NUMBERS * (BUF_I64_MAX + 1) + TEXTS * 3 };

static inline char *put_i64(char *at, int64_t v, int64_t as_null)
{
    if (v == as_null) {
        memcpy(at, "\\N\t", 3);
        return at + 3;
    }
    at = buf_i64_at(at, v);
    *at = '\t';
    return at + 1;
}

static inline char *put_text(char *at, struct str s, char end)
{
    if (s.len == 0) {
        memcpy(at, "\\N", 2);
        at += 2;
    } else {
        at = db_copy_text_at(at, s);
    }
    *at = end;
    return at + 1;
}

/* Distance of upstream's time from ours; a senseless one is stored as unknown. */
static int64_t sent_off_ms(const struct event *e)
{
    int64_t ts = id_ts_ms(e->id);
    if (e->sent_ms == 0 || e->sent_ms > ts + INT32_MAX || e->sent_ms < ts + INT32_MIN + 1) {
        return INT64_MIN;
    }
    return e->sent_ms - ts;
}

/* Room is made once for the whole line. */
void batch_put(struct buf *out, const struct event *e)
{
    const size_t texts = e->uname.len + e->text.len + e->medal.len + e->extra.len;
    char *const line = buf_reserve(out, FIXED_MAX + 2 * texts);
    char *at = line;
    if (at == NULL) {
        return;
    }
    at = put_i64(at, e->room_id, INT64_MIN);
    at = put_i64(at, e->id, INT64_MIN);
    at = put_i64(at, e->nkey, INT64_MIN);
    at = put_i64(at, e->actor, INT64_MIN);
    at = put_i64(at, e->value_mcny, 0);
    at = put_i64(at, e->item_id, 0);
    at = put_i64(at, e->medal_uid, 0);
    at = put_i64(at, sent_off_ms(e), INT64_MIN);
    at = put_i64(at, e->color, EVENT_COLOR_DEFAULT);
    at = put_i64(at, e->num, 0);
    at = put_i64(at, e->kind, INT64_MIN);
    at = put_i64(at, e->flags, INT64_MIN);
    at = put_i64(at, e->guard, 0);
    at = put_i64(at, e->medal_lv, 0);
    at = put_i64(at, e->mode, EVENT_MODE_DEFAULT);
    at = put_i64(at, e->wealth, 0);
    at = put_text(at, e->uname, '\t');
    at = put_text(at, e->text, '\t');
    at = put_text(at, e->medal, '\t');
    at = put_text(at, e->extra, '\n');
    buf_commit(out, (size_t)(at - line));
}
