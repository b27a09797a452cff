/* tests/support/api_app.h - a whole api behind a real HTTP server on the test's loop, and clients of it.
 *
 * The database is the test's: db_fake, or a real one. Time stands still at API_APP_NOW unless the test moves it. What
 * is published lands in the ring; what is committed the test says by `mark`.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/api.h"
#include "server/config/config.h"
#include "server/core/id.h"
#include "server/db/db.h"
#include "server/event/event.h"
#include "server/feed/feed.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/http_client.h"
#include "tests/support/test.h"

#define API_APP_NOW INT64_C(1764000000000)
enum { API_APP_EVENTS = 20000, API_APP_ROOMS = 8, API_APP_BODY = 4 << 20 };

/* The last change of the set of rooms that was asked for, and how it is answered. */
struct api_app_change {
    char what;      /* a add, s set, c change, r remove */
    int64_t number; /* of a set, its first one */
    size_t n_numbers;
    struct api_room_change change;
    char group[API_GROUP_BYTES + 1]; /* the first one */
    api_rooms_done_fn *done;         /* NULL: answered, or forgotten */
    void *done_ctx;
    enum err_code code; /* the test's, as the two below */
    struct err err;
    struct api_rooms_changed answer;
};

struct api_app {
    struct loop *loop;
    struct clock_fake clock;
    struct stats *stats;
    struct config config;
    struct db *db;
    struct feed *feed;
    struct api *api;
    struct http *http;
    struct api_room rooms[API_APP_ROOMS]; /* collected; ascending */
    size_t n_rooms;
    struct api_app_change change;
    int64_t mark;           /* ops.committed */
    int64_t coverage_known; /* ops.coverage_known, of every room: 0 */
    const char *unready;    /* reason, or NULL */
    struct event **events;  /* owned; a reference each to everything published */
    size_t n;
    bool closed;
    /* Of the last request */
    unsigned status;
    char *head;
    char *body;
};

/* The loop, clock, ring and configuration; then the test makes the database, then the server opens. */
void api_app_init(struct api_app *a, size_t ring_events);
void api_app_listen(struct api_app *a, struct db *db, bool local_only);
/* Closes the server and what hangs on it; the test frees its database, then calls api_app_deinit. */
void api_app_close(struct api_app *a);
void api_app_deinit(struct api_app *a);

void api_app_room(struct api_app *a, int64_t room_id); /* is collected, live */
/* A new event, `ms` after the last one. */
const struct event *api_app_publish(struct api_app *a, int64_t ms, const struct event_draft *d);
const struct event *api_app_say(struct api_app *a, int64_t room_id, const char *text);

/* One request on a connection of its own; the answer is in status, head, body. Returns the status. */
unsigned api_app_get(struct api_app *a, const char *path);
unsigned api_app_send(struct api_app *a, const char *method, const char *path, const char *fields);
bool api_app_has_head(const struct api_app *a, const char *line);

/* A stream, one event after the other. */
struct sse_client {
    struct http_client *http;
    size_t at; /* bytes of the body taken */
    char *id;  /* of the last event; "" if it had none */
    char *event;
    char *data;
};
/* path with the query; fields: more head lines, each with its end, or "". */
void sse_open(struct api_app *a, struct sse_client *c, const char *path, const char *fields);
void sse_close(struct sse_client *c);
void sse_next(struct api_app *a,
              struct sse_client *c); /* waits for an event; comments are stepped over */
bool sse_try(struct api_app *a, struct sse_client *c); /* what is there already */
