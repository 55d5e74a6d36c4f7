/* SPDX-License-Identifier: Apache-2.0 */
/* quiet.c - what each change costs when nothing else happens, counted in virtual time
 *
 *     sim --quiet NAME [--seed N] [--seeds COUNT]
 *
 * In a quiet world nobody fails but who is told to, words keep their order, and whatever is around the
 * cores (a word, the disk, a process that starts, ends or connects) takes a hop: from one millisecond
 * to a few. So what is waited for can be written down as a number of hops, as each scene does beside
 * what it does, and as those waits of timing.h that are meant. Whatever comes on top is a wait that
 * nobody wrote down: a beat, a repeat or a limit where an event should have told.
 *
 * Seeds choose how many workers there are, how long a hop may take, and the moment. */
#include "scenes.h"
#include "sim.h"

#include "agent_timing.h"
#include "timing.h"

#include <string.h>

#define STEPS_MAX   4096u
#define WORKERS_MAX 8u

/* --- what is seen of a job --------------------------------------------------------------------- */

struct seen {
    uint64_t newest, newest_ms; /* the newest step that some rank has finished, and when */
    uint64_t gap_ms;            /* the longest between two of them, since somebody looked */
    uint64_t generation;        /* the newest in which one was finished */
    uint32_t again;             /* micro-batches that were computed more than once */
    uint64_t made[STEPS_MAX];   /* bits: micro-batches of this step that were computed */
};

static struct seen jobs[3];
static bool plays;

void quiet_finished (uint64_t job, uint64_t generation, uint64_t step)
{
    struct seen *seen = &jobs[job < 3 ? job : 0];
    if (!plays)
        return;
    if (generation > seen->generation)
        seen->generation = generation;
    if (step <= seen->newest)
        return;
    if (seen->newest_ms && clock_now () - seen->newest_ms > seen->gap_ms)
        seen->gap_ms = clock_now () - seen->newest_ms;
    seen->newest = step;
    seen->newest_ms = clock_now ();
}

void quiet_computed (uint64_t job, uint64_t step, uint64_t micro_batches)
{
    struct seen *seen = &jobs[job < 3 ? job : 0];
    if (!plays || step >= STEPS_MAX)
        return;
    seen->again += (uint32_t)__builtin_popcountll (seen->made[step] & micro_batches);
    seen->made[step] |= micro_batches;
}

/* --- the world --------------------------------------------------------------------------------- */

static uint32_t size;                  /* workers that train when it begins */
static uint32_t lease_ahead_ms;        /* 0: the default */
/* Who is welcome nowhere says after so many what it has trained, and little else. */
static uint32_t window_steps;
static uint64_t mark;                  /* a generation */
static uint32_t want;                  /* members, or the worker in question */

static uint32_t batches (void) { return 2 * WORKERS_MAX; }

static uint64_t hops (uint64_t count) { return count * faults.quick_ms; }

/* At most, of a step on so many workers: the largest share, its reduction, and what the others are
 * later; once more a micro-batch that was under way when it was interrupted. */
static uint64_t step_ms (uint32_t members)
{
    return QUIET_BATCH_MS * ((batches () + members - 1) / members + 1) + hops (2);
}

static void submit (uint32_t min, uint32_t max, int64_t priority, uint64_t steps,
                    uint32_t save_every)
{
    client_submit (&(struct sim_job){ .micro_batches = batches (),
                                      .global_batch = 4 * batches (),
                                      .window_steps = window_steps,
                                      .workers_min = min,
                                      .workers_max = max,
                                      .save_every = save_every,
                                      .steps = steps,
                                      .records = 4000,
                                      .priority = priority,
                                      .portable = true });
}

static void fall_quiet (uint32_t more)
{
    options.workers = size + more;
    sim_reset (options.seed);
    memset (jobs, 0, sizeof jobs);
    faults.quick_ms = (uint32_t)(1 + options.seed / WORKERS_MAX % 3);
    faults.latency_max_ms = faults.disk_max_ms = faults.quick_ms;
    if (options.seed / 3 / WORKERS_MAX % 2) /* nobody is compared but who leaves */
        faults.audit_every = STEPS_MAX;
    faults.lease_ahead_ms = lease_ahead_ms;
    host_start ();
    for (uint32_t i = 0; i < size; i++)
        worker_start (i);
}

static bool trains (void) { return jobs[1].newest >= 20; }

/* When it has come: what it took, which must be no more than that. */
static void wait_for (bool (*has_come) (void), uint64_t limit_ms, const char *what)
{
    uint64_t since_ms = clock_now ();
    while (!has_come () && clock_now () < since_ms + limit_ms + 60000)
        clock_run_until (clock_now () + 1);
    uint64_t took_ms = clock_now () - since_ms;
    if (sim_traces ())
        sim_trace ("%s took %" PRIu64 " of at most %" PRIu64 " ms", what, took_ms, limit_ms);
    CHECK (took_ms <= limit_ms, "%s took %" PRIu64 " ms, and may take %" PRIu64, what, took_ms,
           limit_ms);
    scenes_waited (took_ms, limit_ms);
}

/* The same of what others noticed of it: their longest step. */
static void check_gap (uint64_t job, uint64_t limit_ms, const char *what)
{
    if (sim_traces ())
        sim_trace ("the longest step was %" PRIu64 " of at most %" PRIu64 " ms", jobs[job].gap_ms,
                   limit_ms);
    CHECK (jobs[job].gap_ms <= limit_ms,
           "a step took %" PRIu64 " ms while %s, and may take %" PRIu64, jobs[job].gap_ms, what,
           limit_ms);
}

static void check_again (uint64_t job, uint32_t limit)
{
    CHECK (jobs[job].again <= limit, "%u micro-batches were computed again, and %u had to be",
           jobs[job].again, limit);
}

/* A job of step after step, in which something is about to happen, at any moment. */
static void train (uint32_t min, uint32_t more)
{
    fall_quiet (more);
    submit (min, size + more, 0, STEPS_MAX, STEPS_MAX);
    while (!trains () && clock_now () < 60000)
        clock_run_until (clock_now () + 1);
    CHECK (trains (), "nothing trains");
    clock_run_until (clock_now () + draw (0, 700));
    mark = check_generation (1);
    jobs[1].gap_ms = 0;
}

static uint32_t victim (void) { return (uint32_t)draw (0, size - 1); }

static bool trains_anew (void) { return jobs[1].generation > mark; }

/* How many ranks the job's generation has, if it trains. */
static bool has_members (void)
{
    struct mu_wire_job_info info;
    return host_is_up () && coord_job_info (host_coord (), 1, &info) == 0 && check_is_running (1) &&
           info.workers == want && coord_member (host_coord (), 1, want - 1) &&
           !coord_member (host_coord (), 1, want);
}

static bool is_free (void) { return !worker_at (want)->agent || !worker_at (want)->trainer.alive; }

static bool is_over (void)
{
    struct mu_wire_job_info info;
    coord_job_info (host_coord (), 1, &info);
    return info.ended_ms != 0;
}

/* --- what a change is made of, in hops --------------------------------------------------------- */

enum {
    TOLD = 3,   /* of a death: a peer's collective fails, is reaped, its agent's DOWN */
    BREAK = 4,  /* the record, ABORT, the trainer leaves (and the collective is reaped), ABORTED */
    READY = 4,  /* ... ready, READY, the record, GO */
    FENCES = 6, /* twice: at the fence, FENCE, FENCED */
    FORM = 2 + FENCES + 1 + READY, /* the record, FORM, ..., connected */
    FORM_AHEAD = 2 + READY,        /* connected already */
    AHEAD = 1 + FENCES + 3,        /* CONNECT, ..., connected, told so, CONNECTED */
    PREPARE = 3,                   /* ASSIGN, the trainer opens its data, PREPARED */
    RELEASE = 3,                   /* RELEASE, the trainer is reaped, RELEASED */
    ASKED = 2,                     /* a client's request, and its way */
};

/* REVIEW names a step that comes so much later, as far as is known; it is made, and what was compared
 * in it is said, and stored. */
static uint64_t review_ms (uint32_t members)
{
    return COORD_BEAT_MS + COORD_REVIEW_LEAD_MS + 2 * step_ms (members) + hops (3);
}

/* They end the step that is under way, and several one more: LEASE, BEAT. */
static uint64_t stand_ms (uint32_t members, uint32_t standing)
{
    return (standing > 1 ? 2 : 1) * (step_ms (members) + hops (2));
}

/* From when some are to leave to the break. The world ahead is connected meanwhile. */
static uint64_t let_go_ms (uint32_t members, uint32_t leavers)
{
    return review_ms (members) + stand_ms (members, leavers);
}

/* --- deaths ------------------------------------------------------------------------------------ */

static uint64_t redo_ms (uint32_t left) { return hops (TOLD + BREAK + FORM) + step_ms (left); }

static void agent_dies (void)
{
    train (1, 0);
    worker_crash (victim (), false);
    wait_for (trains_anew, redo_ms (size - 1), "a step after a worker's death");
    check_again (1, batches () / size + 1);
}

static void trainer_dies (void)
{
    train (1, 0);
    trainer_kill (victim ());
    /* ... and where it is back so soon that no step was made meanwhile, a planned break */
    wait_for (trains_anew, redo_ms (size - 1) + hops (BREAK + FORM_AHEAD),
              "a step after a trainer's death");
    check_again (1, batches () / size + 1);
    want = size;
    wait_for (has_members,
              hops (PREPARE + AHEAD + BREAK + FORM_AHEAD) + stand_ms (size - 1, size - 1),
              "a trainer's return");
}

/* The others cannot go on without it. */
static void needed_trainer_dies (void)
{
    train (size, 0);
    trainer_kill (victim ());
    wait_for (trains_anew, redo_ms (size) + hops (PREPARE),
              "a step after a needed trainer's death");
}

static void collective_dies (void)
{
    train (1, 0);
    collective_kill (victim ());
    wait_for (trains_anew, redo_ms (size), "a step after a collective's death");
    check_again (1, 0);
}

/* One after the other, as soon as the others have made a step. */
static void many_die (void)
{
    train (1, 0);
    for (uint32_t i = 0; i + 1 < size; i++) {
        mark = check_generation (1);
        worker_crash (i, false);
        wait_for (trains_anew, redo_ms (size - 1 - i), "a step after the death after a death");
    }
}

/* While the others form without the first. */
static void two_die (void)
{
    train (1, 0);
    uint32_t first = victim ();
    worker_crash (first, false);
    clock_run_until (clock_now () + draw (0, hops (TOLD + BREAK + FORM)));
    mark = check_generation (1);
    worker_crash ((first + 1) % size, false);
    wait_for (trains_anew, redo_ms (size) + redo_ms (size - 2), "a step after two deaths");
}

/* All of it stands still, and no connection ends. */
static void host_falls_silent (void)
{
    train (1, 0);
    uint32_t number = victim ();
    worker_hold (number, &worker_at (number)->trainer.hold, FOR_EVER, 'S');
    worker_hold (number, &worker_at (number)->collective.hold, FOR_EVER, 'S');
    worker_freeze (number, UINT64_C (1) << 40);
    network_swallow (number);
    wait_for (trains_anew, COORD_LOST_MS + redo_ms (size - 1), "a step after a silence");
}

/* --- coming and going -------------------------------------------------------------------------- */

static uint64_t planned_ms (uint32_t members)
{
    return hops (BREAK + FORM_AHEAD) + step_ms (members);
}

static void joins (void)
{
    train (1, 1);
    want = size + 1;
    worker_start (size);
    wait_for (has_members,
              COORD_PLACE_MS + hops (1 + PREPARE + AHEAD + BREAK + FORM_AHEAD) +
                  stand_ms (size, size),
              "a join");
    mark = check_generation (1) - 1;
    wait_for (trains_anew, step_ms (size + 1), "the first step with a joiner");
    check_gap (1, planned_ms (size), "a worker joined");
    check_again (1, 0);
}

static void leaves (void (*tell) (uint32_t worker), uint64_t asked_ms)
{
    train (1, 0);
    uint32_t number = want = victim ();
    tell (number);
    wait_for (is_free, asked_ms + let_go_ms (size, 1) + hops (BREAK + RELEASE), "a worker's leave");
    want = size - 1;
    wait_for (has_members, hops (FORM_AHEAD), "the generation without it");
    clock_run_until (clock_now () + 100);
    check_gap (1, planned_ms (size - 1), "a worker left");
    check_again (1, 0);
}

static void drain_it (uint32_t number) { client_drain (number, false); }
static void stop_it (uint32_t number)
{
    worker_at (number)->never_returns = true, worker_stop (number);
}

static void is_drained (void) { leaves (drain_it, hops (ASKED + 1)); }
static void is_told_to_stop (void) { leaves (stop_it, hops (1)); }

static void scales (void)
{
    train (1, 0);
    client_scale (1, want = size - 1);
    wait_for (has_members,
              COORD_PLACE_MS + hops (ASKED + 1) + let_go_ms (size, 1) + hops (BREAK + FORM_AHEAD),
              "a job's shrinking");
    clock_run_until (clock_now () + draw (0, 700));
    client_scale (1, want = size);
    wait_for (has_members,
              COORD_PLACE_MS + hops (ASKED + 1 + PREPARE + AHEAD + BREAK + FORM_AHEAD) +
                  stand_ms (size - 1, size - 1),
              "a job's growth");
    check_gap (1, planned_ms (size - 1), "it was scaled");
    check_again (1, 0);
}

static bool second_trains (void) { return jobs[2].newest > 0; }

/* One of higher priority takes all but one; when it is cancelled they grow back. */
static void is_preempted (void)
{
    train (1, 0);
    submit (size - 1, size - 1, 5, STEPS_MAX, STEPS_MAX);
    wait_for (second_trains,
              hops (ASKED + 1) + COORD_PLACE_MS + let_go_ms (size, size - 1) +
                  hops (BREAK + RELEASE) + COORD_PLACE_MS + hops (1 + PREPARE + 1 + FORM) +
                  step_ms (size - 1),
              "a job's first step on others' workers");
    clock_run_until (clock_now () + draw (0, 700));
    check_gap (1, planned_ms (1), "it was shrunk");
    jobs[1].gap_ms = 0;
    client_control (2, 1);
    want = size;
    wait_for (has_members,
              hops (ASKED + 1 + RELEASE) + COORD_PLACE_MS +
                  hops (PREPARE + AHEAD + BREAK + FORM_AHEAD) + stand_ms (1, 1),
              "the growth of who was shrunk");
    check_gap (1, planned_ms (1), "it grew back");
    check_again (1, 0);
}

static bool is_paused (void)
{
    struct mu_wire_job_info info;
    return coord_job_info (host_coord (), 1, &info) == 0 &&
           !strcmp (info.state, mu_job_state_name (MU_JOB_PAUSED));
}

/* What all ranks held when it was saved goes into its record: whoever loads it can be compared. */
static void check_sum (void)
{
    struct mu_journal record = { .type = MU_JOURNAL_SUBMIT };
    for (uint64_t at = host_records (); at > 0 && record.type != MU_JOURNAL_COMMIT; at--)
        host_record (at - 1, &record);
    CHECK (record.type == MU_JOURNAL_COMMIT &&
               record.commit.state_sum == chain_state (1, record.commit.step),
           "what is saved for a pause has no sum");
}

static void is_paused_and_resumed (void)
{
    train (1, 0);
    client_control (1, 2);
    /* ... one is told to save, which is stored; the file; SAVED, and the record of that; the end's */
    wait_for (is_paused,
              hops (ASKED + 1) + let_go_ms (size, size) + hops (BREAK + 2) + QUIET_WRITE_MS +
                  hops (2 + RELEASE + 1),
              "a job's pause");
    if (size > 1)
        check_sum ();
    mark = check_generation (1);
    client_control (1, 3);
    wait_for (trains_anew,
              hops (ASKED + 1) + COORD_PLACE_MS + hops (1 + PREPARE + FORM) + step_ms (size),
              "a job's return");
    check_again (1, 0);
}

/* --- the rest of a job's life ------------------------------------------------------------------ */

static void begins (void)
{
    fall_quiet (0);
    clock_run_until (clock_now () + draw (50, 700));
    submit (size, size, 0, STEPS_MAX, STEPS_MAX);
    mark = 0;
    wait_for (trains_anew,
              hops (ASKED + 1) + COORD_PLACE_MS + hops (1 + PREPARE + 1 + FORM) + step_ms (size),
              "a job's first step");
}

/* A beat tells that half of what is leased is used, long before all is. The first generation's lease is for a
 * pace that nobody has yet; that of the second is as long as the option says. */
static void renews_leases (void)
{
    lease_ahead_ms = 4 * COORD_BEAT_MS;
    train (1, 0);
    collective_kill (victim ());
    wait_for (trains_anew, redo_ms (size), "a step of a second generation");
    jobs[1].gap_ms = 0;
    for (uint64_t end_ms = clock_now () + 3000; clock_now () < end_ms;) {
        clock_run_until (clock_now () + 1);
        for (uint32_t i = 0; i < size; i++)
            CHECK (worker_at (i)->trainer.phase != MU_PHASE_UNLEASED, "%s waits for a lease",
                   worker_name (i));
    }
    check_gap (1, step_ms (size), "leases were renewed");
}

static bool has_saved (void)
{
    struct mu_wire_job_info info;
    return coord_job_info (host_coord (), 1, &info) == 0 && info.weights_step >= want;
}

/* While one is written, nobody waits; written, it is promised. */
static void saves (void)
{
    fall_quiet (0);
    submit (size, size, 0, STEPS_MAX, 40);
    for (want = 40; want <= 160; want += 40) {
        while (jobs[1].newest < want && clock_now () < 60000)
            clock_run_until (clock_now () + 1);
        jobs[1].gap_ms = want == 40 ? 0 : jobs[1].gap_ms;
        wait_for (has_saved, QUIET_WRITE_MS + hops (2), "a checkpoint");
    }
    check_gap (1, step_ms (size), "checkpoints were written");
}

static void ends (void)
{
    fall_quiet (0);
    submit (size, size, 0, 100, STEPS_MAX);
    while (jobs[1].newest < 100 && clock_now () < 60000)
        clock_run_until (clock_now () + 1);
    wait_for (is_over, QUIET_WRITE_MS + hops (1 + 2 + RELEASE + 1), "the end of a job");
}

static bool is_known_to_all (void)
{
    bool all = host_is_up ();
    for (uint32_t i = 0; i < size && all; i++)
        all = agent_welcome (worker_at (i)->agent) &&
              agent_term (worker_at (i)->agent) == coord_term (host_coord ());
    return all;
}

/* For so short that nobody calls it gone. */
static uint64_t restart (void)
{
    uint64_t away_ms = draw (50, COORD_LOST_MS / 2);
    host_crash (away_ms);
    return away_ms;
}

/* BEAT, WHO, HELLO, WELCOME */
static uint64_t return_ms (void) { return COORD_BEAT_MS + hops (4); }

static void coordinator_restarts (void)
{
    train (1, 0);
    wait_for (is_known_to_all, restart () + return_ms (), "a restart of the coordinator");
    clock_run_until (clock_now () + COORD_RESTART_GRACE_MS + 1000);
    CHECK (check_generation (1) == mark, "a restart of the coordinator cost a generation");
    check_gap (1, step_ms (size), "the coordinator was away");
    check_again (1, 0);
}

/* Nothing that is decided is said, so workers look for somebody who speaks; nobody is held to be gone for that. */
static void disk_stands_still (void)
{
    window_steps = 256;
    train (1, 0);
    uint64_t stands_ms = draw (100, COORD_LEASE_AHEAD_MS / 2);
    host_disk_stands (stands_ms);
    clock_run_until (clock_now () + stands_ms);
    wait_for (is_known_to_all, MU_DIAL_LIMIT_MS + hops (4), "the coordinator's words");
    clock_run_until (clock_now () + COORD_RESTART_GRACE_MS);
    CHECK (check_generation (1) == mark, "the coordinator's disk cost a generation");
    check_gap (1, step_ms (size), "the coordinator's disk stood still");
    check_again (1, 0);
}

/* It cannot be said that the generation is over, nor whose place each takes in the next. */
static void collective_dies_meanwhile (void)
{
    window_steps = 256;
    train (1, 0);
    uint64_t stands_ms = draw (100, COORD_LEASE_AHEAD_MS / 2), end_ms = clock_now () + stands_ms;
    host_disk_stands (stands_ms);
    clock_run_until (clock_now () + draw (0, stands_ms));
    collective_kill (victim ());
    clock_run_until (end_ms);
    want = size;
    wait_for (has_members, MU_DIAL_LIMIT_MS + redo_ms (size), "all members");
    check_again (1, 0);
}

/* The others are back, and whoever has not come for so long after them is lost. */
static void worker_dies_meanwhile (void)
{
    train (1, 0);
    uint64_t away_ms = restart ();
    worker_crash (victim (), false);
    wait_for (trains_anew, away_ms + return_ms () + COORD_COME_MS + redo_ms (size - 1),
              "a step after a death without a coordinator");
}

/* Once all are back whoever is free is given something to do. */
static void joins_after_restart (void)
{
    train (1, 1);
    want = size + 1;
    wait_for (host_is_up, restart (), "a coordinator");
    worker_start (size);
    wait_for (has_members,
              COORD_RETURN_MS + hops (2 + PREPARE + AHEAD + BREAK + FORM_AHEAD) +
                  stand_ms (size, size),
              "a join after a restart of the coordinator");
    check_gap (1, planned_ms (size), "the coordinator was away and a worker joined");
    check_again (1, 0);
}

/* --- all of them ------------------------------------------------------------------------------- */

static const struct scene scenes[] = {
    { "agent-dies", agent_dies, 2 },
    { "trainer-dies", trainer_dies, 2 },
    { "needed-trainer-dies", needed_trainer_dies, 2 },
    { "collective-dies", collective_dies, 2 },
    { "many-die", many_die, 2 },
    { "two-die", two_die, 3 },
    { "host-falls-silent", host_falls_silent, 2 },
    { "joins", joins, 1 },
    { "is-drained", is_drained, 2 },
    { "is-told-to-stop", is_told_to_stop, 2 },
    { "scales", scales, 2 },
    { "is-preempted", is_preempted, 2 },
    { "is-paused-and-resumed", is_paused_and_resumed, 1 },
    { "begins", begins, 1 },
    { "renews-leases", renews_leases, 1 },
    { "saves", saves, 1 },
    { "ends", ends, 1 },
    { "coordinator-restarts", coordinator_restarts, 1 },
    { "disk-stands-still", disk_stands_still, 1 },
    { "collective-dies-meanwhile", collective_dies_meanwhile, 2 },
    { "worker-dies-meanwhile", worker_dies_meanwhile, 2 },
    { "joins-after-restart", joins_after_restart, 1 },
};

static uint64_t seeds;

static void play (const struct scene *scene)
{
    uint64_t first = options.seed;
    options.quiet = scene->name;
    for (; options.seed < first + seeds; options.seed++) {
        size = scene->least + (uint32_t)(options.seed % (WORKERS_MAX + 1 - scene->least));
        lease_ahead_ms = 0;
        window_steps = 8;
        scene->play ();
        host_check_replay ();
        host_check_recording ();
    }
    options.seed = first;
}

int quiet_run (const char *name, uint64_t seeds_of_each)
{
    plays = options.calm = true;
    seeds = seeds_of_each;
    return scenes_run ("sim", scenes, sizeof scenes / sizeof *scenes, name, play);
}
