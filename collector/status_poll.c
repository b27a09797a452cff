#include "collector/status_poll.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum { SOON_MS = 1500, PAUSE_MAX_MS = 15 * 60 * 1000 };

/* A question under way; it outlives a status_poll that is freed. */
struct question {
    struct status_poll *poll; /* borrowed; NULL: freed */
    int64_t asked_ms;         /* wall */
    size_t n;
};

struct status_poll {
    struct loop *loop;
    struct stats *stats;
    struct status_poll_opts opts;
    struct loop_timer timer; /* the next thing to do */
    int64_t *rooms;          /* owned: of the round, n of them, `at` asked */
    size_t n;
    size_t at;
    int64_t *soon; /* owned, n_soon of STATUS_POLL_SOON_MAX */
    size_t n_soon;
    int64_t round_ms;           /* mono: the next round begins */
    int64_t pause_until_ms;     /* mono; 0 none */
    int64_t pause_ms;           /* length of the last pause; 0 none */
    struct question *under_way; /* shared with its callback */
    bool started;
    bool off; /* nobody is to be asked */
    bool works;
};

static void schedule(struct status_poll *p);

static void failed(struct status_poll *p, const struct err *err)
{
    int64_t pause = p->pause_ms > 0 ? p->pause_ms * 2 : p->opts.interval_ms;
    p->pause_ms = pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
    p->pause_ms = p->pause_ms > p->opts.interval_ms ? p->pause_ms : p->opts.interval_ms;
    stats_inc(p->stats, STAT_STATUS_POLLS_FAILED);
    if (p->works || p->pause_until_ms == 0) {
        LOG(WARN, "status_poll", "which rooms are on air cannot be asked, trying again later",
            KV_I64("retry_ms", p->pause_ms), KV_CSTR("error", err != NULL ? err->msg : ""));
    }
    p->works = false;
    p->pause_until_ms = loop_now_ms(p->loop) + p->pause_ms;
    p->n = p->at = 0; /* what is left of the round comes with the next one */
}

static void worked(struct status_poll *p, size_t n)
{
    stats_inc(p->stats, STAT_STATUS_POLLS_OK);
    stats_add(p->stats, STAT_STATUS_POLL_ROOMS, (int64_t)n);
    if (p->pause_ms > 0) {
        LOG0(INFO, "status_poll", "which rooms are on air can be asked again");
    }
    p->works = true;
    p->pause_ms = 0;
    p->pause_until_ms = 0;
}

static void on_answer(void *ctx, enum err_code code, const struct upstream_room *rooms, size_t n,
                      const struct err *err)
{
    struct question *q = ctx;
    if (q->poll != NULL && code == ERR_OK) {
        worked(q->poll, n);
        for (size_t i = 0; i < n && q->poll != NULL; i++) { /* a callback may free it */
            q->poll->opts.answer(q->poll->opts.ctx, &rooms[i], q->asked_ms);
        }
    } else if (q->poll != NULL) {
        failed(q->poll, err);
    }
    struct status_poll *p = q->poll;
    mem_free(q);
    if (p != NULL) {
        p->under_way = NULL;
        schedule(p);
    }
}

static void question_put(struct status_poll *p, const int64_t *rooms, size_t n)
{
    struct question *q = mem_new(struct question);
    *q = (struct question){.poll = p, .asked_ms = loop_wall_ms(p->loop), .n = n};
    p->under_way = q;
    p->opts.status(p->opts.status_ctx, rooms, n, on_answer, q);
}

/* What waits first, filled up with the next rooms of the round. */
static void ask(struct status_poll *p)
{
    int64_t rooms[UPSTREAM_STATUS_MAX];
    size_t n = p->n_soon < UPSTREAM_STATUS_MAX ? p->n_soon : UPSTREAM_STATUS_MAX;
    memcpy(rooms, p->soon, n * sizeof(rooms[0]));
    memmove(p->soon, p->soon + n, (p->n_soon - n) * sizeof(rooms[0]));
    p->n_soon -= n;
    while (n < UPSTREAM_STATUS_MAX && p->at < p->n) {
        rooms[n++] = p->rooms[p->at++];
    }
    if (n > 0) {
        question_put(p, rooms, n);
    }
}

static void on_timer(void *ctx)
{
    struct status_poll *p = ctx;
    const int64_t now = loop_now_ms(p->loop);
    if (p->at == p->n && now >= p->round_ms) {
        p->n = p->opts.rooms(p->opts.ctx, p->rooms, STATUS_POLL_ROOMS_MAX);
        p->at = 0;
        p->round_ms = now + p->opts.interval_ms;
    }
    ask(p);
    schedule(p);
}

/* Exactly one thing is due next: an answer, the end of a pause, the next question, the next round. */
static void schedule(struct status_poll *p)
{
    if (!p->started || p->under_way != NULL || p->opts.status == NULL || p->off) {
        return;
    }
    const int64_t now = loop_now_ms(p->loop);
    int64_t due = p->round_ms;
    if (p->at < p->n) {
        due = now;
    } else if (p->n_soon > 0 && now + SOON_MS < due) {
        due = now + SOON_MS;
    }
    due = due < p->pause_until_ms ? p->pause_until_ms : due;
    loop_timer_start(&p->timer, due > now ? due - now : 0, 0);
}

bool status_poll_ask(struct status_poll *p, int64_t room_id)
{
    if (p->opts.status == NULL || p->off || !p->started) {
        return false;
    }
    const bool pause = loop_now_ms(p->loop) < p->pause_until_ms;
    for (size_t i = 0; i < p->n_soon; i++) {
        if (p->soon[i] == room_id) {
            return !pause;
        }
    }
    if (p->n_soon == STATUS_POLL_SOON_MAX) {
        stats_inc(p->stats, STAT_STATUS_POLL_SKIPPED);
        return false;
    }
    p->soon[p->n_soon++] = room_id;
    if (p->n_soon == 1) {
        schedule(p);
    }
    return !pause;
}

bool status_poll_works(const struct status_poll *p)
{
    return p->works;
}

void status_poll_enable(struct status_poll *p, bool on)
{
    if (on != p->off) {
        return;
    }
    p->off = !on;
    p->n = p->at = p->n_soon = 0;
    p->works = false;
    p->round_ms = loop_now_ms(p->loop);
    loop_timer_stop(&p->timer);
    schedule(p);
}

void status_poll_set_interval(struct status_poll *p, int64_t interval_ms)
{
    const int64_t now = loop_now_ms(p->loop);
    p->opts.interval_ms = interval_ms;
    p->round_ms = p->round_ms < now + interval_ms ? p->round_ms : now + interval_ms;
    schedule(p);
}

void status_poll_start(struct status_poll *p)
{
    p->started = true;
    p->round_ms = loop_now_ms(p->loop);
    schedule(p);
}

struct status_poll *status_poll_new(struct loop *loop, const struct status_poll_opts *opts,
                                    struct stats *stats)
{
    struct status_poll *p = mem_new(struct status_poll);
    p->loop = loop;
    p->stats = stats;
    p->opts = *opts;
    p->rooms = mem_new_array(int64_t, STATUS_POLL_ROOMS_MAX);
    p->soon = mem_new_array(int64_t, STATUS_POLL_SOON_MAX);
    loop_timer_init(&p->timer, loop, on_timer, p);
    return p;
}

void status_poll_free(struct status_poll *p)
{
    if (p == NULL) {
        return;
    }
    loop_timer_stop(&p->timer);
    if (p->under_way != NULL) {
        p->under_way->poll = NULL;
    }
    mem_free(p->rooms);
    mem_free(p->soon);
    mem_free(p);
}
