/* SPDX-License-Identifier: Apache-2.0 */
/* dial.h - how soon a worker is heard that looks for its coordinator
 *
 * A worker tries again to connect, and says HELLO again, at least so often. A coordinator that has just begun to
 * reign, and has heard others, waits so much longer for who has not come (coordinator/timing.h). */
#ifndef MU_DIAL_H
#define MU_DIAL_H

#define MU_DIAL_LIMIT_MS 2000u

#endif
