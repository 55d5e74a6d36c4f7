/* SPDX-License-Identifier: Apache-2.0 */
/* io_trainer.h - the trainer process as the agent sees it: a channel, a pidfd, and what it prints
 *
 * It is started with nothing inherited but its channel, /dev/null, and a pipe for what it prints;
 * in a process group of its own, so that Ctrl-C on a terminal reaches the agent alone; and it dies
 * with the agent. Lines it prints are logged here; JSON lines of its own log keep their level and
 * event. */
#ifndef WORKER_IO_TRAINER_H
#define WORKER_IO_TRAINER_H

#include "common/error.h"
#include "common/log.h"
#include "worker/channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IO_LINE_MAX       8192u
#define IO_LAST_WORDS_MAX 600u

struct io_trainer_options {
    const char *program; /* full path */
    const char *isa;     /* "" for the best */
    const char *dir;
    const char *cache; /* "" for the default */
    unsigned threads;
};

struct io_trainer {
    pid_t pid; /* 0: none */
    int pidfd, output;
    struct mu_channel channel;
    struct mu_log_about about; /* what its lines are about; the owner keeps it up to date */
    char line[IO_LINE_MAX];
    size_t used;
    char last_words[IO_LAST_WORDS_MAX];
};

void io_trainer_init (struct io_trainer *trainer);
int io_trainer_start (struct io_trainer *trainer, const struct io_trainer_options *options,
                      struct mu_error *error);
void io_trainer_kill (struct io_trainer *trainer);

/* Log what it printed. */
void io_trainer_read_output (struct io_trainer *trainer);

/* After the pidfd became readable: reap it and close everything. Puts how it ended, in words, into
 * `text`; returns the status as waitpid gives it. */
int io_trainer_reap (struct io_trainer *trainer, char *text, size_t size);

#endif
