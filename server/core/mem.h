/* server/core/mem.h - the two classes of allocation, and the only callers of malloc and free.
 *
 * Control plane: mem_new, mem_new_array. Fixed-size structs; zeroed; never NULL (out of memory aborts).
 * Data plane:    mem_alloc, mem_realloc. A peer decides the size: the caller has checked a named limit before, and
 *                handles NULL.
 *
 * Threading:  any thread for allocation; the fault hook is for tests of one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"

#define mem_new(type) ((type *)mem_zero_or_abort(1, sizeof(type)))
#define mem_new_array(type, n) ((type *)mem_zero_or_abort((n), sizeof(type)))
void *mem_zero_or_abort(size_t n, size_t size);

MUST_CHECK void *mem_alloc(size_t size);
MUST_CHECK void *mem_realloc(void *old, size_t size);
MUST_CHECK char *mem_dup(const char *bytes, size_t len); /* NUL-terminated copy */
void mem_free(void *p);                                  /* NULL is fine */
void mem_free_ptr(void *pp);                             /* for CLEANUP: frees *(void **)pp */

uint64_t mem_live_count(void); /* allocations not freed yet */

/* Tests: let the data-plane allocation number n (from 0) and `repeat - 1` following ones fail; n < 0 switches it off. */
void mem_fault_set(int64_t n, int64_t repeat);
