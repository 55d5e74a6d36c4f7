/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec.h - the job file: read, checked, changed, and as the JSON that travels
 *
 * schemas/jobspec.schema defines each key once; struct mu_jobspec and the table behind it are
 * generated from there (jobspec_table.h). The client reads a person's YAML, the coordinator and the
 * workers read the canonical JSON that the client made of it: JSON is YAML, so it is one reader
 * with one set of checks, and nobody trusts what somebody else has checked.
 *
 * Reading never stops at the first problem: all are gathered, each with its place, as
 * `file:line:column: sentence`. Lines and columns count from 1, columns in characters.
 *
 * Not allowed in a job file, each with a sentence of its own: unknown keys (the nearest known one
 * is named), a key twice, anchors, aliases, merge keys, tags, a second document, text that is not
 * UTF-8, more than MU_JOBSPEC_SIZE_MAX bytes, lists and mappings where the schema has none (so
 * nesting ends at the fourth level: the file, a section, a mapping, a list). A number is not
 * quoted, a whole number is digits alone (not 1e3), a truth value is true or false.
 *
 * Ownership: the struct is plain data that owns its texts and lists. Begin with mu_jobspec_init ()
 * or all zeros; end with mu_jobspec_clear (). Each reader clears what was there before. After a
 * failure the struct holds what could be read, to be cleared as ever. */
#ifndef MU_JOBSPEC_H
#define MU_JOBSPEC_H

#include "jobspec_table.h"

#define MU_JOBSPEC_SIZE_MAX          65536u /* bytes of a job file, and of its JSON */
#define MU_JOBSPEC_MICRO_BATCHES_MAX 2047u  /* in a step: more could overflow an exact sum */
#define MU_JOBSPEC_PROBLEMS_MAX      64u
#define MU_JOBSPEC_PROBLEM_TEXT_MAX  512u

struct mu_jobspec_place {
    unsigned line, column; /* from 1; 0 where there is no place in a file */
};

struct mu_jobspec_problem {
    bool warning;    /* the job can run, but its owner should know */
    bool assignment; /* about a mu_jobspec_set (), which the text names; there is no file */
    struct mu_jobspec_place place;
    char text[MU_JOBSPEC_PROBLEM_TEXT_MAX];
};

/* All that was found. Plain data, nothing to free, about 40 KiB. The readers start it anew,
 * mu_jobspec_set () and mu_jobspec_check () add to it; the latter puts the order of the file into
 * it. `place` and `wrong` are what they need to know of each other. */
struct mu_jobspec_problems {
    char file[256];          /* as it is shown; its end when it is longer */
    size_t count;            /* of item[] */
    size_t errors, warnings; /* found in all, with those for which there was no room */
    struct mu_jobspec_problem item[MU_JOBSPEC_PROBLEMS_MAX];
    struct mu_jobspec_place place[MU_JOBSPEC_KEY_COUNT];       /* of each key that the file has */
    struct mu_jobspec_place section[MU_JOBSPEC_SECTION_COUNT]; /* the same */
    bool wrong[MU_JOBSPEC_KEY_COUNT];                          /* said already to be wrong */
    bool missing;    /* there is no such file, or no way to read it: exit 66, not 65 */
    bool unreadable; /* the file could not be read to its end, so what is missing is not said */
};

/* All defaults. Returns 0, or -1 when memory is gone. */
int mu_jobspec_init (struct mu_jobspec *spec);
void mu_jobspec_clear (struct mu_jobspec *spec);

/* Read and check a job file. Relative paths in it become absolute, from the file's folder.
 * Returns 0 (there may be warnings), or -1 with at least one error among the problems. */
int mu_jobspec_load (const char *path, struct mu_jobspec *spec,
                     struct mu_jobspec_problems *problems);

/* The same in steps, for `muster submit --set`: read, set as often as wanted, then check.
 *
 * mu_jobspec_set () takes "optimizer.learning_rate=3e-4", "model.layers=4", "data.path=[a, b]";
 * nothing after the = takes the key back to its default. A relative path in it starts from the
 * current folder. mu_jobspec_check () asks what only the whole can answer: required keys,
 * steps or epochs, divisibility, and gives the warnings. Each goes on where one before it failed,
 * so that all problems are told at once: only the result of mu_jobspec_check () need be looked at.
 */
int mu_jobspec_read (const char *path, struct mu_jobspec *spec,
                     struct mu_jobspec_problems *problems);
int mu_jobspec_set (struct mu_jobspec *spec, const char *assignment,
                    struct mu_jobspec_problems *problems);
int mu_jobspec_check (struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

/* Read and check from memory; `file` is how the problems name it. Paths stay as they are if
 * `folder` is NULL. */
int mu_jobspec_parse (const char *text, size_t size, const char *file, const char *folder,
                      struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

/* The canonical JSON: one line, keys in the schema's order, all defaults written out, the trainer's
 * settings sorted and as text. Equal specs give equal bytes, and from_json () gives back an equal
 * spec. NULL when memory is gone; else yours to free. */
char *mu_jobspec_to_json (const struct mu_jobspec *spec);
int mu_jobspec_from_json (const char *text, size_t size, struct mu_jobspec *spec,
                          struct mu_jobspec_problems *problems);

/* All problems, a line each, errors first, or NULL when memory is gone; yours to free. */
char *mu_jobspec_problems_text (const struct mu_jobspec_problems *problems);

/* The problems as one error, for where there is no room for more: the first, and how many there
 * are. BAD_INPUT, or NO_INPUT where there is no file. Returns -1. */
int mu_jobspec_problems_fail (const struct mu_jobspec_problems *problems, struct mu_error *error);

/* Micro-batches in a step. */
uint32_t mu_jobspec_micro_batches (const struct mu_jobspec *spec);

/* The share of the workers' time that is used when `micro_batches` are split over `workers`, as
 * each step lasts as long as its busiest worker: M / (W * ceil (M / W)). */
double mu_jobspec_efficiency (uint64_t micro_batches, uint64_t workers);

#endif
