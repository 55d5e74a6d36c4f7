/* SPDX-License-Identifier: Apache-2.0 */
/* io_outbox.c - a queue of turns; the newest may be in the commit thread's hands
 *
 * One turn is being committed at a time, and where nobody follows the one before it may yet have to be
 * spoken: the disk need not wait for that. With a standby one is on its way, or, where clients do not wait,
 * as many as there are spare ones. Where a standby stands still and these are used up, the newest two are said
 * together: the others are confirmed one by one as before, should it only be slow. */
#include "io_outbox.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

#define TURNS_AHEAD 16
#define TURNS_ALONE 2

#define HELD_MS         1000u
#define CROWD           8u    /* records of one turn: many ask at once, and will again */
#define PATIENCE_MAX_US 5000u /* whatever the disk takes */

struct passing {
    struct turn *turn;
    uint64_t given_ms, newest; /* newest: its last record, once it is durable here */
    bool answered;             /* clients have their words */
};

struct outbox {
    struct outbox_options options;
    struct turn *spare[TURNS_AHEAD];
    struct passing passing[TURNS_AHEAD]; /* oldest first */
    uint32_t spare_count, count;
    bool committing; /* the newest is not durable yet */
    uint32_t given_records;              /* of the newest turn */
    uint64_t given_us, idle_us, took_us; /* when; since when it is durable; how long that took */
    uint64_t spoken_ms;                  /* when words last left that had waited */
};

static uint32_t turns_on_the_way (const struct lead *lead)
{
    if (!lead)
        return TURNS_ALONE;
    return lead_answers_ahead (lead) ? TURNS_AHEAD : 1;
}

int outbox_open (struct outbox **outbox_p, const struct outbox_options *options,
                 struct mu_error *error)
{
    struct outbox *outbox = calloc (1, sizeof *outbox);
    uint32_t turns = turns_on_the_way (options->lead);
    if (!outbox)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    *outbox_p = outbox;
    outbox->options = *options;
    while (outbox->spare_count < turns &&
           (outbox->spare[outbox->spare_count] = turn_create ()) != NULL)
        outbox->spare_count++;
    if (outbox->spare_count == turns)
        return 0;
    outbox_close (outbox_p);
    return mu_fail (error, MU_UNAVAILABLE, "out of memory");
}

/* A turn in the commit thread's hands is the committer's to destroy. */
void outbox_close (struct outbox **outbox_p)
{
    struct outbox *outbox = *outbox_p;
    if (!outbox)
        return;
    for (uint32_t i = 0; i < outbox->spare_count; i++)
        turn_destroy (&outbox->spare[i]);
    for (uint32_t i = 0; i + outbox->committing < outbox->count; i++)
        turn_destroy (&outbox->passing[i].turn);
    free (outbox);
    *outbox_p = NULL;
}

bool outbox_is_committing (const struct outbox *outbox) { return outbox->committing; }

uint64_t outbox_committing_since (const struct outbox *outbox)
{
    return outbox->committing ? outbox->passing[outbox->count - 1].given_ms : UINT64_MAX;
}

bool outbox_is_empty (const struct outbox *outbox) { return outbox->count == 0; }

static void speak (struct outbox *outbox, struct turn *turn)
{
    outbox->options.counts->sent += turn_words (turn);
    turn_speak (turn, outbox->options.sockets);
}

bool outbox_has_done (const struct outbox *outbox)
{
    return outbox->committing && committer_has_done (outbox->options.committer);
}

bool outbox_awaits_word (const struct outbox *outbox) { return outbox->count > outbox->committing; }

bool outbox_is_held (const struct outbox *outbox, uint64_t now_ms)
{
    return outbox_awaits_word (outbox) && now_ms >= outbox->passing[0].given_ms + HELD_MS;
}

bool outbox_is_mute (const struct outbox *outbox, uint64_t now_ms, uint32_t lost_ms)
{
    uint32_t limit_ms = lost_ms / 2; /* then a worker asks whether we are there */
    return outbox->count && now_ms >= outbox->passing[0].given_ms + limit_ms &&
           now_ms >= outbox->spoken_ms + limit_ms;
}

bool outbox_is_idle (const struct outbox *outbox)
{
    return !outbox->committing && outbox->spare_count > 0;
}

/* May clients be told what is durable here alone? Only of a leader is there more than one turn. */
static bool answers_ahead (const struct outbox *outbox)
{
    return outbox->options.lead && outbox->count &&
           lead_may_answer (outbox->options.lead, outbox->passing[0].given_ms, mu_now_ms ());
}

/* Nothing is being committed: its words rest on turns that are durable here. */
static void speak_without_records (struct outbox *outbox, struct turn *turn)
{
    if (!outbox->count)
        speak (outbox, turn);
    else if (answers_ahead (outbox))
        turn_answer (turn, outbox->options.sockets);
}

uint64_t outbox_worth_us (uint32_t records, uint32_t before, uint64_t took_us)
{
    if (!records || before < CROWD || records >= before / 2)
        return 0;
    return took_us < PATIENCE_MAX_US ? took_us : PATIENCE_MAX_US;
}

uint64_t outbox_patience_us (const struct outbox *outbox, const struct turn *filling)
{
    uint64_t most =
        outbox_worth_us (turn_records (filling), outbox->given_records, outbox->took_us);
    uint64_t waited = outbox->committing || !most ? 0 : mu_now_us () - outbox->idle_us;
    return outbox->committing || waited >= most ? 0 : most - waited;
}

void outbox_pass (struct outbox *outbox, struct turn **filling)
{
    const struct outbox_options *options = &outbox->options;
    if (!outbox_is_idle (outbox))
        return;
    if (!turn_records (*filling)) {
        speak_without_records (outbox, *filling);
        return;
    }
    if (options->lead)
        lead_give (options->lead, turn_batch (*filling), mu_unix_ms ());
    committer_give (options->committer, *filling);
    outbox->given_records = turn_records (*filling);
    outbox->given_us = mu_now_us ();
    outbox->passing[outbox->count++] =
        (struct passing){ .turn = *filling, .given_ms = outbox->given_us / 1000 };
    outbox->committing = true;
    *filling = outbox->spare[--outbox->spare_count];
}

/* The newest two are durable here, and there is no spare turn. One that is full waits as it is. */
static void join_newest (struct outbox *outbox)
{
    struct passing *older = &outbox->passing[outbox->count - 2];
    struct passing *newest = &outbox->passing[outbox->count - 1];
    if (turn_is_full (older->turn))
        return;
    turn_join (older->turn, newest->turn);
    older->newest = newest->newest;
    older->answered = false;
    outbox->spare[outbox->spare_count++] = newest->turn;
    outbox->count--;
}

void outbox_collect (struct outbox *outbox)
{
    if (!outbox->committing || !committer_take (outbox->options.committer))
        return;
    outbox->committing = false;
    outbox->idle_us = mu_now_us ();
    outbox->took_us = outbox->idle_us - outbox->given_us;
    outbox->passing[outbox->count - 1].newest = store_newest (outbox->options.store);
    if (!outbox->spare_count && outbox->count == TURNS_AHEAD)
        join_newest (outbox);
}

static void answer_ahead (struct outbox *outbox)
{
    for (uint32_t i = 0; i + outbox->committing < outbox->count; i++) {
        if (outbox->passing[i].answered)
            continue;
        if (!answers_ahead (outbox))
            return;
        turn_answer (outbox->passing[i].turn, outbox->options.sockets);
        outbox->passing[i].answered = true;
    }
}

int outbox_speak (struct outbox *outbox, struct mu_error *error)
{
    struct lead *lead = outbox->options.lead;
    uint64_t confirmed = lead ? lead_confirmed (lead) : UINT64_MAX;
    uint32_t durable = outbox->count - outbox->committing, spoken = 0;
    while (spoken < durable && outbox->passing[spoken].newest <= confirmed) {
        speak (outbox, outbox->passing[spoken].turn);
        outbox->spare[outbox->spare_count++] = outbox->passing[spoken++].turn;
    }
    outbox->count -= spoken;
    outbox->spoken_ms = spoken ? mu_now_ms () : outbox->spoken_ms;
    memmove (outbox->passing, outbox->passing + spoken, outbox->count * sizeof *outbox->passing);
    answer_ahead (outbox);
    return committer_check (outbox->options.committer, error);
}
