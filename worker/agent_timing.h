/* SPDX-License-Identifier: Apache-2.0 */
/* agent_timing.h - every wait of the agent: its owner, its limit, and what happens at the limit
 *
 * Waits for the coordinator's next order have no limit here: their owner is the coordinator
 * (coordinator/timing.h), which lets the worker go when the limit has come. Times are milliseconds.
 */
#ifndef AGENT_TIMING_H
#define AGENT_TIMING_H

#include "common/dial.h"

/* Until WELCOME, HELLO is said again after this long, then twice as long, up to the limit; each
 * time shortened by up to a half at random, so that thousands do not knock at once. No end: a
 * worker may be there before its coordinator. */
#define AGENT_HELLO_MS       250u
#define AGENT_HELLO_LIMIT_MS MU_DIAL_LIMIT_MS

/* What WELCOME has not yet said. */
#define AGENT_BEAT_MS 250u
#define AGENT_LOST_MS 1000u

/* A connection may stand and lead to nobody: to a host that hangs, or to a coordinator's place that
 * another took, behind something that keeps it up. After so many times the silence that counts as
 * gone, and not before so long, new ones are made to all coordinators; then after twice as long, up
 * to the limit; each time shortened by up to a quarter at random. */
#define AGENT_REDIAL_SILENCES 4u
#define AGENT_REDIAL_MS       8000u
#define AGENT_REDIAL_LIMIT_MS 60000u

/* Without WELCOME for so long, the log says what may be wrong, and then again after each such time.
 */
#define AGENT_COMPLAIN_MS 15000u

/* A word that must be heard is said again after this long, then twice as long, up to the limit,
 * until the coordinator's answer or next order shows that it was heard. */
#define AGENT_REPEAT_MS       500u
#define AGENT_REPEAT_LIMIT_MS 8000u

/* A spare collective is started so long after the one before was taken, or a generation began: its
 * start takes 8 ms of the processors that a break and the first step after it wait for. Who dies in
 * between is replaced without a spare, which takes that much longer. */
#define AGENT_SPARE_MS 500u

/* Told to stop, a worker asks to be drained and waits this long to be let go; then it says BYE and
 * ends anyway. Below the 30 s that Kubernetes gives a pod. */
#define AGENT_DRAIN_LIMIT_MS 25000u

/* The same where there is no coordinator that could let it go, and nothing that one could have it save. */
#define AGENT_STOP_ALONE_MS 10000u

/* While there are children, the agent looks this often at what they do: processor time, counted work.
 * Their stillness is judged by the coordinator, which sees all workers. */
#define AGENT_LOOK_MS 250u

/* Two looks so far apart mean that the agent itself stood still: what it did not see in that time is
 * held against nobody. */
#define AGENT_LOOK_LATE_MS 1000u

/* From SIGKILL to the end of a child. Then the beats say that it cannot be ended, and the
 * coordinator goes on without this worker until it has. */
#define AGENT_KILL_LIMIT_MS 5000u

/* Told to let its job go, an agent ends the trainer when that has heard of the last checkpoint's commit,
 * which removes older ones; so long after it was told at the latest. */
#define AGENT_PRUNE_MS 1000u

/* No fault that was ordered lasts longer; it ends by itself. */
#define AGENT_FAULT_LIMIT_MS 86400000u

/* A trainer that is made slow runs this long between two stops. At the largest factor it then stands
 * still for less than a second: nobody takes that for a process that hangs. */
#define AGENT_SLOW_RUN_MS     20u
#define AGENT_SLOW_FACTOR_MAX 50u

_Static_assert(AGENT_SLOW_RUN_MS * AGENT_SLOW_FACTOR_MAX <= 1000, "slow is not hung");
_Static_assert(AGENT_LOOK_LATE_MS >= 2 * AGENT_LOOK_MS, "a late look is not a standstill");
_Static_assert(AGENT_HELLO_MS < AGENT_LOST_MS, "a lost coordinator is called more than once");
_Static_assert(AGENT_REPEAT_MS < AGENT_REPEAT_LIMIT_MS, "repeats slow down");
_Static_assert(AGENT_REDIAL_MS >= 2 * AGENT_HELLO_LIMIT_MS,
               "an unanswered HELLO is not a dead line");

#endif
