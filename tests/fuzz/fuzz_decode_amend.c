/* Translations, deletions, recalls. */
#include "tests/fuzz/decode_check.h"

DECODE_FUZZ(DECODE_FUZZ_DATA("SUPER_CHAT_MESSAGE_JPN"),
            DECODE_FUZZ_DATA("SUPER_CHAT_MESSAGE_DELETE"), DECODE_FUZZ_DATA("RECALL_DANMU_MSG"));
