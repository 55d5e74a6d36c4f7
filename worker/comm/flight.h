/* SPDX-License-Identifier: Apache-2.0 */
/* flight.h - which micro-batches a trainer has in flight, told so that its death does not silence it
 *
 * The trainer notes each micro-batch in the shared region before it touches its records and strikes
 * it out when it is done. Whoever reaps the trainer reads what was in flight when it died. */
#ifndef MU_FLIGHT_H
#define MU_FLIGHT_H

#include "region.h"

#define MU_FLIGHT_BYTES (MU_FLIGHT_WORDS * 8u)

/* --- the trainer: begin with no micro-batch in flight; then from any thread ------------------- */

void mu_flight_begin (struct mu_region *region, uint64_t step);
void mu_flight_on (struct mu_region *region, uint32_t micro_batch);
void mu_flight_off (struct mu_region *region, uint32_t micro_batch);
/* What the next one holds, while no other is in flight; NULL: not told. */
void mu_flight_describe (struct mu_region *region, const char *records);

/* --- the agent, after the trainer's end ------------------------------------------------------- */

struct mu_flight {
    uint64_t step;
    uint8_t in_flight[MU_FLIGHT_BYTES]; /* bit m */
    bool any;
    char records[MU_FLIGHT_TEXT]; /* empty: not told. Whatever the trainer left, but valid UTF-8 */
};

void mu_flight_read (const struct mu_region *region, struct mu_flight *flight);

#endif
