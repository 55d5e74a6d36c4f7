/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_events.c - libyaml's events, with all that a job file may not have refused
 *
 * libyaml's event parser is used, not its documents: an alias is then one event to be refused,
 * never something that grows. A node that is refused is skipped whole and reading goes on behind
 * it, so that one run finds all mistakes; only what libyaml itself cannot parse ends the reading.
 * Skipping counts levels instead of recursing. */
#include "jobspec_events.h"

#include <stdlib.h>
#include <string.h>

struct mu_jobspec_place mu_jobspec_place_of (yaml_mark_t mark)
{
    return (struct mu_jobspec_place){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

const char *mu_jobspec_scalar (const yaml_event_t *scalar)
{
    return (const char *)scalar->data.scalar.value;
}

bool mu_jobspec_is_plain (const yaml_event_t *scalar)
{
    return scalar->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool mu_jobspec_is_null (const yaml_event_t *scalar)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL" };
    const char *text = mu_jobspec_scalar (scalar);
    bool maybe =
        mu_jobspec_is_plain (scalar) && (!*text || *text == '~' || *text == 'n' || *text == 'N');
    for (size_t i = 0; maybe && i < sizeof words / sizeof *words; i++) {
        if (strcmp (text, words[i]) == 0)
            return true;
    }
    return false;
}

bool mu_jobspec_has_nul (const struct mu_jobspec_reader *reader, const yaml_event_t *scalar)
{
    return !reader->is_json && strlen (mu_jobspec_scalar (scalar)) != scalar->data.scalar.length;
}

const char *mu_jobspec_node_name (const yaml_event_t *node)
{
    return node->type == YAML_MAPPING_START_EVENT ? "a mapping" : "a list";
}

/* --- what libyaml cannot parse ---------------------------------------------------------------- */

static struct mu_jobspec_place place_of_offset (const struct mu_jobspec_reader *reader,
                                                size_t offset)
{
    struct mu_jobspec_place place = { 1, 1 };
    for (size_t i = 0; i < offset && i < reader->size; i++) {
        unsigned char byte = (unsigned char)reader->text[i];
        if (byte == '\n')
            place = (struct mu_jobspec_place){ place.line + 1, 1 };
        else if ((byte & 0xc0) != 0x80)
            place.column++;
    }
    return place;
}

/* Does the blank start of this line, counted from 0, have a tab in it? */
static bool is_indented_by_tab (const struct mu_jobspec_reader *reader, size_t line)
{
    const char *at = reader->text, *end = at + reader->size;
    for (; line > 0 && at; line--) {
        at = memchr (at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    for (; at && at < end && (*at == ' ' || *at == '\t'); at++) {
        if (*at == '\t')
            return true;
    }
    return false;
}

static void say_not_text (struct mu_jobspec_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct mu_jobspec_place place = place_of_offset (reader, parser->problem_offset);
    if (parser->problem_value != -1 && strstr (parser->problem, "control"))
        mu_jobspec_problem (reader->problems, place,
                            "there is a control character (U+%04X) here; a job file is plain text",
                            (unsigned)parser->problem_value);
    else
        mu_jobspec_problem (reader->problems, place,
                            "this is not UTF-8 text; save the job file in the encoding UTF-8");
}

static void say_malformed (struct mu_jobspec_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct mu_jobspec_place place = mu_jobspec_place_of (parser->problem_mark);
    reader->problems->unreadable = true;
    if (parser->error == YAML_READER_ERROR)
        say_not_text (reader);
    else if (parser->error == YAML_MEMORY_ERROR)
        mu_jobspec_problem (reader->problems, place, "there is no memory left to read on");
    else if (is_indented_by_tab (reader, parser->problem_mark.line))
        mu_jobspec_problem (reader->problems, place,
                            "this line is indented by a tab, which YAML forbids; use spaces");
    else
        mu_jobspec_problem (reader->problems, place, "this is not YAML: %s%s%s",
                            parser->context ? parser->context : "", parser->context ? ", " : "",
                            parser->problem ? parser->problem : "the parser gave up");
}

bool mu_jobspec_next (struct mu_jobspec_reader *reader, yaml_event_t *event)
{
    if (reader->problems->unreadable)
        return false;
    if (reader->is_json) {
        mu_jobspec_json_next (reader, event);
        return true;
    }
    if (yaml_parser_parse (&reader->parser, event))
        return event->type != YAML_NO_EVENT; /* which is all that comes behind the end */
    say_malformed (reader);
    return false;
}

void mu_jobspec_delete (const struct mu_jobspec_reader *reader, yaml_event_t *event)
{
    if (!reader->is_json)
        yaml_event_delete (event);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static bool begins_collection (const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
}

static bool ends_collection (const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
}

void mu_jobspec_skip (struct mu_jobspec_reader *reader, const yaml_event_t *event)
{
    size_t depth = begins_collection (event);
    while (depth > 0) {
        yaml_event_t inner;
        if (!mu_jobspec_next (reader, &inner))
            return;
        depth += begins_collection (&inner);
        depth -= ends_collection (&inner);
        mu_jobspec_delete (reader, &inner);
    }
}

bool mu_jobspec_is_fancy (struct mu_jobspec_reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (reader->is_json)
        return false;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (event->type != YAML_ALIAS_EVENT && !anchor && !tag)
        return false;
    char shown[MU_ENTRY_SHOWN_MAX];
    struct mu_jobspec_place place = mu_jobspec_place_of (event->start_mark);
    if (event->type == YAML_ALIAS_EVENT)
        mu_jobspec_problem (reader->problems, place,
                            "aliases (*%.40s) are not allowed in a job file; write the value out",
                            (const char *)event->data.alias.anchor);
    else if (anchor)
        mu_jobspec_problem (reader->problems, place,
                            "anchors (&%.40s) are not allowed in a job file; leave it out",
                            (const char *)anchor);
    else
        mu_jobspec_problem (reader->problems, place,
                            "tags (%s) are not allowed in a job file; leave it out",
                            mu_entry_show ((const char *)tag, shown));
    mu_jobspec_skip (reader, event);
    return true;
}

/* --- mappings --------------------------------------------------------------------------------- */

/* Read a key: a scalar without ornaments. False when it was refused (and skipped). */
static bool is_usable_key (struct mu_jobspec_reader *reader, const yaml_event_t *event)
{
    struct mu_jobspec_place place = mu_jobspec_place_of (event->start_mark);
    if (mu_jobspec_is_fancy (reader, event))
        return false;
    if (event->type != YAML_SCALAR_EVENT || mu_jobspec_is_null (event) ||
        mu_jobspec_has_nul (reader, event)) {
        mu_jobspec_problem (reader->problems, place, "a key must be a word");
        mu_jobspec_skip (reader, event);
        return false;
    }
    if (mu_jobspec_is_plain (event) && strcmp (mu_jobspec_scalar (event), "<<") == 0) {
        mu_jobspec_problem (reader->problems, place,
                            "merge keys (<<) are not allowed in a job file; write the keys out");
        return false;
    }
    return true;
}

void mu_jobspec_each_pair (struct mu_jobspec_reader *reader, mu_jobspec_pair *each,
                           const void *context)
{
    for (;;) {
        yaml_event_t key, value;
        if (!mu_jobspec_next (reader, &key))
            return;
        bool end = key.type == YAML_MAPPING_END_EVENT;
        bool usable = !end && is_usable_key (reader, &key);
        if (!end && mu_jobspec_next (reader, &value)) {
            if (usable)
                each (reader, &key, &value, context);
            else
                mu_jobspec_skip (reader, &value);
            mu_jobspec_delete (reader, &value);
        }
        mu_jobspec_delete (reader, &key);
        if (end || reader->problems->unreadable)
            return;
    }
}

/* --- documents -------------------------------------------------------------------------------- */

static int no_memory (struct mu_jobspec_reader *reader)
{
    mu_jobspec_problem (reader->problems, (struct mu_jobspec_place){ 0 },
                        "there is no memory left to read it");
    reader->problems->unreadable = true;
    return -1;
}

int mu_jobspec_open (struct mu_jobspec_reader *reader)
{
    reader->is_json = mu_jobspec_is_json (reader->text, reader->size);
    if (reader->is_json) {
        reader->copy = malloc (reader->size);
        if (!reader->copy)
            return no_memory (reader);
        memcpy (reader->copy, reader->text, reader->size);
        return 0;
    }
    if (!yaml_parser_initialize (&reader->parser))
        return no_memory (reader);
    yaml_parser_set_encoding (&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string (&reader->parser, (const unsigned char *)reader->text,
                                  reader->size);
    return 0;
}

void mu_jobspec_close (struct mu_jobspec_reader *reader)
{
    free (reader->copy);
    if (!reader->is_json)
        yaml_parser_delete (&reader->parser);
}

bool mu_jobspec_first (struct mu_jobspec_reader *reader, yaml_event_t *event)
{
    for (;;) {
        if (!mu_jobspec_next (reader, event))
            return false;
        if (event->type != YAML_STREAM_START_EVENT && event->type != YAML_DOCUMENT_START_EVENT)
            return true;
        mu_jobspec_delete (reader, event);
    }
}

void mu_jobspec_last (struct mu_jobspec_reader *reader)
{
    yaml_event_t event;
    while (mu_jobspec_next (reader, &event)) {
        bool second = event.type == YAML_DOCUMENT_START_EVENT;
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (second)
            mu_jobspec_problem (reader->problems, mu_jobspec_place_of (event.start_mark),
                                "a second document begins here; a job file has one");
        mu_jobspec_delete (reader, &event);
        if (second || end)
            return;
    }
}
