#include "tests/sim/sim_control_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/loop/loop.h"

enum { WAIT_MS = 180000 };

typedef enum sim_command_result(command_fn)(struct sim_command_env *env, struct str args);

static enum sim_command_result answer(struct sim_command_env *env, enum err_code rc,
                                      const struct err *err)
{
    if (rc == ERR_OK) {
        buf_put(env->out, STR("ok\n"));
    } else {
        buf_printf(env->out, "error %s\n", err->msg);
    }
    return SIM_COMMAND_DONE;
}

static enum sim_command_result wrong(struct sim_command_env *env, const char *usage)
{
    buf_printf(env->out, "error usage: %s\n", usage);
    return SIM_COMMAND_DONE;
}

/* The first word of *args; the rest stays. */
static struct str word(struct str *args)
{
    struct str w = STR_NULL;

    *args = str_trim(*args);
    (void)str_split(args, ' ', &w);
    *args = str_trim(*args);
    return w;
}

/* A room id, or * (0). */
static bool room_word(struct str *args, int64_t *ret)
{
    struct str w = word(args);

    if (str_eq(w, STR("*"))) {
        *ret = 0;
        return true;
    }
    return str_to_i64(w, ret) && *ret > 0;
}

static enum sim_command_result cmd_fault(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    struct sim_fault f;
    enum err_code rc = ERR_OK;

    if (str_eq(str_trim(args), STR("clear"))) {
        sim_server_faults_clear(env->server);
        return answer(env, rc, &err);
    }
    rc = sim_fault_parse(str_trim(args), &f, &err);
    if (rc == ERR_OK) {
        rc = sim_server_fault(env->server, &f, &err);
    }
    return answer(env, rc, &err);
}

static enum sim_command_result drop(struct sim_command_env *env, struct str args, bool reset)
{
    int64_t room;

    if (!room_word(&args, &room)) {
        return wrong(env, "drop ROOM|*");
    }
    buf_printf(env->out, "ok %zu\n", sim_server_drop(env->server, room, reset));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_drop(struct sim_command_env *env, struct str args)
{
    return drop(env, args, false);
}

static enum sim_command_result cmd_reset(struct sim_command_env *env, struct str args)
{
    return drop(env, args, true);
}

static enum sim_command_result set_paused(struct sim_command_env *env, struct str args, bool paused)
{
    int64_t room = 0;

    if (str_trim(args).len > 0 && !room_word(&args, &room)) {
        return wrong(env, "pause|resume [ROOM|*]");
    }
    sim_server_pause(env->server, room, paused);
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_pause(struct sim_command_env *env, struct str args)
{
    return set_paused(env, args, true);
}

static enum sim_command_result cmd_resume(struct sim_command_env *env, struct str args)
{
    return set_paused(env, args, false);
}

static enum sim_command_result cmd_emit(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t room;

    if (!room_word(&args, &room) || args.len == 0) {
        return wrong(env, "emit ROOM|* JSON");
    }
    return answer(env, sim_server_emit(env->server, room, args, &err), &err);
}

static enum sim_command_result cmd_say(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t room;

    if (!room_word(&args, &room) || args.len == 0) {
        return wrong(env, "say ROOM|* TEXT");
    }
    return answer(env, sim_server_say(env->server, room, args, &err), &err);
}

static enum sim_command_result cmd_live(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t room;

    if (!room_word(&args, &room) ||
        (args.len > 0 && !str_eq(args, STR("on")) && !str_eq(args, STR("off")))) {
        return wrong(env, "live ROOM|* [on|off]");
    }
    return answer(env, sim_server_set_live(env->server, room, !str_eq(args, STR("off")), &err),
                  &err);
}

static enum sim_command_result cmd_offline(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t room;

    if (!room_word(&args, &room) || args.len > 0) {
        return wrong(env, "offline ROOM|*");
    }
    return answer(env, sim_server_set_live(env->server, room, false, &err), &err);
}

static enum sim_command_result cmd_title(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t room;

    if (!room_word(&args, &room) || args.len == 0) {
        return wrong(env, "title ROOM|* TEXT");
    }
    return answer(env, sim_server_title(env->server, room, args, &err), &err);
}

static enum sim_command_result cmd_rank(struct sim_command_env *env, struct str args)
{
    struct err err = {0};
    int64_t place;
    int64_t room;

    if (!room_word(&args, &room) || !str_to_i64(args, &place) || place < 1) {
        return wrong(env, "rank ROOM N");
    }
    return answer(env, sim_server_rank(env->server, room, place, &err), &err);
}

static enum sim_command_result cmd_http_fault(struct sim_command_env *env, struct str args)
{
    struct err err = {0};

    return answer(env, sim_server_http_fault(env->server, str_trim(args), &err), &err);
}

static enum sim_command_result cmd_rotate_keys(struct sim_command_env *env, struct str args)
{
    (void)args;
    sim_server_rotate_keys(env->server);
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_expire_tokens(struct sim_command_env *env, struct str args)
{
    (void)args;
    sim_server_expire_tokens(env->server);
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_more(struct sim_command_env *env, struct str args)
{
    int64_t n;

    if (!str_to_i64(str_trim(args), &n) || n <= 0) {
        return wrong(env, "more N");
    }
    sim_server_more(env->server, n);
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_rate(struct sim_command_env *env, struct str args)
{
    int64_t n;

    if (!str_to_i64(str_trim(args), &n) || n < 0) {
        return wrong(env, "rate EVENTS_PER_SECOND");
    }
    sim_server_set_rate(env->server, (double)n);
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_stats(struct sim_command_env *env, struct str args)
{
    struct json_out w;

    (void)args;
    buf_put(env->out, STR("ok "));
    jw_init(&w, env->out);
    sim_server_stats(env->server, &w);
    buf_put_c(env->out, '\n');
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_ack_state(struct sim_command_env *env, struct str args)
{
    (void)args;
    buf_put(env->out, STR("ok "));
    sim_server_ack_state(env->server, env->out);
    buf_put_c(env->out, '\n');
    return SIM_COMMAND_DONE;
}

static enum sim_command_result cmd_wait(struct sim_command_env *env, struct str args)
{
    static const struct {
        const char *name;
        enum sim_wait_for what;
        bool has_n;
    } whats[] = {{"idle", SIM_WAIT_IDLE, false},
                 {"gone", SIM_WAIT_GONE, false},
                 {"ready", SIM_WAIT_READY, true},
                 {"rooms", SIM_WAIT_ROOMS, true},
                 {"events", SIM_WAIT_EVENTS, true}};
    struct str what = word(&args);
    int64_t ms = WAIT_MS;

    for (size_t i = 0; i < ARRAY_LEN(whats); i++) {
        int64_t n = 0;

        if (!str_eq(what, str_of(whats[i].name))) {
            continue;
        }
        if (whats[i].has_n && !str_to_i64(word(&args), &n)) {
            break;
        }
        if (args.len > 0 && (!str_to_i64(args, &ms) || ms < 0)) {
            break;
        }
        *env->wait = (struct sim_wait){
            .what = whats[i].what, .n = n, .until_ms = loop_now_ms(env->loop) + ms};
        return SIM_COMMAND_WAIT;
    }
    return wrong(env, "wait idle|gone|ready N|rooms N|events N [MS]");
}

bool sim_wait_done(struct sim_server *s, const struct sim_wait *w)
{
    switch (w->what) {
    case SIM_WAIT_IDLE:
        return sim_server_idle(s);
    case SIM_WAIT_GONE:
        return sim_server_n_ready(s) == 0;
    case SIM_WAIT_READY:
        return sim_server_n_ready(s) >= (size_t)w->n;
    case SIM_WAIT_ROOMS:
        return sim_server_n_rooms_ready(s) >= (size_t)w->n;
    case SIM_WAIT_EVENTS:
        return sim_server_n_events(s) >= (uint64_t)w->n;
    }
    return false;
}

static enum sim_command_result cmd_quit(struct sim_command_env *env, struct str args)
{
    (void)args;
    buf_put(env->out, STR("ok\n"));
    return SIM_COMMAND_QUIT;
}

static enum sim_command_result cmd_help(struct sim_command_env *env, struct str args);

static const struct {
    const char *name;
    command_fn *fn;
} COMMANDS[] = {
    {"fault", cmd_fault},
    {"drop", cmd_drop},
    {"reset", cmd_reset},
    {"pause", cmd_pause},
    {"resume", cmd_resume},
    {"emit", cmd_emit},
    {"say", cmd_say},
    {"live", cmd_live},
    {"more", cmd_more},
    {"rate", cmd_rate},
    {"stats", cmd_stats},
    {"ack-state", cmd_ack_state},
    {"wait", cmd_wait},
    {"quit", cmd_quit},
    {"help", cmd_help},
    {"offline", cmd_offline},
    {"title", cmd_title},
    {"rank", cmd_rank},
    {"http-fault", cmd_http_fault},
    {"rotate-keys", cmd_rotate_keys},
    {"expire-tokens", cmd_expire_tokens},
};

static enum sim_command_result cmd_help(struct sim_command_env *env, struct str args)
{
    (void)args;
    buf_put(env->out, STR("ok"));
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        buf_printf(env->out, " %s", COMMANDS[i].name);
    }
    buf_put_c(env->out, '\n');
    return SIM_COMMAND_DONE;
}

enum sim_command_result sim_command(struct sim_command_env *env, struct str line)
{
    struct str name = word(&line);

    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        if (str_eq(name, str_of(COMMANDS[i].name))) {
            return COMMANDS[i].fn(env, line);
        }
    }
    buf_put(env->out, STR("error unknown command\n"));
    return SIM_COMMAND_DONE;
}
