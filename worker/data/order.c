/* SPDX-License-Identifier: Apache-2.0 */
/* order.c - the computed order of records
 *
 * An epoch is a row of slots, one a chunk; slot s holds chunk shuffle (s). All slots are full but
 * the one that got the data set's last chunk, so where a slot begins is known by arithmetic: every
 * slot behind the short one begins `missing` places earlier. Segments are runs of slots, and a
 * second shuffle, keyed by the segment, moves the places within each. Unsigned arithmetic
 * throughout; nothing can fail but a caller's broken promise about the arguments, which aborts. */
#include "order.h"

#include <stdlib.h>

enum { ROUNDS = 6 };

/* Numbers below `size` <= a * b, and the key of one permutation of them. */
struct shuffle {
    uint64_t size, a, b;
    uint64_t key[ROUNDS];
};

/* One epoch: how its slots lie. */
struct epoch {
    uint64_t number;
    struct shuffle chunks;
    uint64_t short_slot;
    uint64_t short_end; /* the first place behind the short slot */
    uint64_t missing;   /* records that the short slot lacks */
};

/* The finalizer of MurmurHash3 (Austin Appleby, public domain): a bijection of 64 bits. */
static uint64_t mix (uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ (x >> 33);
}

static uint64_t key_of (uint64_t seed, uint64_t epoch, uint64_t part)
{
    const uint64_t golden = 0x9e3779b97f4a7c15ull;
    return mix (mix (mix (seed + golden) + epoch + golden) + part + golden);
}

/* The least a with a * a >= n. */
static uint64_t root_up (uint64_t n)
{
    uint64_t root = 0;
    for (uint64_t bit = 1ull << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) < n)
            root += bit;
    return root + 1;
}

static void set_domain (uint64_t size, uint64_t *a, uint64_t *b)
{
    *a = root_up (size);
    *b = (size + *a - 1) / *a;
}

static void set_key (struct shuffle *shuffle, uint64_t key)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        shuffle->key[i] = mix (key + (i + 1) * 0x9e3779b97f4a7c15ull);
}

/* A number below `limit` (< 2^32) from a key and a value. */
static uint64_t below (uint64_t key, uint64_t value, uint64_t limit)
{
    return ((mix (key ^ value) >> 32) * limit) >> 32;
}

static uint64_t add (uint64_t x, uint64_t y, uint64_t limit)
{
    return x + y < limit ? x + y : x + y - limit;
}

static uint64_t subtract (uint64_t x, uint64_t y, uint64_t limit)
{
    return x >= y ? x - y : x + limit - y;
}

/* Rounds alternate between the halves; numbers of a * b that are not below `size` are walked over.
 */
static uint64_t forward (const struct shuffle *s, uint64_t x)
{
    do {
        uint64_t left = x / s->b, right = x % s->b;
        for (unsigned i = 0; i < ROUNDS; i += 2) {
            left = add (left, below (s->key[i], right, s->a), s->a);
            right = add (right, below (s->key[i + 1], left, s->b), s->b);
        }
        x = left * s->b + right;
    } while (x >= s->size);
    return x;
}

static uint64_t backward (const struct shuffle *s, uint64_t x)
{
    do {
        uint64_t left = x / s->b, right = x % s->b;
        for (unsigned i = ROUNDS; i; i -= 2) {
            right = subtract (right, below (s->key[i - 1], left, s->b), s->b);
            left = subtract (left, below (s->key[i - 2], right, s->a), s->a);
        }
        x = left * s->b + right;
    } while (x >= s->size);
    return x;
}

static void begin_epoch (struct epoch *epoch, const struct mu_order *order, uint64_t number)
{
    epoch->number = number;
    epoch->chunks.size = order->chunks;
    epoch->chunks.a = order->chunk_a;
    epoch->chunks.b = order->chunk_b;
    set_key (&epoch->chunks, key_of (order->seed, number, 0));
    epoch->missing = order->chunks * MU_ORDER_CHUNK - order->records;
    epoch->short_slot = backward (&epoch->chunks, order->chunks - 1);
    epoch->short_end = (epoch->short_slot + 1) * MU_ORDER_CHUNK - epoch->missing;
}

static uint64_t slot_begin (const struct epoch *epoch, uint64_t slot)
{
    return slot * MU_ORDER_CHUNK - (slot > epoch->short_slot ? epoch->missing : 0);
}

/* A place as it would be counted if all slots were full. */
static uint64_t padded (const struct epoch *epoch, uint64_t place)
{
    return place < epoch->short_end ? place : place + epoch->missing;
}

/* The shuffle of the segment in which `place` lies; *begin is the segment's first place. Places
 * before and after the shuffle lie in the same segment, so both directions find the same one. */
static struct shuffle segment_of (const struct mu_order *order, const struct epoch *epoch,
                                  uint64_t place, uint64_t *begin)
{
    const uint64_t segment = padded (epoch, place) / (MU_ORDER_CHUNK * MU_ORDER_SEGMENT);
    const uint64_t first = segment * MU_ORDER_SEGMENT;
    const uint64_t left = order->chunks - first;
    const uint64_t end = first + (left < MU_ORDER_SEGMENT ? left : MU_ORDER_SEGMENT);
    struct shuffle shuffle;
    *begin = slot_begin (epoch, first);
    shuffle.size = slot_begin (epoch, end) - *begin;
    set_domain (shuffle.size, &shuffle.a, &shuffle.b);
    set_key (&shuffle, key_of (order->seed, epoch->number, segment + 1));
    return shuffle;
}

void mu_order_init (struct mu_order *order, uint64_t records, uint64_t seed)
{
    if (records == 0 || records > MU_ORDER_RECORDS_MAX)
        abort ();
    order->records = records;
    order->seed = seed;
    order->chunks = (records + MU_ORDER_CHUNK - 1) / MU_ORDER_CHUNK;
    set_domain (order->chunks, &order->chunk_a, &order->chunk_b);
}

uint64_t mu_order_record (const struct mu_order *order, uint64_t position)
{
    struct epoch epoch;
    uint64_t begin;
    begin_epoch (&epoch, order, position / order->records);
    const uint64_t place = position % order->records;
    const struct shuffle shuffle = segment_of (order, &epoch, place, &begin);
    const uint64_t at = padded (&epoch, begin + forward (&shuffle, place - begin));
    return forward (&epoch.chunks, at / MU_ORDER_CHUNK) * MU_ORDER_CHUNK + at % MU_ORDER_CHUNK;
}

uint64_t mu_order_position (const struct mu_order *order, uint64_t epoch_number, uint64_t record)
{
    struct epoch epoch;
    uint64_t begin;
    if (record >= order->records)
        abort ();
    begin_epoch (&epoch, order, epoch_number);
    const uint64_t slot = backward (&epoch.chunks, record / MU_ORDER_CHUNK);
    const uint64_t at = slot_begin (&epoch, slot) + record % MU_ORDER_CHUNK;
    const struct shuffle shuffle = segment_of (order, &epoch, at, &begin);
    return epoch_number * order->records + begin + backward (&shuffle, at - begin);
}
