/* tests/sim/sim_main.c - danmakud-sim: options, start, signals, end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/core/log.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"
#include "tests/sim/sim_control.h"
#include "tests/sim/sim_gen.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/sim_record.h"
#include "tests/sim/sim_replay.h"
#include "tests/sim/sim_server.h"

struct program {
    struct sim_options options;
    struct loop *loop;
    struct loop_signals *signals;
    struct sim_world *world;
    struct sim_record *record;
    struct sim_replay *replay;
    struct sim_server *server;
    struct sim_control *control;
    bool stopping;
};

static void on_closed(void *ctx)
{
    struct program *p = ctx;

    p->server = NULL;
    loop_stop(p->loop);
}

static void stop(void *ctx)
{
    struct program *p = ctx;

    if (p->stopping) {
        return;
    }
    p->stopping = true;
    sim_control_close(p->control);
    p->control = NULL;
    if (p->server) {
        sim_server_close(p->server, on_closed, p);
    }
}

static void on_signal(void *ctx, int signum)
{
    struct program *p = ctx;

    if (signum != SIGTERM && signum != SIGINT) {
        return;
    }
    if (p->stopping) {
        _exit(1); /* asked twice */
    }
    stop(p);
}

/* Messages of the first room as JSON lines: what tests and people look at without a connection. */
static int dump(const struct program *p)
{
    struct sim_gen gen;
    struct sim_msg *m = mem_new(struct sim_msg);
    struct buf out;
    bool ok = true;

    buf_init(&out, SIM_MESSAGE_MAX);
    sim_gen_init(&gen, p->world, p->options.first_room, 0);
    for (int64_t i = 0; i < p->options.dump && ok; i++) {
        buf_clear(&out);
        sim_gen_next(&gen, m);
        sim_gen_render(&gen, m, p->options.dump_masked, &out);
        buf_put_c(&out, '\n');
        ok = buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len;
    }
    ok = fflush(stdout) == 0 && ok;
    sim_gen_deinit(&gen);
    buf_deinit(&out);
    mem_free(m);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void print_ready(const struct program *p)
{
    struct buf line;

    buf_init(&line, 4096);
    buf_put(&line, STR("danmakud-sim ready tcp="));
    sim_server_addresses(p->server, SIM_LINK_TCP, &line);
    if (p->options.n_ws > 0) {
        buf_put(&line, STR(" ws="));
        sim_server_addresses(p->server, SIM_LINK_WS, &line);
    }
    if (p->options.n_wss > 0) {
        buf_put(&line, STR(" wss="));
        sim_server_addresses(p->server, SIM_LINK_WSS, &line);
    }
    if ((p->options.n_wss > 0 || p->options.https) && p->options.tls_dir) {
        buf_printf(&line, " ca=%s/ca.pem", p->options.tls_dir);
    }
    if (p->options.http) {
        buf_put(&line, STR(" http="));
        sim_server_http_url(p->server, &line);
    }
    if (p->control) {
        buf_put(&line, STR(" control="));
        sim_control_address(p->control, &line);
    }
    if (!p->options.room_ids && p->options.rooms > 0) {
        buf_printf(&line, " rooms=%lld-%lld", (long long)p->options.first_room,
                   (long long)(p->options.first_room + p->options.rooms - 1));
    }
    printf(STR_FMT "\n", STR_ARG(buf_str(&line)));
    (void)fflush(stdout);
    buf_deinit(&line);
}

static enum err_code start(struct program *p, struct err *err)
{
    const struct sim_options *o = &p->options;
    enum err_code rc = ERR_OK;

    if (o->n_replay > 0) {
        rc = sim_replay_load(o->replay, o->n_replay, &p->replay, err);
    }
    if (rc == ERR_OK && o->record) {
        rc = sim_record_open(o->record, &p->record, err);
    }
    if (rc == ERR_OK) {
        const struct sim_server_deps deps = {.loop = p->loop,
                                             .options = o,
                                             .world = p->world,
                                             .record = p->record,
                                             .replay = p->replay};

        rc = sim_server_open(&deps, &p->server, err);
    }
    if (rc == ERR_OK && o->control) {
        rc = sim_control_open(p->loop, p->server, o->control, stop, p, &p->control, err);
    }
    return rc;
}

/* A descriptor per client: as many as we may have. */
static void raise_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int run(struct program *p)
{
    struct err err = {0};
    int status = EXIT_SUCCESS;

    raise_limit();
    p->loop = loop_new();
    p->signals = loop_signals_new(p->loop, on_signal, p);
    if (start(p, &err) == ERR_OK) {
        print_ready(p);
    } else {
        (void)fprintf(stderr, "danmakud-sim: %s\n", err.msg);
        status = err.code == ERR_INVALID ? 2 : EXIT_FAILURE;
        stop(p);
    }
    if (p->server) {
        loop_run(p->loop);
    }
    loop_signals_free(p->signals);
    loop_free(p->loop);
    if (!sim_record_close(p->record, clock_wall_ms(clock_system()))) {
        (void)fprintf(stderr, "danmakud-sim: the record could not be written\n");
        status = EXIT_FAILURE;
    }
    sim_replay_free(p->replay);
    return status;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct sim_world_opts world = {.clock = clock_system()};
    struct err err = {0};
    enum log_level level;
    int status;

    if (sim_options_parse(&p.options, argc, argv, &err) != ERR_OK) {
        (void)fprintf(stderr, "danmakud-sim: %s\n", err.msg);
        return 2;
    }
    if (p.options.help) {
        sim_options_help();
        return EXIT_SUCCESS;
    }
    if (log_level_parse(str_of(p.options.log_level), &level) != 0) {
        (void)fprintf(stderr, "danmakud-sim: --log-level: bad value\n");
        return 2;
    }
    log_set_level(level);
    world.seed = p.options.seed;
    world.start_ms = p.options.start_ms;
    world.mix = str_of(p.options.mix);
    world.full = p.options.full;
    p.world = sim_world_new(&world);
    if (!p.world) {
        (void)fprintf(stderr, "danmakud-sim: --mix: bad value\n");
        return 2;
    }
    status = p.options.dump > 0 ? dump(&p) : run(&p);
    sim_world_free(p.world);
    return status;
}
