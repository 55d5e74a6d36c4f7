/* SPDX-License-Identifier: Apache-2.0 */
/* io_backup.h - a coordinator's database into one file, and back
 *
 * Both ends are whole or are not there: what is being written has another name until it is synced.
 * Killed at any moment, nothing is lost that was there before. */
#ifndef COORD_IO_BACKUP_H
#define COORD_IO_BACKUP_H

#include "io_check.h"

/* Write DIR/muster.db, which may be in use, to `file`, in one piece that needs no other file. What
 * was written is checked; a file that SQLite cannot read does not get the name. One that is there
 * already is refused without `replace`. The check is the caller's, to be cleared either way. */
int backup_make (const char *dir, const char *file, bool replace, struct check *check,
                 struct mu_error *error);

/* Make DIR/muster.db from `file`, of whatever version, as a database of its own: another id, of no
 * cluster, for it may lack what others have acknowledged. One that is there already is refused
 * without `replace`, and kept beside it as *aside, the caller's, NULL if there was none; so is a
 * folder in use. */
int backup_restore (const char *file, const char *dir, bool replace, struct check *check,
                    char **aside, struct mu_error *error);

#endif
