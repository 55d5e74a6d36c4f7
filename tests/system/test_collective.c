/* SPDX-License-Identifier: Apache-2.0 */
/* test_collective.c - worlds of real muster-collective processes: what they must do
 *
 * What they must not do, whatever happens to them, is in test_collective_faults.c. */
#include "tests/system/collective_bed.h"
#include "tests/system/tap.h"

#include "common/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READY_MS = 20000, STEPS = 3 };

static struct bed bed;

/* --- reductions ------------------------------------------------------------------------------- */

/* These ranks are alone, as if each were on a host of its own. */
static void set_far (unsigned far)
{
    for (unsigned r = 0; r < bed.size; r++)
        atomic_store (&bed.ranks[r].region->control->collective.far, far >> r & 1);
}

/* Buckets in no order, with a hole, from one element to more than a piece. */
static void reduces (unsigned size, enum mu_element element, unsigned far)
{
    const struct mu_region_bucket buckets[] = {
        { 100, 1300000 }, { 0, 1 }, { 1300100, 17 }, { 1, 99 }, { 1300117, 65536 }
    };
    const struct mu_region_layout layout = { element, 4096, 1365653, 5, buckets };
    unsigned done = 0;
    bed_open (&bed, size, &layout);
    set_far (far);
    bool formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    for (uint64_t step = 0; formed && step < STEPS; step++)
        done += bed_step (&bed, step);
    ok (formed && done == STEPS * size && bed.wrong == 0,
        "%u ranks, alone on their hosts %#x, reduce int%d: %u of %u results, %llu wrong "
        "elements%s%s",
        size, far, 8 * (int)element, done, STEPS * size, (unsigned long long)bed.wrong,
        formed ? "" : "; not formed: ", bed.ranks[0].text);
    bed_end (&bed);
    bed_close (&bed);
}

static void reduces_all (void)
{
    for (unsigned size = 1; size <= 5; size++) {
        reduces (size, MU_ELEMENT_INT32, 0);
        reduces (size, MU_ELEMENT_INT64, 0);
    }
    for (unsigned size = 2; size <= 4; size++)
        reduces (size, MU_ELEMENT_INT32, 0xf); /* by MPI alone */
    reduces (4, MU_ELEMENT_INT32, 1 << 0); /* the first of three that share a host is not rank 0 */
    reduces (4, MU_ELEMENT_INT64, 1 << 2);
    reduces (5, MU_ELEMENT_INT32, 1 << 1 | 1 << 4);
}

static void leaves_holes_alone (void)
{
    const struct mu_region_bucket buckets[] = { { 0, 10 }, { 20, 10 } };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, 30, 2, buckets };
    bed_open (&bed, 2, &layout);
    bool right = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    int32_t *result = bed.ranks[0].region->result;
    for (int i = 0; i < 30; i++)
        result[i] = 77;
    right = right && bed_step (&bed, 0) == 2;
    for (int i = 10; i < 20; i++)
        right = right && result[i] == 77;
    ok (right && bed.wrong == 20 /* the hole, on both */, "what is in no bucket stays as it was");
    bed_end (&bed);
    bed_close (&bed);
}

/* --- overlap ---------------------------------------------------------------------------------- */

enum { BUCKETS = 64, BUCKET_ELEMENTS = 10000 };

static void *mark_slowly (void *argument)
{
    unsigned rank = *(unsigned *)argument;
    struct mu_error error;
    for (uint32_t i = 0; i < BUCKETS; i++) { /* odd ranks from the end */
        uint32_t b = rank % 2 ? BUCKETS - 1 - i : i;
        nanosleep (&(struct timespec){ .tv_nsec = 300000 * (1 + rank) }, NULL);
        if (mu_comm_bucket_ready (bed.ranks[rank].comm, b, &error))
            abort ();
    }
    return NULL;
}

static void overlaps (void)
{
    struct mu_region_bucket buckets[BUCKETS];
    for (unsigned b = 0; b < BUCKETS; b++)
        buckets[b] =
            (struct mu_region_bucket){ (BUCKETS - 1 - b) * BUCKET_ELEMENTS, BUCKET_ELEMENTS };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, BUCKETS * BUCKET_ELEMENTS,
                                             BUCKETS, buckets };
    unsigned done = 0;
    bed_open (&bed, 3, &layout);
    bool formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    for (uint64_t step = 0; formed && step < STEPS; step++) {
        pthread_t threads[3];
        unsigned ranks[3] = { 0, 1, 2 };
        bed_begin (&bed, step);
        for (unsigned r = 0; r < 3; r++)
            if (pthread_create (&threads[r], NULL, mark_slowly, &ranks[r]))
                abort ();
        done += bed_collect (&bed, step, READY_MS);
        for (unsigned r = 0; r < 3; r++)
            pthread_join (threads[r], NULL);
    }
    ok (done == STEPS * 3 && bed.wrong == 0,
        "64 buckets marked late, in any order, by other threads: %u results, %llu wrong", done,
        (unsigned long long)bed.wrong);
    const struct mu_region_control *control = bed.ranks[0].region->control;
    ok (control->collective.waited_ns > 0 && control->collective.reduced_ns > 0 &&
            control->collective.progress >= STEPS * BUCKETS,
        "it tells how long it waited and reduced, and its progress");
    bed_end (&bed);
    bed_close (&bed);
}

/* --- generations ------------------------------------------------------------------------------ */

static const struct mu_region_bucket one_bucket[] = { { 0, 50000 } };
static const struct mu_region_layout small = { MU_ELEMENT_INT32, 4096, 50000, 1, one_bucket };

static void spares (void)
{
    bed_open (&bed, 3, &small);
    bed_start (&bed, bed_program ("muster-collective"));
    for (int i = 0; i < 20; i++)
        bed_pump (&bed, 10);
    bool idle = !bed.ranks[0].ended && !bed.ranks[0].ready &&
                mu_collective_generation (bed.ranks[0].collective) == 0;
    bed_form (&bed);
    bool ready = bed_await_ready (&bed, READY_MS);
    bed_go (&bed);
    ok (idle && ready && bed_step (&bed, 0) == 3 && bed.wrong == 0,
        "spares wait for their generation, then form it");
    bed_end (&bed);
    bed_close (&bed);
}

static void goes_on (void)
{
    bed_open (&bed, 4, &small);
    bool right = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    right = right && bed_step (&bed, 0) == 4;
    for (uint64_t step = 1; step < 4 && right; step++) {
        bed_begin (&bed, step);
        mu_collective_kill (bed.ranks[bed.size - 1].collective); /* before the last is marked */
        bed_mark (&bed);
        right = bed_collect (&bed, step, READY_MS) == 0;
        bed_end (&bed);
        bed.size--;
        bed.step = step;
        right = right && bed_world (&bed, bed_program ("muster-collective"), READY_MS) &&
                bed_step (&bed, step) == bed.size;
    }
    ok (right && bed.size == 1 && bed.wrong == 0,
        "four ranks lose one after the other, and redo each step without it");
    bed_end (&bed);
    bed_close (&bed);
}

static void survives_launchers (void)
{
    static const char *const left[] = { "PMI_FD",      "PMI_RANK",    "PMI_SIZE",
                                        "PMI_PORT",    "PMI_SPAWNED", "PMIX_RANK",
                                        "PMI2_x",      "OMPI_x",      "OMPI_COMM_WORLD_RANK",
                                        "HYDI_x",      "SLURM_JOBID", "SLURM_PROCID",
                                        "SLURM_NTASKS" };
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        setenv (left[i], "7", 1);
    setenv ("PMI_PORT", "127.0.0.1:1", 1);
    bed_open (&bed, 2, &small);
    bool right = bed_world (&bed, bed_program ("muster-collective"), READY_MS) &&
                 bed_step (&bed, 0) == 2 && bed.wrong == 0;
    ok (right, "what mpirun or Slurm left in the environment does no harm");
    bed_end (&bed);
    bed_close (&bed);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unsetenv (left[i]);
}

/* --- state ------------------------------------------------------------------------------------ */

enum { STATE_BYTES = 9 * 1024 * 1024 + 13 };

static void fill_state (unsigned rank, unsigned seed)
{
    unsigned char *state = bed.ranks[rank].region->state;
    for (size_t i = 0; i < STATE_BYTES; i++)
        state[i] = (unsigned char)((i + seed) * 2654435761u >> 13);
}

static bool same_state (unsigned a, unsigned b)
{
    return !memcmp (bed.ranks[a].region->state, bed.ranks[b].region->state, STATE_BYTES);
}

static void open_with_state (unsigned size)
{
    static const struct mu_region_layout layout = { MU_ELEMENT_INT32, STATE_BYTES, 50000, 1,
                                                    one_bucket };
    bed_open (&bed, size, &layout);
    bed.source_rank = 1;
    bed.step = 5;
    for (unsigned r = 0; r < size; r++)
        fill_state (r, 1);
}

/* `far`: these ranks' states do not come as memory, as if they were on other hosts. */
static void broadcasts_state (unsigned far, const char *how)
{
    open_with_state (4);
    set_far (far);
    fill_state (0, 2);
    fill_state (3, 3);
    bed.receives[0] = bed.receives[3] = MU_RECEIVES_STATE;
    bool formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    ok (formed && same_state (0, 1) && same_state (3, 1) && bed_step (&bed, 5) == 4,
        "ranks that are behind receive the state %s, the others compare", how);
    bed_end (&bed);
    bed.step = 6;
    bed.receives[0] = bed.receives[3] = MU_RECEIVES_NOTHING;
    formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    ok (formed && bed_step (&bed, 6) == 4 && bed.wrong == 0, "equal ranks compare, and go on");
    bed_end (&bed);
    bed_close (&bed);
}

/* Ranks 1 and 2 have made a step of what was reduced, and go on to the next; 0 and 3 did not hear of it. */
static void part_after_step (unsigned far)
{
    open_with_state (4);
    set_far (far);
    bool stepped = bed_world (&bed, bed_program ("muster-collective"), READY_MS) &&
                   bed_step (&bed, 5) == 4 && bed.wrong == 0;
    struct mu_error error;
    static char result[50000 * 4];
    memcpy (result, bed.ranks[1].comm->result, sizeof result);
    for (unsigned r = 1; r < 3; r++) {
        bed_fill (&bed, r, 6);
        stepped = stepped && !mu_comm_begin (bed.ranks[r].comm, 6, 0, &error) &&
                  !mu_comm_bucket_ready (bed.ranks[r].comm, 0, &error);
    }
    for (int64_t end = bed_now_ms () + 50; bed_now_ms () < end;)
        bed_pump (&bed, 10);
    ok (stepped && !memcmp (result, bed.ranks[1].comm->result, sizeof result) &&
            mu_comm_keeps (bed.ranks[1].comm),
        "a result is kept until all ranks have begun the next step");
    bed_end (&bed);
    for (unsigned r = 0; r < 4; r++)
        fill_state (r, r % 3 ? 9 : 1);
    memset (bed.ranks[0].region->result, 0, sizeof result);
    memset (bed.ranks[3].region->result, 0, sizeof result);
    bed.step = 6;
    bed.made[1] = bed.made[2] = true;
    bed.receives[0] = bed.receives[3] = MU_RECEIVES_SUMS;
}

/* The update of those that take them, or another. */
static void catch_up (unsigned rank, unsigned seed)
{
    fill_state (rank, seed);
    mu_comm_caught_up (bed.ranks[rank].comm);
}

static void gives_sums (unsigned far, const char *how)
{
    part_after_step (far);
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    bool taken = bed_take_sums (&bed, 0, READY_MS) == MU_COMM_DONE &&
                 bed_take_sums (&bed, 3, READY_MS) == MU_COMM_DONE;
    ok (taken && !same_state (0, 1) &&
            !memcmp (bed.ranks[0].comm->result, bed.ranks[1].comm->result, 50000 * 4) &&
            !memcmp (bed.ranks[3].comm->result, bed.ranks[1].comm->result, 50000 * 4) &&
            mu_comm_keeps (bed.ranks[3].comm),
        "ranks that are one update behind are given its sums %s", how);
    catch_up (0, 9);
    catch_up (3, 9);
    bool level = bed_await_ready (&bed, READY_MS);
    for (unsigned r = 0; r < 4; r++)
        level = level && bed_broadcast (&bed, r, READY_MS) == MU_COMM_DONE;
    bed_go (&bed);
    ok (level && bed_step (&bed, 6) == 4 && bed.wrong == 0,
        "they make it, are compared, and all go on");
    bed_end (&bed);
    bed_close (&bed);
}

static void refuses_other_sums (void)
{
    part_after_step (0);
    ((unsigned char *)bed.ranks[1].region->result)[4 * 49999] ^= 1; /* a bit of the last one */
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    bool ended = bed_await_ends (&bed, READY_MS);
    ok (ended && bed_take_sums (&bed, 0, 0) == MU_COMM_TORN &&
            (bed_status (&bed, 0) == MU_COLLECTIVE_STATE_DIFFERS ||
             bed_status (&bed, 3) == MU_COLLECTIVE_STATE_DIFFERS),
        "sums that are not what was proven are refused: %s", bed.ranks[0].text);
    bed_end (&bed);
    ((unsigned char *)bed.ranks[1].region->result)[4 * 49999] ^= 1;
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    bool taken = bed_take_sums (&bed, 0, READY_MS) == MU_COMM_DONE &&
                 bed_take_sums (&bed, 3, READY_MS) == MU_COMM_DONE;
    catch_up (0, 9);
    catch_up (3, 8);
    ended = bed_await_ends (&bed, READY_MS);
    ok (taken && ended && bed_status (&bed, 3) == MU_COLLECTIVE_STATE_DIFFERS &&
            bed_broadcast (&bed, 0, 0) == MU_COMM_TORN,
        "who makes another state of them is told: %s", bed.ranks[3].text);
    bed_end (&bed);
    bed.made[1] = false;
    bed.receives[0] = MU_RECEIVES_NOTHING;
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    ended = bed_await_ends (&bed, READY_MS);
    unsigned say_it = 0; /* whose neighbour was quicker may see that it ended, and no more */
    for (unsigned r = 0; r < 4; r++)
        say_it += bed_status (&bed, r) == MU_COLLECTIVE_SUMS_GONE;
    ok (ended && say_it, "sums that are not there any more are not given: %s", bed.ranks[1].text);
    bed_end (&bed);
    bed_close (&bed);
}

/* Nothing of a region may change before its generation is formed. */
static void connects_ahead (void)
{
    open_with_state (3);
    fill_state (2, 3);
    bed_start (&bed, bed_program ("muster-collective"));
    bool connected = bed_connect (&bed, READY_MS);
    const struct mu_region_control *control = bed.ranks[2].region->control;
    ok (connected && !same_state (2, 1) && !atomic_load (&control->collective.ready_generation) &&
            !atomic_load (&control->collective.progress),
        "a world connects ahead, and touches nothing");
    bed.receives[2] = MU_RECEIVES_STATE;
    bed_form (&bed);
    bool ready = bed_await_ready (&bed, READY_MS);
    for (unsigned r = 0; r < bed.size; r++)
        ready = ready && bed_broadcast (&bed, r, READY_MS) == MU_COMM_DONE;
    bed_go (&bed);
    ok (ready && same_state (2, 1) && bed_step (&bed, 5) == 3 && bed.wrong == 0,
        "formed later, it brings the state and reduces");
    bed_end (&bed);
    bed.receives[2] = MU_RECEIVES_NOTHING;
    bed_start (&bed, bed_program ("muster-collective"));
    connected = bed_connect (&bed, READY_MS);
    mu_collective_kill (bed.ranks[1].collective);
    bool ended = bed_await_ends (&bed, READY_MS);
    ok (connected && ended && bed_status (&bed, 0) == MU_COLLECTIVE_PEER_LOST &&
            bed_status (&bed, 2) == MU_COLLECTIVE_PEER_LOST,
        "one dies while they wait: the others notice: %s", bed.ranks[0].text);
    bed_end (&bed);
    bed_close (&bed);
}

static void forms_another_world_than_it_connected (void)
{
    open_with_state (2);
    bed_start (&bed, bed_program ("muster-collective"));
    bool connected = bed_connect (&bed, READY_MS);
    bed.jobid[0] = bed.jobid[1] = "another-world";
    bed_form (&bed);
    bool ended = bed_await_ends (&bed, READY_MS);
    ok (connected && ended &&
            (bed_status (&bed, 0) == MU_COLLECTIVE_COMMAND ||
             bed_status (&bed, 1) == MU_COLLECTIVE_COMMAND),
        "a command for another world than the connected one ends it: %s", bed.ranks[0].text);
    bed.jobid[0] = bed.jobid[1] = NULL;
    bed_end (&bed);
    bed_close (&bed);
}

static void refuses_other_state (void)
{
    open_with_state (3);
    fill_state (2, 3);
    bed.receives[2] = MU_RECEIVES_STATE;
    ((unsigned char *)bed.ranks[0].region->state)[STATE_BYTES - 1] ^= 1; /* the last bit of all */
    bool formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    bool ended = bed_await_ends (&bed, READY_MS);
    ok (!formed && ended && bed_status (&bed, 0) == MU_COLLECTIVE_STATE_DIFFERS,
        "one bit of the state that differs is refused by its rank: %s", bed.ranks[0].text);
    ok (bed_broadcast (&bed, 0, 0) == MU_COMM_TORN && bed_broadcast (&bed, 1, 0) == MU_COMM_TORN &&
            bed_broadcast (&bed, 2, 0) == MU_COMM_STATE_LOST,
        "the others learn that it is over, and the receiving one that its state is lost");
    bed_end (&bed);
    fill_state (0, 1);
    formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    ok (formed && same_state (2, 1) && same_state (0, 1), "the next generation heals it");
    bed_end (&bed);
    bed_close (&bed);
}

/* --- more ranks than cores -------------------------------------------------------------------- */

static uint64_t cpu_us_of_all (void)
{
    uint64_t sum = 0;
    for (unsigned r = 0; r < bed.size; r++)
        sum += mu_cpu_us (mu_collective_pid (bed.ranks[r].collective));
    return sum;
}

/* How long it takes is up to the machine, and to who else is at work; what it costs is up to us. */
static void crowds (void)
{
    const struct mu_region_bucket bucket = { 0, 262144 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, 262144, 1, &bucket };
    enum { CROWD = 8, TURNS = 10 };
    bed_open (&bed, CROWD, &layout);
    bool formed = bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    unsigned done = 0;
    uint64_t before = cpu_us_of_all ();
    for (uint64_t step = 0; formed && step < TURNS; step++)
        done += bed_step (&bed, step);
    double each_ms = (double)(cpu_us_of_all () - before) / 1e3 / TURNS;
    /* Unguarded, 80 and more. */
    ok (done == CROWD * TURNS && bed.wrong == 0 && before && each_ms < 30,
        "8 ranks reduce 1 MiB, for %.1f ms of processor time", each_ms);
    bed_end (&bed);
    bed_close (&bed);
}

/* --- a peer that does not answer --------------------------------------------------------------- */

/* A connection to it can be written to all the time, and nothing is to be written. */
static void waits_without_spinning (void)
{
    enum { LAST_FENCE = 1, WATCHED_MS = 1000 };
    const struct mu_region_bucket bucket = { 0, 1024 };
    const struct mu_region_layout layout = { MU_ELEMENT_INT32, 0, 1024, 1, &bucket };
    bed_open (&bed, 2, &layout);
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    while (bed.ranks[1].fence < LAST_FENCE || bed.ranks[1].fenced)
        bed_pump (&bed, 1);
    kill (mu_collective_pid (bed.ranks[1].collective), SIGSTOP);
    for (int64_t until = bed_now_ms () + 300; bed_now_ms () < until;)
        bed_pump (&bed, 10);
    pid_t waiting = mu_collective_pid (bed.ranks[0].collective);
    uint64_t before = mu_cpu_us (waiting);
    nanosleep (&(struct timespec){ .tv_sec = WATCHED_MS / 1000 }, NULL);
    uint64_t after = mu_cpu_us (waiting);
    double took = (double)(after - before) / 1e3;
    ok (!bed.ranks[0].ready && after && took < WATCHED_MS / 4,
        "a rank waits for one that stands still: %.0f ms of processor time a second", took);
    kill (mu_collective_pid (bed.ranks[1].collective), SIGCONT);
    ok (bed_await_ready (&bed, READY_MS), "and goes on when that one does");
    bed_end (&bed);
    bed_close (&bed);
}

int main (void)
{
    unsigned segments = tap_segments ();
    reduces_all ();
    leaves_holes_alone ();
    overlaps ();
    spares ();
    goes_on ();
    survives_launchers ();
    broadcasts_state (0, "as memory");
    broadcasts_state (1 << 0 | 1 << 3, "through sockets");
    broadcasts_state (1 << 3, "both ways at once");
    connects_ahead ();
    gives_sums (0, "as memory");
    gives_sums (1u << 3, "through sockets, where they are far");
    gives_sums (~0u, "through sockets");
    refuses_other_sums ();
    forms_another_world_than_it_connected ();
    refuses_other_state ();
    crowds ();
    waits_without_spinning ();
    ok (tap_segments () <= segments, "nothing is left in /dev/shm");
    return tap_end ();
}
