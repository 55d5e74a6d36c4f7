/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c - options, the swarm of faults, the three phases, main
 *
 *     sim [--seed N] [--seeds COUNT] [--workers W] [--jobs J] [--minutes M] [--calm] [--lies]
 *         [--wrong] [--verbose] [--record FILE]
 *     sim --story NAME [--record FILE]
 *     sim --quiet NAME [--seed N] [--seeds COUNT] [--verbose]
 *
 * Safety: faults happen, nothing that must not may. Liveness: they stop, some workers never come
 * back, and every job that can end must. Availability, in between: the coordinator dies once more,
 * and no generation may break for it. Each seed chooses its own mix of faults, some of them off. */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIVENESS_MS    UINT64_C (7200000)
#define LIVENESS_TIMES 8u

struct sim_options options = { .seed = 1, .jobs = 0, .minutes = 2 };
struct faults faults;
struct statistics statistics;

void sim_fail (const char *file, int line, const char *condition, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    printf ("FAIL at %" PRIu64 ".%03" PRIu64 " s: ", clock_now () / 1000, clock_now () % 1000);
    vprintf (format, args);
    va_end (args);
    printf ("  [%s:%d: %s]\n", file, line, condition);
    if (options.quiet)
        printf ("again: sim --quiet %s --seed %" PRIu64 " --verbose\n", options.quiet,
                options.seed);
    else if (options.story)
        printf ("again: sim --story %s\n", options.story);
    else
        printf ("again: sim --seed %" PRIu64 " --workers %u --jobs %u --minutes %u%s --verbose\n",
                options.seed, options.workers, options.jobs, options.minutes,
                options.calm    ? " --calm"
                : options.lies  ? " --lies"
                : options.wrong ? " --wrong"
                                : "");
    exit (1);
}

bool sim_traces (void) { return options.story || options.verbose; }

void sim_trace (const char *format, ...)
{
    va_list args;
    va_start (args, format);
    printf ("%4" PRIu64 ".%03" PRIu64 "  ", clock_now () / 1000, clock_now () % 1000);
    vprintf (format, args);
    printf ("\n");
    va_end (args);
}

void sim_reset (uint64_t seed)
{
    workers_end ();
    worlds_reset ();
    clock_reset (seed);
    chain_reset ();
    trainers_reset ();
    network_reset ();
    host_reset ();
    recordings_reset ();
    lies_reset ();
    writers_reset ();
    storage_reset ();
    workers_reset ();
    client_reset ();
    check_reset ();
    ledgers_reset ();
    priority_reset ();
    faults = (struct faults){ .latency_max_ms = 3, .disk_max_ms = 2, .in_order = true };
}

/* --- the swarm -------------------------------------------------------------------------------- */

static uint32_t sometimes (uint32_t low, uint32_t high)
{
    return draw (0, 1) ? (uint32_t)draw (low, high) : 0;
}

static void choose_faults (void)
{
    faults.latency_max_ms = (uint32_t)(draw (0, 2) ? draw (1, 20) : draw (20, 250));
    faults.disk_max_ms = (uint32_t)(draw (0, 2) ? draw (0, 10) : draw (10, 200));
    faults.in_order = draw (0, 1);
    faults.lease_ahead_ms = draw (0, 1) ? (uint32_t)draw (200, 20000) : 0;
    faults.quarantine_failures = (uint32_t)draw (0, 4);
    faults.slow = sometimes (50000000, 500000000);
    if (options.calm)
        return;
    if (draw (0, 5) == 0) {
        faults.gentle = true;
        faults.latency_max_ms = (uint32_t)draw (1, 40);
        faults.disk_max_ms = (uint32_t)draw (0, 20);
        faults.loss = faults.duplicate = (uint32_t)draw (1000000, 10000000);
        faults.echo = (uint32_t)draw (50000000, 500000000);
        return;
    }
    faults.loss = sometimes (1000000, 150000000);
    faults.duplicate = sometimes (1000000, 150000000);
    faults.host_crash = sometimes (20000, 4000000);
    faults.worker_crash = sometimes (20000, 2500000);
    faults.trainer_crash = sometimes (50000, 4000000);
    faults.collective_crash = sometimes (100000, 15000000);
    faults.save_fails = sometimes (10000000, 500000000);
    faults.cut = sometimes (1000000, 60000000);
    faults.freeze = sometimes (1000000, 60000000);
    faults.reconnect = sometimes (1000000, 60000000);
    faults.swallow = mix (options.seed, 2911) % 4 ? 0 : 5000000;
    faults.trainer_stop = sometimes (1000000, 40000000);
    faults.collective_stop = sometimes (1000000, 40000000);
    faults.trainer_stuck = sometimes (10000, 1000000);
    faults.long_batch = sometimes (10000, 300000);
    faults.undying = sometimes (1000000, 50000000);
    faults.writers_hang = mix (options.seed, 4211) % 4 == 0;
    faults.glitches = mix (options.seed, 6113) % 4 == 0;
    faults.disk_stands = mix (options.seed, 6641) % 8 ? 0 : 30000000;
}

/* Most go on by themselves, also after longer than is waited for. */
static uint64_t how_long (void) { return draw (0, 3) ? draw (100, 12000) : FOR_EVER; }

static void hold_somebody (uint32_t number)
{
    struct sim_worker *worker = worker_at (number);
    if (chance (faults.trainer_stop) && worker->trainer.alive)
        worker_hold (number, &worker->trainer.hold, how_long (), draw (0, 1) ? 'T' : 'D');
    if (chance (faults.collective_stop) && worker->collective.alive)
        worker_hold (number, &worker->collective.hold, how_long (), 'T');
}

/* In some runs one worker computes wrongly: in half of those among all the other faults, where it
 * may go unseen but nobody else may be blamed; in the others with nothing else going on, so that it
 * must be found out before the jobs end. */
static void choose_wrong (void)
{
    uint64_t luck = mix (options.seed, 1905);
    if (options.story || options.workers < 5 || options.workers > 64 ||
        (luck % 8 && !options.wrong))
        return;
    faults.wrong = luck >> 8 & 1 ? WRONG_GRADIENT : WRONG_STATE;
    if ((luck >> 40) % 4 == 0)
        faults.wrong = WRONG_SNAPSHOT;
    if ((luck >> 44) % 8 == 0)
        faults.wrong = WRONG_STEP;
    faults.wrong_worker = (uint32_t)(luck >> 16) % options.workers;
    faults.wrong_since_ms = clock_now () + (luck >> 32) % 20000;
    faults.audit_every = 1u << (luck >> 10) % 3 * 5;
    faults.seen = luck >> 9 & 1 || faults.wrong == WRONG_STEP; /* a single survivor is believed */
    if (!faults.seen)
        return;
    faults = (struct faults){ .wrong = faults.wrong,
                              .audit_every = faults.audit_every,
                              .wrong_worker = faults.wrong_worker,
                              .wrong_since_ms = faults.wrong_since_ms,
                              .seen = true,
                              .pauses = mix (options.seed, 4300) % 6 == 0,
                              .restarts = mix (options.seed, 4300) % 6 == 1,
                              .slow_steps = mix (options.seed, 4300) % 6 == 2,
                              .latency_max_ms = 20,
                              .disk_max_ms = 10,
                              .in_order = true };
}

static void lose_another (uint32_t number, uint64_t job, void *data)
{
    (void)data;
    for (uint32_t i = 0; i < options.workers; i++)
        if (i != number && worker_at (i)->trainer.job == job && worker_at (i)->trainer.going) {
            worker_crash (i, true);
            return;
        }
}

/* People drain the wrong worker while it trains, and take it back: it must have been found out before it
 * goes, also if another dies in that moment. Long after it became wrong, for what it does between a comparison
 * and the break is not seen. */
static void drain_wrong (uint32_t number, uint64_t undo, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    uint64_t times = faults.slow_steps ? 40 : 1;
    (void)data;
    bool due = trainer->going && check_is_running (trainer->job) &&
               clock_now () > faults.wrong_since_ms + 3000 * times;
    if (undo || due)
        client_drain (number, undo);
    if (!undo && due && !faults.slow_steps && draw (0, 1))
        clock_after (draw (1, 300), lose_another, number, trainer->job, NULL);
    clock_after (times * (undo ? draw (1000, 20000) : draw (3000, 8000)), drain_wrong, number,
                 !undo && due, NULL);
}

static bool has_one_to_spare (uint64_t job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < options.workers; i++)
        count += worker_at (i)->trainer.job == job && worker_at (i)->trainer.going;
    return count > client_job (job)->workers_min;
}

static void control_job (uint32_t verb, uint64_t job, void *data)
{
    (void)data;
    client_control (job, verb);
}

/* One of its job dies, and the job is paused before the others train again. The wrong one does not come back
 * with it: it must have been found out before. */
static void pause_wrong (uint32_t number, uint64_t undo, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    bool due = !undo && trainer->going && check_is_running (trainer->job) &&
               has_one_to_spare (trainer->job) && clock_now () > faults.wrong_since_ms + 3000;
    if (undo)
        client_drain (number, true);
    if (due) {
        lose_another (number, trainer->job, NULL);
        clock_after (draw (1, 600), control_job, 2, trainer->job, NULL);
        clock_after (draw (12000, 15000), control_job, 3, trainer->job, NULL);
        client_drain (number, false);
    }
    clock_after (due ? draw (30000, 200000) : draw (1000, 3000), pause_wrong, number, due, NULL);
}

/* In some runs a line between two workers is cut from the beginning to the end. A job may need one
 * worker then: it must be done all the same. */
static void choose_parted (void)
{
    uint64_t luck = mix (options.seed, 2006);
    if (options.story || options.calm || faults.gentle || faults.wrong || options.workers < 3 ||
        options.workers > 64 || luck % 10)
        return;
    faults.parted = true;
    faults.refusing = luck >> 9 & 1;
    faults.part[0] = (uint32_t)(luck >> 16) % options.workers;
    faults.part[1] =
        (faults.part[0] + 1 + (uint32_t)(luck >> 32) % (options.workers - 1)) % options.workers;
}

static void every_second (uint32_t number, uint64_t tag, void *data)
{
    (void)tag, (void)data;
    if (chance (faults.cut))
        network_cut (number);
    if (chance (faults.freeze))
        worker_freeze (number, draw (200, 4000));
    if (chance (faults.swallow))
        network_swallow (number);
    if (chance (faults.reconnect))
        worker_reconnect (number);
    hold_somebody (number);
    if (chance (faults.worker_crash * 5))
        worker_crash (number, true);
    if (number == 0 && host_is_up () && chance (faults.host_crash * 10))
        host_crash (draw (100, 8000));
    if (number == 0 && faults.disk_stands && chance (faults.disk_stands))
        host_disk_stands (draw (500, 40000));
    if (faults.wrong == WRONG_STATE && number == faults.wrong_worker)
        clock_after (mix (clock_now (), 5) % 1000, trainer_decay, number, 0, NULL);
    clock_after (1000, every_second, number, 0, NULL);
}

static void start_worker (uint32_t number, uint64_t tag, void *data)
{
    (void)tag, (void)data;
    worker_start (number);
}

static struct sim_job choose_job (void)
{
    struct sim_job job = { .micro_batches = (uint32_t)draw (1, 32),
                           .window_steps = (uint32_t)draw (1, 24),
                           .save_every = (uint32_t)draw (5, 60),
                           .steps = draw (5, 400),
                           .records = draw (200, 4000),
                           .priority = (int64_t)draw (0, 2),
                           .portable = draw (0, 3) != 0,
                           .mixed = draw (0, 3) == 0 };
    uint32_t most = options.workers < 8 ? options.workers : 8;
    job.global_batch = 4 * job.micro_batches;
    job.workers_min = (uint32_t)draw (1, most);
    if (draw (0, 2))
        job.workers_min = (job.workers_min + 1) / 2;
    job.workers_max = (uint32_t)draw (job.workers_min, 2 * most);
    if (options.workers > 64) {
        job.micro_batches = 64;
        job.global_batch = 4 * job.micro_batches;
        job.workers_min = options.workers / 4;
        job.workers_max = options.workers;
        job.portable = true;
    }
    if (draw (0, 3) == 0) {
        job.steps = 0;
        job.epochs = (double)draw (1, 40) / 10;
    }
    if (draw (0, 30) == 0) {
        job.small_data = true;
        job.records = job.global_batch - 1;
    }
    job.odd_data = options.workers < 64 && draw (0, 30) == 0;
    job.crashes = draw (0, 40) == 0;
    if (faults.seen) {
        job.odd_data = job.small_data = job.crashes = false;
        job.portable = true;
        job.epochs = 0;
        job.steps = faults.slow_steps ? draw (40, 80) : draw (150, 400);
        uint32_t limit = options.workers > 32 ? 64 : 2 * options.workers; /* one bit each */
        job.micro_batches = (uint32_t)draw (options.workers, limit);
        job.global_batch = 4 * job.micro_batches;
        job.records = 4000;
        job.workers_min = 3;
        job.workers_max = draw (0, 1) ? 3 : options.workers;
    }
    if (faults.parted) {
        job.odd_data = false;
        job.portable = true;
        job.workers_min = 1;
    }
    return job;
}

/* By the seed and not by draw (), so that older seeds keep their runs. */
static void choose_poison (struct sim_job *job, uint32_t number)
{
    uint64_t luck = mix (options.seed * 131 + number, 815);
    if (options.calm || faults.gentle || job->small_data || luck % 5)
        return;
    job->poisons = 1 + (luck >> 8) % 2;
    job->poison_limit = (uint32_t)((luck >> 12) % 4);
    for (uint32_t i = 0; i < job->poisons; i++) {
        uint64_t more = mix (luck, i);
        job->poison_step[i] = more % (job->steps ? job->steps : 40);
        job->poison_micro_batch[i] = (uint32_t)(more >> 32) % job->micro_batches;
    }
    if ((luck >> 20) % 2)
        job->poison_step[1] = job->poison_step[0];
    if (job->poison_step[0] == job->poison_step[1] &&
        job->poison_micro_batch[0] == job->poison_micro_batch[1])
        job->poisons = 1;
}

/* One of which nobody can make anything, and which is not poison as well. */
static void choose_bad (struct sim_job *job, uint32_t number)
{
    uint64_t luck = mix (options.seed * 137 + number, 8151);
    if (options.calm || faults.gentle || job->small_data || job->poisons || luck % 12)
        return;
    job->bad = luck >> 8 & 1 ? BAD_NUMBER : BAD_INPUT;
    job->bad_step = (luck >> 16) % (job->steps ? job->steps : 40);
    job->bad_micro_batch = (uint32_t)(luck >> 40) % job->micro_batches % 64;
}

/* In some runs every job could use all workers, for long, so that what counts is who goes first. By the
 * seed, as before. */
static bool contended (void)
{
    return options.workers >= 3 && options.workers <= 64 && !faults.seen &&
           mix (options.seed, 2265) % 4 == 0;
}

static void contend (struct sim_job *job)
{
    if (!contended ())
        return;
    job->portable = true;
    job->micro_batches = job->micro_batches < options.workers ? options.workers : job->micro_batches;
    job->global_batch = 4 * job->micro_batches;
    job->records += job->global_batch;
    job->small_data = false;
    job->workers_min = 1 + job->workers_min % (1 + options.workers / 2);
    job->workers_max = 2 * options.workers;
    job->save_every += 20;
    job->epochs = 0;
    job->steps = 400 + 2 * (job->steps % 400);
}

static void submit_one (uint32_t who, uint64_t tag, void *data)
{
    (void)who, (void)tag;
    struct sim_job job;
    memcpy (&job, data, sizeof job);
    client_submit (&job);
}

/* Once nothing else happens, a long job that all others go before, and then one that goes before all. */
static void contend_in_peace (void)
{
    struct sim_job job = { .micro_batches = 64,
                           .global_batch = 256,
                           .window_steps = 16,
                           .workers_min = 1,
                           .workers_max = options.workers,
                           .save_every = 100,
                           .steps = 1000,
                           .records = 4000,
                           .priority = -1,
                           .portable = true };
    if (!contended () || faults.wrong)
        return;
    for (int64_t priority = -1; priority <= 9; priority += 10, job.workers_max--) {
        struct sim_job *copy = malloc (sizeof *copy);
        if (!copy)
            abort ();
        job.priority = priority;
        *copy = job;
        clock_after (priority < 0 ? 0 : 10000, submit_one, 0, 0, copy);
    }
}

/* --- the phases ------------------------------------------------------------------------------- */

static void begin (void)
{
    host_start ();
    for (uint32_t i = 0; i < options.workers; i++) {
        worker_at (i)->slow = chance (faults.slow);
        clock_after (draw (0, 3000), start_worker, i, 0, NULL);
        clock_after (draw (1000, 2000), every_second, i, 0, NULL);
    }
    if (faults.seen)
        clock_after (1000, faults.pauses ? pause_wrong : drain_wrong, faults.wrong_worker, 0, NULL);
    for (uint32_t i = 0; i < options.jobs; i++) {
        struct sim_job *job = malloc (sizeof *job);
        if (!job)
            abort ();
        *job = choose_job ();
        contend (job);
        choose_poison (job, i);
        choose_bad (job, i);
        clock_after (draw (0, i ? options.minutes * 40000u : 1000), submit_one, 0, 0, job);
    }
}

/* In some seeds it dies with each second generation that ends, to the end. */
static void until_host_is_up (void)
{
    for (uint32_t i = 0; i < 6 && !host_is_up (); i++)
        clock_run_until (clock_now () + 10000);
    CHECK (host_is_up (), "the coordinator did not come back");
}

static void stop_faults (void)
{
    uint32_t latency_max_ms = faults.latency_max_ms, disk_max_ms = faults.disk_max_ms;
    bool in_order = faults.in_order;
    uint32_t lease_ahead_ms = faults.lease_ahead_ms;
    uint32_t quarantine_failures = faults.quarantine_failures;
    struct faults old = faults;
    faults = (struct faults){ .wrong = old.wrong,
                              .audit_every = old.audit_every,
                              .wrong_worker = old.wrong_worker,
                              .wrong_since_ms = old.wrong_since_ms,
                              .seen = old.seen,
                              .pauses = old.pauses,
                              .restarts = old.restarts,
                              .slow_steps = old.slow_steps,
                              .parted = old.parted,
                              .refusing = old.refusing,
                              .part = { old.part[0], old.part[1] },
                              .lease_ahead_ms = lease_ahead_ms,
                              .quarantine_failures = quarantine_failures,
                              .jobs_max = old.jobs_max,
                              .history_ms = old.history_ms,
                              .latency_max_ms = latency_max_ms < 50 ? latency_max_ms : 50,
                              .disk_max_ms = disk_max_ms < 50 ? disk_max_ms : 50,
                              .in_order = in_order };
    network_heal ();
    until_host_is_up ();
    client_give_up ();
    clock_run_until (clock_now () + 2000); /* what is on the way arrives */
    uint32_t lost = options.calm || faults.seen ? 0 : (uint32_t)draw (0, options.workers / 3);
    for (uint32_t i = 0; i < options.workers; i++) {
        struct sim_worker *worker = worker_at (i);
        worker->never_returns = i >= options.workers - lost;
        if (worker->never_returns)
            worker_crash (i, false);
        else if (!worker->agent)
            worker_start (i);
    }
    client_settle ();
    priority_watch ();
    contend_in_peace ();
}

static bool all_over (void)
{
    if (!host_is_up ())
        return false;
    for (uint64_t i = 0; (i = coord_job_next (host_coord (), i));) {
        struct mu_wire_job_info info;
        coord_job_info (host_coord (), i, &info);
        if (!info.ended_ms)
            return false;
    }
    return coord_job_count (host_coord ()) == client_job_count ();
}

static bool any_poison (void)
{
    for (uint32_t i = 0; i < client_job_count (); i++)
        if (client_job_at (i)->poisons || client_job_at (i)->bad)
            return true;
    return false;
}

static bool somebody_is_held (void)
{
    for (uint32_t i = 0; i < options.workers; i++) {
        const struct sim_worker *worker = worker_at (i);
        if (worker->held_ms >= clock_now () || /* one was killed, and takes its time to end */
            (worker->trainer.alive && hold_lasts (&worker->trainer.hold)) ||
            (worker->collective.alive && hold_lasts (&worker->collective.hold)))
            return true;
    }
    return false;
}

/* Our crash is not theirs: nothing may break that would not have. */
static void crash_in_peace (void)
{
    while (host_disk_is_still ()) /* and who died meanwhile has not been heard of */
        clock_run_until (clock_now () + 1000);
    uint64_t before = check_unplanned ();
    clock_run_until (clock_now () + 12000);
    /* the ground still shakes, or may */
    if (check_unplanned () != before || somebody_is_held () || any_poison ())
        return;
    host_crash (draw (200, 4000));
    clock_run_until (clock_now () + 20000);
    until_host_is_up ();
    CHECK (check_unplanned () == before, "a generation broke because the coordinator was away");
}

/* Who neither dies nor works is replaced in time; so much is asked for where nothing else goes on. What
 * was held up took 12 s at most by itself, and some of its kind one after another up to 50; the core waits
 * for twice that, four times as long where nobody else holds the state. */
#define HANG_BOUND_MS 480000u

static void hang_in_peace (void)
{
    uint32_t number = (uint32_t)draw (0, options.workers - 1);
    struct sim_worker *worker = worker_at (number);
    struct trainer *trainer = &worker->trainer;
    bool whole = !draw (0, 2);
    if (!worker->agent || !trainer->going || hold_lasts (&trainer->hold) ||
        hold_lasts (&worker->collective.hold) || check_hangs (trainer->job))
        return;
    struct hold *hold = whole ? &worker->collective.hold : &trainer->hold;
    worker_hold (number, hold, FOR_EVER, trainer->computing && draw (0, 1) ? 'D' : 'T');
    uint64_t life = whole ? worker->collective.life : trainer->life;
    uint64_t job = trainer->job, lines = check_lines (job);
    clock_run_until (clock_now () + HANG_BOUND_MS);
    CHECK (life != (whole ? worker->collective.life : trainer->life) || !hold_lasts (hold) ||
               !(whole ? worker->collective.alive : trainer->alive),
           "a process of %s hangs, and nobody ended it", worker_name (number));
    CHECK (check_lines (job) == lines || check_hangs (job), "%s hung, and a line was blamed",
           worker_name (number));
}

/* Slow workers may have much to do: while checkpoints come there is time, but not for ever. */
static void run_until_over (void)
{
    uint64_t limit_ms = clock_now () + LIVENESS_MS, progress = check_progress ();
    for (uint32_t i = 0; i < LIVENESS_TIMES && !all_over (); i++) {
        while (clock_now () < limit_ms && !all_over ())
            clock_run_until (clock_now () + 10000);
        if (check_progress () <= progress)
            return;
        progress = check_progress ();
        limit_ms = clock_now () + LIVENESS_MS;
    }
}

/* By the seed and not by draw (), so that older seeds keep their runs. */
static void choose_memory (void)
{
    uint64_t luck = mix (options.seed, 6301);
    faults.jobs_max = luck % 3 == 0;
    faults.history_ms = luck / 3 % 2 ? 0 : (uint32_t)(luck / 6 % 20000);
}

static void run_seed (void)
{
    sim_reset (options.seed);
    choose_faults ();
    choose_memory ();
    choose_wrong ();
    choose_parted ();
    faults.hurry = !options.calm && !faults.seen && mix (options.seed, 7207) % 3 == 0;
    begin ();
    uint64_t end_ms = clock_now () + options.minutes * UINT64_C (60000);
    clock_run_until (clock_now () + 1500);
    if (!faults.seen)
        client_random (end_ms);
    hurry_begin (end_ms);
    clock_run_until (end_ms);
    stop_faults ();
    clock_run_until (clock_now () + 20000);
    if (!faults.wrong && !faults.parted)
        crash_in_peace ();
    client_settle (); /* a DRAIN of half a minute ago may have come once more */
    if (!options.calm && !faults.wrong && !faults.parted)
        hang_in_peace ();
    if (!options.calm && !faults.seen && draw (0, 3) == 0)
        worlds_cut_silently ();
    run_until_over ();
    clock_run_until (clock_now () + 1000); /* what was decided becomes durable */
    until_host_is_up ();
    check_end ();
    host_check_replay ();
    host_check_recording ();
}

/* --- main ------------------------------------------------------------------------------------- */

static uint64_t number_after (int argc, char **argv, int *at)
{
    char *end;
    if (*at + 1 >= argc)
        return 0;
    uint64_t number = strtoull (argv[++*at], &end, 10);
    if (*end) {
        fprintf (stderr, "sim: %s is no number\n", argv[*at]);
        exit (64);
    }
    return number;
}

/* A seed alone decides what was not said. */
static void choose_size (uint32_t workers, uint32_t jobs)
{
    uint64_t luck = mix (options.seed, 4711);
    options.workers = workers ? workers : 1 + (uint32_t)(luck % 9);
    if (!workers && options.wrong)
        options.workers = 5 + (uint32_t)(luck % 5);
    options.jobs = jobs ? jobs : 1 + (uint32_t)(luck >> 8) % 4;
}

static void report (uint64_t seeds, double seconds)
{
    const struct statistics *s = &statistics;
    printf (
        "%" PRIu64 " seeds in %.1f s: %" PRIu64 " happenings, %" PRIu64 " messages, %" PRIu64
        " steps, %" PRIu64 " generations, %" PRIu64 " rewinds; %" PRIu64 " coordinator, %" PRIu64
        " worker, %" PRIu64 " trainer, %" PRIu64 " collective crashes, %" PRIu64
        " failed saves, %" PRIu64 " cuts, %" PRIu64 " lines swallowed, %" PRIu64 " stops, %" PRIu64
        " hangs; %" PRIu64 " micro-batches kept, %" PRIu64
        " mismatches; jobs: %u done, %u failed, %u cancelled, %u forgotten; poison: %u found, %u "
        "skipped; "
        "%" PRIu64 " replays, %" PRIu64 " ledgers proven, %" PRIu64
        " steps finished by a second generation; %" PRIu64 " workers expelled, %" PRIu64
        " for what they did elsewhere, %" PRIu64 " disputes, %" PRIu64
        " states not their source's, %" PRIu64 " wrong steps; %" PRIu64
        " ranks connected ahead; %" PRIu64 " times shrunk for others, %" PRIu64
        " at most in peace, %" PRIu64 " seconds watched; %" PRIu64
        " events played again, from %" PRIu64 " images; %" PRIu64 " lies, %" PRIu64
        " of them about checkpoints and disbelieved; %" PRIu64
        " trainers began without a state; %" PRIu64
        " checkpoints were not what was committed; %" PRIu64 " were not there, %" PRIu64
        " of them for good; %" PRIu64 " writers hung, %" PRIu64 " of them ended, %" PRIu64
        " checkpoints overdue; %" PRIu64 " results doubted, %" PRIu64 " trainers refused; %" PRIu64
        " states came by half; %" PRIu64 " updates made of another's sums; %" PRIu64
        " steps misremembered; the disk stood still %" PRIu64 " times; %" PRIu64
        " checkpoints removed\n",
        seeds, seconds, s->happenings, s->messages, s->steps, s->generations, s->rewinds,
        s->host_crashes, s->worker_crashes, s->trainer_crashes, s->collective_crashes,
        s->save_failures, s->cuts, s->swallowed, s->stops, s->hangs, s->kept, s->mismatches,
        s->done, s->failed, s->cancelled, s->forgotten, s->poisons, s->skips, s->replays, s->proofs,
        s->joint_steps, s->expelled, s->elsewhere, s->disputes, s->differing, s->wrong_steps,
        s->connected_ahead, s->shrunk, s->most_shrunk, s->watched, s->played, s->images, s->lies,
        s->disbelieved, s->blanks, s->unsound, s->away, s->unread, s->writers_hung,
        s->writers_ended, s->overdue, s->doubts, s->refusals, s->halves, s->caught_up, s->missteps,
        s->disks, s->removed);
}

int main (int argc, char **argv)
{
    uint64_t seeds = 1;
    uint32_t workers = 0, jobs = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp (argv[i], "--seed"))
            options.seed = number_after (argc, argv, &i);
        else if (!strcmp (argv[i], "--seeds"))
            seeds = number_after (argc, argv, &i);
        else if (!strcmp (argv[i], "--workers"))
            workers = (uint32_t)number_after (argc, argv, &i);
        else if (!strcmp (argv[i], "--jobs"))
            jobs = (uint32_t)number_after (argc, argv, &i);
        else if (!strcmp (argv[i], "--minutes"))
            options.minutes = (uint32_t)number_after (argc, argv, &i);
        else if (!strcmp (argv[i], "--calm"))
            options.calm = true;
        else if (!strcmp (argv[i], "--lies"))
            options.lies = true;
        else if (!strcmp (argv[i], "--wrong"))
            options.wrong = true;
        else if (!strcmp (argv[i], "--verbose"))
            options.verbose = true;
        else if (!strcmp (argv[i], "--story") && i + 1 < argc)
            options.story = argv[++i];
        else if (!strcmp (argv[i], "--quiet") && i + 1 < argc)
            options.quiet = argv[++i];
        else if (!strcmp (argv[i], "--record") && i + 1 < argc)
            options.record = argv[++i];
        else {
            fprintf (stderr, "usage: sim [--seed N] [--seeds COUNT] [--workers W] [--jobs J] "
                             "[--minutes M] [--calm] [--lies] [--wrong] [--verbose] "
                             "[--record FILE] | "
                             "--story NAME [--record FILE] | --quiet NAME [--seed N] "
                             "[--seeds COUNT] [--verbose]\n");
            return 64;
        }
    }
    if (options.quiet)
        return quiet_run (options.quiet, seeds);
    if (options.story)
        return story_run (options.story);
    clock_t began = clock ();
    for (uint64_t i = 0; i < seeds; i++, options.seed++) {
        choose_size (workers, jobs);
        run_seed ();
    }
    report (seeds, (double)(clock () - began) / CLOCKS_PER_SEC);
    return 0;
}
