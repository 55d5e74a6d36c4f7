/* SPDX-License-Identifier: Apache-2.0 */
/* io_turn.c - the double buffer between deciding and storing
 *
 * One mutex guards `given` and `done`; the store itself is touched by the commit thread alone. */
#include "io_turn.h"

#include "clock.h"
#include "grow.h"
#include "io_announce.h"
#include "log.h"

#include <errno.h>
#include <msgpack.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS    500
#define SPARE_BYTES (4u << 20) /* a buffer grown beyond is given back after its turn */
#define FULL_COUNT  65536u     /* records and words in one turn */
#define FULL_BYTES  (64u << 20)

struct word {
    uint32_t peer;
    bool to_client, sent;
    size_t offset, size;
};

struct line {
    struct announcement about;
    size_t offset;
};

struct turn {
    struct store_batch *records;
    msgpack_sbuffer bytes;
    struct word *word;
    uint32_t word_count, word_capacity;
    struct line *line; /* their texts lie in `bytes` too, each with its NUL */
    uint32_t line_count, line_capacity;
};

struct turn *turn_create (void)
{
    struct turn *turn = calloc (1, sizeof *turn);
    if (!turn)
        return NULL;
    msgpack_sbuffer_init (&turn->bytes);
    turn->records = store_batch_create ();
    if (!turn->records)
        turn_destroy (&turn);
    return turn;
}

void turn_destroy (struct turn **turn_p)
{
    struct turn *turn = *turn_p;
    if (!turn)
        return;
    store_batch_destroy (&turn->records);
    msgpack_sbuffer_destroy (&turn->bytes);
    free (turn->word);
    free (turn->line);
    free (turn);
    *turn_p = NULL;
}

uint32_t turn_records (const struct turn *turn) { return store_batch_count (turn->records); }
uint32_t turn_words (const struct turn *turn) { return turn->word_count; }
const struct store_batch *turn_batch (const struct turn *turn) { return turn->records; }

bool turn_is_full (const struct turn *turn)
{
    return turn_records (turn) + turn_words (turn) >= FULL_COUNT ||
           turn->bytes.size + store_batch_bytes (turn->records) >= FULL_BYTES;
}

void turn_say (struct turn *turn, uint32_t peer, const struct mu_wire *wire)
{
    struct mu_error error;
    size_t offset = turn->bytes.size;
    turn->word = core_grow (turn->word, turn->word_count, &turn->word_capacity, sizeof *turn->word);
    if (mu_record_encode (&mu_wire_family, wire, &turn->bytes, &error)) {
        mu_log (MU_LOG_ERROR, "unsayable", NULL, "%s", error.text);
        return;
    }
    bool to_client = mu_shape_find (&mu_wire_family, wire->type)->receiver == MU_ROLE_CLIENT;
    struct word word = {
        .peer = peer, .to_client = to_client, .offset = offset, .size = turn->bytes.size - offset
    };
    const struct word *before = turn->word_count ? &turn->word[turn->word_count - 1] : NULL;
    if (before && word.size >= SOCKETS_SHARED_MIN && word.size == before->size &&
        !memcmp (turn->bytes.data + before->offset, turn->bytes.data + offset, word.size)) {
        word.offset = before->offset; /* as FENCED is for every rank: one copy is enough */
        turn->bytes.size = offset;
    }
    turn->word[turn->word_count++] = word;
}

static int add_record (struct turn *turn, const struct mu_journal *record, struct mu_error *error)
{
    char text[1024];
    if (store_batch_add (turn->records, record, error))
        return -1;
    announce_text (record, text, sizeof text);
    if (!*text)
        return 0;
    turn->line = core_grow (turn->line, turn->line_count, &turn->line_capacity, sizeof *turn->line);
    turn->line[turn->line_count++] =
        (struct line){ .about = announcement_of (record), .offset = turn->bytes.size };
    if (msgpack_sbuffer_write (&turn->bytes, text, strlen (text) + 1))
        abort ();
    return 0;
}

int turn_add (struct turn *turn, const struct coord_action *list, uint32_t count,
              struct mu_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].type == COORD_SEND)
            turn_say (turn, list[i].send.peer, &list[i].send.wire);
        else if (add_record (turn, &list[i].store, error))
            return -1;
    }
    return 0;
}

static void send_words (struct turn *turn, struct mu_sockets *sockets, bool to_clients_alone)
{
    const struct word *last = NULL;
    for (uint32_t i = 0; i < turn->word_count; i++) {
        struct word *word = &turn->word[i];
        if (word->sent || (to_clients_alone && !word->to_client))
            continue;
        if (last && word->offset == last->offset)
            sockets_send_again (sockets, word->peer);
        else
            sockets_send (sockets, word->peer, turn->bytes.data + word->offset, word->size);
        word->sent = true;
        last = word;
    }
}

void turn_answer (struct turn *turn, struct mu_sockets *sockets)
{
    send_words (turn, sockets, true);
}

static void empty (struct turn *turn)
{
    turn->word_count = turn->line_count = 0;
    turn->bytes.size = 0;
    if (turn->bytes.alloc > SPARE_BYTES) {
        msgpack_sbuffer_destroy (&turn->bytes);
        msgpack_sbuffer_init (&turn->bytes);
    }
}

void turn_join (struct turn *turn, struct turn *later)
{
    size_t base = turn->bytes.size;
    if (later->bytes.size &&
        msgpack_sbuffer_write (&turn->bytes, later->bytes.data, later->bytes.size))
        abort ();
    for (uint32_t i = 0; i < later->word_count; i++) {
        turn->word =
            core_grow (turn->word, turn->word_count, &turn->word_capacity, sizeof *turn->word);
        turn->word[turn->word_count] = later->word[i];
        turn->word[turn->word_count++].offset += base;
    }
    for (uint32_t i = 0; i < later->line_count; i++) {
        turn->line =
            core_grow (turn->line, turn->line_count, &turn->line_capacity, sizeof *turn->line);
        turn->line[turn->line_count] = later->line[i];
        turn->line[turn->line_count++].offset += base;
    }
    empty (later);
}

/* Words first: nobody waits for the log, which may make a file for each of a hundred new jobs. */
void turn_speak (struct turn *turn, struct mu_sockets *sockets)
{
    send_words (turn, sockets, false);
    if (turn->line_count)
        mu_log_hold ();
    for (uint32_t i = 0; i < turn->line_count; i++)
        announce (&turn->line[i].about, turn->bytes.data + turn->line[i].offset);
    if (turn->line_count)
        mu_log_release ();
    empty (turn);
}

/* --- the commit thread ------------------------------------------------------------------------ */

struct committer {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct turn *given, *done;
    bool stopping, given_up;
    int (*work) (void *arg, struct store *store, struct mu_error *error); /* NULL: there is none */
    void *work_arg;
    struct mu_error *work_error;
    int work_result;
    bool working;
    struct mu_error why; /* given_up */
    int done_fd;
    _Atomic bool stuck;
    _Atomic uint64_t commits;
};

static void give_up (struct committer *committer, const struct mu_error *why)
{
    pthread_mutex_lock (&committer->lock);
    committer->why = *why;
    committer->given_up = true;
    pthread_mutex_unlock (&committer->lock);
    atomic_store (&committer->stuck, true);
    eventfd_write (committer->done_fd, 1);
}

/* Until it succeeds, or the process is told to stop. */
static int commit_for_certain (struct committer *committer, struct turn *turn)
{
    struct mu_error error;
    while (store_commit (committer->store, turn->records, mu_unix_ms (), &error)) {
        if (error.code == MU_CONFLICT) {
            give_up (committer, &error);
            return -1;
        }
        if (!atomic_exchange (&committer->stuck, true))
            mu_log (MU_LOG_ERROR, "store_failed", NULL,
                    "%s; nothing new is promised until it works again, training goes on meanwhile",
                    error.text);
        struct timespec pause = { 0, RETRY_MS * 1000000L };
        nanosleep (&pause, NULL);
        pthread_mutex_lock (&committer->lock);
        bool stopping = committer->stopping;
        pthread_mutex_unlock (&committer->lock);
        if (stopping)
            return -1;
    }
    if (atomic_exchange (&committer->stuck, false))
        mu_log (MU_LOG_INFO, "store_works", NULL, "the database can be written again");
    atomic_fetch_add (&committer->commits, 1);
    return 0;
}

/* Turns come first. The lock is held before and after. */
static void do_work (struct committer *committer)
{
    int (*work) (void *, struct store *, struct mu_error *) = committer->work;
    committer->working = true;
    pthread_mutex_unlock (&committer->lock);
    int result = work (committer->work_arg, committer->store, committer->work_error);
    pthread_mutex_lock (&committer->lock);
    committer->work_result = result;
    committer->work = NULL;
    committer->working = false;
    pthread_cond_broadcast (&committer->changed);
}

int committer_do (struct committer *committer,
                  int (*work) (void *arg, struct store *store, struct mu_error *error), void *arg,
                  const _Atomic bool *cancelled, struct mu_error *error)
{
    pthread_mutex_lock (&committer->lock);
    committer->work = work;
    committer->work_arg = arg;
    committer->work_error = error;
    pthread_cond_broadcast (&committer->changed);
    while (committer->work && (committer->working || !atomic_load (cancelled))) {
        struct timespec until;
        clock_gettime (CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait (&committer->changed, &committer->lock, &until);
    }
    int rc = committer->work
                 ? mu_fail (error, MU_TRY_AGAIN, "the coordinator ends before it could be done")
                 : committer->work_result;
    committer->work = NULL;
    pthread_mutex_unlock (&committer->lock);
    return rc;
}

static void *commit_thread (void *arg)
{
    struct committer *committer = arg;
    for (;;) {
        pthread_mutex_lock (&committer->lock);
        while (!committer->given && !committer->stopping) {
            if (committer->work)
                do_work (committer);
            else
                pthread_cond_wait (&committer->changed, &committer->lock);
        }
        struct turn *turn = committer->given;
        pthread_mutex_unlock (&committer->lock);
        if (!turn || commit_for_certain (committer, turn))
            return NULL;
        pthread_mutex_lock (&committer->lock);
        committer->given = NULL;
        committer->done = turn;
        pthread_mutex_unlock (&committer->lock);
        eventfd_write (committer->done_fd, 1);
    }
}

struct committer *committer_start (struct store *store, struct mu_error *error)
{
    struct committer *committer = calloc (1, sizeof *committer);
    if (!committer) {
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
        return NULL;
    }
    committer->store = store;
    committer->done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init (&committer->lock, NULL);
    pthread_cond_init (&committer->changed, NULL);
    int number = committer->done_fd < 0
                     ? errno
                     : pthread_create (&committer->thread, NULL, commit_thread, committer);
    if (!number)
        return committer;
    mu_fail_errno (error, MU_SYSTEM, number, "the commit thread cannot start");
    if (committer->done_fd >= 0)
        close (committer->done_fd);
    free (committer);
    return NULL;
}

void committer_stop (struct committer **committer_p)
{
    struct committer *committer = *committer_p;
    if (!committer)
        return;
    pthread_mutex_lock (&committer->lock);
    committer->stopping = true;
    pthread_cond_broadcast (&committer->changed);
    pthread_mutex_unlock (&committer->lock);
    pthread_join (committer->thread, NULL);
    pthread_mutex_destroy (&committer->lock);
    pthread_cond_destroy (&committer->changed);
    close (committer->done_fd);
    turn_destroy (&committer->given);
    turn_destroy (&committer->done);
    free (committer);
    *committer_p = NULL;
}

int committer_done_fd (const struct committer *committer) { return committer->done_fd; }

bool committer_is_stuck (const struct committer *committer)
{
    return atomic_load (&committer->stuck);
}

int committer_check (struct committer *committer, struct mu_error *error)
{
    pthread_mutex_lock (&committer->lock);
    bool given_up = committer->given_up;
    if (given_up && error)
        *error = committer->why;
    pthread_mutex_unlock (&committer->lock);
    return given_up ? -1 : 0;
}

uint64_t committer_commits (const struct committer *committer)
{
    return committer ? atomic_load (&committer->commits) : 0;
}

void committer_give (struct committer *committer, struct turn *turn)
{
    pthread_mutex_lock (&committer->lock);
    committer->given = turn;
    pthread_cond_broadcast (&committer->changed);
    pthread_mutex_unlock (&committer->lock);
}

bool committer_has_done (struct committer *committer)
{
    pthread_mutex_lock (&committer->lock);
    bool has_done = committer->done != NULL;
    pthread_mutex_unlock (&committer->lock);
    return has_done;
}

struct turn *committer_take (struct committer *committer)
{
    eventfd_t count;
    eventfd_read (committer->done_fd, &count);
    pthread_mutex_lock (&committer->lock);
    struct turn *turn = committer->done;
    committer->done = NULL;
    pthread_mutex_unlock (&committer->lock);
    return turn;
}
