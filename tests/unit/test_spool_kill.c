/* kill -9: a child appends as fast as it can and says what was told as durable; whenever it dies, all of that is there. */
#include "server/spool/spool.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "tests/unit/test_spool_rig.h"

enum { ROUNDS = 40, BATCH = 25, BEHIND = 300 };

/* What the child says, in one write, so that the pipe has it whole. */
struct word {
    int64_t told;
    int64_t acked;
    int64_t hold; /* the one that is open */
};

/* --- the child --- */

struct child {
    struct spool *s;
    int64_t next;
    struct word word;
    int pipe;
};

static void child_append(struct child *c)
{
    for (int i = 0; i < BATCH; i++) {
        struct event_draft d;
        rig_draft(&d, c->next);
        spool_append(c->s, event_new(c->next++, &d));
    }
}

static void on_written(void *ctx, struct event **events, size_t n, bool durable)
{
    struct child *c = ctx;
    if (!durable) {
        _exit(3);
    }
    c->word.told = events[n - 1]->id;
    for (size_t i = 0; i < n; i++) {
        event_unref(&events[i]);
    }
    if (c->word.told > BEHIND) {
        c->word.acked = c->word.told - BEHIND;
    }
    const struct word word = c->word;
    if (write(c->pipe, &word, sizeof word) != (ssize_t)sizeof word) {
        _exit(4);
    }
    spool_ack(c->s, c->word.acked); /* said before it has an effect */
    child_append(c);
}

static void on_dropped(void *ctx, const struct spool_dropped *rooms, size_t n)
{
    (void)ctx;
    (void)rooms;
    (void)n;
    _exit(5);
}

static int child_main(const char *dir, int fd)
{
    struct child *c = mem_new(struct child);
    struct loop *loop = loop_new();
    struct spool_found found;
    struct event_draft d;
    struct spool_opts opts = {.dir = dir,
                              .sync_ms = 5,
                              .max_bytes = 16 << 20,
                              .segment_bytes = 16 << 10,
                              .on_written = on_written,
                              .on_dropped = on_dropped,
                              .ctx = c};
    if (spool_open(loop, &opts, NULL, &c->s, &found, NULL) != ERR_OK) {
        return 2;
    }
    c->pipe = fd;
    c->next = found.last_id + 1;
    c->word.hold = c->next;
    event_draft_init(&d, EVENT_GUARD, 1);
    spool_hold(c->s, c->word.hold, &d, 1); /* every child leaves one behind */
    child_append(c);
    loop_run(loop); /* for ever */
    return 0;
}

/* --- the test --- */

static pid_t start(const char *dir, int *ret_pipe)
{
    int fds[2];
    char number[16];
    assert_int_equal(pipe(fds), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)snprintf(number, sizeof number, "%d", fds[1]);
        (void)execl("/proc/self/exe", "test_spool_kill", "--child", dir, number, (char *)NULL);
        _exit(1);
    }
    close(fds[1]);
    *ret_pipe = fds[0];
    return pid;
}

/* Lets it say so many words, kills it, and hears the rest. */
static struct word kill_after(pid_t pid, int fd, uint64_t words)
{
    struct word w = {0};
    struct word last = {0};
    int status = 0;
    for (uint64_t i = 0; i < words; i++) {
        assert_int_equal(read(fd, &w, sizeof w), sizeof w);
        last = w;
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (read(fd, &w, sizeof w) == (ssize_t)sizeof w) {
        last = w;
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(fd);
    return last;
}

static void test_kill(void **state)
{
    struct rig *r = *state;
    struct rng rng;
    int64_t holds[ROUNDS];
    test_rng(&rng);
    r->opts.max_bytes = 16 << 20;
    for (int round = 0; round < ROUNDS; round++) {
        int fd;
        int64_t *ids;
        pid_t pid = start(r->dir, &fd);
        struct word w = kill_after(pid, fd, 1 + rng_below(&rng, 200));
        holds[round] = w.hold;
        rig_open(r);
        assert_int_equal(r->found.bad_bytes, 0);
        assert_true(r->found.last_id >= w.told);
        size_t n = rig_read_all(r, w.acked, 100, &ids);
        for (size_t i = 0; i < n; i++) { /* no hole, and further than what was said */
            assert_int_equal(ids[i], w.acked + 1 + (int64_t)i);
        }
        assert_true(n == 0 ? w.told == w.acked : ids[n - 1] >= w.told);
        mem_free(ids);
        rig_holds(r);
        assert_int_equal(r->n_holds, round + 1); /* in spite of all that was deleted */
        for (int i = 0; i <= round; i++) {
            bool there = false;
            for (size_t k = 0; k < r->n_holds; k++) {
                there = there || r->holds[k].key == holds[i];
            }
            assert_true(there);
        }
        rig_close(r);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {RIG_TEST(test_kill)};
    int64_t fd;
    if (argc == 4 && strcmp(argv[1], "--child") == 0) {
        log_set_level(LOG_LEVEL_ERROR);
        return str_to_i64(str_of(argv[3]), &fd) ? child_main(argv[2], (int)fd) : 6;
    }
    return run_tests(argc, argv, tests, ARRAY_LEN(tests));
}
