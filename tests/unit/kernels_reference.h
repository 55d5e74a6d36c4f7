/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_reference.h - struct mu_kernels once more, element by element as its comments read
 *
 * Written for a reader, from the contracts in worker/trainer.h and worker/kernels/kernels.h: scalar
 * loops, fmaf of libm, rint and ldexp. The tests hold every instruction set against it, bit for
 * bit. `normals` and `key` are NULL: the sets share one implementation of these. */
#ifndef MU_KERNELS_REFERENCE_H
#define MU_KERNELS_REFERENCE_H

#include "worker/kernels/kernels.h"

extern const struct mu_kernels mu_reference_kernels;

#endif
