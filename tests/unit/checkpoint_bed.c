/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_bed.c - a directory of checkpoints of state_bed's small state */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint_bed.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const struct mu_checkpoint_job bed_job = {
    .id = "17",
    .name = "prose \"quoted\" \xc3\xa4",
    .spec = "{\"trainer\": \"bed\"}\n",
    .trainer = "bed",
    .data = "x.gz 12 bytes abcdef",
    .compute_class = "portable",
    .config = "{\"model_type\": \"bed\"}\n",
    .seed = INT64_MAX,
    .epoch = 3,
    .position = 4711,
    .slice = 1024, /* the bed's state has 21 kB: each file is of several slices, */
    .hands = 3,    /* and several threads write them */
};

const char *const bed_files[BED_FILES] = { "model.safetensors", "optimizer.safetensors",
                                           "config.json", "muster.json" };
char bed_top[64];

int bed_setup (void **unused)
{
    (void)unused;
    strcpy (bed_top, "/tmp/test_checkpoint.XXXXXX");
    return mkdtemp (bed_top) ? 0 : -1;
}

/* A test that failed has let go of no writer, and one that hangs, or turns, would outlive the program. */
static void end_children (void)
{
    int pid;
    FILE *list = fopen ("/proc/thread-self/children", "r");
    while (list && fscanf (list, "%d", &pid) == 1)
        kill (pid, SIGKILL);
    if (list)
        fclose (list);
    while (waitpid (-1, NULL, 0) > 0)
        ;
}

int bed_teardown (void **unused)
{
    (void)unused;
    char command[128];
    end_children ();
    snprintf (command, sizeof command, "rm -rf '%s'", bed_top);
    return system (command);
}

const char *bed_below (const char *format, ...)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    int used = snprintf (path, PATH_MAX, "%s/", bed_top);
    va_list args;
    va_start (args, format);
    vsnprintf (path + used, PATH_MAX - (size_t)used, format, args);
    va_end (args);
    return path;
}

struct mu_checkpoint_saved bed_save (uint64_t step)
{
    struct mu_checkpoint_saved saved;
    struct mu_error error = { .text = "" };
    struct mu_state *state = bed_state (1);
    bed_age (state, step);
    if (mu_checkpoint_write (bed_top, state, bed_tensors, &bed_job, &saved, &error) < 0)
        fail_msg ("%s", error.text);
    free (state);
    return saved;
}

int bed_wait (struct mu_checkpoint_writer *writer, struct mu_checkpoint_saved *saved,
              struct mu_error *error)
{
    for (;;) {
        struct pollfd fd = { .fd = writer->fd, .events = POLLIN };
        assert_int_equal (poll (&fd, 1, 30000), 1);
        int status = mu_checkpoint_poll (writer, saved, error);
        if (status != 0)
            return status;
    }
}

size_t bed_count_names (const char *prefix)
{
    size_t count = 0;
    DIR *dir = opendir (bed_top);
    for (struct dirent *entry = readdir (dir); entry; entry = readdir (dir))
        count += strncmp (entry->d_name, prefix, strlen (prefix)) == 0;
    closedir (dir);
    return count;
}

size_t bed_size_of (const char *path)
{
    struct stat status;
    assert_int_equal (stat (path, &status), 0);
    return (size_t)status.st_size;
}

void bed_flip (const char *path, size_t byte, int bit)
{
    int fd = open (path, O_RDWR);
    uint8_t value;
    assert_int_equal (pread (fd, &value, 1, (off_t)byte), 1);
    value ^= (uint8_t)(1 << bit);
    assert_int_equal (pwrite (fd, &value, 1, (off_t)byte), 1);
    close (fd);
}
