/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - UTF-8: what is, and how text that is cut or comes from outside stays it */
#include "text.h"

#include <stdint.h>
#include <string.h>

/* Behind the plain characters that a text begins with, by eights: mostly it has no others. */
static const uint8_t *pass_ascii (const uint8_t *at, const uint8_t *end)
{
    static const uint64_t low = UINT64_C (0x0101010101010101), high = UINT64_C (0x8080808080808080);
    uint64_t word;
    for (; (size_t)(end - at) >= sizeof word; at += sizeof word) {
        memcpy (&word, at, sizeof word);
        if ((word | (word - low)) & high) /* beyond ASCII, or a NUL */
            break;
    }
    return at;
}

bool mu_text_valid (const char *text, size_t size)
{
    if (!size)
        return true; /* `text` may be NULL */
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    at = pass_ascii (at, end);
    while (at < end) {
        uint32_t lead = *at++, more, code;
        if (lead < 0x80) {
            if (!lead)
                return false;
            continue;
        }
        if (lead >= 0xc2 && lead <= 0xdf)
            more = 1, code = lead & 0x1f;
        else if (lead >= 0xe0 && lead <= 0xef)
            more = 2, code = lead & 0x0f;
        else if (lead >= 0xf0 && lead <= 0xf4)
            more = 3, code = lead & 0x07;
        else
            return false;
        if ((size_t)(end - at) < more)
            return false;
        for (uint32_t i = 0; i < more; i++, at++) {
            if ((*at & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*at & 0x3fu);
        }
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}

void mu_text_mend (char *text)
{
    size_t left = strlen (text);
    if (mu_text_valid (text, left))
        return;
    while (left) {
        size_t size = 1;
        while (size < 4 && size < left && !mu_text_valid (text, size))
            size++;
        if (!mu_text_valid (text, size)) {
            *text = '?';
            size = 1;
        }
        text += size;
        left -= size;
    }
}

void mu_text_set (char *field, size_t size, const char *text)
{
    size_t length = strnlen (text, size);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((uint8_t)text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy (field, text, length);
    field[length] = '\0';
}
