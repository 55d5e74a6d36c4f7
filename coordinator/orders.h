/* SPDX-License-Identifier: Apache-2.0 */
/* orders.h - what a worker is told and must do: said again, and given up at a limit */
#ifndef COORD_ORDERS_H
#define COORD_ORDERS_H

#include "core.h"

void order_give (struct coord *coord, struct worker *worker, enum order order);
void order_clear (struct worker *worker);
void order_say (struct coord *coord, struct worker *worker);
void order_mind (struct coord *coord, struct worker *worker); /* repeat it, or give it up */

#endif
