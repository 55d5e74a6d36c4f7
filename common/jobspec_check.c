/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_check.c - what no key can know alone: keys that are missing, contradict each other, or
 * make a slow job
 *
 * A check is skipped where one of its keys was already said to be wrong: one mistake, one sentence.
 * Each speaks at the place of the key that a person would change. */
#include "jobspec_parts.h"

#include <inttypes.h>
#include <string.h>

#define KEY(name) MU_JOBSPEC_##name##_KEY

/* Below this share of the workers' time a better batch is proposed. */
#define EFFICIENCY_LOW 0.85

typedef void check (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems);

/* Where to speak about a key: at it, at its section, or at the file's start. */
static struct mu_jobspec_place place_of (const struct mu_jobspec_problems *problems, unsigned key)
{
    if (problems->place[key].line != 0)
        return problems->place[key];
    const char *path = mu_jobspec_keys[key].path;
    for (size_t i = 0; mu_jobspec_sections[i]; i++)
        if (mu_jobspec_is_in (path, mu_jobspec_sections[i]))
            return problems->section[i];
    return (struct mu_jobspec_place){ 0 };
}

static bool is_set (const struct mu_jobspec *spec, unsigned key)
{
    return mu_entry_is_set (&mu_jobspec_keys[key], spec);
}

static void check_required (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        const struct mu_entry *entry = &mu_jobspec_keys[i];
        if (!(entry->flags & MU_ENTRY_REQUIRED) || is_set (spec, i) || problems->wrong[i])
            continue;
        char expected[MU_ENTRY_EXPECTED_MAX];
        mu_entry_expected (entry, expected);
        mu_jobspec_problem (problems, place_of (problems, i),
                            "%s is missing; it takes %s, as in %s", entry->path, expected,
                            entry->example);
    }
}

static void check_length (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    bool wrong = problems->wrong[KEY (STEPS)] || problems->wrong[KEY (EPOCHS)];
    if (spec->steps != 0 && spec->epochs != 0)
        mu_jobspec_problem (problems, place_of (problems, KEY (EPOCHS)),
                            "steps and epochs are both given; a job takes one of them");
    else if (spec->steps == 0 && spec->epochs == 0 && !wrong)
        mu_jobspec_problem (problems, (struct mu_jobspec_place){ 0 },
                            "neither steps nor epochs says how long to train; as in steps: 300");
}

static bool has_batch (const struct mu_jobspec *spec)
{
    return spec->batch.global != 0 && spec->batch.micro != 0;
}

static void check_batch (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    if (!has_batch (spec))
        return;
    uint64_t global = spec->batch.global, micro = spec->batch.micro, count = global / micro;
    struct mu_jobspec_place place = place_of (problems, KEY (BATCH_GLOBAL));
    if (global < micro)
        mu_jobspec_problem (problems, place_of (problems, KEY (BATCH_MICRO)),
                            "batch.micro is %" PRIu64 ", more than batch.global, %" PRIu64
                            "; a step is made of whole micro-batches",
                            micro, global);
    else if (global % micro != 0)
        mu_jobspec_problem (problems, place,
                            "batch.global is %" PRIu64 ", not a multiple of batch.micro, %" PRIu64
                            "; the nearest ones are %" PRIu64 " and %" PRIu64,
                            global, micro, count * micro, (count + 1) * micro);
    else if (count > MU_JOBSPEC_MICRO_BATCHES_MAX)
        mu_jobspec_problem (problems, place,
                            "a step would have %" PRIu64
                            " micro-batches (batch.global / batch.micro), and %u is the most whose "
                            "sums are sure to be exact; make batch.micro at least %" PRIu64,
                            count, MU_JOBSPEC_MICRO_BATCHES_MAX,
                            (global + MU_JOBSPEC_MICRO_BATCHES_MAX - 1) /
                                MU_JOBSPEC_MICRO_BATCHES_MAX);
}

static void check_workers (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    if (problems->wrong[KEY (WORKERS_MIN)] || problems->wrong[KEY (WORKERS_MAX)])
        return;
    uint64_t count = mu_jobspec_micro_batches (spec);
    if (spec->workers.min > spec->workers.max)
        mu_jobspec_problem (problems, place_of (problems, KEY (WORKERS_MIN)),
                            "workers.min is %" PRIu64 ", more than workers.max, %" PRIu64 "%s",
                            spec->workers.min, spec->workers.max,
                            problems->place[KEY (WORKERS_MAX)].line ? "" : " (its default)");
    else if (count != 0 && count < spec->workers.min)
        mu_jobspec_problem (problems, place_of (problems, KEY (WORKERS_MIN)),
                            "workers.min is %" PRIu64 ", but a step has only %" PRIu64
                            " micro-batches (batch.global / batch.micro), so some workers would "
                            "never have any",
                            spec->workers.min, count);
}

static void check_optimizer (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    bool falls = spec->optimizer.schedule != MU_JOBSPEC_OPTIMIZER_SCHEDULE_CONSTANT;
    bool wrong_rate = problems->wrong[KEY (OPTIMIZER_LEARNING_RATE)] ||
                      problems->wrong[KEY (OPTIMIZER_MIN_LEARNING_RATE)];
    if (spec->steps != 0 && spec->optimizer.warmup >= spec->steps)
        mu_jobspec_problem (problems, place_of (problems, KEY (OPTIMIZER_WARMUP)),
                            "optimizer.warmup is %" PRIu64 " steps, but the job has only %" PRIu64
                            "; it takes less than steps",
                            spec->optimizer.warmup, spec->steps);
    if (falls && !wrong_rate && spec->optimizer.min_learning_rate > spec->optimizer.learning_rate)
        mu_jobspec_problem (problems, place_of (problems, KEY (OPTIMIZER_MIN_LEARNING_RATE)),
                            "optimizer.min_learning_rate is %g, more than optimizer.learning_rate, "
                            "%g; the rate falls from one to the other",
                            spec->optimizer.min_learning_rate, spec->optimizer.learning_rate);
}

static void check_eval (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    static const unsigned others[] = { KEY (EVAL_LABELS), KEY (EVAL_EVERY), KEY (EVAL_BATCHES) };
    bool path = is_set (spec, KEY (EVAL_PATH)), fraction = is_set (spec, KEY (EVAL_FRACTION));
    if (problems->wrong[KEY (EVAL_PATH)] || problems->wrong[KEY (EVAL_FRACTION)])
        return;
    if (path && fraction)
        mu_jobspec_problem (problems, place_of (problems, KEY (EVAL_FRACTION)),
                            "eval.path and eval.fraction are both given; a job takes one of them");
    for (size_t i = 0; !path && !fraction && i < sizeof others / sizeof *others; i++) {
        if (is_set (spec, others[i]))
            mu_jobspec_problem (problems, place_of (problems, others[i]),
                                "%s is given, but nothing to judge with; add eval.path or "
                                "eval.fraction",
                                mu_jobspec_keys[others[i]].path);
    }
    if (fraction && !path && is_set (spec, KEY (EVAL_LABELS)))
        mu_jobspec_problem (problems, place_of (problems, KEY (EVAL_LABELS)),
                            "eval.labels goes with eval.path; with eval.fraction the labels are "
                            "those of data");
}

static void check_checkpoint (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    bool resumes = spec->checkpoint.resume && strcmp (spec->checkpoint.resume, "no") != 0;
    if (resumes && spec->checkpoint.init)
        mu_jobspec_problem (problems, place_of (problems, KEY (CHECKPOINT_INIT)),
                            "checkpoint.init and checkpoint.resume are both given; the weights "
                            "come from one of them");
}

/* --- warnings --------------------------------------------------------------------------------- */

/* The largest micro-batch into which the same global batch can be cut so that the workers are well
 * used, also after one has died; 0 if there is none. */
static uint64_t better_micro (uint64_t global, uint64_t micro, uint64_t workers)
{
    for (uint64_t m = micro; m > 0; m--) {
        uint64_t count = global / m;
        if (count > MU_JOBSPEC_MICRO_BATCHES_MAX)
            return 0;
        if (global % m == 0 && count >= 2 * workers &&
            mu_jobspec_efficiency (count, workers) >= EFFICIENCY_LOW)
            return m;
    }
    return 0;
}

/* The global batch, at least as large and of the same micro-batches, that the workers share evenly,
 * two or more each; 0 if a step could not have so many. */
static uint64_t better_global (uint64_t count, uint64_t micro, uint64_t workers)
{
    uint64_t each = (count + workers - 1) / workers;
    uint64_t better = (each < 2 ? 2 : each) * workers;
    uint64_t high = mu_jobspec_keys[KEY (BATCH_GLOBAL)].high.u64;
    return better > MU_JOBSPEC_MICRO_BATCHES_MAX || better * micro > high ? 0 : better * micro;
}

static void advise (char *text, size_t size, const struct mu_jobspec *spec)
{
    uint64_t global = spec->batch.global, micro = spec->batch.micro, workers = spec->workers.max;
    uint64_t cut = better_micro (global, micro, workers);
    uint64_t grow = better_global (global / micro, micro, workers);
    text[0] = '\0';
    if (cut != 0)
        snprintf (text, size, "; batch.micro: %" PRIu64 " would make %" PRIu64 " (%.0f%%)", cut,
                  global / cut, 100 * mu_jobspec_efficiency (global / cut, workers));
    else if (grow != 0)
        snprintf (text, size, "; batch.global: %" PRIu64 " would make %" PRIu64 " (100%%)", grow,
                  grow / micro);
}

static void warn_efficiency (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    uint64_t workers = spec->workers.max, count = mu_jobspec_micro_batches (spec);
    double share = mu_jobspec_efficiency (count, workers);
    struct mu_jobspec_place place = place_of (problems, KEY (BATCH_MICRO));
    char advice[160];
    advise (advice, sizeof advice, spec);
    if (count < workers)
        mu_jobspec_warning (problems, place,
                            "a step has %" PRIu64 " micro-batches, so no more than %" PRIu64
                            " of workers.max, %" PRIu64 ", can be used%s",
                            count, count, workers, advice);
    else if (share < EFFICIENCY_LOW)
        mu_jobspec_warning (problems, place,
                            "%" PRIu64 " micro-batches over %" PRIu64
                            " workers use them to %.0f%%, as each step waits for the worker that "
                            "has %" PRIu64 "%s",
                            count, workers, 100 * share, (count + workers - 1) / workers, advice);
    else if (count == workers && workers > 2)
        mu_jobspec_warning (problems, place,
                            "a step has as many micro-batches as workers.max, %" PRIu64
                            ", so when one worker dies another has two and the speed halves%s",
                            workers, advice);
}

static void check_advice (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    if (problems->errors == 0 && spec->workers.max > 1)
        warn_efficiency (spec, problems);
}

void mu_jobspec_check_whole (const struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    static check *const checks[] = {
        check_required,  check_length, check_batch,      check_workers,
        check_optimizer, check_eval,   check_checkpoint, check_advice
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](spec, problems);
}
