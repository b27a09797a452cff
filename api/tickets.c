#include "api/tickets.h"

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/crypto/crypto.h"

enum { TICKET_BYTES = 24 };

struct ticket {
    char text[TICKET_TEXT_LEN + 1];
    unsigned scopes;
    int64_t until_ms; /* mono; 0: the place is free */
};

struct tickets {
    struct ticket all[TICKETS_MAX];
};

struct tickets *tickets_new(void)
{
    return mem_new(struct tickets);
}

void tickets_free(struct tickets *t)
{
    mem_free(t);
}

bool tickets_issue(struct tickets *t, int64_t mono_ms, unsigned scopes,
                   char out[static TICKET_TEXT_LEN + 1])
{
    for (size_t i = 0; i < TICKETS_MAX; i++) {
        struct ticket *k = &t->all[i];
        if (k->until_ms > mono_ms) {
            continue;
        }
        char secret[TICKET_BYTES];
        char text[CRYPTO_BASE64_MAX(TICKET_BYTES)];
        crypto_random(secret, sizeof(secret));
        size_t n = crypto_base64url((struct str){secret, sizeof(secret)}, text);
        ASSERT(n == TICKET_TEXT_LEN);
        memcpy(k->text, text, n + 1);
        memcpy(out, text, n + 1);
        k->scopes = scopes;
        k->until_ms = mono_ms + TICKETS_LIFE_MS;
        return true;
    }
    return false;
}

bool tickets_redeem(struct tickets *t, int64_t mono_ms, struct str text, unsigned *ret_scopes)
{
    struct ticket *found = NULL;
    if (text.len != TICKET_TEXT_LEN) {
        return false;
    }
    for (size_t i = 0; i < TICKETS_MAX; i++) { /* all of them, as for tokens */
        struct ticket *k = &t->all[i];
        if (k->until_ms > mono_ms && crypto_equal(k->text, text.ptr, TICKET_TEXT_LEN)) {
            found = k;
        }
    }
    if (found == NULL) {
        return false;
    }
    *ret_scopes = found->scopes;
    found->until_ms = 0;
    return true;
}
