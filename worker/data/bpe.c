/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.c - encoding a piece, and our file
 *
 * Merges are found in a hash table of pairs. A piece is a doubly linked list of tokens, and a heap
 * holds the merges that are possible now, by rank, then place; entries that a later merge made
 * stale are noticed when they come up, since their tokens have changed. A piece of n bytes costs n
 * log n. */
#include "bpe.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct merge_slot {
    uint64_t pair; /* left << 32 | right; EMPTY where there is none */
    uint32_t rank;
    int32_t made;
};

#define EMPTY UINT64_MAX

struct mu_bpe {
    uint32_t vocabulary;
    int32_t byte_token[256];
    uint32_t *begin; /* [vocabulary + 1], in text */
    char *text;
    struct merge_slot *slots;
    uint64_t mask;
};

struct mu_bpe_candidate {
    uint32_t rank;
    int32_t at, left, right, made;
};

static uint64_t pair_of (int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The pair's slot, or the empty one where it belongs. */
static struct merge_slot *find (const struct mu_bpe *bpe, uint64_t pair)
{
    uint64_t at = (pair * 0x9e3779b97f4a7c15ull) >> 20;
    while (bpe->slots[at & bpe->mask].pair != pair && bpe->slots[at & bpe->mask].pair != EMPTY)
        at++;
    return &bpe->slots[at & bpe->mask];
}

static int copy_tokens (struct mu_bpe *bpe, const char *const *bytes, const uint32_t *lengths)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < bpe->vocabulary; i++)
        total += lengths[i];
    bpe->begin = calloc ((size_t)bpe->vocabulary + 1, sizeof *bpe->begin);
    bpe->text = total < UINT32_MAX ? malloc (total + 1) : NULL;
    if (!bpe->begin || !bpe->text)
        return -1;
    for (uint32_t i = 0; i < bpe->vocabulary; i++) {
        memcpy (bpe->text + bpe->begin[i], bytes[i], lengths[i]);
        bpe->begin[i + 1] = bpe->begin[i] + lengths[i];
    }
    return 0;
}

static int copy_merges (struct mu_bpe *bpe, const struct mu_bpe_merge *merges, size_t count)
{
    size_t size = 1024;
    while (size < 2 * count)
        size *= 2;
    bpe->slots = calloc (size, sizeof *bpe->slots);
    if (!bpe->slots)
        return -1;
    bpe->mask = size - 1;
    for (size_t i = 0; i < size; i++)
        bpe->slots[i].pair = EMPTY;
    for (size_t i = 0; i < count; i++) {
        struct merge_slot *slot = find (bpe, pair_of (merges[i].left, merges[i].right));
        if (slot->pair == EMPTY) /* of a pair named twice the first counts */
            *slot = (struct merge_slot){ pair_of (merges[i].left, merges[i].right), (uint32_t)i,
                                         merges[i].made };
    }
    return 0;
}

struct mu_bpe *mu_bpe_new (uint32_t vocabulary, const char *const *bytes, const uint32_t *lengths,
                           const int32_t byte_token[256], const struct mu_bpe_merge *merges,
                           size_t merge_count)
{
    struct mu_bpe *bpe = calloc (1, sizeof *bpe);
    if (!bpe)
        return NULL;
    bpe->vocabulary = vocabulary;
    memcpy (bpe->byte_token, byte_token, sizeof bpe->byte_token);
    if (copy_tokens (bpe, bytes, lengths) < 0 || copy_merges (bpe, merges, merge_count) < 0)
        mu_bpe_close (&bpe);
    return bpe;
}

void mu_bpe_close (struct mu_bpe **bpe)
{
    if (!*bpe)
        return;
    free ((*bpe)->begin);
    free ((*bpe)->text);
    free ((*bpe)->slots);
    free (*bpe);
    *bpe = NULL;
}

uint32_t mu_bpe_vocabulary (const struct mu_bpe *bpe) { return bpe->vocabulary; }

const char *mu_bpe_token (const struct mu_bpe *bpe, int32_t token, uint32_t *length)
{
    if (token < 0 || (uint32_t)token >= bpe->vocabulary)
        return NULL;
    *length = bpe->begin[token + 1] - bpe->begin[token];
    return bpe->text + bpe->begin[token];
}

/* --- encoding --------------------------------------------------------------------------------- */

void mu_bpe_scratch_close (struct mu_bpe_scratch *scratch)
{
    free (scratch->symbol);
    free (scratch->next);
    free (scratch->before);
    free (scratch->heap);
    memset (scratch, 0, sizeof *scratch);
}

/* Room for n tokens; every merge can add two candidates to the n - 1 of the start. */
static int reserve (struct mu_bpe_scratch *scratch, size_t n)
{
    if (n <= scratch->room)
        return 0;
    mu_bpe_scratch_close (scratch);
    scratch->room = n < 256 ? 256 : n;
    scratch->heap_room = 3 * scratch->room;
    scratch->symbol = calloc (scratch->room, sizeof *scratch->symbol);
    scratch->next = calloc (scratch->room, sizeof *scratch->next);
    scratch->before = calloc (scratch->room, sizeof *scratch->before);
    scratch->heap = calloc (scratch->heap_room, sizeof *scratch->heap);
    if (scratch->symbol && scratch->next && scratch->before && scratch->heap)
        return 0;
    mu_bpe_scratch_close (scratch);
    return -1;
}

static bool sooner (const struct mu_bpe_candidate *a, const struct mu_bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push (struct mu_bpe_scratch *scratch, struct mu_bpe_candidate candidate)
{
    struct mu_bpe_candidate *heap = scratch->heap;
    size_t at = scratch->heap_size++;
    for (; at && sooner (&candidate, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = candidate;
}

static struct mu_bpe_candidate pop (struct mu_bpe_scratch *scratch)
{
    struct mu_bpe_candidate *heap = scratch->heap;
    const struct mu_bpe_candidate first = heap[0], moved = heap[--scratch->heap_size];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= scratch->heap_size)
            break;
        if (child + 1 < scratch->heap_size && sooner (&heap[child + 1], &heap[child]))
            child++;
        if (!sooner (&heap[child], &moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
    return first;
}

static void offer (const struct mu_bpe *bpe, struct mu_bpe_scratch *s, int32_t at, int32_t next)
{
    const struct merge_slot *slot = find (bpe, pair_of (s->symbol[at], s->symbol[next]));
    if (slot->pair != EMPTY)
        push (s, (struct mu_bpe_candidate){ slot->rank, at, s->symbol[at], s->symbol[next],
                                            slot->made });
}

static void apply (const struct mu_bpe *bpe, struct mu_bpe_scratch *s,
                   const struct mu_bpe_candidate *c)
{
    const int32_t next = s->next[c->at];
    if (s->symbol[c->at] != c->left || next < 0 || s->symbol[next] != c->right)
        return; /* stale */
    s->symbol[c->at] = c->made;
    s->symbol[next] = -1;
    s->next[c->at] = s->next[next];
    if (s->next[c->at] >= 0) {
        s->before[s->next[c->at]] = c->at;
        offer (bpe, s, c->at, s->next[c->at]);
    }
    if (s->before[c->at] >= 0)
        offer (bpe, s, s->before[c->at], c->at);
}

int64_t mu_bpe_piece (const struct mu_bpe *bpe, struct mu_bpe_scratch *scratch,
                      const uint8_t *piece, size_t size)
{
    if (size == 0)
        return 0;
    if (reserve (scratch, size) < 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        scratch->symbol[i] = bpe->byte_token[piece[i]];
        scratch->next[i] = i + 1 < size ? (int32_t)i + 1 : -1;
        scratch->before[i] = (int32_t)i - 1;
    }
    scratch->heap_size = 0;
    for (size_t i = 0; i + 1 < size; i++)
        offer (bpe, scratch, (int32_t)i, (int32_t)i + 1);
    while (scratch->heap_size) {
        const struct mu_bpe_candidate candidate = pop (scratch);
        apply (bpe, scratch, &candidate);
    }
    int64_t count = 0;
    for (int32_t at = 0; at >= 0; at = scratch->next[at])
        scratch->symbol[count++] = scratch->symbol[at];
    return count;
}

/* --- our file --------------------------------------------------------------------------------- */

struct model {
    uint32_t vocabulary, made;
    char **bytes;
    uint32_t *lengths;
    struct mu_bpe_merge *merges;
};

static void free_model (struct model *model)
{
    for (uint32_t i = 0; model->bytes && i < model->vocabulary; i++)
        free (model->bytes[i]);
    free (model->bytes);
    free (model->lengths);
    free (model->merges);
}

static int begin_model (struct model *model, uint32_t vocabulary)
{
    *model = (struct model){ .vocabulary = vocabulary, .made = 256 };
    model->bytes = calloc (vocabulary, sizeof *model->bytes);
    model->lengths = calloc (vocabulary, sizeof *model->lengths);
    model->merges = calloc (vocabulary, sizeof *model->merges);
    if (!model->bytes || !model->lengths || !model->merges)
        return -1;
    for (unsigned i = 0; i < 256; i++) {
        model->bytes[i] = malloc (1);
        if (!model->bytes[i])
            return -1;
        model->bytes[i][0] = (char)i;
        model->lengths[i] = 1;
    }
    return 0;
}

/* 0, -1 when memory is gone, 1 when the merge makes no sense. */
static int add_merge (struct model *model, uint32_t left, uint32_t right)
{
    const uint32_t made = model->made;
    if (left >= made || right >= made || made == model->vocabulary ||
        model->lengths[left] + model->lengths[right] > MU_BPE_TOKEN_MAX)
        return 1;
    model->bytes[made] = malloc (model->lengths[left] + model->lengths[right]);
    if (!model->bytes[made])
        return -1;
    memcpy (model->bytes[made], model->bytes[left], model->lengths[left]);
    memcpy (model->bytes[made] + model->lengths[left], model->bytes[right], model->lengths[right]);
    model->lengths[made] = model->lengths[left] + model->lengths[right];
    model->merges[made - 256] =
        (struct mu_bpe_merge){ (int32_t)left, (int32_t)right, (int32_t)made };
    model->made++;
    return 0;
}

/* A line of at most 63 bytes, none of them NUL, without its newline. */
static bool take_line (const char **at, const char *end, char line[64])
{
    const char *stop = *at < end ? memchr (*at, '\n', (size_t)(end - *at)) : NULL;
    if (!stop || stop - *at > 63 || memchr (*at, 0, (size_t)(stop - *at)))
        return false;
    memcpy (line, *at, (size_t)(stop - *at));
    line[stop - *at] = '\0';
    *at = stop + 1;
    return true;
}

/* What stands in front of a number, and the number as we write it: digits alone, no zeros before
 * them, and few enough to fit. */
static bool take_number (const char **at, const char *before, uint32_t *number)
{
    if (strncmp (*at, before, strlen (before)) != 0)
        return false;
    *at += strlen (before);
    const size_t digits = strspn (*at, "0123456789");
    if (digits == 0 || digits > 9 || (**at == '0' && digits > 1))
        return false;
    *number = (uint32_t)strtoul (*at, NULL, 10);
    *at += digits;
    return true;
}

static int parse_merges (struct model *model, const char *at, const char *end,
                         struct mu_error *error)
{
    char line[64];
    for (unsigned number = 3; take_line (&at, end, line); number++) {
        uint32_t left, right, count;
        const char *word = line, *pair = line;
        if (take_number (&word, "end ", &count) && !*word) {
            if (count == model->vocabulary && count == model->made && at == end)
                return 0;
            break;
        }
        int status = 1;
        if (take_number (&pair, "", &left) && take_number (&pair, " ", &right) && !*pair)
            status = add_merge (model, left, right);
        if (status < 0)
            return mu_fail (error, MU_SYSTEM, "no memory for a tokenizer");
        if (status > 0)
            return mu_fail (error, MU_BAD_INPUT,
                            "line %u of the tokenizer, \"%s\", does not make a "
                            "token of two earlier ones",
                            number, line);
    }
    return mu_fail (error, MU_BAD_INPUT,
                    "the tokenizer has %" PRIu32 " tokens of %" PRIu32
                    "; it was cut off or edited: make it again",
                    model->made, model->vocabulary);
}

int mu_bpe_parse (struct mu_bpe **bpe, const char *text, size_t size, struct mu_error *error)
{
    char line[64];
    int32_t byte_token[256];
    uint32_t vocabulary = 0;
    struct model model;
    const char *at = text, *end = text + size, *word = line;
    *bpe = NULL;
    if (!take_line (&at, end, line) || strncmp (line, "muster-bpe ", 11) != 0)
        return mu_fail (error, MU_BAD_INPUT,
                        "it is not a tokenizer made by `muster data tokenize` "
                        "(such a file begins with \"muster-bpe 1\")");
    if (strcmp (line, "muster-bpe 1") != 0)
        return mu_fail (error, MU_BAD_INPUT,
                        "it is a tokenizer of version %.20s; version 1 is known", line + 11);
    if (!take_line (&at, end, line) || !take_number (&word, "vocabulary ", &vocabulary) || *word ||
        vocabulary < 256 || vocabulary > MU_BPE_VOCABULARY_MAX)
        return mu_fail (error, MU_BAD_INPUT,
                        "line 2 of the tokenizer must be \"vocabulary N\", N from "
                        "256 to %u",
                        MU_BPE_VOCABULARY_MAX);
    int status = begin_model (&model, vocabulary) < 0
                     ? mu_fail (error, MU_SYSTEM, "no memory for a tokenizer")
                     : parse_merges (&model, at, end, error);
    for (int32_t i = 0; i < 256; i++)
        byte_token[i] = i;
    if (status == 0) {
        *bpe = mu_bpe_new (vocabulary, (const char *const *)model.bytes, model.lengths, byte_token,
                           model.merges, vocabulary - 256);
        if (!*bpe)
            status = mu_fail (error, MU_SYSTEM, "no memory for a tokenizer");
    }
    free_model (&model);
    return status;
}
