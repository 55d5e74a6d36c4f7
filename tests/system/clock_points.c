/* SPDX-License-Identifier: Apache-2.0 */
/* clock_points.c - a library that is loaded before a program and sets its clock: by so many seconds as CLOCK_FILE says */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long ahead_s (void)
{
    long seconds = 0;
    const char *path = getenv ("CLOCK_FILE");
    FILE *file = path ? fopen (path, "re") : NULL;
    if (file) {
        if (fscanf (file, "%ld", &seconds) != 1)
            seconds = 0;
        fclose (file);
    }
    return seconds;
}

int clock_gettime (clockid_t clock, struct timespec *now)
{
    static int (*real) (clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym (RTLD_NEXT, "clock_gettime");
    int rc = real (clock, now);
    if (rc == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += ahead_s ();
    return rc;
}
