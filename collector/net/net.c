/* What the transports of one loop share. */
#include <string.h>

#include "collector/net/tls_ctx.h"
#include "collector/net/transport_priv.h"
#include "collector/net/ws_head.h"
#include "collector/net/ws_reader.h"
#include "collector/net/ws_writer.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

enum { TEXT_MAX = 1024, WS_OUT_MAX = TRANSPORT_OUT_MAX + WS_FRAME_HEAD_MAX };

static const struct net_opts defaults = {
    .user_agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                  "Chrome/130.0.0.0 Safari/537.36",
    .origin = "https://live.bilibili.com",
    .path = "/sub",
};

struct net *net_new(struct loop *loop)
{
    struct net *net = mem_new(struct net);
    net->loop = loop;
    net->ws_writer = ws_writer_new();
    buf_init(&net->ws_out, WS_OUT_MAX);
    const enum err_code rc = net_configure(net, &defaults, NULL);
    ASSERT(rc == ERR_OK);
    return net;
}

void net_free(struct net *net)
{
    if (!net) {
        return;
    }
    ASSERT(net->n_open == 0);
    tls_ctx_free(net->tls);
    ws_reader_free(net->ws_spare);
    ws_writer_free(net->ws_writer);
    buf_deinit(&net->ws_out);
    mem_free(net->user_agent);
    mem_free(net->origin);
    mem_free(net->path);
    mem_free(net);
}

static struct str text_of(const char *given, const char *otherwise)
{
    return str_of(given && *given ? given : otherwise);
}

static void keep(char **text, struct str given)
{
    mem_free(*text);
    *text = mem_new_array(char, given.len + 1);
    memcpy(*text, given.ptr, given.len);
}

enum err_code net_configure(struct net *net, const struct net_opts *opts, struct err *err)
{
    const struct str user_agent = text_of(opts->user_agent, defaults.user_agent);
    const struct str origin = text_of(opts->origin, defaults.origin);
    const struct str path = text_of(opts->path, defaults.path);
    ASSERT(net->n_open == 0);
    if (!ws_is_text(user_agent) || !ws_is_text(origin) || !ws_is_text(path) ||
        user_agent.len > TEXT_MAX || origin.len > TEXT_MAX || path.len > TEXT_MAX ||
        path.ptr[0] != '/' || memchr(path.ptr, ' ', path.len)) {
        return err_set(err, ERR_INVALID, "user agent, origin or path does not fit into a request");
    }
    struct tls_ctx *tls = NULL;
    if (opts->tls) {
        const enum err_code rc = tls_ctx_new(opts->ca_file, &tls, err);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    keep(&net->user_agent, user_agent);
    keep(&net->origin, origin);
    keep(&net->path, path);
    tls_ctx_free(net->tls);
    net->tls = tls;
    return ERR_OK;
}

void net_on_note(struct net *net, void (*fn)(void *ctx, enum net_note note), void *ctx)
{
    net->on_note = fn;
    net->note_ctx = ctx;
}

void net_note(struct net *net, enum net_note note)
{
    if (net->on_note) {
        net->on_note(net->note_ctx, note);
    }
}
