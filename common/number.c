/* SPDX-License-Identifier: Apache-2.0 */
/* number.c - grammar first, value second: strto* alone would take " 0x1p3", "+1" and "nan"
 *
 * Nothing here is fatal. The C locale is asked for by name, since a program that uses libmuster may
 * have set another, whose decimal point is a comma. */
#include "number.h"

#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t digits (const char *text) { return strspn (text, "0123456789"); }

/* Digits to the end, without leading zeros. */
static bool is_whole (const char *text)
{
    size_t count = digits (text);
    return count > 0 && text[count] == '\0' && (text[0] != '0' || count == 1);
}

enum mu_number_result mu_number_u64 (const char *text, uint64_t *value)
{
    if (!is_whole (text))
        return MU_NUMBER_MALFORMED;
    uint64_t sum = 0;
    for (const char *at = text; *at; at++) {
        if (__builtin_mul_overflow (sum, 10u, &sum) ||
            __builtin_add_overflow (sum, (uint64_t)(*at - '0'), &sum))
            return MU_NUMBER_TOO_LARGE;
    }
    *value = sum;
    return MU_NUMBER_GOOD;
}

enum mu_number_result mu_number_i64 (const char *text, int64_t *value)
{
    bool negative = text[0] == '-';
    uint64_t magnitude = 0;
    enum mu_number_result result = mu_number_u64 (text + negative, &magnitude);
    if (result != MU_NUMBER_GOOD)
        return result;
    if (magnitude > (uint64_t)INT64_MAX) /* INT64_MIN itself is nobody's setting */
        return MU_NUMBER_TOO_LARGE;
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return MU_NUMBER_GOOD;
}

/* [-] digits [. [digits]] [e [+-] digits], or [-] . digits [e [+-] digits] */
static bool is_decimal (const char *text)
{
    text += *text == '-';
    size_t before = digits (text);
    if (before > 1 && text[0] == '0')
        return false;
    text += before;
    size_t after = 0;
    if (*text == '.') {
        after = digits (++text);
        text += after;
    }
    if (before + after == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        size_t exponent = digits (text);
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

enum mu_number_result mu_number_f64 (const char *text, double *value)
{
    if (!is_decimal (text))
        return MU_NUMBER_MALFORMED;
    locale_t plain = newlocale (LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0)
        return MU_NUMBER_MALFORMED;
    int saved = errno;
    errno = 0;
    double read = strtod_l (text, NULL, plain);
    bool fits = errno != ERANGE;
    errno = saved;
    freelocale (plain);
    if (!fits)
        return MU_NUMBER_TOO_LARGE;
    *value = read;
    return MU_NUMBER_GOOD;
}

void mu_number_print_f64 (double value, char text[MU_NUMBER_TEXT_MAX])
{
    locale_t plain = newlocale (LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = plain == (locale_t)0 ? plain : uselocale (plain);
    bool whole = value > -1e15 && value < 1e15 && value - (double)(int64_t)value == 0;
    if (whole)
        snprintf (text, MU_NUMBER_TEXT_MAX, "%lld", (long long)value);
    for (int precision = 1; precision <= 17 && !whole; precision++) {
        snprintf (text, MU_NUMBER_TEXT_MAX, "%.*g", precision, value);
        double back = 0;
        if (mu_number_f64 (text, &back) == MU_NUMBER_GOOD &&
            memcmp (&back, &value, sizeof back) == 0)
            break;
    }
    if (plain != (locale_t)0) {
        uselocale (before);
        freelocale (plain);
    }
}
