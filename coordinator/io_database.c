/* SPDX-License-Identifier: Apache-2.0 */
/* io_database.c - a folder that one process uses, a SQLite database in it, and its version
 *
 * A step from one version to the next is run once, all that are due in one transaction: a database
 * is at a version or at another, never between. */
#include "io_database.h"

#include "io_key.h"
#include "store_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x4d557354 /* "MUsT" */
#define VERSION_NEWEST ((int)(sizeof store_steps / sizeof *store_steps))
#define BUSY_MS        2000
#define COPY_RETRY_MS  20

/* --- the folder ------------------------------------------------------------------------------- */

/* A folder that was made is there after a power cut when the one that holds its name is synced. Where
 * that may not be read, or its file system knows no such sync, nothing better can be done. */
static int make_folder (char *path, char *end)
{
    if (mkdir (path, 0750))
        return errno == EEXIST ? 0 : -1;
    char *slash = end;
    while (slash > path && slash[-1] != '/')
        slash--;
    char kept = *slash;
    *slash = '\0';
    int parent = open (*path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *slash = kept;
    int rc = parent < 0 || !fsync (parent) || errno == EINVAL ? 0 : -1;
    int number = errno;
    if (parent >= 0)
        close (parent);
    errno = number;
    return rc;
}

int folder_make (const char *dir, struct mu_error *error)
{
    char path[4096];
    if (snprintf (path, sizeof path, "%s", dir) >= (int)sizeof path)
        return mu_fail (error, MU_USAGE, "the state directory's path is too long");
    for (char *at = path + (*path != '\0');; at++) {
        if (*at && *at != '/')
            continue;
        char kept = *at;
        *at = '\0';
        if (make_folder (path, at))
            return mu_fail_errno (error, MU_CANT_CREATE, errno,
                                  "the state directory %s cannot be made (name another with --dir)",
                                  path);
        *at = kept;
        if (!kept)
            return 0;
    }
}

int folder_lock (const char *dir, int *lock_fd, struct mu_error *error)
{
    char path[4200];
    snprintf (path, sizeof path, "%s/muster.lock", dir);
    *lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (*lock_fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno,
                              "%s cannot be written (is the state directory yours? name another "
                              "with --dir)",
                              path);
    if (flock (*lock_fd, LOCK_EX | LOCK_NB) && errno != EWOULDBLOCK)
        return mu_fail_errno (error, MU_SYSTEM, errno,
                              "%s cannot be locked (does its file system know locks? name another "
                              "folder with --dir)",
                              path);
    if (flock (*lock_fd, LOCK_EX | LOCK_NB))
        return mu_fail (
            error, MU_UNAVAILABLE,
            "another coordinator uses %s: stop it, or name another directory with --dir", dir);
    char text[32];
    int size = snprintf (text, sizeof text, "%ld\n", (long)getpid ());
    if (ftruncate (*lock_fd, 0) || pwrite (*lock_fd, text, (size_t)size, 0) != size)
        return mu_fail_errno (error, MU_IO, errno, "%s cannot be written", path);
    return 0;
}

/* --- SQLite, with a sentence for each failure ------------------------------------------------- */

int database_fail (sqlite3 *database, const char *what, struct mu_error *error)
{
    int code = sqlite3_errcode (database);
    enum mu_code kind = code == SQLITE_FULL || code == SQLITE_IOERR       ? MU_IO
                        : code == SQLITE_BUSY || code == SQLITE_LOCKED    ? MU_TRY_AGAIN
                        : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? MU_BAD_INPUT
                                                                          : MU_SYSTEM;
    const char *advice =
        kind == MU_BAD_INPUT ? "; if there is a backup, `muster admin restore` puts it in its place"
        : code == SQLITE_READONLY || code == SQLITE_CANTOPEN
            ? "; the file and its folder must be there for this user to write (--dir names another)"
            : "";
    return mu_fail (error, kind, "the database could not %s: %s%s", what, sqlite3_errmsg (database),
                    advice);
}

int database_run (sqlite3 *database, const char *sql, const char *what, struct mu_error *error)
{
    if (sqlite3_exec (database, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return database_fail (database, what, error);
}

int database_read_int (sqlite3 *database, const char *sql, int *value, struct mu_error *error)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2 (database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int (statement, 0);
    sqlite3_finalize (statement);
    return rc == SQLITE_ROW ? 0 : database_fail (database, "be read", error);
}

int database_open (sqlite3 **database, const char *path, int flags, struct mu_error *error)
{
    if (sqlite3_open_v2 (path, database, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        database_fail (*database, "be opened", error);
        return -1;
    }
    sqlite3_busy_timeout (*database, BUSY_MS);
    return 0;
}

/* One that was killed while it wrote may have left what must be undone before it can be read. */
static bool must_be_mended (sqlite3 *database)
{
    int rc = sqlite3_exec (database, "SELECT count (*) FROM sqlite_schema", NULL, NULL, NULL);
    return (rc & 0xff) == SQLITE_READONLY;
}

int database_open_to_read (sqlite3 **database, const char *path, struct mu_error *error)
{
    if (access (path, R_OK))
        return mu_fail_errno (error, MU_NO_INPUT, errno, "it cannot be read");
    struct stat about;
    if (!stat (path, &about) && S_ISDIR (about.st_mode))
        return mu_fail (error, MU_NO_INPUT, "it is a folder: name a file, as its muster.db");
    if (database_open (database, path, SQLITE_OPEN_READONLY, error))
        return -1;
    if (!must_be_mended (*database))
        return 0;
    sqlite3_close (*database);
    return database_open (database, path, SQLITE_OPEN_READWRITE, error);
}

int database_prepare (sqlite3 *database, sqlite3_stmt **statement, const char *sql,
                      struct mu_error *error)
{
    if (sqlite3_prepare_v3 (database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) ==
        SQLITE_OK)
        return 0;
    return database_fail (database, "be used", error);
}

int database_write (sqlite3 *database, sqlite3_stmt *statement, struct mu_error *error)
{
    int rc = sqlite3_step (statement);
    int failed = rc != SQLITE_DONE && rc != SQLITE_ROW
                     ? database_fail (database, "be written", error)
                     : 0;
    sqlite3_reset (statement);
    return failed;
}

/* The copier asks again for as long as others wait for a lock. */
int database_copy (sqlite3 *from, sqlite3 *to, struct mu_error *error)
{
    sqlite3_backup *backup = sqlite3_backup_init (to, "main", from, "main");
    if (!backup)
        return database_fail (to, "be copied", error);
    int rc;
    for (int waited = 0;; waited += COPY_RETRY_MS) {
        rc = sqlite3_backup_step (backup, -1);
        if ((rc != SQLITE_BUSY && rc != SQLITE_LOCKED) || waited >= BUSY_MS)
            break;
        sqlite3_sleep (COPY_RETRY_MS);
    }
    int finished = sqlite3_backup_finish (backup); /* leaves the code at `to` */
    if (rc == SQLITE_DONE && finished == SQLITE_OK)
        return 0;
    if (finished == SQLITE_OK)
        return mu_fail (error, MU_TRY_AGAIN, "the database could not be copied: it is locked");
    return database_fail (to, "be copied", error);
}

/* --- versions --------------------------------------------------------------------------------- */

int database_version (sqlite3 *database, int *version, struct mu_error *error)
{
    return database_read_int (database, "PRAGMA user_version", version, error);
}

int database_migrate (sqlite3 *database, struct mu_error *error)
{
    int version = 0, application = 0, tables = 0;
    if (database_version (database, &version, error) ||
        database_read_int (database, "PRAGMA application_id", &application, error) ||
        database_read_int (database, "SELECT count (*) FROM sqlite_master", &tables, error))
        return -1;
    if ((version > 0 || tables > 0) && application != APPLICATION_ID)
        return mu_fail (error, MU_BAD_INPUT, "this is a database of another program");
    if (version > VERSION_NEWEST)
        return mu_fail (error, MU_BAD_INPUT,
                        "the database has version %d and this program knows up to %d: use the "
                        "Muster that wrote it, or a newer one",
                        version, VERSION_NEWEST);
    if (version == VERSION_NEWEST)
        return 0;
    if (key_register (database))
        return database_fail (database, "be migrated", error);
    if (database_run (database, "BEGIN IMMEDIATE", "be migrated", error))
        return -1;
    for (int step = version; step < VERSION_NEWEST; step++)
        if (database_run (database, store_steps[step], "be migrated", error))
            return -1;
    char sql[128];
    snprintf (sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
              APPLICATION_ID, VERSION_NEWEST);
    return database_run (database, sql, "be migrated", error);
}
