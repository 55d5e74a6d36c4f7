/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - muster-coordinator: options, journal, replay, then the loop
 *
 * The order matters: the journal is locked and replayed before the port is opened, so two
 * coordinators on one state directory cannot both answer, and nobody hears from one that does not
 * yet know what it promised.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "coord.h"
#include "fault.h"
#include "io_logs.h"
#include "io_loop.h"
#include "io_recorder.h"
#include "io_socket.h"
#include "io_store.h"
#include "io_witness.h"
#include "log.h"
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

struct daemon {
    struct mu_coordinator_options options;
    char *dir;
    struct store *store;
    struct job_logs *logs;
    struct coord *coord;
    struct recorder *recorder; /* NULL: nothing is recorded */
    struct mu_sockets *sockets;
    int signal_fd;
};

static void log_to_job (void *arg, enum mu_log_level level, const struct mu_log_about *about,
                        const char *line, size_t size)
{
    (void)level;
    if (about)
        job_logs_add (arg, about->job, line, size);
}

static int apply (void *arg, const struct mu_journal *record, struct mu_error *error)
{
    struct daemon *daemon = arg;
    if (coord_apply (daemon->coord, record, error))
        return -1;
    recorder_apply (daemon->recorder, record);
    return 0;
}

static int open_journal (struct daemon *daemon, struct mu_error *error)
{
    uint64_t records, bad;
    const struct mu_coordinator_options *options = &daemon->options;
    daemon->dir = options->dir ? strdup (options->dir) : mu_options_state_dir (error);
    if (!daemon->dir)
        return -1;
    if (store_open (&daemon->store, daemon->dir, error) ||
        !(daemon->logs = job_logs_open (daemon->dir, error)))
        return -1;
    mu_log_also (log_to_job, daemon->logs);
    struct coord_options core = {
        .beat_ms = (uint32_t)options->beat_ms,
        .lost_ms = (uint32_t)options->lost_ms,
        .form_limit_ms = (uint32_t)options->form_limit_ms,
        .hang_ms = (uint32_t)options->hang_ms,
        .stall_ms = (uint32_t)(options->stall_s * 1000),
        .lease_ahead_ms = (uint32_t)options->lease_ahead_s * 1000,
        .save_try_ms = (uint32_t)options->save_try_s * 1000,
        .quarantine_failures = (uint32_t)options->quarantine_failures,
        .workers_max = (uint32_t)options->workers_max,
        .faults = options->enable_faults,
        .version = PACKAGE_VERSION,
    };
    daemon->coord = coord_create (&core);
    if (!daemon->coord)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (options->record)
        daemon->recorder = recorder_start (options->record, options->record_max, &core, daemon->coord);
    if (store_replay (daemon->store, apply, daemon, &records, &bad, error))
        return -1;
    if (records || bad)
        mu_log (bad ? MU_LOG_ERROR : MU_LOG_INFO, "replayed", NULL,
                "%" PRIu64 " records of %s are read%s", records, daemon->dir,
                bad ? "; others could not be and lie in the table bad_record" : "");
    return 0;
}

/* SIGTERM and SIGINT end the loop, SIGHUP opens a log file anew; SIGPIPE is nobody's. Blocked
 * before any thread starts. */
static int watch_signals (struct daemon *daemon, struct mu_error *error)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    if (daemon->options.log_file) /* without one the terminal is gone, and so are we */
        sigaddset (&set, SIGHUP);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
    signal (SIGXFSZ, SIG_IGN); /* a file-size limit is an error of write (), like a full disk */
    daemon->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (daemon->signal_fd < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "signals cannot be watched");
    return 0;
}

static int open_sockets (struct daemon *daemon, struct mu_error *error)
{
    const struct mu_text_list *listen = &daemon->options.listen;
    if (sockets_open (&daemon->sockets, (const char *const *)listen->item, listen->count,
                      daemon->options.allow_unauthenticated, error))
        return -1;
    for (size_t i = 0; i < listen->count; i++)
        mu_log (MU_LOG_INFO, "listening", NULL, "at %s, version %s, state in %s", listen->item[i],
                PACKAGE_VERSION, daemon->dir);
    return 0;
}

static int run_witness (struct daemon *daemon, struct mu_error *error)
{
    daemon->dir =
        daemon->options.dir ? strdup (daemon->options.dir) : mu_options_state_dir (error);
    if (!daemon->dir)
        return -1;
    return witness_run (&daemon->options, daemon->dir, daemon->signal_fd, error);
}

static int run (struct daemon *daemon, struct mu_error *error)
{
    if (mu_fault_allowed (daemon->options.enable_faults, error) ||
        mu_log_open ("muster-coordinator", daemon->options.log_file,
                     (enum mu_log_level)daemon->options.log_level, error) ||
        watch_signals (daemon, error))
        return -1;
    if (daemon->options.witness)
        return run_witness (daemon, error);
    if (open_journal (daemon, error) || open_sockets (daemon, error))
        return -1;
    struct loop_options loop = {
        .coord = daemon->coord,
        .sockets = daemon->sockets,
        .store = daemon->store,
        .logs = daemon->logs,
        .recorder = daemon->recorder,
        .version = PACKAGE_VERSION,
        .faults = daemon->options.enable_faults,
        .signal_fd = daemon->signal_fd,
    };
    int rc = loop_run (&loop, error);
    if (!rc)
        mu_log (MU_LOG_INFO, "stopped", NULL, "jobs go on when a coordinator starts on %s again",
                daemon->dir);
    return rc;
}

static void clean_up (struct daemon *daemon, const char *why)
{
    sockets_close (&daemon->sockets);
    recorder_stop (&daemon->recorder, why);
    coord_destroy (&daemon->coord);
    mu_log_also (NULL, NULL);
    job_logs_close (&daemon->logs);
    store_close (&daemon->store);
    if (daemon->signal_fd >= 0)
        close (daemon->signal_fd);
    mu_log_close ();
    free (daemon->dir);
    mu_options_clear (&mu_coordinator_program, &daemon->options);
}

int main (int argc, char **argv)
{
    struct mu_error error;
    struct daemon daemon = { .signal_fd = -1 };
    struct mu_operands none;
    int result =
        mu_options_parse (&mu_coordinator_program, &daemon.options, argc, argv, &none, &error);
    if (result)
        return mu_options_exit (&mu_coordinator_program, result, &error);
    int status = 0;
    if (run (&daemon, &error)) {
        mu_log (MU_LOG_ERROR, "cannot_go_on", NULL, "%s", error.text);
        if (daemon.options.log_file) /* which nobody may be looking at, or which is the trouble */
            fprintf (stderr, "muster-coordinator: %s\n", error.text);
        status = mu_code_exit ((int)error.code);
    }
    clean_up (&daemon, status ? error.text : "the coordinator was told to stop");
    return status;
}
