#include "api/query/page.h"

#include "server/core/id.h"

static bool read_cursor(struct params *p, int64_t hash, int64_t now_ms, struct cursor *ret)
{
    struct str name = str_of(param_name(PARAM_CURSOR));
    if (!cursor_parse(p->cursor, ret)) {
        params_error(p, name, "bad_cursor", "is no cursor of this service");
        return false;
    }
    if (ret->hash != hash || (params_has(p, PARAM_ORDER) && ret->order != p->order)) {
        params_error(p, name, "cursor_mismatch",
                     "belongs to another list; repeat its other parameters");
        return false;
    }
    if ((ret->floor_ms != 0) != params_has(p, PARAM_SINCE) || ret->floor_ms > now_ms) {
        params_error(p, name, "bad_cursor", "is no cursor of this service");
        return false;
    }
    return true;
}

bool page_plan(struct params *p, const struct filter *f, int64_t now_ms, struct page_plan *ret)
{
    bool since = params_has(p, PARAM_SINCE);
    bool ends = params_has(p, PARAM_TO);
    struct page_plan plan = {
        .order = p->order,
        .limit = (size_t)p->num[PARAM_LIMIT],
        .open_end = !ends || p->to_ms > now_ms,
        .floor_ms = since ? p->from_ms : 0,
        .hash = filter_hash(f, since ? 0 : p->from_ms, p->to_ms, since ? p->num[PARAM_SINCE] : 0),
    };
    struct cursor c = {0};
    if (params_has(p, PARAM_CURSOR)) {
        if (!read_cursor(p, plan.hash, now_ms, &c)) {
            return false;
        }
        plan.resumed = true;
        plan.order = c.order;
        plan.back = c.back;
        plan.floor_ms = c.floor_ms;
        if (since) {
            p->from_ms = c.floor_ms;
        }
    }
    plan.descending = (plan.order == ORDER_DESC) != plan.back;
    plan.low = p->from_ms > 0 ? id_first_of_ms(p->from_ms) : 0;
    plan.high = ends ? id_first_of_ms(p->to_ms) : ID_MAX;
    if (plan.resumed && plan.descending && c.id < plan.high) {
        plan.high = c.id < 0 ? 0 : c.id;
    } else if (plan.resumed && !plan.descending && c.id >= plan.low) {
        plan.low = c.id == ID_MAX ? ID_MAX : c.id + 1;
    }
    *ret = plan;
    return true;
}

/* The id behind which a page in travel direction `descending` goes on, when the one here ended. */
static int64_t ahead_id(const struct page_plan *plan, const struct page_result *r)
{
    if (r->more) {
        return r->at;
    }
    if (r->n > 0) {
        return r->last_id;
    }
    return plan->descending ? plan->high : plan->low - 1;
}

/* The id behind which a page in the other direction begins, so that nothing between the two is left out. */
static int64_t behind_id(const struct page_plan *plan, const struct page_result *r)
{
    if (r->n > 0) {
        return r->first_id;
    }
    return plan->descending ? plan->high - 1 : plan->low;
}

void page_links(const struct page_plan *plan, const struct page_result *r, struct page_links *ret)
{
    *ret = (struct page_links){0};
    bool ahead = r->more || (!plan->descending && plan->open_end);
    bool behind = plan->resumed || (plan->descending && plan->open_end);
    struct cursor c = {
        .order = plan->order, .hash = plan->hash, .floor_ms = plan->floor_ms, .back = plan->back};
    if (ahead) {
        c.id = ahead_id(plan, r);
        cursor_write(&c, plan->back ? ret->prev : ret->next);
    }
    c.back = !plan->back;
    if (behind) {
        c.id = behind_id(plan, r);
        cursor_write(&c, plan->back ? ret->next : ret->prev);
    }
    ret->has_next = plan->back ? behind : ahead;
    ret->has_prev = plan->back ? ahead : behind;
}
