/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_options.c - any bytes as a config file, and as a command line of words between line ends
 *
 * The first byte chooses which, and the program. The usual config files are not read: each run
 * names its own, or an empty one. */
#include "options.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define WORDS 32

static union {
    struct mu_coordinator_options coordinator;
    struct mu_worker_options worker;
    struct mu_client_options client;
} options;

static void run (const struct mu_program *program, int argc, char **argv)
{
    struct mu_operands operands;
    struct mu_error error = { 0 };
    int result = mu_options_parse (program, &options, argc, argv, &operands, &error);
    if (result < 0 && (error.text[0] == '\0' || error.code == MU_OK))
        abort ();
    if (result == 0)
        mu_options_clear (program, &options);
}

static void run_config (const struct mu_program *program, const uint8_t *data, size_t size)
{
    static char name[] = "program", command[] = "jobs", flag[] = "--config";
    char path[64];
    int file = memfd_create ("config", MFD_CLOEXEC);
    if (file < 0 || write (file, data, size) != (ssize_t)size)
        abort ();
    snprintf (path, sizeof path, "/proc/self/fd/%d", file);
    char *argv[] = { name, flag, path, program->command_count ? command : NULL, NULL };
    run (program, argv[3] ? 4 : 3, argv);
    close (file);
}

/* Help and version print: not here. */
static void run_words (const struct mu_program *program, const uint8_t *data, size_t size)
{
    char *argv[WORDS + 1] = { NULL };
    int argc = 0;
    char *text = strndup ((const char *)data, size), *rest = text;
    setenv ("MUSTER_CONFIG", "/dev/null", 1);
    while (rest && argc < WORDS)
        argv[argc++] = strsep (&rest, "\n");
    bool prints = !text || strstr (text, "-h") || strstr (text, "--v") || strchr (text, 'V') ||
                  strchr (text, 'h');
    if (!prints)
        run (program, argc, argv);
    free (text);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct mu_program *program = mu_programs[(data[0] >> 1) % 3];
    if (data[0] & 1)
        run_config (program, data + 1, size - 1);
    else
        run_words (program, data + 1, size - 1);
    return 0;
}
