/* Page tokens of any bytes: what is accepted is exactly what would be written. */
#include "api/query/cursor.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c;
    struct str text = {(const char *)data, size};
    if (cursor_parse(text, &c)) {
        char again[CURSOR_TEXT_LEN + 1];
        ASSERT(c.id >= -1 && c.floor_ms >= 0);
        cursor_write(&c, again);
        ASSERT(str_eq(text, str_of(again)));
    }
    return 0;
}
