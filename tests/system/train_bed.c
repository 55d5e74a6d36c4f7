/* SPDX-License-Identifier: Apache-2.0 */
/* train_bed.c - real trainer processes, and a false world between them */
#include "train_bed.h"

#include "worker/comm/comm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char folder[] = "/tmp/muster-train-XXXXXX", text_path[128], table_path[128];
static char program[4096];
static uint64_t job; /* each story is another job, with a checkpoint folder of its own */

_Noreturn void die (const char *what)
{
    printf ("Bail out! %s: %s\n", what, strerror (errno));
    exit (1);
}

uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- one trainer process ---------------------------------------------------------------------- */

void spawn (struct rank *rank, const struct setting *setting)
{
    int fds[2];
    memset (rank, 0, sizeof *rank);
    if (mu_channel_pair (fds, NULL) < 0)
        die ("socket pair");
    pid_t parent = getpid ();
    fflush (stdout);
    rank->pid = fork ();
    if (rank->pid < 0)
        die ("fork");
    if (rank->pid == 0) {
        char fd[16], agent[16], threads[16], *quiet = getenv ("TRAIN_LOUD");
        if (!quiet && !freopen ("/dev/null", "w", stderr))
            _exit (126);
        int copy = dup (fds[1]);
        snprintf (fd, sizeof fd, "%d", copy);
        snprintf (agent, sizeof agent, "%d", (int)parent);
        snprintf (threads, sizeof threads, "%u", setting->threads);
        execl (program, "muster-trainer", fd, agent, setting->isa, threads, folder, folder, NULL);
        _exit (127);
    }
    close (fds[1]);
    if (mu_channel_open (&rank->channel, fds[0], MU_ROLE_TRAINER, NULL) < 0)
        die ("channel");
}

void end_rank (struct rank *rank)
{
    kill (rank->pid, SIGKILL);
    waitpid (rank->pid, NULL, 0);
    mu_region_detach (&rank->region);
    mu_channel_close (&rank->channel);
}

void tell (struct rank *rank, const struct mu_wire *wire)
{
    struct mu_error error;
    if (mu_channel_send (rank->channel.fd, wire, -1, true, &error) < 0) {
        printf ("# cannot tell: %s\n", error.text);
        rank->refused = true;
    }
}

static void copy_blob (char *text, size_t size, struct mu_blob blob)
{
    snprintf (text, size, "%.*s", (int)blob.size, blob.size ? (const char *)blob.data : "");
}

static void take (struct rank *rank, const struct mu_wire *wire, int passed)
{
    uint32_t type = (uint32_t)wire->type;
    if (type == MU_WIRE_OPENED) {
        struct mu_error error;
        rank->opened = wire->opened;
        rank->step = wire->opened.step;
        rank->region = mu_region_attach (passed, &error);
        rank->opened_said = rank->region != NULL;
        rank->request = rank->region ? rank->region->control->trainer.request : 0;
    } else if (type == MU_WIRE_REFUSE) {
        rank->refused = true;
        rank->code = wire->refuse.code;
        copy_blob (rank->text, sizeof rank->text, wire->refuse.text);
    } else if (type == MU_WIRE_PROGRESS) {
        rank->phase = wire->progress.phase;
        rank->step = wire->progress.step;
        rank->loss = wire->progress.loss;
        rank->generation = wire->progress.generation;
        rank->loss_evaluated = wire->progress.loss_evaluated;
        rank->accuracy = wire->progress.accuracy;
        rank->evaluated_step = wire->progress.evaluated_step;
    } else if (type == MU_WIRE_LEFT) {
        rank->left_said = true;
        rank->doubted = wire->left.doubts;
        if (rank->doubted)
            snprintf (rank->text, sizeof rank->text, "%s", wire->left.why);
        rank->left_step = wire->left.step;
        rank->left_attempt = wire->left.attempt;
        rank->left_made_of = wire->left.made_of;
        memset (rank->kept, 0, sizeof rank->kept);
        if (wire->left.kept.size)
            memcpy (rank->kept, wire->left.kept.data, wire->left.kept.size);
    } else if (type == MU_WIRE_HASHED) {
        rank->digest_step = wire->hashed.step;
        rank->digest = wire->hashed.digest;
    } else if (type == MU_WIRE_WROTE) {
        rank->saved_step = wire->wrote.step;
        copy_blob (rank->saved, sizeof rank->saved, wire->wrote.path);
        memcpy (rank->saved_hash, wire->wrote.weights_hash, sizeof rank->saved_hash);
    } else if (type == MU_WIRE_WRITE_FAILED) {
        copy_blob (rank->text, sizeof rank->text, wire->write_failed.text);
    }
    if (passed >= 0)
        close (passed);
}

bool hear (struct rank *ranks, unsigned count, int wait_ms)
{
    struct pollfd fds[RANKS_MAX];
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){ .fd = ranks[i].channel.fd, .events = POLLIN };
    if (poll (fds, count, wait_ms) < 0)
        die ("poll");
    for (unsigned i = 0; i < count; i++) {
        struct mu_wire wire;
        struct mu_error error;
        int passed, status = 0;
        while (fds[i].revents &&
               (status = mu_channel_receive (&ranks[i].channel, &wire, &passed, &error)) > 0)
            take (&ranks[i], &wire, passed);
        if (status < 0) {
            printf ("# rank %u: %s\n", i, error.text);
            return false;
        }
    }
    return true;
}

void prepare (struct rank *rank, const char *spec, const char *resume, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_PREPARE };
    wire.prepare.job = job;
    wire.prepare.spec = (struct mu_blob){ spec, (uint32_t)strlen (spec) };
    wire.prepare.resume_path = (struct mu_blob){ resume, (uint32_t)strlen (resume) };
    wire.prepare.resume_step = step;
    tell (rank, &wire);
}

void weights_hash (const struct rank *rank, char text[MU_STATE_HASH_TEXT])
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    mu_state_hash (rank->region->state, hash);
    mu_state_hash_text (hash, text);
}

/* --- the false world -------------------------------------------------------------------------- */

bool open_all (struct rank *ranks, unsigned count, const struct setting *settings, const char *spec)
{
    bool opened = false;
    job++;
    for (unsigned i = 0; i < count; i++) {
        spawn (&ranks[i], &settings[i]);
        prepare (&ranks[i], spec, "", 0);
    }
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until && !opened;) {
        if (!hear (ranks, count, 100))
            return false;
        opened = true;
        for (unsigned i = 0; i < count; i++) {
            if (ranks[i].refused) {
                printf ("# refused: %s\n", ranks[i].text);
                return false;
            }
            opened = opened && ranks[i].opened_said;
        }
    }
    return opened;
}

static void write_map (uint8_t *bytes, const uint16_t *map, uint32_t count)
{
    for (uint32_t m = 0; m < count; m++) {
        bytes[2 * m] = (uint8_t)map[m];
        bytes[2 * m + 1] = (uint8_t)(map[m] >> 8);
    }
}

void enter (struct world *world)
{
    uint8_t first[4094], later[4094];
    write_map (first, world->first_map, world->micro_batches);
    write_map (later, world->map, world->micro_batches);
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_wire wire = { .type = MU_WIRE_ENTER };
        struct mu_wire_enter *enter = &wire.enter;
        enter->generation = world->generation;
        enter->rank = r;
        enter->size = world->size;
        enter->step = world->step;
        enter->attempt = world->attempt;
        enter->first_map = (struct mu_blob){ first, 2 * world->micro_batches };
        enter->map = (struct mu_blob){ later, 2 * world->micro_batches };
        enter->until_step = world->until;
        enter->steps = world->steps;
        enter->records = world->ranks[r].opened.records;
        enter->writer = r == 0;
        enter->transfer = world->transfer;
        enter->source_rank = world->source;
        enter->made_of = world->made_of;
        world->ranks[r].left_said = false;
        tell (&world->ranks[r], &wire);
    }
}

void broadcast (struct world *world)
{
    const struct mu_region *from = world->ranks[world->source].region;
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_region *region = world->ranks[r].region;
        while (atomic_load (&region->control->trainer.entered_generation) != world->generation)
            hear (world->ranks, world->size, 1);
        if (r != world->source)
            memcpy (region->state, from->state, from->layout.state_bytes);
    }
    say_level (world);
}

void say_level (struct world *world)
{
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_region_control *control = world->ranks[r].region->control;
        atomic_store (&control->collective.state_done_generation, world->generation);
        mu_bell_ring (&control->trainer_bell);
    }
}

static bool await (struct world *world, const _Atomic uint64_t *field, uint64_t value)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        if (atomic_load (field) == value)
            return true;
        if (!hear (world->ranks, world->size, 1))
            return false;
    }
    return false;
}

bool give_sums (struct world *world, unsigned rank)
{
    const struct mu_region *from = world->ranks[world->source].region;
    struct mu_region *to = world->ranks[rank].region;
    struct mu_region_control *control = to->control;
    if (!await (world, &from->control->trainer.entered_generation, world->generation) ||
        !await (world, &control->trainer.entered_generation, world->generation) ||
        atomic_load (&from->control->trainer.made_of) !=
            atomic_load (&from->control->collective.result_of))
        return false;
    atomic_store (&control->collective.result_of, MU_REGION_GIVEN + world->generation);
    memcpy (to->result, from->result, from->layout.sums_elements * (size_t)from->layout.element);
    atomic_store (&control->collective.sums_done_generation, world->generation);
    mu_bell_ring (&control->trainer_bell);
    return await (world, &control->trainer.caught_up_generation, world->generation);
}

bool requested (const struct rank *rank)
{
    const struct mu_region *region = rank->region;
    uint64_t request = atomic_load (&region->control->trainer.request);
    if (request == rank->request)
        return false;
    for (uint32_t b = 0; b < region->layout.bucket_count; b++)
        if (atomic_load (&region->ready[b]) != request)
            return false;
    return true;
}

static void add_sums (const struct world *world)
{
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_region_control *control = world->ranks[r].region->control;
        atomic_store (&control->collective.result_of, atomic_load (&control->trainer.request));
    }
    const struct mu_region *first = world->ranks[0].region;
    uint64_t words = first->layout.sums_elements;
    bool wide = first->layout.element == MU_ELEMENT_INT64;
    size_t bytes = words * (size_t)first->layout.element;
    memcpy (first->result, first->sums, bytes);
    for (unsigned r = 1; r < world->size; r++) {
        const struct mu_region *region = world->ranks[r].region;
        for (uint64_t i = 0; i < words; i++)
            if (wide)
                ((uint64_t *)first->result)[i] += ((const uint64_t *)region->sums)[i];
            else
                ((uint32_t *)first->result)[i] += ((const uint32_t *)region->sums)[i];
    }
    for (unsigned r = 1; r < world->size; r++)
        memcpy (world->ranks[r].region->result, first->result, bytes);
}

bool reduce (struct world *world) { return reduce_for (world, UINT32_MAX); }

bool reduce_for (struct world *world, unsigned mask)
{
    for (unsigned r = 0; r < world->size; r++)
        if (!requested (&world->ranks[r]))
            return false;
    add_sums (world);
    for (unsigned r = 0; r < world->size; r++) {
        struct rank *rank = &world->ranks[r];
        if (!(mask >> r & 1))
            continue;
        rank->request = atomic_load (&rank->region->control->trainer.request);
        atomic_store (&rank->region->control->collective.done, rank->request);
        mu_bell_ring (&rank->region->control->trainer_bell);
    }
    return true;
}

static bool all_in (const struct world *world, uint32_t phase)
{
    for (unsigned r = 0; r < world->size; r++)
        if (world->ranks[r].phase != phase || world->ranks[r].generation != world->generation)
            return false;
    return true;
}

static bool any_gives_up (const struct world *world)
{
    for (unsigned r = 0; r < world->size; r++)
        if (world->ranks[r].refused || world->ranks[r].doubted)
            return true;
    return false;
}

bool run (struct world *world, uint32_t phase)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        bool reduced = reduce (world);
        if (!hear (world->ranks, world->size, reduced ? 0 : 1) || any_gives_up (world))
            return false;
        if (all_in (world, phase))
            return true;
    }
    printf ("# time is up\n");
    return false;
}

bool leave (struct world *world)
{
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_wire wire = { .type = MU_WIRE_LEAVE };
        wire.leave.generation = world->generation;
        tell (&world->ranks[r], &wire);
        mu_region_end (world->ranks[r].region, world->generation);
    }
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        bool left = true;
        for (unsigned r = 0; r < world->size; r++)
            left = left && world->ranks[r].left_said;
        if (left)
            break;
        if (!hear (world->ranks, world->size, 100))
            return false;
    }
    for (unsigned r = 0; r < world->size; r++) /* requests that nobody answers any more */
        world->ranks[r].request = atomic_load (&world->ranks[r].region->control->trainer.request);
    return true;
}

void deal (struct world *world)
{
    for (uint32_t m = 0; m < world->micro_batches; m++)
        world->first_map[m] = world->map[m] = (uint16_t)(m % world->size);
}

struct world begin (struct rank *ranks, unsigned size)
{
    struct world world = { .ranks = ranks,
                           .size = size,
                           .generation = 1,
                           .until = STEPS,
                           .steps = STEPS,
                           .micro_batches = 6 };
    deal (&world);
    return world;
}

bool train (const char *spec, unsigned size, const struct setting *settings,
            char hash[MU_STATE_HASH_TEXT])
{
    struct rank ranks[RANKS_MAX];
    char other[MU_STATE_HASH_TEXT];
    bool good = open_all (ranks, size, settings, spec);
    snprintf (hash, MU_STATE_HASH_TEXT, "none");
    if (good) {
        struct world world = begin (ranks, size);
        enter (&world);
        good = run (&world, MU_PHASE_FINISHED);
        weights_hash (&ranks[0], hash);
        for (unsigned r = 1; r < size; r++) {
            weights_hash (&ranks[r], other);
            good = good && strcmp (hash, other) == 0;
        }
    }
    for (unsigned r = 0; r < size; r++)
        end_rank (&ranks[r]);
    return good;
}

/* --- job files -------------------------------------------------------------------------------- */

static void make_data (void)
{
    static const char *const words[] = {
        "the ",    "worker ", "gives ", "its ",  "sums ", "and ",
        "nobody ", "waits ",  "for ",   "long ", "a ",    "step "
    };
    uint32_t x = 12345;
    snprintf (text_path, sizeof text_path, "%s/text.txt", folder);
    snprintf (table_path, sizeof table_path, "%s/table.csv", folder);
    FILE *text = fopen (text_path, "w"), *table = fopen (table_path, "w");
    if (!text || !table)
        die (folder);
    for (int i = 0; i < 4000; i++) {
        x = x * 1664525u + 1013904223u;
        fputs (words[(x >> 16) % 12], text);
    }
    for (int i = 0; i < 600; i++) {
        double sum = 0, v[4];
        for (int k = 0; k < 4; k++) {
            x = x * 1664525u + 1013904223u;
            v[k] = (double)(x >> 16) / 65536;
            sum += k % 2 ? -v[k] : v[k];
        }
        fprintf (table, "%g,%g,%g,%g,%d\n", v[0], v[1], v[2], v[3], sum > 0);
    }
    fclose (text);
    fclose (table);
}

const char *gpt_spec (const char *more)
{
    static char spec[8192];
    snprintf (spec, sizeof spec,
              "{\"name\": \"t\", \"trainer\": \"gpt\", \"model\": {\"layers\": \"2\", \"heads\": "
              "\"2\", \"channels\": \"32\", \"dropout\": \"0.1\"}, \"data\": {\"path\": [\"%s\"], "
              "\"format\": \"text\", \"context\": 16, \"cache\": \"%s\"}, \"batch\": {\"global\": "
              "24, \"micro\": 4}, \"steps\": %d, \"optimizer\": {\"warmup\": 5}%s}",
              text_path, folder, STEPS, more);
    return spec;
}

const char *mlp_spec (const char *more)
{
    static char spec[8192];
    snprintf (
        spec, sizeof spec,
        "{\"name\": \"t\", \"trainer\": \"mlp\", \"model\": {\"hidden\": \"16,8\"}, \"data\": "
        "{\"path\": [\"%s\"], \"format\": \"csv\", \"header\": \"no\", \"cache\": \"%s\"}, "
        "\"batch\": {\"global\": 30, \"micro\": 5}, \"steps\": %d, \"optimizer\": "
        "{\"learning_rate\": 0.01}%s}",
        table_path, folder, STEPS, more);
    return spec;
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void find_program (int argc, char **argv)
{
    const char *dir = getenv ("MUSTER_LIBEXECDIR");
    snprintf (program, sizeof program, "%s", argc > 1 ? argv[1] : "");
    if (argc <= 1)
        snprintf (program, sizeof program, "%s/muster-trainer", dir ? dir : ".");
    if (access (program, X_OK) < 0)
        die (program);
}

void begin_tests (int argc, char **argv)
{
    find_program (argc, argv);
    if (!mkdtemp (folder))
        die (folder);
    signal (SIGPIPE, SIG_IGN);
    make_data ();
}

/* A trainer that was killed may have left somebody who writes its checkpoint to the end. */
int end_tests (void)
{
    char command[96];
    snprintf (command, sizeof command, "rm -rf %s 2>/dev/null", folder);
    for (int tries = 0; tries < 600; tries++) {
        if (system (command) == 0)
            return 0;
        nanosleep (&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    }
    return 1;
}
