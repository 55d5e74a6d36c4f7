/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - text to numbers, by the trainer's table
 *
 * Texts come from a job file, so nothing is believed: numbers are read strictly (common/number.h),
 * and texts are cut before they are quoted. */
#include "worker/trainers/settings.h"

#include "common/nearest.h"
#include "common/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUOTED     "'%.40s'" /* how much of a user's text a sentence shows */
#define NUMBER_MAX 24        /* room for the digits of one list element */

int mu_problem (struct muster_problem *problem, const char *format, ...)
{
    if (problem) {
        va_list args;
        va_start (args, format);
        vsnprintf (problem->text, sizeof problem->text, format, args);
        va_end (args);
    }
    return -1;
}

static const struct mu_model_rule *rule_of (const struct mu_model_rule *rules, size_t count,
                                            const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp (rules[i].key, key))
            return &rules[i];
    return NULL;
}

/* The words of a NULL-terminated list with commas between them, cut where `text` ends. */
static void join (const char *const *words, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; words[i] && used < size; i++)
        used += (size_t)snprintf (text + used, size - used, "%s%s", i ? ", " : "", words[i]);
}

static int unknown (const char *trainer, const char *key, const struct mu_model_rule *rules,
                    size_t count, struct muster_problem *problem)
{
    const char *names[MU_MODEL_RULES_MAX + 1] = { NULL };
    for (size_t i = 0; i < count && i < MU_MODEL_RULES_MAX; i++)
        names[i] = rules[i].key;
    char known[256];
    join (names, known, sizeof known);
    const char *nearest = mu_nearest (key, names);
    if (nearest)
        return mu_problem (problem,
                           "trainer %s has no setting " QUOTED "; did you mean '%s'? It knows: %s",
                           trainer, key, nearest, known);
    return mu_problem (problem, "trainer %s has no setting " QUOTED "; it knows: %s", trainer, key,
                       known);
}

static bool integer_within (const struct mu_model_rule *rule, const char *text, uint32_t *number)
{
    uint64_t wide;
    if (mu_number_u64 (text, &wide) != MU_NUMBER_GOOD || wide > UINT32_MAX ||
        (double)wide < rule->minimum || (double)wide > rule->maximum)
        return false;
    *number = (uint32_t)wide;
    return true;
}

static int read_integer (const char *trainer, const struct mu_model_rule *rule, const char *text,
                         struct muster_problem *problem)
{
    if (integer_within (rule, text, rule->into))
        return 0;
    return mu_problem (problem,
                       "trainer %s: setting '%s' is " QUOTED
                       "; it takes a whole number from %.0f to %.0f",
                       trainer, rule->key, text, rule->minimum, rule->maximum);
}

static int read_decimal (const char *trainer, const struct mu_model_rule *rule, const char *text,
                         struct muster_problem *problem)
{
    double number;
    if (mu_number_f64 (text, &number) == MU_NUMBER_GOOD && number >= rule->minimum &&
        number <= rule->maximum) {
        *(float *)rule->into = (float)number;
        return 0;
    }
    return mu_problem (problem,
                       "trainer %s: setting '%s' is " QUOTED "; it takes a number from %g to %g",
                       trainer, rule->key, text, rule->minimum, rule->maximum);
}

static int read_choice (const char *trainer, const struct mu_model_rule *rule, const char *text,
                        struct muster_problem *problem)
{
    for (uint32_t i = 0; rule->choices[i]; i++)
        if (!strcmp (text, rule->choices[i])) {
            *(uint32_t *)rule->into = i;
            return 0;
        }
    char known[128];
    join (rule->choices, known, sizeof known);
    return mu_problem (problem, "trainer %s: setting '%s' is " QUOTED "; it takes one of: %s",
                       trainer, rule->key, text, known);
}

/* One number of a list, `length` bytes long, into the next place of it. */
static bool list_add (const struct mu_model_rule *rule, const char *at, size_t length,
                      struct mu_model_list *list)
{
    char digits[NUMBER_MAX];
    if (list->count == MU_MODEL_LIST_MAX || length >= sizeof digits)
        return false;
    memcpy (digits, at, length);
    digits[length] = '\0';
    return integer_within (rule, digits, &list->value[list->count++]);
}

static bool list_parse (const struct mu_model_rule *rule, const char *text,
                        struct mu_model_list *list)
{
    const char *at = text + strspn (text, " ");
    if (!*at)
        return true;
    for (;;) {
        size_t length = strcspn (at, ", ");
        if (!list_add (rule, at, length, list))
            return false;
        at += length;
        at += strspn (at, " ");
        if (!*at)
            return true;
        if (*at != ',')
            return false;
        at++;
        at += strspn (at, " ");
    }
}

static int read_list (const char *trainer, const struct mu_model_rule *rule, const char *text,
                      struct muster_problem *problem)
{
    struct mu_model_list list = { 0 };
    if (list_parse (rule, text, &list)) {
        *(struct mu_model_list *)rule->into = list;
        return 0;
    }
    return mu_problem (problem,
                       "trainer %s: setting '%s' is " QUOTED
                       "; it takes at most %d whole numbers from %.0f to %.0f with commas between "
                       "them, such as 256,128",
                       trainer, rule->key, text, MU_MODEL_LIST_MAX, rule->minimum, rule->maximum);
}

int mu_model_settings_read (const char *trainer, const struct muster_open *open,
                            const struct mu_model_rule *rules, size_t rule_count,
                            struct muster_problem *problem)
{
    static int (*const read[]) (const char *, const struct mu_model_rule *, const char *,
                                struct muster_problem *) = {
        [MU_MODEL_INTEGER] = read_integer,
        [MU_MODEL_DECIMAL] = read_decimal,
        [MU_MODEL_CHOICE] = read_choice,
        [MU_MODEL_LIST] = read_list,
    };
    for (uint32_t i = 0; i < open->setting_count; i++) {
        const struct muster_setting *setting = &open->settings[i];
        const struct mu_model_rule *rule = rule_of (rules, rule_count, setting->key);
        if (!rule)
            return unknown (trainer, setting->key, rules, rule_count, problem);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp (open->settings[j].key, setting->key))
                return mu_problem (problem, "trainer %s: setting '%s' is given twice", trainer,
                                   setting->key);
        if (read[rule->kind](trainer, rule, setting->value, problem))
            return -1;
    }
    return 0;
}
