/* The sync lane: fdatasync beside the writes, at most every sync_ms. */
#include <errno.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/clock.h"
#include "server/spool/spool_priv.h"

static void sync_work(uv_work_t *req)
{
    struct spool_sync *y = CONTAINER_OF(req, struct spool_sync, req);
    uint64_t began = clock_mono_ns();
    /* A segment exists after a power loss only if its directory entry does. */
    if (y->dirfd >= 0 && fsync(y->dirfd) != 0) {
        y->sys = errno;
    }
    if (fdatasync(y->fd) != 0) {
        y->sys = errno;
    }
    y->took_ns = clock_mono_ns() - began;
    if (y->closing) {
        (void)close(y->fd);
    }
}

static void sync_done(uv_work_t *req, int status)
{
    struct spool_sync *y = CONTAINER_OF(req, struct spool_sync, req);
    struct spool *s = CONTAINER_OF(y, struct spool, sync);
    struct spool_segment *seg = y->seg;
    ASSERT(status == 0);
    y->busy = false;
    y->seg = NULL;
    stats_observe_ms(s->sync_time, (double)y->took_ns / 1e6);
    if (y->closing) {
        seg->fd = -1;
        list_remove(&s->retiring, &seg->node);
    }
    if (y->sys == 0) {
        stats_add(s->stats, STAT_SPOOL_SYNCED_BYTES, (int64_t)(y->upto - seg->synced));
        seg->synced = y->upto;
        s->n_made_synced = y->n_made;
    } else {
        stats_inc(s->stats, STAT_SPOOL_ERRORS_SYNC);
        spool_write_degrade(s, "sync", y->sys);
    }
    spool_write_step(s, false); /* a rotation may have waited */
    spool_sync_step(s);
    spool_ack_sweep(s);
    spool_step_close(s);
}

static bool is_behind(const struct spool *s)
{
    return s->active != NULL && s->active->synced < s->active->end;
}

bool spool_sync_idle(const struct spool *s)
{
    return !s->sync.busy && s->retiring.n == 0 && !is_behind(s);
}

bool spool_sync_reached(const struct spool *s, uint64_t name, uint64_t end)
{
    for (struct list_node *node = list_first(&s->retiring); node != NULL;
         node = list_next(&s->retiring, node)) {
        const struct spool_segment *seg = CONTAINER_OF(node, struct spool_segment, node);
        if (seg->name == name) {
            return seg->synced >= end;
        }
    }
    return s->active == NULL || s->active->name != name || s->active->synced >= end;
}

void spool_sync_soon(struct spool *s)
{
    s->sync_now = true;
    spool_sync_step(s);
}

void spool_sync_step(struct spool *s)
{
    struct spool_sync *y = &s->sync;
    struct list_node *old = list_first(&s->retiring);
    int64_t wait_ms = s->sync_began_ms + s->opts.sync_ms - loop_now_ms(s->loop);
    if (y->busy || (old == NULL && !is_behind(s))) {
        return;
    }
    if (old == NULL && wait_ms > 0 && !s->closing && !s->sync_now) {
        if (!loop_timer_armed(&s->sync_timer)) {
            loop_timer_start(&s->sync_timer, wait_ms, 0);
        }
        return;
    }
    s->sync_now = false;
    y->busy = true;
    y->closing = old != NULL;
    y->seg = old != NULL ? CONTAINER_OF(old, struct spool_segment, node) : s->active;
    y->upto = y->seg->end;
    y->fd = y->seg->fd;
    y->dirfd = s->n_made_synced < s->n_made ? s->dirfd : -1;
    y->n_made = s->n_made;
    y->sys = 0;
    s->sync_began_ms = loop_now_ms(s->loop);
    int rc = uv_queue_work(loop_uv(s->loop), &y->req, sync_work, sync_done);
    ASSERT(rc == 0);
}
