/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - reading at random, hashing, and remembering hashes
 *
 * pread (2) rather than mmap (2): a mapped file that is truncated or whose disk fails kills the
 * process with SIGBUS, and a trainer may not die of somebody's `cp`. Nothing here is fatal. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HASH_BLOCK = 1 << 20, FACTS_MAX = 512, RACY_SECONDS = 2 };

static int refuse_kind (const struct mu_file *file, struct mu_error *error)
{
    if (S_ISDIR (file->stat.st_mode))
        return mu_fail (error, MU_NO_INPUT, "%s is a directory where a file is needed", file->path);
    return mu_fail (error, MU_NO_INPUT,
                    "%s is not a regular file (a pipe or device cannot be read "
                    "at random); copy its content to a file first",
                    file->path);
}

int mu_file_open (struct mu_file *file, const char *path, struct mu_error *error)
{
    memset (file, 0, sizeof *file);
    file->descriptor = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->descriptor < 0)
        return mu_fail_errno (error, errno == EMFILE || errno == ENFILE ? MU_SYSTEM : MU_NO_INPUT,
                              errno, "cannot open %s", path);
    file->path = strdup (path);
    int status = -1;
    if (!file->path)
        mu_fail (error, MU_SYSTEM, "no memory to open %s", path);
    else if (fstat (file->descriptor, &file->stat) < 0)
        mu_fail_errno (error, MU_IO, errno, "cannot look at %s", path);
    else if (!S_ISREG (file->stat.st_mode))
        refuse_kind (file, error);
    else
        status = 0;
    file->size = (uint64_t)file->stat.st_size;
    if (status < 0)
        mu_file_close (file);
    return status;
}

void mu_file_close (struct mu_file *file)
{
    if (file->path || file->descriptor > 0)
        close (file->descriptor);
    free (file->path);
    memset (file, 0, sizeof *file);
}

int mu_file_read (const struct mu_file *file, uint64_t offset, void *buffer, size_t size,
                  struct mu_error *error)
{
    uint8_t *at = buffer;
    while (size) {
        ssize_t got = pread (file->descriptor, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mu_fail_errno (error, MU_IO, errno, "cannot read %s", file->path);
        if (got == 0)
            return mu_fail (error, MU_IO,
                            "%s ends at byte %" PRIu64 ", but had %" PRIu64 " bytes "
                            "when it was opened; data must not change while it is in use",
                            file->path, offset, file->size);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

void mu_hash_strings (char text[MU_HASH_TEXT], const char *const *strings)
{
    crypto_generichash_state state;
    uint8_t hash[MU_HASH_BYTES];
    crypto_generichash_init (&state, NULL, 0, sizeof hash);
    for (; *strings; strings++)
        crypto_generichash_update (&state, (const uint8_t *)*strings, strlen (*strings) + 1);
    crypto_generichash_final (&state, hash, sizeof hash);
    sodium_bin2hex (text, MU_HASH_TEXT, hash, sizeof hash);
}

/* Everything that a change of content would change, as one line. */
static void stat_line (const struct stat *s, char *line, size_t size)
{
    snprintf (line, size, "muster-hash 1 %ju %ju %jd %jd.%09ld %jd.%09ld", (uintmax_t)s->st_dev,
              (uintmax_t)s->st_ino, (intmax_t)s->st_size, (intmax_t)s->st_mtim.tv_sec,
              s->st_mtim.tv_nsec, (intmax_t)s->st_ctim.tv_sec, s->st_ctim.tv_nsec);
}

static char *facts_path (const struct mu_file *file, const struct mu_cache *cache)
{
    char key[MU_HASH_TEXT], *path;
    char *real = realpath (file->path, NULL);
    const char *const strings[] = { real ? real : file->path, NULL };
    mu_hash_strings (key, strings);
    free (real);
    return asprintf (&path, "%s/hash-%s", cache->directory, key) < 0 ? NULL : path;
}

static bool recall (struct mu_file *file, const char *path)
{
    char facts[FACTS_MAX], wanted[FACTS_MAX];
    int descriptor = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return false;
    ssize_t got = read (descriptor, facts, sizeof facts - 1);
    close (descriptor);
    facts[got > 0 ? got : 0] = '\0';
    stat_line (&file->stat, wanted, sizeof wanted);
    const size_t length = strlen (wanted);
    if (strncmp (facts, wanted, length) != 0 || facts[length] != ' ')
        return false;
    const char *hash = facts + length + 1;
    if (strspn (hash, "0123456789abcdef") != MU_HASH_TEXT - 1 || hash[MU_HASH_TEXT - 1] != '\n')
        return false;
    memcpy (file->hash, hash, MU_HASH_TEXT - 1);
    file->hash[MU_HASH_TEXT - 1] = '\0';
    return true;
}

/* What cannot be remembered is computed again next time: failures here are not failures. */
static void remember (const struct mu_file *file, const char *path)
{
    char line[FACTS_MAX];
    struct timespec now;
    struct mu_writer *writer;
    clock_gettime (CLOCK_REALTIME, &now);
    if (now.tv_sec - file->stat.st_mtim.tv_sec <= RACY_SECONDS ||
        now.tv_sec - file->stat.st_ctim.tv_sec <= RACY_SECONDS)
        return;
    if (mu_writer_open (&writer, path, NULL) < 0)
        return;
    stat_line (&file->stat, line, sizeof line);
    size_t used = strlen (line);
    snprintf (line + used, sizeof line - used, " %s\n", file->hash);
    if (mu_writer_put (writer, line, strlen (line), NULL) == 0)
        mu_writer_commit (&writer, NULL);
    mu_writer_close (&writer);
}

static int compute (struct mu_file *file, const struct mu_cache *cache, struct mu_error *error)
{
    crypto_generichash_state state;
    uint8_t hash[MU_HASH_BYTES];
    uint8_t *block = malloc (HASH_BLOCK);
    if (!block)
        return mu_fail (error, MU_SYSTEM, "no memory to hash %s", file->path);
    int status = 0;
    crypto_generichash_init (&state, NULL, 0, sizeof hash);
    for (uint64_t at = 0; at < file->size && status == 0; at += HASH_BLOCK) {
        const uint64_t left = file->size - at;
        const size_t size = left < HASH_BLOCK ? (size_t)left : HASH_BLOCK;
        status = mu_file_read (file, at, block, size, error);
        crypto_generichash_update (&state, block, status == 0 ? size : 0);
        mu_cache_tell (cache, "hashing", at + size, file->size);
    }
    free (block);
    crypto_generichash_final (&state, hash, sizeof hash);
    if (status == 0)
        sodium_bin2hex (file->hash, sizeof file->hash, hash, sizeof hash);
    return status;
}

int mu_file_hash (struct mu_file *file, const struct mu_cache *cache, struct mu_error *error)
{
    if (file->hash[0])
        return 0;
    char *path = facts_path (file, cache);
    if (!path)
        return mu_fail (error, MU_SYSTEM, "no memory to hash %s", file->path);
    int status = 0;
    if (!recall (file, path)) {
        char before[FACTS_MAX], after[FACTS_MAX];
        struct stat now;
        stat_line (&file->stat, before, sizeof before);
        status = compute (file, cache, error);
        if (status == 0 && fstat (file->descriptor, &now) == 0) {
            /* Unlinking, renaming and linking move ctime alone, and harm nobody. */
            now.st_ctim = file->stat.st_ctim;
            stat_line (&now, after, sizeof after);
            if (strcmp (before, after) != 0)
                status = mu_fail (error, MU_CONFLICT,
                                  "%s changed while it was being read; "
                                  "start again when it is complete",
                                  file->path);
        }
        if (status == 0)
            remember (file, path);
        else
            file->hash[0] = '\0';
    }
    free (path);
    return status;
}
