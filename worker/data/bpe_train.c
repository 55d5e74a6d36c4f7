/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_train.c - learning merges
 *
 * Text is kept as a table of different words (pieces of split.h) with how often each came. Pairs of
 * neighbouring tokens are counted over the words, each pair with a list of the words that hold it.
 * A heap gives the most frequent pair; counts in it may be stale and too high, so what comes up
 * with a stale count goes back with the right one. Counts only rise for pairs with the token just
 * made, which are pushed when that merge is complete: so no count in the heap is ever too low, and
 * the order is exact. Memory is that of the different words, WORDS_MAX of them at most. */
#include "bpe.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fnv.h"
#include "split.h"

enum { WORD_BYTES_MAX = 256, WORDS_MAX = 1 << 23, LINE = 32 };

struct word {
    uint64_t count;
    uint32_t begin; /* in symbols */
    uint32_t length;
};

struct pair {
    uint64_t key; /* left << 32 | right */
    uint64_t count;
    uint32_t *words; /* that hold it, or held it */
    uint32_t word_count, word_room;
    bool used;
};

struct candidate {
    uint64_t count, key;
};

struct mu_bpe_trainer {
    uint8_t *held;
    size_t held_size, held_room;

    struct word *words;
    uint32_t word_count, word_room;
    uint32_t *index; /* hash table of words: number + 1, or 0 */
    uint32_t index_size;
    uint8_t *text; /* of the words, while counting */
    size_t text_size, text_room;

    uint16_t *symbols;  /* of the words, while merging */
    struct pair *pairs; /* hash table */
    uint32_t pair_count, pairs_size;
    struct candidate *heap;
    size_t heap_size, heap_room;
};

struct mu_bpe_trainer *mu_bpe_trainer_new (void)
{
    return calloc (1, sizeof (struct mu_bpe_trainer));
}

static void drop_pairs (struct mu_bpe_trainer *t)
{
    for (uint32_t i = 0; i < t->pairs_size; i++)
        free (t->pairs[i].words);
    free (t->pairs);
    free (t->heap);
    free (t->symbols);
    t->pairs = NULL;
    t->heap = NULL;
    t->symbols = NULL;
    t->pairs_size = t->pair_count = 0;
    t->heap_size = t->heap_room = 0;
}

void mu_bpe_trainer_close (struct mu_bpe_trainer **trainer)
{
    if (!*trainer)
        return;
    drop_pairs (*trainer);
    free ((*trainer)->held);
    free ((*trainer)->words);
    free ((*trainer)->index);
    free ((*trainer)->text);
    free (*trainer);
    *trainer = NULL;
}

static int no_memory (struct mu_error *error)
{
    return mu_fail (error, MU_SYSTEM, "no memory to train a tokenizer; train on less text");
}

/* Room for `count` elements of `size` bytes in the array that the pointer at `array` points to. */
static int grow (void *array, size_t *room, size_t count, size_t size)
{
    void *memory;
    if (count <= *room)
        return 0;
    const size_t wanted = count < 2 * *room ? 2 * *room : count + 64;
    memcpy (&memory, array, sizeof memory);
    memory = reallocarray (memory, wanted, size);
    if (!memory)
        return -1;
    memcpy (array, &memory, sizeof memory);
    *room = wanted;
    return 0;
}

static int grow32 (void *array, uint32_t *room, uint32_t count, size_t size)
{
    size_t wide = *room;
    if (grow (array, &wide, count, size) < 0 || wide > UINT32_MAX)
        return -1;
    *room = (uint32_t)wide;
    return 0;
}

static uint64_t scramble (uint64_t x)
{
    x = (x ^ x >> 32) * 0x9e3779b97f4a7c15ull;
    return x ^ x >> 29;
}

/* --- counting words --------------------------------------------------------------------------- */

/* The place in the index of this word, or the empty one where it belongs. */
static uint32_t *find_word (struct mu_bpe_trainer *t, const uint8_t *text, size_t size)
{
    uint64_t at = scramble (mu_fnv (text, size));
    for (;; at++) {
        uint32_t *place = &t->index[at & (t->index_size - 1)];
        if (!*place)
            return place;
        const struct word *word = &t->words[*place - 1];
        if (word->length == size && memcmp (t->text + word->begin, text, size) == 0)
            return place;
    }
}

static int grow_index (struct mu_bpe_trainer *t)
{
    if (t->word_count < t->index_size / 2)
        return 0;
    uint32_t *before = t->index;
    t->index_size = t->index_size ? 2 * t->index_size : 1 << 14;
    t->index = calloc (t->index_size, sizeof *t->index);
    free (before);
    if (!t->index)
        return -1;
    for (uint32_t i = 0; i < t->word_count; i++)
        *find_word (t, t->text + t->words[i].begin, t->words[i].length) = i + 1;
    return 0;
}

static int add_word (struct mu_bpe_trainer *t, const uint8_t *text, size_t size,
                     struct mu_error *error)
{
    if (grow_index (t) < 0)
        return no_memory (error);
    uint32_t *place = find_word (t, text, size);
    if (*place) {
        t->words[*place - 1].count++;
        return 0;
    }
    if (t->word_count == WORDS_MAX || t->text_size + size > UINT32_MAX)
        return mu_fail (error, MU_BAD_INPUT,
                        "the text has more than %d different words; train on its "
                        "first part (--train-bytes)",
                        WORDS_MAX);
    if (grow32 (&t->words, &t->word_room, t->word_count + 1, sizeof *t->words) < 0 ||
        grow (&t->text, &t->text_room, t->text_size + size, 1) < 0)
        return no_memory (error);
    memcpy (t->text + t->text_size, text, size);
    t->words[t->word_count++] = (struct word){ 1, (uint32_t)t->text_size, (uint32_t)size };
    t->text_size += size;
    *place = t->word_count;
    return 0;
}

static int add_pieces (struct mu_bpe_trainer *t, bool last, struct mu_error *error)
{
    size_t used = 0;
    while (used < t->held_size) {
        const size_t length = mu_split_next (t->held + used, t->held_size - used, last);
        if (length == 0)
            break;
        for (size_t at = 0; at < length; at += WORD_BYTES_MAX) {
            const size_t left = length - at;
            if (add_word (t, t->held + used + at, left < WORD_BYTES_MAX ? left : WORD_BYTES_MAX,
                          error) < 0)
                return -1;
        }
        used += length;
    }
    t->held_size -= used;
    if (used)
        memmove (t->held, t->held + used, t->held_size);
    return 0;
}

int mu_bpe_trainer_text (struct mu_bpe_trainer *t, const void *text, size_t size,
                         struct mu_error *error)
{
    const uint8_t *at = text;
    while (size) {
        const size_t slice = size < MU_PIECE_MAX ? size : MU_PIECE_MAX;
        if (grow (&t->held, &t->held_room, t->held_size + slice, 1) < 0)
            return no_memory (error);
        memcpy (t->held + t->held_size, at, slice);
        t->held_size += slice;
        if (add_pieces (t, false, error) < 0)
            return -1;
        at += slice;
        size -= slice;
    }
    return 0;
}

int mu_bpe_trainer_end (struct mu_bpe_trainer *t, struct mu_error *error)
{
    return add_pieces (t, true, error);
}

/* --- counting pairs --------------------------------------------------------------------------- */

static struct pair *find_pair (struct mu_bpe_trainer *t, uint64_t key)
{
    for (uint64_t at = scramble (key);; at++) {
        struct pair *pair = &t->pairs[at & (t->pairs_size - 1)];
        if (!pair->used || pair->key == key)
            return pair;
    }
}

static int grow_pairs (struct mu_bpe_trainer *t)
{
    if (t->pair_count < t->pairs_size / 2)
        return 0;
    struct pair *before = t->pairs;
    const uint32_t size = t->pairs_size;
    struct pair *larger = calloc (size ? 2 * (size_t)size : 1 << 14, sizeof *larger);
    if (!larger)
        return -1;
    t->pairs = larger;
    t->pairs_size = size ? 2 * size : 1 << 14;
    for (uint32_t i = 0; i < size; i++)
        if (before[i].used)
            *find_pair (t, before[i].key) = before[i];
    free (before);
    return 0;
}

static uint64_t key_at (const struct mu_bpe_trainer *t, size_t symbol)
{
    return (uint64_t)t->symbols[symbol] << 32 | t->symbols[symbol + 1];
}

static int count_pair (struct mu_bpe_trainer *t, uint64_t key, uint32_t word)
{
    if (grow_pairs (t) < 0)
        return -1;
    struct pair *pair = find_pair (t, key);
    if (!pair->used) {
        *pair = (struct pair){ .key = key, .used = true };
        t->pair_count++;
    }
    pair->count += t->words[word].count;
    if (pair->word_count && pair->words[pair->word_count - 1] == word)
        return 0;
    if (grow32 (&pair->words, &pair->word_room, pair->word_count + 1, sizeof *pair->words) < 0)
        return -1;
    pair->words[pair->word_count++] = word;
    return 0;
}

static bool better (const struct candidate *a, const struct candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static int push (struct mu_bpe_trainer *t, struct candidate candidate)
{
    if (grow (&t->heap, &t->heap_room, t->heap_size + 1, sizeof *t->heap) < 0)
        return -1;
    size_t at = t->heap_size++;
    for (; at && better (&candidate, &t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = candidate;
    return 0;
}

static struct candidate pop (struct mu_bpe_trainer *t)
{
    const struct candidate first = t->heap[0], moved = t->heap[--t->heap_size];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->heap_size)
            break;
        if (child + 1 < t->heap_size && better (&t->heap[child + 1], &t->heap[child]))
            child++;
        if (!better (&t->heap[child], &moved))
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = moved;
    return first;
}

static int begin_merging (struct mu_bpe_trainer *t)
{
    t->symbols = calloc (t->text_size + 1, sizeof *t->symbols);
    if (!t->symbols || grow_pairs (t) < 0)
        return -1;
    for (size_t i = 0; i < t->text_size; i++)
        t->symbols[i] = t->text[i];
    for (uint32_t w = 0; w < t->word_count; w++)
        for (uint32_t i = 0; i + 1 < t->words[w].length; i++)
            if (count_pair (t, key_at (t, t->words[w].begin + i), w) < 0)
                return -1;
    for (uint32_t i = 0; i < t->pairs_size; i++)
        if (t->pairs[i].used &&
            push (t, (struct candidate){ t->pairs[i].count, t->pairs[i].key }) < 0)
            return -1;
    return 0;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* Write the word anew with `made` for each `key`: its pairs are counted out before and in after. */
static int merge_word (struct mu_bpe_trainer *t, uint32_t number, uint64_t key, uint16_t made)
{
    struct word *word = &t->words[number];
    uint32_t length = 0;
    bool found = false;
    for (uint32_t i = 0; i + 1 < word->length && !found; i++)
        found = key_at (t, word->begin + i) == key;
    if (!found)
        return 0;
    for (uint32_t i = 0; i + 1 < word->length; i++)
        find_pair (t, key_at (t, word->begin + i))->count -= word->count;
    for (uint32_t i = 0; i < word->length; i++) {
        const bool here = i + 1 < word->length && key_at (t, word->begin + i) == key;
        t->symbols[word->begin + length++] = here ? made : t->symbols[word->begin + i];
        i += here;
    }
    word->length = length;
    for (uint32_t i = 0; i + 1 < length; i++) {
        const size_t at = word->begin + i;
        if (t->symbols[at] != made && t->symbols[at + 1] != made)
            find_pair (t, key_at (t, at))->count += word->count; /* which lists the word already */
        else if (count_pair (t, key_at (t, at), number) < 0)
            return -1;
    }
    return 0;
}

static int compare_keys (const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Offer the pairs that hold the new token. */
static int push_new (struct mu_bpe_trainer *t, const uint32_t *words, uint32_t count, uint16_t made)
{
    uint64_t *keys = NULL;
    size_t key_count = 0, room = 0;
    int status = 0;
    for (uint32_t w = 0; w < count && status == 0; w++) {
        const struct word *word = &t->words[words[w]];
        for (uint32_t i = 0; i + 1 < word->length && status == 0; i++) {
            const size_t at = word->begin + i;
            if (t->symbols[at] != made && t->symbols[at + 1] != made)
                continue;
            status = grow (&keys, &room, key_count + 1, sizeof *keys);
            if (status == 0)
                keys[key_count++] = key_at (t, at);
        }
    }
    if (key_count)
        qsort (keys, key_count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < key_count && status == 0; i++)
        if (i == 0 || keys[i] != keys[i - 1])
            status = push (t, (struct candidate){ find_pair (t, keys[i])->count, keys[i] });
    free (keys);
    return status;
}

static int merge (struct mu_bpe_trainer *t, uint64_t key, uint16_t made)
{
    struct pair *pair = find_pair (t, key);
    /* Counting moves pairs about in their table, so take the list along. */
    uint32_t *words = pair->words;
    const uint32_t count = pair->word_count;
    int status = 0;
    pair->words = NULL;
    pair->word_count = pair->word_room = 0;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = merge_word (t, words[i], key, made);
    if (status == 0)
        status = push_new (t, words, count, made);
    free (words);
    return status;
}

/* The most frequent pair that comes at least twice; 0 when none is left. */
static int next_pair (struct mu_bpe_trainer *t, uint64_t *key)
{
    while (t->heap_size) {
        struct candidate best = pop (t);
        const uint64_t count = find_pair (t, best.key)->count;
        if (count < best.count) {
            best.count = count;
            if (count >= 2 && push (t, best) < 0)
                return -1;
            continue;
        }
        if (count < 2)
            continue;
        *key = best.key;
        return 1;
    }
    return 0;
}

char *mu_bpe_train (struct mu_bpe_trainer *t, uint32_t *vocabulary, struct mu_error *error)
{
    const uint32_t wanted = *vocabulary;
    char head[64];
    if (wanted < MU_BPE_VOCABULARY_MIN || wanted > MU_BPE_VOCABULARY_MAX) {
        mu_fail (error, MU_CONFIG, "a vocabulary of %u tokens; %u to %u are possible", wanted,
                 MU_BPE_VOCABULARY_MIN, MU_BPE_VOCABULARY_MAX);
        return NULL;
    }
    char *merges = calloc (wanted, LINE), *text = NULL;
    size_t size = 0;
    uint32_t made = 256;
    uint64_t key;
    int status = merges ? begin_merging (t) : -1;
    while (status == 0 && made < wanted && (status = next_pair (t, &key)) > 0) {
        size += (size_t)snprintf (merges + size, LINE, "%" PRIu64 " %" PRIu64 "\n", key >> 32,
                                  key & UINT32_MAX);
        status = merge (t, key, (uint16_t)made++);
    }
    drop_pairs (t);
    snprintf (head, sizeof head, "muster-bpe 1\nvocabulary %u\n", made);
    if (status == 0 && asprintf (&text, "%s%send %u\n", head, merges, made) < 0)
        text = NULL;
    free (merges);
    *vocabulary = made;
    if (!text)
        no_memory (error);
    return text;
}
