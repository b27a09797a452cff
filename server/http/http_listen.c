#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/http_priv.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const struct http_opts *o, union address *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, o->address, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(o->port);
        *ret_len = sizeof ret->v4;
        return true;
    }
    if (inet_pton(AF_INET6, o->address, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(o->port);
        *ret_len = sizeof ret->v6;
        return true;
    }
    return false;
}

static const char *advice(int sys)
{
    switch (sys) {
    case EADDRINUSE:
        return "; another program has it: stop that one or choose another port";
    case EACCES:
        return "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE: choose a higher one";
    case EADDRNOTAVAIL:
        return "; this machine has no such address";
    case EAFNOSUPPORT:
        return "; this machine has no IPv6: choose an IPv4 address";
    default:
        return "";
    }
}

static enum err_code failed(const struct http_opts *o, int sys, struct err *err)
{
    err_set(err, ERR_IO, "%s%s", strerror(sys), advice(sys));
    if (strchr(o->address, ':') != NULL) {
        err_wrap(err, "cannot listen on [%s]:%u", o->address, (unsigned)o->port);
    } else {
        err_wrap(err, "cannot listen on %s:%u", o->address, (unsigned)o->port);
    }
    if (err != NULL) {
        err->sys = sys;
    }
    return ERR_IO;
}

static bool bind_and_listen(int fd, const union address *a, socklen_t len)
{
    const int on = 1;
    const int off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return false;
    }
    /* "::" serves IPv4 clients too, whatever the system's default is. */
    if (a->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
        return false;
    }
    return bind(fd, &a->any, len) == 0 && listen(fd, HTTP_BACKLOG) == 0;
}

enum err_code http_listen(const struct http_opts *o, int *ret_fd, uint16_t *ret_port,
                          struct err *err)
{
    union address a;
    socklen_t len = 0;
    if (!parse_address(o, &a, &len)) {
        return err_set(err, ERR_INVALID, "%s is not a numeric address", o->address);
    }
    const int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed(o, errno, err);
    }
    if (!bind_and_listen(fd, &a, len) || getsockname(fd, &a.any, &len) != 0) {
        const int sys = errno;
        (void)close(fd);
        return failed(o, sys, err);
    }
    *ret_port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    *ret_fd = fd;
    return ERR_OK;
}
