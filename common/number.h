/* SPDX-License-Identifier: Apache-2.0 */
/* number.h - numbers as people write them, read strictly, printed so that they read back the same
 *
 * The whole text must be the number: no blanks, no plus sign, no underscores, no hexadecimal, no
 * leading zeros (010 is 8 to some and 10 to others), no "nan" or "inf". Whole numbers are digits
 * alone: neither 1e3 nor 4.0 is one. The program's locale does not matter. */
#ifndef MU_NUMBER_H
#define MU_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum mu_number_result {
    MU_NUMBER_GOOD,
    MU_NUMBER_MALFORMED, /* not such a number */
    MU_NUMBER_TOO_LARGE, /* well written, but does not fit the type (a double: over- or underflow)
                          */
};

enum mu_number_result mu_number_u64 (const char *text, uint64_t *value);
enum mu_number_result mu_number_i64 (const char *text, int64_t *value);
enum mu_number_result mu_number_f64 (const char *text, double *value);

#define MU_NUMBER_TEXT_MAX 32

/* The shortest decimal form that mu_number_f64 () reads back as the same finite double. */
void mu_number_print_f64 (double value, char text[MU_NUMBER_TEXT_MAX]);

#endif
