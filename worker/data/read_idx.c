/* SPDX-License-Identifier: Apache-2.0 */
/* read_idx.c - the IDX format of the MNIST data sets (Yann LeCun), and files of labels
 *
 * Two zero bytes, a type (8 is unsigned byte, the only one in use and the only one we read), the
 * number of dimensions, their sizes as big-endian uint32, then the values. One dimension is labels;
 * more are rows: the first counts them, the product of the others is the number of features. */
#include "format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 4 + 4 * 8, TYPE_UNSIGNED_BYTE = 8 };

bool mu_idx_recognise (const uint8_t *head, size_t size)
{
    return size >= 8 && head[0] == 0 && head[1] == 0 && head[2] == TYPE_UNSIGNED_BYTE &&
           head[3] >= 1 && head[3] <= 8;
}

static uint32_t big_endian (const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int mu_idx_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                   struct mu_error *error)
{
    if (size < 4 || head[0] != 0 || head[1] != 0)
        return mu_fail (error, MU_BAD_INPUT,
                        "it does not begin as an IDX file does (two zero bytes, "
                        "a type, a number of dimensions)");
    if (head[2] != TYPE_UNSIGNED_BYTE)
        return mu_fail (error, MU_BAD_INPUT,
                        "its values are of IDX type 0x%02x; unsigned bytes "
                        "(0x08) can be read",
                        head[2]);
    if (head[3] < 1 || head[3] > 8 || size < 4 + 4 * (size_t)head[3])
        return mu_fail (error, MU_BAD_INPUT,
                        "its IDX header with %u dimensions is cut off or "
                        "wrong",
                        head[3]);
    uint64_t width = 1;
    for (unsigned i = 1; i < head[3]; i++) {
        width *= big_endian (head + 4 + 4 * i);
        if (width == 0 || width > MU_DATA_FEATURES_MAX)
            return mu_fail (error, MU_BAD_INPUT, "a row has no values, or more than %u",
                            MU_DATA_FEATURES_MAX);
    }
    *layout = (struct mu_layout){ .kind = head[3] > 1 ? MU_DATA_FEATURES : MU_DATA_TOKENS,
                                  .element = MU_U1,
                                  .offset = 4 + 4 * (uint64_t)head[3],
                                  .stride = width,
                                  .units = big_endian (head + 4),
                                  .width = (uint32_t)width,
                                  .scale = 1.0 / 255 };
    return mu_layout_check (layout, file_size, error);
}

int mu_idx_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    const struct mu_file *file;
    uint8_t *head;
    size_t size;
    if (mu_unpacked (opening, &part->source, &part->prepared, &file, error) < 0 ||
        mu_file_head (file, HEAD_MAX, &head, &size, error) < 0)
        return -1;
    int status = mu_idx_layout (head, size, file->size, &part->layout, error);
    if (status == 0 && part->layout.kind != MU_DATA_FEATURES)
        status = mu_fail (error, MU_BAD_INPUT,
                          "it holds labels (one dimension), not images; name it "
                          "under labels, and the images as data");
    if (status < 0)
        mu_error_prefix (error, "%s: ", part->source.path);
    free (head);
    return status;
}

/* --- labels ----------------------------------------------------------------------------------- */

static int decode_labels (const struct mu_file *file, struct mu_layout *layout,
                          struct mu_error *error)
{
    enum { NPY_HEAD = 12 + 65536 };
    uint8_t *head;
    size_t size;
    if (mu_file_head (file, NPY_HEAD, &head, &size, error) < 0)
        return -1;
    int status = mu_npy_recognise (head, size)
                     ? mu_npy_layout (head, size, file->size, layout, error)
                     : mu_idx_layout (head, size, file->size, layout, error);
    if (status == 0 && layout->kind != MU_DATA_TOKENS)
        status = mu_fail (error, MU_BAD_INPUT,
                          "it has more than one dimension; labels are one "
                          "integer a row");
    free (head);
    return status;
}

int mu_labels_open (const struct mu_opening *opening, const char *path, struct mu_part *part,
                    struct mu_error *error)
{
    const struct mu_file *file;
    if (mu_file_open (&part->labels, path, error) < 0 ||
        mu_unpacked (opening, &part->labels, &part->labels_prepared, &file, error) < 0)
        return -1;
    if (decode_labels (file, &part->label_layout, error) < 0) {
        mu_error_prefix (error, "%s: ", path);
        return -1;
    }
    if (part->label_layout.units != part->layout.units)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s has %" PRIu64 " labels, but %s has %" PRIu64
                        " rows; they do not belong together",
                        path, part->label_layout.units, part->source.path, part->layout.units);
    return 0;
}
