#include "collector/writer/batch.h"

#include "server/core/id.h"
#include "server/db/db_session.h"

static void put_i64(struct buf *out, int64_t v, int64_t as_null)
{
    if (v == as_null) {
        buf_put(out, STR("\\N\t"));
    } else {
        buf_put_i64(out, v);
        buf_put_c(out, '\t');
    }
}

static void put_text(struct buf *out, struct str s, char end)
{
    if (s.len == 0) {
        buf_put(out, STR("\\N"));
    } else {
        db_copy_text(out, s);
    }
    buf_put_c(out, end);
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

void batch_put(struct buf *out, const struct event *e)
{
    put_i64(out, e->room_id, INT64_MIN);
    put_i64(out, e->id, INT64_MIN);
    put_i64(out, e->nkey, INT64_MIN);
    put_i64(out, e->actor, INT64_MIN);
    put_i64(out, e->value_mcny, 0);
    put_i64(out, e->item_id, 0);
    put_i64(out, e->medal_uid, 0);
    put_i64(out, sent_off_ms(e), INT64_MIN);
    put_i64(out, e->color, EVENT_COLOR_DEFAULT);
    put_i64(out, e->num, 0);
    put_i64(out, e->kind, INT64_MIN);
    put_i64(out, e->flags, INT64_MIN);
    put_i64(out, e->guard, 0);
    put_i64(out, e->medal_lv, 0);
    put_i64(out, e->mode, EVENT_MODE_DEFAULT);
    put_i64(out, e->wealth, 0);
    put_text(out, e->uname, '\t');
    put_text(out, e->text, '\t');
    put_text(out, e->medal, '\t');
    put_text(out, e->extra, '\n');
}
