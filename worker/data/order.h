/* SPDX-License-Identifier: Apache-2.0 */
/* order.h - which record stands at which place of the training stream
 *
 * The stream is epoch after epoch without end: place p belongs to epoch p / records. Within each
 * epoch every record comes exactly once, in an order that is computed from (records, seed, epoch)
 * alone: no state, no memory, no worker count. A step may straddle two epochs.
 *
 * Two levels keep reading local. Chunks of MU_ORDER_CHUNK consecutive records are shuffled over the
 * whole data set; then MU_ORDER_SEGMENT of them together are shuffled record by record. So an
 * aligned run of CHUNK * SEGMENT = 4096 places reads at most 64 runs of 64 consecutive records, and
 * any run of P places at most 64 * (P / 4096 + 2). A data set of up to 4096 records is shuffled
 * freely.
 *
 * The permutation is ours (a Feistel network over Z_a x Z_b with cycle walking, after Black and
 * Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Its values are golden in
 * tests/unit/test_order.c: they may never change, or old jobs could not be repeated. */
#ifndef MU_ORDER_H
#define MU_ORDER_H

#include <stdint.h>

#define MU_ORDER_CHUNK       64u
#define MU_ORDER_SEGMENT     64u
#define MU_ORDER_RECORDS_MAX (1ull << 60)

struct mu_order {
    uint64_t records;
    uint64_t seed;
    uint64_t chunks;  /* the last one may be short */
    uint64_t chunk_a; /* chunk numbers live in Z_a x Z_b */
    uint64_t chunk_b;
};

/* records: 1 .. MU_ORDER_RECORDS_MAX. The struct is the caller's; nothing is to be freed. */
void mu_order_init (struct mu_order *order, uint64_t records, uint64_t seed);

/* The record at a place of the stream. Pure; under 0.5 µs. */
uint64_t mu_order_record (const struct mu_order *order, uint64_t position);

/* The inverse: the place in the stream where `record` comes in `epoch`. */
uint64_t mu_order_position (const struct mu_order *order, uint64_t epoch, uint64_t record);

#endif
