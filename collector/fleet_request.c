/* Changes by request: find the rooms (memory, table room, upstream), change them, wait until that is stored. */
#include "collector/fleet_priv.h"
#include "collector/lookup.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

enum op { OP_ADD, OP_SET, OP_CHANGE, OP_REMOVE };

struct request {
    struct list_node node;
    struct fleet *fleet;
    enum op op;
    int64_t *numbers; /* owned; real ids once they are found */
    size_t n;
    bool has_paused, paused, has_pinned, pinned, has_groups;
    char *groups; /* owned; joined; NULL: none */
    bool asking;  /* a query or a look-up holds this request */
    bool storing; /* applied: waits until changes up to `change` are stored */
    uint64_t change;
    struct fleet_done result;
    fleet_done_fn *done;
    void *ctx;
};

static void request_free(struct request *q)
{
    list_remove(&q->fleet->requests, &q->node);
    mem_free(q->numbers);
    mem_free(q->groups);
    mem_free(q);
}

static void finish(struct request *q, enum err_code code, const struct err *err)
{
    static const struct err ok = {0};
    ASSERT(!q->asking);
    q->done(q->ctx, code, err != NULL ? err : &ok, &q->result);
    request_free(q);
}

/* ---- changing ---- */

static void change_room(const struct request *q, struct fleet_room *r)
{
    if (q->has_paused) {
        r->state = q->paused ? FLEET_PAUSED : FLEET_ACTIVE;
    }
    if (q->has_pinned) {
        r->pinned = q->pinned;
    }
    if (q->has_groups) {
        fleet_room_groups(r, str_of(q->groups));
    }
}

static void want_room(struct request *q, struct fleet_room *r)
{
    const bool was = fleet_wanted(r) && r->state == FLEET_ACTIVE;
    r->by_api = true;
    r->state = q->op == OP_SET && r->state == FLEET_PAUSED ? FLEET_PAUSED : FLEET_ACTIVE;
    change_room(q, r);
    q->result.n_added += !was;
}

static bool is_listed(const struct request *q, int64_t id)
{
    for (size_t i = 0; i < q->n; i++) {
        if (q->numbers[i] == id) {
            return true;
        }
    }
    return false;
}

static void set_rooms(struct fleet *f, struct request *q)
{
    for (size_t i = 0; i < f->n; i++) {
        struct fleet_room *r = f->rooms[i];
        const bool listed = is_listed(q, r->id);
        if (listed && !r->by_api) {
            want_room(q, r);
            fleet_touch(f, r);
        } else if (r->by_api && !listed) {
            r->by_api = false;
            q->result.n_removed += !fleet_wanted(r);
            fleet_touch(f, r);
        }
    }
}

static void apply_one(struct fleet *f, struct request *q, struct fleet_room *r)
{
    q->result.room_id = r->id;
    switch (q->op) {
    case OP_ADD:
        want_room(q, r);
        break;
    case OP_CHANGE:
        change_room(q, r);
        break;
    case OP_REMOVE:
        q->result.n_removed = fleet_wanted(r);
        r->by_api = false;
        r->pinned = false;
        r->state = FLEET_REMOVED;
        break;
    case OP_SET:
        UNREACHABLE();
    }
    fleet_touch(f, r);
}

static enum err_code refusal(const struct request *q, const struct fleet_room *r, struct err *err)
{
    if (q->op == OP_REMOVE && r->by_config) {
        return err_set(err, ERR_CONFLICT,
                       "room %lld is named by the configuration: take it out of `rooms` there and "
                       "send SIGHUP, or pause it",
                       (long long)r->id);
    }
    if (q->op == OP_CHANGE && r->state == FLEET_REMOVED) {
        return err_set(err, ERR_CONFLICT, "room %lld was removed: add it again with POST",
                       (long long)r->id);
    }
    return ERR_OK;
}

/* All numbers are real ids of rooms in memory. */
static void apply(struct request *q)
{
    struct fleet *f = q->fleet;
    const uint64_t before = f->changes;
    struct err err = {0};
    if (q->op == OP_SET) {
        set_rooms(f, q);
    } else {
        struct fleet_room *r = fleet_at_id(f, q->numbers[0]);
        ASSERT(r != NULL);
        const enum err_code code = refusal(q, r, &err);
        if (code != ERR_OK) {
            finish(q, code, &err);
            return;
        }
        apply_one(f, q, r);
    }
    q->change = f->changes;
    if (f->changes == before) {
        finish(q, ERR_OK, NULL);
        return;
    }
    q->storing = true; /* fleet_requests_stored, or failed */
}

void fleet_requests_stored(struct fleet *f)
{
    const uint64_t unstored = fleet_unstored(f);
    struct list_node *next;
    for (struct list_node *node = list_first(&f->requests); node != NULL; node = next) {
        struct request *q = CONTAINER_OF(node, struct request, node);
        next = list_next(&f->requests, node);
        if (q->storing && q->change < unstored) {
            finish(q, ERR_OK, NULL);
        }
    }
}

void fleet_requests_failed(struct fleet *f, const struct err *err)
{
    struct list_node *next;
    for (struct list_node *node = list_first(&f->requests); node != NULL; node = next) {
        struct request *q = CONTAINER_OF(node, struct request, node);
        next = list_next(&f->requests, node);
        if (q->storing) {
            finish(q, ERR_UNAVAILABLE, err);
        }
    }
}

/* ---- finding ---- */

/* Real ids instead of short ones for what is in memory; how many are not. */
static size_t name_rooms(struct request *q)
{
    size_t n_missing = 0;
    for (size_t i = 0; i < q->n; i++) {
        const struct fleet_room *r = fleet_find(q->fleet, q->numbers[i]);
        if (r != NULL && r->resolved) {
            q->numbers[i] = r->id;
        } else {
            n_missing++;
        }
    }
    return n_missing;
}

static void not_found(struct request *q, const int64_t *unknown, size_t n)
{
    struct err err = {0};
    q->result.unknown = unknown;
    q->result.n_unknown = n;
    finish(q,
           err_set(&err, ERR_NOT_FOUND, "room %lld %s", (long long)unknown[0],
                   q->op == OP_ADD || q->op == OP_SET ? "is not known to upstream"
                                                      : "was never collected"),
           &err);
}

static bool take_item(struct fleet *f, struct lookup_item *item)
{
    struct fleet_room *r = fleet_at_id(f, item->number);
    if (r != NULL && !r->resolved) { /* the configuration named it as well */
        r = fleet_rename(f, r, item->room_id);
    } else {
        r = fleet_at_id(f, item->room_id);
        r = r != NULL ? r : fleet_insert(f, item->room_id);
    }
    if (r != NULL && !r->resolved) {
        r->resolved = true;
    }
    if (r != NULL && r->facts.uname == NULL && r->facts.title == NULL) {
        room_facts_deinit(&r->facts);
        r->facts = item->facts;
        room_facts_init(&item->facts);
    }
    return r != NULL;
}

static void on_looked_up(void *ctx, struct lookup_item *items, size_t n, const struct err *err)
{
    struct request *q = ctx;
    struct fleet *f = q->fleet;
    int64_t unknown[FLEET_SET_MAX];
    size_t n_unknown = 0;
    enum err_code code = f->stopping ? ERR_CANCELED : ERR_OK;
    q->asking = false;
    for (size_t i = 0; i < n; i++) {
        if (items[i].code == ERR_NOT_FOUND) {
            unknown[n_unknown++] = items[i].number;
        } else if (items[i].code != ERR_OK && code == ERR_OK) {
            code = items[i].code;
        }
    }
    if (code != ERR_OK) {
        q->result.upstream_failed = !f->stopping;
        finish(q, code, err);
        return;
    }
    if (n_unknown > 0) {
        not_found(q, unknown, n_unknown);
        return;
    }
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        all = take_item(f, &items[i]) && all;
        for (size_t k = 0; k < q->n; k++) {
            q->numbers[k] = q->numbers[k] == items[i].number ? items[i].room_id : q->numbers[k];
        }
    }
    if (!all) {
        struct err full = {0};
        finish(q, err_set(&full, ERR_FULL, "%d rooms are the most", FLEET_ROOMS_MAX), &full);
        return;
    }
    apply(q);
}

/* Neither in memory nor in the table: rooms that change or remove name were never there, others are looked up. */
static void look_up(struct request *q)
{
    int64_t missing[FLEET_SET_MAX];
    size_t n = 0;
    if (name_rooms(q) == 0) {
        apply(q);
        return;
    }
    for (size_t i = 0; i < q->n; i++) {
        const struct fleet_room *r = fleet_at_id(q->fleet, q->numbers[i]);
        if (r == NULL || !r->resolved) {
            missing[n++] = q->numbers[i];
        }
    }
    if (q->op == OP_CHANGE || q->op == OP_REMOVE) {
        not_found(q, missing, n);
        return;
    }
    q->asking = true;
    (void)lookup_start(q->fleet->opts.loop, q->fleet->opts.source, missing, n, on_looked_up, q);
}

static void on_fetched(void *ctx, enum err_code code, const struct err *err,
                       const struct db_rows *rows)
{
    struct request *q = ctx;
    q->asking = false;
    if (code != ERR_OK || q->fleet->stopping) {
        finish(q, code != ERR_OK ? ERR_UNAVAILABLE : ERR_CANCELED, err);
        return;
    }
    fleet_take_rows(q->fleet, rows);
    look_up(q);
}

static void begin(void *ctx)
{
    struct request *q = ctx;
    struct fleet *f = q->fleet;
    struct err err = {0};
    q->asking = false;
    if (f->stopping || !f->loaded || f->requests.n > FLEET_REQUESTS_MAX) {
        const bool full = f->requests.n > FLEET_REQUESTS_MAX;
        finish(q,
               full ? err_set(&err, ERR_FULL, "too many changes at once")
                    : err_set(&err, ERR_CANCELED, "starting or stopping"),
               &err);
        return;
    }
    if (!db_is_up(f->opts.db)) { /* nothing is changed that could not be kept */
        finish(q, err_set(&err, ERR_UNAVAILABLE, "the database is away"), &err);
        return;
    }
    if (name_rooms(q) == 0) {
        apply(q);
        return;
    }
    enum err_code code = fleet_fetch(f, q->numbers, q->n, on_fetched, q, &err);
    if (code != ERR_OK) {
        finish(q, ERR_UNAVAILABLE, &err);
        return;
    }
    q->asking = true;
}

/* ---- entries ---- */

static char *join_groups(const struct fleet_change *change)
{
    struct buf b;
    size_t len;
    buf_init(&b, FLEET_GROUPS_MAX * (FLEET_GROUP_BYTES + 1));
    for (size_t i = 0; i < change->n_groups; i++) {
        if (i > 0) {
            buf_put_c(&b, ',');
        }
        buf_put(&b, change->groups[i]);
    }
    ASSERT(buf_ok(&b));
    return buf_take(&b, &len);
}

static struct request *request_new(struct fleet *f, enum op op, const int64_t *numbers, size_t n,
                                   fleet_done_fn *done, void *ctx)
{
    struct request *q = mem_new(struct request);
    ASSERT(n <= FLEET_SET_MAX);
    q->fleet = f;
    q->op = op;
    q->numbers = mem_new_array(int64_t, n + 1);
    q->n = n;
    if (n > 0) {
        memcpy(q->numbers, numbers, n * sizeof(numbers[0]));
    }
    q->done = done;
    q->ctx = ctx;
    q->asking = true;
    list_push_back(&f->requests, &q->node);
    loop_defer(f->opts.loop, begin, q);
    return q;
}

static void take_change(struct request *q, const struct fleet_change *change)
{
    q->has_paused = change->has_paused;
    q->paused = change->paused;
    q->has_pinned = change->has_pinned;
    q->pinned = change->pinned;
    q->has_groups = change->has_groups;
    q->groups = change->has_groups ? join_groups(change) : NULL;
}

void fleet_add(struct fleet *f, int64_t number, const struct fleet_change *change,
               fleet_done_fn *done, void *ctx)
{
    take_change(request_new(f, OP_ADD, &number, 1, done, ctx), change);
}

void fleet_set(struct fleet *f, const int64_t *numbers, size_t n, fleet_done_fn *done, void *ctx)
{
    (void)request_new(f, OP_SET, numbers, n, done, ctx);
}

void fleet_change(struct fleet *f, int64_t number, const struct fleet_change *change,
                  fleet_done_fn *done, void *ctx)
{
    take_change(request_new(f, OP_CHANGE, &number, 1, done, ctx), change);
}

void fleet_remove(struct fleet *f, int64_t number, fleet_done_fn *done, void *ctx)
{
    (void)request_new(f, OP_REMOVE, &number, 1, done, ctx);
}

/* Those that a query, a look-up or the loop still holds end when that lets go of them. */
void fleet_requests_cancel(struct fleet *f)
{
    static const struct err canceled = {.code = ERR_CANCELED, .msg = "stopping"};
    struct list_node *next;
    for (struct list_node *node = list_first(&f->requests); node != NULL; node = next) {
        struct request *q = CONTAINER_OF(node, struct request, node);
        next = list_next(&f->requests, node);
        if (!q->asking) {
            finish(q, ERR_CANCELED, &canceled);
        }
    }
}
