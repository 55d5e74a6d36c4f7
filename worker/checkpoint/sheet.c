/* SPDX-License-Identifier: Apache-2.0 */
/* sheet.c - the tensors of a state as the bytes that one file holds behind its head */
#include "worker/checkpoint/sheet.h"

#include <stdlib.h>
#include <string.h>

static void add_region (struct mu_sheet *sheet, const struct mu_state *state, const float *region)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    for (uint32_t i = 0; i < state->tensors; i++) {
        const uint64_t size = table[i].elements * sizeof (float);
        sheet->run[sheet->runs++] =
            (struct mu_run){ .at = sheet->size, .size = size, .bytes = region + table[i].first };
        sheet->size += size;
    }
}

static int begin (struct mu_sheet *sheet, size_t runs, struct mu_error *error)
{
    *sheet = (struct mu_sheet){ .run = calloc (runs, sizeof *sheet->run) };
    return sheet->run ? 0 : mu_fail (error, MU_SYSTEM, "no memory to list %zu tensors", runs);
}

int mu_sheet_of_weights (struct mu_sheet *sheet, const struct mu_state *state,
                         struct mu_error *error)
{
    if (begin (sheet, state->tensors, error) < 0)
        return -1;
    add_region (sheet, state, mu_state_weights_const (state));
    return 0;
}

int mu_sheet_of_moments (struct mu_sheet *sheet, const struct mu_state *state,
                         struct mu_error *error)
{
    if (begin (sheet, (size_t)2 * state->tensors, error) < 0)
        return -1;
    add_region (sheet, state, mu_state_m_const (state));
    add_region (sheet, state, mu_state_v_const (state));
    return 0;
}

void mu_sheet_clear (struct mu_sheet *sheet)
{
    free (sheet->run);
    *sheet = (struct mu_sheet){ 0 };
}

/* The last run that begins at or before `at`. */
static uint32_t find_run (const struct mu_sheet *sheet, uint64_t at)
{
    uint32_t low = 0, high = sheet->runs;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (sheet->run[middle].at <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void mu_sheet_copy (const struct mu_sheet *sheet, uint64_t at, void *to, size_t size)
{
    unsigned char *out = to;
    for (uint32_t i = find_run (sheet, at); size > 0; i++) {
        const struct mu_run *run = &sheet->run[i];
        const uint64_t skip = at - run->at;
        const size_t part = run->size - skip < size ? (size_t)(run->size - skip) : size;
        memcpy (out, (const unsigned char *)run->bytes + skip, part);
        out += part;
        at += part;
        size -= part;
    }
}
