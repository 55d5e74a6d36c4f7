/* SPDX-License-Identifier: Apache-2.0 */
/* io_door.h - no more connections are taken than there are file descriptors for
 *
 * Some descriptors are kept for what the process opens itself: the database, logs, recordings. When
 * connections have used up the others nobody is let in, and those who wait do so in the kernel's
 * queue; when enough have gone the door opens again. */
#ifndef COORD_IO_DOOR_H
#define COORD_IO_DOOR_H

#include <stddef.h>
#include <stdint.h>

struct door;

/* What the door wants to hear of the socket's monitor. */
#define DOOR_EVENTS (ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED)

/* As many descriptors as we may have, at most 2^20: one a peer. */
size_t door_raise_limit (void);

struct door *door_create (size_t limit); /* NULL: out of memory */
void door_destroy (struct door **door_p);

/* How many connections still fit. Right before the first of them. */
size_t door_room (const struct door *door);

/* The monitor told an event of DOOR_EVENTS; `value` is a descriptor or an errno. */
void door_hear (struct door *door, unsigned event, int value);

/* Open it again if enough connections have gone. To be called at least once a second. */
void door_look (struct door *door);

#endif
