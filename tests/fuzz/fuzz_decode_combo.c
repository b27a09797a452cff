/* Combos. */
#include "tests/fuzz/decode_check.h"

DECODE_FUZZ(DECODE_FUZZ_DATA("COMBO_SEND"), DECODE_FUZZ_DATA("COMBO_END"));
