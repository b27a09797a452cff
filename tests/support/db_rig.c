#include "tests/support/db_rig.h"

#include "server/db/db.h"
#include "server/db/migrate.h"
#include "server/loop/loop.h"
#include "server/stats/stats.h"
#include "tests/support/loop_until.h"
#include "tests/support/patience.h"
#include "tests/support/run.h"

enum { TURNS = 30000, ANSWER_MS = 60000, RESULT_BYTES = 16 << 20 };

static bool is_up(void *ctx)
{
    return db_is_up(((struct db_rig *)ctx)->db);
}

static bool is_closed(void *ctx)
{
    return ((struct db_rig *)ctx)->closed;
}

static void set_closed(void *ctx)
{
    ((struct db_rig *)ctx)->closed = true;
}

void db_rig_until(struct db_rig *r, bool (*is)(void *ctx), void *ctx)
{
    const bool never = false;
    struct patience p = {0};
    while (!is(ctx) && patience_left(&p, TURNS)) {
        assert_false(loop_run_until(r->loop, &never, 1));
    }
    assert_true(is(ctx));
}

void db_rig_open(struct db_rig *r, struct pg_server *server, unsigned pool)
{
    struct migrate_result result;
    *r = (struct db_rig){0};
    pg_server_new_db(server, r->conninfo);
    assert_int_equal(migrate_run(r->conninfo, &result, NULL), ERR_OK);
    r->loop = loop_new();
    r->stats = stats_new();
    const struct db_opts opts = {.conninfo = r->conninfo,
                                 .pool = pool,
                                 .max_queue = 100,
                                 .connect_timeout_ms = ANSWER_MS,
                                 .timeout_ms = ANSWER_MS,
                                 .max_result_bytes = RESULT_BYTES,
                                 .application_name = "danmakud test"};
    r->db = db_new(r->loop, &opts, r->stats);
    db_rig_until(r, is_up, r);
}

void db_rig_close(struct db_rig *r)
{
    db_close(r->db, set_closed, r);
    db_rig_until(r, is_closed, r);
    loop_free(r->loop);
    stats_free(r->stats);
}
