/* SPDX-License-Identifier: Apache-2.0 */
/* folder.c - can checkpoints be written here? Asked before training, when it costs nothing
 *
 * A file is made and removed again, as permissions alone do not tell (read-only mounts, a root user
 * whom a network drive does not believe). A full disk passes: there may be room by then. */
#include "worker/checkpoint/checkpoint.h"

#include "worker/checkpoint/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool is_full (int number) { return number == ENOSPC || number == EDQUOT; }

int mu_checkpoint_try_folder (const char *directory, struct mu_error *error)
{
    char name[MU_DIRECTORY_NAME_MAX];
    errno = 0;
    int parent = mu_directory_make (directory, error);
    if (parent < 0)
        return is_full (errno) ? 0 : -1;
    mu_directory_other_name (name, 0, "tmp");
    int fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int number = errno;
    if (fd >= 0) {
        close (fd);
        unlinkat (parent, name, 0);
    }
    close (parent);
    if (fd >= 0 || is_full (number))
        return 0;
    return mu_fail_errno (error, MU_CANT_CREATE, number, "nothing can be written to %s", directory);
}
