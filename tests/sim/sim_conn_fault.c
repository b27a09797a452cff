#include "tests/sim/sim_priv.h"

#include "server/core/mem.h"

enum { DRIP_MS = 100, FRAGMENT_BYTES = 100, HALF_PACKET_BYTES = 500 };

static bool exhausted(const struct sim_fault *f)
{
    return f->times > 0 && f->fired >= f->times;
}

static bool names(const struct sim_fault *f, int64_t room_id, unsigned host)
{
    return (f->room == 0 || f->room == room_id) && (f->host < 0 || f->host == (int64_t)host);
}

/* Some kinds are of one transport only. */
static bool applies(const struct sim_fault *f, const struct sim_conn *c)
{
    const char *name = sim_fault_name(f->kind);

    if (str_starts(str_of(name), STR("tls_"))) {
        return c->link.kind == SIM_LINK_WSS;
    }
    return !str_starts(str_of(name), STR("ws_")) || sim_link_is_ws(&c->link);
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

const struct sim_fault *sim_conn_shake_fault(struct sim_conn *c, bool tls)
{
    struct sim_server *s = c->server;

    for (size_t i = 0; i < s->n_faults; i++) {
        struct sim_fault *f = &s->faults[i];
        bool of_tls = f->kind == SIM_FAULT_KIND_TLS_STALL || f->kind == SIM_FAULT_KIND_TLS_PLAIN;

        if (sim_fault_class(f->kind) == SIM_FAULT_SHAKE && of_tls == tls && !exhausted(f) &&
            f->after_ms == 0 && f->room == 0 && names(f, 0, c->host) &&
            (int64_t)rng_below(&s->rng, 100) < f->chance) {
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

    if (exhausted(f) || !names(f, c->room->id, c->host) || !applies(f, c) || f->after_ms > 0) {
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

        if (class == SIM_FAULT_ACCEPT || class == SIM_FAULT_LISTEN || class == SIM_FAULT_SHAKE ||
            (class == SIM_FAULT_END && f->after > 0)) {
            continue;
        }
        if (due(c, f, &c->fault_next[i])) {
            sim_conn_play(c, f);
        }
    }
}

/* Between two frames. */
static bool is_orderly(const struct sim_fault *f)
{
    return f->kind == SIM_FAULT_KIND_CLOSE || f->kind == SIM_FAULT_KIND_WS_CLOSE;
}

static void end(struct sim_conn *c, const struct sim_fault *f)
{
    if (f->kind == SIM_FAULT_KIND_WS_CLOSE && f->code > 0) {
        c->bye = (unsigned)f->code;
    }
    sim_conn_end(c, sim_fault_name(f->kind), f->kind == SIM_FAULT_KIND_RESET);
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
        if (!is_orderly(f)) {
            struct sim_head h; /* of several plain packets only the first begins */

            sim_head_get(frame.ptr, &h);
            sim_link_put_cut(&c->link, str_sub(frame, 0, h.packet_len), h.packet_len / 2);
        }
        end(c, f);
        return true;
    }
    return false;
}

static void play_end(struct sim_conn *c, const struct sim_fault *f)
{
    static const char begin[] = "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25";
    char packet[HALF_PACKET_BYTES] = {0};

    sim_head_put((uint8_t *)packet, &(struct sim_head){.packet_len = sizeof(packet),
                                                       .head_len = SIM_HEAD_BYTES,
                                                       .op = SIM_OP_MESSAGE});
    memcpy(packet + SIM_HEAD_BYTES, begin, sizeof(begin) - 1);
    if (!is_orderly(f)) {
        sim_link_put_cut(&c->link, (struct str){packet, sizeof(packet)},
                         SIM_HEAD_BYTES + sizeof(begin) - 1);
    }
    end(c, f);
}

static void play_mode(struct sim_conn *c, const struct sim_fault *f)
{
    if (f->kind == SIM_FAULT_KIND_DRIP) {
        sim_sock_drip(&c->sock, f->size > 0 ? (size_t)f->size : 3, DRIP_MS);
    } else if (f->kind == SIM_FAULT_KIND_WS_FRAGMENT) {
        c->link.fragment = f->size > 0 ? (size_t)f->size : FRAGMENT_BYTES;
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
        sim_record_members(m, c->masked, sim_fault_name(f->kind), &b->lines[c->form]);
    }
    b->event[0] = b->n = 1;
    b->extra = true;
    sim_conn_put_frame(c, b, 1, buf_str(&frame), false);
    sim_batch_unref(b);
    buf_deinit(&frame);
    buf_deinit(&sound);
    mem_free(m);
}

static void play_bytes(struct sim_conn *c, const struct sim_fault *f)
{
    struct buf b;

    buf_init(&b, SIM_FAULT_BYTES_MAX);
    sim_fault_bytes(f, sim_conn_ver(c), &c->server->rng, &b);
    if (sim_fault_is_frames(f->kind)) {
        sim_link_raw(&c->link, buf_str(&b));
    } else {
        sim_link_put(&c->link, buf_str(&b));
    }
    buf_deinit(&b);
    /* Each message of a websocket stands for itself: what cannot be read in one does not spoil the next. */
    if (sim_fault_class(f->kind) == SIM_FAULT_LOST &&
        (sim_fault_is_frames(f->kind) || !sim_link_is_ws(&c->link))) {
        sim_conn_on_lost(c);
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
    case SIM_FAULT_SHAKE:
        return;
    }
}
