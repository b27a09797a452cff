/* SEND_GIFT_V2: several gifts in protobuf. */
#include "tests/fuzz/decode_check.h"

DECODE_FUZZ(DECODE_FUZZ_PB("SEND_GIFT_V2"), DECODE_FUZZ_DATA("SEND_GIFT_V2"),
            DECODE_FUZZ_DATA("SEND_GIFT"));
