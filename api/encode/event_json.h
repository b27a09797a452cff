/* api/encode/event_json.h - the one JSON shape of an event, for REST, the live stream and exports.
 *
 * Pure: the same columns give the same bytes, whether the event comes from the ring or was put together from a row of
 * the database (strings of such an event may be views into the row).
 *
 *   {"id":"721...","room_id":6,"ts":"2026-11-22T08:09:10.123Z","ts_ms":...,"sent_ms":...,"kind":"danmaku",
 *    "user":{"uid":123,"name":"...","masked":false,"guard_level":0,"admin":false,"wealth_level":7,
 *            "medal":{"name":"...","level":21,"anchor_uid":456,"room_id":6}},
 *    "text":"...","value_mcny":0,"danmaku":{"mode":1,"color":16777215, ...members of extra}}
 *
 * sent_ms      null if unknown, or further from ts_ms than the column sent_off_ms can say (+-24 days)
 * user         null if there is neither an actor nor a name
 *   uid        a string when negative (a hash of a masked sender), null when there is none
 *   name       null when empty or EVENT_F_HASHED
 *   medal      null without level and name; its name, anchor_uid, room_id may be null
 *     room_id  this room with EVENT_F_MEDAL_HERE, else EVENT_EXTRA_MEDAL_ROOM, else null
 * text         a string (perhaps "") for danmaku, mirror, superchat; for other kinds null when empty
 *
 * The object named after the kind holds these columns, in this order, and then the members of extra (without
 * EVENT_EXTRA_MEDAL_ROOM). A column that a kind does not list is not shown. Extra must not repeat a listed name.
 *
 *   danmaku mirror              mode, color
 *   gift                        gift_id (item_id), num, coin ("silver" with EVENT_F_SILVER, else "gold")
 *   combo                       gift_id (item_id), num
 *   guard                       level (guard: the level bought), num
 *   superchat superchat_delete  superchat_id (item_id)
 *   redpacket lottery           lot_id (item_id), num
 *   interact                    type (mode: 1 enter, 2 follow, 3 share, ...)
 *   all others                  nothing but extra
 *
 * item_id and num are null when 0.
 *
 * Threading:  any thread.
 * Limits:     the buf's.
 */
#pragma once

struct event;
struct json_out;

/* As event_json; more (may be NULL) writes further members of the object. */
void event_json_with(struct json_out *w, const struct event *e,
                     void (*more)(void *ctx, struct json_out *w), void *ctx);
/* One value; w may be in the middle of a document. */
void event_json(struct json_out *w, const struct event *e);
