/* What a session is called, and how that is read. */
#include <string.h>

#include "collector/session_priv.h"
#include "server/core/json_read.h"
#include "server/core/utf8.h"
#include "server/stats/stats.h"

enum { TEXT_MAX = 4096 };

void session_text_copy(char *out, size_t max, struct str text)
{
    char clean[UTF8_CLEAN_MAX(TEXT_MAX)];
    bool changed;
    struct str s = {text.ptr, text.len < TEXT_MAX ? text.len : TEXT_MAX};
    s = utf8_cut((struct str){clean, utf8_clean(s, clean, &changed)}, max);
    if (s.len > 0) {
        memcpy(out, s.ptr, s.len);
    }
    out[s.len] = '\0';
}

bool session_text_differs(const char *was, const char *now)
{
    return was[0] != '\0' && now[0] != '\0' && strcmp(was, now) != 0;
}

static bool fill(char *was, const char *now)
{
    if (now[0] == '\0' || strcmp(was, now) == 0) {
        return false;
    }
    memcpy(was, now, strlen(now) + 1);
    return true;
}

/* Writes what is known into the segment; true if that changed it. */
static bool segment_fill(struct session_segment *g, const struct session_place *p, const char *key)
{
    bool changed = fill(g->title, p->title);
    changed |= fill(g->live_key, key);
    if (p->area_id != 0 || p->area[0] != '\0') {
        changed |= g->area_id != p->area_id || g->parent_area_id != p->parent_area_id;
        g->area_id = p->area_id;
        g->parent_area_id = p->parent_area_id;
        changed |= fill(g->area, p->area);
        changed |= fill(g->parent_area, p->parent_area);
    }
    return changed;
}

void session_segment_begin(struct sessions *s, struct room_sessions *r, int64_t from_id,
                           const char *key)
{
    r->segment = (struct session_segment){.session_id = r->last.id, .from_id = from_id};
    (void)segment_fill(&r->segment, &r->place, key);
    r->n_segments++;
    s->opts.put_segment(s->opts.ctx, &r->segment);
}

void session_segment_update(struct sessions *s, struct room_sessions *r, int64_t at_id,
                            const char *key)
{
    struct session_segment *g = &r->segment;
    const struct session_place *p = &r->place;
    const bool area_differs = g->area_id != 0 && p->area_id != 0
                                  ? g->area_id != p->area_id
                                  : session_text_differs(g->area, p->area);
    const bool new_one = session_text_differs(g->title, p->title) ||
                         session_text_differs(g->live_key, key) || area_differs;
    if (new_one && at_id > g->from_id) {
        if (r->n_segments >= SESSION_SEGMENTS_MAX) {
            stats_inc(s->stats, STAT_SESSION_SEGMENTS_OVERFLOW);
            return;
        }
        char kept[SESSION_KEY_BYTES + 1];
        memcpy(kept, key[0] != '\0' ? key : g->live_key,
               strlen(key[0] != '\0' ? key : g->live_key) + 1);
        session_segment_begin(s, r, at_id, kept);
    } else if (segment_fill(g, p, key)) {
        s->opts.put_segment(s->opts.ctx, g);
    }
}

void session_members_read(struct str object, const struct session_member *members, size_t n)
{
    struct json j;
    struct str key;
    struct str value;
    char text[TEXT_MAX];
    json_init(&j, object);
    if (!json_enter_object(&j)) {
        return;
    }
    while (json_next_key(&j, &key)) {
        for (size_t i = 0; i < n; i++) {
            if (!str_eq(key, str_of(members[i].name))) {
                continue;
            }
            if (members[i].text == NULL) {
                (void)json_int(&j, members[i].number);
            } else if (json_str(&j, text, sizeof(text), &value)) {
                session_text_copy(members[i].text, members[i].max, value);
            }
            break;
        }
    }
}
