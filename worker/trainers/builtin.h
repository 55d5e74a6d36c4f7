/* SPDX-License-Identifier: Apache-2.0 */
/* builtin.h - the trainers that Muster brings along; loader.h finds them by name */
#ifndef MU_TRAINER_BUILTIN_H
#define MU_TRAINER_BUILTIN_H

#include "worker/trainer.h"

/* A decoder-only transformer of GPT-2's shape. Settings, all optional:
 *   layers      1..256    blocks (4)
 *   heads       1..1024   attention heads (4); divides channels
 *   channels    1..65536  width (256)
 *   context     1..2^20   tokens seen at once; what the data's records hold, else refused
 *   vocabulary  0..2^24   rows of the embedding; 0: the data's own, more: padded to that
 *   dropout     0..0.9    after embeddings, attention weights and both branches (0) */
extern const struct muster_trainer mu_trainer_gpt;

/* A classifier of fully connected layers with relu between them. Settings, all optional:
 *   hidden      at most 16 widths of 1..65536 ("256,128"); empty: softmax regression
 *   activation  relu
 *   dropout     0..0.9    after each hidden layer (0) */
extern const struct muster_trainer mu_trainer_mlp;

#endif
