/* collector/upstream/parse.h - upstream's answers, as loosely typed as they come, into our structs.
 *
 * Numbers may be strings, objects may be empty arrays or null, members may be missing or of another type: what does not
 * fit is left at "unknown". 64-bit numbers are exact. Pure.
 *
 * Threading:  any thread.
 * Ownership:  texts and arrays are in the arena; what borrows from the body says so.
 * Limits:     PARSE_ROOMS_MAX rooms, PARSE_AREAS_MAX areas, UPSTREAM_HOSTS_MAX hosts of an answer, texts of
 *             PARSE_TEXT_MAX bytes; the rest is left out.
 * Errors:     ERR_PROTO: no JSON, or not the answer to what was asked; ERR_NOT_FOUND: nothing there; ERR_NOMEM: the arena.
 */
#pragma once

#include "collector/upstream/upstream.h"
#include "server/core/arena.h"
#include "server/core/attr.h"

enum {
    PARSE_ROOMS_MAX = 256,
    PARSE_AREAS_MAX = 2048,
    PARSE_TEXT_MAX = 1024,
    PARSE_TOKEN_MAX = 4096,
    PARSE_ARENA_MAX = 4 * 1024 * 1024,
};

/* {"code":..,"message":..,"data":..}: what every answer is. */
struct answer {
    int64_t code;
    char message[64]; /* cleaned; "" none */
    struct str data;  /* its text, borrowed from the body; "null" if missing */
    bool voucher;     /* nothing but a v_voucher: risk control instead of an answer */
};
MUST_CHECK enum err_code parse_answer(struct str body, struct answer *ret, struct err *err);

/* Of `data`: get_info, room_init; one room. */
MUST_CHECK enum err_code parse_room(struct str data, struct arena *a, struct upstream_room *ret,
                                    struct err *err);
/* getRoomBaseInfo: data.by_room_ids; getRoomList: data.list. */
struct parse_rooms {
    const struct upstream_room *items;
    size_t n;
};
MUST_CHECK enum err_code parse_base_info(struct str data, struct arena *a, struct parse_rooms *ret,
                                         struct err *err);
MUST_CHECK enum err_code parse_list(struct str data, struct arena *a, struct parse_rooms *ret,
                                    struct err *err);
struct parse_areas {
    const struct upstream_area *items;
    size_t n;
};
MUST_CHECK enum err_code parse_areas(struct str data, struct arena *a, struct parse_areas *ret,
                                     struct err *err);
/* getDanmuInfo and getConf: token and hosts; buvid, uid and legacy are the caller's. */
MUST_CHECK enum err_code parse_danmu(struct str data, struct arena *a, struct upstream_danmu *ret,
                                     struct err *err);

struct nav {
    bool is_login;
    int64_t uid; /* 0: none */
    struct str img_url, sub_url;
};
MUST_CHECK enum err_code parse_nav(struct str data, struct arena *a, struct nav *ret,
                                   struct err *err);
/* finger/spi (b_3) and getbuvid (buvid). */
MUST_CHECK enum err_code parse_buvid(struct str data, struct arena *a, struct str *ret,
                                     struct err *err);
bool buvid_ok(struct str text); /* letters, digits and dashes, of a length that can be */

/* "2024-01-31 20:00:00" in China's time, or seconds since 1970 as text; 0: off, or neither. */
int64_t parse_time_ms(struct str text);
