/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_problems.c - gathers what is wrong with a job file, and tells it in the file's order
 *
 * The list has a fixed size: a file made of mistakes costs no memory, and the count says how many
 * were not kept. Nothing here is fatal. */
#include "jobspec_parts.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void mu_jobspec_problems_begin (struct mu_jobspec_problems *problems, const char *file)
{
    memset (problems, 0, offsetof (struct mu_jobspec_problems, item));
    memset (problems->place, 0, sizeof *problems - offsetof (struct mu_jobspec_problems, place));
    size_t size = strlen (file), room = sizeof problems->file - 1;
    if (size > room) {
        file += size - room; /* its end tells more */
        size = room;
    }
    memcpy (problems->file, file, size + 1);
}

__attribute__ ((format (printf, 4, 0))) static void add (struct mu_jobspec_problems *problems,
                                                         bool warning,
                                                         struct mu_jobspec_place place,
                                                         const char *format, va_list args)
{
    problems->warnings += warning;
    problems->errors += !warning;
    if (problems->count == MU_JOBSPEC_PROBLEMS_MAX)
        return;
    struct mu_jobspec_problem *item = &problems->item[problems->count++];
    *item = (struct mu_jobspec_problem){ .warning = warning, .place = place };
    vsnprintf (item->text, sizeof item->text, format, args);
}

void mu_jobspec_problem (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                         const char *format, ...)
{
    va_list args;
    va_start (args, format);
    add (problems, false, place, format, args);
    va_end (args);
}

void mu_jobspec_warning (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                         const char *format, ...)
{
    va_list args;
    va_start (args, format);
    add (problems, true, place, format, args);
    va_end (args);
}

static bool is_before (const struct mu_jobspec_problem *a, const struct mu_jobspec_problem *b)
{
    if (a->place.line == 0 || b->place.line == 0)
        return a->place.line != 0 && b->place.line == 0;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line;
    return a->place.column < b->place.column;
}

void mu_jobspec_problems_sort (struct mu_jobspec_problems *problems)
{
    for (size_t i = 1; i < problems->count; i++) {
        struct mu_jobspec_problem moved = problems->item[i];
        size_t at = i;
        for (; at > 0 && is_before (&moved, &problems->item[at - 1]); at--)
            problems->item[at] = problems->item[at - 1];
        problems->item[at] = moved;
    }
}

static void print_problem (const struct mu_jobspec_problems *problems,
                           const struct mu_jobspec_problem *item, FILE *out)
{
    if (!item->assignment && item->place.line != 0)
        fprintf (out, "%s:%u:%u: ", problems->file, item->place.line, item->place.column);
    else if (!item->assignment)
        fprintf (out, "%s: ", problems->file);
    fprintf (out, "%s%s\n", item->warning ? "warning: " : "", item->text);
}

char *mu_jobspec_problems_text (const struct mu_jobspec_problems *problems)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return NULL;
    for (int warning = 0; warning < 2; warning++) {
        for (size_t i = 0; i < problems->count; i++) {
            if (problems->item[i].warning == (warning == 1))
                print_problem (problems, &problems->item[i], out);
        }
    }
    if (problems->errors + problems->warnings > problems->count)
        fprintf (out, "%s: and %zu more\n", problems->file,
                 problems->errors + problems->warnings - problems->count);
    if (fclose (out) == 0)
        return text;
    free (text);
    return NULL;
}

int mu_jobspec_problems_fail (const struct mu_jobspec_problems *problems, struct mu_error *error)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct mu_jobspec_problem *item = &problems->item[i];
        if (item->warning)
            continue;
        char place[32] = "", more[64] = "";
        if (item->place.line != 0 && !item->assignment)
            snprintf (place, sizeof place, ":%u:%u", item->place.line, item->place.column);
        if (problems->errors > 1)
            snprintf (more, sizeof more, " (and %zu more)", problems->errors - 1);
        return mu_fail (error, problems->missing ? MU_NO_INPUT : MU_BAD_INPUT, "%s%s: %s%s",
                        problems->file, place, item->text, more);
    }
    return mu_fail (error, MU_BAD_INPUT, "%s: the job file is wrong", problems->file);
}
