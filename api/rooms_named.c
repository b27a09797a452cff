#include "api/rooms_named.h"

#include <stdlib.h>

#include "api/reply.h"

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Two names of one room become one. */
static void sort_unique(struct rooms_named *rn)
{
    qsort(rn->rooms, rn->n, sizeof(rn->rooms[0]), compare_i64);
    size_t n = rn->n > 0 ? 1 : 0;
    for (size_t i = 1; i < rn->n; i++) {
        if (rn->rooms[i] != rn->rooms[n - 1]) {
            rn->rooms[n++] = rn->rooms[i];
        }
    }
    rn->n = n;
}

/* The real id of a given number among the rows (given, room_id); 0 if there is none. */
static int64_t real_id(const struct db_rows *rows, int64_t given)
{
    for (size_t i = 0; i < db_rows_n(rows); i++) {
        if (db_i64(rows, i, 0) == given) {
            return db_i64(rows, i, 1);
        }
    }
    return 0;
}

static void rooms_found(void *ctx, enum err_code code, const struct err *err,
                        const struct db_rows *rows)
{
    struct job *j = ctx;
    struct rooms_named *rn = j->naming;
    if (code != ERR_OK) {
        reply_db_failure(j->api, j->req, err);
        return;
    }
    struct params unknown;
    params_init(&unknown, 0);
    for (size_t i = 0; i < rn->n; i++) {
        int64_t id = real_id(rows, rn->rooms[i]);
        if (id != 0) {
            rn->rooms[i] = id;
        } else if (api_real_room(j->api, rn->rooms[i]) != 0) {
            rn->rooms[i] = api_real_room(j->api, rn->rooms[i]);
        } else {
            params_error(&unknown, str_of(rn->param), "room_not_found",
                         "names room %lld, which was never collected", (long long)rn->rooms[i]);
        }
    }
    if (unknown.n_errors > 0) {
        reply_param_errors(j->api, j->req, &unknown);
        return;
    }
    sort_unique(rn);
    rn->done(j);
}

void rooms_named_find(struct job *j, struct rooms_named *rn)
{
    bool all_known = true;
    for (size_t i = 0; i < rn->n && all_known; i++) {
        all_known = api_real_room(j->api, rn->rooms[i]) != 0;
    }
    if (all_known) {
        for (size_t i = 0; i < rn->n; i++) {
            rn->rooms[i] = api_real_room(j->api, rn->rooms[i]);
        }
        sort_unique(rn);
        rn->done(j);
        return;
    }
    struct db_arg args[] = {DB_ARG_I64S(rn->rooms, rn->n)};
    j->naming = rn;
    job_query(j, SQL_ROOMS_NAMED, args, ARRAY_LEN(args), rooms_found);
}

bool rooms_named_path(struct job *j, struct rooms_named *rn)
{
    int64_t id;
    rn->param = "room";
    if (!str_to_i64(http_req_param(j->req, "room"), &id) || id <= 0) {
        struct params p;
        params_init(&p, 0);
        params_error(&p, STR("room"), "invalid_parameter", "is no room id");
        reply_param_errors(j->api, j->req, &p);
        return false;
    }
    rn->rooms[0] = id;
    rn->n = 1;
    return true;
}
