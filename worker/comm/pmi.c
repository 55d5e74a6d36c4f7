/* SPDX-License-Identifier: Apache-2.0 */
/* pmi.c - see pmi.h
 *
 * Lines are cut from the input as they complete; each has the form "cmd=NAME key=value ...", where
 * the value of `value=` reaches to the end of the line. A table names the commands. What the fences
 * brought is kept as one text, with a sorted index of its lines for lookups. After a refusal
 * `broken` is set and nothing works any more. */
#include "pmi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

struct text {
    char *bytes;
    size_t count, room;
};

struct mu_pmi {
    uint32_t rank, size;
    char jobid[MU_PMI_NAME_MAX];
    char line[MU_PMI_LINE_MAX];
    size_t line_count;
    struct text output;
    struct text puts;  /* since the last fence */
    struct text known; /* what the fences brought */
    size_t *index;     /* places of known's lines, sorted by key */
    size_t index_count;
    uint32_t fence;
    bool initialized, in_fence, finalized, broken;
};

/* --- text ----------------------------------------------------------------------------------------
 */

static int append (struct text *text, const char *bytes, size_t count, size_t limit,
                   const char *what, struct mu_error *error)
{
    if (count > limit || text->count > limit - count)
        return mu_fail (error, MU_PROTOCOL, "PMI: more than %zu bytes of %s", limit, what);
    if (text->count + count > text->room) {
        size_t room = (text->count + count) * 2 + 256;
        char *bigger = realloc (text->bytes, room);
        if (!bigger)
            return mu_fail (error, MU_SYSTEM, "PMI: no memory for %zu bytes of %s", room, what);
        text->bytes = bigger;
        text->room = room;
    }
    if (count)
        memcpy (text->bytes + text->count, bytes, count);
    text->count += count;
    return 0;
}

/* Every reply is short and made here; `value` is the one part that may be long. */
static int reply (struct mu_pmi *pmi, struct mu_error *error, const char *head, const char *value,
                  size_t value_count)
{
    size_t limit = MU_PMI_OUTPUT_MAX;
    if (append (&pmi->output, head, strlen (head), limit, "unread replies", error) != 0 ||
        append (&pmi->output, value, value_count, limit, "unread replies", error) != 0)
        return -1;
    return append (&pmi->output, "\n", 1, limit, "unread replies", error);
}

/* Copies the value of `key` from the line; its length, or -1 if it is missing, empty or too long.
 * Values end at a space; that of `value` with the line. */
static int field (const char *line, const char *key, char *value, size_t size)
{
    size_t length = strlen (key);
    while (*line) {
        line += strspn (line, " ");
        bool rest = strncmp (line, "value=", 6) == 0;
        size_t word = rest ? strlen (line) : strcspn (line, " ");
        if (strncmp (line, key, length) == 0 && line[length] == '=') {
            size_t count = word - length - 1;
            if (count == 0 || count >= size)
                return -1;
            memcpy (value, line + length + 1, count);
            value[count] = 0;
            return (int)count;
        }
        line += word;
    }
    return -1;
}

/* --- what the fences brought
 * ----------------------------------------------------------------------- */

/* A line of a blob: a key, a space, a value. */
static int compare_keys (const char *a, const char *b)
{
    size_t x = strcspn (a, " "), y = strcspn (b, " ");
    int order = memcmp (a, b, x < y ? x : y);
    return order ? order : (x > y) - (x < y);
}

static int compare_places (const void *a, const void *b, void *bytes)
{
    const char *known = bytes;
    return compare_keys (known + *(const size_t *)a, known + *(const size_t *)b);
}

static int check_entry (const char *line, size_t count, struct mu_error *error)
{
    const char *space = memchr (line, ' ', count);
    size_t key = space ? (size_t)(space - line) : 0;
    if (key == 0 || key >= MU_PMI_KEY_MAX || count - key - 1 == 0 ||
        count - key - 1 >= MU_PMI_VALUE_MAX || memchr (line, 0, count))
        return mu_fail (error, MU_PROTOCOL, "PMI: a fence brought a line that is no key and value");
    return 0;
}

/* Checks each line of known from `start` on and notes its place. */
static int index_lines (struct mu_pmi *pmi, size_t start, struct mu_error *error)
{
    size_t lines = 0;
    for (size_t i = start; i < pmi->known.count; i++)
        lines += pmi->known.bytes[i] == '\n';
    if (lines == 0)
        return 0;
    size_t *bigger = realloc (pmi->index, (pmi->index_count + lines) * sizeof *bigger);
    if (!bigger)
        return mu_fail (error, MU_SYSTEM, "PMI: no memory for %zu keys", lines);
    pmi->index = bigger;
    for (size_t at = start; at < pmi->known.count;) {
        const char *line = pmi->known.bytes + at;
        const char *end = memchr (line, '\n', pmi->known.count - at);
        size_t count = end ? (size_t)(end - line) : 0;
        if (check_entry (line, count, error) != 0)
            return -1;
        pmi->index[pmi->index_count++] = at;
        at += count + 1;
    }
    qsort_r (pmi->index, pmi->index_count, sizeof *pmi->index, compare_places, pmi->known.bytes);
    for (size_t i = 1; i < pmi->index_count; i++)
        if (compare_places (&pmi->index[i - 1], &pmi->index[i], pmi->known.bytes) == 0)
            return mu_fail (error, MU_PROTOCOL, "PMI: two ranks put the same key");
    return 0;
}

/* The value of `key` and its length, or NULL. */
static const char *look_up (const struct mu_pmi *pmi, const char *key, size_t *count)
{
    size_t low = 0, high = pmi->index_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *line = pmi->known.bytes + pmi->index[middle];
        int order = compare_keys (line, key);
        if (order == 0) {
            const char *value = line + strcspn (line, " ") + 1;
            *count = strcspn (value, "\n");
            return value;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* --- commands
 * -------------------------------------------------------------------------------------- */

static int on_init (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char version[8];
    if (pmi->initialized || field (line, "pmi_version", version, sizeof version) < 0)
        return mu_fail (error, MU_PROTOCOL, "PMI: init without a version, or twice");
    if (strcmp (version, "1") != 0)
        return mu_fail (error, MU_PROTOCOL,
                        "PMI: MPI speaks version %s, Muster speaks 1; use Debian's MPICH", version);
    pmi->initialized = true;
    return reply (pmi, error, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0", NULL, 0);
}

static int on_get_maxes (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    char text[128];
    snprintf (text, sizeof text, "cmd=maxes kvsname_max=%u keylen_max=%u vallen_max=%u",
              MU_PMI_NAME_MAX, MU_PMI_KEY_MAX, MU_PMI_VALUE_MAX);
    return reply (pmi, error, text, NULL, 0);
}

static int on_get_appnum (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return reply (pmi, error, "cmd=appnum appnum=0", NULL, 0);
}

static int on_get_my_kvsname (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return reply (pmi, error, "cmd=my_kvsname kvsname=", pmi->jobid, strlen (pmi->jobid));
}

static int on_get_universe_size (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    char text[64];
    snprintf (text, sizeof text, "cmd=universe_size size=%u", pmi->size);
    return reply (pmi, error, text, NULL, 0);
}

/* kvsname and key of a put or a get. */
static int read_key (const struct mu_pmi *pmi, const char *line, char key[MU_PMI_KEY_MAX],
                     struct mu_error *error)
{
    char space[MU_PMI_NAME_MAX];
    if (field (line, "kvsname", space, sizeof space) < 0 || strcmp (space, pmi->jobid) != 0)
        return mu_fail (error, MU_PROTOCOL, "PMI: a key of another generation's space");
    if (field (line, "key", key, MU_PMI_KEY_MAX) < 0)
        return mu_fail (error, MU_PROTOCOL, "PMI: a key that is empty or longer than %u bytes",
                        MU_PMI_KEY_MAX - 1);
    return 0;
}

static int on_put (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char key[MU_PMI_KEY_MAX], value[MU_PMI_VALUE_MAX];
    if (read_key (pmi, line, key, error) != 0)
        return -1;
    if (field (line, "value", value, sizeof value) < 0)
        return mu_fail (error, MU_PROTOCOL, "PMI: a value that is empty or longer than %u bytes",
                        MU_PMI_VALUE_MAX - 1);
    char entry[MU_PMI_KEY_MAX + MU_PMI_VALUE_MAX + 2];
    int count = snprintf (entry, sizeof entry, "%s %s\n", key, value);
    if (append (&pmi->puts, entry, (size_t)count, MU_PMI_RANK_BYTES_MAX, "keys", error) != 0)
        return -1;
    return reply (pmi, error, "cmd=put_result rc=0 msg=success", NULL, 0);
}

static int on_get (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char key[MU_PMI_KEY_MAX];
    if (read_key (pmi, line, key, error) != 0)
        return -1;
    size_t count;
    const char *value = look_up (pmi, key, &count);
    if (!value)
        return reply (pmi, error, "cmd=get_result rc=-1 msg=key_not_found value=unknown", NULL, 0);
    return reply (pmi, error, "cmd=get_result rc=0 msg=success value=", value, count);
}

static int on_barrier_in (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    if (pmi->fence >= MU_PMI_FENCES_MAX)
        return mu_fail (error, MU_PROTOCOL, "PMI: more than %u fences", MU_PMI_FENCES_MAX);
    pmi->in_fence = true;
    return 0;
}

static int on_finalize (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    pmi->finalized = true;
    return reply (pmi, error, "cmd=finalize_ack", NULL, 0);
}

static int on_abort (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)pmi;
    char status[16] = "unknown";
    field (line, "exitcode", status, sizeof status);
    return mu_fail (error, MU_PROTOCOL, "PMI: MPI gave up with exit code %s", status);
}

static const struct command {
    const char *name;
    int (*run) (struct mu_pmi *pmi, const char *line, struct mu_error *error);
} commands[] = {
    { "init", on_init },
    { "get_maxes", on_get_maxes },
    { "get_appnum", on_get_appnum },
    { "get_my_kvsname", on_get_my_kvsname },
    { "get_universe_size", on_get_universe_size },
    { "put", on_put },
    { "get", on_get },
    { "barrier_in", on_barrier_in },
    { "finalize", on_finalize },
    { "abort", on_abort },
};

static int run_line (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char name[32];
    if (strncmp (line, "cmd=", 4) != 0 || field (line, "cmd", name, sizeof name) < 0)
        return mu_fail (error, MU_PROTOCOL, "PMI: a line that is no command");
    if (pmi->in_fence || pmi->finalized ||
        (!pmi->initialized && strcmp (name, "init") != 0 && strcmp (name, "abort") != 0))
        return mu_fail (error, MU_PROTOCOL, "PMI: command %s out of turn", name);
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        if (strcmp (name, commands[c].name) == 0)
            return commands[c].run (pmi, line, error);
    return mu_fail (error, MU_PROTOCOL, "PMI: command %s is not known here", name);
}

/* --- interface
 * -------------------------------------------------------------------------------------- */

struct mu_pmi *mu_pmi_create (uint32_t rank, uint32_t size, const char *jobid,
                              struct mu_error *error)
{
    size_t length = strlen (jobid);
    struct mu_pmi *pmi = NULL;
    if (size < 1 || size > MU_PMI_RANKS_MAX || rank >= size)
        mu_fail (error, MU_BAD_INPUT, "PMI: no rank %u of %u; a world has at most %u", rank, size,
                 MU_PMI_RANKS_MAX);
    else if (length == 0 || length >= MU_PMI_NAME_MAX || strspn (jobid, NAME_CHARACTERS) != length)
        mu_fail (error, MU_BAD_INPUT, "PMI: the job id is not 1 to %u letters, digits, _ - .",
                 MU_PMI_NAME_MAX - 1);
    else if (!(pmi = calloc (1, sizeof *pmi)))
        mu_fail (error, MU_SYSTEM, "PMI: no memory");
    if (pmi) {
        pmi->rank = rank;
        pmi->size = size;
        memcpy (pmi->jobid, jobid, length + 1);
    }
    return pmi;
}

void mu_pmi_destroy (struct mu_pmi **pmi)
{
    if (!*pmi)
        return;
    free ((*pmi)->output.bytes);
    free ((*pmi)->puts.bytes);
    free ((*pmi)->known.bytes);
    free ((*pmi)->index);
    free (*pmi);
    *pmi = NULL;
}

static int broken (struct mu_error *error)
{
    return mu_fail (error, MU_PROTOCOL, "PMI: nothing is heard after a refused line");
}

static int take (struct mu_pmi *pmi, const char *bytes, size_t count, struct mu_error *error)
{
    if (memchr (bytes, 0, count))
        return mu_fail (error, MU_PROTOCOL, "PMI: a line with a NUL in it");
    while (count > 0) {
        const char *end = memchr (bytes, '\n', count);
        size_t part = end ? (size_t)(end - bytes) : count;
        if (part >= MU_PMI_LINE_MAX - pmi->line_count)
            return mu_fail (error, MU_PROTOCOL, "PMI: a line longer than %u bytes",
                            MU_PMI_LINE_MAX - 1);
        memcpy (pmi->line + pmi->line_count, bytes, part);
        pmi->line_count += part;
        if (!end)
            return 0;
        pmi->line[pmi->line_count] = 0;
        pmi->line_count = 0;
        if (run_line (pmi, pmi->line, error) != 0)
            return -1;
        bytes += part + 1;
        count -= part + 1;
    }
    return 0;
}

int mu_pmi_input (struct mu_pmi *pmi, const void *bytes, size_t count, struct mu_error *error)
{
    if (pmi->broken)
        return broken (error);
    if (take (pmi, bytes, count, error) == 0)
        return 0;
    pmi->broken = true;
    return -1;
}

size_t mu_pmi_output (const struct mu_pmi *pmi, const char **bytes)
{
    *bytes = pmi->output.bytes;
    return pmi->output.count;
}

void mu_pmi_output_taken (struct mu_pmi *pmi, size_t count)
{
    if (count == 0)
        return;
    if (count > pmi->output.count)
        abort (); /* the caller wrote what was never there */
    pmi->output.count -= count;
    memmove (pmi->output.bytes, pmi->output.bytes + count, pmi->output.count);
}

bool mu_pmi_fence (const struct mu_pmi *pmi, uint32_t *number, const void **blob, size_t *bytes)
{
    if (!pmi->in_fence || pmi->broken)
        return false;
    *number = pmi->fence;
    *blob = pmi->puts.bytes;
    *bytes = pmi->puts.count;
    return true;
}

static int take_fence (struct mu_pmi *pmi, uint32_t number, const void *blob, size_t bytes,
                       struct mu_error *error)
{
    if (!pmi->in_fence || number != pmi->fence)
        return mu_fail (error, MU_PROTOCOL, "PMI: the end of fence %u, which nobody is in", number);
    size_t start = pmi->known.count, limit = pmi->size * MU_PMI_RANK_BYTES_MAX;
    if (bytes > limit)
        return mu_fail (error, MU_PROTOCOL, "PMI: a fence of %zu bytes from %u ranks", bytes,
                        pmi->size);
    if (append (&pmi->known, blob, bytes, limit * MU_PMI_FENCES_MAX, "keys", error) != 0 ||
        index_lines (pmi, start, error) != 0)
        return -1;
    pmi->puts.count = 0;
    pmi->fence++;
    pmi->in_fence = false;
    return reply (pmi, error, "cmd=barrier_out rc=0", NULL, 0);
}

int mu_pmi_fence_done (struct mu_pmi *pmi, uint32_t number, const void *blob, size_t bytes,
                       struct mu_error *error)
{
    if (pmi->broken)
        return broken (error);
    if (take_fence (pmi, number, blob, bytes, error) == 0)
        return 0;
    pmi->broken = true;
    return -1;
}

bool mu_pmi_finalized (const struct mu_pmi *pmi) { return pmi->finalized; }
