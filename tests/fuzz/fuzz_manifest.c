/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_manifest.c - any bytes as the muster.json of a checkpoint: refused with a sentence, or whole
 *
 * No fuzzer guesses a seal, so each input is parsed twice: as it is, and as what lies behind a seal
 * that matches. The corpus, tests/fuzz/corpus/manifest/, therefore has files without their first
 * line. With clang: -fsanitize=fuzzer,address,undefined. */
#include "worker/checkpoint/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size);

static void must (bool truth)
{
    if (!truth)
        abort ();
}

static void must_be_text (const char *text, size_t limit) { must (text && strlen (text) <= limit); }

/* Each byte of a file in slices is in one piece that has a hash. */
static void must_be_covered (const struct mu_checkpoint_info *info,
                             const struct mu_storage_record *record)
{
    must ((record->piece != NULL) == (record->pieces > 0));
    if (record->pieces == 0)
        return;
    must (info->version >= MU_CHECKPOINT_VERSION_SLICED && record->slice == info->slice);
    must (record->slice > 0 && record->head <= record->bytes);
    must (record->pieces <= MU_STORAGE_SLICES_MAX + 1);
    const uint64_t rest = record->bytes - record->head, whole = rest / record->slice;
    must (record->pieces == 1 + whole + (whole * record->slice < rest));
    must ((record->piece[0][0] | record->piece[record->pieces - 1][31]) <=
          UINT8_MAX); /* readable */
}

/* What manifest.h and checkpoint.h promise of everything that is accepted. */
static void must_be_whole (const struct mu_checkpoint_info *info)
{
    must (info->version >= MU_CHECKPOINT_VERSION_FIRST && info->version <= MU_CHECKPOINT_VERSION);
    must_be_text (info->muster, MU_CHECKPOINT_NAME_MAX);
    must_be_text (info->job_id, MU_CHECKPOINT_NAME_MAX);
    must_be_text (info->job_name, MU_CHECKPOINT_NAME_MAX);
    must_be_text (info->trainer, MU_CHECKPOINT_NAME_MAX);
    must_be_text (info->compute_class, MU_CHECKPOINT_NAME_MAX);
    must_be_text (info->data, MU_CHECKPOINT_TEXT_MAX);
    must_be_text (info->job_spec, MU_CHECKPOINT_TEXT_MAX);
    must (info->seed <= INT64_MAX && info->epoch <= INT64_MAX && info->position <= INT64_MAX);
    must (info->beta1_power >= 0 && info->beta1_power <= 1);
    must (info->beta2_power >= 0 && info->beta2_power <= 1);
    must (info->scales >= 1 && info->scales <= MU_STATE_TENSORS_MAX);
    for (uint32_t i = 0; i < info->scales; i++)
        must (info->scale[i] >= -1000 && info->scale[i] <= 1000);
    must (info->files >= 1 && info->files <= MU_MANIFEST_FILES_MAX);
    uint64_t left = info->bytes;
    for (uint32_t i = 0; i < info->files; i++) {
        const struct mu_storage_record *record = &info->file[i];
        must (memchr (record->name, '\0', sizeof record->name) && record->name[0]);
        must (record->name[0] != '.' && !strchr (record->name, '/'));
        must (record->bytes <= left);
        left -= record->bytes;
        must_be_covered (info, record);
    }
    must (left == 0);
}

static void must_be_empty (const struct mu_checkpoint_info *info)
{
    must (!info->job_id && !info->job_name && !info->trainer && !info->compute_class);
    must (!info->data && !info->job_spec && !info->muster && !info->scale && !info->file);
    must (info->scales == 0 && info->files == 0 && info->bytes == 0);
}

/* In memory of exactly this size, so that a byte read behind it is noticed. */
static bool parse (const char *text, size_t size)
{
    struct mu_checkpoint_info info;
    struct mu_error error = { .code = MU_OK };
    char *copy = malloc (size ? size : 1);
    must (copy != NULL);
    memcpy (copy, text, size);
    const int status = mu_manifest_parse (copy, size, &info, &error);
    free (copy);
    if (status == 0)
        must_be_whole (&info);
    else
        must (error.code != MU_OK && strlen (error.text) > 10);
    if (status == 0)
        mu_checkpoint_info_clear (&info);
    must_be_empty (&info); /* also after a refusal */
    return status == 0;
}

static void parse_sealed (const char *rest, size_t size)
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    char hex[MU_STATE_HASH_TEXT], line[MU_STATE_HASH_TEXT + 16];
    crypto_generichash (hash, sizeof hash, (const unsigned char *)rest, size, NULL, 0);
    sodium_bin2hex (hex, sizeof hex, hash, sizeof hash);
    const size_t length = (size_t)snprintf (line, sizeof line, "{\"seal\": \"%s\",\n", hex);
    char *text = malloc (length + size);
    must (text != NULL);
    memcpy (text, line, length);
    memcpy (text + length, rest, size);
    if (parse (text, length + size)) {
        const size_t at = (size_t)hash[0] << 8 | hash[1];
        text[at % (length + size)] ^= (char)(1 << hash[2] % 8);
        must (!parse (text, length + size)); /* one flipped bit shows */
        text[at % (length + size)] ^= (char)(1 << hash[2] % 8);
        must (!parse (text, length + size - 1));
    }
    free (text);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    const char *text = size ? (const char *)bytes : "";
    parse (text, size);
    parse_sealed (text, size);
    return 0;
}
