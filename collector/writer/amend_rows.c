#include "collector/writer/amend_rows.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/event/amend.h"

enum { NUMBERS = 5, TEXTS = 2 };

void amend_rows_init(struct amend_rows *a, size_t max)
{
    *a = (struct amend_rows){
        .numbers = mem_new_array(int64_t, max * NUMBERS),
        .texts = mem_new_array(struct str, max * TEXTS),
        .max = max,
    };
}

void amend_rows_deinit(struct amend_rows *a)
{
    mem_free(a->numbers);
    mem_free(a->texts);
    *a = (struct amend_rows){0};
}

void amend_rows_clear(struct amend_rows *a)
{
    a->n = 0;
}

void amend_rows_add(struct amend_rows *a, const struct event *e)
{
    struct amend one;
    if (e->kind != EVENT_RECALL && e->kind != EVENT_SUPERCHAT_DELETE && e->kind != EVENT_NOTICE) {
        return;
    }
    if (!amend_of(e, &one)) {
        return;
    }
    ASSERT(a->n < a->max);
    a->numbers[a->n] = one.how;
    a->numbers[a->max + a->n] = one.room_id;
    a->numbers[2 * a->max + a->n] = one.key;
    a->numbers[3 * a->max + a->n] = one.by_id;
    a->numbers[4 * a->max + a->n] = one.from_id;
    a->texts[a->n] = str_of(one.what);
    a->texts[a->max + a->n] = one.has_data ? e->extra : STR("");
    a->n++;
}

void amend_rows_args(const struct amend_rows *a, struct db_arg *ret)
{
    for (size_t i = 0; i < 5; i++) {
        ret[i] = DB_ARG_I64S(a->numbers + i * a->max, a->n);
    }
    ret[5] = DB_ARG_TEXTS(a->texts, a->n);
    ret[6] = DB_ARG_TEXTS(a->texts + a->max, a->n);
}
