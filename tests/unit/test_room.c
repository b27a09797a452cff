#include "collector/room.h"

#include <string.h>

#include "server/core/bytes.h"
#include "tests/support/collect.h"
#include "tests/support/frames.h"
#include "tests/support/run.h"

enum { ROOM = 23456 };

static int setup(void **state)
{
    struct collect *k = collect_new(1);
    collect_open(k, NULL);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    collect_free(*state);
    return 0;
}

static struct collect *live(void **state)
{
    struct collect *k = *state;
    collect_add(k, ROOM);
    assert_true(collect_until_state(k, ROOM, "connected"));
    return k;
}

static void send_danmaku(struct collect *k, int64_t id)
{
    struct buf out;
    buf_init(&out, 8192);
    collect_put_danmaku(&out, id);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    buf_deinit(&out);
}

static bool heard(struct collect *k, const void *arg)
{
    return fake_upstream_seen(k->up[0]).n_heartbeats >= *(const unsigned *)arg;
}

static bool until_heartbeats(struct collect *k, unsigned n)
{
    return collect_until(k, heard, &n);
}

static bool knows_popularity(struct collect *k, const void *arg)
{
    return collect_info(k, ROOM).popularity == *(const int64_t *)arg;
}

static bool until_popularity(struct collect *k, int64_t popularity)
{
    return collect_until(k, knows_popularity, &popularity);
}

static int64_t closes(struct collect *k, enum stats_row which)
{
    return stats_get(k->stats, which);
}

/* The room is in backoff for this reason, and its next try lies in [low, high] from now. */
static void waits(struct collect *k, const char *reason, int64_t low, int64_t high)
{
    assert_true(collect_until_state(k, ROOM, "backoff"));
    const struct collector_room_info info = collect_info(k, ROOM);
    assert_string_equal(info.last_close, reason);
    assert_true(info.last_close_text[0] != '\0');
    assert_in_range(k->clock.wall - info.last_close_ms, 0, 1000);
    assert_in_range(info.next_try_ms - k->clock.wall, low, high);
    assert_int_equal(info.connected_since_ms, 0);
    assert_int_equal(info.popularity, -1);
}

static void authenticates_and_greets(void **state)
{
    struct collect *k = live(state);
    assert_true(until_heartbeats(k, 1));
    const struct fake_upstream_seen seen = fake_upstream_seen(k->up[0]);
    assert_str_equal(buf_str(seen.last_auth),
                     "{\"uid\":0,\"roomid\":23456,\"protover\":3,\"platform\":\"web\",\"type\":2,"
                     "\"buvid\":\"\",\"key\":\"\"}");
    assert_int_equal(seen.n_bad_packets, 0);
    assert_int_equal(seen.n_accepted, 1);
    const struct collector_room_info info = collect_info(k, ROOM);
    assert_int_equal(info.connected_since_ms, k->clock.wall);
    assert_int_equal(info.n_connects, 1);
    assert_string_equal(info.last_close, "");
    assert_true(str_eq(info.host, fake_upstream_host(k->up[0])));
}

static void heartbeats_keep_coming(void **state)
{
    struct collect *k = live(state);
    fake_upstream_heartbeats(k->up[0], true, 777);
    assert_true(until_heartbeats(k, 1));
    for (unsigned i = 2; i < 20; i++) {
        fake_upstream_heartbeats(k->up[0], true, 1000 + i);
        collect_advance(k, 29999);
        assert_int_equal(fake_upstream_seen(k->up[0]).n_heartbeats, i - 1);
        collect_advance(k, 1);
        assert_true(until_heartbeats(k, i));
        assert_true(until_popularity(k, 1000 + i));
        assert_true(collect_is(k, ROOM, "connected"));
    }
    assert_int_equal(fake_upstream_seen(k->up[0]).n_accepted, 1);
    assert_int_equal(fake_upstream_seen(k->up[0]).n_bad_packets, 0);
}

static void silence_is_noticed(void **state)
{
    struct collect *k = live(state);
    assert_true(until_popularity(k, 1));
    fake_upstream_heartbeats(k->up[0], false, 0);
    /* Messages are no sign of life: a reply is. */
    for (int i = 0; i < 7; i++) {
        collect_advance(k, 10000);
        send_danmaku(k, i + 1);
        assert_true(collect_until_events(k, (unsigned)i + 1));
    }
    assert_true(collect_is(k, ROOM, "connected"));
    collect_advance(k, 5000);
    /* The connection lived for more than a minute: the backoff starts anew. */
    waits(k, "heartbeat_timeout", 750, 1250);
    assert_int_equal(closes(k, STAT_ROOM_CLOSES_HEARTBEAT_TIMEOUT), 1);
    fake_upstream_heartbeats(k->up[0], true, 1);
    collect_advance(k, 1250);
    assert_true(collect_until_state(k, ROOM, "connected"));
    assert_int_equal(collect_info(k, ROOM).n_connects, 2);
}

static void waits_longer_after_each_failure(void **state)
{
    struct collect *k = *state;
    fake_upstream_refuse(k->up[0]);
    collect_add(k, ROOM);
    int64_t want = 1000;
    for (int i = 0; i < 10; i++) {
        waits(k, "connect", want * 3 / 4, want * 5 / 4);
        assert_int_equal(closes(k, STAT_ROOM_CLOSES_CONNECT), i + 1);
        want = want * 2 > 60000 ? 60000 : want * 2;
        collect_advance(k, collect_info(k, ROOM).next_try_ms - k->clock.wall);
    }
    fake_upstream_accept(k->up[0]);
    assert_true(collect_until_state(k, ROOM, "backoff"));
    collect_advance(k, 75000);
    assert_true(collect_until_state(k, ROOM, "connected"));
    /* Lost at once: no reset yet. Lost after a healthy minute: from the start. */
    fake_upstream_drop(k->up[0], 0, true);
    waits(k, "peer_reset", 45000, 75000);
    collect_advance(k, 75000);
    assert_true(collect_until_state(k, ROOM, "connected"));
    assert_true(until_popularity(k, 1));
    const unsigned n = fake_upstream_seen(k->up[0]).n_heartbeats;
    for (unsigned i = 1; i <= 2; i++) {
        fake_upstream_heartbeats(k->up[0], true, i + 1);
        collect_advance(k, 30000);
        assert_true(until_heartbeats(k, n + i));
        assert_true(until_popularity(k, i + 1));
    }
    fake_upstream_drop(k->up[0], 0, false);
    waits(k, "peer_closed", 750, 1250);
}

static void auth_that_fails(struct collect *k, enum fake_auth how, const char *reason, int64_t low,
                            int64_t high)
{
    fake_upstream_auth(k->up[0], how);
    collect_add(k, ROOM);
    waits(k, reason, low, high);
    assert_int_equal(collector_n_connected(k->c), 0);
    assert_int_equal(collect_info(k, ROOM).n_connects, 0);
    fake_upstream_auth(k->up[0], FAKE_AUTH_OK);
    collect_advance(k, high);
    assert_true(collect_until_state(k, ROOM, "connected"));
}

static void auth_rejected(void **state)
{
    auth_that_fails(*state, FAKE_AUTH_BAD, "auth_rejected", 24000, 40000);
}

static void auth_without_code(void **state)
{
    auth_that_fails(*state, FAKE_AUTH_NO_CODE, "auth_rejected", 24000, 40000);
}

static void auth_closed(void **state)
{
    auth_that_fails(*state, FAKE_AUTH_CLOSE, "auth_closed", 750, 1250);
}

static void auth_reset(void **state)
{
    auth_that_fails(*state, FAKE_AUTH_RESET, "auth_closed", 750, 1250);
}

static void auth_garbage(void **state)
{
    struct collect *k = *state;
    auth_that_fails(k, FAKE_AUTH_GARBAGE, "protocol", 750, 1250);
    /* "HTTP" read as a length is far over the limit. */
    assert_int_equal(
        closes(k, STAT_FRAMES_DROPPED_TOO_LARGE) + closes(k, STAT_FRAMES_DROPPED_HEADER), 1);
}

static bool auth_arrived(struct collect *k, const void *arg)
{
    (void)arg;
    return fake_upstream_seen(k->up[0]).n_auth > 0;
}

static void auth_silence(void **state)
{
    struct collect *k = *state;
    fake_upstream_auth(k->up[0], FAKE_AUTH_SILENT);
    collect_add(k, ROOM);
    assert_true(collect_until(k, auth_arrived, NULL));
    assert_true(collect_is(k, ROOM, "auth"));
    collect_advance(k, ROOM_AUTH_TIMEOUT_MS - 1);
    assert_true(collect_is(k, ROOM, "auth"));
    collect_advance(k, 1);
    waits(k, "auth_timeout", 750, 1250);
    assert_int_equal(closes(k, STAT_ROOM_CLOSES_AUTH_TIMEOUT), 1);
}

static void messages_become_events(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    struct buf frame;
    buf_init(&out, 65536);
    buf_init(&frame, 65536);
    for (int64_t id = 1; id <= 3; id++) {
        collect_put_danmaku(&out, id);
    }
    frames_put_frame(&frame, PACKET_BROTLI, buf_str(&out));
    fake_upstream_send(k->up[0], 0, buf_str(&frame));
    assert_true(collect_until_events(k, 3));
    assert_int_equal(k->n_calls, 3); /* one call per message */
    const struct collector_room_info info = collect_info(k, ROOM);
    assert_int_equal(info.n_messages, 3);
    assert_int_equal(info.n_events, 3);
    assert_int_equal(info.last_event_ms, k->clock.wall);
    assert_int_equal(k->events[0].room_id, ROOM);
    assert_int_equal(stats_get(k->stats, STAT_MESSAGES_OK), 3);
    assert_true(stats_get(k->stats, STAT_BYTES_IN) >= (int64_t)frame.len);
    buf_deinit(&out);
    buf_deinit(&frame);
}

static void slow_drip(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 65536);
    collect_put_danmaku(&out, 1);
    collect_put_danmaku(&out, 2);
    assert_true(until_popularity(k, 1)); /* or the reply would land between two bytes */
    fake_upstream_drip(k->up[0], buf_str(&out));
    assert_true(collect_until_events(k, 2));
    assert_true(k->events[0].nkey != k->events[1].nkey);
    buf_deinit(&out);
}

static void repeats_are_dropped(void **state)
{
    struct collect *k = live(state);
    send_danmaku(k, 1);
    assert_true(collect_until_events(k, 1));
    send_danmaku(k, 1);
    send_danmaku(k, 2);
    assert_true(collect_until_events(k, 2));
    assert_int_equal(collect_info(k, ROOM).n_repeats, 1);
    assert_int_equal(stats_get(k->stats, STAT_REPEATS_DANMAKU), 1);
    /* The window outlives the connection: upstream sends again what it thinks we missed. */
    fake_upstream_drop(k->up[0], 0, true);
    assert_true(collect_until_state(k, ROOM, "backoff"));
    collect_advance(k, 2000);
    assert_true(collect_until_state(k, ROOM, "connected"));
    send_danmaku(k, 2);
    send_danmaku(k, 3);
    assert_true(collect_until_events(k, 3));
    assert_int_equal(collect_info(k, ROOM).n_repeats, 2);
    /* What is stored already is told at start. */
    const int64_t nkey = k->events[2].nkey;
    collect_close(k);
    collect_open(k, NULL);
    collect_add(k, ROOM);
    collector_seen(k->c, ROOM, nkey);
    collector_seen(k->c, ROOM + 1, nkey); /* no such room: nothing happens */
    assert_true(collect_until_state(k, ROOM, "connected"));
    send_danmaku(k, 3);
    send_danmaku(k, 4);
    assert_true(collect_until_events(k, 4));
    assert_int_equal(collect_info(k, ROOM).n_repeats, 1);
    assert_int_equal(k->n_events, 4);
}

static void reset_in_the_middle_of_a_frame(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 8192);
    collect_put_danmaku(&out, 1);
    const unsigned before = (unsigned)stats_get(k->stats, STAT_BYTES_IN);
    fake_upstream_send(k->up[0], 0, str_sub(buf_str(&out), 0, 100));
    for (int i = 0; i < 100 && stats_get(k->stats, STAT_BYTES_IN) < before + 100; i++) {
        collect_turns(k, 1);
    }
    fake_upstream_drop(k->up[0], 0, true);
    waits(k, "peer_reset", 750, 1250);
    collect_advance(k, 1250);
    assert_true(collect_until_state(k, ROOM, "connected"));
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 1)); /* the half frame is forgotten */
    buf_deinit(&out);
}

static void garbage_while_live(void **state)
{
    struct collect *k = live(state);
    fake_upstream_send(k->up[0], 0, STR("this is not a packet at all"));
    waits(k, "protocol", 750, 1250);
    assert_int_equal(closes(k, STAT_ROOM_CLOSES_PROTOCOL), 1);
}

static void new_operations_are_no_reason_to_leave(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 3 * ROOM_FAULTS_MAX; i++) {
        frames_put(&out, 1, 24, STR("{}"));
        frames_put(&out, 9, PACKET_MESSAGE, STR("{}"));
    }
    collect_put_danmaku(&out, 1);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 1));
    assert_int_equal(stats_get(k->stats, STAT_FRAMES_DROPPED_OPERATION), 3 * ROOM_FAULTS_MAX);
    assert_int_equal(stats_get(k->stats, STAT_FRAMES_DROPPED_VERSION), 3 * ROOM_FAULTS_MAX);
    assert_true(collect_is(k, ROOM, "connected"));
    buf_deinit(&out);
}

static void put_broken(struct buf *out, int n)
{
    for (int i = 0; i < n; i++) {
        frames_put(out, PACKET_ZLIB, PACKET_MESSAGE, STR("no zlib stream"));
    }
}

static void broken_frames_are_dropped_until_there_are_too_many(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 1 << 20);
    put_broken(&out, ROOM_FAULTS_MAX);
    collect_put_danmaku(&out, 1);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 1));
    assert_int_equal(stats_get(k->stats, STAT_FRAMES_DROPPED_INFLATE), ROOM_FAULTS_MAX);
    /* A minute later they do not count any more. */
    collect_advance(k, 60000);
    buf_clear(&out);
    put_broken(&out, ROOM_FAULTS_MAX);
    collect_put_danmaku(&out, 2);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 2));
    buf_clear(&out);
    put_broken(&out, 1);
    collect_put_danmaku(&out, 3);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    waits(k, "faults", 24000, 40000);
    assert_int_equal(k->n_events, 2); /* what came behind in the same read is not looked at */
    buf_deinit(&out);
}

static void unknown_and_broken_messages_are_counted(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 8192);
    frames_put(&out, PACKET_PLAIN, PACKET_MESSAGE, STR("{\"cmd\":\"NOBODY_KNOWS_THIS\"}"));
    frames_put(&out, PACKET_PLAIN, PACKET_MESSAGE, STR("{\"cmd\":"));
    frames_put(&out, PACKET_PLAIN, PACKET_MESSAGE, STR("{\"mtime\":1}"));
    collect_put_danmaku(&out, 1);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 1));
    assert_int_equal(stats_get(k->stats, STAT_MESSAGES_UNKNOWN), 2);
    assert_int_equal(stats_get(k->stats, STAT_MESSAGES_BROKEN), 1);
    assert_int_equal(k->n_calls, 1);
    assert_int_equal(collect_info(k, ROOM).n_messages, 4);
    buf_deinit(&out);
}

static void endless_frame(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 1 << 20);
    frames_put_head(&out, 4u << 20, 16, 0, PACKET_MESSAGE);
    char *room = buf_reserve(&out, 1 << 19);
    memset(room, 'x', 1 << 19);
    buf_commit(&out, 1 << 19);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    /* It promises 4 MiB, the most we take, and never ends: heartbeat replies drown in it. */
    for (int i = 0; i < 3; i++) {
        collect_advance(k, 25000);
    }
    waits(k, "heartbeat_timeout", 750, 1250);
    collect_advance(k, 1250);
    assert_true(collect_until_state(k, ROOM, "connected"));
    buf_clear(&out);
    frames_put_head(&out, (4u << 20) + 1, 16, 0, PACKET_MESSAGE);
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    waits(k, "protocol", 1500, 2500);
    assert_int_equal(stats_get(k->stats, STAT_FRAMES_DROPPED_TOO_LARGE), 1);
    buf_deinit(&out);
}

static void remove_me(struct collect *k)
{
    struct err err;
    assert_int_equal(collector_remove(k->c, ROOM, &err), ERR_OK);
}

static void removed_from_within_its_own_event(void **state)
{
    struct collect *k = live(state);
    struct buf out;
    buf_init(&out, 65536);
    collect_put_danmaku(&out, 1);
    collect_put_danmaku(&out, 2);
    k->on_call = remove_me;
    fake_upstream_send(k->up[0], 0, buf_str(&out));
    assert_true(collect_until_events(k, 1));
    collect_turns(k, 10);
    assert_int_equal(k->n_events, 1);
    assert_int_equal(collector_n_rooms(k->c), 0);
    assert_int_equal(closes(k, STAT_ROOM_CLOSES_REMOVED), 1);
    buf_deinit(&out);
}

/* The runner looks for leaks, the loop for open handles, the machine's table for impossible moves. */
static void close_at_every_turn(void **state)
{
    struct collect *k = *state;
    static const enum fake_auth ways[] = {FAKE_AUTH_OK,    FAKE_AUTH_BAD,     FAKE_AUTH_CLOSE,
                                          FAKE_AUTH_RESET, FAKE_AUTH_GARBAGE, FAKE_AUTH_SILENT};
    for (unsigned w = 0; w < ARRAY_LEN(ways); w++) {
        fake_upstream_auth(k->up[0], ways[w]);
        for (unsigned turns = 0; turns <= 20; turns++) {
            for (int removing = 0; removing < 2; removing++) {
                collect_add(k, ROOM);
                collect_turns(k, turns);
                if (removing) {
                    remove_me(k);
                    assert_true(collect_is(k, ROOM, "gone"));
                }
                collect_close(k);
                collect_open(k, NULL);
            }
        }
    }
}

int main(int argc, char **argv)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(authenticates_and_greets),
        CASE(heartbeats_keep_coming),
        CASE(silence_is_noticed),
        CASE(waits_longer_after_each_failure),
        CASE(auth_rejected),
        CASE(auth_without_code),
        CASE(auth_closed),
        CASE(auth_reset),
        CASE(auth_garbage),
        CASE(auth_silence),
        CASE(messages_become_events),
        CASE(slow_drip),
        CASE(repeats_are_dropped),
        CASE(reset_in_the_middle_of_a_frame),
        CASE(garbage_while_live),
        CASE(new_operations_are_no_reason_to_leave),
        CASE(broken_frames_are_dropped_until_there_are_too_many),
        CASE(unknown_and_broken_messages_are_counted),
        CASE(endless_frame),
        CASE(removed_from_within_its_own_event),
        CASE(close_at_every_turn),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
