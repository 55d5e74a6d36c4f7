/* SPDX-License-Identifier: Apache-2.0 */
/* bench_checkpoint.c - how long training pauses for a checkpoint, and how long it is being written
 *
 *     bench_checkpoint [DIRECTORY [MILLION_PARAMETERS [ROUNDS]]]       default: . 16 9
 *
 * The state lies in a memfd, as in a trainer. In turns, each round:
 *
 *     pause     mu_checkpoint_begin: one copy of the state, into memory that held the one before; its
 *               reference is memcpy of the state into memory that is new to the process
 *     written   from there until the child says that all is on storage; its references are one
 *               hand in place of as many as suit the machine, and what format 1 did: one thread that
 *               hashes each byte for its file, the weights again, and all again for the digest
 *
 * Storage decides on `written` with large states; CPU time does not depend on it. The median of the
 * rounds counts. */
#include "common/clock.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/crew.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 99, TENSORS = 8 };
enum what { PAUSE, COPY, WRITTEN, WRITTEN_CPU, ONE, ONE_CPU, FLAT, FLAT_CPU, WHATS };

static double figures[WHATS][ROUNDS_MAX];
static struct muster_tensor tensors[TENSORS];
static const char *directory = ".";

static _Noreturn void stop (const char *text)
{
    fprintf (stderr, "bench_checkpoint: %s\n", text);
    exit (1);
}

static double now (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Of this process's threads. */
static double cpu_seconds (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static struct mu_state *make_state (uint64_t parameters)
{
    static const char *const names[TENSORS] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    for (uint32_t i = 0; i < TENSORS; i++)
        tensors[i] = (struct muster_tensor){ .name = names[i],
                                             .dimensions = 1,
                                             .dimension = { parameters / TENSORS } };
    struct mu_error error;
    size_t size = mu_state_size (tensors, TENSORS, &error);
    int fd = memfd_create ("state", MFD_CLOEXEC);
    if (size == 0 || fd < 0 || ftruncate (fd, (off_t)size) < 0)
        stop ("no memory for the state");
    void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        stop ("no memory for the state");
    struct mu_state *state = mu_state_lay_out (memory, size, tensors, TENSORS, &error);
    for (uint64_t i = 0; i < 3 * state->padded; i++)
        mu_state_weights (state)[i] = (float)(i % 1000003);
    return state;
}

static void remove_checkpoints (void)
{
    char command[PATH_MAX + 32];
    snprintf (command, sizeof command, "rm -rf '%s'/step-*", directory);
    if (system (command))
        stop ("cannot remove what was written");
}

/* Save with so many hands (0: as suits) and wait; *cpu is the child's. */
static void save (const struct mu_state *state, uint32_t hands, double *pause, double *written,
                  double *cpu)
{
    const struct mu_checkpoint_job job = { .id = "1",
                                           .name = "bench",
                                           .spec = "{}",
                                           .trainer = "none",
                                           .data = "none",
                                           .compute_class = "portable",
                                           .hands = hands };
    static struct mu_checkpoint_writer writer = { .fd = -1 };
    struct mu_checkpoint_saved saved;
    struct mu_error error;
    double before = writer.pid ? (double)mu_cpu_us (writer.pid) * 1e-6 : 0, start = now ();
    if (mu_checkpoint_begin (&writer, directory, state, tensors, &job, &error) < 0)
        stop (error.text);
    *pause = now () - start;
    struct pollfd fd = { .fd = writer.fd, .events = POLLIN };
    poll (&fd, 1, -1);
    *written = now () - start;
    if (mu_checkpoint_poll (&writer, &saved, &error) < 0)
        stop (error.text);
    *cpu = (double)mu_cpu_us (writer.pid) * 1e-6 - before;
    remove_checkpoints ();
}

static double copy (const struct mu_state *state)
{
    double start = now ();
    void *to =
        mmap (NULL, state->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED)
        stop ("no memory for a copy");
    madvise (to, state->bytes, MADV_HUGEPAGE);
    memcpy (to, state, state->bytes);
    double took = now () - start;
    munmap (to, state->bytes);
    return took;
}

static void write_file (const char *name, const float *from, uint64_t floats)
{
    struct mu_storage_writer out;
    struct mu_error error;
    int dir = open (directory, O_RDONLY | O_DIRECTORY);
    if (dir < 0 || mu_storage_create (&out, dir, name, &error) < 0 ||
        mu_storage_write (&out, from, floats * sizeof (float), &error) < 0 ||
        mu_storage_finish (&out, &error) < 0)
        stop ("cannot write");
    close (dir);
}

/* What format 1 hashed and wrote. */
static void write_flat (const struct mu_state *state, double *written, double *cpu)
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    double before = cpu_seconds (), start = now ();
    write_file ("step-model", mu_state_weights_const (state), state->padded);
    write_file ("step-optimizer", mu_state_m_const (state), 2 * state->padded);
    mu_state_hash (state, hash);
    mu_state_digest (state, hash);
    *written = now () - start;
    *cpu = cpu_seconds () - before;
    remove_checkpoints ();
}

static int ascending (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print (const char *name, enum what what, enum what reference, const char *beside,
                   int rounds)
{
    double ratio[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++)
        ratio[i] = figures[what][i] / figures[reference][i];
    qsort (ratio, (size_t)rounds, sizeof *ratio, ascending);
    double mine[ROUNDS_MAX], other[ROUNDS_MAX];
    memcpy (mine, figures[what], sizeof mine);
    memcpy (other, figures[reference], sizeof other);
    qsort (mine, (size_t)rounds, sizeof *mine, ascending);
    qsort (other, (size_t)rounds, sizeof *other, ascending);
    printf ("| %s | %.1f ms (%.1f to %.1f) | %s: %.1f ms | %.2f (%.2f to %.2f) |\n", name,
            1e3 * mine[rounds / 2], 1e3 * mine[0], 1e3 * mine[rounds - 1], beside,
            1e3 * other[rounds / 2], ratio[rounds / 2], ratio[0], ratio[rounds - 1]);
}

int main (int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : directory;
    double millions = argc > 2 ? strtod (argv[2], NULL) : 16;
    long rounds = argc > 3 ? strtol (argv[3], NULL, 10) : 9;
    if (!(millions > 0.001 && millions < 1e5) || rounds < 1 || rounds > ROUNDS_MAX)
        stop ("usage: bench_checkpoint [DIRECTORY [MILLION_PARAMETERS [ROUNDS]]]");
    struct mu_state *state = make_state ((uint64_t)(millions * 1e6));
    for (long i = 0; i < rounds; i++) {
        double unused;
        figures[COPY][i] = copy (state);
        save (state, 0, &figures[PAUSE][i], &figures[WRITTEN][i], &figures[WRITTEN_CPU][i]);
        save (state, 1, &unused, &figures[ONE][i], &figures[ONE_CPU][i]);
        write_flat (state, &figures[FLAT][i], &figures[FLAT_CPU][i]);
    }
    printf ("state of %.0f MB, %u hands, %ld rounds\n", (double)state->bytes / 1e6,
            mu_crew_hands (state->bytes), rounds);
    print ("pause for a checkpoint", PAUSE, COPY, "memcpy by one thread", (int)rounds);
    print ("until it is written", WRITTEN, ONE, "with one hand", (int)rounds);
    print ("until it is written, as before", WRITTEN, FLAT, "as format 1 did", (int)rounds);
    print ("CPU of writing", WRITTEN_CPU, FLAT_CPU, "as format 1 did", (int)rounds);
    return 0;
}
