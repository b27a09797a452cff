#include "server/spool/spool_missing.h"

#include <string.h>

#include "server/core/assert.h"

static void remove_at(struct spool_missing *m, size_t i, size_t n)
{
    memmove(&m->at[i], &m->at[i + n], (m->n - i - n) * sizeof(m->at[0]));
    m->n -= n;
}

static void join_closest(struct spool_missing *m)
{
    size_t best = 0;
    for (size_t i = 1; i + 1 < m->n; i++) {
        if (m->at[i + 1].first - m->at[i].last < m->at[best + 1].first - m->at[best].last) {
            best = i;
        }
    }
    m->at[best].last = m->at[best + 1].last;
    remove_at(m, best + 1, 1);
}

void spool_missing_add(struct spool_missing *m, int64_t first, int64_t last, int64_t joins)
{
    ASSERT(first <= last);
    size_t i = m->n;
    while (i > 0 && m->at[i - 1].first > first) {
        i--;
    }
    if (i > 0 && (m->at[i - 1].last >= first || m->at[i - 1].last >= joins)) {
        i--;
        m->at[i].last = m->at[i].last > last ? m->at[i].last : last;
    } else {
        memmove(&m->at[i + 1], &m->at[i], (m->n - i) * sizeof(m->at[0]));
        m->n++;
        m->at[i].first = first;
        m->at[i].last = last;
    }
    while (i + 1 < m->n && m->at[i + 1].first <= m->at[i].last) {
        if (m->at[i + 1].last > m->at[i].last) {
            m->at[i].last = m->at[i + 1].last;
        }
        remove_at(m, i + 1, 1);
    }
    if (m->n > SPOOL_MISSING_MAX) {
        join_closest(m);
    }
}

bool spool_missing_has(const struct spool_missing *m, int64_t id)
{
    size_t low = 0;
    size_t high = m->n;
    while (low < high) { /* the first interval that ends at or after id */
        size_t mid = low + (high - low) / 2;
        if (m->at[mid].last < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < m->n && m->at[low].first <= id;
}

void spool_missing_forget(struct spool_missing *m, int64_t up_to)
{
    size_t n = 0;
    while (n < m->n && m->at[n].last <= up_to) {
        n++;
    }
    remove_at(m, 0, n);
}
