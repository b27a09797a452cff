/* The upstream's HTTP APIs, and the provider of hosts over them. */
#include "server/app/app_priv.h"

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { SECONDS_PER_MINUTE = 60 };

const char *app_user_agent(const struct config *config)
{
    return config->user_agent[0] != '\0' ? config->user_agent : UPSTREAM_USER_AGENT;
}

static bool url_ok(const char *url)
{
    const struct str s = str_of(url);
    const size_t scheme = str_starts(s, STR("https://"))  ? sizeof("https://") - 1
                          : str_starts(s, STR("http://")) ? sizeof("http://") - 1
                                                          : 0;
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == '?' || s.ptr[i] == '#') {
            return false;
        }
    }
    return scheme > 0 && s.len > scheme && s.ptr[scheme] != '/';
}

void app_upstream_check(const struct config *config, struct config_check *check)
{
    const struct {
        const char *key, *url;
    } urls[] = {
        {"upstream_url", config->upstream_url},
        {"upstream_api_url", config->upstream_api_url},
        {"upstream_www_url", config->upstream_www_url},
    };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        if (!url_ok(urls[i].url)) {
            config_problem(check, urls[i].key,
                           "%s is not http://host or https://host, with a port or path if need be",
                           urls[i].url);
        }
    }
}

/* app_check has refused what does not parse. */
static struct endpoint_order order_of(const struct config *config)
{
    struct str names[TRANSPORT_KINDS];
    struct endpoint_order order = endpoint_order_default;
    struct err err;
    size_t n = 0;
    for (; n < config->transport.n && n < ARRAY_LEN(names); n++) {
        names[n] = str_of(config->transport.items[n]);
    }
    if (endpoint_order_parse(names, n, &order, &err) != ERR_OK) {
        LOG(ERROR, "app", "transport: the default is used", KV_CSTR("err", err.msg));
    }
    return order;
}

/* state_dir: "": none. Texts borrow from the configuration. */
static struct upstream_opts options_of(const struct config *c, struct str state_dir)
{
    return (struct upstream_opts){
        .live_url = str_of(c->upstream_url),
        .api_url = str_of(c->upstream_api_url),
        .www_url = str_of(c->upstream_www_url),
        .user_agent = str_of(app_user_agent(c)),
        .cookie_file = str_of(c->cookie_file),
        .state_dir = state_dir,
        .ca_file = str_of(c->upstream_ca_file),
        .timeout_ms = c->upstream_timeout,
        .rate = (double)c->upstream_rate / SECONDS_PER_MINUTE,
        .burst = (unsigned)c->upstream_burst,
        .breaker_ms = c->upstream_breaker,
        .clock_off_max_ms = APP_CLOCK_OFF_MAX_MS,
    };
}

void app_upstream_open(struct app *app)
{
    const struct endpoint_order order = order_of(app->config);
    struct buf dir;
    struct err err;
    buf_init(&dir, APP_PATH_BYTES);
    const bool has_dir =
        app_data_dir(app->config, &dir, &err) == ERR_OK; /* told already if it has not */
    const struct upstream_opts opts =
        options_of(app->config, has_dir ? str_of(dir.data) : STR_NULL);
    app->upstream = upstream_new(app->loop, &opts, app->stats);
    app->endpoints = endpoint_upstream_new(app->loop, app->upstream, &order);
    app_clock_open(app);
    buf_deinit(&dir);
}

/* What a reload has changed: connections that are there stay, the next ones go by it. */
void app_upstream_configure(struct app *app)
{
    const struct config *c = app->config;
    const struct upstream_opts upstream = options_of(c, STR_NULL);
    const struct endpoint_provider endpoints = endpoint_upstream_provider(app->endpoints);
    struct str *hosts = mem_new_array(struct str, c->upstream_hosts.n + 1);
    for (size_t i = 0; i < c->upstream_hosts.n; i++) {
        hosts[i] = str_of(c->upstream_hosts.items[i]);
    }
    const struct collector_opts collector = {
        .hosts = hosts,
        .n_hosts = c->upstream_hosts.n,
        .endpoints = c->upstream_hosts.n == 0 ? &endpoints : NULL,
        .tls = true,
        .ca_file = c->upstream_ca_file,
        .connect_interval_ms = c->connect_interval,
    };
    upstream_configure(app->upstream, &upstream);
    collector_configure(app->collector, &collector);
    mem_free(hosts);
}

void app_upstream_close(struct app *app, void (*closed)(void *app))
{
    struct upstream *up = app->upstream;
    app->upstream = NULL;
    app->disk_pending = upstream_saves(up);
    app_clock_close(app);
    endpoint_upstream_stop(app->endpoints);
    upstream_close(up, closed, app);
}

void app_upstream_free(struct app *app)
{
    endpoint_upstream_free(app->endpoints);
    app->endpoints = NULL;
}
