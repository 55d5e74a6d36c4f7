/* SPDX-License-Identifier: Apache-2.0 */
/* flight.c - a bit a micro-batch, in memory that outlives the trainer */
#include "flight.h"

#include "record.h"

#include <string.h>

void mu_flight_begin (struct mu_region *region, uint64_t step)
{
    struct mu_region_control *control = region->control;
    for (uint32_t i = 0; i < MU_FLIGHT_WORDS; i++)
        atomic_store (&control->flight.in_flight[i], 0);
    atomic_store (&control->flight.step, step);
    control->flight.records[0] = '\0';
}

void mu_flight_on (struct mu_region *region, uint32_t micro_batch)
{
    atomic_fetch_or (&region->control->flight.in_flight[micro_batch / 64], UINT64_C (1)
                                                                               << micro_batch % 64);
}

void mu_flight_off (struct mu_region *region, uint32_t micro_batch)
{
    atomic_fetch_and (&region->control->flight.in_flight[micro_batch / 64],
                      ~(UINT64_C (1) << micro_batch % 64));
}

void mu_flight_describe (struct mu_region *region, const char *records)
{
    mu_text_set (region->control->flight.records, MU_FLIGHT_TEXT, records ? records : "");
}

/* What a dying process scribbled over its memory is not believed: a text is one only if it is. */
void mu_flight_read (const struct mu_region *region, struct mu_flight *flight)
{
    const struct mu_region_control *control = region->control;
    memset (flight, 0, sizeof *flight);
    flight->step = atomic_load (&control->flight.step);
    for (uint32_t i = 0; i < MU_FLIGHT_WORDS; i++) {
        uint64_t bits = atomic_load (&control->flight.in_flight[i]);
        flight->any = flight->any || bits;
        for (uint32_t b = 0; b < 8; b++)
            flight->in_flight[8 * i + b] = (uint8_t)(bits >> 8 * b);
    }
    memcpy (flight->records, control->flight.records, sizeof flight->records - 1);
    if (!mu_text_valid (flight->records, strlen (flight->records)))
        flight->records[0] = '\0';
}
