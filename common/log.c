/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - formats a line into a stack buffer and writes it whole */
#include "log.h"

#include "clock.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    const char *program;
    char path[1024];
    int fd;
    enum mu_log_level level;
    void (*also) (void *, enum mu_log_level, const struct mu_log_about *, const char *, size_t);
    void *also_arg;
    unsigned holds;
    size_t held_size;
    char held[MU_LOG_LINE_MAX]; /* whole lines; no more than a pipe takes as one */
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .program = "muster", .fd = -1, .level = MU_LOG_INFO };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

int mu_log_level_parse (const char *text)
{
    for (int i = 0; i < (int)(sizeof level_names / sizeof *level_names); i++)
        if (!strcmp (text, level_names[i]))
            return i;
    return -1;
}

static int open_path (const char *path, struct mu_error *error)
{
    if (!*path)
        return STDERR_FILENO;
    int fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        mu_fail_errno (error, MU_CANT_CREATE, errno, "the log file %s cannot be opened", path);
    return fd;
}

static void close_fd (int fd)
{
    if (fd > STDERR_FILENO)
        close (fd);
}

static void write_all (int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t wrote = write (fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* a full disk must not stop training; the line is lost */
        data += wrote;
        size -= (size_t)wrote;
    }
}

/* The lock is held. */
static void write_held (void)
{
    if (sink.fd >= 0)
        write_all (sink.fd, sink.held, sink.held_size);
    sink.held_size = 0;
}

static void write_line (const char *line, size_t size)
{
    if (sink.held_size + size > sizeof sink.held)
        write_held ();
    memcpy (sink.held + sink.held_size, line, size);
    sink.held_size += size;
    if (!sink.holds)
        write_held ();
}

void mu_log_hold (void)
{
    pthread_mutex_lock (&sink.lock);
    sink.holds++;
    pthread_mutex_unlock (&sink.lock);
}

void mu_log_release (void)
{
    pthread_mutex_lock (&sink.lock);
    if (!--sink.holds)
        write_held ();
    pthread_mutex_unlock (&sink.lock);
}

int mu_log_open (const char *program, const char *path, enum mu_log_level level,
                 struct mu_error *error)
{
    if (!path)
        path = "";
    if (strlen (path) >= sizeof sink.path)
        return mu_fail (error, MU_USAGE, "the log file's path is longer than %zu bytes",
                        sizeof sink.path - 1);
    int fd = open_path (path, error);
    if (fd < 0)
        return -1;
    pthread_mutex_lock (&sink.lock);
    write_held ();
    close_fd (sink.fd);
    sink.program = program;
    sink.fd = fd;
    sink.level = level;
    memcpy (sink.path, path, strlen (path) + 1);
    pthread_mutex_unlock (&sink.lock);
    return 0;
}

int mu_log_reopen (struct mu_error *error)
{
    int fd = open_path (sink.path, error);
    if (fd < 0)
        return -1;
    pthread_mutex_lock (&sink.lock);
    write_held ();
    close_fd (sink.fd);
    sink.fd = fd;
    pthread_mutex_unlock (&sink.lock);
    return 0;
}

void mu_log_close (void)
{
    pthread_mutex_lock (&sink.lock);
    write_held ();
    close_fd (sink.fd);
    sink.fd = -1;
    pthread_mutex_unlock (&sink.lock);
}

void mu_log_also (void (*also) (void *, enum mu_log_level, const struct mu_log_about *,
                                const char *, size_t),
                  void *arg)
{
    pthread_mutex_lock (&sink.lock);
    sink.also = also;
    sink.also_arg = arg;
    pthread_mutex_unlock (&sink.lock);
}

/* --- one line --------------------------------------------------------------------------------- */

struct line {
    char *at, *end; /* end leaves room for the closing brace and the newline */
};

static void put (struct line *line, const char *text, size_t size)
{
    size_t room = (size_t)(line->end - line->at);
    if (size > room)
        size = room;
    memcpy (line->at, text, size);
    line->at += size;
}

static void put_text (struct line *line, const char *text) { put (line, text, strlen (text)); }

/* Bytes of the UTF-8 character at `text`, 0 if it is none; NUL-terminated, so it never reads on. */
static size_t character_size (const char *text)
{
    unsigned char lead = (unsigned char)*text;
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return mu_text_valid (text, strnlen (text, size)) && strnlen (text, size) == size ? size : 0;
}

/* How many bytes of `text` stand in a JSON string as they are: nearly all of nearly all lines. */
static size_t plain_size (const char *text)
{
    size_t size = 0;
    while (text[size] >= 0x20 && text[size] < 0x7f && text[size] != '"' && text[size] != '\\')
        size++;
    return size;
}

/* A JSON string: what is no UTF-8 becomes the replacement character, and nothing is cut in its middle. */
static void put_escaped (struct line *line, const char *text)
{
    put (line, "\"", 1);
    while (*text && line->end - line->at > 8) {
        size_t plain = plain_size (text), room = (size_t)(line->end - line->at) - 8;
        if (plain) {
            plain = plain < room ? plain : room;
            put (line, text, plain);
            text += plain;
            continue;
        }
        unsigned char c = (unsigned char)*text;
        size_t size = character_size (text);
        char escape[8];
        if (c == '"' || c == '\\')
            put (line, (char[]) { '\\', (char)c }, 2);
        else if (c == '\n')
            put (line, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            put (line, escape, (size_t)snprintf (escape, sizeof escape, "\\u%04x", c));
        else if (size)
            put (line, text, size);
        else
            put (line, "\\ufffd", 6);
        text += size ? size : 1;
    }
    put (line, "\"", 1);
}

static void put_number (struct line *line, const char *name, uint64_t value)
{
    char text[64];
    put (line, text,
         (size_t)snprintf (text, sizeof text, ",\"%s\":%llu", name, (unsigned long long)value));
}

/* To the second: that is worked out once for all lines of it. */
struct second {
    time_t seconds;
    char text[48];
    size_t size;
};

static void put_time (struct line *line, uint64_t unix_ms)
{
    static _Thread_local struct second second;
    unsigned ms = (unsigned)(unix_ms % 1000);
    if (!second.size || second.seconds != (time_t)(unix_ms / 1000)) {
        struct tm tm;
        second.seconds = (time_t)(unix_ms / 1000);
        gmtime_r (&second.seconds, &tm);
        second.size =
            strftime (second.text, sizeof second.text, "{\"time\":\"%Y-%m-%dT%H:%M:%S.", &tm);
    }
    put (line, second.text, second.size);
    put (line,
         (char[]){ (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z',
                   '"' },
         5);
}

size_t mu_log_format (char *buffer, size_t size, uint64_t unix_ms, const char *program,
                      enum mu_log_level level, const char *event, const struct mu_log_about *about,
                      const char *text)
{
    struct line line = { buffer, buffer + size - 3 };
    put_time (&line, unix_ms);
    put_text (&line, ",\"level\":\"");
    put_text (&line, level_names[level]);
    put_text (&line, "\",\"program\":");
    put_escaped (&line, program);
    put_text (&line, ",\"event\":");
    put_escaped (&line, event);
    if (about && about->job)
        put_number (&line, "job", about->job);
    if (about && about->generation)
        put_number (&line, "generation", about->generation);
    if (about && about->rank >= 0)
        put_number (&line, "rank", (uint64_t)about->rank);
    if (about && about->worker && *about->worker) {
        put_text (&line, ",\"worker\":");
        put_escaped (&line, about->worker);
    }
    put_text (&line, ",\"text\":");
    put_escaped (&line, text);
    *line.at++ = '}';
    *line.at = '\0';
    return (size_t)(line.at - buffer);
}

void mu_log_text (enum mu_log_level level, const char *event, const struct mu_log_about *about,
                  const char *text)
{
    if (level < sink.level)
        return;
    int saved_errno = errno;
    char line[MU_LOG_LINE_MAX + 1];
    uint64_t unix_ms = mu_unix_ms ();
    size_t size =
        mu_log_format (line, MU_LOG_LINE_MAX, unix_ms, sink.program, level, event, about, text);
    pthread_mutex_lock (&sink.lock);
    line[size] = '\n';
    write_line (line, size + 1);
    if (sink.also)
        sink.also (sink.also_arg, level, about, line, size);
    pthread_mutex_unlock (&sink.lock);
    errno = saved_errno;
}

void mu_log (enum mu_log_level level, const char *event, const struct mu_log_about *about,
             const char *format, ...)
{
    if (level < sink.level)
        return;
    int saved_errno = errno;
    char text[MU_LOG_LINE_MAX / 2];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    mu_log_text (level, event, about, text);
    errno = saved_errno;
}
