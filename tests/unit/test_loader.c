/* SPDX-License-Identifier: Apache-2.0 */
/* test_loader.c - trainers by name and path, wrong plug-ins refused, and the example works
 *
 * Plug-ins are compiled here, with $CC (cc), against a folder that holds nothing but
 * muster/trainer.h, as an installation has it. Without a compiler those tests are skipped. */
#include "tests/unit/trainer_bed.h"
#include "tests/unit/trainer_reference.h"
#include "worker/kernels/kernels.h"
#include "worker/trainers/builtin.h"
#include "worker/trainers/loader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];      /* where plug-ins are built */
static char top[2048] = "."; /* the source tree */
static bool can_compile;

__attribute__ ((format (printf, 1, 2))) static int shell (const char *format, ...)
{
    char command[8192];
    va_list args;
    va_start (args, format);
    vsnprintf (command, sizeof command, format, args);
    va_end (args);
    return system (command);
}

static int set_up (void **state)
{
    (void)state;
    const char *given = getenv ("top_srcdir");
    if (given ? !realpath (given, top) : !realpath (".", top))
        return -1;
    snprintf (folder, sizeof folder, "%s", "/tmp/muster-loader-XXXXXX");
    if (!mkdtemp (folder) ||
        shell ("mkdir -p %s/include/muster && cp '%s/worker/trainer.h' %s/include/muster/", folder,
               top, folder))
        return -1;
    can_compile = !shell ("command -v ${CC:-cc} >/dev/null");
    return 0;
}

static int tear_down (void **state)
{
    (void)state;
    return shell ("rm -rf %s", folder);
}

/* Compile `source` (a path) with more arguments into folder/name. */
static const char *build (const char *name, const char *source, const char *arguments)
{
    static char path[128];
    snprintf (path, sizeof path, "%s/%s", folder, name);
    if (!can_compile)
        skip ();
    assert_int_equal (shell ("${CC:-cc} -O2 -Wall -Werror -I%s/include -shared -fPIC "
                             "-ffp-contract=off %s '%s' -o %s",
                             folder, arguments, source, path),
                      0);
    return path;
}

static void expect_refused (const char *name, enum mu_code code, const char *const *words)
{
    struct mu_error error = { .text = "" };
    const struct muster_trainer *trainer = &mu_trainer_gpt;
    void *handle = &error;
    if (!mu_trainer_find (name, &trainer, &handle, &error))
        fail_msg ("'%s' was taken for a trainer", name);
    assert_null (trainer);
    assert_null (handle);
    assert_int_equal (error.code, code);
    for (; *words; words++)
        if (!strstr (error.text, *words))
            fail_msg ("'%s' should say '%s', but says: %s", name, *words, error.text);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* --- names ------------------------------------------------------------------------------------ */

static void built_ins_are_found_by_name (void **state)
{
    (void)state;
    struct mu_error error;
    size_t count = 0;
    for (const struct muster_trainer *expected; (expected = mu_trainer_builtin (count)); count++) {
        const struct muster_trainer *trainer;
        void *handle = &error;
        assert_int_equal (mu_trainer_find (expected->name, &trainer, &handle, &error), 0);
        assert_ptr_equal (trainer, expected);
        assert_null (handle);
        assert_true (*trainer->description);
        mu_trainer_release (&handle);
    }
    assert_int_equal (count, 2);
}

static void unknown_names_are_refused (void **state)
{
    (void)state;
    expect_refused ("gtp", MU_CONFIG,
                    WORDS ("'gtp'", "did you mean 'gpt'", "there are: gpt, mlp.", "./gtp"));
    expect_refused ("mine.so", MU_CONFIG, WORDS ("'mine.so'", "slash", "./mine.so"));
    expect_refused ("", MU_CONFIG, WORDS ("no built-in trainer ''"));
}

/* --- builds ----------------------------------------------------------------------------------- */

static const char *build_example (void);

static void a_build_is_told_from_another (void **state)
{
    (void)state;
    struct mu_error error;
    char path[128];
    char build[MU_TRAINER_BUILD_SIZE], other[MU_TRAINER_BUILD_SIZE], again[MU_TRAINER_BUILD_SIZE];
    assert_int_equal (mu_trainer_build ("gpt", build, &error), 0);
    assert_string_equal (build, "");
    snprintf (path, sizeof path, "%s/build.so", folder);
    assert_int_equal (mu_trainer_build (path, build, &error), -1);
    assert_non_null (strstr (error.text, path));
    assert_int_equal (shell ("echo one > %s", path), 0);
    assert_int_equal (mu_trainer_build (path, build, &error), 0);
    assert_int_equal (shell ("echo two > %s", path), 0);
    assert_int_equal (mu_trainer_build (path, other, &error), 0);
    assert_int_equal (shell ("rm %s; echo one > %s", path, path), 0);
    assert_int_equal (mu_trainer_build (path, again, &error), 0);
    assert_string_not_equal (build, other);
    assert_string_equal (build, again);
    assert_memory_equal (build, "0-", 2); /* too short to name a machine */
    assert_int_equal (mu_trainer_build (build_example (), build, &error), 0);
    assert_memory_not_equal (build, "0-", 2);
}

/* --- what they say ---------------------------------------------------------------------------- */

static void what_a_trainer_says_can_be_shown (void **state)
{
    (void)state;
    struct muster_problem problem = { "two\nlines, caf\xe9" };
    assert_string_equal (mu_trainer_words (&problem), "two lines, caf?");
    memset (&problem, 'x', sizeof problem);
    assert_int_equal (strlen (mu_trainer_words (&problem)), sizeof problem.text - 1);
    problem.text[0] = '\0';
    assert_non_null (strstr (mu_trainer_words (&problem), "gives no reason"));
}

/* --- files that are no plug-in ---------------------------------------------------------------- */

static void files_that_are_no_plugin_are_refused (void **state)
{
    (void)state;
    char path[128];
    snprintf (path, sizeof path, "%s/none.so", folder);
    expect_refused (path, MU_NO_INPUT, WORDS (path, "cannot be read", "No such file"));
    expect_refused (folder, MU_BAD_INPUT, WORDS (folder, "is not a file"));
    snprintf (path, sizeof path, "%s/text.so", folder);
    assert_int_equal (shell ("echo hello > %s", path), 0);
    expect_refused (path, MU_BAD_INPUT, WORDS (path, "not a shared object", "-shared"));
    assert_int_equal (shell (": > %s", path), 0);
    expect_refused (path, MU_BAD_INPUT, WORDS ("not a shared object"));
    assert_int_equal (shell ("printf '\\177ELF and nothing else' > %s", path), 0);
    expect_refused (path, MU_BAD_INPUT, WORDS (path, "cannot be loaded"));
}

static void expect_variant_refused (const char *arguments, const char *const *words)
{
    static const char source[] =
        "#include <muster/trainer.h>\n"
        "static int f (void) { return 0; }\n"
        "#define ABI MUSTER_TRAINER_ABI\n"
        "#define SIZE sizeof (struct muster_trainer)\n"
        "#define NAME \"bad\"\n"
        "#define ALL .open = (void *) f, .close = (void *) f, .tensors = (void *) f, \\\n"
        "    .init = (void *) f, .workspace = (void *) f, .gradient = (void *) f\n"
        "#include VARIANT\n";
    char path[128];
    if (!can_compile)
        skip ();
    snprintf (path, sizeof path, "%s/variant.c", folder);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (source, file);
    fclose (file);
    snprintf (path, sizeof path, "%s/variant.h", folder);
    file = fopen (path, "w");
    assert_non_null (file);
    fputs (arguments, file);
    fclose (file);
    char variant[128];
    snprintf (path, sizeof path, "%s/variant.c", folder);
    snprintf (variant, sizeof variant, "-Wno-unused -DVARIANT='\"%s/variant.h\"'", folder);
    expect_refused (build ("variant.so", path, variant), MU_BAD_INPUT, words);
}

static void plugins_that_cannot_work_are_refused (void **state)
{
    (void)state;
    char ours[32], least[32];
    snprintf (ours, sizeof ours, "speaks ABI %u", MUSTER_TRAINER_ABI);
    snprintf (least, sizeof least, "at least %zu", offsetof (struct muster_trainer, next_token));
    expect_variant_refused ("int unrelated;\n",
                            WORDS ("exports no symbol 'muster_trainer'", "muster/trainer.h"));
    expect_variant_refused ("const struct muster_trainer muster_trainer = { .size = SIZE,\n"
                            "    .abi = 77, .name = NAME, ALL, .evaluate = (void *) f };\n",
                            WORDS ("built for ABI 77", ours, "build it again"));
    expect_variant_refused ("const struct muster_trainer muster_trainer = { .size = 24,\n"
                            "    .abi = ABI, .name = NAME, ALL, .evaluate = (void *) f };\n",
                            WORDS ("its table has 24 bytes", least));
    expect_variant_refused ("const struct muster_trainer muster_trainer = { .size = SIZE,\n"
                            "    .abi = ABI, .name = NAME, ALL };\n",
                            WORDS ("(bad) lacks the function 'evaluate'"));
    expect_variant_refused ("const struct muster_trainer muster_trainer = { .size = SIZE,\n"
                            "    .abi = ABI, ALL, .evaluate = (void *) f };\n",
                            WORDS ("has no name"));
    expect_variant_refused ("extern int missing (void);\n"
                            "int muster (void) { return missing (); }\n",
                            WORDS ("cannot be loaded", "missing"));
}

/* A plug-in of an earlier header, whose struct ends before next_token: what lies behind its table
 * must not be taken for functions. */
static void functions_behind_a_shorter_table_are_not_offered (void **state)
{
    (void)state;
    if (!can_compile)
        skip ();
    char path[128];
    snprintf (path, sizeof path, "%s/short.c", folder);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs ("#include <muster/trainer.h>\n"
           "#define F (void *) 8\n"
           "const struct muster_trainer muster_trainer = { .abi = MUSTER_TRAINER_ABI,\n"
           "    .size = offsetof (struct muster_trainer, next_token), .name = \"short\",\n"
           "    .open = F, .close = F, .tensors = F, .init = F, .workspace = F, .gradient = F,\n"
           "    .evaluate = F, .next_token = F, .config_json = F };\n",
           file);
    fclose (file);
    struct mu_error error;
    const struct muster_trainer *trainer;
    void *handle;
    assert_int_equal (mu_trainer_find (build ("short.so", path, ""), &trainer, &handle, &error), 0);
    assert_string_equal (trainer->name, "short");
    assert_true (trainer->evaluate && !trainer->next_token && !trainer->config_json);
    assert_int_equal (trainer->size, sizeof *trainer);
    mu_trainer_release (&handle);
    assert_null (handle);
}

/* --- the example ------------------------------------------------------------------------------ */

static const struct muster_records table = { .size = sizeof table, .features = 7, .classes = 4 };

static const char *build_example (void)
{
    char source[sizeof top + 64];
    snprintf (source, sizeof source, "%s/examples/linear/linear.c", top);
    return build ("linear.so", source, "-Wextra");
}

static void the_example_is_right (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    const struct muster_trainer *trainer;
    void *handle;
    const struct muster_math *math = &mu_kernels_get (NULL, NULL)->math;
    if (mu_trainer_find (build_example (), &trainer, &handle, &error))
        fail_msg ("%s", error.text);
    assert_string_equal (trainer->name, "linear");

    /* mlp without hidden layers is the same model: the same bits. */
    struct bed bed = bed_open (trainer, &table, NULL, 6, math, 1);
    struct bed mlp = bed_open (&mu_trainer_mlp, &table, "hidden=", 6, math, 1);
    memcpy (bed.weights[0], mlp.weights[0], 4 * 7 * sizeof (float));
    memcpy (bed.weights[1], mlp.weights[1], 4 * sizeof (float));
    struct muster_result result = bed_gradient (&bed), expected = bed_gradient (&mlp);
    assert_true (result.loss == expected.loss && result.correct == expected.correct);
    assert_true (bed_hash (&bed) == bed_hash (&mlp));
    assert_true (bed_evaluate (&bed).loss == result.loss);

    /* The penalty adds itself times the weights. */
    struct bed bent = bed_open (trainer, &table, "penalty=0.5", 6, math, 1);
    memcpy (bent.weights[0], mlp.weights[0], 4 * 7 * sizeof (float));
    memcpy (bent.weights[1], mlp.weights[1], 4 * sizeof (float));
    double penalty = bed_gradient (&bent).loss - result.loss, square = 0;
    for (size_t i = 0; i < 4 * 7; i++) {
        assert_true (bent.gradients[0][i] == bed.gradients[0][i] + 0.5f * bent.weights[0][i]);
        square += (double)bent.weights[0][i] * (double)bent.weights[0][i];
    }
    assert_true (fabs (penalty - 0.25 * square) < 1e-6);
    bed_close (&bent);
    bed_close (&mlp);
    bed_close (&bed);
    mu_trainer_release (&handle);
}

static void the_example_learns_and_refuses (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct muster_problem problem = { .text = "" };
    struct muster_model *model;
    const struct muster_trainer *trainer;
    void *handle;
    const struct muster_math *math = &mu_kernels_get (NULL, NULL)->math;
    assert_int_equal (mu_trainer_find (build_example (), &trainer, &handle, &error), 0);
    struct bed bed = bed_open (trainer, &table, NULL, 6, math, 1);
    double first = bed_gradient (&bed).loss;
    for (int step = 0; step < 2000; step++) {
        bed_gradient (&bed);
        for (uint32_t i = 0; i < bed.count; i++)
            for (size_t j = 0; j < bed_elements (&bed.tensors[i]); j++)
                bed.weights[i][j] -= 1.0f * bed.gradients[i][j];
    }
    assert_true (bed_evaluate (&bed).loss < first / 4 && bed_evaluate (&bed).correct == 6);
    bed_close (&bed);

    const struct muster_setting setting = { "penalty", "2" }, unknown = { "penalti", "1" };
    struct muster_open open = { .size = sizeof open,
                                .setting_count = 1,
                                .settings = &setting,
                                .records = &table,
                                .math = math,
                                .micro_batch = 1 };
    assert_int_equal (trainer->open (&model, &open, &problem), -1);
    assert_non_null (strstr (problem.text, "'penalty' is '2'; it takes a number from 0 to 1"));
    open.settings = &unknown;
    assert_int_equal (trainer->open (&model, &open, &problem), -1);
    assert_non_null (strstr (problem.text, "no setting 'penalti'"));
    mu_trainer_release (&handle);
}

static void the_examples_makefile_builds_it (void **state)
{
    (void)state;
    if (!can_compile || shell ("command -v make >/dev/null"))
        skip ();
    assert_int_equal (shell ("mkdir %s/linear && cp '%s'/examples/linear/linear.c "
                             "'%s'/examples/linear/Makefile %s/linear/ && env -u MAKEFLAGS make -s "
                             "-C %s/linear CC=${CC:-cc} MUSTER_PREFIX=%s",
                             folder, top, top, folder, folder, folder),
                      0);
    char path[128];
    struct mu_error error;
    const struct muster_trainer *trainer;
    void *handle;
    snprintf (path, sizeof path, "%s/linear/linear.so", folder);
    assert_int_equal (mu_trainer_find (path, &trainer, &handle, &error), 0);
    mu_trainer_release (&handle);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (built_ins_are_found_by_name),
        cmocka_unit_test (unknown_names_are_refused),
        cmocka_unit_test (a_build_is_told_from_another),
        cmocka_unit_test (what_a_trainer_says_can_be_shown),
        cmocka_unit_test (files_that_are_no_plugin_are_refused),
        cmocka_unit_test (plugins_that_cannot_work_are_refused),
        cmocka_unit_test (functions_behind_a_shorter_table_are_not_offered),
        cmocka_unit_test (the_example_is_right),
        cmocka_unit_test (the_example_learns_and_refuses),
        cmocka_unit_test (the_examples_makefile_builds_it),
    };
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
