/* SPDX-License-Identifier: Apache-2.0 */
/* io_announce.h - journal records as sentences, for the log and for `muster events` */
#ifndef COORD_IO_ANNOUNCE_H
#define COORD_IO_ANNOUNCE_H

#include "journal.h"

#include <stddef.h>

/* One sentence for people into `text`; records that only mark progress give an empty one. */
void announce_text (const struct mu_journal *record, char *text, size_t size);

/* Write it to the log, with the record's name as the event. */
void announce (const struct mu_journal *record);

#endif
