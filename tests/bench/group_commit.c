/* SPDX-License-Identifier: Apache-2.0 */
/* group_commit.c - see group_commit.h */
#include "group_commit.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

enum { GROUP_MAX = 4096, ANSWER_BYTES = 32, CHECKPOINT_FRAMES = 4096 };

static sqlite3 *database;
static sqlite3_stmt *insert;
static void *router;
static zmq_msg_t identity[GROUP_MAX];
static int frames;

static void must (int works)
{
    if (works)
        return;
    fprintf (stderr, "group_commit: %s; %s\n", sqlite3_errmsg (database),
             zmq_strerror (zmq_errno ()));
    exit (1);
}

static int on_wal (void *arg, sqlite3 *of, const char *name, int count)
{
    (void)arg, (void)of, (void)name;
    frames = count;
    return SQLITE_OK;
}

static void run (const char *sql) { must (!sqlite3_exec (database, sql, NULL, NULL, NULL)); }

static void open_database (const char *folder)
{
    char path[256];
    snprintf (path, sizeof path, "%s/group_commit.db", folder);
    must (!sqlite3_open (path, &database));
    run ("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
         "PRAGMA journal_size_limit=67108864;"
         "CREATE TABLE journal (number INTEGER PRIMARY KEY, type INTEGER, job INTEGER, "
         "unix_ms INTEGER, body BLOB)");
    must (!sqlite3_prepare_v2 (database,
                               "INSERT INTO journal (type, job, unix_ms, body) "
                               "VALUES (1, 1, 1700000000000, ?1)",
                               -1, &insert, NULL));
    sqlite3_wal_hook (database, on_wal, NULL);
}

static void store (zmq_msg_t *body)
{
    sqlite3_bind_blob (insert, 1, zmq_msg_data (body), (int)zmq_msg_size (body), SQLITE_STATIC);
    must (sqlite3_step (insert) == SQLITE_DONE);
    sqlite3_reset (insert);
}

/* What waits, at least one message; their senders lie in `identity`. */
static int store_group (void)
{
    int count = 0;
    while (count < GROUP_MAX) {
        zmq_msg_t body;
        zmq_msg_init (&identity[count]);
        if (zmq_msg_recv (&identity[count], router, count ? ZMQ_DONTWAIT : 0) < 0)
            break;
        zmq_msg_init (&body);
        must (zmq_msg_recv (&body, router, 0) >= 0);
        if (!count++)
            run ("BEGIN IMMEDIATE");
        store (&body);
        zmq_msg_close (&body);
    }
    run ("COMMIT");
    return count;
}

static _Noreturn void serve (void)
{
    static const char answer[ANSWER_BYTES];
    for (;;) {
        int count = store_group ();
        for (int i = 0; i < count; i++)
            must (zmq_msg_send (&identity[i], router, ZMQ_SNDMORE) >= 0 &&
                  zmq_send (router, answer, sizeof answer, 0) >= 0);
        if (frames >= CHECKPOINT_FRAMES)
            sqlite3_wal_checkpoint_v2 (database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
}

pid_t group_commit_start (const char *endpoint, const char *folder)
{
    pid_t pid = fork ();
    if (pid)
        return pid;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    open_database (folder);
    router = zmq_socket (zmq_ctx_new (), ZMQ_ROUTER);
    must (router && !zmq_bind (router, endpoint));
    serve ();
}
