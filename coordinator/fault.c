/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - orders to break a worker on purpose, passed on to it, and its answer passed back
 *
 * Nothing is kept here, in memory or in the journal: HARM carries who asked, and HARMED brings it
 * back. A client repeats its request until it is answered and each repetition is passed on; the worker
 * knows it and obeys once. What the fault leads to is decided where it would be if it had come by
 * accident. An answer to another reign's order is nobody's: peers have other numbers now. */
#include "fault.h"

#include "query.h"
#include "roster.h"

/* Why it is refused, or NULL. */
static const char *objection (struct coord *coord, const struct mu_wire_fault *fault,
                              const struct worker *worker, enum mu_code *code)
{
    *code = MU_NO_PERMISSION;
    if (!coord->options.faults)
        return "The coordinator was not started with --enable-faults, so nothing is broken on "
               "purpose; the workers to be broken need it too.";
    *code = MU_NOT_FOUND;
    if (!worker)
        return core_text (coord, "There is no worker %s; `muster workers` lists them.",
                          fault->worker);
    *code = MU_NO_PERMISSION;
    if (worker->heard_ms && !worker->faults)
        return core_text (coord,
                          "Worker %s, on %s, was not started with --enable-faults, so nothing is "
                          "broken there on purpose.",
                          worker->name, worker->host);
    *code = MU_UNAVAILABLE;
    if (worker->lost || !worker->connected)
        return core_text (coord, "Worker %s is lost and cannot be told anything.", worker->name);
    return NULL;
}

void fault_order (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    const struct mu_wire_fault *fault = &wire->fault;
    const struct worker *worker = roster_find (coord, fault->worker);
    enum mu_code code;
    const char *why = objection (coord, fault, worker, &code);
    if (why) {
        query_refuse (coord, peer, fault->request, code, why);
        return;
    }
    struct mu_wire_harm *said = &core_tell (coord, worker, MU_WIRE_HARM)->harm;
    said->request = fault->request;
    said->client = peer;
    said->kind = fault->kind;
    said->process = fault->process;
    said->milliseconds = fault->milliseconds;
    said->factor = fault->factor;
    said->percent = fault->percent;
    said->what = fault->what;
    said->direction = fault->direction;
    said->peers = fault->peers;
}

void fault_done (struct coord *coord, uint32_t peer, const struct mu_wire *wire)
{
    const struct mu_wire_harmed *done = &wire->harmed;
    if (!coord->options.faults || done->asked_term != coord->durable.term ||
        !roster_by_peer (coord, peer) || roster_by_peer (coord, done->client))
        return;
    if (done->code == MU_OK)
        query_accept (coord, done->client, done->request, done->text);
    else
        query_refuse (coord, done->client, done->request, (enum mu_code)done->code, done->text);
}
