#include "collector/discover_select.h"

#include "collector/upstream/upstream.h"

static bool take_area(struct str text, char *ret, int64_t *ret_id)
{
    if (text.len == 0 || text.len > DISCOVER_AREA_BYTES) {
        return false;
    }
    memcpy(ret, text.ptr, text.len);
    ret[text.len] = '\0';
    if (str_to_i64(text, ret_id)) {
        return *ret_id > 0;
    }
    *ret_id = -1;
    return true;
}

enum err_code discover_select_parse(struct str text, struct discover_select *ret, struct err *err)
{
    struct discover_select s = {0};
    struct str rest = text;
    struct str head;
    struct str parent;
    uint64_t top = 0;
    (void)str_split(&rest, '@', &head);
    const bool has_area = head.len < text.len;
    head = str_trim(head);
    if (!str_starts(head, STR("top:")) || !str_to_u64(str_sub(head, 4, head.len), &top) ||
        top == 0) {
        return err_set(err, ERR_INVALID,
                       STR_FMT " is not top:NUMBER, top:NUMBER@AREA or top:NUMBER@AREA/AREA",
                       STR_ARG(text));
    }
    if (top > DISCOVER_TOP_MAX) {
        return err_set(err, ERR_INVALID, STR_FMT ": %d rooms are the most", STR_ARG(text),
                       DISCOVER_TOP_MAX);
    }
    s.top = (unsigned)top;
    if (has_area) {
        const struct str areas = rest;
        (void)str_split(&rest, '/', &parent);
        const bool has_sub = parent.len < areas.len;
        if (!take_area(str_trim(parent), s.parent, &s.parent_id) ||
            (has_sub && !take_area(str_trim(rest), s.area, &s.area_id))) {
            return err_set(err, ERR_INVALID, STR_FMT ": an area is a name or a positive number",
                           STR_ARG(text));
        }
    }
    *ret = s;
    return ERR_OK;
}

bool discover_select_same(const struct discover_select *a, const struct discover_select *b)
{
    return a->top == b->top && strcmp(a->parent, b->parent) == 0 && strcmp(a->area, b->area) == 0;
}

bool discover_select_named(const struct discover_select *s)
{
    return s->parent_id >= 0 && s->area_id >= 0;
}

/* A name, or a number; parent_id < 0: among the parents. */
static int64_t find_area(const struct upstream_area *areas, size_t n, const char *name,
                         int64_t parent_id)
{
    for (size_t i = 0; i < n; i++) {
        const bool place =
            parent_id < 0 ? areas[i].parent_id == 0 : areas[i].parent_id == parent_id;
        if (place && str_eq(areas[i].name, str_of(name))) {
            return areas[i].id;
        }
    }
    return -1;
}

enum err_code discover_select_name(struct discover_select *s, const struct upstream_area *areas,
                                   size_t n, struct err *err)
{
    if (s->parent_id < 0) {
        s->parent_id = find_area(areas, n, s->parent, -1);
    }
    if (s->parent_id < 0) {
        return err_set(err, ERR_NOT_FOUND, "upstream has no area %s", s->parent);
    }
    if (s->area_id < 0) {
        s->area_id = find_area(areas, n, s->area, s->parent_id);
    }
    if (s->area_id < 0) {
        return err_set(err, ERR_NOT_FOUND, "upstream has no area %s in %s", s->area, s->parent);
    }
    return ERR_OK;
}
