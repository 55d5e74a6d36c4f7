/* SPDX-License-Identifier: Apache-2.0 */
/* io_watch.h - looks at the agent's children from outside */
#ifndef IO_WATCH_H
#define IO_WATCH_H

#include "agent.h"
#include "comm/region.h"

#include <sys/types.h>

/* Fill `look`. A pid of 0 is a child that is not there; `region` may be NULL. Nothing here waits,
 * whatever state the children are in. */
void io_watch_look (pid_t trainer, pid_t collective, const struct mu_region *region,
                    struct agent_look *look);

#endif
