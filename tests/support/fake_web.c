#include "tests/support/fake_web.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/list.h"
#include "server/core/mem.h"
#include "tests/support/loop_until.h"

enum { PATHS_MAX = 32, ONCE_MAX = 16, HEAD_MAX = 32 * 1024, BODY_MAX = 16 * 1024 * 1024 };

struct reply {
    int status;
    char *body; /* owned */
};

struct path {
    char *name; /* owned, as all */
    struct reply reply;
    struct reply once[ONCE_MAX];
    size_t n_once;
    char *header;
    unsigned n;
    struct buf last;
};

struct fake_web {
    struct loop *loop;
    uv_tcp_t listener;
    bool listening;
    char url[64];
    struct path paths[PATHS_MAX];
    size_t n_paths;
    struct list conns;
    unsigned n_open; /* handles */
    unsigned n;
    struct buf last;
    bool gone; /* every handle is closed */
};

struct conn {
    struct list_node node;
    struct fake_web *web;
    uv_tcp_t tcp;
    struct buf in;
    char chunk[4096];
    bool closing;
};

struct sending {
    uv_write_t req;
    struct conn *conn;
    struct buf text;
    bool then_close;
};

static char *copy_of(const char *text)
{
    char *copy = mem_dup(text, strlen(text));
    ASSERT(copy);
    return copy;
}

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    c->web->n_open--;
    c->web->gone = c->web->n_open == 0;
    list_remove(&c->web->conns, &c->node);
    buf_deinit(&c->in);
    mem_free(c);
}

static void conn_close(struct conn *c)
{
    if (!c->closing) {
        c->closing = true;
        uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    }
}

static void conn_reset(struct conn *c)
{
    if (!c->closing) {
        c->closing = true;
        (void)uv_tcp_close_reset(&c->tcp, on_conn_closed);
    }
}

static void on_sent(uv_write_t *req, int status)
{
    struct sending *s = CONTAINER_OF(req, struct sending, req);
    if (s->then_close || status < 0) {
        conn_close(s->conn);
    }
    buf_deinit(&s->text);
    mem_free(s);
}

static struct path *path_of(struct fake_web *f, struct str name)
{
    for (size_t i = 0; i < f->n_paths; i++) {
        if (str_eq(str_of(f->paths[i].name), name)) {
            return &f->paths[i];
        }
    }
    ASSERT(f->n_paths < PATHS_MAX);
    struct path *p = &f->paths[f->n_paths++];
    p->name = mem_dup(name.ptr, name.len);
    p->reply = (struct reply){404, copy_of("404 page not found")};
    p->header = copy_of("");
    buf_init(&p->last, HEAD_MAX);
    return p;
}

static void send_reply(struct conn *c, const struct path *p, const struct reply *r)
{
    struct sending *s = mem_new(struct sending);
    const size_t len = strlen(r->body);
    const size_t cut = r->status == FAKE_WEB_CUT ? len / 2 : len;
    s->conn = c;
    s->then_close = r->status == FAKE_WEB_CUT;
    buf_init(&s->text, BODY_MAX + 8 * HEAD_MAX);
    buf_printf(&s->text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nContent-Type: x/x\r\n%s\r\n",
               r->status > 0 ? r->status : 200, len, p->header);
    buf_put(&s->text, (struct str){r->body, cut});
    ASSERT(buf_ok(&s->text));
    uv_buf_t b = uv_buf_init(s->text.data, (unsigned)s->text.len);
    if (uv_write(&s->req, (uv_stream_t *)&c->tcp, &b, 1, on_sent) != 0) {
        on_sent(&s->req, -1);
    }
}

static void answer(struct conn *c, struct str head)
{
    struct fake_web *f = c->web;
    struct str rest = head;
    struct str word;
    size_t len = 0;
    ASSERT(str_split(&rest, ' ', &word) && str_split(&rest, ' ', &word));
    while (len < word.len && word.ptr[len] != '?') {
        len++;
    }
    struct path *p = path_of(f, str_sub(word, 0, len));
    struct reply r = p->reply;
    char *body = NULL;
    p->n++;
    f->n++;
    buf_clear(&p->last);
    buf_put(&p->last, head);
    buf_clear(&f->last);
    buf_put(&f->last, head);
    if (p->n_once > 0) {
        r = p->once[0];
        body = r.body;
        p->n_once--;
        memmove(&p->once[0], &p->once[1], p->n_once * sizeof p->once[0]);
    }
    if (r.status == FAKE_WEB_CLOSE) {
        conn_close(c);
    } else if (r.status == FAKE_WEB_RESET) {
        conn_reset(c);
    } else if (r.status != FAKE_WEB_SILENCE) {
        send_reply(c, p, &r);
    }
    mem_free(body);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *ret)
{
    struct conn *c = h->data;
    (void)size;
    *ret = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = stream->data;
    if (n < 0) {
        conn_close(c);
        return;
    }
    buf_put(&c->in, (struct str){b->base, (size_t)n});
    ASSERT(buf_ok(&c->in));
    for (size_t i = 0; i + 4 <= c->in.len && !c->closing; i++) {
        if (memcmp(c->in.data + i, "\r\n\r\n", 4) == 0) {
            answer(c, str_sub(buf_str(&c->in), 0, i));
            buf_drop_front(&c->in, i + 4);
            i = 0;
        }
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct fake_web *f = server->data;
    struct conn *c = mem_new(struct conn);
    int rc = status;
    c->web = f;
    c->tcp.data = c;
    buf_init(&c->in, HEAD_MAX);
    rc |= uv_tcp_init(loop_uv(f->loop), &c->tcp);
    rc |= uv_accept(server, (uv_stream_t *)&c->tcp);
    rc |= uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    ASSERT(rc == 0);
    f->n_open++;
    list_push_back(&f->conns, &c->node);
}

struct fake_web *fake_web_new(struct loop *loop)
{
    struct fake_web *f = mem_new(struct fake_web);
    struct sockaddr_in addr;
    int len = sizeof addr;
    int rc = uv_ip4_addr("127.0.0.1", 0, &addr);
    f->loop = loop;
    f->listener.data = f;
    list_init(&f->conns);
    buf_init(&f->last, HEAD_MAX);
    rc |= uv_tcp_init(loop_uv(loop), &f->listener);
    rc |= uv_tcp_bind(&f->listener, (const struct sockaddr *)&addr, 0);
    rc |= uv_listen((uv_stream_t *)&f->listener, 64, on_connection);
    rc |= uv_tcp_getsockname(&f->listener, (struct sockaddr *)&addr, &len);
    ASSERT(rc == 0);
    f->listening = true;
    f->n_open = 1;
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
    return f;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct fake_web *f = h->data;
    f->n_open--;
    f->gone = f->n_open == 0;
}

void fake_web_refuse(struct fake_web *f)
{
    if (f->listening) {
        f->listening = false;
        uv_close((uv_handle_t *)&f->listener, on_listener_closed);
    }
    for (struct list_node *n = list_first(&f->conns); n; n = list_next(&f->conns, n)) {
        conn_close(CONTAINER_OF(n, struct conn, node));
    }
}

static void reply_set(struct reply *r, int status, const char *body)
{
    mem_free(r->body);
    *r = (struct reply){status, copy_of(body)};
}

void fake_web_free(struct fake_web *f)
{
    fake_web_refuse(f);
    f->gone = f->n_open == 0;
    ASSERT(loop_run_until(f->loop, &f->gone, 2000));
    for (size_t i = 0; i < f->n_paths; i++) {
        struct path *p = &f->paths[i];
        for (size_t k = 0; k < p->n_once; k++) {
            mem_free(p->once[k].body);
        }
        mem_free(p->reply.body);
        mem_free(p->name);
        mem_free(p->header);
        buf_deinit(&p->last);
    }
    buf_deinit(&f->last);
    mem_free(f);
}

const char *fake_web_url(const struct fake_web *f)
{
    return f->url;
}

void fake_web_answer(struct fake_web *f, const char *path, int status, const char *body)
{
    reply_set(&path_of(f, str_of(path))->reply, status, body);
}

void fake_web_once(struct fake_web *f, const char *path, int status, const char *body)
{
    struct path *p = path_of(f, str_of(path));
    ASSERT(p->n_once < ONCE_MAX);
    p->once[p->n_once] = (struct reply){0, NULL};
    reply_set(&p->once[p->n_once++], status, body);
}

size_t fake_web_n_once(const struct fake_web *f, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_paths; i++) {
        n += str_eq(str_of(f->paths[i].name), str_of(path)) ? f->paths[i].n_once : 0;
    }
    return n;
}

void fake_web_header(struct fake_web *f, const char *path, const char *lines)
{
    struct path *p = path_of(f, str_of(path));
    mem_free(p->header);
    p->header = copy_of(lines);
}

unsigned fake_web_n(const struct fake_web *f, const char *path)
{
    unsigned n = path ? 0 : f->n;
    for (size_t i = 0; path && i < f->n_paths; i++) {
        n += str_eq(str_of(f->paths[i].name), str_of(path)) ? f->paths[i].n : 0;
    }
    return n;
}

struct str fake_web_last(const struct fake_web *f, const char *path)
{
    for (size_t i = 0; path && i < f->n_paths; i++) {
        if (str_eq(str_of(f->paths[i].name), str_of(path))) {
            return buf_str(&f->paths[i].last);
        }
    }
    return path ? STR_NULL : buf_str(&f->last);
}

unsigned fake_web_n_open(const struct fake_web *f)
{
    return (unsigned)f->conns.n;
}
