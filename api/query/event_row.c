#include "api/query/event_row.h"

#include "server/core/id.h"

static int64_t or_default(const struct db_rows *rows, size_t row, unsigned col, int64_t value)
{
    return db_null(rows, row, col) ? value : db_i64(rows, row, col);
}

/* The types of the columns are those of the fields, so nothing is cut here. */
int64_t event_draft_from_row(const struct db_rows *rows, size_t row, struct event_draft *ret)
{
    int64_t id = db_i64(rows, row, EVENT_COL_id);
    *ret = (struct event_draft){
        .room_id = db_i64(rows, row, EVENT_COL_room_id),
        .nkey = db_i64(rows, row, EVENT_COL_nkey),
        .actor = db_i64(rows, row, EVENT_COL_actor),
        .value_mcny = or_default(rows, row, EVENT_COL_value_mcny, 0),
        .item_id = or_default(rows, row, EVENT_COL_item_id, 0),
        .medal_uid = or_default(rows, row, EVENT_COL_medal_uid, 0),
        .color = (int32_t)or_default(rows, row, EVENT_COL_color, EVENT_COLOR_DEFAULT),
        .num = (int32_t)or_default(rows, row, EVENT_COL_num, 0),
        .kind = (int16_t)db_i64(rows, row, EVENT_COL_kind),
        .flags = (int16_t)db_i64(rows, row, EVENT_COL_flags),
        .guard = (int16_t)or_default(rows, row, EVENT_COL_guard, 0),
        .medal_lv = (int16_t)or_default(rows, row, EVENT_COL_medal_lv, 0),
        .mode = (int16_t)or_default(rows, row, EVENT_COL_mode, EVENT_MODE_DEFAULT),
        .wealth = (int16_t)or_default(rows, row, EVENT_COL_wealth, 0),
        .uname = db_text(rows, row, EVENT_COL_uname),
        .text = db_text(rows, row, EVENT_COL_text),
        .medal = db_text(rows, row, EVENT_COL_medal),
        .extra = db_text(rows, row, EVENT_COL_extra),
    };
    if (ret->extra.len > EVENT_EXTRA_MAX) {
        ret->extra = STR_NULL; /* nothing of ours: half an object would be none */
    }
    if (!db_null(rows, row, EVENT_COL_sent_off_ms)) {
        ret->sent_ms = id_ts_ms(id) + db_i64(rows, row, EVENT_COL_sent_off_ms);
    }
    return id;
}

struct event *event_from_row(const struct db_rows *rows, size_t row)
{
    struct event_draft d;
    int64_t id = event_draft_from_row(rows, row, &d);
    return event_new(id, &d);
}
