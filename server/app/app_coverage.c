/* What is known to be missing, from where it is noticed into the ledger (collector/coverage.h), and from there to whom it
 * concerns. app_coverage_store.c brings it into the database. */
#include "server/app/app_coverage_priv.h"

#include "collector/coverage_signs.h"
#include "collector/fleet.h"
#include "server/core/mem.h"

int64_t app_coverage_ms(const struct app *app, int64_t wall_ms)
{
    int64_t now = loop_wall_ms(app->loop);
    int64_t newest = app->ids.last_ms + ID_EPOCH_MS;
    newest = app->coverage->alive_ms > newest ? app->coverage->alive_ms : newest;
    return wall_ms + (newest > now ? newest - now : 0);
}

static struct span span_of(const struct coverage_span *s)
{
    return (struct span){
        .room_id = s->room_id,
        .source = s->source,
        .from_ms = s->from_ms,
        .to_ms = s->to_ms == COVERAGE_OPEN ? SPAN_OPEN : s->to_ms,
        .first_id = s->first_id,
        .last_id = s->last_id,
        .n = (int64_t)s->n,
        .cause = str_of(s->cause),
        .extra = str_of(s->extra != NULL ? s->extra : ""),
    };
}

static void on_change(void *ctx, const struct coverage_span *span)
{
    struct app *app = ctx;
    app_coverage_count(app, span);
    if (app->api != NULL && app->phase != APP_STARTING) {
        struct span s = span_of(span);
        api_gap(app->api, &s);
    }
    app_coverage_soon(app);
}

void app_coverage_open(struct app *app)
{
    struct app_coverage *c = mem_new(struct app_coverage);
    app->coverage = c;
    c->ledger = coverage_new(loop_wall_ms(app->loop), on_change, app);
    c->app = app;
    app_coverage_store_init(app);
    app_coverage_signs_open(app);
}

void app_coverage_close(struct app *app)
{
    if (app->coverage != NULL) {
        loop_timer_stop(&app->coverage->timer);
        app_coverage_file_close(app);
        app_coverage_signs_close(app);
        coverage_free(app->coverage->ledger);
        mem_free(TAKE_PTR(app->coverage));
    }
}

void app_coverage_alive(struct app *app, int64_t alive_ms)
{
    app->coverage->alive_ms = alive_ms;
}

/* ---- the link ---- */

/* Why a room left the collector: what the user said about it, or that others came first. */
static const char *why_it_left(struct app *app, int64_t room_id)
{
    struct fleet_info info;
    if (app->phase == APP_STOPPING) {
        return "stopped";
    }
    if (app->fleet == NULL || !fleet_get(app->fleet, room_id, &info)) {
        return "removed";
    }
    return info.state == FLEET_PAUSED   ? "paused"
           : info.state == FLEET_ACTIVE ? "max_rooms"
                                        : "removed";
}

void app_coverage_link(void *ctx, const struct collector_link *link)
{
    struct app *app = ctx;
    struct coverage *ledger = app->coverage->ledger;
    struct signs *signs = app->coverage->signs;
    int64_t at_ms = app_coverage_ms(app, link->at_ms);
    if (link->up) {
        coverage_up(ledger, link->room_id, at_ms);
        signs_link(signs, link->room_id, true, at_ms);
    } else if (str_eq(str_of(link->reason), STR("removed"))) {
        coverage_leave(ledger, link->room_id, at_ms, why_it_left(app, link->room_id));
        signs_leave(signs, link->room_id);
    } else {
        coverage_down(ledger, link->room_id, at_ms,
                      link->reason[0] != '\0' ? link->reason : "connecting");
        signs_link(signs, link->room_id, false, at_ms);
    }
}

/* ---- lost events ---- */

/* May an event between the two be stored? Then they are two intervals. What is dropped as the oldest is followed by what is
 * dropped next or by what the writer takes; what is refused as the newest, by what is refused next or published. */
static bool apart(void *ctx, const struct coverage_span *before, const struct coverage_lost *lost)
{
    const struct app *app = ctx;
    int64_t head = feed_head_id(app->feed);
    return lost->first_id > before->last_id && (app->acked_wanted > before->last_id ||
                                                (head > before->last_id && head < lost->first_id));
}

void app_coverage_gap(struct app *app, const struct spool_dropped *lost, const char *cause)
{
    const struct coverage_lost l = {.room_id = lost->room_id,
                                    .first_id = lost->first_id,
                                    .last_id = lost->last_id,
                                    .n = lost->n,
                                    .cause = cause};
    coverage_lost(app->coverage->ledger, &l, apart, app);
    app_coverage_soon(app);
}

int64_t app_coverage_safe_id(const struct app *app)
{
    return coverage_safe_id(app->coverage->ledger);
}

/* ---- what the api may see ---- */

struct each_span {
    api_span_fn *fn;
    void *ctx;
};

static bool each_span(void *ctx, const struct coverage_span *s)
{
    struct each_span *each = ctx;
    struct span span = span_of(s);
    return each->fn(each->ctx, &span);
}

static void ops_coverage(void *ctx, int64_t room_id, int64_t from_ms, int64_t to_ms,
                         api_span_fn *fn, void *fn_ctx)
{
    struct app *app = ctx;
    struct each_span each = {.fn = fn, .ctx = fn_ctx};
    coverage_each(app->coverage->ledger, room_id, from_ms, to_ms, each_span, &each);
}

static int64_t ops_coverage_known(void *ctx, int64_t room_id)
{
    struct app *app = ctx;
    return coverage_known_from(app->coverage->ledger, room_id);
}

void app_coverage_ops(struct api_ops *ops)
{
    ops->coverage = ops_coverage;
    ops->coverage_known = ops_coverage_known;
}

void app_coverage_of_room(const struct app *app, struct api_room *room)
{
    bool here;
    const struct coverage_span *s = coverage_now(app->coverage->ledger, room->room_id, &here);
    room->covered = here && s == NULL;
    if (s != NULL) {
        room->coverage = span_of(s);
    }
}
