/* SPDX-License-Identifier: Apache-2.0 */
/* split.h - text into the pieces that byte-pair encoding works on
 *
 * GPT-2's pattern (Radford et al. 2019, encoder.py), first match wins at each place:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * over UTF-8, without a regex library. \p{L} and \p{N} come from a committed table (Unicode 14.0);
 * \s is Unicode's White_Space. A byte that is not part of valid UTF-8 counts as a character that is
 * neither letter, number nor space. Joined together the pieces are the text. */
#ifndef MU_DATA_SPLIT_H
#define MU_DATA_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* GPT-2's pieces have no limit; ours do, so that memory has one. Text with a longer run of one kind
 * of character is cut there. */
#define MU_PIECE_MAX (1u << 20)

/* The length of the first piece of text[size], size > 0. With `last` unset, 0 when more text could
 * change the answer: call again with more. Never 0 when size >= MU_PIECE_MAX. */
size_t mu_split_next (const uint8_t *text, size_t size, bool last);

#endif
