#include "tests/sim/sim_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

struct sim_batch *sim_batch_new(struct sim_server *s)
{
    struct sim_batch *b = mem_new(struct sim_batch);

    b->server = s;
    b->refs = 1;
    for (int form = 0; form < SIM_FORMS; form++) {
        buf_init(&b->lines[form], SIM_RUN_MAX);
    }
    s->n_batches++;
    return b;
}

/* What no client was given does not count towards --count: it is made up for by other messages. */
void sim_batch_unref(struct sim_batch *b)
{
    struct sim_server *s;

    if (!b || --b->refs > 0) {
        return;
    }
    s = b->server;
    if (!b->extra && s->left != INT64_MAX) {
        for (int i = 0; i < SIM_BATCH_WORDS; i++) {
            s->left += __builtin_popcountll(b->event[i] & ~b->handed[i]);
        }
    }
    s->n_batches--;
    for (int form = 0; form < SIM_FORMS; form++) {
        buf_deinit(&b->lines[form]);
    }
    mem_free(b);
}

static void add_line(struct sim_batch *b, const struct sim_msg *m, int form, bool masked)
{
    if (b->server->deps.record) {
        sim_record_members(m, masked, NULL, &b->lines[form]);
    }
}

static void count(struct sim_batch *b, const struct sim_msg *m)
{
    ASSERT(b->n < SIM_BATCH_MAX);
    if (m->kind != SIM_KIND_OTHER && !m->dup) {
        b->event[b->n / 64] |= UINT64_C(1) << b->n % 64;
    }
    b->n++;
    b->server->stats.messages++;
}

void sim_batch_handed(struct sim_batch *b, unsigned i)
{
    uint64_t bit = UINT64_C(1) << i % 64;

    if (!(b->handed[i / 64] & bit)) {
        b->handed[i / 64] |= bit;
        b->server->n_events += (b->event[i / 64] & bit) != 0;
    }
}

/* What upstream keeps back from who is not what it says; danmaku and what is paid is not. In its place comes what comes to every
 * room now and then: which message is which is counted by their places. */
static bool withheld(const struct sim_msg *m, int form)
{
    return (form & SIM_FORM_THIN) != 0 &&
           (m->family == SIM_F_INTERACT || m->family == SIM_F_INTERACT2 ||
            m->family == SIM_F_ENTRY);
}

void sim_batch_add(struct sim_batch *b, struct sim_room *r, const struct sim_msg *m,
                   const bool forms[static SIM_FORMS])
{
    for (int form = 0; form < SIM_FORMS; form++) {
        struct buf *run = &b->server->run[form];

        if (forms[form]) {
            size_t mark = sim_packet_begin(run);

            const bool masked = (form & SIM_FORM_MASKED) != 0;

            if (withheld(m, form)) {
                buf_put(run,
                        STR("{\"cmd\":\"STOP_LIVE_ROOM_LIST\",\"data\":{\"room_id_list\":[]}}"));
                b->server->stats.withheld++;
            } else {
                sim_gen_render(&r->gen, m, masked, run);
            }
            sim_packet_end(run, mark);
            add_line(b, m, form, masked);
        }
    }
    count(b, m);
}

void sim_batch_add_raw(struct sim_batch *b, struct str json, const struct sim_msg *m,
                       const bool forms[static SIM_FORMS])
{
    for (int form = 0; form < SIM_FORMS; form++) {
        if (forms[form]) {
            sim_packet_put(&b->server->run[form], SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, json);
            add_line(b, m, form, false);
        }
    }
    count(b, m);
}
