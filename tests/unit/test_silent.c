/* SPDX-License-Identifier: Apache-2.0 */
/* test_silent.c - a client that gets no answer: is nobody there, or somebody who says nothing? */
#include "client/muster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

struct bed {
    char dir[64], path[96], endpoint[112];
    void *context, *silent;
};

static int open_bed (void **state)
{
    static struct bed bed;
    strcpy (bed.dir, "/tmp/muster-silent-XXXXXX");
    if (!mkdtemp (bed.dir))
        return -1;
    snprintf (bed.path, sizeof bed.path, "%s/socket", bed.dir);
    snprintf (bed.endpoint, sizeof bed.endpoint, "ipc://%s", bed.path);
    bed.context = zmq_ctx_new ();
    bed.silent = zmq_socket (bed.context, ZMQ_ROUTER);
    *state = &bed;
    return 0;
}

static int close_bed (void **state)
{
    struct bed *bed = *state;
    zmq_close (bed->silent);
    zmq_ctx_term (bed->context);
    unlink (bed->path);
    return rmdir (bed->dir);
}

static void ask (const struct bed *bed, uint32_t timeout_ms, struct muster_error *error)
{
    struct muster *muster;
    uint64_t job;
    assert_int_equal (muster_open (&muster, bed->endpoint, error), 0);
    muster_set_timeout (muster, timeout_ms);
    assert_int_equal (muster_submit (muster, "{}", 2, NULL, &job, NULL, error), -1);
    assert_int_equal (muster_exit_status (error), 69);
    muster_close (&muster);
}

static void nobody_is_there (void **state)
{
    struct muster_error error;
    ask (*state, 300, &error);
    assert_non_null (strstr (error.text, "is it running? start one"));
    assert_null (strstr (error.text, "though it is there"));
}

/* Its disk hangs, and a submit that was heard may yet be a job. */
static void one_that_says_nothing_is_told_apart (void **state)
{
    struct bed *bed = *state;
    struct muster_error error;
    assert_int_equal (zmq_bind (bed->silent, bed->endpoint), 0);
    /* A busy machine takes longer than that to connect at all. */
    for (uint32_t timeout_ms = 300; timeout_ms < 60000; timeout_ms *= 3) {
        ask (bed, timeout_ms, &error);
        if (strstr (error.text, "though it is there"))
            break;
    }
    assert_non_null (strstr (error.text, "though it is there"));
    assert_non_null (strstr (error.text, "look before you ask again"));
}

#define SILENT_TEST(test) cmocka_unit_test_setup_teardown (test, open_bed, close_bed)

int main (void)
{
    const struct CMUnitTest tests[] = {
        SILENT_TEST (nobody_is_there),
        SILENT_TEST (one_that_says_nothing_is_told_apart),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
