/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - writes and reads muster.json
 *
 * Both directions walk the same two tables of texts and numbers, so that what is written is what is
 * read. The products of the optimizer are stored as the bits of a double, in hex: a checkpoint must
 * give back the very same bits. */
#include "worker/checkpoint/manifest.h"

#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEAL_BEGIN "{\"seal\": \""
#define SEAL_END   "\",\n"
#define SEAL_BYTES (sizeof SEAL_BEGIN - 1 + MU_STATE_HASH_TEXT - 1 + sizeof SEAL_END - 1)

static const struct {
    const char *key;
    size_t in_job, in_info; /* where the char * is */
    size_t limit;
} texts[] = {
#define TEXT(key, job, info, limit)                                                                \
    {                                                                                              \
        key, offsetof (struct mu_checkpoint_job, job), offsetof (struct mu_checkpoint_info, info), \
            limit                                                                                  \
    }
    TEXT ("job_id", id, job_id, MU_CHECKPOINT_NAME_MAX),
    TEXT ("job_name", name, job_name, MU_CHECKPOINT_NAME_MAX),
    TEXT ("trainer", trainer, trainer, MU_CHECKPOINT_NAME_MAX),
    TEXT ("compute_class", compute_class, compute_class, MU_CHECKPOINT_NAME_MAX),
    TEXT ("data", data, data, MU_CHECKPOINT_TEXT_MAX),
    TEXT ("job_spec", spec, job_spec, MU_CHECKPOINT_TEXT_MAX),
#undef TEXT
};
#define TEXTS (sizeof texts / sizeof *texts)

static const struct {
    const char *key;
    size_t in_job, in_info; /* where the uint64_t is */
} numbers[] = {
#define NUMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct mu_checkpoint_job, name), offsetof(struct mu_checkpoint_info, name) \
    }
    NUMBER (seed),
    NUMBER (epoch),
    NUMBER (position),
#undef NUMBER
};
#define NUMBERS (sizeof numbers / sizeof *numbers)

static const char *job_text (const struct mu_checkpoint_job *job, size_t i)
{
    return *(const char *const *)(const void *)((const char *)job + texts[i].in_job);
}

static uint64_t job_number (const struct mu_checkpoint_job *job, size_t i)
{
    return *(const uint64_t *)(const void *)((const char *)job + numbers[i].in_job);
}

static char **info_text (struct mu_checkpoint_info *info, size_t i)
{
    return (char **)(void *)((char *)info + texts[i].in_info);
}

static uint64_t *info_number (struct mu_checkpoint_info *info, size_t i)
{
    return (uint64_t *)(void *)((char *)info + numbers[i].in_info);
}

int mu_manifest_check_job (const struct mu_checkpoint_job *job, struct mu_error *error)
{
    for (size_t i = 0; i < TEXTS; i++) {
        const char *text = job_text (job, i);
        if (!text || strlen (text) > texts[i].limit)
            return mu_fail (error, MU_INTERNAL, "a checkpoint's %s must have at most %zu bytes",
                            texts[i].key, texts[i].limit);
        json_t *value = json_string (text);
        if (!value)
            return mu_fail (error, MU_BAD_INPUT, "a checkpoint's %s must be UTF-8", texts[i].key);
        json_decref (value);
    }
    if (job->config && strlen (job->config) > MU_CHECKPOINT_TEXT_MAX)
        return mu_fail (error, MU_BAD_INPUT, "the trainer's config.json exceeds %u bytes",
                        MU_CHECKPOINT_TEXT_MAX);
    for (size_t i = 0; i < NUMBERS; i++)
        if (job_number (job, i) > INT64_MAX)
            return mu_fail (error, MU_BAD_INPUT, "a checkpoint's %s must be below 2^63",
                            numbers[i].key);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static json_t *json_of_hash (const uint8_t hash[MU_STATE_HASH_SIZE])
{
    char text[MU_STATE_HASH_TEXT];
    mu_state_hash_text (hash, text);
    return json_string (text);
}

static json_t *json_of_double (double value)
{
    uint64_t bits;
    memcpy (&bits, &value, sizeof bits);
    return json_sprintf ("%016" PRIx64, bits);
}

static json_t *json_of_pieces (const struct mu_storage_record *file)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < file->pieces; i++)
        json_array_append_new (array, json_of_hash (file->piece[i]));
    return array;
}

static json_t *json_of_file (const struct mu_storage_record *file)
{
    json_t *object = json_object ();
    json_object_set_new (object, "bytes", json_integer ((json_int_t)file->bytes));
    if (file->pieces)
        json_object_set_new (object, "head", json_integer ((json_int_t)file->head));
    json_object_set_new (object, "blake2b_256",
                         file->pieces ? json_of_pieces (file) : json_of_hash (file->hash));
    return object;
}

static json_t *json_of_files (const struct mu_storage_record *files, uint32_t count)
{
    json_t *object = json_object ();
    for (uint32_t i = 0; i < count; i++)
        json_object_set_new (object, files[i].name, json_of_file (&files[i]));
    return object;
}

static json_t *json_of_scales (const struct mu_state *state)
{
    const struct mu_state_tensor *table = mu_state_table_const (state);
    json_t *array = json_array ();
    for (uint32_t i = 0; i < state->tensors; i++)
        json_array_append_new (array, json_integer (table[i].scale));
    return array;
}

static json_t *json_of_number (uint64_t number) { return json_integer ((json_int_t)number); }

static json_t *describe (const struct mu_state *state, const struct mu_checkpoint_job *job,
                         const struct mu_manifest_content *content)
{
    json_t *root = json_object ();
    json_object_set_new (root, "format", json_of_number (MU_CHECKPOINT_VERSION));
    json_object_set_new (root, "muster", json_string (PACKAGE_VERSION));
    json_object_set_new (root, "step", json_of_number (state->step));
    json_object_set_new (root, "skipped", json_of_number (state->skipped));
    for (size_t i = 0; i < NUMBERS; i++)
        json_object_set_new (root, numbers[i].key, json_of_number (job_number (job, i)));
    for (size_t i = 0; i < TEXTS; i++)
        json_object_set_new (root, texts[i].key, json_string (job_text (job, i)));
    if (job->generation)
        json_object_set_new (root, "generation", json_of_number (job->generation));
    json_object_set_new (root, "parameters", json_of_number (state->parameters));
    json_object_set_new (root, "weights_hash", json_of_hash (content->weights_hash));
    json_object_set_new (root, "state_digest", json_of_hash (content->digest));
    json_object_set_new (root, "beta1_power", json_of_double (state->beta1_power));
    json_object_set_new (root, "beta2_power", json_of_double (state->beta2_power));
    json_object_set_new (root, "scales", json_of_scales (state));
    json_object_set_new (root, "slice", json_of_number (content->slice));
    json_object_set_new (root, "files", json_of_files (content->files, content->count));
    return root;
}

static void seal (const char *rest, size_t size, char text[MU_STATE_HASH_TEXT])
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    crypto_generichash (hash, sizeof hash, (const unsigned char *)rest, size, NULL, 0);
    mu_state_hash_text (hash, text);
}

int mu_manifest_write (int dir, const struct mu_state *state, const struct mu_checkpoint_job *job,
                       const struct mu_manifest_content *content, uint64_t *bytes,
                       struct mu_error *error)
{
    json_t *root = describe (state, job, content);
    char *text = json_dumps (root, JSON_INDENT (1));
    json_decref (root);
    if (!text)
        return mu_fail (error, MU_SYSTEM, "no memory for " MU_MANIFEST_NAME);
    const char *rest = text + 2; /* behind the brace and its newline */
    char hash[MU_STATE_HASH_TEXT], line[SEAL_BYTES + 1];
    seal (rest, strlen (rest), hash);
    snprintf (line, sizeof line, SEAL_BEGIN "%s" SEAL_END, hash);
    struct mu_storage_writer out;
    int status = mu_storage_create (&out, dir, MU_MANIFEST_NAME, error);
    if (status == 0) {
        status = mu_storage_write (&out, line, SEAL_BYTES, error);
        if (status == 0)
            status = mu_storage_write (&out, rest, strlen (rest), error);
        if (status == 0)
            status = mu_storage_finish (&out, error);
        *bytes = out.record.bytes;
        mu_storage_abandon (&out);
    }
    free (text);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int fail_field (const char *key, struct mu_error *error)
{
    return mu_fail (error, MU_BAD_INPUT, MU_MANIFEST_NAME ": %s is missing or wrong", key);
}

static int get_number (const json_t *object, const char *key, uint64_t *number,
                       struct mu_error *error)
{
    const json_t *value = json_object_get (object, key);
    if (!json_is_integer (value) || json_integer_value (value) < 0)
        return fail_field (key, error);
    *number = (uint64_t)json_integer_value (value);
    return 0;
}

static int get_text (const json_t *object, const char *key, size_t limit, char **text,
                     struct mu_error *error)
{
    const char *value = json_string_value (json_object_get (object, key));
    if (!value || strlen (value) > limit)
        return fail_field (key, error);
    *text = strdup (value);
    return *text ? 0 : mu_fail (error, MU_SYSTEM, "no memory to read " MU_MANIFEST_NAME);
}

static int hex_of (const json_t *value, uint8_t *bytes, size_t size)
{
    const char *text = json_string_value (value);
    size_t length;
    if (!text || strlen (text) != 2 * size ||
        sodium_hex2bin (bytes, size, text, 2 * size, NULL, &length, NULL) != 0 || length != size)
        return -1;
    return 0;
}

static int get_hex (const json_t *object, const char *key, uint8_t *bytes, size_t size,
                    struct mu_error *error)
{
    return hex_of (json_object_get (object, key), bytes, size) < 0 ? fail_field (key, error) : 0;
}

static int get_power (const json_t *object, const char *key, double *value, struct mu_error *error)
{
    uint8_t bytes[sizeof (uint64_t)]; /* most significant first, as hex is written */
    if (get_hex (object, key, bytes, sizeof bytes, error) < 0)
        return -1;
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        bits = bits << 8 | bytes[i];
    memcpy (value, &bits, sizeof *value);
    return *value >= 0 && *value <= 1 ? 0 : fail_field (key, error);
}

static int get_scales (const json_t *root, struct mu_checkpoint_info *info, struct mu_error *error)
{
    const json_t *array = json_object_get (root, "scales");
    size_t count = json_array_size (array);
    if (count < 1 || count > MU_STATE_TENSORS_MAX)
        return fail_field ("scales", error);
    info->scale = calloc (count, sizeof *info->scale);
    if (!info->scale)
        return mu_fail (error, MU_SYSTEM, "no memory to read " MU_MANIFEST_NAME);
    info->scales = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get (array, i);
        json_int_t scale = json_integer_value (value);
        if (!json_is_integer (value) || scale < -1000 || scale > 1000)
            return fail_field ("scales", error);
        info->scale[i] = (int32_t)scale;
    }
    return 0;
}

static bool good_file_name (const char *name)
{
    size_t length = strlen (name);
    return length > 0 && length < MU_STORAGE_NAME_MAX && name[0] != '.' && !strchr (name, '/');
}

/* The hashes of a file's head and slices; they must be as many as its bytes ask for. */
static int get_pieces (const json_t *entry, const struct mu_checkpoint_info *info,
                       struct mu_storage_record *record, struct mu_error *error)
{
    const json_t *array = json_object_get (entry, "blake2b_256");
    const size_t count = json_array_size (array);
    if (info->slice == 0 || get_number (entry, "head", &record->head, error) < 0 ||
        record->head > record->bytes || count > MU_STORAGE_SLICES_MAX + 1 ||
        count != 1 + mu_storage_slices (record->bytes - record->head, info->slice))
        return fail_field ("a file's list of hashes", error);
    record->slice = info->slice;
    record->piece = calloc (count, sizeof *record->piece);
    if (!record->piece)
        return mu_fail (error, MU_SYSTEM, "no memory to read " MU_MANIFEST_NAME);
    record->pieces = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        if (hex_of (json_array_get (array, i), record->piece[i], MU_STORAGE_HASH_SIZE) < 0)
            return fail_field ("a file's list of hashes", error);
    return 0;
}

static int get_hashes (const json_t *entry, const struct mu_checkpoint_info *info,
                       struct mu_storage_record *record, struct mu_error *error)
{
    if (json_is_array (json_object_get (entry, "blake2b_256")))
        return get_pieces (entry, info, record, error);
    return get_hex (entry, "blake2b_256", record->hash, sizeof record->hash, error);
}

static int get_files (const json_t *root, struct mu_checkpoint_info *info, struct mu_error *error)
{
    json_t *object = json_object_get (root, "files");
    size_t count = json_object_size (object);
    if (count < 1 || count > MU_MANIFEST_FILES_MAX)
        return fail_field ("files", error);
    info->file = calloc (count, sizeof *info->file);
    if (!info->file)
        return mu_fail (error, MU_SYSTEM, "no memory to read " MU_MANIFEST_NAME);
    const char *name;
    json_t *entry;
    json_object_foreach (object, name, entry)
    {
        struct mu_storage_record *record = &info->file[info->files++];
        if (!good_file_name (name))
            return fail_field ("files", error);
        strcpy (record->name, name);
        if (get_number (entry, "bytes", &record->bytes, error) < 0 ||
            get_hashes (entry, info, record, error) < 0)
            return -1;
        if (record->bytes > INT64_MAX - info->bytes) /* no storage holds the sum */
            return fail_field ("files", error);
        info->bytes += record->bytes;
    }
    return 0;
}

static int get_all (const json_t *root, struct mu_checkpoint_info *info, struct mu_error *error)
{
    uint64_t version = 0;
    if (get_number (root, "format", &version, error) < 0)
        return -1;
    if (version < MU_CHECKPOINT_VERSION_FIRST || version > MU_CHECKPOINT_VERSION)
        return mu_fail (error, MU_PROTOCOL,
                        "the checkpoint has format %llu; this Muster knows formats %u to %u",
                        (unsigned long long)version, MU_CHECKPOINT_VERSION_FIRST,
                        MU_CHECKPOINT_VERSION);
    if (version >= MU_CHECKPOINT_VERSION_SLICED &&
        (get_number (root, "slice", &info->slice, error) < 0 || info->slice == 0))
        return fail_field ("slice", error);
    info->version = (uint32_t)version;
    for (size_t i = 0; i < TEXTS; i++)
        if (get_text (root, texts[i].key, texts[i].limit, info_text (info, i), error) < 0)
            return -1;
    for (size_t i = 0; i < NUMBERS; i++)
        if (get_number (root, numbers[i].key, info_number (info, i), error) < 0)
            return -1;
    if (json_object_get (root, "generation") &&
        get_number (root, "generation", &info->generation, error) < 0)
        return -1;
    if (get_text (root, "muster", MU_CHECKPOINT_NAME_MAX, &info->muster, error) < 0 ||
        get_number (root, "step", &info->step, error) < 0 ||
        get_number (root, "skipped", &info->skipped, error) < 0 ||
        get_number (root, "parameters", &info->parameters, error) < 0 ||
        get_power (root, "beta1_power", &info->beta1_power, error) < 0 ||
        get_power (root, "beta2_power", &info->beta2_power, error) < 0 ||
        get_hex (root, "weights_hash", info->weights_hash, MU_STATE_HASH_SIZE, error) < 0 ||
        get_hex (root, "state_digest", info->digest, MU_STATE_HASH_SIZE, error) < 0 ||
        get_scales (root, info, error) < 0)
        return -1;
    return get_files (root, info, error);
}

static int check_seal (const char *text, size_t size, struct mu_error *error)
{
    char hash[MU_STATE_HASH_TEXT], line[SEAL_BYTES + 1];
    if (size >= SEAL_BYTES) {
        seal (text + SEAL_BYTES, size - SEAL_BYTES, hash);
        snprintf (line, sizeof line, SEAL_BEGIN "%s" SEAL_END, hash);
        if (memcmp (text, line, SEAL_BYTES) == 0)
            return 0;
    }
    return mu_fail (error, MU_BAD_INPUT, MU_MANIFEST_NAME " is damaged: its seal does not match");
}

static int check_sizes (int dir, const struct mu_checkpoint_info *info, struct mu_error *error)
{
    for (uint32_t i = 0; i < info->files; i++) {
        struct stat status;
        const struct mu_storage_record *record = &info->file[i];
        if (fstatat (dir, record->name, &status, 0) < 0 || !S_ISREG (status.st_mode))
            return mu_fail (error, MU_BAD_INPUT, "%s is missing", record->name);
        if ((uint64_t)status.st_size != record->bytes)
            return mu_fail (error, MU_BAD_INPUT, "%s has %lld bytes where %llu were written",
                            record->name, (long long)status.st_size,
                            (unsigned long long)record->bytes);
    }
    return 0;
}

int mu_manifest_parse (const char *text, size_t size, struct mu_checkpoint_info *info,
                       struct mu_error *error)
{
    json_t *root = NULL;
    *info = (struct mu_checkpoint_info){ 0 };
    int status = check_seal (text, size, error);
    if (status == 0) {
        root = json_loadb (text, size, JSON_REJECT_DUPLICATES, NULL);
        status = json_is_object (root)
                     ? get_all (root, info, error)
                     : mu_fail (error, MU_BAD_INPUT, MU_MANIFEST_NAME " holds no JSON object");
    }
    json_decref (root);
    if (status < 0)
        mu_checkpoint_info_clear (info);
    return status;
}

int mu_manifest_read (int dir, struct mu_checkpoint_info *info, struct mu_error *error)
{
    char *text;
    size_t size;
    *info = (struct mu_checkpoint_info){ 0 };
    if (mu_storage_read (dir, MU_MANIFEST_NAME, MU_MANIFEST_SIZE_MAX, &text, &size, error) < 0)
        return -1;
    int status = mu_manifest_parse (text, size, info, error);
    free (text);
    if (status == 0 && (status = check_sizes (dir, info, error)) < 0)
        mu_checkpoint_info_clear (info);
    return status;
}

void mu_checkpoint_info_clear (struct mu_checkpoint_info *info)
{
    for (size_t i = 0; i < TEXTS; i++)
        free (*info_text (info, i));
    free (info->muster);
    free (info->scale);
    for (uint32_t i = 0; i < info->files; i++)
        free (info->file[i].piece);
    free (info->file);
    *info = (struct mu_checkpoint_info){ 0 };
}
