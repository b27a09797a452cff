#include "collector/net/transport.h"

#include "collector/net/tcp.h"
#include "collector/net/transport_priv.h"
#include "collector/net/ws.h"
#include "server/core/assert.h"

static const char *const kind_names[] = {
    [TRANSPORT_TCP] = "tcp",
    [TRANSPORT_WS] = "ws",
    [TRANSPORT_WSS] = "wss",
};
static_assert(ARRAY_LEN(kind_names) == TRANSPORT_KINDS, "a name for each kind");

const char *transport_kind_name(enum transport_kind kind)
{
    ASSERT(kind < TRANSPORT_KINDS);
    return kind_names[kind];
}

bool transport_kind_parse(struct str name, enum transport_kind *ret)
{
    for (unsigned k = 0; k < TRANSPORT_KINDS; k++) {
        if (str_eq(name, str_of(kind_names[k]))) {
            *ret = (enum transport_kind)k;
            return true;
        }
    }
    return false;
}

enum err_code transport_open(struct net *net, const struct transport_dial *dial,
                             const struct transport_handler *handler, struct transport **ret,
                             struct err *err)
{
    switch (dial->kind) {
    case TRANSPORT_TCP:
        return tcp_open(net, dial, handler, ret, err);
    case TRANSPORT_WS:
    case TRANSPORT_WSS:
        return ws_open(net, dial, handler, ret, err);
    case TRANSPORT_KINDS:
        break;
    }
    UNREACHABLE();
}

enum err_code transport_write(struct transport *t, struct str bytes, struct err *err)
{
    return t->ops->write(t, bytes, err);
}

void transport_close(struct transport *t)
{
    t->ops->close(t);
}
