/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - fills a mu_error; never allocates, so it works when memory is gone */
#include "error.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__ ((format (printf, 3, 0)))
static void fill (struct mu_error *error, enum mu_code code, const char *format, va_list args)
{
    error->code = code;
    vsnprintf (error->text, sizeof error->text, format, args);
    mu_text_mend (
        error->text); /* it names files, whose names are any bytes, and may have been cut */
}

int mu_fail (struct mu_error *error, enum mu_code code, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start (args, format);
        fill (error, code, format, args);
        va_end (args);
    }
    return -1;
}

int mu_fail_errno (struct mu_error *error, enum mu_code code, int number, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start (args, format);
        fill (error, code, format, args);
        va_end (args);
        size_t used = strlen (error->text);
        snprintf (error->text + used, sizeof error->text - used, ": %s", strerror (number));
    }
    return -1;
}

void mu_error_prefix (struct mu_error *error, const char *format, ...)
{
    if (!error)
        return;
    char text[MU_ERROR_TEXT_MAX];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    size_t used = strlen (text);
    snprintf (text + used, sizeof text - used, "%s", error->text);
    memcpy (error->text, text, sizeof text);
}
