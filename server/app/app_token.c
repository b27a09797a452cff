/* `danmakud token ...`: a loop, a pool of one connection, one command. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "api/token_command.h"
#include "server/app/options.h"
#include "server/core/mem.h"

enum { PROBLEM_BYTES = 4096 };

struct token_run {
    struct db *db;
    int exit_code;
};

static void on_closed(void *ctx)
{
    (void)ctx;
}

static void on_done(void *ctx, int exit_code, struct str out, struct str err)
{
    struct token_run *run = ctx;
    run->exit_code = exit_code;
    (void)fprintf(stdout, STR_FMT, STR_ARG(out));
    (void)fprintf(stderr, STR_FMT, STR_ARG(err));
    db_close(run->db, on_closed, run);
}

static int with_database(struct config *config, int argc, char *const *argv)
{
    struct private_pg *pg = NULL;
    char *conninfo = NULL;
    if (!app_database_exists(config, "token")) {
        return EXIT_FAILED;
    }
    app_step_down(config);
    int status = app_database_open(config, &pg, &conninfo);
    if (status != EXIT_OK) {
        return status;
    }
    struct loop *loop = loop_new();
    const struct db_opts opts = {
        .conninfo = conninfo,
        .pool = 1,
        .max_queue = 8,
        .connect_timeout_ms = config->query_timeout,
        .timeout_ms = config->query_timeout,
        .max_result_bytes = 1 << 20,
        .application_name = "danmakud token",
    };
    struct token_run run = {.db = db_new(loop, &opts, NULL), .exit_code = EXIT_FAILED};
    const struct token_command_opts command = {
        .loop = loop,
        .db = run.db,
        .argc = argc,
        .argv = argv,
        .done = on_done,
        .ctx = &run,
    };
    api_token_command(&command);
    loop_run(loop);
    loop_free(loop);
    private_pg_leave(pg);
    mem_free(conninfo);
    return run.exit_code;
}

int app_token(struct config *config, const char *const *args, size_t n_args)
{
    struct buf problem;
    int status = EXIT_USAGE;
    char **argv = mem_new_array(char *, n_args + 1);
    for (size_t i = 0; i < n_args; i++) {
        argv[i] = mem_dup(args[i], strlen(args[i]));
    }
    buf_init(&problem, PROBLEM_BYTES);
    if (api_token_check((int)n_args, argv, &problem)) {
        status = with_database(config, (int)n_args, argv);
    } else {
        (void)fprintf(stderr, STR_FMT, STR_ARG(buf_str(&problem)));
        (void)options_usage(COMMAND_TOKEN);
    }
    buf_deinit(&problem);
    for (size_t i = 0; i < n_args; i++) {
        mem_free(argv[i]);
    }
    mem_free(argv);
    return status;
}
