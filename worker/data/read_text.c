/* SPDX-License-Identifier: Apache-2.0 */
/* read_text.c - text, plain, gzip or dictzip, and what tokenizers make of it
 *
 * Under byte tokens plain text and dictzip are read where they lie; gzip is unpacked into the
 * cache. Under any other tokenizer the text becomes a shard in the cache. A file of text is one
 * document, as is each object of JSONL. Documents end with the tokenizer's end-of-text token; where
 * it has none, objects of JSONL end with a newline, and files follow each other as they are. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 17 };

/* Passes text on, telling how far the source is. */
struct walk {
    const struct mu_opening *opening;
    struct mu_stream *stream;
    const struct mu_text_sink *sink;
    uint64_t size;
};

static int tell_text (void *user, const void *text, size_t size, struct mu_error *error)
{
    const struct walk *walk = user;
    mu_cache_tell (walk->opening->cache, "reading text", mu_stream_consumed (walk->stream),
                   walk->size);
    return walk->sink->text (walk->sink->user, text, size, error);
}

static int end_object (void *user, struct mu_error *error)
{
    const struct walk *walk = user;
    if (mu_tokenizer_end_of_text (walk->opening->tokenizer) < 0 &&
        walk->sink->text (walk->sink->user, "\n", 1, error) < 0)
        return -1;
    return walk->sink->end (walk->sink->user, error);
}

static int walk_plain (struct walk *walk, struct mu_error *error)
{
    size_t got;
    uint8_t *block = malloc (BLOCK);
    if (!block)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", mu_stream_name (walk->stream));
    int status;
    do {
        status = mu_stream_read (walk->stream, block, BLOCK, &got, error);
        if (status == 0 && got)
            status = tell_text (walk, block, got, error);
    } while (status == 0 && got);
    free (block);
    return status == 0 ? walk->sink->end (walk->sink->user, error) : -1;
}

int mu_text_walk (const struct mu_opening *opening, const struct mu_file *source, bool jsonl,
                  const struct mu_text_sink *sink, struct mu_error *error)
{
    struct walk walk = { .opening = opening, .sink = sink, .size = source->size };
    const struct mu_text_sink own = { tell_text, end_object, &walk };
    const char *field = opening->spec->text_field ? opening->spec->text_field : "text";
    if (mu_stream_open (&walk.stream, source, error) < 0)
        return -1;
    int status = jsonl ? mu_jsonl_walk (walk.stream, field, &own, NULL, NULL, error)
                       : walk_plain (&walk, error);
    mu_stream_close (&walk.stream);
    return status;
}

/* --- into the cache --------------------------------------------------------------------------- */

struct conversion {
    const struct mu_opening *opening;
    const struct mu_file *source;
    bool jsonl;
};

static int put_bytes (void *user, const void *text, size_t size, struct mu_error *error)
{
    return mu_writer_put (user, text, size, error);
}

static int put_no_text (void *user, const void *text, size_t size, struct mu_error *error)
{
    (void)user;
    (void)text;
    (void)size;
    (void)error;
    return 0;
}

static int put_nothing (void *user, struct mu_error *error)
{
    (void)user;
    (void)error;
    return 0;
}

static int make_bytes (void *user, struct mu_writer *writer, struct mu_error *error)
{
    const struct conversion *c = user;
    const struct mu_text_sink sink = { put_bytes, put_nothing, writer };
    return mu_text_walk (c->opening, c->source, c->jsonl, &sink, error);
}

static int encode_text (void *user, const void *text, size_t size, struct mu_error *error)
{
    return mu_encoder_text (user, text, size, error);
}

static int encode_end (void *user, struct mu_error *error) { return mu_encoder_end (user, error); }

static int make_shard (void *user, struct mu_writer *writer, struct mu_error *error)
{
    const struct conversion *c = user;
    struct mu_shard_writer shard;
    const struct mu_tokenizer *tokenizer = c->opening->tokenizer;
    if (mu_shard_begin (&shard, writer, mu_tokenizer_vocabulary (tokenizer), error) < 0)
        return -1;
    struct mu_encoder *encoder = mu_encoder_open (tokenizer, mu_shard_put, &shard);
    if (!encoder)
        return mu_fail (error, MU_SYSTEM, "no memory to tokenise %s", c->source->path);
    const struct mu_text_sink sink = { encode_text, encode_end, encoder };
    int status = mu_text_walk (c->opening, c->source, c->jsonl, &sink, error);
    mu_encoder_close (&encoder);
    return status == 0 ? mu_shard_end (&shard, error) : -1;
}

static int read_shard_head (struct mu_part *part, struct mu_error *error)
{
    uint8_t *head;
    size_t size;
    if (mu_file_head (&part->prepared, 1024, &head, &size, error) < 0)
        return -1;
    int status = mu_llmc_layout (head, size, part->prepared.size, &part->layout, error);
    if (status < 0)
        mu_error_prefix (error, "%s: ", part->prepared.path);
    free (head);
    return status;
}

static void set_bytes_layout (struct mu_layout *layout, uint64_t size)
{
    *layout = (struct mu_layout){ .kind = MU_DATA_TOKENS,
                                  .element = MU_U1,
                                  .stride = 1,
                                  .units = size,
                                  .width = 1,
                                  .vocabulary = 256 };
}

int mu_text_prepare (const struct mu_opening *opening, struct mu_part *part, bool jsonl,
                     struct mu_error *error)
{
    char key[MU_HASH_TEXT], name[64];
    const bool bytes = mu_tokenizer_is_bytes (opening->tokenizer);
    const char *field = opening->spec->text_field ? opening->spec->text_field : "text";
    if (mu_file_hash (&part->source, opening->cache, error) < 0)
        return -1;
    const char *const strings[] = { "tokens 1",
                                    part->source.hash,
                                    jsonl ? "jsonl" : "text",
                                    jsonl ? field : "",
                                    mu_tokenizer_identity (opening->tokenizer),
                                    NULL };
    mu_hash_strings (key, strings);
    snprintf (name, sizeof name, "%s-%s", bytes ? "text" : "shard", key);
    struct conversion user = { opening, &part->source, jsonl };
    if (mu_cache_get (opening->cache, name, bytes ? make_bytes : make_shard, &user, &part->prepared,
                      error) < 0)
        return -1;
    if (!bytes)
        return read_shard_head (part, error);
    set_bytes_layout (&part->layout, part->prepared.size);
    return 0;
}

/* Chunks of dictzip carry no check sums of their own: go through the whole file once, and let the
 * cache remember that it was sound. */
static int make_sound (void *user, struct mu_writer *writer, struct mu_error *error)
{
    const struct conversion *c = user;
    const struct mu_text_sink sink = { put_no_text, put_nothing, NULL };
    if (mu_text_walk (c->opening, c->source, false, &sink, error) < 0)
        return -1;
    return mu_writer_put (writer, "sound\n", 6, error);
}

static int check_dictzip (const struct mu_opening *opening, struct mu_file *source,
                          struct mu_error *error)
{
    char key[MU_HASH_TEXT], name[64];
    struct mu_file sound;
    struct conversion user = { opening, source, false };
    if (mu_file_hash (source, opening->cache, error) < 0)
        return -1;
    const char *const strings[] = { "sound 1", source->hash, NULL };
    mu_hash_strings (key, strings);
    snprintf (name, sizeof name, "sound-%s", key);
    if (mu_cache_get (opening->cache, name, make_sound, &user, &sound, error) < 0)
        return -1;
    mu_file_close (&sound);
    return 0;
}

int mu_text_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    const struct mu_file *file;
    if (!mu_tokenizer_is_bytes (opening->tokenizer))
        return mu_text_prepare (opening, part, false, error);
    const int dictzip = mu_dictzip_open (&part->dictzip, &part->source, error);
    if (dictzip < 0)
        return -1;
    if (dictzip) {
        set_bytes_layout (&part->layout, part->dictzip.size);
        return check_dictzip (opening, &part->source, error);
    }
    if (mu_unpacked (opening, &part->source, &part->prepared, &file, error) < 0)
        return -1;
    set_bytes_layout (&part->layout, file->size);
    return 0;
}
