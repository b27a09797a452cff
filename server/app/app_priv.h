/* server/app/app_priv.h - the state of the running service, shared by the files of this folder.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/api.h"
#include "collector/collector.h"
#include "collector/endpoint_upstream.h"
#include "collector/guard_merge.h"
#include "collector/upstream/upstream.h"
#include "collector/writer/writer.h"
#include "server/app/app.h"
#include "server/core/buf.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/db/db.h"
#include "server/db/private_pg.h"
#include "server/feed/feed.h"
#include "server/http/http.h"
#include "server/loop/loop.h"
#include "server/spool/spool.h"
#include "server/stats/prom.h"
#include "server/stats/stats.h"

struct listen_at {
    char address[64];
    uint16_t port;
    bool loopback;
};

/* One pending question of the writer for "the next after id". */
struct source_request {
    bool pending;
    int64_t after;
    size_t max_rows;
    size_t max_bytes;
    void (*done)(void *ctx, struct event **events, size_t n);
    void *done_ctx;
};

/* STARTING until the database has said all that is asked of it. It may collect before: app.collecting. */
enum app_phase { APP_STARTING, APP_RUNNING, APP_STOPPING };

struct app {
    struct config *config; /* borrowed from main */
    const struct config_source *source;
    struct loop *loop; /* owned, as everything below */
    struct loop_signals *signals;
    struct stats *stats;
    struct private_pg *pg; /* NULL: an external database */
    struct app_pg_watch *pg_watch;
    struct app_schema *schema;
    struct app_rooms_file *rooms_file; /* NULL: no data_dir */
    char *conninfo;
    struct feed *feed;
    struct spool *spool; /* NULL: data_dir cannot be used, events are in memory only */
    struct app_coverage *coverage;
    struct app_sessions *sessions;
    struct retention *retention; /* NULL: no database any more */
    struct app_commands *commands;
    struct app_raw *raw;
    struct db *db;
    struct writer *writer; /* NULL before the schema is there, and once it has closed */
    struct guard_merge *guards;
    struct upstream *upstream;           /* NULL once it has closed */
    struct app_clock *clock;             /* of app_clock.c */
    struct endpoint_upstream *endpoints; /* over it; used unless upstream_hosts are configured */
    struct collector *collector;         /* NULL once it has closed */
    struct fleet *fleet;
    struct list rooms_calls;            /* of app_rooms.c */
    struct upstream_info upstream_info; /* what the api was told last: it borrows from it */
    struct discover *discover;
    struct discover_select *discover_selects; /* what it looks for */
    size_t n_discover;
    int64_t discover_interval, discover_grace;
    bool discovering; /* it was configured */
    struct api *api;
    struct http *http; /* NULL until it listens */

    struct id_gen ids;
    int64_t
        raw_base; /* id of the message that is kept as it came, with ID_NUMBERS_MAX numbers; 0: none is */
    struct source_request request;
    bool answer_due;      /* answering it is deferred */
    struct event **batch; /* room for batch_rows_max references */
    size_t batch_rows_max;
    int64_t overflowed_id;  /* newest id that the spool has dropped */
    int64_t acked_wanted;   /* committed id that the spool may be told */
    int64_t last_committed; /* what the writer had committed when it closed; -1 unknown */

    struct listen_at listen;
    struct loop_timer start_retry;
    int64_t flush_until_ms; /* mono: a stop waits for the spool until then */
    struct loop_timer watchdog;
    int64_t alive_ms; /* wall: until when the process before ran; 0 unknown */
    int64_t mark;     /* of the writer when it was first read */
    int64_t spool_last_id,
        raw_last_id;    /* newest ids that the spools had; seeded when the clock is known */
    int64_t warm_after; /* id the warming of the ring has reached */
    int64_t warm_to;    /* first id behind the window being read for it */
    int64_t warm_ms;    /* of ids: how wide the windows are */
    uint64_t n_warmed;  /* events that came from the spool */
    bool disk_pending;  /* a write that is not waited for was under way when upstream closed */
    bool never_ran;     /* stopped while starting: the writer gets nothing */
    bool mark_known;
    bool reload_due; /* asked for while starting */
    /* A start without the database (app_early.c) */
    struct loop_timer away;
    int64_t answered_ms;   /* mono: when the database was last there */
    int64_t repeats_after; /* id the reading of repeats has reached */
    int64_t begun_id;      /* every id that this process gave early is greater; 0: it gave none */
    struct spool_rooms *passed_over; /* owned: what the mark had passed already, by room */
    int64_t extended_ms;             /* mono: when the service manager was last told that we wait */
    bool schema_there;
    bool rooms_there; /* read from the database */
    bool collecting;  /* events come */
    bool early;       /* it collects, or is about to, without the database having been asked */
    bool reading;     /* the spool is being read for that */
    bool check_due;   /* and then the start goes on */
    bool no_early;    /* it cannot be: told */
    bool replaying;   /* the last part of a start: what the spool holds */
    enum app_phase phase;
    int exit_code;
};

enum { APP_PATH_BYTES = 4096, APP_CLOCK_OFF_MAX_MS = 5 * 60 * 1000 };

/* app_database.c: blocking, before the loop runs. find: where it is, a private one is started; open: and its schema is up to date.
 * A database that is away fails at once, with what to check told. */
MUST_CHECK int app_database_find(struct config *config, struct private_pg **ret_pg,
                                 char **ret_conninfo);
/* The loop runs: brings the schema up to date, then calls app_on_schema, or stops. */
void app_schema_start(struct app *app);
void app_schema_stop(struct app *app);
bool app_schema_working(const struct app *app); /* a thread does */
void app_schema_free(struct app *app);
MUST_CHECK int app_database_open(struct config *config, struct private_pg **ret_pg,
                                 char **ret_conninfo);
/* A private server that ends while we run is started again, with backoff. Nothing for an external one. */
void app_pg_watch(struct app *app);
void app_pg_unwatch(struct app *app);
/* As root, with a private database: becomes the owner of the data directory, as PostgreSQL does not run as root. */
void app_step_down(const struct config *config);
/* The directory of database, spool and state files, made if missing; NUL-terminated in out. */
/* Commands that belong to a service make no new database by mistake. False: told on stderr. */
MUST_CHECK bool app_database_exists(const struct config *config, const char *command);
MUST_CHECK enum err_code app_data_dir(const struct config *config, struct buf *out,
                                      struct err *err);

/* app_events.c: from the collector to ring and writer */
int64_t app_new_id(struct app *app); /* of a message, or of something made here */
void app_on_events(void *ctx, const struct event_draft *drafts, const uint8_t *places, size_t n);
struct guard_merge *app_guards_new(struct app *app);
void app_guards_restore(struct app *app); /* what the last process held */
struct writer_source app_writer_source(struct app *app);
/* Everything up to this id is in the database, and none will be made there any more. 0: something is under way. */
int64_t app_complete_id(struct app *app);
MUST_CHECK int app_spool_open(struct app *app, const char *data_dir);
void app_spool_ack(struct app *app);
void app_source_resume(struct app *app); /* questions asked while starting are answered now */
int64_t
app_committed(const struct app *app); /* newest id known to be in the database; -1 unknown */

/* app_coverage.c, app_coverage_store.c: what is missing, in memory and in table coverage_span */
void app_coverage_open(struct app *app);
/* Startup only; after the spool, whose lock covers it. */
void app_coverage_file_open(struct app *app, const char *data_dir);
/* When the last process was last known to run. */
void app_coverage_alive(struct app *app, int64_t alive_ms);
/* What the last process noted on disk goes into the ledger, once. */
void app_coverage_restore(struct app *app);
/* Then, before rooms are added, of each that was collected when the last process was last alive. */
void app_coverage_was_collected(struct app *app, int64_t room_id);
/* Settles what the last process left open, if that is not done; then is called once, and it may be tried again. */
void app_coverage_recover(struct app *app,
                          void (*then)(struct app *app, enum err_code code, const struct err *err));
/* Stores what it can; finished is called once, perhaps at once. */
void app_coverage_finish(struct app *app, void (*finished)(struct app *app));
void app_coverage_close(struct app *app);
void app_coverage_link(void *app, const struct collector_link *link);
void app_coverage_broken(void *app, int64_t room_id, uint64_t n);
void app_coverage_event(struct app *app, const struct event *e); /* in order of ids */
/* What the api may see of it. */
void app_coverage_ops(struct api_ops *ops);
void app_coverage_of_room(const struct app *app, struct api_room *room);
void app_coverage_gap(struct app *app, const struct spool_dropped *lost, const char *cause);
/* Every loss up to this id is stored; INT64_MAX: all are. */
int64_t app_coverage_safe_id(const struct app *app);
/* The database takes something: do not wait for the timer. */
void app_coverage_flush(struct app *app);

/* app_commands.c: what nobody understood, on its way into table unknown_command */
void app_commands_open(struct app *app);
void app_commands_flush(struct app *app); /* do not wait for the timer */
/* stopped comes once the last flush is done, or not waited for any more; never before this returns. */
void app_commands_stop(struct app *app, void (*stopped)(void *app));
void app_commands_close(struct app *app);

/* app_raw.c: messages kept as they came, on their way into table raw_event */
enum collector_raw_mode app_raw_mode(const struct config *config, bool *ret_ok);
void app_raw_open(struct app *app);
void app_on_raw(void *ctx, const struct collector_raw *raw);
void app_raw_close(struct app *app, void (*closed)(void *app)); /* before the database is */
size_t app_raw_bytes(const struct app *app);

/* app_sessions.c: when rooms were live; made when the database is there, before anything comes */
void app_sessions_open(struct app *app);
void app_sessions_load(struct app *app);  /* starting: what is stored; goes on with app_warm_next */
void app_sessions_start(struct app *app); /* events come */
void app_sessions_run(struct app *app);   /* and all of before is known */
void app_sessions_event(struct app *app, const struct event *e); /* published; in order of ids */
/* Starting, once it is loaded: an event that was published before. In order of ids. */
void app_sessions_replay(struct app *app, const struct event *e);
bool app_sessions_is_live(struct app *app, int64_t room_id);
void app_sessions_stop(struct app *app);
void app_sessions_close(struct app *app);
void app_sessions_free(struct app *app);

/* app_retention.c: what is old is dropped */
void app_retention_open(struct app *app);
void app_retention_ops(struct api_ops *ops);
void app_retention_start(struct app *app);
void app_retention_close(struct app *app); /* before the database is */

/* app_start.c: what happens until "ready" */
void app_on_schema(struct app *app);   /* the database is there, and of our version */
void app_start_check(struct app *app); /* the start goes on, from the check of clock and tokens */
enum { URL_BYTES = 128 };
void app_url(const struct app *app, char *out, size_t size); /* where it serves */
void app_begin(
    struct app *app); /* ids are seeded, rooms are known: HTTP, rooms. May stop instead. */
void app_on_mark(void *ctx, int64_t last_id);
void app_warm_next(struct app *app);
void app_start_retry(struct app *app, const char *why); /* the check begins anew, later */
/* Ids go on behind one that is stored (source says where). False: it is of the future and must not be used; that is logged,
 * and the start tries again later. Only while starting. */
bool app_id_is_of_the_future(const struct app *app, int64_t id);
MUST_CHECK bool app_seed_ids(struct app *app, int64_t id, const char *source);

/* app_early.c: a start while the database is away */
void app_early_watch(struct app *app);
void app_early_unwatch(struct app *app);
/* The database knows newer ids than some that were given early: those are lost, and told. */
void app_early_pass_over(struct app *app, const struct event *e);
void app_early_passed_over(struct app *app); /* that were all */

/* app_rooms_file.c: the set of rooms, on disk. open is startup only (blocking); close blocks, the loop is over. */
struct fleet_kept;
void app_rooms_file_open(struct app *app, const char *data_dir);
/* NULL: *ret is what was noted there; else why nothing can be made of it. */
const char *app_rooms_file_found(const struct app *app, const struct fleet_kept **ret,
                                 size_t *ret_n);
bool app_rooms_file_stopped(const struct app *app); /* the last process ended in order */
void app_rooms_file_start(struct app *app);         /* there are rooms */
void app_rooms_file_stop(struct app *app);
void app_rooms_file_close(struct app *app);

/* app_kinds.c: bit set of the kinds that store_kinds leaves out; check may be NULL */
uint32_t app_counted_kinds(const struct config *config, struct config_check *check);

/* app_fleet.c: the set of rooms, and discovery */
void app_fleet_check(const struct config *config, struct config_check *check);
void app_fleet_open(struct app *app);
void app_fleet_configure(struct app *app); /* after a reload */
void app_fleet_start(struct app *app);     /* running: discovery begins */
void app_fleet_stop(struct app *app);      /* before upstream closes */
void app_fleet_free(struct app *app);
/* Upstream is asked about rooms: not when danmaku hosts are configured and nothing else of it is. */
bool app_asks_upstream(const struct config *config);
/* The configuration names rooms or lists of them. */
bool app_fleet_wants(const struct app *app);
void app_fleet_dump(struct app *app); /* to the log */

/* app_rooms.c: what the api may know of rooms, and how it changes them */
struct api_ops app_api_ops(struct app *app);

/* app_check.c */
bool app_listen_parse(const char *text, struct listen_at *ret);
bool app_room_parse(const char *text, int64_t *ret);

/* app_upstream.c: the upstream's HTTP APIs, and the hosts they name */
void app_upstream_check(const struct config *config, struct config_check *check);
const char *app_user_agent(const struct config *config); /* of HTTP and websockets alike */
void app_upstream_open(struct app *app);
void app_upstream_configure(struct app *app); /* after a reload */
/* Who waits for an answer gets ERR_CANCELED; nothing is asked any more. closed(app) comes later. */
void app_upstream_close(struct app *app, void (*closed)(void *app));
void app_upstream_free(struct app *app); /* once the rooms have closed */

/* app_clock.c: whether this machine's clock can be believed */
void app_clock_open(struct app *app);
void app_clock_close(struct app *app); /* what waits for it is not told any more */
/* Starting: upstream's clock is asked for, if anything will be asked of upstream (wanted). True: go on. False: again(app)
 * comes when it is known, or nobody answers (NULL: ask again then); or the start tries again, because the clocks differ. */
MUST_CHECK bool app_clock_agrees(struct app *app, bool wanted, void (*again)(struct app *app));

/* app.c */
void app_notify(const char *state); /* to the service manager, as sd_notify(3) has it */
void app_stop(struct app *app, int exit_code);
void app_reload(struct app *app); /* running: the configuration is read again */
