/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - orders to break a worker on purpose, passed on */
#ifndef COORD_FAULT_H
#define COORD_FAULT_H

#include "core.h"

void fault_order (struct coord *coord, uint32_t peer, const struct mu_wire *wire);
void fault_done (struct coord *coord, uint32_t peer, const struct mu_wire *wire);

#endif
