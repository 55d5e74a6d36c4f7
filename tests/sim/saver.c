/* SPDX-License-Identifier: Apache-2.0 */
/* saver.c - a model of checkpoints: a snapshot at once, its writing beside the steps
 *
 * One is written at a time. Some fail, and the writer of some hangs: stopped for ever, or for a while on storage
 * or in itself. What it then could not write is written when it is free, if it is still wanted. What is not needed any
 * more it removes a while after it was told, which is long where its storage is slow. */
#include "sim.h"

#include <stdlib.h>

struct snapshot {
    uint64_t generation, step, state;
    uint64_t stuck; /* as the trainer's, if its writer hangs */
};

#define WRITING_TOLD_MS 500u

/* What could not be saved while the writer hung is, if it is still wanted. */
static void writer_is_free (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t generation = trainer->owed;
    trainer->stuck = trainer->owed = 0;
    if (generation && !trainer->blank)
        saver_save (number, generation);
}

static void fail_save (uint32_t number, uint64_t generation, uint64_t step)
{
    struct mu_wire failed = {
        .type = MU_WIRE_WRITE_FAILED,
        .write_failed = { .generation = generation, .step = step, .text = { "disk full", 9 } }
    };
    statistics.save_failures++;
    trainer_say (number, &failed);
}

/* From outside it is seen that the writer does not move. */
static void tell_writing (uint32_t number, uint64_t life, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    const struct snapshot *snapshot = data;
    if (!trainer->alive || trainer->life != life || trainer->stuck != snapshot->stuck ||
        hold_back (&trainer->hold, tell_writing, number, life, data, sizeof *snapshot))
        return;
    struct mu_wire wire = { .type = MU_WIRE_WRITING,
                            .writing = { .generation = snapshot->generation,
                                         .step = snapshot->step,
                                         .phase = MU_WRITING_FILLING,
                                         .still_ms = clock_now () - trainer->stuck_ms,
                                         .letter = (uint32_t)trainer->stuck_letter } };
    struct snapshot *again = malloc (sizeof *again);
    if (!again)
        abort ();
    *again = *snapshot;
    clock_after (WRITING_TOLD_MS, tell_writing, number, life, again);
    trainer_say (number, &wire);
}

void saver_end (uint32_t number, uint64_t step)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (!trainer->stuck || trainer->stuck_step != step)
        return;
    uint64_t generation = trainer->stuck_generation, life = trainer->life;
    statistics.writers_ended++;
    fail_save (number, generation, step);
    if (trainer->alive && trainer->life == life)
        writer_is_free (number);
}

static void say_wrote (uint32_t number, const struct snapshot *snapshot)
{
    uint64_t job = worker_at (number)->trainer.job;
    char path[64];
    int size =
        snprintf (path, sizeof path, "/checkpoints/%" PRIu64 "/%" PRIu64, job, snapshot->step);
    struct mu_wire wire = { .type = MU_WIRE_WROTE,
                            .wrote = { .generation = snapshot->generation,
                                       .step = snapshot->step,
                                       .path = { path, (uint32_t)size },
                                       .bytes = 4096,
                                       .milliseconds = 10 } };
    storage_wrote (job, snapshot->step, snapshot->generation);
    worker_at (number)->trainer.wrote = true;
    snprintf (wire.wrote.weights_hash, sizeof wire.wrote.weights_hash, "%016" PRIx64,
              snapshot->state);
    trainer_say (number, &wire);
}

static void wrote (uint32_t number, uint64_t life, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    const struct snapshot *snapshot = data;
    if (!trainer->alive || trainer->life != life ||
        (snapshot->stuck && trainer->stuck != snapshot->stuck) ||
        hold_back (&trainer->hold, wrote, number, life, data, sizeof *snapshot))
        return;
    if (chance (faults.save_fails))
        fail_save (number, snapshot->generation, snapshot->step);
    else
        say_wrote (number, snapshot);
    if (snapshot->stuck && trainer->alive && trainer->life == life)
        writer_is_free (number);
}

static uint64_t stuck_next = 1;

/* The writer of one in eight hangs: stopped for ever, or for a while on storage or in itself. Not drawn: what
 * happens to the rest of the run stays as it was. */
static uint64_t takes_to_write (uint32_t number, struct snapshot *snapshot)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t luck = mix (mix (number, clock_now ()), 4211), ms = draw (5, 400);
    if (!faults.writers_hang || luck % 8)
        return ms;
    trainer->stuck = snapshot->stuck = stuck_next++;
    trainer->stuck_step = snapshot->step;
    trainer->stuck_generation = snapshot->generation;
    worker_at (number)->writer_hung_before_ms = worker_at (number)->writer_hung_ms;
    trainer->stuck_ms = worker_at (number)->writer_hung_ms = clock_now ();
    trainer->stuck_letter = "TDS"[luck / 8 % 3];
    statistics.writers_hung++;
    return trainer->stuck_letter == 'T' ? FOR_EVER : 1000 + luck / 32 % 90000;
}

void saver_save (uint32_t number, uint64_t generation)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    CHECK (!trainer->blank, "%s is told to save a state that it does not hold",
           worker_name (number));
    if (trainer->stuck) {
        bool wanted = !trainer->in || trainer->step == trainer->steps;
        trainer->owed = wanted ? generation : 0;
        return;
    }
    struct snapshot *snapshot = malloc (sizeof *snapshot);
    if (!snapshot)
        abort ();
    *snapshot = (struct snapshot){ generation, trainer->step, trainer->state, 0 };
    if (trainer_is_wrong (number, WRONG_SNAPSHOT))
        snapshot->state ^= UINT64_C (1) << trainer->step % 64;
    trainer->saved_step = trainer->step;
    uint64_t ms = faults.quick_ms ? QUIET_WRITE_MS : takes_to_write (number, snapshot);
    if (snapshot->stuck)
        tell_writing (number, trainer->life, snapshot);
    if (ms == FOR_EVER)
        free (snapshot);
    else
        clock_after (ms, wrote, number, trainer->life, snapshot);
}

/* --- what is not needed any more ---------------------------------------------------------------- */

#define NAMED_MAX 8u

struct removal {
    struct mu_wire_prune prune;
    struct mu_wire_stays stays[NAMED_MAX];
};

static void removes (uint32_t number, uint64_t life, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    struct removal *removal = data;
    removal->prune.stays.items = removal->stays;
    if (trainer->alive && trainer->life == life) /* else its writer has ended with it */
        storage_prune (trainer->job, &removal->prune);
}

/* Not drawn: what happens to the rest of the run stays as it was. */
static uint64_t takes_to_remove (uint32_t number)
{
    uint64_t luck = mix (mix (number, clock_now ()), 9973);
    return luck % 8 ? luck / 8 % 50 : luck / 8 % 90000;
}

/* Who has written nothing here leaves it alone. */
void saver_prune (uint32_t number, const struct mu_wire_prune *prune)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    struct mu_wire wire = { .type = MU_WIRE_PRUNED, .pruned = { .step = prune->step } };
    check_stays (trainer->job, prune);
    if (trainer->wrote) {
        struct removal *removal = calloc (1, sizeof *removal);
        CHECK (removal && prune->stays.count <= NAMED_MAX, "too many checkpoints are to stay");
        removal->prune = *prune;
        for (uint32_t i = 0; i < prune->stays.count; i++)
            removal->stays[i] = prune->stays.items[i];
        clock_after (takes_to_remove (number), removes, number, trainer->life, removal);
    }
    trainer_say (number, &wire);
}
