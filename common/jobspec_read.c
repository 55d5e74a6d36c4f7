/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec_read.c - walks YAML's events into the struct, along the table
 *
 * The walk goes no deeper than the schema does: file, section, value, item. Each level tells what
 * is wrong in it and goes on; a value that was refused leaves its default behind. */
#include "jobspec_events.h"

#include <string.h>

#define PATH_SIZE 160u /* of "section.key" or "model.key", shown */

/* --- the value of a key ----------------------------------------------------------------------- */

/* One value on its way to its key. */
struct target {
    const struct mu_entry *entry;
    const char *name; /* as sentences call it: "batch.micro", "model.layers" */
};

static void say_wrong_type (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                            const struct target *target, const char *found)
{
    char expected[MU_ENTRY_EXPECTED_MAX];
    mu_entry_expected (target->entry, expected);
    mu_jobspec_problem (reader->problems, mu_jobspec_place_of (event->start_mark),
                        "%s is %s; it takes %s, as in %s", target->name, found, expected,
                        target->entry->example);
}

static bool takes_only_plain (const struct mu_entry *entry)
{
    return entry->type == MU_ENTRY_U64 || entry->type == MU_ENTRY_I64 ||
           entry->type == MU_ENTRY_F64 || entry->type == MU_ENTRY_BOOL;
}

/* Is this a scalar that may become text at all? Else say why not, and skip it. */
static bool is_usable_scalar (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                              const struct target *target)
{
    char shown[MU_ENTRY_SHOWN_MAX], found[MU_ENTRY_SHOWN_MAX + 32];
    if (mu_jobspec_is_fancy (reader, event))
        return false;
    if (event->type != YAML_SCALAR_EVENT) {
        say_wrong_type (reader, event, target, mu_jobspec_node_name (event));
        mu_jobspec_skip (reader, event);
        return false;
    }
    if (mu_jobspec_is_null (event)) {
        say_wrong_type (reader, event, target, "empty");
    } else if (mu_jobspec_has_nul (reader, event)) {
        say_wrong_type (reader, event, target, "a text with a zero byte in it");
    } else if (takes_only_plain (target->entry) && !mu_jobspec_is_plain (event)) {
        snprintf (found, sizeof found, "the text %s, in quotes",
                  mu_entry_show (mu_jobspec_scalar (event), shown));
        say_wrong_type (reader, event, target, found);
    } else {
        return true;
    }
    return false;
}

static void say_entry_error (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                             const struct target *target, const struct mu_error *error)
{
    mu_jobspec_problem (reader->problems, mu_jobspec_place_of (event->start_mark), "%s %s",
                        target->name, error->text);
}

static bool read_scalar (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                         const struct target *target)
{
    struct mu_error error;
    if (!is_usable_scalar (reader, event, target))
        return false;
    if (mu_entry_set (target->entry, reader->spec, mu_jobspec_scalar (event), &error) == 0)
        return true;
    say_entry_error (reader, event, target, &error);
    return false;
}

static bool read_list (struct mu_jobspec_reader *reader, const yaml_event_t *start,
                       const struct target *target)
{
    bool good = true;
    size_t count = 0;
    for (;; count++) {
        yaml_event_t event;
        if (!mu_jobspec_next (reader, &event))
            return false;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            good &= read_scalar (reader, &event, target);
        mu_jobspec_delete (reader, &event);
        if (end)
            break;
    }
    if (count == 0)
        say_wrong_type (reader, start, target, "an empty list");
    return good && count > 0;
}

/* --- the trainer's own settings --------------------------------------------------------------- */

static bool set_setting (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                         const struct target *target, const char *key, const char *value)
{
    struct mu_error error;
    if (mu_entry_set_pair (target->entry, reader->spec, key, value, &error) == 0)
        return true;
    say_entry_error (reader, event, target, &error);
    return false;
}

/* A list of scalars becomes one text with commas: [256, 128] is "256,128". */
static bool read_setting_list (struct mu_jobspec_reader *reader, const yaml_event_t *start,
                               const struct target *target, const struct target *item,
                               const char *key)
{
    char joined[MU_ENTRY_SETTING_VALUE_MAX + 2] = "";
    size_t used = 0;
    bool good = true;
    for (;;) {
        yaml_event_t event;
        if (!mu_jobspec_next (reader, &event))
            return false;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end && is_usable_scalar (reader, &event, item)) {
            int size = snprintf (joined + used, sizeof joined - used, "%s%s", used ? "," : "",
                                 mu_jobspec_scalar (&event));
            used = size < 0 || (size_t)size >= sizeof joined - used ? sizeof joined - 1
                                                                    : used + (size_t)size;
        } else {
            good &= end;
        }
        mu_jobspec_delete (reader, &event);
        if (end)
            return good && set_setting (reader, start, target, key, joined);
    }
}

static bool read_setting (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                          const char *key, const struct mu_entry *entry)
{
    const struct mu_entry scalar = { .type = MU_ENTRY_TEXT, .example = "4" };
    char name[PATH_SIZE], shown[MU_ENTRY_SHOWN_MAX];
    struct target target = { entry, name }, item = { &scalar, name };
    mu_entry_show (key, shown);
    shown[strlen (shown) - 1] = '\0';
    snprintf (name, sizeof name, "%s.%s", entry->path, shown + 1);
    if (event->type == YAML_SEQUENCE_START_EVENT && !event->data.sequence_start.anchor &&
        !event->data.sequence_start.tag)
        return read_setting_list (reader, event, &target, &item, key);
    return is_usable_scalar (reader, event, &item) &&
           set_setting (reader, event, &target, key, mu_jobspec_scalar (event));
}

static bool has_setting (const struct mu_jobspec_reader *reader, const struct mu_entry *entry,
                         const char *key)
{
    const char *at = (const char *)reader->spec + entry->offset;
    const struct mu_setting_list *list = (const void *)at;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp (list->item[i].key, key) == 0)
            return true;
    }
    return false;
}

static void setting_pair (struct mu_jobspec_reader *reader, const yaml_event_t *key,
                          const yaml_event_t *value, const void *context)
{
    const struct mu_entry *entry = context;
    char shown[MU_ENTRY_SHOWN_MAX];
    if (has_setting (reader, entry, mu_jobspec_scalar (key))) {
        mu_jobspec_problem (reader->problems, mu_jobspec_place_of (key->start_mark),
                            "%s has the key %s twice; keep one", entry->path,
                            mu_entry_show (mu_jobspec_scalar (key), shown));
        mu_jobspec_skip (reader, value);
        return;
    }
    if (!read_setting (reader, value, mu_jobspec_scalar (key), entry))
        reader->problems->wrong[entry - mu_jobspec_keys] = true;
}

/* --- keys and sections ------------------------------------------------------------------------ */

static bool read_value (struct mu_jobspec_reader *reader, const yaml_event_t *event,
                        const struct mu_entry *entry)
{
    struct target target = { entry, entry->path };
    bool list = entry->type == MU_ENTRY_TEXTS || entry->type == MU_ENTRY_PATHS;
    mu_entry_clear (entry, reader->spec);
    if (mu_jobspec_is_fancy (reader, event))
        return false;
    if (list && event->type == YAML_SEQUENCE_START_EVENT)
        return read_list (reader, event, &target);
    if (entry->type != MU_ENTRY_SETTINGS)
        return read_scalar (reader, event, &target);
    if (event->type == YAML_MAPPING_START_EVENT) {
        mu_jobspec_each_pair (reader, setting_pair, entry);
        return true;
    }
    say_wrong_type (reader, event, &target,
                    event->type == YAML_SCALAR_EVENT ? "a single value"
                                                     : mu_jobspec_node_name (event));
    mu_jobspec_skip (reader, event);
    return false;
}

/* A value that was refused leaves the default behind, so that checks of the whole have one. */
static void read_key (struct mu_jobspec_reader *reader, const yaml_event_t *event, unsigned key)
{
    const struct mu_entry *entry = &mu_jobspec_keys[key];
    struct mu_error error;
    bool good = read_value (reader, event, entry);
    if (good && reader->folder && mu_entry_resolve (entry, reader->spec, reader->folder, &error)) {
        mu_jobspec_problem (reader->problems, mu_jobspec_place_of (event->start_mark), "%s %s",
                            entry->path, error.text);
        good = false;
    }
    if (!good) {
        reader->problems->wrong[key] = true;
        mu_entry_set_standard (entry, reader->spec, &error);
    }
}

/* Has this place been taken before? Then say so; else take it. */
static bool is_twice (struct mu_jobspec_reader *reader, struct mu_jobspec_place *place,
                      const yaml_event_t *event, const char *section, const char *name)
{
    if (place->line == 0) {
        *place = mu_jobspec_place_of (event->start_mark);
        return false;
    }
    mu_jobspec_problem (reader->problems, mu_jobspec_place_of (event->start_mark),
                        "%s%s%s is here a second time (first in line %u); keep one", section,
                        *section ? "." : "", name, place->line);
    return true;
}

/* `index` is the key's, where there is such a key. */
static void take_pair (struct mu_jobspec_reader *reader, const yaml_event_t *key,
                       const yaml_event_t *value, const char *section, unsigned index)
{
    const char *name = mu_jobspec_scalar (key);
    if (index == MU_JOBSPEC_NO_KEY)
        mu_jobspec_unknown_key (reader->problems, mu_jobspec_place_of (key->start_mark), section,
                                name);
    else if (!is_twice (reader, &reader->problems->place[index], key, section, name)) {
        read_key (reader, value, index);
        return;
    }
    mu_jobspec_skip (reader, value);
}

static void section_pair (struct mu_jobspec_reader *reader, const yaml_event_t *key,
                          const yaml_event_t *value, const void *context)
{
    take_pair (reader, key, value, context, mu_jobspec_find_key (context, mu_jobspec_scalar (key)));
}

static void say_no_section (struct mu_jobspec_reader *reader, const yaml_event_t *value,
                            const char *section)
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
    bool empty = scalar && mu_jobspec_is_null (value);
    mu_jobspec_problem (reader->problems, mu_jobspec_place_of (value->start_mark),
                        "%s is %s; it takes a mapping with the keys %s", section,
                        empty    ? "empty"
                        : scalar ? mu_entry_show (mu_jobspec_scalar (value), shown)
                                 : mu_jobspec_node_name (value),
                        keys);
}

static void read_section (struct mu_jobspec_reader *reader, const yaml_event_t *value,
                          const char *section)
{
    if (mu_jobspec_is_fancy (reader, value))
        return;
    if (value->type == YAML_MAPPING_START_EVENT) {
        mu_jobspec_each_pair (reader, section_pair, section);
        return;
    }
    say_no_section (reader, value, section);
    mu_jobspec_skip (reader, value);
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        size_t size = strlen (section);
        const char *path = mu_jobspec_keys[i].path;
        reader->problems->wrong[i] |= strncmp (path, section, size) == 0 && path[size] == '.';
    }
}

static void file_pair (struct mu_jobspec_reader *reader, const yaml_event_t *key,
                       const yaml_event_t *value, const void *context)
{
    const char *name = mu_jobspec_scalar (key), *section = context;
    unsigned index = mu_jobspec_find_key (section, name);
    for (size_t i = 0; index == MU_JOBSPEC_NO_KEY && mu_jobspec_sections[i]; i++) {
        if (*mu_jobspec_sections[i] != *name || strcmp (mu_jobspec_sections[i], name) != 0)
            continue;
        if (is_twice (reader, &reader->problems->section[i], key, "", name))
            mu_jobspec_skip (reader, value);
        else
            read_section (reader, value, mu_jobspec_sections[i]);
        return;
    }
    take_pair (reader, key, value, section, index);
}

/* --- documents -------------------------------------------------------------------------------- */

static void read_file (struct mu_jobspec_reader *reader, const yaml_event_t *event)
{
    struct mu_jobspec_place place = mu_jobspec_place_of (event->start_mark);
    if (event->type == YAML_STREAM_END_EVENT ||
        (event->type == YAML_SCALAR_EVENT && mu_jobspec_is_null (event))) {
        reader->problems->unreadable = true;
        mu_jobspec_problem (reader->problems, place,
                            "the job file is empty; muster-job(5) has one to begin with");
    } else if (mu_jobspec_is_fancy (reader, event)) {
        reader->problems->unreadable = true;
    } else if (event->type != YAML_MAPPING_START_EVENT) {
        reader->problems->unreadable = true;
        mu_jobspec_problem (reader->problems, place,
                            "a job file is a mapping of keys to values, as in name: my-job; this "
                            "one begins with %s",
                            event->type == YAML_SCALAR_EVENT ? "a text" : "a list");
    } else {
        mu_jobspec_each_pair (reader, file_pair, "");
    }
}

void mu_jobspec_read_text (const char *text, size_t size, const char *folder,
                           struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin every UTF-8 file with it */
    size_t before = size >= 3 && memcmp (text, mark, 3) == 0 ? 3 : 0;
    struct mu_jobspec_reader reader = { .text = text + before,
                                        .size = size - before,
                                        .folder = folder,
                                        .spec = spec,
                                        .problems = problems };
    yaml_event_t event;
    if (mu_jobspec_open (&reader) != 0)
        return;
    if (mu_jobspec_first (&reader, &event)) {
        read_file (&reader, &event);
        mu_jobspec_delete (&reader, &event);
        mu_jobspec_last (&reader);
    }
    mu_jobspec_close (&reader);
}

void mu_jobspec_read_value (const char *text, unsigned key, const char *setting, const char *folder,
                            struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    struct mu_jobspec_reader reader = {
        .text = text, .size = strlen (text), .folder = folder, .spec = spec, .problems = problems
    };
    yaml_event_t event;
    if (mu_jobspec_open (&reader) != 0)
        return;
    if (mu_jobspec_first (&reader, &event)) {
        if (event.type == YAML_STREAM_END_EVENT)
            mu_jobspec_problem (problems, mu_jobspec_place_of (event.start_mark),
                                "there is no value behind the =");
        else if (!setting)
            read_key (&reader, &event, key);
        else if (!read_setting (&reader, &event, setting, &mu_jobspec_keys[key]))
            problems->wrong[key] = true;
        mu_jobspec_delete (&reader, &event);
        mu_jobspec_last (&reader);
    }
    mu_jobspec_close (&reader);
}
