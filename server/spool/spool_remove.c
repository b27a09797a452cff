/* The remove lane, and all that makes room: acknowledged segments, overflow. */
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/id.h"
#include "server/spool/spool_priv.h"

enum {
    DOOMED_PART = 2
}; /* LIMIT: half of max_bytes, or one segment, may be on its way out beside max_bytes */

/* --- in the thread pool --- */

/* The rooms of all events, and reports of earlier drops that stand in the segment. */
static void count_dropped(struct spool_remove *r, int fd)
{
    struct spool_walk walk;
    struct spool_record record;
    spool_walk_init(&walk, fd, SPOOL_HEADER_BYTES, r->end);
    while (spool_walk_next(&walk, &record) == ERR_OK) {
        if (record.type == SPOOL_EVENT) {
            r->n_seen++;
            if (record.id <= r->after) {
                continue; /* in the database */
            }
            struct spool_dropped d = {record.draft.room_id, record.id, record.id, 1};
            spool_rooms_add(&r->rooms, &d);
        } else if (record.type == SPOOL_DROPPED && record.dropped.last_id != SPOOL_OPEN_END) {
            spool_reports_add(&r->older, &record.dropped);
        }
    }
    spool_walk_deinit(&walk);
}

static void remove_work(uv_work_t *req)
{
    struct spool_remove *r = CONTAINER_OF(req, struct spool_remove, req);
    int fd = -1;
    if (!r->reading) {
        r->sys = spool_file_remove(r->dirfd, r->name);
    } else if (spool_file_open(r->dirfd, r->name, false, &fd) == 0) {
        count_dropped(r, fd);
        (void)close(fd);
    }
}

/* --- on the loop --- */

static void tell_dropped(struct spool *s, struct spool_reports *list)
{
    if (list->n > 0) {
        s->opts.on_dropped(s->opts.ctx, list->items, list->n);
    }
    spool_reports_deinit(list);
}

/* The reports of older drops that the segment carried: what is in the database needs none; one that reaches up to the
 * segment becomes part of its room's new report, because nothing between the two is kept either. */
static void keep_older(struct spool *s, struct spool_reports *older, struct spool_rooms *rooms)
{
    for (size_t i = 0; i < older->n; i++) {
        struct spool_dropped *d = &older->items[i];
        if (d->last_id <= s->acked_id) {
            continue;
        }
        if (d->first_id > s->acked_id && d->n > 0) {
            spool_rooms_add(rooms, d);
        } else {
            spool_reports_add(&s->unwritten, d);
        }
    }
    spool_reports_deinit(older);
}

static void report(struct spool *s, struct spool_segment *seg)
{
    struct spool_remove *r = &s->remove;
    struct spool_rooms kept = {0};
    struct spool_reports now = {0};
    uint64_t unseen = seg->n_events - r->n_seen;
    spool_reports_add_rooms(&now, &r->rooms);
    if (unseen > 0 &&
        seg->last_id > r->after) { /* it cannot be read: whose the others are is not known */
        int64_t first = seg->first_id > r->after ? seg->first_id : r->after + 1;
        struct spool_dropped all = {0, first, seg->last_id, unseen};
        spool_reports_add(&now, &all);
    }
    for (size_t i = 0; i < now.n; i++) {
        spool_rooms_add(&kept, &now.items[i]);
    }
    keep_older(s, &r->older, &kept);
    spool_reports_add_rooms(&s->unwritten, &kept);
    spool_flush_soon(s);
    uint64_t n = 0;
    for (size_t i = 0; i < now.n; i++) {
        n += now.items[i].n;
    }
    stats_add(s->stats, STAT_SPOOL_DROPPED_OLDEST, (int64_t)n);
    s->full_events += n;
    seg->reported = true;
    tell_dropped(s, &now);
    spool_ack_step(s);
}

static void removed(struct spool *s, struct spool_segment *seg)
{
    if (s->remove.failing) {
        s->remove.failing = false;
        backoff_reset(&s->remove_backoff);
        LOG(WARN, "spool", "deleting works again", KV_CSTR("dir", s->dir));
    }
    list_remove(&s->doomed, &seg->node);
    s->doomed_bytes -= seg->bytes;
    spool_segment_free(seg);
    spool_reader_let_go(s);
    spool_end_full(s);
}

static void remove_failed(struct spool *s, int sys)
{
    char text[ERR_MSG_BYTES];
    stats_inc(s->stats, STAT_SPOOL_ERRORS_REMOVE);
    if (!s->remove.failing) {
        s->remove.failing = true;
        LOG(ERROR, "spool", "cannot delete a finished segment: the spool fills up; trying again",
            KV_CSTR("dir", s->dir), KV_STR("err", str_of(uv_strerror_r(-sys, text, sizeof(text)))),
            KV_CSTR("do", spool_advice(sys)));
    }
    if (!s->closing) {
        loop_timer_start(&s->remove_timer, backoff_next_ms(&s->remove_backoff, &s->rng), 0);
    }
}

static void remove_done(uv_work_t *req, int status)
{
    struct spool_remove *r = CONTAINER_OF(req, struct spool_remove, req);
    struct spool *s = CONTAINER_OF(r, struct spool, remove);
    struct spool_segment *seg = r->seg;
    ASSERT(status == 0);
    r->busy = false;
    r->seg = NULL;
    if (r->reading && seg->last_id > s->acked_id) {
        report(s, seg);
    } else if (r->reading) { /* taken by the database at the last moment */
        spool_rooms_deinit(&r->rooms);
        spool_reports_deinit(&r->older);
    } else if (r->sys == 0) {
        removed(s, seg);
    } else {
        remove_failed(s, r->sys);
    }
    spool_remove_step(s);
    spool_step_close(s);
}

/* What was written anew for the segment's sake is to be synced. */
static bool waits_for_sync(struct spool *s, struct spool_segment *seg)
{
    if (!seg->moved || s->active == NULL) {
        return false;
    }
    if (seg->moved_name == 0) {
        seg->moved_name = s->active->name;
        seg->moved_end = s->active->end;
    }
    if (spool_sync_reached(s, seg->moved_name, seg->moved_end)) {
        return false;
    }
    spool_sync_soon(s);
    return true;
}

/* Must the segment wait? Its open holds and the reports shall be in the spool, and on the disk, before it goes. When nothing
 * can be written, it goes all the same: it may be what the disk is full of. */
static bool waits(struct spool *s, struct spool_segment *seg)
{
    if (spool_hushed(s)) {
        spool_holds_move(&s->holds, seg, true);
        return false;
    }
    if (seg->n_holds > 0) {
        spool_holds_move(&s->holds, seg, false);
    } else if (!seg->reported || s->unwritten.n == 0) {
        return waits_for_sync(s, seg);
    }
    seg->moved = true;
    spool_flush_soon(s);
    return true;
}

void spool_remove_step(struct spool *s)
{
    struct spool_remove *r = &s->remove;
    struct list_node *first = list_first(&s->doomed);
    if (r->busy || first == NULL || s->closing || loop_timer_armed(&s->remove_timer)) {
        return;
    }
    struct spool_segment *seg = CONTAINER_OF(first, struct spool_segment, node);
    r->reading = seg->dropped && !seg->reported && seg->last_id > s->acked_id;
    if (!r->reading && waits(s, seg)) {
        return; /* write_done comes back, or sync_done */
    }
    r->busy = true;
    r->seg = seg;
    r->dirfd = s->dirfd;
    r->name = seg->name;
    r->end = seg->end;
    /* As it was when it was dropped: what the writer stores since then may have passed over the segment. */
    r->after = seg->kept_id > s->acked_id ? seg->kept_id : s->acked_id;
    r->n_seen = 0;
    r->sys = 0;
    int rc = uv_queue_work(loop_uv(s->loop), &r->req, remove_work, remove_done);
    ASSERT(rc == 0);
}

/* The oldest segment, unless it is still being written. */
static struct spool_segment *oldest_closed(const struct spool *s)
{
    struct spool_segment *seg = s->table.n > 1 ? s->table.items[0] : NULL;
    return seg != NULL && seg->fd < 0 ? seg : NULL;
}

static void doom(struct spool *s)
{
    struct spool_segment *seg = spool_segments_shift(&s->table);
    s->doomed_bytes += seg->bytes;
    list_push_back(&s->doomed, &seg->node);
}

void spool_ack_sweep(struct spool *s)
{
    struct spool_segment *seg;
    while ((seg = oldest_closed(s)) != NULL && seg->last_id <= s->acked_id) {
        s->freed = s->freed || seg->n_events > 0;
        doom(s);
    }
    if (s->freed) {
        spool_end_full(s);
    }
    spool_remove_step(s);
}

static int64_t may_ack(const struct spool *s)
{
    int64_t id = s->acking_id;
    for (struct list_node *node = list_first(&s->doomed); node != NULL;
         node = list_next(&s->doomed, node)) {
        const struct spool_segment *seg = CONTAINER_OF(node, struct spool_segment, node);
        if (seg->dropped && !seg->reported && seg->passed_id < id) {
            id = seg->passed_id;
        }
    }
    return id;
}

void spool_ack_step(struct spool *s)
{
    const int64_t id = may_ack(s);
    if (id > s->acked_id) {
        s->acked_id = id;
        spool_missing_forget(&s->missing, id);
        spool_missing_forget(&s->loose, id);
        spool_ack_sweep(s);
    }
}

/* --- overflow --- */

bool spool_report_is_due(const struct spool *s, int64_t after)
{
    if (spool_hushed(s) || s->remove.failing) {
        return false; /* nobody knows how long that takes */
    }
    for (struct list_node *node = list_first(&s->doomed); node != NULL;
         node = list_next(&s->doomed, node)) {
        const struct spool_segment *seg = CONTAINER_OF(node, struct spool_segment, node);
        if (seg->dropped && seg->last_id > after && seg->last_id > seg->kept_id &&
            (!seg->reported || s->unwritten.n > 0)) {
            return true;
        }
    }
    return false;
}

void spool_passed_over(struct spool *s, int64_t after)
{
    for (struct list_node *node = list_first(&s->doomed); node != NULL;
         node = list_next(&s->doomed, node)) {
        struct spool_segment *seg = CONTAINER_OF(node, struct spool_segment, node);
        if (seg->dropped && seg->last_id > after && seg->last_id > seg->kept_id &&
            after < seg->passed_id) {
            seg->passed_id = after;
        }
    }
}

static void begin_full(struct spool *s)
{
    if (s->full) {
        return;
    }
    s->full = true;
    s->freed = false;
    s->full_events = 0;
    LOG(ERROR, "spool", "full: events are dropped until the database takes what is waiting",
        KV_CSTR("dir", s->dir), KV_I64("bytes", (int64_t)spool_bytes(s)),
        KV_CSTR("dropping", s->opts.overflow == SPOOL_DROP_OLDEST ? "oldest" : "newest"),
        KV_CSTR("do", "bring the database back, or raise spool_max_bytes"));
}

/* Acknowledged segments are gone, so there is room again. */
void spool_end_full(struct spool *s)
{
    if (!s->full || !s->freed || s->remove.failing) {
        return;
    }
    s->full = false;
    s->refusing_from = 0;
    spool_reports_add_rooms(&s->unwritten, &s->episode);
    spool_tell_refused(s);
    LOG(WARN, "spool", "no longer full", KV_CSTR("dir", s->dir),
        KV_I64("events_dropped", (int64_t)s->full_events));
}

static uint64_t used(const struct spool *s)
{
    return s->table.bytes + s->flight.bytes.len + s->queue.bytes.len;
}

/* What is doomed is on its way out and does not count, unless it cannot be deleted or piles up. One segment is no pile:
 * it may be a bit larger than the part, and the event that made it go must not be the one that finds no room. */
static bool doomed_fits(const struct spool *s, size_t bytes)
{
    uint64_t allowed = s->remove.failing ? 0 : s->opts.max_bytes / DOOMED_PART;
    return s->doomed_bytes <= allowed || (s->doomed.n == 1 && !s->remove.failing) ||
           used(s) + s->doomed_bytes + bytes <= s->opts.max_bytes;
}

bool spool_make_room(struct spool *s, size_t bytes)
{
    bool doomed = false;
    while (used(s) + bytes > s->opts.max_bytes) {
        struct spool_segment *seg = oldest_closed(s);
        if (s->opts.overflow == SPOOL_DROP_NEWEST || seg == NULL || !doomed_fits(s, bytes)) {
            return false;
        }
        if (seg->last_id > s->acked_id) { /* also if it only has reports that must not be lost */
            seg->dropped = true;
            seg->kept_id = s->stored_id;
            s->dropped_id = seg->last_id;
            if (seg->last_id > s->stored_id) {
                begin_full(s);
                spool_missing_add(&s->missing, seg->first_id, seg->last_id, seg->first_id);
            }
        }
        doom(s);
        doomed = true;
    }
    if (doomed) {
        spool_remove_step(s);
    }
    return doomed_fits(s, bytes);
}

void spool_refuse(struct spool *s, struct event *take)
{
    struct spool_dropped d = {take->room_id, take->id, take->id, 1};
    begin_full(s);
    if (s->refusing_from == 0) {
        s->refusing_from = take->id;
        spool_write_refusing(s);
    }
    spool_rooms_add(&s->refused, &d);
    spool_rooms_add(&s->episode, &d);
    spool_missing_add(&s->missing, take->id, take->id, s->refusing_from - 1);
    stats_inc(s->stats, STAT_SPOOL_DROPPED_NEWEST);
    s->full_events++;
    event_unref(&take);
    if (!loop_timer_armed(&s->report_timer)) {
        loop_timer_start(&s->report_timer, SPOOL_REPORT_MS, 0);
    }
}

void spool_tell_refused(struct spool *s)
{
    struct spool_reports list = {0};
    loop_timer_stop(&s->report_timer);
    spool_reports_add_rooms(&list, &s->refused);
    tell_dropped(s, &list);
}
