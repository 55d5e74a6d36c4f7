/* SPDX-License-Identifier: Apache-2.0 */
/* forget.h - which jobs that have ended are remembered */
#ifndef COORD_FORGET_H
#define COORD_FORGET_H

#include "core.h"

void forget_mind (struct coord *coord);
/* Apply's part. */
int forget_apply (struct coord *coord, const struct mu_journal *record, struct mu_error *error);

#endif
