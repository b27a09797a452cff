/* Upstream's clock, as the Date of its answers tells it, against ours: ids are times.
 *
 * Until an answer agrees nothing that upstream says is used, so that no room connects by a wrong clock. Once one has agreed a
 * difference is only told: rooms that are connected are worth more than exact times. */
#include "collector/upstream/upstream_priv.h"

#include <inttypes.h>

#include "server/core/assert.h"

enum { CLOCK_AGAIN_MS = 60000 };

static bool is_off(const struct upstream *u)
{
    const int64_t max = u->clock.off_max_ms;
    return max > 0 && u->skew_ms != INT64_MIN && (u->skew_ms > max || u->skew_ms < -max);
}

void clock_note(struct upstream *u, int64_t date_ms)
{
    uint64_t held;
    if (date_ms <= 0) {
        return;
    }
    u->skew_ms = date_ms - loop_wall_ms(u->loop);
    const bool off = is_off(u);
    if (off && log_limit(&u->clock.limit, loop_now_ms(u->loop), CLOCK_AGAIN_MS, &held)) {
        LOG(ERROR, "upstream",
            u->clock.agreed
                ? "this machine's clock and upstream's differ too much: set the clock (ids are "
                  "times); connected rooms go on"
                : "this machine's clock and upstream's differ too much: no room connects before it "
                  "is set (ids are times)",
            KV_I64("ahead_ms", -u->skew_ms), KV_I64("held_back", held));
    }
    if (!off && u->clock.off) {
        LOG0(INFO, "upstream", "this machine's clock and upstream's agree again");
        u->clock.limit = (struct log_limit){.until_ms = 0};
    }
    u->clock.off = off;
    u->clock.agreed = u->clock.agreed || !off;
}

bool clock_refuses(const struct upstream *u, struct err *err)
{
    if (u->clock.agreed || !is_off(u)) {
        return false;
    }
    (void)err_set(err, ERR_UNAVAILABLE,
                  "this machine's clock and upstream's are %" PRId64 " s apart: set the clock",
                  (u->skew_ms < 0 ? -u->skew_ms : u->skew_ms) / 1000);
    return true;
}

void upstream_ask_clock(struct upstream *u, void (*told)(void *ctx), void *ctx)
{
    LOOP_ASSERT(u->loop);
    u->clock.told = told;
    u->clock.told_ctx = ctx;
    identity_ask(u, identity_has(u, NEED_BUVID) ? NEED_NAV : NEED_BUVID);
}

void clock_told(struct upstream *u)
{
    void (*const told)(void *ctx) = u->clock.told;
    u->clock.told = NULL;
    if (told) {
        told(u->clock.told_ctx);
    }
}
