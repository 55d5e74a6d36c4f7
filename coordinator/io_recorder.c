/* SPDX-License-Identifier: Apache-2.0 */
/* io_recorder.c - two buffers and a thread
 *
 * `filling` belongs to the loop under the lock; the writer takes it whole, leaves an empty one, and
 * writes without the lock. It waits WRITE_AFTER_MS once something is there, so that a busy loop wakes
 * it some hundred times a second and not for each event.
 *
 * A recording cannot lack an event in its middle: once one is lost, or the file has its share of
 * the folder, the recording is over until the next start. */
#include "io_recorder.h"

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
#define FILES_MAX      4096u
#define SUFFIX         ".rec"

struct recorder {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    msgpack_sbuffer filling, writing;
    int fd;
    char path[4200];
    uint64_t events, bytes, bytes_max;
    bool stopping, over; /* over: nothing more is taken */
    struct mu_error why;
};

static uint64_t unix_ms_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

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

/* The oldest go until the others take at most `keep` bytes. */
static void make_room (int dir_fd, uint64_t keep)
{
    struct listed *list = calloc (FILES_MAX, sizeof *list);
    uint32_t count = list ? list_files (dir_fd, list) : 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += list[i].bytes;
    for (uint32_t i = 0; i < count && (sum > keep || count - i >= FILES_MAX); i++) {
        if (!unlinkat (dir_fd, list[i].name, 0))
            mu_log (MU_LOG_INFO, "recording_removed", NULL, "%s made room for newer ones",
                    list[i].name);
        sum -= list[i].bytes;
    }
    free (list);
}

static int name_file (int dir_fd, char *name, size_t size)
{
    time_t seconds = time (NULL);
    struct tm tm;
    char stamp[32];
    gmtime_r (&seconds, &tm);
    strftime (stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
    for (int i = 1; i < 1000; i++) {
        snprintf (name, size, "%s-%03d" SUFFIX, stamp, i);
        int fd = openat (dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static int open_file (struct recorder *recorder, const char *dir, uint64_t max_bytes,
                      struct mu_error *error)
{
    char name[64];
    if (mkdir (dir, 0750) && errno != EEXIST)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "the folder %s cannot be made", dir);
    int dir_fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, errno, "the folder %s cannot be opened", dir);
    recorder->bytes_max = max_bytes / 2;
    make_room (dir_fd, max_bytes - recorder->bytes_max);
    recorder->fd = name_file (dir_fd, name, sizeof name);
    int number = errno;
    close (dir_fd);
    if (recorder->fd < 0)
        return mu_fail_errno (error, MU_CANT_CREATE, number, "no file can be made in %s", dir);
    snprintf (recorder->path, sizeof recorder->path, "%s/%s", dir, name);
    return 0;
}

/* --- the writer ------------------------------------------------------------------------------- */

static int write_all (struct recorder *recorder, struct mu_error *error)
{
    const char *at = recorder->writing.data;
    size_t left = recorder->writing.size;
    while (left) {
        ssize_t size = write (recorder->fd, at, left);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return mu_fail_errno (error, MU_IO, size ? errno : ENOSPC, "%s cannot be written",
                                  recorder->path);
        at += size;
        left -= (size_t)size;
    }
    return 0;
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
    recorder->why = *why;
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
    pthread_mutex_unlock (&recorder->lock);
    int rc = write_all (recorder, &error);
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

/* Under the lock, behind each frame: `before` is where it begins. */
static void taken (struct recorder *recorder, size_t before, int rc, struct mu_error *error)
{
    uint64_t size = recorder->filling.size - before;
    if (!rc && recorder->filling.size > WAITING_MAX)
        rc = mu_fail (error, MU_IO, "%s is written too slowly", recorder->path);
    if (!rc && recorder->bytes + size > recorder->bytes_max)
        rc = mu_fail (error, MU_IO, "%s has reached its %" PRIu64 " bytes, half of --record-max",
                      recorder->path, recorder->bytes_max);
    if (rc) {
        recorder->filling.size = before;
        end_recording (recorder, error);
        return;
    }
    recorder->bytes += size;
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
    msgpack_sbuffer_destroy (&recorder->filling);
    msgpack_sbuffer_destroy (&recorder->writing);
    free (recorder);
}

struct recorder *recorder_start (const char *dir, uint64_t max_bytes,
                                 const struct coord_options *options)
{
    struct mu_error error = { .code = MU_OK };
    struct recorder *recorder = calloc (1, sizeof *recorder);
    if (!recorder)
        return NULL;
    recorder->fd = -1;
    msgpack_sbuffer_init (&recorder->filling);
    msgpack_sbuffer_init (&recorder->writing);
    pthread_mutex_init (&recorder->lock, NULL);
    pthread_cond_init (&recorder->changed, NULL);
    int number = 0;
    if (open_file (recorder, dir, max_bytes, &error) || frames_head (&recorder->filling, &error) ||
        frames_open (&recorder->filling, options, unix_ms_now (), &error) ||
        (number = pthread_create (&recorder->thread, NULL, write_thread, recorder))) {
        if (number)
            mu_fail_errno (&error, MU_SYSTEM, number, "the recorder's thread cannot start");
        mu_log (MU_LOG_WARN, "not_recording", NULL,
                "%s; the coordinator goes on without a recording", error.text);
        destroy (recorder);
        return NULL;
    }
    mu_log (MU_LOG_INFO, "recording", NULL, "into %s; muster-replay reads it", recorder->path);
    return recorder;
}

void recorder_stop (struct recorder **recorder_p, const struct coord *coord, const char *reason)
{
    struct mu_error error;
    struct recorder *recorder = *recorder_p;
    if (!recorder)
        return;
    pthread_mutex_lock (&recorder->lock);
    if (!recorder->over)
        frames_end (&recorder->filling, unix_ms_now (), recorder->events, coord_digest (coord),
                    reason, &error);
    recorder->stopping = true;
    pthread_cond_signal (&recorder->changed);
    pthread_mutex_unlock (&recorder->lock);
    pthread_join (recorder->thread, NULL);
    pthread_mutex_destroy (&recorder->lock);
    pthread_cond_destroy (&recorder->changed);
    destroy (recorder);
    *recorder_p = NULL;
}
