/* server/config/config_priv.h - what the files of this folder share: the key table, values, the INI reader.
 *
 * Threading:  as config.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config/config.h"
#include "server/core/buf.h"
#include "server/core/err.h"
#include "server/core/str.h"

enum config_type {
    CONFIG_STR,
    CONFIG_INT,
    CONFIG_BOOL,
    CONFIG_MS,
    CONFIG_BYTES,
    CONFIG_LIST,
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;        /* of the field in struct config */
    const char *def_text; /* STR, LIST */
    int64_t def_num;      /* the others */
    int64_t min, max;
    const char *unit;
    bool reloadable;
    bool secret;
    const char *doc;
};

enum {
#define X(field, type, def, min, max, unit, reloadable, secret, doc) CONFIG_KEY_##field,
#include "server/config/config_keys.def"
#undef X
    CONFIG_KEYS
};
extern const struct config_key config_keys[CONFIG_KEYS];

/* Where a value comes from, in rising precedence. */
enum config_rank { CONFIG_RANK_DEFAULT, CONFIG_RANK_FILE, CONFIG_RANK_ENV, CONFIG_RANK_FLAG };

struct config_origin {
    enum config_rank rank;
    unsigned line;   /* CONFIG_RANK_FILE */
    const char *key; /* the key that named the file the value was in; NULL: the key itself */
};

#define CONFIG_ENV_PREFIX "DANMAKUD_"
/* As the operator wrote it: "t.ini:12", "DANMAKUD_ROOMS", "--rooms", "default". */
void config_put_origin(const struct config *c, struct config_origin from, struct str name,
                       struct buf *out);

enum { CONFIG_TEXT_LIMIT = 1 << 20 }; /* a file, and what we print */

/* config_value.c */
void config_value_default(struct config *c, const struct config_key *k);
/* Parses, checks and replaces the field; on failure err says why (without the value if it is secret). */
MUST_CHECK enum err_code config_value_set(struct config *c, const struct config_key *k,
                                          struct str text, struct err *err);
void config_value_clear(struct config *c, const struct config_key *k);
bool config_value_is_empty(const struct config *c, const struct config_key *k);
bool config_value_eq(const struct config *a, const struct config *b, const struct config_key *k);
void config_value_swap(struct config *a, struct config *b, const struct config_key *k);
void config_value_print(const struct config *c, const struct config_key *k, struct buf *out);
/* A number in the key's unit: "10s", "256M". */
void config_number_print(enum config_type type, int64_t v, struct buf *out);

/* config_file.c */
struct config_file_sink {
    void *ctx;
    /* continued: value is one more line of the previous key. */
    void (*pair)(void *ctx, unsigned line, struct str section, struct str name, struct str value,
                 bool continued);
    void (*syntax)(void *ctx, unsigned line);
};
MUST_CHECK enum err_code config_file_read(const char *path, const struct config_file_sink *sink,
                                          struct err *err);
/* The whole file, at most limit bytes; out is initialised by the caller with that limit. */
MUST_CHECK enum err_code config_file_slurp(const char *path, struct buf *out, struct err *err);

/* config_keys.c */
const struct config_key *config_key_find(struct str name); /* '-' counts as '_' */
/* The key whose name is nearest, NULL if none is near. */
const struct config_key *config_key_nearest(struct str name);
