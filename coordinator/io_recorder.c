/* SPDX-License-Identifier: Apache-2.0 */
/* io_recorder.c - two buffers and a thread
 *
 * `filling` belongs to the loop under the lock; the writer takes it whole, leaves an empty one, and
 * writes without the lock. It waits WRITE_AFTER_MS once something is there, so that a busy loop wakes
 * it some hundred times a second and not for each event.
 *
 * A file that has SHARE of the folder is followed by one that begins with an image of the core: any file
 * can be played by itself, so the oldest may go. Between the two lies `roll_at` in the buffer: what is
 * before it belongs to the old file.
 *
 * A recording cannot lack an event in its middle: once one is lost, it is over until the next start. */
#include "io_recorder.h"

#include "clock.h"
#include "frames.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <msgpack.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WRITE_AFTER_MS 5
#define WAITING_MAX    ((size_t)64 << 20) /* in memory, not yet written */
#define SPARE_BYTES    ((size_t)1 << 20)  /* a buffer grown beyond is given back */
#define SHARE          8u                 /* of the folder's limit, in events of one file */
#define FILES_MAX      4096u
#define SUFFIX         ".rec"

struct recorder {
    const struct coord *coord;
    struct coord_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    msgpack_sbuffer filling, writing;
    size_t roll_at; /* in `filling`; 0: all of it is for this file */
    uint64_t head;  /* bytes before the first event of the newest file */
    uint64_t bytes; /* of events in it */
    uint64_t files, events;
    uint64_t max_bytes;
    bool started, stopping, over; /* over: nothing more is taken */
    int dir_fd, fd;               /* the writer's, once it runs */
    char name[64];
    char dir[4096];
};

/* --- the folder ------------------------------------------------------------------------------- */

struct listed {
    char name[64];
    uint64_t bytes;
};

static int by_name (const void *a, const void *b)
{
    return strcmp (((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* Names as name_file () makes them, and nothing else that somebody may keep there. */
static bool is_ours (const char *name)
{
    size_t size = strlen (name), tail = strlen (SUFFIX);
    return size > 16 + tail && size < sizeof ((struct listed *)NULL)->name && name[8] == 'T' &&
           name[15] == '-' && strspn (name, "0123456789") == 8 &&
           !strcmp (name + size - tail, SUFFIX);
}

static uint32_t list_files (int dir_fd, struct listed *list)
{
    uint32_t count = 0;
    int fd = dup (dir_fd);
    DIR *dir = fd < 0 ? NULL : fdopendir (fd);
    if (!dir && fd >= 0)
        close (fd);
    if (dir)
        rewinddir (dir); /* its place is shared with the call before */
    for (struct dirent *entry; dir && count < FILES_MAX && (entry = readdir (dir));) {
        struct stat status;
        if (!is_ours (entry->d_name) || fstatat (dir_fd, entry->d_name, &status, 0))
            continue;
        mu_text_set (list[count].name, sizeof list[count].name, entry->d_name);
        list[count++].bytes = (uint64_t)status.st_size;
    }
    if (dir)
        closedir (dir);
    qsort (list, count, sizeof *list, by_name); /* their names are their times */
    return count;
}

/* The oldest go until the others take at most `keep` bytes; the newest file stays. */
static void make_room (const struct recorder *recorder, uint64_t keep)
{
    struct listed *list = calloc (FILES_MAX, sizeof *list);
    uint32_t count = list ? list_files (recorder->dir_fd, list) : 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += list[i].bytes;
    for (uint32_t i = 0; i < count && (sum > keep || count - i >= FILES_MAX); i++) {
        if (!strcmp (list[i].name, recorder->name))
            continue;
        if (!unlinkat (recorder->dir_fd, list[i].name, 0))
            mu_log (MU_LOG_INFO, "recording_removed", NULL, "%s made room for newer ones",
                    list[i].name);
        sum -= list[i].bytes;
    }
    free (list);
}

/* The number that follows the newest file's, if that is of the same second: the name of one that was
 * removed would put the newest in front of older ones. */
static int first_number (const struct recorder *recorder, const char *stamp)
{
    size_t size = strlen (stamp);
    bool same = !strncmp (recorder->name, stamp, size) && recorder->name[size] == '-';
    return same ? atoi (recorder->name + size + 1) + 1 : 1;
}

/* Named by its time; there may be several of one second. */
static int name_file (struct recorder *recorder)
{
    time_t seconds = time (NULL);
    struct tm tm;
    char stamp[32];
    gmtime_r (&seconds, &tm);
    strftime (stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
    for (int i = first_number (recorder, stamp); i < 1000; i++) {
        snprintf (recorder->name, sizeof recorder->name, "%s-%03d" SUFFIX, stamp, i);
        int fd = openat (recorder->dir_fd, recorder->name,
                         O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The next file, which will take so many bytes. */
static int open_file (struct recorder *recorder, uint64_t bytes, struct mu_error *error)
{
    if (recorder->fd >= 0)
        close (recorder->fd);
    recorder->fd = name_file (recorder);
    if (recorder->fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "no file can be made in %s",
                              recorder->dir);
    make_room (recorder, bytes < recorder->max_bytes ? recorder->max_bytes - bytes : 0);
    return 0;
}

static int open_dir (struct recorder *recorder, struct mu_error *error)
{
    const char *dir = recorder->dir;
    if (mkdir (dir, 0750) && errno != EEXIST)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "the folder %s cannot be made", dir);
    recorder->dir_fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (recorder->dir_fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "the folder %s cannot be opened", dir);
    return 0;
}

/* --- the writer ------------------------------------------------------------------------------- */

static int write_all (struct recorder *recorder, const char *at, size_t left,
                      struct mu_error *error)
{
    while (left) {
        ssize_t size = write (recorder->fd, at, left);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return mu_fail_errno (error, MU_IO, size ? errno : ENOSPC, "%s/%s cannot be written",
                                  recorder->dir, recorder->name);
        at += size;
        left -= (size_t)size;
    }
    return 0;
}

/* `head` is that of the file that begins at `roll_at`. */
static int write_files (struct recorder *recorder, size_t roll_at, uint64_t head,
                        struct mu_error *error)
{
    const msgpack_sbuffer *bytes = &recorder->writing;
    if (!roll_at)
        return write_all (recorder, bytes->data, bytes->size, error);
    if (write_all (recorder, bytes->data, roll_at, error) ||
        open_file (recorder, head + recorder->max_bytes / SHARE, error))
        return -1;
    return write_all (recorder, bytes->data + roll_at, bytes->size - roll_at, error);
}

static void give_back (msgpack_sbuffer *buffer)
{
    msgpack_sbuffer_clear (buffer);
    if (buffer->alloc <= SPARE_BYTES)
        return;
    msgpack_sbuffer_destroy (buffer);
    msgpack_sbuffer_init (buffer);
}

/* Under the lock. */
static void end_recording (struct recorder *recorder, const struct mu_error *why)
{
    if (recorder->over)
        return;
    recorder->over = true;
    mu_log (MU_LOG_WARN, "recording_stopped", NULL,
            "%s; nothing more is recorded until the coordinator starts again, and nothing else "
            "changes",
            why->text);
}

/* Under the lock; it is given up while the disk works. */
static void write_out (struct recorder *recorder)
{
    struct mu_error error;
    msgpack_sbuffer full = recorder->filling;
    recorder->filling = recorder->writing;
    recorder->writing = full;
    size_t roll_at = recorder->roll_at;
    uint64_t head = recorder->head;
    recorder->roll_at = 0;
    pthread_mutex_unlock (&recorder->lock);
    int rc = write_files (recorder, roll_at, head, &error);
    give_back (&recorder->writing);
    pthread_mutex_lock (&recorder->lock);
    if (rc)
        end_recording (recorder, &error);
}

static void *write_thread (void *arg)
{
    struct recorder *recorder = arg;
    struct timespec pause = { 0, WRITE_AFTER_MS * 1000000L };
    pthread_mutex_lock (&recorder->lock);
    while (!recorder->over) {
        while (!recorder->filling.size && !recorder->stopping && !recorder->over)
            pthread_cond_wait (&recorder->changed, &recorder->lock);
        if (!recorder->filling.size)
            break;
        if (!recorder->stopping) {
            pthread_mutex_unlock (&recorder->lock);
            nanosleep (&pause, NULL);
            pthread_mutex_lock (&recorder->lock);
        }
        write_out (recorder);
    }
    pthread_mutex_unlock (&recorder->lock);
    return NULL;
}

/* --- what is taken ---------------------------------------------------------------------------- */

static int add_head (struct recorder *recorder, struct mu_error *error)
{
    return frames_head (&recorder->filling, error) ||
                   frames_open (&recorder->filling, &recorder->options, mu_unix_ms (),
                                recorder->files, recorder->events, error)
               ? -1
               : 0;
}

/* What comes next belongs to another file. One that is not yet written grows beyond its share. */
static int roll (struct recorder *recorder, struct mu_error *error)
{
    if (recorder->bytes < recorder->max_bytes / SHARE || recorder->roll_at)
        return 0;
    if (frames_end (&recorder->filling, mu_unix_ms (), recorder->events, 0,
                    "it goes on in the next file", error))
        return -1;
    recorder->roll_at = recorder->filling.size;
    recorder->files++;
    if (add_head (recorder, error) || frames_image (&recorder->filling, recorder->coord, error))
        return -1;
    recorder->head = recorder->filling.size - recorder->roll_at;
    recorder->bytes = 0;
    return 0;
}

/* Under the lock, behind each frame: `before` is where it begins. */
static void taken (struct recorder *recorder, size_t before, int rc, struct mu_error *error)
{
    uint64_t size = recorder->filling.size - before;
    *(recorder->started ? &recorder->bytes : &recorder->head) += size;
    if (!rc && recorder->started)
        rc = roll (recorder, error);
    if (!rc && recorder->head > recorder->max_bytes / 2)
        rc = mu_fail (error, MU_IO,
                      "the state alone takes more than half of the %" PRIu64
                      " bytes that --record-max allows in %s: allow more",
                      recorder->max_bytes, recorder->dir);
    if (!rc && recorder->filling.size > WAITING_MAX)
        rc = mu_fail (error, MU_IO, "%s/%s is written too slowly", recorder->dir, recorder->name);
    if (rc) {
        recorder->filling.size = before;
        recorder->roll_at = recorder->roll_at > before ? 0 : recorder->roll_at;
        end_recording (recorder, error);
    }
    if (!before)
        pthread_cond_signal (&recorder->changed);
}

void recorder_apply (struct recorder *recorder, const struct mu_journal *record)
{
    struct mu_error error;
    if (!recorder)
        return;
    pthread_mutex_lock (&recorder->lock);
    size_t before = recorder->filling.size;
    if (!recorder->over)
        taken (recorder, before, frames_apply (&recorder->filling, record, &error), &error);
    pthread_mutex_unlock (&recorder->lock);
}

void recorder_event (struct recorder *recorder, const struct coord_event *event,
                     struct mu_blob wire, const struct coord_actions *actions)
{
    struct mu_error error;
    if (!recorder)
        return;
    pthread_mutex_lock (&recorder->lock);
    size_t before = recorder->filling.size;
    recorder->started = true;
    if (!recorder->over) {
        recorder->events++;
        taken (recorder, before, frames_event (&recorder->filling, event, wire, actions, &error),
               &error);
    }
    pthread_mutex_unlock (&recorder->lock);
}

/* --- life ------------------------------------------------------------------------------------- */

static void destroy (struct recorder *recorder)
{
    if (recorder->fd >= 0)
        close (recorder->fd);
    if (recorder->dir_fd >= 0)
        close (recorder->dir_fd);
    msgpack_sbuffer_destroy (&recorder->filling);
    msgpack_sbuffer_destroy (&recorder->writing);
    free (recorder);
}

static int begin (struct recorder *recorder, struct mu_error *error)
{
    uint64_t half = recorder->max_bytes / 2;
    if (open_dir (recorder, error) ||
        open_file (recorder, half + recorder->max_bytes / SHARE, error) ||
        add_head (recorder, error))
        return -1;
    recorder->head = recorder->filling.size;
    int number = pthread_create (&recorder->thread, NULL, write_thread, recorder);
    if (number)
        return mu_fail_errno (error, MU_SYSTEM, number, "the recorder's thread cannot start");
    return 0;
}

struct recorder *recorder_start (const char *dir, uint64_t max_bytes,
                                 const struct coord_options *options, const struct coord *coord)
{
    struct mu_error error = { .code = MU_OK };
    struct recorder *recorder = calloc (1, sizeof *recorder);
    if (!recorder)
        return NULL;
    recorder->fd = recorder->dir_fd = -1;
    recorder->coord = coord;
    recorder->options = *options;
    recorder->max_bytes = max_bytes;
    mu_text_set (recorder->dir, sizeof recorder->dir, dir);
    msgpack_sbuffer_init (&recorder->filling);
    msgpack_sbuffer_init (&recorder->writing);
    pthread_mutex_init (&recorder->lock, NULL);
    pthread_cond_init (&recorder->changed, NULL);
    if (begin (recorder, &error)) {
        mu_log (MU_LOG_WARN, "not_recording", NULL,
                "%s; the coordinator goes on without a recording", error.text);
        destroy (recorder);
        return NULL;
    }
    mu_log (MU_LOG_INFO, "recording", NULL, "into files of %s; muster-replay reads them", dir);
    return recorder;
}

void recorder_stop (struct recorder **recorder_p, const char *reason)
{
    struct mu_error error;
    struct recorder *recorder = *recorder_p;
    if (!recorder)
        return;
    pthread_mutex_lock (&recorder->lock);
    if (!recorder->over && frames_end (&recorder->filling, mu_unix_ms (), recorder->events,
                                       coord_digest (recorder->coord), reason, &error))
        end_recording (recorder, &error);
    recorder->stopping = true;
    pthread_cond_signal (&recorder->changed);
    pthread_mutex_unlock (&recorder->lock);
    pthread_join (recorder->thread, NULL);
    pthread_mutex_destroy (&recorder->lock);
    pthread_cond_destroy (&recorder->changed);
    destroy (recorder);
    *recorder_p = NULL;
}
