/* SPDX-License-Identifier: Apache-2.0 */
/* directory.c - lists, finds and verifies checkpoints
 *
 * A directory counts by its name alone being right, since it got that name when it was whole; then
 * its contents are checked, because storage forgets. Removing is a rename and then the rest, so
 * that a checkpoint is never seen half gone.
 *
 * Both are done by a process of its own. Who has it removed is a trainer or its writer, which are ended at a
 * moment's notice where a job ends or is paused; the half that was there yet would stay for good if nothing is written
 * there any more. It is needed by nobody, so it does not matter who lives then. */
#include "worker/checkpoint/directory.h"

#include "worker/checkpoint/child.h"
#include "worker/checkpoint/idle.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/slices.h"
#include "worker/checkpoint/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_PREFIX     MU_DIRECTORY_PREFIX
#define STEP_DIGITS     8
#define STEP_DIGITS_MAX 15 /* 2^40 has 13 */
#define CHECKPOINTS_MAX 1000000u
#define REMOVING_S      600 /* what takes longer is for who prunes next */

void mu_directory_step_name (char name[MU_DIRECTORY_NAME_MAX], uint64_t step)
{
    snprintf (name, MU_DIRECTORY_NAME_MAX, STEP_PREFIX "%0*llu", STEP_DIGITS,
              (unsigned long long)step);
}

void mu_directory_other_name (char name[MU_DIRECTORY_NAME_MAX], uint64_t step, const char *kind)
{
    uint64_t number;
    randombytes_buf (&number, sizeof number); /* PIDs repeat between pods that share storage */
    snprintf (name, MU_DIRECTORY_NAME_MAX, "." STEP_PREFIX "%0*llu.%s-%d-%016llx", STEP_DIGITS,
              (unsigned long long)step, kind, (int)getpid (), (unsigned long long)number);
}

/* The step in a checkpoint's name; false if it is no such name. */
static bool parse_name (const char *name, uint64_t *step)
{
    size_t prefix = sizeof STEP_PREFIX - 1;
    if (strncmp (name, STEP_PREFIX, prefix) != 0)
        return false;
    const char *digits = name + prefix;
    size_t length = strspn (digits, "0123456789");
    if (digits[length] != '\0' || length < STEP_DIGITS || length > STEP_DIGITS_MAX)
        return false;
    *step = strtoull (digits, NULL, 10);
    char canonical[MU_DIRECTORY_NAME_MAX];
    mu_directory_step_name (canonical, *step);
    return strcmp (canonical, name) == 0;
}

int mu_directory_make (const char *path, struct mu_error *error)
{
    char part[PATH_MAX];
    size_t length = strlen (path);
    int refused = 0; /* why one was not made, which may be there all the same */
    if (length == 0 || length >= sizeof part)
        return mu_fail (error, MU_CONFIG, "checkpoint.dir is empty or too long");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy (part, path, i);
        part[i] = '\0';
        if (mkdir (part, 0777) == 0 || errno == EEXIST)
            continue;
        if (errno != EROFS && errno != EACCES)
            return mu_fail_errno (error, MU_CANT_CREATE, errno, "cannot make the directory %s",
                                  part);
        refused = errno;
    }
    int dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno == ENOENT && refused ? refused : errno,
                              "cannot make or open the directory %s", path);
    return dir;
}

/* --- removing --------------------------------------------------------------------------------- */

void mu_directory_remove (int parent, const char *name)
{
    int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir) {
        if (fd >= 0)
            close (fd);
        return;
    }
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir)) {
        mu_idle_look ();
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
            unlinkat (fd, entry->d_name, 0);
    }
    closedir (dir);
    unlinkat (parent, name, AT_REMOVEDIR);
}

/* 0, or the number of what refused the name. */
static int rename_and_remove (int parent, const char *name, const char *other)
{
    if (renameat (parent, name, parent, other) < 0 && errno != ENOENT) /* another is removing it */
        return errno;
    mu_directory_remove (parent, other);
    return 0;
}

static _Noreturn void run_remover (int parent, const char *name, const char *other)
{
    mu_child_reset_signals ();
    prctl (PR_SET_NAME, "muster-remove");
    alarm (REMOVING_S);
    const int dir = mu_child_keep_only (parent);
    _exit (dir < 0 ? errno : rename_and_remove (dir, name, other));
}

int mu_directory_move_away (int parent, const char *name, uint64_t step, const char *kind,
                            struct mu_error *error)
{
    char other[MU_DIRECTORY_NAME_MAX];
    int how = 0, number = 0;
    mu_directory_other_name (other, step, kind);
    const pid_t pid = fork ();
    if (pid == 0)
        run_remover (parent, name, other);
    while (pid > 0 && waitpid (pid, &how, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0)
        number = rename_and_remove (parent, name, other);
    else if (WIFEXITED (how))
        number = WEXITSTATUS (how);
    if (number)
        return mu_fail_errno (error, MU_IO, number, "cannot rename %s to remove it", name);
    return 0;
}

/* --- checking --------------------------------------------------------------------------------- */

static int verify_file (int dir, const struct mu_storage_record *record, struct mu_error *error)
{
    return record->pieces ? mu_slices_verify (dir, record, error)
                          : mu_storage_verify (dir, record, error);
}

int mu_directory_verify (int dir, struct mu_checkpoint_info *info, struct mu_error *error)
{
    if (mu_manifest_read (dir, info, error) < 0)
        return -1;
    for (uint32_t i = 0; i < info->files; i++)
        if (verify_file (dir, &info->file[i], error) < 0) {
            mu_checkpoint_info_clear (info);
            return -1;
        }
    return 0;
}

int mu_checkpoint_read_info (const char *path, struct mu_checkpoint_info *info,
                             struct mu_error *error)
{
    *info = (struct mu_checkpoint_info){ 0 };
    int dir = mu_directory_open (path, error);
    if (dir < 0)
        return -1;
    int status = mu_manifest_read (dir, info, error);
    close (dir);
    if (status < 0)
        mu_error_prefix (error, "checkpoint %s: ", path);
    return status;
}

int mu_checkpoint_verify (const char *path, struct mu_error *error)
{
    int dir = mu_directory_open (path, error);
    if (dir < 0)
        return -1;
    struct mu_checkpoint_info info;
    int status = mu_directory_verify (dir, &info, error);
    close (dir);
    if (status < 0)
        mu_error_prefix (error, "checkpoint %s: ", path);
    else
        mu_checkpoint_info_clear (&info);
    return status;
}

static void judge (int parent, struct mu_checkpoint_entry *entry)
{
    struct mu_checkpoint_info info;
    struct mu_error error = { .text = "" };
    int dir = openat (parent, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = dir < 0 ? mu_fail_errno (&error, MU_NO_INPUT, errno, "cannot be opened")
                         : mu_manifest_read (dir, &info, &error);
    if (dir >= 0)
        close (dir);
    if (status == 0) {
        if (info.step != entry->step)
            status = mu_fail (&error, MU_BAD_INPUT, "holds step %llu, which its name does not say",
                              (unsigned long long)info.step);
        mu_checkpoint_info_clear (&info);
    }
    entry->whole = status == 0;
    memcpy (entry->problem, error.text, sizeof entry->problem);
}

/* --- the list --------------------------------------------------------------------------------- */

static int compare_steps (const void *a, const void *b)
{
    const struct mu_checkpoint_entry *x = a, *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

static int append (struct mu_checkpoint_entry **entries, size_t *count, const char *name,
                   uint64_t step)
{
    if (*count >= CHECKPOINTS_MAX)
        return -1;
    struct mu_checkpoint_entry *grown = realloc (*entries, (*count + 1) * sizeof *grown);
    if (!grown)
        return -1;
    *entries = grown;
    grown[*count] = (struct mu_checkpoint_entry){ .step = step };
    snprintf (grown[*count].name, sizeof grown->name, "%.31s", name);
    (*count)++;
    return 0;
}

static int collect (DIR *dir, struct mu_checkpoint_entry **entries, size_t *count,
                    struct mu_error *error)
{
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir)) {
        uint64_t step;
        if (parse_name (entry->d_name, &step) && append (entries, count, entry->d_name, step) < 0)
            return mu_fail (error, MU_SYSTEM, "no memory to list checkpoints");
    }
    return 0;
}

int mu_checkpoint_list (const char *directory, struct mu_checkpoint_entry **entries, size_t *count,
                        struct mu_error *error)
{
    *entries = NULL;
    *count = 0;
    DIR *dir = opendir (directory);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return mu_fail_errno (error, MU_NO_INPUT, errno, "cannot list the checkpoints in %s",
                              directory);
    int status = collect (dir, entries, count, error);
    if (status == 0 && *count > 0) {
        qsort (*entries, *count, sizeof **entries, compare_steps);
        for (size_t i = 0; i < *count; i++)
            judge (dirfd (dir), &(*entries)[i]);
    }
    closedir (dir);
    if (status < 0) {
        free (*entries);
        *entries = NULL;
        *count = 0;
    }
    return status;
}

/* Whether the entry is sound to its last byte; its path comes along. */
static bool is_sound (const char *directory, const struct mu_checkpoint_entry *entry,
                      char path[PATH_MAX], struct mu_error *damage)
{
    int length = snprintf (path, PATH_MAX, "%s/%s", directory, entry->name);
    if (length < 0 || length >= PATH_MAX)
        mu_fail (damage, MU_CONFIG, "the path of checkpoint.dir is too long");
    else if (!entry->whole)
        mu_fail (damage, MU_BAD_INPUT, "checkpoint %s: %s", path, entry->problem);
    else
        return mu_checkpoint_verify (path, damage) == 0;
    return false;
}

int mu_checkpoint_find (const char *directory, uint64_t step, char path[PATH_MAX],
                        struct mu_error *skipped, struct mu_error *error)
{
    struct mu_checkpoint_entry *entries;
    size_t count;
    struct mu_error newest = { .code = MU_OK }, damage;
    if (mu_checkpoint_list (directory, &entries, &count, error) < 0)
        return -1;
    bool found = false;
    for (size_t i = count; i-- > 0 && !found;) {
        if (entries[i].step > step)
            continue;
        found = is_sound (directory, &entries[i], path, &damage);
        if (!found && newest.code == MU_OK)
            newest = damage;
    }
    free (entries);
    if (skipped)
        *skipped = newest;
    if (found)
        return 0;
    return mu_fail (error, MU_NOT_FOUND, "there is no sound checkpoint in %s%s%s", directory,
                    newest.code == MU_OK ? "" : "; the newest: ", newest.text);
}
