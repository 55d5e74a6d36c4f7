/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - what a forked child of a trainer takes off first (internal to checkpoint/) */
#ifndef MU_CHECKPOINT_CHILD_H
#define MU_CHECKPOINT_CHILD_H

/* Standard streams to /dev/null, `fd` to descriptor 3, all others closed: another socket held open by it would hide
 * its parent's death from the agent. 3, or -1. */
int mu_child_keep_only (int fd);

/* As a process has them that was just started, but for what is to be told as an error. */
void mu_child_reset_signals (void);

#endif
