/* migrations/schema.sql is what a fresh database has. DM_UPDATE_SCHEMA=1 writes it anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "server/core/buf.h"
#include "server/db/migrate.h"
#include "tests/support/pg_server.h"
#include "tests/support/run.h"

#define SNAPSHOT DM_SOURCE_DIR "/migrations/schema.sql"

static void read_all(FILE *f, struct buf *out)
{
    char *p;
    size_t n;

    do {
        p = buf_reserve(out, 65536);
        assert_non_null(p);
        n = fread(p, 1, 65536, f);
        buf_commit(out, n);
    } while (n > 0);
}

/* pg_dump's output says which versions made it, and newer ones begin and end with \restrict and a random word. Runs of
 * empty lines become one. */
static void normalise(struct str in, struct buf *out)
{
    struct str line;
    bool empty = true;

    while (str_split(&in, '\n', &line)) {
        if (str_starts(line, STR("-- Dumped ")) || str_starts(line, STR("\\")) ||
            (line.len == 0 && empty)) {
            continue;
        }
        empty = line.len == 0;
        buf_put(out, line);
        buf_put_c(out, '\n');
    }
}

static void dump(const char *conninfo, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf raw;
    char command[512];
    FILE *f;

    snprintf(command, sizeof(command), "%s/pg_dump --schema-only --no-owner '%s'",
             pg_server_bindir(), conninfo);
    buf_init(&raw, 1 << 20);
    f = popen(command, "re");
    assert_non_null(f);
    read_all(f, &raw);
    assert_int_equal(pclose(f), 0);
    normalise(buf_str(&raw), out);
}

static void test_snapshot(void **state)
{
    struct pg_server *server = pg_server_start(NULL);
    CLEANUP(buf_deinit) struct buf fresh;
    CLEANUP(buf_deinit) struct buf kept;
    char db[PG_SERVER_CONNINFO_BYTES];
    struct migrate_result r;
    struct err err = {0};
    FILE *f;

    (void)state;
    buf_init(&fresh, 1 << 20);
    buf_init(&kept, 1 << 20);
    pg_server_new_db(server, db);
    if (migrate_run(db, &r, &err)) {
        fail_msg("%s", err.msg);
    }
    dump(db, &fresh);
    pg_server_free(server);
    assert_true(buf_ok(&fresh) && fresh.len > 1000);
    if (getenv("DM_UPDATE_SCHEMA")) {
        f = fopen(SNAPSHOT, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(fresh.data, 1, fresh.len, f), fresh.len);
        assert_int_equal(fclose(f), 0);
    }
    f = fopen(SNAPSHOT, "re");
    assert_non_null(f);
    read_all(f, &kept);
    fclose(f);
    if (!str_eq(buf_str(&fresh), buf_str(&kept))) {
        fail_msg("a fresh database differs from migrations/schema.sql (%zu and %zu bytes); "
                 "DM_UPDATE_SCHEMA=1 writes it anew",
                 fresh.len, kept.len);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_snapshot)};

    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
