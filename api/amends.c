#include "api/amends.h"

#include "api/encode/event_json.h"
#include "api/query/sql.h"
#include "server/core/mem.h"
#include "server/event/amend.h"
#include "server/feed/feed.h"

struct entry {
    struct amend amend;
    struct event *event; /* owned reference */
};

struct amends {
    const struct feed *feed; /* borrowed */
    struct entry *ring;      /* owned: AMENDS_MAX places, [first, first + n) in use, oldest first */
    size_t first;
    size_t n;
    uint64_t next; /* sequence number up to which the feed was looked at */
};

/* What an amending event says of one event. */
struct found {
    const char *what;
    size_t what_len;
    int64_t by_id;
    struct str data;
};

struct amends *amends_new(const struct feed *feed)
{
    struct amends *a = mem_new(struct amends);
    a->feed = feed;
    a->ring = mem_new_array(struct entry, AMENDS_MAX);
    return a;
}

static void drop_oldest(struct amends *a)
{
    event_unref(&a->ring[a->first].event);
    a->first = (a->first + 1) % AMENDS_MAX;
    a->n--;
}

void amends_free(struct amends *a)
{
    if (a != NULL) {
        while (a->n > 0) {
            drop_oldest(a);
        }
        mem_free(a->ring);
        mem_free(a);
    }
}

void amends_sync(struct amends *a)
{
    int64_t tail_id = feed_tail_id(a->feed);
    while (a->n > 0 && a->ring[a->first].event->id < tail_id) {
        drop_oldest(a);
    }
    if (a->next < feed_tail(a->feed)) {
        a->next = feed_tail(a->feed);
    }
    for (; a->next < feed_head(a->feed); a->next++) {
        const struct event *e = feed_at(a->feed, a->next);
        struct amend one;
        if (event_kind_is_paid((enum event_kind)e->kind) || e->kind == EVENT_DANMAKU ||
            !amend_of(e, &one)) {
            continue;
        }
        if (a->n == AMENDS_MAX) {
            drop_oldest(a);
        }
        a->ring[(a->first + a->n++) % AMENDS_MAX] = (struct entry){one, event_ref(e)};
    }
}

bool amends_can_hit(const struct event *e)
{
    return e->kind == EVENT_DANMAKU || e->kind == EVENT_SUPERCHAT;
}

static size_t of_rows(const struct event *e, const struct db_rows *rows, struct found *out)
{
    size_t n = 0;
    for (size_t i = 0; rows != NULL && i < db_rows_n(rows) && n < AMENDS_PER_EVENT; i++) {
        if (db_i64(rows, i, AMEND_COL_TARGET_ID) == e->id) {
            struct str what = db_text(rows, i, AMEND_COL_WHAT);
            out[n++] = (struct found){
                what.ptr, what.len, db_i64(rows, i, AMEND_COL_BY_ID),
                db_null(rows, i, AMEND_COL_DATA) ? STR_NULL : db_text(rows, i, AMEND_COL_DATA)};
        }
    }
    return n;
}

static bool has(const struct found *all, size_t n, int64_t by_id)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].by_id == by_id) {
            return true;
        }
    }
    return false;
}

/* Oldest first: those of the database are older, or the same. */
static size_t find(const struct amends *a, const struct event *e, const struct db_rows *rows,
                   struct found out[static AMENDS_PER_EVENT])
{
    if (!amends_can_hit(e)) {
        return 0;
    }
    size_t n = of_rows(e, rows, out);
    for (size_t i = 0; i < a->n && n < AMENDS_PER_EVENT; i++) {
        const struct entry *x = &a->ring[(a->first + i) % AMENDS_MAX];
        if (amend_hits(&x->amend, e) && !has(out, n, x->amend.by_id)) {
            out[n++] = (struct found){x->amend.what, strlen(x->amend.what), x->amend.by_id,
                                      x->amend.has_data ? x->event->extra : STR_NULL};
        }
    }
    return n;
}

bool amends_any(const struct amends *a, const struct event *e, const struct db_rows *rows)
{
    struct found all[AMENDS_PER_EVENT];
    return find(a, e, rows, all) > 0;
}

struct shown {
    const struct found *all;
    size_t n;
};

static void put_list(void *ctx, struct json_out *w)
{
    const struct shown *list = ctx;
    jw_key(w, STR("amended"));
    jw_array(w);
    for (size_t i = 0; i < list->n; i++) {
        const struct found *f = &list->all[i];
        jw_object(w);
        jw_kstr(w, "what", (struct str){f->what, f->what_len});
        jw_key(w, STR("by_id"));
        jw_i64_str(w, f->by_id);
        if (f->data.len > 0) {
            jw_key(w, STR("data"));
            jw_raw(w, f->data);
        }
        jw_object_end(w);
    }
    jw_array_end(w);
}

void amends_put_event(const struct amends *a, struct json_out *w, const struct event *e,
                      const struct db_rows *rows)
{
    struct found all[AMENDS_PER_EVENT];
    struct shown list = {all, find(a, e, rows, all)};
    event_json_with(w, e, list.n > 0 ? put_list : NULL, &list);
}
