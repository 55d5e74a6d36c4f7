/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - lays out, checks and hashes the block that holds a job's training state
 *
 * Sizes are computed in one place, measure (), from the trainer's tensors; a block that came from
 * elsewhere is compared with what those tensors give, never believed. */
#include "worker/state/state.h"

#include "common/mix.h"
#include "worker/state/quantise.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks and hashes are little-endian");
_Static_assert(sizeof (struct mu_state) % MU_STATE_ALIGNMENT == 0, "the table follows aligned");

#define FLOATS_PER_LINE (MU_STATE_ALIGNMENT / sizeof (float))

static uint64_t round_up (uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static bool good_name (const char *name)
{
    if (!name || !*name || strlen (name) > 127 || strcmp (name, "__metadata__") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            return false;
    return true;
}

static int compare_names (const void *a, const void *b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static int check_names (const struct muster_tensor *tensors, uint32_t count, struct mu_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        if (!good_name (tensors[i].name))
            return mu_fail (error, MU_BAD_INPUT,
                            "the trainer's tensor %u has no usable name: 1 to 127 printable ASCII "
                            "characters without space, quote or backslash",
                            i);
    const char **names = calloc (count, sizeof *names);
    if (!names)
        return mu_fail (error, MU_SYSTEM, "no memory for the names of %u tensors", count);
    for (uint32_t i = 0; i < count; i++)
        names[i] = tensors[i].name;
    qsort (names, count, sizeof *names, compare_names);
    int status = 0;
    for (uint32_t i = 1; i < count && status == 0; i++)
        if (strcmp (names[i - 1], names[i]) == 0)
            status =
                mu_fail (error, MU_BAD_INPUT, "the trainer has two tensors named %s", names[i]);
    free (names);
    return status;
}

/* Elements of one tensor, or 0 when it cannot be. */
static uint64_t count_elements (const struct muster_tensor *tensor)
{
    if (tensor->dimensions < 1 || tensor->dimensions > MUSTER_TENSOR_DIMENSIONS_MAX)
        return 0;
    uint64_t elements = 1;
    for (uint32_t d = 0; d < tensor->dimensions; d++)
        if (__builtin_mul_overflow (elements, tensor->dimension[d], &elements))
            return 0;
    return elements <= MU_STATE_PARAMETERS_MAX ? elements : 0;
}

/* The head that a block of these tensors has at step 0. */
static int measure (const struct muster_tensor *tensors, uint32_t count, struct mu_state *head,
                    struct mu_error *error)
{
    if (count < 1 || count > MU_STATE_TENSORS_MAX)
        return mu_fail (error, MU_BAD_INPUT, "the trainer has %u tensors; 1 to %u are possible",
                        count, MU_STATE_TENSORS_MAX);
    if (!tensors)
        return mu_fail (error, MU_BAD_INPUT,
                        "the trainer has %u tensors, but describes none (NULL)", count);
    if (check_names (tensors, count, error) < 0)
        return -1;
    *head = (struct mu_state){ .magic = MU_STATE_MAGIC,
                               .version = MU_STATE_VERSION,
                               .tensors = count,
                               .beta1_power = 1,
                               .beta2_power = 1 };
    for (uint32_t i = 0; i < count; i++) {
        uint64_t elements = count_elements (&tensors[i]);
        if (elements == 0)
            return mu_fail (error, MU_BAD_INPUT,
                            "the trainer's tensor %s has an impossible shape: 1 to %u dimensions, "
                            "none of them 0, and at most 2^40 elements",
                            tensors[i].name, MUSTER_TENSOR_DIMENSIONS_MAX);
        head->parameters += elements;
        head->padded += round_up (elements, FLOATS_PER_LINE);
        if (head->padded > MU_STATE_PARAMETERS_MAX)
            return mu_fail (error, MU_BAD_INPUT, "the model has more than 2^40 parameters");
    }
    head->weights_at =
        round_up (sizeof *head + count * sizeof (struct mu_state_tensor), MU_STATE_ALIGNMENT);
    head->m_at = head->weights_at + head->padded * sizeof (float);
    head->v_at = head->m_at + head->padded * sizeof (float);
    head->bytes = head->v_at + head->padded * sizeof (float);
    return 0;
}

size_t mu_state_size (const struct muster_tensor *tensors, uint32_t count, struct mu_error *error)
{
    struct mu_state head;
    if (measure (tensors, count, &head, error) < 0)
        return 0;
    return head.bytes;
}

struct mu_state *mu_state_lay_out_head (void *memory, size_t size,
                                        const struct muster_tensor *tensors, uint32_t count,
                                        struct mu_error *error)
{
    struct mu_state head;
    if (measure (tensors, count, &head, error) < 0)
        return NULL;
    if (size < head.bytes || (uintptr_t)memory % MU_STATE_ALIGNMENT != 0) {
        mu_fail (error, MU_INTERNAL, "a state of %llu bytes does not fit %zu bytes at %p",
                 (unsigned long long)head.bytes, size, memory);
        return NULL;
    }
    memset (memory, 0, head.weights_at);
    struct mu_state *state = memory;
    *state = head;
    struct mu_state_tensor *table = mu_state_table (state);
    uint64_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        table[i] = (struct mu_state_tensor){ .first = first,
                                             .elements = count_elements (&tensors[i]),
                                             .flags = tensors[i].flags,
                                             .scale = MU_SCALE_FIRST };
        first += round_up (table[i].elements, FLOATS_PER_LINE);
    }
    return state;
}

struct mu_state *mu_state_lay_out (void *memory, size_t size, const struct muster_tensor *tensors,
                                   uint32_t count, struct mu_error *error)
{
    struct mu_state *state = mu_state_lay_out_head (memory, size, tensors, count, error);
    if (state)
        memset (mu_state_weights (state), 0, state->bytes - state->weights_at);
    return state;
}

static bool same_layout (const struct mu_state *a, const struct mu_state *b)
{
    return a->bytes == b->bytes && a->parameters == b->parameters && a->padded == b->padded &&
           a->tensors == b->tensors && a->weights_at == b->weights_at && a->m_at == b->m_at &&
           a->v_at == b->v_at;
}

static bool sane_power (double power) { return power >= 0 && power <= 1; }

static int check_table (const struct mu_state *state, const struct muster_tensor *tensors,
                        struct mu_error *error)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    uint64_t first = 0;
    for (uint32_t i = 0; i < state->tensors; i++) {
        if (table[i].first != first || table[i].elements != count_elements (&tensors[i]) ||
            table[i].flags != tensors[i].flags)
            return mu_fail (error, MU_BAD_INPUT, "the state is of another model: tensor %s differs",
                            tensors[i].name);
        if (table[i].scale < MU_SCALE_LOWEST || table[i].scale > MU_SCALE_HIGHEST64)
            return mu_fail (error, MU_BAD_INPUT, "the state's scale %d of tensor %s is impossible",
                            table[i].scale, tensors[i].name);
        first += round_up (table[i].elements, FLOATS_PER_LINE);
    }
    return 0;
}

int mu_state_check (const void *memory, size_t size, const struct muster_tensor *tensors,
                    uint32_t count, struct mu_error *error)
{
    struct mu_state head;
    if (measure (tensors, count, &head, error) < 0)
        return -1;
    const struct mu_state *state = memory;
    if ((uintptr_t)memory % MU_STATE_ALIGNMENT != 0 || size < sizeof *state ||
        state->magic != MU_STATE_MAGIC)
        return mu_fail (error, MU_BAD_INPUT, "this is no training state");
    if (state->version != MU_STATE_VERSION)
        return mu_fail (error, MU_PROTOCOL,
                        "the training state has version %u; this worker knows version %u",
                        state->version, MU_STATE_VERSION);
    if (size < head.bytes || !same_layout (state, &head))
        return mu_fail (error, MU_BAD_INPUT,
                        "the state is of another model: %llu parameters in %u tensors, where the "
                        "trainer has %llu in %u",
                        (unsigned long long)state->parameters, state->tensors,
                        (unsigned long long)head.parameters, head.tensors);
    if (state->skipped > state->step || !sane_power (state->beta1_power) ||
        !sane_power (state->beta2_power))
        return mu_fail (error, MU_BAD_INPUT, "the training state's counters are impossible");
    return check_table (state, tensors, error);
}

void mu_state_init (struct mu_state *state, const struct muster_trainer *trainer,
                    const struct muster_model *model, uint64_t seed)
{
    state->step = state->attempt = state->skipped = 0;
    state->beta1_power = state->beta2_power = 1;
    memset (mu_state_weights (state), 0, state->bytes - state->weights_at);
    struct mu_state_tensor *table = mu_state_table (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        table[i].scale = MU_SCALE_FIRST;
        trainer->init (model, i, seed, mu_state_weights (state) + table[i].first);
    }
}

/* --- where things are ------------------------------------------------------------------------- */

static void *inside (struct mu_state *state, uint64_t at) { return (char *)state + at; }

static const void *inside_const (const struct mu_state *state, uint64_t at)
{
    return (const char *)state + at;
}

struct mu_state_tensor *mu_state_table (struct mu_state *state)
{
    return inside (state, sizeof *state);
}

const struct mu_state_tensor *mu_state_table_const (const struct mu_state *state)
{
    return inside_const (state, sizeof *state);
}

float *mu_state_weights (struct mu_state *state) { return inside (state, state->weights_at); }
float *mu_state_m (struct mu_state *state) { return inside (state, state->m_at); }
float *mu_state_v (struct mu_state *state) { return inside (state, state->v_at); }

const float *mu_state_weights_const (const struct mu_state *state)
{
    return inside_const (state, state->weights_at);
}

const float *mu_state_m_const (const struct mu_state *state)
{
    return inside_const (state, state->m_at);
}

const float *mu_state_v_const (const struct mu_state *state)
{
    return inside_const (state, state->v_at);
}

void mu_state_pointers (const struct mu_state *state, float *region, float **pointers)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++)
        pointers[i] = region + table[i].first;
}

void mu_state_pointers_const (const struct mu_state *state, const float *region,
                              const float **pointers)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++)
        pointers[i] = region + table[i].first;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static void hash_begin (crypto_generichash_state *hash)
{
    int chosen = sodium_init (); /* only chooses the fastest code; hashing works without */
    (void)chosen;
    crypto_generichash_init (hash, NULL, 0, MU_STATE_HASH_SIZE);
}

static void hash_bytes (crypto_generichash_state *hash, const void *bytes, size_t size)
{
    crypto_generichash_update (hash, bytes, size);
}

static void hash_region (crypto_generichash_state *hash, const struct mu_state *state,
                         const float *region)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++)
        hash_bytes (hash, region + table[i].first, table[i].elements * sizeof (float));
}

uint64_t mu_state_sum (const struct mu_state *state)
{
    return mu_mix_bytes (MU_STATE_MAGIC, state, state->bytes);
}

void mu_state_hash (const struct mu_state *state, uint8_t hash[MU_STATE_HASH_SIZE])
{
    crypto_generichash_state running;
    hash_begin (&running);
    hash_region (&running, state, mu_state_weights_const (state));
    crypto_generichash_final (&running, hash, MU_STATE_HASH_SIZE);
}

/* All of the digest but weights, m and v. */
static void hash_facts (crypto_generichash_state *running, const struct mu_state *state)
{
    const uint64_t counters[] = { state->magic, state->tensors, state->parameters,
                                  state->step,  state->attempt, state->skipped };
    const double powers[] = { state->beta1_power, state->beta2_power };
    hash_bytes (running, counters, sizeof counters);
    hash_bytes (running, powers, sizeof powers);
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        hash_bytes (running, &table[i].elements, sizeof table[i].elements);
        hash_bytes (running, &table[i].scale, sizeof table[i].scale);
    }
}

void mu_state_digest (const struct mu_state *state, uint8_t digest[MU_STATE_HASH_SIZE])
{
    crypto_generichash_state running;
    hash_begin (&running);
    hash_facts (&running, state);
    hash_region (&running, state, mu_state_weights_const (state));
    hash_region (&running, state, mu_state_m_const (state));
    hash_region (&running, state, mu_state_v_const (state));
    crypto_generichash_final (&running, digest, MU_STATE_HASH_SIZE);
}

void mu_state_digest_of_parts (const struct mu_state *state, const void *parts, size_t size,
                               uint8_t digest[MU_STATE_HASH_SIZE])
{
    crypto_generichash_state running;
    hash_begin (&running);
    hash_facts (&running, state);
    hash_bytes (&running, parts, size);
    crypto_generichash_final (&running, digest, MU_STATE_HASH_SIZE);
}

void mu_state_hash_text (const uint8_t hash[MU_STATE_HASH_SIZE], char text[MU_STATE_HASH_TEXT])
{
    sodium_bin2hex (text, MU_STATE_HASH_TEXT, hash, MU_STATE_HASH_SIZE);
}
