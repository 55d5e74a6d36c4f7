/* SPDX-License-Identifier: Apache-2.0 */
/* coordinators.c - each coordinator that was named, by itself: who reigns, who can take its place, how far they are */
#include "command.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>

struct asked {
    const char *coordinator;
    bool answers;
    struct muster_pong pong;
    struct muster_error error;
};

static void ask (const struct command *command, const char *coordinator, struct asked *asked)
{
    struct muster *muster;
    *asked = (struct asked){ .coordinator = coordinator };
    if (muster_open (&muster, coordinator, &asked->error))
        return;
    muster_set_timeout (muster, (uint32_t)command->options->timeout * 1000);
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

int command_coordinators (const struct command *command)
{
    const struct mu_text_list *named = &command->options->coordinator;
    struct table *table = command->json ? NULL
                                        : table_create ("COORDINATOR|STATE|>TERM|>RECORDS|>IN SYNC|"
                                                        ">BEHIND|CLIENTS|VERSION");
    json_t *list = command->json ? json_array () : NULL;
    struct asked asked;
    size_t answers = 0;
    for (size_t i = 0; i < named->count; i++) {
        ask (command, named->item[i], &asked);
        answers += asked.answers;
        if (table)
            print_one (table, &asked);
        else
            json_array_append_new (list, to_json (&asked));
    }
    if (table)
        table_print (&table);
    else
        print_json (list);
    return answers ? 0 : command_fail (&asked.error);
}
