#include "server/core/arena.h"

#include <stdint.h>

#include "server/core/mem.h"

/* Sanitizer builds poison what is not handed out, so that an overrun within a block is seen. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(ARENA_ASAN)
#define ARENA_ASAN 1
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define arena_hide(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define arena_show(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define arena_hide(p, n) ((void)(p), (void)(n))
#define arena_show(p, n) ((void)(p), (void)(n))
#endif

enum { ARENA_ALIGN = 16, ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_MAX = 256 * 1024 };

/* A block holds `size` bytes behind its header, all of them multiples of ARENA_ALIGN. */
struct arena_block {
    struct arena_block *next; /* owned */
    size_t size;
    size_t used;
    _Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

static void block_free(struct arena_block *b)
{
    arena_show(b->data, b->size);
    mem_free(b);
}

static void free_behind(struct arena_block *b)
{
    while (b->next) {
        struct arena_block *next = b->next;

        b->next = next->next;
        block_free(next);
    }
}

void arena_deinit(struct arena *a)
{
    if (a->first) {
        free_behind(a->first);
        block_free(a->first);
    }
    *a = (struct arena){.limit = a->limit};
}

void arena_reset(struct arena *a)
{
    if (a->first) {
        free_behind(a->first);
        a->first->used = 0;
        arena_hide(a->first->data, a->first->size);
    }
    a->cur = a->first;
    a->used = 0;
}

/* Appends a block with room for `size` bytes; each is twice the one before, up to a maximum. */
static struct arena_block *grow(struct arena *a, size_t size)
{
    size_t want = ARENA_BLOCK_MIN;
    struct arena_block *b;

    if (a->cur) {
        want = a->cur->size < ARENA_BLOCK_MAX / 2 ? a->cur->size * 2 : ARENA_BLOCK_MAX;
    }
    if (want < size) {
        want = size;
    }
    b = mem_alloc(sizeof(*b) + want);
    if (!b) {
        return NULL;
    }
    b->next = NULL;
    b->size = want;
    b->used = 0;
    arena_hide(b->data, b->size);
    if (a->cur) {
        a->cur->next = b;
    } else {
        a->first = b;
    }
    a->cur = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_block *b = a->cur;
    size_t rounded;
    char *p;

    if (size > a->limit - a->used || size > SIZE_MAX / 2) {
        return NULL;
    }
    /* An empty request gets an address of its own. */
    rounded = size ? (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
    if (rounded > a->limit - a->used) {
        return NULL;
    }
    if (!b || rounded > b->size - b->used) {
        b = grow(a, rounded);
        if (!b) {
            return NULL;
        }
    }
    p = b->data + b->used;
    b->used += rounded;
    a->used += rounded;
    arena_show(p, size);
    return p;
}

char *arena_dup(struct arena *a, struct str s)
{
    char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

    if (p) {
        if (s.len > 0) {
            memcpy(p, s.ptr, s.len);
        }
        p[s.len] = '\0';
    }
    return p;
}
