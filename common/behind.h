/* SPDX-License-Identifier: Apache-2.0 */
/* behind.h - who stands just one update behind another
 *
 * A state stands at a step and a try at it. An update leads to the next step, or, where it lowers scales,
 * to the next try at the same one. Whoever has made one may still have the sums of all ranks that it was made of
 * (`made_of`: 1 + which try they are of; 0: not), and who stands where those were added can make it from them. */
#ifndef MU_BEHIND_H
#define MU_BEHIND_H

#include <stdbool.h>
#include <stdint.h>

/* What a rank gets from its generation's source before it is level with it. */
enum mu_receives { MU_RECEIVES_NOTHING, MU_RECEIVES_STATE, MU_RECEIVES_SUMS };

static inline bool mu_is_one_behind (uint64_t own_step, uint64_t own_attempt, uint64_t step,
                                     uint32_t attempt, uint32_t made_of)
{
    return made_of && own_attempt + 1 == made_of && own_step + !attempt == step;
}

/* ... a rank that stands there, if it is not the source; `blank`: it holds no state at all. */
static inline enum mu_receives mu_receives (bool blank, uint64_t own_step, uint64_t own_attempt,
                                            uint64_t step, uint32_t attempt, uint32_t made_of)
{
    if (blank)
        return MU_RECEIVES_STATE;
    if (own_step == step && own_attempt == attempt)
        return MU_RECEIVES_NOTHING;
    return mu_is_one_behind (own_step, own_attempt, step, attempt, made_of) ? MU_RECEIVES_SUMS
                                                                            : MU_RECEIVES_STATE;
}

#endif
