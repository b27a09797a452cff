#include "tests/sim/sim_json.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

struct sj_part {
    uint32_t from; /* constant text before the slot */
    uint32_t len;
    int8_t slot;   /* -1: none, the last part */
    uint8_t level; /* of escaping for text */
};

struct sj_tpl {
    struct buf text; /* owned: the translated constant text */
    unsigned n;
    struct sj_part parts[SJ_PARTS_MAX];
};

static int slot_index(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    return c >= '0' && c <= '9' ? c - '0' + 52 : -1;
}

static void part_end(struct sj_tpl *t, size_t from, int slot, unsigned level)
{
    ASSERT(t->n < SJ_PARTS_MAX);
    t->parts[t->n++] = (struct sj_part){.from = (uint32_t)from,
                                        .len = (uint32_t)(t->text.len - from),
                                        .slot = (int8_t)slot,
                                        .level = (uint8_t)level};
}

struct sj_tpl *sj_tpl_new(const char *text)
{
    struct sj_tpl *t = mem_new(struct sj_tpl);
    size_t from = 0;

    buf_init(&t->text, 64 * 1024);
    for (const char *p = text; *p; p++) {
        if ((*p == '$' || *p == '%') && slot_index(p[1]) >= 0) {
            part_end(t, from, slot_index(p[1]), *p == '%' ? 2 : 1);
            from = t->text.len;
            p++;
        } else if (*p == '\'') {
            buf_put_c(&t->text, '"');
        } else if (*p == '`') {
            buf_put(&t->text, STR("\\\""));
        } else {
            buf_put_c(&t->text, *p);
        }
    }
    part_end(t, from, -1, 0);
    ASSERT(buf_ok(&t->text));
    return t;
}

void sj_tpl_free(struct sj_tpl *t)
{
    if (t) {
        buf_deinit(&t->text);
        mem_free(t);
    }
}

static void put_hex(struct buf *out, uint32_t x, const char digits[static 16])
{
    char text[8];
    unsigned n = 0;

    do {
        text[sizeof(text) - ++n] = digits[x & 15];
        x >>= 4;
    } while (x);
    buf_put(out, (struct str){text + sizeof(text) - n, n});
}

static void put_val(const struct sj_val *val, unsigned level, const struct sj_vals *v,
                    struct buf *out)
{
    switch (val->type) {
    case SJ_INT:
        buf_put_i64(out, val->u.i);
        return;
    case SJ_TEXT:
        sj_escape(out, val->u.s, level);
        return;
    case SJ_RAW:
        buf_put(out, val->u.s);
        return;
    case SJ_HEX:
        put_hex(out, (uint32_t)val->u.i, "0123456789abcdef");
        return;
    case SJ_HEX_UPPER:
        put_hex(out, (uint32_t)val->u.i, "0123456789ABCDEF");
        return;
    case SJ_TPL:
        sj_render(val->u.tpl, v, out);
        return;
    case SJ_NONE:
        break;
    }
    UNREACHABLE(); /* a slot that was not filled */
}

void sj_render(const struct sj_tpl *t, const struct sj_vals *v, struct buf *out)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct sj_part *p = &t->parts[i];

        buf_put(out, (struct str){t->text.data + p->from, p->len});
        if (p->slot >= 0) {
            put_val(&v->v[p->slot], p->level, v, out);
        }
    }
}

void sj_clear(struct sj_vals *v)
{
    *v = (struct sj_vals){0};
}

static struct sj_val *val_at(struct sj_vals *v, char slot, enum sj_type type)
{
    int i = slot_index(slot);

    ASSERT(i >= 0);
    v->v[i].type = type;
    return &v->v[i];
}

void sj_int(struct sj_vals *v, char slot, int64_t i)
{
    val_at(v, slot, SJ_INT)->u.i = i;
}

void sj_text(struct sj_vals *v, char slot, struct str s)
{
    val_at(v, slot, SJ_TEXT)->u.s = s;
}

void sj_raw(struct sj_vals *v, char slot, struct str s)
{
    val_at(v, slot, SJ_RAW)->u.s = s;
}

void sj_hex(struct sj_vals *v, char slot, uint32_t x)
{
    val_at(v, slot, SJ_HEX)->u.i = x;
}

void sj_hex_upper(struct sj_vals *v, char slot, uint32_t x)
{
    val_at(v, slot, SJ_HEX_UPPER)->u.i = x;
}

void sj_sub(struct sj_vals *v, char slot, const struct sj_tpl *t)
{
    val_at(v, slot, SJ_TPL)->u.tpl = t;
}

static bool is_special(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

static void escape_one(struct buf *out, char c, unsigned level)
{
    char once[8];
    int n;

    if (c == '"' || c == '\\') {
        once[0] = '\\';
        once[1] = c;
        n = 2;
    } else if (c == '\n' || c == '\t') {
        once[0] = '\\';
        once[1] = c == '\n' ? 'n' : 't';
        n = 2;
    } else {
        n = snprintf(once, sizeof(once), "\\u%04x", (unsigned)(unsigned char)c);
    }
    for (int i = 0; i < n; i++) {
        if (level == 2 && is_special(once[i])) {
            buf_put_c(out, '\\');
        }
        buf_put_c(out, once[i]);
    }
}

void sj_escape(struct buf *out, struct str s, unsigned level)
{
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (is_special(s.ptr[i])) {
            buf_put(out, str_sub(s, from, i));
            escape_one(out, s.ptr[i], level);
            from = i + 1;
        }
    }
    if (from < s.len) {
        buf_put(out, str_sub(s, from, s.len));
    }
}
