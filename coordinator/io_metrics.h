/* SPDX-License-Identifier: Apache-2.0 */
/* io_metrics.h - the coordinator's numbers (metrics.schema), gathered when somebody asks */
#ifndef COORD_IO_METRICS_H
#define COORD_IO_METRICS_H

#include "coord.h"
#include "io_lead.h"
#include "io_socket.h"
#include "io_store.h"
#include "io_turn.h"

#include "metrics.h"

/* What only the loop knows. */
struct loop_counts {
    uint64_t received, bad, sent;
};

struct metrics_sources {
    const struct coord *coord;
    struct store *store;
    const struct mu_sockets *sockets;
    const struct committer *committer; /* or NULL */
    const struct loop_counts *counts;
    const struct lead *lead; /* or NULL */
    bool stuck;              /* the database cannot be written */
    uint64_t uptime_ms;
};

/* The METRIC_LIST that answers `request`, said into the turn. */
void metrics_answer (const struct metrics_sources *sources, struct turn *turn, uint32_t peer,
                     uint64_t request);

#endif
