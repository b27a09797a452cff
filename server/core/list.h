/* server/core/list.h - intrusive doubly linked list. State is membership of exactly one list.
 *
 * Threading:  one user at a time.
 * Ownership:  a list owns nothing; destructors unlink themselves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *prev;
    struct list_node *next; /* NULL: not linked */
};

struct list {
    struct list_node head; /* circular */
    size_t n;
};

void list_init(struct list *l);
void list_push_back(struct list *l, struct list_node *node);
void list_remove(struct list *l, struct list_node *node); /* no-op when not linked */
struct list_node *list_first(const struct list *l);       /* NULL: empty */
struct list_node *list_next(const struct list *l, const struct list_node *node);
bool list_linked(const struct list_node *node);
