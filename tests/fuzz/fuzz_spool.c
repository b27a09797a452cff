/* Any bytes as a record, as a segment that is walked over, and as the newest and an older segment of a spool that starts. */
#include "server/spool/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/spool/spool_file.h"
#include "server/spool/spool_record.h"
#include "tests/fuzz/fuzz.h"

/* No power is lost here. */
int fdatasync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

int fsync(int fd)
{
    return fd >= 0 ? 0 : -1;
}

enum { OUT_MAX = 64 << 10 };

/* What is read and written again is the same, byte for byte, unless the strings are longer than those of an event. */
static void write_again(const struct spool_record *r, struct str bytes)
{
    struct buf out;
    struct event *e = NULL;
    buf_init(&out, OUT_MAX);
    if (r->type == SPOOL_EVENT || r->type == SPOOL_HOLD) {
        const struct event_draft *d = &r->draft;
        if (d->uname.len > EVENT_UNAME_MAX || d->text.len > EVENT_TEXT_MAX ||
            d->medal.len > EVENT_MEDAL_MAX) {
            return;
        }
        e = event_new(r->type == SPOOL_EVENT ? r->id : 1, d);
        ASSERT(e != NULL);
    }
    switch (r->type) {
    case SPOOL_EVENT:
        spool_event_put(&out, e);
        break;
    case SPOOL_ALIVE:
        spool_alive_put(&out, r->ms);
        break;
    case SPOOL_HOLD:
        spool_hold_put(&out, r->key, r->ms, e);
        break;
    case SPOOL_HOLD_END:
        spool_hold_end_put(&out, r->key);
        break;
    case SPOOL_DROPPED:
        spool_dropped_put(&out, &r->dropped);
        break;
    }
    ASSERT(str_eq(buf_str(&out), bytes));
    event_unref(&e);
    buf_deinit(&out);
}

/* A fuzzer does not find crcs: they are put right in some records first. */
static void repair(char *bytes, size_t len, struct fuzz_input *in)
{
    size_t at = 0;
    while (len - at >= SPOOL_RECORD_HEAD_BYTES) {
        size_t length = (size_t)(unsigned char)bytes[at] | (size_t)(unsigned char)bytes[at + 1]
                                                               << 8;
        if (length < 1 || length > len - at - 8) {
            return;
        }
        bytes[at + 2] = 0;
        bytes[at + 3] = 0;
        if (fuzz_choose(in, 16) != 15) {
            uint32_t crc = hash_crc32c(0, bytes + at + 8, length);
            for (size_t i = 0; i < 4; i++) {
                bytes[at + 4 + i] = (char)(crc >> (8 * i));
            }
        }
        at += 8 + length;
    }
}

static void records(struct str bytes)
{
    struct spool_record r;
    size_t used = 0;
    while (bytes.len > 0) {
        enum err_code code = spool_record_get(bytes, &used, &r);
        if (code == ERR_OK) {
            write_again(&r, str_sub(bytes, 0, used));
        } else if (code != ERR_INVALID) {
            return;
        }
        ASSERT(used >= SPOOL_RECORD_HEAD_BYTES && used <= bytes.len);
        bytes = str_sub(bytes, used, bytes.len);
    }
}

static void walk(int fd, uint64_t from, uint64_t end)
{
    struct spool_walk w;
    struct spool_record r;
    uint64_t at = from;
    enum err_code code;
    spool_walk_init(&w, fd, from, end);
    while ((code = spool_walk_next(&w, &r)) == ERR_OK) {
        ASSERT(w.at > at && w.at <= end);
        at = w.at;
    }
    ASSERT(code != ERR_NOT_FOUND || w.at == w.end);
    ASSERT(code != ERR_IO);
    spool_walk_deinit(&w);
}

/* --- a whole start --- */

struct world {
    char dir[64];
    struct loop *loop;
    struct spool_found found;
    uint64_t n_read;
    int64_t last_id;
    bool done;
};

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    (void)ctx;
    ASSERT(durable);
    for (size_t i = 0; i < n; i++) {
        event_unref(&events[i]);
    }
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        ASSERT(rooms[i].first_id <= rooms[i].last_id);
    }
}

static void on_read(void *ctx, struct event **events, size_t n)
{
    struct world *w = ctx;
    for (size_t i = 0; i < n; i++) {
        ASSERT(events[i]->id > w->last_id);
        w->last_id = events[i]->id;
        event_unref(&events[i]);
    }
    w->n_read += n;
    w->done = n == 0;
}

static void on_hold(void *ctx, int64_t key, const struct event_draft *d, int64_t until_ms)
{
    (void)ctx;
    (void)key;
    (void)until_ms;
    ASSERT(d->text.len <= EVENT_TEXT_MAX);
}

static void on_closed(void *ctx)
{
    struct world *w = ctx;
    w->done = true;
}

static void store(const struct world *w, const char *name, struct str bytes)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    (void)close(fd);
}

/* One turn of the loop; waits for it to have something to do. */
static void turn(struct loop *l)
{
    struct pollfd p = {.fd = uv_backend_fd(loop_uv(l)), .events = POLLIN};
    (void)poll(&p, 1, uv_backend_timeout(loop_uv(l)));
    (void)loop_turn(l);
}

/* Opens, reads all, closes. */
static void start(struct world *w)
{
    struct spool *s;
    struct spool_opts opts = {.dir = w->dir,
                              .max_bytes = 64 << 20,
                              .on_written = on_written,
                              .on_dropped = on_dropped,
                              .ctx = w};
    ASSERT(spool_open(w->loop, &opts, NULL, &s, &w->found, NULL) == ERR_OK);
    spool_each_hold(s, on_hold, w);
    w->n_read = 0;
    w->last_id = 0;
    do {
        spool_read(s, w->last_id, 64, 1 << 20, on_read, w);
        uint64_t before = w->n_read;
        w->done = false;
        while (!w->done && w->n_read == before) {
            turn(w->loop);
        }
    } while (!w->done);
    ASSERT(w->n_read == w->found.n_events && w->last_id == w->found.last_id);
    w->done = false;
    spool_close(s, on_closed, w);
    while (!w->done) {
        turn(w->loop);
    }
}

static void quiet(void *ctx, struct str line)
{
    (void)ctx;
    (void)line;
}

static void starts(struct world *w, struct str segment, unsigned twice)
{
    store(w, "0000000000000001.seg", segment);
    if (twice) { /* an older one as well: its ids come again */
        store(w, "0000000000000002.seg", segment);
    }
    start(w);
    uint64_t n = w->found.n_events;
    start(
        w); /* the same again; what was torn is cut off, unless the older one has become the newest */
    ASSERT(w->found.n_events == n && (twice || w->found.torn_bytes == 0));
}

/* All files; the folder too at the end of the program. */
static void clean(const struct world *w)
{
    char path[400];
    struct dirent *e;
    DIR *dir = opendir(w->dir);
    ASSERT(dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.') {
            (void)snprintf(path, sizeof path, "%s/%s", w->dir, e->d_name);
            (void)unlink(path);
        }
    }
    (void)closedir(dir);
}

static struct world world;

static void at_end(void)
{
    clean(&world);
    (void)rmdir(world.dir);
    loop_free(world.loop);
}

static void make_world(struct world *w)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (w->loop == NULL) {
        log_set_sink(quiet, NULL);
        (void)snprintf(w->dir, sizeof w->dir, "%s/fuzz-spool.XXXXXX", base);
        ASSERT(mkdtemp(w->dir) != NULL);
        w->loop = loop_new();
        (void)atexit(at_end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    struct buf segment;
    make_world(&world);
    records(in.subject);
    buf_init(&segment, 1 << 20);
    if (fuzz_choose(&in, 8) != 7) {
        spool_header_put(&segment, 1);
    }
    size_t head = segment.len;
    buf_put(&segment, in.subject);
    if (buf_ok(&segment) && segment.len > head) {
        repair(segment.data + head, segment.len - head, &in);
        records(str_sub(buf_str(&segment), head, segment.len));
        int fd = memfd_create("segment", MFD_CLOEXEC);
        ASSERT(fd >= 0 && write(fd, segment.data, segment.len) == (ssize_t)segment.len);
        walk(fd, head, segment.len);
        (void)close(fd);
        starts(&world, buf_str(&segment), fuzz_choose(&in, 2));
        clean(&world);
    }
    buf_deinit(&segment);
    return 0;
}
