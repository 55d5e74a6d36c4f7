/* SPDX-License-Identifier: Apache-2.0 */
/* trainer.c - a model of the trainer process: generations, steps, audits, orders
 *
 * It keeps its promises exactly: sums it kept count for the step and attempt they belong to, and
 * only where all of them are its own in the first map; otherwise they are dropped. Micro-batches are
 * at work two at a time, those that trainers died of before alone. A poisoned one ends it as a
 * segmentation fault would; chance does so too now and then, but never often at one step. */
#include "sim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* --- what happens by chance, but not again at one step ---------------------------------------- */

#define FLUKES_STEPS 4096u
#define MISSTEP_MS   30000u
static uint8_t
    flukes[64][FLUKES_STEPS]; /* by job and step: faults of memory that nobody is to blame for */
static uint8_t glitched[64][FLUKES_STEPS]; /* ... and micro-batches that came out as no number */
static uint64_t misstepped_ms;             /* when one last forgot how far it had come */

void trainers_reset (void)
{
    memset (flukes, 0, sizeof flukes);
    memset (glitched, 0, sizeof glitched);
    misstepped_ms = 0;
}

/* --- what it says ----------------------------------------------------------------------------- */

void trainer_drop_sums (struct trainer *trainer)
{
    trainer->kept = trainer->sums = trainer->bad = 0;
}

void trainer_say (uint32_t number, struct mu_wire *wire)
{
    worker_event (
        number, &(struct agent_event){ .type = AGENT_TRAINER_SAID, .wire = wire, .region = true });
}

void trainer_progress (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (hold_lasts (&trainer->hold))
        return;
    struct mu_wire wire = { .type = MU_WIRE_PROGRESS,
                            .progress = { .generation = trainer->generation,
                                          .phase = trainer->phase,
                                          .step = trainer->step,
                                          .loss = 4.0 - (double)(trainer->step % 100) * 0.02,
                                          .targets = trainer->step * 100,
                                          .busy_us = trainer->busy_us } };
    if (trainer->phase == MU_PHASE_FINISHED && !trainer->writer)
        snprintf (wire.progress.weights_hash, sizeof wire.progress.weights_hash, "%016" PRIx64,
                  trainer->state);
    trainer->busy_us = 0;
    trainer_say (number, &wire);
}

static bool is_void (uint32_t number, uint64_t turn)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    return !trainer->alive || !trainer->going || trainer->turn != turn;
}

/* --- the one that is wrong -------------------------------------------------------------------- */

bool trainer_is_wrong (uint32_t number, enum wrong kind)
{
    return faults.wrong == kind && faults.wrong_worker == number &&
           clock_now () >= faults.wrong_since_ms;
}

bool trainer_is_alone (uint32_t number)
{
    uint64_t job = worker_at (number)->trainer.job;
    for (uint32_t i = 0; i < options.workers; i++) {
        const struct trainer *other = &worker_at (i)->trainer;
        if (i != number && other->alive && other->open && !other->blank && other->job == job)
            return false;
    }
    return true;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* A bit of its memory falls over, once in a trainer's life. */
static void corrupt (struct trainer *trainer)
{
    trainer->corrupted = true;
    trainer->state ^= UINT64_C (1) << draw (0, 63);
    trainer->not_finite = mix (trainer->state, 77) % 4 == 0;
    if (trainer->made_of && mix (trainer->state, 78) % 4 == 0)
        trainer->given ^= UINT64_C (1) << draw (0, 63);
}

static bool may_corrupt (uint32_t number)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    return trainer_is_wrong (number, WRONG_STATE) && trainer->open && !trainer->blank &&
           !trainer->corrupted;
}

/* Whatever it does: it waits, computes, gives its state to another, has just been given one, or is at its end. */
void trainer_decay (uint32_t number, uint64_t tag, void *data)
{
    (void)tag, (void)data;
    if (may_corrupt (number) && mix (clock_now (), number) % 3 == 0)
        corrupt (&worker_at (number)->trainer);
}

/* Of these micro-batches, those of which it makes no number. */
static uint64_t bad_ones (const struct trainer *trainer, uint64_t micro_batches)
{
    const struct sim_job *job = client_job (trainer->job);
    bool bad = job->bad && job->bad_step == trainer->step;
    return micro_batches & (trainer->not_finite ? UINT64_MAX
                            : bad               ? UINT64_C (1) << job->bad_micro_batch
                                                : 0);
}

/* Or nothing at all, and says so. */
static bool cannot_compute (const struct trainer *trainer, uint64_t micro_batches)
{
    bool nothing =
        trainer->not_finite ? trainer->state % 2 : client_job (trainer->job)->bad == BAD_INPUT;
    return nothing && bad_ones (trainer, micro_batches);
}

/* What this generation's list leaves out of the step. */
static uint64_t left_out (const struct trainer *trainer)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < trainer->skips_size; i += 12) {
        uint64_t step;
        memcpy (&step, trainer->skips + i, sizeof step);
        if (step == trainer->step)
            bits |= UINT64_C (1) << trainer->skips[i + 8];
    }
    return bits;
}

static uint64_t audit_every (void) { return faults.audit_every ? faults.audit_every : 1; }

/* Another scale does not change the gradient itself: attempts have one digest. */
static void audit_one (uint32_t number, uint32_t m)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if ((trainer->rank + trainer->size - trainer->owners[m]) % trainer->size >= 3 ||
        ((left_out (trainer) | (trainer->step == trainer->suspect_step ? trainer->suspects : 0)) >>
             m &
         1))
        return;
    struct mu_wire wire = { .type = MU_WIRE_AUDITED,
                            .audited = { .generation = trainer->generation,
                                         .step = trainer->step,
                                         .micro_batch = m,
                                         .digest =
                                             chain_gradient (trainer->state, trainer->step, 0, m) +
                                             (bad_ones (trainer, UINT64_C (1) << m) ? 77 : 0) +
                                             trainer_is_wrong (number, WRONG_GRADIENT) } };
    trainer_say (number, &wire);
}

static bool compares (const struct trainer *trainer, uint64_t step)
{
    return step == trainer->compare_step || step + 1 == trainer->steps;
}

/* A micro-batch of the first of three ranks that has any, and so on for all ranks. */
static void audit_all (uint32_t number, uint64_t turn)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    uint32_t micro_batches = client_job (trainer->job)->micro_batches, size = trainer->size;
    for (uint32_t first = 0; first < size; first += 3) {
        uint32_t found = UINT32_MAX;
        for (uint32_t m = 0; m < micro_batches && m < 64; m++)
            if (trainer->owners[m] / 3 == first / 3 &&
                (found == UINT32_MAX || trainer->owners[m] < trainer->owners[found]))
                found = m;
        if (found != UINT32_MAX && !is_void (number, turn))
            audit_one (number, found);
    }
}

static void audit (uint32_t number, uint64_t turn)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t every = audit_every ();
    if (trainer->size < 2)
        return;
    if (compares (trainer, trainer->step))
        audit_all (number, turn);
    else if (trainer->step != trainer->first_step && trainer->step % every == 0)
        audit_one (number,
                   (uint32_t)(trainer->step / every % client_job (trainer->job)->micro_batches));
}

/* These micro-batches are counted in the sums. */
static void count_up (struct trainer *trainer, uint64_t done)
{
    trainer->kept |= done;
    for (uint32_t m = 0; m < 64; m++)
        if (done >> m & 1)
            trainer->made_in[m] = trainer->generation;
    trainer->unheard &= ~done;
}

/* And their gradients are; none of them is at work any more. */
static void add_up (struct trainer *trainer, uint64_t done)
{
    trainer->sums += chain_sum (trainer->state, trainer->step, trainer->attempt, done);
    trainer->bad |= bad_ones (trainer, done);
    quiet_computed (trainer->job, trainer->step, done);
    count_up (trainer, done);
    trainer->todo &= ~done;
    trainer->flight = 0;
}

static uint32_t count_bits (uint64_t bits) { return (uint32_t)__builtin_popcountll (bits); }

static void crash (uint32_t number, int status)
{
    worker_at (number)->trainer.status = status;
    trainer_kill (number);
    statistics.trainer_crashes++;
}

/* Twice at one step is no proof against a micro-batch; more often it would be. */
static int by_chance (uint32_t number)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t luck = mix (number, clock_now ());
    if (luck % 2 || trainer->job >= 64 || trainer->step >= FLUKES_STEPS ||
        flukes[trainer->job][trainer->step] == 2)
        return SIGKILL;
    flukes[trainer->job][trainer->step]++;
    return luck % 4 ? SIGSEGV : SIGABRT;
}

/* The job cannot go on: its agent ends it. */
static void refuse (uint32_t number, enum mu_code code, const char *why)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    struct mu_wire wire = { .type = MU_WIRE_REFUSE,
                            .refuse = { .code = (uint32_t)code,
                                        .at = trainer->step + 1,
                                        .text = { why, (uint32_t)strlen (why) } } };
    statistics.refusals++;
    trainer->going = trainer->computing = false;
    trainer->turn++;
    trainer_say (number, &wire);
}

/* What it made of that is no number, and is one the next time. Twice at one step would be the job's fault. */
static bool glitches (uint32_t number)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    uint8_t *before = &glitched[trainer->job % 64][trainer->step % FLUKES_STEPS];
    if (!faults.glitches || *before || mix (number, clock_now ()) % 400)
        return false;
    *before = true;
    return true;
}

static void start_some (uint32_t number);

static void computed (uint32_t number, uint64_t turn, void *data)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (is_void (number, turn) || hold_back (&trainer->hold, computed, number, turn, NULL, 0))
        return;
    if (chance (faults.trainer_stuck)) {
        worker_hold (number, &trainer->hold, FOR_EVER, 'S');
        return;
    }
    trainer->work++;
    if (trainer->flight & chain_poison (trainer->job, trainer->step)) {
        crash (number, SIGSEGV);
        return;
    }
    if (chance (faults.trainer_crash)) {
        crash (number, by_chance (number));
        return;
    }
    trainer->busy_us += trainer->compute_ms * 1000;
    if (cannot_compute (trainer, trainer->flight)) {
        refuse (number, MU_BAD_INPUT, "nothing can be made of that");
        return;
    }
    if (trainer_is_wrong (number, WRONG_GRADIENT))
        trainer->sums += count_bits (trainer->flight);
    if (glitches (number))
        trainer->bad |= trainer->flight;
    add_up (trainer, trainer->flight);
    if (trainer->todo) {
        start_some (number);
        return;
    }
    trainer->computing = false;
    audit (number, turn);
    if (is_void (number, turn))
        return;
    trainer->phase = MU_PHASE_REDUCING;
    trainer_progress (number);
    if (!is_void (number, turn))
        world_reduce (number);
}

static uint64_t lowest (uint64_t bits) { return bits & -bits; }

/* Suspects come first and alone; elsewhere it is enough to look closely where poison is. */
static uint64_t choose_some (const struct trainer *trainer)
{
    uint64_t suspects = trainer->step == trainer->suspect_step ? trainer->suspects : 0;
    if (trainer->todo & suspects)
        return lowest (trainer->todo & suspects);
    if (!chain_poison (trainer->job, trainer->step))
        return trainer->todo;
    uint64_t one = lowest (trainer->todo);
    return one | lowest (trainer->todo & ~one);
}

static void start_some (uint32_t number)
{
    const struct sim_worker *worker = worker_at (number);
    struct trainer *trainer = &worker_at (number)->trainer;
    trainer->flight = choose_some (trainer);
    trainer->computing = true;
    trainer->compute_start_ms = clock_now ();
    trainer->compute_ms = faults.quick_ms ? count_bits (trainer->flight) * QUIET_BATCH_MS
                                          : 20 + count_bits (trainer->flight) * draw (5, 30);
    if (worker->slow)
        trainer->compute_ms *= 5;
    if (faults.slow_steps)
        trainer->compute_ms = draw (11000, 25000);
    if (chance (faults.long_batch)) /* slow, and healthy */
        trainer->compute_ms = draw (6000, 50000);
    clock_after (trainer->compute_ms, computed, number, trainer->turn, NULL);
}

static void go_on (uint32_t number, uint64_t turn, void *data);

static void begin_step (uint32_t number)
{
    struct sim_worker *worker = worker_at (number);
    struct trainer *trainer = &worker->trainer;
    if (hold_back (&trainer->hold, go_on, number, trainer->turn, NULL, 0))
        return;
    trainer->turn++;
    if (trainer->step >= trainer->steps || trainer->step >= trainer->until_step) {
        bool finished = trainer->step >= trainer->steps;
        trainer->phase = finished ? MU_PHASE_FINISHED : MU_PHASE_UNLEASED;
        if (finished && trainer->writer && trainer->saved_step != trainer->step)
            saver_save (number, trainer->generation);
        trainer_progress (number);
        return;
    }
    check_lease (trainer->job, trainer->generation, trainer->step);
    uint64_t own = trainer->step == trainer->first_step ? trainer->own_first : trainer->own_later;
    if (trainer->kept & ~own) {
        CHECK (!worker->knew_sums || world_has_twice (number, trainer->kept),
               "%s drops sums that nobody else has", worker_name (number));
        trainer_drop_sums (trainer);
    }
    statistics.kept += count_bits (trainer->kept);
    count_up (trainer, own & ~trainer->kept & left_out (trainer));
    trainer->todo = own & ~trainer->kept;
    start_some (number);
}

static void go_on (uint32_t number, uint64_t turn, void *data)
{
    (void)data;
    if (!is_void (number, turn))
        begin_step (number);
}

static void say_hashed (uint32_t number, uint64_t generation)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    struct mu_wire hashed = { .type = MU_WIRE_HASHED,
                              .hashed = { .generation = generation,
                                          .step = trainer->step,
                                          .attempt = trainer->attempt,
                                          .digest = trainer->state + trainer->attempt } };
    trainer_say (number, &hashed);
}

/* One bit, or more, of the number of its step fall over just before it says that, once in a while. Not where nobody else
 * holds a state: a single survivor is believed. */
static void misstep (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (!trainer_is_wrong (number, WRONG_STEP) || trainer->blank || !trainer->open ||
        clock_now () < misstepped_ms + MISSTEP_MS || trainer_is_alone (number))
        return;
    misstepped_ms = clock_now ();
    trainer->step += 2 + mix (clock_now (), number) % 20;
    statistics.missteps++;
    if (sim_traces ())
        sim_trace ("%s comes to believe that it stands after step %" PRIu64, worker_name (number),
                   trainer->step);
}

static void say_left (uint32_t number, uint64_t generation, bool doubts, const char *why)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    misstep (number);
    uint8_t kept[8];
    for (uint32_t i = 0; i < sizeof kept; i++)
        kept[i] = (uint8_t)(trainer->kept >> 8 * i);
    struct mu_wire wire = { .type = MU_WIRE_LEFT,
                            .left = { .generation = generation,
                                      .step = trainer->step,
                                      .attempt = trainer->attempt,
                                      .kept = { kept, sizeof kept },
                                      .blank = trainer->blank,
                                      .made_of = trainer->blank ? 0 : trainer->made_of } };
    wire.left.doubts = doubts;
    snprintf (wire.left.why, sizeof wire.left.why, "%s", why);
    trainer_say (number, &wire);
}

/* What came out of the step is no number: it is compared, and computed again from nothing. */
static void doubt (uint32_t number, uint64_t bad)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t generation = trainer->generation, life = trainer->life;
    statistics.doubts++;
    if (trainer->size > 1)
        say_hashed (number, generation);
    if (trainer->alive && trainer->life == life && trainer->size > 1)
        audit_one (number, (uint32_t)__builtin_ctzll (bad));
    if (!trainer->alive || trainer->life != life)
        return;
    trainer->in = trainer->going = trainer->computing = false;
    trainer->turn++;
    trainer->phase = MU_PHASE_WAITING;
    say_left (number, generation, true, "that is no number");
}

/* False: another try at the same step. */
bool trainer_update (struct trainer *trainer, uint64_t total)
{
    trainer->made_of = trainer->attempt + 1;
    trainer->given = trainer->proven = total;
    if (trainer->attempt < chain_refusals (trainer->job, trainer->step)) {
        trainer->attempt++;
        return false;
    }
    trainer->state = mix (trainer->state, total);
    trainer->step++;
    trainer->attempt = 0;
    return true;
}

/* The reduction came back with the sum of all ranks. */
void trainer_reduced (uint32_t number, uint64_t turn, const struct reduced *reduced)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (is_void (number, turn))
        return;
    trainer_drop_sums (trainer);
    if (reduced->bad) {
        doubt (number, reduced->bad);
        return;
    }
    if (!trainer_update (trainer, reduced->total)) {
        trainer->phase = MU_PHASE_COMPUTING; /* or it would seem to be reducing all along */
        trainer_progress (number);
        if (!is_void (number, turn))
            begin_step (number);
        return;
    }
    statistics.steps++;
    quiet_finished (trainer->job, trainer->generation, trainer->step);
    if (may_corrupt (number) && !draw (0, 9)) /* before anybody has seen it */
        corrupt (trainer);
    check_state (trainer->job, trainer->step, trainer->state, number);
    uint64_t generation = trainer->generation, life = trainer->life;
    bool saves = trainer->step % client_job (trainer->job)->save_every == 0;
    if (saves || trainer->step % (8 * audit_every ()) == 0 || compares (trainer, trainer->step - 1))
        say_hashed (number, generation);
    if (!trainer->alive || trainer->life != life) /* its worker died over that word */
        return;
    if (trainer->writer && saves)
        saver_save (number, generation);
    trainer->phase = MU_PHASE_COMPUTING;
    trainer_progress (number);
    if (trainer->alive && trainer->life == life && trainer->in && trainer->generation == generation)
        begin_step (number);
}

void trainer_go (uint32_t number, uint64_t generation)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (!trainer->alive || !trainer->in || trainer->generation != generation || trainer->going)
        return;
    trainer->going = true;
    begin_step (number);
}

/* --- orders ----------------------------------------------------------------------------------- */

/* Some models are so large that their first leases are short; stories tell of those. */
static uint64_t parameters_of (uint64_t job)
{
    bool small = faults.quick_ms || (!options.story && mix (options.seed, job) & 1);
    return small ? 1000 : UINT64_C (1000000000000);
}

static void opened (uint32_t number, uint64_t life, void *data)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (!trainer->alive || trainer->life != life ||
        hold_back (&trainer->hold, opened, number, life, NULL, 0))
        return;
    const struct sim_job *job = client_job (trainer->job);
    if (chance (faults.trainer_crash * (job->crashes ? 1u : 4u)) || job->crashes) {
        crash (number, SIGKILL);
        return;
    }
    trainer->open = true;
    trainer->phase = MU_PHASE_WAITING;
    struct mu_wire wire = { .type = MU_WIRE_OPENED,
                            .opened = { .job = trainer->job,
                                        .records = job->records,
                                        .parameters = parameters_of (trainer->job),
                                        .step = trainer->step,
                                        .targets = 10,
                                        .window = job->window_steps,
                                        .blank = trainer->blank,
                                        .unsound = trainer->unsound } };
    bool odd = job->odd_data && number == 0;
    snprintf (wire.opened.data_identity, sizeof wire.opened.data_identity, "data-%d", odd);
    if (trainer->unread)
        snprintf (wire.opened.unread, sizeof wire.opened.unread, "there is no such folder");
    if (!trainer->blank)
        snprintf (wire.opened.digest, sizeof wire.opened.digest, "%016" PRIx64, trainer->state);
    trainer_say (number, &wire);
}

/* What it was to load is damaged, or not there: it makes the state of step 0, and says why. */
static void begin_at_first (struct trainer *trainer, const struct mu_wire_prepare *prepare,
                            bool away)
{
    trainer->step = 0;
    trainer->state = chain_state (prepare->job, 0);
    trainer->unread = away;
    trainer->unsound = away ? 0 : prepare->resume_step;
}

static void prepare (uint32_t number, const struct mu_wire_prepare *prepare)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    trainer->job = prepare->job;
    trainer->blank = prepare->joins;
    trainer->step = prepare->joins ? 0 : prepare->resume_step;
    trainer->state = chain_state (prepare->job, prepare->resume_step);
    if (trainer->blank)
        trainer->state = draw (1, UINT32_MAX); /* whatever lies there */
    else if (prepare->resume_path.size && (!storage_has (prepare->job, prepare->resume_step) ||
                                           storage_is_away (prepare->job, prepare->resume_step)))
        begin_at_first (trainer, prepare, true); /* or the word came late */
    else if (prepare->resume_path.size && !storage_is_sound (prepare->job, prepare->resume_step))
        begin_at_first (trainer, prepare, false);
    else if (prepare->resume_path.size)
        trainer->state =
            check_checkpoint (prepare->job, prepare->resume_step, prepare->resume_hash);
    statistics.blanks += trainer->blank;
    trainer->phase = MU_PHASE_OPENING;
    clock_after (takes (20, 800), opened, number, trainer->life, NULL);
}

static uint64_t own_of (struct mu_blob map, uint32_t rank)
{
    const uint8_t *bytes = map.data;
    uint64_t own = 0;
    for (uint32_t m = 0; m < map.size / 2; m++)
        if ((bytes[2 * m] | (uint32_t)bytes[2 * m + 1] << 8) == rank)
            own |= UINT64_C (1) << m;
    return own;
}

static void enter (uint32_t number, const struct mu_wire_enter *enter)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    CHECK (!trainer->in, "%s enters a second generation", worker_name (number));
    if (!worker_at (number)->knew_sums)
        trainer->unheard |= trainer->kept;
    trainer->in = true;
    trainer->going = false;
    trainer->turn++;
    trainer->generation = enter->generation;
    trainer->rank = enter->rank;
    trainer->size = enter->size;
    trainer->first_step = enter->step;
    trainer->own_first = own_of (enter->first_map, enter->rank);
    trainer->own_later = own_of (enter->map, enter->rank);
    const uint8_t *map = enter->map.data;
    for (uint32_t m = 0; m < enter->map.size / 2 && m < 64; m++)
        trainer->owners[m] = map[2 * m] | (uint32_t)map[2 * m + 1] << 8;
    trainer->until_step = enter->until_step;
    trainer->steps = enter->steps;
    trainer->writer = enter->writer;
    trainer->saved_step = trainer->compare_step = UINT64_MAX;
    trainer->owed = 0;
    trainer->stops = false;
    trainer->suspect_step = enter->suspect_step;
    trainer->suspects = 0;
    for (uint32_t i = 0; i < enter->suspects.size && i < 8; i++)
        trainer->suspects |= (uint64_t)((const uint8_t *)enter->suspects.data)[i] << 8 * i;
    CHECK (enter->skips.size <= sizeof trainer->skips, "%u bytes of skips", enter->skips.size);
    trainer->skips_size = enter->skips.size;
    if (enter->skips.size)
        memcpy (trainer->skips, enter->skips.data, enter->skips.size);
    trainer->phase = MU_PHASE_CONNECTING;
}

struct leaving {
    uint64_t generation, life;
};

static void left (uint32_t number, uint64_t generation, void *data)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    const struct leaving *leaving = data;
    if (!trainer->alive || trainer->life != leaving->life ||
        hold_back (&trainer->hold, left, number, generation, data, sizeof *leaving))
        return;
    if (!trainer->blank && (trainer->compare_step != UINT64_MAX || trainer->stops))
        say_hashed (number, generation);
    if (trainer->alive && trainer->life == leaving->life)
        say_left (number, generation, false, "");
}

/* Micro-batches that are done are kept; the one at work is not. */
static void keep_done (struct trainer *trainer)
{
    uint64_t bearable = trainer->flight & ~chain_poison (trainer->job, trainer->step);
    if (cannot_compute (trainer, bearable))
        bearable &= ~bad_ones (trainer, bearable);
    uint32_t todo = count_bits (bearable);
    uint64_t spent_ms = clock_now () - trainer->compute_start_ms, done = 0;
    uint32_t finished =
        trainer->compute_ms ? (uint32_t)(spent_ms * todo / (trainer->compute_ms + 1)) : todo;
    for (uint32_t m = 0; m < 64 && finished; m++)
        if (bearable >> m & 1) {
            done |= UINT64_C (1) << m;
            finished--;
        }
    add_up (trainer, done);
    trainer->todo = 0;
    trainer->computing = false;
}

/* Half of its state is another's, if any of that had come. */
static void stop_receiving (struct trainer *trainer)
{
    bool some = trainer->receiving && draw (0, 1);
    trainer->receiving = false;
    if (!some)
        return;
    statistics.halves++;
    trainer->blank = true;
    trainer->made_of = 0;
    trainer->step = 0;
    trainer_drop_sums (trainer);
    trainer->attempt = 0;
    trainer->state = draw (1, UINT32_MAX);
}

static void leave (uint32_t number, uint64_t generation)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    stop_receiving (trainer);
    if (trainer->in && trainer->computing)
        keep_done (trainer);
    if (trainer->bad)
        trainer_drop_sums (trainer);
    trainer->in = trainer->going = false;
    trainer->turn++;
    trainer->phase = MU_PHASE_WAITING;
    struct leaving *leaving = malloc (sizeof *leaving);
    if (!leaving)
        abort ();
    *leaving = (struct leaving){ generation, trainer->life };
    clock_after (takes (0, 40), left, number, generation, leaving);
}

static void extend (uint32_t number, const struct mu_wire_extend *extend)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    bool waits = trainer->going && trainer->phase == MU_PHASE_UNLEASED;
    if (!trainer->in || trainer->generation != extend->generation ||
        (extend->until_step <= trainer->until_step && !extend->stop))
        return;
    trainer->until_step = extend->until_step;
    trainer->stops = trainer->stops || extend->stop;
    if (waits && trainer->step < trainer->until_step) {
        trainer->phase = MU_PHASE_COMPUTING;
        begin_step (number);
    }
}

static void compare (uint32_t number, const struct mu_wire_compare *compare)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (trainer->in && trainer->generation == compare->generation)
        trainer->compare_step = compare->step;
}

static void obey (uint32_t number, const struct mu_wire *wire)
{
    if (!worker_at (number)->trainer.alive)
        return;
    if (wire->type == MU_WIRE_PREPARE)
        prepare (number, &wire->prepare);
    else if (wire->type == MU_WIRE_ENTER)
        enter (number, &wire->enter);
    else if (wire->type == MU_WIRE_EXTEND)
        extend (number, &wire->extend);
    else if (wire->type == MU_WIRE_COMPARE)
        compare (number, &wire->compare);
    else if (wire->type == MU_WIRE_LEAVE)
        leave (number, wire->leave.generation);
    else if (wire->type == MU_WIRE_WRITE)
        saver_save (number, wire->write.generation);
    else if (wire->type == MU_WIRE_PRUNE)
        saver_prune (number, &wire->prune);
    else if (wire->type == MU_WIRE_END_WRITING)
        saver_end (number, wire->end_writing.step);
}

static void read_pipe (uint32_t number, uint64_t life, void *data)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    struct mu_wire wire;
    if (!trainer->alive || trainer->life != life)
        return;
    if (hold_lasts (&trainer->hold)) { /* again: behind what it was before */
        clock_after (trainer->hold.until_ms == FOR_EVER ? 3600000
                                                        : trainer->hold.until_ms - clock_now (),
                     read_pipe, number, life, packet_copy (data));
        return;
    }
    trainer->words--;
    packet_read (data, &wire);
    obey (number, &wire);
}

/* A pipe keeps its order, also while nobody reads. */
void trainer_hear (uint32_t number, const struct mu_wire *wire)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (trainer->hold.until_ms == FOR_EVER || !trainer->alive)
        return;
    trainer->words++;
    clock_after (hold_lasts (&trainer->hold) ? trainer->hold.until_ms - clock_now () : 0, read_pipe,
                 number, trainer->life, packet_of (wire));
}

/* --- life and death --------------------------------------------------------------------------- */

static uint64_t life_next = 1;

void trainer_start (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    CHECK (!trainer->alive, "%s starts a second trainer", worker_name (number));
    worker_at (number)->formed = 0;
    *trainer = (struct trainer){
        .alive = true, .life = life_next++, .turn = trainer->turn + 1, .status = SIGKILL
    };
}

static void reaped (uint32_t number, uint64_t life, void *data)
{
    (void)data;
    const struct trainer *trainer = &worker_at (number)->trainer;
    if (trainer->life != life || !worker_at (number)->agent)
        return;
    uint8_t suspects[8];
    for (uint32_t i = 0; i < sizeof suspects; i++)
        suspects[i] = (uint8_t)(trainer->flight >> 8 * i);
    char text[40];
    snprintf (text, sizeof text, "ended by signal %d", trainer->status);
    worker_event (number, &(struct agent_event){ .type = AGENT_TRAINER_ENDED,
                                                 .status = trainer->status,
                                                 .text = text,
                                                 .step = trainer->step,
                                                 .suspects = { suspects, sizeof suspects } });
}

void trainer_kill (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    if (!trainer->alive)
        return;
    trainer->alive = trainer->in = trainer->going = false;
    bool late = chance (faults.undying);
    if (late)
        worker_at (number)->held_ms = clock_now () + 60000;
    clock_after (late ? draw (3000, 60000) : takes (1, 30), reaped, number, trainer->life, NULL);
}

void trainer_end (uint32_t number)
{
    struct trainer *trainer = &worker_at (number)->trainer;
    *trainer = (struct trainer){ .life = life_next++, .turn = trainer->turn + 1 };
}
