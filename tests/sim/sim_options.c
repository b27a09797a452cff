#include "tests/sim/sim_options.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/core/str.h"
#include "tests/sim/sim_gen.h"

enum kind { STRING, STRINGS, INTEGER, SEED, NUMBER, FLAG, PORT, HTTP, SPEED, SLOW, AUTH_FAIL };

struct option {
    const char *name;
    enum kind kind;
    size_t at;   /* of the field */
    size_t at_n; /* of its count, for STRINGS */
    int64_t min; /* INTEGER; STRINGS: at most max of them */
    int64_t max;
    const char *arg;
    const char *help;
};

#define AT(field) offsetof(struct sim_options, field)
static const struct option OPTIONS[] = {
    {"listen", STRINGS, AT(listen), AT(n_listen), 0, SIM_LISTEN_MAX, "ADDR:PORT",
     "accept danmaku clients here (tcp); repeat for several hosts; port 0: a free one "
     "[127.0.0.1:0]"},
    {"port", PORT, 0, 0, 0, 0, "N", "short for --listen 127.0.0.1:N"},
    {"ws", STRINGS, AT(ws), AT(n_ws), 0, SIM_LISTEN_MAX, "ADDR:PORT",
     "accept websocket clients here; repeatable"},
    {"wss", STRINGS, AT(wss), AT(n_wss), 0, SIM_LISTEN_MAX, "ADDR:PORT",
     "the same over tls; repeatable"},
    {"tls-cert", STRING, AT(tls_cert), 0, 0, 0, "FILE", "certificate (and its chain), PEM"},
    {"tls-key", STRING, AT(tls_key), 0, 0, 0, "FILE", "its key, PEM"},
    {"tls-dir", STRING, AT(tls_dir), 0, 0, 0, "DIR",
     "instead: DIR/ca.pem, server.pem, server.key for localhost, made if they are not there"},
    {"ws-strict", FLAG, AT(ws_strict), 0, 0, 0, NULL,
     "refuse websocket requests whose Origin and User-Agent are not those of a browser on the live "
     "site"},
    {"http", HTTP, 0, 0, 0, 0, "[ADDR:]PORT",
     "serve the site's HTTP APIs here; danmaku clients then need a token of theirs"},
    {"https", FLAG, AT(https), 0, 0, 0, NULL, "the APIs over tls, with the certificate of --wss"},
    {"public-host", STRING, AT(public_host), 0, 0, 0, "NAME",
     "what danmaku hosts are called in answers, and in the certificate [their address]"},
    {"account", STRINGS, AT(accounts), AT(n_accounts), 0, SIM_ACCOUNT_ARGS_MAX, "SESSDATA:UID:NAME",
     "a cookie that is logged in; repeatable"},
    {"token-ttl-ms", INTEGER, AT(token_ttl_ms), 0, 0, INT64_C(1) << 52, "MS",
     "tokens expire after so long; 0: never [0]"},
    {"any-token", FLAG, AT(any_token), 0, 0, 0, NULL, "take any token although --http gives them"},
    {"http-limit", NUMBER, AT(http_limit), 0, 0, 0, "R",
     "requests per second; what is more gets -799; 0: no limit [0]"},
    {"http-burst", INTEGER, AT(http_burst), 0, 1, 1000000, "N", "of --http-limit [20]"},
    {"http-strict", FLAG, AT(http_strict), 0, 0, 0, NULL,
     "-352 unless User-Agent, Referer and a single Cookie line look like a browser's"},
    {"http-fault", STRINGS, AT(http_faults), AT(n_http_faults), 0, SIM_FAULT_ARGS_MAX, "RULE",
     "kind=ban,path=...,times=1,...; repeatable (see README.md)"},
    {"churn", NUMBER, AT(churn), 0, 0, 0, "R",
     "changes per minute: lives begin and end, titles and places in the list change [0]"},
    {"conns-per-address", INTEGER, AT(conns_per_address), 0, 0, 1000000, "N",
     "more connections of one address are reset; 0: no limit [0]"},
    {"stall-rooms", INTEGER, AT(stall_pct), 0, 0, 100, "PCT",
     "at any time this share of the rooms is silent, although heartbeats are answered [0]"},
    {"control", STRING, AT(control), 0, 0, 0, "WHERE",
     "take commands at unix:PATH or tcp:ADDR:PORT (see README.md)"},
    {"rooms", INTEGER, AT(rooms), 0, 0, SIM_ROOMS_MAX, "N", "number of rooms [20]"},
    {"first-room", INTEGER, AT(first_room), 0, 1, INT64_C(1) << 52, "ID",
     "the rooms are ID, ID+1, ... [1001]"},
    {"room-ids", STRING, AT(room_ids), 0, 0, 0, "ID,ID,...", "these rooms instead"},
    {"any-room", FLAG, AT(any_room), 0, 0, 0, NULL, "make any room a client asks for"},
    {"rate", NUMBER, AT(rate), 0, 0, 0, "R",
     "recorded events (danmaku, gift, superchat, live) per second over all rooms [40]"},
    {"speed", SPEED, 0, 0, 0, 0, "max", "as fast as the clients take it"},
    {"zipf", NUMBER, AT(zipf), 0, 0, 0, "S",
     "room k gets a share of 1/k^S of the rate; 0: all the same [0.8]"},
    {"steady", FLAG, AT(steady), 0, 0, 0, NULL, "no bursts and lulls"},
    {"count", INTEGER, AT(count), 0, 0, INT64_MAX, "N",
     "stop after N recorded events, stay connected; nothing is dropped"},
    {"wait-rooms", INTEGER, AT(wait_rooms), 0, 0, SIM_ROOMS_MAX, "N",
     "send nothing before N rooms have a client"},
    {"seed", SEED, AT(seed), 0, 0, 0, "N", "of everything random [1]"},
    {"mix", STRING, AT(mix), 0, 0, 0, "NAME=W,...",
     "only these messages with these weights: danmaku gift superchat live preparing interact entry "
     "watched rank likes stopped notice fans unknown"},
    {"full", FLAG, AT(full), 0, 0, 0, NULL,
     "also guards (three messages a purchase), red packets, protobuf gifts and visits; --mix then "
     "knows guard and packet"},
    {"start-ms", INTEGER, AT(start_ms), 0, 0, INT64_MAX, "MS",
     "times count from here, not from the clock: the same bytes in every run"},
    {"masked", INTEGER, AT(masked_pct), 0, 0, 100, "PCT",
     "share of rooms that hide senders from anonymous clients [0]"},
    {"frame-max", INTEGER, AT(frame_max), 0, 1, 200, "N", "most messages in one frame [20]"},
    {"quality", INTEGER, AT(quality), 0, 0, 11, "N", "of brotli [0]"},
    {"queue-bytes", INTEGER, AT(queue_bytes), 0, 4096, 1 << 30, "N",
     "most bytes waiting for one client [1048576]"},
    {"slow", SLOW, 0, 0, 0, 0, "wait|drop",
     "a slow client holds its room back, or loses messages [wait]"},
    {"auth-timeout-ms", INTEGER, AT(auth_timeout_ms), 0, 1, 3600000, "MS",
     "a client that has not authenticated by then is dropped [5000]"},
    {"heartbeat-timeout-ms", INTEGER, AT(heartbeat_timeout_ms), 0, 1, 86400000, "MS",
     "a client without a heartbeat for so long is dropped [70000]"},
    {"token", STRING, AT(token), 0, 0, 0, "T", "the key that clients must give [any]"},
    {"token-uid", INTEGER, AT(token_uid), 0, 0, INT64_MAX, "UID",
     "the uid that clients must give [any]"},
    {"auth-fail", AUTH_FAIL, 0, 0, 0, 0, "reply|close",
     "a refused client is told code -101, or just closed [reply]"},
    {"reply-ver", INTEGER, AT(reply_ver), 0, 0, 1, "0|1",
     "version in the header of auth and heartbeat replies [now 0, now 1]"},
    {"fault", STRINGS, AT(faults), AT(n_faults), 0, SIM_FAULT_ARGS_MAX, "RULE",
     "room=*,kind=reset,after=100,...; repeatable (see README.md)"},
    {"replay", STRINGS, AT(replay), AT(n_replay), 0, SIM_REPLAY_MAX, "FILE",
     "send the messages of this file (JSON array or lines) instead of generated ones; repeatable"},
    {"replay-room", INTEGER, AT(replay_room), 0, 1, INT64_C(1) << 52, "ID",
     "replay to this room only [all]"},
    {"replay-loop", FLAG, AT(replay_loop), 0, 0, 0, NULL, "begin again at the end"},
    {"record", STRING, AT(record), 0, 0, 0, "FILE", "write what was handed to whom, JSON lines"},
    {"dump", INTEGER, AT(dump), 0, 0, INT64_MAX, "N",
     "print N messages of the first room as JSON lines and exit"},
    {"dump-masked", FLAG, AT(dump_masked), 0, 0, 0, NULL, "as an anonymous client sees them"},
    {"log-level", STRING, AT(log_level), 0, 0, 0, "LEVEL", "debug, info, warn, error [warn]"},
    {"help", FLAG, AT(help), 0, 0, 0, NULL, "this text"},
};

static const char *const NO_VALUE = "";

static void defaults(struct sim_options *o)
{
    *o = (struct sim_options){
        .rooms = 20,
        .first_room = 1001,
        .rate = 40,
        .zipf = 0.8,
        .seed = 1,
        .frame_max = 20,
        .queue_bytes = 1 << 20,
        .auth_timeout_ms = 5000,
        .heartbeat_timeout_ms = 70000,
        .token_uid = -1,
        .reply_ver = -1,
        .http_burst = 20,
        .log_level = "warn",
    };
}

static void *field(struct sim_options *o, size_t at)
{
    return (char *)o + at;
}

static bool set_integer(struct sim_options *o, const struct option *opt, const char *value)
{
    int64_t n;

    if (!str_to_i64(str_of(value), &n) || n < opt->min || n > opt->max) {
        return false;
    }
    *(int64_t *)field(o, opt->at) = n;
    return true;
}

static bool set_number(struct sim_options *o, const struct option *opt, const char *value)
{
    char *end;
    double x = strtod(value, &end);

    if (end == value || *end || !(x >= 0 && x <= 1e7)) {
        return false;
    }
    *(double *)field(o, opt->at) = x;
    return true;
}

static bool add_string(struct sim_options *o, size_t at, size_t at_n, int64_t max,
                       const char *value)
{
    size_t *n = field(o, at_n);

    if ((int64_t)*n >= max) {
        return false;
    }
    ((const char **)field(o, at))[(*n)++] = value;
    return true;
}

/* One of two words; *ret says whether it is the second. */
static bool set_word(const char *value, const char *first, const char *second, bool *ret)
{
    *ret = str_eq(str_of(value), str_of(second));
    return *ret || str_eq(str_of(value), str_of(first));
}

static bool set_port(struct sim_options *o, const char *value)
{
    uint64_t port;

    if (!str_to_u64(str_of(value), &port) || port > 65535) {
        return false;
    }
    (void)snprintf(o->port_text, sizeof(o->port_text), "127.0.0.1:%u", (unsigned)port);
    return add_string(o, AT(listen), AT(n_listen), SIM_LISTEN_MAX, o->port_text);
}

/* A port alone is one of this machine's. */
static bool set_http(struct sim_options *o, const char *value)
{
    uint64_t port;

    if (!str_to_u64(str_of(value), &port)) {
        o->http = value;
        return true;
    }
    (void)snprintf(o->http_text, sizeof(o->http_text), "127.0.0.1:%u", (unsigned)port);
    o->http = o->http_text;
    return port <= 65535;
}

static bool apply(struct sim_options *o, const struct option *opt, const char *value)
{
    switch (opt->kind) {
    case STRING:
        *(const char **)field(o, opt->at) = value;
        return true;
    case STRINGS:
        return add_string(o, opt->at, opt->at_n, opt->max, value);
    case INTEGER:
        return set_integer(o, opt, value);
    case SEED:
        return str_to_u64(str_of(value), field(o, opt->at));
    case NUMBER:
        return set_number(o, opt, value);
    case FLAG:
        *(bool *)field(o, opt->at) = true;
        return true;
    case PORT:
        return set_port(o, value);
    case HTTP:
        return set_http(o, value);
    case SPEED:
        o->full_speed = str_eq(str_of(value), STR("max"));
        return o->full_speed;
    case SLOW:
        return set_word(value, "wait", "drop", &o->slow_drop);
    case AUTH_FAIL:
        return set_word(value, "reply", "close", &o->auth_fail_silent);
    }
    return false;
}

static const struct option *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
        if (str_eq(name, str_of(OPTIONS[i].name))) {
            return &OPTIONS[i];
        }
    }
    return NULL;
}

enum err_code sim_options_parse(struct sim_options *o, int argc, char **argv, struct err *err)
{
    defaults(o);
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        const char *eq = strchr(argv[i], '=');
        const struct option *opt = NULL;
        const char *value = NO_VALUE;

        if (str_starts(arg, STR("--"))) {
            opt = find(str_sub(arg, 2, eq ? (size_t)(eq - argv[i]) : arg.len));
        }
        if (!opt) {
            return err_set(err, ERR_INVALID, "unknown argument: %s", argv[i]);
        }
        if (opt->kind != FLAG) {
            value = eq ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
        }
        if (!value || (opt->kind == FLAG && eq) || !apply(o, opt, value)) {
            return err_set(err, ERR_INVALID, "--%s: bad value", opt->name);
        }
    }
    if (o->n_listen == 0) {
        o->listen[o->n_listen++] = "127.0.0.1:0";
    }
    if (o->https && !o->http) {
        return err_set(err, ERR_INVALID, "--https: needs --http");
    }
    if ((o->n_wss > 0 || o->https) && !o->tls_dir && !(o->tls_cert && o->tls_key)) {
        return err_set(err, ERR_INVALID,
                       "--wss, --https: need --tls-dir, or --tls-cert and --tls-key");
    }
    if (o->slow_drop && o->count > 0) {
        return err_set(err, ERR_INVALID, "--slow drop: --count promises that nothing is dropped");
    }
    return ERR_OK;
}

void sim_options_help(void)
{
    printf("usage: danmakud-sim [options]\n\nA simulated Bilibili danmaku upstream for tests and "
           "demonstrations.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
        const struct option *opt = &OPTIONS[i];
        char head[64];

        (void)snprintf(head, sizeof(head), "--%s%s%s", opt->name, opt->arg ? " " : "",
                       opt->arg ? opt->arg : "");
        printf("  %-28s %s\n", head, opt->help);
    }
    printf("\nWhen it listens it prints one line:\n"
           "  danmakud-sim ready tcp=ADDR:PORT[,ADDR:PORT...] ws=... wss=... ca=FILE http=URL "
           "control=WHERE "
           "rooms=FIRST-LAST\n");
}
