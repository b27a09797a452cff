/* Known commands that say nothing about a room's events. */
#include "collector/wire/decode_priv.h"

/* Whole families of them: contests between rooms, widgets, campaigns, shops, calls, games. */
static const struct str silent_families[] = {
    {"PK_", 3},    {"WIDGET_", 7}, {"ACTIVITY_", 9},     {"SHOPPING_", 9},
    {"VOICE_", 6}, {"PLAY_", 5},   {"MULTI_VOICE_", 12},
};

bool decode_is_silent(struct str cmd)
{
    for (size_t i = 0; i < ARRAY_LEN(silent_families); i++) {
        if (str_starts(cmd, silent_families[i])) {
            return true;
        }
    }
    return false;
}

enum decode_status decode_nothing(struct decoder *d, struct json *j)
{
    (void)d;
    (void)j;
    return DECODE_OK;
}
