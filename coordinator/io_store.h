/* SPDX-License-Identifier: Apache-2.0 */
/* io_store.h - the journal on disk, in SQLite
 *
 * One process a state directory: a lock file says so. Records are added to a batch and become
 * durable together at store_commit (), in one transaction (WAL, synchronous=FULL). A store belongs
 * to one thread at a time.
 *
 * A commit that fails (a full disk) leaves the batch as it was, so that it can be tried again:
 * nothing is lost and nothing was said. CONFLICT alone is for good: somebody else wrote to the
 * journal, and what was decided here stands on what is no longer true. */
#ifndef COORD_IO_STORE_H
#define COORD_IO_STORE_H

#include "error.h"
#include "journal.h"

#include <sqlite3.h>
#include <stdbool.h>

struct store;
struct store_batch;

/* Open or make DIR/muster.db and bring it to the newest version. A database of a newer version, one
 * locked by another coordinator, and a folder that cannot be written are refused with a sentence.
 */
int store_open (struct store **store_p, const char *dir, struct mu_error *error);
void store_close (struct store **store_p);

/* Call `each` for every record, oldest first. A record that cannot be read, or that `each` refuses,
 * is moved to the table bad_record, counted in *bad and passed over. One of a newer Muster is not
 * bad: it ends the replay with a sentence, and so does the end of memory. */
int store_replay (struct store *store,
                  int (*each) (void *arg, const struct mu_journal *record, struct mu_error *error),
                  void *arg, uint64_t *records, uint64_t *bad, struct mu_error *error);

/* Do records lack that were set aside at this start or one before? A fresh journal of another has them. */
bool store_is_damaged (const struct store *store);

/* How many SUBMITs that replay set aside, behind the newest that it read: those jobs' numbers are in no record any more. */
uint32_t store_lost_jobs (const struct store *store);

/* Which database this is, never 0, and the cluster of coordinators it belongs to, 0 for none yet. */
uint64_t store_id (const struct store *store);
uint64_t store_cluster (const struct store *store);
/* Rows up to this number were folded: who has less needs all of them anew. Any thread. */
uint64_t store_folded_to (const struct store *store);
/* Grows when a fresh journal begins and when it is there: what was read before may be of another. Any thread. */
uint64_t store_fills (const struct store *store);
int store_set_cluster (struct store *store, uint64_t cluster, struct mu_error *error);
/* Is its file a copy of the one that has this id? Then store_become_another () gives it one of its own. One
 * that belongs to no cluster has got one already. */
bool store_is_copy (const struct store *store);
int store_become_another (struct store *store, struct mu_error *error);

/* The number of the newest record; 0 if there is none. Any thread. */
uint64_t store_newest (const struct store *store);

/* Does a row of this type stay, whatever is folded? */
bool store_keeps (uint32_t type);
/* How many rows that need not stay the journal was given, replayed ones with them. Any thread. */
uint64_t store_given (const struct store *store);

/* Change the database otherwise, in one transaction of the writing connection. */
int store_change (struct store *store,
                  int (*change) (void *arg, sqlite3 *writer, struct mu_error *error), void *arg,
                  struct mu_error *error);

/* A change that folds rows up to a number. store_folded_to () says so before anybody can read them. */
int store_fold (struct store *store,
                int (*change) (void *arg, sqlite3 *writer, struct mu_error *error), void *arg,
                uint64_t folded_to, struct mu_error *error);

/* Nothing is folded until the release; false: it is being folded just now. */
bool store_hold (struct store *store);
void store_release (struct store *store);

/* Write the tables that are only for people anew, from the records. */
int store_rebuild_views (struct store *store, struct mu_error *error);

/* Give unused room back to the file system; nothing may be committed meanwhile. */
int store_vacuum (struct store *store, struct mu_error *error);

/* --- what becomes durable together ------------------------------------------------------------ */

struct store_batch *store_batch_create (void);
void store_batch_destroy (struct store_batch **batch_p);
uint32_t store_batch_count (const struct store_batch *batch);
size_t store_batch_bytes (const struct store_batch *batch);

/* Encode one record into the batch, at once: it is not needed afterwards. */
int store_batch_add (struct store_batch *batch, const struct mu_journal *record,
                     struct mu_error *error);

/* Make the batch durable and empty it. */
int store_commit (struct store *store, struct store_batch *batch, uint64_t unix_ms,
                  struct mu_error *error);

/* --- as rows: what goes from a leader's journal into a follower's -------------------------------- */

struct store_line {
    uint64_t number, unix_ms;
    const void *body; /* msgpack, as journal.schema says */
    uint32_t size;
};

/* What a commit of the batch stores, if the next number is `first`. Call `each` for every one. */
int store_batch_lines (const struct store_batch *batch, uint64_t first, uint64_t unix_ms,
                       int (*each) (void *arg, const struct store_line *line), void *arg);

/* Call `each` for the records of one type, oldest first: only those are decoded. The loop's thread. */
int store_read_type (struct store *store, enum mu_journal_type type,
                     int (*each) (void *arg, uint64_t number, const struct mu_journal *record),
                     void *arg, struct mu_error *error);

/* Call `each` for the rows above `after`, at most `limit`, as they are. The loop's thread. */
int store_read_lines (struct store *store, uint64_t after, uint32_t limit,
                      int (*each) (void *arg, const struct store_line *line), void *arg,
                      struct mu_error *error);

enum store_taking {
    STORE_FOLLOW, /* behind what is there */
    STORE_FRESH,  /* instead of what is there */
};

/* Take lines of a leader. They are durable when store_taken () says so, with all that were taken since the
 * last time; the journal's newest number is then `newest`. BAD_INPUT: a line that this version cannot read.
 * After any error of either, and by store_abandon (), what was not durable is as if it had never come. */
int store_take (struct store *store, const struct store_line *lines, uint32_t count,
                enum store_taking how, struct mu_error *error);
int store_taken (struct store *store, uint64_t newest, struct mu_error *error);
void store_abandon (struct store *store);

/* No fresh journal is being put together. */
bool store_is_settled (const struct store *store);

/* --- reading, through a connection of its own: at any time, from the loop's thread ------------ */

/* Call `each` for records numbered above `after` (of one job, or 0 for all), at most `limit`. */
int store_read (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                int (*each) (void *arg, uint64_t number, uint64_t unix_ms, uint64_t job,
                             const struct mu_journal *record),
                void *arg, struct mu_error *error);

struct store_row {
    uint64_t number;
    const void *body; /* until `each` returns */
    uint32_t size;
    const char *set_aside; /* NULL: it is a good record; else why it was set aside */
};

/* The same, as the bytes that are stored, read or not, and with them what was set aside of any job:
 * whose it is cannot be known. */
int store_read_rows (struct store *store, uint64_t after, uint64_t job, uint32_t limit,
                     int (*each) (void *arg, const struct store_row *row), void *arg,
                     struct mu_error *error);

#endif
