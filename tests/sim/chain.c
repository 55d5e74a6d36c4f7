/* SPDX-License-Identifier: Apache-2.0 */
/* chain.c - what training comes to: the states of a run that nothing disturbs, as hashes of hashes
 *
 * The gradient of a micro-batch is a hash of all that it depends on, sums are sums, and a state is a hash of the
 * one before and the sum. What kills every trainer is left out, and some steps are tried again at another scale. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct chain {
    uint64_t *states;
    uint64_t count, capacity;
};

static struct chain *chains;
static uint64_t chain_count;

void chain_reset (void)
{
    for (uint64_t i = 0; i < chain_count; i++)
        free (chains[i].states);
    free (chains);
    chains = NULL;
    chain_count = 0;
}

uint32_t chain_refusals (uint64_t job, uint64_t step)
{
    uint64_t luck = mix (job * 77, step) % 64;
    return faults.quick_ms ? 0 : luck == 0 ? 2 : luck < 3;
}

uint64_t chain_gradient (uint64_t state, uint64_t step, uint32_t attempt, uint32_t micro_batch)
{
    return mix (mix (state, step * 16 + attempt), micro_batch);
}

uint64_t chain_sum (uint64_t state, uint64_t step, uint32_t attempt, uint64_t micro_batches)
{
    uint64_t sum = 0;
    for (uint32_t m = 0; m < 64; m++)
        if (micro_batches >> m & 1)
            sum += chain_gradient (state, step, attempt, m);
    return sum;
}

uint64_t chain_poison (uint64_t job_number, uint64_t step)
{
    const struct sim_job *job = client_job (job_number);
    uint64_t bits = 0;
    for (uint32_t i = 0; i < job->poisons; i++)
        if (job->poison_step[i] == step)
            bits |= UINT64_C (1) << job->poison_micro_batch[i];
    return bits;
}

static uint64_t all_of (uint32_t micro_batches)
{
    return micro_batches >= 64 ? UINT64_MAX : (UINT64_C (1) << micro_batches) - 1;
}

uint64_t chain_state (uint64_t job, uint64_t step)
{
    if (job >= chain_count) {
        chains = realloc (chains, (job + 1) * sizeof *chains);
        if (!chains)
            abort ();
        memset (chains + chain_count, 0, (job + 1 - chain_count) * sizeof *chains);
        chain_count = job + 1;
    }
    struct chain *chain = &chains[job];
    while (chain->count <= step) {
        if (chain->count == chain->capacity) {
            chain->capacity = chain->capacity ? 2 * chain->capacity : 64;
            chain->states = realloc (chain->states, chain->capacity * sizeof *chain->states);
            if (!chain->states)
                abort ();
        }
        uint64_t at = chain->count++;
        if (at == 0) {
            chain->states[0] = mix (job, 1);
            continue;
        }
        uint64_t last = chain->states[at - 1];
        uint64_t all = all_of (client_job (job)->micro_batches) & ~chain_poison (job, at - 1);
        chain->states[at] = mix (last, chain_sum (last, at - 1, chain_refusals (job, at - 1), all));
    }
    return chain->states[step];
}
