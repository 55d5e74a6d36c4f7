/* SPDX-License-Identifier: Apache-2.0 */
/* io_faults.c - says what was ordered to be broken, and kills this process when told to
 *
 * The death is a SIGKILL of the kernel's timer a moment after the answer: nothing is stored, closed
 * or said on the way, whatever the loop is doing then. */
#include "io_faults.h"

#include "common/fault.h"
#include "log.h"

#include <signal.h>
#include <string.h>

static void log_order (const struct requests *requests, const struct mu_wire_fault *fault)
{
    mu_log (MU_LOG_WARN, "fault", NULL, "a client orders %s of %s%s",
            mu_fault_state_name ((int)fault->kind),
            *fault->worker ? fault->worker : "the coordinator",
            requests->faults ? "" : ", and is refused: there is no --enable-faults");
}

static int die (const struct requests *requests, const struct mu_wire_fault *fault,
                struct mu_error *error)
{
    if (!requests->faults)
        return mu_fail (error, MU_NO_PERMISSION,
                        "The coordinator was not started with --enable-faults, so it does not die "
                        "on purpose.");
    if (fault->kind != MU_FAULT_KILL)
        return mu_fail (error, MU_USAGE,
                        "A coordinator can only be killed; other faults are for workers.");
    return mu_signal_later (SIGKILL, MU_FAULT_DELAY_MS, error);
}

static void answer (const struct requests *requests, struct turn *turn, uint32_t peer,
                    const struct mu_wire_fault *fault)
{
    static const char text[] = "the coordinator is killed";
    struct mu_error error;
    uint64_t term = coord_term (requests->coord);
    if (die (requests, fault, &error)) {
        requests_refuse (turn, peer, term, fault->request, &error);
        return;
    }
    struct mu_wire said = { .type = MU_WIRE_ACCEPTED, .term = term };
    said.accepted =
        (struct mu_wire_accepted){ .request = fault->request, .text = { text, sizeof text - 1 } };
    turn_say (turn, peer, &said);
}

bool faults_is_own (const struct mu_wire *wire)
{
    return wire->type == MU_WIRE_FAULT && !*wire->fault.worker;
}

bool faults_answer (const struct requests *requests, struct turn *turn, uint32_t peer,
                    const struct mu_wire *wire)
{
    if (wire->type == MU_WIRE_HARMED && requests->faults)
        mu_log (MU_LOG_WARN, "fault", NULL, "%s: %s", wire->harmed.code ? "refused" : "done",
                wire->harmed.text);
    if (wire->type != MU_WIRE_FAULT)
        return false;
    log_order (requests, &wire->fault);
    if (!faults_is_own (wire))
        return false;
    answer (requests, turn, peer, &wire->fault);
    return true;
}
