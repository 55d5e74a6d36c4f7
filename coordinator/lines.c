/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - see lines.h */
#include "lines.h"

#include "fnv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SUM_LINE 21u /* "sum ", 16 digits, a newline */

/* --- writing ---------------------------------------------------------------------------------- */

static void __attribute__ ((format (printf, 2, 3)))
put (struct lines_out *out, const char *format, ...)
{
    if (out->full)
        return;
    va_list arguments;
    va_start (arguments, format);
    const size_t room = out->capacity - out->size;
    const int size = vsnprintf (out->text + out->size, room, format, arguments);
    va_end (arguments);
    out->full = size < 0 || (size_t)size >= room;
    if (!out->full)
        out->size += (size_t)size;
}

void lines_begin (struct lines_out *out, char *text, size_t capacity, const char *head)
{
    *out = (struct lines_out){ .text = text, .capacity = capacity };
    put (out, "%s\n", head);
}

void lines_text (struct lines_out *out, const char *word, const char *value)
{
    put (out, "%s %s\n", word, value);
}

void lines_number (struct lines_out *out, const char *word, uint64_t value)
{
    put (out, "%s %" PRIu64 "\n", word, value);
}

void lines_numbers (struct lines_out *out, const char *word, const uint64_t *value, uint32_t count)
{
    put (out, "%s", word);
    for (uint32_t i = 0; i < count; i++)
        put (out, " %" PRIu64, value[i]);
    put (out, "\n");
}

void lines_bytes (struct lines_out *out, const char *word, const void *bytes, size_t size)
{
    put (out, "%s ", word);
    for (size_t i = 0; i < size; i++)
        put (out, "%02x", ((const uint8_t *)bytes)[i]);
    put (out, "\n");
}

bool lines_end (struct lines_out *out)
{
    put (out, "sum %016" PRIx64 "\n", mu_fnv (out->text, out->size));
    return !out->full;
}

/* --- reading ---------------------------------------------------------------------------------- */

int lines_open (struct lines_in *in, const char *text, size_t size, const char *head,
                struct mu_error *error)
{
    const size_t length = strlen (head);
    if (size < length + 1 + SUM_LINE || memcmp (text, head, length) || text[length] != '\n')
        return mu_fail (error, MU_BAD_INPUT, "it does not begin with `%s'", head);
    char sum[SUM_LINE + 1];
    snprintf (sum, sizeof sum, "sum %016" PRIx64 "\n", mu_fnv (text, size - SUM_LINE));
    if (memcmp (text + size - SUM_LINE, sum, SUM_LINE) || text[size - SUM_LINE - 1] != '\n')
        return mu_fail (error, MU_BAD_INPUT, "its sum is wrong: it was torn, or changed by hand");
    *in = (struct lines_in){ text + length + 1, text + size - SUM_LINE };
    return 0;
}

/* The value of the next line, if its word is this; it goes on behind the line. */
static const char *take (struct lines_in *in, const char *word, size_t *size)
{
    const char *newline = memchr (in->at, '\n', (size_t)(in->end - in->at));
    const size_t length = strlen (word);
    if (!newline || (size_t)(newline - in->at) < length || memcmp (in->at, word, length))
        return NULL;
    const char *value = in->at + length;
    *size = (size_t)(newline - value);
    in->at = newline + 1;
    return value;
}

bool lines_take_text (struct lines_in *in, const char *word, char *value, size_t size)
{
    size_t length;
    const char *text = take (in, word, &length);
    if (!text || length < 1 || *text != ' ' || length > size || memchr (text, '\0', length))
        return false;
    memcpy (value, text + 1, length - 1);
    value[length - 1] = '\0';
    return true;
}

/* A space and a number, as printf writes it: no sign, no zeros in front. */
static bool read_number (const char **at, const char *end, uint64_t *value)
{
    const char *digit = *at + 1;
    if (*at == end || **at != ' ' || digit == end)
        return false;
    const char *first = digit;
    for (*value = 0; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        const uint64_t add = (uint64_t)(*digit - '0');
        if (*value > (UINT64_MAX - add) / 10)
            return false;
        *value = *value * 10 + add;
    }
    *at = digit;
    return digit > first && (*first != '0' || digit == first + 1);
}

bool lines_take_numbers (struct lines_in *in, const char *word, uint64_t *value, uint32_t max,
                         uint32_t *count)
{
    size_t size;
    const char *at = take (in, word, &size);
    if (!at)
        return false;
    const char *end = at + size;
    for (*count = 0; at < end; ++*count)
        if (*count == max || !read_number (&at, end, &value[*count]))
            return false;
    return true;
}

bool lines_take_number (struct lines_in *in, const char *word, uint64_t *value)
{
    uint32_t count;
    return lines_take_numbers (in, word, value, 1, &count) && count == 1;
}

static int digit_of (char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool lines_take_bytes (struct lines_in *in, const char *word, void *bytes, uint32_t max,
                       uint32_t *size)
{
    size_t length;
    const char *text = take (in, word, &length);
    if (!text || length < 1 || *text != ' ' || length % 2 == 0 || length / 2 > max)
        return false;
    *size = (uint32_t)(length / 2);
    for (uint32_t i = 0; i < *size; i++) {
        const int high = digit_of (text[1 + 2 * i]), low = digit_of (text[2 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        ((uint8_t *)bytes)[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool lines_are_read (const struct lines_in *in) { return in->at == in->end; }
