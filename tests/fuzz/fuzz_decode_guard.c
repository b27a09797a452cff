/* Guards in their three forms. */
#include "tests/fuzz/decode_check.h"

DECODE_FUZZ(DECODE_FUZZ_DATA("GUARD_BUY"), DECODE_FUZZ_DATA("USER_TOAST_MSG"),
            DECODE_FUZZ_DATA("USER_TOAST_MSG_V2"));
