/* api/stream_priv.h - one live stream, and the hub that wakes it.
 *
 *      START --> RING <-> LINE -> READ -> PAGE -> (RING or LINE)
 *                         ^ ^------ WAIT <---'|
 *                         `------- STALLED <--'
 *
 *   RING  follows the ring at `next`
 *   LINE  is behind the ring and waits for its turn to read
 *   READ  a reader is under way
 *   PAGE  what was read is being sent
 *   WAIT  for the database to come back, or to catch up
 *   STALLED  its client took nothing of the page, which was dropped: with the next pull it stands in line again
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/frames.h"
#include "api/hub.h"
#include "api/reader.h"
#include "api/stream_gaps.h"
#include "server/core/list.h"
#include "server/core/rng.h"
#include "server/feed/feed.h"
#include "server/loop/loop.h"

enum stream_state {
    STREAM_RING,
    STREAM_LINE,
    STREAM_READ,
    STREAM_PAGE,
    STREAM_WAIT,
    STREAM_STALLED
};
enum { STREAM_CONTROLS = 2 };

struct stream {
    struct list_node node;      /* of hub.streams */
    struct list_node line_node; /* of hub.line, in state LINE */
    struct hub *hub;
    struct http_stream *http;
    struct filter filter;
    int64_t *rooms; /* owned: the filter's */
    enum stream_state state;
    bool asleep; /* its last pull had nothing */
    bool beat;   /* a heartbeat is due */
    bool ending;
    bool broken;       /* out of memory: cut it so that the client sees it */
    bool check_reset;  /* resumed from outside the ring: is anything that old still stored? */
    bool newest_first; /* the page is a backlog */
    struct frame *controls[STREAM_CONTROLS]; /* owned; sent before anything else */
    struct frame *missed;                    /* owned; gaps after the id it resumed from */
    struct stream_resume *resume;            /* owned; while they are being read */
    uint64_t gap_next;                       /* of hub.gaps */
    struct frame *cur;                       /* owned; being sent */
    size_t cur_at;
    uint64_t next;        /* RING: sequence number to look at */
    int64_t last_id;      /* everything up to it was told, as far as it matches */
    size_t backlog;       /* still to be read, before anything else */
    struct reader reader; /* READ and PAGE */
    size_t page_at;
    size_t page_events; /* of the next page; 0: the first size */
    size_t held;        /* events that READ or PAGE may hold */
    int64_t page_ms;    /* mono: when the page was asked for */
    int64_t pulled_ms;  /* mono: when its client last had room for something */
    int64_t width_ms;   /* of ids, that the last page found to be wide enough for one */
    struct loop_timer heartbeat;
    struct loop_timer again; /* WAIT */
    int64_t end_ms;          /* mono */
};

struct hub {
    struct api *api;
    struct list streams;
    struct list line;
    size_t n_reads;
    size_t n_pages;              /* streams in READ or PAGE */
    size_t n_held;               /* events that they may hold */
    struct frame *heartbeat;     /* owned */
    struct gap_log *gaps;        /* owned */
    struct resume_line *resumes; /* owned */
    struct feed_reader reader;
    struct loop_timer flush;
    struct loop_timer slice;
    int64_t flushed_ms; /* mono: begin of the last pass */
    size_t pass_left;   /* streams that the running pass has not looked at */
    bool unfinished;    /* the pass left some before the ring's end: another one follows */
    struct rng rng;
    bool ending;
};

/* stream.c */
struct stream *stream_new(struct hub *h, const struct hub_opts *opts);
int64_t stream_pull(void *ctx, char *out, size_t max);
void stream_gone(void *ctx);
/* Steps over events that do not match. True: the stream has something to send, or to do, in its pull. */
bool stream_scan(struct stream *s, bool *ret_more);
void stream_wake(struct stream *s);
void stream_end(struct stream *s);
/* stream_catchup.c */
void stream_begin(struct stream *s, int64_t resume_id);
void stream_catch_up(struct stream *s);  /* into RING or LINE */
void stream_read_next(struct stream *s); /* its turn has come */
void stream_page_done(struct stream *s); /* in PAGE: all of it was taken */
void stream_drop_page(struct stream *s); /* in whatever state */
void stream_stall(
    struct stream *s); /* drops the page of a client that has taken nothing for long */
void stream_control(struct stream *s, struct frame *take);
/* hub.c */
void hub_serve_line(struct hub *h);
