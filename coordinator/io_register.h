/* SPDX-License-Identifier: Apache-2.0 */
/* io_register.h - the compare-and-swap register that says who reigns, wherever it lies
 *
 *     file:/mnt/shared/muster/reign        a fenced file on storage that all coordinators share
 *     majority:                            a majority of the coordinators and witnesses in --peers
 *     lease:NAMESPACE/NAME                 a Kubernetes Lease
 *
 * Each is linearizable: a value that was read, or swapped in, is never followed by an older one, and
 * of swaps that expect one value at most one succeeds. Calls block, at most for the limit given;
 * they are made from one thread that has nothing else to do (io_reign.c), one at a time. */
#ifndef COORD_IO_REGISTER_H
#define COORD_IO_REGISTER_H

#include "error.h"
#include "reign.h"

struct io_register;

struct register_options {
    const char *url;
    const char *const *peers; /* majority: the endpoints of all coordinators and witnesses */
    uint32_t peer_count;
    uint64_t id; /* of this coordinator: which of several writers it is */
};

/* Nothing is contacted yet. CONFIG with a sentence where the URL or its files are wrong. */
int register_open (struct io_register **register_p, const struct register_options *options,
                   struct mu_error *error);
void register_close (struct io_register **register_p);

/* 0 with the present value (term 0 while nobody has reigned); UNAVAILABLE where it could not be
 * reached in time; BAD_INPUT where what lies there is nobody's value. */
int register_read (struct io_register *reg, uint32_t limit_ms, struct reign *value,
                   struct mu_error *error);

/* 0: `next` is in. CONFLICT: certainly it is not, because `expected` was not there.
 * Anything else: it may or may not be in, now or a little later; read before anything else is tried. */
int register_swap (struct io_register *reg, uint32_t limit_ms, const struct reign *expected,
                   const struct reign *next, struct mu_error *error);

#endif
