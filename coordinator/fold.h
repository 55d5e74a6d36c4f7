/* SPDX-License-Identifier: Apache-2.0 */
/* fold.h - the records of a job that has ended, as one */
#ifndef COORD_FOLD_H
#define COORD_FOLD_H

#include "core.h"

/* Apply's part. */
int fold_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

#endif
