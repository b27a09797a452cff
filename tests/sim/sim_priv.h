/* tests/sim/sim_priv.h - the bodies that sim_server.c, sim_room.c and sim_conn.c share.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/core/list.h"
#include "server/core/log.h"
#include "server/loop/loop.h"
#include "tests/sim/sim_frame.h"
#include "tests/sim/sim_gen.h"
#include "tests/sim/sim_life.h"
#include "tests/sim/sim_link.h"
#include "tests/sim/sim_record.h"
#include "tests/sim/sim_replay.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_site.h"
#include "tests/sim/sim_sock.h"

/* What a client is shown: a sum of these, 0 is all. */
enum { SIM_FORM_MASKED = 1, SIM_FORM_THIN = 2, SIM_FORMS = 4 };
enum { SIM_BATCH_MAX = 256, SIM_BATCH_WORDS = SIM_BATCH_MAX / 64 }; /* messages */
enum {
    SIM_CLIENT_PACKET_MAX = 16 * 1024,
    SIM_RUN_MAX = 8 << 20,
    SIM_TICK_MS = 20,
};

/* The messages of one frame, as the record sees them; shared by the connections that get it. */
struct sim_batch {
    struct sim_server *server; /* borrowed */
    unsigned refs;
    unsigned n; /* messages */
    bool extra; /* out of turn: not part of --count */
    /* A bit per message: counts as an event (recorded, no repeat); some connection's socket has taken it. */
    uint64_t event[SIM_BATCH_WORDS];
    uint64_t handed[SIM_BATCH_WORDS];
    struct buf lines[SIM_FORMS]; /* one per message; empty for kinds that are not recorded */
};

/* A frame on its way to one connection: some messages of a batch. Waiting until `end` bytes are sent, then (recorded)
 * until they are acknowledged. Plain messages are readable one by one, so each is in transit for itself. */
struct sim_transit {
    struct list_node node;
    struct sim_batch *batch; /* one reference; NULL once recorded */
    unsigned from;           /* messages [from, to) */
    unsigned to;
    uint64_t end;      /* position in the stream behind its frame */
    uint64_t last_seq; /* once recorded */
    bool again;        /* sent before: every line is a repeat */
};

struct sim_room {
    struct sim_server *server; /* borrowed */
    int64_t id;
    struct sim_gen gen;
    struct sim_life life;
    struct rng pace;   /* bursts and frame sizes: apart from what is said */
    struct list conns; /* authenticated */
    bool paused;
    bool masks;
    double share;  /* of the rate */
    double credit; /* events due */
    double mood;   /* factor of the rate now: burst, usual, lull */
    int64_t mood_until_ms;
    size_t replay_at;
};

enum sim_conn_state { SIM_CONN_AUTH, SIM_CONN_READY, SIM_CONN_ENDING };

struct sim_conn {
    struct list_node node;      /* of the server */
    struct list_node room_node; /* of the room, when ready */
    struct sim_server *server;  /* borrowed */
    struct sim_room *room;      /* borrowed; NULL before auth */
    uint64_t id;
    unsigned host;
    char peer[48]; /* its address; only with --conns-per-address */
    enum sim_conn_state state;
    struct sim_sock sock;
    struct sim_link link;
    unsigned bye; /* code of our close frame; 0: 1000 */
    struct buf in;
    struct loop_timer timeout; /* auth, then heartbeats */
    int64_t uid;
    int64_t protover;
    bool masked;
    bool thin; /* not what the web page would say it is: some commands are kept back */
    int form;  /* of SIM_FORM_*; masked is part of it */
    bool lost; /* bytes were sent behind which nothing can be read */
    bool stalled;
    bool deaf;   /* does not answer heartbeats */
    bool repeat; /* the next frame is sent twice */
    struct loop_timer mode_end;
    const char *why; /* of the end */
    uint64_t n_messages;
    uint64_t seq; /* recorded lines */
    uint64_t acked_seq;
    uint64_t
        fault_next[SIM_FAULTS_MAX]; /* message count + 1 at which rule i fires; 0: not seen yet */
    struct list waiting;            /* struct sim_transit, not sent yet */
    struct list unacked;            /* struct sim_transit, recorded */
};

struct sim_host {
    struct sim_server *server; /* borrowed */
    enum sim_link_kind kind;
    uv_poll_t poll;
    bool up;
    bool poll_open; /* the handle is not closed yet */
    bool want_up;
    int fd;
    struct sockaddr_storage addr; /* with the real port */
    struct loop_timer back;
    char name[64];
};

struct sim_stats {
    uint64_t accepted;
    uint64_t auth_ok;
    uint64_t auth_failed;
    uint64_t auth_mismatch; /* a good token of another uid or room */
    uint64_t auth_expired;
    uint64_t withheld;         /* messages that SIM_FORM_THIN did not get */
    uint64_t auth_other_buvid; /* not the device the token was given to; let in */
    uint64_t over_limit;       /* connections of one address past --conns-per-address */
    uint64_t auth_timeouts;
    uint64_t heartbeats;
    uint64_t heartbeat_timeouts;
    uint64_t bad_packets;
    uint64_t messages; /* made */
    uint64_t frames;
    uint64_t raw_bytes;
    uint64_t wire_bytes;
    uint64_t dropped; /* frames not given to a slow client */
    uint64_t faults;
    uint64_t closed;
    uint64_t tls_full;
    uint64_t tls_resumed;
    uint64_t tls_failed;
    uint64_t ws_upgrades;
    uint64_t ws_refused;
    uint64_t ws_pongs;
    uint64_t ws_closes; /* close frames of clients */
};

struct sim_server {
    struct sim_server_deps deps; /* borrowed */
    struct loop *loop;
    const struct sim_options *o;
    struct sim_packer *packer; /* owned */
    struct sim_tls_ctx *tls;   /* owned; NULL without --wss */
    struct sim_room **rooms;   /* owned, by id */
    size_t n_rooms;
    size_t rooms_cap;
    struct list conns;
    size_t n_ready;
    size_t n_rooms_ready;
    struct sim_host hosts[SIM_HOSTS_MAX]; /* tcp, then ws, then wss */
    size_t n_hosts;
    struct sim_fault faults[SIM_FAULTS_MAX];
    size_t n_faults;
    struct rng rng; /* of faults and replies */
    struct rng life_rng;
    double churn;          /* changes due */
    struct sim_site *site; /* owned */
    struct sim_http *http; /* owned; NULL without --http */
    bool http_open;        /* not closed yet */
    struct loop_timer tick;
    int64_t last_tick_ms;
    uint64_t next_conn;
    double rate;
    bool started; /* --wait-rooms is satisfied */
    bool paused;
    bool closing;
    int64_t left; /* events until --count; INT64_MAX: no end */
    uint64_t n_events;
    uint64_t n_batches; /* alive */
    struct buf run[SIM_FORMS];
    struct buf frame;
    struct sim_msg *msg; /* owned: scratch */
    struct sim_stats stats;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* sim_batch.c */
struct sim_batch *sim_batch_new(struct sim_server *s);
void sim_batch_unref(struct sim_batch *b);
void sim_batch_handed(struct sim_batch *b, unsigned i); /* message i has been taken by a socket */
/* One message into the runs of the forms in use and into the batch. */
void sim_batch_add(struct sim_batch *b, struct sim_room *r, const struct sim_msg *m,
                   const bool forms[static SIM_FORMS]);

/* The same for a message that is text already. */
void sim_batch_add_raw(struct sim_batch *b, struct str json, const struct sim_msg *m,
                       const bool forms[static SIM_FORMS]);

/* sim_room.c */
struct sim_room *sim_room_new(struct sim_server *s, int64_t id, uint32_t index);
void sim_room_free(struct sim_room *r);
void sim_room_join(struct sim_room *r, struct sim_conn *c);
void sim_room_leave(struct sim_room *r, struct sim_conn *c);
bool sim_room_stalls(const struct sim_room *r); /* --stall-rooms: now */
void sim_room_pump(struct sim_room *r);         /* --speed max: fill the queues */
void sim_room_tick(struct sim_room *r, double rate, int64_t dt_ms);
void sim_room_send_one(struct sim_room *r, const struct sim_msg *m);
void sim_room_send_raw(struct sim_room *r, struct str json);

/* sim_conn.c */
void sim_conn_accept(struct sim_server *s, unsigned host, int fd);
/* Takes a reference of the batch if it is not NULL. */
void sim_conn_deliver(struct sim_conn *c, struct sim_batch *b, unsigned n_messages,
                      struct str frame);
/* The bytes of a frame of n messages, whatever rules there are. */
void sim_conn_put_frame(struct sim_conn *c, struct sim_batch *b, unsigned n_messages,
                        struct str frame, bool again);
bool sim_conn_takes(const struct sim_conn *c); /* messages may be given to it */
void sim_conn_end(struct sim_conn *c, const char *why, bool reset);  /* after what is queued */
void sim_conn_kill(struct sim_conn *c, const char *why, bool reset); /* at once */
uint64_t sim_conn_acked_seq(struct sim_conn *c);
enum sim_ver sim_conn_ver(const struct sim_conn *c);

void sim_conn_take(struct sim_conn *c, struct str packets, bool whole); /* of the client */

/* sim_conn_link.c */
void sim_conn_link(struct sim_conn *c); /* once its socket is open */
void sim_conn_on_lost(
    struct sim_conn *c); /* nothing readable follows: closed when the client does not */

/* sim_conn_fault.c */
void sim_conn_faults(struct sim_conn *c); /* fires the rules that are due */
/* The rule for a client that authenticates, or NULL. */
const struct sim_fault *sim_conn_auth_fault(struct sim_conn *c, int64_t room_id);
/* The rule for its tls handshake, or that of the websocket, or NULL. */
const struct sim_fault *sim_conn_shake_fault(struct sim_conn *c, bool tls);
void sim_conn_play(struct sim_conn *c, struct sim_fault *f);
/* true: the frame about to be delivered is cut by an END fault, which has been played. */
bool sim_conn_cut(struct sim_conn *c, struct str frame);

/* sim_host.c */
bool sim_host_parse(const char *where,
                    struct sockaddr_storage *ret); /* "127.0.0.1:0", "[::1]:2243" */
uint16_t sim_host_port(const struct sim_host *h);
MUST_CHECK enum err_code sim_host_open(struct sim_host *h, struct sim_server *s, const char *where,
                                       enum sim_link_kind kind, struct err *err);
void sim_host_down(struct sim_host *h, int64_t for_ms); /* 0: for good */
void sim_host_up(struct sim_host *h);
void sim_host_close(struct sim_host *h);

/* sim_server.c */
struct sim_room *sim_server_room(struct sim_server *s, int64_t id);    /* NULL: no such room */
struct sim_room *sim_server_enter(struct sim_server *s, int64_t id);   /* made when --any-room */
void sim_server_started(struct sim_server *s);                         /* may rooms begin? */
void sim_server_conn_closed(struct sim_server *s, struct sim_conn *c); /* frees it */
void sim_server_pump_all(struct sim_server *s);
/* room_id 0: all */
void sim_server_each_room(struct sim_server *s, int64_t room_id,
                          void (*fn)(struct sim_room *r, void *ctx), void *ctx);
/* sim_server_act.c */
void sim_server_play_listen(struct sim_server *s, struct sim_fault *f);
struct sim_record_conn sim_server_record_conn(const struct sim_conn *c);
