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

#endif
