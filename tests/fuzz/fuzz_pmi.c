/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_pmi.c - any bytes from an MPI process, and any values from the fences of others
 *
 * The input is a run of pieces: a byte that says who speaks (bit 0: a fence's values; bits 1 and 2:
 * how the answers are taken), two bytes of length, that many bytes. Whatever comes, what is
 * answered is whole lines, and a fence brings what was put, as whole lines. */
#include "worker/comm/pmi.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void check_lines (const char *text, size_t size)
{
    if (size && (text[size - 1] != '\n' || memchr (text, '\0', size)))
        abort ();
}

static int fence (struct mu_pmi *pmi, const uint8_t *data, size_t size)
{
    uint32_t number;
    const void *values;
    size_t own;
    struct mu_error error;
    if (!mu_pmi_in_fence (pmi, &number, &values, &own))
        return mu_pmi_fence_done (pmi, size ? data[0] : 0, data, size, &error);
    check_lines (values, own);
    if (size && data[0] == '=') { /* alone: it hears itself, which must be right */
        void *copy = malloc (own + 1);
        if (!copy)
            abort ();
        if (own)
            memcpy (copy, values, own);
        if (mu_pmi_fence_done (pmi, number, copy, own, &error) && error.code == MU_INTERNAL)
            abort ();
        free (copy);
        return 0;
    }
    return mu_pmi_fence_done (pmi, number, data, size, &error);
}

static void take (struct mu_pmi *pmi, uint8_t how)
{
    size_t size;
    const char *output = mu_pmi_output (pmi, &size);
    check_lines (output, size);
    if (how & 2)
        mu_pmi_sent (pmi, how & 4 ? size / 2 : size);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct mu_pmi *pmi = mu_pmi_create (0, 2, "j");
    struct mu_error error;
    if (!pmi)
        abort ();
    while (size >= 3) {
        uint8_t how = data[0];
        size_t count = (size_t)data[1] | (size_t)data[2] << 8;
        data += 3;
        size -= 3;
        count = count < size ? count : size;
        if (how & 1 ? fence (pmi, data, count) : mu_pmi_input (pmi, data, count, &error))
            break; /* its process is killed */
        take (pmi, how);
        data += count;
        size -= count;
    }
    mu_pmi_destroy (&pmi);
    return 0;
}
