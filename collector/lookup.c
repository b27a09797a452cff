#include "collector/lookup.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

struct lookup {
    struct loop *loop;
    struct fleet_source source;
    struct lookup_item *items; /* owned */
    bool *known;               /* owned; per item: answered */
    size_t n;
    size_t next;     /* first item that the present kind of question has not reached */
    size_t asked;    /* items of the question for status that is under way, from next - asked on */
    bool one_by_one; /* the questions for status are done */
    struct err err;
    lookup_done_fn *done;
    void *ctx;
};

static void ask(struct lookup *l);

static void finish(void *ctx)
{
    struct lookup *l = ctx;
    l->done(l->ctx, l->items, l->n, &l->err);
    for (size_t i = 0; i < l->n; i++) {
        room_facts_deinit(&l->items[i].facts);
    }
    mem_free(l->items);
    mem_free(l->known);
    mem_free(l);
}

static void take(struct lookup *l, size_t i, const struct upstream_room *room)
{
    l->known[i] = true;
    l->items[i].code = room->room_id > 0 ? ERR_OK : ERR_PROTO;
    l->items[i].room_id = room->room_id;
    (void)room_facts_update(&l->items[i].facts, room);
}

/* Upstream is away, or refuses us: all that is left is as unknown as this one. */
static void give_up(struct lookup *l, enum err_code code, const struct err *err)
{
    l->err = *err;
    for (size_t i = 0; i < l->n; i++) {
        l->items[i].code = l->known[i] ? l->items[i].code : code;
    }
    finish(l);
}

static void on_status(void *ctx, enum err_code code, const struct upstream_room *rooms, size_t n,
                      const struct err *err)
{
    struct lookup *l = ctx;
    if (code != ERR_OK && code != ERR_NOT_FOUND && code != ERR_PROTO) {
        give_up(l, code, err);
        return;
    }
    for (size_t i = l->next - l->asked; code == ERR_OK && i < l->next; i++) {
        for (size_t k = 0; k < n && !l->known[i]; k++) {
            if (rooms[k].room_id == l->items[i].number) {
                take(l, i, &rooms[k]);
            }
        }
        for (size_t k = 0; k < n && !l->known[i]; k++) {
            if (rooms[k].short_id == l->items[i].number) {
                take(l, i, &rooms[k]);
            }
        }
    }
    ask(l);
}

static void on_resolved(void *ctx, enum err_code code, const struct upstream_room *room,
                        const struct err *err)
{
    struct lookup *l = ctx;
    const size_t i = l->next - 1;
    if (code == ERR_OK) {
        take(l, i, room);
    } else if (code == ERR_NOT_FOUND || code == ERR_PROTO) { /* of this room only */
        l->known[i] = true;
        l->items[i].code = code;
        l->err = code == ERR_PROTO ? *err : l->err;
    } else {
        give_up(l, code, err);
        return;
    }
    ask(l);
}

static void ask_status(struct lookup *l)
{
    int64_t ids[UPSTREAM_STATUS_MAX];
    l->asked = 0;
    while (l->next < l->n && l->asked < UPSTREAM_STATUS_MAX) {
        ids[l->asked++] = l->items[l->next++].number;
    }
    l->source.status(l->source.ctx, ids, l->asked, on_status, l);
}

static void ask(struct lookup *l)
{
    if (!l->one_by_one && l->next < l->n) {
        ask_status(l);
        return;
    }
    if (!l->one_by_one) {
        l->one_by_one = true;
        l->next = 0;
    }
    while (l->next < l->n && l->known[l->next]) {
        l->next++;
    }
    if (l->next == l->n) {
        finish(l);
        return;
    }
    l->source.resolve(l->source.ctx, l->items[l->next++].number, on_resolved, l);
}

struct lookup *lookup_start(struct loop *loop, const struct fleet_source *source,
                            const int64_t *numbers, size_t n, lookup_done_fn *done, void *ctx)
{
    struct lookup *l = mem_new(struct lookup);
    ASSERT(n <= LOOKUP_MAX);
    l->loop = loop;
    l->items = mem_new_array(struct lookup_item, n + 1);
    l->known = mem_new_array(bool, n + 1);
    l->n = n;
    l->done = done;
    l->ctx = ctx;
    l->one_by_one = n == 1; /* one question either way, and this one says more */
    for (size_t i = 0; i < n; i++) {
        l->items[i] = (struct lookup_item){.number = numbers[i], .room_id = numbers[i]};
        room_facts_init(&l->items[i].facts);
    }
    if (source == NULL || n == 0) {
        loop_defer(loop, finish, l);
        return l;
    }
    l->source = *source;
    ask(l);
    return l;
}
