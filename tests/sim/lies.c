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
#include "sim.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define HEARD_MAX   64u
#define ROUNDS      48u
#define EVERY       400u /* events, in the mean */
#define EVERY_ASKED 40u
#define BYTES_MAX   512u

struct heard {
    uint32_t peer;
    struct packet *packet;
};

static struct heard heard[HEARD_MAX];
static uint64_t heard_count, luck, events;
static uint8_t rooms[4][BYTES_MAX]; /* a word has fewer such fields that change */
static uint32_t room;
static msgpack_sbuffer buffer;
static msgpack_zone zone;
static bool active, ready;

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
    luck = mix (options.seed, 2718);
    active = options.workers <= 64 && !options.story && (options.lies || luck % 4 == 0);
}

/* Below `below`; a chance of its own. */
static uint64_t pick (uint64_t below)
{
    luck = mix (luck, 31);
    return (luck >> 8) % below;
}

/* --- what is changed -------------------------------------------------------------------------- */

static uint64_t some_number (uint64_t was)
{
    switch (pick (9)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return was + 1;
    case 3: return was - 1;
    case 4: return UINT64_C (1) << pick (64);
    case 5: return was + pick (100);
    case 6: return was * 2;
    case 7: return UINT32_MAX;
    default: return pick (10);
    }
}

static double some_fraction (double was)
{
    switch (pick (6)) {
    case 0: return 0;
    case 1: return -was;
    case 2: return NAN;
    case 3: return INFINITY;
    case 4: return 1e300;
    default: return was * 2;
    }
}

static uint64_t within (const struct mu_field *field, uint64_t number)
{
    if (number < field->low)
        return field->low;
    return number > field->high ? field->high : number;
}

static void change_text (const struct mu_field *field, char *text)
{
    uint64_t what = pick (4);
    if (what == 0)
        *text = '\0';
    else if (what == 1)
        mu_text_set (text, field->high + 1, worker_name ((uint32_t)pick (options.workers)));
    else if (what == 2)
        snprintf (text, field->high + 1, "%" PRIu64, some_number (pick (4)));
    else
        for (uint64_t i = 0; i <= field->high; i++)
            text[i] = i < field->high ? 'x' : '\0';
}

static void change_blob (const struct mu_field *field, struct mu_blob *blob)
{
    uint64_t most = field->high < BYTES_MAX ? field->high : BYTES_MAX, what = pick (4);
    bool text = field->kind == MU_FIELD_LONGTEXT;
    if (what == 0) {
        blob->size = 0;
    } else if (what == 1) {
        blob->size = (uint32_t)(blob->size ? pick (blob->size) : 0);
        if (text)
            blob->size = 0; /* half a character is no text */
    } else {
        uint8_t *bytes = rooms[room++ % 4];
        memset (bytes, text ? 'x' : what == 2 ? 0xff : (int)pick (256), BYTES_MAX);
        *blob = (struct mu_blob){ bytes, (uint32_t)(what == 2 ? most : pick (most + 1)) };
    }
}

static void change (const struct mu_field *field, uint8_t *at)
{
    uint32_t word;
    uint64_t number;
    double fraction;
    switch (field->kind) {
    case MU_FIELD_U32:
        memcpy (&word, at, sizeof word);
        word = (uint32_t)within (field, some_number (word) & UINT32_MAX);
        memcpy (at, &word, sizeof word);
        return;
    case MU_FIELD_U64:
    case MU_FIELD_I64:
        memcpy (&number, at, sizeof number);
        number = some_number (number);
        number = field->kind == MU_FIELD_U64 ? within (field, number) : number;
        memcpy (at, &number, sizeof number);
        return;
    case MU_FIELD_F64:
        memcpy (&fraction, at, sizeof fraction);
        fraction = some_fraction (fraction);
        memcpy (at, &fraction, sizeof fraction);
        return;
    case MU_FIELD_BOOL: *at = !*at; return;
    case MU_FIELD_TEXT: change_text (field, (char *)at); return;
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: change_blob (field, (struct mu_blob *)(void *)at); return;
    case MU_FIELD_LIST: return; /* no worker and no client says one */
    }
}

static uint8_t *body_of (struct mu_wire *wire)
{
    return (uint8_t *)wire + mu_wire_family.body_offset;
}

static bool is_said_to_us (const struct mu_shape *shape)
{
    return shape && (shape->sender == MU_ROLE_WORKER || shape->sender == MU_ROLE_CLIENT);
}

/* Another word, that says the same where both have a field of that name and kind. */
static void say_another (struct mu_wire *wire)
{
    struct mu_wire other = { .term = wire->term };
    const struct mu_shape *from = mu_shape_find (&mu_wire_family, wire->type), *to;
    do {
        other.type = (enum mu_wire_type)pick (mu_wire_family.shape_count);
        to = mu_shape_find (&mu_wire_family, other.type);
    } while (!is_said_to_us (to));
    for (uint32_t i = 0; i < to->field_count; i++) {
        const struct mu_field *field = &to->fields[i];
        const struct mu_field *same = mu_shape_field (from, field->name);
        uint64_t number = field->low;
        if (field->kind != MU_FIELD_U64 && field->kind != MU_FIELD_U32)
            continue;
        if (same && same->kind == field->kind)
            memcpy (&number, body_of (wire) + same->offset, field->kind == MU_FIELD_U64 ? 8 : 4);
        number = within (field, number);
        memcpy (body_of (&other) + field->offset, &number, field->kind == MU_FIELD_U64 ? 8 : 4);
    }
    *wire = other;
}

/* Of a checkpoint that could be: the job, the generation and the step that this word speaks of, or the
 * next ones. */
static void say_saved (struct mu_wire *wire)
{
    static const char path[] = "/checkpoints/false";
    const struct mu_shape *from = mu_shape_find (&mu_wire_family, wire->type);
    uint64_t number[3] = { pick (3), pick (3), pick (200) };
    const char *names[] = { "job", "generation", "step" };
    for (uint32_t i = 0; i < 3; i++) {
        const struct mu_field *field = mu_shape_field (from, names[i]);
        if (field && field->kind == MU_FIELD_U64)
            memcpy (&number[i], body_of (wire) + field->offset, sizeof number[i]);
    }
    *wire = (struct mu_wire){ .type = MU_WIRE_SAVED,
                              .term = wire->term,
                              .saved = { .job = number[0],
                                         .generation = number[1],
                                         .step = number[2] + pick (3),
                                         .path = { path, sizeof path - 1 },
                                         .bytes = 4096 } };
    mu_text_set (wire->saved.weights_hash, sizeof wire->saved.weights_hash, "false");
}

static void lie (struct mu_wire *wire)
{
    uint64_t other = pick (6);
    if (other == 0)
        say_another (wire);
    else if (other == 1)
        say_saved (wire);
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire->type);
    for (uint64_t left = pick (4); left > 0 && shape->field_count; left--) {
        const struct mu_field *field = &shape->fields[pick (shape->field_count)];
        change (field, body_of (wire) + field->offset);
    }
    if (pick (200) == 0)
        wire->term = some_number (wire->term);
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
    copies->now_ms = pick (2) && soon && deadline_ms > copies->now_ms ? deadline_ms
                                                                     : copies->now_ms + pick (300);
    if (copies->now_ms >= deadline_ms)
        feed (copies, (struct coord_event){ .type = COORD_TIMER });
}

static void hear_one (struct copies *copies)
{
    const struct heard *from = &heard[pick (heard_count < HEARD_MAX ? heard_count : HEARD_MAX)];
    uint32_t peer =
        pick (5) ? from->peer
                 : heard[pick (heard_count < HEARD_MAX ? heard_count : HEARD_MAX)].peer;
    struct mu_wire wire;
    if (pick (40) == 0) {
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
