/* SPDX-License-Identifier: Apache-2.0 */
/* test_acceptor.c - a vote that was given is there after any end; one that can't be kept isn't given */
#include "coordinator/io_acceptor.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[128];

static int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/muster-acceptor-XXXXXX");
    if (!mkdtemp (dir))
        return -1;
    snprintf (path, sizeof path, "%s/acceptor", dir);
    return 0;
}

static int remove_dir (void **state)
{
    (void)state;
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

static struct acceptor *must_open (void)
{
    struct mu_error error = { .text = "" };
    struct acceptor *acceptor;
    if (acceptor_open (&acceptor, dir, &error))
        fail_msg ("%s", error.text);
    return acceptor;
}

/* Ask as the wire does; false: no answer. */
static bool ask (struct acceptor *acceptor, enum vote_step step, uint64_t to, uint64_t counter,
                 struct vote *vote)
{
    struct mu_wire asked, answer;
    struct vote_bytes bytes;
    struct vote_ask question = { .number = 3, .step = step, .to = to, .ballot = { counter, 9 } };
    if (step == VOTE_BIND || step == VOTE_TEACH || step == VOTE_ACCEPT)
        question.value.voters = (struct voters){ 1, { to } };
    if (step == VOTE_ACCEPT) {
        question.value.size = 2;
        memcpy (question.value.bytes, "mu", 2);
    }
    vote_ask_write (&question, &asked, &bytes);
    return acceptor_answer (acceptor, &asked, &answer) && vote_read (vote, &answer);
}

static uint64_t make_voter (struct acceptor *acceptor)
{
    struct vote vote;
    const uint64_t id = acceptor_id (acceptor);
    assert_true (ask (acceptor, VOTE_BIND, id, 0, &vote) && vote.granted);
    assert_true (ask (acceptor, VOTE_TEACH, id, 0, &vote) && vote.granted && vote.state.votes);
    return id;
}

static void a_vote_stays (void **state)
{
    (void)state;
    struct vote vote;
    struct acceptor *acceptor = must_open ();
    const uint64_t id = make_voter (acceptor);
    assert_true (ask (acceptor, VOTE_PREPARE, id, 5, &vote) && vote.granted);
    acceptor_close (&acceptor);
    acceptor = must_open ();
    assert_true (ask (acceptor, VOTE_PREPARE, id, 4, &vote) && !vote.granted);
    assert_true (ask (acceptor, VOTE_ACCEPT, id, 5, &vote) && vote.granted);
    acceptor_close (&acceptor);
    acceptor = must_open ();
    assert_true (ask (acceptor, VOTE_LOOK, 0, 0, &vote));
    assert_true (vote.state.id == id && vote.state.accepted.counter == 5);
    assert_memory_equal (vote.state.value.bytes, "mu", 2);
    acceptor_close (&acceptor);
}

static void a_new_file_does_not_vote (void **state)
{
    (void)state;
    struct vote vote;
    struct acceptor *acceptor = must_open ();
    const uint64_t id = make_voter (acceptor);
    acceptor_close (&acceptor);
    assert_int_equal (unlink (path), 0);
    acceptor = must_open ();
    assert_true (acceptor_id (acceptor) != id && !acceptor_votes (acceptor));
    assert_true (ask (acceptor, VOTE_PREPARE, id, 5, &vote) && !vote.granted);
    assert_true (ask (acceptor, VOTE_PREPARE, acceptor_id (acceptor), 5, &vote) && !vote.granted);
    acceptor_close (&acceptor);
}

/* Each byte of the file matters. */
static void damage_is_refused (void **state)
{
    (void)state;
    struct acceptor *acceptor = must_open ();
    make_voter (acceptor);
    acceptor_close (&acceptor);
    char text[4096];
    FILE *file = fopen (path, "r");
    const size_t size = fread (text, 1, sizeof text, file);
    fclose (file);
    for (size_t i = 0; i <= size; i++) {
        struct mu_error error = { .text = "" };
        file = fopen (path, "w");
        text[i % size] ^= 4;
        fwrite (text, 1, i < size ? size : size / 2, file);
        text[i % size] ^= 4;
        fclose (file);
        assert_int_equal (acceptor_open (&acceptor, dir, &error), -1);
        assert_int_equal (error.code, MU_BAD_INPUT);
        assert_null (acceptor);
    }
}

static void run_there (const char *words)
{
    char command[512];
    snprintf (command, sizeof command, "cd %s && %s", dir, words);
    assert_int_equal (system (command), 0);
}

static void must_refuse (void)
{
    struct mu_error error = { .text = "" };
    struct acceptor *acceptor;
    assert_int_equal (acceptor_open (&acceptor, dir, &error), -1);
    assert_int_equal (error.code, MU_BAD_INPUT);
    assert_non_null (strstr (error.text, "copied"));
}

/* Whoever answers there with the original's id would be counted for it, beside it. */
static void a_copy_does_not_vote (void **state)
{
    (void)state;
    struct vote vote;
    struct acceptor *acceptor = must_open ();
    const uint64_t id = make_voter (acceptor);
    acceptor_close (&acceptor);
    run_there ("cp -a acceptor copy");
    run_there ("mv acceptor original");
    run_there ("mv copy acceptor");
    must_refuse ();
    must_refuse (); /* looking did not make it its own */
    run_there ("mv original acceptor");
    acceptor = must_open ();
    assert_true (ask (acceptor, VOTE_PREPARE, id, 5, &vote) && vote.granted);
    acceptor_close (&acceptor);
    acceptor = must_open (); /* what was written last is its own as well */
    acceptor_close (&acceptor);
}

/* An earlier version did not write which file it is: it is written at the first start. */
static void a_file_without_place_takes_this_one (void **state)
{
    (void)state;
    static const struct acceptor_place unknown = { 0 };
    char text[ACCEPTOR_TEXT_MAX];
    struct acceptor *acceptor;
    const size_t size = acceptor_encode (&(struct acceptor_state){ .id = 7 }, &unknown, text);
    FILE *file = fopen (path, "w");
    assert_true (fwrite (text, 1, size, file) == size && !fclose (file));
    acceptor = must_open ();
    assert_int_equal (acceptor_id (acceptor), 7);
    acceptor_close (&acceptor);
    run_there ("cp -a acceptor copy && mv copy acceptor");
    must_refuse ();
}

/* The file's place is taken by a folder: nothing can be renamed there. */
static void what_is_not_written_is_not_said (void **state)
{
    (void)state;
    struct vote vote;
    struct acceptor *acceptor = must_open ();
    const uint64_t id = make_voter (acceptor);
    assert_int_equal (unlink (path), 0);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_false (ask (acceptor, VOTE_PREPARE, id, 5, &vote));
    assert_int_equal (rmdir (path), 0);
    assert_false (ask (acceptor, VOTE_LOOK, 0, 0, &vote)); /* it stays silent */
    acceptor_close (&acceptor);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_vote_stays, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_new_file_does_not_vote, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (damage_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_copy_does_not_vote, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_file_without_place_takes_this_one, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (what_is_not_written_is_not_said, make_dir, remove_dir),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
