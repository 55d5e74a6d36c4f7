/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.c - affinity and quotas
 *
 *     0::/kubepods/pod7/x            version 2: cpu.max of that group and of all above it: "QUOTA PERIOD", or "max PERIOD"
 *     4:cpu,cpuacct:/kubepods/pod7   version 1: cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us, in the folder cpu
 *
 * The least of all rules. A container may see the path that its host sees, but its own group where the
 * root is: what is not there is passed over on the way up. */
#include "cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4352

static void limit (unsigned *given, double quota, double period)
{
    double whole = quota / period;
    unsigned cpus = (unsigned)whole;
    if (!(quota > 0) || !(period > 0) || whole > 1e6)
        return;
    cpus += cpus < whole;
    if (!*given || cpus < *given)
        *given = cpus;
}

static bool read_line (const char *folder, const char *file, char *line, int size)
{
    char path[PATH_SIZE + 32];
    snprintf (path, sizeof path, "%s/%s", folder, file);
    FILE *in = fopen (path, "r");
    bool there = in && fgets (line, size, in);
    if (in)
        fclose (in);
    return there;
}

static void look_at_group (const char *folder, unsigned *given)
{
    char line[128], period[128];
    double quota, microseconds;
    if (read_line (folder, "cpu.max", line, sizeof line) &&
        sscanf (line, "%lf %lf", &quota, &microseconds) == 2)
        limit (given, quota, microseconds);
    if (read_line (folder, "cpu.cfs_quota_us", line, sizeof line) &&
        read_line (folder, "cpu.cfs_period_us", period, sizeof period))
        limit (given, strtod (line, NULL), strtod (period, NULL));
}

/* That group and all above it. */
static void climb (const char *root, const char *mount, const char *group, unsigned *given)
{
    char folder[PATH_SIZE];
    int base = snprintf (folder, sizeof folder, "%s%s", root, mount);
    if (base < 0 ||
        (size_t)snprintf (folder, sizeof folder, "%s%s%s", root, mount, group) >= sizeof folder)
        return;
    while (true) {
        look_at_group (folder, given);
        char *last = strrchr (folder, '/');
        if (!last || last < folder + base)
            return;
        *last = '\0';
    }
}

static bool has_cpu (char *controllers)
{
    for (char *one; (one = strsep (&controllers, ","));)
        if (!strcmp (one, "cpu"))
            return true;
    return false;
}

unsigned mu_cpus_given (const char *self, const char *root)
{
    char line[PATH_SIZE];
    unsigned given = 0;
    FILE *in = fopen (self, "r");
    while (in && fgets (line, sizeof line, in)) {
        char *rest = line, *number = strsep (&rest, ":"), *controllers = strsep (&rest, ":");
        if (!rest)
            continue;
        rest[strcspn (rest, "\n")] = '\0';
        if (!strcmp (number, "0") && !*controllers) {
            climb (root, "", rest, &given);
            climb (root, "/unified", rest, &given);
        } else if (has_cpu (controllers)) {
            climb (root, "/cpu", rest, &given);
        }
    }
    if (in)
        fclose (in);
    return given;
}

unsigned mu_cpus (void)
{
    cpu_set_t set;
    int count = sched_getaffinity (0, sizeof set, &set) < 0 ? 1 : CPU_COUNT (&set);
    unsigned given = mu_cpus_given ("/proc/self/cgroup", "/sys/fs/cgroup");
    unsigned cpus = count > 0 ? (unsigned)count : 1;
    return given && given < cpus ? given : cpus;
}
