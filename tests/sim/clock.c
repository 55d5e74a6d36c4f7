/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - virtual time and the only randomness */
#include "sim.h"

#include <stdlib.h>

struct item {
    uint64_t when_ms, order, tag;
    happening *what;
    void *data;
    uint32_t who;
};

static struct item *heap;
static size_t count, capacity;
static uint64_t now_ms, order_next, random_state;

static bool before (const struct item *a, const struct item *b)
{
    return a->when_ms != b->when_ms ? a->when_ms < b->when_ms : a->order < b->order;
}

void clock_reset (uint64_t seed)
{
    while (count)
        free (heap[--count].data);
    now_ms = 1000;
    order_next = 0;
    random_state = seed * UINT64_C (0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 16; i++)
        draw (0, 1);
}

uint64_t clock_now (void) { return now_ms; }

void clock_after (uint64_t delay_ms, happening *what, uint32_t who, uint64_t tag, void *data)
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 4096;
        heap = realloc (heap, capacity * sizeof *heap);
        if (!heap)
            abort ();
    }
    struct item item = { now_ms + delay_ms, order_next++, tag, what, data, who };
    size_t at = count++;
    for (; at > 0 && before (&item, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

static struct item pop (void)
{
    struct item top = heap[0], last = heap[--count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && before (&heap[child + 1], &heap[child]))
            child++;
        if (!before (&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

void clock_run_until (uint64_t end_ms)
{
    while (count && heap[0].when_ms <= end_ms) {
        struct item item = pop ();
        now_ms = item.when_ms;
        statistics.happenings++;
        item.what (item.who, item.tag, item.data);
        free (item.data);
    }
    now_ms = end_ms;
}

/* xorshift64*, Vigna (2016). */
static uint64_t next_random (void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C (0x2545f4914f6cdd1d);
}

uint64_t draw (uint64_t low, uint64_t high)
{
    return low + (next_random () >> 11) % (high - low + 1);
}

uint64_t takes (uint64_t low, uint64_t high)
{
    return faults.quick_ms ? draw (1, faults.quick_ms) : draw (low, high);
}

bool chance (uint32_t per_billion)
{
    return per_billion && (next_random () >> 11) % 1000000000 < per_billion;
}

/* The finaliser of splitmix64 over both. */
uint64_t mix (uint64_t a, uint64_t b)
{
    uint64_t z = a * UINT64_C (0x9e3779b97f4a7c15) + b + UINT64_C (0x632be59bd9b4e019);
    z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
    return z ^ z >> 31;
}
