/* `danmakud token ...`: a loop, a pool of one connection, one command. */
#include "server/app/app_priv.h"

#include <stdio.h>

#include "api/token_command.h"
#include "server/core/mem.h"

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

int app_token(struct config *config, const char *const *args, size_t n_args)
{
    struct private_pg *pg = NULL;
    char *conninfo = NULL;
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
    char **argv = mem_new_array(char *, n_args + 1);
    for (size_t i = 0; i < n_args; i++) {
        argv[i] = mem_dup(args[i], strlen(args[i]));
    }
    const struct token_command_opts command = {
        .loop = loop,
        .db = run.db,
        .argc = (int)n_args,
        .argv = argv,
        .done = on_done,
        .ctx = &run,
    };
    api_token_command(&command);
    loop_run(loop);
    loop_free(loop);
    for (size_t i = 0; i < n_args; i++) {
        mem_free(argv[i]);
    }
    mem_free(argv);
    private_pg_leave(pg);
    mem_free(conninfo);
    return run.exit_code;
}
