/* SPDX-License-Identifier: Apache-2.0 */
/* bench_coordinator.c - durable completions a second of the real coordinator against its own echo
 *
 *     bench_coordinator MUSTER-COORDINATOR [SECONDS]     default: 2 s a phase
 *
 * Up to 1,000 workers are simulated by one thread: each a DEALER socket of its own that speaks the
 * whole protocol (HELLO, ASSIGN, PREPARED, FORM, FENCE, READY, GO), trains windows it has leases
 * for, and beats as often as WELCOME says. Three kinds of words take turns, in the same run, over
 * the same connections, with as many outstanding:
 *
 *     echo     PING -> PONG: the loop and the sockets, no core, no database
 *     repeat   TRAINED of what is in the ledger already -> TRAINED_OK: the core too, no database
 *     durable  TRAINED of the next window -> TRAINED_OK: a record in a committed transaction
 *
 * A ratio is the median over the rounds of durable / echo and durable / repeat. Beside it stands
 * the coordinator's CPU time a word, which a busy machine distorts less. Then a ledger of 10
 * million shards is filled, and its memory, its bytes on disk and the time of a restart (kill -9,
 * start, first PONG) are told. The client shares the machine's cores with the coordinator. */
#include "common/error.h"
#include "common/wire.h"

#include <dirent.h>
#include <errno.h>
#include <msgpack.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum {
    WORKERS_MAX = 1000,
    ROUNDS = 5,
    WINDOW = 16,       /* steps: the fewest a job may have */
    FENCE_BYTES = 200, /* about what MPICH tells of one rank's address */
    LEDGER_WINDOWS = 10000,
    LIMIT_S = 60, /* for anything that must happen */
};

enum kind { ECHO, REPEAT, DURABLE, KINDS };

static const char *const kind_name[KINDS] = { "echo", "repeat", "durable" };

struct worker {
    void *socket;
    uint32_t number;
    uint64_t job, generation, until_step;
    uint64_t windows, stored; /* said to be trained; acknowledged */
    uint32_t outstanding;
    bool going;
    double beat_at_s;
};

static struct {
    const char *program;
    char dir[64], endpoint[64];
    pid_t pid;
    void *context;
    int epoll;
    uint32_t count, depth, going;
    struct worker worker[WORKERS_MAX];
    enum kind kind;
    bool running; /* answers lead to new words */
    uint64_t windows_a_word, windows_end;
    uint64_t answers; /* of this phase */
    double beat_s;
    uint64_t submitted; /* the job's number, 0: not yet */
    msgpack_sbuffer bytes;
    msgpack_zone zone;
} bench;

static _Noreturn void die (const char *what)
{
    fprintf (stderr, "bench_coordinator: %s\n", what);
    if (bench.pid > 0)
        kill (bench.pid, SIGKILL);
    exit (1);
}

static double now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- the coordinator's process ---------------------------------------------------------------- */

static void start_coordinator (void)
{
    char state[96];
    snprintf (state, sizeof state, "%s/state", bench.dir);
    bench.pid = fork ();
    if (bench.pid < 0)
        die ("cannot fork");
    if (bench.pid == 0) {
        if (!freopen ("/dev/null", "w", stderr))
            _exit (127);
        execl (bench.program, bench.program, "--dir", state, "--listen", bench.endpoint,
               (char *)NULL);
        _exit (127);
    }
}

static void stop_coordinator (int number)
{
    kill (bench.pid, number);
    if (waitpid (bench.pid, NULL, 0) != bench.pid)
        die ("the coordinator cannot be waited for");
    bench.pid = 0;
}

/* All its threads, user and system. */
static double cpu_seconds (void)
{
    char path[64], text[1024];
    snprintf (path, sizeof path, "/proc/%d/stat", (int)bench.pid);
    FILE *file = fopen (path, "r");
    size_t size = file ? fread (text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose (file);
    text[size] = '\0';
    const char *rest = strrchr (text, ')');
    unsigned long user = 0, system = 0;
    if (!rest || sscanf (rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system) != 2)
        die ("the coordinator ended");
    return (double)(user + system) / (double)sysconf (_SC_CLK_TCK);
}

static double memory_mib (const char *what)
{
    char path[64], line[128];
    unsigned long kib = 0;
    snprintf (path, sizeof path, "/proc/%d/status", (int)bench.pid);
    FILE *file = fopen (path, "r");
    while (file && fgets (line, sizeof line, file))
        if (strncmp (line, what, strlen (what)) == 0)
            sscanf (line + strlen (what), ": %lu", &kib);
    if (file)
        fclose (file);
    return (double)kib / 1024;
}

static double file_bytes (const char *name)
{
    char path[128];
    struct stat status;
    snprintf (path, sizeof path, "%s/state/%s", bench.dir, name);
    return stat (path, &status) ? 0 : (double)status.st_size;
}

/* --- words ------------------------------------------------------------------------------------ */

static void say (void *socket, const struct mu_wire *wire)
{
    struct mu_error error;
    bench.bytes.size = 0;
    if (mu_record_encode (&mu_wire_family, wire, &bench.bytes, &error))
        die (error.text);
    if (zmq_send (socket, bench.bytes.data, bench.bytes.size, ZMQ_DONTWAIT) < 0)
        die ("a word could not be sent");
}

static void say_hello (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO };
    snprintf (wire.hello.name, sizeof wire.hello.name, "worker-%u", worker->number);
    snprintf (wire.hello.host, sizeof wire.hello.host, "host-%u", worker->number);
    wire.hello.incarnation = 1;
    wire.hello.threads = 1;
    snprintf (wire.hello.compute_class, sizeof wire.hello.compute_class, "portable");
    say (worker->socket, &wire);
}

static void say_prepared (struct worker *worker, uint64_t job)
{
    struct mu_wire wire = { .type = MU_WIRE_PREPARED };
    wire.prepared.job = job;
    wire.prepared.records = 1u << 20;
    wire.prepared.parameters = wire.prepared.targets = 1;
    snprintf (wire.prepared.data_identity, sizeof wire.prepared.data_identity, "bench");
    say (worker->socket, &wire);
}

static void say_fence (struct worker *worker)
{
    static const char values[FENCE_BYTES] = "an address";
    struct mu_wire wire = { .type = MU_WIRE_FENCE };
    wire.fence.job = worker->job;
    wire.fence.generation = worker->generation;
    wire.fence.values = (struct mu_blob){ values, sizeof values };
    say (worker->socket, &wire);
}

static void say_ready (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_READY };
    wire.ready.job = worker->job;
    wire.ready.generation = worker->generation;
    say (worker->socket, &wire);
}

static void say_beat (struct worker *worker)
{
    struct mu_wire wire = { .type = MU_WIRE_BEAT };
    wire.beat.job = worker->job;
    wire.beat.generation = worker->generation;
    wire.beat.step = worker->windows * WINDOW;
    wire.beat.phase = 1;
    wire.beat.loss = 1;
    say (worker->socket, &wire);
}

static void say_trained (struct worker *worker, uint64_t windows)
{
    struct mu_wire wire = { .type = MU_WIRE_TRAINED };
    wire.trained.job = worker->job;
    wire.trained.generation = worker->generation;
    wire.trained.windows = windows;
    say (worker->socket, &wire);
}

/* One more word of the phase's kind; false: it has to wait for a lease. */
static bool say_next (struct worker *worker)
{
    if (bench.kind == ECHO) {
        struct mu_wire wire = { .type = MU_WIRE_PING };
        wire.ping.request = 1;
        say (worker->socket, &wire);
    } else if (bench.kind == REPEAT) {
        say_trained (worker, worker->stored);
    } else {
        uint64_t windows = worker->windows + bench.windows_a_word;
        if (windows * WINDOW > worker->until_step)
            windows = worker->until_step / WINDOW;
        if (windows > bench.windows_end)
            windows = bench.windows_end;
        if (windows <= worker->windows)
            return false;
        say_trained (worker, windows);
        worker->windows = windows;
    }
    worker->outstanding++;
    return true;
}

static void go_on (struct worker *worker)
{
    while (bench.running && worker->going && worker->outstanding < bench.depth)
        if (!say_next (worker))
            return;
}

static void answered (struct worker *worker)
{
    worker->outstanding--;
    bench.answers++;
    go_on (worker);
}

static void hear (struct worker *worker, const struct mu_wire *wire)
{
    switch ((unsigned)wire->type) { /* what else there is needs no answer here */
    case MU_WIRE_WELCOME: bench.beat_s = wire->welcome.beat_ms / 1e3; break;
    case MU_WIRE_WHO: say_hello (worker); break;
    case MU_WIRE_ASSIGN: say_prepared (worker, wire->assign.job); break;
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
        bench.going += !worker->going;
        worker->going = true;
        break;
    case MU_WIRE_LEASE:
        worker->until_step = wire->lease.until_step;
        go_on (worker);
        break;
    case MU_WIRE_TRAINED_OK:
        worker->stored = wire->trained_ok.windows;
        answered (worker);
        break;
    case MU_WIRE_PONG: answered (worker); break;
    case MU_WIRE_SUBMITTED: bench.submitted = wire->submitted.job; break;
    case MU_WIRE_REFUSED:
        fprintf (stderr, "refused: %.*s\n", (int)wire->refused.text.size,
                 (const char *)wire->refused.text.data);
        die ("a request was refused");
    case MU_WIRE_ABORT: die ("the generation broke: the machine may be too busy");
    default: break;
    }
}

/* All that has come for one worker. Ends with an empty socket, as ZMQ_FD asks for. */
static void drain (struct worker *worker)
{
    static struct mu_wire wire;
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init (&message);
        if (zmq_msg_recv (&message, worker->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&message);
            return;
        }
        struct mu_error error;
        msgpack_zone_clear (&bench.zone);
        if (mu_record_decode (&mu_wire_family, &wire, zmq_msg_data (&message),
                              zmq_msg_size (&message), 1u << MU_ROLE_COORDINATOR, &bench.zone,
                              &error))
            die (error.text);
        hear (worker, &wire);
        zmq_msg_close (&message);
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static void beat_where_due (double now)
{
    static uint32_t next;
    for (uint32_t i = 0; i < bench.count; i++) {
        struct worker *worker = &bench.worker[next];
        if (worker->beat_at_s > now)
            return;
        worker->beat_at_s = now + bench.beat_s;
        if (worker->generation) {
            say_beat (worker);
            drain (worker);
        }
        next = (next + 1) % bench.count;
    }
}

static void turn (void)
{
    struct epoll_event events[512];
    int count = epoll_wait (bench.epoll, events, 512, 5);
    for (int i = 0; i < count; i++)
        drain (events[i].data.ptr);
    beat_where_due (now_s ());
}

static void await_going (void)
{
    double end = now_s () + LIMIT_S;
    while (bench.going < bench.count) {
        turn ();
        if (now_s () > end)
            die ("the generation did not come about");
    }
}

static void *connect_socket (const char *identity)
{
    void *socket = zmq_socket (bench.context, ZMQ_DEALER);
    int zero = 0, soon_ms = 5, many = 10000;
    if (!socket)
        die ("no more sockets (ulimit -n?)");
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_SNDHWM, &many, sizeof many);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &many, sizeof many);
    zmq_setsockopt (socket, ZMQ_RECONNECT_IVL, &soon_ms, sizeof soon_ms);
    if (identity)
        zmq_setsockopt (socket, ZMQ_IDENTITY, identity, strlen (identity));
    if (zmq_connect (socket, bench.endpoint))
        die ("cannot connect");
    return socket;
}

static void add_worker (uint32_t number)
{
    struct worker *worker = &bench.worker[number];
    char identity[32];
    snprintf (identity, sizeof identity, "worker-%u", number);
    *worker = (struct worker){ .socket = connect_socket (identity), .number = number };
    int fd;
    size_t size = sizeof fd;
    zmq_getsockopt (worker->socket, ZMQ_FD, &fd, &size);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = worker };
    epoll_ctl (bench.epoll, EPOLL_CTL_ADD, fd, &event);
    say_hello (worker);
    drain (worker);
}

static void submit (void)
{
    char spec[512];
    snprintf (spec, sizeof spec,
              "{\"name\": \"bench\", \"trainer\": \"mlp\", \"data\": {\"path\": \"/dev/null\"}, "
              "\"batch\": {\"global\": %u, \"micro\": 1}, \"steps\": 1000000000, \"window\": %u, "
              "\"workers\": {\"min\": %u, \"max\": %u}, "
              "\"checkpoint\": {\"dir\": \"/nonexistent\"}}",
              bench.count, (unsigned)WINDOW, bench.count, bench.count);
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT };
    wire.submit.request = 1;
    wire.submit.spec = (struct mu_blob){ spec, (uint32_t)strlen (spec) };
    say (bench.worker[0].socket, &wire);
    drain (&bench.worker[0]);
}

static void open_bed (uint32_t count)
{
    memset (bench.worker, 0, sizeof bench.worker);
    snprintf (bench.dir, sizeof bench.dir, "/tmp/muster-bench-XXXXXX");
    if (!mkdtemp (bench.dir))
        die ("no folder in /tmp");
    snprintf (bench.endpoint, sizeof bench.endpoint, "tcp://127.0.0.1:%d",
              20000 + (int)(getpid () % 10000));
    bench.count = count;
    bench.going = 0;
    bench.running = false;
    bench.beat_s = 0.25;
    bench.windows_end = UINT64_MAX;
    bench.epoll = epoll_create1 (0);
    bench.context = zmq_ctx_new ();
    zmq_ctx_set (bench.context, ZMQ_MAX_SOCKETS, 2 * WORKERS_MAX);
    start_coordinator ();
    for (uint32_t i = 0; i < count; i++)
        add_worker (i);
    submit ();
    await_going ();
}

static void close_bed (void)
{
    char command[128];
    stop_coordinator (SIGKILL);
    for (uint32_t i = 0; i < bench.count; i++)
        zmq_close (bench.worker[i].socket);
    zmq_ctx_term (bench.context);
    close (bench.epoll);
    snprintf (command, sizeof command, "rm -rf '%s'", bench.dir);
    if (system (command))
        fprintf (stderr, "%s is left behind\n", bench.dir);
}

/* --- measuring -------------------------------------------------------------------------------- */

struct figure {
    double per_second, cpu_us;
};

static void finish_outstanding (void)
{
    double end = now_s () + LIMIT_S;
    bench.running = false;
    for (uint32_t i = 0; i < bench.count;) {
        if (bench.worker[i].outstanding == 0) {
            i++;
            continue;
        }
        turn ();
        if (now_s () > end)
            die ("an answer is missing");
    }
}

static struct figure measure (enum kind kind, double seconds)
{
    bench.kind = kind;
    bench.answers = 0;
    bench.running = true;
    double start = now_s (), cpu = cpu_seconds (), end = start + seconds;
    for (uint32_t i = 0; i < bench.count; i++) {
        go_on (&bench.worker[i]);
        drain (&bench.worker[i]);
    }
    while (now_s () < end)
        turn ();
    double answers = (double)bench.answers;
    struct figure figure = { answers / (now_s () - start), (cpu_seconds () - cpu) * 1e6 / answers };
    finish_outstanding ();
    return figure;
}

static int compare (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median (double *values, size_t count)
{
    qsort (values, count, sizeof *values, compare);
    return values[count / 2];
}

/* The ratio of durable to echo. */
static double compare_kinds (uint32_t depth, double seconds)
{
    static double rate[KINDS][ROUNDS], cpu[KINDS][ROUNDS], to[KINDS][ROUNDS];
    bench.depth = depth;
    bench.windows_a_word = 1;
    measure (DURABLE, 2 + seconds); /* so that leases reach far ahead */
    for (int round = 0; round < ROUNDS; round++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            struct figure figure = measure (kind, seconds);
            rate[kind][round] = figure.per_second;
            cpu[kind][round] = figure.cpu_us;
        }
        for (enum kind kind = 0; kind < KINDS; kind++)
            to[kind][round] = rate[DURABLE][round] / rate[kind][round];
    }
    double ratio = median (to[ECHO], ROUNDS);
    double least = to[ECHO][0], most = to[ECHO][ROUNDS - 1];
    double us[KINDS], per_second[KINDS];
    for (enum kind kind = 0; kind < KINDS; kind++) {
        us[kind] = median (cpu[kind], ROUNDS);
        per_second[kind] = median (rate[kind], ROUNDS);
    }
    printf (
        "| durable completions a second, %u workers x %u | %.0f | its echo: %.0f | %.2f (%.2f to "
        "%.2f) | %s |\n",
        bench.count, depth, per_second[DURABLE], per_second[ECHO], ratio, least, most,
        bench.count == WORKERS_MAX && depth == 1 ? ">= 0.9" : "");
    printf ("| the same against %s of what is stored, %u x %u | %.0f | %.0f | %.2f | |\n",
            kind_name[REPEAT], bench.count, depth, per_second[DURABLE], per_second[REPEAT],
            median (to[REPEAT], ROUNDS));
    printf (
        "| the coordinator's CPU, us a word, %u x %u | %.1f | echo %.1f, repeat %.1f | %.2f | |\n",
        bench.count, depth, us[DURABLE], us[ECHO], us[REPEAT], us[DURABLE] / us[ECHO]);
    fflush (stdout);
    return ratio;
}

/* Windows in leaps as large as the leases: the ledger is prefixes, so its size does not know. */
static void fill_ledger (void)
{
    double end = now_s () + 5 * LIMIT_S;
    bench.kind = DURABLE;
    bench.depth = 1;
    bench.windows_a_word = 50;
    bench.running = true;
    bench.windows_end = LEDGER_WINDOWS;
    for (uint32_t i = 0; i < bench.count; i++)
        if (bench.worker[i].windows + LEDGER_WINDOWS > bench.windows_end)
            bench.windows_end = bench.worker[i].windows + LEDGER_WINDOWS;
    for (uint32_t i = 0; i < bench.count;) {
        if (bench.worker[i].stored >= bench.windows_end) {
            i++;
            continue;
        }
        go_on (&bench.worker[i]);
        drain (&bench.worker[i]);
        turn ();
        if (now_s () > end)
            die ("the ledger was not filled in time");
    }
    finish_outstanding ();
}

static double restart_ms (void)
{
    stop_coordinator (SIGKILL);
    double start = now_s ();
    start_coordinator ();
    void *socket = connect_socket (NULL);
    struct mu_wire wire = { .type = MU_WIRE_PING };
    say (socket, &wire);
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    if (zmq_poll (&item, 1, 10000) != 1)
        die ("no answer after the restart");
    double ms = (now_s () - start) * 1e3;
    zmq_close (socket);
    return ms;
}

static void measure_ledger (void)
{
    double before = memory_mib ("VmRSS");
    fill_ledger ();
    double shards = (double)bench.windows_end * bench.count;
    double bytes = file_bytes ("muster.db"), wal = file_bytes ("muster.db-wal");
    printf (
        "| memory, MiB, %u workers and %.1f million shards | %.1f | peak %.1f, before the ledger "
        "%.1f | | < 80 |\n",
        bench.count, shards / 1e6, memory_mib ("VmRSS"), memory_mib ("VmHWM"), before);
    printf ("| database, bytes a shard | %.4f | %.0f KiB, and a log of %.0f MiB that is used again "
            "and again | | <= 0.15 |\n",
            bytes / shards, bytes / 1024, wal / 1048576);
    fflush (stdout);
    bench.windows_end = UINT64_MAX;
}

static void measure_restart (void)
{
    double restart[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        restart[round] = restart_ms ();
    printf ("| from kill -9 to the first answer of the next coordinator, ms | %.0f | | | |\n",
            median (restart, ROUNDS));
}

int main (int argc, char **argv)
{
    double seconds = argc > 2 ? strtod (argv[2], NULL) : 2;
    if (argc < 2 || seconds <= 0) {
        fprintf (stderr, "usage: bench_coordinator MUSTER-COORDINATOR [SECONDS]\n");
        return 2;
    }
    bench.program = argv[1];
    msgpack_sbuffer_init (&bench.bytes);
    msgpack_zone_init (&bench.zone, 8192);
    open_bed (100);
    compare_kinds (1, seconds);
    close_bed ();
    open_bed (WORKERS_MAX);
    double formed = memory_mib ("VmRSS");
    double ratio = compare_kinds (1, seconds);
    measure_ledger ();
    compare_kinds (10, seconds);
    printf ("| memory, MiB: formed; after 10 words of each were outstanding | %.1f; %.1f | | | |\n",
            formed, memory_mib ("VmRSS"));
    measure_restart ();
    close_bed ();
    msgpack_sbuffer_destroy (&bench.bytes);
    msgpack_zone_destroy (&bench.zone);
    return ratio >= 0.9 ? 0 : 1;
}
