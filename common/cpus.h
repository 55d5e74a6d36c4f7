/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.h - how many processors this process may keep busy */
#ifndef MU_CPUS_H
#define MU_CPUS_H

/* Those it may run on (sched_setaffinity (2); Slurm and taskset set them), but no more than its control groups give it
 * time for (cgroups (7); a pod's limit, systemd's CPUQuota), a part of one counted whole. 1 at least. */
unsigned mu_cpus (void);

/* What the control groups give, from the files that say so: 0 where nothing limits it. `self` is /proc/self/cgroup,
 * `root` where control groups are mounted. */
unsigned mu_cpus_given (const char *self, const char *root);

#endif
