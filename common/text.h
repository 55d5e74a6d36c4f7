/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - UTF-8 texts of limited size */
#ifndef MU_TEXT_H
#define MU_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Copy a text into a short text field, cut at a character's boundary if it is too long. */
void mu_text_set (char *field, size_t size, const char *text);

/* Is it valid UTF-8 (RFC 3629) without NUL? */
bool mu_text_valid (const char *text, size_t size);

/* Each byte of it that is no part of a character becomes '?'. */
void mu_text_mend (char *text);

#endif
