/* SPDX-License-Identifier: Apache-2.0 */
/* lies.c - what if a worker, or a person's client, says what is not so?
 *
 * Whoever reaches the socket may say anything that can be decoded, and the core must bear it. Every now
 * and then a copy of the core, made from its image, hears words of this run in which fields were
 * changed: to nothing, to the most, by one, to what another word says; some from another peer, some in
 * the place of another word; and time passes in between. What the copy decides must be such that its own
 * apply takes it (that is asserted there), that it can be encoded, and that a second copy which is told
 * of the records alone ends in the same state. The run itself notices nothing of it, and draws from it
 * no chance: any seed keeps its run.
 *
 * One seed in four does so; --lies does it in all of them, and more often. */
#include "lie.h"
#include "sim.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define HEARD_MAX   64u
#define ROUNDS      48u
#define EVERY       400u /* events, in the mean */
#define EVERY_ASKED 40u

struct heard {
    uint32_t peer;
    struct packet *packet;
};

static struct heard heard[HEARD_MAX];
static uint64_t heard_count, events;
static msgpack_sbuffer buffer;
static msgpack_zone zone;
static bool active, ready;

static const char *name_of_somebody (void)
{
    return worker_name ((uint32_t)lie_pick (options.workers));
}

void lies_reset (void)
{
    if (!ready) {
        msgpack_sbuffer_init (&buffer);
        msgpack_zone_init (&zone, 8192);
        ready = true;
    }
    for (uint32_t i = 0; i < HEARD_MAX; i++) {
        free (heard[i].packet);
        heard[i].packet = NULL;
    }
    heard_count = events = 0;
    uint64_t luck = mix (options.seed, 2718);
    lie_begin (luck, name_of_somebody);
    active = options.workers <= 64 && !options.story && (options.lies || luck % 4 == 0);
}

/* --- the copies ------------------------------------------------------------------------------- */

struct copies {
    struct coord *hearing, *told; /* told: of the records alone */
    struct coord_actions actions;
    uint64_t now_ms;
};

static struct coord *copy_of (const struct coord *coord, const struct coord_options *settings)
{
    struct mu_error error;
    struct coord_image image = { 0 };
    struct coord *copy = coord_create (settings);
    coord_save (coord, &image);
    CHECK (coord_load (copy, image.bytes, image.size, &error) == 0, "%s", error.text);
    free (image.bytes);
    return copy;
}

static void tell (struct coord *told, const struct mu_journal *record)
{
    struct mu_error error;
    struct mu_journal copy;
    msgpack_sbuffer_clear (&buffer);
    msgpack_zone_clear (&zone);
    CHECK (mu_record_encode (&mu_journal_family, record, &buffer, &error) == 0, "%s", error.text);
    CHECK (mu_record_decode (&mu_journal_family, &copy, buffer.data, buffer.size, 0, &zone,
                             &error) == 0,
           "%s", error.text);
    CHECK (coord_apply (told, &copy, &error) == 0, "%s", error.text);
}

static bool is_nameless (const struct coord_event *event)
{
    return event->type == COORD_RECEIVE && event->wire->type == MU_WIRE_HELLO &&
           !*event->wire->hello.name;
}

static void feed (struct copies *copies, struct coord_event event)
{
    struct mu_error error;
    event.now_ms = copies->now_ms;
    event.unix_ms = 1700000000000 + copies->now_ms;
    copies->actions.count = 0;
    coord_step (copies->hearing, &event, &copies->actions);
    for (uint32_t i = 0; i < copies->actions.count; i++) {
        const struct coord_action *action = &copies->actions.list[i];
        if (action->type == COORD_STORE) {
            tell (copies->told, &action->store);
            writers_note (&action->store);
            statistics.disbelieved += action->store.type == MU_JOURNAL_DISBELIEVED;
            continue;
        }
        CHECK (action->send.wire.type != MU_WIRE_WELCOME || !is_nameless (&event),
               "a worker without a name is let in");
        msgpack_sbuffer_clear (&buffer);
        CHECK (mu_record_encode (&mu_wire_family, &action->send.wire, &buffer, &error) == 0, "%s",
               error.text);
    }
    statistics.lies++;
}

static void pass_time (struct copies *copies)
{
    uint64_t deadline_ms = coord_deadline (copies->hearing);
    bool soon = deadline_ms < copies->now_ms + 60000;
    copies->now_ms = lie_pick (2) && soon && deadline_ms > copies->now_ms
                         ? deadline_ms
                         : copies->now_ms + lie_pick (300);
    if (copies->now_ms >= deadline_ms)
        feed (copies, (struct coord_event){ .type = COORD_TIMER });
}

static void hear_one (struct copies *copies)
{
    const struct heard *from = &heard[lie_pick (heard_count < HEARD_MAX ? heard_count : HEARD_MAX)];
    uint32_t peer = lie_pick (5)
                        ? from->peer
                        : heard[lie_pick (heard_count < HEARD_MAX ? heard_count : HEARD_MAX)].peer;
    struct mu_wire wire;
    if (lie_pick (40) == 0) {
        feed (copies, (struct coord_event){ .type = COORD_GONE, .peer = peer });
        return;
    }
    packet_read (from->packet, &wire);
    lie (&wire);
    struct packet *packet = packet_of (&wire); /* within the limits, as all that is heard */
    packet_read (packet, &wire);
    feed (copies, (struct coord_event){ .type = COORD_RECEIVE, .peer = peer, .wire = &wire });
    free (packet);
}

static void try_lies (const struct coord *coord, const struct coord_options *settings)
{
    uint32_t mark = writers_mark ();
    struct copies copies = { .hearing = copy_of (coord, settings),
                             .told = copy_of (coord, settings),
                             .now_ms = clock_now () };
    for (uint32_t i = 0; i < ROUNDS && !coord_deposed (copies.hearing); i++) {
        hear_one (&copies);
        pass_time (&copies);
    }
    CHECK (!coord_deposed (copies.hearing) || mix (options.seed, 4001) % 2 == 0,
           "a word deposes a coordinator that has a register");
    CHECK (coord_digest (copies.hearing) == coord_digest (copies.told),
           "lies change what no record tells of");
    writers_back (mark);
    coord_destroy (&copies.hearing);
    coord_destroy (&copies.told);
    free (copies.actions.list);
}

void lies_event (const struct coord *coord, const struct coord_options *settings,
                 const struct coord_event *event)
{
    if (!active)
        return;
    if (event->type == COORD_RECEIVE) {
        struct heard *slot = &heard[heard_count++ % HEARD_MAX];
        free (slot->packet);
        *slot = (struct heard){ event->peer, packet_of (event->wire) };
    }
    if (heard_count && mix (options.seed, ++events) % (options.lies ? EVERY_ASKED : EVERY) == 0)
        try_lies (coord, settings);
}
