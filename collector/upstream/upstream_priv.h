/* collector/upstream/upstream_priv.h - what the files of this folder share: requests, identity, hosts.
 *
 * A call of the public interface (upstream_api.c) makes one request after the other. A request is in one list:
 *
 *                 .------------- retry, refresh -------------.
 *                 v                                          |
 *      parked -> waiting (per host) -> running -> answered --+-> told
 *        ^  |     its turn by bucket and breaker             `-> asleep -> waiting
 *        |  `- identity is there
 *        `---- needs identity that is not there yet
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/upstream/breaker.h"
#include "collector/upstream/bucket.h"
#include "collector/upstream/cookies.h"
#include "collector/upstream/parse.h"
#include "collector/upstream/upstream.h"
#include "collector/upstream/upstream_http.h"
#include "collector/upstream/wbi.h"
#include "server/core/backoff.h"
#include "server/core/list.h"
#include "server/core/log.h"
#include "server/core/rng.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"

enum upstream_base { BASE_LIVE, BASE_API, BASE_WWW, BASES };
enum upstream_need { NEED_BUVID = 1, NEED_NAV = 2 };
enum upstream_api {
#define X(name, base, label, path, needs) API_##name,
#include "collector/upstream/upstream_api.def"
#undef X
    APIS
};
enum outcome {
#define X(name, label, failed) OUTCOME_##name,
#include "collector/upstream/upstream_outcome.def"
#undef X
    OUTCOMES
};

enum {
    HOST_RUNNING_MAX = 8, /* requests on their way to one host */
    QUERY_MAX = 4096,     /* bytes of a query, unsigned */
    RETRY_BASE_MS = 1000, /* before the second try; doubled, jittered */
    RETRY_SLOW_MS = 5000, /* the same after "too fast" */
    RETRY_MAX_MS = 30000,
    RETRY_JITTER_PCT = 25,
    KEYS_TTL_MS = 3600 * 1000, /* upstream changes them about once a day */
    PAGES_MAX = 5, /* pages for people instead of answers, in a row: that is a refusal */
    LOG_AGAIN_MS = 10 * 60 * 1000, /* a host that stays away is told again */
};

/* What the others wait for goes first. Then rooms that want to connect, of which there may be many, and all other
 * questions take turns: neither waits for the whole queue of the other. ROOMS_IN_A_ROW go for each question, because each
 * room that connects is asked about once more. */
enum lane { LANE_IDENTITY, LANE_QUESTIONS, LANE_ROOMS, LANES };
enum { ROOMS_IN_A_ROW = 6 };

/* One HTTP server; several bases may be the same. */
struct host {
    char *name; /* owned, "host:port" as in the base */
    struct bucket bucket;
    struct list waiting[LANES];
    unsigned n_in_a_row; /* rooms since the last question */
    unsigned n_running;
    uint64_t n_requests, n_failed;
    int64_t last_failed_ms; /* wall */
    bool away;              /* the newest try that was given up got no answer */
    struct log_limit limit;
};

/* What is told: either an answer (code ERR_OK), or why there is none. */
struct request_result {
    enum err_code code;
    enum outcome outcome; /* of the newest try; OUTCOMES: none was made */
    const struct answer *answer;
    struct str buvid; /* of the site's cookie */
    const struct err *err;
};
typedef void(request_fn)(void *ctx, const struct request_result *result);

struct request {
    struct list_node node;
    struct upstream *up;
    enum upstream_api api;
    char *query;     /* owned; NULL: made when it is sent (signed) */
    int64_t room_id; /* of the referer; 0 none */
    unsigned tries;
    unsigned needs;
    bool internal;       /* the identity's own */
    bool refreshed;      /* the identity was made anew for it once */
    uint64_t generation; /* of the identity it was sent with */
    unsigned epoch;      /* of the bases it was sent to */
    bool page;           /* the newest answer was a page for people, or the way to one */
    struct backoff backoff;
    struct loop_timer timer;
    struct err err; /* while it waits to be told */
    enum err_code code;
    enum outcome outcome;
    request_fn *done;
    void *ctx;
};

/* Who we are to upstream. */
struct identity {
    uint64_t generation; /* of key and cookies */
    char *buvid;         /* owned; NULL: none yet */
    bool buvid_stale;    /* a new one is wanted */
    struct wbi_key key;
    int64_t key_until_ms; /* mono; 0: no key */
    struct cookies cookies;
    bool login_dropped; /* upstream does not take the login of the file */
    bool login_told;
    int64_t uid;
    bool asking_buvid, asking_nav;
    bool nav_stale; /* what is being asked for may be told of cookies that were replaced since */
    struct id_save *saving; /* a write of the device id that is under way; NULL: none */
    bool save_again;        /* it has changed since */
};

struct clock_watch {
    int64_t off_max_ms; /* 0: any will do */
    bool agreed;        /* an answer has */
    bool off;           /* the newest one has not */
    struct log_limit limit;
    void (*told)(void *ctx); /* NULL: nobody waits */
    void *told_ctx;
};

struct upstream {
    struct loop *loop;              /* borrowed, as stats */
    struct stats *stats;            /* may be NULL */
    struct upstream_http *http;     /* NULL once it has closed */
    char *bases[BASES];             /* owned, without a slash at the end; as the texts below */
    char *cookie_file, *buvid_file; /* buvid_file NULL: not kept */
    struct host hosts[BASES];
    size_t n_hosts;
    size_t host_of[BASES];
    unsigned epoch;   /* counts changes of the bases */
    unsigned n_pages; /* in a row */
    struct breaker breaker;
    struct rng rng;
    struct identity id;
    struct clock_watch clock;
    struct list parked, asleep, running, ending;
    struct list calls; /* public calls under way (upstream_api.c) */
    struct loop_timer pump_timer;
    uint64_t n_requests, n_failed;
    uint64_t counts[APIS][OUTCOMES];
    int64_t last_ok_ms, last_error_ms, skew_ms;
    struct err last_error;
    unsigned n_telling; /* callbacks we are in */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* upstream_request.c: done comes exactly once, never before this returns. query is copied; STR_NULL: to be signed. */
void request_new(struct upstream *u, enum upstream_api api, struct str query, int64_t room_id,
                 request_fn *done, void *ctx);
void request_new_internal(struct upstream *u, enum upstream_api api, request_fn *done, void *ctx);
void requests_pump(struct upstream *u);   /* sends what may be sent */
void requests_cancel(struct upstream *u); /* all of them */
/* Those that wait for their turn, and back again to the host they are for now. */
void requests_take_waiting(struct upstream *u, struct list *ret);
void requests_put_back(struct upstream *u, struct list *from);
/* Those that wait for the identity: `what` is there now, or (err) cannot be had. */
void requests_identity(struct upstream *u, enum upstream_need what, const struct err *err);
size_t requests_n(const struct upstream *u);

/* upstream_judge.c */
const char *api_label(enum upstream_api api);
const char *api_path(enum upstream_api api);
enum upstream_base api_base(enum upstream_api api);
unsigned api_needs(enum upstream_api api);
const char *outcome_name(enum outcome o);
bool outcome_failed(enum outcome o);
/* *ret is zeroed where there is no answer of the usual form; *err says why, if it is not OUTCOME_OK. */
enum outcome request_judge(enum upstream_api api, const struct upstream_http_answer *h,
                           struct answer *ret, struct err *err);

/* HTML where JSON belongs, or a redirection: a captcha, a login, a notice. One may be an accident of its server. */
bool request_is_page(enum upstream_api api, const struct upstream_http_answer *h, enum outcome o);

/* upstream_identity.c */
void identity_open(struct upstream *u);
void identity_close(struct upstream *u);
bool identity_has(struct upstream *u, enum upstream_need what);
void identity_ask(struct upstream *u, enum upstream_need what); /* if it is not being asked for */
void identity_refresh(struct upstream *u); /* risk control: key and device id are made anew */
void identity_drop_key(struct upstream *u);
/* Upstream does not take the login. False: there was none. */
bool identity_drop_login(struct upstream *u);
void identity_load_cookies(struct upstream *u);
struct str identity_buvid(const struct upstream *u); /* "" none; until it changes */
void identity_cookie(const struct upstream *u, struct buf *out);

/* upstream_clock.c */
void clock_note(struct upstream *u, int64_t date_ms); /* of an answer; 0: it had none */
bool clock_refuses(const struct upstream *u, struct err *err);
void clock_told(
    struct upstream *u); /* the identity was asked for: who waits for the clock is told */

/* upstream.c */
void upstream_maybe_closed(struct upstream *u);
