/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.h - byte-pair encoding over bytes (Sennrich et al. 2016; over bytes as GPT-2 does)
 *
 * Text is split into pieces (split.h). A piece begins as one token a byte; then, as long as any two
 * neighbours are a known merge, the merge learnt earliest is applied, leftmost first.
 *
 * Our file, made by `muster data tokenize --vocabulary N`, is text of lines:
 *
 *     muster-bpe 1
 *     vocabulary 1024
 *     116 104           token 256 is token 116, then token 104 ("th")
 *     256 101           token 257 is "the"
 *     …
 *     end 1024
 *
 * Tokens 0 to 255 are the bytes; each further line makes the next token of two earlier ones, and
 * its place is its rank. The last line repeats the vocabulary, so that a file cut off is noticed.
 */
#ifndef MU_DATA_BPE_H
#define MU_DATA_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define MU_BPE_VOCABULARY_MIN 257u
#define MU_BPE_VOCABULARY_MAX 65536u
#define MU_BPE_TOKEN_MAX      4096u /* bytes that one token stands for */

struct mu_bpe_merge {
    int32_t left, right, made;
};

struct mu_bpe;

/* A model of `vocabulary` tokens. bytes[t] is what token t stands for, lengths[t] how long it is;
 * byte_token[b] the token of byte b; merges in the order of their rank. Everything is copied. */
struct mu_bpe *mu_bpe_new (uint32_t vocabulary, const char *const *bytes, const uint32_t *lengths,
                           const int32_t byte_token[256], const struct mu_bpe_merge *merges,
                           size_t merge_count);
void mu_bpe_close (struct mu_bpe **bpe);

uint32_t mu_bpe_vocabulary (const struct mu_bpe *bpe);
/* What a token stands for; NULL outside the vocabulary. */
const char *mu_bpe_token (const struct mu_bpe *bpe, int32_t token, uint32_t *length);

/* Memory that encoding needs, one a thread; all zero to begin with. */
struct mu_bpe_scratch {
    size_t room;
    int32_t *symbol, *next, *before;
    struct mu_bpe_candidate *heap;
    size_t heap_room, heap_size;
};
void mu_bpe_scratch_close (struct mu_bpe_scratch *scratch);

/* The tokens of one piece, in scratch->symbol; how many, or -1 when memory is gone. */
int64_t mu_bpe_piece (const struct mu_bpe *bpe, struct mu_bpe_scratch *scratch,
                      const uint8_t *piece, size_t size);

/* Our file, from memory. */
int mu_bpe_parse (struct mu_bpe **bpe, const char *text, size_t size, struct mu_error *error);

/* OpenAI's vocab.bpe and encoder.json, from memory. *end_of_text is the token "<|endoftext|>", or
 * -1. */
int mu_gpt2_parse (struct mu_bpe **bpe, const char *merges, size_t merges_size, const char *encoder,
                   size_t encoder_size, int32_t *end_of_text, struct mu_error *error);

/* --- training --------------------------------------------------------------------------------- */

/* Counts pieces as text comes, then merges the most frequent pair again and again; of equally
 * frequent pairs the one whose left, then right, token is lower: the same text gives the same file,
 * however it is cut into calls. Pieces are cut at 256 bytes here. */
struct mu_bpe_trainer;
struct mu_bpe_trainer *mu_bpe_trainer_new (void);
void mu_bpe_trainer_close (struct mu_bpe_trainer **trainer);
int mu_bpe_trainer_text (struct mu_bpe_trainer *trainer, const void *text, size_t size,
                         struct mu_error *error);
int mu_bpe_trainer_end (struct mu_bpe_trainer *trainer, struct mu_error *error); /* of a document */

/* Learn up to `vocabulary` - 256 merges; stops early when no pair comes twice. Returns the file's
 * text, the caller's to free, and the vocabulary reached. */
char *mu_bpe_train (struct mu_bpe_trainer *trainer, uint32_t *vocabulary, struct mu_error *error);

#endif
