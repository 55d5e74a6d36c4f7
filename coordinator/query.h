/* SPDX-License-Identifier: Apache-2.0 */
/* query.h - answers for people */
#ifndef COORD_QUERY_H
#define COORD_QUERY_H

#include "core.h"

void query_receive (struct coord *coord, const struct coord_event *event);
void query_refuse (struct coord *coord, uint32_t peer, uint64_t request, enum mu_code code,
                   const char *text);
void query_accept (struct coord *coord, uint32_t peer, uint64_t request, const char *text);
/* The job meant, or NULL after REFUSED. */
struct job *query_job (struct coord *coord, uint32_t peer, uint64_t request, const char *job);

#endif
