/* SPDX-License-Identifier: Apache-2.0 */
/* io_announce.h - journal records as sentences, for the log and for `muster events` */
#ifndef COORD_IO_ANNOUNCE_H
#define COORD_IO_ANNOUNCE_H

#include "journal.h"

#include <stdbool.h>
#include <stddef.h>

/* One sentence for people into `text`; records that only mark progress give an empty one. */
void announce_text (const struct mu_journal *record, char *text, size_t size);

/* What the log says of a record once it is durable. */
struct announcement {
    uint64_t job, generation; /* 0: none */
    int32_t rank;             /* of a process that hung; -1: none */
    char worker[64];          /* empty: none */
    uint32_t type; /* of the record: its name is the event */
    bool bad;
};

struct announcement announcement_of (const struct mu_journal *record);
void announce (const struct announcement *announcement, const char *text);

#endif
