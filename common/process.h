/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - what the system says that a process does */
#ifndef MU_PROCESS_H
#define MU_PROCESS_H

#include <sys/types.h>

/* The letter of /proc/PID/stat (proc (5)) of that of its threads which tells most; 0: not known. */
char mu_process_letter (pid_t pid);

#endif
