/* SPDX-License-Identifier: Apache-2.0 */
/* power_vfs.c - files as names that point to contents; both have a durable side
 *
 * What is assumed of a disk: a sector is written whole or not at all; sectors arrive in any order,
 * or never, until a sync of their file returns; a file's sync says nothing about its name, which
 * needs a sync of the folder. SQLite's own VFS syncs the folder with the first sync of a journal or
 * WAL that it has made, and when it removes a file with that wish; so that is when names become
 * durable here, all of the folder at once. Shared memory (-shm) is left to the system: SQLite makes
 * it anew after a crash. */
#include "power_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR    512
#define NAMES_MAX 16

/* A write, or a truncation (bytes is NULL), that is not durable yet. */
struct change {
    struct change *next;
    sqlite3_int64 offset, size;
    uint8_t bytes[];
};

struct content {
    uint8_t *durable;
    sqlite3_int64 size, capacity;
    struct change *first, **last;
};

struct name {
    char path[512];
    struct content *now, *durable; /* NULL: there is no file of this name */
};

struct handle {
    sqlite3_file base;
    struct content *content; /* NULL: a temporary file, of no interest */
    bool syncs_folder;       /* its next sync does */
    sqlite3_file *real;      /* follows the struct */
};

static struct {
    sqlite3_vfs vfs, *system;
    sqlite3_io_methods methods;
    struct name name[NAMES_MAX];
    uint32_t name_count;
    struct content *content[4096]; /* all that were made since the last reset, to free them */
    uint32_t content_count;
    uint64_t changes, cut_at, random;
    bool is_cut, lying;
} power;

/* --- chance ----------------------------------------------------------------------------------- */

static uint64_t draw (uint64_t below)
{
    power.random = power.random * 6364136223846793005u + 1442695040888963407u;
    return (power.random >> 33) % below;
}

/* Whole disks that kept all, or nothing, are the cases most worth trying. */
static bool survives (uint64_t in_eight) { return draw (8) < in_eight; }

/* --- contents --------------------------------------------------------------------------------- */

static void *must (void *memory)
{
    if (!memory)
        abort ();
    return memory;
}

static struct content *make_content (void)
{
    if (power.content_count == sizeof power.content / sizeof *power.content)
        abort ();
    struct content *content = must (calloc (1, sizeof *content));
    content->last = &content->first;
    return power.content[power.content_count++] = content;
}

static void set_size (struct content *content, sqlite3_int64 size)
{
    if (size > content->capacity) {
        content->capacity = size > 2 * content->capacity ? size : 2 * content->capacity;
        content->durable = must (realloc (content->durable, (size_t)content->capacity));
    }
    if (size > content->size)
        memset (content->durable + content->size, 0, (size_t)(size - content->size));
    content->size = size;
}

static void put (struct content *content, sqlite3_int64 offset, const uint8_t *bytes,
                 sqlite3_int64 size)
{
    if (offset + size > content->size)
        set_size (content, offset + size);
    memcpy (content->durable + offset, bytes, (size_t)size);
}

/* Those sectors of a write that reached the disk. */
static void put_some (struct content *content, const struct change *change, uint64_t in_eight)
{
    sqlite3_int64 end = change->offset + change->size;
    for (sqlite3_int64 at = change->offset, next; at < end; at = next) {
        next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (survives (in_eight))
            put (content, at, change->bytes + (at - change->offset), next - at);
    }
}

static void settle (struct content *content, bool all, uint64_t in_eight)
{
    while (content->first) {
        struct change *change = content->first;
        content->first = change->next;
        if (change->size < 0) {
            if (all || survives (in_eight))
                set_size (content, change->offset);
        } else {
            put_some (content, change, all ? 8 : in_eight);
        }
        free (change);
    }
    content->last = &content->first;
}

static void note (struct content *content, sqlite3_int64 offset, const void *bytes,
                  sqlite3_int64 size)
{
    struct change *change = must (malloc (sizeof *change + (size_t)(bytes ? size : 0)));
    *change = (struct change){ .offset = offset, .size = bytes ? size : -1 };
    if (bytes)
        memcpy (change->bytes, bytes, (size_t)size);
    *content->last = change;
    content->last = &change->next;
}

/* --- names ------------------------------------------------------------------------------------ */

static struct name *name_of (const char *path)
{
    for (uint32_t i = 0; i < power.name_count; i++)
        if (!strcmp (power.name[i].path, path))
            return &power.name[i];
    if (power.name_count == NAMES_MAX)
        abort ();
    struct name *name = &power.name[power.name_count++];
    memset (name, 0, sizeof *name);
    snprintf (name->path, sizeof name->path, "%s", path);
    return name;
}

static void sync_folder (void)
{
    for (uint32_t i = 0; i < power.name_count; i++)
        power.name[i].durable = power.name[i].now;
}

/* One change is about to be made: false if the power goes with it. */
static bool powered (void)
{
    if (power.is_cut)
        return false;
    power.changes++;
    if (power.cut_at && power.changes == power.cut_at)
        power.is_cut = true;
    return !power.is_cut;
}

/* --- SQLite's calls --------------------------------------------------------------------------- */

static struct handle *handle_of (sqlite3_file *file) { return (struct handle *)(void *)file; }

static int on_close (sqlite3_file *file)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods ? real->pMethods->xClose (real) : SQLITE_OK;
}

static int on_read (sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    sqlite3_file *real = handle_of (file)->real;
    return power.is_cut ? SQLITE_IOERR_READ : real->pMethods->xRead (real, bytes, size, offset);
}

/* The write at which the power goes is under way: it may have reached the disk, or some of it. */
static int on_write (sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    struct handle *handle = handle_of (file);
    bool was_cut = power.is_cut, powered_now = powered ();
    if (!was_cut && handle->content)
        note (handle->content, offset, bytes, size);
    if (!powered_now)
        return SQLITE_IOERR_WRITE;
    return handle->real->pMethods->xWrite (handle->real, bytes, size, offset);
}

static int on_truncate (sqlite3_file *file, sqlite3_int64 size)
{
    struct handle *handle = handle_of (file);
    bool was_cut = power.is_cut, powered_now = powered ();
    if (!was_cut && handle->content)
        note (handle->content, size, NULL, 0);
    if (!powered_now)
        return SQLITE_IOERR_TRUNCATE;
    return handle->real->pMethods->xTruncate (handle->real, size);
}

/* The system's own sync is left out: it would only cost time. */
static int on_sync (sqlite3_file *file, int flags)
{
    (void)flags;
    struct handle *handle = handle_of (file);
    if (!powered ())
        return SQLITE_IOERR_FSYNC;
    if (power.lying || !handle->content)
        return SQLITE_OK;
    settle (handle->content, true, 8);
    if (handle->syncs_folder)
        sync_folder ();
    handle->syncs_folder = false;
    return SQLITE_OK;
}

static int on_size (sqlite3_file *file, sqlite3_int64 *size)
{
    sqlite3_file *real = handle_of (file)->real;
    return power.is_cut ? SQLITE_IOERR_FSTAT : real->pMethods->xFileSize (real, size);
}

static int on_lock (sqlite3_file *file, int lock)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xLock (real, lock);
}

static int on_unlock (sqlite3_file *file, int lock)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xUnlock (real, lock);
}

static int on_check_lock (sqlite3_file *file, int *reserved)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xCheckReservedLock (real, reserved);
}

static int on_control (sqlite3_file *file, int what, void *arg)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xFileControl (real, what, arg);
}

static int on_sector_size (sqlite3_file *file)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xSectorSize (real);
}

static int on_characteristics (sqlite3_file *file)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xDeviceCharacteristics (real);
}

static int on_map (sqlite3_file *file, int region, int size, int extend, void volatile **at)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xShmMap (real, region, size, extend, at);
}

static int on_shared_lock (sqlite3_file *file, int offset, int count, int flags)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xShmLock (real, offset, count, flags);
}

static void on_barrier (sqlite3_file *file)
{
    sqlite3_file *real = handle_of (file)->real;
    real->pMethods->xShmBarrier (real);
}

static int on_unmap (sqlite3_file *file, int remove)
{
    sqlite3_file *real = handle_of (file)->real;
    return real->pMethods->xShmUnmap (real, remove);
}

static int on_open (sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *got)
{
    (void)vfs;
    struct handle *handle = handle_of (file);
    memset (handle, 0, sizeof *handle);
    handle->real = (sqlite3_file *)(void *)(handle + 1);
    struct name *name = path ? name_of (path) : NULL;
    bool made = name && !name->now && flags & SQLITE_OPEN_CREATE;
    if (power.is_cut || (made && !powered ()))
        return SQLITE_CANTOPEN;
    int rc = power.system->xOpen (power.system, path, handle->real, flags, got);
    if (handle->real->pMethods)
        handle->base.pMethods = &power.methods;
    if (rc != SQLITE_OK || !name)
        return rc;
    if (made)
        name->now = make_content ();
    handle->content = name->now;
    handle->syncs_folder =
        made && flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    return rc;
}

static int on_delete (sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
    (void)vfs;
    if (!powered ())
        return SQLITE_IOERR_DELETE;
    name_of (path)->now = NULL;
    if (syncs_folder && !power.lying)
        sync_folder ();
    return power.system->xDelete (power.system, path, 0);
}

static int on_access (sqlite3_vfs *vfs, const char *path, int flags, int *result)
{
    (void)vfs;
    return power.is_cut ? SQLITE_IOERR_ACCESS
                        : power.system->xAccess (power.system, path, flags, result);
}

void power_install (void)
{
    power.system = sqlite3_vfs_find (NULL);
    power.vfs = *power.system; /* what is not named below has no part in this */
    power.vfs.zName = "power";
    power.vfs.szOsFile = (int)sizeof (struct handle) + power.system->szOsFile;
    power.vfs.xOpen = on_open;
    power.vfs.xDelete = on_delete;
    power.vfs.xAccess = on_access;
    power.methods = (sqlite3_io_methods){
        2,
        on_close,
        on_read,
        on_write,
        on_truncate,
        on_sync,
        on_size,
        on_lock,
        on_unlock,
        on_check_lock,
        on_control,
        on_sector_size,
        on_characteristics,
        on_map,
        on_shared_lock,
        on_barrier,
        on_unmap,
        NULL,
        NULL,
    };
    sqlite3_vfs_register (&power.vfs, 1);
}

/* --- the switch ------------------------------------------------------------------------------- */

void power_reset (void)
{
    for (uint32_t i = 0; i < power.content_count; i++) {
        settle (power.content[i], false, 0);
        free (power.content[i]->durable);
        free (power.content[i]);
    }
    power.content_count = power.name_count = 0;
    power.changes = power.cut_at = 0;
    power.is_cut = false;
}

void power_cut_after (uint64_t changes, uint64_t seed)
{
    power.cut_at = changes ? power.changes + changes : 0;
    power.random = seed * 2 + 1;
    draw (2);
}

bool power_is_cut (void) { return power.is_cut; }
void power_lie (bool lying) { power.lying = lying; }
uint64_t power_changes (void) { return power.changes; }

/* One that is there stays the same file: a power cut makes no copy. */
static void write_file (const char *path, const struct content *content)
{
    FILE *file = must (fopen (path, "wb"));
    if (content->size && fwrite (content->durable, (size_t)content->size, 1, file) != 1)
        abort ();
    if (fclose (file))
        abort ();
}

void power_restore (void)
{
    uint64_t in_eight = draw (9); /* of the sectors: none, some, all */
    for (uint32_t i = 0; i < power.name_count; i++) {
        struct name *name = &power.name[i];
        struct content *kept =
            name->now == name->durable || survives (in_eight) ? name->now : name->durable;
        name->now = name->durable = kept;
        if (!kept) {
            unlink (name->path);
            continue;
        }
        settle (kept, false, in_eight);
        write_file (name->path, kept);
    }
    power.is_cut = false;
    power.cut_at = 0;
}
