/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_read.c - walks libyaml's events into the struct, along the table
 *
 * libyaml's event parser is used, not its documents: an alias is then one event to be refused,
 * never something that grows. A node that is refused is skipped whole and reading goes on behind
 * it, so that one run finds all mistakes; only what libyaml itself cannot parse ends the reading.
 * The walk goes no deeper than the schema does; skipping counts levels instead of recursing. */
#include "jobspec_parts.h"
#include "nearest.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define PATH_SIZE 160u /* of "section.key" or "model.key", shown */

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    const char *folder;
    struct mu_jobspec *spec;
    struct mu_jobspec_problems *problems;
};

static struct mu_jobspec_place place_of (yaml_mark_t mark)
{
    return (struct mu_jobspec_place){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

/* --- what libyaml cannot parse
 * --------------------------------------------------------------------- */

static struct mu_jobspec_place place_of_offset (const struct reader *reader, size_t offset)
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
static bool is_indented_by_tab (const struct reader *reader, size_t line)
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

static void say_not_text (struct reader *reader)
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

static void say_malformed (struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct mu_jobspec_place place = place_of (parser->problem_mark);
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

/* The next event, to be deleted by the caller; false when there is none to be had. */
static bool next (struct reader *reader, yaml_event_t *event)
{
    if (reader->problems->unreadable)
        return false;
    if (yaml_parser_parse (&reader->parser, event))
        return true;
    say_malformed (reader);
    return false;
}

/* --- nodes ---------------------------------------------------------------------------------------
 */

static bool begins_collection (const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
}

static bool ends_collection (const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
}

/* Pass over the rest of the node that `event` begins. */
static void skip (struct reader *reader, const yaml_event_t *event)
{
    size_t depth = begins_collection (event);
    while (depth > 0) {
        yaml_event_t inner;
        if (!next (reader, &inner))
            return;
        depth += begins_collection (&inner);
        depth -= ends_collection (&inner);
        yaml_event_delete (&inner);
    }
}

/* Has this node an alias, an anchor or a tag? Then say so, and skip it. */
static bool is_fancy (struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
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
    char shown[MU_ENTRY_SHOWN_MAX];
    struct mu_jobspec_place place = place_of (event->start_mark);
    if (event->type == YAML_ALIAS_EVENT)
        mu_jobspec_problem (reader->problems, place,
                            "aliases (*%.40s) are not allowed in a job file; write the value out",
                            (const char *)event->data.alias.anchor);
    else if (anchor)
        mu_jobspec_problem (reader->problems, place,
                            "anchors (&%.40s) are not allowed in a job file; leave it out",
                            (const char *)anchor);
    else if (tag)
        mu_jobspec_problem (reader->problems, place,
                            "tags (%s) are not allowed in a job file; leave it out",
                            mu_entry_show ((const char *)tag, shown));
    else
        return false;
    skip (reader, event);
    return true;
}

static const char *scalar_text (const yaml_event_t *event)
{
    return (const char *)event->data.scalar.value;
}

static bool is_plain (const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_null (const yaml_event_t *event)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_plain (event) && strcmp (scalar_text (event), words[i]) == 0)
            return true;
    }
    return false;
}

static bool has_nul (const yaml_event_t *event)
{
    return strlen (scalar_text (event)) != event->data.scalar.length;
}

static const char *node_name (const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_START_EVENT ? "a mapping" : "a list";
}

/* --- the value of a key
 * ---------------------------------------------------------------------------- */

/* One value on its way to its key. */
struct target {
    const struct mu_entry *entry;
    char name[PATH_SIZE]; /* as sentences call it: "batch.micro", "model.layers" */
};

static void say_wrong_type (struct reader *reader, const yaml_event_t *event,
                            const struct target *target, const char *found)
{
    char expected[MU_ENTRY_EXPECTED_MAX];
    mu_entry_expected (target->entry, expected);
    mu_jobspec_problem (reader->problems, place_of (event->start_mark),
                        "%s is %s; it takes %s, as in %s", target->name, found, expected,
                        target->entry->example);
}

static bool takes_only_plain (const struct mu_entry *entry)
{
    return entry->type == MU_ENTRY_U64 || entry->type == MU_ENTRY_I64 ||
           entry->type == MU_ENTRY_F64 || entry->type == MU_ENTRY_BOOL;
}

/* Is this a scalar that may become text at all? Else say why not, and skip it. */
static bool is_usable_scalar (struct reader *reader, const yaml_event_t *event,
                              const struct target *target)
{
    char shown[MU_ENTRY_SHOWN_MAX], found[MU_ENTRY_SHOWN_MAX + 32];
    if (is_fancy (reader, event))
        return false;
    if (event->type != YAML_SCALAR_EVENT) {
        say_wrong_type (reader, event, target, node_name (event));
        skip (reader, event);
        return false;
    }
    if (is_null (event)) {
        say_wrong_type (reader, event, target, "empty");
    } else if (has_nul (event)) {
        say_wrong_type (reader, event, target, "a text with a zero byte in it");
    } else if (takes_only_plain (target->entry) && !is_plain (event)) {
        snprintf (found, sizeof found, "the text %s, in quotes",
                  mu_entry_show (scalar_text (event), shown));
        say_wrong_type (reader, event, target, found);
    } else {
        return true;
    }
    return false;
}

static void say_entry_error (struct reader *reader, const yaml_event_t *event,
                             const struct target *target, const struct mu_error *error)
{
    mu_jobspec_problem (reader->problems, place_of (event->start_mark), "%s %s", target->name,
                        error->text);
}

static bool read_scalar (struct reader *reader, const yaml_event_t *event,
                         const struct target *target)
{
    struct mu_error error;
    if (!is_usable_scalar (reader, event, target))
        return false;
    if (mu_entry_set (target->entry, reader->spec, scalar_text (event), &error) == 0)
        return true;
    say_entry_error (reader, event, target, &error);
    return false;
}

static bool read_list (struct reader *reader, const yaml_event_t *start,
                       const struct target *target)
{
    bool good = true;
    size_t count = 0;
    for (;; count++) {
        yaml_event_t event;
        if (!next (reader, &event))
            return false;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            good &= read_scalar (reader, &event, target);
        yaml_event_delete (&event);
        if (end)
            break;
    }
    if (count == 0)
        say_wrong_type (reader, start, target, "an empty list");
    return good && count > 0;
}

/* --- the trainer's own settings
 * -------------------------------------------------------------------- */

static bool set_setting (struct reader *reader, const yaml_event_t *event,
                         const struct target *target, const char *key, const char *value)
{
    struct mu_error error;
    if (mu_entry_set_pair (target->entry, reader->spec, key, value, &error) == 0)
        return true;
    say_entry_error (reader, event, target, &error);
    return false;
}

/* A list of scalars becomes one text with commas: [256, 128] is "256,128". */
static bool read_setting_list (struct reader *reader, const yaml_event_t *start,
                               const struct target *target, const struct target *item,
                               const char *key)
{
    char joined[MU_ENTRY_SETTING_VALUE_MAX + 2] = "";
    size_t used = 0;
    bool good = true;
    for (;;) {
        yaml_event_t event;
        if (!next (reader, &event))
            return false;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end && is_usable_scalar (reader, &event, item)) {
            int size = snprintf (joined + used, sizeof joined - used, "%s%s", used ? "," : "",
                                 scalar_text (&event));
            used = size < 0 || (size_t)size >= sizeof joined - used ? sizeof joined - 1
                                                                    : used + (size_t)size;
        } else {
            good &= end;
        }
        yaml_event_delete (&event);
        if (end)
            return good && set_setting (reader, start, target, key, joined);
    }
}

static bool read_setting (struct reader *reader, const yaml_event_t *event, const char *key,
                          const struct mu_entry *entry)
{
    const struct mu_entry scalar = { .type = MU_ENTRY_TEXT, .example = "4" };
    struct target target = { .entry = entry }, item = { .entry = &scalar };
    char shown[MU_ENTRY_SHOWN_MAX];
    mu_entry_show (key, shown);
    shown[strlen (shown) - 1] = '\0';
    snprintf (target.name, sizeof target.name, "%s.%s", entry->path, shown + 1);
    memcpy (item.name, target.name, sizeof item.name);
    if (event->type == YAML_SEQUENCE_START_EVENT && !event->data.sequence_start.anchor &&
        !event->data.sequence_start.tag)
        return read_setting_list (reader, event, &target, &item, key);
    return is_usable_scalar (reader, event, &item) &&
           set_setting (reader, event, &target, key, scalar_text (event));
}

static bool has_setting (const struct reader *reader, const struct mu_entry *entry, const char *key)
{
    const char *at = (const char *)reader->spec + entry->offset;
    const struct mu_setting_list *list = (const void *)at;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp (list->item[i].key, key) == 0)
            return true;
    }
    return false;
}

/* Read a key: a scalar without ornaments. False when it was refused (and skipped). */
static bool is_usable_key (struct reader *reader, const yaml_event_t *event)
{
    struct mu_jobspec_place place = place_of (event->start_mark);
    if (is_fancy (reader, event))
        return false;
    if (event->type != YAML_SCALAR_EVENT || is_null (event) || has_nul (event)) {
        mu_jobspec_problem (reader->problems, place, "a key must be a word");
        skip (reader, event);
        return false;
    }
    if (is_plain (event) && strcmp (scalar_text (event), "<<") == 0) {
        mu_jobspec_problem (reader->problems, place,
                            "merge keys (<<) are not allowed in a job file; write the keys out");
        return false;
    }
    return true;
}

/* Walk a mapping: `each` gets every key that is a word, and its value's first event. */
typedef void each_pair (struct reader *reader, const yaml_event_t *key, const yaml_event_t *value,
                        const void *context);

static void read_mapping (struct reader *reader, each_pair *each, const void *context)
{
    for (;;) {
        yaml_event_t key, value;
        if (!next (reader, &key))
            return;
        bool end = key.type == YAML_MAPPING_END_EVENT;
        bool usable = !end && is_usable_key (reader, &key);
        if (!end && next (reader, &value)) {
            if (usable)
                each (reader, &key, &value, context);
            else
                skip (reader, &value);
            yaml_event_delete (&value);
        }
        yaml_event_delete (&key);
        if (end || reader->problems->unreadable)
            return;
    }
}

static void setting_pair (struct reader *reader, const yaml_event_t *key, const yaml_event_t *value,
                          const void *context)
{
    const struct mu_entry *entry = context;
    char shown[MU_ENTRY_SHOWN_MAX];
    if (has_setting (reader, entry, scalar_text (key))) {
        mu_jobspec_problem (reader->problems, place_of (key->start_mark),
                            "%s has the key %s twice; keep one", entry->path,
                            mu_entry_show (scalar_text (key), shown));
        skip (reader, value);
        return;
    }
    if (!read_setting (reader, value, scalar_text (key), entry))
        reader->problems->wrong[entry - mu_jobspec_keys] = true;
}

/* --- keys and sections ---------------------------------------------------------------------------
 */

static bool read_value (struct reader *reader, const yaml_event_t *event,
                        const struct mu_entry *entry)
{
    struct target target = { .entry = entry };
    snprintf (target.name, sizeof target.name, "%s", entry->path);
    bool list = entry->type == MU_ENTRY_TEXTS || entry->type == MU_ENTRY_PATHS;
    mu_entry_clear (entry, reader->spec);
    if (is_fancy (reader, event))
        return false;
    if (list && event->type == YAML_SEQUENCE_START_EVENT)
        return read_list (reader, event, &target);
    if (entry->type != MU_ENTRY_SETTINGS)
        return read_scalar (reader, event, &target);
    if (event->type == YAML_MAPPING_START_EVENT) {
        read_mapping (reader, setting_pair, entry);
        return true;
    }
    say_wrong_type (reader, event, &target,
                    event->type == YAML_SCALAR_EVENT ? "a single value" : node_name (event));
    skip (reader, event);
    return false;
}

/* A value that was refused leaves the default behind, so that checks of the whole have one. */
static void read_key (struct reader *reader, const yaml_event_t *event, unsigned key)
{
    const struct mu_entry *entry = &mu_jobspec_keys[key];
    struct mu_error error;
    bool good = read_value (reader, event, entry);
    if (good && reader->folder && mu_entry_resolve (entry, reader->spec, reader->folder, &error)) {
        mu_jobspec_problem (reader->problems, place_of (event->start_mark), "%s %s", entry->path,
                            error.text);
        good = false;
    }
    if (!good) {
        reader->problems->wrong[key] = true;
        mu_entry_set_standard (entry, reader->spec, &error);
    }
}

/* Has this place been taken before? Then say so; else take it. */
static bool is_twice (struct reader *reader, struct mu_jobspec_place *place,
                      const yaml_event_t *event, const char *section, const char *name)
{
    if (place->line == 0) {
        *place = place_of (event->start_mark);
        return false;
    }
    mu_jobspec_problem (reader->problems, place_of (event->start_mark),
                        "%s%s%s is here a second time (first in line %u); keep one", section,
                        *section ? "." : "", name, place->line);
    return true;
}

static void section_pair (struct reader *reader, const yaml_event_t *key, const yaml_event_t *value,
                          const void *context)
{
    const char *section = context, *name = scalar_text (key);
    unsigned index = mu_jobspec_find_key (section, name);
    if (index == MU_JOBSPEC_NO_KEY)
        mu_jobspec_unknown_key (reader->problems, place_of (key->start_mark), section, name);
    else if (!is_twice (reader, &reader->problems->place[index], key, section, name)) {
        read_key (reader, value, index);
        return;
    }
    skip (reader, value);
}

static void say_no_section (struct reader *reader, const yaml_event_t *value, const char *section)
{
    char keys[256] = "", shown[MU_ENTRY_SHOWN_MAX];
    size_t used = 0, prefix = strlen (section) + 1;
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT && used < sizeof keys; i++) {
        const char *path = mu_jobspec_keys[i].path;
        if (strncmp (path, section, prefix - 1) == 0 && path[prefix - 1] == '.')
            used += (size_t)snprintf (keys + used, sizeof keys - used, "%s%s", used ? ", " : "",
                                      path + prefix);
    }
    bool scalar = value->type == YAML_SCALAR_EVENT;
    bool empty = scalar && is_null (value);
    mu_jobspec_problem (reader->problems, place_of (value->start_mark),
                        "%s is %s; it takes a mapping with the keys %s", section,
                        empty    ? "empty"
                        : scalar ? mu_entry_show (scalar_text (value), shown)
                                 : node_name (value),
                        keys);
}

static void read_section (struct reader *reader, const yaml_event_t *value, const char *section)
{
    if (is_fancy (reader, value))
        return;
    if (value->type == YAML_MAPPING_START_EVENT) {
        read_mapping (reader, section_pair, section);
        return;
    }
    say_no_section (reader, value, section);
    skip (reader, value);
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        size_t size = strlen (section);
        const char *path = mu_jobspec_keys[i].path;
        reader->problems->wrong[i] |= strncmp (path, section, size) == 0 && path[size] == '.';
    }
}

static void file_pair (struct reader *reader, const yaml_event_t *key, const yaml_event_t *value,
                       const void *context)
{
    const char *name = scalar_text (key);
    for (size_t i = 0; mu_jobspec_sections[i]; i++) {
        if (strcmp (mu_jobspec_sections[i], name) != 0)
            continue;
        if (is_twice (reader, &reader->problems->section[i], key, "", name))
            skip (reader, value);
        else
            read_section (reader, value, mu_jobspec_sections[i]);
        return;
    }
    section_pair (reader, key, value, context);
}

/* --- documents
 * ------------------------------------------------------------------------------------- */

/* Read up to the first event of the document's node. */
static bool begin (struct reader *reader, yaml_event_t *event)
{
    for (;;) {
        if (!next (reader, event))
            return false;
        if (event->type != YAML_STREAM_START_EVENT && event->type != YAML_DOCUMENT_START_EVENT)
            return true;
        yaml_event_delete (event);
    }
}

static void read_file (struct reader *reader, const yaml_event_t *event)
{
    struct mu_jobspec_place place = place_of (event->start_mark);
    if (event->type == YAML_STREAM_END_EVENT ||
        (event->type == YAML_SCALAR_EVENT && is_null (event))) {
        reader->problems->unreadable = true;
        mu_jobspec_problem (reader->problems, place,
                            "the job file is empty; muster-job(5) has one to begin with");
    } else if (is_fancy (reader, event)) {
        reader->problems->unreadable = true;
    } else if (event->type != YAML_MAPPING_START_EVENT) {
        reader->problems->unreadable = true;
        mu_jobspec_problem (reader->problems, place,
                            "a job file is a mapping of keys to values, as in name: my-job; this "
                            "one begins with %s",
                            event->type == YAML_SCALAR_EVENT ? "a text" : "a list");
    } else {
        read_mapping (reader, file_pair, "");
    }
}

/* Nothing may follow the first document. */
static void finish (struct reader *reader)
{
    yaml_event_t event;
    while (next (reader, &event)) {
        bool second = event.type == YAML_DOCUMENT_START_EVENT;
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (second)
            mu_jobspec_problem (reader->problems, place_of (event.start_mark),
                                "a second document begins here; a job file has one");
        yaml_event_delete (&event);
        if (second || end)
            return;
    }
}

static bool open_reader (struct reader *reader)
{
    if (!yaml_parser_initialize (&reader->parser)) {
        mu_jobspec_problem (reader->problems, (struct mu_jobspec_place){ 0 },
                            "there is no memory left to read it");
        reader->problems->unreadable = true;
        return false;
    }
    yaml_parser_set_encoding (&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string (&reader->parser, (const unsigned char *)reader->text,
                                  reader->size);
    return true;
}

void mu_jobspec_read_text (const char *text, size_t size, const char *folder,
                           struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    struct reader reader = {
        .text = text, .size = size, .folder = folder, .spec = spec, .problems = problems
    };
    yaml_event_t event;
    if (!open_reader (&reader))
        return;
    if (begin (&reader, &event)) {
        read_file (&reader, &event);
        yaml_event_delete (&event);
        finish (&reader);
    }
    yaml_parser_delete (&reader.parser);
}

void mu_jobspec_read_value (const char *text, unsigned key, const char *setting, const char *folder,
                            struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    struct reader reader = {
        .text = text, .size = strlen (text), .folder = folder, .spec = spec, .problems = problems
    };
    yaml_event_t event;
    if (!open_reader (&reader))
        return;
    if (begin (&reader, &event)) {
        if (!setting)
            read_key (&reader, &event, key);
        else if (!read_setting (&reader, &event, setting, &mu_jobspec_keys[key]))
            problems->wrong[key] = true;
        yaml_event_delete (&event);
        finish (&reader);
    }
    yaml_parser_delete (&reader.parser);
}
