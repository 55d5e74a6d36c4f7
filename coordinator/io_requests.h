/* SPDX-License-Identifier: Apache-2.0 */
/* io_requests.h - what the core does not answer because it needs the disk or a parser */
#ifndef COORD_IO_REQUESTS_H
#define COORD_IO_REQUESTS_H

#include "coord.h"
#include "io_lead.h"
#include "io_logs.h"
#include "io_metrics.h"
#include "io_store.h"
#include "io_turn.h"

struct requests {
    const struct coord *coord;
    struct store *store;
    struct job_logs *logs;
    const struct committer *committer; /* NULL: it follows */
    const struct mu_sockets *sockets;
    const struct loop_counts *counts;
    const struct lead *lead; /* or NULL */
    const char *version;
    bool faults; /* of its own, too */
    bool follows; /* another reigns */
    bool stuck;   /* one that follows cannot write its database */
    uint64_t started_ms;
};

/* Answer PING, LOGS, EVENTS, RECORDS and METRICS into the turn and put LOG where it belongs; true if it was one. */
bool requests_answer (const struct requests *requests, struct turn *turn, uint32_t peer,
                      const struct mu_wire *wire, uint64_t now_ms);

/* The first field of every client message is its request number; 0 for others. */
uint64_t requests_number (const struct mu_wire *wire);

/* Say REFUSED. */
void requests_refuse (struct turn *turn, uint32_t peer, uint64_t term, uint64_t request,
                      const struct mu_error *error);

/* Read and check a SUBMIT's job file into what the core needs; texts are borrowed from `wire`. */
int requests_read_submit (const struct mu_wire *wire, struct mu_journal_submit *submit,
                          struct mu_error *error);

#endif
