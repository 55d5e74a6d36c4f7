/* SPDX-License-Identifier: Apache-2.0 */
/* weave.h - a list of streams hashed side by side, four by each hand (internal to checkpoint/)
 *
 * Streams are begun in their order and end when they end: put the longest first. */
#ifndef MU_CHECKPOINT_WEAVE_H
#define MU_CHECKPOINT_WEAVE_H

#include "common/error.h"
#include "worker/checkpoint/storage.h"

#include <stddef.h>
#include <stdint.h>

/* Each is called by several threads at once, for streams of their own. */
struct mu_weave {
    uint32_t streams;
    /* The bytes of the stream, which stay where they are until it is done. */
    int (*begin) (void *about, uint32_t number, const unsigned char **bytes, uint64_t *size,
                  struct mu_error *error);
    int (*done) (void *about, uint32_t number, const uint8_t hash[MU_STORAGE_HASH_SIZE],
                 struct mu_error *error);
};

/* All of them. After the first failure none goes on; -1 and its sentence then. */
int mu_weave_run (const struct mu_weave *weave, void *about, uint32_t hands,
                  struct mu_error *error);

#endif
