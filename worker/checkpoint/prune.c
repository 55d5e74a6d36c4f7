/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - removes the checkpoints that are not needed any more
 *
 * Which those are the coordinator says: it alone knows which were committed, and what training may have to go back to.
 * A folder may hold other jobs' as well, and what was written since that was said, so only what is certainly meant goes;
 * the rest is somebody's, or the next word's. Also what dead writers left behind goes.
 *
 * A coordinator of before names none, and those that there are have to be counted, committed or not. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/directory.h"
#include "worker/checkpoint/idle.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGE_YOUNG 60             /* s: between making a directory and locking it */
#define AGE_DEAD  (24 * 60 * 60) /* s: where locks do not work, its writer is gone */

/* --- what dead writers left --------------------------------------------------------------------- */

/* Whether what lies under a dotted name has no living writer. */
static bool is_left_behind (int parent, const char *name)
{
    struct stat status;
    int dir = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0 || fstat (dir, &status) < 0) {
        if (dir >= 0)
            close (dir);
        return false;
    }
    time_t age = time (NULL) - status.st_mtime;
    bool locked = flock (dir, LOCK_EX | LOCK_NB) < 0;
    bool no_locks = locked && errno != EWOULDBLOCK;
    close (dir);
    return no_locks ? age > AGE_DEAD : !locked && age > AGE_YOUNG;
}

/* Nothing has such a name that is needed, or written; whoever began to remove it may have been ended. */
static bool is_moved_away (const char *name)
{
    return strstr (name, ".old-") || strstr (name, ".broken-") || strstr (name, ".wrong-");
}

static void sweep (const char *directory)
{
    DIR *dir = opendir (directory);
    if (!dir)
        return;
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir))
        if (strncmp (entry->d_name, "." MU_DIRECTORY_PREFIX, sizeof MU_DIRECTORY_PREFIX) == 0 &&
            (is_moved_away (entry->d_name) || is_left_behind (dirfd (dir), entry->d_name)))
            mu_directory_remove (dirfd (dir), entry->d_name);
    closedir (dir);
}

/* --- which go ----------------------------------------------------------------------------------- */

static bool is_named (const struct mu_checkpoint_stay *stay, uint64_t step)
{
    for (uint32_t i = 0; i < stay->count; i++)
        if (stay->steps[i] == step)
            return true;
    return false;
}

/* By the job, and no later than what is said of it. */
static bool was_written (int parent, const char *name, const struct mu_checkpoint_stay *stay)
{
    struct mu_checkpoint_info info;
    char id[24];
    snprintf (id, sizeof id, "%llu", (unsigned long long)stay->job);
    int dir = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    const int status = mu_manifest_read (dir, &info, NULL);
    close (dir);
    if (status < 0)
        return false;
    const bool meant = strcmp (info.job_id, id) == 0 && info.generation <= stay->generation;
    mu_checkpoint_info_clear (&info);
    return meant;
}

/* What is damaged stays: nobody can say whose it is, and what cannot be read now may be readable later. */
static bool is_superseded (int parent, const struct mu_checkpoint_entry *entry,
                           const struct mu_checkpoint_stay *stay)
{
    return entry->whole && entry->step > stay->first && entry->step < stay->before &&
           !is_named (stay, entry->step) && was_written (parent, entry->name, stay);
}

/* Neither among the newest whole ones, which are looked at first, nor named; damaged ones among those stay. */
static bool is_old (const struct mu_checkpoint_entry *entry, const struct mu_checkpoint_stay *stay,
                    size_t *kept)
{
    if (*kept < (stay->keep ? (size_t)stay->keep : 1)) {
        *kept += entry->whole;
        return false;
    }
    return !is_named (stay, entry->step);
}

static int remove_them (int parent, const struct mu_checkpoint_entry *entries, size_t count,
                        const struct mu_checkpoint_stay *stay, size_t *removed,
                        struct mu_error *error)
{
    size_t kept = 0;
    for (size_t i = count; i-- > 0;) {
        const struct mu_checkpoint_entry *entry = &entries[i];
        mu_idle_look ();
        if (!(stay->generation ? is_superseded (parent, entry, stay) : is_old (entry, stay, &kept)))
            continue;
        if (mu_directory_move_away (parent, entry->name, entry->step, "old", error) < 0)
            return -1;
        ++*removed;
    }
    return 0;
}

int mu_checkpoint_prune (const char *directory, const struct mu_checkpoint_stay *stay,
                         size_t *removed, struct mu_error *error)
{
    struct mu_checkpoint_entry *entries;
    size_t count, gone = 0;
    if (mu_checkpoint_list (directory, &entries, &count, error) < 0)
        return -1;
    int parent = count ? mu_directory_open (directory, error) : -1;
    int status = count && parent < 0 ? -1 : 0;
    if (parent >= 0) {
        status = remove_them (parent, entries, count, stay, &gone, error);
        fsync (parent); /* a removal that is lost is done again */
        close (parent);
    }
    sweep (directory);
    free (entries);
    if (removed)
        *removed = gone;
    return status;
}
