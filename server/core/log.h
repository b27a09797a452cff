/* server/core/log.h - logfmt, one line per event, to stderr.
 *
 *   ts=2026-11-22T08:09:10.123Z level=info mod=room room=123 msg="connected" host=10.0.0.1:2243
 *
 * Values from outside are quoted and escaped. Never log tokens, cookies, connection strings or request bodies.
 * server/core, collector/wire and api/encode do not log; the owner of a unit of work logs its failure once.
 *
 * Threading:  loop thread only (the sink is a file-scope variable, one of the two places that have one).
 * Limits:     a line is cut at LOG_LINE_BYTES.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum { LOG_LINE_BYTES = 2048 };

struct log_kv {
    const char *key;
    enum { LOG_KV_STR, LOG_KV_I64 } type;
    struct str s;
    int64_t i;
};

#define KV_STR(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_STR, .s = (v)})
#define KV_CSTR(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_STR, .s = str_of(v)})
#define KV_I64(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_I64, .i = (int64_t)(v)})

/* LOG(INFO, "room", "connected", KV_I64("room", id), KV_STR("host", host)); at least one KV, or LOG0 without. */
#define LOG(level, mod, msg, ...)                                                                  \
    do {                                                                                           \
        if (LOG_LEVEL_##level >= log_min_level()) {                                                \
            const struct log_kv log_kv_[] = {__VA_ARGS__};                                         \
            log_line(LOG_LEVEL_##level, (mod), (msg), log_kv_, ARRAY_LEN(log_kv_));                \
        }                                                                                          \
    } while (0)
#define LOG0(level, mod, msg) log_line(LOG_LEVEL_##level, (mod), (msg), NULL, 0)

void log_line(enum log_level level, const char *mod, const char *msg, const struct log_kv *kv,
              size_t n);
enum log_level log_min_level(void);
void log_set_level(enum log_level level);
MUST_CHECK int log_level_parse(struct str s, enum log_level *ret); /* 0, or -1 when s is no level */

typedef void(log_sink_fn)(void *ctx, struct str line); /* the line ends with \n */
void log_set_sink(log_sink_fn *sink, void *ctx);       /* NULL: stderr */

/* Repeating errors: the first is logged at once, then one line per period with the number held back.
 *   if (log_limit(&x->limit, now_ms, 60000, &held)) LOG(WARN, ..., KV_I64("held_back", held)); */
struct log_limit {
    int64_t until_ms;
    uint64_t held;
};
int log_limit(struct log_limit *l, int64_t mono_ms, int64_t period_ms, uint64_t *ret_held);
