/* SPDX-License-Identifier: Apache-2.0 */
/* replay_list.c - events and decisions, a line each
 *
 * Peers are numbers that mean nothing later; a HELLO says which worker is behind one. Fields are
 * shown by the schemas' own tables, those that are zero or empty left out. */
#include "replay.h"

#include "index.h"
#include "io_announce.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHOWN_MAX 80 /* of one text */

struct known {
    uint32_t peer;
    char name[64];
};

struct listing {
    const struct mu_replay_options *options;
    struct known *known;
    uint32_t count, capacity;
    struct index peers;
    char nobody[32];
};

struct listing *listing_create (const struct mu_replay_options *options)
{
    struct listing *listing = calloc (1, sizeof *listing);
    if (!listing)
        abort ();
    listing->options = options;
    return listing;
}

void listing_destroy (struct listing **listing_p)
{
    struct listing *listing = *listing_p;
    free (listing->known);
    index_clear (&listing->peers);
    free (listing);
    *listing_p = NULL;
}

/* --- who -------------------------------------------------------------------------------------- */

static struct known *find (const struct listing *listing, uint32_t peer)
{
    uint32_t cursor = 0, at;
    uint64_t hash = index_hash (&peer, sizeof peer);
    while ((at = index_next (&listing->peers, hash, &cursor)) != NONE)
        if (listing->known[at].peer == peer)
            return &listing->known[at];
    return NULL;
}

static void meet (struct listing *listing, uint32_t peer, const char *name)
{
    struct known *known = find (listing, peer);
    if (!known) {
        if (listing->count == listing->capacity) {
            listing->capacity = listing->capacity ? 2 * listing->capacity : 64;
            listing->known = realloc (listing->known, listing->capacity * sizeof *listing->known);
            if (!listing->known)
                abort ();
        }
        index_add (&listing->peers, index_hash (&peer, sizeof peer), listing->count);
        known = &listing->known[listing->count++];
        known->peer = peer;
    }
    mu_text_set (known->name, sizeof known->name, name);
}

static const char *who (struct listing *listing, uint32_t peer, const struct mu_wire *wire)
{
    const struct known *known = find (listing, peer);
    if (known)
        return known->name;
    bool client = mu_shape_find (&mu_wire_family, wire ? wire->type : 0) &&
                  mu_shape_find (&mu_wire_family, wire->type)->sender == MU_ROLE_CLIENT;
    snprintf (listing->nobody, sizeof listing->nobody, "%s %u", client ? "client" : "peer", peer);
    return listing->nobody;
}

/* --- fields ----------------------------------------------------------------------------------- */

static json_t *fields_of (const struct mu_family *family, uint32_t type, const void *record)
{
    const struct mu_shape *shape = mu_shape_find (family, type);
    return shape ? mu_shape_to_json (shape, (const uint8_t *)record + family->body_offset)
                 : json_object ();
}

static void print_text (const char *text)
{
    int shown = 0;
    putchar ('"');
    for (; *text && (shown < SHOWN_MAX || (*text & 0xc0) == 0x80); text++, shown++)
        putchar ((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
    fputs (*text ? "…\"" : "\"", stdout);
}

static void print_field (const char *name, const json_t *value)
{
    if (json_is_string (value) && *json_string_value (value)) {
        printf (" %s ", name);
        print_text (json_string_value (value));
    } else if (json_is_integer (value) && json_integer_value (value)) {
        printf (" %s %" JSON_INTEGER_FORMAT, name, json_integer_value (value));
    } else if (json_is_real (value) && json_real_value (value) != 0) {
        printf (" %s %g", name, json_real_value (value));
    } else if (json_is_true (value)) {
        printf (" %s", name);
    } else if (json_array_size (value)) {
        printf (" %s [%zu]", name, json_array_size (value));
    }
}

static void print_fields (const struct mu_family *family, uint32_t type, const void *record)
{
    const char *name;
    json_t *value, *fields = fields_of (family, type, record);
    json_object_foreach (fields, name, value) print_field (name, value);
    json_decref (fields);
}

static void print_record (const struct mu_journal *record)
{
    char text[1024];
    announce_text (record, text, sizeof text);
    for (char *at = text; *at; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
    printf ("      store %s", mu_record_name (&mu_journal_family, record->type));
    if (*text)
        printf (": %s", text);
    else
        print_fields (&mu_journal_family, record->type, record);
    putchar ('\n');
}

/* --- which ------------------------------------------------------------------------------------ */

/* Does a field of it name the job, by number or, as clients do, by name? */
static bool names_job (const struct coord *coord, const struct mu_family *family, uint32_t type,
                       const void *record, uint64_t job)
{
    const struct mu_shape *shape = mu_shape_find (family, type);
    const struct mu_field *field = shape ? mu_shape_field (shape, "job") : NULL;
    const uint8_t *body = (const uint8_t *)record + family->body_offset;
    if (field && field->kind == MU_FIELD_TEXT)
        return coord_job_find (coord, (const char *)body + field->offset) == job;
    return mu_record_number (family, record, "job") == job;
}

static bool concerns (const struct coord *coord, const struct played *played, uint64_t job)
{
    const struct mu_wire *wire = played->event.wire;
    if (wire && names_job (coord, &mu_wire_family, wire->type, wire, job))
        return true;
    for (uint32_t i = 0; i < played->actions->count; i++) {
        const struct coord_action *action = &played->actions->list[i];
        if (action->type == COORD_STORE
                ? names_job (coord, &mu_journal_family, action->store.type, &action->store, job)
                : names_job (coord, &mu_wire_family, action->send.wire.type, &action->send.wire,
                             job))
            return true;
    }
    return false;
}

static bool is_asked_for (const struct listing *listing, const struct coord *coord,
                          const struct played *played)
{
    const struct mu_replay_options *options = listing->options;
    const struct mu_wire *wire = played->event.wire;
    bool chatter = played->event.type == COORD_TIMER || (wire && wire->type == MU_WIRE_BEAT);
    if (chatter && !played->actions->count && !played->differs && !options->all)
        return false;
    if (!options->job || played->differs)
        return true;
    uint64_t job = coord_job_find (coord, options->job);
    return job && concerns (coord, played, job);
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_moment (const struct player *player, const struct played *played)
{
    time_t seconds = (time_t)(played->event.unix_ms / 1000);
    struct tm tm;
    char text[16] = "-";
    if (localtime_r (&seconds, &tm))
        strftime (text, sizeof text, "%H:%M:%S", &tm);
    printf ("%7" PRIu64 "  %s.%03u  %+10.3f  ", played->number, text,
            (unsigned)(played->event.unix_ms % 1000),
            ((double)played->event.unix_ms - (double)player_first_ms (player)) / 1000);
}

static void print_decided (const struct coord_actions *actions)
{
    uint32_t records = 0;
    for (uint32_t i = 0; i < actions->count; i++)
        records += actions->list[i].type == COORD_STORE;
    if (records)
        printf ("  => %u record%s", records, records > 1 ? "s" : "");
    if (actions->count > records)
        printf ("%s%u word%s", records ? ", " : "  => ", actions->count - records,
                actions->count - records > 1 ? "s" : "");
    putchar ('\n');
}

static void print_actions (struct listing *listing, const struct coord_actions *actions)
{
    for (uint32_t i = 0; i < actions->count; i++) {
        const struct coord_action *action = &actions->list[i];
        if (action->type == COORD_STORE) {
            print_record (&action->store);
            continue;
        }
        const struct mu_wire *wire = &action->send.wire;
        printf ("      say %s to %s:", mu_record_name (&mu_wire_family, wire->type),
                who (listing, action->send.peer, NULL));
        print_fields (&mu_wire_family, wire->type, wire);
        putchar ('\n');
    }
}

static void print_difference (const struct played *played)
{
    const uint8_t *kind = played->recorded.data;
    fputs ("      differs: the coordinator that was recorded decided", stdout);
    for (uint32_t i = 0; i < played->recorded.size; i++) {
        bool record;
        const char *name = frames_action_name (kind[i], &record);
        printf ("%s %s %s", i ? "," : "", record ? "store" : "say", name);
    }
    puts (played->recorded.size ? "" : " nothing");
}

static void print_line (struct listing *listing, const struct player *player,
                        const struct played *played)
{
    const struct coord_event *event = &played->event;
    print_moment (player, played);
    switch (event->type) {
    case COORD_START: fputs ("the coordinator starts", stdout); break;
    case COORD_TIMER: fputs ("tick", stdout); break;
    case COORD_GONE: printf ("%s is gone", who (listing, event->peer, NULL)); break;
    case COORD_RECEIVE:
        printf ("%s: %s", who (listing, event->peer, event->wire),
                mu_record_name (&mu_wire_family, event->wire->type));
        print_fields (&mu_wire_family, event->wire->type, event->wire);
        break;
    }
    print_decided (played->actions);
    if (listing->options->show == MU_REPLAY_SHOW_ACTIONS)
        print_actions (listing, played->actions);
    if (played->differs)
        print_difference (played);
}

/* --- for programs: a JSON object a line ------------------------------------------------------- */

static json_t *action_to_json (struct listing *listing, const struct coord_action *action)
{
    if (action->type == COORD_STORE)
        return json_pack ("{s:s,s:o}", "store",
                          mu_record_name (&mu_journal_family, action->store.type), "fields",
                          fields_of (&mu_journal_family, action->store.type, &action->store));
    const struct mu_wire *wire = &action->send.wire;
    return json_pack ("{s:s,s:s,s:o}", "say", mu_record_name (&mu_wire_family, wire->type), "to",
                      who (listing, action->send.peer, NULL), "fields",
                      fields_of (&mu_wire_family, wire->type, wire));
}

static void print_json_line (struct listing *listing, const struct played *played)
{
    static const char *const kinds[] = { "start", "timer", "message", "gone" };
    const struct coord_event *event = &played->event;
    json_t *line = json_pack ("{s:I,s:I,s:s,s:b}", "event", (json_int_t)played->number, "time_ms",
                              (json_int_t)event->unix_ms, "kind", kinds[event->type], "differs",
                              (int)played->differs);
    if (event->type == COORD_GONE)
        json_object_set_new (line, "from", json_string (who (listing, event->peer, NULL)));
    if (event->wire) {
        json_object_set_new (line, "from", json_string (who (listing, event->peer, event->wire)));
        json_object_set_new (line, "word",
                             json_string (mu_record_name (&mu_wire_family, event->wire->type)));
        json_object_set_new (line, "fields",
                             fields_of (&mu_wire_family, event->wire->type, event->wire));
    }
    json_object_set_new (line, "decided", json_integer (played->actions->count));
    if (listing->options->show == MU_REPLAY_SHOW_ACTIONS) {
        json_t *actions = json_array ();
        for (uint32_t i = 0; i < played->actions->count; i++)
            json_array_append_new (actions, action_to_json (listing, &played->actions->list[i]));
        json_object_set_new (line, "actions", actions);
    }
    json_dumpf (line, stdout, JSON_COMPACT);
    putchar ('\n');
    json_decref (line);
}

void listing_event (struct listing *listing, const struct player *player,
                    const struct played *played, bool shown)
{
    const struct mu_wire *wire = played->event.wire;
    if (wire && wire->type == MU_WIRE_HELLO)
        meet (listing, played->event.peer, wire->hello.name);
    if (!shown || !is_asked_for (listing, player_coord (player), played))
        return;
    if (listing->options->output == MU_REPLAY_OUTPUT_JSON)
        print_json_line (listing, played);
    else
        print_line (listing, player, played);
}
