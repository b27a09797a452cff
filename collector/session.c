#include "collector/session.h"

#include <string.h>

#include "collector/session_priv.h"
#include "collector/upstream/upstream.h"
#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

static const char *const end_names[SESSION_ENDS] = {
    [SESSION_OPEN] = "",
    [SESSION_PREPARING] = "preparing",
    [SESSION_CUT_OFF] = "cut_off",
    [SESSION_POLL] = "poll",
    [SESSION_UNSEEN] = "unseen",
    [SESSION_REMOVED] = "removed",
    [SESSION_ABANDONED] = "abandoned",
};

const char *session_end_name(enum session_end end)
{
    ASSERT(end < SESSION_ENDS);
    return end_names[end];
}

enum session_end session_end_parse(struct str name)
{
    for (unsigned i = SESSION_PREPARING; i < SESSION_ENDS; i++) {
        if (str_eq(name, str_of(end_names[i]))) {
            return (enum session_end)i;
        }
    }
    return SESSION_OPEN;
}

/* ---- rooms ---- */

static size_t place_of(const struct sessions *s, int64_t room_id)
{
    size_t low = 0;
    size_t high = s->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (s->rooms[mid]->room_id < room_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct room_sessions *find(const struct sessions *s, int64_t room_id)
{
    size_t i = place_of(s, room_id);
    return i < s->n && s->rooms[i]->room_id == room_id ? s->rooms[i] : NULL;
}

static struct room_sessions *find_or_add(struct sessions *s, int64_t room_id)
{
    size_t at = place_of(s, room_id);
    if (at < s->n && s->rooms[at]->room_id == room_id) {
        return s->rooms[at];
    }
    if (s->n == s->opts.max_rooms) {
        stats_inc(s->stats, STAT_SESSION_ROOMS_OVERFLOW);
        return NULL;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap > 0 ? s->cap * 2 : 64;
        struct room_sessions **bigger = mem_new_array(struct room_sessions *, cap);
        if (s->n > 0) {
            memcpy(bigger, s->rooms, s->n * sizeof(struct room_sessions *));
        }
        mem_free(s->rooms);
        s->rooms = bigger;
        s->cap = cap;
    }
    struct room_sessions *r = mem_new(struct room_sessions);
    r->room_id = room_id;
    memmove(s->rooms + at + 1, s->rooms + at, (s->n - at) * sizeof(struct room_sessions *));
    s->rooms[at] = r;
    s->n++;
    return r;
}

static bool is_open(const struct room_sessions *r)
{
    return r->last.id != 0 && r->last.end == SESSION_OPEN;
}

/* Until when the room is known to have been live, as of now_ms. */
static int64_t seen_until(const struct room_sessions *r, int64_t now_ms)
{
    const bool stands = r->up_since_ms != 0 && r->evidence_ms >= r->up_since_ms;
    int64_t seen = r->seen_ms > r->evidence_ms ? r->seen_ms : r->evidence_ms;
    return stands && now_ms > seen ? now_ms : seen;
}

/* ---- begin and end ---- */

static void put(struct sessions *s, struct room_sessions *r)
{
    s->opts.put(s->opts.ctx, &r->last);
}

static void begin(struct sessions *s, struct room_sessions *r, int64_t id, int64_t start_id,
                  int64_t upstream_ms, const char *key)
{
    if (r->last.id != 0 && start_id <= r->last.end_id) {
        start_id = r->last.end_id + 1; /* sessions of a room never overlap */
    }
    r->last = (struct session){
        .id = id,
        .room_id = r->room_id,
        .start_id = start_id,
        .upstream_start_ms = upstream_ms,
    };
    r->n_segments = 0;
    r->doubt_id = 0;
    s->n_open++;
    stats_inc(s->stats, STAT_SESSIONS_STARTED);
    put(s, r);
    session_segment_begin(s, r, start_id, key);
}

/* With the key of the LIVE that was in doubt, if there is one. */
static void begin_doubted(struct sessions *s, struct room_sessions *r, int64_t id, int64_t start_id,
                          int64_t upstream_ms)
{
    char key[SESSION_KEY_BYTES + 1] = "";
    if (r->doubt_id != 0 && r->doubt_keyed) {
        memcpy(key, r->segment.live_key, sizeof(key));
    }
    begin(s, r, id, start_id, upstream_ms, key);
}

static void end(struct sessions *s, struct room_sessions *r, int64_t end_id, enum session_end how)
{
    r->last.end_id = end_id > r->last.start_id ? end_id : r->last.start_id;
    r->last.end = how;
    r->evidence_ms = 0;
    r->told_live_ms = 0;
    s->n_open--;
    stats_inc(s->stats, STAT_SESSIONS_ENDED);
    put(s, r);
}

static void reopen(struct sessions *s, struct room_sessions *r, int64_t at_id, const char *key)
{
    r->last.end = SESSION_OPEN;
    r->last.end_id = 0;
    r->doubt_id = 0;
    s->n_open++;
    stats_inc(s->stats, STAT_SESSIONS_MERGED);
    put(s, r);
    session_segment_update(s, r, at_id, key);
}

/* The pause between the end of the last session and a begin is short enough to be none. */
static bool is_pause(const struct sessions *s, const struct room_sessions *r, int64_t begin_ms)
{
    return r->last.id != 0 && begin_ms - id_ts_ms(r->last.end_id) < s->opts.merge_ms;
}

/* ---- messages ---- */

struct told {
    bool start;
    int64_t start_ms; /* 0 unknown */
    char key[SESSION_KEY_BYTES + 1];
};

static void live_open(struct sessions *s, struct room_sessions *r, int64_t id, const struct told *t,
                      int64_t begin_ms)
{
    const int64_t ts = id_ts_ms(id);
    const int64_t seen = seen_until(r, ts);
    if (session_text_differs(r->segment.live_key, t->key) && begin_ms - seen >= s->opts.merge_ms) {
        end(s, r, id_first_of_ms(seen), SESSION_UNSEEN);
        begin(s, r, id, id, t->start_ms, t->key);
        return;
    }
    if (r->last.upstream_start_ms == 0 && t->start_ms != 0 && t->start_ms <= ts) {
        r->last.upstream_start_ms = t->start_ms;
        put(s, r);
    }
    session_segment_update(s, r, id, t->key);
}

static void live_off(struct sessions *s, struct room_sessions *r, int64_t id, const struct told *t,
                     int64_t begin_ms)
{
    const bool new_key =
        t->key[0] != '\0' && (r->last.id == 0 || strcmp(t->key, r->segment.live_key) != 0);
    if (is_pause(s, r, begin_ms)) {
        reopen(s, r, id, t->key);
    } else if (t->start_ms != 0 || new_key || s->opts.ask == NULL ||
               !s->opts.ask(s->opts.ctx, r->room_id)) {
        begin(s, r, id, id, t->start_ms, t->key);
    } else if (r->doubt_id == 0) {
        r->doubt_id = id;
        r->doubt_keyed = t->key[0] != '\0';
        stats_inc(s->stats, STAT_SESSION_DOUBTS);
    }
}

static void on_live(struct sessions *s, struct room_sessions *r, int64_t id, const struct told *t)
{
    const int64_t ts = id_ts_ms(id);
    /* A clock of upstream's that is ahead of ours must not make a begin of the future. */
    const int64_t begin_ms = t->start_ms != 0 && t->start_ms < ts ? t->start_ms : ts;
    if (is_open(r)) {
        live_open(s, r, id, t, begin_ms);
    } else {
        live_off(s, r, id, t, begin_ms);
    }
    if (is_open(r)) {
        r->told_live_ms = ts;
        r->evidence_ms = ts;
        r->seen_ms = ts > r->seen_ms ? ts : r->seen_ms;
    }
}

static void on_off(struct sessions *s, struct room_sessions *r, int64_t id, enum session_end how)
{
    r->doubt_id = 0;
    r->told_off_ms = id_ts_ms(id);
    if (is_open(r)) {
        end(s, r, id, how);
    }
}

static void live_event(struct sessions *s, struct room_sessions *r, const struct event *e)
{
    struct told t = {0};
    char state[16] = "";
    const struct session_member members[] = {
        {"state", state, sizeof(state) - 1, NULL},
        {"live_key", t.key, SESSION_KEY_BYTES, NULL},
        {"start_ms", NULL, 0, &t.start_ms},
    };
    session_members_read(e->extra, members, ARRAY_LEN(members));
    if (strcmp(state, "start") == 0) {
        t.start_ms = t.start_ms > ID_EPOCH_MS ? t.start_ms : 0;
        on_live(s, r, e->id, &t);
    } else if (strcmp(state, "end") == 0) {
        on_off(s, r, e->id, SESSION_PREPARING);
    }
}

static void room_event(struct sessions *s, struct room_sessions *r, const struct event *e)
{
    struct session_place p = {0};
    char change[16] = "";
    char key[SESSION_KEY_BYTES + 1] = "";
    const struct session_member members[] = {
        {"change", change, sizeof(change) - 1, NULL},
        {"title", p.title, SESSION_TITLE_BYTES, NULL},
        {"area_id", NULL, 0, &p.area_id},
        {"area", p.area, SESSION_AREA_BYTES, NULL},
        {"parent_area_id", NULL, 0, &p.parent_area_id},
        {"parent_area", p.parent_area, SESSION_AREA_BYTES, NULL},
        {"live_key", key, SESSION_KEY_BYTES, NULL},
    };
    session_members_read(e->extra, members, ARRAY_LEN(members));
    if (strcmp(change, "info") != 0) {
        return;
    }
    if (p.title[0] == '\0') {
        memcpy(p.title, r->place.title, sizeof(p.title));
    }
    r->place = p;
    r->told_place_ms = id_ts_ms(e->id);
    if (is_open(r)) {
        session_segment_update(s, r, e->id, key);
    }
}

static void warning_event(struct sessions *s, struct room_sessions *r, const struct event *e)
{
    char action[16] = "";
    const struct session_member members[] = {{"action", action, sizeof(action) - 1, NULL}};
    session_members_read(e->extra, members, ARRAY_LEN(members));
    if (strcmp(action, "cut_off") == 0) {
        on_off(s, r, e->id, SESSION_CUT_OFF);
    }
}

void sessions_event(struct sessions *s, const struct event *e)
{
    if (e->kind != EVENT_LIVE && e->kind != EVENT_ROOM && e->kind != EVENT_WARNING) {
        return;
    }
    struct room_sessions *r = find_or_add(s, e->room_id);
    if (r == NULL || e->id <= r->fed_id) {
        return;
    }
    r->fed_id = e->id;
    if (e->kind == EVENT_LIVE) {
        live_event(s, r, e);
    } else if (e->kind == EVENT_ROOM) {
        room_event(s, r, e);
    } else {
        warning_event(s, r, e);
    }
}

/* ---- polling ---- */

static void poll_place(struct room_sessions *r, const struct upstream_room *a, int64_t asked_ms)
{
    if (r->told_place_ms != 0 && asked_ms < r->told_place_ms + SESSION_LAG_MS) {
        return;
    }
    if (a->title.len > 0) {
        session_text_copy(r->place.title, SESSION_TITLE_BYTES, a->title);
    }
    if (a->area_id > 0) {
        r->place.area_id = a->area_id;
        r->place.parent_area_id = a->parent_area_id > 0 ? a->parent_area_id : 0;
        session_text_copy(r->place.area, SESSION_AREA_BYTES, str_trim(a->area));
        session_text_copy(r->place.parent_area, SESSION_AREA_BYTES, str_trim(a->parent_area));
    }
}

static void poll_begin(struct sessions *s, struct room_sessions *r, int64_t begin_ms,
                       int64_t since_ms)
{
    begin_doubted(s, r, s->opts.new_id(s->opts.ctx), id_first_of_ms(begin_ms), since_ms);
}

static void poll_live(struct sessions *s, struct room_sessions *r, int64_t since_ms,
                      int64_t asked_ms)
{
    if (is_open(r)) {
        const int64_t seen = seen_until(r, asked_ms);
        if (since_ms - seen >= s->opts.merge_ms) {
            end(s, r, id_first_of_ms(seen), SESSION_UNSEEN);
            poll_begin(s, r, since_ms, since_ms);
        } else if (r->last.upstream_start_ms == 0 && since_ms != 0) {
            r->last.upstream_start_ms = since_ms;
            put(s, r);
        }
    } else {
        if (asked_ms < r->told_off_ms + SESSION_LAG_MS && since_ms <= r->told_off_ms) {
            return; /* not yet what we were told already */
        }
        int64_t begin_ms = since_ms != 0 ? since_ms : asked_ms;
        if (r->doubt_id != 0 && since_ms == 0) {
            begin_ms = id_ts_ms(r->doubt_id);
        }
        if (is_pause(s, r, begin_ms)) { /* also when it began before the end that we were told */
            reopen(s, r, id_first_of_ms(asked_ms), "");
        } else {
            poll_begin(s, r, begin_ms, since_ms);
        }
    }
    r->evidence_ms = asked_ms > r->evidence_ms ? asked_ms : r->evidence_ms;
    r->seen_ms = asked_ms > r->seen_ms ? asked_ms : r->seen_ms;
    session_segment_update(s, r, id_first_of_ms(asked_ms), "");
}

static void poll_off(struct sessions *s, struct room_sessions *r, int64_t asked_ms)
{
    if (r->doubt_id != 0 && asked_ms >= id_ts_ms(r->doubt_id)) {
        r->doubt_id = 0;
    }
    if (is_open(r) && asked_ms >= r->told_live_ms + SESSION_LAG_MS) {
        end(s, r, id_first_of_ms(seen_until(r, asked_ms)), SESSION_POLL);
    }
}

void sessions_poll(struct sessions *s, const struct upstream_room *answer, int64_t asked_ms)
{
    struct room_sessions *r = find_or_add(s, answer->room_id);
    if (r == NULL) {
        return;
    }
    poll_place(r, answer, asked_ms);
    const int64_t since = answer->live_since_ms;
    if (answer->live_status == 1) {
        poll_live(s, r, since > ID_EPOCH_MS ? (since < asked_ms ? since : asked_ms) : 0, asked_ms);
    } else if (answer->live_status >= 0) {
        poll_off(s, r, asked_ms);
    }
}

/* ---- connections ---- */

static void link_lost(struct room_sessions *r)
{
    if (r->up_since_ms != 0 && is_open(r)) {
        r->seen_ms = seen_until(r, r->looked_ms);
    }
}

bool sessions_link(struct sessions *s, int64_t room_id, int64_t up_since_ms, int64_t now_ms)
{
    struct room_sessions *r = find_or_add(s, room_id);
    if (r == NULL) {
        return false;
    }
    const bool another = up_since_ms != r->up_since_ms;
    if (another) {
        link_lost(r);
        r->up_since_ms = up_since_ms;
    }
    r->looked_ms = now_ms;
    return another && up_since_ms != 0;
}

/* Not collected any more since it was last looked at. */
static void removed(struct sessions *s, struct room_sessions *r)
{
    link_lost(r);
    r->up_since_ms = 0;
    const int64_t seen = seen_until(r, 0);
    end(s, r, id_first_of_ms(seen < r->looked_ms ? seen : r->looked_ms), SESSION_REMOVED);
}

void sessions_tick(struct sessions *s, int64_t now_ms)
{
    const int64_t grace_ms =
        s->opts.merge_ms > SESSION_GRACE_MS ? s->opts.merge_ms : SESSION_GRACE_MS;
    const int64_t keep_ms = s->opts.merge_ms > SESSION_KEEP_MS ? s->opts.merge_ms : SESSION_KEEP_MS;
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct room_sessions *r = s->rooms[i];
        const int64_t id = r->doubt_id;
        if (id != 0 && now_ms - id_ts_ms(id) >= SESSION_DOUBT_MS) {
            begin_doubted(s, r, id, id, 0);
            r->told_live_ms = r->evidence_ms = r->seen_ms = id_ts_ms(id);
        }
        if (r->looked_ms == 0 || r->looked_ms > now_ms) {
            r->looked_ms = now_ms;
        } else if (is_open(r) && now_ms - r->looked_ms >= grace_ms) {
            removed(s, r);
        }
        if (!is_open(r) && r->doubt_id == 0 && now_ms - r->looked_ms > keep_ms) {
            mem_free(r);
        } else {
            s->rooms[kept++] = r;
        }
    }
    s->n = kept;
}

/* ---- the whole ---- */

void sessions_restore(struct sessions *s, const struct session *row,
                      const struct session_segment *segment, unsigned n_segments, int64_t seen_ms)
{
    struct room_sessions *r = find_or_add(s, row->room_id);
    if (r == NULL || r->last.id != 0) {
        return;
    }
    r->last = *row;
    r->segment = *segment;
    r->n_segments = n_segments;
    if (segment->from_id != 0) {
        memcpy(r->place.title, segment->title, sizeof(r->place.title));
        memcpy(r->place.area, segment->area, sizeof(r->place.area));
        memcpy(r->place.parent_area, segment->parent_area, sizeof(r->place.parent_area));
        r->place.area_id = segment->area_id;
        r->place.parent_area_id = segment->parent_area_id;
    }
    if (is_open(r)) {
        const int64_t start_ms = id_ts_ms(row->start_id);
        r->seen_ms = seen_ms > start_ms ? seen_ms : start_ms;
        s->n_open++;
    } else {
        r->told_off_ms = id_ts_ms(row->end_id);
    }
}

bool sessions_put_open(struct sessions *s, size_t max)
{
    size_t n = 0;
    size_t i = s->put_room_id != 0 ? place_of(s, s->put_room_id + 1) : 0;
    for (; i < s->n && n < max; i++) {
        if (is_open(s->rooms[i])) {
            put(s, s->rooms[i]);
            s->opts.put_segment(s->opts.ctx, &s->rooms[i]->segment);
            n++;
        }
        s->put_room_id = s->rooms[i]->room_id;
    }
    if (i < s->n) {
        return true;
    }
    s->put_room_id = 0;
    return false;
}

bool sessions_room(const struct sessions *s, int64_t room_id, struct session *ret)
{
    const struct room_sessions *r = find(s, room_id);
    if (r == NULL || r->last.id == 0) {
        return false;
    }
    *ret = r->last;
    return true;
}

size_t sessions_n_open(const struct sessions *s)
{
    return s->n_open;
}

void sessions_each(const struct sessions *s, bool (*fn)(void *ctx, const struct session *newest),
                   void *ctx)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->rooms[i]->last.id != 0 && !fn(ctx, &s->rooms[i]->last)) {
            return;
        }
    }
}

void sessions_set_merge(struct sessions *s, int64_t merge_ms)
{
    s->opts.merge_ms = merge_ms;
}

struct sessions *sessions_new(const struct sessions_opts *opts, struct stats *stats)
{
    struct sessions *s = mem_new(struct sessions);
    s->opts = *opts;
    s->stats = stats;
    return s;
}

void sessions_free(struct sessions *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->rooms[i]);
    }
    mem_free(s->rooms);
    mem_free(s);
}
