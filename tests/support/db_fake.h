/* tests/support/db_fake.h - stands in for server/db behind api/: the statements of api/query over plain arrays.
 *
 * Linked instead of db. Answers come from the loop, like real ones, unless they are held; the server can be away,
 * fail the next query, or forget. What the statements mean is written down here a second time, so a test over this and
 * one over a real PostgreSQL check each other.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "server/db/db.h"
#include "server/event/event.h"
#include "server/loop/loop.h"

struct db *db_fake_new(struct loop *loop);
void db_fake_free(struct db *db); /* unanswered queries are dropped */

void db_fake_add(struct db *db, const struct event *e); /* keeps a reference; ids ascend */
void db_fake_room(struct db *db, int64_t room_id, int64_t short_id);
void db_fake_token(struct db *db, const char *name, struct str hash, const char *scopes,
                   int64_t expires_ms);
void db_fake_drop_tokens(struct db *db);
void db_fake_minute(struct db *db, int64_t room_id, int64_t minute, int64_t danmaku);
void db_fake_mark(struct db *db, int64_t minute); /* rollup_mark */
void db_fake_gap(struct db *db, int64_t room_id, int64_t from_ms, int64_t to_ms);
void db_fake_drop_events(struct db *db, int64_t up_to_id);

void db_fake_up(struct db *db, bool up);              /* away: queries fail with ERR_UNAVAILABLE */
void db_fake_fail(struct db *db, enum err_code code); /* the next query fails so */
void db_fake_hold(struct db *db, bool hold);          /* answers wait until it is let go */
size_t db_fake_n_queries(const struct db *db);        /* in all */
/* Questions for coverage: the most that were unanswered at once, those of nobody included; and how many in all. */
size_t db_fake_most_coverage(const struct db *db);
size_t db_fake_n_coverage(const struct db *db);
size_t db_fake_n_waiting(const struct db *db);
