/* SPDX-License-Identifier: Apache-2.0 */
/* train_pool.c - threads that each compute whole items, and what one thread needs for that
 *
 * The caller of train_pool_run () is thread 0; the helpers wait between runs. Items are drawn from
 * one counter. Everything a thread needs is allocated once, before the job is called open, so that
 * a step allocates nothing and memory that is short is known at once. */
#include "train.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct train_pool {
    uint32_t threads;
    struct train_thread *thread;
    pthread_t *helper; /* [1 .. threads-1] */
    uint32_t helpers_started;
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    uint64_t round;   /* counts runs */
    uint32_t working; /* helpers not yet done with this round */
    bool ending;
    train_item run; /* of this round */
    void *task;
    uint32_t count;
    const atomic_bool *stop;
    _Atomic uint32_t next;
    atomic_bool halted; /* an item said so */
};

static uint64_t now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C (1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t train_now_ms (void) { return now_ns () / 1000000; }

/* --- one thread's things ---------------------------------------------------------------------- */

static void *zeroed (size_t bytes)
{
    size_t whole = (bytes + MU_STATE_ALIGNMENT) / MU_STATE_ALIGNMENT * MU_STATE_ALIGNMENT;
    void *memory = aligned_alloc (MU_STATE_ALIGNMENT, whole);
    if (memory)
        memset (memory, 0, whole);
    return memory;
}

/* A plug-in sees the weights at another address, where they can only be read: `const` keeps nobody from writing,
 * and what is written there would be trained on. NULL: they cannot be mapped. */
static const float *readable_weights (const struct train_job *job)
{
    const float *weights = mu_state_weights_const (job->state);
    const struct mu_region *region = job->region;
    if (!job->plugin)
        return weights;
    char *view = mu_region_map (job->region_fd, region->total_bytes, PROT_READ);
    if (!view)
        return NULL;
    char *at = view + ((const char *)weights - (const char *)region->control);
    mu_region_prefault (at, job->state->padded * sizeof *weights);
    return (const float *)(const void *)at;
}

static int equip (struct train_thread *thread, struct train_job *job, const float *weights,
                  struct mu_error *error)
{
    const struct mu_state *state = job->state;
    size_t micro = job->spec.batch.micro, tensors = state->tensors;
    size_t workspace = job->trainer->workspace (job->model);
    thread->job = job;
    thread->workspace = train_memory_take (workspace);
    thread->gradient = train_memory_take (state->padded * sizeof (float));
    thread->gradients = calloc (tensors, sizeof *thread->gradients);
    thread->weights = calloc (tensors, sizeof *thread->weights);
    thread->summed = calloc (tensors, sizeof *thread->summed);
    thread->numbers = calloc (micro, sizeof *thread->numbers);
    thread->tokens = zeroed (micro * job->info.tokens * sizeof *thread->tokens);
    thread->labels = zeroed (micro * sizeof *thread->labels);
    thread->features = zeroed (micro * job->info.features * sizeof *thread->features);
    if (!thread->workspace || !thread->gradient || !thread->gradients || !thread->weights ||
        !thread->summed || !thread->numbers || !thread->tokens || !thread->labels ||
        !thread->features)
        return mu_fail (error, MU_SYSTEM,
                        "no memory for a computing thread (%zu bytes of workspace and %zu of "
                        "gradient): use fewer threads, a smaller model or a smaller micro-batch",
                        workspace, (size_t)state->padded * sizeof (float));
    mu_state_pointers (state, thread->gradient, thread->gradients);
    mu_state_pointers_const (state, weights, thread->weights);
    return 0;
}

static void strip (struct train_thread *thread)
{
    train_memory_free (thread->workspace);
    train_memory_free (thread->gradient);
    free (thread->gradients);
    free (thread->weights);
    free (thread->summed);
    free (thread->numbers);
    free (thread->tokens);
    free (thread->labels);
    free (thread->features);
}

int train_fill (struct train_thread *thread, struct mu_data *data, const struct mu_data_info *info,
                uint32_t records, struct muster_batch *batch, struct mu_error *error)
{
    bool tokens = info->tokens > 0;
    batch->size = sizeof *batch;
    batch->records = records;
    batch->tokens = tokens ? thread->tokens : NULL;
    batch->features = tokens ? NULL : thread->features;
    batch->labels = tokens ? NULL : thread->labels;
    return mu_data_read (data, thread->numbers, records, thread->tokens, thread->features,
                         thread->labels, error);
}

/* --- runs ------------------------------------------------------------------------------------- */

static bool may_go_on (const struct train_pool *pool)
{
    return !atomic_load (&pool->halted) && !(pool->stop && atomic_load (pool->stop));
}

static void draw_items (struct train_pool *pool, struct train_thread *thread)
{
    uint64_t begun = now_ns ();
    while (may_go_on (pool)) {
        uint32_t item = atomic_fetch_add (&pool->next, 1);
        if (item >= pool->count)
            break;
        if (!pool->run (thread, pool->task, item))
            atomic_store (&pool->halted, true);
    }
    atomic_fetch_add (&thread->busy_ns, now_ns () - begun);
}

struct helper {
    struct train_pool *pool;
    uint32_t index;
};

static void *help (void *argument)
{
    struct helper me = *(struct helper *)argument;
    free (argument);
    struct train_pool *pool = me.pool;
    uint64_t seen = 0;
    pthread_mutex_lock (&pool->lock);
    for (;;) {
        while (pool->round == seen && !pool->ending)
            pthread_cond_wait (&pool->begun, &pool->lock);
        if (pool->ending)
            break;
        seen = pool->round;
        pthread_mutex_unlock (&pool->lock);
        draw_items (pool, &pool->thread[me.index]);
        pthread_mutex_lock (&pool->lock);
        if (--pool->working == 0)
            pthread_cond_signal (&pool->done);
    }
    pthread_mutex_unlock (&pool->lock);
    return NULL;
}

void train_pool_run (struct train_pool *pool, train_item run, void *task, uint32_t count,
                     const atomic_bool *stop)
{
    pthread_mutex_lock (&pool->lock);
    pool->run = run;
    pool->task = task;
    pool->count = count;
    pool->stop = stop;
    atomic_store (&pool->next, 0);
    atomic_store (&pool->halted, false);
    pool->working = pool->helpers_started;
    pool->round++;
    pthread_cond_broadcast (&pool->begun);
    pthread_mutex_unlock (&pool->lock);
    draw_items (pool, &pool->thread[0]);
    pthread_mutex_lock (&pool->lock);
    while (pool->working > 0)
        pthread_cond_wait (&pool->done, &pool->lock);
    pthread_mutex_unlock (&pool->lock);
}

float *train_pool_gradient (struct train_pool *pool) { return pool->thread[0].gradient; }

uint64_t train_pool_busy_us (struct train_pool *pool)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < pool->threads; i++)
        sum += atomic_exchange (&pool->thread[i].busy_ns, 0);
    return sum / 1000;
}

/* --- life ------------------------------------------------------------------------------------- */

static int start_helpers (struct train_pool *pool, struct mu_error *error)
{
    for (uint32_t i = 1; i < pool->threads; i++) {
        struct helper *helper = malloc (sizeof *helper);
        if (!helper)
            return mu_fail (error, MU_SYSTEM, "no memory for a thread");
        *helper = (struct helper){ pool, i };
        int number = pthread_create (&pool->helper[i], NULL, help, helper);
        if (number) {
            free (helper);
            return mu_fail_errno (error, MU_SYSTEM, number,
                                  "thread %u of %u cannot be started; is there a limit on "
                                  "processes (ulimit -u, pids.max)?",
                                  i, pool->threads);
        }
        pool->helpers_started++;
    }
    return 0;
}

static void destroy (struct train_pool **pool_p)
{
    struct train_pool *pool = *pool_p;
    pthread_mutex_lock (&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast (&pool->begun);
    pthread_mutex_unlock (&pool->lock);
    for (uint32_t i = 1; i <= pool->helpers_started; i++)
        pthread_join (pool->helper[i], NULL);
    for (uint32_t i = 0; pool->thread && i < pool->threads; i++)
        strip (&pool->thread[i]);
    free (pool->thread);
    free (pool->helper);
    free (pool);
    *pool_p = NULL;
}

struct train_pool *train_pool_create (struct train_job *job, struct mu_error *error)
{
    uint32_t threads = job->threads < job->micro_batches ? job->threads : job->micro_batches;
    struct train_pool *pool = calloc (1, sizeof *pool);
    if (!pool) {
        mu_fail (error, MU_SYSTEM, "no memory for threads");
        return NULL;
    }
    pthread_mutex_init (&pool->lock, NULL);
    pthread_cond_init (&pool->begun, NULL);
    pthread_cond_init (&pool->done, NULL);
    pool->threads = threads;
    pool->thread = calloc (threads, sizeof *pool->thread);
    pool->helper = calloc (threads, sizeof *pool->helper);
    const float *weights = readable_weights (job);
    int status =
        pool->thread && pool->helper && weights ? 0 : mu_fail (error, MU_SYSTEM, "no memory");
    for (uint32_t i = 0; i < threads && status == 0; i++)
        status = equip (&pool->thread[i], job, weights, error);
    if (status == 0)
        status = start_helpers (pool, error);
    if (status < 0)
        destroy (&pool);
    return pool;
}
