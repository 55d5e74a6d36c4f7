/* SPDX-License-Identifier: Apache-2.0 */
/* coordinators.c - each coordinator that was named, by itself: who reigns, who can take its place, how far they are */
#include "command.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_MS 2000u /* with one that is silent, where others answer: it is dead, or cut off */

struct asked {
    const char *coordinator;
    bool answers;
    struct muster_pong pong;
    struct muster_error error;
};

static void ask (const char *coordinator, uint32_t timeout_ms, struct asked *asked)
{
    struct muster *muster;
    *asked = (struct asked){ .coordinator = coordinator };
    if (muster_open (&muster, coordinator, &asked->error))
        return;
    muster_set_timeout (muster, timeout_ms);
    asked->answers = !muster_ping (muster, &asked->pong, &asked->error);
    muster_close (&muster);
}

/* How clients' answers go with the standbys: of one that reigns and has any. */
static void print_mode (struct table *table, const struct muster_pong *pong)
{
    if (pong->follows || !pong->in_sync)
        table_cell (table, "-");
    else if (pong->ahead_ms)
        table_cell (table, "async, %.3g s", pong->ahead_ms / 1e3);
    else
        table_cell (table, "sync");
}

static void print_one (struct table *table, const struct asked *asked)
{
    const struct muster_pong *pong = &asked->pong;
    table_cell (table, "%s", asked->coordinator);
    if (!asked->answers) {
        table_cell (table, "no answer");
        for (int i = 0; i < 6; i++)
            table_cell (table, "-");
        return;
    }
    table_cell (table, pong->follows ? "follows" : "reigns");
    table_cell (table, "%" PRIu64, pong->term);
    table_cell (table, "%" PRIu64, pong->records);
    table_cell (table, pong->follows ? "-" : "%u", pong->in_sync);
    table_cell (table, pong->follows ? "-" : "%" PRIu64, pong->behind);
    print_mode (table, pong);
    table_cell (table, "%s", pong->version);
}

static json_t *to_json (const struct asked *asked)
{
    const struct muster_pong *pong = &asked->pong;
    if (!asked->answers)
        return json_pack ("{s:s, s:b, s:s}", "coordinator", asked->coordinator, "answers", 0,
                          "error", asked->error.text);
    return json_pack ("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:s}", "coordinator",
                      asked->coordinator, "answers", 1, "reigns", !pong->follows, "term",
                      (json_int_t)pong->term, "records", (json_int_t)pong->records, "in_sync",
                      (json_int_t)pong->in_sync, "behind", (json_int_t)pong->behind, "ahead_ms",
                      (json_int_t)pong->ahead_ms, "version", pong->version);
}

/* How many answer. */
static size_t ask_all (const struct mu_text_list *named, uint32_t timeout_ms, struct asked *asked)
{
    size_t answers = 0;
    for (size_t i = 0; i < named->count; i++) {
        ask (named->item[i], timeout_ms, &asked[i]);
        answers += asked[i].answers;
    }
    return answers;
}

static void print_all (const struct asked *asked, size_t count)
{
    struct table *table =
        table_create ("COORDINATOR|STATE|>TERM|>RECORDS|>IN SYNC|>BEHIND|CLIENTS|VERSION");
    for (size_t i = 0; i < count; i++)
        print_one (table, &asked[i]);
    table_print (&table);
}

static void print_all_json (const struct asked *asked, size_t count)
{
    json_t *list = json_array ();
    for (size_t i = 0; i < count; i++)
        json_array_append_new (list, to_json (&asked[i]));
    print_json (list);
}

int command_coordinators (const struct command *command)
{
    const struct mu_text_list *named = &command->options->coordinator;
    uint32_t timeout_ms = (uint32_t)command->options->timeout * 1000;
    struct asked *asked = calloc (named->count, sizeof *asked);
    if (!asked)
        abort ();
    size_t answers = ask_all (named, timeout_ms < PATIENCE_MS ? timeout_ms : PATIENCE_MS, asked);
    if (!answers && timeout_ms > PATIENCE_MS)
        answers = ask_all (named, timeout_ms, asked); /* the network may be slow for all */
    if (command->json)
        print_all_json (asked, named->count);
    else
        print_all (asked, named->count);
    int rc = answers ? 0 : command_fail (&asked[named->count - 1].error);
    free (asked);
    return rc;
}
