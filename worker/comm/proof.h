/* SPDX-License-Identifier: Apache-2.0 */
/* proof.h - a linear checksum by which a reduction of integers proves itself
 *
 * Integer sums wrap, so they are exact modulo 2^32 (or 2^64). A checksum that is linear modulo the
 * same number is exact too: the checksum of the ranks' sums, added up, is the checksum of the
 * result, or the result is wrong. Each rank feeds its own sums and the result, piece by piece in
 * the same order; only the two words travel.
 *
 * Per block of 256 rows of 16 (int64: 8) lanes: each lane's sum, and the sum of its running sums,
 * which knows the order; lanes are joined with fixed odd weights, blocks by Horner's rule with
 * fixed odd factors. So one wrong element is always seen, by `a` alone. Errors in several elements
 * escape only if both words come out zero modulo 2^32 (2^64): for a lost, doubled, torn or old
 * piece of a gradient that is chance, about 2^-64. It is no defence against someone who knows the
 * weights. Adds alone, at the speed of memory, on every CPU. */
#ifndef MU_PROOF_H
#define MU_PROOF_H

#include "region.h"

#include <stddef.h>
#include <stdint.h>

struct mu_proof {
    uint64_t a, b; /* int32: below 2^32 */
};

/* Feed the next `count` elements, which must be aligned to their size. */
void mu_proof_feed (struct mu_proof *proof, enum mu_element element, const void *elements,
                    size_t count);

/* Whether `sum`, the word-wise total of all ranks' proofs, is the proof of the result. */
int mu_proof_holds (enum mu_element element, const struct mu_proof *result,
                    const struct mu_proof *sum);

#endif
