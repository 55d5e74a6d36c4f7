/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_print.h - what a ledger says, as tables for people or as JSON for programs */
#ifndef CLIENT_LEDGER_PRINT_H
#define CLIENT_LEDGER_PRINT_H

#include "ledger.h"

/* A ledger that has been read to its end, and what else was found. */
struct ledger_view {
    const struct ledger *ledger;
    const char *name;
    struct ledger_run *history;
    uint32_t run_count;
    uint64_t trained;   /* steps that survive */
    bool order_checked; /* each epoch's order of records was recomputed */
    bool compared;      /* with what the coordinator says of itself */
};

bool ledger_is_proven (const struct ledger_view *view);

void ledger_print_verdict (const struct ledger_view *view, bool json);
void ledger_print_generations (const struct ledger_view *view, bool json);
/* `step` is one of those that survive. */
void ledger_print_step (const struct ledger_view *view, uint64_t step, uint64_t seed, bool json);

#endif
