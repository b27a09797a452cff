#include "tests/sim/sim_priv.h"

#include "server/core/mem.h"

enum { DRIP_MS = 100, LOST_CLOSE_MS = 10000 };

static bool exhausted(const struct sim_fault *f)
{
    return f->times > 0 && f->fired >= f->times;
}

static bool names(const struct sim_fault *f, int64_t room_id, unsigned host)
{
    return (f->room == 0 || f->room == room_id) && (f->host < 0 || f->host == (int64_t)host);
}

static void fired(struct sim_conn *c, struct sim_fault *f)
{
    struct sim_record_conn who = sim_server_record_conn(c);

    f->fired++;
    c->server->stats.faults++;
    sim_record_fault(c->server->deps.record, &who, sim_fault_name(f->kind));
}

const struct sim_fault *sim_conn_auth_fault(struct sim_conn *c, int64_t room_id)
{
    struct sim_server *s = c->server;

    for (size_t i = 0; i < s->n_faults; i++) {
        struct sim_fault *f = &s->faults[i];

        if (sim_fault_class(f->kind) == SIM_FAULT_ACCEPT && !exhausted(f) &&
            names(f, room_id, c->host) && (int64_t)rng_below(&s->rng, 100) < f->chance) {
            fired(c, f);
            return f;
        }
    }
    return NULL;
}

/* Whether the rule is due on this connection now; sets when it will be due again. */
static bool due(struct sim_conn *c, const struct sim_fault *f, uint64_t *next)
{
    bool now;

    if (exhausted(f) || !names(f, c->room->id, c->host) || f->after_ms > 0) {
        return false;
    }
    if (*next == 0) {
        *next = (int64_t)rng_below(&c->server->rng, 100) < f->chance
                    ? c->n_messages + (uint64_t)f->after + 1
                    : UINT64_MAX;
    }
    now = c->n_messages + 1 >= *next;
    if (now) {
        *next = f->every > 0 ? c->n_messages + (uint64_t)f->every + 1 : UINT64_MAX;
    }
    return now;
}

/* END rules wait for the next frame, so that it can be cut; without one to come (after 0) they fire at once. */
void sim_conn_faults(struct sim_conn *c)
{
    struct sim_server *s = c->server;

    for (size_t i = 0; i < s->n_faults && c->state == SIM_CONN_READY && !c->lost; i++) {
        struct sim_fault *f = &s->faults[i];
        enum sim_fault_class class = sim_fault_class(f->kind);

        if (class == SIM_FAULT_ACCEPT || class == SIM_FAULT_LISTEN ||
            (class == SIM_FAULT_END && f->after > 0)) {
            continue;
        }
        if (due(c, f, &c->fault_next[i])) {
            sim_conn_play(c, f);
        }
    }
}

bool sim_conn_cut(struct sim_conn *c, struct str frame)
{
    struct sim_server *s = c->server;

    for (size_t i = 0; i < s->n_faults; i++) {
        struct sim_fault *f = &s->faults[i];

        if (sim_fault_class(f->kind) != SIM_FAULT_END || f->after == 0 ||
            !due(c, f, &c->fault_next[i])) {
            continue;
        }
        fired(c, f);
        if (f->kind != SIM_FAULT_KIND_CLOSE) {
            struct sim_head h; /* of several plain packets only the first begins */

            sim_head_get(frame.ptr, &h);
            sim_sock_put(&c->sock, str_sub(frame, 0, h.packet_len / 2));
        }
        sim_conn_end(c, sim_fault_name(f->kind), f->kind == SIM_FAULT_KIND_RESET);
        return true;
    }
    return false;
}

static void play_end(struct sim_conn *c, const struct sim_fault *f)
{
    uint8_t head[SIM_HEAD_BYTES];

    sim_head_put(head, &(struct sim_head){
                           .packet_len = 500, .head_len = SIM_HEAD_BYTES, .op = SIM_OP_MESSAGE});
    if (f->kind != SIM_FAULT_KIND_CLOSE) {
        sim_sock_put(&c->sock, (struct str){(const char *)head, sizeof(head)});
        sim_sock_put(&c->sock, STR("{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25"));
    }
    sim_conn_end(c, sim_fault_name(f->kind), f->kind == SIM_FAULT_KIND_RESET);
}

static void play_mode(struct sim_conn *c, const struct sim_fault *f)
{
    if (f->kind == SIM_FAULT_KIND_DRIP) {
        sim_sock_drip(&c->sock, f->size > 0 ? (size_t)f->size : 3, DRIP_MS);
    } else if (f->kind == SIM_FAULT_KIND_STALL) {
        c->stalled = true;
    } else {
        c->deaf = true;
    }
    if (f->for_ms > 0) {
        loop_timer_start(&c->mode_end, f->for_ms, 0);
    }
}

/* A danmaku that is sound but for its text; to this connection only. */
static void play_text(struct sim_conn *c, const struct sim_fault *f)
{
    struct sim_server *s = c->server;
    struct sim_batch *b = sim_batch_new(s);
    struct sim_msg *m = mem_new(struct sim_msg);
    size_t mark;
    struct buf sound;
    struct buf frame;

    buf_init(&sound, SIM_MESSAGE_MAX);
    buf_init(&frame, SIM_MESSAGE_MAX);
    sim_gen_say(&c->room->gen, STR("坏" SIM_FAULT_MARK "字"), m);
    sim_gen_render(&c->room->gen, m, c->masked, &sound);
    mark = sim_packet_begin(&frame);
    sim_fault_spoil(f->kind, buf_str(&sound), &frame);
    sim_packet_end(&frame, mark);
    buf_clear(&sound);
    sim_fault_clean(f->kind, sim_msg_text(m), &sound);
    m->text_len = (uint32_t)sound.len;
    memcpy(m->text, sound.data, sound.len);
    if (s->deps.record) {
        sim_record_members(m, c->masked, sim_fault_name(f->kind), &b->lines[c->masked]);
    }
    b->event[0] = b->n = 1;
    b->extra = true;
    sim_conn_put_frame(c, b, 1, buf_str(&frame), false);
    sim_batch_unref(b);
    buf_deinit(&frame);
    buf_deinit(&sound);
    mem_free(m);
}

static void on_lost_for_long(void *ctx)
{
    sim_conn_kill(ctx, "lost", false);
}

static void play_bytes(struct sim_conn *c, const struct sim_fault *f)
{
    struct buf b;

    buf_init(&b, SIM_FAULT_BYTES_MAX);
    sim_fault_bytes(f, sim_conn_ver(c), &c->server->rng, &b);
    sim_sock_put(&c->sock, buf_str(&b));
    buf_deinit(&b);
    if (sim_fault_class(f->kind) == SIM_FAULT_LOST) {
        c->lost = true;
        loop_timer_stop(&c->mode_end);
        loop_timer_init(&c->mode_end, c->server->loop, on_lost_for_long, c);
        loop_timer_start(&c->mode_end, LOST_CLOSE_MS, 0);
    }
}

void sim_conn_play(struct sim_conn *c, struct sim_fault *f)
{
    fired(c, f);
    switch (sim_fault_class(f->kind)) {
    case SIM_FAULT_END:
        play_end(c, f);
        return;
    case SIM_FAULT_MODE:
        play_mode(c, f);
        return;
    case SIM_FAULT_BYTES:
    case SIM_FAULT_LOST:
        if (f->kind == SIM_FAULT_KIND_DUP) {
            c->repeat = true;
        } else if (sim_fault_is_text(f->kind)) {
            play_text(c, f);
        } else {
            play_bytes(c, f);
        }
        return;
    case SIM_FAULT_ACCEPT:
    case SIM_FAULT_LISTEN:
        return;
    }
}
