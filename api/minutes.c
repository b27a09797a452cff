#include "api/minutes.h"

#include "server/core/assert.h"
#include "server/core/hash.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { SEEN_FIRST = 1024, N_COUNTS = MINUTE_COL_CHATTERS - MINUTE_COL_DANMAKU + 1 };

static const char *const column_names[MINUTE_VALUES] = {
    "danmaku",
    "mirror",
    "gift",
    "guard",
    "superchat",
    "redpacket",
    "other",
    "chatters",
    "gift_value_mcny",
    "guard_value_mcny",
    "superchat_value_mcny",
    "redpacket_value_mcny",
};

static int64_t *value(struct minute *m, unsigned col)
{
    return &m->v[col - MINUTE_COL_DANMAKU];
}

bool minutes_init(struct minutes *m, int64_t from, int64_t to)
{
    ASSERT(from <= to && to - from <= MINUTES_MAX);
    size_t bytes = (size_t)(to - from + 1) * sizeof(struct minute);
    *m = (struct minutes){.from = from, .to = to, .all = mem_alloc(bytes)};
    if (m->all == NULL) {
        return false;
    }
    memset(m->all, 0, bytes);
    return true;
}

void minutes_deinit(struct minutes *m)
{
    mem_free(m->all);
    mem_free(m->seen);
    *m = (struct minutes){0};
}

static struct minute *at(struct minutes *m, int64_t minute)
{
    return minute >= m->from && minute < m->to ? &m->all[minute - m->from] : NULL;
}

static void add_row(struct minutes *m, const struct db_rows *rows, size_t row)
{
    struct minute *one = at(m, db_i64(rows, row, MINUTE_COL_MINUTE));
    for (unsigned col = MINUTE_COL_DANMAKU; one != NULL && col < MINUTE_COLS; col++) {
        *value(one, col) += db_i64(rows, row, col);
    }
}

void minutes_add_counted(struct minutes *m, const struct db_rows *rows)
{
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        add_row(m, rows, i);
    }
}

int64_t minutes_add_final(struct minutes *m, const struct db_rows *rows)
{
    int64_t mark = 0;
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        if (db_null(rows, i, MINUTE_COL_MINUTE)) {
            mark = db_i64(rows, i, MINUTE_COL_DANMAKU);
        }
    }
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        if (!db_null(rows, i, MINUTE_COL_MINUTE) && db_i64(rows, i, MINUTE_COL_MINUTE) < mark) {
            add_row(m, rows, i);
        }
    }
    return mark;
}

/* ---- distinct senders ---- */

static void seen_put(uint64_t *table, size_t cap, uint64_t key)
{
    size_t i = key & (cap - 1);
    while (table[i] != 0) {
        i = (i + 1) & (cap - 1);
    }
    table[i] = key;
}

static bool seen_grow(struct minutes *m)
{
    size_t cap = m->seen_cap == 0 ? SEEN_FIRST : m->seen_cap * 2;
    if (cap > MINUTES_CHATTERS_MAX * 2) {
        return false;
    }
    uint64_t *table = mem_alloc(cap * sizeof(*table));
    if (table == NULL) {
        return false;
    }
    memset(table, 0, cap * sizeof(*table));
    for (size_t i = 0; i < m->seen_cap; i++) {
        if (m->seen[i] != 0) {
            seen_put(table, cap, m->seen[i]);
        }
    }
    mem_free(m->seen);
    m->seen = table;
    m->seen_cap = cap;
    return true;
}

/* True if the key was not there yet. */
static bool seen_add(struct minutes *m, uint64_t key)
{
    if (m->seen_n * 2 >= m->seen_cap && !seen_grow(m)) {
        m->overflow = true;
        return false;
    }
    for (size_t i = key & (m->seen_cap - 1); m->seen[i] != 0; i = (i + 1) & (m->seen_cap - 1)) {
        if (m->seen[i] == key) {
            return false;
        }
    }
    seen_put(m->seen, m->seen_cap, key);
    m->seen_n++;
    return true;
}

static uint64_t sender_key(int64_t minute, const struct event *e)
{
    struct hash64 h;
    hash64_init(&h, 0x63686174); /* "chat" */
    hash64_i64(&h, minute);
    hash64_i64(&h, e->room_id);
    hash64_i64(&h, e->actor);
    return (uint64_t)hash64_done(&h); /* never 0 */
}

static void count(struct minute *one, unsigned col, unsigned value_col, const struct event *e)
{
    *value(one, col) += 1;
    if (value_col != 0) {
        *value(one, value_col) += e->value_mcny;
    }
}

void minutes_add_event(struct minutes *m, const struct event *e)
{
    int64_t minute = id_ts_ms(e->id) / MINUTE_MS;
    struct minute *one = at(m, minute);
    if (one == NULL) {
        return;
    }
    switch (e->kind) { /* not by the enum: the columns are few and the kinds will grow */
    case EVENT_DANMAKU:
        count(one, MINUTE_COL_DANMAKU, 0, e);
        *value(one, MINUTE_COL_CHATTERS) += seen_add(m, sender_key(minute, e));
        return;
    case EVENT_MIRROR:
        count(one, MINUTE_COL_MIRROR, 0, e);
        return;
    case EVENT_GIFT:
        count(one, MINUTE_COL_GIFT, MINUTE_COL_V_GIFT, e);
        return;
    case EVENT_GUARD:
        count(one, MINUTE_COL_GUARD, MINUTE_COL_V_GUARD, e);
        return;
    case EVENT_SUPERCHAT:
        count(one, MINUTE_COL_SUPERCHAT, MINUTE_COL_V_SUPERCHAT, e);
        return;
    case EVENT_REDPACKET:
        count(one, MINUTE_COL_REDPACKET, MINUTE_COL_V_REDPACKET, e);
        return;
    default:
        count(one, MINUTE_COL_OTHER, 0, e);
        return;
    }
}

/* ---- out ---- */

static void write_row(const struct minute *one, int64_t minute, size_t n, struct json_out *w)
{
    jw_array(w);
    jw_i64(w, minute * MINUTE_MS);
    for (size_t i = 0; i < n; i++) {
        if (i == MINUTE_COL_CHATTERS - MINUTE_COL_DANMAKU && one->chatters_unknown) {
            jw_null(w);
        } else {
            jw_i64(w, one->v[i]);
        }
    }
    jw_array_end(w);
}

void minutes_write(const struct minutes *m, bool with_value, struct json_out *w)
{
    size_t n = with_value ? MINUTE_VALUES : N_COUNTS;
    jw_ki64(w, "from_ms", m->from * MINUTE_MS);
    jw_ki64(w, "to_ms", m->to * MINUTE_MS);
    jw_ki64(w, "step_ms", MINUTE_MS);
    jw_key(w, STR("columns"));
    jw_array(w);
    jw_str(w, STR("ts_ms"));
    for (size_t i = 0; i < n; i++) {
        jw_str(w, str_of(column_names[i]));
    }
    jw_array_end(w);
    jw_key(w, STR("rows"));
    jw_array(w);
    for (int64_t i = m->from; i < m->to; i++) {
        write_row(&m->all[i - m->from], i, n, w);
    }
    jw_array_end(w);
}
