/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - muster-coordinator: options, journal, replay, then the loops
 *
 * The order matters: the journal is locked and replayed before the port is opened, so two
 * coordinators on one state directory cannot both answer, and nobody hears from one that does not
 * yet know what it promised. With a register it first follows, be it for a moment, then it leads; when
 * its reign is over it begins anew.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "clock.h"
#include "common/fault.h"
#include "coord.h"
#include "io_files.h"
#include "io_follow.h"
#include "io_lead.h"
#include "io_logs.h"
#include "io_loop.h"
#include "io_peers.h"
#include "io_recorder.h"
#include "io_register.h"
#include "io_reign.h"
#include "io_socket.h"
#include "io_store.h"
#include "io_witness.h"
#include "log.h"
#include "options.h"

#include <arpa/inet.h>
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

/* Descriptors that are opened after the sockets: the database, recordings, other coordinators. */
#define DESCRIPTORS_OURS 40

struct daemon {
    struct mu_coordinator_options options;
    char *dir;
    struct store *store;
    struct job_logs *logs;
    struct coord *coord;
    struct recorder *recorder; /* NULL: nothing is recorded */
    struct mu_sockets *sockets;
    /* With a register: */
    struct peers *peers;
    struct claim claim;
    struct io_reign *reign;
    struct lead *lead;
    uint32_t *workers, worker_count; /* that looked for a coordinator while this one followed */
    int signal_fd;
};

static void log_to_job (void *arg, enum mu_log_level level, const struct mu_log_about *about,
                        const char *line, size_t size)
{
    (void)level;
    if (about && !about->outside)
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

/* The core, fed all that is in the journal. */
static int open_core (struct daemon *daemon, bool record, struct mu_error *error)
{
    uint64_t records, bad;
    const struct mu_coordinator_options *options = &daemon->options;
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
        .jobs_max = (uint32_t)options->keep_jobs,
        .history_ms = options->history_days * 86400000,
        .faults = options->enable_faults,
        .version = PACKAGE_VERSION,
    };
    coord_destroy (&daemon->coord);
    daemon->coord = coord_create (&core);
    if (!daemon->coord)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (record)
        daemon->recorder = recorder_start (options->record, options->record_max, &core, daemon->coord);
    if (store_replay (daemon->store, apply, daemon, &records, &bad, error))
        return -1;
    if (records || bad)
        mu_log (bad ? MU_LOG_ERROR : MU_LOG_INFO, "replayed", NULL,
                "%" PRIu64 " records of %s are read%s", records, daemon->dir,
                bad ? "; others could not be and lie in the table bad_record" : "");
    return 0;
}

static int open_journal (struct daemon *daemon, struct mu_error *error)
{
    const struct mu_coordinator_options *options = &daemon->options;
    daemon->dir = options->dir ? strdup (options->dir) : mu_options_state_dir (error);
    if (!daemon->dir)
        return -1;
    if (store_open (&daemon->store, daemon->dir, error) ||
        !(daemon->logs = job_logs_open (daemon->dir, error)))
        return -1;
    mu_log_also (log_to_job, daemon->logs);
    return open_core (daemon, options->record && !options->register_, error);
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

/* A start that cannot serve all it promises says so before the first is left outside. */
static int check_room (const struct daemon *daemon, struct mu_error *error)
{
    size_t room = sockets_room (daemon->sockets), ours = DESCRIPTORS_OURS;
    room = room > ours ? room - ours : 0;
    if (!room)
        return mu_fail (
            error, MU_SYSTEM,
            "the limit of open files leaves room for nobody: raise it with LimitNOFILE= (systemd) "
            "or ulimit -n, to 200 and one a worker or client at least");
    if (room < daemon->options.workers_max)
        mu_log (MU_LOG_WARN, "descriptors", NULL,
                "the limit of open files leaves room for %zu connections, one a worker or client, "
                "and --workers-max is %zu: raise it with LimitNOFILE= (systemd) or ulimit -n by at "
                "least %zu, or lower --workers-max. Who does not fit waits outside",
                room, (size_t)daemon->options.workers_max,
                (size_t)daemon->options.workers_max - room);
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
    return check_room (daemon, error);
}

/* --- with other coordinators --------------------------------------------------------------------- */

/* It is told to others, and put into the register: a number that they can reach, no "all of them" and no name of an
 * interface, which ZeroMQ would listen at as well. */
static int check_told (const char *option, const char *endpoint, struct mu_error *error)
{
    char host[64];
    const char *port = strrchr (endpoint, ':'), *begin = endpoint + strlen ("tcp://");
    unsigned char address[sizeof (struct in6_addr)];
    static const unsigned char all[sizeof address];
    if (strncmp (endpoint, "tcp://", strlen ("tcp://")))
        return 0;
    if (port > begin && port - begin < (long)sizeof host && strtoul (port + 1, NULL, 10)) {
        bool six = *begin == '[' && port[-1] == ']';
        snprintf (host, sizeof host, "%.*s", (int)(port - begin - 2 * six), begin + six);
        memset (address, 0, sizeof address);
        if (inet_pton (six ? AF_INET6 : AF_INET, host, address) == 1 &&
            memcmp (address, all, sizeof address) != 0)
            return 0;
    }
    return mu_fail (
        error, MU_CONFIG,
        "%s %s: with --register this is told to workers and other coordinators, so it must "
        "be one address, in numbers, that they can reach, as in tcp://10.0.0.5:7600",
        option, endpoint);
}

static int check_options (const struct mu_coordinator_options *options, struct mu_error *error)
{
    if (options->witness && (options->standby || options->take_over))
        return mu_fail (error, MU_USAGE,
                        "a --witness only votes: it is no --standby, and cannot --take-over");
    if (options->witness)
        return 0;
    if (!options->register_ && (options->standby || options->take_over || options->peers.count ||
                                   options->peer_listen.count))
        return mu_fail (error, MU_USAGE,
                        "other coordinators need a --register that says which of them reigns");
    if (options->register_ && !options->peer_listen.count)
        return mu_fail (error, MU_USAGE,
                        "--register needs --peer-listen: where the other coordinators reach this one, "
                        "as in tcp://10.0.0.5:7601");
    return options->register_ && (check_told ("--listen", options->listen.item[0], error) ||
                                  check_told ("--peer-listen", options->peer_listen.item[0], error))
               ? -1
               : 0;
}

/* Before it is heard, or votes. */
static int check_copy (struct daemon *daemon, struct mu_error *error)
{
    const struct claim_options claim = { .copied = store_is_copy (daemon->store),
                                         .take_over = daemon->options.take_over };
    if (!claim.copied)
        return 0;
    if (!claim_check (&claim, error))
        return store_become_another (daemon->store, error);
    mu_error_prefix (error, "%s: ", daemon->dir);
    return -1;
}

static int open_register (struct daemon *daemon, struct mu_error *error)
{
    const struct mu_coordinator_options *options = &daemon->options;
    struct register_options asked = {
        .url = options->register_,
        .peers = (const char *const *)options->peers.item,
        .peer_count = (uint32_t)options->peers.count,
        .id = store_id (daemon->store),
    };
    struct io_register *reg = NULL;
    bool votes = !strncmp (options->register_, "majority:", strlen ("majority:"));
    if (peers_open (&daemon->peers, options->peer_listen.item[0], options->allow_unauthenticated,
                    votes ? daemon->dir : NULL, error) ||
        register_open (&reg, &asked, error))
        return -1;
    return io_reign_start (&daemon->reign, reg, error);
}

static int rebuild (void *arg, struct mu_error *error) { return open_core (arg, false, error); }

static void begin_claim (struct daemon *daemon)
{
    const struct mu_coordinator_options *options = &daemon->options;
    struct claim_options claim = {
        .id = store_id (daemon->store),
        .cluster = store_cluster (daemon->store),
        .term = coord_term (daemon->coord),
        .new_cluster = (draw_id () & INT64_MAX) | 1,
        .peer = options->peer_listen.item[0],
        .client = options->listen.item[0],
        .lost_ms = (uint32_t)options->peer_lost_ms,
        .damaged = store_is_damaged (daemon->store),
        .standby = options->standby,
        .take_over = options->take_over,
    };
    claim_start (&daemon->claim, &claim, mu_now_ms ());
}

/* Until it leads, or is told to stop. */
static enum follow_end follow (struct daemon *daemon, struct mu_error *error)
{
    struct follow_options options = {
        .claim = &daemon->claim,
        .reign = daemon->reign,
        .peers = daemon->peers,
        .sockets = daemon->sockets,
        .store = daemon->store,
        .logs = daemon->logs,
        .coord = &daemon->coord,
        .rebuild = rebuild,
        .arg = daemon,
        .version = PACKAGE_VERSION,
        .dir = daemon->dir,
        .history_ms = daemon->options.history_days * 86400000,
        .signal_fd = daemon->signal_fd,
    };
    begin_claim (daemon);
    enum follow_end end = follow_run (&options, &daemon->workers, &daemon->worker_count, error);
    if (end != FOLLOW_LEADS)
        return end;
    if (daemon->options.record && open_core (daemon, true, error))
        return FOLLOW_FAILED;
    struct lead_options lead = { .claim = &daemon->claim,
                                 .reign = daemon->reign,
                                 .peers = daemon->peers,
                                 .store = daemon->store,
                                 .ahead = daemon->options.standby_mode ==
                                          MU_COORDINATOR_STANDBY_MODE_ASYNC };
    return lead_begin (&daemon->lead, &lead, error) ? FOLLOW_FAILED : FOLLOW_LEADS;
}

static int lead (struct daemon *daemon, struct mu_error *error)
{
    struct loop_options loop = {
        .coord = daemon->coord,
        .sockets = daemon->sockets,
        .store = daemon->store,
        .lead = daemon->lead,
        .workers = daemon->workers,
        .worker_count = daemon->worker_count,
        .logs = daemon->logs,
        .recorder = daemon->recorder,
        .version = PACKAGE_VERSION,
        .dir = daemon->dir,
        .history_ms = daemon->options.history_days * 86400000,
        .faults = daemon->options.enable_faults,
        .signal_fd = daemon->signal_fd,
    };
    loop.reign.lost_jobs = store_lost_jobs (daemon->store);
    if (daemon->lead)
        loop.reign = (struct coord_reign){ .lost_jobs = loop.reign.lost_jobs,
                                           .term = daemon->claim.term,
                                           .leader = daemon->claim.options.id,
                                           .ahead_ms = lead_ahead_ms (daemon->lead),
                                           .lacks_ms = lead_lacks_ms (daemon->lead),
                                           .lacks = daemon->claim.lacks };
    daemon->claim.lacks = false;
    return loop_run (&loop, error);
}

static void end_reign (struct daemon *daemon)
{
    recorder_stop (&daemon->recorder, "another coordinator reigns");
    lead_end (&daemon->lead);
    free (daemon->workers);
    daemon->workers = NULL;
    daemon->worker_count = 0;
}

/* A reign that was lost is no failure: what was not acknowledged is dropped, and the core is made anew
 * from what is durable. */
static int reign_in_turn (struct daemon *daemon, struct mu_error *error)
{
    for (;;) {
        enum follow_end end = follow (daemon, error);
        if (end != FOLLOW_LEADS)
            return end == FOLLOW_STOPPED ? 0 : -1;
        if (!lead (daemon, error))
            return 0;
        if (error->code != MU_NOT_LEADER)
            return -1;
        mu_log (MU_LOG_WARN, "deposed", NULL, "%s; this one follows it from now on", error->text);
        end_reign (daemon);
        if (open_core (daemon, false, error))
            return -1;
    }
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
    const struct mu_coordinator_options *options = &daemon->options;
    if (mu_log_open ("muster-coordinator", options->log_file, (enum mu_log_level)options->log_level,
                     error) ||
        mu_fault_allowed (options->enable_faults, error) || check_options (options, error) ||
        watch_signals (daemon, error))
        return -1;
    if (options->witness)
        return run_witness (daemon, error);
    if (open_journal (daemon, error) ||
        (options->register_ && (check_copy (daemon, error) || open_register (daemon, error))) ||
        open_sockets (daemon, error))
        return -1;
    int rc = options->register_ ? reign_in_turn (daemon, error) : lead (daemon, error);
    if (!rc)
        mu_log (MU_LOG_INFO, "stopped", NULL, "jobs go on when a coordinator starts on %s again",
                daemon->dir);
    return rc;
}

static void clean_up (struct daemon *daemon, const char *why)
{
    sockets_close (&daemon->sockets);
    recorder_stop (&daemon->recorder, why);
    lead_end (&daemon->lead);
    free (daemon->workers);
    io_reign_stop (&daemon->reign);
    peers_close (&daemon->peers);
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
