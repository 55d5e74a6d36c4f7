/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - what `muster data inspect` tells of a data set, as JSON
 *
 * For an inspection a context need not be named: 1024 tokens, or as many as there are, are assumed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "parts.h"

enum { CONTEXT = 1024, SAMPLE_TOKENS = 32, SAMPLE_FEATURES = 8, HISTOGRAM_CLASSES = 256 };

static json_t *describe_files (const struct mu_data *data)
{
    json_t *files = json_array ();
    for (uint32_t i = 0; files && i < data->part_count; i++) {
        const struct mu_part *part = &data->parts[i];
        json_t *file = json_pack ("{s:s, s:I, s:I, s:s}", "path", part->source.path, "bytes",
                                  (json_int_t)part->source.size,
                                  data->info.kind == MU_DATA_TOKENS ? "tokens" : "rows",
                                  (json_int_t)part->layout.units, "hash", part->source.hash);
        if (part->dictzip.chunk_begin)
            json_object_set_new (file, "packed", json_string ("dictzip"));
        if (part->prepared.path)
            json_object_set_new (file, "converted", json_string (part->prepared.path));
        if (part->labels.path)
            json_object_set_new (file, "labels", json_string (part->labels.path));
        json_array_append_new (files, file);
    }
    return files;
}

/* Text as JSON can hold it: bytes that are no UTF-8 become U+FFFD. */
static json_t *text_of (const char *text, size_t size)
{
    char *safe = malloc (3 * size + 1);
    size_t used = 0;
    for (size_t i = 0; safe && i < size;) {
        size_t length = 4 < size - i ? 4 : size - i;
        json_t *character = NULL;
        for (; length && !character; length -= !character)
            character = json_stringn (text + i, length);
        if (character) {
            memcpy (safe + used, text + i, length);
            json_decref (character);
        } else {
            memcpy (safe + used, "\xef\xbf\xbd", 3);
        }
        used += character ? length : 3;
        i += character ? length : 1;
    }
    json_t *result = safe ? json_stringn (safe, used) : NULL;
    free (safe);
    return result;
}

static int sample_tokens (struct mu_data *data, const struct mu_data_spec *spec, json_t *result,
                          struct mu_error *error)
{
    const uint64_t record = 0;
    struct mu_tokenizer *tokenizer;
    size_t size, shown = data->info.tokens < SAMPLE_TOKENS ? data->info.tokens : SAMPLE_TOKENS;
    int32_t *tokens = calloc (data->info.tokens, sizeof *tokens);
    if (!tokens)
        return mu_fail (error, MU_SYSTEM, "no memory for a record");
    int status = mu_data_read (data, &record, 1, tokens, NULL, NULL, error);
    json_t *list = json_array ();
    for (size_t i = 0; i < shown && status == 0; i++)
        json_array_append_new (list, json_integer (tokens[i]));
    json_object_set_new (result, "first_tokens", list);
    /* Tokens of a shard are text only where somebody says by which tokenizer. */
    if (status == 0 && (data->format->tokenized || spec->tokenizer) &&
        mu_tokenizer_open (&tokenizer, spec->tokenizer, spec->gpt2_any_files, error) == 0) {
        char *text = mu_data_decode (tokenizer, tokens, shown, &size, error);
        if (text)
            json_object_set_new (result, "first_text", text_of (text, size));
        else
            status = -1;
        free (text);
        mu_tokenizer_close (&tokenizer);
    }
    free (tokens);
    return status;
}

static int sample_row (struct mu_data *data, json_t *result, struct mu_error *error)
{
    const uint64_t record = 0;
    int32_t label;
    float *features = calloc (data->info.features, sizeof *features);
    if (!features)
        return mu_fail (error, MU_SYSTEM, "no memory for a record");
    int status = mu_data_read (data, &record, 1, NULL, features, &label, error);
    if (status == 0) {
        json_t *list = json_array ();
        for (uint32_t i = 0; i < data->info.features && i < SAMPLE_FEATURES; i++)
            json_array_append_new (list, json_real ((double)features[i]));
        json_object_set_new (result, "first_features", list);
        json_object_set_new (result, "first_label", json_integer (label));
    }
    free (features);
    return status;
}

/* How often each label comes, over the records in use. */
static int count_labels (struct mu_data *data, json_t *result, struct mu_error *error)
{
    uint64_t counts[HISTOGRAM_CLASSES] = { 0 };
    int32_t label = 0;
    int status = 0;
    if (data->info.classes > HISTOGRAM_CLASSES)
        return 0;
    float *features = calloc (data->info.features, sizeof *features);
    if (!features)
        return mu_fail (error, MU_SYSTEM, "no memory for a record");
    for (uint64_t record = 0; record < data->info.records && status == 0; record++) {
        status = mu_data_read (data, &record, 1, NULL, features, &label, error);
        counts[label] += status == 0;
    }
    free (features);
    json_t *list = json_array ();
    for (uint32_t i = 0; i < data->info.classes; i++)
        json_array_append_new (list, json_integer ((json_int_t)counts[i]));
    json_object_set_new (result, "records_by_label", list);
    return status;
}

static json_t *describe_info (const struct mu_data_info *info)
{
    json_t *result =
        json_pack ("{s:s, s:s, s:I, s:I, s:I, s:s}", "kind",
                   info->kind == MU_DATA_TOKENS ? "tokens" : "features", "format", info->format,
                   "records", (json_int_t)info->records, "files", (json_int_t)info->files, "bytes",
                   (json_int_t)info->bytes, "identity", info->identity);
    if (info->kind == MU_DATA_TOKENS) {
        json_object_set_new (result, "tokens", json_integer ((json_int_t)info->units));
        json_object_set_new (result, "record_tokens", json_integer (info->tokens));
        json_object_set_new (result, "vocabulary", json_integer (info->vocabulary));
    } else {
        json_object_set_new (result, "rows", json_integer ((json_int_t)info->units));
        json_object_set_new (result, "features", json_integer (info->features));
        json_object_set_new (result, "classes", json_integer (info->classes));
    }
    return result;
}

json_t *mu_data_describe (const struct mu_data_spec *spec, struct mu_error *error)
{
    struct mu_data *data;
    struct mu_data_spec own = *spec;
    const bool guess = own.context == 0;
    if (guess)
        own.context = 1; /* the identity of an inspection without a context is of no other use */
    if (mu_data_open (&data, &own, error) < 0)
        return NULL;
    if (guess && data->info.kind == MU_DATA_TOKENS) {
        own.context = data->info.units > CONTEXT ? CONTEXT : (uint32_t)data->info.units - 1;
        mu_data_close (&data);
        if (mu_data_open (&data, &own, error) < 0)
            return NULL;
    }
    json_t *result = describe_info (&data->info);
    int status = result ? 0 : mu_fail (error, MU_SYSTEM, "no memory to describe data");
    if (status == 0) {
        json_object_set_new (result, "file_list", describe_files (data));
        status = data->info.kind == MU_DATA_TOKENS ? sample_tokens (data, spec, result, error)
                                                   : sample_row (data, result, error);
    }
    if (status == 0 && data->info.kind == MU_DATA_FEATURES)
        status = count_labels (data, result, error);
    mu_data_close (&data);
    if (status < 0) {
        json_decref (result);
        return NULL;
    }
    return result;
}
