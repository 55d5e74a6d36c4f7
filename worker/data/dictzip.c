/* SPDX-License-Identifier: Apache-2.0 */
/* dictzip.c - random access to dictzip files
 *
 * A reader that misses the cache unpacks outside the lock, so readers wait for each other's copying
 * only; two that miss the same chunk both unpack it, and the second finds it there. */
#include "dictzip.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SLOTS = 128, GZIP_HEAD = 10, GZIP_TAIL = 8 };
enum { FLAG_CRC = 2, FLAG_EXTRA = 4, FLAG_NAME = 8, FLAG_COMMENT = 16 };

static uint32_t u16_at (const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }

/* Where the deflate stream begins: behind extra field, name, comment and header check sum. 0 if the
 * head ends before that. */
static size_t stream_begin (const uint8_t *head, size_t size)
{
    size_t at = GZIP_HEAD + 2 + u16_at (head + GZIP_HEAD);
    for (unsigned flag = FLAG_NAME; flag <= FLAG_COMMENT; flag *= 2) {
        if (!(head[3] & flag))
            continue;
        const uint8_t *end = at < size ? memchr (head + at, 0, size - at) : NULL;
        if (!end)
            return 0;
        at = (size_t)(end - head) + 1;
    }
    if (head[3] & FLAG_CRC)
        at += 2;
    return at <= size ? at : 0;
}

/* The "RA" subfield's data and length within the extra field, or NULL. */
static const uint8_t *find_table (const uint8_t *head, size_t size, size_t *length)
{
    if (size < GZIP_HEAD + 2 || head[0] != 0x1f || head[1] != 0x8b || !(head[3] & FLAG_EXTRA))
        return NULL;
    size_t end = GZIP_HEAD + 2 + u16_at (head + GZIP_HEAD);
    end = end < size ? end : size;
    for (size_t at = GZIP_HEAD + 2; at + 4 <= end; at += 4 + *length) {
        *length = u16_at (head + at + 2);
        if (head[at] == 'R' && head[at + 1] == 'A' && *length <= end - at - 4)
            return head + at + 4;
    }
    return NULL;
}

/* `head` is the file's start, `tail` its last four bytes. */
static int decode (struct mu_dictzip *dictzip, const uint8_t *head, size_t head_size,
                   const uint8_t tail[4], uint64_t file_size, struct mu_error *error)
{
    size_t length;
    const uint8_t *table = find_table (head, head_size, &length);
    memset (dictzip, 0, sizeof *dictzip);
    if (!table || length < 6 || u16_at (table) != 1)
        return 0;
    const size_t begin = stream_begin (head, head_size);
    dictzip->chunk_length = u16_at (table + 2);
    dictzip->chunk_count = u16_at (table + 4);
    dictzip->size = u16_at (tail) | (uint64_t)u16_at (tail + 2) << 16;
    const uint64_t full = (uint64_t)dictzip->chunk_length * dictzip->chunk_count;
    if (begin == 0 || dictzip->chunk_length == 0 || dictzip->chunk_count == 0 ||
        length < 6 + 2 * (size_t)dictzip->chunk_count || dictzip->size > full ||
        dictzip->size + dictzip->chunk_length <= full)
        return mu_fail (error, MU_BAD_INPUT,
                        "the dictzip table does not fit the file (%" PRIu32 " chunks of %" PRIu32
                        " bytes for %" PRIu64 " bytes); it is damaged or cut "
                        "off: fetch it again",
                        dictzip->chunk_count, dictzip->chunk_length, dictzip->size);
    dictzip->chunk_begin = calloc ((size_t)dictzip->chunk_count + 1, sizeof (uint64_t));
    if (!dictzip->chunk_begin)
        return mu_fail (error, MU_SYSTEM, "no memory for a dictzip table");
    dictzip->chunk_begin[0] = begin;
    for (uint32_t i = 0; i < dictzip->chunk_count; i++)
        dictzip->chunk_begin[i + 1] = dictzip->chunk_begin[i] + u16_at (table + 6 + 2 * (size_t)i);
    if (dictzip->chunk_begin[dictzip->chunk_count] + GZIP_TAIL > file_size) {
        mu_dictzip_close (dictzip);
        return mu_fail (error, MU_BAD_INPUT,
                        "the dictzip file has %" PRIu64 " bytes, but its table "
                        "speaks of more; it was cut off: fetch it again",
                        file_size);
    }
    return 1;
}

int mu_dictzip_open (struct mu_dictzip *dictzip, const struct mu_file *file, struct mu_error *error)
{
    uint8_t tail[4];
    const size_t size = file->size < MU_DICTZIP_HEAD_MAX ? (size_t)file->size : MU_DICTZIP_HEAD_MAX;
    memset (dictzip, 0, sizeof *dictzip);
    if (size < GZIP_HEAD + GZIP_TAIL)
        return 0;
    uint8_t *head = malloc (size);
    if (!head)
        return mu_fail (error, MU_SYSTEM, "no memory to read %s", file->path);
    int status = mu_file_read (file, 0, head, size, error);
    if (status == 0)
        status = mu_file_read (file, file->size - sizeof tail, tail, sizeof tail, error);
    if (status == 0) {
        status = decode (dictzip, head, size, tail, file->size, error);
        if (status < 0)
            mu_error_prefix (error, "%s: ", file->path);
    }
    free (head);
    return status;
}

void mu_dictzip_close (struct mu_dictzip *dictzip)
{
    free (dictzip->chunk_begin);
    memset (dictzip, 0, sizeof *dictzip);
}

/* --- unpacked chunks -------------------------------------------------------------------------- */

struct slot {
    const struct mu_dictzip *dictzip; /* NULL: empty */
    uint32_t chunk;
    uint64_t used; /* the clock's value at the last use */
    uint8_t *data;
};

struct mu_chunk_cache {
    pthread_mutex_t lock;
    uint64_t clock;
    struct slot slots[SLOTS];
};

struct mu_chunk_cache *mu_chunk_cache_new (void)
{
    struct mu_chunk_cache *cache = calloc (1, sizeof *cache);
    if (cache)
        pthread_mutex_init (&cache->lock, NULL);
    return cache;
}

void mu_chunk_cache_close (struct mu_chunk_cache **cache)
{
    if (!*cache)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        free ((*cache)->slots[i].data);
    pthread_mutex_destroy (&(*cache)->lock);
    free (*cache);
    *cache = NULL;
}

static bool copy_cached (struct mu_chunk_cache *cache, const struct mu_dictzip *dictzip,
                         uint32_t chunk, uint32_t from, void *buffer, size_t size)
{
    bool found = false;
    pthread_mutex_lock (&cache->lock);
    for (size_t i = 0; i < SLOTS && !found; i++) {
        struct slot *slot = &cache->slots[i];
        found = slot->dictzip == dictzip && slot->chunk == chunk;
        if (found) {
            slot->used = ++cache->clock;
            memcpy (buffer, slot->data + from, size);
        }
    }
    pthread_mutex_unlock (&cache->lock);
    return found;
}

/* Takes `data`. */
static void insert (struct mu_chunk_cache *cache, const struct mu_dictzip *dictzip, uint32_t chunk,
                    uint8_t *data)
{
    pthread_mutex_lock (&cache->lock);
    struct slot *oldest = &cache->slots[0];
    for (size_t i = 1; i < SLOTS; i++)
        if (cache->slots[i].used < oldest->used)
            oldest = &cache->slots[i];
    uint8_t *before = oldest->data;
    *oldest = (struct slot){ dictzip, chunk, ++cache->clock, data };
    pthread_mutex_unlock (&cache->lock);
    free (before);
}

static uint32_t length_of (const struct mu_dictzip *dictzip, uint32_t chunk)
{
    const uint64_t left = dictzip->size - (uint64_t)chunk * dictzip->chunk_length;
    return left < dictzip->chunk_length ? (uint32_t)left : dictzip->chunk_length;
}

static int inflate_chunk (uint8_t *packed, size_t packed_size, uint8_t *data, size_t size)
{
    z_stream zlib = {
        .next_in = packed, .avail_in = (uInt)packed_size, .next_out = data, .avail_out = (uInt)size
    };
    if (inflateInit2 (&zlib, -15) != Z_OK)
        return -1;
    const int code = inflate (&zlib, Z_SYNC_FLUSH);
    inflateEnd (&zlib);
    return (code == Z_OK || code == Z_STREAM_END) && zlib.avail_out == 0 ? 0 : -1;
}

/* The chunk's bytes, the caller's to free, or NULL. */
static uint8_t *unpack (const struct mu_dictzip *dictzip, const struct mu_file *file,
                        uint32_t chunk, struct mu_error *error)
{
    const uint64_t begin = dictzip->chunk_begin[chunk];
    const size_t packed_size = (size_t)(dictzip->chunk_begin[chunk + 1] - begin);
    const uint32_t size = length_of (dictzip, chunk);
    uint8_t *packed = malloc (packed_size ? packed_size : 1), *data = malloc (size);
    int status = -1;
    if (!packed || !data)
        mu_fail (error, MU_SYSTEM, "no memory to unpack %s", file->path);
    else if (mu_file_read (file, begin, packed, packed_size, error) == 0) {
        status = inflate_chunk (packed, packed_size, data, size);
        if (status < 0)
            mu_fail (error, MU_BAD_INPUT,
                     "%s: dictzip chunk %" PRIu32 " at byte %" PRIu64
                     " is damaged; fetch the file again",
                     file->path, chunk, begin);
    }
    free (packed);
    if (status < 0) {
        free (data);
        return NULL;
    }
    return data;
}

int mu_dictzip_read (struct mu_chunk_cache *cache, const struct mu_dictzip *dictzip,
                     const struct mu_file *file, uint64_t offset, void *buffer, size_t size,
                     struct mu_error *error)
{
    uint8_t *at = buffer;
    if (offset > dictzip->size || size > dictzip->size - offset)
        return mu_fail (error, MU_INTERNAL, "%s: read behind the end", file->path);
    while (size) {
        const uint32_t chunk = (uint32_t)(offset / dictzip->chunk_length);
        const uint32_t from = (uint32_t)(offset % dictzip->chunk_length);
        const uint32_t left = length_of (dictzip, chunk) - from;
        const size_t some = size < left ? size : left;
        if (!copy_cached (cache, dictzip, chunk, from, at, some)) {
            uint8_t *data = unpack (dictzip, file, chunk, error);
            if (!data)
                return -1;
            memcpy (at, data + from, some);
            insert (cache, dictzip, chunk, data);
        }
        at += some;
        offset += some;
        size -= some;
    }
    return 0;
}
