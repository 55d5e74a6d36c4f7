/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_events.h - YAML as a row of events, for jobspec_read.c alone
 *
 * Whatever is wrong is told to the reader's problems here, with its place. After an event that
 * libyaml could not parse, problems->unreadable is set and no further event comes. */
#ifndef MU_JOBSPEC_EVENTS_H
#define MU_JOBSPEC_EVENTS_H

#include "jobspec_parts.h"

#include <yaml.h>

struct mu_jobspec_reader {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    const char *folder; /* that relative paths start from, or NULL */
    struct mu_jobspec *spec;
    struct mu_jobspec_problems *problems;

    /* jobspec_json.c's, where the text is plain JSON; `parser` is not used then */
    bool is_json;
    char *copy;               /* of the text: scalars lie in it, each with a NUL behind */
    size_t at, line, line_at; /* the next byte; its line, from 0, and where that begins */
};

/* Begin to read text and size; -1 when memory is gone. */
int mu_jobspec_open (struct mu_jobspec_reader *reader);
void mu_jobspec_close (struct mu_jobspec_reader *reader);

/* The next event, to be deleted by the caller; false when there is none to be had. */
bool mu_jobspec_next (struct mu_jobspec_reader *reader, yaml_event_t *event);
void mu_jobspec_delete (const struct mu_jobspec_reader *reader, yaml_event_t *event);

/* The first event of the document's node; false when there is none to be had. */
bool mu_jobspec_first (struct mu_jobspec_reader *reader, yaml_event_t *event);

/* Behind the document's node: a second document is a problem. */
void mu_jobspec_last (struct mu_jobspec_reader *reader);

/* Pass over the rest of the node that `event` begins. */
void mu_jobspec_skip (struct mu_jobspec_reader *reader, const yaml_event_t *event);

/* Is the node an alias, or has it an anchor or a tag? Then that is told and the node skipped. */
bool mu_jobspec_is_fancy (struct mu_jobspec_reader *reader, const yaml_event_t *event);

/* Walk a mapping up to its end: `each` gets every key that is a word, and its value's first event,
 * and reads or skips the rest of the value. */
typedef void mu_jobspec_pair (struct mu_jobspec_reader *reader, const yaml_event_t *key,
                              const yaml_event_t *value, const void *context);
void mu_jobspec_each_pair (struct mu_jobspec_reader *reader, mu_jobspec_pair *each,
                           const void *context);

/* --- jobspec_json.c --------------------------------------------------------------------------- */

/* May libyaml be spared with this text? */
bool mu_jobspec_is_json (const char *text, size_t size);

/* mu_jobspec_next () for such a text, with the events that libyaml would give; they own nothing. */
void mu_jobspec_json_next (struct mu_jobspec_reader *reader, yaml_event_t *event);

/* A zero byte inside? Plain JSON has none. */
bool mu_jobspec_has_nul (const struct mu_jobspec_reader *reader, const yaml_event_t *scalar);

/* --- about one event -------------------------------------------------------------------------- */

struct mu_jobspec_place mu_jobspec_place_of (yaml_mark_t mark);

const char *mu_jobspec_scalar (const yaml_event_t *scalar);  /* its text */
bool mu_jobspec_is_plain (const yaml_event_t *scalar);       /* not in quotes */
bool mu_jobspec_is_null (const yaml_event_t *scalar);        /* nothing, or ~, or null */
const char *mu_jobspec_node_name (const yaml_event_t *node); /* "a mapping" or "a list" */

#endif
