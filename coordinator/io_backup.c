/* SPDX-License-Identifier: Apache-2.0 */
/* io_backup.c - copies by SQLite's backup interface, made under another name, synced, then renamed
 *
 * The copy is one read transaction: it holds up no writer, and no number of commits beside it makes
 * it begin anew. Copies are in SQLite's rollback mode, without a log beside them: the coordinator
 * turns them into its own again when it opens one.
 *
 * A log (muster.db-wal) belongs to the file that it was written for: found beside another it would
 * be played into that. So a database that is replaced is first made one file, and where that fails
 * its log goes with it, before the new one gets the name. */
#include "io_backup.h"

#include "clock.h"
#include "config.h"
#include "io_database.h"
#include "io_files.h"
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_MAX 10000

static char *joined (const char *first, const char *second)
{
    char *text;
    if (asprintf (&text, "%s%s", first, second) < 0)
        abort ();
    return text;
}

static bool exists (const char *path)
{
    struct stat about;
    return !lstat (path, &about);
}

static int sync_folder_of (const char *path, struct mu_error *error)
{
    char *copy = joined (path, "");
    int rc = folder_sync (dirname (copy));
    int number = errno;
    free (copy);
    return rc ? mu_fail_errno (error, MU_IO, number, "the folder of %s cannot be synced", path) : 0;
}

static void remove_with_logs (const char *path)
{
    static const char *const ends[] = { "", "-journal", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *name = joined (path, ends[i]);
        unlink (name);
        free (name);
    }
}

/* --- the new file, while it has its other name ------------------------------------------------ */

/* Left by one that was killed it is taken over; one that is still being written is not. */
static int claim (const char *path, int *fd, struct mu_error *error)
{
    struct stat mine, there;
    *fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (*fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be made", path);
    if (flock (*fd, LOCK_EX | LOCK_NB) || fstat (*fd, &mine) || stat (path, &there) ||
        mine.st_ino != there.st_ino)
        return mu_fail (error, MU_TRY_AGAIN, "another program is writing %s", path);
    remove_with_logs (path);
    close (*fd);
    *fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (*fd < 0 || flock (*fd, LOCK_EX | LOCK_NB))
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be made", path);
    return 0;
}

/* Syncing is done once, at the end, by the caller. */
static int fill (const char *from, const char *to, int (*change) (sqlite3 *, struct mu_error *),
                 struct mu_error *error)
{
    sqlite3 *source = NULL, *copy = NULL;
    int rc = database_open_to_read (&source, from, error);
    if (rc)
        mu_error_prefix (error, "%s: ", from);
    if (!rc && (database_open (&copy, to, SQLITE_OPEN_READWRITE, error) ||
                database_run (copy, "PRAGMA synchronous=OFF", "be written", error) ||
                database_copy (source, copy, error) ||
                database_run (copy, "PRAGMA journal_mode=DELETE", "be written", error) ||
                (change && change (copy, error)))) {
        mu_error_prefix (error, "%s: ", to);
        rc = -1;
    }
    sqlite3_close (copy);
    sqlite3_close (source);
    return rc;
}

static int sync_file (int fd, const char *path, struct mu_error *error)
{
    return fsync (fd) ? mu_fail_errno (error, MU_IO, errno, "%s cannot be synced", path) : 0;
}

static int give_name (const char *partial, const char *path, struct mu_error *error)
{
    if (rename (partial, path))
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be made", path);
    return sync_folder_of (path, error);
}

/* --- backup ----------------------------------------------------------------------------------- */

static int check_copy (const char *path, const char *source, struct check *check,
                       struct mu_error *error)
{
    if (check_database (path, check, error))
        return -1;
    return check->torn ? mu_fail (error, MU_BAD_INPUT,
                                  "%s is damaged (%s): no backup was made of it; keep the last one",
                                  source, check->finding[0])
                       : 0;
}

/* Files that a coordinator may have open: another's as well as this one's. */
static bool is_coordinators (const char *file)
{
    static const char *const names[] = { "muster.db",         "muster.db-wal", "muster.db-shm",
                                         "muster.db-journal", "muster.lock",   "acceptor" };
    char *lock, *folder = joined (file, ""), *copy = joined (file, "");
    const char *name = basename (copy);
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        found |= !strcmp (name, names[i]);
    lock = joined (dirname (folder), "/muster.lock");
    found &= exists (lock);
    free (lock);
    free (copy);
    free (folder);
    return found;
}

/* May the backup have this name? Never that of a database in use. */
static int check_target (const char *source, const char *file, bool replace, struct mu_error *error)
{
    struct stat mine, theirs;
    bool there = !stat (file, &theirs);
    if (there && !stat (source, &mine) && mine.st_dev == theirs.st_dev &&
        mine.st_ino == theirs.st_ino)
        return mu_fail (error, MU_USAGE, "%s is the database itself: name another file", file);
    if (is_coordinators (file))
        return mu_fail (
            error, MU_USAGE,
            "%s is a coordinator's own: name another file, or use `muster admin restore`", file);
    if (there && (!replace || !S_ISREG (theirs.st_mode)))
        return mu_fail (error, MU_CANT_CREATE, "%s is there already: name another file%s", file,
                        S_ISREG (theirs.st_mode) ? ", or say --replace" : "");
    return 0;
}

int backup_make (const char *dir, const char *file, bool replace, struct check *check,
                 struct mu_error *error)
{
    memset (check, 0, sizeof *check);
    char *source = joined (dir, "/muster.db"), *partial = joined (file, ".partial");
    int fd = -1, rc = check_target (source, file, replace, error);
    bool claimed = false;
    if (!rc && access (source, R_OK))
        rc = mu_fail_errno (error, MU_NO_INPUT, errno,
                            "%s cannot be read (which folder is it? name it with --dir)", source);
    if (!rc) {
        rc = claim (partial, &fd, error);
        claimed = !rc;
    }
    if (!rc)
        rc = fill (source, partial, NULL, error) || sync_file (fd, partial, error) ||
                     check_copy (partial, source, check, error) || give_name (partial, file, error)
                 ? -1
                 : 0;
    if (rc && claimed)
        remove_with_logs (partial);
    if (fd >= 0)
        close (fd);
    free (source);
    free (partial);
    return rc;
}

/* --- restore ---------------------------------------------------------------------------------- */

/* More terms than the lost one can have begun since the backup was made. */
#define TERMS_SINCE 100000u

/* The newest that can be read; 0: nobody has reigned. */
static uint64_t newest_term (sqlite3_stmt *rows)
{
    uint64_t term = 0;
    msgpack_zone zone;
    if (!msgpack_zone_init (&zone, 1024))
        abort ();
    while (!term && sqlite3_step (rows) == SQLITE_ROW) {
        struct mu_journal record;
        const void *body = sqlite3_column_blob (rows, 0);
        if (body &&
            !mu_record_decode (&mu_journal_family, &record, body,
                               (size_t)sqlite3_column_bytes (rows, 0), 0, &zone, NULL) &&
            record.type == MU_JOURNAL_REIGN)
            term = record.reign.term;
    }
    msgpack_zone_destroy (&zone);
    return term;
}

static int write_reign (sqlite3_stmt *insert, uint64_t term, struct mu_error *error)
{
    struct mu_journal record = { .type = MU_JOURNAL_REIGN,
                                 .term = term,
                                 .reign = { .term = term, .lacks = true } };
    msgpack_sbuffer body;
    msgpack_sbuffer_init (&body);
    mu_text_set (record.reign.version, sizeof record.reign.version, PACKAGE_VERSION);
    int rc = mu_record_encode (&mu_journal_family, &record, &body, error);
    if (!rc) {
        sqlite3_bind_int (insert, 1, MU_JOURNAL_REIGN);
        sqlite3_bind_int64 (insert, 2, (sqlite3_int64)mu_unix_ms ());
        sqlite3_bind_blob64 (insert, 3, body.data, body.size, SQLITE_STATIC);
        if (sqlite3_step (insert) != SQLITE_DONE)
            rc = database_fail (sqlite3_db_handle (insert), "be written", error);
    }
    msgpack_sbuffer_destroy (&body);
    return rc;
}

/* Workers that have served the lost one have heard of its terms; none of them reaches this one. */
static int begin_anew (sqlite3 *database, struct mu_error *error)
{
    sqlite3_stmt *rows = NULL, *insert = NULL;
    int rc =
        database_prepare (database, &rows,
                          "SELECT body FROM journal WHERE type = 1 ORDER BY number DESC", error) ||
        database_prepare (database, &insert,
                          "INSERT INTO journal (number, type, job, unix_ms, body) SELECT 1 + "
                          "coalesce (max (number), 0), ?1, 0, ?2, ?3 FROM "
                          "(SELECT max (number) AS number FROM record UNION ALL "
                          "SELECT max (number) FROM bad_record UNION ALL "
                          "SELECT max (folded_to) FROM about)",
                          error);
    uint64_t term = rc ? 0 : newest_term (rows);
    if (term)
        rc = write_reign (insert, term + TERMS_SINCE, error);
    sqlite3_finalize (rows);
    sqlite3_finalize (insert);
    return rc ? -1 : 0;
}

static int become_another (sqlite3 *database, struct mu_error *error)
{
    if (database_migrate (database, error) || begin_anew (database, error) ||
        database_run (database,
                      "UPDATE about SET id = (random () & 4611686018427387903) | 1, cluster = 0, "
                      "inode = 0, born_ns = 0",
                      "be written", error))
        return -1;
    if (sqlite3_changes (database) == 1)
        return 0;
    return database_run (database,
                         "DELETE FROM about; INSERT INTO about (id, cluster) VALUES "
                         "((random () & 4611686018427387903) | 1, 0)",
                         "be written", error);
}

/* All that is in the log into the file, and no log any more. */
static bool make_one_file (const char *path)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *row = NULL;
    bool done = !database_open (&database, path, SQLITE_OPEN_READWRITE, NULL) &&
                !database_prepare (database, &row, "PRAGMA journal_mode=DELETE", NULL) &&
                sqlite3_step (row) == SQLITE_ROW &&
                !strcmp ((const char *)sqlite3_column_text (row, 0), "delete");
    sqlite3_finalize (row);
    sqlite3_close (database);
    return done;
}

/* It keeps its name until another gets it, unless a log has to go with it. */
static int put_aside (const char *path, char **aside, struct mu_error *error)
{
    char *log = joined (path, "-wal"), *log_aside = NULL;
    bool whole = make_one_file (path);
    int rc = -1, number = 0;
    errno = EEXIST;
    while (rc && errno == EEXIST && number++ < ASIDE_MAX) {
        free (*aside);
        if (asprintf (aside, "%s.replaced-%d", path, number) < 0)
            abort ();
        rc = link (path, *aside);
    }
    if (!rc && !whole) {
        log_aside = joined (*aside, "-wal");
        rc = (unlink (path) && errno != ENOENT) || (rename (log, log_aside) && errno != ENOENT);
    }
    if (rc)
        mu_fail_errno (error, MU_CANT_CREATE, errno,
                       "%s cannot be kept as %s: move it away, then restore again", path, *aside);
    free (log);
    free (log_aside);
    return rc ? -1 : 0;
}

/* The folder is this process's. */
static int restore_into (const char *file, const char *path, bool replace, char **aside,
                         struct mu_error *error)
{
    char *partial = joined (path, ".partial");
    bool there = exists (path);
    int fd = -1, rc = 0;
    if (there && !replace)
        rc = mu_fail (
            error, MU_CANT_CREATE,
            "%s is there already: name another folder, or say --replace (it is kept beside "
            "the restored one)",
            path);
    if (!rc)
        rc = claim (partial, &fd, error) || fill (file, partial, become_another, error) ||
                     sync_file (fd, partial, error) || (there && put_aside (path, aside, error))
                 ? -1
                 : 0;
    if (!rc && !there) { /* a log without its database is nobody's */
        char *log = joined (path, "-wal");
        unlink (log);
        free (log);
    }
    if (!rc)
        rc = give_name (partial, path, error);
    if (rc && fd >= 0)
        remove_with_logs (partial);
    if (fd >= 0)
        close (fd);
    free (partial);
    return rc;
}

int backup_restore (const char *file, const char *dir, bool replace, struct check *check,
                    char **aside, struct mu_error *error)
{
    int lock_fd = -1;
    *aside = NULL;
    if (check_database (file, check, error))
        return -1;
    if (check->torn)
        return mu_fail (error, MU_BAD_INPUT, "%s is damaged (%s): restore another one", file,
                        check->finding[0]);
    char *path = joined (dir, "/muster.db");
    int rc = folder_make (dir, error) || folder_lock (dir, &lock_fd, error) ||
                     restore_into (file, path, replace, aside, error)
                 ? -1
                 : 0;
    if (lock_fd >= 0)
        close (lock_fd);
    free (path);
    return rc;
}
