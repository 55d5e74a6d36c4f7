/* SPDX-License-Identifier: Apache-2.0 */
/* io_loop.h - wait, step, store in one transaction, then send
 *
 * Two turns alternate: one gathers records and words from coord_step () while a commit thread makes
 * the other durable; a turn's words leave when its records are safe. So heartbeats do not wait
 * behind an fsync, and under load each fsync carries everything that came meanwhile. */
#ifndef COORD_IO_LOOP_H
#define COORD_IO_LOOP_H

#include "coord.h"
#include "io_lead.h"
#include "io_logs.h"
#include "io_recorder.h"
#include "io_socket.h"
#include "io_store.h"

struct loop_options {
    struct coord *coord;
    struct mu_sockets *sockets;
    struct store *store;
    struct job_logs *logs;
    struct recorder *recorder; /* or NULL */
    struct lead *lead;         /* NULL: it reigns without a register */
    struct coord_reign reign;  /* the term that was taken there */
    const uint32_t *workers;   /* peers to be told that this one reigns now */
    uint32_t worker_count;
    const char *version, *dir;
    uint64_t history_ms; /* the full history of what ended longer ago is folded */
    bool faults;   /* it may be broken on purpose */
    int signal_fd; /* a signalfd: SIGHUP opens the log anew, any other ends the loop */
};

/* True once a signal has come that ends the loop. */
bool loop_told_to_stop (int signal_fd);

/* Serve until the signal. 0, or -1 when the process has to end for another reason. */
int loop_run (const struct loop_options *options, struct mu_error *error);

#endif
