/* SPDX-License-Identifier: Apache-2.0 */
/* train_jobs.c - what a trainer does for its job besides training
 *
 *   pause     WRITE between generations writes a checkpoint that another trainer resumes from
 *   evaluate  the last step is followed by an evaluation, and its state is hashed
 *   nan       a loss that becomes NaN fails the job with a sentence, or is skipped, as the job says
 *   wrong     input that cannot be used is refused with a sentence
 *
 * Speaks TAP. */
#include "tap.h"
#include "train_bed.h"

#include <stdio.h>
#include <string.h>

static bool wait_saved (struct world *world, uint64_t step)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        if (world->ranks[0].saved_step == step && world->ranks[0].saved[0])
            return true;
        reduce (world);
        if (!hear (world->ranks, world->size, 2))
            return false;
    }
    return false;
}

static void story_pause (const char *hash)
{
    struct rank ranks[2];
    struct setting setting = { "", 1 };
    char more[256], found[MU_STATE_HASH_TEXT] = "none", path[4096];
    snprintf (more, sizeof more, ", \"checkpoint\": {\"dir\": \"%s/saves\", \"every\": 8}", folder);
    const char *spec = mlp_spec (more);
    bool good = open_all (ranks, 1, &setting, spec);
    struct world world = begin (ranks, 1);
    world.until = 11;
    enter (&world);
    good = good && run (&world, MU_PHASE_UNLEASED) && wait_saved (&world, 8);
    ok (good, "pause: a checkpoint of step 8 on the way, unleased at step 11");
    good = good && leave (&world);
    struct mu_wire wire = { .type = MU_WIRE_WRITE };
    wire.write.generation = 1;
    tell (&ranks[0], &wire);
    good = good && wait_saved (&world, 11);
    weights_hash (&ranks[0], found);
    ok (good && !strcmp (found, ranks[0].saved_hash), "pause: WRITE saves step 11: %.16s", found);
    snprintf (path, sizeof path, "%s", ranks[0].saved);
    end_rank (&ranks[0]);

    spawn (&ranks[0], &setting);
    prepare (&ranks[0], spec, path, 11);
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until && !ranks[0].opened_said;)
        good = hear (ranks, 1, 100) && good;
    good = good && ranks[0].opened.step == 11;
    world = begin (ranks, 1);
    world.step = 11;
    enter (&world);
    good = good && run (&world, MU_PHASE_FINISHED) && wait_saved (&world, STEPS);
    weights_hash (&ranks[0], found);
    ok (good && !strcmp (found, hash), "pause: resumed from it, the end is the same: %.16s", found);
    end_rank (&ranks[0]);
}

static void story_evaluate (void)
{
    struct rank ranks[1];
    struct setting setting = { "", 2 };
    bool good =
        open_all (ranks, 1, &setting,
                  mlp_spec (", \"eval\": {\"fraction\": 0.2, \"every\": 10}, \"hash_every\": 7"));
    struct world world = begin (ranks, 1);
    enter (&world);
    good = good && run (&world, MU_PHASE_FINISHED);
    for (int i = 0; i < 20; i++)
        hear (ranks, 1, 20);
    ok (good && ranks[0].evaluated_step == STEPS + 1 && ranks[0].loss_evaluated > 0 &&
            ranks[0].accuracy > 0.4,
        "evaluated after the last step: loss %.4f, accuracy %.2f", ranks[0].loss_evaluated,
        ranks[0].accuracy);
    ok (ranks[0].digest_step == STEPS && ranks[0].digest, "the last step's state is hashed");
    end_rank (&ranks[0]);
}

static void story_nan (void)
{
    struct rank ranks[1];
    struct setting setting = { "", 1 };
    struct world world;
    char path[sizeof table_path], more[64];
    snprintf (path, sizeof path, "%s/nan.csv", folder);
    FILE *table = fopen (path, "w");
    if (!table)
        die (path);
    for (int i = 0; i < 60; i++)
        fprintf (table, "%s,0.5,0.25,1,%d\n", i == 17 ? "3e38" : "0.125", i % 2);
    fclose (table);
    char kept[sizeof text_path];
    snprintf (kept, sizeof kept, "%s", table_path);
    snprintf (table_path, sizeof table_path, "%s", path);
    for (int skip = 0; skip <= 1; skip++) {
        snprintf (more, sizeof more, ", \"non_finite\": \"%s\"", skip ? "skip" : "fail");
        bool good = open_all (ranks, 1, &setting, mlp_spec (more));
        world = begin (ranks, 1);
        enter (&world);
        bool ran = run (&world, MU_PHASE_FINISHED);
        if (skip)
            ok (good && ran && ((const struct mu_state *)ranks[0].region->state)->skipped > 0,
                "non_finite: skip leaves the steps out");
        else
            ok (good && !ran && ranks[0].doubted && !ranks[0].refused &&
                    strstr (ranks[0].text, "micro-batch") && strstr (ranks[0].text, "records"),
                "non_finite: fail: %s", ranks[0].text);
        end_rank (&ranks[0]);
    }
    snprintf (table_path, sizeof table_path, "%s", kept);
}

static void refused (const char *what, const char *spec, uint32_t code)
{
    struct rank rank;
    struct setting setting = { "", 1 };
    spawn (&rank, &setting);
    prepare (&rank, spec, "", 0);
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until && !rank.refused;)
        if (!hear (&rank, 1, 100) || rank.opened_said)
            break;
    ok (rank.refused && rank.code == code, "%s: %s (%s)", what, rank.text,
        mu_code_name ((int)rank.code));
    end_rank (&rank);
}

static void story_wrong (void)
{
    char kept[sizeof text_path];
    refused ("no job file at all", "{}", MU_BAD_INPUT);
    refused ("a folder that is no checkpoint",
             mlp_spec (", \"checkpoint\": {\"resume\": \"/nowhere/step-1\"}"), MU_NO_INPUT);
    refused ("data to judge with that is not there",
             gpt_spec (", \"eval\": {\"path\": [\"/nowhere/text\"]}"), MU_NO_INPUT);
    snprintf (kept, sizeof kept, "%s", text_path);
    snprintf (text_path, sizeof text_path, "%s/nothing.txt", folder);
    refused ("a data file that is not there", gpt_spec (""), MU_NO_INPUT);
    snprintf (text_path, sizeof text_path, "%s", kept);
}

int main (int argc, char **argv)
{
    const struct setting setting = { "", 1 };
    char mlp[MU_STATE_HASH_TEXT];
    begin_tests (argc, argv);
    if (!train (mlp_spec (""), 1, &setting, mlp))
        die ("training undisturbed");
    story_pause (mlp);
    story_evaluate ();
    story_nan ();
    story_wrong ();
    return end_tests () | tap_end ();
}
