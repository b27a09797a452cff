/* server/core/assert.h - checks of our own mistakes; never of bytes from a peer.
 *
 * ASSERT is on in every build: it prints the expression and the place, then aborts. DASSERT is for expensive
 * checks and disappears with NDEBUG.
 *
 * Threading:  any thread.
 */
#pragma once

#include <assert.h> /* static_assert */

#include "server/core/attr.h"

ATTR_NORETURN void assert_fail(const char *expr, const char *file, int line, const char *func);

#define ASSERT(x)                                                                                  \
    do {                                                                                           \
        if (__builtin_expect(!(x), 0)) {                                                           \
            assert_fail(#x, __FILE__, __LINE__, __func__);                                         \
        }                                                                                          \
    } while (0)
#define UNREACHABLE() assert_fail("unreachable", __FILE__, __LINE__, __func__)
#ifdef NDEBUG
#define DASSERT(x) ((void)sizeof((x) ? 1 : 0))
#else
#define DASSERT(x) ASSERT(x)
#endif
