/* SPDX-License-Identifier: Apache-2.0 */
/* timing.h - every wait of the coordinator: its owner, its limit, and what happens at the limit
 *
 * Nothing hangs: a wait that is not in this table does not exist. Times are milliseconds. Those with
 * an option in config.schema are that option's default. */
#ifndef COORD_TIMING_H
#define COORD_TIMING_H

/* A worker says BEAT this often; the interval stretches with the roster so that beats cost at most
 * BEATS_PER_SECOND_MAX messages a second in all. */
#define COORD_BEAT_MS 250u
#define COORD_BEATS_PER_SECOND_MAX 2000u

/* A worker silent for so long is LOST: its generation breaks, the survivors go on. Never below four
 * beats: a stretched beat stretches this too. */
#define COORD_LOST_MS 1000u
#define COORD_LOST_BEATS_MIN 4u

/* After a restart the coordinator has heard nobody: workers get this long before they count as lost. */
#define COORD_RESTART_GRACE_MS 5000u

/* From ASSIGN to PREPARED: data may have to be read once. Then the worker is dropped from the job. */
#define COORD_PREPARE_LIMIT_MS 600000u

/* From FORM to READY of all. Then the generation breaks and those not ready are named. */
#define COORD_FORM_LIMIT_MS 30000u

/* While every rank waits, and one of them for the all-reduce: a line between workers may be cut and
 * nobody told. Then the generation breaks and a new one is formed. */
#define COORD_REDUCE_LIMIT_MS 60000u

/* From ABORT to ABORTED: a micro-batch may have to be finished. Then the silent member is dropped. */
#define COORD_ABORT_LIMIT_MS 60000u

/* From RELEASE to RELEASED. Then the worker is treated as lost until it says HELLO again. */
#define COORD_RELEASE_LIMIT_MS 15000u

/* From SAVE to SAVED, when a job is paused. Then the job pauses with its last committed checkpoint.
 * Also from the last step of all ranks to its checkpoint; then the generation ends and one is told. */
#define COORD_SAVE_LIMIT_MS 120000u

/* An order not yet obeyed is said again after this long. */
#define COORD_REPEAT_MS 500u

/* A job that could start with fewer workers than it can use waits this long for more to appear. */
#define COORD_SETTLE_MS 100u

/* Leases are kept this far ahead of training, and renewed when half is used. */
#define COORD_LEASE_AHEAD_MS 60000u

/* So many blows to a job's trainers without a step between fail the job. Trainers of several workers
 * that end in one generation are one blow; the same worker's again is another. */
#define COORD_CRASHES_MAX 3u

/* Free workers and waiting jobs are matched this long after the first change, all changes at once. */
#define COORD_PLACE_MS 5u

/* A joiner that is prepared waits so long for others that still prepare; then the generation is
 * formed anew with those that are. */
#define COORD_JOIN_MS 2000u

/* A worker that did not get ready for a job, or could not connect to the others twice, is not given
 * that job again for so long. */
#define COORD_COOL_OFF_MS 60000u

/* A failing worker's penalty halves in PENALTY_HALF_MS; so QUARANTINE_FAILURES in a short time keep it
 * from work that others can do until it has sunk to one failure, some eight minutes after the third.
 * Ends of quarantines are looked for every TRUST_MS. */
#define COORD_PENALTY_HALF_MS 300000u
#define COORD_TRUST_MS        1000u

/* A generation trains for so long before its shares may be called uneven: forming another one costs
 * some tenths of a second, and must not be what a job mostly does. */
#define COORD_PACE_MS 10000u

/* Generations that break one after the other without a finished step are formed more and more
 * slowly: from the third on after FORM_RETRY_MS, twice that, … at most FORM_RETRY_MAX_MS. */
#define COORD_FORM_RETRY_MS 100u
#define COORD_FORM_RETRY_MAX_MS 5000u

/* The last checkpoint is the job's result. It is tried again after SAVE_RETRY_MS, twice that, … at
 * most 16 times that, so that somebody may make room; when it was tried for SAVE_TRY_MS the job
 * fails with what was wrong. Its workers wait with it. */
#define COORD_SAVE_TRY_MS 300000u
#define COORD_SAVE_RETRY_MS 1000u

_Static_assert (COORD_LOST_MS >= COORD_LOST_BEATS_MIN * COORD_BEAT_MS, "a lost beat is not a lost worker");
_Static_assert (COORD_RESTART_GRACE_MS >= 2 * COORD_LOST_MS, "a restart must not lose workers");
_Static_assert (COORD_REPEAT_MS < COORD_RELEASE_LIMIT_MS, "an order is repeated before it is given up");

#endif
