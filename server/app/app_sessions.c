/* Sessions and audience figures: messages as they are published, connections and polling, on their way into the tables session,
 * session_segment and audience.
 *
 * A start reads what is stored, then the messages behind session_mark: those in the database here, those in the spool as
 * the ring is warmed with them. So a session that began while the database was away outlives kill -9. */
#include "server/app/app_priv.h"

#include "api/query/event_row.h"
#include "collector/audience.h"
#include "collector/audience_store.h"
#include "collector/fleet.h"
#include "collector/session.h"
#include "collector/session_store.h"
#include "collector/session_sweep.h"
#include "collector/status_poll.h"
#include "server/core/mem.h"

enum {
    TICK_MS = 1000,
    ROOMS_MAX = 65536,
    PAGE = 5000,
    PUT_AGAIN = SESSION_STORE_MAX / 4, /* each a session and a segment: half of what may wait */
    BACK_MS = 10 * 60 * 1000,          /* without a mark: as far as the ring is warmed */
};

struct app_sessions {
    struct sessions *sessions;   /* owned, as all below */
    struct session_store *store; /* NULL: no database any more */
    struct session_sweep *sweep; /* likewise */
    struct status_poll *poll;
    struct audience *audience;
    struct audience_store *figures; /* NULL: no database any more */
    struct loop_timer tick;
    int64_t interval_ms; /* of the poll */
    int64_t fed_id;      /* newest event seen */
    int64_t after_id;    /* starting: how far the database's events were read */
    int64_t done_id;     /* what is up to here had its effect before this process began */
};

/* ---- what the machine asks for ---- */

/* What is known of the room at once, and without HTTP at all. */
static void note_live(struct app *app, const struct session *row)
{
    const bool live = row->end == SESSION_OPEN;
    const struct upstream_room said = {
        .room_id = row->room_id,
        .short_id = -1,
        .uid = -1,
        .live_status = live,
        .live_since_ms = !live                        ? 0
                         : row->upstream_start_ms > 0 ? row->upstream_start_ms
                                                      : id_ts_ms(row->start_id),
        .area_id = -1,
        .parent_area_id = -1,
        .popularity = -1,
        .followers = -1,
    };
    if (app->phase == APP_RUNNING) {
        fleet_note_room(app->fleet, &said);
    }
}

static void on_put(void *ctx, const struct session *row)
{
    struct app *app = ctx;
    note_live(app, row);
    if (app->sessions->store != NULL) {
        session_store_put(app->sessions->store, row);
    }
}

static void on_put_segment(void *ctx, const struct session_segment *row)
{
    struct app *app = ctx;
    if (app->sessions->store != NULL) {
        session_store_put_segment(app->sessions->store, row);
    }
}

static int64_t on_new_id(void *ctx)
{
    return app_new_id(ctx);
}

static bool on_ask(void *ctx, int64_t room_id)
{
    struct app *app = ctx;
    return app->phase == APP_RUNNING && status_poll_ask(app->sessions->poll, room_id);
}

static int64_t store_upto(void *ctx)
{
    struct app *app = ctx;
    return app->phase == APP_RUNNING ? app->sessions->fed_id : 0;
}

static bool store_has_room(void *ctx)
{
    struct app *app = ctx;
    return sessions_put_open(app->sessions->sessions, PUT_AGAIN);
}

static size_t n_held(void *ctx)
{
    const struct app *app = ctx;
    return sessions_n_open(app->sessions->sessions);
}

struct ids {
    int64_t *ids;
    size_t n;
    size_t max;
};

static bool take_open(void *ctx, const struct session *newest)
{
    struct ids *ids = ctx;
    if (newest->end == SESSION_OPEN && ids->n < ids->max) {
        ids->ids[ids->n++] = newest->id;
    }
    return true;
}

static size_t held(void *ctx, int64_t *ret, size_t max)
{
    const struct app *app = ctx;
    struct ids ids = {.ids = ret, .max = max};
    sessions_each(app->sessions->sessions, take_open, &ids);
    return ids.n;
}

static void on_figures(void *ctx, const struct audience_row *row)
{
    struct app *app = ctx;
    if (app->sessions->figures != NULL) {
        audience_store_put(app->sessions->figures, row);
    }
}

/* ---- polling ---- */

static bool take_id(void *ctx, const struct collector_room_info *info)
{
    struct ids *ids = ctx;
    ids->ids[ids->n++] = info->room_id;
    return ids->n < ids->max;
}

static void poll_status(void *ctx, const int64_t *room_ids, size_t n, upstream_rooms_fn *done,
                        void *done_ctx)
{
    struct app *app = ctx;
    upstream_status(app->upstream, room_ids, n, done, done_ctx);
}

static size_t poll_rooms(void *ctx, int64_t *ret, size_t max)
{
    struct app *app = ctx;
    struct ids ids = {.ids = ret, .max = max};
    if (app->collector != NULL && max > 0) {
        collector_each(app->collector, take_id, &ids);
    }
    return ids.n;
}

static void poll_answer(void *ctx, const struct upstream_room *room, int64_t asked_ms)
{
    struct app *app = ctx;
    fleet_note_room(app->fleet, room);
    if (app->phase != APP_RUNNING) {
        return;
    }
    const int64_t now = loop_wall_ms(app->loop);
    struct audience *a = app->sessions->audience;
    sessions_poll(app->sessions->sessions, room, asked_ms);
    audience_set(a, room->room_id, AUDIENCE_popularity, room->popularity, now);
    audience_set(a, room->room_id, AUDIENCE_followers, room->followers, now);
}

/* ---- connections ---- */

static bool note_link(void *ctx, const struct collector_room_info *info)
{
    struct app *app = ctx;
    struct app_sessions *s = app->sessions;
    const int64_t now = loop_wall_ms(app->loop);
    struct session newest = {0};
    if (app->phase == APP_RUNNING &&
        sessions_link(s->sessions, info->room_id, info->connected_since_ms, now)) {
        (void)status_poll_ask(s->poll, info->room_id);
    }
    const bool live = sessions_room(s->sessions, info->room_id, &newest) && newest.end_id == 0;
    audience_look(s->audience, info->room_id, info->connected_since_ms, live, now);
    if (info->connected_since_ms != 0) {
        audience_set(s->audience, info->room_id, AUDIENCE_popularity, info->popularity, now);
    }
    return true;
}

static void on_tick(void *ctx)
{
    struct app *app = ctx;
    struct app_sessions *s = app->sessions;
    if (app->collector == NULL || app->phase == APP_STOPPING) {
        return;
    }
    sessions_set_merge(s->sessions, app->config->session_merge);
    session_sweep_set(s->sweep, app->config->session_abandoned);
    status_poll_enable(s->poll, app_asks_upstream(app->config));
    if (s->interval_ms != app->config->status_interval) {
        s->interval_ms = app->config->status_interval;
        status_poll_set_interval(s->poll, s->interval_ms);
    }
    collector_each(app->collector, note_link, app);
    if (app->phase == APP_RUNNING) {
        sessions_tick(s->sessions, loop_wall_ms(app->loop));
    }
    audience_tick(s->audience, loop_wall_ms(app->loop));
    stats_set(app->stats, STAT_SESSIONS_OPEN, (int64_t)sessions_n_open(s->sessions));
}

void app_sessions_replay(struct app *app, const struct event *e)
{
    struct app_sessions *s = app->sessions;
    if (e->id > s->done_id) { /* the spool may begin before it: the writer is behind */
        sessions_event(s->sessions, e);
    }
    s->fed_id = e->id > s->fed_id ? e->id : s->fed_id;
}

void app_sessions_event(struct app *app, const struct event *e)
{
    if (app->phase !=
        APP_STARTING) { /* else it is replayed once the sessions of before are known */
        app_sessions_replay(app, e);
    }
    audience_event(app->sessions->audience, e);
}

bool app_sessions_is_live(struct app *app, int64_t room_id)
{
    struct session newest = {0};
    return app->sessions != NULL && sessions_room(app->sessions->sessions, room_id, &newest) &&
           newest.end_id == 0;
}

/* ---- a start ---- */

static void read_events(struct app *app);

static void on_events(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct app *app = ctx;
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    const size_t n = db_rows_n(rows);
    for (size_t i = 0; i < n; i++) {
        struct event *e = event_from_row(rows, i);
        if (e == NULL) {
            stats_inc(app->stats, STAT_EVENTS_NOMEM);
            continue;
        }
        app->sessions->after_id = e->id;
        app_sessions_replay(app, e);
        event_unref(&e);
    }
    if (n == PAGE) {
        read_events(app);
    } else {
        app_warm_next(app);
    }
}

static void read_events(struct app *app)
{
#define X(column) #column ", "
    /* The node is in the ids that it gave; kinds room, live, warning. */
    static const struct db_stmt page = {
        .name = "app_sessions_events",
        .sql = "SELECT " EVENT_ROW_COLUMNS(
            X) "1 FROM event WHERE id > $1 AND id <= $2 AND kind IN (13, 14, 18) "
               "AND id >> 16 & 63 = $3 ORDER BY id LIMIT $4",
    };
#undef X
    const struct db_arg args[] = {DB_ARG_I64(app->sessions->after_id), DB_ARG_I64(app->mark),
                                  DB_ARG_I64(app->config->node), DB_ARG_I64(PAGE)};
    struct err err = {0};
    if (db_query(app->db, &page, args, ARRAY_LEN(args), on_events, app, &err) != ERR_OK) {
        app_start_retry(app, err.msg);
    }
}

/* What another node has left open is ours if its room is: it was the node of this process before, or has handed it over. */
static bool is_ours(struct app *app, const struct session *row)
{
    struct fleet_info info;
    return id_node(row->id) == (uint32_t)app->config->node ||
           (fleet_get(app->fleet, row->room_id, &info) && info.room_id == row->room_id &&
            info.state == FLEET_ACTIVE);
}

static void on_restored(void *ctx, const struct session *row, const struct session_segment *segment,
                        unsigned n_segments)
{
    struct app *app = ctx;
    const int64_t alive_ms = app->alive_ms > 0 ? app->alive_ms : id_ts_ms(app->mark);
    if (app->phase == APP_STARTING && is_ours(app, row)) {
        sessions_restore(app->sessions->sessions, row, segment, n_segments, alive_ms);
    }
}

static void on_loaded(void *ctx, enum err_code code, const struct err *err, int64_t upto_id)
{
    struct app *app = ctx;
    if (app->phase != APP_STARTING) {
        return;
    }
    if (code != ERR_OK) {
        app_start_retry(app, err->msg);
        return;
    }
    /* No event may come that is taken for one of before. */
    if (!app_seed_ids(app, upto_id, "table session_mark, upto_id of this node")) {
        return;
    }
    const int64_t back = id_first_of_ms(loop_wall_ms(app->loop) - BACK_MS);
    app->sessions->done_id = upto_id;
    app->sessions->after_id = upto_id > 0 ? upto_id : back;
    read_events(app);
}

void app_sessions_load(struct app *app)
{
    struct err err = {0};
    if (session_store_load(app->sessions->store, on_restored, on_loaded, app, &err) != ERR_OK) {
        app_start_retry(app, err.msg);
    }
}

void app_sessions_start(struct app *app)
{
    loop_timer_start(&app->sessions->tick, TICK_MS, TICK_MS);
    audience_store_start(app->sessions->figures);
    session_sweep_start(app->sessions->sweep);
}

void app_sessions_run(struct app *app)
{
    status_poll_start(app->sessions->poll);
}

void app_sessions_open(struct app *app)
{
    struct app_sessions *s = mem_new(struct app_sessions);
    const struct sessions_opts sessions = {
        .merge_ms = app->config->session_merge,
        .max_rooms = ROOMS_MAX,
        .put = on_put,
        .put_segment = on_put_segment,
        .new_id = on_new_id,
        .ask = on_ask,
        .ctx = app,
    };
    const struct session_store_opts store = {
        .db = app->db,
        .node = (unsigned)app->config->node,
        .upto = store_upto,
        .on_room = store_has_room,
        .ctx = app,
    };
    const struct session_sweep_opts sweep = {
        .db = app->db,
        .node = (unsigned)app->config->node,
        .n_held = n_held,
        .held = held,
        .ctx = app,
    };
    const struct status_poll_opts poll = {
        .interval_ms = app->config->status_interval,
        .rooms = poll_rooms,
        .status = poll_status,
        .status_ctx = app,
        .answer = poll_answer,
        .ctx = app,
    };
    const struct audience_opts audience = {.max_rooms = ROOMS_MAX, .put = on_figures, .ctx = app};
    app->sessions = s;
    s->interval_ms = poll.interval_ms;
    s->sessions = sessions_new(&sessions, app->stats);
    s->store = session_store_new(app->loop, &store, app->stats);
    s->sweep = session_sweep_new(app->loop, &sweep, app->stats);
    s->poll = status_poll_new(app->loop, &poll, app->stats);
    status_poll_enable(s->poll, app_asks_upstream(app->config));
    s->audience = audience_new(&audience, app->stats);
    s->figures = audience_store_new(app->loop, app->db, app->stats);
    loop_timer_init(&s->tick, app->loop, on_tick, app);
}

/* No message and no answer comes any more. */
void app_sessions_stop(struct app *app)
{
    loop_timer_stop(&app->sessions->tick);
    status_poll_free(TAKE_PTR(app->sessions->poll));
}

/* The database goes. What waits is found again in the messages, at the next start. */
void app_sessions_close(struct app *app)
{
    session_sweep_free(TAKE_PTR(app->sessions->sweep));
    session_store_free(TAKE_PTR(app->sessions->store));
    audience_store_free(TAKE_PTR(app->sessions->figures));
}

void app_sessions_free(struct app *app)
{
    if (app->sessions != NULL) {
        sessions_free(app->sessions->sessions);
        audience_free(app->sessions->audience);
        mem_free(TAKE_PTR(app->sessions));
    }
}
