/* SPDX-License-Identifier: Apache-2.0 */
/* offsets.c - tells tests (memory.py) where in a worker's shared memory what lies: lines of a name and a number
 *
 * The compiler knows from region.h and state.h; nobody else counts bytes. */
#include "common/states.h"
#include "worker/comm/region.h"
#include "worker/state/state.h"

#include <inttypes.h>
#include <stdio.h>

static void tell (const char *name, uint64_t number) { printf ("%s %" PRIu64 "\n", name, number); }

#define AT(structure, member) tell (#member, offsetof (struct structure, member))

int main (void)
{
    tell ("region_magic", MU_REGION_MAGIC);
    tell ("region_version", MU_REGION_VERSION);
    tell ("state_magic", MU_STATE_MAGIC);
    tell ("state_version", MU_STATE_VERSION);
    tell ("spoil_result", MU_CORRUPTION_RESULT + 1);
    AT (mu_region_control, fixed.magic);
    AT (mu_region_control, fixed.version);
    AT (mu_region_control, fixed.state_offset);
    AT (mu_region_control, agent.fault);
    AT (mu_region_control, trainer.step);
    AT (mu_region_control, trainer.request);
    AT (mu_region_control, collective.done);
    AT (mu_state, magic);
    AT (mu_state, version);
    AT (mu_state, tensors);
    AT (mu_state, padded);
    AT (mu_state, step);
    AT (mu_state, attempt);
    AT (mu_state, skipped);
    AT (mu_state, beta1_power);
    AT (mu_state, beta2_power);
    AT (mu_state, weights_at);
    AT (mu_state, m_at);
    AT (mu_state, v_at);
    tell ("table", sizeof (struct mu_state));
    tell ("tensor_bytes", sizeof (struct mu_state_tensor));
    tell ("scale", offsetof (struct mu_state_tensor, scale));
    return 0;
}
