#include "server/event/event.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"

static_assert(sizeof(struct event) <= 192, "an event is kept a hundred thousand times");

struct kind_row {
    const char *name;
    bool paid;
    bool rare;
};

static const struct kind_row kinds[EVENT_KIND_END] = {
#define X(name, number, text, paid, rare) [number] = {text, paid, rare},
#include "server/event/event_kind.def"
#undef X
};

void event_draft_init(struct event_draft *d, enum event_kind kind, int64_t room_id)
{
    *d = (struct event_draft){
        .room_id = room_id,
        .kind = (int16_t)kind,
        .mode = EVENT_MODE_DEFAULT,
        .color = EVENT_COLOR_DEFAULT,
    };
}

void event_draft_of(const struct event *e, struct event_draft *ret)
{
    *ret = (struct event_draft){
#define X(type, name) .name = e->name,
        EVENT_SCALARS(X)
#undef X
#define X(name) .name = e->name,
            EVENT_STRINGS(X)
#undef X
    };
}

/* Copies s to the free place of the allocation and moves that on. */
static struct str place(char **at, struct str s)
{
    struct str copy = {*at, s.len};
    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
    }
    *at += s.len;
    return copy;
}

struct event *event_new(int64_t id, const struct event_draft *d)
{
    ASSERT(d->extra.len <= EVENT_EXTRA_MAX);
    struct str uname = utf8_cut(d->uname, EVENT_UNAME_MAX);
    struct str text = utf8_cut(d->text, EVENT_TEXT_MAX);
    struct str medal = utf8_cut(d->medal, EVENT_MEDAL_MAX);
    size_t bytes = sizeof(struct event) + uname.len + text.len + medal.len + d->extra.len;
    struct event *e = mem_alloc(bytes);
    if (e == NULL) {
        return NULL;
    }
    *e = (struct event){
        .id = id,
#define X(type, name) .name = d->name,
        EVENT_SCALARS(X)
#undef X
            .refs = 1,
        .bytes = (uint32_t)bytes,
    };
    char *at = (char *)(e + 1);
    e->uname = place(&at, uname);
    e->text = place(&at, text);
    e->medal = place(&at, medal);
    e->extra = place(&at, d->extra);
    return e;
}

/* The count is the one thing about a published event that changes. */
static struct event *counted(const struct event *e)
{
    union {
        const struct event *lent;
        struct event *shared;
    } u = {.lent = e};
    return u.shared;
}

struct event *event_ref(const struct event *e)
{
    struct event *shared = counted(e);
    ASSERT(shared->refs > 0 && shared->refs < UINT32_MAX);
    shared->refs++;
    return shared;
}

void event_unref(struct event **e)
{
    struct event *shared = TAKE_PTR(*e);
    if (shared == NULL) {
        return;
    }
    ASSERT(shared->refs > 0);
    shared->refs--;
    if (shared->refs == 0) {
        mem_free(shared);
    }
}

static const struct kind_row *row(enum event_kind kind)
{
    static const struct kind_row none = {"?", false, false};
    if ((unsigned)kind >= EVENT_KIND_END || kinds[kind].name == NULL) {
        return &none;
    }
    return &kinds[kind];
}

const char *event_kind_name(enum event_kind kind)
{
    return row(kind)->name;
}

enum event_kind event_kind_parse(struct str name)
{
    for (int kind = 0; kind < EVENT_KIND_END; kind++) {
        if (kinds[kind].name != NULL && str_eq(name, str_of(kinds[kind].name))) {
            return (enum event_kind)kind;
        }
    }
    return EVENT_KIND_NONE;
}

bool event_kind_is_paid(enum event_kind kind)
{
    return row(kind)->paid;
}

bool event_kind_is_rare(enum event_kind kind)
{
    return row(kind)->rare;
}
