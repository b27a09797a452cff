/* collector/net/transport_priv.h - what the kinds of transports know of each other.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "collector/net/transport.h"

struct transport_ops {
    enum err_code (*write)(struct transport *t, struct str bytes, struct err *err);
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    struct transport_handler up;
};

struct net {
    struct loop *loop; /* borrowed */
    size_t n_open;     /* transports that are not freed yet */
    /* Filled by a read and handed up before the next read, so one buffer serves all connections. */
    char read_buf[TRANSPORT_READ_BYTES];
};
