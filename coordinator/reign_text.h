/* SPDX-License-Identifier: Apache-2.0 */
/* reign_text.h - who reigns, as text: what every register holds */
#ifndef COORD_REIGN_TEXT_H
#define COORD_REIGN_TEXT_H

#include "error.h"
#include "reign.h"

#include <stddef.h>

#define REIGN_TEXT_MAX 1024u

/* The text's size; 0 for the empty value, which has no text, and for one that is nobody's: with
 * unsorted members, a leader who is none of them, or an address that is no line. */
size_t reign_encode (const struct reign *reign, char text[REIGN_TEXT_MAX]);

/* No text at all is the empty value. BAD_INPUT with a sentence for everything that
 * reign_encode () would not have written. */
int reign_decode (struct reign *reign, const char *text, size_t size, struct mu_error *error);

#endif
