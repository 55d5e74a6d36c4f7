/* SPDX-License-Identifier: Apache-2.0 */
/* reign.h - who reigns: what the register holds
 *
 * A register is a single small value outside every coordinator's own disk that changes by
 * compare-and-swap alone (io_register.h). Its rules, in one place (docs/decisions/0025):
 *  - a term is taken by swapping in term + 1; nobody ever reigns in a term that another has taken;
 *  - only one that is in sync may take a term, for it alone is certain to hold all that was ever
 *    acknowledged; who founds the cluster, swapping the empty value away, is in sync with itself;
 *  - the leader alone changes who is in sync, and acknowledges only what is durable at all of them. */
#ifndef COORD_REIGN_H
#define COORD_REIGN_H

#include <stdbool.h>
#include <stdint.h>

#define REIGN_MEMBERS_MAX 8   /* in sync, with the leader */
#define REIGN_ADDRESS_MAX 255 /* of one endpoint, bytes */

/* Term 0 is the empty register's: nobody has reigned yet. All unused bytes are zero, so that two
 * values are equal when their bytes are. */
struct reign {
    uint64_t cluster; /* drawn by who founded it: databases of another cluster are not let in */
    uint64_t term;
    uint64_t leader;   /* the id of its database (io_store.h), never 0 */
    uint64_t revision; /* grows by one a swap: no value ever comes back */
    uint32_t in_sync_count;
    uint64_t in_sync[REIGN_MEMBERS_MAX]; /* ids, ascending; the leader's is one of them */
    char peer[REIGN_ADDRESS_MAX + 1];    /* where the leader hears other coordinators */
    char client[REIGN_ADDRESS_MAX + 1];  /* and workers and clients */
};

#endif
