#include "collector/room_facts.h"

#include "collector/upstream/upstream.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"

void room_facts_init(struct room_facts *f)
{
    *f = (struct room_facts){.live = -1};
}

void room_facts_deinit(struct room_facts *f)
{
    mem_free(f->uname);
    mem_free(f->title);
    mem_free(f->area);
    mem_free(f->parent_area);
    room_facts_init(f);
}

static bool update_text(char **kept, struct str said)
{
    char clean[UTF8_CLEAN_MAX(ROOM_FACTS_TEXT)];
    bool changed;
    const struct str head = utf8_cut(said, ROOM_FACTS_TEXT);
    const struct str text =
        utf8_cut((struct str){clean, utf8_clean(head, clean, &changed)}, ROOM_FACTS_TEXT);
    if (text.len == 0 || (*kept != NULL && str_eq(str_of(*kept), text))) {
        return false;
    }
    char *copy = mem_dup(text.ptr, text.len);
    if (copy == NULL) {
        return false;
    }
    mem_free(*kept);
    *kept = copy;
    return true;
}

static bool update_number(int64_t *kept, int64_t said, int64_t max)
{
    if (said <= 0 || said > max || said == *kept) {
        return false;
    }
    *kept = said;
    return true;
}

static bool update_live(struct room_facts *f, const struct upstream_room *said)
{
    if (said->live_status < 0) {
        return false;
    }
    const int live = said->live_status == 1;
    /* While it is live, an answer without the time does not unsay it. */
    const int64_t since = !live                     ? 0
                          : said->live_since_ms > 0 ? said->live_since_ms
                          : f->live == 1            ? f->live_since_ms
                                                    : 0;
    const bool changed = live != f->live || since != f->live_since_ms;
    f->live = live;
    f->live_since_ms = since;
    return changed;
}

bool room_facts_update(struct room_facts *f, const struct upstream_room *said)
{
    bool changed = update_number(&f->short_id, said->short_id, INT64_MAX);
    changed |= update_number(&f->uid, said->uid, INT64_MAX);
    changed |= update_number(&f->area_id, said->area_id, INT32_MAX);
    changed |= update_number(&f->parent_area_id, said->parent_area_id, INT32_MAX);
    changed |= update_text(&f->uname, said->uname);
    changed |= update_text(&f->title, said->title);
    changed |= update_text(&f->area, said->area);
    changed |= update_text(&f->parent_area, said->parent_area);
    changed |= update_live(f, said);
    return changed;
}

bool room_facts_merge(struct room_facts *f, const struct room_facts *said)
{
    return room_facts_update(f, &(struct upstream_room){
                                    .short_id = said->short_id,
                                    .uid = said->uid,
                                    .live_status = said->live,
                                    .live_since_ms = said->live_since_ms,
                                    .uname = str_of(said->uname),
                                    .title = str_of(said->title),
                                    .area = str_of(said->area),
                                    .parent_area = str_of(said->parent_area),
                                    .area_id = said->area_id,
                                    .parent_area_id = said->parent_area_id,
                                });
}
