/* SPDX-License-Identifier: Apache-2.0 */
/* io_acceptor.c - see io_acceptor.h
 *
 * Fatal for the vote: a write that failed. What is on the disk is then not known (a rename may or may
 * not have reached it), so the acceptor falls silent; silent voters are what majorities are for. */
#include "io_acceptor.h"

#include "io_files.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct acceptor {
    char *dir, *path, *temporary;
    struct acceptor_state state;
    bool silent;
    struct vote vote; /* and bytes: what the last answer borrows */
    struct vote_bytes bytes;
};

static char *join (const char *dir, const char *name)
{
    char *path;
    return asprintf (&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* A file that says which one it is. */
static int write_new (const char *path, const struct acceptor_state *state)
{
    char text[ACCEPTOR_TEXT_MAX];
    struct file_place is;
    size_t size = 0;
    const int fd = file_create (path);
    if (fd < 0)
        return -1;
    if (!file_place (path, &is))
        size = acceptor_encode (state, &(struct acceptor_place){ is.inode, (uint64_t)is.born_ns },
                                text);
    if (!size) {
        close (fd);
        return -1;
    }
    return file_fill (fd, path, text, size);
}

static int save (struct acceptor *acceptor, const struct acceptor_state *state)
{
    if (unlink (acceptor->temporary) && errno != ENOENT)
        return -1;
    if (write_new (acceptor->temporary, state) || rename (acceptor->temporary, acceptor->path) ||
        folder_sync (acceptor->dir))
        return -1;
    acceptor->state = *state;
    return 0;
}

static int fail_to_write (const struct acceptor *acceptor, struct mu_error *error)
{
    return mu_fail_errno (error, MU_CANT_CREATE, errno, "%s cannot be written", acceptor->path);
}

/* A copy beside its original would be two voters that count as one, each of which may promise what
 * the other refuses: two majorities. An earlier version's file says nothing, until it is saved. */
static int check_place (struct acceptor *acceptor, const struct acceptor_place *place,
                        struct mu_error *error)
{
    struct file_place is;
    const struct file_place was = { place->inode, (int64_t)place->born_ns };
    if (!was.inode)
        return save (acceptor, &acceptor->state) ? fail_to_write (acceptor, error) : 0;
    if (file_place (acceptor->path, &is))
        return mu_fail_errno (error, MU_IO, errno, "%s cannot be looked at", acceptor->path);
    if (!file_is_another (&is, &was))
        return 0;
    return mu_fail (error, MU_BAD_INPUT,
                    "%s was copied or moved to another file system: the file that it was copied "
                    "from may have voted since, or still does; remove it, and the others take this "
                    "one in as a new voter",
                    acceptor->path);
}

static int load (struct acceptor *acceptor, struct mu_error *error)
{
    char text[ACCEPTOR_TEXT_MAX];
    struct acceptor_place place;
    const long size = file_read (acceptor->path, text, sizeof text);
    if (size < 0 && errno == ENOENT) {
        const struct acceptor_state fresh = { .id = draw_id () };
        return save (acceptor, &fresh) ? fail_to_write (acceptor, error) : 0;
    }
    if (size < 0)
        return mu_fail_errno (error, MU_IO, errno, "%s cannot be read", acceptor->path);
    if (acceptor_decode (&acceptor->state, &place, text,
                         (size_t)size > sizeof text ? 0 : (size_t)size, error)) {
        mu_error_prefix (error,
                         "%s cannot be used (remove it, never restore an older one: as a new voter "
                         "it is taken in by the others): ",
                         acceptor->path);
        return -1;
    }
    /* What a crash left renamed and not synced is made to stay before anybody hears of it. */
    if (folder_sync (acceptor->dir))
        return mu_fail_errno (error, MU_IO, errno, "%s cannot be synced", acceptor->dir);
    return check_place (acceptor, &place, error);
}

int acceptor_open (struct acceptor **acceptor_p, const char *dir, struct mu_error *error)
{
    struct acceptor *acceptor = *acceptor_p = calloc (1, sizeof *acceptor);
    if (!acceptor || !(acceptor->dir = strdup (dir)) ||
        !(acceptor->path = join (dir, "acceptor")) ||
        !(acceptor->temporary = join (dir, "acceptor.new"))) {
        acceptor_close (acceptor_p);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    if (load (acceptor, error)) {
        acceptor_close (acceptor_p);
        return -1;
    }
    return 0;
}

void acceptor_close (struct acceptor **acceptor_p)
{
    struct acceptor *acceptor = *acceptor_p;
    if (!acceptor)
        return;
    free (acceptor->dir);
    free (acceptor->path);
    free (acceptor->temporary);
    free (acceptor);
    *acceptor_p = NULL;
}

bool acceptor_answer (struct acceptor *acceptor, const struct mu_wire *asked,
                      struct mu_wire *answer)
{
    struct vote_ask ask;
    struct acceptor_state next = acceptor->state;
    if (acceptor->silent || !vote_ask_read (&ask, asked))
        return false;
    if (acceptor_step (&next, &ask, &acceptor->vote) && save (acceptor, &next)) {
        mu_log (MU_LOG_ERROR, "vote_lost", NULL,
                "%s cannot be written (%s): no vote is given from here until the next start",
                acceptor->path, strerror (errno));
        acceptor->silent = true;
        return false;
    }
    vote_write (&acceptor->vote, answer, &acceptor->bytes);
    return true;
}

uint64_t acceptor_id (const struct acceptor *acceptor) { return acceptor->state.id; }
bool acceptor_votes (const struct acceptor *acceptor) { return acceptor->state.votes; }
