/* SPDX-License-Identifier: Apache-2.0 */
/* train_head.c - what all else in a state is read by is kept twice
 *
 * A bit of a weight that falls over makes one worker wrong, and it is found when states are compared. A bit of the state's
 * counters, products and scales does more than that. With another step a rank trains other records, which go into
 * everybody's sums; or it says that it stands a hundred steps further on than the others, and they are given what it has:
 * all hold the same then, no comparison can tell, and the job ends with the weights of fewer steps than it says.
 *
 * They are small, and change in an update alone, or when a state comes. So there is a copy in memory that nobody shares, and
 * whoever finds the two unlike takes no part any more: the process ends, as a trainer that crashes, and another is
 * given the others' state. Fatal for the process, and nothing else. */
#include "train.h"

#include "common/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t head_bytes (const struct mu_state *state)
{
    return sizeof *state + state->tensors * sizeof (struct mu_state_tensor);
}

void train_forget_head (struct train *train)
{
    free (train->head);
    train->head = NULL;
}

void train_keep_head (struct train *train)
{
    const struct mu_state *state = train->job.state;
    if (!train->head)
        train->head = malloc (head_bytes (state));
    if (train->head)
        memcpy (train->head, state, head_bytes (state));
}

void train_check_head (const struct train *train)
{
    const struct mu_state *state = train->job.state, *kept = train->head;
    if (!kept || memcmp (state, kept, head_bytes (kept)) == 0)
        return;
    struct mu_log_about about = { .job = train->job.number };
    mu_log (MU_LOG_ERROR, "memory", &about,
            "memory of this worker's trainer changed by itself after step %llu: counters or scales "
            "of the training state (its step reads as %llu); this trainer ends, and another is "
            "given the others' state. If it happens again, the machine's memory needs a check",
            (unsigned long long)kept->step, (unsigned long long)state->step);
    _exit (mu_code_exit (MU_INTERNAL));
}
