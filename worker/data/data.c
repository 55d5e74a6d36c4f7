/* SPDX-License-Identifier: Apache-2.0 */
/* data.c - a data set made of parts
 *
 * A part is a file and the layout of its values; the parts lie one behind the other and a unit
 * (token or row) is found by its number. Opening does everything that can fail once: find the files
 * and their format, convert what needs it, agree on widths, vocabulary and classes, and build the
 * identity. Nothing changes after that, so reading needs no lock but the dictzip chunks' own.
 * Nothing here is fatal. */
#include "data.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "parts.h"
#include "paths.h"

/* --- opening ---------------------------------------------------------------------------------- */

static int check_spec (const struct mu_data_spec *spec, struct mu_error *error)
{
    const double to = spec->to == 0 ? 1 : spec->to;
    if (spec->path_count == 0)
        return mu_fail (error, MU_CONFIG, "no data is named");
    if (!(spec->from >= 0 && spec->from < to && to <= 1))
        return mu_fail (error, MU_CONFIG,
                        "the part from %g to %g of the data is empty or outside 0 to "
                        "1",
                        spec->from, to);
    if (spec->context > MU_DATA_CONTEXT_MAX)
        return mu_fail (error, MU_CONFIG, "a context of %" PRIu32 " tokens; up to %u is possible",
                        spec->context, MU_DATA_CONTEXT_MAX);
    if (spec->vocabulary > MU_DATA_VOCABULARY_MAX)
        return mu_fail (error, MU_CONFIG,
                        "a vocabulary of %" PRIu32 " tokens; up to %u is possible",
                        spec->vocabulary, MU_DATA_VOCABULARY_MAX);
    if (spec->classes > MU_DATA_CLASSES_MAX)
        return mu_fail (error, MU_CONFIG, "%" PRIu32 " classes; up to %u are possible",
                        spec->classes, MU_DATA_CLASSES_MAX);
    return 0;
}

/* Values of the part that are units: of the converted file if there is one. */
static const struct mu_file *file_of (const struct mu_part *part)
{
    return part->prepared.path ? &part->prepared : &part->source;
}

static struct mu_values values_of (const struct mu_data *data, const struct mu_part *part)
{
    return (struct mu_values){ .file = file_of (part),
                               .dictzip = part->dictzip.chunk_begin ? &part->dictzip : NULL,
                               .chunks = data->chunks,
                               .layout = &part->layout };
}

static struct mu_values labels_of (const struct mu_part *part)
{
    return (struct mu_values){ .file = part->labels_prepared.path ? &part->labels_prepared
                                                                  : &part->labels,
                               .layout = &part->label_layout };
}

static int agree (struct mu_data *data, const struct mu_part *part, struct mu_error *error)
{
    const struct mu_part *first = &data->parts[0];
    if (part->layout.kind != first->layout.kind)
        return mu_fail (
            error, MU_BAD_INPUT, "%s holds %s, but %s holds %s; a data set is of one kind",
            part->source.path, part->layout.kind == MU_DATA_TOKENS ? "tokens" : "features",
            first->source.path, first->layout.kind == MU_DATA_TOKENS ? "tokens" : "features");
    if (part->layout.width != first->layout.width)
        return mu_fail (
            error, MU_BAD_INPUT, "%s has %" PRIu32 " features in a row, but %s has %" PRIu32,
            part->source.path, part->layout.width, first->source.path, first->layout.width);
    return 0;
}

/* The format that was named, or the one found, which must then be that of all files. */
static int settle_format (struct mu_data *data, const struct mu_opening *opening,
                          const struct mu_file *file, struct mu_error *error)
{
    const char *named = opening->spec->format;
    if (named && strcmp (named, "auto") != 0)
        return 0;
    const struct mu_format *found = mu_format_of (file, error);
    if (!found)
        return -1;
    if (data->format && found != data->format)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s looks like %s, but the files before are %s; name the "
                        "format, or the files that belong together",
                        file->path, found->name, data->format->name);
    data->format = found;
    return 0;
}

static int open_part (struct mu_data *data, const struct mu_opening *opening, const char *path,
                      struct mu_error *error)
{
    struct mu_part *part = &data->parts[data->part_count];
    if (mu_file_open (&part->source, path, error) < 0)
        return -1;
    data->part_count++;
    data->info.bytes += part->source.size;
    if (part->source.size == 0)
        return mu_fail (error, MU_BAD_INPUT, "%s is empty; name the file that has the data", path);
    if (settle_format (data, opening, &part->source, error) < 0 ||
        data->format->open (opening, part, error) < 0)
        return -1;
    part->first_unit = data->info.units;
    data->info.units += part->layout.units;
    return agree (data, part, error);
}

static int open_labels (struct mu_data *data, const struct mu_opening *opening,
                        struct mu_error *error)
{
    struct mu_path_list list = { 0 };
    const struct mu_data_spec *spec = opening->spec;
    const bool wanted =
        data->parts[0].layout.kind == MU_DATA_FEATURES && !data->parts[0].layout.labelled;
    if (spec->label_count && !wanted)
        return mu_fail (error, MU_CONFIG,
                        "files of labels are named, but %s data has none beside "
                        "itself",
                        data->format->name);
    if (!wanted)
        return 0;
    if (spec->label_count &&
        mu_paths_expand (&list, spec->labels, spec->label_count, NULL, true, error) < 0)
        return -1;
    int status = 0;
    if (list.count && list.count != data->part_count)
        status =
            mu_fail (error, MU_CONFIG, "%" PRIu32 " files of labels for %" PRIu32 " files of rows",
                     list.count, data->part_count);
    for (uint32_t i = 0; i < data->part_count && status == 0; i++) {
        struct mu_part *part = &data->parts[i];
        char *found = list.count ? strdup (list.paths[i]) : mu_paths_labels_of (part->source.path);
        if (!found)
            status = mu_fail (error, MU_CONFIG, "%s needs its labels; name the file that has them",
                              part->source.path);
        else
            status = mu_labels_open (opening, found, part, error);
        free (found);
        data->info.bytes += part->labels.size;
    }
    mu_paths_close (&list);
    return status;
}

static int open_parts (struct mu_data *data, const struct mu_opening *opening,
                       struct mu_error *error)
{
    struct mu_path_list list;
    const struct mu_data_spec *spec = opening->spec;
    const bool named = spec->format && strcmp (spec->format, "auto") != 0;
    if (named && !(data->format = mu_format_find (spec->format, error)))
        return -1;
    if (mu_paths_expand (&list, spec->paths, spec->path_count, data->format, false, error) < 0)
        return -1;
    data->parts = calloc (list.count, sizeof *data->parts);
    int status = data->parts ? 0 : mu_fail (error, MU_SYSTEM, "no memory for a list of files");
    for (uint32_t i = 0; i < list.count && status == 0; i++)
        status = open_part (data, opening, list.paths[i], error);
    mu_paths_close (&list);
    data->info.files = data->part_count;
    return status == 0 ? open_labels (data, opening, error) : -1;
}

/* --- what is known of the values -------------------------------------------------------------- */

static struct mu_file *hashed_file (struct mu_part *part)
{
    return part->prepared.path ? &part->prepared : &part->source;
}

static int find_vocabulary (struct mu_data *data, const struct mu_opening *opening,
                            struct mu_error *error)
{
    /* `bytes` is what a job has that names none. */
    const bool named = opening->spec->tokenizer && strcmp (opening->spec->tokenizer, "bytes") != 0;
    uint32_t vocabulary = 0;
    if (data->format->tokenized)
        vocabulary = mu_tokenizer_vocabulary (opening->tokenizer);
    else if (opening->spec->vocabulary)
        vocabulary = opening->spec->vocabulary;
    else if (named)
        vocabulary = mu_tokenizer_vocabulary (opening->tokenizer);
    for (uint32_t i = 0; i < data->part_count; i++) {
        struct mu_part *part = &data->parts[i];
        int64_t largest = (int64_t)part->layout.vocabulary - 1;
        if (largest < 0 && !vocabulary) {
            const struct mu_values values = values_of (data, part);
            if (mu_values_largest (&values, opening->cache, hashed_file (part),
                                   MU_DATA_VOCABULARY_MAX - 1, "token", &largest, error) < 0)
                return -1;
        }
        if (vocabulary && largest >= vocabulary && part->layout.vocabulary)
            return mu_fail (error, MU_CONFIG,
                            "%s was made with a vocabulary of %" PRIu32 " tokens, but "
                            "the job says %" PRIu32,
                            part->source.path, part->layout.vocabulary, vocabulary);
        if (largest >= (int64_t)data->info.vocabulary)
            data->info.vocabulary = (uint32_t)largest + 1;
    }
    if (vocabulary)
        data->info.vocabulary = vocabulary;
    return 0;
}

static int find_classes (struct mu_data *data, const struct mu_opening *opening,
                         struct mu_error *error)
{
    const uint32_t wanted = opening->spec->classes;
    for (uint32_t i = 0; i < data->part_count; i++) {
        struct mu_part *part = &data->parts[i];
        int64_t largest = (int64_t)part->layout.classes - 1;
        if (!part->layout.labelled) {
            const struct mu_values values = labels_of (part);
            struct mu_file *file =
                part->labels_prepared.path ? &part->labels_prepared : &part->labels;
            if (mu_values_largest (&values, opening->cache, file, MU_DATA_CLASSES_MAX - 1, "label",
                                   &largest, error) < 0)
                return -1;
        }
        if (wanted && largest >= wanted)
            return mu_fail (error, MU_BAD_INPUT,
                            "%s has the label %" PRId64 ", but the job says %" PRIu32
                            " classes (labels 0 to %" PRIu32 ")",
                            part->labels.path ? part->labels.path : part->source.path, largest,
                            wanted, wanted - 1);
        if (largest >= (int64_t)data->info.classes)
            data->info.classes = (uint32_t)largest + 1;
    }
    if (wanted)
        data->info.classes = wanted;
    data->info.features = data->parts[0].layout.width;
    data->scale =
        (float)(opening->spec->scale != 0 ? opening->spec->scale : data->parts[0].layout.scale);
    return 0;
}

static int find_records (struct mu_data *data, const struct mu_data_spec *spec,
                         struct mu_error *error)
{
    const bool tokens = data->info.kind == MU_DATA_TOKENS;
    if (tokens && spec->context == 0)
        return mu_fail (error, MU_CONFIG,
                        "the data is tokens; name the context, the tokens in a "
                        "record");
    data->info.tokens = tokens ? spec->context + 1 : 0;
    const uint64_t units = data->info.units;
    const uint64_t all = !tokens ? units : units ? (units - 1) / spec->context : 0;
    const double to = spec->to == 0 ? 1 : spec->to;
    const uint64_t begin = (uint64_t)(spec->from * (double)all);
    const uint64_t end = to >= 1 ? all : (uint64_t)(to * (double)all);
    if (all == 0 && tokens)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s%s has %" PRIu64 " tokens, but one record needs %" PRIu32
                        " (the context and one more); use more data, or a smaller context",
                        data->parts[0].source.path,
                        data->part_count > 1 ? " and the files behind it" : "", units,
                        data->info.tokens);
    if (end <= begin)
        return mu_fail (error, MU_BAD_INPUT,
                        "the part from %g to %g of %" PRIu64 " records has none; "
                        "use more data, or a larger part",
                        spec->from, to, all);
    data->first_record = begin;
    data->info.records = end - begin;
    return 0;
}

/* --- identity --------------------------------------------------------------------------------- */

static void add_text (crypto_generichash_state *state, const char *text)
{
    crypto_generichash_update (state, (const uint8_t *)text, strlen (text) + 1);
}

static int add_file (crypto_generichash_state *state, const struct mu_opening *opening,
                     struct mu_file *file, struct mu_error *error)
{
    char size[32];
    if (!file->path)
        return 0;
    if (mu_file_hash (file, opening->cache, error) < 0)
        return -1;
    snprintf (size, sizeof size, "%" PRIu64, file->size);
    add_text (state, size);
    add_text (state, file->hash);
    return 0;
}

/* Sources and what was made of them: a worker whose cache is damaged differs, too. */
static int find_identity (struct mu_data *data, const struct mu_opening *opening,
                          struct mu_error *error)
{
    crypto_generichash_state state;
    uint8_t hash[MU_HASH_BYTES];
    char line[128], hex[MU_HASH_TEXT];
    crypto_generichash_init (&state, NULL, 0, sizeof hash);
    add_text (&state, "muster-data 1");
    add_text (&state, data->info.format);
    snprintf (line, sizeof line, "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %a",
              data->info.tokens, data->info.vocabulary, data->info.features, data->info.classes,
              (double)data->scale);
    add_text (&state, line);
    for (uint32_t i = 0; i < data->part_count; i++) {
        struct mu_part *part = &data->parts[i];
        if (add_file (&state, opening, &part->source, error) < 0 ||
            add_file (&state, opening, &part->prepared, error) < 0 ||
            add_file (&state, opening, &part->labels, error) < 0 ||
            add_file (&state, opening, &part->labels_prepared, error) < 0)
            return -1;
    }
    add_text (&state, data->format->tokenized ? mu_tokenizer_identity (opening->tokenizer) : "");
    crypto_generichash_final (&state, hash, sizeof hash);
    sodium_bin2hex (hex, sizeof hex, hash, sizeof hash);
    snprintf (data->info.identity, sizeof data->info.identity, "%" PRIu64 "-%s", data->info.bytes,
              hex);
    return 0;
}

static int open_all (struct mu_data *data, const struct mu_opening *opening, struct mu_error *error)
{
    data->chunks = mu_chunk_cache_new ();
    if (!data->chunks)
        return mu_fail (error, MU_SYSTEM, "no memory to open data");
    if (open_parts (data, opening, error) < 0)
        return -1;
    data->info.kind = data->parts[0].layout.kind;
    data->info.format = data->format->name;
    const int status = data->info.kind == MU_DATA_TOKENS ? find_vocabulary (data, opening, error)
                                                         : find_classes (data, opening, error);
    if (status < 0 || find_records (data, opening->spec, error) < 0)
        return -1;
    return find_identity (data, opening, error);
}

int mu_data_open (struct mu_data **data, const struct mu_data_spec *spec, struct mu_error *error)
{
    struct mu_opening opening = { .spec = spec };
    struct mu_cache cache = { .progress = spec->progress, .progress_user = spec->progress_user };
    struct mu_tokenizer *tokenizer = NULL;
    *data = NULL;
    if (check_spec (spec, error) < 0 || mu_cache_open (&cache, spec->cache, error) < 0)
        return -1;
    int status = mu_tokenizer_open (&tokenizer, spec->tokenizer, spec->gpt2_any_files, error);
    if (status == 0 && !(*data = calloc (1, sizeof **data)))
        status = mu_fail (error, MU_SYSTEM, "no memory to open data");
    opening.cache = &cache;
    opening.tokenizer = tokenizer;
    if (status == 0)
        status = open_all (*data, &opening, error);
    if (status < 0)
        mu_data_close (data);
    mu_tokenizer_close (&tokenizer);
    mu_cache_close (&cache);
    return status;
}

void mu_data_close (struct mu_data **data)
{
    struct mu_data *d = *data;
    if (!d)
        return;
    for (uint32_t i = 0; i < d->part_count; i++) {
        mu_file_close (&d->parts[i].source);
        mu_file_close (&d->parts[i].prepared);
        mu_file_close (&d->parts[i].labels);
        mu_file_close (&d->parts[i].labels_prepared);
        mu_dictzip_close (&d->parts[i].dictzip);
    }
    free (d->parts);
    mu_chunk_cache_close (&d->chunks);
    free (d);
    *data = NULL;
}

void mu_data_info (const struct mu_data *data, struct mu_data_info *info) { *info = data->info; }

/* --- reading ---------------------------------------------------------------------------------- */

const struct mu_part *mu_part_of (const struct mu_data *data, uint64_t unit)
{
    uint32_t low = 0, high = data->part_count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (data->parts[middle].first_unit <= unit)
            low = middle;
        else
            high = middle;
    }
    return &data->parts[low];
}

static int read_tokens (const struct mu_data *data, uint64_t unit, int32_t *out,
                        struct mu_error *error)
{
    for (uint64_t left = data->info.tokens; left;) {
        const struct mu_part *part = mu_part_of (data, unit);
        const struct mu_values values = values_of (data, part);
        const uint64_t at = unit - part->first_unit, there = part->layout.units - at;
        const uint64_t some = left < there ? left : there;
        if (mu_values_tokens (&values, at, some, data->info.vocabulary, out, error) < 0)
            return -1;
        out += some;
        unit += some;
        left -= some;
    }
    return 0;
}

static int read_row (const struct mu_data *data, uint64_t unit, float *features, int32_t *label,
                     struct mu_error *error)
{
    const struct mu_part *part = mu_part_of (data, unit);
    const struct mu_values values = values_of (data, part);
    const uint64_t at = unit - part->first_unit;
    if (mu_values_row (&values, at, data->scale, features, label, error) < 0)
        return -1;
    if (!part->layout.labelled) {
        const struct mu_values labels = labels_of (part);
        if (mu_values_tokens (&labels, at, 1, MU_DATA_CLASSES_MAX, label, error) < 0)
            return -1;
    }
    if (*label < 0 || (uint32_t)*label >= data->info.classes)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s: row %" PRIu64 " has the label %" PRId32 "; 0 to %" PRIu32
                        " are possible: the file changed while it was in use",
                        values.file->path, at, *label, data->info.classes - 1);
    return 0;
}

int mu_data_read (struct mu_data *data, const uint64_t *record, uint32_t count, int32_t *tokens,
                  float *features, int32_t *labels, struct mu_error *error)
{
    const struct mu_data_info *info = &data->info;
    for (uint32_t i = 0; i < count; i++) {
        if (record[i] >= info->records)
            return mu_fail (error, MU_INTERNAL,
                            "record %" PRIu64 " was asked for; the data has %" PRIu64, record[i],
                            info->records);
        const uint64_t number = data->first_record + record[i];
        int status;
        if (info->kind == MU_DATA_TOKENS)
            status = read_tokens (data, number * (info->tokens - 1),
                                  tokens + (size_t)i * info->tokens, error);
        else
            status =
                read_row (data, number, features + (size_t)i * info->features, &labels[i], error);
        if (status < 0)
            return -1;
    }
    return 0;
}
