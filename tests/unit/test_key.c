/* SPDX-License-Identifier: Apache-2.0 */
/* test_key.c - one number for all records of which only the newest is kept */
#include "coordinator/io_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int64_t key (uint32_t type, uint64_t job, uint64_t generation, uint64_t last)
{
    const uint64_t part[KEY_PARTS] = { job, generation, last };
    return key_of (type, part);
}

/* They are on disk: who changes one of these loses what was stored under it, or keeps it twice. */
static void keys_never_change (void **state)
{
    (void)state;
    assert_int_equal (key (MU_JOURNAL_LEASE, 0, 0, 0), 0);
    assert_int_equal (key (MU_JOURNAL_LEASE, 1, 1, 0), (INT64_C (1) << 37) + (1 << 18));
    assert_int_equal (key (MU_JOURNAL_TRAINED, 7, 2, 65535),
                      7 * (INT64_C (1) << 37) + (2 << 18) + (1 << 16) + 65535);
    assert_int_equal (key (MU_JOURNAL_AGREED, 67108863, 524287, 1),
                      INT64_MAX - (1 << 16) - 65535 + 1);
    assert_int_equal (key (MU_JOURNAL_TRAINED, 1, 1, 65536), INT64_C (-5039820481764578772));
    assert_int_equal (key (MU_JOURNAL_TRAINED, 67108864, 1, 0), INT64_C (-9044520486061318380));
    assert_int_equal (key (MU_JOURNAL_LEASE, UINT64_MAX, UINT64_MAX, UINT64_MAX),
                      INT64_C (-5047215620932231403));
}

static void what_is_the_same_has_the_key_of_its_parts (void **state)
{
    (void)state;
    int64_t is;
    struct mu_journal lease = { .type = MU_JOURNAL_LEASE,
                                .lease = { .job = 5, .generation = 9, .until_step = 77 } },
                      trained = { .type = MU_JOURNAL_TRAINED,
                                  .trained = { .job = 5,
                                               .generation = 9,
                                               .rank = 3,
                                               .windows = 8 } },
                      agreed = { .type = MU_JOURNAL_AGREED,
                                 .agreed = { .job = 5, .generation = 9, .place = 3, .ranks = 2 } },
                      other = { .type = MU_JOURNAL_SAVE, .save = { .job = 5, .generation = 9 } };
    assert_true (key_of_record (&lease, &is));
    assert_int_equal (is, key (MU_JOURNAL_LEASE, 5, 9, 0));
    assert_true (key_of_record (&trained, &is));
    assert_int_equal (is, key (MU_JOURNAL_TRAINED, 5, 9, 3));
    assert_true (key_of_record (&agreed, &is));
    assert_int_equal (is, key (MU_JOURNAL_AGREED, 5, 9, 3));
    assert_false (key_of_record (&other, &is));
}

/* A new record marked `latest` needs a kind of its own, or all of its keys are drawn by a hash; compaction
 * looks for them by the job. */
static void every_such_record_is_packed_and_begins_with_its_job (void **state)
{
    (void)state;
    for (uint32_t type = 1; type < mu_journal_family.shape_count; type++) {
        const struct mu_shape *shape = mu_shape_find (&mu_journal_family, type);
        if (!shape || !mu_shape_is_latest (shape))
            continue;
        const struct mu_field *first = shape->fields;
        while (!first->latest)
            first++;
        assert_string_equal (first->name, "job");
        assert_true (key (type, 1, 1, 1) >= 0);
    }
}

/* In and out of what fits, at each limit: all of one job lie in its range, and no two are one. */
static void keys_of_a_job_lie_in_its_range (void **state)
{
    (void)state;
    static const uint32_t types[] = { MU_JOURNAL_LEASE, MU_JOURNAL_TRAINED, MU_JOURNAL_AGREED };
    static const uint64_t jobs[] = { 1, 2, 67108863, 67108864, UINT64_MAX },
                          generations[] = { 0, 1, 2, 524287, 524288 },
                          lasts[] = { 0, 1, 65535, 65536, UINT32_MAX };
    int64_t seen[3 * 5 * 5 * 5];
    size_t count = 0, packed = 0;
    for (size_t t = 0; t < 3; t++)
        for (size_t j = 0; j < 5; j++)
            for (size_t g = 0; g < 5; g++)
                for (size_t l = 0; l < 5; l++) {
                    int64_t is = key (types[t], jobs[j], generations[g], lasts[l]), first, last;
                    bool fits = j < 3 && g < 4 && l < 3;
                    assert_int_equal (is >= 0, fits);
                    assert_int_equal (key_range (jobs[j], &first, &last), j < 3);
                    for (size_t i = 0; i < 3; i++)
                        if (key_range (jobs[i], &first, &last))
                            assert_int_equal (is >= first && is <= last, fits && i == j);
                    for (size_t i = 0; i < count; i++)
                        assert_int_not_equal (seen[i], is);
                    seen[count++] = is;
                    packed += fits;
                }
    assert_int_equal (packed, 3 * 3 * 4 * 3);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (keys_never_change),
        cmocka_unit_test (what_is_the_same_has_the_key_of_its_parts),
        cmocka_unit_test (every_such_record_is_packed_and_begins_with_its_job),
        cmocka_unit_test (keys_of_a_job_lie_in_its_range),
    };
    return cmocka_run_group_tests_name ("key", tests, NULL, NULL);
}
