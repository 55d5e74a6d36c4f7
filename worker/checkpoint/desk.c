/* SPDX-License-Identifier: Apache-2.0 */
/* desk.c - a copy of all that a checkpoint is made of, where its writer finds it
 *
 * All of it is one mapping: the desk itself, tensors and texts, then, each on pages of its own, the
 * facts of the state, weights and moments. */
#include "worker/checkpoint/desk.h"

#include "worker/checkpoint/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((uint64_t)4096)

/* A piece of the copy for one hand. */
#define COPY_PIECE ((uint64_t)8 << 20)

enum { WEIGHTS, M, V, REGIONS };

static uint64_t whole_pages (uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static uint64_t values_of (const struct mu_state *state)
{
    return state->parameters * sizeof (float);
}

static size_t text_size (const char *text) { return text ? strlen (text) + 1 : 0; }

static size_t words_size (const struct mu_state *state, const struct muster_tensor *tensors,
                          const struct mu_checkpoint_job *job)
{
    size_t size = sizeof (struct mu_desk) + state->tensors * sizeof *tensors + text_size (job->id) +
                  text_size (job->name) + text_size (job->spec) + text_size (job->trainer) +
                  text_size (job->data) + text_size (job->compute_class) + text_size (job->config);
    for (uint32_t i = 0; i < state->tensors; i++)
        size += text_size (tensors[i].name);
    return size;
}

static size_t size_for (const struct mu_state *state, const struct muster_tensor *tensors,
                        const struct mu_checkpoint_job *job)
{
    return whole_pages (words_size (state, tensors, job)) + whole_pages (state->weights_at) +
           whole_pages (values_of (state)) + whole_pages (2 * values_of (state));
}

struct mu_desk *mu_desk_create (const struct mu_state *state, const struct muster_tensor *tensors,
                                const struct mu_checkpoint_job *job, struct mu_error *error)
{
    const size_t size = size_for (state, tensors, job);
    struct mu_desk *desk =
        mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (desk == MAP_FAILED) {
        mu_fail_errno (error, MU_SYSTEM, errno,
                       "no memory for the checkpoint's copy of the state (%llu MiB)",
                       (unsigned long long)(size >> 20));
        return NULL;
    }
    madvise (desk, size, MADV_HUGEPAGE); /* where shared memory may have them */
    desk->size = size;
    desk->phase = &desk->phase_word;
    return desk;
}

void mu_desk_destroy (struct mu_desk **desk)
{
    if (*desk)
        munmap (*desk, (*desk)->size);
    *desk = NULL;
}

/* --- words ------------------------------------------------------------------------------------ */

static const char *put_text (char **at, const char *text)
{
    if (!text)
        return NULL;
    char *here = *at;
    *at += text_size (text);
    return memcpy (here, text, text_size (text));
}

static void put_words (struct mu_desk *desk, uint32_t count, const struct muster_tensor *tensors,
                       const struct mu_checkpoint_job *job)
{
    struct muster_tensor *list = (void *)(desk + 1);
    char *at = (void *)(list + count);
    memcpy (list, tensors, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++)
        list[i].name = put_text (&at, tensors[i].name);
    desk->tensors = list;
    desk->job = *job;
    desk->job.id = put_text (&at, job->id);
    desk->job.name = put_text (&at, job->name);
    desk->job.spec = put_text (&at, job->spec);
    desk->job.trainer = put_text (&at, job->trainer);
    desk->job.data = put_text (&at, job->data);
    desk->job.compute_class = put_text (&at, job->compute_class);
    desk->job.config = put_text (&at, job->config);
}

/* --- values ----------------------------------------------------------------------------------- */

struct copying {
    const struct mu_state *state;
    const float *region[REGIONS];
    unsigned char *to[REGIONS];
    uint32_t pieces; /* of each region */
};

/* Bytes `from` to `to` of a region as they lie without gaps. Cannot fail. */
static int copy_piece (void *about, uint32_t number, struct mu_error *error)
{
    const struct copying *copying = about;
    const uint32_t region = number / copying->pieces;
    const uint64_t from = number % copying->pieces * COPY_PIECE, to = from + COPY_PIECE;
    const struct mu_state_tensor *table = mu_state_table_const (copying->state);
    uint64_t at = 0;
    for (uint32_t i = 0; i < copying->state->tensors && at < to; i++) {
        const uint64_t end = at + table[i].elements * sizeof (float);
        const uint64_t first = at > from ? at : from, last = end < to ? end : to;
        const char *values = (const char *)(copying->region[region] + table[i].first);
        if (first < last)
            memcpy (copying->to[region] + first, values + (first - at), last - first);
        at = end;
    }
    (void)error;
    return 0;
}

bool mu_desk_put (struct mu_desk *desk, const struct mu_state *state,
                  const struct muster_tensor *tensors, const struct mu_checkpoint_job *job)
{
    if (size_for (state, tensors, job) > desk->size)
        return false;
    const uint64_t bytes = values_of (state);
    unsigned char *facts = (unsigned char *)desk + whole_pages (words_size (state, tensors, job));
    unsigned char *weights = facts + whole_pages (state->weights_at);
    unsigned char *moments = weights + whole_pages (bytes);
    put_words (desk, state->tensors, tensors, job);
    desk->facts = memcpy (facts, state, state->weights_at);
    desk->weights = (struct mu_desk_values){ weights, bytes };
    desk->moments = (struct mu_desk_values){ moments, 2 * bytes };
    struct copying copying = { .state = state,
                               .region = { mu_state_weights_const (state), mu_state_m_const (state),
                                           mu_state_v_const (state) },
                               .to = { weights, moments, moments + bytes },
                               .pieces = (uint32_t)((bytes - 1) / COPY_PIECE) + 1 };
    mu_crew_run (mu_crew_hands (state->bytes), REGIONS * copying.pieces, copy_piece, &copying,
                 NULL);
    return true;
}

struct mu_state *mu_desk_state (const struct mu_desk *desk, struct mu_error *error)
{
    struct mu_state *state = aligned_alloc (MU_STATE_ALIGNMENT, desk->facts->bytes);
    if (!state) {
        mu_fail (error, MU_SYSTEM, "no memory to compare a state of %llu MiB",
                 (unsigned long long)(desk->facts->bytes >> 20));
        return NULL;
    }
    memcpy (state, desk->facts, desk->facts->weights_at);
    memset ((char *)state + state->weights_at, 0, state->bytes - state->weights_at);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    const uint64_t bytes = desk->weights.size;
    uint64_t at = 0;
    for (uint32_t i = 0; i < state->tensors; i++) {
        const size_t size = table[i].elements * sizeof (float);
        memcpy (mu_state_weights (state) + table[i].first, desk->weights.bytes + at, size);
        memcpy (mu_state_m (state) + table[i].first, desk->moments.bytes + at, size);
        memcpy (mu_state_v (state) + table[i].first, desk->moments.bytes + bytes + at, size);
        at += size;
    }
    return state;
}
