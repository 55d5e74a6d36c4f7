/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - how a failure travels: a code for programs, a sentence for people
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and fills the caller's mu_error
 * once, at the place that knows most. Callers higher up may put words in front with
 * mu_error_prefix (). `error` may be NULL where nobody wants to know. */
#ifndef MU_ERROR_H
#define MU_ERROR_H

#include "errors.h" /* enum mu_code, generated from schemas/errors.schema */

#define MU_ERROR_TEXT_MAX 1024

struct mu_error {
    enum mu_code code;
    char text[MU_ERROR_TEXT_MAX]; /* what is wrong, where, what to do; no newline at the end */
};

/* Fill `error` and return -1, so that a caller can write `return mu_fail (...)`. */
int mu_fail (struct mu_error *error, enum mu_code code, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/* As mu_fail, with ": " and strerror (number) behind the sentence. */
int mu_fail_errno (struct mu_error *error, enum mu_code code, int number, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

/* Put words in front of the sentence that is there; cut at the end if too long. */
void mu_error_prefix (struct mu_error *error, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/* From errors.schema: the code's name ("NOT_FOUND"), its meaning, and its exit status. Any int may
 * be asked about; unknown ones read as INTERNAL. */
const char *mu_code_name (int code);
const char *mu_code_meaning (int code);
int mu_code_exit (int code);

#endif
