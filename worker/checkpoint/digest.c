/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - the hashes by which a checkpoint proves that a state is the one that was saved */
#include "worker/checkpoint/digest.h"

#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/crew.h"
#include "worker/checkpoint/sheet.h"
#include "worker/checkpoint/slices.h"

#include <stdlib.h>
#include <string.h>

typedef uint8_t hash[MU_STORAGE_HASH_SIZE];

int mu_digest_of_records (const struct mu_state *state, const struct mu_storage_record *model,
                          const struct mu_storage_record *optimizer,
                          uint8_t digest[MU_STATE_HASH_SIZE], struct mu_error *error)
{
    const size_t first = model->pieces - 1, second = optimizer->pieces - 1;
    hash *parts = calloc (first + second, sizeof *parts);
    if (!parts)
        return mu_fail (error, MU_SYSTEM, "no memory for the hashes of a state's slices");
    memcpy (parts, model->piece + 1, first * sizeof *parts);
    memcpy (parts + first, optimizer->piece + 1, second * sizeof *parts);
    mu_state_digest_of_parts (state, parts, (first + second) * sizeof *parts, digest);
    free (parts);
    return 0;
}

struct hashing {
    const struct mu_state *state;
    struct mu_sheet weights, moments;
    uint64_t slice;
    uint32_t weight_slices;
    hash *parts; /* NULL: format 1, the digest is one piece */
    uint8_t *weights_hash, *digest;
};

/* Piece 0 is the hash of the weights, since it takes longest. */
static int hash_piece (void *about, uint32_t number, struct mu_error *error)
{
    struct hashing *hashing = about;
    if (number == 0) {
        mu_state_hash (hashing->state, hashing->weights_hash);
        return 0;
    }
    const uint32_t part = number - 1;
    if (!hashing->parts) {
        mu_state_digest (hashing->state, hashing->digest);
        return 0;
    }
    if (part < hashing->weight_slices)
        return mu_slices_hash (&hashing->weights, hashing->slice, part, hashing->parts[part],
                               error);
    return mu_slices_hash (&hashing->moments, hashing->slice, part - hashing->weight_slices,
                           hashing->parts[part], error);
}

static int hash_slices (struct hashing *hashing, struct mu_error *error)
{
    const uint64_t first = mu_storage_slices (hashing->weights.size, hashing->slice);
    const uint64_t second = mu_storage_slices (hashing->moments.size, hashing->slice);
    if (first > MU_STORAGE_SLICES_MAX || second > MU_STORAGE_SLICES_MAX)
        return mu_fail (error, MU_BAD_INPUT, "its slices are too small for the model");
    hashing->weight_slices = (uint32_t)first;
    hashing->parts = calloc (first + second, sizeof *hashing->parts);
    if (!hashing->parts)
        return mu_fail (error, MU_SYSTEM, "no memory for the hashes of a state's slices");
    const int status = mu_crew_run (mu_crew_hands (hashing->state->bytes),
                                    (uint32_t)(1 + first + second), hash_piece, hashing, error);
    if (status == 0)
        mu_state_digest_of_parts (hashing->state, hashing->parts,
                                  (first + second) * sizeof *hashing->parts, hashing->digest);
    free (hashing->parts);
    return status;
}

int mu_digest_of_state (const struct mu_state *state, uint32_t version, uint64_t slice,
                        uint8_t weights_hash[MU_STATE_HASH_SIZE],
                        uint8_t digest[MU_STATE_HASH_SIZE], struct mu_error *error)
{
    struct hashing hashing = {
        .state = state, .slice = slice, .weights_hash = weights_hash, .digest = digest
    };
    if (version < MU_CHECKPOINT_VERSION_SLICED)
        return mu_crew_run (mu_crew_hands (state->bytes), 2, hash_piece, &hashing, error);
    int status = mu_sheet_of_weights (&hashing.weights, state, error);
    if (status == 0)
        status = mu_sheet_of_moments (&hashing.moments, state, error);
    if (status == 0)
        status = hash_slices (&hashing, error);
    mu_sheet_clear (&hashing.weights);
    mu_sheet_clear (&hashing.moments);
    return status;
}
