/* SPDX-License-Identifier: Apache-2.0 */
/* test_remembered.c - what a job that has ended costs for as long as it is remembered
 *
 * Ten thousand are, by default. Counted is what malloc has given out, and has back once the job is forgotten. */
#include "tests/unit/job_bed.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* --- malloc, counted (the linker puts these in its place: --wrap) ------------------------------ */

void *__real_malloc (size_t size);
void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *old, size_t size);
void __real_free (void *memory);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *old, size_t size);
void __wrap_free (void *memory);

static size_t given_out; /* with the header that glibc's has in front of each */

static void *count (void *memory)
{
    given_out += memory ? malloc_usable_size (memory) + sizeof (size_t) : 0;
    return memory;
}

static void uncount (void *memory)
{
    given_out -= memory ? malloc_usable_size (memory) + sizeof (size_t) : 0;
}

void *__wrap_malloc (size_t size) { return count (__real_malloc (size)); }
void *__wrap_calloc (size_t items, size_t size) { return count (__real_calloc (items, size)); }

void *__wrap_realloc (void *old, size_t size)
{
    uncount (old);
    return count (__real_realloc (old, size));
}

void __wrap_free (void *memory)
{
    uncount (memory);
    __real_free (memory);
}

/* --- a job's life ----------------------------------------------------------------------------- */

static void say_results (struct bed *bed, uint64_t at)
{
    for (uint32_t w = 0; w < WORKERS; w++) {
        reach (bed, w, 1, at, MU_PHASE_COMPUTING, MU_DUTY_TRAINER);
        bed->beat[w].loss = 0.5;
    }
    pass (bed, BEAT_MS);
}

/* It has trained, has compared, was committed twice, and was to go on without w2 when somebody cancelled it. */
static void end_a_job (struct bed *bed)
{
    opening_audited (bed);
    form (bed);
    train (bed, 20);
    say_saved (bed, 0, 1, 10);
    say_saved (bed, 0, 1, 20);
    say_results (bed, 21);
    assert_int_equal (committed (bed), 20);
    drain (bed, 2, false);
    assert_true (*bed->ahead);
    struct mu_wire wire = { .type = MU_WIRE_CONTROL, .control = { .request = 1, .verb = 1 } };
    mu_text_set (wire.control.job, sizeof wire.control.job, "1");
    hear (bed, 100, wire);
    all_let_go (bed);
    pass (bed, BEAT_MS);
    assert_string_equal (job_info (bed).state, "cancelled");
}

static void test_a_job_that_has_ended_takes_little (void **state)
{
    (void)state;
    struct bed bed;
    struct mu_journal forgotten = { .type = MU_JOURNAL_FORGOTTEN,
                                    .forgotten = { .job = 1, .last = 1, .numbers = 1 } };
    end_a_job (&bed);
    size_t before = given_out;
    assert_int_equal (coord_apply (bed.coord, &forgotten, NULL), 0);
    print_message ("# it took %zu bytes\n", before - given_out);
    assert_in_range (before - given_out, 1000, 2560);
    finish (&bed);
}

static void test_people_are_told_the_same_of_it (void **state)
{
    (void)state;
    struct bed bed;
    end_a_job (&bed);
    struct mu_wire_job_info info = job_info (&bed);
    assert_int_equal (info.step, 21);
    assert_int_equal (info.weights_step, 20);
    assert_true (info.loss > 0.49 && info.loss < 0.51);
    finish (&bed);
}

/* A core that reads the journal anew is made and dropped whenever there may be something to fold. */
static void test_a_core_that_goes_gives_all_back (void **state)
{
    (void)state;
    struct bed bed;
    struct mu_journal_agreed_sum sum = { .step = 10, .sum = 1 };
    struct mu_journal agreed = {
        .type = MU_JOURNAL_AGREED,
        .agreed = { .job = 1, .generation = 1, .step = 10, .ranks = WORKERS, .sums = { &sum, 1 } }
    };
    size_t before = given_out;
    opening_audited (&bed);
    form (&bed);
    train (&bed, 20);
    assert_int_equal (coord_apply (bed.coord, &agreed, NULL), 0);
    finish (&bed);
    assert_int_equal (given_out, before);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_a_job_that_has_ended_takes_little),
        cmocka_unit_test (test_people_are_told_the_same_of_it),
        cmocka_unit_test (test_a_core_that_goes_gives_all_back),
    };
    return cmocka_run_group_tests_name ("remembered", tests, NULL, NULL);
}
