#include <stdio.h>

#include "collector/registry.h"
#include "collector/room_priv.h"
#include "collector/wire/decode.h"
#include "server/core/assert.h"
#include "server/core/json_read.h"
#include "server/stats/stats.h"

/* One counter per cause: a fault or status without its row in counters.def does not compile. */
static const enum stats_row fault_stats[] = {
#define X(name, label, text) [PACKET_FAULT_##name] = STAT_FRAMES_DROPPED_##name,
    PACKET_FAULT_TABLE(X)
#undef X
};
static const enum stats_row repeat_stats[EVENT_KIND_END] = {
#define X(name, number, text, paid, rare) [EVENT_##name] = STAT_REPEATS_##name,
#include "server/event/event_kind.def"
#undef X
};
static const enum stats_row status_stats[] = {
    [DECODE_OK] = STAT_MESSAGES_OK,
    [DECODE_UNKNOWN] = STAT_MESSAGES_UNKNOWN,
    [DECODE_BROKEN] = STAT_MESSAGES_BROKEN,
};

static_assert(DECODE_EVENTS_MAX <= UINT8_MAX + 1, "a place fits its type");

/* Drops the drafts that the room has seen. Most messages have none, and are passed on where they lie. */
static void take_events(struct room *r, const struct event_draft *drafts, size_t n)
{
    struct room_env *env = r->env;
    size_t kept = 0;
    bool copying = false;
    ASSERT(n <= DECODE_EVENTS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (repeat_seen(&r->repeat, drafts[i].nkey)) {
            if (!copying) {
                copying = true;
                for (kept = 0; kept < i; kept++) {
                    env->kept[kept] = drafts[kept];
                    env->places[kept] = (uint8_t)kept;
                }
            }
            r->n_repeats++;
            stats_inc(env->stats, repeat_stats[drafts[i].kind]);
        } else if (copying) {
            env->places[kept] = (uint8_t)i;
            env->kept[kept++] = drafts[i];
        }
    }
    if (!copying) {
        kept = n;
    }
    if (kept > 0) {
        r->n_events += kept;
        env->on_events(env->ctx, copying ? env->kept : drafts, copying ? env->places : NULL, kept);
    }
}

static void tell_raw(const struct room *r, struct str json, const struct decode_result *res)
{
    const struct collector_raw raw = {
        .room_id = r->id,
        .actor = res->n > 0 ? res->drafts[0].actor : 0,
        .cmd = res->cmd,
        .reason = res->status == DECODE_OK        ? "kept"
                  : res->status == DECODE_UNKNOWN ? "unknown"
                                                  : res->reason,
        .json = json,
    };
    r->env->on_raw(r->env->ctx, &raw);
}

static void tell_broken(const struct room *r, uint64_t n)
{
    if (n > 0 && r->env->on_broken != NULL) {
        r->env->on_broken(r->env->ctx, r->id, n);
    }
}

static void on_message(void *ctx, struct str json)
{
    struct room *r = ctx;
    struct room_env *env = r->env;
    struct decode_result res;
    const int64_t now = loop_wall_ms(env->loop);
    decode_message(env->decoder, r->id, json, &res);
    r->n_messages++;
    r->last_event_ms = now;
    stats_inc(env->stats, status_stats[res.status]);
    if (res.n_left_out > 0) {
        stats_add(env->stats, STAT_PARTS_LEFT_OUT, (int64_t)res.n_left_out);
    }
    registry_note(env->registry, res.cmd, res.status, now);
    if (res.status != DECODE_OK) {
        registry_sample(env->registry, res.cmd, json, res.reason);
    }
    const bool keep = env->raw == COLLECTOR_RAW_ALL ||
                      (env->raw == COLLECTOR_RAW_UNKNOWN && res.status != DECODE_OK);
    if (keep) {
        tell_raw(r, json, &res);
    }
    if (res.n > 0) {
        take_events(r, res.drafts, res.n);
    }
    if (keep) {
        env->on_raw(env->ctx, NULL);
    }
    tell_broken(r, res.n_left_out + (res.status == DECODE_BROKEN));
}

static void on_heartbeat_reply(void *ctx, int64_t popularity)
{
    struct room *r = ctx;
    stats_inc(r->env->stats, STAT_HEARTBEAT_REPLIES);
    r->popularity = popularity;
    room_alive(r);
}

/* {"code":0}. False: no such thing. */
static bool auth_code(struct str body, int64_t *ret)
{
    struct json j;
    struct str key;
    bool found = false;
    json_init(&j, body);
    if (json_enter_object(&j)) {
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("code")) && json_int(&j, ret)) {
                found = true;
            }
        }
    }
    return found && json_error(&j) == JSON_ERR_NONE;
}

static void on_auth_reply(void *ctx, struct str body)
{
    struct room *r = ctx;
    int64_t code = 0;
    char detail[32];
    if (r->fsm.state != ROOM_AUTH) {
        return; /* a second one says nothing new */
    }
    if (!auth_code(body, &code)) {
        room_end(r, CLOSE_AUTH_REJECTED, "no code in the reply");
    } else if (code != 0) {
        snprintf(detail, sizeof detail, "code %lld", (long long)code);
        room_end(r, CLOSE_AUTH_REJECTED, detail);
    } else {
        room_authenticated(r);
    }
}

static void on_fault(void *ctx, enum packet_fault fault)
{
    struct room *r = ctx;
    stats_inc(r->env->stats, fault_stats[fault]);
    if (fault == PACKET_FAULT_OPERATION || fault == PACKET_FAULT_VERSION) {
        return; /* new things are no reason to leave */
    }
    tell_broken(r, 1);
    const int64_t now = loop_now_ms(r->env->loop);
    if (now - r->faults_since_ms >= 60000) {
        r->faults_since_ms = now;
        r->n_faults = 0;
    }
    if (++r->n_faults > ROOM_FAULTS_MAX) {
        room_end(r, CLOSE_FAULTS, "");
    }
}

void room_receive(struct room *r, struct str data, bool whole)
{
    const struct packet_sink sink = {
        .on_message = on_message,
        .on_heartbeat_reply = on_heartbeat_reply,
        .on_auth_reply = on_auth_reply,
        .on_fault = on_fault,
        .ctx = r,
    };
    struct err err = {0};
    enum err_code rc = ERR_OK;
    stats_add(r->env->stats, STAT_BYTES_IN, (int64_t)data.len);
    r->heard_mono_ms = loop_now_ms(r->env->loop);
    ASSERT(!r->reading);
    r->reading = true;
    if (whole) {
        packet_message(r->stream, data, &sink, &r->stop);
    } else {
        rc = packet_feed(r->stream, data, &sink, &r->stop, &err);
    }
    r->reading = false;
    if (r->stop) {
        r->stop = false;
        room_end(r, r->stop_reason, r->detail);
    } else if (rc != ERR_OK) {
        room_end(r, CLOSE_PROTOCOL, err.msg);
    }
}
