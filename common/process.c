/* SPDX-License-Identifier: Apache-2.0 */
#include "common/process.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define THREADS_MAX 64u /* a look at more would cost more than it tells */

/* The letter stands behind the name, in which anything may stand. */
static char read_letter (const char *path)
{
    char text[512];
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    size_t size = fread (text, 1, sizeof text - 1, file);
    fclose (file);
    text[size] = '\0';
    const char *end = strrchr (text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

static size_t how_telling (char letter)
{
    static const char order[] = "XZISRDtT";
    const char *at = letter ? strchr (order, letter) : NULL;
    return at ? (size_t)(at - order) + 1 : 0;
}

/* The file of the process tells of its first thread, which only waits for words: of all threads,
 * the one that tells most. Stopped ones are all stopped. */
char mu_process_letter (pid_t pid)
{
    char path[64 + NAME_MAX], found = 0;
    snprintf (path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = pid ? opendir (path) : NULL;
    const struct dirent *thread;
    for (unsigned i = 0; threads && i < THREADS_MAX && (thread = readdir (threads)); i++) {
        snprintf (path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, thread->d_name);
        char letter = *thread->d_name == '.' ? 0 : read_letter (path);
        if (how_telling (letter) > how_telling (found))
            found = letter;
    }
    if (threads)
        closedir (threads);
    return found;
}
