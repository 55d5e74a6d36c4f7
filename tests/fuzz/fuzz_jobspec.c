/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_jobspec.c - any bytes as a job file; what is accepted must survive its own JSON, twice
 *
 * The first byte chooses: a file, or GOOD with the bytes as an assignment of --set. */
#include "jobspec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const char good[] = "name: a\ntrainer: gpt\ndata: {path: /d}\n"
                           "batch: {global: 32, micro: 4}\nsteps: 10\n";

/* A job that was accepted has a canonical form that is accepted and gives itself again. */
static void check_round_trip (struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    char *first = mu_jobspec_to_json (spec);
    if (!first || mu_jobspec_from_json (first, strlen (first), spec, problems) != 0)
        abort ();
    char *second = mu_jobspec_to_json (spec);
    if (!second || strcmp (first, second) != 0)
        abort ();
    free (first);
    free (second);
}

static int assign (struct mu_jobspec *spec, struct mu_jobspec_problems *problems,
                   const uint8_t *data, size_t size)
{
    char *text = strndup ((const char *)data, size);
    if (!text || mu_jobspec_parse (good, strlen (good), "good", NULL, spec, problems) != 0)
        abort ();
    mu_jobspec_set (spec, text, problems);
    free (text);
    return mu_jobspec_check (spec, problems);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static struct mu_jobspec_problems problems;
    struct mu_jobspec spec = { 0 };
    if (size == 0)
        return 0;
    int result = data[0] == '='
                     ? assign (&spec, &problems, data + 1, size - 1)
                     : mu_jobspec_parse ((const char *)data, size, "fuzz", NULL, &spec, &problems);
    free (mu_jobspec_problems_text (&problems));
    if ((result == 0) != (problems.errors == 0))
        abort ();
    if (result == 0)
        check_round_trip (&spec, &problems);
    mu_jobspec_clear (&spec);
    return 0;
}
