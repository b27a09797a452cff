/* Interactions, likes, entries. */
#include "tests/fuzz/decode_check.h"

DECODE_FUZZ(DECODE_FUZZ_DATA("INTERACT_WORD"), DECODE_FUZZ_DATA("LIKE_INFO_V3_CLICK"),
            DECODE_FUZZ_DATA("ENTRY_EFFECT"));
