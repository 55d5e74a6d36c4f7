/* SPDX-License-Identifier: Apache-2.0 */
/* io_emptied.h - is a database that holds nothing a new one, or was it emptied? */
#ifndef COORD_IO_EMPTIED_H
#define COORD_IO_EMPTIED_H

#include "error.h"

/* -1: it was, and whoever begins there would begin without the jobs that it held. */
int check_emptied (const char *dir, const char *database, struct mu_error *error);

#endif
