/* store_kinds: which kinds of events become rows, and which are only counted. */
#include "server/app/app_priv.h"

#include "server/event/event.h"

static uint32_t bit(enum event_kind kind)
{
    return (uint32_t)1 << (unsigned)kind;
}

/* Chatters and money are figures of stored events. */
static bool must_be_stored(enum event_kind kind)
{
    return kind == EVENT_DANMAKU || event_kind_is_paid(kind);
}

uint32_t app_counted_kinds(const struct config *config, struct config_check *check)
{
    uint32_t stored = 0;
    uint32_t counted = 0;
    for (size_t i = 0; i < config->store_kinds.n; i++) {
        struct str name = str_of(config->store_kinds.items[i]);
        bool without = str_starts(name, STR("-"));
        name = str_sub(name, without ? 1 : 0, name.len);
        bool all = str_eq(name, STR("all"));
        enum event_kind kind = event_kind_parse(name);
        uint32_t named = all ? UINT32_MAX : kind != EVENT_KIND_NONE ? bit(kind) : 0;
        stored = without ? stored & ~named : stored | named;
        if (named == 0 && check != NULL) {
            config_problem(check, "store_kinds", "" STR_FMT " is no kind of events", STR_ARG(name));
        }
    }
    for (unsigned k = EVENT_KIND_NONE + 1; k < EVENT_KIND_END; k++) {
        enum event_kind kind = (enum event_kind)k;
        if ((stored & bit(kind)) != 0) {
            continue;
        }
        if (!must_be_stored(kind)) {
            counted |= bit(kind);
        } else if (check != NULL) {
            config_problem(check, "store_kinds", "%s is missing; it is always stored",
                           event_kind_name(kind));
        }
    }
    return counted;
}
