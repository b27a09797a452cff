/* What `danmakud reparse` says it did. */
#include <stdio.h>

#include "server/app/app_reparse_priv.h"
#include "server/core/attr.h"

void reparse_tally_put(const char *name, const struct tally *t)
{
    printf("%s: %llu messages, %llu events, %llu added", name, (unsigned long long)t->messages,
           (unsigned long long)t->events, (unsigned long long)t->added);
    const struct {
        uint64_t n;
        const char *what;
    } rest[] = {
        {t->events - t->added - t->only_counted - t->left_out - t->unwritten, "there already"},
        {t->only_counted, "of kinds that are only counted"},
        {t->left_out, "past the most of a message"},
        {t->unwritten, "left to the running service"},
        {t->unknown, "messages still without a decoder"},
        {t->broken, "messages broken"},
        {t->unreadable, "messages without a readable body"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        if (rest[i].n > 0) {
            printf(", %llu %s", (unsigned long long)rest[i].n, rest[i].what);
        }
    }
    printf("\n");
}

void reparse_tally_add(struct tally *to, const struct tally *t)
{
    to->messages += t->messages;
    to->unreadable += t->unreadable;
    to->unknown += t->unknown;
    to->broken += t->broken;
    to->events += t->events;
    to->added += t->added;
    to->only_counted += t->only_counted;
    to->left_out += t->left_out;
    to->unwritten += t->unwritten;
}

const char *reparse_cmd_name(const char *cmd)
{
    return *cmd != '\0' ? cmd : "(no command)";
}
