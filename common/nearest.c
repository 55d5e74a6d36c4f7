/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.c - optimal string alignment over three rows; nothing is allocated, nothing is fatal
 *
 * Source: L. Boytsov, "Indexing methods for approximate dictionary searching" (2011),
 * section 2.2.1: Levenshtein's recurrence with one more case for two neighbours swapped. */
#include "nearest.h"

#include <string.h>

static unsigned smaller (unsigned a, unsigned b) { return a < b ? a : b; }

static char plain (char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return (char)(letter - 'A' + 'a');
    return letter == '-' ? '_' : letter;
}

unsigned mu_nearest_distance (const char *a, const char *b)
{
    unsigned rows[3][MU_NEAREST_WORD_MAX + 1];
    size_t a_size = strnlen (a, MU_NEAREST_WORD_MAX);
    size_t b_size = strnlen (b, MU_NEAREST_WORD_MAX);
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            char p = plain (a[i - 1]), q = plain (b[j - 1]);
            unsigned best = smaller (smaller (above[j], row[j - 1]) + 1, above[j - 1] + (p != q));
            if (i > 1 && j > 1 && p == plain (b[j - 2]) && plain (a[i - 2]) == q)
                best = smaller (best, higher[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

unsigned mu_nearest_limit (const char *word)
{
    size_t third = strnlen (word, MU_NEAREST_WORD_MAX) / 3;
    return third < 1 ? 1 : third > 3 ? 3 : (unsigned)third;
}

const char *mu_nearest (const char *word, const char *const *list)
{
    const char *best = NULL;
    unsigned limit = mu_nearest_limit (word);
    for (; *list; list++) {
        unsigned distance = mu_nearest_distance (word, *list);
        if (distance <= limit) {
            best = *list;
            if (distance == 0)
                break;
            limit = distance - 1;
        }
    }
    return best;
}
