/* tests/sim/sim_site.h - what the upstream's web side knows: the signing keys, who is logged in, which tokens are good.
 *
 * A token says whose it is, for which room and until when, in a form that nobody can read without the seed; so nothing
 * is kept per token and there is no limit to their number. Its length varies between 200 and 260 characters.
 *
 * Threading:  loop thread only.
 * Ownership:  the options' strings are borrowed.
 * Units:      now_ms: wall.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum { SIM_ACCOUNTS_MAX = 16, SIM_WBI_KEY_BYTES = 33, SIM_ARGS_MAX = 256 };

struct sim_site;

struct sim_site_opts {
    uint64_t seed;
    const char *const *accounts; /* "SESSDATA:UID:NAME" */
    size_t n_accounts;
    int64_t token_ttl_ms; /* 0: tokens do not expire by themselves */
};

struct sim_account {
    struct str sessdata;
    int64_t uid;
    struct str name;
};

struct sim_arg {
    struct str key; /* decoded */
    struct str value;
};

MUST_CHECK enum err_code sim_site_new(const struct sim_site_opts *opts, struct sim_site **ret,
                                      struct err *err);
void sim_site_free(struct sim_site *s); /* NULL is fine */

/* The account whose cookie this is, or NULL. */
const struct sim_account *sim_site_account(const struct sim_site *s, struct str sessdata);

/* The two keys of today, as C strings; rotating makes others, and what was signed with the old ones is wrong at once. */
void sim_site_keys(const struct sim_site *s, char img[static SIM_WBI_KEY_BYTES],
                   char sub[static SIM_WBI_KEY_BYTES]);
void sim_site_rotate_keys(struct sim_site *s);
/* Is w_rid right for the other arguments, and wts about now? */
bool sim_site_signed(const struct sim_site *s, const struct sim_arg *args, size_t n,
                     int64_t now_ms);

/* buvid: of the device that asks. */
void sim_site_token(struct sim_site *s, int64_t room_id, int64_t uid, struct str buvid,
                    int64_t now_ms, struct buf *out);
enum sim_token { SIM_TOKEN_OK, SIM_TOKEN_BAD, SIM_TOKEN_EXPIRED, SIM_TOKEN_OTHER };
/* OTHER: a good one, but of another uid or room. */
enum sim_token sim_site_check_token(const struct sim_site *s, struct str token, int64_t room_id,
                                    int64_t uid, int64_t now_ms);
/* Of a good token: was it given to this device? */
bool sim_site_same_device(const struct sim_site *s, struct str token, struct str buvid);
void sim_site_expire_tokens(struct sim_site *s); /* all that were given out so far */
