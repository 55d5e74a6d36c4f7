/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_json.c - libyaml's events of a job that is plain JSON, without libyaml
 *
 * Clients send jobs as JSON, of which every text is a YAML text that means the same. libyaml's
 * scanner took most of the time of reading one, and that was a third of all that a submit cost. This
 * is so for the JSON that nearly all jobs are: printable ASCII without escapes, a few levels deep.
 * All else is left to libyaml, and so is everything that is wrong. */
#include "jobspec_events.h"

#include <string.h>

#define DEPTH_MAX 8

/* --- is it plain? ----------------------------------------------------------------------------- */

enum { BLANK = 1, BETWEEN = 2, IN_TEXT = 4, IN_WORD = 8 };

/* What each byte may be; a coordinator looks at each of a job's twice. */
static const unsigned char kind[256] = {
    ['\n'] = BLANK | BETWEEN,
    [' '] = BLANK | BETWEEN | IN_TEXT,
    ['!'] = IN_TEXT,
    ['#' ... '*'] = IN_TEXT,
    ['+'] = IN_TEXT | IN_WORD,
    [','] = BETWEEN | IN_TEXT,
    ['-' ... '.'] = IN_TEXT | IN_WORD,
    ['/'] = IN_TEXT,
    ['0' ... '9'] = IN_TEXT | IN_WORD,
    [':'] = BETWEEN | IN_TEXT,
    [';' ... 'D'] = IN_TEXT,
    ['E'] = IN_TEXT | IN_WORD,
    ['F' ... '['] = IN_TEXT,
    [']' ... '`'] = IN_TEXT,
    ['a' ... 'z'] = IN_TEXT | IN_WORD,
    ['{' ... '~'] = IN_TEXT,
};

static bool is (char c, unsigned what) { return kind[(unsigned char)c] & what; }

static const char *pass_blanks (const char *at, const char *end)
{
    while (at < end && is (*at, BLANK))
        at++;
    return at;
}

/* Behind the closing quote; NULL: it is not plain. */
static const char *pass_text (const char *at, const char *end)
{
    at++;
    while (at < end && is (*at, IN_TEXT))
        at++;
    return at < end && *at == '"' ? at + 1 : NULL;
}

/* A number, true, false or null; what number it is, is for whoever takes it to say. */
static const char *pass_word (const char *at, const char *end)
{
    static const char *const words[] = { "true", "false", "null" };
    const char *start = at;
    while (at < end && is (*at, IN_WORD))
        at++;
    size_t size = (size_t)(at - start);
    const char *digit = size && *start == '-' ? start + 1 : start;
    if (digit < at && *digit >= '0' && *digit <= '9')
        return at;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (size == strlen (words[i]) && !memcmp (start, words[i], size))
            return at;
    return NULL;
}

static const char *pass_value (unsigned depth, const char *at, const char *end);

/* With its colon. */
static const char *pass_key (const char *at, const char *end)
{
    if (at == end || *at != '"' || !(at = pass_text (at, end)))
        return NULL;
    at = pass_blanks (at, end);
    return at < end && *at == ':' ? pass_blanks (at + 1, end) : NULL;
}

static const char *pass_items (unsigned depth, const char *at, const char *end)
{
    bool is_mapping = *at == '{';
    char close = is_mapping ? '}' : ']';
    at = pass_blanks (at + 1, end);
    bool empty = at < end && *at == close;
    while (!empty) {
        if ((is_mapping && !(at = pass_key (at, end))) || !(at = pass_value (depth, at, end)))
            return NULL;
        at = pass_blanks (at, end);
        if (at == end || *at != ',')
            break;
        at = pass_blanks (at + 1, end);
    }
    return at < end && *at == close ? at + 1 : NULL;
}

/* `depth` collections are open around it; recurses DEPTH_MAX times at most. */
static const char *pass_value (unsigned depth, const char *at, const char *end)
{
    if (at == end)
        return NULL;
    if (*at == '{' || *at == '[')
        return depth < DEPTH_MAX ? pass_items (depth + 1, at, end) : NULL;
    return *at == '"' ? pass_text (at, end) : pass_word (at, end);
}

bool mu_jobspec_is_json (const char *text, size_t size)
{
    const char *end = text + size;
    if (!size || *text != '{')
        return false;
    const char *at = pass_value (0, text, end);
    return at && pass_blanks (at, end) == end;
}

/* --- its events ------------------------------------------------------------------------------- */

/* To the next token: what lies between says nothing that its order does not. */
static void advance (struct mu_jobspec_reader *reader)
{
    for (; reader->at < reader->size; reader->at++) {
        char c = reader->text[reader->at];
        if (!is (c, BETWEEN))
            return;
        if (c == '\n') {
            reader->line++;
            reader->line_at = reader->at + 1;
        }
    }
}

static yaml_event_type_t begin_or_end (char c)
{
    switch (c) {
    case '{': return YAML_MAPPING_START_EVENT;
    case '}': return YAML_MAPPING_END_EVENT;
    case '[': return YAML_SEQUENCE_START_EVENT;
    default: return YAML_SEQUENCE_END_EVENT;
    }
}

/* Something ends it, a quote, comma, bracket or blank, which is a NUL in the copy. */
static void scalar (struct mu_jobspec_reader *reader, yaml_event_t *event)
{
    const char *start = reader->text + reader->at, *end = reader->text + reader->size;
    bool quoted = *start == '"';
    size_t size = (size_t)((quoted ? pass_text (start, end) : pass_word (start, end)) - start);
    char *value = reader->copy + reader->at + quoted;
    reader->at += size;
    size -= quoted ? 2 : 0;
    value[size] = '\0';
    event->type = YAML_SCALAR_EVENT;
    event->data.scalar.value = (yaml_char_t *)value;
    event->data.scalar.length = size;
    event->data.scalar.style = quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
}

void mu_jobspec_json_next (struct mu_jobspec_reader *reader, yaml_event_t *event)
{
    advance (reader);
    memset (&event->data, 0, sizeof event->data); /* where it ends nobody asks */
    event->start_mark = (yaml_mark_t){ reader->at, reader->line, reader->at - reader->line_at };
    char c = reader->at < reader->size ? reader->text[reader->at] : '\0';
    if (!c) {
        event->type = YAML_STREAM_END_EVENT;
    } else if (c == '{' || c == '}' || c == '[' || c == ']') {
        event->type = begin_or_end (c);
        reader->at++;
    } else {
        scalar (reader, event);
    }
}
