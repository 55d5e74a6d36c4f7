/* SPDX-License-Identifier: Apache-2.0 */
/* lie.h - a word that is not so, made of one that may be
 *
 * For the simulator, where copies of the core hear them (lies.c), and for a liar that speaks to a real
 * coordinator (tests/system/liar.c). The same seed makes the same lies. */
#ifndef LIE_H
#define LIE_H

#include "wire.h"

/* `name_of_somebody` is asked for names to say. */
void lie_begin (uint64_t seed, const char *(*name_of_somebody) (void));
uint64_t lie_pick (uint64_t below); /* by chance, below `below` */

/* Change some fields, within their limits, or say another word in its place. What it borrows then lies in
 * lie.c until some lies later. */
void lie (struct mu_wire *wire);

#endif
