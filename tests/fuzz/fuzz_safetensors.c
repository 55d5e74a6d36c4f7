/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_safetensors.c - any bytes as a safetensors file: refused with a sentence, or read whole
 *
 * With clang: -fsanitize=fuzzer,address,undefined. The corpus is tests/fuzz/corpus/safetensors/. */
#include "worker/checkpoint/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size);

static void must (bool truth)
{
    if (!truth)
        abort ();
}

static void read_all (const struct mu_safetensors *file, size_t size)
{
    uint32_t count;
    const struct mu_safetensor *tensors = mu_safetensors_tensors (file, &count);
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct mu_error error = { .text = "" };
        must (mu_safetensors_find (file, tensors[i].name) == &tensors[i]);
        must (i == 0 || tensors[i].offset == end);
        end = tensors[i].offset + tensors[i].bytes;
        must (end <= size && tensors[i].elements <= size);
        float *out = malloc (tensors[i].elements * sizeof *out + 1);
        must (out != NULL);
        if (mu_safetensors_read (file, &tensors[i], out, &error) < 0)
            must (strlen (error.text) > 10);
        free (out);
    }
    must (count == 0 || end == size);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create ("fuzz", MFD_CLOEXEC);
        must (fd >= 0);
        snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must (ftruncate (fd, (off_t)size) == 0);
    must (pwrite (fd, bytes, size, 0) == (ssize_t)size);
    struct mu_error error = { .text = "" };
    struct mu_safetensors *file = mu_safetensors_open (path, &error);
    if (file)
        read_all (file, size);
    else
        must (strlen (error.text) > 10);
    mu_safetensors_close (&file);
    return 0;
}
