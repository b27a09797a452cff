/* tests/bench/ingest/bench_ingest.c - from wire bytes to committed rows, beside bare COPY of the same rows.
 *
 *   bench_ingest FILE ROWS [ROUNDS]
 *
 * FILE holds packets one after another (tests/bench/decode/generate.py), replayed from memory over 100 rooms. Each round
 * runs, one after another into fresh databases of one server: bare COPY in batches of 5000 of rows made beforehand; from
 * frames to events in memory and no further, which is the most that one thread can bring; the whole path without spool;
 * the whole path with it. Prints rows/s, the share of bare COPY in the same round, our CPU per row (everything but the
 * server), WAL and table + index bytes per row. The server runs without fsync in all of them. Two batches go before the
 * clock starts, so that no way pays for its connection. What the upkeep does meanwhile (BRIN, ANALYZE, roll-ups) counts
 * against us, not against bare COPY. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "collector/wire/decode.h"
#include "collector/wire/packet.h"
#include "collector/writer/batch.h"
#include "collector/writer/writer.h"
#include "server/core/assert.h"
#include "server/core/bytes.h"
#include "server/core/clock.h"
#include "server/core/id.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/db/db_session.h"
#include "server/db/migrate.h"
#include "server/feed/feed.h"
#include "server/loop/loop.h"
#include "server/spool/spool.h"
#include "server/stats/stats.h"
#include "tests/support/pg_server.h"
#include "tests/support/tmp.h"

enum {
    FILE_MAX = 64 << 20,
    RING = 1 << 18,
    BATCH_ROWS = 5000,
    BATCH_BYTES = 8 << 20,
    WARM_ROWS = 2 * BATCH_ROWS,
    ROOMS = 100,
    FRAMES_PER_TURN = 20,
    TIMEOUT_MS = 60000,
};

struct run {
    struct loop *loop;
    struct stats *stats;
    struct packet_stream *stream;
    struct decoder *decoder;
    struct id_gen ids;
    struct feed *feed;
    struct spool *spool;   /* NULL: without */
    struct writer *writer; /* NULL: only counting events */
    struct str file;
    struct str rest;
    uint64_t rows; /* wanted */
    uint64_t made;
    uint64_t frame;
    int64_t last_id;
    bool done;
    struct loop_timer pump;
    /* one question of the writer */
    bool asked;
    int64_t after;
    size_t max_rows;
    void (*answer)(void *ctx, struct event **events, size_t n);
    void *answer_ctx;
    struct event *batch[BATCH_ROWS];
    /* bare COPY */
    struct db_session *session;
    struct buf copy;
    size_t batches;
    bool closed;
    void (*on_event)(struct run *r, struct event *take);
};

struct result {
    double rows_s, cpu_us, wal, bytes;
};

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_message(void *ctx, struct str json)
{
    struct run *r = ctx;
    struct decode_result d;
    decode_message(r->decoder, 1001 + (int64_t)(r->frame % ROOMS), json, &d);
    int64_t base = id_gen_message(&r->ids, loop_wall_ms(r->loop));
    for (size_t i = 0; i < d.n && r->made < r->rows; i++) {
        struct event *e = event_new(base + (int64_t)i, &d.drafts[i]);
        ASSERT(e != NULL);
        r->made++;
        r->last_id = e->id;
        r->on_event(r, e);
    }
}

static void on_reply(void *ctx, int64_t popularity)
{
    (void)ctx;
    (void)popularity;
}

static void on_auth(void *ctx, struct str body)
{
    (void)ctx;
    (void)body;
}

static void on_fault(void *ctx, enum packet_fault which)
{
    (void)ctx;
    (void)which;
    UNREACHABLE();
}

static void one_frame(struct run *r)
{
    const struct packet_sink sink = {.on_message = on_message,
                                     .on_heartbeat_reply = on_reply,
                                     .on_auth_reply = on_auth,
                                     .on_fault = on_fault,
                                     .ctx = r};
    if (r->rest.len == 0) {
        r->rest = r->file;
    }
    const uint32_t len = get_be32(r->rest.ptr);
    packet_message(r->stream, str_sub(r->rest, 0, len), &sink, NULL);
    r->rest = str_sub(r->rest, len, r->rest.len);
    r->frame++;
}

static void run_init(struct run *r, struct str file, uint64_t rows)
{
    *r = (struct run){.file = file, .rows = rows};
    r->loop = loop_new();
    r->stats = stats_new();
    r->stream = packet_stream_new(NULL);
    r->decoder = decoder_new();
    id_gen_init(&r->ids, 0);
}

static void run_deinit(struct run *r)
{
    feed_free(r->feed);
    stats_free(r->stats);
    packet_stream_free(r->stream);
    decoder_free(r->decoder);
    loop_free(r->loop);
}

/* --- the whole path --- */

static void publish(struct run *r, struct event *take)
{
    if (r->spool != NULL) {
        spool_append(r->spool, take);
        return;
    }
    feed_publish(r->feed, take);
    writer_poke(r->writer, 1);
}

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct run *r = ctx;
    ASSERT(durable);
    for (size_t i = 0; i < n; i++) {
        feed_publish(r->feed, events[i]);
    }
    writer_poke(r->writer, n);
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    (void)ctx;
    (void)rooms;
    (void)n;
    UNREACHABLE();
}

static void answer_now(void *ctx)
{
    struct run *r = ctx;
    uint64_t seq = feed_seek(r->feed, r->after);
    size_t n = 0;
    r->asked = false;
    for (const struct event *e;
         n < r->max_rows && n < BATCH_ROWS && (e = feed_at(r->feed, seq)) != NULL; seq++) {
        r->batch[n++] = event_ref(e);
    }
    r->answer(r->answer_ctx, r->batch, n);
}

static void fetch(void *ctx, int64_t after, size_t max_rows, size_t max_bytes,
                  void (*done)(void *done_ctx, struct event **events, size_t n), void *done_ctx)
{
    struct run *r = ctx;
    (void)max_bytes;
    r->asked = true;
    r->after = after;
    r->max_rows = max_rows;
    r->answer = done;
    r->answer_ctx = done_ctx;
    loop_defer(r->loop, answer_now, r);
}

static void committed(void *ctx, int64_t id)
{
    struct run *r = ctx;
    if (r->spool != NULL) {
        spool_ack(r->spool, id);
    }
    if (r->made == r->rows && id == r->last_id) {
        r->done = true;
    }
}

/* Frames as fast as they are decoded, but never so far ahead that the ring is lapped. */
static void on_pump(void *ctx)
{
    struct run *r = ctx;
    for (int i = 0; i < FRAMES_PER_TURN && r->made < r->rows; i++) {
        if (feed_head(r->feed) - feed_seek(r->feed, writer_committed(r->writer)) > RING / 2) {
            break;
        }
        one_frame(r);
    }
    if (r->made < r->rows) {
        loop_timer_start(&r->pump, 0, 0);
    }
}

static void on_closed(void *ctx)
{
    ((struct run *)ctx)->closed = true;
}

static void on_writer_closed(void *ctx, int64_t id)
{
    struct run *r = ctx;
    ASSERT(id == r->last_id);
    r->closed = true;
}

static void spin(struct run *r, const bool *until)
{
    while (!*until) {
        uv_run(loop_uv(r->loop), UV_RUN_ONCE);
    }
}

static void whole_path(struct run *r, const char *conninfo, const char *spool_dir)
{
    r->feed = feed_new(RING, SIZE_MAX);
    r->on_event = publish;
    if (spool_dir != NULL) {
        const struct spool_opts opts = {.dir = spool_dir,
                                        .sync_ms = 100,
                                        .max_bytes = (size_t)4 << 30,
                                        .segment_bytes = 16 << 20,
                                        .on_written = on_written,
                                        .on_dropped = on_dropped,
                                        .ctx = r};
        struct spool_found found;
        struct err err = {0};
        ASSERT(spool_open(r->loop, &opts, r->stats, &r->spool, &found, &err) == ERR_OK);
    }
    const struct writer_opts opts = {
        .conninfo = conninfo,
        .batch_rows = BATCH_ROWS,
        .batch_bytes = BATCH_BYTES,
        .batch_age_ms = 200,
        .timeout_ms = TIMEOUT_MS,
        .source = {.fetch = fetch, .committed = committed, .ctx = r},
    };
    r->writer = writer_new(r->loop, &opts, r->stats);
    loop_timer_init(&r->pump, r->loop, on_pump, r);
}

static void whole_path_close(struct run *r)
{
    r->closed = false;
    writer_close(r->writer, TIMEOUT_MS, on_writer_closed, r);
    spin(r, &r->closed);
    if (r->spool != NULL) {
        r->closed = false;
        spool_close(r->spool, on_closed, r);
        spin(r, &r->closed);
    }
}

/* Writes rows until so many have been made in all. */
static void write_rows(struct run *r, uint64_t rows)
{
    r->rows = rows;
    r->done = false;
    loop_timer_start(&r->pump, 0, 0);
    spin(r, &r->done);
}

/* --- no database --- */

static void drop(struct run *r ATTR_UNUSED, struct event *take)
{
    event_unref(&take);
}

static void make_rows(struct run *r, uint64_t rows)
{
    r->rows = rows;
    r->on_event = drop;
    while (r->made < rows) {
        one_frame(r);
    }
}

/* --- bare COPY --- */

static void to_text(struct run *r, struct event *take)
{
    batch_put(&r->copy, take);
    event_unref(&take);
}

static void on_copied(void *ctx, enum err_code code, const struct err *err,
                      const struct db_rows *rows)
{
    struct run *r = ctx;
    (void)rows;
    if (code != ERR_OK) {
        (void)fprintf(stderr, "COPY: %s\n", err->msg);
        exit(1);
    }
    r->done = true;
}

static void on_up(void *ctx)
{
    ((struct run *)ctx)->closed = true;
}

static void on_down(void *ctx, const struct err *err)
{
    (void)ctx;
    (void)fprintf(stderr, "session: %s\n", err->msg);
}

static void copy_one(struct run *r, const struct buf *text)
{
    struct err err = {0};
    r->done = false;
    ASSERT(db_session_copy(r->session, BATCH_COPY_SQL, buf_str(text), on_copied, r, &err) ==
           ERR_OK);
    spin(r, &r->done);
}

static double bare(struct run *r, const char *conninfo, double *ret_cpu)
{
    const struct db_session_opts opts = {.conninfo = conninfo,
                                         .application_name = "bench",
                                         .connect_timeout_ms = TIMEOUT_MS,
                                         .timeout_ms = TIMEOUT_MS,
                                         .on_up = on_up,
                                         .on_down = on_down,
                                         .ctx = r};
    size_t n = (size_t)((r->rows + BATCH_ROWS - 1) / BATCH_ROWS);
    struct buf *texts = mem_new_array(struct buf, n);
    r->on_event = to_text;
    uint64_t all = r->rows;
    for (size_t i = 0; i < n; i++) {
        buf_init(&r->copy, (size_t)64 << 20);
        r->rows = (uint64_t)(i + 1) * BATCH_ROWS < all ? (uint64_t)(i + 1) * BATCH_ROWS : all;
        while (r->made < r->rows) {
            one_frame(r);
        }
        texts[i] = r->copy;
    }
    r->session = db_session_new(r->loop, &opts, r->stats);
    spin(r, &r->closed);
    const size_t warm = WARM_ROWS / BATCH_ROWS;
    for (size_t i = 0; i < warm; i++) {
        copy_one(r, &texts[i]);
    }
    uint64_t start = clock_mono_ns();
    double cpu = cpu_s();
    for (size_t i = warm; i < n; i++) {
        copy_one(r, &texts[i]);
    }
    double s = (double)(clock_mono_ns() - start) / 1e9;
    *ret_cpu = cpu_s() - cpu;
    for (size_t i = 0; i < n; i++) {
        buf_deinit(&texts[i]);
    }
    mem_free(texts);
    r->closed = false;
    db_session_close(r->session, on_closed, r);
    spin(r, &r->closed);
    return s;
}

enum way { BARE, DECODED, RING_ONLY, SPOOLED, WAYS };

static struct result measure(struct pg_server *pg, struct str file, uint64_t rows, enum way way)
{
    char db[PG_SERVER_CONNINFO_BYTES];
    struct migrate_result migrated;
    struct err err = {0};
    pg_server_new_db(pg, db);
    ASSERT(migrate_run(db, &migrated, &err) == ERR_OK);
    pg_server_sql(
        db, "SELECT partition_make_day('event', ((now() AT TIME ZONE 'UTC')::date + n)::date) FROM "
            "generate_series(-1, 1) n");
    pg_server_sql(db, "CHECKPOINT");
    int64_t wal = pg_server_i64(db, "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8");

    struct run r;
    run_init(&r, file, rows);
    double seconds = 0;
    double cpu = 0;
    if (way == BARE) {
        seconds = bare(&r, db, &cpu);
    } else if (way == DECODED) {
        make_rows(&r, WARM_ROWS);
        uint64_t start = clock_mono_ns();
        cpu = cpu_s();
        make_rows(&r, rows);
        seconds = (double)(clock_mono_ns() - start) / 1e9;
        cpu = cpu_s() - cpu;
    } else {
        struct tmp_dir dir;
        char spool[TMP_PATH_BYTES];
        tmp_dir_make(&dir);
        tmp_path(&dir, "spool", spool);
        whole_path(&r, db, way == SPOOLED ? spool : NULL);
        write_rows(&r, WARM_ROWS);
        uint64_t start = clock_mono_ns();
        cpu = cpu_s();
        write_rows(&r, rows);
        seconds = (double)(clock_mono_ns() - start) / 1e9;
        cpu = cpu_s() - cpu;
        whole_path_close(&r);
        tmp_dir_remove(&dir);
    }
    const double timed = (double)(rows - WARM_ROWS);
    struct result res = {.rows_s = timed / seconds, .cpu_us = cpu * 1e6 / timed};
    res.wal =
        (double)(pg_server_i64(db, "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8") - wal) /
        (double)rows;
    res.bytes = (double)pg_server_i64(
                    db, "SELECT sum(pg_total_relation_size(inhrelid))::int8 FROM pg_inherits "
                        "WHERE inhparent = 'event'::regclass") /
                (double)rows;
    const uint64_t stored = way == DECODED ? 0 : rows;
    ASSERT(pg_server_i64(db, "SELECT count(*) FROM event") == (int64_t)stored);
    run_deinit(&r);
    return res;
}

int main(int argc, char **argv)
{
    static const char *const names[WAYS] = {"bare COPY, 5000 a batch", "wire to event, no rows",
                                            "wire to row, no spool", "wire to row, spool"};
    struct buf file;
    buf_init(&file, FILE_MAX);
    char *at = buf_reserve(&file, FILE_MAX);
    FILE *f = argc >= 3 ? fopen(argv[1], "rb") : NULL;
    if (f == NULL || at == NULL) {
        (void)fprintf(stderr, "usage: bench_ingest FILE ROWS [ROUNDS]\n");
        return 2;
    }
    buf_commit(&file, fread(at, 1, FILE_MAX, f));
    (void)fclose(f);
    uint64_t rows = strtoull(argv[2], NULL, 10) + WARM_ROWS;
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 3;
    log_set_level(LOG_LEVEL_WARN);
    struct pg_server *pg = pg_server_start(NULL);
    printf("%-26s %10s %7s %10s %8s %8s\n", "way", "rows/s", "share", "our CPU us", "WAL B",
           "disk B");
    for (int i = 0; i < rounds; i++) {
        double base = 0;
        for (enum way way = BARE; way < WAYS; way++) {
            struct result r = measure(pg, buf_str(&file), rows, way);
            base = way == BARE ? r.rows_s : base;
            printf("%-26s %10.0f %7.2f %10.2f %8.0f %8.0f\n", names[way], r.rows_s, r.rows_s / base,
                   r.cpu_us, r.wal, r.bytes);
            (void)fflush(stdout);
        }
    }
    pg_server_free(pg);
    buf_deinit(&file);
    return 0;
}
