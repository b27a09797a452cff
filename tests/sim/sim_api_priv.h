/* tests/sim/sim_api_priv.h - shared by the sim_api_*.c files: one function per endpoint.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/core/json_write.h"
#include "tests/sim/sim_api.h"
#include "tests/sim/sim_priv.h"

typedef void(sim_endpoint_fn)(struct sim_server *s, struct sim_call *c);

/* The value of the first argument of this name; empty: none. */
struct str sim_call_arg(const struct sim_call *c, const char *key);
int64_t sim_call_int(const struct sim_call *c, const char *key, int64_t otherwise);
bool sim_call_signed(const struct sim_server *s, const struct sim_call *c);

/* {"code":0, ... "data": and its end. old: the older APIs' "msg" beside "message". */
void sim_ok_begin(struct json_out *w, struct sim_call *c, const char *old_msg);
void sim_ok_end(struct json_out *w);
void sim_put_str(struct json_out *w, const char *key, const char *s);
/* "2026-11-22 20:01:02" in UTC+8, or zeros. */
void sim_put_time(struct json_out *w, const char *key, int64_t s);

sim_endpoint_fn sim_api_www, sim_api_nav, sim_api_spi, sim_api_getbuvid, sim_api_danmu_info;
sim_endpoint_fn sim_api_conf, sim_api_get_info, sim_api_room_init, sim_api_h5_info;
sim_endpoint_fn sim_api_play_info, sim_api_base_info, sim_api_info_by_room, sim_api_info_old;
sim_endpoint_fn sim_api_id_by_uid, sim_api_master, sim_api_anchor, sim_api_status;
sim_endpoint_fn sim_api_room_list, sim_api_areas, sim_api_web_areas, sim_api_more;
