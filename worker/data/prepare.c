/* SPDX-License-Identifier: Apache-2.0 */
/* prepare.c - the work of `muster data tokenize`: text to a shard, text to a tokenizer */
#include "data.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bpe.h"
#include "format.h"
#include "paths.h"

static bool is_same_file (const char *path, const struct stat *there)
{
    struct stat own;
    return stat (path, &own) == 0 && own.st_ino == there->st_ino && own.st_dev == there->st_dev;
}

/* The output takes the place of what has its name: of no device or folder, nor of a link to one, /dev/stdout say,
 * or to other storage; and not of the tokenizer. */
static int check_output (const struct mu_data_spec *spec, const char *output,
                         struct mu_error *error)
{
    struct stat there;
    if (lstat (output, &there) < 0)
        return 0;
    if (S_ISLNK (there.st_mode))
        return mu_fail (error, MU_CANT_CREATE,
                        "%s is a link, which would be replaced by a file; name the file itself",
                        output);
    if (!S_ISREG (there.st_mode))
        return mu_fail (error, MU_CANT_CREATE,
                        "%s is there already, and no file that could be replaced; name another",
                        output);
    if (spec->tokenizer && is_same_file (spec->tokenizer, &there))
        return mu_fail (error, MU_USAGE, "%s is the tokenizer; name another file to be written",
                        output);
    return 0;
}

/* Nor may it take that of a file that is read. */
static int check_input (const char *input, const char *output, struct mu_error *error)
{
    struct stat there;
    if (lstat (output, &there) < 0 || !is_same_file (input, &there))
        return 0;
    return mu_fail (error, MU_USAGE,
                    "%s would be replaced by what is made of it; name another file to be written",
                    input);
}

/* Walk all text of the files in `spec`, which must be of a format that holds text. */
static int walk_all (const struct mu_opening *opening, const char *output,
                     const struct mu_text_sink *sink, struct mu_error *error)
{
    struct mu_path_list list;
    const struct mu_data_spec *spec = opening->spec;
    const struct mu_format *format = NULL;
    const bool named = spec->format && strcmp (spec->format, "auto") != 0;
    if (spec->path_count == 0)
        return mu_fail (error, MU_CONFIG, "no text is named");
    if ((named && !(format = mu_format_find (spec->format, error))) ||
        mu_paths_expand (&list, spec->paths, spec->path_count, format, false, error) < 0)
        return -1;
    int status = 0;
    for (uint32_t i = 0; i < list.count && status == 0; i++) {
        struct mu_file file;
        if (check_input (list.paths[i], output, error) < 0 ||
            mu_file_open (&file, list.paths[i], error) < 0) {
            status = -1;
            break;
        }
        const struct mu_format *own = format ? format : mu_format_of (&file, error);
        if (!own)
            status = -1;
        else if (!own->tokenized)
            status = mu_fail (error, MU_BAD_INPUT, "%s is %s; only text and jsonl can be tokenised",
                              file.path, own->name);
        else
            status = mu_text_walk (opening, &file, strcmp (own->name, "jsonl") == 0, sink, error);
        mu_file_close (&file);
    }
    mu_paths_close (&list);
    return status;
}

static int encode_text (void *user, const void *text, size_t size, struct mu_error *error)
{
    return mu_encoder_text (user, text, size, error);
}

static int encode_end (void *user, struct mu_error *error) { return mu_encoder_end (user, error); }

static int fill_shard (const struct mu_opening *opening, const char *output,
                       struct mu_writer *writer, struct mu_shard_writer *shard,
                       struct mu_error *error)
{
    const uint32_t vocabulary = mu_tokenizer_vocabulary (opening->tokenizer);
    if (mu_shard_begin (shard, writer, vocabulary, error) < 0)
        return -1;
    struct mu_encoder *encoder = mu_encoder_open (opening->tokenizer, mu_shard_put, shard);
    if (!encoder)
        return mu_fail (error, MU_SYSTEM, "no memory to tokenise");
    const struct mu_text_sink sink = { encode_text, encode_end, encoder };
    int status = walk_all (opening, output, &sink, error);
    mu_encoder_close (&encoder);
    if (status == 0 && shard->tokens == 0)
        status = mu_fail (error, MU_BAD_INPUT, "there is no text to tokenise: the input is empty");
    return status == 0 ? mu_shard_end (shard, error) : -1;
}

int mu_data_tokenize (const struct mu_data_spec *spec, const char *output, uint64_t *tokens,
                      struct mu_error *error)
{
    struct mu_tokenizer *tokenizer;
    struct mu_writer *writer;
    struct mu_shard_writer shard;
    const struct mu_cache cache = { .progress = spec->progress,
                                    .progress_user = spec->progress_user };
    if (check_output (spec, output, error) < 0 ||
        mu_tokenizer_open (&tokenizer, spec->tokenizer, spec->gpt2_any_files, error) < 0)
        return -1;
    const struct mu_opening opening = { spec, &cache, tokenizer };
    int status = mu_writer_open (&writer, output, error);
    if (status == 0) {
        status = fill_shard (&opening, output, writer, &shard, error);
        if (status == 0)
            status = mu_writer_commit (&writer, error);
        mu_writer_close (&writer);
    }
    if (status == 0)
        *tokens = shard.tokens;
    mu_tokenizer_close (&tokenizer);
    return status;
}

/* --- training a tokenizer --------------------------------------------------------------------- */

struct training {
    struct mu_bpe_trainer *trainer;
    uint64_t left; /* bytes still to be learnt from */
};

static int learn_text (void *user, const void *text, size_t size, struct mu_error *error)
{
    struct training *training = user;
    if (size > training->left)
        size = (size_t)training->left;
    training->left -= size;
    return mu_bpe_trainer_text (training->trainer, text, size, error);
}

static int learn_end (void *user, struct mu_error *error)
{
    const struct training *training = user;
    return mu_bpe_trainer_end (training->trainer, error);
}

static int write_text (const char *output, const char *text, struct mu_error *error)
{
    struct mu_writer *writer;
    if (mu_writer_open (&writer, output, error) < 0)
        return -1;
    if (mu_writer_put (writer, text, strlen (text), error) == 0)
        return mu_writer_commit (&writer, error);
    mu_writer_close (&writer);
    return -1;
}

int mu_data_train_tokenizer (const struct mu_data_spec *spec, uint64_t limit_bytes,
                             const char *output, uint32_t *vocabulary, struct mu_error *error)
{
    struct mu_tokenizer *bytes;
    const struct mu_cache cache = { .progress = spec->progress,
                                    .progress_user = spec->progress_user };
    if (check_output (spec, output, error) < 0)
        return -1;
    struct training training = { mu_bpe_trainer_new (), limit_bytes ? limit_bytes : UINT64_MAX };
    const struct mu_text_sink sink = { learn_text, learn_end, &training };
    if (!training.trainer)
        return mu_fail (error, MU_SYSTEM, "no memory to train a tokenizer");
    int status = mu_tokenizer_open (&bytes, "bytes", false, error);
    if (status == 0) {
        const struct mu_opening opening = { spec, &cache, bytes };
        status = walk_all (&opening, output, &sink, error);
        mu_tokenizer_close (&bytes);
    }
    if (status == 0) {
        mu_cache_tell (&cache, "learning merges", 0, 0);
        char *text = mu_bpe_train (training.trainer, vocabulary, error);
        status = text ? write_text (output, text, error) : -1;
        free (text);
    }
    mu_bpe_trainer_close (&training.trainer);
    return status;
}
