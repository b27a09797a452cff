/* server/config/config.h - typed settings from the INI file, the environment and flags.
 *
 * Precedence: default < file < DANMAKUD_* environment < flag. All errors of all sources are collected and reported at
 * once. One row of config_keys.def generates the field, the parser, the help and docs/configuration.md.
 *
 * Threading:  startup only for loading; immutable after init, but for config_reload on the loop thread.
 * Ownership:  a config owns its strings until config_free or a reload.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/core/err.h"

struct config_origin;

struct config_list {
    char **items; /* owned */
    size_t n;
};

struct config {
#define CONFIG_FIELD_STR(f) char *f; /* owned, never NULL */
#define CONFIG_FIELD_INT(f) int64_t f;
#define CONFIG_FIELD_BOOL(f) bool f;
#define CONFIG_FIELD_MS(f) int64_t f;
#define CONFIG_FIELD_BYTES(f) int64_t f;
#define CONFIG_FIELD_LIST(f) struct config_list f;
#define X(field, type, def, min, max, unit, reloadable, secret, doc) CONFIG_FIELD_##type(field)
#include "server/config/config_keys.def"
#undef X
    char *file;                    /* owned; path of the INI file that was read, or NULL */
    struct config_origin *origins; /* owned; who set each key, for config_print */
};

/* The loading under way, for config_problem. */
struct config_check;

/* What the command line and the environment say; all borrowed. */
struct config_source {
    const char *file;         /* --config, or NULL: then DANMAKUD_CONFIG, then none */
    const char *const *flags; /* "key=value", as options.c split them */
    size_t n_flags;
    char *const *environ;
    /* What a type and its bounds cannot say; runs with every load, also when other keys are wrong (they hold their
     * default then). NULL: nothing. */
    void (*check)(const struct config *c, struct config_check *check);
};

/* A problem of a key, told where the operator set it ("danmakud.ini:12: rooms: ..."). Says nothing of a key that could
 * not be read: that was told, and what it holds is not what the operator meant. */
void config_problem(struct config_check *check, const char *key, const char *fmt, ...)
    ATTR_PRINTF(3, 4);

/* All problems as lines into problems (borrowed buf): those of the file by its lines, then those of the environment and
 * of flags; ERR_INVALID if there is any. */
MUST_CHECK enum err_code config_load(const struct config_source *src, struct config **ret,
                                     struct buf *problems);
/* Loads again and takes over the reloadable keys; the names of changed but not reloadable keys go to notes.
 * On error nothing changes. */
MUST_CHECK enum err_code config_reload(struct config *c, const struct config_source *src,
                                       struct buf *problems, struct buf *notes);
void config_free(struct config *c);

bool config_is_key(const char *flag_name, bool *ret_is_bool); /* "query-timeout" */
/* Of a key that holds a string: nobody set it to anything else. */
bool config_is_default(const struct config *c, const char *key);
const char *config_key_like(struct str name); /* the key that was meant; NULL: none is near */
void config_print(const struct config *c,
                  struct buf *out);      /* effective INI with origins, secrets as *** */
void config_write_docs(struct buf *out); /* docs/configuration.md */
void config_write_help(struct buf *out); /* the options part of --help */
void config_write_man(struct buf *out);  /* the options part of danmakud(1) */
/* Text in roff: a backslash is written as such, a hyphen stays one, no line is a request. */
void config_put_roff(struct buf *out, const char *text);
/* Words of text broken before width, each line but the first begun with indent blanks, the last ended. The first goes on
 * where out ends, if that is no new line. */
void config_put_indented(struct buf *out, size_t indent, struct str text, size_t width);
void config_write_example(struct buf *out); /* an INI file with every key commented out */
