#include "api/api.h"

#include <ctype.h>

#include "api/amends.h"
#include "api/api_priv.h"
#include "api/auth.h"
#include "api/frames.h"
#include "api/gate.h"
#include "api/handlers/handlers.h"
#include "api/hub.h"
#include "api/tickets.h"
#include "server/config/config.h"
#include "server/core/mem.h"
#include "server/db/db.h"
#include "server/feed/feed.h"
#include "server/loop/loop.h"

enum { IDLE_TIMEOUT_S = 60, BODY_MAX = 65536 };

static const struct http_route routes[] = {
#define X(METHOD, path, handler, scope, operation_id)                                              \
    {HTTP_##METHOD, path, handler, operation_id, SCOPE_##scope},
#include "api/routes.def"
#undef X
};

static const char *const route_scopes[] = {
#define X(METHOD, path, handler, scope, operation_id) #scope,
#include "api/routes.def"
#undef X
};

static const char *const route_methods[] = {
#define X(METHOD, path, handler, scope, operation_id) #METHOD,
#include "api/routes.def"
#undef X
};

void api_print_routes(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        buf_printf(out, "%s %s ", route_methods[i], routes[i].path);
        for (const char *p = route_scopes[i]; *p != '\0'; p++) { /* as in tokens: users:read */
            buf_put_c(out, *p == '_' ? ':' : (char)tolower((unsigned char)*p));
        }
        buf_printf(out, " %s\n", routes[i].operation_id);
    }
}

/* Streams were let in by rights that somebody has lost; who still has his connects again. */
static void on_narrowed(void *ctx)
{
    struct api *a = ctx;
    hub_rotate_all(a->hub);
}

struct api *api_new(const struct api_opts *opts)
{
    struct api *a = mem_new(struct api);
    a->opts = *opts;
    a->started_ms = loop_wall_ms(opts->loop);
    a->frames = frames_new(opts->stats);
    a->tickets = tickets_new();
    a->amends = amends_new(opts->feed);
    a->hub = hub_new(a);
    a->auth = auth_new(&(struct auth_opts){
        .loop = opts->loop,
        .db = opts->db,
        .stats = opts->stats,
        .open = opts->local_only || opts->config->allow_public,
        .narrowed = on_narrowed,
        .ctx = a,
    });
    return a;
}

enum err_code api_listen(struct api *a, const char *address, uint16_t port, struct http **ret,
                         struct err *err)
{
    struct http_opts opts = {
        .address = address,
        .port = port,
        .max_connections = (unsigned)a->opts.config->max_connections,
        .idle_timeout_s = IDLE_TIMEOUT_S,
        .max_body_bytes = BODY_MAX,
        .routes = routes,
        .n_routes = ARRAY_LEN(routes),
        .ctx = a,
        .before = gate_before,
        .refuse = gate_refuse,
        .decorate = gate_decorate,
    };
    enum err_code code = http_open(a->opts.loop, &opts, a->opts.stats, &a->http, err);
    if (code == ERR_OK) {
        *ret = a->http;
    }
    return code;
}

void api_database_there(struct api *a)
{
    auth_read(a->auth);
}

void api_quiesce(struct api *a)
{
    a->quiesced = true;
    hub_end_all(a->hub);
}

void api_gap(struct api *a, const struct span *span)
{
    hub_gap(a->hub, span);
}

void api_free(struct api *a)
{
    if (a == NULL) {
        return;
    }
    hub_free(a->hub);
    auth_free(a->auth);
    tickets_free(a->tickets);
    amends_free(a->amends);
    frames_free(a->frames);
    mem_free(a);
}

int64_t api_now_ms(const struct api *a)
{
    return loop_wall_ms(a->opts.loop);
}

int64_t api_committed(const struct api *a)
{
    return a->opts.ops.committed(a->opts.ops.ctx);
}

int64_t api_real_room(const struct api *a, int64_t number)
{
    struct api_room room;
    if (feed_room_last(a->opts.feed, number) != FEED_NO_SEQ) {
        return number;
    }
    return a->opts.ops.room(a->opts.ops.ctx, number, &room) ? room.room_id : 0;
}
