/* SPDX-License-Identifier: Apache-2.0 */
/* io_device.h - which network device gradients go over
 *
 * MPICH on one device starts faster and is not led astray by devices that reach nobody. Unless the
 * operator names one, it is the device whose address this machine would use to speak to its
 * coordinator: `lo` for a cluster on one machine. */
#ifndef WORKER_IO_DEVICE_H
#define WORKER_IO_DEVICE_H

#include "common/error.h"

#include <stddef.h>

/* The device that leads to `endpoint` (tcp://HOST:PORT). Resolves HOST, which can take a minute
 * when its name server is dead: call it before anybody waits. -1, with NO_HOST when the name does
 * not resolve; then all devices must do. */
int io_device_towards (const char *endpoint, char *device, size_t size, struct mu_error *error);

#endif
