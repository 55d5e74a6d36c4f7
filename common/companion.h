/* SPDX-License-Identifier: Apache-2.0 */
/* companion.h - the files that a program needs beside it: other programs and modules of this build
 *
 * They lie in the folder they were installed to. MUSTER_LIBEXECDIR names another for tests, and a
 * build that was not installed has them in the running program's own folder, which comes first so
 * that it does not use what an older version installed. */
#ifndef MU_COMPANION_H
#define MU_COMPANION_H

#include <limits.h>
#include <stdbool.h>

/* Its path, if there is one that may be used so (`mode` as for access ()). */
bool mu_find_companion (char path[PATH_MAX], const char *name, int mode);

#endif
