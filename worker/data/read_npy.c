/* SPDX-License-Identifier: Apache-2.0 */
/* read_npy.c - NumPy arrays (format versions 1.0 to 3.0, numpy/lib/format.py)
 *
 * One dimension of u1, u2, u4, i4 or i8 is tokens; two dimensions of u1, f4 or f8 are rows of
 * features, whose labels lie in a file of their own. The header is a Python dictionary; we read its
 * three keys and refuse anything else. */
#include "format.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 12 + 65536 };
#define MAGIC "\x93NUMPY"

struct reader {
    const char *at, *end;
};

static const struct {
    char text[4];
    enum mu_element element;
    bool integer, feature;
} types[] = {
    { "|u1", MU_U1, true, true },  { "<u2", MU_U2, true, false }, { "<u4", MU_U4, true, false },
    { "|i1", MU_I1, true, false }, { "<i2", MU_I2, true, false }, { "<i4", MU_I4, true, false },
    { "<i8", MU_I8, true, false }, { "<f4", MU_F4, false, true }, { "<f8", MU_F8, false, true },
};

bool mu_npy_recognise (const uint8_t *head, size_t size)
{
    return size >= 8 && memcmp (head, MAGIC, 6) == 0;
}

static void skip_space (struct reader *r)
{
    while (r->at < r->end && isspace ((unsigned char)*r->at))
        r->at++;
}

static bool take (struct reader *r, char wanted)
{
    skip_space (r);
    if (r->at >= r->end || *r->at != wanted)
        return false;
    r->at++;
    return true;
}

/* 'text' or "text", without escapes. */
static bool take_string (struct reader *r, char *text, size_t size)
{
    skip_space (r);
    if (r->at >= r->end || (*r->at != '\'' && *r->at != '"'))
        return false;
    const char quote = *r->at++;
    const char *close = memchr (r->at, quote, (size_t)(r->end - r->at));
    if (!close || (size_t)(close - r->at) >= size)
        return false;
    memcpy (text, r->at, (size_t)(close - r->at));
    text[close - r->at] = '\0';
    r->at = close + 1;
    return true;
}

static bool take_word (struct reader *r, const char *word)
{
    skip_space (r);
    const size_t length = strlen (word);
    if ((size_t)(r->end - r->at) < length || memcmp (r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

static bool take_number (struct reader *r, uint64_t *value)
{
    skip_space (r);
    const char *first = r->at;
    *value = 0;
    for (; r->at < r->end && isdigit ((unsigned char)*r->at); r->at++) {
        if (*value > (UINT64_MAX >> 1) / 10 - 1)
            return false;
        *value = *value * 10 + (uint64_t)(*r->at - '0');
    }
    return r->at > first;
}

/* (), (5,) or (5, 7, ...): up to 8 dimensions. */
static bool take_shape (struct reader *r, uint64_t shape[8], unsigned *dimensions)
{
    *dimensions = 0;
    if (!take (r, '('))
        return false;
    while (!take (r, ')')) {
        if (*dimensions == 8 || !take_number (r, &shape[(*dimensions)++]))
            return false;
        if (!take (r, ',')) /* then it must close */
            return take (r, ')');
    }
    return true;
}

struct header {
    char type[64];
    bool fortran, has_type, has_order, has_shape;
    uint64_t shape[8];
    unsigned dimensions;
};

static bool take_entry (struct reader *r, struct header *h)
{
    char key[32];
    if (!take_string (r, key, sizeof key) || !take (r, ':'))
        return false;
    if (strcmp (key, "descr") == 0)
        return h->has_type = take_string (r, h->type, sizeof h->type);
    if (strcmp (key, "shape") == 0)
        return h->has_shape = take_shape (r, h->shape, &h->dimensions);
    if (strcmp (key, "fortran_order") != 0)
        return false;
    h->fortran = take_word (r, "True");
    return h->has_order = h->fortran || take_word (r, "False");
}

static bool take_header (struct reader *r, struct header *h)
{
    if (!take (r, '{'))
        return false;
    while (!take (r, '}')) {
        if (!take_entry (r, h))
            return false;
        if (!take (r, ',')) {
            if (!take (r, '}'))
                return false;
            break;
        }
    }
    return h->has_type && h->has_order && h->has_shape;
}

/* Find the header's text and where the values begin. */
static int find_header (const uint8_t *head, size_t size, struct reader *r, uint64_t *offset,
                        struct mu_error *error)
{
    if (size < 10 || memcmp (head, MAGIC, 6) != 0)
        return mu_fail (error, MU_BAD_INPUT, "it does not begin as a .npy file does");
    if (head[6] < 1 || head[6] > 3 || (head[6] > 1 && size < 12))
        return mu_fail (error, MU_BAD_INPUT,
                        "it is a .npy file of version %u.%u; 1.0 to 3.0 are "
                        "known",
                        head[6], head[7]);
    const size_t begin = head[6] == 1 ? 10 : 12;
    uint64_t length = head[8] | (uint64_t)head[9] << 8;
    if (head[6] > 1)
        length |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    if (length > size - begin)
        return mu_fail (error, MU_BAD_INPUT, "its .npy header of %ju bytes is cut off or too long",
                        (uintmax_t)length);
    r->at = (const char *)head + begin;
    r->end = r->at + length;
    *offset = begin + length;
    return 0;
}

static int lay_out (const struct header *h, size_t type, uint64_t offset, struct mu_layout *layout,
                    struct mu_error *error)
{
    const bool rows = h->dimensions == 2;
    if (h->dimensions < 1 || h->dimensions > 2)
        return mu_fail (error, MU_BAD_INPUT,
                        "it has %u dimensions; one is tokens or labels, two are "
                        "rows of features",
                        h->dimensions);
    if (rows ? !types[type].feature : !types[type].integer)
        return mu_fail (error, MU_BAD_INPUT, "its type is %s; %s", h->type,
                        rows ? "rows of features are u1, f4 or f8: convert with astype('<f4')"
                             : "tokens and labels are integers: convert with astype('<i4')");
    if (rows && h->fortran)
        return mu_fail (error, MU_BAD_INPUT,
                        "its values lie in Fortran order; save "
                        "numpy.ascontiguousarray of it");
    if (rows && (h->shape[1] == 0 || h->shape[1] > MU_DATA_FEATURES_MAX))
        return mu_fail (error, MU_BAD_INPUT, "a row has %ju values; 1 to %u are possible",
                        (uintmax_t)h->shape[1], MU_DATA_FEATURES_MAX);
    const size_t size = mu_element_size (types[type].element);
    *layout = (struct mu_layout){ .kind = rows ? MU_DATA_FEATURES : MU_DATA_TOKENS,
                                  .element = types[type].element,
                                  .offset = offset,
                                  .stride = size * (rows ? h->shape[1] : 1),
                                  .units = h->shape[0],
                                  .width = rows ? (uint32_t)h->shape[1] : 1,
                                  .scale = types[type].element == MU_U1 ? 1.0 / 255 : 1 };
    return 0;
}

int mu_npy_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                   struct mu_error *error)
{
    struct reader r = { NULL, NULL };
    struct header h = { 0 };
    uint64_t offset = 0;
    if (find_header (head, size, &r, &offset, error) < 0)
        return -1;
    if (!take_header (&r, &h))
        return mu_fail (error, MU_BAD_INPUT,
                        "its .npy header cannot be read; it must name descr, "
                        "fortran_order and shape, and descr one plain type");
    const size_t count = sizeof types / sizeof *types;
    size_t type = 0;
    while (type < count && strcmp (types[type].text, h.type) != 0)
        type++;
    if (type == count)
        return mu_fail (error, MU_BAD_INPUT,
                        "its type is %s; |u1, <u2, <u4, |i1, <i2, <i4, <i8, "
                        "<f4 and <f8 can be read: convert with astype()",
                        h.type);
    if (lay_out (&h, type, offset, layout, error) < 0)
        return -1;
    return mu_layout_check (layout, file_size, error);
}

int mu_npy_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    const struct mu_file *file;
    uint8_t *head;
    size_t size;
    if (mu_unpacked (opening, &part->source, &part->prepared, &file, error) < 0 ||
        mu_file_head (file, HEAD_MAX, &head, &size, error) < 0)
        return -1;
    int status = mu_npy_layout (head, size, file->size, &part->layout, error);
    if (status < 0)
        mu_error_prefix (error, "%s: ", part->source.path);
    free (head);
    return status;
}
