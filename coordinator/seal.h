/* SPDX-License-Identifier: Apache-2.0 */
/* seal.h - a running hash over a job's records, so that the journal can be checked */
#ifndef COORD_SEAL_H
#define COORD_SEAL_H

#include "core.h"

/* Fill the record's seal, if it has one; and follow a record that was applied. */
void seal_put (const struct coord *coord, struct mu_journal *record);
void seal_follow (struct coord *coord, const struct mu_journal *record);

#endif
