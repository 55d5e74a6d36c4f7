/* SPDX-License-Identifier: Apache-2.0 */
/* timing.h - every wait of the coordinator: its owner, its limit, and what happens at the limit
 *
 * Nothing hangs: a wait that is not in this table does not exist. Times are milliseconds. Those with
 * an option in config.schema are that option's default. */
#ifndef COORD_TIMING_H
#define COORD_TIMING_H

#include "common/dial.h"

/* A worker says BEAT this often; the interval stretches with the roster so that beats cost at most
 * BEATS_PER_SECOND_MAX messages a second in all. */
#define COORD_BEAT_MS 250u
#define COORD_BEATS_PER_SECOND_MAX 2000u

/* A worker silent for so long is LOST: its generation breaks, the survivors go on. Never below four
 * beats: a stretched beat stretches this too. */
#define COORD_LOST_MS 1000u
#define COORD_LOST_BEATS_MIN 4u

/* After a restart the coordinator has heard nobody: workers get this long before they count as lost, and none is
 * given a job; it looks every RETURN_MS whether all are back. Whoever is missing where the others' generation
 * is over is lost COME_MS after the last that came: after a long outage workers dial, and say HELLO, every
 * MU_DIAL_LIMIT_MS (docs/decisions/0053); libzmq adds some tenths of a second by chance. */
#define COORD_RESTART_GRACE_MS 5000u
#define COORD_RETURN_MS        500u
#define COORD_COME_MS          (MU_DIAL_LIMIT_MS + 500u)

/* The process that writes a checkpoint and does not move is told of after COORD_HANG_MS, and nothing else:
 * it may wait for storage. One that was stopped is ended then; one that sleeps or spins, after
 * COORD_STALL_MS (overdue.c). */

/* From ASSIGN to PREPARED, or since the trainer last told how far its data is: it may have to be
 * read once. Then the worker is dropped from the job. */
#define COORD_PREPARE_LIMIT_MS 600000u

/* From FORM to READY of all; longer while the state still flows to those behind. Then the generation
 * breaks and those not ready are named. */
#define COORD_FORM_LIMIT_MS 30000u

/* A process that owes the next move, uses no processor time and counts no work for so long hangs:
 * it is ended and replaced (hang.c). Also while every rank waits for the all-reduce and nothing of
 * it moves: a line between workers may be cut and nobody told; then the generation breaks and a new
 * one is formed. */
#define COORD_HANG_MS 5000u

/* A trainer that uses processor time but counts no work for so long hangs too; STALL_FIRST times
 * that before the first step, when nobody knows yet how long a micro-batch takes. */
#define COORD_STALL_MS    60000u
#define COORD_STALL_FIRST 10u

/* A healthy but slow job must not be killed by an impatient monitor. These limits grow with what was
 * seen to end by itself: to so many times the longest stillness, the longest time without counted
 * work; and they double with each hang that follows another without a step between, so often. */
#define COORD_HANG_LONGEST   2u
#define COORD_STALL_LONGEST  8u
#define COORD_HANG_DOUBLINGS 5u

/* An all-reduce that nobody moves ends after so many times the limit: who is at fault is named first,
 * if it can be seen. */
#define COORD_HANG_STUCK 2u

/* So many times the limit where nobody else holds the state: what is ended then costs the way back
 * to a checkpoint. And while a trainer opens a job, whose data may lie on slow storage: HANG_OPEN times, and twice
 * as long each time that it was not enough. Until the first generation so many as of HANGS_MAX fail the job, if
 * the trainer does not wait for storage. */
#define COORD_HANG_ALONE 4u
#define COORD_HANG_OPEN  6u

/* So many hangs without a step between, that nothing outside the trainer explains, fail the job. */
#define COORD_HANGS_MAX 5u

/* From ABORT to ABORTED, not counting the time in which the trainer still has to finish a
 * micro-batch: that is the trainer's, and COORD_HANG_MS and COORD_STALL_MS mind it. Then the member
 * is dropped. */
#define COORD_ABORT_LIMIT_MS 15000u

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

/* A micro-batch that was in flight at so many trainers' deaths, alone at last and on different
 * workers, is poison. Blows that accuse a micro-batch are counted by themselves: four poisoned ones
 * in one step need three each; more than that without a step between, and the trainer itself is
 * broken: the job fails. */
#define COORD_STRIKES     3u
#define COORD_ACCUSED_MAX (4 * COORD_STRIKES)

/* So many generations in a row that finish no step, and a job stands behind all others in line: with the
 * pauses between them, some minutes. */
#define COORD_VAIN_TRIES 20u

/* Free workers and waiting jobs are matched this long after the first change, all changes at once. */
#define COORD_PLACE_MS 5u

/* Between two such looks lies a millisecond for so many workers and jobs: ten thousand jobs that wait are
 * looked at twice a second at most, which takes a twentieth of a core. */
#define COORD_PLACE_ENTRIES_PER_MS 25u

/* A joiner that is prepared waits so long for others that still prepare; then the generation is
 * formed anew with those that are. */
#define COORD_JOIN_MS 2000u

/* A planned break waits so long for the world that follows to be connected; then it comes without. */
#define COORD_AHEAD_MS 5000u

/* A worker that did not get ready for a job, or could not connect to the others twice, is not given
 * that job again for so long; twice as long each further time, so often. */
#define COORD_COOL_OFF_MS 60000u
#define COORD_COOL_OFF_DOUBLINGS 6u

/* A worker that left a job before what it did was compared is remembered for so long: if it is found
 * wrong, there or elsewhere, the job goes back to where it is known to have been right; so long a
 * checkpoint from there is kept. */
#define COORD_ABSENT_MS 600000u

/* Three workers of a job whose gradients are found wrong, each by two others, within so long, and its trainer is somebody's
 * own: then it is the trainer, and the job fails. */
#define COORD_MISFIT_MS 3600000u

/* A break that lets members go waits so long for the comparison of what they did, or as long as some
 * steps take, if that is longer: the one that is under way, the one that was named, and another if the word
 * came too late. But no longer than who goes unseen is remembered. It is asked for in a step that begins
 * so long after what was last heard. Who is to leave when a generation breaks is kept for the next, if that
 * trains COORD_REVIEW_MS after the end of the one before, and for the one after it if that breaks, too, but no more than
 * COORD_KEPT_MAX times: so many deaths in a row isolate a micro-batch that kills. Then it waits half as long, at most, until those who
 * leave have ended a step: the one that is under way, and another if there are several (halt.c). */
#define COORD_REVIEW_MS      10000u
#define COORD_REVIEW_STEPS   4u
#define COORD_REVIEW_MAX_MS  COORD_ABSENT_MS
#define COORD_REVIEW_LEAD_MS 100u
#define COORD_KEPT_MAX       3u

/* No worker can read a job's newest checkpoint: its storage may come back. It is tried again after so long,
 * then after a fourth of the time waited, at most MISSING_RETRY_MAX_MS. Nobody waits longer than the steps
 * took that would be done again, but MISSING_MIN_MS at least and MISSING_MAX_MS at most; then it is given up. */
#define COORD_MISSING_RETRY_MS     5000u
#define COORD_MISSING_RETRY_MAX_MS 60000u
#define COORD_MISSING_MIN_MS       30000u
#define COORD_MISSING_MAX_MS       86400000u

/* Who waited for another's state that is gone is told to make its own; who then waits again, so often,
 * is not given that job for COOL_OFF_MS. */
#define COORD_ANEW_MAX 3u

/* A failing worker's penalty halves in PENALTY_HALF_MS; so QUARANTINE_FAILURES in a short time keep it
 * from work that others can do until it has sunk to one failure, some eight minutes after the third.
 * Ends of quarantines are looked for every TRUST_MS. */
#define COORD_PENALTY_HALF_MS 300000u
#define COORD_TRUST_MS        1000u

/* A worker that is not believed (savers.c) is told of once in so long, whatever it goes on saying; and so is why
 * evaluations fail (shards.c). */
#define COORD_DOUBT_MS 60000u

/* A generation trains for so long before its shares may be called uneven: forming another one costs
 * some tenths of a second, and must not be what a job mostly does. */
#define COORD_PACE_MS 10000u

/* Generations that break one after the other without a finished step are formed more and more
 * slowly: from the third on after FORM_RETRY_MS, twice that, … at most FORM_RETRY_MAX_MS. */
#define COORD_FORM_RETRY_MS 100u
#define COORD_FORM_RETRY_MAX_MS 5000u

/* The same members whose collectives end again and again while they form, for so long, are tried
 * without the one whose ended last. */
#define COORD_VAIN_MS 5000u

/* Whose collective crashes so often before a generation gets ready is left out at once. */
#define COORD_ENDS_MAX 2u

/* A job that lacks its minimum of workers for so long has the newest state saved. */
#define COORD_LACK_SAVE_MS 5000u

/* The last checkpoint is the job's result, and a state that would go away with who leaves is work. Where it cannot be
 * written it is tried again after SAVE_RETRY_MS, twice that, … at most 16 times that, so that somebody may make room;
 * when it was tried for SAVE_TRY_MS the job fails with what was wrong, or goes on without. Its workers wait with it. */
#define COORD_SAVE_TRY_MS 300000u
#define COORD_SAVE_RETRY_MS 1000u

_Static_assert (COORD_LOST_MS >= COORD_LOST_BEATS_MIN * COORD_BEAT_MS, "a lost beat is not a lost worker");
_Static_assert (COORD_RESTART_GRACE_MS >= 2 * COORD_LOST_MS, "a restart must not lose workers");
_Static_assert (COORD_HANG_MS > 4 * COORD_BEAT_MS, "one late beat is not a hang");
_Static_assert (COORD_HANG_MS < COORD_STALL_MS, "stillness is the surer sign");
_Static_assert (COORD_HANG_MS < COORD_ABORT_LIMIT_MS, "a hanging trainer is named before its worker is dropped");
_Static_assert (COORD_REPEAT_MS < COORD_RELEASE_LIMIT_MS, "an order is repeated before it is given up");

#endif
