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

static enum err_code check_texts(const struct net_opts *opts, struct err *err)
{
    const struct {
        struct str text;
        const char *name;
    } texts[] = {
        {text_of(opts->user_agent, defaults.user_agent), "user agent"},
        {text_of(opts->origin, defaults.origin), "origin"},
        {text_of(opts->path, defaults.path), "path"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!ws_is_text(texts[i].text) || texts[i].text.len > TEXT_MAX) {
            return err_set(err, ERR_INVALID, "%s does not fit into a request", texts[i].name);
        }
    }
    if (texts[2].text.ptr[0] != '/' || memchr(texts[2].text.ptr, ' ', texts[2].text.len)) {
        return err_set(err, ERR_INVALID, "path does not begin with /, or has blanks");
    }
    return ERR_OK;
}

/* *ret is NULL when no tls is asked for. */
static enum err_code make_tls(const struct net_opts *opts, struct tls_ctx **ret, struct err *err)
{
    const enum err_code rc = check_texts(opts, err);
    *ret = NULL;
    return rc == ERR_OK && opts->tls ? tls_ctx_new(opts->ca_file, ret, err) : rc;
}

enum err_code net_opts_check(const struct net_opts *opts, struct err *err)
{
    struct tls_ctx *tls;
    const enum err_code rc = make_tls(opts, &tls, err);
    tls_ctx_free(tls);
    return rc;
}

enum err_code net_configure(struct net *net, const struct net_opts *opts, struct err *err)
{
    struct tls_ctx *tls;
    ASSERT(net->n_open == 0);
    const enum err_code rc = make_tls(opts, &tls, err);
    if (rc != ERR_OK) {
        return rc;
    }
    keep(&net->user_agent, text_of(opts->user_agent, defaults.user_agent));
    keep(&net->origin, text_of(opts->origin, defaults.origin));
    keep(&net->path, text_of(opts->path, defaults.path));
    tls_ctx_free(net->tls);
    net->tls = tls;
    return ERR_OK;
}

enum err_code net_trust(struct net *net, const struct net_opts *opts, struct err *err)
{
    if (!opts->tls) {
        return ERR_OK;
    }
    return net->tls ? tls_ctx_trust(net->tls, opts->ca_file, err)
                    : tls_ctx_new(opts->ca_file, &net->tls, err);
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
