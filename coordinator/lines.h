/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - a small text that a person can read and a torn write can't forge
 *
 *     muster-reign 1                 what it is, and of which version
 *     term 7                         a word and its value, one a line, in one order
 *     sum 5b0c6ad1e3f2a497           over all bytes before
 *
 * Pure. What is read was written exactly so: the same values never have two texts. */
#ifndef COORD_LINES_H
#define COORD_LINES_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines_out {
    char *text;
    size_t size, capacity;
    bool full;
};

void lines_begin (struct lines_out *out, char *text, size_t capacity, const char *head);
void lines_text (struct lines_out *out, const char *word, const char *value);
void lines_number (struct lines_out *out, const char *word, uint64_t value);
void lines_numbers (struct lines_out *out, const char *word, const uint64_t *value, uint32_t count);
void lines_bytes (struct lines_out *out, const char *word, const void *bytes, size_t size);

/* With the sum; false: it did not fit. */
bool lines_end (struct lines_out *out);

struct lines_in {
    const char *at, *end; /* end is where the sum's line begins */
};

/* BAD_INPUT where the head is another's, or the sum is not that of these bytes. */
int lines_open (struct lines_in *in, const char *text, size_t size, const char *head,
                struct mu_error *error);

/* The next line's value; false if that line is not there, or holds anything else. */
bool lines_take_text (struct lines_in *in, const char *word, char *value, size_t size);
bool lines_take_number (struct lines_in *in, const char *word, uint64_t *value);
bool lines_take_numbers (struct lines_in *in, const char *word, uint64_t *value, uint32_t max,
                         uint32_t *count);
bool lines_take_bytes (struct lines_in *in, const char *word, void *bytes, uint32_t max,
                       uint32_t *size);
bool lines_are_read (const struct lines_in *in);

#endif
