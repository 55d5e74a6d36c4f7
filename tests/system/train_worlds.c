/* SPDX-License-Identifier: Apache-2.0 */
/* train_worlds.c - a trainer's weights are the same in any world, also in one that is torn
 *
 *   equal       the weights after the last step are one hash for any number of ranks and threads and
 *               any instruction set, for gpt and mlp, int32 and int64
 *   torn        a generation that ends in the middle of a step: what LEFT says is kept is not computed
 *               again, another world goes on with the same step, and the hash is the same; a rank that
 *               receives its state by broadcast counts as one that was there from the start
 *   behind      who was not told any more that a step was reduced is given its sums and makes it itself; what
 *               was wrong with its state is still wrong then, and can be seen
 *   late        who joins when nothing is left to train says so
 *   dealt away  sums that the next world gives to somebody else are begun anew
 *
 * Speaks TAP. */
#include "tap.h"
#include "train_bed.h"

#include <string.h>

static bool have_isa (const char *isa)
{
    return !strcmp (isa, "plain") || (!strcmp (isa, "avx2") && __builtin_cpu_supports ("avx2")) ||
           (!strcmp (isa, "avx512") && __builtin_cpu_supports ("avx512bw"));
}

static void story_equal (const char *name, const char *spec, char hash[MU_STATE_HASH_TEXT])
{
    static const char *const sets[] = { "plain", "avx2", "avx512" };
    char first[MU_STATE_HASH_TEXT];
    struct setting settings[RANKS_MAX];
    bool begun = false;
    for (unsigned size = 1; size <= 3; size++) {
        for (unsigned threads = 1; threads <= 2; threads++) {
            const char *isa = sets[(size + threads) % 3];
            if (!have_isa (isa))
                isa = "plain";
            for (unsigned r = 0; r < size; r++)
                settings[r] = (struct setting){ isa, threads };
            if (size == 3 && threads == 2)
                for (unsigned r = 0; r < size; r++) /* a mixed world */
                    settings[r].isa = have_isa (sets[r]) ? sets[r] : "plain";
            bool good = train (spec, size, settings, hash);
            if (!begun)
                memcpy (first, hash, sizeof first);
            begun = true;
            ok (good && strcmp (first, hash) == 0, "%s: %u ranks, %u threads, %s: %.16s", name,
                size, threads, size == 3 && threads == 2 ? "mixed" : isa, hash);
        }
    }
    memcpy (hash, first, sizeof first);
}

/* Stop the world while step `step` is computed, with rank 0 done and the others perhaps not. */
static bool tear (struct world *world, uint64_t step)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        const struct mu_state *state = world->ranks[0].region->state;
        if (state->step >= step && requested (&world->ranks[0]))
            return leave (world);
        reduce (world);
        if (!hear (world->ranks, world->size, 0))
            return false;
    }
    return false;
}

static uint32_t count_kept (const struct rank *rank, uint32_t micro_batches)
{
    uint32_t kept = 0;
    for (uint32_t m = 0; m < micro_batches; m++)
        kept += rank->kept[m / 8] >> m % 8 & 1;
    return kept;
}

/* Who kept a micro-batch keeps it; the rest is dealt to everybody. */
static void deal_kept (struct world *world)
{
    deal (world);
    for (uint32_t m = 0; m < world->micro_batches; m++)
        for (unsigned r = 0; r < world->size; r++)
            if (world->ranks[r].kept[m / 8] >> m % 8 & 1)
                world->first_map[m] = (uint16_t)r;
}

static void story_torn (const char *spec, const char *hash)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[4] = { { "", 1 }, { "", 1 }, { "", 2 }, { "", 1 } };
    char found[MU_STATE_HASH_TEXT] = "none";
    if (!open_all (ranks, 4, settings, spec)) {
        ok (false, "torn: four trainers open");
        return;
    }
    struct world world = begin (ranks, 3); /* the fourth waits */
    enter (&world);
    bool torn = tear (&world, 7);
    ok (torn && ranks[0].left_step == 7 && count_kept (&ranks[0], 6) == 2,
        "torn: rank 0 left at step %llu with %u micro-batches kept",
        (unsigned long long)ranks[0].left_step, count_kept (&ranks[0], 6));
    world.size = 2; /* the third is lost; what it had is computed again */
    world.generation = 5;
    world.step = ranks[0].left_step;
    deal_kept (&world);
    enter (&world);
    torn = tear (&world, 12);
    ok (torn && ranks[1].left_step == 12, "torn: two survivors went on to step %llu",
        (unsigned long long)ranks[1].left_step);
    end_rank (&ranks[2]);
    ranks[2] = ranks[3]; /* a newcomer, still at step 0 */
    world.size = 3;
    world.generation = 6;
    world.step = ranks[0].left_step;
    world.transfer = true;
    world.source = 1;
    deal_kept (&world);
    enter (&world);
    broadcast (&world);
    bool good = run (&world, MU_PHASE_FINISHED);
    bool same = true;
    for (unsigned r = 0; r < 3; r++) {
        weights_hash (&ranks[r], found);
        same = same && strcmp (found, hash) == 0;
    }
    ok (good && same, "torn: worlds of 3, 2 and 3 with a newcomer end with the same weights");
    leave (&world);
    for (unsigned r = 0; r < 3; r++)
        end_rank (&ranks[r]);
}

/* Step 7 is reduced, and only rank 1 hears of it. */
static bool part (struct world *world)
{
    for (uint64_t until = now_ms () + LIMIT_MS; now_ms () < until;) {
        const struct mu_state *state = world->ranks[1].region->state;
        if (!(state->step < 7 ? reduce (world) : reduce_for (world, 1u << 1)) &&
            !hear (world->ranks, world->size, 1))
            return false;
        if (state->step == 8)
            return leave (world);
    }
    return false;
}

static bool same_states (const struct rank *a, const struct rank *b)
{
    return !memcmp (a->region->state, b->region->state, a->region->layout.state_bytes);
}

static void story_behind (const char *name, const char *spec, const char *hash)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[3] = { { "", 1 }, { "", 2 }, { "", 1 } };
    char found[MU_STATE_HASH_TEXT] = "none";
    if (!open_all (ranks, 3, settings, spec)) {
        ok (false, "behind: three trainers open");
        return;
    }
    struct world world = begin (ranks, 3);
    enter (&world);
    bool parted = part (&world);
    ok (parted && ranks[0].left_step == 7 && ranks[1].left_step == 8 && ranks[2].left_step == 7 &&
            ranks[1].left_made_of == 1,
        "behind (%s): ranks left at steps %llu, %llu, %llu, and one has the sums: %u", name,
        (unsigned long long)ranks[0].left_step, (unsigned long long)ranks[1].left_step,
        (unsigned long long)ranks[2].left_step, ranks[1].left_made_of);
    mu_state_weights (ranks[2].region->state)[0] += 1; /* its memory has fallen over */
    world.generation = 2;
    world.step = 8;
    world.transfer = true;
    world.source = 1;
    world.made_of = ranks[1].left_made_of;
    deal (&world);
    enter (&world);
    bool given = give_sums (&world, 0) && give_sums (&world, 2);
    ok (given && same_states (&ranks[0], &ranks[1]) && !same_states (&ranks[2], &ranks[1]),
        "behind (%s): both have made step 7; what is wrong with one is seen", name);
    bool good = leave (&world) && ranks[0].left_step == 8 && ranks[0].left_made_of == 1;
    world.size = 2; /* without that one */
    world.generation = 3;
    world.made_of = 0;
    deal_kept (&world);
    enter (&world);
    say_level (&world);
    good = good && run (&world, MU_PHASE_FINISHED);
    for (unsigned r = 0; r < 2; r++) {
        weights_hash (&ranks[r], found);
        good = good && strcmp (found, hash) == 0;
    }
    ok (good && leave (&world), "behind (%s): those that were right end with the same weights",
        name);
    for (unsigned r = 0; r < 3; r++)
        end_rank (&ranks[r]);
}

/* Who joins when nothing is left to train has no step that would tell where its state stands. */
static void story_late (const char *spec)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[2] = { { "", 1 }, { "", 1 } };
    bool good = open_all (ranks, 2, settings, spec);
    if (good) {
        struct world world = begin (ranks, 1);
        enter (&world);
        good = run (&world, MU_PHASE_FINISHED) && leave (&world);
        world.size = 2;
        world.generation++;
        world.step = ranks[0].left_step;
        world.transfer = true;
        deal (&world);
        enter (&world);
        broadcast (&world);
        good = good && run (&world, MU_PHASE_FINISHED);
    }
    ok (good && ranks[1].step == STEPS, "a newcomer to a job that is trained says so: step %llu",
        (unsigned long long)ranks[1].step);
    for (unsigned r = 0; r < 2; r++)
        end_rank (&ranks[r]);
}

/* Another world says that this rank's kept micro-batches are somebody else's: it begins anew. */
static void story_dealt_away (const char *spec, const char *hash)
{
    struct rank ranks[RANKS_MAX];
    struct setting settings[2] = { { "", 1 }, { "", 1 } };
    char found[MU_STATE_HASH_TEXT] = "none";
    bool good = open_all (ranks, 2, settings, spec);
    if (good) {
        struct world world = begin (ranks, 2);
        enter (&world);
        good = tear (&world, 3);
        world.generation = 2;
        world.step = 3;
        for (uint32_t m = 0; m < 6; m++) /* all the other way round */
            world.first_map[m] = (uint16_t)((m + 1) % 2);
        enter (&world);
        good = good && run (&world, MU_PHASE_FINISHED);
        weights_hash (&ranks[0], found);
    }
    ok (good && !strcmp (found, hash), "sums that are dealt to others are begun anew");
    for (unsigned r = 0; r < 2; r++)
        end_rank (&ranks[r]);
}

int main (int argc, char **argv)
{
    char gpt[MU_STATE_HASH_TEXT], mlp[MU_STATE_HASH_TEXT], wide[MU_STATE_HASH_TEXT];
    begin_tests (argc, argv);
    story_equal ("mlp", mlp_spec (""), mlp);
    story_equal ("gpt", gpt_spec (""), gpt);
    story_equal ("gpt int64", gpt_spec (", \"reduce\": \"int64\""), wide);
    story_torn (gpt_spec (""), gpt);
    story_behind ("gpt", gpt_spec (""), gpt);
    story_behind ("gpt int64", gpt_spec (", \"reduce\": \"int64\""), wide);
    story_late (mlp_spec (""));
    story_dealt_away (mlp_spec (""), mlp);
    return end_tests () | tap_end ();
}
