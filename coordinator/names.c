/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - see names.h: a list without gaps, and an index into it */
#include "core.h"

static uint32_t find (const struct names *names, const char *name)
{
    uint32_t cursor = 0, at;
    uint64_t hash = index_hash_text (name);
    while ((at = index_next (&names->index, hash, &cursor)) != NONE)
        if (!strcmp (names->list[at], name))
            return at;
    return NONE;
}

bool names_has (const struct names *names, const char *name) { return find (names, name) != NONE; }

static void add (struct names *names, const char *name)
{
    names->list = core_grow (names->list, names->count, &names->capacity, sizeof *names->list);
    memset (names->list[names->count], 0, sizeof names->list[names->count]); /* for images */
    mu_text_set (names->list[names->count], sizeof names->list[names->count], name);
    index_add (&names->index, index_hash_text (name), names->count++);
}

/* Those behind it move up: who was put in and taken out again leaves no trace in the order. */
static void drop (struct names *names, uint32_t at)
{
    index_drop (&names->index, index_hash_text (names->list[at]), at);
    for (uint32_t i = at + 1; i < names->count; i++) {
        uint64_t hash = index_hash_text (names->list[i]);
        index_drop (&names->index, hash, i);
        index_add (&names->index, hash, i - 1);
    }
    names->count--;
    memmove (&names->list[at], &names->list[at + 1], (names->count - at) * sizeof *names->list);
}

void names_set (struct names *names, const char *name, bool in)
{
    uint32_t at = find (names, name);
    if (in && at == NONE)
        add (names, name);
    else if (!in && at != NONE)
        drop (names, at);
}

void names_clear (struct names *names)
{
    free (names->list);
    index_clear (&names->index);
}
