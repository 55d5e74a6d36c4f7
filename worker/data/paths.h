/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - the files that a data set is made of; within libdata only */
#ifndef MU_DATA_PATHS_H
#define MU_DATA_PATHS_H

#include "format.h"

struct mu_path_list {
    char **paths;
    uint32_t count;
};

/* Files as they are named; a folder becomes its files of `format` (NULL: of any), in name order, or
 * its files of labels. On failure the list is empty. */
int mu_paths_expand (struct mu_path_list *list, const char *const *paths, uint32_t count,
                     const struct mu_format *format, bool labels, struct mu_error *error);
void mu_paths_close (struct mu_path_list *list);

/* DIR/x-labels-idx1-y where DIR/x-images-idx3-y is given and the former exists; the caller's to
 * free. */
char *mu_paths_labels_of (const char *images);

#endif
