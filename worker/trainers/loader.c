/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - the table of built-in trainers, and dlopen with every doubt turned into a sentence
 *
 * The file is looked at before dlopen sees it, because dlopen's own sentences ("file too short",
 * "invalid ELF header") tell nobody what to do. */
#include "worker/trainers/loader.h"

#include "common/fnv.h"
#include "common/nearest.h"
#include "common/text.h"
#include "worker/trainers/builtin.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct muster_trainer *const builtin[] = { &mu_trainer_gpt, &mu_trainer_mlp };

#define BUILTIN_COUNT (sizeof builtin / sizeof builtin[0])

const struct muster_trainer *mu_trainer_builtin (size_t i)
{
    return i < BUILTIN_COUNT ? builtin[i] : NULL;
}

/* --- what a plug-in's table must be ----------------------------------------------------------- */

struct required {
    const char *name;
    size_t offset; /* of the function's pointer in the table */
};

struct plugin_kind {
    const char *what, *symbol, *header;
    uint32_t abi;
    size_t size, size_least;
    const struct required *required; /* ends with a NULL name */
};

/* How every table begins. */
struct table_head {
    uint32_t size, abi;
    const char *name;
};

#define REQUIRED(member)                                                                           \
    {                                                                                              \
#member, offsetof(struct muster_trainer, member)                                           \
    }

static const struct required trainer_required[] = {
    REQUIRED (open),      REQUIRED (close),    REQUIRED (tensors),  REQUIRED (init),
    REQUIRED (workspace), REQUIRED (gradient), REQUIRED (evaluate), { NULL, 0 },
};

static const struct plugin_kind trainer_kind = {
    .what = "trainer plug-in",
    .symbol = MUSTER_TRAINER_SYMBOL,
    .header = "muster/trainer.h",
    .abi = MUSTER_TRAINER_ABI,
    .size = sizeof (struct muster_trainer),
    .size_least = offsetof (struct muster_trainer, next_token), /* all that is required */
    .required = trainer_required,
};

_Static_assert(offsetof (struct table_head, name) == offsetof (struct muster_trainer, name) &&
                   offsetof (struct table_head, abi) == offsetof (struct muster_trainer, abi),
               "every plug-in table begins with size, abi, name");

/* Function and data pointers have one size on every system with dlopen; memcpy asks no more. */
static bool is_null (const unsigned char *table, size_t offset)
{
    void *pointer;
    memcpy (&pointer, table + offset, sizeof pointer);
    return !pointer;
}

/* Check the table at `symbol` and copy it into `table`, which has kind->size bytes of zeros. */
static int check_table (const struct plugin_kind *kind, const char *path, const void *symbol,
                        unsigned char *table, struct mu_error *error)
{
    struct table_head head;
    memcpy (&head, symbol, sizeof head);
    if (head.abi != kind->abi)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s '%s' was built for ABI %u, this Muster speaks ABI %u; build it again "
                        "with the %s of this installation",
                        kind->what, path, head.abi, kind->abi, kind->header);
    if (head.size < kind->size_least)
        return mu_fail (error, MU_BAD_INPUT,
                        "%s '%s' says that its table has %u bytes, but ABI %u needs at least %zu; "
                        "set .size = sizeof (struct muster_trainer) and build it again",
                        kind->what, path, head.size, kind->abi, kind->size_least);
    if (!head.name || !*head.name)
        return mu_fail (error, MU_BAD_INPUT, "%s '%s' has no name; set .name in its '%s'",
                        kind->what, path, kind->symbol);
    memcpy (table, symbol, head.size < kind->size ? head.size : kind->size);
    for (const struct required *function = kind->required; function->name; function++)
        if (is_null (table, function->offset))
            return mu_fail (error, MU_BAD_INPUT,
                            "%s '%s' (%s) lacks the function '%s', which every one must have",
                            kind->what, path, head.name, function->name);
    return 0;
}

/* --- from a path to a table ------------------------------------------------------------------- */

/* What mu_trainer_find's handle is. */
struct plugin {
    void *object; /* dlopen's */
    struct muster_trainer trainer;
};

/* Refuse what cannot be a shared object at all. */
static int check_file (const struct plugin_kind *kind, const char *path, struct mu_error *error)
{
    static const char magic[4] = { '\177', 'E', 'L', 'F' };
    char start[4] = { 0 };
    struct stat status;
    int file = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return mu_fail_errno (error, MU_NO_INPUT, errno, "%s '%s' cannot be read", kind->what,
                              path);
    bool regular = !fstat (file, &status) && S_ISREG (status.st_mode);
    ssize_t got = regular ? read (file, start, sizeof start) : 0;
    close (file);
    if (!regular)
        return mu_fail (error, MU_BAD_INPUT, "%s '%s' is not a file; name the .so itself",
                        kind->what, path);
    if (got != (ssize_t)sizeof start || memcmp (start, magic, sizeof start))
        return mu_fail (error, MU_BAD_INPUT,
                        "%s '%s' is not a shared object (no ELF file); build it with cc -shared "
                        "-fPIC",
                        kind->what, path);
    return 0;
}

/* The table's address, or NULL. What dlopen gave is in *object even then. */
static const void *open_object (const struct plugin_kind *kind, const char *path, void **object,
                                struct mu_error *error)
{
    if (check_file (kind, path, error))
        return NULL;
    *object = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    if (!*object) {
        mu_fail (error, MU_BAD_INPUT, "%s '%s' cannot be loaded: %s", kind->what, path, dlerror ());
        return NULL;
    }
    const void *symbol = dlsym (*object, kind->symbol);
    if (!symbol)
        mu_fail (error, MU_BAD_INPUT,
                 "'%s' is no %s: it exports no symbol '%s'; see %s for what to export", path,
                 kind->what, kind->symbol, kind->header);
    return symbol;
}

static int load (const char *path, const struct muster_trainer **trainer, void **handle,
                 struct mu_error *error)
{
    struct plugin *plugin = calloc (1, sizeof *plugin);
    if (!plugin)
        return mu_fail (error, MU_SYSTEM, "no memory to load the trainer plug-in '%s'", path);
    const void *symbol = open_object (&trainer_kind, path, &plugin->object, error);
    if (!symbol ||
        check_table (&trainer_kind, path, symbol, (unsigned char *)&plugin->trainer, error)) {
        void *half = plugin;
        mu_trainer_release (&half);
        return -1;
    }
    plugin->trainer.size = sizeof plugin->trainer;
    *trainer = &plugin->trainer;
    *handle = plugin;
    return 0;
}

void mu_trainer_release (void **handle)
{
    struct plugin *plugin = *handle;
    if (!plugin)
        return;
    if (plugin->object)
        dlclose (plugin->object);
    free (plugin);
    *handle = NULL;
}

static int find_builtin (const char *name, const struct muster_trainer **trainer,
                         struct mu_error *error)
{
    const char *names[BUILTIN_COUNT + 1] = { NULL };
    char known[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < BUILTIN_COUNT; i++) {
        names[i] = builtin[i]->name;
        if (!strcmp (name, names[i])) {
            *trainer = builtin[i];
            return 0;
        }
        if (used < sizeof known)
            used += (size_t)snprintf (known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                      names[i]);
    }
    const char *nearest = mu_nearest (name, names);
    return mu_fail (error, MU_CONFIG,
                    "there is no built-in trainer '%.60s'%s%s%s; there are: %s. A plug-in is named "
                    "by its path, with a slash in it: ./%.60s",
                    name, nearest ? " (did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?)" : "", known, *name ? name : "mine.so");
}

/* Read, not mapped: a `make` may cut the file off at this moment. */
static int hash_plugin (int file, uint64_t *hash, Elf64_Half *machine)
{
    const size_t at = offsetof (Elf64_Ehdr, e_machine);
    char block[65536];
    *hash = MU_FNV_NONE;
    *machine = 0;
    if (pread (file, block, at + sizeof *machine, 0) == (ssize_t)(at + sizeof *machine))
        memcpy (machine, block + at, sizeof *machine);
    for (;;) {
        ssize_t got = read (file, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        *hash = mu_fnv_on (*hash, block, (size_t)got);
    }
}

int mu_trainer_build (const char *name_or_path, char build[MU_TRAINER_BUILD_SIZE],
                      struct mu_error *error)
{
    uint64_t hash;
    Elf64_Half machine;
    build[0] = '\0';
    if (!strchr (name_or_path, '/'))
        return 0;
    int file = open (name_or_path, O_RDONLY | O_CLOEXEC);
    int status = file < 0 ? -1 : hash_plugin (file, &hash, &machine);
    int number = errno;
    if (file >= 0)
        close (file);
    if (status < 0)
        return mu_fail_errno (error, MU_NO_INPUT, number, "%s '%s' cannot be read",
                              trainer_kind.what, name_or_path);
    snprintf (build, MU_TRAINER_BUILD_SIZE, "%x-%016llx", (unsigned)machine,
              (unsigned long long)hash);
    return 0;
}

const char *mu_trainer_words (struct muster_problem *problem)
{
    char *text = problem->text;
    text[sizeof problem->text - 1] = '\0';
    mu_text_mend (text);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    if (!*text)
        snprintf (text, sizeof problem->text,
                  "the trainer says no and gives no reason: it is to write one into problem->text");
    return text;
}

int mu_trainer_find (const char *name_or_path, const struct muster_trainer **trainer, void **handle,
                     struct mu_error *error)
{
    *trainer = NULL;
    *handle = NULL;
    return strchr (name_or_path, '/') ? load (name_or_path, trainer, handle, error)
                                      : find_builtin (name_or_path, trainer, error);
}
