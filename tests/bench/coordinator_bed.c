/* SPDX-License-Identifier: Apache-2.0 */
/* coordinator_bed.c - see coordinator_bed.h */
#include "coordinator_bed.h"

#include "common/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { FENCE_BYTES = 200 }; /* about what MPICH tells of one rank's address */

struct bed bed;

_Noreturn void bed_die (const char *what)
{
    fprintf (stderr, "%s: %s\n", bed.name, what);
    exit (1); /* processes that were started end with this one */
}

double bed_now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- the coordinator's process ---------------------------------------------------------------- */

pid_t bed_spawn (const char *state, const char *endpoint, const char *log,
                 const char *const *options)
{
    char folder[128];
    const char *argument[OPTIONS_MAX + 6] = { bed.program, "--dir", folder, "--listen", endpoint };
    snprintf (folder, sizeof folder, "%s/%s", bed.dir, state);
    for (int i = 0; options[i]; i++)
        argument[5 + i] = options[i];
    pid_t pid = fork ();
    if (pid < 0)
        bed_die ("cannot fork");
    if (pid)
        return pid;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen (log, "a", stderr))
        _exit (127);
    execv (bed.program, (char *const *)(uintptr_t)argument);
    _exit (127);
}

void bed_start_coordinator (void)
{
    bed.pid = bed_spawn ("state", bed.endpoint, bed.log, bed.option);
}

void bed_stop_coordinator (int number)
{
    kill (bed.pid, number);
    if (waitpid (bed.pid, NULL, 0) != bed.pid)
        bed_die ("the coordinator cannot be waited for");
    bed.pid = 0;
}

double bed_cpu_seconds (void)
{
    uint64_t us = mu_cpu_us (bed.pid);
    if (!us)
        bed_die ("the coordinator ended");
    return (double)us / 1e6;
}

double bed_memory_mib (const char *what)
{
    char path[64], line[128];
    unsigned long kib = 0;
    snprintf (path, sizeof path, "/proc/%d/status", (int)bed.pid);
    FILE *file = fopen (path, "r");
    while (file && fgets (line, sizeof line, file))
        if (strncmp (line, what, strlen (what)) == 0)
            sscanf (line + strlen (what), ": %lu", &kib);
    if (file)
        fclose (file);
    return (double)kib / 1024;
}

double bed_file_bytes (const char *name)
{
    char path[128];
    struct stat status;
    snprintf (path, sizeof path, "%s/state/%s", bed.dir, name);
    return stat (path, &status) ? 0 : (double)status.st_size;
}

/* --- words ------------------------------------------------------------------------------------ */

void bed_say (void *socket, const struct mu_wire *wire)
{
    struct mu_error error;
    bed.bytes.size = 0;
    if (mu_record_encode (&mu_wire_family, wire, &bed.bytes, &error))
        bed_die (error.text);
    if (zmq_send (socket, bed.bytes.data, bed.bytes.size, ZMQ_DONTWAIT) < 0)
        bed_die ("a word could not be sent");
}

static void say_hello (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO };
    snprintf (wire.hello.name, sizeof wire.hello.name, "worker-%u", worker->number);
    snprintf (wire.hello.host, sizeof wire.hello.host, "host-%u", worker->number);
    wire.hello.incarnation = 1;
    wire.hello.threads = 1;
    snprintf (wire.hello.compute_class, sizeof wire.hello.compute_class, "portable");
    bed_say (worker->socket, &wire);
}

static void say_prepared (struct worker *worker, const struct mu_wire *assign)
{
    struct mu_wire wire = { .type = MU_WIRE_PREPARED, .term = assign->term };
    wire.prepared.job = assign->assign.job;
    wire.prepared.order = assign->assign.order;
    wire.prepared.records = 1u << 20;
    wire.prepared.parameters = wire.prepared.targets = 1;
    snprintf (wire.prepared.data_identity, sizeof wire.prepared.data_identity, "bench");
    bed_say (worker->socket, &wire);
}

static void say_fence (struct worker *worker)
{
    static const char values[FENCE_BYTES] = "an address";
    struct mu_wire wire = { .type = MU_WIRE_FENCE };
    wire.fence.job = worker->job;
    wire.fence.generation = worker->generation;
    wire.fence.values = (struct mu_blob){ values, sizeof values };
    bed_say (worker->socket, &wire);
}

static void say_ready (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_READY };
    wire.ready.job = worker->job;
    wire.ready.generation = worker->generation;
    bed_say (worker->socket, &wire);
}

static void say_beat (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_BEAT };
    wire.beat.job = worker->job;
    wire.beat.generation = worker->generation;
    wire.beat.step = worker->windows * WINDOW;
    wire.beat.phase = 1;
    wire.beat.loss = 1;
    bed_say (worker->socket, &wire);
}

static void say_trained (struct worker *worker, uint64_t windows)
{
    struct mu_wire wire = { .type = MU_WIRE_TRAINED };
    wire.trained.job = worker->job;
    wire.trained.generation = worker->generation;
    wire.trained.windows = windows;
    bed_say (worker->socket, &wire);
}

/* One more word of the phase's kind; false: it has to wait for a lease. */
static bool say_next (struct worker *worker)
{
    if (bed.kind == ECHO) {
        struct mu_wire wire = { .type = MU_WIRE_PING };
        wire.ping.request = 1;
        bed_say (worker->socket, &wire);
    } else if (bed.kind == REPEAT) {
        say_trained (worker, worker->stored);
    } else {
        uint64_t windows = worker->windows + bed.windows_a_word;
        if (windows * WINDOW > worker->until_step)
            windows = worker->until_step / WINDOW;
        if (windows > bed.windows_end)
            windows = bed.windows_end;
        if (windows <= worker->windows)
            return false;
        say_trained (worker, windows);
        worker->windows = windows;
    }
    worker->outstanding++;
    return true;
}

void bed_go_on (struct worker *worker)
{
    while (bed.running && worker->going && worker->outstanding < bed.depth)
        if (!say_next (worker))
            return;
}

static void answered (struct worker *worker)
{
    worker->outstanding--;
    bed.answers++;
    bed_go_on (worker);
}

static void hear (struct worker *worker, const struct mu_wire *wire)
{
    switch ((unsigned)wire->type) { /* what else there is needs no answer here */
    case MU_WIRE_WELCOME: bed.beat_s = wire->welcome.beat_ms / 1e3; break;
    case MU_WIRE_WHO: say_hello (worker); break;
    case MU_WIRE_ASSIGN: say_prepared (worker, wire); break;
    case MU_WIRE_FORM:
        if (worker->generation == wire->form.generation)
            break; /* said again */
        worker->job = wire->form.job;
        worker->generation = wire->form.generation;
        worker->until_step = wire->form.until_step;
        say_fence (worker);
        break;
    case MU_WIRE_FENCED: say_ready (worker); break;
    case MU_WIRE_GO:
        bed.going += !worker->going;
        worker->going = true;
        break;
    case MU_WIRE_LEASE:
        worker->until_step = wire->lease.until_step;
        bed_go_on (worker);
        break;
    case MU_WIRE_TRAINED_OK:
        worker->stored = wire->trained_ok.windows;
        answered (worker);
        break;
    case MU_WIRE_PONG: answered (worker); break;
    case MU_WIRE_REFUSED:
        fprintf (stderr, "refused: %.*s\n", (int)wire->refused.text.size,
                 (const char *)wire->refused.text.data);
        bed_die ("a request was refused");
    case MU_WIRE_ABORT: bed_die ("the generation broke: the machine may be too busy");
    default: break;
    }
}

const struct mu_wire *bed_hear (void *socket)
{
    static struct mu_wire wire;
    zmq_msg_t message;
    zmq_msg_init (&message);
    const struct mu_wire *heard = NULL;
    if (zmq_msg_recv (&message, socket, ZMQ_DONTWAIT) >= 0) {
        struct mu_error error;
        msgpack_zone_clear (&bed.zone);
        if (mu_record_decode (&mu_wire_family, &wire, zmq_msg_data (&message),
                              zmq_msg_size (&message), 1u << MU_ROLE_COORDINATOR, &bed.zone,
                              &error))
            bed_die (error.text);
        heard = &wire;
    }
    zmq_msg_close (&message);
    return heard;
}

/* Ends with an empty socket, as ZMQ_FD asks for. */
void bed_drain (struct worker *worker)
{
    const struct mu_wire *wire;
    while ((wire = bed_hear (worker->socket)))
        hear (worker, wire);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void beat_where_due (double now)
{
    static uint32_t next;
    for (uint32_t i = 0; i < bed.count; i++) {
        struct worker *worker = &bed.worker[next];
        if (worker->beat_at_s > now)
            return;
        worker->beat_at_s = now + bed.beat_s;
        if (worker->generation) {
            say_beat (worker);
            bed_drain (worker);
        }
        next = (next + 1) % bed.count;
    }
}

void bed_turn (void)
{
    struct epoll_event events[512];
    int count = epoll_wait (bed.epoll, events, 512, 5);
    for (int i = 0; i < count; i++)
        bed_drain (events[i].data.ptr);
    beat_where_due (bed_now_s ());
}

static void await_going (void)
{
    double end = bed_now_s () + LIMIT_S;
    while (bed.going < bed.count) {
        bed_turn ();
        if (bed_now_s () > end)
            bed_die ("the generation did not come about");
    }
}

void *bed_connect (const char *endpoint, const char *identity)
{
    void *socket = zmq_socket (bed.context, ZMQ_DEALER);
    int zero = 0, soon_ms = 5, many = 10000;
    if (!socket)
        bed_die ("no more sockets (ulimit -n?)");
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_SNDHWM, &many, sizeof many);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &many, sizeof many);
    zmq_setsockopt (socket, ZMQ_RECONNECT_IVL, &soon_ms, sizeof soon_ms);
    if (identity)
        zmq_setsockopt (socket, ZMQ_IDENTITY, identity, strlen (identity));
    if (zmq_connect (socket, endpoint))
        bed_die ("cannot connect");
    return socket;
}

static void add_worker (uint32_t number)
{
    struct worker *worker = &bed.worker[number];
    char identity[32];
    snprintf (identity, sizeof identity, "worker-%u", number);
    *worker = (struct worker){ .socket = bed_connect (bed.endpoint, identity), .number = number };
    int fd;
    size_t size = sizeof fd;
    zmq_getsockopt (worker->socket, ZMQ_FD, &fd, &size);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = worker };
    epoll_ctl (bed.epoll, EPOLL_CTL_ADD, fd, &event);
    say_hello (worker);
    bed_drain (worker);
}

struct mu_blob bed_spec (uint32_t workers)
{
    static char spec[512];
    snprintf (spec, sizeof spec,
              "{\"name\": \"bench\", \"trainer\": \"mlp\", \"data\": {\"path\": \"/dev/null\"}, "
              "\"batch\": {\"global\": %u, \"micro\": 1}, \"steps\": 1000000000, \"window\": %u, "
              "\"workers\": {\"min\": %u, \"max\": %u}, "
              "\"checkpoint\": {\"dir\": \"/nonexistent\"}}",
              workers, (unsigned)WINDOW, workers, workers);
    return (struct mu_blob){ spec, (uint32_t)strlen (spec) };
}

static void submit (void)
{
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT };
    wire.submit.request = 1;
    wire.submit.spec = bed_spec (bed.count);
    bed_say (bed.worker[0].socket, &wire);
    bed_drain (&bed.worker[0]);
}

/* --- the whole -------------------------------------------------------------------------------- */

void bed_endpoint (char *endpoint, size_t size)
{
    static int given;
    snprintf (endpoint, size, "tcp://127.0.0.1:%d",
              20000 + (int)(getpid () % 1000) * 10 + given++ % 10);
}

/* At the end: ext4 looks long for an inode among many that were freed a moment ago. */
static void remove_folders (void)
{
    char command[128];
    snprintf (command, sizeof command, "rm -rf /tmp/muster-bench-%d-*", (int)getpid ());
    if (system (command))
        fprintf (stderr, "/tmp/muster-bench-%d-* are left behind\n", (int)getpid ());
}

void bed_create (const char *name, const char *program)
{
    bed = (struct bed){ .name = name, .program = program, .beat_s = 0.25 };
    bed.windows_end = UINT64_MAX;
    if (access (program, X_OK))
        bed_die ("the program that it was given is not there, or cannot be run");
    snprintf (bed.dir, sizeof bed.dir, "/tmp/muster-bench-%d-XXXXXX", (int)getpid ());
    if (!mkdtemp (bed.dir))
        bed_die ("no folder in /tmp");
    static bool first = true;
    if (first)
        atexit (remove_folders);
    first = false;
    snprintf (bed.log, sizeof bed.log, "/dev/null");
    bed_endpoint (bed.endpoint, sizeof bed.endpoint);
    msgpack_sbuffer_init (&bed.bytes);
    msgpack_zone_init (&bed.zone, 8192);
    bed.epoll = epoll_create1 (0);
    bed.context = zmq_ctx_new ();
    zmq_ctx_set (bed.context, ZMQ_MAX_SOCKETS, 2 * WORKERS_MAX);
}

void bed_open (uint32_t count)
{
    bed.count = count;
    bed_start_coordinator ();
    for (uint32_t i = 0; i < count; i++)
        add_worker (i);
    submit ();
    await_going ();
}

void bed_destroy (void)
{
    bed_stop_coordinator (SIGKILL);
    for (uint32_t i = 0; i < bed.count; i++)
        zmq_close (bed.worker[i].socket);
    zmq_ctx_term (bed.context);
    close (bed.epoll);
    msgpack_sbuffer_destroy (&bed.bytes);
    msgpack_zone_destroy (&bed.zone);
}

/* --- measuring -------------------------------------------------------------------------------- */

void bed_finish_outstanding (void)
{
    double end = bed_now_s () + LIMIT_S;
    bed.running = false;
    for (uint32_t i = 0; i < bed.count;) {
        if (bed.worker[i].outstanding == 0) {
            i++;
            continue;
        }
        bed_turn ();
        if (bed_now_s () > end)
            bed_die ("an answer is missing");
    }
}

struct figure bed_measure (enum kind kind, double seconds)
{
    bed.kind = kind;
    bed.answers = 0;
    bed.running = true;
    double start = bed_now_s (), cpu = bed_cpu_seconds (), end = start + seconds;
    for (uint32_t i = 0; i < bed.count; i++) {
        bed_go_on (&bed.worker[i]);
        bed_drain (&bed.worker[i]);
    }
    while (bed_now_s () < end)
        bed_turn ();
    double answers = (double)bed.answers;
    struct figure figure = { answers / (bed_now_s () - start),
                             (bed_cpu_seconds () - cpu) * 1e6 / answers };
    bed_finish_outstanding ();
    return figure;
}

static int compare (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bed_median (double *values, size_t count)
{
    qsort (values, count, sizeof *values, compare);
    return values[count / 2];
}
