#include "server/core/near.h"

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    return c == '-' ? '_' : c;
}

static size_t least3(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein distance, one row at a time. */
static size_t edit_distance(struct str a, struct str b)
{
    size_t row[NEAR_WORD_BYTES + 1];
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

bool near_better(struct str word, struct str candidate, size_t *distance)
{
    if (word.len > NEAR_WORD_BYTES || candidate.len > NEAR_WORD_BYTES) {
        return false;
    }
    const size_t d = edit_distance(word, candidate);
    /* Farther than a third of the word it is another word. */
    if (d > word.len / 3 + 1 || d >= *distance) {
        return false;
    }
    *distance = d;
    return true;
}
