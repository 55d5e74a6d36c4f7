/* SPDX-License-Identifier: Apache-2.0 */
/* tap.h - lines of the Test Anything Protocol, for tests of whole processes */
#ifndef TAP_H
#define TAP_H

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned tap_count, tap_failed;

static inline void ok (bool right, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

static inline void ok (bool right, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    for (char *c = text; *c; c++) /* TAP's own sign and line */
        *c = *c == '#' || *c == '\n' ? ' ' : *c;
    tap_failed += !right;
    printf ("%s %u - %s\n", right ? "ok" : "not ok", ++tap_count, text);
    fflush (stdout);
}

/* The plan, and the status for main (). */
static inline int tap_end (void)
{
    printf ("1..%u\n", tap_count);
    return tap_failed > 0;
}

/* Shared memory that MPI or UCX made and left under a name. */
static inline unsigned tap_segments (void)
{
    unsigned count = 0;
    DIR *directory = opendir ("/dev/shm");
    for (struct dirent *entry; directory && (entry = readdir (directory));)
        count += strstr (entry->d_name, "mpich") || strstr (entry->d_name, "ucx");
    if (directory)
        closedir (directory);
    return count;
}

#endif
