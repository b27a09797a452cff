#include <signal.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

struct loop_signals {
    uv_signal_t handles[ARRAY_LEN(signals)];
    unsigned n_open; /* handles not closed yet */
    bool closing;
    loop_signal_fn *fn;
    void *ctx; /* borrowed */
};

static void on_signal(uv_signal_t *h, int signum)
{
    struct loop_signals *s = h->data;

    if (!s->closing) {
        s->fn(s->ctx, signum);
    }
}

struct loop_signals *loop_signals_new(struct loop *l, loop_signal_fn *fn, void *ctx)
{
    struct loop_signals *s = mem_new(struct loop_signals);

    s->fn = fn;
    s->ctx = ctx;
    (void)signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        uv_signal_t *h = &s->handles[i];
        int rc = uv_signal_init(loop_uv(l), h);

        h->data = s;
        rc |= uv_signal_start(h, on_signal, signals[i]);
        ASSERT(rc == 0);
        uv_unref((uv_handle_t *)h);
        s->n_open++;
    }
    return s;
}

static void on_closed(uv_handle_t *h)
{
    struct loop_signals *s = h->data;

    if (--s->n_open == 0) {
        mem_free(s);
    }
}

void loop_signals_free(struct loop_signals *s)
{
    if (!s || s->closing) {
        return;
    }
    s->closing = true;
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        uv_close((uv_handle_t *)&s->handles[i], on_closed);
    }
}
