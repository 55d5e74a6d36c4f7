/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - muster-worker: an agent and the processes it keeps
 *
 * Sets the stage (options, log, name, programs, network device, signals), then runs the loop of
 * io_agent.c. Whatever is wrong with this machine is said before the coordinator hears of it. */
#include "worker/io_agent.h"
#include "worker/io_device.h"
#include "worker/io_name.h"
#include "worker/io_supervise.h"

#include "common/companion.h"
#include "common/cpus.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/options.h"
#include "common/resolve.h"
#include "config.h"
#include "worker/kernels/kernels.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FILES_WANTED   256 /* sockets, children's pipes, libzmq's own; a worker needs few */
#define THREADS_WANTED 4   /* libzmq's two and this one, and one to spare */

struct stage {
    struct mu_worker_options options;
    struct io_name name;
    char *dir;
    char trainer[PATH_MAX], collective[PATH_MAX], device[64], compute_class[128];
    const struct mu_kernels *kernels;
    unsigned threads;
};

/* --- what this machine has -------------------------------------------------------------------- */

static int find_program (char path[PATH_MAX], const char *name, struct mu_error *error)
{
    if (mu_find_companion (path, name, X_OK))
        return 0;
    return mu_fail (error, MU_UNAVAILABLE,
                    "the program %s is not in %s; it is installed with muster-worker, or "
                    "MUSTER_LIBEXECDIR names its folder",
                    name, MU_LIBEXECDIR);
}

static void cpu_name (char *name, size_t size)
{
    char line[256];
    FILE *file = fopen ("/proc/cpuinfo", "r");
    snprintf (name, size, "unknown CPU");
    while (file && fgets (line, sizeof line, file)) {
        char *colon = strchr (line, ':');
        if (strncmp (line, "model name", 10) != 0 || !colon)
            continue;
        colon[strcspn (colon, "\n")] = '\0';
        snprintf (name, size, "%s", colon + 2);
        break;
    }
    if (file)
        fclose (file);
}

/* Jobs with `bits: portable` run anywhere; this says with whom this worker could share a job with
 * `bits: host`. */
static void name_compute_class (char *text, size_t size)
{
    char cpu[64];
    const struct mu_kernels *host = mu_kernels_get ("openblas", NULL);
    cpu_name (cpu, sizeof cpu);
    if (host)
        snprintf (text, size, "%s, %s", host->math.name, cpu);
    else
        snprintf (text, size, "portable");
}

static void raise_file_limit (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < FILES_WANTED)
        mu_log (MU_LOG_WARN, "limits", &MU_LOG_ABOUT_NOTHING,
                "only %llu files may be open at once; a worker wants %d (ulimit -n)",
                (unsigned long long)limit.rlim_cur, FILES_WANTED);
}

static void *rest (void *gate)
{
    pthread_rwlock_rdlock (gate);
    pthread_rwlock_unlock (gate);
    return NULL;
}

/* libzmq ends a process that cannot start its threads, without a word to people. */
static int try_threads (struct mu_error *error)
{
    pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
    pthread_t threads[THREADS_WANTED];
    int count = 0, number = 0;
    pthread_rwlock_wrlock (&gate);
    while (count < THREADS_WANTED && !number)
        if (!(number = pthread_create (&threads[count], NULL, rest, &gate)))
            count++;
    pthread_rwlock_unlock (&gate);
    for (int i = 0; i < count; i++)
        pthread_join (threads[i], NULL);
    if (!number)
        return 0;
    return mu_fail_errno (error, MU_SYSTEM, number,
                          "only %d of %d threads can be started here: raise what limits memory or "
                          "processes (ulimit -v, ulimit -u, pids.max of the cgroup)",
                          count, THREADS_WANTED);
}

/* --- the stage -------------------------------------------------------------------------------- */

static int open_log (const struct stage *stage, struct mu_error *error)
{
    static const enum mu_log_level levels[] = {
        [MU_WORKER_LOG_LEVEL_DEBUG] = MU_LOG_DEBUG,
        [MU_WORKER_LOG_LEVEL_INFO] = MU_LOG_INFO,
        [MU_WORKER_LOG_LEVEL_WARN] = MU_LOG_WARN,
        [MU_WORKER_LOG_LEVEL_ERROR] = MU_LOG_ERROR,
    };
    return mu_log_open ("muster-worker", stage->options.log_file, levels[stage->options.log_level],
                        error);
}

/* libzmq looks names up by itself until they resolve, and says nothing: people are told here. */
static bool has_host (const char *endpoint)
{
    struct mu_error why;
    if (mu_resolve (endpoint, MU_RESOLVE_MS, &why) == 0)
        return true;
    mu_log (MU_LOG_WARN, "no_host", &MU_LOG_ABOUT_NOTHING,
            "%s; this worker keeps trying until it does", why.text);
    return false;
}

static int choose_device (struct stage *stage, struct mu_error *error)
{
    const char *interface = stage->options.interface;
    const struct mu_text_list *coordinator = &stage->options.coordinator;
    struct mu_error why = { .text = "no coordinator's name resolves" };
    bool wanted = !interface || !*interface, found = false;
    for (size_t i = 0; i < coordinator->count; i++)
        if (has_host (coordinator->item[i]) && wanted && !found)
            found = io_device_towards (coordinator->item[i], stage->device, sizeof stage->device,
                                       &why) == 0;
    if (!wanted)
        return mu_collective_device (interface, stage->device, sizeof stage->device, error);
    if (found)
        return 0;
    mu_log (MU_LOG_WARN, "device", &MU_LOG_ABOUT_NOTHING,
            "gradients may go over any network device: %s; --interface names one", why.text);
    stage->device[0] = '\0';
    return 0;
}

static const char *const isas[] = { [MU_WORKER_ISA_AUTO] = "",
                                    [MU_WORKER_ISA_AVX512] = "avx512",
                                    [MU_WORKER_ISA_AVX2] = "avx2",
                                    [MU_WORKER_ISA_PLAIN] = "plain" };

static int set_stage (struct stage *stage, struct mu_error *error)
{
    const struct mu_worker_options *options = &stage->options;
    const char *isa = isas[options->isa];
    if (mu_fault_allowed (options->enable_faults, error) < 0 || open_log (stage, error) < 0)
        return -1;
    raise_file_limit ();
    stage->dir = options->dir ? strdup (options->dir) : mu_options_state_dir (error);
    if (!stage->dir)
        return options->dir ? mu_fail (error, MU_SYSTEM, "no memory") : -1;
    if (options->collective && *options->collective)
        snprintf (stage->collective, sizeof stage->collective, "%s", options->collective);
    else if (find_program (stage->collective, "muster-collective", error) < 0)
        return -1;
    if (find_program (stage->trainer, "muster-trainer", error) < 0)
        return -1;
    stage->kernels = mu_kernels_get (*isa ? isa : NULL, error);
    if (!stage->kernels)
        return -1;
    stage->threads = options->threads ? (unsigned)options->threads : mu_cpus ();
    name_compute_class (stage->compute_class, sizeof stage->compute_class);
    if (io_name_take (&stage->name, stage->dir, options->name, error) < 0)
        return -1;
    /* Paths of checkpoints are told to others, and outlive this process: absolute from here on. */
    char *whole = realpath (stage->dir, NULL);
    if (!whole)
        return mu_fail_errno (error, MU_SYSTEM, errno, "the folder %s cannot be found", stage->dir);
    free (stage->dir);
    stage->dir = whole;
    return choose_device (stage, error);
}

static int catch_signals (struct mu_error *error)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGHUP);
    signal (SIGPIPE, SIG_IGN);
    if (sigprocmask (SIG_BLOCK, &set, NULL) < 0)
        return mu_fail_errno (error, MU_SYSTEM, errno, "signals cannot be blocked");
    int fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : mu_fail_errno (error, MU_SYSTEM, errno, "no signal descriptor");
}

/* --- the job's log goes to the coordinator, too ----------------------------------------------- */

static void send_line (void *argument, enum mu_log_level level, const struct mu_log_about *about,
                       const char *line, size_t size)
{
    struct io_agent *io = argument;
    struct mu_wire wire = { .type = MU_WIRE_LOG };
    if (!about->job || level < MU_LOG_INFO || !agent_welcome (io->agent) ||
        !mu_text_valid (line, size))
        return;
    wire.term = agent_term (io->agent);
    wire.log.job = about->job;
    wire.log.line = (struct mu_blob){ line, (uint32_t)size };
    io_coordinator_send (io->coordinator, &wire, false);
}

/* --- act -------------------------------------------------------------------------------------- */

static int open_agent (struct io_agent *io, const struct stage *stage, struct mu_error *error)
{
    const struct mu_worker_options *options = &stage->options;
    uint64_t seed = stage->name.incarnation * UINT64_C (0x9e3779b97f4a7c15) ^ (uint64_t)getpid ();
    struct agent_options agent = { .name = stage->name.name,
                                   .host = stage->name.host,
                                   .address = options->coordinator.item[0],
                                   .version = PACKAGE_VERSION,
                                   .compute_class = stage->compute_class,
                                   .isa = stage->kernels->math.name,
                                   .threads = stage->threads,
                                   .incarnation = stage->name.incarnation,
                                   .seed = seed,
                                   .faults = options->enable_faults,
                                   .spare = options->spare == MU_WORKER_SPARE_YES };
    io_trainer_init (&io->trainer);
    io->name = stage->name.name;
    io->region_fd = -1;
    io->trainer_options =
        (struct io_trainer_options){ .program = stage->trainer,
                                     .isa = isas[options->isa],
                                     .dir = stage->dir,
                                     .cache = options->data_cache ? options->data_cache : "",
                                     .threads = stage->threads };
    io->collective.options = (struct mu_collective_options){
        .program = stage->collective,
        .region_fd = -1,
        .device = stage->device[0] ? stage->device : NULL,
        .port_range = options->port_range,
    };
    char identity[IO_NAME_SIZE + 24]; /* two processes of one name must not share a line */
    snprintf (identity, sizeof identity, "%s/%llx", io->name,
              (unsigned long long)stage->name.incarnation);
    io->signals = catch_signals (error);
    if (io->signals < 0 ||
        io_coordinator_open (&io->coordinator, options->coordinator.item,
                             options->coordinator.count, identity, seed, error) < 0)
        return -1;
    io->agent = agent_create (&agent);
    mu_log_also (send_line, io);
    return 0;
}

static int run (struct stage *stage, struct mu_error *error)
{
    static struct io_agent io;
    if (set_stage (stage, error) < 0 || try_threads (error) < 0 ||
        open_agent (&io, stage, error) < 0)
        return -1;
    int status = io_agent_run (&io);
    agent_destroy (&io.agent);
    free (io.actions.list);
    return status;
}

int main (int argc, char **argv)
{
    static struct stage stage;
    struct mu_operands operands;
    struct mu_error error = { .code = MU_OK };
    int result =
        mu_options_parse (&mu_worker_program, &stage.options, argc, argv, &operands, &error);
    if (result != 0)
        return mu_options_exit (&mu_worker_program, result, &error);
    io_supervise ();
    int status = run (&stage, &error);
    if (status < 0) {
        fprintf (stderr, "muster-worker: %s\n", error.text);
        status = mu_code_exit ((int)error.code);
    }
    free (stage.dir);
    mu_options_clear (&mu_worker_program, &stage.options);
    return status;
}
