/* SPDX-License-Identifier: Apache-2.0 */
/* bench_exactness.c - what exact sums cost, against plain float sums in the same code
 *
 *     bench_exactness [ROUNDS]        runs itself as two ranks under mpiexec.mpich
 *
 * Two ranks train gpt (4 layers, 256 channels, 128 context, bytes, 8 records a rank and step), each
 * step twice, in turns, each kind with a state of its own:
 *
 *     exact   quantise and add, counters; int32 all-reduce; checksums of both sides of it; the
 *             closing all-reduce that proves step and sums; decide, dequantise, AdamW, next scales
 *     plain   add floats; float all-reduce; the loss reduced beside it; scale, AdamW. It proves
 *             nothing, knows of no overflow, and its bits depend on the number of ranks
 *
 * All else is one code: the trainer, the kernels, the buckets (worker/train_buckets.c), the same
 * moment of each bucket's reduction, MPI in this process, the clipping. What counts is CPU time; a
 * barrier that is not counted precedes each reduction, so that waiting for the other rank, which
 * polls, is no cost of either. The plain path lives here alone: the product has none.
 *
 * Exit 1 if the exact step costs more than 1.05 of the plain one. */
#include "tests/unit/trainer_bed.h"
#include "worker/comm/proof.h"
#include "worker/kernels/kernels.h"
#include "worker/state/optimizer.h"
#include "worker/train.h"
#include "worker/trainers/builtin.h"

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENOUGH 1.05
enum { RANKS = 2, RECORDS = 8, ROUNDS = 21, ROUNDS_MAX = 201, CLOSE_WORDS = 9 };

enum kind { EXACT, PLAIN, KINDS };
enum part { GRADIENT, ADD, REDUCE, PROVE, UPDATE, PARTS };

static const char *const part_name[PARTS] = { "gradient", "add", "reduce", "prove", "update" };

/* One kind's training. */
struct side {
    struct mu_state *state;
    const float **weights; /* [tensors] */
    void *sums, *result;
    struct mu_proof own, proof;
    double seconds[PARTS]; /* of this step */
};

static struct {
    struct bed bed;
    const struct mu_kernels *kernels;
    struct mu_sums_layout layout;
    struct train_buckets buckets;
    uint32_t missing[MU_STATE_TENSORS_MAX]; /* tensors of each bucket, this step */
    float *gradient;
    struct mu_optimizer optimizer;
    struct side side[KINDS];
    uint32_t micro_batches; /* of one rank */
    int rank;
} bench;

static _Noreturn void die (const char *what)
{
    fprintf (stderr, "bench_exactness: %s\n", what);
    exit (2);
}

static void *take (size_t bytes)
{
    void *memory = aligned_alloc (64, (bytes + 63) / 64 * 64);
    if (!memory)
        die ("no memory");
    memset (memory, 0, bytes);
    return memory;
}

static double cpu_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- reductions ------------------------------------------------------------------------------- */

static void reduce (struct side *side, const void *from, void *to, uint64_t count,
                    MPI_Datatype type)
{
    MPI_Barrier (MPI_COMM_WORLD);
    double start = cpu_seconds ();
    MPI_Allreduce (from, to, (int)count, type, MPI_SUM, MPI_COMM_WORLD);
    side->seconds[REDUCE] += cpu_seconds () - start;
}

static void reduce_bucket (enum kind kind, uint32_t bucket)
{
    struct side *side = &bench.side[kind];
    uint64_t first = bench.buckets.bucket[bucket].offset;
    uint64_t count = bench.buckets.bucket[bucket].elements;
    if (kind == PLAIN) {
        reduce (side, (float *)side->sums + first, (float *)side->result + first, count, MPI_FLOAT);
        return;
    }
    int32_t *sums = (int32_t *)side->sums + first, *result = (int32_t *)side->result + first;
    double start = cpu_seconds ();
    mu_proof_feed (&side->own, MU_ELEMENT_INT32, sums, count);
    side->seconds[PROVE] += cpu_seconds () - start;
    reduce (side, sums, result, count, MPI_INT32_T);
    start = cpu_seconds ();
    mu_proof_feed (&side->proof, MU_ELEMENT_INT32, result, count);
    side->seconds[PROVE] += cpu_seconds () - start;
}

/* As world.c closes a step: ranks, rank, generation, ticket, step, attempt, moment, two checksums.
 */
static void close_step (struct side *side)
{
    uint64_t given[CLOSE_WORDS] = { 1, 0, 1, 1, side->state->step, 0, 1, side->own.a, side->own.b };
    uint64_t total[CLOSE_WORDS];
    reduce (side, given, total, CLOSE_WORDS, MPI_UINT64_T);
    struct mu_proof sum = { total[7] & UINT32_MAX, total[8] & UINT32_MAX };
    if (total[0] != RANKS || total[4] != RANKS * side->state->step ||
        !mu_proof_holds (MU_ELEMENT_INT32, &side->proof, &sum))
        die ("a reduction did not prove itself");
}

/* --- gradients -------------------------------------------------------------------------------- */

struct call {
    enum kind kind;
    uint32_t micro_batch; /* of all */
    double start;
};

static void add_tensor (void *host, uint32_t tensor)
{
    struct call *call = host;
    struct side *side = &bench.side[call->kind];
    double start = cpu_seconds ();
    side->seconds[GRADIENT] += start - call->start;
    const float *gradient = bench.bed.gradients[tensor];
    const struct mu_state_tensor *entry = &mu_state_table (side->state)[tensor];
    if (call->kind == EXACT)
        mu_sums_add (&bench.layout, side->sums, side->state, bench.kernels, tensor,
                     call->micro_batch, gradient);
    else
        bench.kernels->math.add ((float *)side->sums + entry->first, gradient, entry->elements);
    side->seconds[ADD] += cpu_seconds () - start;
    uint32_t bucket = bench.buckets.of_tensor[tensor];
    if (--bench.missing[bucket] == 0)
        reduce_bucket (call->kind, bucket);
    call->start = cpu_seconds ();
}

static void micro_batch (enum kind kind, uint32_t number)
{
    struct side *side = &bench.side[kind];
    struct bed *bed = &bench.bed;
    struct call call = { kind, number, cpu_seconds () };
    struct muster_progress progress = { add_tensor, &call };
    struct muster_result result = { 0 };
    struct muster_problem problem = { "" };
    bed->batch.step = side->state->step;
    bed->batch.micro_batch = number;
    if (bed->trainer->gradient (bed->model, side->weights, &bed->batch, bed->workspace,
                                bed->gradients, &progress, &result, &problem) < 0)
        die (problem.text);
    double end = cpu_seconds ();
    side->seconds[GRADIENT] += end - call.start;
    if (kind == EXACT)
        mu_sums_finish (&bench.layout, side->sums, side->state, number, &result);
    side->seconds[ADD] += cpu_seconds () - end;
}

/* --- updates ---------------------------------------------------------------------------------- */

static void update_exact (struct side *side)
{
    struct mu_update update;
    struct mu_error error;
    do {
        if (mu_update (side->state, &bench.layout, side->result, &bench.optimizer, bench.kernels,
                       bench.gradient, &update, &error) < 0)
            die (error.text);
    } while (update.verdict.decision != MU_ACCEPT);
}

/* What optimizer.c does with a gradient, on one that is there already. */
static void update_plain (struct side *side)
{
    struct mu_state *state = side->state;
    const struct mu_optimizer *o = &bench.optimizer;
    const struct mu_state_tensor *table = mu_state_table (state);
    float *gradient = side->result;
    bench.kernels->math.scale (gradient, 1.f / (float)bench.layout.micro_batches, state->padded);
    double squares = 0;
    for (uint32_t i = 0; i < state->tensors; i++)
        squares += bench.kernels->sum_squares (gradient + table[i].first, table[i].elements);
    double norm = sqrt (squares);
    state->beta1_power *= o->beta1;
    state->beta2_power *= o->beta2;
    struct mu_adamw constants = {
        .rate = mu_optimizer_rate (o, state->step),
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .epsilon = (float)o->epsilon,
        .correction1 = (float)(1 - state->beta1_power),
        .correction2 = (float)(1 - state->beta2_power),
        .gradient_factor = norm > o->clip_norm ? (float)(o->clip_norm / norm) : 1.f,
    };
    for (uint32_t i = 0; i < state->tensors; i++) {
        uint64_t first = table[i].first;
        constants.decay = table[i].flags & MUSTER_TENSOR_DECAY ? (float)o->weight_decay : 0.f;
        bench.kernels->adamw (mu_state_weights (state) + first, mu_state_m (state) + first,
                              mu_state_v (state) + first, gradient + first, table[i].elements,
                              &constants);
    }
    state->step++;
}

/* --- a step ----------------------------------------------------------------------------------- */

static void begin (enum kind kind)
{
    struct side *side = &bench.side[kind];
    memset (side->seconds, 0, sizeof side->seconds);
    side->own = side->proof = (struct mu_proof){ 0 };
    for (uint32_t b = 0; b < bench.buckets.count; b++)
        bench.missing[b] = bench.buckets.tensors[b] * bench.micro_batches;
    double start = cpu_seconds ();
    if (kind == EXACT)
        mu_sums_begin (&bench.layout, side->sums);
    else
        memset (side->sums, 0, side->state->padded * sizeof (float));
    side->seconds[ADD] += cpu_seconds () - start;
}

static double step (enum kind kind)
{
    struct side *side = &bench.side[kind];
    begin (kind);
    for (uint32_t i = 0; i < bench.micro_batches; i++)
        micro_batch (kind, (uint32_t)bench.rank * bench.micro_batches + i);
    if (kind == EXACT) {
        reduce_bucket (kind, bench.buckets.count - 1);
        close_step (side);
    } else {
        double loss[2] = { 1, 1 }, total[2];
        reduce (side, loss, total, 2, MPI_DOUBLE);
    }
    double start = cpu_seconds (), sum = 0;
    if (kind == EXACT)
        update_exact (side);
    else
        update_plain (side);
    side->seconds[UPDATE] += cpu_seconds () - start;
    for (enum part part = 0; part < PARTS; part++)
        sum += side->seconds[part];
    return sum;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void open_side (struct side *side)
{
    struct mu_error error;
    const struct bed *bed = &bench.bed;
    size_t bytes = mu_state_size (bed->tensors, bed->count, &error);
    side->state = mu_state_lay_out (take (bytes), bytes, bed->tensors, bed->count, &error);
    if (!side->state || mu_sums_plan (&bench.layout, side->state, MU_SUMS_INT32,
                                      RANKS * bench.micro_batches, &error) < 0)
        die (error.text);
    mu_state_init (side->state, bed->trainer, bed->model, 1);
    side->weights = take (bed->count * sizeof *side->weights);
    mu_state_pointers_const (side->state, mu_state_weights_const (side->state), side->weights);
    side->sums = take (bench.layout.words * 4);
    side->result = take (bench.layout.words * 4);
}

static void open_bench (uint32_t micro_batches)
{
    struct muster_records records = { .size = sizeof records, .tokens = 129, .vocabulary = 256 };
    struct mu_error error;
    bench.micro_batches = micro_batches;
    bench.kernels = mu_kernels_get (NULL, &error);
    bench.bed = bed_open (&mu_trainer_gpt, &records, NULL, RECORDS / micro_batches,
                          &bench.kernels->math, 1 + (uint64_t)bench.rank);
    bench.optimizer = (struct mu_optimizer){ .rate = 1e-3,
                                             .beta1 = 0.9,
                                             .beta2 = 0.95,
                                             .epsilon = 1e-8,
                                             .weight_decay = 0.1,
                                             .clip_norm = 1,
                                             .steps = 1000 };
    for (enum kind kind = 0; kind < KINDS; kind++)
        open_side (&bench.side[kind]);
    if (train_plan_buckets (&bench.buckets, &bench.layout, bench.side[EXACT].state, &error) < 0)
        die (error.text);
    bench.gradient = take (bench.side[EXACT].state->padded * sizeof (float));
}

static void close_bench (void)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct side *side = &bench.side[kind];
        free (side->state);
        free (side->weights);
        free (side->sums);
        free (side->result);
    }
    free (bench.gradient);
    free (bench.buckets.bucket);
    free (bench.buckets.of_tensor);
    free (bench.buckets.tensors);
    bed_close (&bench.bed);
}

static int compare (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median (double *values, int count)
{
    qsort (values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static void print (int rounds, double total[KINDS][ROUNDS_MAX], double ratio[ROUNDS_MAX],
                   double part[KINDS][PARTS][ROUNDS_MAX])
{
    double middle = median (ratio, rounds);
    printf ("| exact sums, CPU ms a step and rank, %u x %u records, %s | %.1f | float sums: %.1f | "
            "%.3f (half of the rounds: %.3f to %.3f) | <= 1.05 |\n",
            bench.micro_batches, RECORDS / bench.micro_batches, bench.kernels->math.name,
            1e3 * median (total[EXACT], rounds), 1e3 * median (total[PLAIN], rounds), middle,
            ratio[rounds / 4], ratio[rounds - 1 - rounds / 4]);
    for (enum part p = 0; p < PARTS; p++)
        printf ("# %-8s %7.2f ms  %7.2f ms\n", part_name[p], 1e3 * median (part[EXACT][p], rounds),
                1e3 * median (part[PLAIN][p], rounds));
    fflush (stdout);
}

/* The median ratio of exact to plain. */
static double measure (int rounds)
{
    static double total[KINDS][ROUNDS_MAX], ratio[ROUNDS_MAX], part[KINDS][PARTS][ROUNDS_MAX];
    for (int round = -3; round < rounds; round++) { /* three warm up: caches, scales */
        double sum[KINDS], all[KINDS];
        for (int i = 0; i < KINDS; i++) {
            enum kind kind = (enum kind) ((round + 3 + i) % KINDS); /* each is first in turn */
            sum[kind] = step (kind);
        }
        MPI_Allreduce (sum, all, KINDS, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        if (round < 0)
            continue;
        ratio[round] = all[EXACT] / all[PLAIN];
        for (int kind = 0; kind < KINDS; kind++) {
            total[kind][round] = all[kind] / RANKS;
            for (int p = 0; p < PARTS; p++)
                part[kind][p][round] = bench.side[kind].seconds[p];
        }
    }
    double middle = median (ratio, rounds);
    if (bench.rank == 0)
        print (rounds, total, ratio, part);
    return middle;
}

static void run_as_ranks (char **argv)
{
    static const char *const environment[] = {
        "UCX_TLS", "tcp,self", "UCX_NET_DEVICES", "lo", "MPIR_CVAR_NOLOCAL", "1", "BENCH_RANK", "1"
    };
    static char self[4096];
    if (readlink ("/proc/self/exe", self, sizeof self - 1) < 0)
        die ("/proc is needed");
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i += 2)
        setenv (environment[i], environment[i + 1], 1);
    execlp ("mpiexec.mpich", "mpiexec.mpich", "-n", "2", self, argv[1], (char *)NULL);
    die ("mpiexec.mpich cannot be run (apt-get install mpich)");
}

int main (int argc, char **argv)
{
    int rounds = argc > 1 ? atoi (argv[1]) : ROUNDS, size;
    if (rounds < 1 || rounds > ROUNDS_MAX)
        die ("usage: bench_exactness [ROUNDS], 1 to 201");
    if (!getenv ("BENCH_RANK"))
        run_as_ranks (argv);
    MPI_Init (&argc, &argv);
    MPI_Comm_rank (MPI_COMM_WORLD, &bench.rank);
    MPI_Comm_size (MPI_COMM_WORLD, &size);
    if (size != RANKS)
        die ("two ranks are needed");
    double worst = 0;
    for (uint32_t micro_batches = 1; micro_batches <= RECORDS; micro_batches *= 8) {
        open_bench (micro_batches);
        double ratio = measure (rounds);
        if (micro_batches == 1)
            worst = ratio;
        close_bench ();
    }
    MPI_Finalize ();
    return worst > ENOUGH;
}
