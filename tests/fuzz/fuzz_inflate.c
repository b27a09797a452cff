/* Compressed bytes of any kind: within the limit, repeatable, and the limit is exact. */
#include "collector/wire/inflate.h"

#include "server/core/mem.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    const enum inflate_format format = fuzz_choose(&in, 2) ? INFLATE_BROTLI : INFLATE_ZLIB;
    const size_t limit = (size_t)fuzz_choose(&in, 256) * fuzz_choose(&in, 256) * 4;
    struct inflate *z = inflate_new();
    struct str first = {NULL, 0}, again = {NULL, 0};
    const enum err_code err = inflate_run(z, format, 0, in.subject, limit, &first);
    ASSERT(err == ERR_OK || err == ERR_CORRUPT || err == ERR_TOO_BIG);
    if (err == ERR_OK) {
        ASSERT(first.len <= limit);
        ASSERT(inflate_run(z, format, 1, in.subject, limit + 1, &again) == ERR_OK);
        ASSERT(str_eq(first, again));
        if (first.len > 0) {
            ASSERT(inflate_run(z, format, 1, in.subject, first.len, &again) == ERR_OK);
            ASSERT(str_eq(first, again));
            ASSERT(inflate_run(z, format, 2, in.subject, first.len - 1, &again) == ERR_TOO_BIG);
        }
    }
    inflate_trim(z);
    inflate_free(z);
    return 0;
}
