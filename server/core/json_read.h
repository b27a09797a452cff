/* server/core/json_read.h - a pull reader of JSON: no tree, no allocation, exact 64-bit integers.
 *
 * The caller walks the document in order. Every access checks the type; a value of another type is skipped whole and
 * the access says false, so that a walk stays in step whatever the peer sent. Syntax errors are sticky: all later
 * calls say false and json_error tells. Tolerant where upstream is sloppy: raw control characters inside strings and
 * ill-formed UTF-8 pass here and are cleaned when the string is taken out.
 *
 *      struct json j;
 *      struct str key;
 *      json_init(&j, text);
 *      if (json_enter_object(&j)) {
 *          while (json_next_key(&j, &key)) {
 *              if (str_eq(key, STR("uid"))) { json_int(&j, &uid); }   // else: an unread value is skipped by itself
 *          }
 *      }
 *      if (json_error(&j) || !json_at_end(&j)) ...
 *
 * What is checked: everything the walk itself passes - the commas, colons, keys, numbers and literals of the containers
 * that were entered. A value that is skipped (unread, of another type, or the rest of a container that is left early)
 * is checked at its surface only: a string must end, a number and a literal must be well-formed, and in a container
 * only strings and brackets are looked at: every string ends, brackets match in kind and number and are nested at
 * most JSON_DEPTH_MAX deep. So {"a":[1 2,,x],"b":3} gives b, as long as nobody enters a; the same text could be
 * refused by a stricter parser, and no two walks of ours disagree about where a value ends.
 *
 * Threading:  one user at a time. A struct json is a value: copy it to look ahead or to come back later.
 * Ownership:  borrows the text for its life; keys and raw strings point into it.
 * Limits:     JSON_DEPTH_MAX levels; the text's own length (the caller bounds it). Reads no byte outside the text.
 * Errors:     JSON_ERR_*; never aborts on any bytes. Asking a container for what it does not have (a key of an array,
 *             a key at the top level) is a syntax error too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/str.h"

enum { JSON_DEPTH_MAX = 32 };

enum json_type {
    JSON_NONE,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};
enum json_err { JSON_ERR_NONE, JSON_ERR_SYNTAX, JSON_ERR_DEPTH, JSON_ERR_TRUNCATED };

struct json {
    const char *p; /* next unread byte */
    const char *end;
    const char *start;
    uint32_t in_object; /* bit per level: 1 object, 0 array */
    uint8_t depth;
    uint8_t state; /* private */
    enum json_err err;
};

void json_init(struct json *j, struct str text);
enum json_type
json_peek(struct json *j); /* type of the next value; JSON_NONE: there is none, or an error */

/* Containers. Enter: false (and the value skipped) if the next value is of another type. Next: false at the end of the
 * container, which is then left. An unread value of a key or element is skipped by the following next. */
bool json_enter_object(struct json *j);
bool json_enter_array(struct json *j);
bool json_next_key(struct json *j,
                   struct str *ret_key); /* raw key: escapes in keys are not resolved */
bool json_next_elem(struct json *j);
void json_leave(struct json *j); /* leave the innermost container early, skipping its rest */
void json_skip(struct json *j);  /* skip the next value */

/* Scalars: consume the next value; false (value skipped, *ret untouched) if it does not fit. */

/* An integer, or a string that holds one whole and nothing else ("007" counts, " 7" and "+7" do not). A fraction is cut
 * (1.5 -> 1, -0.5 -> 0); with an exponent the value must be an integer (15e-1 is false, 1.5e1 is 15). False on overflow. */
bool json_int(struct json *j, int64_t *ret);
bool json_bool(struct json *j, bool *ret);          /* true, false, or a number (0 is false) */
bool json_str_raw(struct json *j, struct str *ret); /* between the quotes, escapes unresolved */
/* Resolves escapes into out (room for max bytes, not overlapping the text), makes valid UTF-8, drops NUL, joins
 * surrogate pairs, cuts at a whole character. Lone surrogates, broken \u escapes and ill-formed sequences become
 * U+FFFD (as utf8_clean does); an escape unknown to JSON stands for its character. Other control characters pass.
 * A number is taken as its text. Sets *ret to the result, which begins at out. */
bool json_str(struct json *j, char *out, size_t max, struct str *ret);
bool json_raw(struct json *j, struct str *ret); /* any value: its text as it stands */

/* The same resolution for a raw string kept from before. */
struct str json_unescape(struct str raw, char *out, size_t max);

enum json_err json_error(const struct json *j);
bool json_at_end(struct json *j); /* only blanks are left, no container open, no error */
