/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.h - text to tokens and back
 *
 * Three kinds, chosen by name:
 *   "bytes"      every byte is a token; vocabulary 256
 *   "PATH"       a byte-level BPE that `muster data tokenize` trained (bpe.h has the file's format)
 *   "gpt2:DIR"   GPT-2's, from OpenAI's files vocab.bpe and encoder.json in DIR; vocabulary 50257
 *
 * All are lossless over any bytes: decode (encode (text)) is the text, also where it is not UTF-8.
 */
#ifndef MU_TOKENIZER_H
#define MU_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct mu_tokenizer;

/* `any_files` accepts gpt2 files whose sha256 is not OpenAI's. NULL for `name` is "bytes". A
 * tokenizer is not changed by use: any number of threads may share one. */
int mu_tokenizer_open (struct mu_tokenizer **tokenizer, const char *name, bool any_files,
                       struct mu_error *error);
void mu_tokenizer_close (struct mu_tokenizer **tokenizer);

uint32_t mu_tokenizer_vocabulary (const struct mu_tokenizer *tokenizer);
bool mu_tokenizer_is_bytes (const struct mu_tokenizer *tokenizer);
int32_t
mu_tokenizer_end_of_text (const struct mu_tokenizer *tokenizer); /* -1 where there is none */
const char *
mu_tokenizer_identity (const struct mu_tokenizer *tokenizer); /* "bytes" or hex of a hash */

/* All tokens of a text at once, for prompts. *tokens is the caller's to free (NULL if *count is 0).
 */
int mu_tokenizer_encode (const struct mu_tokenizer *tokenizer, const void *text, size_t size,
                         int32_t **tokens, size_t *count, struct mu_error *error);

/* The bytes of `count` tokens, with a NUL behind; the caller's to free. *size may be NULL. NULL
 * when a token is outside the vocabulary. A piece of text may end within a UTF-8 character. */
char *mu_data_decode (const struct mu_tokenizer *tokenizer, const int32_t *tokens, size_t count,
                      size_t *size, struct mu_error *error);

/* --- text that is too long to hold: feed it in pieces of any size ----------------------------- */

/* Takes tokens as they become known; returns 0, or -1 with `error` to stop. */
typedef int (*mu_token_sink) (void *user, const int32_t *tokens, size_t count,
                              struct mu_error *error);
struct mu_encoder;

/* The tokens do not depend on how the text is cut into calls. `tokenizer` outlives the encoder. */
struct mu_encoder *mu_encoder_open (const struct mu_tokenizer *tokenizer, mu_token_sink sink,
                                    void *user);
int mu_encoder_text (struct mu_encoder *encoder, const void *text, size_t size,
                     struct mu_error *error);
/* The document ends here: nothing joins across, and the end-of-text token follows if there is one.
 */
int mu_encoder_end (struct mu_encoder *encoder, struct mu_error *error);
void mu_encoder_close (struct mu_encoder **encoder);

#endif
