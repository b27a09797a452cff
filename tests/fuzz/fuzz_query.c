/* Query strings of any bytes, with a Last-Event-ID before the first '\n': typed or refused, never out of bounds. What is
 * accepted makes a plan whose cursors lead on, and a walk over windows that ends. */
#include "api/encode/problem.h"
#include "api/query/page.h"
#include "api/query/window.h"
#include "server/core/buf.h"
#include "server/core/id.h"
#include "server/core/utf8.h"
#include "tests/fuzz/fuzz.h"

#define NOW INT64_C(1764000000000)
enum { OUT_LIMIT = 1 << 16 };

static void check_errors(const struct params *p)
{
    struct problem_error errors[PARAMS_ERRORS_MAX];
    struct buf b;
    for (size_t i = 0; i < p->n_errors; i++) {
        enum problem_code code;
        ASSERT(problem_by_name(p->errors[i].code, &code));
        ASSERT(utf8_valid(str_of(p->errors[i].param)) && utf8_valid(str_of(p->errors[i].reason)));
        errors[i] = (struct problem_error){str_of(p->errors[i].param), p->errors[i].code,
                                           p->errors[i].reason};
    }
    buf_init(&b, OUT_LIMIT);
    problem_write(&(struct problem){.code = PROBLEM_INVALID_PARAMETER,
                                    .errors = errors,
                                    .n_errors = p->n_errors},
                  &b);
    ASSERT(buf_ok(&b));
    buf_deinit(&b);
}

static void check_values(const struct params *p)
{
    ASSERT(p->num[PARAM_LIMIT] >= 1 && p->num[PARAM_LIMIT] <= PARAMS_LIMIT_MAX);
    ASSERT(p->num[PARAM_MIN_VALUE] >= 0);
    ASSERT(p->n_rooms <= PARAMS_ROOMS_MAX);
    for (size_t i = 0; i < p->n_rooms; i++) {
        ASSERT(p->rooms[i] > 0 && (i == 0 || p->rooms[i] > p->rooms[i - 1]));
    }
    if (params_has(p, PARAM_FROM) || params_has(p, PARAM_SINCE)) {
        int64_t end = params_has(p, PARAM_TO) ? p->to_ms : NOW;
        ASSERT(end - p->from_ms <= PARAMS_RANGE_MAX_MS);
    }
}

static void check_cursor(const struct page_plan *plan, const char *text, bool back)
{
    struct cursor c;
    ASSERT(cursor_parse(str_of(text), &c));
    ASSERT(c.hash == plan->hash && c.order == plan->order && c.back == back);
}

/* A table of no rows, some rows, many rows, as the choices say. */
static void check_walk(const struct page_plan *plan, struct fuzz_input *in)
{
    struct window w;
    int64_t low;
    int64_t high;
    enum window_step step;
    window_init(&w, plan->descending, fuzz_choose(in, 2) == 0, fuzz_choose(in, 200) * 1000);
    window_range(&w, plan->low, plan->high, plan->limit + 1);
    while ((step = window_next(&w, &low, &high)) == WINDOW_QUERY || step == WINDOW_PROBE) {
        ASSERT(low >= plan->low && low < high && high <= plan->high);
        if (step == WINDOW_PROBE) {
            window_probed(&w, fuzz_choose(in, 3) * (WINDOW_PROBE_ROWS / 2));
        } else {
            window_rows(&w, fuzz_choose(in, 20));
        }
    }
    ASSERT(w.steps <= WINDOW_STEPS_MAX);
}

static void check_plan(struct params *p, struct fuzz_input *in)
{
    struct filter f = {.rooms = p->rooms,
                       .n_rooms = p->n_rooms,
                       .kinds = p->kinds,
                       .min_value = p->num[PARAM_MIN_VALUE]};
    struct page_plan plan;
    if (!page_plan(p, &f, NOW, &plan)) {
        ASSERT(p->n_errors > 0);
        check_errors(p);
        return;
    }
    ASSERT(plan.low >= 0 && plan.high >= 0);
    struct page_links links;
    struct page_result r = {.n = fuzz_choose(in, 2),
                            .more = fuzz_choose(in, 2) != 0,
                            .first_id = 5,
                            .last_id = 7,
                            .at = 7};
    page_links(&plan, &r, &links);
    if (links.has_next) {
        check_cursor(&plan, links.next, false);
    }
    if (links.has_prev) {
        check_cursor(&plan, links.prev, true);
    }
    if (plan.low < plan.high) {
        check_walk(&plan, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    struct str rest = in.subject;
    struct str header = STR_NULL;
    struct str pair;
    struct params p;
    int64_t id = -1;
    (void)str_split(&rest, '\n', &header);
    params_init(&p, (UINT32_C(1) << PARAMS) - 1);
    while (str_split(&rest, '&', &pair)) {
        struct str value = pair;
        struct str name = STR_NULL;
        (void)str_split(&value, '=', &name);
        params_add(&p, name, value);
    }
    bool good = params_finish(&p, NOW);
    ASSERT(good == (p.n_errors == 0));
    if (good) {
        check_values(&p);
        check_plan(&p, &in);
    }
    ASSERT(params_resume_id(&p, header, &id) ? id >= -1 : p.n_errors > 0);
    check_errors(&p);
    return 0;
}
