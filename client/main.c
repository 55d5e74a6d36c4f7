/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the `muster` command: options, then one function a command */
#include "command.h"
#include "output.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int (*run) (const struct command *);
    bool offline; /* needs no coordinator */
} commands[] = {
    [MU_CLIENT_UP] = { command_up, true },
    [MU_CLIENT_SUBMIT] = { command_submit, false },
    [MU_CLIENT_VALIDATE] = { command_validate, true },
    [MU_CLIENT_JOBS] = { command_jobs, false },
    [MU_CLIENT_STATUS] = { command_status, false },
    [MU_CLIENT_WATCH] = { command_watch, false },
    [MU_CLIENT_LOGS] = { command_logs, false },
    [MU_CLIENT_WAIT] = { command_wait, false },
    [MU_CLIENT_CANCEL] = { command_cancel, false },
    [MU_CLIENT_PAUSE] = { command_pause, false },
    [MU_CLIENT_RESUME] = { command_resume, false },
    [MU_CLIENT_SCALE] = { command_scale, false },
    [MU_CLIENT_WORKERS] = { command_workers, false },
    [MU_CLIENT_COORDINATORS] = { command_coordinators, true },
    [MU_CLIENT_DRAIN] = { command_drain, false },
    [MU_CLIENT_FAULT_KILL] = { command_fault, false },
    [MU_CLIENT_FAULT_STOP] = { command_fault, false },
    [MU_CLIENT_FAULT_SLOW] = { command_fault, false },
    [MU_CLIENT_FAULT_CORRUPT] = { command_fault, false },
    [MU_CLIENT_FAULT_PARTITION] = { command_fault, false },
    [MU_CLIENT_FAULT_DROP] = { command_fault, false },
    [MU_CLIENT_SHARDS] = { command_shards, false },
    [MU_CLIENT_LEDGER_VERIFY] = { command_ledger_verify, false },
    [MU_CLIENT_LEDGER_SHOW] = { command_ledger_show, false },
    [MU_CLIENT_CHECKPOINTS] = { command_checkpoints, false },
    [MU_CLIENT_SAMPLE] = { command_sample, true },
    [MU_CLIENT_DATA_INSPECT] = { command_data_inspect, true },
    [MU_CLIENT_DATA_TOKENIZE] = { command_data_tokenize, true },
    [MU_CLIENT_ADMIN_BACKUP] = { command_admin_backup, true },
    [MU_CLIENT_ADMIN_RESTORE] = { command_admin_restore, true },
    [MU_CLIENT_ADMIN_COMPACT] = { command_admin_compact, true },
    [MU_CLIENT_ADMIN_CHECK] = { command_admin_check, true },
    [MU_CLIENT_METRICS] = { command_metrics, false },
    [MU_CLIENT_EVENTS] = { command_events, false },
};

static void tell (const char *text)
{
    fputs ("muster: ", stderr);
    print_plain_lines (stderr, text, strlen (text));
    putc ('\n', stderr);
}

int command_fail (const struct muster_error *error)
{
    tell (error->text);
    return muster_exit_status (error);
}

int command_fail_mu (const struct mu_error *error)
{
    tell (error->text);
    return mu_code_exit ((int)error->code);
}

static int run (const struct mu_client_options *options, const struct mu_operands *operands)
{
    unsigned number = operands->command->number;
    struct command command = {
        .options = options,
        .operands = operands,
        .json = options->output == MU_CLIENT_OUTPUT_JSON,
    };
    if (!commands[number].offline) {
        struct muster_error error;
        const struct mu_text_list *coordinator = &options->coordinator;
        if (muster_open_any (&command.muster, (const char *const *)coordinator->item,
                             coordinator->count, &error))
            return command_fail (&error);
        muster_set_timeout (command.muster, (uint32_t)options->timeout * 1000);
    }
    int status = commands[number].run (&command);
    muster_close (&command.muster);
    return status;
}

int main (int argc, char **argv)
{
    struct mu_client_options options = { 0 };
    struct mu_operands operands;
    struct mu_error error;
    int result = mu_options_parse (&mu_client_program, &options, argc, argv, &operands, &error);
    if (result)
        return mu_options_exit (&mu_client_program, result, &error);
    signal (SIGPIPE, SIG_DFL);
    int status = run (&options, &operands);
    mu_options_clear (&mu_client_program, &options);
    if (fflush (stdout) || ferror (stdout)) {
        fprintf (stderr, "muster: standard output cannot be written\n");
        return status ? status : mu_code_exit (MU_IO);
    }
    return status;
}
