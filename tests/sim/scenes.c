/* SPDX-License-Identifier: Apache-2.0 */
/* scenes.c - see scenes.h */
#include "scenes.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static uint64_t worst, limit_of_worst; /* of what was waited for: the one nearest to its limit */

void scenes_waited (uint64_t took_ms, uint64_t limit_ms)
{
    if (limit_of_worst && took_ms * limit_of_worst <= worst * limit_ms)
        return;
    worst = took_ms;
    limit_of_worst = limit_ms;
}

int scenes_run (const char *program, const struct scene *scenes, size_t count, const char *name,
                void (*run) (const struct scene *scene))
{
    bool lists = !strcmp (name, "list"), any = lists;
    for (size_t i = 0; i < count; i++) {
        if (lists)
            printf ("%s\n", scenes[i].name);
        if (lists || (strcmp (name, "all") != 0 && strcmp (name, scenes[i].name) != 0))
            continue;
        any = true;
        worst = limit_of_worst = 0;
        run (&scenes[i]);
        printf ("%s: at worst %" PRIu64 " of %" PRIu64 " ms\n", scenes[i].name, worst,
                limit_of_worst);
    }
    if (!any)
        fprintf (stderr, "%s: there is no scene %s; see --quiet list\n", program, name);
    return any ? 0 : 64;
}
