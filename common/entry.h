/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h - one setting: its type, its limits, its default, and where it lies in a struct
 *
 * Job files and command lines are tables of these, generated from schemas/. All that reads, checks,
 * prints or frees a setting walks the table; no key is known to code by name.
 *
 * Ownership: texts and lists in the struct are malloc'ed and belong to it. mu_entry_clear () frees
 * one entry; a struct of all zeros is a valid one with nothing set. A entry that is not set reads
 * as NULL, an empty list, or 0 (the generators see to it that 0 is outside its range then).
 *
 * Errors: code CONFIG and the rest of a sentence whose subject, the setting's name, the caller puts
 * in front with mu_error_prefix (): "is 0; it takes a whole number from 1 to 65536". */
#ifndef MU_ENTRY_H
#define MU_ENTRY_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MU_ENTRY_PATH_MAX          4095 /* bytes of a path */
#define MU_ENTRY_SETTING_KEY_MAX   63   /* bytes of a key of the trainer's own */
#define MU_ENTRY_SETTING_VALUE_MAX 255
#define MU_ENTRY_CHOICES_MAX       16
#define MU_ENTRY_EXPECTED_MAX      320 /* room for what an entry takes, in words */

struct mu_text_list {
    char **item;
    size_t count;
};

struct mu_setting {
    char *key;
    char *value;
};

struct mu_setting_list { /* ascending by key, no key twice */
    struct mu_setting *item;
    size_t count;
};

enum mu_entry_type {                 /* in the struct */
                     MU_ENTRY_TEXT,  /* char * */
                     MU_ENTRY_LABEL, /* char * */
                     MU_ENTRY_PATH,  /* char * */
                     MU_ENTRY_NAME,  /* char *: one of the choices, or a path or id where the flags
                                        say so */
                     MU_ENTRY_TEXTS, /* struct mu_text_list */
                     MU_ENTRY_PATHS, /* struct mu_text_list */
                     MU_ENTRY_ENDPOINTS, /* struct mu_text_list */
                     MU_ENTRY_PORTS,     /* char *: "LOW-HIGH" */
                     MU_ENTRY_U64,       /* uint64_t */
                     MU_ENTRY_I64,       /* int64_t */
                     MU_ENTRY_F64,       /* double */
                     MU_ENTRY_BOOL,      /* bool */
                     MU_ENTRY_CHOICE,    /* an enum of the table's own, in the order of the choices,
                                            from 0 */
                     MU_ENTRY_SETTINGS,  /* struct mu_setting_list */
};

enum {
    MU_ENTRY_REQUIRED = 1u << 0,
    MU_ENTRY_ABOVE = 1u << 1,      /* f64: low itself is outside */
    MU_ENTRY_BELOW = 1u << 2,      /* f64: high itself is outside */
    MU_ENTRY_TAKES_PATH = 1u << 3, /* name: anything with a slash or a dot in it is a path */
    MU_ENTRY_TAKES_ID = 1u << 4,   /* name: anything else is an id */
};

union mu_entry_number {
    uint64_t u64;
    int64_t i64;
    double f64;
};

struct mu_entry {
    const char *path; /* "optimizer.learning_rate", or an option's name without dashes */
    enum mu_entry_type type;
    uint32_t flags;
    size_t offset;
    union mu_entry_number low, high; /* numbers: both inside, unless flags say otherwise */
    uint32_t limit;                  /* bytes of a text; items of a list */
    const char *const *choices;      /* NULL-terminated; NULL where there are none */
    const char *const *also;         /* words people try instead; NULL-terminated, may be NULL */
    const char *prefix;              /* name: a path with this in front is taken too; or NULL */
    const char *standard;            /* the default as text, or NULL */
    const char *unit;                /* or NULL */
    const char *example;             /* a value as a person writes it */
    const char *meaning;             /* one sentence */
};

/* Read one value from text into the struct at `base`, replacing what was there; for a list, adding
 * one item to it. Returns 0, or -1 with nothing changed. */
int mu_entry_set (const struct mu_entry *entry, void *base, const char *text,
                  struct mu_error *error);

/* Add one pair to a MU_ENTRY_SETTINGS entry. A key that is there already has its value replaced. */
int mu_entry_set_pair (const struct mu_entry *entry, void *base, const char *key, const char *value,
                       struct mu_error *error);

/* Free what the entry holds and make it not set. */
void mu_entry_clear (const struct mu_entry *entry, void *base);

/* Is there something to be freed, when it is set? */
bool mu_entry_owns_memory (const struct mu_entry *entry);

/* Clear, then put in the default if there is one. */
int mu_entry_set_standard (const struct mu_entry *entry, void *base, struct mu_error *error);

bool mu_entry_is_set (const struct mu_entry *entry, const void *base);

/* What the entry takes, as words that follow "it takes": "a whole number from 1 to 65536". */
void mu_entry_expected (const struct mu_entry *entry, char text[MU_ENTRY_EXPECTED_MAX]);

/* The value as JSON; numbers read back as the same bits. The entry must be set. */
void mu_entry_print_json (const struct mu_entry *entry, const void *base, FILE *out);

/* The value as JSON has no more bytes than this; cheaper than to print it. Of a number, a truth or a choice
 * it is the same for every value. */
size_t mu_entry_json_max (const struct mu_entry *entry, const void *base);

/* Make every path of the entry that is relative absolute: under `folder`, or under $HOME for ~/.
 * Fails only when memory is gone or a path grows beyond MU_ENTRY_PATH_MAX. */
int mu_entry_resolve (const struct mu_entry *entry, void *base, const char *folder,
                      struct mu_error *error);

/* Put text from outside between quotes into `shown`, cut and with odd bytes as \x.., for a
 * sentence. */
#define MU_ENTRY_SHOWN_MAX 72
const char *mu_entry_show (const char *text, char shown[MU_ENTRY_SHOWN_MAX]);

#endif
