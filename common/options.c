/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - command line over environment over config file over defaults
 *
 * getopt_long (3) walks the command line first, since --config decides what is read before it is
 * applied; what it finds is noted and set last. It is asked for operands in their places ("-"), so
 * that the first one can choose a command whose own options count from there on. Its static state
 * is begun anew at each call: not for several threads at once. Nothing here is fatal. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "nearest.h"
#include "number.h"
#include "options_parts.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_LONG = 256, HELP = FIRST_LONG + MU_OPTIONS_MAX, VERSION };

struct assignment {
    const struct mu_option *option;
    const char *text;
};

struct scan {
    const struct mu_program *program;
    const struct mu_option *option[MU_OPTIONS_MAX]; /* the program's, then the command's */
    size_t count;
    struct option longs[MU_OPTIONS_MAX + 3];
    char shorts[2 * MU_OPTIONS_MAX + 8];
    struct assignment *assignment; /* what was said, in order */
    size_t assigned;
    struct mu_operands *operands;
    char first[32]; /* the first word of a command of two */
    bool help, version;
};

/* --- one value -------------------------------------------------------------------------------- */

static const struct {
    const char *unit, *suffix;
    uint64_t factor;
} units[] = {
    { "ms", "ms", 1 },
    { "ms", "s", 1000 },
    { "ms", "m", 60000 },
    { "ms", "h", 3600000 },
    { "s", "s", 1 },
    { "s", "m", 60 },
    { "s", "h", 3600 },
    { "s", "d", 86400 },
    { "bytes", "B", 1 },
    { "bytes", "KiB", 1u << 10 },
    { "bytes", "MiB", 1u << 20 },
    { "bytes", "GiB", 1u << 30 },
    { "bytes", "kB", 1000 },
    { "bytes", "MB", 1000000 },
    { "bytes", "GB", 1000000000 },
};

/* "2s" where milliseconds are meant becomes "2000"; anything else stays as it is. */
static const char *in_unit (const struct mu_entry *entry, const char *text, char number[32])
{
    size_t digits = strspn (text, "0123456789");
    uint64_t value = 0;
    if (entry->type != MU_ENTRY_U64 || !entry->unit || digits == 0 || digits >= 20)
        return text;
    const char *suffix = text + digits + strspn (text + digits, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp (units[i].unit, entry->unit) != 0 || strcmp (units[i].suffix, suffix) != 0)
            continue;
        snprintf (number, 32, "%.*s", (int)digits, text);
        if (mu_number_u64 (number, &value) != MU_NUMBER_GOOD ||
            __builtin_mul_overflow (value, units[i].factor, &value))
            return text;
        snprintf (number, 32, "%llu", (unsigned long long)value);
        return number;
    }
    return text;
}

static bool is_list (const struct mu_entry *entry)
{
    return entry->type == MU_ENTRY_TEXTS || entry->type == MU_ENTRY_PATHS ||
           entry->type == MU_ENTRY_ENDPOINTS;
}

/* Has this source said something about the option before? Remembers that it has now. Options of
 * commands have one source only, and no default in a list. */
static bool is_begun (struct mu_option_source *source, const struct mu_option *option)
{
    const struct mu_program *program = source->program;
    if (option < program->options || option >= program->options + program->option_count)
        return true;
    bool *begun = &source->begun[option - program->options];
    bool before = *begun;
    *begun = true;
    return before;
}

int mu_option_set (struct mu_option_source *source, const struct mu_option *option,
                   const char *text, struct mu_error *error)
{
    char number[32];
    if (is_list (&option->entry) && !is_begun (source, option))
        mu_entry_clear (&option->entry, source->options);
    return mu_entry_set (&option->entry, source->options, in_unit (&option->entry, text, number),
                         error);
}

static bool same_name (const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a != *b && !((*a == '_' && *b == '-') || (*a == '-' && *b == '_')))
            return false;
    }
    return *a == *b;
}

const struct mu_option *mu_options_find (const struct mu_program *program, const char *name)
{
    for (size_t i = 0; i < program->option_count; i++) {
        const struct mu_option *option = &program->options[i];
        if (option->environment && same_name (option->entry.path, name))
            return option;
    }
    return NULL;
}

/* --- the command line ------------------------------------------------------------------------- */

static void offer (struct scan *scan, const struct mu_option *options, size_t count)
{
    for (size_t i = 0; i < count && scan->count < MU_OPTIONS_MAX; i++)
        scan->option[scan->count++] = &options[i];
    size_t used = (size_t)snprintf (scan->shorts, sizeof scan->shorts, "-:hV");
    for (size_t i = 0; i < scan->count; i++) {
        const struct mu_option *option = scan->option[i];
        scan->longs[i] =
            (struct option){ option->entry.path, option->argument ? required_argument : no_argument,
                             NULL, FIRST_LONG + (int)i };
        if (option->letter && used + 3 < sizeof scan->shorts)
            used += (size_t)snprintf (scan->shorts + used, 3, "%c%s", option->letter,
                                      option->argument ? ":" : "");
    }
    scan->longs[scan->count] = (struct option){ "help", no_argument, NULL, HELP };
    scan->longs[scan->count + 1] = (struct option){ "version", no_argument, NULL, VERSION };
    scan->longs[scan->count + 2] = (struct option){ 0 };
}

static const struct mu_option *option_of (const struct scan *scan, int value)
{
    if (value >= FIRST_LONG && value < FIRST_LONG + (int)scan->count)
        return scan->option[value - FIRST_LONG];
    for (size_t i = 0; i < scan->count; i++) {
        if (value != 0 && scan->option[i]->letter == value)
            return scan->option[i];
    }
    return NULL;
}

/* The command that has this option, for people who put it in the wrong place. */
static const struct mu_command *home_of (const struct scan *scan, const char *name)
{
    for (size_t i = 0; i < scan->program->command_count; i++) {
        const struct mu_command *command = &scan->program->commands[i];
        for (size_t j = 0; j < command->option_count; j++) {
            if (strcmp (command->options[j].entry.path, name) == 0)
                return command;
        }
    }
    return NULL;
}

static int unknown_long (const struct scan *scan, const char *argument, struct mu_error *error)
{
    char name[MU_NEAREST_WORD_MAX], shown[MU_ENTRY_SHOWN_MAX];
    const char *names[MU_OPTIONS_MAX + 3] = { NULL };
    snprintf (name, sizeof name, "%.*s", (int)strcspn (argument + 2, "="), argument + 2);
    for (size_t i = 0; i < scan->count + 2; i++)
        names[i] = scan->longs[i].name;
    const struct mu_command *home = home_of (scan, name);
    const char *near = mu_nearest (name, names);
    mu_entry_show (argument, shown);
    if (near)
        return mu_fail (error, MU_USAGE, "there is no option %s; did you mean --%s?", shown, near);
    if (home)
        return mu_fail (error, MU_USAGE, "the option --%s stands behind the command %s", name,
                        home->name);
    return mu_fail (error, MU_USAGE, "there is no option %s", shown);
}

static int refuse (const struct scan *scan, int found, char **argv, struct mu_error *error)
{
    const struct mu_option *option = option_of (scan, optopt);
    char expected[MU_ENTRY_EXPECTED_MAX];
    if (found == ':' && option) {
        mu_entry_expected (&option->entry, expected);
        return mu_fail (error, MU_USAGE, "--%s needs a value; it takes %s", option->entry.path,
                        expected);
    }
    if (optopt >= FIRST_LONG)
        return mu_fail (error, MU_USAGE, "--%s takes no value",
                        option           ? option->entry.path
                        : optopt == HELP ? "help"
                                         : "version");
    if (optopt > 0x20 && optopt < 0x7f)
        return mu_fail (error, MU_USAGE, "there is no option -%c", optopt);
    if (optopt == 0)
        return unknown_long (scan, argv[optind - 1], error);
    return mu_fail (error, MU_USAGE, "there is an option that is no letter");
}

/* The commands of two words that begin with this one's first. */
static void list_family (const struct scan *scan, const char *word, char *list, size_t size)
{
    size_t length = strcspn (word, " "), used = 0;
    for (size_t i = 0; i < scan->program->command_count; i++) {
        const char *name = scan->program->commands[i].name;
        if (length && strncmp (name, word, length) == 0 && name[length] == ' ' && used < size)
            used += (size_t)snprintf (list + used, size - used, "%s%s", used ? ", " : "", name);
    }
}

static int unknown_command (const struct scan *scan, const char *word, struct mu_error *error)
{
    const char *names[MU_OPTIONS_MAX + 1] = { NULL };
    char shown[MU_ENTRY_SHOWN_MAX], family[256] = "";
    for (size_t i = 0; i < scan->program->command_count && i < MU_OPTIONS_MAX; i++)
        names[i] = scan->program->commands[i].name;
    const char *near = mu_nearest (word, names);
    list_family (scan, word, family, sizeof family);
    if (!near && *family)
        return mu_fail (error, MU_USAGE, "there is no command %s; there are: %s",
                        mu_entry_show (word, shown), family);
    return mu_fail (error, MU_USAGE, "there is no command %s%s%s%s", mu_entry_show (word, shown),
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* The first operand, or the first two, name a command. */
static int choose_command (struct scan *scan, const char *word, struct mu_error *error)
{
    char name[MU_NEAREST_WORD_MAX];
    snprintf (name, sizeof name, "%s%s%s", scan->first, scan->first[0] ? " " : "", word);
    size_t size = strlen (name);
    for (size_t i = 0; i < scan->program->command_count; i++) {
        const struct mu_command *command = &scan->program->commands[i];
        if (strcmp (command->name, name) == 0) {
            scan->operands->command = command;
            offer (scan, command->options, command->option_count);
            return 0;
        }
        if (strncmp (command->name, name, size) == 0 && command->name[size] == ' ' &&
            size < sizeof scan->first) {
            memcpy (scan->first, name, size + 1);
            return 0;
        }
    }
    return unknown_command (scan, name, error);
}

static int take_operand (struct scan *scan, const char *word, struct mu_error *error)
{
    char shown[MU_ENTRY_SHOWN_MAX];
    struct mu_operands *operands = scan->operands;
    const struct mu_program *program = scan->program;
    if (program->command_count == 0 && operands->count == program->operands_max)
        return mu_fail (error, MU_USAGE, "%s takes %s%s, but there is %s%s", program->name,
                        program->operands_max ? "one " : "options alone",
                        program->operands_max ? program->usage : "",
                        program->operands_max ? "also " : "", mu_entry_show (word, shown));
    if (program->command_count == 0) {
        operands->item[operands->count++] = word;
        return 0;
    }
    if (!operands->command)
        return choose_command (scan, word, error);
    unsigned most = operands->command->operands_max;
    if (most > 1 && operands->count == most && operands->command->operands_min < most)
        return mu_fail (error, MU_USAGE, "%s %s takes %s, %u at most, but there is also %s",
                        scan->program->name, operands->command->name, operands->command->arguments,
                        most, mu_entry_show (word, shown));
    if (operands->count == most || operands->count == MU_OPERANDS_MAX)
        return mu_fail (error, MU_USAGE, "%s %s takes %s%s, but there is also %s",
                        scan->program->name, operands->command->name, most ? "only " : "nothing",
                        operands->command->arguments, mu_entry_show (word, shown));
    if (!*word) /* in a script: a variable that nothing was put into */
        return mu_fail (error, MU_USAGE, "%s %s needs %s, but one word is empty",
                        scan->program->name, operands->command->name, operands->command->arguments);
    operands->item[operands->count++] = word;
    return 0;
}

static int note (struct scan *scan, const struct mu_option *option, const char *text,
                 struct mu_error *error)
{
    struct assignment *all =
        reallocarray (scan->assignment, scan->assigned + 1, sizeof *scan->assignment);
    if (!all)
        return mu_fail (error, MU_SYSTEM, "there is no memory left for the command line");
    all[scan->assigned++] = (struct assignment){ option, text };
    scan->assignment = all;
    return 0;
}

static int take_option (struct scan *scan, int found, char **argv, struct mu_error *error)
{
    const struct mu_option *option = option_of (scan, found);
    scan->help |= found == HELP || found == 'h';
    scan->version |= found == VERSION || found == 'V';
    if (option)
        return note (scan, option, option->argument ? optarg : "true", error);
    if (scan->help || scan->version)
        return 0;
    return refuse (scan, found, argv, error);
}

static int scan_arguments (struct scan *scan, int argc, char **argv, struct mu_error *error)
{
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while (!scan->help && !scan->version) {
        int found = getopt_long (argc, argv, scan->shorts, scan->longs, NULL);
        if (found == -1)
            break;
        int result = found == 1 ? take_operand (scan, optarg, error)
                                : take_option (scan, found, argv, error);
        if (result != 0)
            return -1;
    }
    while (!scan->help && !scan->version && optind < argc) { /* behind -- */
        if (take_operand (scan, argv[optind++], error) != 0)
            return -1;
    }
    return 0;
}

static int check_operands (const struct scan *scan, struct mu_error *error)
{
    const struct mu_command *command = scan->operands->command;
    if (scan->program->command_count == 0 && scan->operands->count < scan->program->operands_min)
        return mu_fail (error, MU_USAGE, "%s needs %s", scan->program->name, scan->program->usage);
    if (scan->program->command_count == 0)
        return 0;
    if (!command && scan->first[0])
        return unknown_command (scan, scan->first, error);
    if (!command)
        return mu_fail (error, MU_USAGE, "%s needs a command", scan->program->name);
    if (scan->operands->count < command->operands_min)
        return mu_fail (error, MU_USAGE, "%s %s needs %s", scan->program->name, command->name,
                        command->arguments);
    return 0;
}

/* --- all sources ------------------------------------------------------------------------------ */

static int set_standards (const struct mu_option *options, size_t count, void *base,
                          struct mu_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (mu_entry_set_standard (&options[i].entry, base, error) != 0) {
            mu_error_prefix (error, "the default of --%s ", options[i].entry.path);
            return -1;
        }
    }
    return 0;
}

static int apply_standards (const struct mu_program *program, void *base, struct mu_error *error)
{
    int result = set_standards (program->options, program->option_count, base, error);
    for (size_t i = 0; i < program->command_count && result == 0; i++)
        result = set_standards (program->commands[i].options, program->commands[i].option_count,
                                base, error);
    return result;
}

static int set_from_list (struct mu_option_source *source, const struct mu_option *option,
                          const char *text, struct mu_error *error)
{
    if (!is_list (&option->entry))
        return mu_option_set (source, option, text, error);
    char *copy = strdup (text), *rest = copy;
    int result = copy ? 0 : mu_fail (error, MU_SYSTEM, "does not fit into memory");
    while (rest && result == 0) {
        char *item = strsep (&rest, ", ");
        if (*item)
            result = mu_option_set (source, option, item, error);
    }
    free (copy);
    return result;
}

static int apply_environment (const struct mu_program *program, void *base, struct mu_error *error)
{
    struct mu_option_source source = { .program = program, .options = base };
    for (size_t i = 0; i < program->option_count; i++) {
        const struct mu_option *option = &program->options[i];
        const char *text = option->environment ? getenv (option->environment) : NULL;
        if (!text || !*text)
            continue;
        if (set_from_list (&source, option, text, error) != 0) {
            mu_error_prefix (error, "the environment's %s ", option->environment);
            return -1;
        }
    }
    return 0;
}

static int apply_assignments (const struct scan *scan, void *base, struct mu_error *error)
{
    struct mu_option_source source = { .program = scan->program, .options = base };
    for (size_t i = 0; i < scan->assigned; i++) {
        const struct assignment *assignment = &scan->assignment[i];
        if (mu_option_set (&source, assignment->option, assignment->text, error) != 0) {
            mu_error_prefix (error, "--%s ", assignment->option->entry.path);
            if (error)
                error->code = MU_USAGE;
            return -1;
        }
    }
    return 0;
}

static int check_required (const struct scan *scan, void *base, struct mu_error *error)
{
    for (size_t i = 0; i < scan->count; i++) {
        const struct mu_option *option = scan->option[i];
        if (option->entry.flags & MU_ENTRY_REQUIRED && !mu_entry_is_set (&option->entry, base))
            return mu_fail (error, MU_USAGE, "%s %s needs --%s %s", scan->program->name,
                            scan->operands->command ? scan->operands->command->name : "",
                            option->entry.path, option->argument);
    }
    return 0;
}

/* The file that --config names, else MUSTER_CONFIG, else NULL. */
static const char *config_named (const struct scan *scan)
{
    const struct mu_option *config = mu_options_find (scan->program, "config");
    const char *path = config ? getenv (config->environment) : NULL;
    for (size_t i = 0; i < scan->assigned; i++) {
        if (scan->assignment[i].option == config)
            path = scan->assignment[i].text;
    }
    return path && *path ? path : NULL;
}

static int apply (const struct scan *scan, void *base, struct mu_error *error)
{
    if (apply_standards (scan->program, base, error) != 0 ||
        mu_options_read_config (scan->program, base, config_named (scan), error) != 0 ||
        apply_environment (scan->program, base, error) != 0 ||
        apply_assignments (scan, base, error) != 0 || check_required (scan, base, error) != 0) {
        mu_options_clear (scan->program, base);
        return -1;
    }
    return 0;
}

int mu_options_parse (const struct mu_program *program, void *options, int argc, char **argv,
                      struct mu_operands *operands, struct mu_error *error)
{
    struct scan scan = { .program = program, .operands = operands };
    int result = -1;
    *operands = (struct mu_operands){ 0 };
    mu_options_clear (program, options);
    offer (&scan, program->options, program->option_count);
    if (scan_arguments (&scan, argc, argv, error) != 0)
        goto done;
    if (scan.help || scan.version) {
        if (scan.help)
            mu_options_help (program, operands->command, stdout);
        else
            printf ("%s %s\n", program->name, PACKAGE_VERSION);
        result = 1;
    } else if (check_operands (&scan, error) == 0) {
        result = apply (&scan, options, error);
    }
done:
    free (scan.assignment);
    return result;
}

int mu_options_exit (const struct mu_program *program, int result, const struct mu_error *error)
{
    if (result >= 0)
        return fflush (stdout) == 0 ? 0 : mu_code_exit (MU_IO);
    fprintf (stderr, "%s: %s\n", program->name, error->text);
    if (error->code == MU_USAGE)
        fprintf (stderr, "%s --help tells more.\n", program->name);
    return mu_code_exit ((int)error->code);
}

static void clear (const struct mu_option *options, size_t count, void *base)
{
    for (size_t i = 0; i < count; i++)
        mu_entry_clear (&options[i].entry, base);
}

void mu_options_clear (const struct mu_program *program, void *options)
{
    clear (program->options, program->option_count, options);
    for (size_t i = 0; i < program->command_count; i++)
        clear (program->commands[i].options, program->commands[i].option_count, options);
}

char *mu_options_state_dir (struct mu_error *error)
{
    const char *data = getenv ("XDG_DATA_HOME"), *home = getenv ("HOME");
    char *path = NULL;
    int size;
    if (geteuid () == 0) {
        size = asprintf (&path, "/var/lib/muster");
    } else if (data && data[0] == '/') {
        size = asprintf (&path, "%s/muster", data);
    } else if (home && home[0] == '/') {
        size = asprintf (&path, "%s/.local/share/muster", home);
    } else {
        mu_fail (error, MU_CONFIG,
                 "there is no home folder (HOME is not set); name one with --dir");
        return NULL;
    }
    if (size >= 0)
        return path;
    mu_fail (error, MU_SYSTEM, "there is no memory left for a path");
    return NULL;
}
