#include "server/core/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Accounting and the fault hook are the process's, like the heap itself (STYLE 2.9 allows them here). */
static atomic_uint_fast64_t live;
static struct {
    bool on;
    int64_t skip; /* data-plane allocations that still succeed */
    int64_t left; /* then that many fail */
} fault;

static void count(int by)
{
    if (by > 0) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    }
}

static bool fault_hits(void)
{
    if (__builtin_expect(!fault.on, 1)) {
        return false;
    }
    if (fault.skip > 0) {
        fault.skip--;
        return false;
    }
    fault.left--;
    fault.on = fault.left > 0;
    return true;
}

void *mem_zero_or_abort(size_t n, size_t size)
{
    size_t product;
    void *p = NULL;

    if (!__builtin_mul_overflow(n, size, &product)) {
        p = calloc(1, product ? product : 1);
    }
    if (!p) {
        fprintf(stderr, "out of memory: %zu x %zu bytes\n", n, size);
        fflush(stderr);
        abort();
    }
    count(1);
    return p;
}

void *mem_alloc(size_t size)
{
    void *p = fault_hits() ? NULL : malloc(size ? size : 1);

    if (p) {
        count(1);
    }
    return p;
}

void *mem_realloc(void *old, size_t size)
{
    void *p = fault_hits() ? NULL : realloc(old, size ? size : 1);

    if (p && !old) {
        count(1);
    }
    return p;
}

char *mem_dup(const char *bytes, size_t len)
{
    char *p = len < SIZE_MAX ? mem_alloc(len + 1) : NULL;

    if (p) {
        if (len > 0) {
            memcpy(p, bytes, len);
        }
        p[len] = '\0';
    }
    return p;
}

void mem_free(void *p)
{
    if (p) {
        count(-1);
        free(p);
    }
}

void mem_free_ptr(void *pp)
{
    void *p;

    /* The variable is a pointer to anything; memcpy reads it without a lie about its type. */
    memcpy(&p, pp, sizeof(p));
    mem_free(p);
}

uint64_t mem_live_count(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

void mem_fault_set(int64_t n, int64_t repeat)
{
    fault.on = n >= 0 && repeat > 0;
    fault.skip = n;
    fault.left = repeat;
}
