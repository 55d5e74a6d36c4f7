/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c - see gather.h */
#include "gather.h"

void gather_spoken (struct gather *gather, uint32_t answers, uint64_t took_us, uint64_t now_us)
{
    uint64_t wait_us = took_us / 2 < GATHER_MAX_US ? took_us / 2 : GATHER_MAX_US;
    *gather = (struct gather){ .answered = answers, .until_us = now_us + wait_us };
}

void gather_asked (struct gather *gather) { gather->back++; }

void gather_passed (struct gather *gather) { *gather = (struct gather){ 0 }; }

/* One alone is not waited for: it may have had one question. */
bool gather_waits (const struct gather *gather, uint64_t now_us)
{
    return gather->answered > 1 && gather->back < gather->answered && now_us < gather->until_us;
}
