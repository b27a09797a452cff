#include "server/db/pg_target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libpq-fe.h>

#include "server/core/mem.h"
#include "server/db/db.h"

/* LIMIT: text of the lists that libpq gets. */
enum { LIST_BYTES = 32768 };

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val && options->val[0] ? options->val : NULL;
        }
    }
    return NULL;
}

static bool is_socket_path(struct str host)
{
    return host.len == 0 || host.ptr[0] == '/' || host.ptr[0] == '@';
}

static bool is_number(const char *host)
{
    unsigned char addr[16];

    return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* Element i of a comma-separated list. As in libpq, a list with one element holds for all. */
static struct str element(const char *list, size_t i)
{
    struct str rest = str_of(list);
    struct str part = STR_NULL;
    bool only = list && !strchr(list, ',');

    for (size_t k = 0; k <= i; k++) {
        if (!str_split(&rest, ',', &part)) {
            return only ? str_of(list) : STR_NULL;
        }
    }
    return part;
}

/* How many hosts there are if one of them is a name, else 0. */
static size_t count_hosts(const char *list)
{
    struct str rest = str_of(list);
    struct str host;
    size_t n = 0;
    bool names = false;

    while (n < PG_TARGET_HOSTS && str_split(&rest, ',', &host)) {
        char text[256];

        snprintf(text, sizeof(text), STR_FMT, STR_ARG(host));
        names = names || (!is_socket_path(host) && !is_number(text));
        n++;
    }
    return names ? n : 0;
}

static PQconninfoOption *parse(const char *conninfo, struct err *err)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

    if (!options) {
        (void)err_set(err, ERR_INVALID,
                      "not a connection string: write postgresql://user@host/database or "
                      "host=... dbname=...");
    }
    return options;
}

enum err_code db_conninfo_check(const char *conninfo, struct err *err)
{
    PQconninfoOption *options = parse(conninfo, err);

    PQconninfoFree(options);
    return options ? ERR_OK : ERR_INVALID;
}

enum err_code pg_target_init(struct pg_target *t, const char *conninfo, struct err *err)
{
    PQconninfoOption *options;
    const char *host;
    const char *port;
    const char *hostaddr;

    *t = (struct pg_target){0};
    buf_init(&t->hosts, LIST_BYTES);
    buf_init(&t->addrs, LIST_BYTES);
    buf_init(&t->ports, LIST_BYTES);
    options = parse(conninfo, err);
    if (!options) {
        return ERR_INVALID;
    }
    host = option(options, "host");
    port = option(options, "port");
    hostaddr = option(options, "hostaddr");
    host = host ? host : getenv("PGHOST");
    port = port ? port : getenv("PGPORT");
    hostaddr = hostaddr ? hostaddr : getenv("PGHOSTADDR");
    if (host && !hostaddr) {
        t->n = count_hosts(host);
        t->host = mem_dup(host, strlen(host));
        t->port = port ? mem_dup(port, strlen(port)) : NULL;
    }
    PQconninfoFree(options);
    return ERR_OK;
}

void pg_target_deinit(struct pg_target *t)
{
    mem_free(t->host);
    mem_free(t->port);
    buf_deinit(&t->hosts);
    buf_deinit(&t->addrs);
    buf_deinit(&t->ports);
    *t = (struct pg_target){0};
}

bool pg_target_host(const struct pg_target *t, size_t i, char *out, size_t size)
{
    struct str host = element(t->host, i);

    snprintf(out, size, STR_FMT, STR_ARG(host));
    return !is_socket_path(host) && !is_number(out);
}

void pg_target_restart(struct pg_target *t)
{
    buf_clear(&t->hosts);
    buf_clear(&t->addrs);
    buf_clear(&t->ports);
    t->n_out = 0;
}

void pg_target_add(struct pg_target *t, size_t i, const struct sockaddr *addr)
{
    char text[NI_MAXHOST] = "";
    socklen_t len = sizeof(struct sockaddr_in);

    if (t->n_out == PG_TARGET_ADDRS) {
        return;
    }
    if (addr) {
        if (addr->sa_family == AF_INET6) {
            len = sizeof(struct sockaddr_in6);
        }
        /* Numeric: nothing is looked up; unlike inet_ntop it keeps the scope of a link-local address. */
        if (getnameinfo(addr, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST)) {
            return;
        }
    }
    if (t->n_out > 0) {
        buf_put_c(&t->hosts, ',');
        buf_put_c(&t->addrs, ',');
        buf_put_c(&t->ports, ',');
    }
    buf_put(&t->hosts, element(t->host, i));
    buf_put(&t->addrs, str_of(text));
    buf_put(&t->ports, element(t->port, i));
    t->n_out++;
}

bool pg_target_done(struct pg_target *t)
{
    buf_put_c(&t->hosts, '\0');
    buf_put_c(&t->addrs, '\0');
    buf_put_c(&t->ports, '\0');
    return t->n_out > 0 && buf_ok(&t->hosts) && buf_ok(&t->addrs) && buf_ok(&t->ports);
}
