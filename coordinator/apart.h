/* SPDX-License-Identifier: Apache-2.0 */
/* apart.h - members that cannot stand where they say */
#ifndef COORD_APART_H
#define COORD_APART_H

#include "core.h"

/* All have left a generation: who says that it stands where it cannot is let go, or all go back. True: the
 * job is to be looked at again. */
bool apart_mend (struct coord *coord, struct job *job);

#endif
