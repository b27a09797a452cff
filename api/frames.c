#include "api/frames.h"

#include "api/encode/event_json.h"
#include "api/encode/sse.h"
#include "server/core/assert.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/stats/stats.h"

/* LIMIT: of one frame; the strings of an event are bounded, each of their bytes grows to at most six in JSON. */
enum {
    FRAME_LIMIT = (EVENT_UNAME_MAX + EVENT_TEXT_MAX + EVENT_MEDAL_MAX + EVENT_EXTRA_MAX) * 6 + 2048
};
static_assert((FRAMES_SLOTS & (FRAMES_SLOTS - 1)) == 0, "a place is seq & mask");

struct slot {
    uint64_t seq;
    struct frame *frame; /* owned reference; NULL: empty */
};

struct frames {
    struct stats *stats; /* borrowed */
    struct slot *slots;  /* owned; FRAMES_SLOTS of them */
    uint64_t oldest;     /* no frame with a smaller seq is kept */
    size_t bytes;
    struct buf scratch;
};

struct frames *frames_new(struct stats *stats)
{
    struct frames *f = mem_new(struct frames);
    f->stats = stats;
    f->slots = mem_new_array(struct slot, FRAMES_SLOTS);
    buf_init(&f->scratch, FRAME_LIMIT);
    return f;
}

void frames_free(struct frames *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < FRAMES_SLOTS; i++) {
        frame_unref(&f->slots[i].frame);
    }
    mem_free(f->slots);
    buf_deinit(&f->scratch);
    mem_free(f);
}

struct frame *frame_ref(struct frame *f)
{
    f->refs++;
    return f;
}

void frame_unref(struct frame **f)
{
    struct frame *frame = TAKE_PTR(*f);
    if (frame != NULL && --frame->refs == 0) {
        mem_free(frame);
    }
}

struct frame *frame_of_text(struct str text)
{
    struct frame *f = mem_alloc(sizeof(*f) + text.len);
    if (f == NULL) {
        return NULL;
    }
    *f = (struct frame){.refs = 1, .len = (uint32_t)text.len};
    memcpy(f->data, text.ptr, text.len);
    return f;
}

struct frame *frames_make(struct frames *f, const struct event *e)
{
    struct json_out w;
    struct buf *b = &f->scratch;
    buf_clear(b);
    sse_begin(b, e->id, event_kind_name((enum event_kind)e->kind));
    size_t json_at = b->len;
    jw_init(&w, b);
    event_json(&w, e);
    size_t json_len = b->len - json_at;
    sse_end(b);
    if (!buf_ok(b)) {
        return NULL;
    }
    struct frame *frame = frame_of_text(buf_str(b));
    if (frame != NULL) {
        frame->json_at = (uint32_t)json_at;
        frame->json_len = (uint32_t)json_len;
        stats_inc(f->stats, STAT_STREAM_FRAMES);
    }
    return frame;
}

static void empty(struct frames *f, struct slot *s)
{
    if (s->frame != NULL) {
        f->bytes -= s->frame->len;
        frame_unref(&s->frame);
    }
}

struct frame *frames_get(struct frames *f, uint64_t seq, const struct event *e)
{
    struct slot *s = &f->slots[seq & (FRAMES_SLOTS - 1)];
    if (s->frame != NULL && s->seq == seq) {
        return frame_ref(s->frame);
    }
    struct frame *frame = frames_make(f, e);
    if (frame == NULL || (s->frame != NULL && s->seq > seq) || seq < f->oldest) {
        return frame;
    }
    empty(f, s);
    *s = (struct slot){.seq = seq, .frame = frame_ref(frame)};
    f->bytes += frame->len;
    if (f->oldest + FRAMES_SLOTS <= seq) {
        f->oldest = seq - FRAMES_SLOTS + 1;
    }
    while (f->bytes > FRAMES_MAX_BYTES) {
        struct slot *old = &f->slots[f->oldest & (FRAMES_SLOTS - 1)];
        if (old->seq == f->oldest) {
            empty(f, old);
        }
        f->oldest++;
    }
    return frame;
}

size_t frames_bytes(const struct frames *f)
{
    return f->bytes;
}
