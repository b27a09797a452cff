/* tests/support/fake_web.h - an HTTP server on the loop of the test that answers each path as it is told.
 *
 * Unknown paths get 404. A query is no part of a path. Connections are kept alive.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdint.h>

#include "server/core/str.h"
#include "server/loop/loop.h"

enum { FAKE_WEB_SILENCE = 0, FAKE_WEB_CLOSE = -1, FAKE_WEB_RESET = -2, FAKE_WEB_CUT = -3 };

struct fake_web;
struct fake_web *fake_web_new(struct loop *loop);
void fake_web_free(struct fake_web *f);             /* turns the loop until all is closed */
const char *fake_web_url(const struct fake_web *f); /* "http://127.0.0.1:port" */

/* What the path answers from now on: a status and a body; or FAKE_WEB_SILENCE, _CLOSE (without an answer), _RESET, _CUT
 * (closes within the body). body and header are copied; header: further lines ("A: b\r\n"), NULL none. */
void fake_web_answer(struct fake_web *f, const char *path, int status, const char *body);
/* The same for one request, before that; several queue up. */
void fake_web_once(struct fake_web *f, const char *path, int status, const char *body);
size_t fake_web_n_once(const struct fake_web *f, const char *path); /* queued */
void fake_web_header(struct fake_web *f, const char *path, const char *lines);
unsigned fake_web_n(const struct fake_web *f, const char *path); /* requests; NULL: all */
struct str fake_web_last(const struct fake_web *f,
                         const char *path); /* head of the newest one; NULL: of all */
unsigned fake_web_n_open(const struct fake_web *f);
void fake_web_refuse(struct fake_web *f); /* stops listening; open connections are closed */
