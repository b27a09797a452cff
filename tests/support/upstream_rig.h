/* tests/support/upstream_rig.h - collector/upstream over a fake server, on a fake clock, with answers written down.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/upstream/upstream.h"
#include "server/core/buf.h"
#include "server/core/clock.h"
#include "server/stats/stats.h"
#include "tests/support/fake_web.h"
#include "tests/support/test.h"
#include "tests/support/tmp.h"

#define UPR_GET_INFO "/room/v1/Room/get_info"
#define UPR_ROOM_INIT "/room/v1/Room/room_init"
#define UPR_BASE_INFO "/xlive/web-room/v1/index/getRoomBaseInfo"
#define UPR_LIST "/room/v3/area/getRoomList"
#define UPR_AREAS "/room/v1/Area/getList"
#define UPR_DANMU "/xlive/web-room/v1/index/getDanmuInfo"
#define UPR_CONF "/room/v1/Danmu/getConf"
#define UPR_NAV "/x/web-interface/nav"
#define UPR_SPI "/x/frontend/finger/spi"
#define UPR_GETBUVID "/x/web-frontend/getbuvid"
#define UPR_SITE "/"

enum { UPR_WALL_MS = 1700000000, UPR_BREAKER_MS = 600000, UPR_TIMEOUT_MS = 20000 };

struct upstream_rig {
    struct clock_fake clock;
    struct loop *loop;
    struct stats *stats;
    struct fake_web *web;
    struct upstream *up;
    struct upstream_opts opts;
    struct tmp_dir dir;
    char cookie_path[TMP_PATH_BYTES];
    struct buf log; /* lines of the service's log */

    uint64_t live_before; /* mem_live_count before it was set up */
    unsigned n_asked, n_told;
    unsigned n_codes[ERR_CODES]; /* of all answers */
    /* the newest answer */
    enum err_code code;
    struct err err;
    struct upstream_room room; /* its texts are gone, but for: */
    char title[128];
    size_t n_rooms, n_areas;
    int64_t room_ids[64];
    struct upstream_area areas[8]; /* without names */
    char area_name[64];            /* of the first */
    char token[256], buvid[128], host[128];
    struct upstream_danmu danmu; /* numbers only */
    struct upstream_host first;  /* ports only */
    bool closed;
    bool closing; /* the test's own */
};

int upr_setup(void **state); /* a server that answers nothing yet, and an upstream */
int upr_teardown(void **state);
void upr_open(struct upstream_rig *f);  /* again, after upr_close */
void upr_close(struct upstream_rig *f); /* and waits */
void upr_close_now(struct upstream_rig *f);
/* The server's usual identity: spi and nav answer. */
void upr_identity(struct upstream_rig *f);

void upr_resolve(struct upstream_rig *f, int64_t room);
void upr_status(struct upstream_rig *f, const int64_t *ids, size_t n);
void upr_list(struct upstream_rig *f, unsigned page);
void upr_areas(struct upstream_rig *f);
void upr_danmu(struct upstream_rig *f, int64_t room);

/* Turns until all that was asked is told; the fake clock goes on by 100 ms whenever nothing else happens. */
void upr_wait(struct upstream_rig *f);
void upr_turns(struct upstream_rig *f, unsigned n);   /* a few, the clock stands still */
void upr_advance(struct upstream_rig *f, int64_t ms); /* the clock, then a few turns */
/* Whether the newest request for the path holds the text. */
bool upr_sent(const struct upstream_rig *f, const char *path, const char *text);
unsigned upr_logged(const struct upstream_rig *f, const char *text); /* lines with it */
