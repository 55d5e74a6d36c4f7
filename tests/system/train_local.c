/* SPDX-License-Identifier: Apache-2.0 */
/* train_local.c - real trainer processes, and a false world between them
 *
 * This program plays agent, coordinator and collective at once for up to eight muster-trainer
 * processes: it hands out generations over the channel, and where the collective process would
 * reduce over MPI it adds the ranks' sums up in this process's memory. So what it shows is the
 * trainer alone:
 *
 *   equal   the weights after the last step are one hash for any number of ranks and threads and
 * any instruction set, for gpt and mlp, int32 and int64 torn    a generation that ends in the
 * middle of a step: what LEFT says is kept is not computed again, another world goes on with the
 * same step, and the hash is the same joiner  a rank that receives its state by broadcast counts as
 * one that was there from the start pause   WRITE between generations writes a checkpoint that
 * another trainer resumes from nan     a loss that becomes NaN fails the job with a sentence, or is
 * skipped, as the job says wrong   input that cannot be used is refused with a sentence
 *
 * Speaks TAP. */
#include "common/error.h"
#include "states.h"
#include "wire.h"
#include "worker/channel.h"
#include "worker/comm/comm.h"
#include "worker/comm/region.h"
#include "worker/state/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RANKS_MAX 8
#define STEPS     20
#define LIMIT_MS  60000

static char folder[] = "/tmp/muster-train-XXXXXX";
static char program[4096];
static int tests, failures;
static uint64_t job; /* each story is another job, with a checkpoint folder of its own */

static void ok (bool good, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

static void ok (bool good, const char *format, ...)
{
    char name[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (name, sizeof name, format, arguments);
    va_end (arguments);
    printf ("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
    fflush (stdout);
    failures += !good;
}

static void die (const char *what)
{
    printf ("Bail out! %s: %s\n", what, strerror (errno));
    exit (1);
}

static uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- one trainer process ---------------------------------------------------------------------- */

struct rank {
    pid_t pid;
    struct mu_channel channel;
    struct mu_region *region;
    struct mu_wire_opened opened;
    uint64_t request; /* the last one that was answered */
    uint32_t phase;
    uint64_t step, generation;
    double loss, loss_evaluated, accuracy;
    uint64_t evaluated_step;
    bool opened_said, left_said, refused;
    uint32_t code;
    char text[1024], saved[4096], saved_hash[65];
    uint64_t left_step, saved_step;
    uint32_t left_attempt;
    uint8_t kept[256];
    uint64_t digest_step, digest;
};

struct setting {
    const char *isa;
    unsigned threads;
};

static void spawn (struct rank *rank, const struct setting *setting)
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
        char fd[16], agent[16], threads[16], *quiet = getenv ("TRAIN_LOCAL_LOUD");
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

static void end (struct rank *rank)
{
    kill (rank->pid, SIGKILL);
    waitpid (rank->pid, NULL, 0);
    mu_region_detach (&rank->region);
    mu_channel_close (&rank->channel);
}

static void tell (struct rank *rank, const struct mu_wire *wire)
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
        rank->left_step = wire->left.step;
        rank->left_attempt = wire->left.attempt;
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

/* Hear everybody for a moment. False when a process ended. */
static bool hear (struct rank *ranks, unsigned count, int wait_ms)
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

/* --- the false world -------------------------------------------------------------------------- */

struct world {
    struct rank *ranks;
    unsigned size;
    uint64_t generation, step, until, steps;
    uint32_t attempt, source;
    bool transfer;
    uint16_t first_map[2047], map[2047];
    uint32_t micro_batches;
};

static void prepare (struct rank *rank, const char *spec, const char *resume, uint64_t step)
{
    struct mu_wire wire = { .type = MU_WIRE_PREPARE };
    wire.prepare.job = job;
    wire.prepare.spec = (struct mu_blob){ spec, (uint32_t)strlen (spec) };
    wire.prepare.resume_path = (struct mu_blob){ resume, (uint32_t)strlen (resume) };
    wire.prepare.resume_step = step;
    tell (rank, &wire);
}

static bool open_all (struct rank *ranks, unsigned count, const struct setting *settings,
                      const char *spec)
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

static void enter (struct world *world)
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
        world->ranks[r].left_said = false;
        tell (&world->ranks[r], &wire);
    }
}

/* Give everybody the source's state, as the collective's broadcast would. */
static void broadcast (struct world *world)
{
    const struct mu_region *from = world->ranks[world->source].region;
    for (unsigned r = 0; r < world->size; r++) {
        struct mu_region *region = world->ranks[r].region;
        while (atomic_load (&region->control->trainer.entered_generation) != world->generation)
            hear (world->ranks, world->size, 1);
        if (r != world->source)
            memcpy (region->state, from->state, from->layout.state_bytes);
        atomic_store (&region->control->collective.state_done_generation, world->generation);
        mu_bell_ring (&region->control->trainer_bell);
    }
}

static bool requested (const struct rank *rank)
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

/* Reduce if all ranks have asked for it. */
static bool reduce (struct world *world)
{
    for (unsigned r = 0; r < world->size; r++)
        if (!requested (&world->ranks[r]))
            return false;
    add_sums (world);
    for (unsigned r = 0; r < world->size; r++) {
        struct rank *rank = &world->ranks[r];
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

static bool any_refused (const struct world *world)
{
    for (unsigned r = 0; r < world->size; r++)
        if (world->ranks[r].refused)
            return true;
    return false;
}

/* Train until everybody says `phase`. */
static bool run (struct world *world, uint32_t phase)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        bool reduced = reduce (world);
        if (!hear (world->ranks, world->size, reduced ? 0 : 1) || any_refused (world))
            return false;
        if (all_in (world, phase))
            return true;
    }
    printf ("# time is up\n");
    return false;
}

static bool leave (struct world *world)
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

static void deal (struct world *world)
{
    for (uint32_t m = 0; m < world->micro_batches; m++)
        world->first_map[m] = world->map[m] = (uint16_t)(m % world->size);
}

static void weights_hash (const struct rank *rank, char text[MU_STATE_HASH_TEXT])
{
    uint8_t hash[MU_STATE_HASH_SIZE];
    mu_state_hash (rank->region->state, hash);
    mu_state_hash_text (hash, text);
}

/* --- job files -------------------------------------------------------------------------------- */

static char text_path[128], table_path[128];

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

static const char *gpt_spec (const char *more)
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

static const char *mlp_spec (const char *more)
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

/* --- stories ---------------------------------------------------------------------------------- */

static struct world begin (struct rank *ranks, unsigned size)
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

static bool train (const char *spec, unsigned size, const struct setting *settings,
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
        end (&ranks[r]);
    return good;
}

static bool have_isa (const char *isa)
{
    return !strcmp (isa, "plain") || (!strcmp (isa, "avx2") && __builtin_cpu_supports ("avx2")) ||
           (!strcmp (isa, "avx512") && __builtin_cpu_supports ("avx512bw"));
}

static void story_equal (const char *name, const char *spec, char hash[MU_STATE_HASH_TEXT])
{
    static const char *const sets[] = { "plain", "avx2", "avx512" };
    char first[MU_STATE_HASH_TEXT];
    struct setting settings[RANKS_MAX];
    bool begun = false;
    for (unsigned size = 1; size <= 3; size++) {
        for (unsigned threads = 1; threads <= 2; threads++) {
            const char *isa = sets[(size + threads) % 3];
            if (!have_isa (isa))
                isa = "plain";
            for (unsigned r = 0; r < size; r++)
                settings[r] = (struct setting){ isa, threads };
            if (size == 3 && threads == 2)
                for (unsigned r = 0; r < size; r++) /* a mixed world */
                    settings[r].isa = have_isa (sets[r]) ? sets[r] : "plain";
            bool good = train (spec, size, settings, hash);
            if (!begun)
                memcpy (first, hash, sizeof first);
            begun = true;
            ok (good && strcmp (first, hash) == 0, "%s: %u ranks, %u threads, %s: %.16s", name,
                size, threads, size == 3 && threads == 2 ? "mixed" : isa, hash);
        }
    }
    memcpy (hash, first, sizeof first);
}

/* Stop the world while step `step` is computed, with rank 0 done and the others perhaps not. */
static bool tear (struct world *world, uint64_t step)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        const struct mu_state *state = world->ranks[0].region->state;
        if (state->step >= step && requested (&world->ranks[0]))
            return leave (world);
        reduce (world);
        if (!hear (world->ranks, world->size, 0))
            return false;
    }
    return false;
}

static uint32_t count_kept (const struct rank *rank, uint32_t micro_batches)
{
    uint32_t kept = 0;
    for (uint32_t m = 0; m < micro_batches; m++)
        kept += rank->kept[m / 8] >> m % 8 & 1;
    return kept;
}

/* Who kept a micro-batch keeps it; the rest is dealt to everybody. */
static void deal_kept (struct world *world)
{
    deal (world);
    for (uint32_t m = 0; m < world->micro_batches; m++)
        for (unsigned r = 0; r < world->size; r++)
            if (world->ranks[r].kept[m / 8] >> m % 8 & 1)
                world->first_map[m] = (uint16_t)r;
}

static void story_torn (const char *spec, const char *hash)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[4] = { { "", 1 }, { "", 1 }, { "", 2 }, { "", 1 } };
    char found[MU_STATE_HASH_TEXT] = "none";
    if (!open_all (ranks, 4, settings, spec)) {
        ok (false, "torn: four trainers open");
        return;
    }
    struct world world = begin (ranks, 3); /* the fourth waits */
    enter (&world);
    bool torn = tear (&world, 7);
    ok (torn && ranks[0].left_step == 7 && count_kept (&ranks[0], 6) == 2,
        "torn: rank 0 left at step %llu with %u micro-batches kept",
        (unsigned long long)ranks[0].left_step, count_kept (&ranks[0], 6));
    world.size = 2; /* the third is lost; what it had is computed again */
    world.generation = 5;
    world.step = ranks[0].left_step;
    deal_kept (&world);
    enter (&world);
    torn = tear (&world, 12);
    ok (torn && ranks[1].left_step == 12, "torn: two survivors went on to step %llu",
        (unsigned long long)ranks[1].left_step);
    end (&ranks[2]);
    ranks[2] = ranks[3]; /* a newcomer, still at step 0 */
    world.size = 3;
    world.generation = 6;
    world.step = ranks[0].left_step;
    world.transfer = true;
    world.source = 1;
    deal_kept (&world);
    enter (&world);
    broadcast (&world);
    bool good = run (&world, MU_PHASE_FINISHED);
    bool same = true;
    for (unsigned r = 0; r < 3; r++) {
        weights_hash (&ranks[r], found);
        same = same && strcmp (found, hash) == 0;
    }
    ok (good && same, "torn: worlds of 3, 2 and 3 with a newcomer end with the same weights");
    leave (&world);
    for (unsigned r = 0; r < 3; r++)
        end (&ranks[r]);
}

/* Who joins when nothing is left to train has no step that would tell where its state stands. */
static void story_late (const char *spec)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[2] = { { "", 1 }, { "", 1 } };
    bool good = open_all (ranks, 2, settings, spec);
    if (good) {
        struct world world = begin (ranks, 1);
        enter (&world);
        good = run (&world, MU_PHASE_FINISHED) && leave (&world);
        world.size = 2;
        world.generation++;
        world.step = ranks[0].left_step;
        world.transfer = true;
        deal (&world);
        enter (&world);
        broadcast (&world);
        good = good && run (&world, MU_PHASE_FINISHED);
    }
    ok (good && ranks[1].step == STEPS, "a newcomer to a job that is trained says so: step %llu",
        (unsigned long long)ranks[1].step);
    for (unsigned r = 0; r < 2; r++)
        end (&ranks[r]);
}

/* Another world says that this rank's kept micro-batches are somebody else's: it begins anew. */
static void story_dealt_away (const char *spec, const char *hash)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[2] = { { "", 1 }, { "", 1 } };
    char found[MU_STATE_HASH_TEXT] = "none";
    bool good = open_all (ranks, 2, settings, spec);
    if (good) {
        struct world world = begin (ranks, 2);
        enter (&world);
        good = tear (&world, 3);
        world.generation = 2;
        world.step = 3;
        for (uint32_t m = 0; m < 6; m++) /* all the other way round */
            world.first_map[m] = (uint16_t)((m + 1) % 2);
        enter (&world);
        good = good && run (&world, MU_PHASE_FINISHED);
        weights_hash (&ranks[0], found);
    }
    ok (good && !strcmp (found, hash), "sums that are dealt to others are begun anew");
    for (unsigned r = 0; r < 2; r++)
        end (&ranks[r]);
}

static bool wait_saved (struct world *world, uint64_t step)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        if (world->ranks[0].saved_step == step && world->ranks[0].saved[0])
            return true;
        reduce (world);
        if (!hear (world->ranks, world->size, 2))
            return false;
    }
    return false;
}

static void story_pause (const char *hash)
{
    struct rank ranks[2];
    struct setting setting = { "", 1 };
    char more[256], found[MU_STATE_HASH_TEXT] = "none", path[4096];
    snprintf (more, sizeof more, ", \"checkpoint\": {\"dir\": \"%s/saves\", \"every\": 8}", folder);
    const char *spec = mlp_spec (more);
    bool good = open_all (ranks, 1, &setting, spec);
    struct world world = begin (ranks, 1);
    world.until = 11;
    enter (&world);
    good = good && run (&world, MU_PHASE_UNLEASED) && wait_saved (&world, 8);
    ok (good, "pause: a checkpoint of step 8 on the way, unleased at step 11");
    good = good && leave (&world);
    struct mu_wire wire = { .type = MU_WIRE_WRITE };
    wire.write.generation = 1;
    tell (&ranks[0], &wire);
    good = good && wait_saved (&world, 11);
    weights_hash (&ranks[0], found);
    ok (good && !strcmp (found, ranks[0].saved_hash), "pause: WRITE saves step 11: %.16s", found);
    snprintf (path, sizeof path, "%s", ranks[0].saved);
    end (&ranks[0]);

    spawn (&ranks[0], &setting);
    prepare (&ranks[0], spec, path, 11);
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until && !ranks[0].opened_said;)
        good = hear (ranks, 1, 100) && good;
    good = good && ranks[0].opened.step == 11;
    world = begin (ranks, 1);
    world.step = 11;
    enter (&world);
    good = good && run (&world, MU_PHASE_FINISHED) && wait_saved (&world, STEPS);
    weights_hash (&ranks[0], found);
    ok (good && !strcmp (found, hash), "pause: resumed from it, the end is the same: %.16s", found);
    end (&ranks[0]);
}

static void story_evaluate (void)
{
    struct rank ranks[1];
    struct setting setting = { "", 2 };
    bool good =
        open_all (ranks, 1, &setting,
                  mlp_spec (", \"eval\": {\"fraction\": 0.2, \"every\": 10}, \"hash_every\": 7"));
    struct world world = begin (ranks, 1);
    enter (&world);
    good = good && run (&world, MU_PHASE_FINISHED);
    for (int i = 0; i < 20; i++)
        hear (ranks, 1, 20);
    ok (good && ranks[0].evaluated_step == STEPS + 1 && ranks[0].loss_evaluated > 0 &&
            ranks[0].accuracy > 0.4,
        "evaluated after the last step: loss %.4f, accuracy %.2f", ranks[0].loss_evaluated,
        ranks[0].accuracy);
    ok (ranks[0].digest_step == STEPS && ranks[0].digest, "the last step's state is hashed");
    end (&ranks[0]);
}

static void story_nan (void)
{
    struct rank ranks[1];
    struct setting setting = { "", 1 };
    struct world world;
    char path[sizeof table_path], more[64];
    snprintf (path, sizeof path, "%s/nan.csv", folder);
    FILE *table = fopen (path, "w");
    if (!table)
        die (path);
    for (int i = 0; i < 60; i++)
        fprintf (table, "%s,0.5,0.25,1,%d\n", i == 17 ? "3e38" : "0.125", i % 2);
    fclose (table);
    char kept[sizeof text_path];
    snprintf (kept, sizeof kept, "%s", table_path);
    snprintf (table_path, sizeof table_path, "%s", path);
    for (int skip = 0; skip <= 1; skip++) {
        snprintf (more, sizeof more, ", \"non_finite\": \"%s\"", skip ? "skip" : "fail");
        bool good = open_all (ranks, 1, &setting, mlp_spec (more));
        world = begin (ranks, 1);
        enter (&world);
        bool ran = run (&world, MU_PHASE_FINISHED);
        if (skip)
            ok (good && ran && ((const struct mu_state *)ranks[0].region->state)->skipped > 0,
                "non_finite: skip leaves the steps out");
        else
            ok (good && !ran && ranks[0].refused && ranks[0].code == MU_FAILED &&
                    strstr (ranks[0].text, "micro-batch") && strstr (ranks[0].text, "records"),
                "non_finite: fail: %s", ranks[0].text);
        end (&ranks[0]);
    }
    snprintf (table_path, sizeof table_path, "%s", kept);
}

static void refused (const char *what, const char *spec, uint32_t code)
{
    struct rank rank;
    struct setting setting = { "", 1 };
    spawn (&rank, &setting);
    prepare (&rank, spec, "", 0);
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until && !rank.refused;)
        if (!hear (&rank, 1, 100) || rank.opened_said)
            break;
    ok (rank.refused && rank.code == code, "%s: %s (%s)", what, rank.text,
        mu_code_name ((int)rank.code));
    end (&rank);
}

static void story_wrong (void)
{
    char kept[sizeof text_path];
    refused ("no job file at all", "{}", MU_BAD_INPUT);
    refused ("a folder that is no checkpoint",
             mlp_spec (", \"checkpoint\": {\"resume\": \"/nowhere/step-1\"}"), MU_NO_INPUT);
    refused ("data to judge with that is not there",
             gpt_spec (", \"eval\": {\"path\": [\"/nowhere/text\"]}"), MU_NO_INPUT);
    snprintf (kept, sizeof kept, "%s", text_path);
    snprintf (text_path, sizeof text_path, "%s/nothing.txt", folder);
    refused ("a data file that is not there", gpt_spec (""), MU_NO_INPUT);
    snprintf (text_path, sizeof text_path, "%s", kept);
}

static void find_program (int argc, char **argv)
{
    const char *dir = getenv ("MUSTER_LIBEXECDIR");
    snprintf (program, sizeof program, "%s", argc > 1 ? argv[1] : "");
    if (argc <= 1)
        snprintf (program, sizeof program, "%s/muster-trainer", dir ? dir : ".");
    if (access (program, X_OK) < 0)
        die (program);
}

int main (int argc, char **argv)
{
    char gpt[MU_STATE_HASH_TEXT], mlp[MU_STATE_HASH_TEXT], wide[MU_STATE_HASH_TEXT];
    find_program (argc, argv);
    if (!mkdtemp (folder))
        die (folder);
    signal (SIGPIPE, SIG_IGN);
    make_data ();
    story_equal ("mlp", mlp_spec (""), mlp);
    story_equal ("gpt", gpt_spec (""), gpt);
    story_equal ("gpt int64", gpt_spec (", \"reduce\": \"int64\""), wide);
    story_torn (gpt_spec (""), gpt);
    story_late (mlp_spec (""));
    story_dealt_away (mlp_spec (""), mlp);
    story_pause (mlp);
    story_evaluate ();
    story_nan ();
    story_wrong ();
    printf ("1..%d\n", tests);
    char command[64];
    snprintf (command, sizeof command, "rm -rf %s", folder);
    return system (command) || failures ? 1 : 0;
}
