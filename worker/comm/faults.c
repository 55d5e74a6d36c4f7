/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c - faults that a test or a drill wants; each happens once */
#include "collective.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fault_now (const char *kind, uint64_t step)
{
    static bool happened;
    const char *wanted = getenv ("MUSTER_FAULT");
    char name[16];
    unsigned long long at;
    if (happened || !wanted || sscanf (wanted, "%15s %llu", name, &at) != 2)
        return false;
    happened = strcmp (name, kind) == 0 && at == step;
    return happened;
}

bool fault_ordered (struct mu_region *region, enum mu_corruption_state what)
{
    uint64_t order = (uint64_t)what + 1;
    return atomic_compare_exchange_strong (&region->control->agent.fault, &order, 0);
}
