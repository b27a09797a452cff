#include "collector/registry.h"

#include <string.h>

#include "collector/wire/outline.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

/* Open addressing over an array that only grows: entries are never removed. */
struct registry {
    struct registry_entry *entries; /* owned, max */
    char (*names)[DECODE_CMD_MAX];  /* owned, max */
    char **shapes;                  /* owned, max; each owned or NULL */
    uint32_t *slots;                /* owned: place + 1, 0 free */
    size_t n_slots;                 /* a power of two, at least twice max */
    size_t n;
    size_t max;
    uint64_t overflow;
};

struct registry *registry_new(size_t max)
{
    struct registry *r = mem_new(struct registry);
    r->max = max;
    r->n_slots = 4;
    while (r->n_slots < 2 * max) {
        r->n_slots *= 2;
    }
    r->entries = mem_new_array(struct registry_entry, max);
    r->names = mem_zero_or_abort(max, sizeof *r->names);
    r->shapes = mem_new_array(char *, max);
    r->slots = mem_new_array(uint32_t, r->n_slots);
    return r;
}

void registry_free(struct registry *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        mem_free(r->shapes[i]);
    }
    mem_free(r->shapes);
    mem_free(r->entries);
    mem_free(r->names);
    mem_free(r->slots);
    mem_free(r);
}

static size_t find(const struct registry *r, struct str cmd)
{
    /* FNV-1a: names are short, and collisions only cost probes. */
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < cmd.len; i++) {
        h = (h ^ (unsigned char)cmd.ptr[i]) * UINT64_C(0x100000001b3);
    }
    size_t s = (size_t)(h ^ (h >> 32)) & (r->n_slots - 1);
    while (r->slots[s] != 0 && !str_eq(r->entries[r->slots[s] - 1].cmd, cmd)) {
        s = (s + 1) & (r->n_slots - 1);
    }
    return s;
}

void registry_note(struct registry *r, struct str cmd, enum decode_status status, int64_t wall_ms)
{
    ASSERT(cmd.len <= DECODE_CMD_MAX);
    const size_t s = find(r, cmd);
    if (r->slots[s] == 0) {
        if (r->n == r->max) {
            r->overflow++;
            return;
        }
        struct registry_entry *e = &r->entries[r->n];
        if (cmd.len > 0) {
            memcpy(r->names[r->n], cmd.ptr, cmd.len);
        }
        e->cmd = (struct str){r->names[r->n], cmd.len};
        e->first_ms = wall_ms;
        r->slots[s] = (uint32_t)++r->n;
    }
    struct registry_entry *e = &r->entries[r->slots[s] - 1];
    e->last_ms = wall_ms;
    e->n[status]++;
    if (status != DECODE_OK) {
        e->first_bad_ms = e->first_bad_ms == 0 ? wall_ms : e->first_bad_ms;
        e->last_bad_ms = wall_ms;
    }
}

void registry_sample(struct registry *r, struct str cmd, struct str json, const char *reason)
{
    const size_t s = find(r, cmd);
    if (r->slots[s] == 0) {
        return; /* among those that found no place */
    }
    const size_t at = r->slots[s] - 1;
    struct registry_entry *e = &r->entries[at];
    const uint64_t n = e->n[DECODE_UNKNOWN] + e->n[DECODE_BROKEN];
    e->reason = reason != NULL ? reason : e->reason;
    if ((n & (n - 1)) != 0) {
        return; /* the 1st, 2nd, 4th, 8th, ... is looked at */
    }
    struct buf b;
    buf_init(&b, OUTLINE_MAX);
    if (outline_write(&b, json) && b.len > e->shape.len) {
        size_t len = 0;
        mem_free(r->shapes[at]);
        r->shapes[at] = buf_take(&b, &len);
        e->shape = (struct str){r->shapes[at], len};
    }
    buf_deinit(&b);
}

size_t registry_n(const struct registry *r)
{
    return r->n;
}

uint64_t registry_overflow(const struct registry *r)
{
    return r->overflow;
}

const struct registry_entry *registry_at(const struct registry *r, size_t i)
{
    ASSERT(i < r->n);
    return &r->entries[i];
}

const struct registry_entry *registry_find(const struct registry *r, struct str cmd)
{
    const size_t s = find(r, cmd);
    return r->slots[s] ? &r->entries[r->slots[s] - 1] : NULL;
}
