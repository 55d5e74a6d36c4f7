/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - `muster fault KIND WORKER`: break something on purpose
 *
 * The kinds are commands of their own, each with the options that it has; here they become one
 * request. The choices of the options stand in the order of the public enums. */
#include "command.h"
#include "output.h"

#include "states.h"

#include <stdio.h>
#include <string.h>

#define COORDINATOR "coordinator"

static void fill_in (const struct mu_client_options *options, struct muster_fault *fault)
{
    switch (fault->kind) {
    case MUSTER_FAULT_KILL:
        fault->process = (enum muster_process)options->fault_kill.process;
        return;
    case MUSTER_FAULT_STOP:
        fault->process = (enum muster_process)options->fault_stop.process;
        fault->milliseconds = options->fault_stop.for_;
        return;
    case MUSTER_FAULT_SLOW:
        fault->factor = options->fault_slow.factor;
        fault->milliseconds = options->fault_slow.for_;
        return;
    case MUSTER_FAULT_CORRUPT:
        fault->what = (enum muster_corruption)options->fault_corrupt.what;
        return;
    case MUSTER_FAULT_PARTITION:
        fault->milliseconds = options->fault_partition.for_;
        fault->direction = (enum muster_direction)options->fault_partition.direction;
        fault->peers = options->fault_partition.peers;
        return;
    case MUSTER_FAULT_DROP:
        fault->percent = (uint32_t)options->fault_drop.percent;
        fault->milliseconds = options->fault_drop.for_;
        fault->direction = (enum muster_direction)options->fault_drop.direction;
        return;
    }
}

_Static_assert((int)MU_CLIENT_FAULT_DROP - (int)MU_CLIENT_FAULT_KILL ==
                   (int)MUSTER_FAULT_DROP - (int)MUSTER_FAULT_KILL,
               "the commands stand in the order of the kinds");
_Static_assert((int)MUSTER_FAULT_DROP == (int)MU_FAULT_DROP &&
                   (int)MUSTER_OUT == (int)MU_DIRECTION_OUT &&
                   (int)MUSTER_COLLECTIVE == (int)MU_PROCESS_COLLECTIVE &&
                   (int)MUSTER_RESULT == (int)MU_CORRUPTION_RESULT,
               "the public enums are those of states.schema");

int command_fault (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    struct muster_text text;
    const char *worker = command->operands->item[0];
    unsigned kind = command->operands->command->number - MU_CLIENT_FAULT_KILL;
    struct muster_fault fault = { .kind = (enum muster_fault_kind)kind };
    if (strcmp (worker, COORDINATOR) != 0)
        fault.worker = worker;
    fill_in (command->options, &fault);
    if (muster_fault (command->muster, &fault, &answer, &text, &error))
        return command_fail (&error);
    if (command->json)
        print_json (json_pack ("{s:s,s:s,s:s%}", "kind", mu_fault_state_name ((int)kind), "worker",
                               worker, "text", (const char *)text.data, (size_t)text.size));
    else {
        print_plain (stderr, text.data, text.size);
        putc ('\n', stderr);
    }
    muster_answer_free (&answer);
    return 0;
}
