/* SPDX-License-Identifier: Apache-2.0 */
/* admin.c - `muster admin`: a coordinator's database, without asking the coordinator
 *
 * Scripts can trust the exit status: 0 is good; 65 is damage, found in what was looked at; 100 is
 * sound but for rows that a coordinator set aside before; anything else is that nothing was done. A
 * coordinator that works takes no notice of backup and check; restore and compact refuse its folder. */
#include "command.h"
#include "output.h"

#include "coordinator/io_backup.h"
#include "coordinator/io_check.h"
#include "coordinator/io_compact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *folder (const char *said, struct mu_error *error)
{
    return said ? strdup (said) : mu_options_state_dir (error);
}

static int status_of (const struct check *check)
{
    if (check->findings)
        return mu_code_exit (MU_BAD_INPUT);
    return check->set_aside ? mu_code_exit (MU_FAILED) : 0;
}

static json_t *check_to_json (const struct check *check, const char *file)
{
    json_t *findings = json_array ();
    for (uint64_t i = 0; i < check->findings && i < CHECK_FINDINGS_MAX; i++)
        json_array_append_new (findings, json_string (check->finding[i]));
    return json_pack ("{s:s, s:b, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "file", file, "sound",
                      !check->findings, "version", check->version, "records",
                      (json_int_t)check->records, "newest", (json_int_t)check->newest, "jobs",
                      (json_int_t)check->jobs, "set_aside", (json_int_t)check->set_aside,
                      "finding_count", (json_int_t)check->findings, "findings", findings);
}

static void complain (const struct check *check, const char *file)
{
    for (uint64_t i = 0; i < check->findings && i < CHECK_FINDINGS_MAX; i++)
        fprintf (stderr, "muster: %s: %s\n", file, check->finding[i]);
    if (check->findings > CHECK_FINDINGS_MAX)
        fprintf (stderr, "muster: %s: and %" PRIu64 " more\n", file,
                 check->findings - CHECK_FINDINGS_MAX);
    if (check->set_aside)
        fprintf (stderr,
                 "muster: %s: %" PRIu64
                 " bad rows were set aside and lie in its table bad_record\n",
                 file, check->set_aside);
}

static void report (const struct command *command, const struct check *check, const char *file,
                    const char *what)
{
    complain (check, file);
    if (command->json) {
        print_json (check_to_json (check, file));
        return;
    }
    if (check->torn)
        return;
    printf ("%s: %s; version %d, %" PRIu64 " records up to number %" PRIu64 ", %" PRIu64
            " job%s: %s\n",
            file, what, check->version, check->records, check->newest, check->jobs,
            check->jobs == 1 ? "" : "s", check->findings ? "DAMAGED" : "sound");
}

int command_admin_backup (const struct command *command)
{
    struct mu_error error;
    struct check check = { 0 };
    const char *file = command->operands->item[0];
    char *dir = folder (command->options->admin_backup.dir, &error);
    int status = 0;
    if (!dir || backup_make (dir, file, command->options->admin_backup.replace, &check, &error))
        status = command_fail_mu (&error);
    else
        report (command, &check, file, "a backup");
    if (!status)
        status = status_of (&check);
    check_clear (&check);
    free (dir);
    return status;
}

int command_admin_restore (const struct command *command)
{
    struct mu_error error;
    struct check check = { 0 };
    const char *file = command->operands->item[0];
    char *aside = NULL, *dir = folder (command->options->admin_restore.dir, &error);
    int status = 0;
    if (!dir || backup_restore (file, dir, command->options->admin_restore.replace, &check, &aside,
                                &error)) {
        status = command_fail_mu (&error);
    } else {
        report (command, &check, file, "restored");
        if (aside)
            fprintf (stderr, "muster: what was there before is kept as %s\n", aside);
        fprintf (stderr,
                 "muster: %s holds a database of its own now: it belongs to no cluster of "
                 "coordinators, for it lacks what came after the backup. Workers that have "
                 "served the lost one end when they reach this one: start them anew\n",
                 dir);
        status = status_of (&check);
    }
    check_clear (&check);
    free (aside);
    free (dir);
    return status;
}

int command_admin_check (const struct command *command)
{
    struct mu_error error;
    struct check check = { 0 };
    char *dir = folder (command->options->admin_check.dir, &error), *file = NULL;
    if (command->operands->count)
        file = strdup (command->operands->item[0]);
    else if (dir && asprintf (&file, "%s/muster.db", dir) < 0)
        file = NULL;
    int status = 0;
    if (!dir || !file || check_database (file, &check, &error))
        status = command_fail_mu (&error);
    else
        report (command, &check, file, "checked");
    if (!status)
        status = status_of (&check);
    check_clear (&check);
    free (file);
    free (dir);
    return status;
}

/* --- compact ---------------------------------------------------------------------------------- */

/* All that may go, one plan after the other, added up in `sum`. */
static int fold_all (struct store *store, const char *dir, uint64_t before_ms,
                     struct compaction_counts *sum, struct mu_error *error)
{
    for (bool more = true; more;) {
        struct compaction *plan = NULL;
        if (compaction_plan (dir, before_ms, NULL, &plan, error))
            return -1;
        const struct compaction_counts *counts = compaction_counts (plan);
        int rc = compaction_apply (plan, store, error);
        if (!sum->rows)
            sum->rows = counts->rows;
        sum->gone += counts->gone;
        sum->jobs += counts->jobs;
        more = counts->more;
        compaction_destroy (&plan);
        if (rc)
            return -1;
    }
    return 0;
}

static uint64_t size_of (const char *path)
{
    struct stat about;
    return stat (path, &about) ? 0 : (uint64_t)about.st_size;
}

static void print_compacted (const struct command *command, const char *path,
                             const struct compaction_counts *sum, uint64_t before)
{
    uint64_t gone = sum->gone - sum->jobs, after = size_of (path);
    if (command->json)
        print_json (json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I}", "file", path, "records",
                               (json_int_t)(sum->rows - gone), "gone", (json_int_t)gone,
                               "jobs_folded", (json_int_t)sum->jobs, "bytes_before",
                               (json_int_t)before, "bytes", (json_int_t)after));
    else
        printf ("%s: %" PRIu64 " of %" PRIu64 " records went, %" PRIu64
                " job%s now one record each; %" PRIu64 " bytes, before %" PRIu64 "\n",
                path, gone, sum->rows, sum->jobs, sum->jobs == 1 ? " is" : "s are", after, before);
}

static int compact (const struct command *command, const char *dir, const char *path,
                    struct mu_error *error)
{
    struct store *store = NULL;
    struct compaction_counts sum = { 0 };
    uint64_t before = size_of (path), before_ms, now_ms = (uint64_t)time (NULL) * 1000 + 999,
             history_ms = command->options->admin_compact.history_days * 86400000;
    if (access (path, R_OK | W_OK))
        return mu_fail_errno (error, MU_NO_INPUT, errno,
                              "%s cannot be changed (which folder is it? name it with --dir)",
                              path);
    if (store_open (&store, dir, error)) {
        if (error->code == MU_UNAVAILABLE)
            mu_error_prefix (error, "a coordinator folds by itself while it works: ");
        return -1;
    }
    int rc = compaction_before_ms (dir, now_ms, history_ms, &before_ms, error) ||
                     fold_all (store, dir, before_ms, &sum, error) ||
                     store_rebuild_views (store, error) || store_vacuum (store, error)
                 ? -1
                 : 0;
    store_close (&store);
    if (!rc)
        print_compacted (command, path, &sum, before);
    return rc;
}

int command_admin_compact (const struct command *command)
{
    struct mu_error error;
    char *dir = folder (command->options->admin_compact.dir, &error), *path = NULL;
    if (dir && asprintf (&path, "%s/muster.db", dir) < 0)
        path = NULL;
    int status = 0;
    if (!dir || !path || compact (command, dir, path, &error))
        status = command_fail_mu (&error);
    free (path);
    free (dir);
    return status;
}
