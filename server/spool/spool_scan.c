/* The start: every segment is read once, in the order of names. Blocking. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/core/mem.h"
#include "server/spool/spool_priv.h"

struct scan {
    struct spool *s;
    struct spool_found *found;
    uint64_t *names; /* owned */
    size_t n;
    size_t cap;
    int64_t lost_from; /* events from this id on may have been in a damaged part, 0: none */
    int64_t refusing_from;
    uint64_t n_holds_lost;
};

static void add_name(struct scan *c, uint64_t name)
{
    if (c->n == c->cap) {
        size_t cap = c->cap > 0 ? c->cap * 2 : 64;
        uint64_t *names = mem_new_array(uint64_t, cap);
        if (c->n > 0) {
            memcpy(names, c->names, c->n * sizeof(*names));
        }
        mem_free(c->names);
        c->names = names;
        c->cap = cap;
    }
    c->names[c->n++] = name;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum err_code list_files(struct scan *c, struct err *err)
{
    struct spool *s = c->s;
    int fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    if (dir == NULL) {
        int sys = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return err_set_sys(err, ERR_IO, sys, "spool %s: cannot be listed; check its permissions",
                           s->dir);
    }
    while ((e = readdir(dir)) != NULL) {
        uint64_t name;
        if (spool_name_parse(e->d_name, &name)) {
            add_name(c, name);
        } else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                   strcmp(e->d_name, "LOCK") != 0) {
            LOG(WARN, "spool", "left alone: not a segment", KV_CSTR("dir", s->dir),
                KV_CSTR("file", e->d_name));
        }
    }
    (void)closedir(dir);
    if (c->n > 0) {
        qsort(c->names, c->n, sizeof(*c->names), by_number);
    }
    return ERR_OK;
}

static bool take_event(struct scan *c, struct spool_segment *seg, int64_t id)
{
    struct spool *s = c->s;
    if (id <= s->disk_id) {
        return false;
    }
    if (c->lost_from != 0 && c->lost_from < id) {
        struct spool_dropped d = {0, c->lost_from, id - 1, 0};
        spool_reports_add(&s->found, &d);
    }
    c->lost_from = 0;
    c->refusing_from = 0;
    seg->first_id = seg->n_events == 0 ? id : seg->first_id;
    seg->last_id = id;
    seg->n_events++;
    s->disk_id = id;
    c->found->first_id = c->found->n_events == 0 ? id : c->found->first_id;
    c->found->n_events++;
    return true;
}

static void take_alive(struct scan *c, int64_t ms)
{
    if (ms > c->found->alive_ms) {
        c->found->alive_ms = ms;
    }
}

static void take_dropped(struct scan *c, const struct spool_dropped *d)
{
    if (d->last_id == SPOOL_OPEN_END) {
        c->refusing_from = d->first_id;
        return;
    }
    if (d->room_id == 0 && d->first_id == c->refusing_from) {
        c->refusing_from = 0; /* an earlier start has ended it (end_refusing) */
    }
    spool_reports_add(&c->s->found, d);
}

/* False: the record is against the order of ids, which is damage. */
static bool take_record(struct scan *c, struct spool_segment *seg, const struct spool_record *r)
{
    struct spool *s = c->s;
    switch (r->type) {
    case SPOOL_EVENT:
        return take_event(c, seg, r->id);
    case SPOOL_ALIVE:
        take_alive(c, r->ms);
        return true;
    case SPOOL_HOLD:
        if (spool_holds_set(&s->holds, r->key, &r->draft, r->ms) == ERR_OK) {
            spool_holds_found(&s->holds, r->key, seg);
        } else {
            c->n_holds_lost++;
        }
        return true;
    case SPOOL_HOLD_END:
        spool_holds_found_end(&s->holds, r->key);
        return true;
    case SPOOL_DROPPED:
        take_dropped(c, &r->dropped);
        return true;
    }
    UNREACHABLE();
}

static bool header_ok(int fd)
{
    char head[SPOOL_HEADER_BYTES];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    return n == (ssize_t)sizeof(head) && spool_header_ok((struct str){head, sizeof(head)});
}

/* Reads what is good; seg->end is where that ends. Returns whether the rest could be read and is no record. */
static bool walk(struct scan *c, struct spool_segment *seg, int fd, uint64_t size)
{
    struct spool_walk w;
    struct spool_record r;
    enum err_code code;
    if (!header_ok(fd)) {
        seg->end = 0;
        return size < SPOOL_HEADER_BYTES;
    }
    spool_walk_init(&w, fd, SPOOL_HEADER_BYTES, size);
    seg->end = w.at;
    while ((code = spool_walk_next(&w, &r)) == ERR_OK) {
        if (!take_record(c, seg, &r)) {
            code = ERR_CORRUPT;
            break;
        }
        seg->end = w.at;
    }
    if (code == ERR_NOT_FOUND) {
        seg->end = w.at;
    }
    c->found->bad_bytes += w.skipped;
    spool_walk_deinit(&w);
    return code == ERR_CORRUPT;
}

/* The end of the newest segment is torn when the process died within a write. Later starts would count it again. */
static void cut_tail(struct scan *c, struct spool_segment *seg, int fd)
{
    c->found->torn_bytes += seg->bytes - seg->end;
    LOG(WARN, "spool", "torn end of the newest segment cut off", KV_CSTR("dir", c->s->dir),
        KV_I64("bytes", (int64_t)(seg->bytes - seg->end)), KV_I64("last_id", c->s->disk_id));
    if (ftruncate(fd, (off_t)seg->end) == 0) {
        seg->bytes = seg->end;
    }
}

static void skip_damage(struct scan *c, struct spool_segment *seg)
{
    char name[SPOOL_NAME_BYTES];
    spool_name_format(seg->name, name);
    c->found->bad_bytes += seg->bytes - seg->end;
    c->lost_from = c->s->disk_id + 1;
    LOG(ERROR, "spool", "damaged: the rest of the segment is skipped", KV_CSTR("dir", c->s->dir),
        KV_CSTR("file", name), KV_I64("offset", (int64_t)seg->end),
        KV_I64("bytes", (int64_t)(seg->bytes - seg->end)));
}

static int open_segment(const struct spool *s, uint64_t name, bool newest, struct stat *ret)
{
    int fd = -1;
    if ((!newest || spool_file_open(s->dirfd, name, true, &fd) != 0) &&
        spool_file_open(s->dirfd, name, false, &fd) != 0) {
        return -1;
    }
    if (fstat(fd, ret) != 0 || !S_ISREG(ret->st_mode)) {
        (void)close(fd);
        return -1;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return fd;
}

static void scan_segment(struct scan *c, uint64_t name, bool newest)
{
    struct spool *s = c->s;
    struct stat st;
    int fd = open_segment(s, name, newest, &st);
    if (fd < 0) {
        char text[SPOOL_NAME_BYTES];
        spool_name_format(name, text);
        LOG(ERROR, "spool", "left alone: cannot be opened as a segment", KV_CSTR("dir", s->dir),
            KV_CSTR("file", text));
        return;
    }
    struct spool_segment *seg = spool_segment_new(name);
    seg->bytes = (uint64_t)st.st_size;
    bool torn = walk(c, seg, fd, seg->bytes);
    if (seg->end < seg->bytes) {
        if (newest && torn) {
            cut_tail(c, seg, fd);
        } else {
            skip_damage(c, seg);
        }
    }
    seg->synced = seg->end;
    (void)close(fd);
    c->found->n_segments++;
    if (seg->bytes <= SPOOL_HEADER_BYTES && spool_file_remove(s->dirfd, name) == 0) {
        spool_segment_free(seg); /* made, and never written to */
        return;
    }
    spool_segments_push(&s->table, seg);
}

/* Events were being refused when the process died: until then all of them are missing. Whose they were died with it. */
static void end_refusing(struct scan *c)
{
    int64_t last = id_first_of_ms(c->found->alive_ms + 1) - 1;
    struct spool_dropped d = {0, c->refusing_from, c->refusing_from, 0};
    if (c->refusing_from == 0) {
        return;
    }
    d.last_id = last > d.first_id ? last : d.first_id;
    spool_reports_add(&c->s->found, &d);
    spool_reports_add(&c->s->unwritten, &d);
}

static void finish(struct scan *c)
{
    struct spool *s = c->s;
    s->next_name = c->n > 0 ? c->names[c->n - 1] + 1 : 1;
    s->appended_id = s->disk_id;
    s->told_id = s->disk_id;
    s->kept_id = s->disk_id;
    c->found->last_id = s->disk_id;
    if (s->disk_id > 0) {
        take_alive(c, id_ts_ms(s->disk_id));
    }
    end_refusing(c);
    stats_add(s->stats, STAT_SPOOL_TORN_BYTES, (int64_t)c->found->torn_bytes);
    stats_add(s->stats, STAT_SPOOL_BAD_BYTES, (int64_t)c->found->bad_bytes);
    stats_add(s->stats, STAT_SPOOL_HOLDS_LOST, (int64_t)c->n_holds_lost);
}

enum err_code spool_scan(struct spool *s, struct spool_found *found, struct err *err)
{
    struct scan c = {.s = s, .found = found};
    enum err_code code = list_files(&c, err);
    if (code == ERR_OK) {
        for (size_t i = 0; i < c.n; i++) {
            scan_segment(&c, c.names[i], i + 1 == c.n);
        }
        finish(&c);
    }
    mem_free(c.names);
    return code;
}
