#include "server/config/config_priv.h"

#include <string.h>

#include "server/core/assert.h"
#include "server/core/attr.h"
#include "server/core/near.h"

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

const struct config_key *config_key_nearest(struct str name)
{
    size_t best = SIZE_MAX;
    const struct config_key *found = NULL;
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (near_better(name, str_of(config_keys[i].name), &best)) {
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
