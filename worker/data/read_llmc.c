/* SPDX-License-Identifier: Apache-2.0 */
/* read_llmc.c - token shards of llm.c (Andrej Karpathy; dev/data/data_common.py)
 *
 * 256 int32: magic, version, number of tokens, zeros; then the tokens. Magic 20240520 version 1
 * holds uint16, 20240801 version 7 uint32. Ours say more in what llm.c leaves zero: [3] is the
 * vocabulary and [4] the word "MUST", so that a shard knows its tokenizer's size. */
#include "format.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = 1024,
    MAGIC_U2 = 20240520,
    MAGIC_U4 = 20240801,
    VERSION_U2 = 1,
    VERSION_U4 = 7
};
enum { OURS = 0x5453554d }; /* "MUST" */

static uint32_t word (const uint8_t *head, size_t index)
{
    uint32_t value;
    memcpy (&value, head + 4 * index, sizeof value);
    return le32toh (value);
}

bool mu_llmc_recognise (const uint8_t *head, size_t size)
{
    return size >= 8 && (word (head, 0) == MAGIC_U2 || word (head, 0) == MAGIC_U4);
}

int mu_llmc_layout (const uint8_t *head, size_t size, uint64_t file_size, struct mu_layout *layout,
                    struct mu_error *error)
{
    if (size < HEAD_BYTES)
        return mu_fail (error, MU_BAD_INPUT,
                        "it has %ju bytes; an llm.c shard's header alone has "
                        "1024",
                        (uintmax_t)file_size);
    const bool wide = word (head, 0) == MAGIC_U4;
    if (!mu_llmc_recognise (head, size))
        return mu_fail (error, MU_BAD_INPUT,
                        "it begins with %u, but an llm.c shard begins with %d "
                        "(uint16) or %d (uint32)",
                        word (head, 0), MAGIC_U2, MAGIC_U4);
    if (word (head, 1) != (wide ? VERSION_U4 : VERSION_U2))
        return mu_fail (error, MU_BAD_INPUT,
                        "it is an llm.c shard of version %u; version %d is "
                        "known for magic %u",
                        word (head, 1), wide ? VERSION_U4 : VERSION_U2, word (head, 0));
    *layout = (struct mu_layout){ .kind = MU_DATA_TOKENS,
                                  .element = wide ? MU_U4 : MU_U2,
                                  .offset = HEAD_BYTES,
                                  .stride = wide ? 4 : 2,
                                  .units = word (head, 2),
                                  .width = 1 };
    if (word (head, 4) == OURS) {
        layout->vocabulary = word (head, 3);
        /* llm.c counts in 31 bits; ours go on in [5]. */
        layout->units |= (uint64_t)word (head, 5) << 32;
        if (layout->vocabulary == 0)
            return mu_fail (error, MU_BAD_INPUT, "its header names a vocabulary of 0 tokens");
    }
    return mu_layout_check (layout, file_size, error);
}

int mu_llmc_open (const struct mu_opening *opening, struct mu_part *part, struct mu_error *error)
{
    const struct mu_file *file;
    uint8_t *head;
    size_t size;
    if (mu_unpacked (opening, &part->source, &part->prepared, &file, error) < 0 ||
        mu_file_head (file, HEAD_BYTES, &head, &size, error) < 0)
        return -1;
    int status = mu_llmc_layout (head, size, file->size, &part->layout, error);
    if (status < 0)
        mu_error_prefix (error, "%s: ", part->source.path);
    free (head);
    return status;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void make_head (const struct mu_shard_writer *shard, uint32_t head[HEAD_BYTES / 4])
{
    const bool wide = shard->vocabulary > 65536;
    memset (head, 0, HEAD_BYTES);
    head[0] = htole32 (wide ? MAGIC_U4 : MAGIC_U2);
    head[1] = htole32 (wide ? VERSION_U4 : VERSION_U2);
    head[2] = htole32 ((uint32_t)shard->tokens);
    head[3] = htole32 (shard->vocabulary);
    head[4] = htole32 (OURS);
    head[5] = htole32 ((uint32_t)(shard->tokens >> 32));
}

int mu_shard_begin (struct mu_shard_writer *shard, struct mu_writer *writer, uint32_t vocabulary,
                    struct mu_error *error)
{
    uint32_t head[HEAD_BYTES / 4];
    *shard = (struct mu_shard_writer){ .writer = writer, .vocabulary = vocabulary };
    make_head (shard, head);
    return mu_writer_put (writer, head, sizeof head, error);
}

int mu_shard_put (void *user, const int32_t *tokens, size_t count, struct mu_error *error)
{
    struct mu_shard_writer *shard = user;
    uint8_t block[4096];
    const size_t width = shard->vocabulary > 65536 ? 4 : 2;
    shard->tokens += count;
    while (count) {
        const size_t some = count < sizeof block / width ? count : sizeof block / width;
        for (size_t i = 0; i < some; i++) {
            const uint32_t value = htole32 ((uint32_t)tokens[i]);
            memcpy (block + i * width, &value, width); /* the low bytes come first */
        }
        if (mu_writer_put (shard->writer, block, some * width, error) < 0)
            return -1;
        tokens += some;
        count -= some;
    }
    return 0;
}

int mu_shard_end (struct mu_shard_writer *shard, struct mu_error *error)
{
    uint32_t head[HEAD_BYTES / 4];
    make_head (shard, head);
    return mu_writer_head (shard->writer, head, sizeof head, error);
}
