/* What the types of config_keys.def cannot say of the settings. */
#include "server/app/app_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "collector/endpoint.h"
#include "server/db/db.h"

bool app_room_parse(const char *text, int64_t *ret)
{
    return str_to_i64(str_of(text), ret) && *ret > 0;
}

bool app_listen_parse(const char *text, struct listen_at *ret)
{
    struct str s = str_of(text);
    size_t colon = s.len;
    while (colon > 0 && s.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return false;
    }
    struct str host = str_sub(s, 0, colon - 1);
    uint64_t port = 0;
    if (!str_to_u64(str_sub(s, colon, s.len), &port) || port > UINT16_MAX) {
        return false;
    }
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = str_sub(host, 1, host.len - 1);
    }
    if (str_eq(host, STR("localhost"))) {
        host = STR("127.0.0.1");
    }
    if (host.len == 0 || host.len >= sizeof(ret->address)) {
        return false;
    }
    memcpy(ret->address, host.ptr, host.len);
    ret->address[host.len] = '\0';
    ret->port = (uint16_t)port;

    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, ret->address, &v4) == 1) {
        ret->loopback = (ntohl(v4.s_addr) >> 24) == 127;
        return true;
    }
    ret->loopback = inet_pton(AF_INET6, ret->address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    return inet_pton(AF_INET6, ret->address, &v6) == 1;
}

static void check_database(const struct config *config, struct config_check *check)
{
    struct err err = {0};
    if (config->database_url[0] != '\0' &&
        db_conninfo_check(config->database_url, &err) != ERR_OK) {
        config_problem(check, "database_url", "%s", err.msg);
    }
}

static void check_upstream(const struct config *config, struct config_check *check)
{
    const struct collector_opts opts = {
        .ca_file = config->upstream_ca_file,
        .user_agent = config->user_agent,
    };
    struct str kinds[TRANSPORT_KINDS + 1];
    struct endpoint_order order;
    struct endpoint ep;
    struct err err = {0};
    size_t n = 0;
    for (size_t i = 0; i < config->upstream_hosts.n; i++) {
        if (endpoint_parse(str_of(config->upstream_hosts.items[i]), &ep, &err) != ERR_OK) {
            config_problem(check, "upstream_hosts", "%s", err.msg);
        }
    }
    for (; n < config->transport.n && n < ARRAY_LEN(kinds); n++) {
        kinds[n] = str_of(config->transport.items[n]);
    }
    if (endpoint_order_parse(kinds, n, &order, &err) != ERR_OK) {
        config_problem(check, "transport", "%s", err.msg);
    }
    if (collector_check(&opts, &err) != ERR_OK) {
        config_problem(check,
                       config->upstream_ca_file[0] != '\0' ? "upstream_ca_file" : "user_agent",
                       "%s", err.msg);
    }
}

void app_check(const struct config *config, struct config_check *check)
{
    struct listen_at at;
    int64_t room = 0;
    if (!app_listen_parse(config->listen, &at)) {
        config_problem(check, "listen",
                       "%s is not address:port with a numeric address, e.g. 127.0.0.1:8080",
                       config->listen);
    }
    for (size_t i = 0; i < config->rooms.n; i++) {
        if (!app_room_parse(config->rooms.items[i], &room)) {
            config_problem(check, "rooms", "%s is not a room id (a positive number)",
                           config->rooms.items[i]);
        }
    }
    check_database(config, check);
    check_upstream(config, check);
    app_upstream_check(config, check);
    app_fleet_check(config, check);
    if ((int64_t)config->rooms.n > config->max_rooms) {
        config_problem(check, "rooms", "%zu rooms, but max_rooms is %lld", config->rooms.n,
                       (long long)config->max_rooms);
    }
    if (config->heartbeat_timeout <= config->heartbeat_interval) {
        config_problem(check, "heartbeat_timeout",
                       "no longer than heartbeat_interval: every connection would be closed");
    }
    (void)app_counted_kinds(config, check);
}

void app_check_notes(const struct config *config, struct buf *out)
{
    struct listen_at at;
    if (app_listen_parse(config->listen, &at) && !at.loopback && !config->allow_public) {
        buf_printf(
            out,
            "note: listen %s can be reached from outside: danmakud does not start until a token "
            "exists (danmakud token add NAME)\n",
            config->listen);
    }
    if (config->cookie_file[0] != '\0' && access(config->cookie_file, R_OK) != 0) {
        buf_printf(out, "note: cookie_file %s cannot be read by this user: %s\n",
                   config->cookie_file, strerror(errno));
    }
}
