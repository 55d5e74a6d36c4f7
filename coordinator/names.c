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
    mu_text_set (names->list[names->count], sizeof names->list[names->count], name);
    index_add (&names->index, index_hash_text (name), names->count++);
}

/* The last one moves into the gap. */
static void drop (struct names *names, uint32_t at)
{
    uint32_t last = --names->count;
    index_drop (&names->index, index_hash_text (names->list[at]), at);
    if (at == last)
        return;
    uint64_t hash = index_hash_text (names->list[last]);
    index_drop (&names->index, hash, last);
    index_add (&names->index, hash, at);
    memcpy (names->list[at], names->list[last], sizeof *names->list);
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
