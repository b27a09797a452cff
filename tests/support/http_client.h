/* tests/support/http_client.h - a small HTTP client on the test's own loop, that can also misbehave.
 *
 * It sends the bytes it is given and collects what comes back; answers are taken apart on request, so a test may
 * send half a line, never read, or vanish.
 *
 * Threading:  loop thread only.
 * Ownership:  views in a reply point into the client and live until its next turn of the loop.
 */
#pragma once

#include "server/core/buf.h"
#include "server/loop/loop.h"
#include "tests/support/patience.h"

/* Turns the loop, waiting for I/O in between, until cond holds; the test fails if that does not happen. */
enum { HTTP_WAIT_TURNS = 3000 };
#define HTTP_WAIT(l, cond)                                                                         \
    do {                                                                                           \
        struct patience patience_ = {0};                                                           \
        while (!(cond) && patience_left(&patience_, HTTP_WAIT_TURNS)) {                            \
            http_client_turn(l);                                                                   \
        }                                                                                          \
        assert_true(cond);                                                                         \
    } while (0)
void http_client_turn(struct loop *l);

struct http_client;

struct http_reply {
    unsigned status;
    struct str head; /* status line and fields, without the empty line */
    struct str body; /* chunks joined */
    bool chunked;
    bool whole; /* the body has ended as its head says (or by the end of the connection) */
};

/* Connects to 127.0.0.1 (numeric v4 or v6 in address, NULL: 127.0.0.1). Refusal shows as ended. */
struct http_client *http_client_open(struct loop *l, const char *address, uint16_t port);
void http_client_close(struct http_client *c); /* FIN */
void http_client_reset(struct http_client *c); /* RST, as a crashed peer's system sends */

void http_client_send(struct http_client *c,
                      const char *text); /* queued, sent as the socket takes it */
void http_client_send_bytes(struct http_client *c, struct str bytes);
void http_client_get(struct http_client *c, const char *path); /* a plain GET, HTTP/1.1 */
void http_client_shut(struct http_client *c); /* nothing more to send: half-close */
void http_client_stop_reading(struct http_client *c);
void http_client_start_reading(struct http_client *c);

bool http_client_ended(const struct http_client *c); /* peer closed or reset */
struct str http_client_received(const struct http_client *c);

/* The answer at the front, as far as it is there; false: not even its head. is_head: it answers a HEAD request. */
bool http_client_peek(struct http_client *c, bool is_head, struct http_reply *ret);
/* The same, only when it is whole; take_drop removes it. */
bool http_client_whole(struct http_client *c, bool is_head, struct http_reply *ret);
void http_client_drop(struct http_client *c); /* the answer that was peeked last and is whole */
/* A field of the head; empty if absent. */
struct str http_reply_field(const struct http_reply *r, const char *name);
