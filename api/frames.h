/* api/frames.h - events encoded once: their JSON and their frame in the live stream, beside the ring.
 *
 *   id: 7765...\nevent: danmaku\ndata: {"id":"7765...",...}\n\n
 *                                      |---- frame_json ----|
 *
 * A frame is shared by all clients that are about to send it, and by pages that are answered from the ring. The newest
 * frames are kept in places parallel to the ring; an old one that somebody still needs is made for him alone and
 * pushes nothing newer out.
 *
 * Threading:  loop thread only.
 * Ownership:  frames_get gives a reference; frame_unref NULLs the pointer.
 * Limits:     FRAMES_SLOTS frames and FRAMES_MAX_BYTES are kept; frames in use live as long as they are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"
#include "server/event/event.h"

enum { FRAMES_SLOTS = 16384, FRAMES_MAX_BYTES = 32 << 20 };

struct frames;
struct stats;

struct frame {
    uint32_t refs; /* private */
    uint32_t len;
    uint32_t json_at;
    uint32_t json_len;
    char data[];
};

struct frames *frames_new(struct stats *stats);
void frames_free(struct frames *f);

/* The frame of the event that the ring holds at seq; NULL when out of memory. */
struct frame *frames_get(struct frames *f, uint64_t seq, const struct event *e);
/* The frame of any event, not kept. NULL when out of memory. */
struct frame *frames_make(struct frames *f, const struct event *e);
/* A frame of ready-made text, for control events. NULL when out of memory. */
struct frame *frame_of_text(struct str text);

struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame **f); /* *f may be NULL */
static inline struct str frame_json(const struct frame *f)
{
    return (struct str){f->data + f->json_at, f->json_len};
}
size_t frames_bytes(const struct frames *f);
