/* server/app/app_reparse_priv.h - what the files of `danmakud reparse` share: what it counts and its statements. */
#pragma once

#include <stdint.h>

#include "server/db/db.h"

struct tally {
    uint64_t messages;
    uint64_t unreadable; /* no body, or packed by a later release */
    uint64_t unknown;
    uint64_t broken;
    uint64_t events;
    uint64_t added;
    uint64_t only_counted; /* of kinds that are not stored */
    uint64_t left_out;     /* past the places of a message */
    uint64_t unwritten;    /* the writer is not that far */
};

const char *reparse_cmd_name(const char *cmd);
void reparse_tally_put(const char *name, const struct tally *t); /* a line on stdout */
void reparse_tally_add(struct tally *to, const struct tally *t);

enum { REPARSE_PLACES = 256 }; /* ids of a message, at most: ID_NUMBERS_MAX of 16 */
/* app_reparse_sql.c */
extern const struct db_stmt reparse_temp;
extern const struct db_stmt reparse_commands; /* of a name or all, in [from, to), at most so many */
/* id, room, dict, body, the last id that may be added, places; of a command, after an id, in [from, to), at most so many */
extern const struct db_stmt reparse_page;
/* How far apart in ids two messages of one thing, of one guard purchase may be. How many were added; of those what others may say
 * something about. */
extern const struct db_stmt reparse_add;
extern const struct db_stmt reparse_clean;
/* Stored events that may say something about those of the page, after an id, at most so many: id, room, kind, actor, item, extra. */
extern const struct db_stmt reparse_later;
