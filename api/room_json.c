#include "api/room_json.h"

#include <stdio.h>

#include "api/query/sql.h"
#include "server/core/err.h"
#include "server/core/utf8.h"

enum { BODY_LIMIT = 4 << 20 };

/* Where the fields of one room come from. */
struct source {
    struct json_out *w;
    const struct db_rows *rows; /* NULL: no row */
    size_t row;
    const struct api_room *room; /* NULL: not in the set */
};

static bool in_row(const struct source *s, unsigned col)
{
    return s->rows != NULL && !db_null(s->rows, s->row, col);
}

static void put_text(const struct source *s, const char *key, const char *own, unsigned col)
{
    jw_key(s->w, str_of(key));
    if (s->room != NULL && own != NULL) {
        jw_str(s->w, str_of(own));
    } else if (in_row(s, col)) {
        jw_str(s->w, db_text(s->rows, s->row, col));
    } else {
        jw_null(s->w);
    }
}

static void put_unless(struct json_out *w, const char *key, int64_t v, int64_t none)
{
    jw_key(w, str_of(key));
    if (v == none) {
        jw_null(w);
    } else {
        jw_i64(w, v);
    }
}

static void put_number(const struct source *s, const char *key, int64_t own, unsigned col)
{
    const int64_t v = s->room != NULL && own != 0 ? own
                      : in_row(s, col)            ? db_i64(s->rows, s->row, col)
                                                  : 0;
    put_unless(s->w, key, v, 0);
}

static void put_live(const struct source *s)
{
    const bool own = s->room != NULL && s->room->live >= 0;
    const int64_t since = own && s->room->live == 0 ? 0
                          : s->room != NULL         ? s->room->live_since_ms
                                                    : 0;
    jw_key(s->w, STR("live"));
    if (own) {
        jw_bool(s->w, s->room->live > 0);
        put_unless(s->w, "live_since_ms", since, 0);
    } else if (in_row(s, ROOM_COL_LIVE)) {
        jw_bool(s->w, db_bool(s->rows, s->row, ROOM_COL_LIVE));
        put_unless(s->w, "live_since_ms", db_i64(s->rows, s->row, ROOM_COL_LIVE_SINCE_MS), 0);
    } else {
        jw_null(s->w);
        put_unless(s->w, "live_since_ms", 0, 0);
    }
}

static void put_groups(const struct source *s)
{
    struct str rest = s->room != NULL              ? str_of(s->room->groups)
                      : in_row(s, ROOM_COL_GROUPS) ? db_text(s->rows, s->row, ROOM_COL_GROUPS)
                                                   : STR_NULL;
    struct str part;
    jw_key(s->w, STR("groups"));
    jw_array(s->w);
    while (str_split(&rest, ',', &part)) {
        jw_str(s->w, part);
    }
    jw_array_end(s->w);
}

static void put_connection(struct json_out *w, const struct api_room *room)
{
    jw_key(w, STR("collection"));
    if (room == NULL || room->state == NULL) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kstr(w, "state", str_of(room->state));
    jw_kstr(w, "last_close", str_of(room->last_close));
    jw_kstr(w, "transport", str_of(room->transport));
    jw_kstr(w, "host", room->host);
    put_unless(w, "connected_since_ms", room->connected_since_ms, 0);
    put_unless(w, "next_try_ms", room->next_try_ms, 0);
    put_unless(w, "last_event_ms", room->last_event_ms, 0);
    put_unless(w, "popularity", room->popularity, -1);
    jw_key(w, STR("connects"));
    jw_u64(w, room->n_connects);
    jw_key(w, STR("messages"));
    jw_u64(w, room->n_messages);
    jw_key(w, STR("events"));
    jw_u64(w, room->n_events);
    jw_key(w, STR("repeats"));
    jw_u64(w, room->n_repeats);
    jw_object_end(w);
}

/* LIMIT: a text and a detail of struct err. */
static void put_last_error(struct json_out *w, const struct api_room *room)
{
    char text[2 * ERR_MSG_BYTES];
    char clean[UTF8_CLEAN_MAX(sizeof(text))];
    bool changed;
    jw_key(w, STR("last_error"));
    if (room == NULL || room->last_error_ms == 0) {
        jw_null(w);
        return;
    }
    const bool more = room->last_error_detail[0] != '\0';
    (void)snprintf(text, sizeof(text), "%s%s%s", room->last_error_text, more ? ": " : "",
                   room->last_error_detail);
    jw_object(w);
    jw_kstr(w, "code", str_of(room->last_error_code));
    jw_kstr(w, "message", (struct str){clean, utf8_clean(str_of(text), clean, &changed)});
    jw_ki64(w, "at_ms", room->last_error_ms);
    jw_object_end(w);
}

/* The state of its coverage now. */
static void put_coverage(struct json_out *w, const struct api_room *room)
{
    jw_key(w, STR("coverage"));
    const struct span *s = room != NULL && room->coverage.cause.len > 0 ? &room->coverage : NULL;
    if (room == NULL || (s == NULL && !room->covered)) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kstr(w, "state", str_of(span_state_name(span_state_of(s))));
    jw_kstr(w, "cause", s != NULL ? s->cause : STR(""));
    put_unless(w, "since_ms", s != NULL ? s->from_ms : 0, 0);
    jw_object_end(w);
}

/* Of a room that is not in the set, its row says why. */
static void put_not_connected(const struct source *s)
{
    jw_key(s->w, STR("not_connected"));
    if (s->room == NULL) {
        jw_str(s->w,
               in_row(s, ROOM_COL_STATE) ? db_text(s->rows, s->row, ROOM_COL_STATE) : STR("left"));
    } else if (s->room->not_connected != NULL) {
        jw_str(s->w, str_of(s->room->not_connected));
    } else {
        jw_null(s->w);
    }
}

void room_json_put(struct json_out *w, int64_t room_id, const struct db_rows *rows, size_t row,
                   const struct api_room *room)
{
    static const struct api_room nothing;
    const struct source s = {.w = w, .rows = rows, .row = row, .room = room};
    const struct api_room *r = room != NULL ? room : &nothing;
    jw_object(w);
    jw_ki64(w, "room_id", room_id);
    put_number(&s, "short_id", r->short_id, ROOM_COL_SHORT_ID);
    put_number(&s, "anchor_uid", r->anchor_uid, ROOM_COL_ANCHOR_UID);
    put_text(&s, "uname", r->uname, ROOM_COL_UNAME);
    put_text(&s, "title", r->title, ROOM_COL_TITLE);
    put_number(&s, "area_id", r->area_id, ROOM_COL_AREA_ID);
    put_text(&s, "area", r->area, ROOM_COL_AREA);
    put_number(&s, "parent_area_id", r->parent_area_id, ROOM_COL_PARENT_AREA_ID);
    put_text(&s, "parent_area", r->parent_area, ROOM_COL_PARENT_AREA);
    put_live(&s);
    put_text(&s, "origin", r->origin, ROOM_COL_ORIGIN);
    put_text(&s, "state", r->status, ROOM_COL_STATE);
    jw_kbool(w, "pinned",
             room != NULL ? room->pinned
                          : in_row(&s, ROOM_COL_PINNED) && db_bool(rows, row, ROOM_COL_PINNED));
    put_groups(&s);
    put_unless(w, "rank", r->rank, 0);
    put_not_connected(&s);
    put_last_error(w, room);
    put_connection(w, room);
    put_coverage(w, room);
    jw_object_end(w);
}

void room_json_completeness(struct json_out *w, bool pending)
{
    jw_key(w, STR("completeness"));
    jw_object(w);
    jw_kbool(w, "pending", pending);
    jw_object_end(w);
}

static bool no_host(void *ctx ATTR_UNUSED, const struct api_upstream_host *host ATTR_UNUSED)
{
    return false;
}

void room_json_upstream(struct api *a, struct json_out *w)
{
    const struct api_ops *ops = &a->opts.ops;
    struct api_upstream u;
    char clean[UTF8_CLEAN_MAX(ERR_MSG_BYTES)];
    bool changed;
    jw_key(w, STR("upstream"));
    if (ops->upstream == NULL || !ops->upstream(ops->ctx, &u, no_host, NULL) || !u.asked) {
        jw_null(w);
        return;
    }
    const bool refused = !str_eq(str_of(u.breaker), STR("closed"));
    const bool failing = refused || u.last_error_ms > u.last_ok_ms;
    jw_object(w);
    jw_kstr(w, "state",
            refused             ? STR("refused")
            : failing           ? STR("failing")
            : u.last_ok_ms == 0 ? STR("unknown")
                                : STR("ok"));
    jw_key(w, STR("last_error"));
    if (failing && u.last_error_ms > 0) {
        jw_object(w);
        jw_kstr(w, "message", (struct str){clean, utf8_clean(u.last_error, clean, &changed)});
        jw_ki64(w, "at_ms", u.last_error_ms);
        jw_object_end(w);
    } else {
        jw_null(w);
    }
    jw_object_end(w);
}

void room_json_answer(struct api *a, int64_t room_id, const struct db_rows *rows, bool pending,
                      struct buf *out)
{
    struct api_room room;
    const bool known = a->opts.ops.room(a->opts.ops.ctx, room_id, &room) && room.room_id == room_id;
    struct json_out w;
    buf_init(out, BODY_LIMIT);
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, STR("data"));
    room_json_put(&w, room_id, rows, 0, known ? &room : NULL);
    room_json_completeness(&w, pending);
    jw_object_end(&w);
    buf_put_c(out, '\n');
}
