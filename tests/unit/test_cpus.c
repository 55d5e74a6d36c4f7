/* SPDX-License-Identifier: Apache-2.0 */
/* test_cpus.c - a quota of time is as good as fewer processors */
#include "common/cpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static int begin (void **state)
{
    (void)state;
    snprintf (root, sizeof root, "/tmp/muster-test-cpus-XXXXXX");
    return mkdtemp (root) ? 0 : -1;
}

static int end (void **state)
{
    (void)state;
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", root);
    return system (command);
}

/* A file below the root, with the folders that it needs. */
static void put (const char *name, const char *text)
{
    char path[256];
    snprintf (path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen (root) + 1; (at = strchr (at, '/')); at++) {
        *at = '\0';
        mkdir (path, 0777);
        *at = '/';
    }
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
}

static unsigned given (void)
{
    char self[128];
    snprintf (self, sizeof self, "%s/self", root);
    return mu_cpus_given (self, root);
}

static void nothing_limits_it (void **state)
{
    (void)state;
    assert_int_equal (given (), 0); /* no such file */
    put ("self", "0::/\n");
    assert_int_equal (given (), 0);
    put ("self", "12:cpu,cpuacct:/a\n0::/a/b\nnonsense\n:\n::\n");
    put ("cpu.max", "max 100000\n");
    put ("cpu/a/cpu.cfs_quota_us", "-1\n");
    put ("cpu/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal (given (), 0);
    put ("cpu.max", "nonsense\n");
    put ("a/b/cpu.max", "100000 0\n");
    assert_int_equal (given (), 0);
}

static void the_least_of_all_groups_rules (void **state)
{
    (void)state;
    put ("self", "0::/pods/one/worker\n");
    put ("pods/cpu.max", "800000 100000\n");
    put ("pods/one/cpu.max", "350000 100000\n");
    put ("pods/one/worker/cpu.max", "max 100000\n");
    assert_int_equal (given (), 4); /* three and a half */
    put ("pods/one/worker/cpu.max", "50000 100000\n");
    assert_int_equal (given (), 1);
}

static void the_older_version_is_read_too (void **state)
{
    (void)state;
    put ("self", "4:memory:/x\n3:cpuacct,cpu:/host/path\n2:cpuset:/\n");
    put ("cpu/cpu.cfs_quota_us", "200000\n"); /* a container's own, at the root */
    put ("cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal (given (), 2);
}

static void there_is_one_at_least (void **state)
{
    (void)state;
    assert_true (mu_cpus () >= 1);
    assert_true ((long)mu_cpus () <= sysconf (_SC_NPROCESSORS_CONF));
}

#define CPUS_TEST(test) cmocka_unit_test_setup_teardown (test, begin, end)

int main (void)
{
    const struct CMUnitTest tests[] = {
        CPUS_TEST (nothing_limits_it),
        CPUS_TEST (the_least_of_all_groups_rules),
        CPUS_TEST (the_older_version_is_read_too),
        CPUS_TEST (there_is_one_at_least),
    };
    return cmocka_run_group_tests_name ("cpus", tests, NULL, NULL);
}
