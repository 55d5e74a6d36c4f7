/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - what the commands of `muster` share
 *
 * A command is a function from options and operands to an exit status. Ids and results go to
 * standard output; progress, next steps and errors to standard error. */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

#include "muster.h"
#include "options.h"

#include <jansson.h>
#include <stdbool.h>

struct command {
    const struct mu_client_options *options;
    const struct mu_operands *operands;
    struct muster *muster; /* NULL for commands that need no coordinator */
    bool json;
};

int command_up (const struct command *command);
int command_submit (const struct command *command);
int command_validate (const struct command *command);
int command_jobs (const struct command *command);
int command_status (const struct command *command);
int command_watch (const struct command *command);
int command_wait (const struct command *command);
int command_logs (const struct command *command);
int command_cancel (const struct command *command);
int command_pause (const struct command *command);
int command_resume (const struct command *command);
int command_scale (const struct command *command);
int command_workers (const struct command *command);
int command_coordinators (const struct command *command);
int command_drain (const struct command *command);
int command_fault (const struct command *command);
int command_shards (const struct command *command);
int command_ledger_verify (const struct command *command);
int command_ledger_show (const struct command *command);
int command_checkpoints (const struct command *command);
int command_events (const struct command *command);
int command_metrics (const struct command *command);
int command_sample (const struct command *command);
int command_data_inspect (const struct command *command);
int command_data_tokenize (const struct command *command);
int command_admin_backup (const struct command *command);
int command_admin_restore (const struct command *command);
int command_admin_compact (const struct command *command);
int command_admin_check (const struct command *command);

/* --- reporting -------------------------------------------------------------------------------- */

/* Print "muster: <text>" and return the exit status that goes with the code. */
int command_fail (const struct muster_error *error);
int command_fail_mu (const struct mu_error *error);

/* The job as `status -o json` shows it. */
json_t *job_to_json (const struct muster_job_info *job);

/* --- following a job (watch.c) ---------------------------------------------------------------- */

enum { EXIT_JOB_FAILED = 100, EXIT_JOB_NOT_FINISHED = 101, EXIT_JOB_CANCELLED = 103 };

/* Show progress until the job ends; Ctrl-C detaches, twice within 2 s cancels. Returns the exit
 * status. With `quiet` nothing is shown. *last, unless `last` is NULL, becomes the job as it was
 * last seen, the caller's, or NULL if it never was. */
int follow_job (const struct command *command, const char *job, bool quiet, json_t **last);

/* Has it come to its end? Then *status is what to exit with. */
bool job_info_ended (const struct muster_job_info *job, int *status);

#endif
