/* SPDX-License-Identifier: Apache-2.0 */
/* test_pmi.c - the PMI-1 server against what MPICH says, and against what nobody should say */
#include "worker/comm/pmi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mu_error error;

static int say (struct mu_pmi *pmi, const char *text)
{
    return mu_pmi_input (pmi, text, strlen (text), &error);
}

/* All that waits for the process must be this, and is taken. */
static void expect (struct mu_pmi *pmi, const char *text)
{
    size_t size;
    const char *output = mu_pmi_output (pmi, &size);
    assert_int_equal (size, strlen (text));
    if (size)
        assert_memory_equal (output, text, size);
    mu_pmi_sent (pmi, size);
}

static void refused (const char *text, const char *sentence)
{
    struct mu_pmi *pmi = mu_pmi_create (0, 2, "space");
    assert_int_equal (say (pmi, text), -1);
    assert_int_equal (error.code, MU_PROTOCOL);
    assert_non_null (strstr (error.text, sentence));
    mu_pmi_destroy (&pmi);
    assert_null (pmi);
}

static void finish_fence (struct mu_pmi *pmi, const char *values)
{
    uint32_t number;
    const void *brought;
    size_t size;
    assert_true (mu_pmi_in_fence (pmi, &number, &brought, &size));
    assert_int_equal (mu_pmi_fence_done (pmi, number, values, strlen (values), &error), 0);
}

/* --- the conversation of MPICH 4.0.2 with one key, shortened, and what other versions ask ----- */

static const char conversation[] =
    "cmd=init pmi_version=1 pmi_subversion=1\n"
    "cmd=get_maxes\n"
    "cmd=get_appnum\n"
    "cmd=get_my_kvsname\n"
    "cmd=get_universe_size\n"
    "cmd=get kvsname=j-7 key=PMI_process_mapping\n"
    "cmd=put kvsname=j-7 key=-allgather-shm-1-1 value=2074D74C3D3B 3257$ x=y\n"
    "cmd=barrier_in\n";

static const char answers[] = "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n"
                              "cmd=maxes kvsname_max=64 keylen_max=64 vallen_max=1024\n"
                              "cmd=appnum appnum=0\n"
                              "cmd=my_kvsname kvsname=j-7\n"
                              "cmd=universe_size size=3\n"
                              "cmd=get_result rc=-1 msg=key_not_found value=unknown\n"
                              "cmd=put_result rc=0 msg=success\n";

static const char own[] = "-allgather-shm-1-1 2074D74C3D3B 3257$ x=y\n";

static void check_fence (struct mu_pmi *pmi)
{
    uint32_t number;
    const void *values;
    size_t size;
    assert_true (mu_pmi_in_fence (pmi, &number, &values, &size));
    assert_int_equal (number, 0);
    assert_int_equal (size, sizeof own - 1);
    assert_memory_equal (values, own, size);
}

static void answers_mpich (void **state)
{
    (void)state;
    char all[128];
    struct mu_pmi *pmi = mu_pmi_create (1, 3, "j-7");
    assert_int_equal (say (pmi, conversation), 0);
    expect (pmi, answers);
    check_fence (pmi);
    snprintf (all, sizeof all, "-allgather-shm-1-0 1\n%s-allgather-shm-1-2 2 3\n", own);
    finish_fence (pmi, all);
    expect (pmi, "cmd=barrier_out rc=0\n");
    assert_int_equal (say (pmi, "cmd=get kvsname=j-7 key=-allgather-shm-1-0\n"
                                "cmd=get kvsname=j-7 key=-allgather-shm-1-1\n"
                                "cmd=get kvsname=j-7 key=-allgather-shm-1-2\ncmd=finalize\n"),
                      0);
    expect (pmi, "cmd=get_result rc=0 msg=success value=1\n"
                 "cmd=get_result rc=0 msg=success value=2074D74C3D3B 3257$ x=y\n"
                 "cmd=get_result rc=0 msg=success value=2 3\n"
                 "cmd=finalize_ack\n");
    mu_pmi_destroy (&pmi);
}

static void splits_anywhere (void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= sizeof conversation - 1; cut++) {
        struct mu_pmi *pmi = mu_pmi_create (1, 3, "j-7");
        assert_int_equal (mu_pmi_input (pmi, conversation, cut, &error), 0);
        assert_int_equal (
            mu_pmi_input (pmi, conversation + cut, sizeof conversation - 1 - cut, &error), 0);
        expect (pmi, answers);
        check_fence (pmi);
        mu_pmi_destroy (&pmi);
    }
    struct mu_pmi *pmi = mu_pmi_create (1, 3, "j-7");
    for (size_t i = 0; i < sizeof conversation - 1; i++)
        assert_int_equal (mu_pmi_input (pmi, conversation + i, 1, &error), 0);
    for (size_t i = 0; i < sizeof answers - 1; i++) { /* and taken byte by byte */
        size_t size;
        assert_int_equal (*mu_pmi_output (pmi, &size), answers[i]);
        mu_pmi_sent (pmi, 1);
    }
    expect (pmi, "");
    mu_pmi_destroy (&pmi);
}

/* --- fences ----------------------------------------------------------------------------------- */

static void fences_in_turn (void **state)
{
    (void)state;
    struct mu_pmi *pmi = mu_pmi_create (0, 1, "s");
    uint32_t number;
    const void *values;
    size_t size;
    assert_false (mu_pmi_in_fence (pmi, &number, &values, &size));
    assert_int_equal (mu_pmi_fence_done (pmi, 0, "early 1\n", 8, &error), 0);
    expect (pmi, ""); /* nobody waits: not heard */
    assert_int_equal (say (pmi, "cmd=barrier_in\n"), 0);
    assert_int_equal (mu_pmi_fence_done (pmi, 1, "other 1\n", 8, &error), 0);
    expect (pmi, "");
    finish_fence (pmi, "k v\n");
    assert_int_equal (mu_pmi_fence_done (pmi, 0, "k w\n", 4, &error), 0); /* a repeat */
    expect (pmi, "cmd=barrier_out rc=0\n");
    assert_int_equal (say (pmi, "cmd=put kvsname=s key=k2 value=\ncmd=barrier_in\n"), 0);
    assert_true (mu_pmi_in_fence (pmi, &number, &values, &size));
    assert_int_equal (number, 1);
    assert_int_equal (size, 4); /* what the first fence took is not said again */
    finish_fence (pmi, "k2 \nk other\n");
    assert_int_equal (say (pmi, "cmd=get kvsname=s key=k\ncmd=get kvsname=s key=k2\n"), 0);
    expect (pmi, "cmd=put_result rc=0 msg=success\ncmd=barrier_out rc=0\n"
                 "cmd=get_result rc=0 msg=success value=v\n"
                 "cmd=get_result rc=0 msg=success value=\n");
    mu_pmi_destroy (&pmi);
}

static void bad_fence (const char *values, size_t size)
{
    struct mu_pmi *pmi = mu_pmi_create (0, 2, "s");
    assert_int_equal (say (pmi, "cmd=barrier_in\n"), 0);
    assert_int_equal (mu_pmi_fence_done (pmi, 0, values, size, &error), -1);
    assert_int_equal (error.code, MU_PROTOCOL);
    expect (pmi, "");
    mu_pmi_destroy (&pmi);
}

static void refuses_bad_fences (void **state)
{
    (void)state;
    char line[MU_PMI_VALUE_MAX + MU_PMI_KEY_MAX + 8];
    bad_fence ("half a line", 11);
    bad_fence ("ok 1\nkeyonly\n", 13);
    bad_fence (" value\n", 7);
    bad_fence ("\n", 1);
    bad_fence ("k \0v\n", 5);
    memset (line, 'k', sizeof line);
    memcpy (line + MU_PMI_KEY_MAX + 1, " v\n", 3);
    bad_fence (line, MU_PMI_KEY_MAX + 4);
    memset (line, 'v', sizeof line);
    memcpy (line, "k ", 2);
    line[2 + MU_PMI_VALUE_MAX + 1] = '\n';
    bad_fence (line, 2 + MU_PMI_VALUE_MAX + 2);
    char *huge = malloc (MU_PMI_ALL_MAX + 1);
    memset (huge, '\n', MU_PMI_ALL_MAX + 1);
    bad_fence (huge, MU_PMI_ALL_MAX + 1);
    free (huge);
}

/* As many ranks as there may be, each with a few keys. */
static void knows_many_keys (void **state)
{
    (void)state;
    enum { KEYS = 3 * MU_PMI_RANKS_MAX };
    struct mu_pmi *pmi = mu_pmi_create (0, MU_PMI_RANKS_MAX, "s");
    char *all = malloc (KEYS * 32), line[96];
    size_t size = 0;
    for (unsigned k = 0; k < KEYS; k++)
        size += (size_t)sprintf (all + size, "key-%u %x\n", k, k * 2654435761u);
    assert_int_equal (say (pmi, "cmd=barrier_in\n"), 0);
    assert_int_equal (mu_pmi_fence_done (pmi, 0, all, size, &error), 0);
    expect (pmi, "cmd=barrier_out rc=0\n");
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf (line, sizeof line, "cmd=get kvsname=s key=key-%u\n", k);
        assert_int_equal (say (pmi, line), 0);
        snprintf (line, sizeof line, "cmd=get_result rc=0 msg=success value=%x\n", k * 2654435761u);
        expect (pmi, line);
    }
    assert_int_equal (say (pmi, "cmd=get kvsname=s key=key-\n"), 0);
    expect (pmi, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
    free (all);
    mu_pmi_destroy (&pmi);
}

/* --- limits and nonsense ---------------------------------------------------------------------- */

static void refuses_nonsense (void **state)
{
    (void)state;
    refused ("\n", "no command");
    refused ("init\n", "no command");
    refused ("xcmd=init\n", "no command");
    refused ("cmd=\n", "unknown command");
    refused ("cmd=spawn nprocs=2\n", "unknown command");
    refused ("mcmd=spawn\n", "no command");
    refused ("cmd=0123456789012345678901234567890123456789\n", "no command");
    refused ("cmd=init pmi_version=2 pmi_subversion=0\n", "another PMI version");
    refused ("cmd=init\n", "another PMI version");
    refused ("cmd=abort exitcode=13\n", "abort");
    refused ("cmd=put kvsname=other key=a value=b\n", "makes no sense");
    refused ("cmd=put kvsname=space value=b\n", "makes no sense");
    refused ("cmd=put kvsname=space key= value=b\n", "makes no sense");
    refused ("cmd=put kvsname=space key=a\n", "makes no sense");
    refused ("cmd=put key=a value=b\n", "makes no sense");
    refused ("cmd=get kvsname=space\n", "makes no sense");
    refused ("cmd=get kvsname=spac key=a\n", "makes no sense");
    refused ("cmd=barrier_in\ncmd=barrier_in\n", "second fence");
}

static void holds_limits (void **state)
{
    (void)state;
    char line[MU_PMI_LINE_MAX + 8], expected[MU_PMI_LINE_MAX];
    struct mu_pmi *pmi = mu_pmi_create (0, 2, "space");
    assert_int_equal (mu_pmi_input (pmi, "cmd=in\0it\n", 10, &error), -1);
    mu_pmi_destroy (&pmi);
    snprintf (line, sizeof line, "cmd=put kvsname=space key=%0*d value=%0*d\n",
              (int)MU_PMI_KEY_MAX + 1, 1, 1, 1);
    refused (line, "makes no sense");
    snprintf (line, sizeof line, "cmd=put kvsname=space key=k value=%0*d\n",
              (int)MU_PMI_VALUE_MAX + 1, 1);
    refused (line, "makes no sense");
    memset (line, 'x', sizeof line);
    memcpy (line, "cmd=get_maxes ", 14);
    line[MU_PMI_LINE_MAX + 1] = '\0';
    refused (line, "does not speak PMI-1");

    pmi = mu_pmi_create (0, 2, "space"); /* the longest that are allowed */
    line[MU_PMI_LINE_MAX] = '\n';
    assert_int_equal (say (pmi, line), 0);
    expect (pmi, "cmd=maxes kvsname_max=64 keylen_max=64 vallen_max=1024\n");
    snprintf (line, sizeof line, "cmd=put kvsname=space key=%0*d value=%0*d\n", (int)MU_PMI_KEY_MAX,
              1, (int)MU_PMI_VALUE_MAX, 2);
    assert_int_equal (say (pmi, line), 0);
    assert_int_equal (say (pmi, "cmd=barrier_in\n"), 0);
    snprintf (line, sizeof line, "%0*d %0*d\n", (int)MU_PMI_KEY_MAX, 1, (int)MU_PMI_VALUE_MAX, 2);
    finish_fence (pmi, line);
    snprintf (line, sizeof line, "cmd=get kvsname=space key=%0*d\n", (int)MU_PMI_KEY_MAX, 1);
    assert_int_equal (say (pmi, line), 0);
    snprintf (expected, sizeof expected,
              "cmd=put_result rc=0 msg=success\ncmd=barrier_out rc=0\n"
              "cmd=get_result rc=0 msg=success value=%0*d\n",
              (int)MU_PMI_VALUE_MAX, 2);
    expect (pmi, expected);
    mu_pmi_destroy (&pmi);
}

static int repeat (struct mu_pmi *pmi, const char *line, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        if (say (pmi, line))
            return (int)i;
    return -1;
}

static void holds_totals (void **state)
{
    (void)state;
    char line[MU_PMI_LINE_MAX];
    struct mu_pmi *pmi = mu_pmi_create (0, 2, "space");
    snprintf (line, sizeof line, "cmd=put kvsname=space key=k value=%0*d\n", 1000, 7);
    assert_int_equal (repeat (pmi, line, 1000), MU_PMI_OWN_MAX / 1003);
    assert_non_null (strstr (error.text, "65536 bytes"));
    mu_pmi_destroy (&pmi);
    pmi = mu_pmi_create (0, 2, "space"); /* it asks, and never reads the answers */
    assert_int_equal (repeat (pmi, "cmd=get_appnum\n", 1 << 20),
                      MU_PMI_OUTPUT_MAX / strlen ("cmd=appnum appnum=0\n"));
    mu_pmi_destroy (&pmi);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (answers_mpich),   cmocka_unit_test (splits_anywhere),
        cmocka_unit_test (fences_in_turn),  cmocka_unit_test (refuses_bad_fences),
        cmocka_unit_test (knows_many_keys), cmocka_unit_test (refuses_nonsense),
        cmocka_unit_test (holds_limits),    cmocka_unit_test (holds_totals),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
