/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c - from the names in a data set's description to the list of files
 *
 * A directory stands for the regular files in it that match, sorted by their bytes so that every
 * worker finds one order; hidden files and folders within are passed over. */
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_labels (const char *name) { return strstr (name, "-labels-idx") != NULL; }

static bool matches (const struct mu_format *format, bool labels, const char *name)
{
    if (name[0] == '.')
        return false;
    if (labels)
        return is_labels (name) || (mu_format_matches_name (mu_format_find ("npy", NULL), name) &&
                                    strstr (name, "label"));
    return mu_format_matches_name (format, name) && !is_labels (name);
}

static int append (struct mu_path_list *list, const char *path, struct mu_error *error)
{
    if (list->count == MU_DATA_FILES_MAX)
        return mu_fail (error, MU_CONFIG, "the data set has more than %u files; join some of them",
                        MU_DATA_FILES_MAX);
    if ((list->count & (list->count - 1)) == 0) {
        const size_t room = list->count ? 2 * (size_t)list->count : 1;
        char **grown = reallocarray (list->paths, room, sizeof *grown);
        if (!grown)
            return mu_fail (error, MU_SYSTEM, "no memory for a list of files");
        list->paths = grown;
    }
    list->paths[list->count] = strdup (path);
    if (!list->paths[list->count])
        return mu_fail (error, MU_SYSTEM, "no memory for a list of files");
    list->count++;
    return 0;
}

static int compare (const void *a, const void *b)
{
    return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static bool is_regular (const char *path)
{
    struct stat info;
    return stat (path, &info) == 0 && S_ISREG (info.st_mode);
}

static int append_folder (struct mu_path_list *list, const char *folder,
                          const struct mu_format *format, bool labels, struct mu_error *error)
{
    const uint32_t before = list->count;
    DIR *stream = opendir (folder);
    if (!stream)
        return mu_fail_errno (error, MU_NO_INPUT, errno, "cannot open the folder %s", folder);
    const struct dirent *entry;
    int status = 0;
    while (status == 0 && (entry = readdir (stream))) {
        char *path;
        if (!matches (format, labels, entry->d_name))
            continue;
        if (asprintf (&path, "%s/%s", folder, entry->d_name) < 0)
            status = mu_fail (error, MU_SYSTEM, "no memory for a list of files");
        else {
            if (is_regular (path))
                status = append (list, path, error);
            free (path);
        }
    }
    closedir (stream);
    if (status == 0 && list->count == before)
        status = mu_fail (error, MU_NO_INPUT,
                          "the folder %s has no %s%s file in it (by its name); name "
                          "the files themselves",
                          folder, format ? format->name : "data", labels ? " label" : "");
    if (status == 0)
        qsort (list->paths + before, list->count - before, sizeof *list->paths, compare);
    return status;
}

int mu_paths_expand (struct mu_path_list *list, const char *const *paths, uint32_t count,
                     const struct mu_format *format, bool labels, struct mu_error *error)
{
    *list = (struct mu_path_list){ 0 };
    for (uint32_t i = 0; i < count; i++) {
        struct stat info;
        int status;
        if (stat (paths[i], &info) == 0 && S_ISDIR (info.st_mode))
            status = append_folder (list, paths[i], format, labels, error);
        else
            status = append (list, paths[i], error); /* what is missing is told when it is opened */
        if (status < 0) {
            mu_paths_close (list);
            return -1;
        }
    }
    return 0;
}

void mu_paths_close (struct mu_path_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        free (list->paths[i]);
    free (list->paths);
    *list = (struct mu_path_list){ 0 };
}

char *mu_paths_labels_of (const char *images)
{
    const char *at = strstr (images, "-images-idx3-");
    char *labels;
    if (!at || asprintf (&labels, "%.*s-labels-idx1-%s", (int)(at - images), images,
                         at + strlen ("-images-idx3-")) < 0)
        return NULL;
    if (is_regular (labels))
        return labels;
    free (labels);
    return NULL;
}
