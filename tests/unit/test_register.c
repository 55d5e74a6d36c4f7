/* SPDX-License-Identifier: Apache-2.0 */
/* test_register.c - what --register does not take: modules that are none, URLs that name nothing */
#include "register_bed.h"

#include "coordinator/io_register_kinds.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_CURL
/* The module that the tests use, but of another version. */
static void make_other_version (void)
{
    static char bytes[1 << 20];
    static const char version[] = PACKAGE_VERSION;
    char path[PATH_MAX];
    const char *build = getenv ("MUSTER_LIBEXECDIR");
    snprintf (path, sizeof path, "%s/muster-lease.so", build ? build : ".");
    FILE *file = fopen (path, "rb");
    assert_non_null (file);
    const size_t size = fread (bytes, 1, sizeof bytes, file);
    fclose (file);
    char *at = memmem (bytes, size, version, sizeof version);
    assert_non_null (at);
    at[sizeof version - 2]++;
    snprintf (path, sizeof path, "%s/muster-lease.so", dir);
    file = fopen (path, "wb");
    assert_non_null (file);
    assert_int_equal (fwrite (bytes, 1, size, file), size);
    assert_int_equal (fclose (file), 0);
}
#endif

/* Some other library: cmocka, which this program has loaded. */
static void make_other_library (void)
{
    char path[128];
    Dl_info info;
    void *address = dlsym (RTLD_DEFAULT, "_cmocka_run_group_tests");
    assert_int_not_equal (dladdr (address, &info), 0);
    snprintf (path, sizeof path, "%s/muster-lease.so", dir);
    unlink (path);
    assert_int_equal (symlink (info.dli_fname, path), 0);
}

/* The loader knows a library by its name: each has another. */
static void look_into (const char *below)
{
    char folder[128];
    snprintf (folder, sizeof folder, "%s%s", dir, below);
    setenv ("MUSTER_LIBEXECDIR", folder, 1);
}

static void lease_modules (void **state)
{
    (void)state;
    const char *build = getenv ("MUSTER_LIBEXECDIR");
    char *before = build ? strdup (build) : NULL;
#ifdef HAVE_CURL
    make_other_version ();
    look_into ("");
    expect_refusal ("lease:a/b", "of another version");
#endif
    make_other_library ();
    look_into ("/.");
    expect_refusal ("lease:a/b", "exports no " REGISTER_MODULE_SYMBOL);
    write_file ("muster-lease.so.txt", "no module");
    char from[128], to[128];
    snprintf (from, sizeof from, "%s/muster-lease.so.txt", dir);
    snprintf (to, sizeof to, "%s/muster-lease.so", dir);
    assert_int_equal (rename (from, to), 0);
    look_into ("/./.");
    expect_refusal ("lease:a/b", "cannot be loaded");
    assert_int_equal (unlink (to), 0);
    if (access (MU_LIBEXECDIR "/muster-lease.so", F_OK))
        expect_refusal ("lease:a/b", "muster-lease.so is not in " MU_LIBEXECDIR);
    if (before)
        setenv ("MUSTER_LIBEXECDIR", before, 1);
    else
        unsetenv ("MUSTER_LIBEXECDIR");
    free (before);
}

static void urls (void **state)
{
    (void)state;
    static const char *const wrong_urls[] = {
        "",
        "etcd:x",
        "file:",
        "file:reign",
        "file:/tmp/",
        "majority:x",
        "lease:",
        "lease:a",
        "lease:a/",
        "lease:/b",
        "lease:a/b/c",
        "lease:A/b",
        "lease:a/../b",
        "lease:a/b?c",
    };
    setenv ("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
    for (size_t i = 0; i < sizeof wrong_urls / sizeof *wrong_urls; i++)
        expect_refusal (wrong_urls[i], "--register");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (lease_modules, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (urls, make_dir, remove_dir),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}