/* SPDX-License-Identifier: Apache-2.0 */
/* replay_range.c - a point in a recording: an event's number, seconds since the first, or a time */
#include "replay.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_MS 86400000u

static int refuse (const char *text, struct mu_error *error)
{
    return mu_fail (error, MU_USAGE,
                    "%s is no point in a recording: say an event's number, +SECONDS, HH:MM:SS or "
                    "YYYY-MM-DDTHH:MM:SS",
                    text);
}

static bool read_number (const char *text, struct range *range)
{
    size_t digits = strspn (text, "0123456789");
    if (!digits || digits > 18 || text[digits])
        return false;
    *range = (struct range){ RANGE_NUMBER, strtoull (text, NULL, 10) };
    return true;
}

static bool read_seconds (const char *text, struct range *range)
{
    char *end;
    if (text[0] != '+' || !strchr ("0123456789", text[1]) || !text[1])
        return false;
    double seconds = strtod (text + 1, &end);
    if (*end || !(seconds >= 0 && seconds < 1e12))
        return false;
    *range = (struct range){ RANGE_AFTER, (uint64_t)(seconds * 1000 + 0.5) };
    return true;
}

/* What is behind the seconds: nothing, or a fraction of at most milliseconds. */
static bool read_fraction (const char *rest, uint64_t *ms)
{
    size_t digits = *rest == '.' ? strspn (rest + 1, "0123456789") : 0;
    uint64_t unit = 100;
    *ms = 0;
    for (size_t i = 1; i <= digits && i <= 3; i++, unit /= 10)
        *ms += (uint64_t)(rest[i] - '0') * unit;
    return !*rest || (digits >= 1 && digits <= 3 && !rest[1 + digits]);
}

static bool read_time (const char *text, struct range *range)
{
    struct tm tm = { .tm_isdst = -1 };
    uint64_t ms;
    const char *rest = strptime (text, "%H:%M:%S", &tm);
    if (rest && read_fraction (rest, &ms)) {
        uint64_t seconds = (uint64_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        *range = (struct range){ RANGE_OF_DAY, seconds * 1000 + ms };
        return true;
    }
    rest = strptime (text, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t seconds = rest ? mktime (&tm) : -1;
    if (seconds < 0 || !read_fraction (rest, &ms))
        return false;
    *range = (struct range){ RANGE_TIME, (uint64_t)seconds * 1000 + ms };
    return true;
}

int range_read (const char *text, struct range *range, struct mu_error *error)
{
    *range = (struct range){ RANGE_NONE, 0 };
    if (!text || read_number (text, range) || read_seconds (text, range) || read_time (text, range))
        return 0;
    return refuse (text, error);
}

bool range_is_empty (const struct range *from, const struct range *until)
{
    return from->kind == until->kind && from->kind != RANGE_NONE && from->kind != RANGE_OF_DAY &&
           until->value < from->value;
}

/* The first time of that clock at or after the first event, where people's clocks are ours. */
static uint64_t of_day (uint64_t first_ms, uint64_t clock_ms)
{
    time_t first = (time_t)(first_ms / 1000);
    struct tm tm;
    localtime_r (&first, &tm);
    uint64_t begin_ms = (uint64_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec) * 1000;
    uint64_t midnight_ms = first_ms - first_ms % 1000 - begin_ms;
    uint64_t time_ms = midnight_ms + clock_ms;
    return time_ms < first_ms ? time_ms + DAY_MS : time_ms;
}

static uint64_t point_ms (const struct range *range, uint64_t first_ms)
{
    if (range->kind == RANGE_AFTER)
        return first_ms + range->value;
    return range->kind == RANGE_OF_DAY ? of_day (first_ms, range->value) : range->value;
}

bool range_is_behind (const struct range *range, uint64_t first_ms, uint64_t number,
                      uint64_t unix_ms)
{
    if (range->kind == RANGE_NUMBER || range->kind == RANGE_NONE)
        return range->kind == RANGE_NUMBER && number > range->value;
    return unix_ms > point_ms (range, first_ms);
}

bool range_is_before (const struct range *range, uint64_t first_ms, uint64_t number,
                      uint64_t unix_ms)
{
    if (range->kind == RANGE_NUMBER || range->kind == RANGE_NONE)
        return range->kind == RANGE_NUMBER && number < range->value;
    return unix_ms < point_ms (range, first_ms);
}
