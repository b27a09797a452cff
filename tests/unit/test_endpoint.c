#include "collector/endpoint.h"

#include <string.h>

#include "tests/support/run.h"

enum { TCP = 1 << TRANSPORT_TCP, WS = 1 << TRANSPORT_WS, WSS = 1 << TRANSPORT_WSS };

/* --- the order --- */

static enum err_code parse(const char *text, struct endpoint_order *ret, struct err *err)
{
    struct str names[8];
    struct str rest = str_of(text);
    size_t n = 0;
    while (str_split(&rest, ',', &names[n])) {
        n++;
    }
    return endpoint_order_parse(names, n, ret, err);
}

static void orders(void **state)
{
    (void)state;
    struct endpoint_order o = {.n = 77};
    struct err err;
    assert_int_equal(parse("ws, tcp", &o, &err), ERR_OK);
    assert_int_equal(o.n, 2);
    assert_int_equal(o.kinds[0], TRANSPORT_WS);
    assert_int_equal(o.kinds[1], TRANSPORT_TCP);
    assert_true(endpoint_order_has(&o, TRANSPORT_TCP));
    assert_false(endpoint_order_has(&o, TRANSPORT_WSS));
    assert_int_equal(parse("wss,ws,tcp", &o, &err), ERR_OK);
    assert_memory_equal(&o, &endpoint_order_default, sizeof o);
    o.n = 77;
    static const char *const wrong[] = {"", "quic", "ws,,tcp", "ws,ws", "wss,ws,tcp,wss", "WS"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(parse(wrong[i], &o, &err), ERR_INVALID);
        assert_true(err.msg[0] != 0);
        assert_int_equal(o.n, 77);
    }
}

/* --- which host, which port --- */

static struct endpoint_host host(const char *name, unsigned kinds)
{
    struct endpoint_host h = {.host = str_of(name)};
    for (unsigned k = 0; k < TRANSPORT_KINDS; k++) {
        h.ports[k] = kinds & 1U << k ? (uint16_t)(1000 + k) : 0;
    }
    return h;
}

static void picks(void **state)
{
    (void)state;
    const struct endpoint_host hosts[] = {host("a", TCP | WS | WSS), host("b", TCP),
                                          host("c", TCP | WS)};
    const struct endpoint_order order = {{TRANSPORT_WSS, TRANSPORT_WS}, 2};
    static const struct {
        unsigned attempt;
        unsigned rank;
        const char *host;
        enum transport_kind kind;
    } all[] = {
        {0, 0, "a", TRANSPORT_WSS}, {0, 1, "a", TRANSPORT_WS}, {0, 2, "a", TRANSPORT_WSS},
        {0, 7, "a", TRANSPORT_WS},  {1, 0, "c", TRANSPORT_WS}, /* b offers none of the order */
        {1, 1, "c", TRANSPORT_WS},  {2, 0, "c", TRANSPORT_WS}, {3, 0, "a", TRANSPORT_WSS},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const struct endpoint_ask ask = {
            .room_id = 300, .attempt = all[i].attempt, .rank = all[i].rank};
        struct endpoint ep = {.uid = 7};
        assert_true(endpoint_pick(hosts, ARRAY_LEN(hosts), &order, &ask, &ep));
        assert_str_equal(ep.host, all[i].host);
        assert_int_equal(ep.kind, all[i].kind);
        assert_int_equal(ep.port, 1000 + all[i].kind);
        assert_int_equal(ep.uid, 7);
    }
    const struct endpoint_ask other_room = {.room_id = 302};
    struct endpoint ep;
    assert_true(endpoint_pick(hosts, ARRAY_LEN(hosts), &order, &other_room, &ep));
    assert_str_equal(ep.host, "c");
}

static void nothing_to_pick(void **state)
{
    (void)state;
    const struct endpoint_host hosts[] = {host("a", TCP), host("b", 0)};
    const struct endpoint_order order = {{TRANSPORT_WSS, TRANSPORT_WS}, 2};
    const struct endpoint_ask ask = {.room_id = 1};
    struct endpoint ep;
    assert_false(endpoint_pick(hosts, ARRAY_LEN(hosts), &order, &ask, &ep));
    assert_false(endpoint_pick(NULL, 0, &endpoint_order_default, &ask, &ep));
    assert_true(endpoint_pick(hosts, ARRAY_LEN(hosts), &endpoint_order_default, &ask, &ep));
    assert_str_equal(ep.host, "a");
    assert_int_equal(ep.kind, TRANSPORT_TCP);
}

/* --- experience --- */

static void tries(struct endpoint_choice *c, unsigned rank, int64_t now)
{
    assert_int_equal(endpoint_choice_rank(c, now), rank);
    endpoint_choice_failed(c, now);
}

static void moves_on_after_failures(void **state)
{
    (void)state;
    struct endpoint_choice c = {0};
    for (unsigned rank = 0; rank < 7; rank++) {
        for (int i = 0; i < ENDPOINT_TRIES; i++) {
            tries(&c, rank, 1000);
        }
    }
}

static void success_begins_the_count_anew(void **state)
{
    (void)state;
    struct endpoint_choice c = {0};
    for (int i = 0; i < 10; i++) {
        tries(&c, 0, 1000);
        tries(&c, 0, 1000);
        assert_int_equal(endpoint_choice_rank(&c, 1000), 0);
        endpoint_choice_worked(&c);
    }
}

static void the_better_one_gets_a_try_now_and_then(void **state)
{
    (void)state;
    struct endpoint_choice c = {0};
    int64_t now = 5000;
    for (unsigned rank = 0; rank < 2; rank++) {
        for (int i = 0; i < ENDPOINT_TRIES; i++) {
            tries(&c, rank, now);
        }
    }
    assert_int_equal(endpoint_choice_rank(&c, now), 2);
    endpoint_choice_worked(&c);
    assert_int_equal(endpoint_choice_rank(&c, now + ENDPOINT_PREFER_MS - 1), 2);
    endpoint_choice_worked(&c);
    for (int i = 0; i < 3; i++) {
        now += ENDPOINT_PREFER_MS;
        tries(&c, 0, now); /* once, then what is known to work */
        assert_int_equal(endpoint_choice_rank(&c, now), 2);
        assert_int_equal(endpoint_choice_rank(&c, now + ENDPOINT_PREFER_MS - 1), 2);
        endpoint_choice_worked(&c);
    }
    now += ENDPOINT_PREFER_MS;
    assert_int_equal(endpoint_choice_rank(&c, now), 0);
    endpoint_choice_worked(&c); /* it is back */
    for (int i = 0; i < ENDPOINT_TRIES; i++) {
        tries(&c, 0, now + 2 * (int64_t)ENDPOINT_PREFER_MS);
    }
    assert_int_equal(endpoint_choice_rank(&c, now + 2 * (int64_t)ENDPOINT_PREFER_MS), 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders),
        cmocka_unit_test(picks),
        cmocka_unit_test(nothing_to_pick),
        cmocka_unit_test(moves_on_after_failures),
        cmocka_unit_test(success_begins_the_count_anew),
        cmocka_unit_test(the_better_one_gets_a_try_now_and_then),
    };
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
