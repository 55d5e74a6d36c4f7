/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.h - reading and writing the safetensors file format
 *
 * The format (huggingface/safetensors, README "Format"): a u64 little-endian header length, a JSON
 * object of that length padded with spaces to a multiple of 8, then the tensors' bytes, row-major
 * and little-endian, without gaps:
 *
 *     {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3],
 *      "data_offsets": [0, 24]}, ...}          offsets count from the end of the header
 *
 * The reader trusts nothing: every length is bounded before it is used, the tensors must cover the
 * data exactly, and a file that shrinks while it is read is an error, not a crash. */
#ifndef MU_SAFETENSORS_H
#define MU_SAFETENSORS_H

#include "common/error.h"
#include "worker/checkpoint/storage.h"

#include <stddef.h>
#include <stdint.h>

#define MU_SAFETENSORS_HEADER_MAX     (8u << 20) /* 65,536 tensors of 128 bytes each */
#define MU_SAFETENSORS_TENSORS_MAX    65536u
#define MU_SAFETENSORS_DIMENSIONS_MAX 8u
#define MU_SAFETENSORS_NAME_MAX       255u

/* The order is that of the table in safetensors.c. */
enum mu_dtype {
    MU_DTYPE_F32,
    MU_DTYPE_F16,
    MU_DTYPE_BF16,
    MU_DTYPE_F64,
    MU_DTYPE_I64,
    MU_DTYPE_U64,
    MU_DTYPE_I32,
    MU_DTYPE_U32,
    MU_DTYPE_I16,
    MU_DTYPE_U16,
    MU_DTYPE_I8,
    MU_DTYPE_U8,
    MU_DTYPE_BOOL,
};

struct mu_safetensor {
    const char *name;
    enum mu_dtype dtype;
    uint32_t dimensions; /* 0: a scalar */
    uint64_t dimension[MU_SAFETENSORS_DIMENSIONS_MAX];
    uint64_t elements;
    uint64_t offset; /* bytes from the start of the file */
    uint64_t bytes;
};

struct mu_safetensors; /* an open file: its header, and a file descriptor of its own */

/* Open a file by path, or by name within an open directory. NULL on failure. */
struct mu_safetensors *mu_safetensors_open (const char *path, struct mu_error *error);
struct mu_safetensors *mu_safetensors_open_at (int dir, const char *name, struct mu_error *error);
void mu_safetensors_close (struct mu_safetensors **file);

/* The tensors in the order of their bytes in the file; valid until close. */
const struct mu_safetensor *mu_safetensors_tensors (const struct mu_safetensors *file,
                                                    uint32_t *count);
const struct mu_safetensor *mu_safetensors_find (const struct mu_safetensors *file,
                                                 const char *name);

/* A text of __metadata__, or NULL. */
const char *mu_safetensors_metadata (const struct mu_safetensors *file, const char *key);

/* Read a tensor of F32, F16 or BF16 as float32 into out[tensor->elements]. Exact: each of those
 * numbers is a float32. Other types are refused. */
int mu_safetensors_read (const struct mu_safetensors *file, const struct mu_safetensor *tensor,
                         float *out, struct mu_error *error);

/* One tensor to write, float32. */
struct mu_safetensors_item {
    const char *name;
    uint32_t dimensions;
    const uint64_t *dimension;
};

/* All that stands in front of the tensors' bytes, with metadata {"format": "pt"}, which
 * `transformers` asks for; malloc'ed, a multiple of a page's 4096 bytes. The values of the items follow it, in
 * their order and without gap. The same items give the same bytes. NULL on failure; `name` is the
 * file's, for the sentence. */
char *mu_safetensors_head (const char *name, const struct mu_safetensors_item *items,
                           uint32_t count, size_t *bytes, struct mu_error *error);

#endif
