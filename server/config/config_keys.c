#include "server/config/config_priv.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/attr.h"

#define DEFAULT_STR(d) .def_text = (d)
#define DEFAULT_LIST(d) .def_text = (d)
#define DEFAULT_INT(d) .def_num = (d)
#define DEFAULT_BOOL(d) .def_num = (d)
#define DEFAULT_MS(d) .def_num = (d)
#define DEFAULT_BYTES(d) .def_num = (d)

const struct config_key config_keys[CONFIG_KEYS] = {
#define X(field, kind, def, least, most, units, reload, hidden, text)                              \
    {.name = #field,                                                                               \
     .type = CONFIG_##kind,                                                                        \
     .offset = offsetof(struct config, field),                                                     \
     DEFAULT_##kind(def),                                                                          \
     .min = (least),                                                                               \
     .max = (most),                                                                                \
     .unit = (units),                                                                              \
     .reloadable = (reload),                                                                       \
     .secret = (hidden),                                                                           \
     .doc = (text)},
#include "server/config/config_keys.def"
#undef X
};

enum { NAME_MAX_BYTES = 64 };

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    return c == '-' ? '_' : c;
}

const struct config_key *config_key_find(struct str name)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const char *key = config_keys[i].name;
        if (strlen(key) != name.len) {
            continue;
        }
        size_t n = 0;
        while (n < name.len && (name.ptr[n] == '-' ? '_' : name.ptr[n]) == key[n]) {
            n++;
        }
        if (n == name.len) {
            return &config_keys[i];
        }
    }
    return NULL;
}

static size_t least3(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein distance, one row at a time. */
static size_t edit_distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const size_t above = row[j];
            const size_t change = fold(a.ptr[i - 1]) == fold(b.ptr[j - 1]) ? 0 : 1;
            row[j] = least3(above + 1, row[j - 1] + 1, diagonal + change);
            diagonal = above;
        }
    }
    return row[b.len];
}

const struct config_key *config_key_nearest(struct str name)
{
    if (name.len > NAME_MAX_BYTES) {
        return NULL;
    }
    /* Farther than a third of the word it is another word. */
    size_t best = name.len / 3 + 1;
    const struct config_key *found = NULL;
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct str key = str_of(config_keys[i].name);
        if (key.len > NAME_MAX_BYTES) {
            continue;
        }
        const size_t distance = edit_distance(name, key);
        if (distance <= best && (found == NULL || distance < best)) {
            best = distance;
            found = &config_keys[i];
        }
    }
    return found;
}

bool config_is_key(const char *flag_name, bool *ret_is_bool)
{
    const struct config_key *k = config_key_find(str_of(flag_name));
    if (k == NULL) {
        return false;
    }
    *ret_is_bool = k->type == CONFIG_BOOL;
    return true;
}

bool config_is_default(const struct config *c, const char *key)
{
    const struct config_key *k = config_key_find(str_of(key));
    ASSERT(k != NULL && k->type == CONFIG_STR);
    const char *value = *(char *const *)(const void *)((const char *)c + k->offset);
    return strcmp(value, k->def_text) == 0;
}
