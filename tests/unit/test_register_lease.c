/* SPDX-License-Identifier: Apache-2.0 */
/* test_register_lease.c - a register that is a Kubernetes Lease
 *
 * Its API server is a script that loses answers, delays them and makes conflicts up. */
#include "register_bed.h"

#include "coordinator/reign_text.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t server;

static bool read_port (char *port, size_t size)
{
    char path[128];
    snprintf (path, sizeof path, "%s/port", dir);
    FILE *file = fopen (path, "r");
    const bool there = file && fgets (port, (int)size, file);
    if (file)
        fclose (file);
    return there;
}

static void use_lease (void)
{
#ifndef HAVE_CURL
    print_message ("# no libcurl, no Lease\n");
    skip ();
#endif
    char script[PATH_MAX], port[16] = "";
    int status = 0;
    const char *source = getenv ("top_srcdir");
    snprintf (script, sizeof script, "%s/tests/system/fake_kubernetes.py", source ? source : ".");
    if (!(server = fork ())) {
        execlp ("python3", "python3", script, dir, (char *)NULL);
        _exit (127);
    }
    const struct timespec little = { .tv_nsec = 20000000 };
    for (int tries = 0; !read_port (port, sizeof port); tries++) {
        if (waitpid (server, &status, WNOHANG) == server) {
            server = 0;
            if (WEXITSTATUS (status) != 77)
                fail_msg ("%s ended", script);
            print_message ("# openssl is not installed\n");
            skip ();
        }
        assert_true (tries < 3000);
        nanosleep (&little, NULL);
    }
    setenv ("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
    setenv ("KUBERNETES_SERVICE_PORT", port, 1);
    setenv ("MUSTER_SERVICE_ACCOUNT", dir, 1);
    strcpy (url, "lease:training/muster");
}

static int end_server (void **state)
{
    end_process (&server);
    return remove_dir (state);
}

static void lease_alone (void **state)
{
    (void)state;
    use_lease ();
    check_alone ();
}

static void lease_together (void **state)
{
    (void)state;
    use_lease ();
    write_file ("faults",
                "{\"conflict\": 5, \"refuse\": 5, \"lose\": 10, \"twice\": 10, \"delay\": 20}");
    run_writers (disturb_nothing);
}

/* TEXT as the value of KEY in the server's faults. */
static void set_fault (const char *key, const char *text)
{
    char json[2 * REIGN_TEXT_MAX + 64], *at = json + sprintf (json, "{\"%s\": \"", key);
    for (const char *from = text; *from; from++) {
        if (*from == '"' || *from == '\\' || *from == '\n')
            *at++ = '\\';
        *at++ = *from == '\n' ? 'n' : *from;
    }
    strcpy (at, "\"}");
    write_file ("faults", json);
}

/* It is in, the answer says that it is not, and before anybody looks another has followed it. */
static void lease_overtaken (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, first = make_next (&none, 7), next = make_next (&first, 8),
                 later = make_next (&next, 9), value;
    char text[REIGN_TEXT_MAX];
    use_lease ();
    struct io_register *reg = must_open ();
    assert_int_equal (register_swap (reg, LIMIT_MS, &none, &first, &error), 0);
    text[reign_encode (&later, text)] = '\0';
    set_fault ("overtake", text);
    assert_int_equal (register_swap (reg, LIMIT_MS, &first, &next, &error), -1);
    assert_int_equal (error.code, MU_TRY_AGAIN);
    assert_int_equal (register_read (reg, LIMIT_MS, &value, &error), 0);
    assert_memory_equal (&value, &later, sizeof value);
    register_close (&reg);
}

static void lease_garbage (void **state)
{
    (void)state;
    static const char *const garbage[][2] = {
        { "\"\"", "no Lease" },
        { "{}", "no Lease" },
        { "{\"kind\": \"Lease\", \"metadata\": {\"resourceVersion\": \"1\"}, "
          "\"spec\": {\"holderIdentity\": \"kube-scheduler\"}}",
          "somebody else's" },
        { "{\"kind\": \"Lease\", \"metadata\": {\"resourceVersion\": \"1\", "
          "\"annotations\": {\"muster/reign\": \"muster-reign 1\\nterm 3\"}}}",
          "muster-reign" },
    };
    use_lease ();
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        set_fault ("garbage", garbage[i][0]);
        expect_read (MU_BAD_INPUT, garbage[i][1], LIMIT_MS);
    }
}

/* Taken for an empty register it would end those who lead and follow, or let another found a second cluster. */
static void another_404_is_no_empty_register (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, first = make_next (&none, 7), value;
    use_lease ();
    write_file ("faults", "{\"away\": 100}");
    expect_read (MU_UNAVAILABLE, "404", LIMIT_MS);
    struct io_register *reg = must_open ();
    assert_int_equal (register_swap (reg, LIMIT_MS, &none, &first, &error), -1);
    assert_int_equal (error.code, MU_UNAVAILABLE);
    write_file ("faults", "{}");
    assert_int_equal (register_read (reg, LIMIT_MS, &value, &error), 0);
    assert_int_equal (value.term, 0);
    register_close (&reg);
}

static void lease_without_rights (void **state)
{
    (void)state;
    use_lease ();
    write_file ("token", "wrong-token\n");
    expect_read (MU_NO_PERMISSION, "Unauthorized", LIMIT_MS);
    write_file ("token", "wrong\nInjected: header\n");
    expect_read (MU_BAD_INPUT, "is no token", LIMIT_MS);
    char path[128];
    snprintf (path, sizeof path, "%s/token", dir);
    unlink (path);
    expect_read (MU_NO_INPUT, "cannot be read", LIMIT_MS);
}

static void lease_gone (void **state)
{
    (void)state;
    use_lease ();
    kill (server, SIGSTOP);
    expect_read (MU_UNAVAILABLE, "did not answer", 500);
    kill (server, SIGCONT);
    check_alone ();
    write_file ("ca.crt", "");
    expect_read (MU_UNAVAILABLE, "did not answer", LIMIT_MS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (lease_alone, make_dir, end_server),
        cmocka_unit_test_setup_teardown (lease_together, make_dir, end_server),
        cmocka_unit_test_setup_teardown (lease_overtaken, make_dir, end_server),
        cmocka_unit_test_setup_teardown (lease_garbage, make_dir, end_server),
        cmocka_unit_test_setup_teardown (another_404_is_no_empty_register, make_dir, end_server),
        cmocka_unit_test_setup_teardown (lease_without_rights, make_dir, end_server),
        cmocka_unit_test_setup_teardown (lease_gone, make_dir, end_server),
    };
    signal (SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests (tests, NULL, NULL);
}