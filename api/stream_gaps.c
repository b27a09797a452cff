#include "api/stream_gaps.h"

#include "api/encode/sse.h"
#include "api/ledger.h"
#include "api/stream_priv.h"
#include "server/core/id.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

enum { ONE_LIMIT = 1024, ALL_LIMIT = 64 * 1024 };

struct gap_log {
    struct {
        struct frame *frame; /* owned */
        int64_t room_id;
        bool unwanted; /* the operator did not want the room to be collected */
    } at[STREAM_GAPS_KEPT];
    uint64_t head;
};

/* A question to the database. It stays taken until the answer when its stream leaves: the database is still busy with it. */
struct turn {
    struct resume_line *line;
    struct stream_resume *resume; /* NULL: its stream has left */
    bool busy;
};

struct resume_line {
    struct api *api;     /* borrowed */
    struct rng *rng;     /* borrowed */
    struct list waiting; /* stream_resume.node */
    struct turn turns[HUB_RESUMES_MAX];
    struct loop_timer rest; /* nobody asks: the database is away, or took no question */
};

/* What one stream has to be told first: it waits in the line, or its turn is there, or `again` is armed. */
struct stream_resume {
    struct stream *stream; /* borrowed: it owns this */
    struct list_node node;
    struct turn *turn;
    struct ledger ledger;
    struct loop_timer again; /* its question failed */
    struct buf text;
};

struct gap_log *gap_log_new(void)
{
    return mem_new(struct gap_log);
}

void gap_log_free(struct gap_log *g)
{
    for (size_t i = 0; g != NULL && i < STREAM_GAPS_KEPT; i++) {
        frame_unref(&g->at[i].frame);
    }
    mem_free(g);
}

uint64_t gap_log_head(const struct gap_log *g)
{
    return g->head;
}

static void put_gap(struct buf *b, int64_t room_id, const struct span_interval *gap, bool truncated)
{
    struct json_out w;
    sse_begin(b, SSE_NO_ID, "gap");
    jw_init(&w, b);
    jw_object(&w);
    ledger_put_gap(&w, room_id, gap);
    if (truncated) {
        jw_kbool(&w, "truncated", true);
    }
    jw_object_end(&w);
    sse_end(b);
}

bool gap_log_add(struct gap_log *g, const struct span *span)
{
    struct buf b;
    if (span_state_of(span) != SPAN_GAP) {
        return false;
    }
    const struct span_interval gap = {.state = SPAN_GAP,
                                      .from_ms = span->from_ms,
                                      .to_ms = span->to_ms,
                                      .cause = span->cause,
                                      .span = span};
    buf_init(&b, ONE_LIMIT);
    put_gap(&b, span->room_id, &gap, false);
    struct frame *frame = buf_ok(&b) ? frame_of_text(buf_str(&b)) : NULL;
    buf_deinit(&b);
    if (frame == NULL) {
        return false;
    }
    size_t i = (size_t)(g->head % STREAM_GAPS_KEPT);
    frame_unref(&g->at[i].frame);
    g->at[i].frame = frame;
    g->at[i].room_id = span->room_id;
    g->at[i].unwanted = span_is_unwanted(span);
    g->head++;
    return true;
}

/* ---- a stream ---- */

static bool follows(const struct stream *s, int64_t room_id, bool unwanted)
{
    if (s->filter.n_rooms == 0) {
        return !unwanted;
    }
    for (size_t i = 0; i < s->filter.n_rooms; i++) {
        if (s->filter.rooms[i] == room_id) {
            return true;
        }
    }
    return room_id == 0;
}

bool stream_gaps_scan(struct stream *s)
{
    const struct gap_log *g = s->hub->gaps;
    if (s->resume != NULL || s->check_reset) {
        return false; /* what it missed comes first, and before that whether all of it is there */
    }
    if (g->head - s->gap_next > STREAM_GAPS_SCAN) {
        return true;
    }
    for (; s->gap_next < g->head; s->gap_next++) {
        size_t i = (size_t)(s->gap_next % STREAM_GAPS_KEPT);
        if (follows(s, g->at[i].room_id, g->at[i].unwanted)) {
            return true;
        }
    }
    return false;
}

struct frame *stream_gaps_next(struct stream *s)
{
    const struct gap_log *g = s->hub->gaps;
    if (s->resume != NULL || s->check_reset) {
        return NULL; /* what it missed comes first, and before that whether all of it is there */
    }
    if (s->missed != NULL) {
        return TAKE_PTR(s->missed);
    }
    if (g->head - s->gap_next > STREAM_GAPS_KEPT) {
        stats_add(s->hub->api->opts.stats, STAT_STREAM_GAPS_SKIPPED,
                  (int64_t)(g->head - s->gap_next - STREAM_GAPS_KEPT));
        s->gap_next = g->head - STREAM_GAPS_KEPT;
    }
    while (s->gap_next < g->head) {
        size_t i = (size_t)(s->gap_next++ % STREAM_GAPS_KEPT);
        if (follows(s, g->at[i].room_id, g->at[i].unwanted)) {
            return frame_ref(g->at[i].frame);
        }
    }
    return NULL;
}

/* ---- resuming ---- */

static void serve(void *ctx);

struct resume_line *resume_line_new(struct api *a, struct rng *rng)
{
    struct resume_line *line = mem_new(struct resume_line);
    line->api = a;
    line->rng = rng;
    list_init(&line->waiting);
    loop_timer_init(&line->rest, a->opts.loop, serve, line);
    for (size_t i = 0; i < HUB_RESUMES_MAX; i++) {
        line->turns[i].line = line;
    }
    return line;
}

void resume_line_free(struct resume_line *line)
{
    for (size_t i = 0; line != NULL && i < HUB_RESUMES_MAX; i++) {
        if (line->turns[i].busy) {
            db_forget(line->api->opts.db, &line->turns[i]);
        }
    }
    if (line != NULL) {
        loop_timer_stop(&line->rest);
    }
    mem_free(line);
}

static void count_waiting(const struct resume_line *line)
{
    stats_set(line->api->opts.stats, STAT_STREAM_RESUMES_WAITING, (int64_t)line->waiting.n);
}

/* Not all at the same time: what failed for one failed for many. */
static void try_later(struct resume_line *line, struct loop_timer *timer)
{
    stats_inc(line->api->opts.stats, STAT_STREAM_RESUME_RETRIES);
    loop_timer_start(timer, rng_between(line->rng, HUB_DOWN_MS, HUB_DOWN_MS * 3 / 2), 0);
}

static void resume_free(struct stream *s)
{
    struct stream_resume *r = s->resume;
    struct resume_line *line = s->hub->resumes;
    if (r->turn != NULL) {
        r->turn->resume = NULL;
    }
    list_remove(&line->waiting, &r->node);
    count_waiting(line);
    loop_timer_stop(&r->again);
    ledger_deinit(&r->ledger);
    buf_deinit(&r->text);
    mem_free(TAKE_PTR(s->resume));
}

static void put_missed(void *ctx, int64_t room_id, const struct span_interval *gap, bool truncated)
{
    struct stream_resume *r = ctx;
    put_gap(&r->text, room_id, gap, truncated);
}

static void tell(struct stream *s, const struct db_rows *rows)
{
    struct stream_resume *r = s->resume;
    ledger_take(&r->ledger, rows);
    ledger_each_gap(&r->ledger, put_missed, r);
    if (r->text.len > 0 && buf_ok(&r->text)) {
        s->missed = frame_of_text(buf_str(&r->text));
    }
    resume_free(s);
    stream_wake(s);
}

static void resume_read(void *ctx, enum err_code code, const struct err *err ATTR_UNUSED,
                        const struct db_rows *rows)
{
    struct turn *turn = ctx;
    struct resume_line *line = turn->line;
    struct stream_resume *r = TAKE_PTR(turn->resume);
    turn->busy = false;
    if (r != NULL) {
        r->turn = NULL;
        if (code == ERR_OK) {
            tell(r->stream, rows);
        } else {
            try_later(line, &r->again);
        }
    }
    serve(line);
}

static bool ask(struct turn *turn, struct stream_resume *r)
{
    struct db *db = turn->line->api->opts.db;
    struct db_arg args[LEDGER_ARGS];
    struct err err;
    size_t n = ledger_args(&r->ledger, args);
    if (!db_is_up(db) || db_query(db, sql_stmt(ledger_sql(&r->ledger)), args, n, resume_read, turn,
                                  &err) != ERR_OK) {
        return false;
    }
    turn->busy = true;
    turn->resume = r;
    r->turn = turn;
    return true;
}

static struct turn *free_turn(struct resume_line *line)
{
    for (size_t i = 0; i < HUB_RESUMES_MAX; i++) {
        if (!line->turns[i].busy) {
            return &line->turns[i];
        }
    }
    return NULL;
}

/* Those whose turn it is ask. For whom memory has come to know it all meanwhile, nobody has to be asked. */
static void serve(void *ctx)
{
    struct resume_line *line = ctx;
    struct list_node *node;
    struct turn *turn;
    size_t n = 0;
    while (!loop_timer_armed(&line->rest) && (node = list_first(&line->waiting)) != NULL &&
           (turn = free_turn(line)) != NULL) {
        struct stream_resume *r = CONTAINER_OF(node, struct stream_resume, node);
        if (n++ == HUB_SLICE) {
            loop_timer_start(&line->rest, 0, 0);
        } else if (!ledger_needs_rows(&r->ledger)) {
            tell(r->stream, NULL);
        } else if (ask(turn, r)) {
            list_remove(&line->waiting, node);
        } else {
            try_later(line, &line->rest);
        }
    }
    count_waiting(line);
}

static void stand_in_line(void *ctx)
{
    struct stream_resume *r = ctx;
    struct resume_line *line = r->stream->hub->resumes;
    list_push_back(&line->waiting, &r->node);
    serve(line);
}

void stream_gaps_resume(struct stream *s, int64_t resume_id)
{
    struct api *a = s->hub->api;
    struct stream_resume *r = mem_new(struct stream_resume);
    s->resume = r;
    r->stream = s;
    buf_init(&r->text, ALL_LIMIT);
    loop_timer_init(&r->again, a->opts.loop, stand_in_line, r);
    ledger_init(&r->ledger, a, s->filter.rooms, s->filter.n_rooms, id_ts_ms(resume_id), INT64_MAX,
                true);
    if (ledger_needs_rows(&r->ledger)) {
        stand_in_line(r);
    } else {
        tell(s, NULL);
    }
}

void stream_gaps_deinit(struct stream *s)
{
    if (s->resume != NULL) {
        resume_free(s);
    }
    frame_unref(&s->missed);
}
