/* SPDX-License-Identifier: Apache-2.0 */
/* test_collective_faults.c - what muster-collective processes must never do, whatever happens
 *
 * Publish a wrong result, mix with another world, wait for ever, outlive their agent. Faults come
 * from outside (signals, other generations) and from the build with faults (MUSTER_FAULT). */
#include "tests/system/collective_bed.h"
#include "tests/system/tap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A bound, not an expectation: the machine may be busy. */
enum { READY_MS = 20000, END_MS = 10000 };

static struct bed bed;

static const struct mu_region_bucket halves[] = { { 0, 400000 }, { 400000, 400000 } };
static const struct mu_region_layout small = { MU_ELEMENT_INT32, 4096, 800000, 2, halves };

static bool start_world (unsigned size, const char *program, const struct mu_region_layout *layout)
{
    bed_open (&bed, size, layout);
    return bed_world (&bed, bed_program (program), READY_MS);
}

static void stop_world (void)
{
    bed_end (&bed);
    bed_close (&bed);
}

/* --- faults from inside ----------------------------------------------------------------------- */

struct fault {
    const char *name;
    bool int64, far; /* far: as if each rank were on a host of its own */
    int status; /* of a rank that saw it: the faulty one if `own` */
    bool own;   /* only the faulty rank can see it; the others may have the right result */
};

static bool is_seen (const struct fault *fault)
{
    if (fault->own)
        return bed_status (&bed, 1) == fault->status;
    for (unsigned r = 0; r < bed.size; r++)
        if (bed_status (&bed, r) == fault->status)
            return true;
    return false;
}

/* Rank 1 of 3 goes wrong in step 2. */
static void catches (const struct fault *fault)
{
    char text[32];
    struct mu_region_layout layout = small;
    layout.element = fault->int64 ? MU_ELEMENT_INT64 : MU_ELEMENT_INT32;
    bed_open (&bed, 3, &layout);
    for (unsigned r = 0; r < bed.size; r++)
        atomic_store (&bed.ranks[r].region->control->collective.far, fault->far);
    snprintf (text, sizeof text, "%s 2", fault->name);
    bed_start_rank (&bed, 0, bed_program ("muster-collective-faulty"));
    setenv ("MUSTER_FAULT", text, 1);
    bed_start_rank (&bed, 1, bed_program ("muster-collective-faulty"));
    unsetenv ("MUSTER_FAULT");
    bed_start_rank (&bed, 2, bed_program ("muster-collective-faulty"));
    bed_form (&bed);
    bool formed = bed_await_ready (&bed, READY_MS);
    bed_go (&bed);
    unsigned before = formed ? bed_step (&bed, 0) + bed_step (&bed, 1) : 0;
    bed_begin (&bed, 2);
    bed_mark (&bed);
    bool published = bed_wait (&bed, 1, END_MS) == MU_COMM_DONE;
    unsigned done = bed_collect (&bed, 2, END_MS) - published;
    bool ended = bed_await_ends (&bed, END_MS);
    ok (formed && before == 6 && !published && ended && is_seen (fault) && bed.wrong == 0 &&
            (fault->own || done == 0),
        "int%d %s %s is caught (%u others had their right result; %llu wrong): %s",
        8 * (int)layout.element, fault->name, fault->far ? "by MPI" : "on one host", done,
        (unsigned long long)bed.wrong, bed.ranks[1].text);
    stop_world ();
}

static void catches_all (void)
{
    static const struct fault faults[] = {
        { "flip", false, false, MU_COLLECTIVE_CHECKSUM, true },
        { "flip", true, false, MU_COLLECTIVE_CHECKSUM, true },
        { "stale", false, false, MU_COLLECTIVE_CHECKSUM, true },
        { "stale", true, false, MU_COLLECTIVE_CHECKSUM, true },
        { "slip", false, false, MU_COLLECTIVE_CHECKSUM, false },
        { "slip", true, false, MU_COLLECTIVE_CHECKSUM, false },
        { "step", false, false, MU_COLLECTIVE_STEP, false },
        { "die", false, false, -SIGKILL, false },
        { "flip", false, true, MU_COLLECTIVE_CHECKSUM, true },
        { "flip", true, true, MU_COLLECTIVE_CHECKSUM, true },
        { "stale", false, true, MU_COLLECTIVE_CHECKSUM, true },
        { "stale", true, true, MU_COLLECTIVE_CHECKSUM, true },
        { "slip", false, true, MU_COLLECTIVE_CHECKSUM, false },
        { "slip", true, true, MU_COLLECTIVE_CHECKSUM, false },
        { "step", false, true, MU_COLLECTIVE_STEP, false },
        { "die", false, true, -SIGKILL, false },
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        catches (&faults[i]);
}

/* --- a state on its way ----------------------------------------------------------------------- */

static void fill_state (unsigned rank, int with)
{
    memset (bed.ranks[rank].region->state, with, small.state_bytes);
}

/* Rank 1 is behind; the fault happens in rank `guilty`. */
static bool transfers (const char *fault, unsigned guilty)
{
    for (unsigned r = 0; r < bed.size; r++) {
        if (r == guilty && fault)
            setenv ("MUSTER_FAULT", fault, 1);
        bed_start_rank (&bed, r, bed_program ("muster-collective-faulty"));
        unsetenv ("MUSTER_FAULT");
    }
    bed_form (&bed);
    return bed_await_ready (&bed, READY_MS) && bed_broadcast (&bed, 1, READY_MS) == MU_COMM_DONE;
}

static bool is_level (void)
{
    return !memcmp (bed.ranks[0].region->state, bed.ranks[1].region->state, small.state_bytes);
}

/* All goes by MPI then, and who got nothing does not ask again. */
static void gets_no_memory (void)
{
    const _Atomic uint64_t *far = &bed.ranks[1].region->control->collective.far;
    bool formed = transfers ("shut 0", 0);
    bed_go (&bed);
    ok (formed && is_level () && atomic_load (far) && bed_step (&bed, 0) == 3 && bed.wrong == 0,
        "who is given no memory is sent the state, and all reduce by MPI");
    bed_end (&bed);
    bed.step = 1;
    fill_state (1, 1);
    formed = transfers (NULL, 0);
    bed_go (&bed);
    ok (formed && is_level () && bed_step (&bed, 1) == 3 && bed.wrong == 0,
        "so does the next world");
    bed_end (&bed);
    bed.step = 0;
    for (unsigned r = 0; r < bed.size; r++)
        atomic_store (&bed.ranks[r].region->control->collective.far, 0);
}

static void proves_what_came (bool far)
{
    atomic_store (&bed.ranks[1].region->control->collective.far, far);
    fill_state (1, 3);
    bool formed = transfers ("tear 0", 1);
    ok (!formed && bed_await_ends (&bed, END_MS) &&
            bed_status (&bed, 1) == MU_COLLECTIVE_STATE_TORN &&
            bed_broadcast (&bed, 1, 0) == MU_COMM_STATE_LOST,
        "a state that came %s and is another is refused: %s", far ? "through sockets" : "as memory",
        bed.ranks[1].text);
    bed_end (&bed);
}

static void states_are_proven (void)
{
    bed_open (&bed, 3, &small);
    bed.source_rank = 0;
    bed.receives[1] = MU_RECEIVES_STATE;
    fill_state (0, 2);
    fill_state (1, 1);
    fill_state (2, 2);
    gets_no_memory ();
    proves_what_came (false);
    proves_what_came (true);
    bed_close (&bed);
}

/* --- death ------------------------------------------------------------------------------------ */

static bool is_documented (int status)
{
    return status == MU_COLLECTIVE_PEER_LOST || status == MU_COLLECTIVE_CANARY ||
           status == MU_COLLECTIVE_MPI_CALL || status == MU_COLLECTIVE_CHECKSUM;
}

/* One of `size` is killed some time after the buckets are marked; nobody helps the others. */
static void dies_once (unsigned size, long delay_us, unsigned *torn, unsigned *odd, int64_t *worst)
{
    static const struct mu_region_bucket buckets[] = { { 0, 1 << 21 }, { 1 << 21, 1 << 21 } };
    static const struct mu_region_layout large = { MU_ELEMENT_INT32, 0, 1 << 22, 2, buckets };
    unsigned victim = (unsigned)delay_us % size;
    if (!start_world (size, "muster-collective", &large)) {
        ++*odd;
        stop_world ();
        return;
    }
    bed_begin (&bed, 0);
    bed_mark (&bed);
    nanosleep (&(struct timespec){ .tv_nsec = 1000 * delay_us }, NULL);
    int64_t start = bed_now_ms ();
    mu_collective_kill (bed.ranks[victim].collective);
    bool ended = bed_await_ends (&bed, END_MS);
    int64_t took = bed_now_ms () - start;
    *worst = took > *worst ? took : *worst;
    *torn += bed_collect (&bed, 0, 0) < size;
    for (unsigned r = 0; r < size; r++)
        if (r != victim && !is_documented (bed_status (&bed, r))) {
            ++*odd;
            printf ("# %ld us: rank %u %s %s\n", delay_us, r, ended ? "ended" : "is still there",
                    bed.ranks[r].text);
        }
    stop_world ();
}

static void survives_death (void)
{
    unsigned torn = 0, odd = 0;
    int64_t worst = 0;
    uint64_t wrong = 0;
    enum { DEATHS = 24 };
    for (unsigned i = 0; i < DEATHS; i++) {
        dies_once (2 + i % 3, 100 + 1700 * (long)i, &torn, &odd, &worst);
        wrong += bed.wrong;
    }
    ok (wrong == 0, "%u ranks killed in or about a reduction, %u torn: no wrong result", DEATHS,
        torn);
    ok (odd == 0 && torn > 0, "survivors end by themselves with a documented status, in %lld ms",
        (long long)worst);
}

static void dies_in_start (void)
{
    unsigned stuck = 0;
    enum { DEATHS = 10 };
    for (unsigned i = 0; i < DEATHS; i++) {
        bed_open (&bed, 3, &small);
        bed_start (&bed, bed_program ("muster-collective"));
        bed_form (&bed);
        for (int64_t until = bed_now_ms () + 4 * i; bed_now_ms () < until;)
            bed_pump (&bed, 1);
        if (bed.ranks[1].collective)
            mu_collective_kill (bed.ranks[1].collective);
        /* Those who wait at a fence of PMI wait for the agent: it kills them. */
        bed_await_ends (&bed, 300);
        for (unsigned r = 0; r < 3; r++)
            if (bed.ranks[r].collective)
                mu_collective_kill (bed.ranks[r].collective);
        stuck += !bed_await_ends (&bed, END_MS);
        stop_world ();
    }
    ok (stuck == 0, "killed at any moment of the start, all can be ended");
}

/* --- worlds that must not mix ----------------------------------------------------------------- */

static void refuses (const char *what)
{
    bed_start (&bed, bed_program ("muster-collective"));
    bed_form (&bed);
    bool formed = bed_await_ready (&bed, READY_MS);
    bool ended = bed_await_ends (&bed, END_MS);
    int status = bed_status (&bed, 1);
    ok (!formed && ended && (status == MU_COLLECTIVE_CANARY || status == MU_COLLECTIVE_PEER_LOST),
        "%s: %s", what, bed.ranks[1].text);
    stop_world ();
}

static void does_not_mix (void)
{
    bed_open (&bed, 3, &small);
    bed.skew[1] = 1;
    refuses ("a rank of another generation cannot join");
    bed_open (&bed, 2, &small);
    bed.jobid[1] = "another-job";
    refuses ("a rank of another job cannot join");
    bed_open (&bed, 2, &small);
    struct mu_region_layout other = small;
    struct mu_error error;
    other.state_bytes++;
    mu_comm_destroy (&bed.ranks[1].comm);
    mu_region_detach (&bed.ranks[1].region);
    close (bed.ranks[1].region_fd);
    bed.ranks[1].region = mu_region_create (&other, &bed.ranks[1].region_fd, &error);
    bed.ranks[1].comm = mu_comm_mpi_create (bed.ranks[1].region, &error);
    refuses ("a rank whose region has another layout cannot join");
}

/* Its agent is gone or asleep, so nobody has ended it: a collective of the generation before wakes up
 * while the next one reduces in the same memory. `reducing`: it was stopped while it waited for the
 * others inside MPI, not for its trainer. */
static void wakes_in_the_next (bool reducing)
{
    struct mu_error error;
    bool right = start_world (3, "muster-collective", &small) && bed_step (&bed, 0) == 3;
    struct mu_collective *old = bed.ranks[1].collective;
    bed_begin (&bed, 1);
    for (uint32_t b = 0; b < 2 && reducing; b++)
        mu_comm_bucket_ready (bed.ranks[1].comm, b, &error);
    for (int i = 0; i < 20; i++)
        bed_pump (&bed, 5);
    kill (mu_collective_pid (old), SIGSTOP);
    bed.ranks[1].collective = NULL;
    bed.ranks[1].ended = true;
    bed_end (&bed);
    bed.step = 1;
    right = right && bed_world (&bed, bed_program ("muster-collective"), READY_MS);
    unsigned done = bed_step (&bed, 1) + bed_step (&bed, 2);
    bed_begin (&bed, 3);
    kill (mu_collective_pid (old), SIGCONT);
    struct mu_collective_event event = { .kind = MU_COLLECTIVE_EVENT_READY };
    for (int64_t until = bed_now_ms () + END_MS;
         event.kind != MU_COLLECTIVE_EVENT_ENDED && bed_now_ms () < until; bed_pump (&bed, 5))
        while (mu_collective_next (old, &event) && event.kind != MU_COLLECTIVE_EVENT_ENDED)
            continue;
    bool ended = event.kind == MU_COLLECTIVE_EVENT_ENDED;
    bed_mark (&bed);
    done += bed_collect (&bed, 3, END_MS) + bed_step (&bed, 4);
    ok (right && ended && done == 12 && bed.wrong == 0,
        "one of the generation before wakes up in the next, from waiting for its %s: it ends, and "
        "all results are right: %s",
        reducing ? "peers" : "trainer", event.text);
    mu_collective_destroy (&old);
    stop_world ();
}

static void refuses_other_step (void)
{
    struct mu_error error;
    bool formed = start_world (2, "muster-collective", &small);
    for (unsigned r = 0; r < 2; r++) {
        mu_comm_begin (bed.ranks[r].comm, 7, 0, &error); /* the generation starts with 0 */
        for (uint32_t b = 0; b < 2; b++)
            mu_comm_bucket_ready (bed.ranks[r].comm, b, &error);
    }
    ok (formed && bed_wait (&bed, 0, END_MS) == MU_COMM_TORN && bed_await_ends (&bed, END_MS) &&
            bed_status (&bed, 0) == MU_COLLECTIVE_BASE_STEP,
        "a trainer that begins another step than its generation is refused: %s", bed.ranks[0].text);
    stop_world ();
}

/* --- ends ------------------------------------------------------------------------------------- */

static void ends (unsigned size, bool marked)
{
    bool formed = start_world (size, "muster-collective", &small);
    bed_begin (&bed, 0);
    struct mu_error error;
    if (marked) /* rank 0 is inside MPI, waiting for the others */
        for (uint32_t b = 0; b < 2; b++)
            mu_comm_bucket_ready (bed.ranks[0].comm, b, &error);
    for (int i = 0; i < 20; i++)
        bed_pump (&bed, 5);
    for (unsigned r = 0; r < size; r++)
        mu_region_end (bed.ranks[r].region, bed.generation);
    bool torn = true;
    for (unsigned r = 0; r < size; r++)
        torn = torn && bed_wait (&bed, r, END_MS) == MU_COMM_TORN;
    bool ended = bed_await_ends (&bed, END_MS);
    int status = bed_status (&bed, size - 1), first = bed_status (&bed, 0);
    ok (formed && torn && ended && status == MU_COLLECTIVE_SUPERSEDED &&
            (first == status || is_documented (first)),
        "a generation that is ended while %s: all end", marked ? "one rank reduces" : "all wait");
    stop_world ();
}

static void abandons (void)
{
    bool formed = start_world (2, "muster-collective", &small);
    bed_begin (&bed, 0);
    mu_comm_abort (bed.ranks[1].comm);
    ok (formed && bed_wait (&bed, 1, END_MS) == MU_COMM_TORN && bed_await_ends (&bed, END_MS) &&
            bed_status (&bed, 1) == MU_COLLECTIVE_ABANDONED,
        "a trainer gives up: %s; the other: %s", bed.ranks[1].text, bed.ranks[0].text);
    stop_world ();
}

/* Two lives: the agents' process is killed; its collectives come to us, the subreaper. */
static void agents_life (int words)
{
    bool formed = start_world (3, "muster-collective", &small);
    pid_t pids[4] = { formed };
    bed_begin (&bed, 0);
    for (unsigned r = 0; r < 3; r++)
        pids[r + 1] = mu_collective_pid (bed.ranks[r].collective);
    if (write (words, pids, sizeof pids) != sizeof pids)
        abort ();
    for (;;)
        pause ();
}

static void leaves_no_orphan (void)
{
    int words[2];
    pid_t pids[4] = { 0 };
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    if (pipe (words))
        abort ();
    pid_t agents = fork ();
    if (agents == 0)
        agents_life (words[1]);
    close (words[1]);
    bool formed = read (words[0], pids, sizeof pids) == sizeof pids && pids[0];
    close (words[0]);
    kill (agents, SIGKILL);
    unsigned gone = 0;
    for (int64_t until = bed_now_ms () + END_MS; gone < 4 && bed_now_ms () < until;) {
        pid_t pid = waitpid (-1, NULL, WNOHANG);
        gone += pid > 0;
        if (pid == 0)
            nanosleep (&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    ok (formed && gone == 4, "agents are killed: no collective outlives them (%u of 3 gone)",
        gone ? gone - 1 : 0);
    prctl (PR_SET_CHILD_SUBREAPER, 0);
}

/* --- what cannot start ------------------------------------------------------------------------ */

static void tells_what_is_wrong (void)
{
    struct mu_error error;
    bed_open (&bed, 1, &small);
    bed_start_rank (&bed, 0, "/nonexistent/muster-collective");
    bed_await_ends (&bed, END_MS);
    ok (bed_status (&bed, 0) == MU_COLLECTIVE_EXEC, "a missing program is told: %s",
        bed.ranks[0].text);
    bed_start_rank (&bed, 0, bed_program ("muster-collective"));
    struct mu_collective_form form = {
        .protocol = MU_COLLECTIVE_PROTOCOL, .size = 2, .rank = 2, .generation = 1, .jobid = "job"
    };
    bool sent = !mu_collective_form (bed.ranks[0].collective, &form, &error);
    ok (sent && bed_await_ends (&bed, END_MS) && bed_status (&bed, 0) == MU_COLLECTIVE_COMMAND,
        "a command that makes no sense is refused: %s", bed.ranks[0].text);
    stop_world ();
    setenv ("UCX_TLS", "nothing", 1);
    bool formed = start_world (2, "muster-collective", &small);
    unsetenv ("UCX_TLS");
    bool ended = bed_await_ends (&bed, END_MS) || bed_status (&bed, 0);
    ok (!formed && ended && strstr (bed.ranks[0].text, "MPI_Init"),
        "an MPI that cannot start is told: %s", bed.ranks[0].text);
    stop_world ();
}

/* Linked without what lets the guards in, as a wrong build would be. */
static void is_guarded (void)
{
    bool formed = start_world (2, "muster-collective-unguarded", &small);
    ok (!formed && bed_await_ends (&bed, END_MS) && bed_status (&bed, 0) == MU_COLLECTIVE_UNGUARDED,
        "a transport that is not watched is refused: %s", bed.ranks[0].text);
    stop_world ();
    setenv ("MUSTER_UNGUARDED", "1", 1);
    formed = start_world (2, "muster-collective-unguarded", &small);
    unsetenv ("MUSTER_UNGUARDED");
    ok (formed && bed_step (&bed, 0) == 2 && bed.wrong == 0, "unless somebody accepts the risk");
    stop_world ();
}

int main (void)
{
    unsigned segments = tap_segments ();
    catches_all ();
    states_are_proven ();
    survives_death ();
    dies_in_start ();
    does_not_mix ();
    wakes_in_the_next (false);
    wakes_in_the_next (true);
    refuses_other_step ();
    ends (3, false);
    ends (3, true);
    abandons ();
    leaves_no_orphan ();
    tells_what_is_wrong ();
    is_guarded ();
    ok (tap_segments () <= segments, "nothing is left in /dev/shm");
    return tap_end ();
}
