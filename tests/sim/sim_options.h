/* tests/sim/sim_options.h - the command line.
 *
 * Threading:  startup only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"

enum {
    SIM_LISTEN_MAX = 16,
    SIM_HOSTS_MAX = 3 * SIM_LISTEN_MAX,
    SIM_FAULT_ARGS_MAX = 32,
    SIM_REPLAY_MAX = 64,
    SIM_ACCOUNT_ARGS_MAX = 16
};

struct sim_options {
    const char *listen[SIM_LISTEN_MAX]; /* "addr:port" */
    size_t n_listen;
    char port_text[32]; /* what --port stands for */
    const char *ws[SIM_LISTEN_MAX];
    size_t n_ws;
    const char *wss[SIM_LISTEN_MAX];
    size_t n_wss;
    const char *tls_cert; /* PEM files */
    const char *tls_key;
    const char *tls_dir; /* instead: made there */
    bool ws_strict;
    const char *http; /* "addr:port" of the web side; NULL: none */
    char http_text[32];
    bool https;              /* over tls, with the certificate of --wss */
    const char *public_host; /* what hosts are called in lists; NULL: their address */
    const char *accounts[SIM_ACCOUNT_ARGS_MAX];
    size_t n_accounts;
    int64_t token_ttl_ms;
    bool any_token;    /* tokens of the web side are not asked for */
    double http_limit; /* requests per second; 0: no limit */
    int64_t http_burst;
    bool http_strict;
    const char *http_faults[SIM_FAULT_ARGS_MAX];
    size_t n_http_faults;
    double churn;              /* changes of rooms per minute */
    int64_t conns_per_address; /* 0: no limit */
    int64_t stall_pct;         /* of the rooms, at any time */
    const char *control;       /* "unix:PATH" or "tcp:ADDR:PORT"; NULL: none */
    int64_t rooms;
    int64_t first_room;
    const char *room_ids; /* "1,2,3" instead of rooms and first_room */
    bool any_room;        /* rooms nobody named are made when a client asks for them */
    double rate;          /* recorded events per second over all rooms */
    bool full_speed;
    double zipf;
    bool steady;   /* no bursts and lulls */
    int64_t count; /* recorded events in all; 0: no end */
    int64_t wait_rooms;
    uint64_t seed;
    const char *mix;
    bool full;
    int64_t start_ms;
    int64_t masked_pct; /* rooms that hide senders from anonymous clients */
    int64_t frame_max;  /* messages per frame */
    int64_t quality;    /* brotli */
    int64_t queue_bytes;
    bool slow_drop; /* a slow client loses messages instead of holding its room */
    int64_t auth_timeout_ms;
    int64_t heartbeat_timeout_ms;
    const char *token;
    int64_t token_uid; /* -1: any */
    bool auth_fail_silent;
    int64_t reply_ver; /* of auth and heartbeat replies; -1: now this, now that */
    const char *faults[SIM_FAULT_ARGS_MAX];
    size_t n_faults;
    const char *replay[SIM_REPLAY_MAX];
    size_t n_replay;
    int64_t replay_room; /* 0: all */
    bool replay_loop;
    const char *record;
    int64_t dump; /* print so many messages of the first room and exit */
    bool dump_masked;
    const char *log_level;
    bool help;
};

/* Fills *o from defaults and argv. ERR_INVALID: names the argument. */
MUST_CHECK enum err_code sim_options_parse(struct sim_options *o, int argc, char **argv,
                                           struct err *err);
void sim_options_help(void); /* to stdout */
