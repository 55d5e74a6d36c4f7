/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - reads and writes the safetensors format
 *
 * Reading goes in this order: the length of the header, the header as JSON, each entry's type,
 * shape and offsets, then all entries together: sorted by offset they must cover the data without
 * gap or overlap. Only then is a tensor given out. */
#include "worker/checkpoint/safetensors.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES 8u
#define HEAD_UNIT    4096u  /* the values behind a head begin with a page of the file */
#define CHUNK        16384u /* elements converted at once */

struct mu_safetensors {
    int fd;
    char *name;   /* of the file, for sentences */
    json_t *root; /* owns the tensors' names */
    uint32_t count;
    struct mu_safetensor *tensors;        /* by place in the file */
    const struct mu_safetensor **by_name; /* sorted */
    uint64_t data_at, data_bytes;
};

static const struct {
    const char *name;
    uint32_t bytes;
} types[] = {
    [MU_DTYPE_F32] = { "F32", 4 },   [MU_DTYPE_F16] = { "F16", 2 }, [MU_DTYPE_BF16] = { "BF16", 2 },
    [MU_DTYPE_F64] = { "F64", 8 },   [MU_DTYPE_I64] = { "I64", 8 }, [MU_DTYPE_U64] = { "U64", 8 },
    [MU_DTYPE_I32] = { "I32", 4 },   [MU_DTYPE_U32] = { "U32", 4 }, [MU_DTYPE_I16] = { "I16", 2 },
    [MU_DTYPE_U16] = { "U16", 2 },   [MU_DTYPE_I8] = { "I8", 1 },   [MU_DTYPE_U8] = { "U8", 1 },
    [MU_DTYPE_BOOL] = { "BOOL", 1 },
};
#define TYPES (sizeof types / sizeof *types)

/* --- the header ------------------------------------------------------------------------------- */

static int parse_type (const struct mu_safetensors *file, const json_t *entry,
                       struct mu_safetensor *tensor, struct mu_error *error)
{
    const char *text = json_string_value (json_object_get (entry, "dtype"));
    if (!text)
        return mu_fail (error, MU_BAD_INPUT, "%s: tensor %s has no dtype", file->name,
                        tensor->name);
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp (text, types[i].name) == 0) {
            tensor->dtype = (enum mu_dtype)i;
            return 0;
        }
    return mu_fail (error, MU_BAD_INPUT,
                    "%s: tensor %s has the dtype %.20s, which Muster does not know; convert it to "
                    "F32, F16 or BF16",
                    file->name, tensor->name, text);
}

/* A whole number of at least 0; false if the value is none. */
static bool parse_count (const json_t *value, uint64_t *count)
{
    if (!json_is_integer (value) || json_integer_value (value) < 0)
        return false;
    *count = (uint64_t)json_integer_value (value);
    return true;
}

static int parse_shape (const struct mu_safetensors *file, const json_t *entry,
                        struct mu_safetensor *tensor, struct mu_error *error)
{
    const json_t *shape = json_object_get (entry, "shape");
    if (!json_is_array (shape) || json_array_size (shape) > MU_SAFETENSORS_DIMENSIONS_MAX)
        return mu_fail (error, MU_BAD_INPUT, "%s: tensor %s needs a shape of at most %u dimensions",
                        file->name, tensor->name, MU_SAFETENSORS_DIMENSIONS_MAX);
    tensor->dimensions = (uint32_t)json_array_size (shape);
    tensor->elements = 1;
    bool good = true;
    for (uint32_t d = 0; d < tensor->dimensions && good; d++)
        good = parse_count (json_array_get (shape, d), &tensor->dimension[d]) &&
               !__builtin_mul_overflow (tensor->elements, tensor->dimension[d], &tensor->elements);
    good = good &&
           !__builtin_mul_overflow (tensor->elements, types[tensor->dtype].bytes, &tensor->bytes);
    if (!good)
        return mu_fail (error, MU_BAD_INPUT, "%s: tensor %s has an impossible shape", file->name,
                        tensor->name);
    return 0;
}

static int parse_offsets (const struct mu_safetensors *file, const json_t *entry,
                          struct mu_safetensor *tensor, struct mu_error *error)
{
    const json_t *offsets = json_object_get (entry, "data_offsets");
    uint64_t begin, end;
    if (!json_is_array (offsets) || json_array_size (offsets) != 2 ||
        !parse_count (json_array_get (offsets, 0), &begin) ||
        !parse_count (json_array_get (offsets, 1), &end))
        return mu_fail (error, MU_BAD_INPUT, "%s: tensor %s needs two data_offsets", file->name,
                        tensor->name);
    if (begin > end || end > file->data_bytes)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: tensor %s lies at bytes %llu to %llu, outside the file's %llu bytes "
                        "of data; the file may be cut short",
                        file->name, tensor->name, (unsigned long long)begin,
                        (unsigned long long)end, (unsigned long long)file->data_bytes);
    if (end - begin != tensor->bytes)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: tensor %s has %llu bytes where its shape needs %llu", file->name,
                        tensor->name, (unsigned long long)(end - begin),
                        (unsigned long long)tensor->bytes);
    tensor->offset = file->data_at + begin;
    return 0;
}

static int parse_tensor (const struct mu_safetensors *file, const char *name, const json_t *entry,
                         struct mu_safetensor *tensor, struct mu_error *error)
{
    if (!*name || strlen (name) > MU_SAFETENSORS_NAME_MAX)
        return mu_fail (error, MU_BAD_INPUT, "%s: a tensor's name must have 1 to %u bytes",
                        file->name, MU_SAFETENSORS_NAME_MAX);
    tensor->name = name;
    if (!json_is_object (entry))
        return mu_fail (error, MU_BAD_INPUT, "%s: the entry of tensor %s is no object", file->name,
                        name);
    if (parse_type (file, entry, tensor, error) < 0 || parse_shape (file, entry, tensor, error) < 0)
        return -1;
    return parse_offsets (file, entry, tensor, error);
}

static int compare_places (const void *a, const void *b)
{
    const struct mu_safetensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names (const void *a, const void *b)
{
    const struct mu_safetensor *const *x = a, *const *y = b;
    return strcmp ((*x)->name, (*y)->name);
}

static int check_cover (const struct mu_safetensors *file, struct mu_error *error)
{
    uint64_t at = file->data_at;
    for (uint32_t i = 0; i < file->count; i++) {
        if (file->tensors[i].offset != at)
            return mu_fail (error, MU_BAD_INPUT,
                            "%s: tensor %s leaves a gap in the data or overlaps another",
                            file->name, file->tensors[i].name);
        at += file->tensors[i].bytes;
    }
    if (at != file->data_at + file->data_bytes)
        return mu_fail (error, MU_BAD_INPUT, "%s: %llu bytes at the end belong to no tensor",
                        file->name, (unsigned long long)(file->data_at + file->data_bytes - at));
    return 0;
}

static int check_metadata (const struct mu_safetensors *file, struct mu_error *error)
{
    json_t *metadata = json_object_get (file->root, "__metadata__");
    const char *key;
    json_t *value;
    if (metadata && !json_is_object (metadata))
        return mu_fail (error, MU_BAD_INPUT, "%s: __metadata__ is no object", file->name);
    json_object_foreach (metadata, key, value) if (!json_is_string (value)) return mu_fail (
        error, MU_BAD_INPUT, "%s: __metadata__ holds more than texts", file->name);
    return 0;
}

static int take_tensors (struct mu_safetensors *file, struct mu_error *error)
{
    size_t entries = json_object_size (file->root);
    if (entries > MU_SAFETENSORS_TENSORS_MAX + 1)
        return mu_fail (error, MU_BAD_INPUT, "%s has more than %u tensors", file->name,
                        MU_SAFETENSORS_TENSORS_MAX);
    file->tensors = calloc (entries + 1, sizeof *file->tensors);
    file->by_name = calloc (entries + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return mu_fail (error, MU_SYSTEM, "no memory for the %zu tensors of %s", entries,
                        file->name);
    const char *name;
    json_t *entry;
    json_object_foreach (file->root, name, entry)
    {
        if (strcmp (name, "__metadata__") == 0)
            continue;
        if (parse_tensor (file, name, entry, &file->tensors[file->count], error) < 0)
            return -1;
        file->count++;
    }
    qsort (file->tensors, file->count, sizeof *file->tensors, compare_places);
    for (uint32_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    qsort (file->by_name, file->count, sizeof *file->by_name, compare_names);
    return check_cover (file, error);
}

static int parse_header (struct mu_safetensors *file, const char *text, size_t length,
                         struct mu_error *error)
{
    json_error_t problem;
    if (length == 0 || text[0] != '{')
        return mu_fail (error, MU_BAD_INPUT, "%s is no safetensors file: its header is no JSON",
                        file->name);
    file->root = json_loadb (text, length, JSON_REJECT_DUPLICATES, &problem);
    if (!file->root)
        return mu_fail (error, MU_BAD_INPUT, "%s: its header is broken at byte %d: %s", file->name,
                        problem.position, problem.text);
    if (check_metadata (file, error) < 0)
        return -1;
    return take_tensors (file, error);
}

static int read_header (struct mu_safetensors *file, uint64_t size, struct mu_error *error)
{
    uint64_t length;
    if (size < LENGTH_BYTES)
        return mu_fail (error, MU_BAD_INPUT, "%s is no safetensors file: it has only %llu bytes",
                        file->name, (unsigned long long)size);
    if (mu_storage_read_at (file->fd, file->name, 0, &length, sizeof length, error) < 0)
        return -1;
    if (length > MU_SAFETENSORS_HEADER_MAX || length > size - LENGTH_BYTES)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s is no safetensors file, or cut short: it claims a header of %llu "
                        "bytes",
                        file->name, (unsigned long long)length);
    char *text = malloc (length + 1);
    if (!text)
        return mu_fail (error, MU_SYSTEM, "no memory for the header of %s", file->name);
    file->data_at = LENGTH_BYTES + length;
    file->data_bytes = size - file->data_at;
    int status = mu_storage_read_at (file->fd, file->name, LENGTH_BYTES, text, length, error);
    if (status == 0)
        status = parse_header (file, text, length, error);
    free (text);
    return status;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Takes fd. */
static struct mu_safetensors *open_taken (int fd, const char *name, uint64_t size,
                                          struct mu_error *error)
{
    struct mu_safetensors *file = calloc (1, sizeof *file);
    if (!file) {
        close (fd);
        mu_fail (error, MU_SYSTEM, "no memory to open %s", name);
        return NULL;
    }
    file->fd = fd;
    file->name = strdup (name);
    if (!file->name) {
        mu_fail (error, MU_SYSTEM, "no memory to open %s", name);
        mu_safetensors_close (&file);
    } else if (read_header (file, size, error) < 0)
        mu_safetensors_close (&file);
    return file;
}

struct mu_safetensors *mu_safetensors_open (const char *path, struct mu_error *error)
{
    uint64_t size;
    int fd = mu_storage_open (AT_FDCWD, path, &size, error);
    return fd < 0 ? NULL : open_taken (fd, path, size, error);
}

struct mu_safetensors *mu_safetensors_open_at (int dir, const char *name, struct mu_error *error)
{
    uint64_t size;
    int fd = mu_storage_open (dir, name, &size, error);
    return fd < 0 ? NULL : open_taken (fd, name, size, error);
}

void mu_safetensors_close (struct mu_safetensors **file)
{
    if (!*file)
        return;
    close ((*file)->fd);
    json_decref ((*file)->root);
    free ((*file)->by_name);
    free ((*file)->tensors);
    free ((*file)->name);
    free (*file);
    *file = NULL;
}

const struct mu_safetensor *mu_safetensors_tensors (const struct mu_safetensors *file,
                                                    uint32_t *count)
{
    *count = file->count;
    return file->tensors;
}

const struct mu_safetensor *mu_safetensors_find (const struct mu_safetensors *file,
                                                 const char *name)
{
    const struct mu_safetensor wanted = { .name = name };
    const struct mu_safetensor *key = &wanted;
    const struct mu_safetensor **found =
        bsearch (&key, file->by_name, file->count, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

const char *mu_safetensors_metadata (const struct mu_safetensors *file, const char *key)
{
    return json_string_value (json_object_get (json_object_get (file->root, "__metadata__"), key));
}

/* --- reading tensors -------------------------------------------------------------------------- */

static float float_of_bits (uint32_t bits)
{
    float value;
    memcpy (&value, &bits, sizeof value);
    return value;
}

static float from_bf16 (uint16_t half) { return float_of_bits ((uint32_t)half << 16); }

/* IEEE 754 binary16. A subnormal is its fraction times 2^-24, which is exact. */
static float from_f16 (uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0)
        return (sign ? -0x1p-24f : 0x1p-24f) * (float)fraction;
    if (exponent == 31)
        return float_of_bits (sign | 0x7f800000u | fraction << 13);
    return float_of_bits (sign | (exponent + 112) << 23 | fraction << 13);
}

static int read_halves (const struct mu_safetensors *file, const struct mu_safetensor *tensor,
                        float (*convert) (uint16_t), float *out, struct mu_error *error)
{
    uint16_t halves[CHUNK];
    for (uint64_t at = 0; at < tensor->elements;) {
        size_t part = tensor->elements - at < CHUNK ? (size_t)(tensor->elements - at) : CHUNK;
        if (mu_storage_read_at (file->fd, file->name, tensor->offset + at * sizeof *halves, halves,
                                part * sizeof *halves, error) < 0)
            return -1;
        for (size_t i = 0; i < part; i++)
            out[at + i] = convert (halves[i]);
        at += part;
    }
    return 0;
}

int mu_safetensors_read (const struct mu_safetensors *file, const struct mu_safetensor *tensor,
                         float *out, struct mu_error *error)
{
    if (tensor->dtype == MU_DTYPE_F32)
        return mu_storage_read_at (file->fd, file->name, tensor->offset, out, tensor->bytes, error);
    if (tensor->dtype == MU_DTYPE_F16)
        return read_halves (file, tensor, from_f16, out, error);
    if (tensor->dtype == MU_DTYPE_BF16)
        return read_halves (file, tensor, from_bf16, out, error);
    return mu_fail (error, MU_BAD_INPUT,
                    "%s: tensor %s is of type %s; F32, F16 and BF16 can be used as weights",
                    file->name, tensor->name, types[tensor->dtype].name);
}

/* --- writing ---------------------------------------------------------------------------------- */

static uint64_t item_elements (const struct mu_safetensors_item *item)
{
    uint64_t elements = 1;
    for (uint32_t d = 0; d < item->dimensions; d++)
        elements *= item->dimension[d];
    return elements;
}

static json_t *describe_item (const struct mu_safetensors_item *item, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array ();
    for (uint32_t d = 0; d < item->dimensions; d++)
        json_array_append_new (shape, json_integer ((json_int_t)item->dimension[d]));
    return json_pack ("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
                      (json_int_t)begin, (json_int_t)end);
}

/* The header as text, behind its length and padded so that the data begins at a multiple of 8. */
static char *describe (const struct mu_safetensors_item *items, uint32_t count, size_t *bytes)
{
    json_t *root = json_pack ("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = at + item_elements (&items[i]) * sizeof (float);
        json_object_set_new (root, items[i].name, describe_item (&items[i], at, end));
        at = end;
    }
    bool complete = json_object_size (root) == (size_t)count + 1;
    char *text = complete ? json_dumps (root, JSON_COMPACT) : NULL;
    json_decref (root);
    if (!text)
        return NULL;
    size_t used = strlen (text);
    *bytes = (LENGTH_BYTES + used + HEAD_UNIT - 1) / HEAD_UNIT * HEAD_UNIT;
    const uint64_t length = *bytes - LENGTH_BYTES;
    char *head = malloc (*bytes);
    if (head) {
        memcpy (head, &length, LENGTH_BYTES);
        memcpy (head + LENGTH_BYTES, text, used);
        memset (head + LENGTH_BYTES + used, ' ', length - used);
    }
    free (text);
    return head;
}

char *mu_safetensors_head (const char *name, const struct mu_safetensors_item *items,
                           uint32_t count, size_t *bytes, struct mu_error *error)
{
    char *head = describe (items, count, bytes);
    if (!head) {
        mu_fail (error, MU_SYSTEM,
                 "cannot make the header of %s: out of memory, or a tensor's name is twice there "
                 "or no UTF-8",
                 name);
    } else if (*bytes - LENGTH_BYTES > MU_SAFETENSORS_HEADER_MAX) {
        mu_fail (error, MU_BAD_INPUT, "the header of %s would exceed %u bytes", name,
                 MU_SAFETENSORS_HEADER_MAX);
        free (head);
        head = NULL;
    }
    return head;
}
