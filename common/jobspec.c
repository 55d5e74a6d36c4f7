/* SPDX-License-Identifier: Apache-2.0 */
/* jobspec.c - job files in and out: the calls of jobspec.h over the reader and the checks
 *
 * All calls on a spec walk the generated table; only the checks of the whole know keys by name.
 * Nothing is fatal: memory that is gone is a problem like another. */
#include "jobspec_parts.h"
#include "nearest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct mu_jobspec_place nowhere;

/* Worked out once, as a coordinator takes thousands of jobs a second: which keys own memory, the
 * defaults of all others, and the most that these others can be as JSON. */
static struct mu_jobspec numbers;
static size_t numbers_most;
static const struct mu_entry *owner[MU_JOBSPEC_KEY_COUNT];
static unsigned owner_count;

/* With its section, as each key might stand in one of its own. */
static size_t most_as_json (const struct mu_entry *entry, const struct mu_jobspec *spec)
{
    return strlen (entry->path) + 16 + mu_entry_json_max (entry, spec);
}

static void look_once (void)
{
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        const struct mu_entry *entry = &mu_jobspec_keys[i];
        if (mu_entry_owns_memory (entry)) {
            owner[owner_count++] = entry;
        } else {
            mu_entry_set_standard (entry, &numbers, NULL);
            numbers_most += most_as_json (entry, &numbers);
        }
    }
}

static void look (void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, look_once);
}

int mu_jobspec_init (struct mu_jobspec *spec)
{
    look ();
    *spec = numbers;
    for (unsigned i = 0; i < owner_count; i++) {
        if (owner[i]->standard && mu_entry_set_standard (owner[i], spec, NULL) != 0)
            return -1;
    }
    return 0;
}

void mu_jobspec_clear (struct mu_jobspec *spec)
{
    look ();
    for (unsigned i = 0; i < owner_count; i++)
        mu_entry_clear (owner[i], spec);
    memset (spec, 0, sizeof *spec);
}

static int begin (struct mu_jobspec *spec, struct mu_jobspec_problems *problems, const char *file)
{
    mu_jobspec_problems_begin (problems, file);
    mu_jobspec_clear (spec);
    if (mu_jobspec_init (spec) == 0)
        return 0;
    problems->unreadable = true;
    mu_jobspec_problem (problems, nowhere, "there is no memory left for a job");
    return -1;
}

static int result (const struct mu_jobspec_problems *problems)
{
    return problems->errors > 0 ? -1 : 0;
}

static int unreadable (struct mu_jobspec_problems *problems, const char *sentence)
{
    problems->unreadable = true;
    mu_jobspec_problem (problems, nowhere, "%s", sentence);
    return -1;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Everything of a file, at most MU_JOBSPEC_SIZE_MAX bytes; -1 with the problem told. */
static int load_text (const char *path, char *text, size_t *size,
                      struct mu_jobspec_problems *problems)
{
    char sentence[128];
    FILE *file = fopen (path, "re");
    *size = file ? fread (text, 1, MU_JOBSPEC_SIZE_MAX + 1, file) : 0;
    bool failed = !file || ferror (file);
    int number = errno;
    if (file)
        fclose (file);
    if (failed) {
        problems->missing = true;
        snprintf (sentence, sizeof sentence, "the job file cannot be read: %s", strerror (number));
        return unreadable (problems, sentence);
    }
    if (*size > MU_JOBSPEC_SIZE_MAX) {
        snprintf (sentence, sizeof sentence,
                  "the job file has more than %u bytes; is it really a job file?",
                  MU_JOBSPEC_SIZE_MAX);
        return unreadable (problems, sentence);
    }
    return 0;
}

/* The absolute folder that a file lies in; to be freed. */
static char *folder_of (const char *path)
{
    char *folder = realpath (path, NULL);
    char *slash = folder ? strrchr (folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = '\0';
    return folder;
}

int mu_jobspec_read (const char *path, struct mu_jobspec *spec,
                     struct mu_jobspec_problems *problems)
{
    if (begin (spec, problems, path) != 0)
        return -1;
    size_t size = 0;
    char *text = malloc (MU_JOBSPEC_SIZE_MAX + 1);
    char *folder = folder_of (path);
    if (!text) {
        unreadable (problems, "there is no memory left to read it");
    } else if (load_text (path, text, &size, problems) == 0) {
        mu_jobspec_read_text (text, size, folder, spec, problems);
    }
    free (folder);
    free (text);
    return result (problems);
}

int mu_jobspec_load (const char *path, struct mu_jobspec *spec,
                     struct mu_jobspec_problems *problems)
{
    mu_jobspec_read (path, spec, problems);
    return mu_jobspec_check (spec, problems);
}

int mu_jobspec_parse (const char *text, size_t size, const char *file, const char *folder,
                      struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    if (begin (spec, problems, file) != 0)
        return -1;
    if (size > MU_JOBSPEC_SIZE_MAX)
        return unreadable (problems, "the job has more than 65536 bytes, the most there may be");
    mu_jobspec_read_text (text, size, folder, spec, problems);
    return mu_jobspec_check (spec, problems);
}

int mu_jobspec_from_json (const char *text, size_t size, struct mu_jobspec *spec,
                          struct mu_jobspec_problems *problems)
{
    return mu_jobspec_parse (text, size, "job", NULL, spec, problems);
}

/* --- setting one key -------------------------------------------------------------------------- */

/* Goes on with a hash, as the generator did. */
static uint32_t hash (uint32_t value, const char *text)
{
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 0x01000193u;
    return value;
}

bool mu_jobspec_is_in (const char *path, const char *section)
{
    size_t size = strlen (section);
    return size == 0 || (strncmp (path, section, size) == 0 && path[size] == '.');
}

/* By its whole path, "batch.micro", which is `section`, a dot if there is one, and `key`. */
static unsigned find (const char *section, const char *key)
{
    size_t size = strlen (section);
    uint32_t value = hash (hash (MU_JOBSPEC_HASH_START, section), size > 0 ? "." : "");
    unsigned found = mu_jobspec_slots[hash (value, key) >> (32 - MU_JOBSPEC_SLOT_BITS)];
    if (found == MU_JOBSPEC_NO_KEY)
        return found;
    const char *path = mu_jobspec_keys[found].path;
    bool in_section = !size || (strncmp (path, section, size) == 0 && path[size] == '.');
    return in_section && strcmp (path + size + (size > 0), key) == 0 ? found : MU_JOBSPEC_NO_KEY;
}

unsigned mu_jobspec_find_key (const char *section, const char *key)
{
    return *section || !strchr (key, '.') ? find (section, key) : MU_JOBSPEC_NO_KEY;
}

static unsigned find_path (const char *path) { return find ("", path); }

/* For "model.layers": the key of the mapping, and in *setting what is behind its dot. */
static unsigned find_setting (const char *path, const char **setting)
{
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        size_t size = strlen (mu_jobspec_keys[i].path);
        if (mu_jobspec_keys[i].type == MU_ENTRY_SETTINGS &&
            strncmp (mu_jobspec_keys[i].path, path, size) == 0 && path[size] == '.') {
            *setting = path + size + 1;
            return i;
        }
    }
    return MU_JOBSPEC_NO_KEY;
}

/* The first key inside "workers", if that is a section. */
static const struct mu_entry *first_inside (const char *section)
{
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT && *section; i++) {
        if (mu_jobspec_is_in (mu_jobspec_keys[i].path, section))
            return &mu_jobspec_keys[i];
    }
    return NULL;
}

static void assign (struct mu_jobspec *spec, const char *path, const char *value,
                    struct mu_jobspec_problems *problems)
{
    const char *setting = NULL;
    unsigned key = find_path (path);
    if (key == MU_JOBSPEC_NO_KEY)
        key = find_setting (path, &setting);
    if (key == MU_JOBSPEC_NO_KEY) {
        const struct mu_entry *inside = first_inside (path);
        if (inside)
            mu_jobspec_problem (problems, nowhere,
                                "%s holds several keys; give one of them, as in %s=%s", path,
                                inside->path, inside->example);
        else
            mu_jobspec_unknown_key (problems, nowhere, "", path);
        return;
    }
    char *folder = getcwd (NULL, 0);
    problems->wrong[key] = false;
    if (value[strspn (value, " ")] != '\0')
        mu_jobspec_read_value (value, key, setting, folder, spec, problems);
    else if (setting)
        mu_jobspec_problem (problems, nowhere, "there is no value behind the =");
    else
        mu_entry_set_standard (&mu_jobspec_keys[key], spec, NULL);
    problems->place[key] = nowhere;
    free (folder);
}

int mu_jobspec_set (struct mu_jobspec *spec, const char *assignment,
                    struct mu_jobspec_problems *problems)
{
    char shown[MU_ENTRY_SHOWN_MAX], text[MU_JOBSPEC_PROBLEM_TEXT_MAX];
    const char *equals = strchr (assignment, '=');
    size_t before = problems->errors, first = problems->count;
    bool unread = problems->unreadable;
    problems->unreadable = false;
    char *path = equals ? strndup (assignment, (size_t)(equals - assignment)) : NULL;
    if (path)
        assign (spec, path, equals + 1, problems);
    else
        mu_jobspec_problem (problems, nowhere, "there is no = in it; write it as steps=300");
    free (path);
    problems->unreadable = unread;
    for (size_t i = first; i < problems->count; i++) {
        struct mu_jobspec_problem *item = &problems->item[i];
        snprintf (text, sizeof text, "--set %s: %.400s", mu_entry_show (assignment, shown),
                  item->text);
        memcpy (item->text, text, sizeof text);
        item->assignment = true;
        item->place = nowhere;
    }
    return problems->errors > before ? -1 : 0;
}

/* --- unknown keys ----------------------------------------------------------------------------- */

static bool is_word_for (const struct mu_entry *entry, const char *word)
{
    for (const char *const *also = entry->also; also && *also; also++) {
        if (strcmp (*also, word) == 0)
            return true;
    }
    return false;
}

static const char *last_word (const char *path)
{
    const char *dot = strrchr (path, '.');
    return dot ? dot + 1 : path;
}

/* How far `key`, found in `section`, is from an entry; its home and its last word both count. A key
 * in the wrong section is half a slip more than one in its own. Twice the distance, to be whole. */
static unsigned distance_to (const struct mu_entry *entry, const char *section, const char *key)
{
    bool at_home = *section ? mu_jobspec_is_in (entry->path, section) : !strchr (entry->path, '.');
    const char *word = strchr (key, '.') && !*section ? entry->path : last_word (entry->path);
    unsigned distance = 2 * mu_nearest_distance (key, word);
    if (is_word_for (entry, key))
        distance = 0;
    return distance + !at_home;
}

static const char *nearest_key (const char *section, const char *key)
{
    const char *best = NULL;
    unsigned limit = 2 * mu_nearest_limit (key) + 1;
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        unsigned distance = distance_to (&mu_jobspec_keys[i], section, key);
        if (distance <= limit && (!best || distance < limit)) {
            best = mu_jobspec_keys[i].path;
            limit = distance;
        }
    }
    for (size_t i = 0; mu_jobspec_sections[i] && !*section; i++) {
        unsigned distance = 2 * mu_nearest_distance (key, mu_jobspec_sections[i]);
        if (distance < limit || (!best && distance == limit)) {
            best = mu_jobspec_sections[i];
            limit = distance;
        }
    }
    return best;
}

void mu_jobspec_unknown_key (struct mu_jobspec_problems *problems, struct mu_jobspec_place place,
                             const char *section, const char *key)
{
    char shown[MU_ENTRY_SHOWN_MAX];
    const char *near = nearest_key (section, key);
    const char *dot = near && place.line != 0 ? strchr (near, '.') : NULL;
    bool inside = *section != '\0';
    unsigned index = near ? find_path (near) : MU_JOBSPEC_NO_KEY;
    mu_entry_show (key, shown);
    if (index != MU_JOBSPEC_NO_KEY && is_word_for (&mu_jobspec_keys[index], key) &&
        mu_jobspec_keys[index].type == MU_ENTRY_SETTINGS && !inside)
        mu_jobspec_problem (problems, place, "there is no key %s; should it be inside %s?", shown,
                            near);
    else if (!near)
        mu_jobspec_problem (problems, place, "there is no key %s%s%s", shown, inside ? " in " : "",
                            section);
    else if (dot && !(inside && mu_jobspec_is_in (near, section)))
        mu_jobspec_problem (
            problems, place, "there is no key %s%s%s; did you mean %s, the key %s inside %.*s?",
            shown, inside ? " in " : "", section, near, dot + 1, (int)(dot - near), near);
    else
        mu_jobspec_problem (problems, place, "there is no key %s%s%s; did you mean %s?", shown,
                            inside ? " in " : "", section, inside && dot ? dot + 1 : near);
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool is_short_for_certain (const struct mu_jobspec *spec)
{
    size_t most = 2 + numbers_most;
    for (unsigned i = 0; i < owner_count; i++) {
        if (mu_entry_is_set (owner[i], spec))
            most += most_as_json (owner[i], spec);
    }
    return most <= MU_JOBSPEC_SIZE_MAX;
}

int mu_jobspec_check (struct mu_jobspec *spec, struct mu_jobspec_problems *problems)
{
    if (!problems->unreadable)
        mu_jobspec_check_whole (spec, problems);
    if (problems->errors == 0 && !is_short_for_certain (spec)) {
        char *json = mu_jobspec_to_json (spec);
        if (!json)
            mu_jobspec_problem (problems, nowhere, "there is no memory left for a job");
        else if (strlen (json) > MU_JOBSPEC_SIZE_MAX)
            mu_jobspec_problem (problems, nowhere,
                                "with all defaults and whole paths the job has %zu bytes, and %u "
                                "is the most; name a folder instead of its files",
                                strlen (json), MU_JOBSPEC_SIZE_MAX);
        free (json);
    }
    mu_jobspec_problems_sort (problems);
    return result (problems);
}

/* Keys of one section follow one another in the table: open and close it as its name changes. */
static void print_json (const struct mu_jobspec *spec, FILE *out)
{
    const char *open = "", *between = "";
    size_t open_size = 0;
    putc ('{', out);
    for (unsigned i = 0; i < MU_JOBSPEC_KEY_COUNT; i++) {
        const struct mu_entry *entry = &mu_jobspec_keys[i];
        if (!mu_entry_is_set (entry, spec))
            continue;
        const char *word = last_word (entry->path);
        size_t size = word == entry->path ? 0 : (size_t)(word - entry->path - 1);
        if (size != open_size || strncmp (open, entry->path, size) != 0) {
            fputs (open_size ? "}" : "", out);
            if (size > 0)
                fprintf (out, "%s\"%.*s\":{", between, (int)size, entry->path);
            between = size > 0 ? "" : between;
            open = entry->path;
            open_size = size;
        }
        fprintf (out, "%s\"%s\":", between, word);
        mu_entry_print_json (entry, spec, out);
        between = ",";
    }
    fputs (open_size ? "}}" : "}", out);
}

char *mu_jobspec_to_json (const struct mu_jobspec *spec)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    if (!out)
        return NULL;
    print_json (spec, out);
    if (fclose (out) == 0)
        return text;
    free (text);
    return NULL;
}

/* --- arithmetic ------------------------------------------------------------------------------- */

uint32_t mu_jobspec_micro_batches (const struct mu_jobspec *spec)
{
    uint64_t micro = spec->batch.micro;
    return micro == 0 ? 0 : (uint32_t)(spec->batch.global / micro);
}

double mu_jobspec_efficiency (uint64_t micro_batches, uint64_t workers)
{
    if (micro_batches == 0 || workers == 0)
        return 0;
    uint64_t busiest = (micro_batches + workers - 1) / workers;
    return (double)micro_batches / ((double)workers * (double)busiest);
}
