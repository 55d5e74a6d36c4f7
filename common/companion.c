/* SPDX-License-Identifier: Apache-2.0 */
/* companion.c - see companion.h */
#include "companion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of the running program; empty where /proc does not say. */
static void own_folder (char folder[PATH_MAX])
{
    const ssize_t length = readlink ("/proc/self/exe", folder, PATH_MAX - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr (folder, '/');
    if (slash)
        *slash = '\0';
}

bool mu_find_companion (char path[PATH_MAX], const char *name, int mode)
{
    char own[PATH_MAX];
    own_folder (own);
    const char *const folders[] = { getenv ("MUSTER_LIBEXECDIR"), own, MU_LIBEXECDIR };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (!folders[i] || !*folders[i])
            continue;
        if (snprintf (path, PATH_MAX, "%s/%s", folders[i], name) < PATH_MAX &&
            access (path, mode) == 0)
            return true;
    }
    return false;
}
