/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - results as a table for people or as JSON for programs */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct table;

/* Columns are separated by '|' in `heads`; a head that begins with '>' is aligned to the right. */
struct table *table_create (const char *heads);

/* One cell of the current row; a row is complete when all its cells are there. */
void table_cell (struct table *table, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Others' text, a worker's reason or a path, without line ends and orders to the terminal: blanks instead. */
void print_plain (FILE *out, const void *data, size_t size);
void plain_text (char *text); /* the same in place */
/* Of what may have several lines, those are kept. */
void print_plain_lines (FILE *out, const void *data, size_t size);

/* Print all rows with the columns as wide as they need; frees the table. */
void table_print (struct table **table_p);

/* The `count` structs at `items`, of the kind that lies in the list of message `id`, as JSON. */
json_t *list_to_json (uint32_t id, const void *items, size_t count);

/* Print it and a newline; frees it. */
void print_json (json_t *value);

/* "0:41", "2:03:04", "3 d 4 h" or "-" for a negative number of seconds. */
const char *duration_text (double seconds, char *text, size_t size);

/* "950", "12.3k", "4.56M". */
/* "-" where it is not known. */
const char *loss_text (double loss, char *text, size_t size);
const char *rate_text (double rate, char *text, size_t size);

/* "12:34:56" of today's kind, in local time; "-" for 0. */
const char *time_text (uint64_t unix_ms, char *text, size_t size);

#endif
