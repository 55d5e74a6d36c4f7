/* SPDX-License-Identifier: Apache-2.0 */
/* options_config.c - config files, line by line
 *
 *     # for every program
 *     coordinator = tcp://10.0.0.5:7600
 *     [worker]
 *     threads: 8
 *
 * A file that is not there is no error unless it was named. Comments begin a line or stand behind a
 * blank. Values may stand in double quotes. The first mistake ends the reading, with file and line:
 * a program must not start with half of its settings. */
#include "nearest.h"
#include "options_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct config {
    struct mu_option_source source;
    const char *path;
    unsigned line;
    bool mine; /* inside a section that is for this program, or in front of all */
    bool common;
};

static char *trim (char *text)
{
    text += strspn (text, " \t\r");
    size_t size = strlen (text);
    while (size > 0 && strchr (" \t\r", text[size - 1]))
        text[--size] = '\0';
    return text;
}

static void cut_comment (char *line)
{
    bool quoted = false;
    for (char *at = line; *at; at++) {
        quoted ^= *at == '"';
        bool start = at == line || at[-1] == ' ' || at[-1] == '\t';
        if (*at == '#' && start && !quoted) {
            *at = '\0';
            return;
        }
    }
}

static char *unquote (char *value)
{
    size_t size = strlen (value);
    if (size < 2 || value[0] != '"' || value[size - 1] != '"')
        return value;
    value[size - 1] = '\0';
    return value + 1;
}

static int set_value (struct config *config, const struct mu_option *option, char *value,
                      struct mu_error *error)
{
    bool list = option->entry.type == MU_ENTRY_TEXTS || option->entry.type == MU_ENTRY_PATHS ||
                option->entry.type == MU_ENTRY_ENDPOINTS;
    char *rest = value;
    while (rest) {
        char *item = list ? strsep (&rest, ",") : strsep (&rest, "");
        if (mu_option_set (&config->source, option, unquote (trim (item)), error) != 0) {
            mu_error_prefix (error, "%s:%u: %s ", config->path, config->line, option->entry.path);
            return -1;
        }
    }
    return 0;
}

/* Does any program have an option of this name? */
static bool is_known_elsewhere (const char *name)
{
    for (const struct mu_program *const *program = mu_programs; *program; program++) {
        if (mu_options_find (*program, name))
            return true;
    }
    return false;
}

static int unknown_key (const struct config *config, const char *name, struct mu_error *error)
{
    const char *names[MU_OPTIONS_MAX + 1] = { NULL };
    const struct mu_program *program = config->source.program;
    char shown[MU_ENTRY_SHOWN_MAX];
    for (size_t i = 0; i < program->option_count; i++)
        names[i] = program->options[i].entry.path;
    const char *near = mu_nearest (name, names);
    return mu_fail (error, MU_CONFIG, "%s:%u: there is no key %s%s%s%s", config->path, config->line,
                    mu_entry_show (name, shown), near ? "; did you mean " : "", near ? near : "",
                    near ? "?" : "");
}

static int begin_section (struct config *config, char *line, struct mu_error *error)
{
    const char *names[8] = { NULL };
    size_t count = 0, size = strlen (line);
    char shown[MU_ENTRY_SHOWN_MAX];
    line[size - 1] = '\0';
    const char *name = trim (line + 1);
    for (; count < 7 && mu_programs[count]; count++)
        names[count] = mu_programs[count]->section;
    for (size_t i = 0; i < count; i++) {
        if (strcmp (name, names[i]) == 0) {
            config->common = false;
            config->mine = strcmp (name, config->source.program->section) == 0;
            return 0;
        }
    }
    return mu_fail (error, MU_CONFIG, "%s:%u: there is no section %s; there are %s, %s and %s",
                    config->path, config->line, mu_entry_show (name, shown), names[0], names[1],
                    names[2]);
}

static int read_line (struct config *config, char *line, struct mu_error *error)
{
    cut_comment (line);
    line = trim (line);
    size_t size = strlen (line);
    if (size == 0)
        return 0;
    if (line[0] == '[' && line[size - 1] == ']')
        return begin_section (config, line, error);
    char *separator = strpbrk (line, "=:");
    if (!separator)
        return mu_fail (error, MU_CONFIG, "%s:%u: this is not key = value", config->path,
                        config->line);
    *separator = '\0';
    char *name = trim (line), *value = trim (separator + 1);
    const struct mu_option *option = mu_options_find (config->source.program, name);
    if (!config->mine || (config->common && !option && is_known_elsewhere (name)))
        return 0;
    return option ? set_value (config, option, value, error) : unknown_key (config, name, error);
}

static int read_text (struct config *config, char *text, struct mu_error *error)
{
    char *rest = text;
    for (char *line = strsep (&rest, "\n"); line; line = strsep (&rest, "\n")) {
        config->line++;
        if (read_line (config, line, error) != 0)
            return -1;
    }
    return 0;
}

static int read_file (const struct mu_program *program, void *options, const char *path, bool named,
                      struct mu_error *error)
{
    struct config config = { .source = { .program = program, .options = options },
                             .path = path,
                             .mine = true,
                             .common = true };
    FILE *file = fopen (path, "re");
    if (!file && !named && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!file)
        return mu_fail_errno (error, MU_CONFIG, errno, "the config file %s cannot be read", path);
    int result = -1;
    char *text = malloc (MU_OPTIONS_CONFIG_SIZE_MAX + 2);
    size_t size = text ? fread (text, 1, MU_OPTIONS_CONFIG_SIZE_MAX + 1, file) : 0;
    if (!text) {
        mu_fail (error, MU_SYSTEM, "there is no memory left to read %s", path);
    } else if (ferror (file)) {
        mu_fail_errno (error, MU_CONFIG, errno, "the config file %s cannot be read", path);
    } else if (size > MU_OPTIONS_CONFIG_SIZE_MAX || memchr (text, 0, size)) {
        mu_fail (error, MU_CONFIG, "%s is no config file: it has %s", path,
                 size > MU_OPTIONS_CONFIG_SIZE_MAX ? "more than 64 KiB" : "zero bytes in it");
    } else {
        text[size] = '\0';
        result = read_text (&config, text, error);
    }
    free (text);
    fclose (file);
    return result;
}

/* ~/.config/muster/config, to be freed; NULL where there is no home. */
static char *user_config (void)
{
    const char *folder = getenv ("XDG_CONFIG_HOME"), *home = getenv ("HOME");
    char *path = NULL;
    int size = -1;
    if (folder && folder[0] == '/')
        size = asprintf (&path, "%s/muster/config", folder);
    else if (home && home[0] == '/')
        size = asprintf (&path, "%s/.config/muster/config", home);
    return size < 0 ? NULL : path;
}

int mu_options_read_config (const struct mu_program *program, void *options, const char *named,
                            struct mu_error *error)
{
    if (named)
        return read_file (program, options, named, true, error);
    if (read_file (program, options, "/etc/muster/config", false, error) != 0)
        return -1;
    char *path = user_config ();
    int result = path ? read_file (program, options, path, false, error) : 0;
    free (path);
    return result;
}
