/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - a model of the MPI world: fences, reductions that tear
 *
 * A world is torn when one of its collective processes ends or a line between its members is cut.
 * Then a reduction that was under way may have come back for some ranks and not for others; of the
 * processes that are left some fail and some hang. A reduction proves itself (DESIGN 4.3), so none
 * comes back with wrong sums; but its canary must be the same on all ranks.
 *
 * A world may be connected ahead, while its members train in another one: then it gets ready when
 * all of them were told to form it. */
#include "sim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FENCES 2u
#define NOBODY UINT32_MAX

struct place {
    uint32_t worker;
    uint64_t life; /* of its collective; 0: nobody yet */
    bool connected, formed, ready, arrived;
    uint64_t turn, step;
    struct reduced gives;
    uint32_t attempt;
    char values[FENCES][48];
};

struct world {
    uint64_t job, generation;
    char name[64];
    bool transfers; /* some are behind the source */
    uint32_t size, connected, formed, arrived, source_rank;
    bool torn, silent; /* nobody is told that it is torn */
    struct place *places;
    struct world *next;
};

static struct world *worlds;
static uint64_t life_next = 1;

void worlds_reset (void)
{
    while (worlds) {
        struct world *world = worlds;
        worlds = world->next;
        free (world->places);
        free (world);
    }
}

static struct world *find (const struct agent_form *form)
{
    for (struct world *world = worlds; world; world = world->next)
        if (world->job == form->job && world->generation == form->generation &&
            !strcmp (world->name, form->world)) {
            CHECK (world->size == form->size, "two sizes of world %s", form->world);
            return world;
        }
    struct world *world = calloc (1, sizeof *world);
    if (!world)
        abort ();
    world->job = form->job;
    world->generation = form->generation;
    snprintf (world->name, sizeof world->name, "%s", form->world);
    world->size = form->size;
    world->source_rank = NOBODY;
    world->places = calloc (form->size, sizeof *world->places);
    if (!world->places)
        abort ();
    world->next = worlds;
    worlds = world;
    return world;
}

static struct collective *of (uint32_t number) { return &worker_at (number)->collective; }

/* The worker's collective that has this life; NULL: it lives no more. */
static struct collective *with_life (uint32_t number, uint64_t life)
{
    struct sim_worker *worker = worker_at (number);
    struct collective *found = worker->ahead.life == life ? &worker->ahead : &worker->collective;
    return worker->agent && found->alive && found->life == life ? found : NULL;
}

static bool is_void (uint32_t number, uint64_t life) { return !with_life (number, life); }

/* --- the end ---------------------------------------------------------------------------------- */

static void reaped (uint32_t number, uint64_t generation, void *data)
{
    uint64_t life;
    memcpy (&life, data, sizeof life);
    if (of (number)->life == life)
        of (number)->dying = false;
    if (of (number)->life == life && worker_at (number)->agent)
        worker_event (number,
                      &(struct agent_event){ .type = AGENT_COLLECTIVE_ENDED,
                                             .generation = generation,
                                             .status = of (number)->fell ? 49 << 8 : SIGKILL,
                                             .by_itself = !of (number)->killed,
                                             .text = "its world fell apart" });
}

static void tear (struct world *world);

static void end (uint32_t number)
{
    struct collective *collective = of (number);
    if (!collective->alive)
        return;
    collective->alive = false;
    collective->dying = true;
    uint64_t *life = malloc (sizeof *life);
    if (!life)
        abort ();
    *life = collective->life;
    bool late = chance (faults.undying);
    if (late)
        worker_at (number)->held_ms = clock_now () + 60000;
    clock_after (late ? draw (3000, 60000) : takes (1, 20), reaped, number, collective->generation,
                 life);
    tear (collective->world);
}

static void end_ahead (uint32_t number)
{
    struct collective *ahead = &worker_at (number)->ahead;
    struct world *world = ahead->alive ? ahead->world : NULL;
    *ahead = (struct collective){ .life = life_next++ };
    if (world)
        tear (world);
}

static void fail (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = with_life (number, life);
    (void)data;
    if (!collective || hold_back (&collective->hold, fail, number, life, NULL, 0))
        return;
    if (collective == of (number)) {
        collective->fell = true;
        end (number);
        return;
    }
    uint64_t generation = collective->generation;
    end_ahead (number);
    worker_event (number, &(struct agent_event){ .type = AGENT_COLLECTIVE_ENDED,
                                                 .generation = generation,
                                                 .status = 49 << 8,
                                                 .text = "its world ahead fell apart" });
}

static void tear (struct world *world)
{
    if (world->torn)
        return;
    world->torn = true;
    for (uint32_t rank = 0; rank < world->size && !world->silent; rank++) {
        const struct place *place = &world->places[rank];
        if (place->life && !is_void (place->worker, place->life) &&
            (faults.quick_ms || chance (700000000)))
            clock_after (takes (1, 60), fail, place->worker, place->life, NULL);
    }
}

void collective_kill (uint32_t number)
{
    of (number)->killed |= of (number)->alive; /* or it is ending by itself */
    end (number);
}

void collective_drop_ahead (uint32_t number) { end_ahead (number); }

void collective_end (uint32_t number)
{
    struct collective *collective = of (number);
    struct world *world = collective->alive ? collective->world : NULL;
    *collective = (struct collective){ .life = life_next++ };
    if (world)
        tear (world);
    end_ahead (number);
}

/* --- forming ---------------------------------------------------------------------------------- */

static const struct trainer *source_of (const struct world *world)
{
    return &worker_at (world->places[world->source_rank].worker)->trainer;
}

/* Who has the state already proves by its hash that it is the source's. */
static bool is_other (const struct world *world, const struct trainer *trainer)
{
    if (!world->transfers)
        return false;
    const struct trainer *source = source_of (world);
    return source->alive && source->in && source->generation == trainer->generation &&
           source->step == trainer->step && source->attempt == trainer->attempt &&
           source->state != trainer->state;
}

static void be_ready (uint32_t number, const struct collective *collective)
{
    collective->world->places[collective->rank].ready = true;
    worker_event (number, &(struct agent_event){ .type = AGENT_COLLECTIVE_READY,
                                                 .generation = collective->generation });
}

/* NULL: it is gone, its world is torn, or what is to happen is put off. */
static struct collective *at_work (uint32_t number, uint64_t life, happening *what)
{
    struct collective *collective = with_life (number, life);
    if (!collective || collective->world->torn ||
        hold_back (&collective->hold, what, number, life, NULL, 0) ||
        hold_back (&worker_at (number)->trainer.hold, what, number, life, NULL, 0))
        return NULL;
    return collective;
}

/* Both are in this generation yet, and the source stands where it began. */
static bool is_given (const struct collective *collective, const struct trainer *taker,
                      const struct trainer *source)
{
    return taker->alive && taker->in && taker->generation == collective->generation &&
           source->alive && source->step == collective->step &&
           source->attempt == collective->attempt;
}

static void differ (uint32_t number, const struct collective *collective, const char *text)
{
    uint64_t generation = collective->generation;
    statistics.differing++;
    end (number);
    worker_event (number, &(struct agent_event){ .type = AGENT_COLLECTIVE_FAILED,
                                                 .generation = generation,
                                                 .differs = true,
                                                 .text = text });
}

static void get_ready (uint32_t number, uint64_t life, void *data);

/* It makes the update itself, and is compared like all others. */
static void took_sums (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = at_work (number, life, took_sums);
    struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (!collective)
        return;
    const struct world *world = collective->world;
    const struct trainer *source = source_of (world);
    if (!is_given (collective, trainer, source))
        return;
    if (source->given != source->proven) {
        differ (number, collective, "the source's sums are not what was proven");
        return;
    }
    CHECK (mu_is_one_behind (trainer->step, trainer->attempt, source->step, source->attempt,
                             source->made_of),
           "%s at step %" PRIu64 ", attempt %u, is given the sums of %s at step %" PRIu64
           ", attempt %u",
           worker_name (number), trainer->step, trainer->attempt,
           worker_name (world->places[world->source_rank].worker), source->step, source->attempt);
    statistics.caught_up++;
    trainer_update (trainer, source->given);
    trainer_drop_sums (trainer);
    collective->receives = MU_RECEIVES_NOTHING;
    uint64_t trainer_life = trainer->life;
    trainer_progress (number);
    if (!is_void (number, life) && trainer->life == trainer_life)
        get_ready (number, life, NULL);
}

/* All of it has come, or no more will: then it hangs until it is ended. */
static void received (uint32_t number, uint64_t life, void *data)
{
    const struct collective *collective = at_work (number, life, received);
    struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (!collective)
        return;
    const struct world *world = collective->world;
    const struct trainer *source = source_of (world);
    CHECK (!source->alive || !source->blank, "%s gives a state that it does not hold",
           worker_name (world->places[world->source_rank].worker));
    if (!is_given (collective, trainer, source))
        return;
    trainer->receiving = false;
    trainer->step = source->step;
    trainer->attempt = source->attempt;
    trainer->state = source->state;
    trainer->not_finite = source->not_finite;
    trainer->blank = false;
    trainer->made_of = 0;
    trainer_drop_sums (trainer);
    uint64_t trainer_life = trainer->life;
    trainer_progress (number);
    if (!is_void (number, life) && trainer->life == trainer_life)
        be_ready (number, collective);
}

/* Everybody is connected: the source's state goes to those that are behind. */
static void get_ready (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = at_work (number, life, get_ready);
    struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (!collective)
        return;
    const struct world *world = collective->world;
    if (trainer->alive && trainer->words) { /* ENTER is among them */
        clock_after (1, get_ready, number, life, NULL);
        return;
    }
    if (!trainer->alive || !trainer->in || trainer->generation != collective->generation)
        return; /* hangs until it is ended */
    if (collective->receives == MU_RECEIVES_SUMS) {
        trainer->phase = MU_PHASE_RECEIVING;
        clock_after (takes (1, 60), took_sums, number, life, NULL);
        trainer_progress (number);
        return;
    }
    if (collective->receives == MU_RECEIVES_STATE) {
        trainer->receiving = true;
        trainer->phase = MU_PHASE_RECEIVING;
        clock_after (takes (1, draw (0, 3) ? 120 : 4000), received, number, life, NULL);
        trainer_progress (number);
        return;
    }
    if (trainer->blank || trainer->step != collective->step ||
               trainer->attempt != collective->attempt) {
        statistics.mismatches++;
        end (number);
        return;
    }
    if (is_other (world, trainer)) {
        differ (number, collective, "its state is not the source's");
        return;
    }
    be_ready (number, collective);
}

static void tell_connected (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = with_life (number, life);
    (void)data;
    if (!collective || hold_back (&collective->hold, tell_connected, number, life, NULL, 0))
        return;
    worker_event (number, &(struct agent_event){ .type = AGENT_COLLECTIVE_CONNECTED,
                                                 .generation = collective->generation });
}

static bool is_parted (const struct world *world)
{
    uint32_t ends = 0;
    for (uint32_t rank = 0; rank < world->size && faults.parted; rank++)
        ends += world->places[rank].worker == faults.part[0] ||
                world->places[rank].worker == faults.part[1];
    return ends == 2;
}

static void connect_world (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = with_life (number, life);
    (void)data;
    if (!collective || hold_back (&collective->hold, connect_world, number, life, NULL, 0))
        return;
    collective->moved++;
    struct world *world = collective->world;
    struct place *place = &world->places[collective->rank];
    if (!place->connected) {
        place->connected = true;
        world->connected++;
    }
    bool linked = true;
    for (uint32_t rank = 0; rank < world->size && world->size > 1; rank++)
        linked =
            linked && (!world->places[rank].life || network_lines_up (world->places[rank].worker));
    if (!linked) {
        tear (world);
        return;
    }
    if (world->connected < world->size || world->torn)
        return;
    if (is_parted (world)) {
        if (faults.refusing) /* who tries is told at once, each time */
            end (number);
        return;
    }
    bool ready = world->formed == world->size;
    for (uint32_t rank = 0; rank < world->size; rank++)
        clock_after (takes (1, 30), ready ? get_ready : tell_connected, world->places[rank].worker,
                     world->places[rank].life, NULL);
}

static void fence (uint32_t number, uint64_t life, void *data)
{
    struct collective *collective = with_life (number, life);
    (void)data;
    if (!collective || hold_back (&collective->hold, fence, number, life, NULL, 0))
        return;
    if (collective != of (number) && chance (20 * faults.collective_crash)) {
        statistics.collective_crashes++;
        fail (number, life, NULL);
        return;
    }
    const char *values = collective->world->places[collective->rank].values[collective->fence];
    collective->at_fence = true;
    worker_event (number, &(struct agent_event){ .type = AGENT_COLLECTIVE_FENCE,
                                                 .generation = collective->generation,
                                                 .number = collective->fence,
                                                 .values = { values, (uint32_t)strlen (values) } });
}

static void take_place (uint32_t number, struct collective *collective,
                        const struct agent_form *form)
{
    struct world *world = find (form);
    *collective = (struct collective){ .alive = true,
                                       .life = life_next++,
                                       .generation = form->generation,
                                       .rank = form->rank,
                                       .world = world };
    CHECK (form->rank < world->size, "rank %u of %u", form->rank, world->size);
    struct place *place = &world->places[form->rank];
    CHECK (!place->life || place->worker == number,
           "two workers have rank %u of generation %" PRIu64, form->rank, form->generation);
    place->worker = number;
    place->life = collective->life;
    for (uint32_t i = 0; i < FENCES; i++)
        snprintf (place->values[i], sizeof place->values[i],
                  "<j%" PRIu64 " g%" PRIu64 " f%u r%u w%u>", form->job, form->generation, i,
                  form->rank, number);
    clock_after (takes (5, 40), fence, number, collective->life, NULL);
}

void collective_connect (uint32_t number, const struct agent_form *form)
{
    struct sim_worker *worker = worker_at (number);
    CHECK (!worker->ahead.alive, "%s connects twice ahead", worker_name (number));
    CHECK (form->generation > worker->formed, "%s connects for generation %" PRIu64 " too late",
           worker_name (number), form->generation);
    take_place (number, &worker->ahead, form);
}

static void use_ahead (uint32_t number, const struct agent_form *form)
{
    struct sim_worker *worker = worker_at (number);
    CHECK (worker->ahead.alive && worker->ahead.generation == form->generation &&
               worker->ahead.rank == form->rank && !strcmp (worker->ahead.world->name, form->world),
           "%s forms a world that it is not connected to", worker_name (number));
    statistics.connected_ahead++;
    worker->collective = worker->ahead;
    worker->ahead = (struct collective){ .life = life_next++ };
}

static void form_world (struct collective *collective, const struct agent_form *form)
{
    struct world *world = collective->world;
    struct place *place = &world->places[collective->rank];
    CHECK (world->source_rank == NOBODY || world->source_rank == form->source_rank,
           "two sources of world %s", world->name);
    world->source_rank = form->source_rank;
    world->transfers = form->transfer;
    collective->receives = form->receives;
    collective->step = form->step;
    collective->attempt = form->attempt;
    if (place->formed) /* a worker that began anew heard FORM late */
        return;
    place->formed = true;
    if (++world->formed < world->size || world->connected < world->size || world->torn)
        return;
    for (uint32_t rank = 0; rank < world->size; rank++)
        clock_after (takes (1, 30), get_ready, world->places[rank].worker, world->places[rank].life,
                     NULL);
}

void collective_start (uint32_t number, const struct agent_form *form)
{
    struct collective *collective = of (number);
    CHECK (!collective->alive && !collective->dying, "%s starts a second collective",
           worker_name (number));
    CHECK (form->generation > worker_at (number)->formed, "%s forms generation %" PRIu64 " again",
           worker_name (number), form->generation);
    worker_at (number)->formed = form->generation;
    if (form->connected)
        use_ahead (number, form);
    else
        take_place (number, collective, form);
    form_world (collective, form);
}

void collective_fenced (uint32_t number, const struct agent_fence *answer)
{
    struct sim_worker *worker = worker_at (number);
    bool ahead = worker->ahead.alive && worker->ahead.generation == answer->generation;
    struct collective *collective = ahead ? &worker->ahead : &worker->collective;
    if (!collective->alive || answer->generation != collective->generation)
        return;
    const struct world *world = collective->world;
    CHECK (answer->number == collective->fence, "fence %u is answered at fence %u", answer->number,
           collective->fence);
    const char *values = answer->values.data;
    uint32_t left = answer->values.size;
    for (uint32_t rank = 0; rank < world->size; rank++) {
        const char *expected = world->places[rank].values[answer->number];
        uint32_t size = (uint32_t)strlen (expected);
        CHECK (size && size <= left && !memcmp (values, expected, size),
               "fence %u of generation %" PRIu64 " brings wrong values of rank %u", answer->number,
               world->generation, rank);
        values += size;
        left -= size;
    }
    CHECK (left == 0, "fence %u brings too much", answer->number);
    collective->at_fence = false;
    collective->fence++;
    clock_after (takes (1, 20), collective->fence < FENCES ? fence : connect_world, number,
                 collective->life, NULL);
}

void worlds_cut_silently (void)
{
    for (struct world *world = worlds; world; world = world->next)
        if (world->size > 1 && !world->torn)
            world->silent = world->torn = true;
}

bool world_has_twice (uint32_t number, uint64_t kept)
{
    const struct world *world = of (number)->world;
    const struct trainer *mine = &worker_at (number)->trainer;
    for (uint32_t rank = 0; rank < world->size; rank++) {
        const struct trainer *other = &worker_at (world->places[rank].worker)->trainer;
        if (other != mine && (!other->alive || other->generation != mine->generation ||
                              other->step != mine->step || (other->kept & kept)))
            return true; /* or who knows: it has gone, or gone on */
    }
    return false;
}

void world_check_ready (uint64_t job, uint64_t generation)
{
    for (const struct world *world = worlds; world; world = world->next) {
        if (world->job != job || world->generation != generation || !world->formed)
            continue;
        for (uint32_t rank = 0; rank < world->size; rank++)
            CHECK (world->places[rank].ready,
                   "generation %" PRIu64 " of job %" PRIu64 " starts before rank %u is ready",
                   generation, job, rank);
        return;
    }
    sim_fail (__FILE__, __LINE__, "the world exists", "generation %" PRIu64 " starts", generation);
}

/* --- reductions ------------------------------------------------------------------------------- */

static void came_back (uint32_t number, uint64_t turn, void *data)
{
    struct collective *collective = of (number);
    struct trainer *trainer = &worker_at (number)->trainer;
    const struct reduced *reduced = data;
    if (!collective->alive ||
        hold_back (&collective->hold, came_back, number, turn, data, sizeof *reduced))
        return;
    if (trainer->answered != turn && collective->world->torn && chance (500000000))
        return; /* it hangs, or fails later */
    collective->moved++;
    trainer->answered = turn;
    if (hold_back (&trainer->hold, came_back, number, turn, data, sizeof *reduced))
        return;
    trainer_reduced (number, turn, reduced);
}

static void finish_reduction (struct world *world)
{
    struct reduced sum = { 0, 0 };
    for (uint32_t rank = 0; rank < world->size; rank++) {
        const struct place *place = &world->places[rank];
        CHECK (place->step == world->places[0].step && place->attempt == world->places[0].attempt,
               "rank %u reduces step %" PRIu64 " with step %" PRIu64, rank, place->step,
               world->places[0].step);
        sum.total += place->gives.total;
        sum.bad |= place->gives.bad;
        ledgers_note (world->job, world->generation, place->worker);
        check_wronged (world->job, place->worker);
    }
    world->arrived = 0;
    for (uint32_t rank = 0; rank < world->size; rank++) {
        struct place *place = &world->places[rank];
        struct reduced *copy = malloc (sizeof *copy);
        if (!copy)
            abort ();
        *copy = sum;
        place->arrived = false;
        worker_at (place->worker)->trainer.made_of = 0; /* written over from here on */
        clock_after (takes (1, 8), came_back, place->worker, place->turn, copy);
    }
}

static void reduce_later (uint32_t number, uint64_t turn, void *data)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    (void)data;
    if (trainer->alive && trainer->going && trainer->turn == turn)
        world_reduce (number);
}

void world_reduce (uint32_t number)
{
    const struct trainer *trainer = &worker_at (number)->trainer;
    struct collective *collective = of (number);
    if (!collective->alive || collective->generation != trainer->generation ||
        hold_back (&collective->hold, reduce_later, number, trainer->turn, NULL, 0))
        return;
    collective->moved++;
    struct world *world = collective->world;
    if (chance (faults.collective_crash)) {
        statistics.collective_crashes++;
        end (number);
        return;
    }
    if (world->size > 1 && !network_lines_up (number)) {
        world->silent = !world->torn && draw (0, 1);
        tear (world);
    }
    if (world->torn)
        return;
    struct place *place = &world->places[collective->rank];
    CHECK (!place->arrived, "%s reduces twice", worker_name (number));
    place->arrived = true;
    place->turn = trainer->turn;
    place->gives = (struct reduced){ trainer->sums, trainer->bad };
    place->step = trainer->step;
    place->attempt = trainer->attempt;
    if (++world->arrived == world->size)
        finish_reduction (world);
}
