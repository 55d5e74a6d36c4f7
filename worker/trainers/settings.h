/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - reads the `model:` settings of a built-in trainer by a table of rules
 *
 * A trainer says what it knows as rows of (key, kind, range, where the value goes);
 * mu_model_settings_read fills them from what the host was given. A key that is not in the table,
 * one given twice, a value of another kind or outside its range: each is refused with a sentence
 * that names the setting, its value, the allowed range and, for an unknown key, the nearest known
 * one. */
#ifndef MU_TRAINER_SETTINGS_H
#define MU_TRAINER_SETTINGS_H

#include "worker/trainer.h"

enum mu_model_kind {
    MU_MODEL_INTEGER, /* into: uint32_t, minimum..maximum */
    MU_MODEL_DECIMAL, /* into: float, minimum..maximum */
    MU_MODEL_CHOICE,  /* into: uint32_t, the index in `choices`, a NULL-terminated list */
    MU_MODEL_LIST,    /* into: struct mu_model_list, each number minimum..maximum */
};

#define MU_MODEL_LIST_MAX  16
#define MU_MODEL_RULES_MAX 32 /* in one table */

/* Whole numbers, "256,128". An empty text is an empty list. */
struct mu_model_list {
    uint32_t count;
    uint32_t value[MU_MODEL_LIST_MAX];
};

struct mu_model_rule {
    const char *key;
    enum mu_model_kind kind;
    double minimum, maximum;
    void *into; /* holds the default before, the value after */
    const char *const *choices;
};

/* Return 0, or -1 with the sentence in `problem`. `trainer` is the name for sentences. */
int mu_model_settings_read (const char *trainer, const struct muster_open *open,
                            const struct mu_model_rule *rules, size_t rule_count,
                            struct muster_problem *problem);

/* Fill `problem` and return -1, so that a caller can write `return mu_problem (...)`. */
int mu_problem (struct muster_problem *problem, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

#endif
