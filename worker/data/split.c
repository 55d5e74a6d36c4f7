/* SPDX-License-Identifier: Apache-2.0 */
/* split.c - GPT-2's pattern as a walk over characters
 *
 * One class a character, so the pattern comes down to runs of a class, an optional blank before
 * them, contractions, and white space that leaves its last character to the word behind it. */
#include "split.h"

#include <string.h>

struct unicode_range {
    uint32_t first, last;
};

#include "unicode_ranges.h"

enum kind { LETTER, NUMBER, SPACE, OTHER };

/* Characters looked at beyond a piece's end: one, of at most 4 bytes. */
enum { LOOK_AHEAD = 4 };

static bool is_in (const struct unicode_range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}

static bool is_space (uint32_t code)
{
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* Length and code of the character at `text`; length 1 and code UINT32_MAX where it is no UTF-8. */
static size_t decode (const uint8_t *text, size_t size, uint32_t *code)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint8_t lead = text[0];
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    *code = UINT32_MAX;
    if (length == 0 || length > size)
        return 1;
    uint32_t value = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 1;
        value = value << 6 | (text[i] & 0x3f);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 1;
    *code = value;
    return length;
}

static enum kind classify (uint32_t code)
{
    if (code < 0x80) {
        if ((code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z'))
            return LETTER;
        if (code >= '0' && code <= '9')
            return NUMBER;
        return is_space (code) ? SPACE : OTHER;
    }
    if (code == UINT32_MAX)
        return OTHER;
    if (is_in (unicode_letters, sizeof unicode_letters / sizeof *unicode_letters, code))
        return LETTER;
    if (is_in (unicode_numbers, sizeof unicode_numbers / sizeof *unicode_numbers, code))
        return NUMBER;
    return is_space (code) ? SPACE : OTHER;
}

static enum kind class_at (const uint8_t *text, size_t size, size_t *length)
{
    uint32_t code;
    *length = decode (text, size, &code);
    return classify (code);
}

static size_t contraction (const uint8_t *text, size_t size)
{
    static const char *const endings[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t length = strlen (endings[i]);
        if (size >= length && memcmp (text, endings[i], length) == 0)
            return length;
    }
    return 0;
}

/* The end of the run of `wanted` that begins at `at`; *final gets where its last character begins.
 */
static size_t run (const uint8_t *text, size_t size, size_t at, enum kind wanted, size_t *final)
{
    size_t length;
    while (at < size && class_at (text + at, size - at, &length) == wanted) {
        *final = at;
        at += length;
    }
    return at;
}

/* The first piece if text[size] is all there is; *looked is how far that was decided by. */
static size_t first_piece (const uint8_t *text, size_t size, size_t *looked)
{
    size_t length, final = 0;
    size_t end = contraction (text, size);
    *looked = end;
    if (end)
        return end;
    enum kind own = class_at (text, size, &length);
    size_t at = 0;
    if (text[0] == ' ' && size > 1) {
        const enum kind next = class_at (text + 1, size - 1, &length);
        if (next != SPACE) {
            own = next;
            at = 1;
        }
    }
    end = run (text, size, at, own, &final);
    *looked = end;
    /* White space leaves its last character to what follows, if anything follows and it has two. */
    if (own == SPACE && end < size && final > 0)
        return final;
    return end;
}

size_t mu_split_next (const uint8_t *text, size_t size, bool last)
{
    size_t looked;
    const bool full = size >= MU_PIECE_MAX;
    if (full)
        size = MU_PIECE_MAX;
    const size_t length = first_piece (text, size, &looked);
    if (!last && !full && looked + LOOK_AHEAD > size)
        return 0;
    return length;
}
