/* tests/sim/sim_json.h - JSON from templates: constant text with slots, compiled once, filled in for each message.
 *
 * A template is JSON with ' for " and ` for \" (a quote inside a string that is itself JSON), so that C source stays
 * readable. A slot is $x, x a letter or digit: integers and raw text as they are, text escaped once. %x is text escaped twice:
 * for a string inside a JSON string. A slot may hold another template, filled from the same values.
 *
 * Threading:  a compiled template is immutable.
 * Limits:     SJ_PARTS_MAX parts per template (asserted: templates are ours).
 */
#pragma once

#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"

enum { SJ_SLOTS = 62, SJ_PARTS_MAX = 160 };

struct sj_tpl;

enum sj_type { SJ_NONE, SJ_INT, SJ_TEXT, SJ_RAW, SJ_HEX, SJ_HEX_UPPER, SJ_TPL };

struct sj_val {
    enum sj_type type;
    union {
        int64_t i;
        struct str s;             /* borrowed until rendered */
        const struct sj_tpl *tpl; /* borrowed */
    } u;
};

struct sj_vals {
    struct sj_val v[SJ_SLOTS]; /* A-Z, a-z, 0-9 */
};

struct sj_tpl *sj_tpl_new(const char *text); /* text: a literal, kept */
void sj_tpl_free(struct sj_tpl *t);
void sj_render(const struct sj_tpl *t, const struct sj_vals *v, struct buf *out);

void sj_clear(struct sj_vals *v);
void sj_int(struct sj_vals *v, char slot, int64_t i);
void sj_text(struct sj_vals *v, char slot, struct str s);
void sj_raw(struct sj_vals *v, char slot, struct str s);
void sj_hex(struct sj_vals *v, char slot, uint32_t x);
void sj_hex_upper(struct sj_vals *v, char slot, uint32_t x);
void sj_sub(struct sj_vals *v, char slot, const struct sj_tpl *t);

/* s as the inside of a JSON string; level 2: of a JSON string inside a JSON string. Bytes above 0x7f pass. */
void sj_escape(struct buf *out, struct str s, unsigned level);
