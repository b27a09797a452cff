/* api/api_priv.h - what the files of api/ share: the object behind struct api, jobs, answers.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"

struct amends;
struct auth;
struct frames;
struct hub;
struct tickets;

struct api {
    struct api_opts opts; /* its pointers are borrowed */
    struct http *http;    /* owned by the caller of api_listen; NULL before */
    struct auth *auth;    /* owned, as all below */
    struct tickets *tickets;
    struct frames *frames;
    struct hub *hub;
    struct amends *amends;
    int64_t started_ms; /* wall */
    bool quiesced;
};

/* Scopes are bits; a route's tag is the one it needs. */
enum scope {
#define X(NAME, bit, name, text) SCOPE_##NAME = 1 << (bit),
#include "api/scope.def"
#undef X
};
enum { SCOPE_NONE = 0, SCOPES_ANONYMOUS = SCOPE_READ | SCOPE_STREAM };

int64_t api_now_ms(const struct api *a); /* wall */
/* Newest id known to be in the database; -1 while unknown. */
int64_t api_committed(const struct api *a);
/* The real id of a room that is known without the database: by its own or its short id, because it is wanted now or was
 * lately. 0: ask the database. */
int64_t api_real_room(const struct api *a, int64_t number);
