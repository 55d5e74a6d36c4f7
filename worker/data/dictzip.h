/* SPDX-License-Identifier: Apache-2.0 */
/* dictzip.h - gzip files that can be read at random
 *
 * dictzip(1), by Rickard E. Faith: an ordinary gzip file whose header carries an extra field "RA"
 * (version 1, chunk length, chunk count, packed size of each chunk) and whose deflate stream is
 * flushed fully at each chunk's end, so that every chunk unpacks on its own. */
#ifndef MU_DATA_DICTZIP_H
#define MU_DATA_DICTZIP_H

#include "file.h"

#define MU_DICTZIP_HEAD_MAX (12u + 65535u + 4096u) /* gzip header, extra field, name and comment   \
                                                    */

struct mu_dictzip {
    uint64_t size;         /* unpacked */
    uint32_t chunk_length; /* unpacked bytes of each chunk but the last */
    uint32_t chunk_count;
    uint64_t *chunk_begin; /* [chunk_count + 1], in the file */
};

/* 1 and the table, to be closed; 0 where the file is not dictzip's; -1 where it is, but makes no sense, or cannot be
 * read. */
int mu_dictzip_open (struct mu_dictzip *dictzip, const struct mu_file *file,
                     struct mu_error *error);
void mu_dictzip_close (struct mu_dictzip *dictzip);

/* Recently unpacked chunks, shared by all files of a data set: 128 of at most 64 KiB. */
struct mu_chunk_cache;
struct mu_chunk_cache *mu_chunk_cache_new (void);
void mu_chunk_cache_close (struct mu_chunk_cache **cache);

/* Exactly `size` unpacked bytes, which must exist. Thread-safe. */
int mu_dictzip_read (struct mu_chunk_cache *cache, const struct mu_dictzip *dictzip,
                     const struct mu_file *file, uint64_t offset, void *buffer, size_t size,
                     struct mu_error *error);

#endif
