#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "server/core/assert.h"
#include "server/db/db_conn_priv.h"
#include "server/db/pg_error.h"

static void begin(struct db_conn *c);
static void look_up(struct db_conn *c);

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct db_conn *c = req->data;

    LOOP_ASSERT(c->loop);
    c->n_open--;
    c->looking = false;
    if (c->fsm.state == CONN_CLOSING) {
        uv_freeaddrinfo(found);
        conn_maybe_closed(c);
        return;
    }
    if (status < 0) {
        char host[NI_MAXHOST];

        /* The other hosts of the list may do; if none does, this is why. */
        (void)pg_target_host(&c->target, c->lookup_at, host, sizeof(host));
        (void)err_set(&c->err, ERR_UNAVAILABLE, "resolve %s: %s", host, uv_strerror(status));
    }
    for (const struct addrinfo *a = status < 0 ? NULL : found; a; a = a->ai_next) {
        pg_target_add(&c->target, c->lookup_at, a->ai_addr);
    }
    uv_freeaddrinfo(found);
    c->lookup_at++;
    look_up(c);
}

/* Goes on with the next host that is a name; behind the last one, connects. */
static void look_up(struct db_conn *c)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char host[NI_MAXHOST];
    int rc;

    while (c->lookup_at < c->target.n &&
           !pg_target_host(&c->target, c->lookup_at, host, sizeof(host))) {
        pg_target_add(&c->target, c->lookup_at, NULL);
        c->lookup_at++;
    }
    if (c->lookup_at == c->target.n) {
        begin(c);
        return;
    }
    rc = uv_getaddrinfo(loop_uv(c->loop), &c->lookup, on_lookup, host, NULL, &hints);
    if (rc < 0) {
        struct err err;

        (void)err_set(&err, ERR_UNAVAILABLE, "resolve %s: %s", host, uv_strerror(rc));
        conn_fail(c, &err);
        return;
    }
    c->lookup.data = c;
    c->looking = true;
    c->n_open++;
}

void conn_resolve(struct db_conn *c)
{
    struct err err;

    if (!c->target.host) {
        pg_target_deinit(&c->target);
        if (pg_target_init(&c->target, c->opts.conninfo, &err)) {
            conn_fail(c, &err);
            return;
        }
    }
    c->err = (struct err){0};
    c->lookup_at = 0;
    pg_target_restart(&c->target);
    look_up(c);
}

static void on_notice(void *ctx, const char *message)
{
    struct db_conn *c = ctx;

    /* What a statement causes goes nowhere; what comes unasked may be the reason why the connection ends. */
    if (c->fsm.state == CONN_READY) {
        (void)snprintf(c->notice, sizeof(c->notice), "%.*s", (int)strcspn(message, "\n"), message);
    }
}

/* All parameters but passwords and the like are ours or the operator's; what stands before dbname, the conninfo in it
 * may override. */
static PGconn *start(struct db_conn *c)
{
    const char *keys[16];
    const char *values[16];
    size_t n = 0;
    bool lists = c->target.n > 0;

#define PARAM(key, value) (keys[n] = (key), values[n] = (value), n++)
    PARAM("gssencmode", "disable");
    PARAM("keepalives_idle", "30");
    PARAM("keepalives_interval", "10");
    PARAM("keepalives_count", "3");
    PARAM("dbname", c->opts.conninfo);
    PARAM("application_name", c->opts.application_name);
    PARAM("client_encoding", "UTF8");
    if (lists) {
        PARAM("host", c->target.hosts.data);
        PARAM("hostaddr", c->target.addrs.data);
        PARAM("port", c->target.ports.data);
    }
    PARAM(NULL, NULL);
#undef PARAM
    return PQconnectStartParams(keys, values, 1);
}

static void begin(struct db_conn *c)
{
    struct err err;

    if (c->target.n > 0 && !pg_target_done(&c->target)) {
        err = c->err.code ? c->err : (struct err){.code = ERR_UNAVAILABLE, .msg = "no address"};
        conn_fail(c, &err);
        return;
    }
    fsm_move(&c->fsm, CONN_CONNECTING, "resolved");
    c->pg = start(c);
    if (!c->pg) {
        (void)err_set(&err, ERR_NOMEM, "connect: out of memory");
        conn_fail(c, &err);
        return;
    }
    (void)PQsetNoticeProcessor(c->pg, on_notice, c);
    if (PQstatus(c->pg) == CONNECTION_BAD) {
        (void)pg_error_from_conn(&err, c->pg);
        conn_fail(c, &err);
        return;
    }
    /* As if PQconnectPoll had asked for writing (libpq's documentation). */
    if (!conn_watch(c, UV_WRITABLE)) {
        (void)err_set(&err, ERR_UNAVAILABLE, "connect: the socket cannot be watched");
        conn_fail(c, &err);
    }
}

void conn_step(struct db_conn *c)
{
    struct err err;
    bool watching = false;

    conn_unwatch(c); /* PQconnectPoll may close the socket */
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
    case PGRES_POLLING_ACTIVE: /* not used by libpq any more */
        watching = conn_watch(c, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        watching = conn_watch(c, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        watching = conn_watch(c, UV_READABLE);
        if (watching && PQsetnonblocking(c->pg, 1) == 0) {
            fsm_move(&c->fsm, CONN_SETUP, "connected");
            conn_send_setup(c);
            return;
        }
        break;
    case PGRES_POLLING_FAILED:
        (void)pg_error_from_conn(&err, c->pg);
        conn_fail(c, &err);
        return;
    }
    if (!watching) {
        (void)err_set(&err, ERR_UNAVAILABLE, "connect: the socket cannot be watched");
        conn_fail(c, &err);
    }
}
