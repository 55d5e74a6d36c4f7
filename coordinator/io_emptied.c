/* SPDX-License-Identifier: Apache-2.0 */
/* io_emptied.c - see io_emptied.h
 *
 * SQLite makes a file of 0 bytes first, so one that a first start left behind when it was killed is a new
 * database. But a repair of the file system after a crash of the host, a copy to a full disk, or somebody's `>` leaves the same of a
 * database that had jobs; SQLite then takes it for a new one, and even deletes the log of what was
 * committed beside it. Two things tell: that log has something in it, which it never has
 * before the database itself has its first page; or jobs have left their lines under logs/.
 * A database that is not there at all is begun anew: so it can be said that this is meant. docs/decisions/0070. */
#include "io_emptied.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

static bool holds_nothing (const char *path)
{
    struct stat about;
    return stat (path, &about) || !about.st_size;
}

static unsigned count_logs (const char *dir)
{
    char path[4200];
    unsigned count = 0;
    snprintf (path, sizeof path, "%s/logs", dir);
    DIR *folder = opendir (path);
    const struct dirent *entry;
    while (folder && (entry = readdir (folder))) {
        uint64_t job;
        count += sscanf (entry->d_name, "job-%" SCNu64 ".jsonl", &job) == 1;
    }
    if (folder)
        closedir (folder);
    return count;
}

int check_emptied (const char *dir, const char *database, struct mu_error *error)
{
    char wal[4300], why[64];
    struct stat about;
    if (stat (database, &about) || about.st_size)
        return 0;
    unsigned logs = count_logs (dir);
    snprintf (wal, sizeof wal, "%s-wal", database);
    if (logs)
        snprintf (why, sizeof why, "the logs of %u job%s lie beside it", logs,
                  logs == 1 ? "" : "s");
    else if (!holds_nothing (wal))
        snprintf (why, sizeof why, "what was committed last lies beside it");
    else
        return 0;
    return mu_fail (
        error, MU_BAD_INPUT,
        "it is empty, but %s: the jobs that it held are lost here (after a crash of the "
        "host, or a copy to a full disk, say). If there is a backup, `muster admin "
        "restore` puts it in its place; to begin without those jobs, remove this file",
        why);
}
