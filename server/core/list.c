#include "server/core/list.h"

#include "server/core/assert.h"

void list_init(struct list *l)
{
    l->head.prev = &l->head;
    l->head.next = &l->head;
    l->n = 0;
}

void list_push_back(struct list *l, struct list_node *node)
{
    ASSERT(!node->next);
    node->prev = l->head.prev;
    node->next = &l->head;
    l->head.prev->next = node;
    l->head.prev = node;
    l->n++;
}

void list_remove(struct list *l, struct list_node *node)
{
    if (!node->next) {
        return;
    }
    ASSERT(l->n > 0);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = NULL;
    node->next = NULL;
    l->n--;
}

struct list_node *list_first(const struct list *l)
{
    return l->head.next == &l->head ? NULL : l->head.next;
}

struct list_node *list_next(const struct list *l, const struct list_node *node)
{
    return node->next == &l->head ? NULL : node->next;
}

bool list_linked(const struct list_node *node)
{
    return node->next != NULL;
}
